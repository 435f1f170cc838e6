"""States with a known answer: Gaussian classes of one covariance, means in a planted subspace."""

from dataclasses import dataclass

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.probe import cross_entropy


@dataclass(frozen=True)
class Planted:
    """What was planted, and what each estimator of it should find.

    h: (n, d) float64 states.  y: (n,) classes, equally likely.
    differences: (d, r) orthonormal basis of the differences between class means.
    discriminant: (d, r) orthonormal basis of Sigma^-1 (differences), to which the weights of a
    linear probe tend.
    conditional_bits: H(Y|h) in bits per state, which no code beats in expectation; a Monte Carlo
    estimate.
    """

    h: np.ndarray
    y: np.ndarray
    differences: np.ndarray
    discriminant: np.ndarray
    conditional_bits: float


def plant(n: int, d: int, classes: int, signal: float, rng: np.random.Generator,
          anisotropy: float = 1.0, rank: int | None = None, monte_carlo: int = 100_000) -> Planted:
    """Draw n states of `classes` Gaussian classes in R^d.

    signal: root mean square distance of class means from their centre, in standard deviations of a
    round covariance.
    anisotropy: largest over smallest variance of the shared covariance, whose orientation is random
    and whose determinant is 1; at 1 it is round.
    rank: dimension r of the subspace of the means, at most classes - 1, which is the default.
    monte_carlo: fresh states drawn to estimate conditional_bits.
    Raises TinyDecoupleError for a rank that is not possible.
    """
    r = classes - 1 if rank is None else rank
    if not 1 <= r <= min(classes - 1, d):
        raise TinyDecoupleError(f"`rank` {r}: {classes} class means in {d} features span "
                                f"1 to {min(classes - 1, d)} dimensions")
    axes = np.linalg.qr(rng.normal(size=(d, d)))[0]
    variance = anisotropy ** np.linspace(-0.5, 0.5, d)
    subspace = np.linalg.qr(rng.normal(size=(d, r)))[0]
    means = rng.normal(size=(classes, r))
    means -= means.mean(axis=0)
    means *= signal * np.sqrt(classes) / np.linalg.norm(means)  # root mean square is signal
    means = means @ subspace.T  # (C, r) @ (r, d) -> (C, d)
    precision = axes / variance @ axes.T  # Sigma^-1

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        y = rng.integers(classes, size=count)
        return means[y] + (rng.normal(size=(count, d)) * np.sqrt(variance)) @ axes.T, y

    h, y = draw(n)
    # log p(y | h) = h Sigma^-1 m_y - m_y Sigma^-1 m_y / 2 up to a term that all classes share
    fresh, labels = draw(monte_carlo)
    logits = fresh @ precision @ means.T - 0.5 * np.einsum("cd,de,ce->c", means, precision, means)
    bits = float(cross_entropy(logits, labels)[0].mean() / np.log(2))
    return Planted(h, y, subspace, np.linalg.qr(precision @ subspace)[0], bits)
