"""From a probe's weights to an orthonormal basis, and angles between subspaces."""

import numpy as np

from tinydecouple.errors import TinyDecoupleError


def probe_subspace(weights: np.ndarray, k: int) -> np.ndarray:
    """(d, k) orthonormal basis of the leading directions of a probe's weights (C, d), by SVD (PAPER.md, step 2).

    Softmax ignores a vector added to every row, so the rows are centred over classes first; that leaves a rank of
    at most C - 1. One-vs-rest has C = 2 classes, so k = 1: the direction from "the rest" to the standard. With C
    varieties, the leading directions are those that separate *any* of them, not the standard in particular.
    The sign of a column is that of its largest entry, made positive, so that equal weights give an equal basis.
    Raises TinyDecoupleError for a rank below 1 or above C - 1, and for weights that do not have that rank.
    """
    classes, d = weights.shape
    highest = min(classes - 1, d)
    if not 1 <= k <= highest:
        raise TinyDecoupleError(f"--rank {k}: a probe of {classes} classes on {d} features gives 1 to {highest} "
                                "directions (classes - 1, since softmax ignores what all rows share)")
    _, strength, Vt = np.linalg.svd(weights - weights.mean(axis=0), full_matrices=False)
    if not strength[k - 1] > 1e-10 * max(1.0, strength[0]):
        raise TinyDecoupleError(f"--rank {k}: the probe's weights have no {k} directions; it has learned nothing yet")
    U = Vt[:k].T  # (k, d) -> (d, k)
    return U * np.sign(U[np.abs(U).argmax(axis=0), np.arange(k)])


def principal_angles(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Principal angles in radians, rising, between the column spaces of A (d, p) and B (d, q); min(p, q) of them.

    Björck & Golub 1973: cosines are the singular values of Qa^T Qb. A cosine near 1 has lost its angle to
    rounding (1 - 1e-7^2 / 2 is 1), so below 45 degrees the sine is used: the singular values of what Qa
    leaves of Qb.
    """
    Qa, Qb = np.linalg.qr(np.asarray(A, np.float64))[0], np.linalg.qr(np.asarray(B, np.float64))[0]
    if Qa.shape[1] < Qb.shape[1]:
        Qa, Qb = Qb, Qa
    cosine = np.linalg.svd(Qa.T @ Qb, compute_uv=False)  # falling, so the angles rise
    sine = np.linalg.svd(Qb - Qa @ (Qa.T @ Qb), compute_uv=False)[::-1]  # rising
    return np.where(cosine**2 < 0.5, np.arccos(np.clip(cosine, 0, 1)), np.arcsin(np.clip(sine, 0, 1)))
