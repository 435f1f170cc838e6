"""chrF from counts of n-grams: how they are counted, and scores of any number of summed counts at once.

sacrebleu counts them for each pair of texts anew; a text that is compared with dozens of others is read once here.
"""

import numpy as np

ORDERS = 6  # n-grams of 1 to 6 characters


def ngrams(text: str) -> list[set[str]]:
    """The n-grams of each order, white space aside; one that recurs has a space more each time.

    So two such sets have in common as many as sacrebleu counts: the smaller count of each n-gram, summed.
    """
    text, orders = "".join(text.split()), []
    for n in range(1, ORDERS + 1):
        found: set[str] = set()
        for i in range(len(text) - n + 1):
            gram = text[i:i + n]
            while gram in found:
                gram += " "
            found.add(gram)
        orders.append(found)
    return orders


def matches(output: list[set[str]], reference: list[set[str]]) -> list[int]:
    """Of each order three counts: n-grams of the output, of the reference and of both. Arguments as of ngrams.

    As sacrebleu has it, those of the output count only if the reference is long enough to have any.
    """
    return [n for one, other in zip(output, reference)
            for n in (len(one) if other else 0, len(other), len(one & other))]


def precision_recall(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall of n-grams, 0 to 1 each: (..., 3 per order) summed counts to two arrays (...).

    The three are n-grams of the output, of the reference and of both. Each result is a mean over the orders of which
    both sides have n-grams; 0 where there is no such order.
    """
    counts = np.asarray(sums, dtype=np.float64)
    output, reference, both = counts[..., 0::3], counts[..., 1::3], counts[..., 2::3]  # (..., orders) each
    counted = (output > 0) & (reference > 0)
    orders = np.maximum(counted.sum(axis=-1), 1)
    return tuple((both / np.where(counted, side, np.inf)).sum(axis=-1) / orders for side in (output, reference))


def chrf(sums: np.ndarray) -> np.ndarray:
    """0 to 100: summed counts, as of precision_recall, to scores (...); sacrebleu's formula, THEORY (31), beta = 2."""
    precision, recall = precision_recall(sums)
    weighted = 4 * precision + recall
    return 100 * 5 * precision * recall / np.where(weighted > 0, weighted, 1)
