"""The standard's subspace by every reading of the paper, controls for it, and angles between subspaces.

Each estimator returns a basis U: (d, k), orthonormal columns, the sign of each fixed by its largest entry. A probe's
weights tend to Sigma^-1 (differences of means), class means to the differences themselves; the two are one only for
eigenvectors of the shared covariance Sigma, THEORY (19). Equations are those of tutorials/THEORY.md.
"""

from collections.abc import Callable

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.probe import check_matrix, check_states, fit, new_probe


def oriented(U: np.ndarray) -> np.ndarray:
    """(d, k) -> (d, k): flip columns so that the largest entry of each is positive; equal input, equal basis."""
    return U * np.sign(U[np.abs(U).argmax(axis=0), np.arange(U.shape[1])])


def leading(rows: np.ndarray, k: int, highest: int, why: str) -> np.ndarray:
    """(d, k) leading right singular vectors of rows (m, d).

    Raises TinyDecoupleError for k below 1 or above `highest`, saying why, and for rows without k directions.
    """
    check_matrix(rows)
    if not 1 <= k <= highest:
        raise TinyDecoupleError(f"`rank` {k}: expected 1 to {highest} ({why})")
    _, strength, Vt = np.linalg.svd(rows, full_matrices=False)
    if not strength[k - 1] > 1e-10 * max(1.0, strength[0]):
        raise TinyDecoupleError(f"`rank` {k}: there are no {k} directions here; nothing has been learned yet")
    return oriented(Vt[:k].T)  # (k, d) -> (d, k)


def probe_subspace(weights: np.ndarray, k: int) -> np.ndarray:
    """The leading directions of a probe's weights (C, d), by SVD: THEORY (17) and (18).

    With C = 2, the standard against the rest, this is one direction, from the rest to the standard: the paper's
    wording. With a class a variety it is the all-variety subspace: what separates *any* of them, the standard or not.
    Softmax ignores a vector added to every row, so the rows are centred over classes and the rank is at most C - 1.
    """
    check_matrix(weights)
    classes, d = weights.shape
    return leading(weights - weights.mean(axis=0), k, min(classes - 1, d),
                   f"{classes} classes give classes - 1 directions, since softmax ignores what all rows share")


def standard_row(weights: np.ndarray, standard: int = 0) -> np.ndarray:
    """The standard's row of C-way weights (C, d) against the mean of the others: (d, 1).

    One direction, the standard's own, from a probe that had to tell the dialects apart as well. Unlike the
    one-vs-rest probe it does not treat the dialects as one class.
    """
    check_matrix(weights)
    others = np.delete(weights, standard, axis=0).mean(axis=0)
    return leading((weights[standard] - others)[None], 1, 1, "one row against the others is one direction")


def class_mean_span(h: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """The leading directions between class means, of states h (n, d) with classes y (n,); k at most C - 1.

    No probe: where the varieties' mean states lie. It tends to the differences of means, which is where states
    differ, not to where a classifier would best look.
    """
    classes = np.unique(y)
    check_states(h, y, int(classes.max()) + 1)
    means = np.array([h[y == c].mean(axis=0) for c in classes], dtype=np.float64)
    return leading(means - means.mean(axis=0), k, min(len(classes) - 1, h.shape[1]),
                   f"{len(classes)} class means span classes - 1 directions")


def principal_components(h: np.ndarray, k: int) -> np.ndarray:
    """The k directions of most variance of states h (n, d): a naive control that knows no label.

    Where they agree with a probe, variety is what the states vary by most; where not, most of what a penalty on them
    removes is something else.
    """
    check_matrix(h)
    return leading(h - h.mean(axis=0), k, min(h.shape[1], len(h) - 1), "no more directions than features or states")


def random_subspace(d: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """An isotropic random subspace of rank k in R^d: the usual control, blind to states and labels.

    It is an easy control to beat: in the mean it holds k / d of the states' energy, and may miss where they lie.
    """
    if not 1 <= k <= d:
        raise TinyDecoupleError(f"rank {k}: expected 1 to {d}, the number of features")
    return oriented(np.linalg.qr(rng.normal(size=(d, k)))[0])


def random_from_states(h: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """A random subspace drawn from the covariance of states h (n, d): a fairer control, lying where the states lie.

    Its columns are random mixtures of centred states, so large directions come up more often than small ones.
    """
    check_matrix(h)
    if not 1 <= k <= h.shape[1]:
        raise TinyDecoupleError(f"rank {k}: expected 1 to {h.shape[1]}, the number of features")
    centred = h - h.mean(axis=0)
    return oriented(np.linalg.qr(centred.T @ rng.normal(size=(len(h), k)))[0])  # (d, n) @ (n, k) -> (d, k)


def principal_angles(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Principal angles in radians, rising, between the column spaces of A (d, p) and B (d, q): THEORY (20).

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


def subspace_overlap(A: np.ndarray, B: np.ndarray) -> float:
    """Mean squared cosine of the principal angles: 1 if one holds the other, 0 if orthogonal. THEORY (21).

    A random subspace of rank q has, in the mean, an overlap of max(p, q) / d with one of rank p.
    """
    return float((np.cos(principal_angles(A, B))**2).mean())


def angle_null(h: np.ndarray, y: np.ndarray, keys: np.ndarray, classes: int,
               estimate: Callable[[np.ndarray], np.ndarray], refits: int, rng: np.random.Generator,
               prior: str = "normal", steps: int = 600) -> np.ndarray:
    """Largest principal angles in radians between refits of one probe: (refits (refits - 1) / 2,) of them.

    h: (n, d) states.  y: (n,) classes.  keys: (n,) the sentence of each state.  estimate: from weights (C, d) to a
    basis (d, k), such as standard_row. Each refit draws sentences with replacement, whole, and takes noise of its
    own. An angle between two models that lies within this spread says nothing about the models.
    """
    order = np.argsort(keys, kind="stable")
    sentences = np.split(order, np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1)  # rows of each key
    bases = []
    for _ in range(refits):
        rows = np.concatenate([sentences[i] for i in rng.integers(len(sentences), size=len(sentences))])
        probe = fit(new_probe(classes, h.shape[1], prior, h.dtype), h[rows], y[rows], rng, steps)
        bases.append(estimate(probe.posterior_mean()))
    return np.array([principal_angles(a, b)[-1] for i, a in enumerate(bases) for b in bases[i + 1:]])


ESTIMATORS = {
    "probe": lambda h, y, weights, k, rng: probe_subspace(weights, k),
    "standard-row": lambda h, y, weights, k, rng: standard_row(weights) if k == 1 else leading(weights, k, 1, "x"),
    "class-means": lambda h, y, weights, k, rng: class_mean_span(h, y, k),
    "principal-components": lambda h, y, weights, k, rng: principal_components(h, k),
    "random": lambda h, y, weights, k, rng: random_subspace(h.shape[1], k, rng),
    "random-from-states": lambda h, y, weights, k, rng: random_from_states(h, k, rng),
}
