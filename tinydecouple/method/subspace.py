"""The standard's subspace by every reading of the paper, controls, and angles between subspaces.

Each estimator returns a basis U: (d, k), orthonormal columns, the sign of each fixed by its largest
entry. A probe's weights tend to Sigma^-1 (differences of means), class means to the differences
themselves; the two coincide only for eigenvectors of the shared covariance Sigma, THEORY (19).
Equations are those of tutorials/THEORY.md.
"""

from collections.abc import Callable

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.probe import fit, new_probe
from tinydecouple.method.states import (
    blocks,
    check_array,
    check_matrix,
    check_rank,
    check_states,
    class_means,
    mean_state,
    principal_axes,
)


def oriented(U: np.ndarray) -> np.ndarray:
    """(d, k) -> (d, k): flip columns so that the largest entry of each is positive.

    A singular vector's sign is arbitrary; this makes equal input give an equal basis.
    """
    return U * np.sign(U[np.abs(U).argmax(axis=0), np.arange(U.shape[1])])


def leading(rows: np.ndarray, k: int, why: str, dtype: np.dtype) -> np.ndarray:
    """(d, k) leading right singular vectors of rows (C, d) minus their mean, as `oriented` has
    them.

    Two rows differ in one direction, which points from the second row to the first. dtype: that of
    what the rows were made from; a singular value within its rounding is 0, as in
    numpy.linalg.matrix_rank. why: the reason for the highest rank, for the message. Raises
    TinyDecoupleError for k below 1, above C - 1 or above d, and for rows that span fewer than k
    directions.
    """
    check_rank(k, min(len(rows) - 1, rows.shape[1]), why)
    centred = rows - rows.mean(axis=0)
    _, strength, Vt = np.linalg.svd(centred, full_matrices=False)
    eps = np.finfo(dtype).eps  # centring does not shrink the rounding error of the rows themselves
    of_rows = np.sqrt(sum(rows.shape)) * np.abs(rows).max()
    rounding = eps * (max(rows.shape) * strength[0] + of_rows)
    if not strength[k - 1] > rounding:
        raise TinyDecoupleError(f"`rank` {k}: the rows have only {(strength > rounding).sum()} "
                                "directions; the probe has learned nothing yet, or classes "
                                "coincide: lower `rank`, or fit longer")
    U = Vt[:k].T  # (k, d) -> (d, k)
    return U * np.sign(centred[0] @ U) if len(rows) == 2 else oriented(U)


def probe_subspace(weights: np.ndarray, k: int) -> np.ndarray:
    """The leading directions of a probe's weights (C, d), by SVD: THEORY (17) and (18).

    With C = 2, the standard (class 0) against the rest, this is one direction, from the rest to the
    standard, as the paper words it. With one class per variety it is the all-variety subspace, in
    which *any* two of them are separated. Softmax ignores a vector added to every row, so the rows
    are centred over classes and the rank is at most C - 1.
    """
    check_matrix(weights)
    why = (f"{len(weights)} classes give classes - 1 directions, since softmax ignores what all "
           "rows share")
    return leading(weights, k, why, weights.dtype)


def standard_row(weights: np.ndarray, standard: int = 0, k: int = 1) -> np.ndarray:
    """From the mean of the other rows to the standard's, in C-way weights (C, d): (d, 1).

    One direction, the standard's own, from a probe that had to distinguish the dialects as well.
    Unlike the one-vs-rest probe it does not treat the dialects as one class.
    """
    check_matrix(weights)
    if not 0 <= standard < len(weights) or len(weights) < 2:
        raise TinyDecoupleError(f"class {standard} of {len(weights)}: expected a class from 0 to "
                                "classes - 1, and two classes or more")
    others = np.delete(weights, standard, axis=0).mean(axis=0)
    pair = np.array([weights[standard], others])
    return leading(pair, k, "one row against the others", weights.dtype)


