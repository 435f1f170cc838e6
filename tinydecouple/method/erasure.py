"""Erasing what a linear classifier could use: INLP and LEACE, for comparison with rejecting a subspace.

Both are fitted to states h (n, d) with classes y (n,) and give an affine map h -> h - (h - mean) E^T.
"""

from dataclasses import dataclass

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.probe import fit, new_probe
from tinydecouple.method.states import check_states, standardise
from tinydecouple.method.subspace import class_mean_span, probe_subspace


@dataclass(frozen=True)
class Eraser:
    """mean: (d,).  E: (d, d) what is taken away, idempotent.  rank: of E."""

    mean: np.ndarray
    E: np.ndarray
    rank: int

    def __call__(self, h: np.ndarray) -> np.ndarray:
        """(n, d) -> (n, d)."""
        return h - (h - self.mean) @ self.E.T


def leace(h: np.ndarray, y: np.ndarray) -> Eraser:
    """LEACE (Belrose et al. 2023, theorem 4.3): of all affine maps that make the class means equal, the least change.

    With S = cov(h), W = S^(-1/2) and Z the one-hot labels, E = W^+ P W, where P projects onto the columns of
    W cov(h, Z). THEORY (26): on the fitting sample no affine classifier then has a lower cross-entropy than a constant.
    """
    classes = np.unique(y)
    check_states(h, y, int(classes.max()) + 1)
    mean = h.mean(axis=0)
    centred = (h - mean).astype(np.float64)
    variance, axes = np.linalg.eigh(centred.T @ centred / len(h))
    kept = variance > variance.max() * len(variance) * np.finfo(np.float64).eps
    root = np.sqrt(variance[kept])
    W, W_plus = axes[:, kept] / root @ axes[:, kept].T, axes[:, kept] * root @ axes[:, kept].T
    Z = (y[:, None] == classes).astype(np.float64)
    whitened = W @ (centred.T @ (Z - Z.mean(axis=0)) / len(h))  # (d, C)
    left, strength, _ = np.linalg.svd(whitened, full_matrices=False)
    rank = int((strength > 1e-10).sum())
    P = left[:, :rank] @ left[:, :rank].T
    return Eraser(mean, W_plus @ P @ W, rank)


def reject_span(h: np.ndarray, y: np.ndarray) -> Eraser:
    """Reject the span of the differences between class means: makes them equal too, but changes states more."""
    check_states(h, y, int(y.max()) + 1)
    U = class_mean_span(h, y, len(np.unique(y)) - 1)
    return Eraser(h.mean(axis=0), U @ U.T, U.shape[1])


def inlp(h: np.ndarray, y: np.ndarray, rounds: int, rng: np.random.Generator, steps: int = 600) -> Eraser:
    """INLP (Ravfogel et al. 2020): fit a linear classifier, reject all its directions, again, `rounds` times.

    The classifier is this project's probe at its posterior mean; each round takes C - 1 directions more.
    """
    mean, classes = h.mean(axis=0), int(y.max()) + 1
    check_states(h, y, classes)
    if classes - 1 > h.shape[1]:
        raise TinyDecoupleError(f"{classes} classes take {classes - 1} directions, more than {h.shape[1]} features")
    taken = np.zeros((h.shape[1], 0))
    for _ in range(min(rounds, h.shape[1] // (classes - 1))):
        left = (h - mean) - (h - mean) @ taken @ taken.T
        states, _, _ = standardise(left)
        weights = fit(new_probe(classes, h.shape[1], dtype=h.dtype), states, y, rng, steps).posterior_mean()
        weights = weights - weights @ taken @ taken.T
        taken = np.linalg.qr(np.hstack((taken, probe_subspace(weights, classes - 1))))[0]
    return Eraser(mean, taken @ taken.T, taken.shape[1])
