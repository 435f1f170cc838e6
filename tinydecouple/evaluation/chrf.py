"""chrF++ from counts per sentence: sacrebleu counts n-grams, NumPy turns any number of sums into scores at once.

A corpus score is a function of the sum of its sentences' counts, THEORY (31). So resampling and jackknife need sums
only: sacrebleu reads the texts once, and thousands of scores follow in one array operation.
"""

import numpy as np
from sacrebleu.metrics import CHRF

METRIC = CHRF(word_order=2)  # chrF++


def statistics(outputs: list[str], references: list[str]) -> np.ndarray:
    """(n, 24) int64, counts per sentence: n-grams in the output, in the reference and in both, for each order.

    The orders are characters 1 to 6, white space aside, then words 1 and 2. sacrebleu gives the counts of single
    sentences by this private method only; its public ones give scores.
    """
    return np.array(METRIC._extract_corpus_statistics(outputs, [references]), dtype=np.int64).reshape(-1, 24)


def precision_recall(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall of n-grams, 0 to 1 each: (..., 24) summed statistics to two arrays (...).

    Each is a mean over the orders of which both sides have n-grams; 0 where there is no such order.
    """
    counts = np.asarray(sums, dtype=np.float64)
    output, reference, both = counts[..., 0::3], counts[..., 1::3], counts[..., 2::3]  # (..., 24) -> (..., 8) each
    counted = (output > 0) & (reference > 0)
    orders = np.maximum(counted.sum(axis=-1), 1)
    return tuple((both / np.where(counted, side, np.inf)).sum(axis=-1) / orders for side in (output, reference))


def chrf(sums: np.ndarray) -> np.ndarray:
    """chrF++, 0 to 100: (..., 24) summed statistics to scores (...); sacrebleu's formula, THEORY (31), beta = 2."""
    precision, recall = precision_recall(sums)
    weighted = 4 * precision + recall
    return 100 * 5 * precision * recall / np.where(weighted > 0, weighted, 1)


def length_ratio(sums: np.ndarray) -> np.ndarray:
    """Characters of the output per character of the reference, white space aside: (..., 24) to (...)."""
    counts = np.asarray(sums, dtype=np.float64)
    return counts[..., 0] / np.maximum(counts[..., 1], 1)


def percent(sums: np.ndarray) -> np.ndarray:
    """A share in percent from summed counts (..., 2), part and whole: (...); 0 of 0 is 0."""
    counts = np.asarray(sums, dtype=np.float64)
    return 100 * counts[..., 0] / np.maximum(counts[..., 1], 1)


def signature() -> str:
    """sacrebleu's account of how the score was computed; known once something has been scored."""
    METRIC.corpus_score(["a"], [["a"]])
    return METRIC.get_signature().format(short=False)
