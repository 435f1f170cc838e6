"""What A4 asks for or hands out and the package has no function of its own for; tests compare it with the package."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinydecouple.method.projection import penalty

T_975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262,
         14: 2.145, 19: 2.093}  # degrees of freedom -> quantile of t


@dataclass
class Decoupler:
    """What a decoupler keeps between refreshes.

    options: see DecoupleOptions.  probe: C classes, d features.  mean: (d,), subtracted by the penalty.  basis: (d, k),
    of the subspace that is penalised, or None.  last: (d, k), the latest estimate, or None.  refreshes: how many.
    """

    options: Any
    probe: Any
    mean: np.ndarray
    basis: np.ndarray | None = None
    last: np.ndarray | None = None
    refreshes: int = 0


@dataclass
class Direction:
    """One direction's texts and chrF++'s counts per sentence, (n, 24), aligned by key."""

    name: str
    keys: list[str]
    sources: list[str]
    references: list[str]
    outputs: list[str]
    statistics: np.ndarray


def is_refresh(step: int, total: int, refreshes: int) -> bool:
    """Whether the probe is refitted before this step.

    step: from 0 to total - 1.  total: steps of the run.  refreshes: how many refits are wanted, at least 1. Refits are
    equally far apart, the first before step 0; there may be fewer than wanted, but never more.
    """
    return step % max(1, math.ceil(total / refreshes)) == 0


def add_penalty(gradient: np.ndarray, h: np.ndarray, positions: np.ndarray, U: np.ndarray, mean: np.ndarray,
                strength: float) -> np.ndarray:
    """The gradient of L_MT + strength * penalty by the states of a batch, THEORY (27).

    gradient: (b, t, d), of the translation loss L_MT by the states.  h: (b, t, d) states.  positions: (b, t) bool, the
    tokens that are penalised, which may be none.  U: (d, k).  mean: (d,), subtracted from the states.
    """
    total = gradient.copy()
    if positions.any():
        total[positions] += strength * penalty(h[positions], U, mean)[1]
    return total


def seed_interval(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Mean of `second` minus `first` and its 95 % interval over seeds, (mean, low, high): THEORY (32).

    first, second: (S,) scores of two systems, trained with the same S seeds, at least 2.
    """
    difference = second - first
    half = T_975[len(difference) - 1] * difference.std(ddof=1) / np.sqrt(len(difference))
    mean = difference.mean()
    return float(mean), float(mean - half), float(mean + half)


def chrf(summed: np.ndarray) -> float:
    """chrF++, 0 to 100, from summed statistics (24,): n-grams of output, reference and both, of 6 + 2 orders."""
    output, reference, both = summed.reshape(8, 3).T
    counted = (output > 0) & (reference > 0)
    if not counted.any():
        return 0.0
    precision, recall = (float((both[counted] / side[counted]).mean()) for side in (output, reference))
    return 100 * 5 * precision * recall / (4 * precision + recall) if precision + recall else 0.0
