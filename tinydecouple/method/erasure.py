"""Erasing what a linear classifier could use, by INLP or LEACE: compare with rejecting a subspace.

Both are fitted to states h (n, d) with classes y (n,) and give an affine map,
h -> h - (h - mean) E^T.
"""

from dataclasses import dataclass

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.probe import fit, new_probe
from tinydecouple.method.states import (
    blocks,
    check_matrix,
    check_states,
    check_width,
    class_means,
    mean_state,
    principal_axes,
    standardise,
)
from tinydecouple.method.subspace import class_mean_span, probe_subspace


@dataclass(frozen=True)
class Eraser:
    """The map h -> h - (h - mean) E^T.

    mean: (d,).  left, right: (d, rank), with E = left @ right.T, which is idempotent.
    """

    mean: np.ndarray
    left: np.ndarray
    right: np.ndarray

    @property
    def rank(self) -> int:
        return self.left.shape[1]

    @property
    def E(self) -> np.ndarray:
        """(d, d), for inspection; applying the eraser never builds it."""
        return self.left @ self.right.T

    def __call__(self, h: np.ndarray) -> np.ndarray:
        """(n, d) -> (n, d), in the dtype of h, float16 becoming float32."""
        check_matrix(h, half=True)
        check_width(h, len(self.mean), "eraser")
        erased = np.empty(h.shape, np.promote_types(h.dtype, np.float32))
        for rows in blocks(h):  # (n, d) @ (d, rank) @ (rank, d), in float64
            erased[rows] = h[rows] - (h[rows] - self.mean) @ self.right @ self.left.T
        return erased


def leace(h: np.ndarray, y: np.ndarray) -> Eraser:
    """LEACE (Belrose et al. 2023, theorem 4.3): make the class means equal with the least change.

    It changes the states least, in mean square, of all affine maps that make the class means equal.

    With S = cov(h), Y the one-hot labels and S^(-1/2) a pseudo-inverse, E = S^(1/2) F F^T S^(-1/2),
    where F is an orthonormal basis of the columns of S^(-1/2) cov(h, Y). THEORY (26): on the
    fitting sample no affine classifier then has a lower cross-entropy than a constant. In the
    coordinates of S's eigenvectors its roots are diagonal; the columns of cov(h, Y) are
    share_c (mean_c - mean).
    """
    check_states(h, y, half=True)
    mean, variance, axes = principal_axes(h)  # (d,), (r,), (d, r)
    root = np.sqrt(variance)
    shares = np.unique(y, return_counts=True)[1] / len(y)
    covariance = (shares[:, None] * (class_means(h, y) - mean)).T  # (d, C)
    F, strength, _ = np.linalg.svd(axes.T @ covariance / root[:, None], full_matrices=False)
    # strength holds correlations, at most 1, so the threshold for rounding is absolute; whitening
    # enlarges float64's rounding. Centred labels have rank C - 1.
    eps = max(np.finfo(h.dtype).eps, np.finfo(np.float64).eps * root[0] / root[-1])
    rank = int((strength[:len(shares) - 1] > np.sqrt(h.shape[1]) * eps).sum())
    F = F[:, :rank]
    return Eraser(mean, axes * root @ F, axes / root @ F)


def reject_span(h: np.ndarray, y: np.ndarray) -> Eraser:
    """Reject the span of the differences between class means.

    This makes the class means equal, too, but changes the states more than LEACE does.
    """
    check_states(h, y, half=True)
    U = class_mean_span(h, y, len(np.unique(y)) - 1)
    return Eraser(mean_state(h), U, U)


def inlp(h: np.ndarray, y: np.ndarray, rounds: int, rng: np.random.Generator,
         steps: int | None = None) -> Eraser:
    """INLP (Ravfogel et al. 2020): `rounds` times, fit a linear classifier and reject its
    directions.

    The classifier is this project's probe at its posterior mean; each round removes C - 1 more
    directions. Raises TinyDecoupleError for more directions per round than features.
    """
    check_states(h, y, half=True)
    classes, d = int(y.max()) + 1, h.shape[1]
    if classes - 1 > d:
        raise TinyDecoupleError(f"{classes} classes take {classes - 1} directions per round, "
                                f"more than the {d} features; use fewer classes")
    taken = np.zeros((d, 0))
    for _ in range(min(rounds, d // (classes - 1))):
        states = standardise(Eraser(mean_state(h), taken, taken)(h))[0]
        probe = fit(new_probe(classes, d, dtype=states.dtype), states, y, rng, steps)
        weights = probe.posterior_mean()
        weights = weights - weights @ taken @ taken.T
        taken = np.linalg.qr(np.hstack((taken, probe_subspace(weights, classes - 1))))[0]
    return Eraser(mean_state(h), taken, taken)