def class_mean_span(h: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """The leading directions between class means, of states h (n, d) with classes y (n,); k at most
    C - 1.

    It needs no probe. It tends to the differences between the varieties' mean states, which are
    where states differ, not to the directions along which a classifier separates them best.
    """
    check_states(h, y, half=True)
    means = class_means(h, y)
    return leading(means, k, f"{len(means)} class means span classes - 1 directions", h.dtype)


def principal_components(h: np.ndarray, k: int) -> np.ndarray:
    """The k directions of most variance of states h (n, d): a naive control that ignores labels.

    Where they agree with a probe, variety is what the states vary by most; where they do not, most
    of what a penalty on them removes is something else. Takes memory for (d, d), whatever n.
    """
    check_matrix(h, half=True)
    check_rank(k, min(h.shape[1], len(h) - 1), "at most the number of features, and states - 1")
    axes = principal_axes(h)[2]
    check_rank(k, axes.shape[1], "the states vary in no other direction")
    return oriented(axes[:, :k])


def random_subspace(d: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """An isotropic random subspace of rank k in R^d: a control that uses neither states nor labels.

    It is the usual control and an easy one to beat: on average it holds only k / d of the states'
    energy, wherever the states lie.
    """
    check_rank(k, d, "the number of features")
    return oriented(np.linalg.qr(rng.normal(size=(d, k)))[0])


def random_from_states(h: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """A random subspace drawn from the covariance of states h (n, d): a fairer control.

    Its columns are random mixtures of centred states, so they lean towards directions of large
    variance.
    """
    check_matrix(h, half=True)
    (n, d), mean = h.shape, mean_state(h)
    check_rank(k, d, "the number of features")
    noise = rng.normal(size=(n, k))
    # (d, n) @ (n, k) -> (d, k)
    mixtures = sum((h[rows] - mean).T @ noise[rows] for rows in blocks(h))
    strength = np.linalg.svd(mixtures, compute_uv=False)
    eps = max(np.finfo(h.dtype).eps, n * np.finfo(np.float64).eps)  # of states, of sums over them
    rounding = eps * np.sqrt(d) * (strength[0] + np.sqrt(n) * np.abs(mean).max())
    check_rank(k, int((strength > rounding).sum()), "the states vary in no other direction")
    return oriented(np.linalg.qr(mixtures)[0])


# Name -> estimate(h, y, weights, k, rng): a basis (d, k) from standardised states h (n, d), their
# classes y (n,), and the posterior mean (C, d) of a probe fitted to them. To add an estimator,
# write it above, and add a line here and its name to names.py.
ESTIMATORS: dict[str, Callable[..., np.ndarray]] = {
    "probe": lambda h, y, weights, k, rng: probe_subspace(weights, k),
    "standard-row": lambda h, y, weights, k, rng: standard_row(weights, k=k),
    "class-means": lambda h, y, weights, k, rng: class_mean_span(h, y, k),
    "principal-components": lambda h, y, weights, k, rng: principal_components(h, k),
    "random": lambda h, y, weights, k, rng: random_subspace(h.shape[1], k, rng),
    "random-from-states": lambda h, y, weights, k, rng: random_from_states(h, k, rng),
}


def estimator(name: str) -> Callable[..., np.ndarray]:
    """The estimator of that name. Raises TinyDecoupleError for a name not in ESTIMATORS."""
    if name not in ESTIMATORS:
        raise TinyDecoupleError(
            f"`subspace` {name!r} is unknown; expected one of {', '.join(ESTIMATORS)}")
    return ESTIMATORS[name]


def column_space(A: np.ndarray) -> np.ndarray:
    """(d, p) -> (d, r): an orthonormal basis of the column space.

    Its rank r is decided as by numpy.linalg.matrix_rank, from the dtype. Raises TinyDecoupleError
    for rank 0.
    """
    check_array(A, "subspaces")
    if A.ndim != 2 or A.dtype.kind not in "fiu" or not np.isfinite(A).all():
        raise TinyDecoupleError(f"a subspace of shape {A.shape} and dtype {A.dtype}: expected "
                                "(d, k), real and finite")
    left, strength, _ = np.linalg.svd(A.astype(np.float64), full_matrices=False)
    eps = np.finfo(A.dtype if A.dtype.kind == "f" else np.float64).eps
    rank = int((strength > strength.max(initial=0) * max(A.shape) * eps).sum())
    if rank == 0:
        raise TinyDecoupleError(
            f"a subspace of shape {A.shape} has no direction: all its columns are zero")
    return left[:, :rank]


def principal_angles(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Principal angles in radians, rising, between the column spaces of A (d, p) and B (d, q).

    THEORY (20). There are as many angles as the smaller of the two ranks; columns that depend on
    others add none. Björck & Golub 1973: the cosines are the singular values of Qa^T Qb. A cosine
    near 1 has lost its angle to rounding (1 - 1e-8^2 / 2 is 1 in float64), so below 45 degrees the
    sines are used: the singular values of Qb - Qa Qa^T Qb.
    """
    Qa, Qb = column_space(A), column_space(B)
    if len(Qa) != len(Qb):
        raise TinyDecoupleError(
            f"subspaces of {len(Qa)} and {len(Qb)} features have no angle between them")
    if Qa.shape[1] < Qb.shape[1]:
        Qa, Qb = Qb, Qa
    cosine = np.linalg.svd(Qa.T @ Qb, compute_uv=False)  # falling, so the angles rise
    sine = np.linalg.svd(Qb - Qa @ (Qa.T @ Qb), compute_uv=False)[::-1]  # rising
    large, small = np.arccos(np.clip(cosine, 0, 1)), np.arcsin(np.clip(sine, 0, 1))
    return np.where(cosine**2 < 0.5, large, small)


def subspace_overlap(A: np.ndarray, B: np.ndarray) -> float:
    """Mean squared cosine of the principal angles, THEORY (21).

    1 if one subspace contains the other, 0 if they are orthogonal. A random subspace of rank q has
    an expected overlap of max(p, q) / d with one of rank p.
    """
    return float((np.cos(principal_angles(A, B))**2).mean())


def angle_null(h: np.ndarray, y: np.ndarray, keys: np.ndarray, classes: int,
               estimate: Callable[[np.ndarray], np.ndarray], refits: int, rng: np.random.Generator,
               prior: str = "normal", steps: int | None = None) -> np.ndarray:
    """Largest principal angle in radians of each pair of refits: (refits (refits - 1) / 2,).

    h: (n, d) states.  y: (n,) classes.  keys: (n,) the sentence of each state.  estimate: from
    weights (C, d) to a basis (d, k), such as standard_row. Each refit draws whole sentences with
    replacement, and noise of its own. An angle between two models that lies within this spread says
    nothing about the models.
    """
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1
    sentences = np.split(order, starts)  # rows of each key
    bases = []
    for _ in range(refits):
        drawn = rng.integers(len(sentences), size=len(sentences))
        rows = np.concatenate([sentences[i] for i in drawn])
        probe = fit(new_probe(classes, h.shape[1], prior, h.dtype), h[rows], y[rows], rng, steps)
        bases.append(estimate(probe.posterior_mean()))
    return np.array([principal_angles(first, second)[-1]
                     for i, first in enumerate(bases) for second in bases[i + 1:]])
