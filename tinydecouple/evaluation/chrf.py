"""chrF++ from counts per sentence: sacrebleu counts n-grams, NumPy turns any number of sums into scores at once.

A corpus score is a function of the sum of its sentences' counts, THEORY (31). So resampling and jackknife need sums
only: sacrebleu reads the texts once, and thousands of scores follow in one array operation.
"""

import numpy as np
from sacrebleu.metrics import CHRF

from tinydecouple.text.chrf import chrf, precision_recall  # noqa: F401  (of what is counted here)

METRIC = CHRF(word_order=2)  # chrF++


def statistics(outputs: list[str], references: list[str]) -> np.ndarray:
    """(n, 24) int64, counts per sentence: n-grams in the output, in the reference and in both, for each order.

    The orders are characters 1 to 6, white space aside, then words 1 and 2. sacrebleu gives the counts of single
    sentences by this private method only; its public ones give scores.
    """
    return np.array(METRIC._extract_corpus_statistics(outputs, [references]), dtype=np.int64).reshape(-1, 24)


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
