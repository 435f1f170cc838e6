"""Is a difference larger than the choice of test sentences explains? (Koehn 2004, paired bootstrap.)"""

import numpy as np
from tqdm import tqdm

from tinydecouple.evaluation.score import Direction, chrf


def paired_bootstrap(first: list[Direction], second: list[Direction], rng: np.random.Generator,
                     resamples: int = 1000) -> tuple[float, float]:
    """95 % interval of mean chrF++ of `second` minus that of `first`, the mean being over directions.

    Keys are drawn with replacement, the same draw for both systems and all directions: the directions of one key
    are translations of one sentence and not independent. The interval covers the choice of sentences only; one
    training seed says nothing about another.
    """
    keys = {key: i for i, key in enumerate(dict.fromkeys(k for d in first for k in d.keys))}
    drawn = rng.multinomial(len(keys), np.full(len(keys), 1 / len(keys)), size=resamples)  # (resamples, keys)
    difference = np.zeros(resamples)
    for a, b in tqdm(list(zip(first, second)), desc="resampling", disable=None, leave=False):
        if a.name != b.name or a.keys != b.keys:
            raise ValueError(f"the systems are not aligned: {a.name} and {b.name}")
        weight = drawn[:, [keys[k] for k in a.keys]]  # (resamples, n)
        sums = zip(weight @ a.statistics, weight @ b.statistics)  # (resamples, n) @ (n, 24)
        difference += [chrf(y) - chrf(x) for x, y in sums]
    low, high = np.percentile(difference / len(first), (2.5, 97.5))
    return float(low), float(high)
