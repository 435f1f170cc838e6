"""chrF++ of many sums at once against sacrebleu's formula, one at a time; precision and recall by hand."""

import numpy as np
import pytest

from tinydecouple.evaluation.chrf import METRIC, chrf, length_ratio, percent, precision_recall, statistics


def random_sums(rng, n):
    """(n, 24) counts that could be a corpus's: matches are at most either side; any order may have no n-grams."""
    output, reference = (rng.integers(0, 10 ** rng.integers(1, 6, (n, 1)), (n, 8)) for _ in range(2))
    output[rng.random((n, 8)) < 0.2] = 0
    reference[rng.random((n, 8)) < 0.2] = 0
    both = (np.minimum(output, reference) * rng.random((n, 8))).astype(int)
    return np.stack([output, reference, both], axis=-1).reshape(n, 24)


def test_five_thousand_sums_score_as_sacrebleu_says(rng):
    sums = np.concatenate([random_sums(rng, 5000), np.zeros((1, 24), dtype=int)])
    expected = np.array([METRIC._compute_f_score(row.tolist()) for row in sums])
    worst = np.abs(chrf(sums) - expected).max()
    assert worst < 1e-9, f"up to {worst:.2g} from sacrebleu: an order that one side lacks is not averaged over"
    assert 0 in expected and len(set(expected.round(3))) > 3000, "the sums should differ, one of them empty"


def test_any_shape_of_sums(rng):
    sums = random_sums(rng, 24)
    np.testing.assert_array_equal(chrf(sums.reshape(2, 3, 4, 24)).ravel(), chrf(sums))
    assert chrf(sums[0]).shape == ()


def test_precision_and_recall_of_one_letter_too_many():
    """Output 'ab', reference 'a': characters 1 of 2 right and 1 of 1 found, words 0; higher orders are on one side."""
    precision, recall = precision_recall(statistics(["ab"], ["a"]).sum(axis=0))
    assert (precision, recall) == ((1 / 2 + 0) / 2, (1 + 0) / 2), f"got {precision}, {recall}; expected 1/4 and 1/2"


def test_the_roles_of_output_and_reference():
    """Swapped, precision is recall, and the length ratio its inverse; chrF++ weighs recall more, so it differs."""
    texts = ["ma fish mushkila kbire", "wen el hara"], ["ma fi mushkila", "wen il balad"]
    there, back = (statistics(*pair).sum(axis=0) for pair in (texts, texts[::-1]))
    assert precision_recall(there) == precision_recall(back)[::-1]
    assert length_ratio(there) == pytest.approx(28 / 22) and length_ratio(back) == pytest.approx(22 / 28)
    assert length_ratio(statistics(["a b c."], ["a b"]).sum(axis=0)) == 4 / 2, "characters, spaces aside"
    assert chrf(there) != pytest.approx(chrf(back))


def test_percent():
    assert percent(np.array([[1, 4], [0, 0]])).tolist() == [25, 0]


def test_statistics_are_whole_numbers_one_row_per_sentence():
    counts = statistics(["a", ""], ["a b", "c"])
    assert counts.shape == (2, 24) and counts.dtype == np.int64
    assert statistics([], []).shape == (0, 24), "no sentences, no rows"
