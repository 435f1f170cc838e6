"""Intervals over seeds and templates: what they are made of, what they cover, and what they refuse."""

import numpy as np
import pytest

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation.chrf import METRIC, chrf, percent
from tinydecouple.evaluation.significance import (
    by_template,
    detectable,
    difference,
    holm,
    largest,
    over_seeds,
    per_seed,
    pseudo_values,
    simultaneous,
)
from tinydecouple.evaluation.student import quantile


def of_means(values):
    """Counts (S, 1, T, 2) whose percent() of sums over T is the mean of values (S, T): a score that is a mean."""
    return np.stack([values / 100, np.ones_like(values)], axis=-1)[:, None]


def test_pseudo_values_of_a_mean_are_its_terms(rng):
    values = rng.normal(size=(3, 7))
    np.testing.assert_allclose(pseudo_values(of_means(values)[:, 0], percent), values, atol=1e-12)


def test_pseudo_values_of_chrf_by_hand(cells, rng):
    """T·score of all - (T-1)·score without one template, sacrebleu's score one at a time."""
    first, _, templates = cells(rng, seeds=1, dialects=1, templates=5)
    score = lambda rows: METRIC._compute_f_score(rows.sum(axis=0).tolist())  # noqa: E731
    counts = first[0, 0]
    expected = [5 * score(counts) - 4 * score(counts[templates != t]) for t in range(5)]
    np.testing.assert_allclose(pseudo_values(by_template(counts, templates)), expected, atol=1e-9)


def test_counts_are_summed_by_template_in_any_order_of_keys():
    counts = np.arange(8).reshape(4, 2)
    assert by_template(counts, ["b", "a", "b", "c"]).tolist() == [[0 + 4, 1 + 5], [2, 3], [6, 7]]
    with pytest.raises(ValueError, match="4 keys, but 3 templates"):
        by_template(counts, ["b", "a", "b"])


def test_the_variance_of_crossed_luck_by_hand():
    """Two seeds, two templates, differences 1 2 / 5 10: rows 1.5 and 7.5, columns 3 and 6, left over ±1.

    s²_seed = 18, s²_template = 4.5, s²_res = 4·1 / (1·1) = 4: V = 18/2 + 4.5/2 - 4/4 = 10.25. Satterthwaite's
    degrees of freedom are 10.25² / (9² + 2.25² + 1²) = 1.206.
    """
    second = of_means(np.array([[1.0, 2], [5, 10]]))
    got = difference(of_means(np.zeros((2, 2))), second, ["a", "b"], percent)
    assert got.mean == pytest.approx(4.5) and got.seeds == 2
    assert got.error ** 2 == pytest.approx(10.25), f"V: got {got.error ** 2}, expected 10.25"
    assert got.df == pytest.approx(10.25 ** 2 / (81 + 2.25 ** 2 + 1))
    half = quantile(0.975, got.df) * got.error
    assert (got.low, got.high) == pytest.approx((4.5 - half, 4.5 + half))


def test_the_variance_is_never_less_than_that_of_the_seeds():
    """2 0 / -2 0: rows 1 and -1, columns 0 and 0, left over ±1, so that seed + template - rest = 1 + 0 - 1 = 0.

    Then V = s²_seed / S = 1 instead, and the degrees of freedom, 1² / (1² + 0² + 1²), are S - 1 = 1 instead.
    """
    got = difference(of_means(np.zeros((2, 2))), of_means(np.array([[2.0, 0], [-2, 0]])), ["a", "b"], percent)
    assert (got.mean, got.error, got.df, got.p) == pytest.approx((0, 1, 1, 1)), f"got {got}"


def test_degrees_of_freedom_go_from_seeds_to_templates(rng):
    """Luck of the seed alone: S - 1. Luck of the template alone: T - 1. No less, no more."""
    seeds, templates = rng.normal(size=(6, 1)), rng.normal(size=(1, 50))
    for values, expected in ((seeds + 0 * templates, 5), (0 * seeds + templates, 49)):
        got = difference(of_means(0 * values), of_means(values), list(range(50)), percent)
        assert got.df == pytest.approx(expected), f"got {got.df}, expected {expected}"


LUCK = [dict(of_seed=0.02), dict(of_template=0.1), dict(of_seed=0.01, of_template=0.06, of_cell=0.06)]


@pytest.mark.parametrize("luck", LUCK, ids=["seeds", "templates", "both"])
def test_the_interval_holds_the_truth_in_95_of_100_studies(cells, rng, luck):
    """New seeds, new templates of 1 to 6 keys, new sentences: every study is drawn anew, and the truth is no gain.

    400 studies: a share of 95 % is known to ±2.2 points.
    """
    studies = [difference(*cells(rng, seeds=5, dialects=2, templates=25, **luck)) for _ in range(400)]
    covered = 100 * np.mean([study.low <= 0 <= study.high for study in studies])
    assert 92 <= covered <= 99, f"{covered:.1f} % of intervals hold the truth, expected 95 (never less: V is bounded)"
    rejected = 100 * np.mean([study.p < 0.05 for study in studies])
    assert rejected == pytest.approx(100 - covered), "p and interval disagree"


def test_the_detectable_difference_is_detected_in_80_of_100_studies(rng):
    """A design whose luck is known: what detectable() says of many studies, planted, and found by four in five."""
    design = dict(seeds=8, templates=60)
    draw = lambda gain: gain + rng.normal(size=(8, 1)) + rng.normal(size=(1, 60))  # noqa: E731
    zero, names = of_means(np.zeros((8, 60))), list(range(60))
    gain = np.mean([detectable(difference(zero, of_means(draw(0)), names, percent)) for _ in range(300)])
    found = 100 * np.mean([difference(zero, of_means(draw(gain)), names, percent).low > 0 for _ in range(600)])
    assert 74 <= found <= 86, f"{design}: {gain:.2f} is found in {found:.0f} % of studies, expected 80"
    exact = 1.155 * 8 ** 0.5  # the table of one-sample t tests: 8 pairs find an effect of 1.155 in 80 %
    assert quantile(0.975, 7) + quantile(0.8, 7) == pytest.approx(exact, rel=0.01)


def test_pairing_takes_out_what_both_systems_share(rng):
    """Hard templates are hard for both: their common difficulty does not widen the interval of a difference."""
    easy = rng.normal(0, 1, (4, 30))
    hard = 20 * rng.normal(size=(1, 30)) + 20 * rng.normal(size=(4, 1))
    widths = [difference(of_means(0 * easy + shared), of_means(easy + shared), list(range(30)), percent).error
              for shared in (0, hard)]
    assert widths[1] == pytest.approx(widths[0]), f"standard errors {widths}: the systems are not paired"


def test_the_mean_is_that_of_the_tables(cells, rng):
    """Macro mean of corpus scores, then the mean over seeds; not the mean of pseudo-values, not of sentence scores."""
    first, second, templates = cells(rng, gain=0.1)
    expected = np.mean([[METRIC._compute_f_score(b.sum(0).tolist()) - METRIC._compute_f_score(a.sum(0).tolist())
                         for a, b in zip(*of_seed)] for of_seed in zip(first, second)])
    got = difference(first, second, templates)
    assert got.mean == pytest.approx(expected) and got.low < got.mean < got.high
    assert difference(second, first, templates).mean == pytest.approx(-expected)


def test_one_dialect_alone_needs_no_correction_and_copies_need_none(cells, rng):
    """max-t over one dialect is t; over ten copies of one dialect it is that of one."""
    first, second, templates = cells(rng, seeds=4, dialects=1, of_seed=0.05, of_template=0.05)
    plain = difference(first, second, templates)
    for copies in (1, 10):
        got = simultaneous(*(np.repeat(x, copies, axis=1) for x in (first, second)), templates, rng, draws=100_000)
        assert len(got) == copies
        assert (got[0].low, got[0].high) == pytest.approx((plain.low, plain.high), abs=0.03 * (plain.high - plain.low))
        assert got[-1].p == pytest.approx(plain.p, abs=0.01)


def test_independent_dialects_need_a_larger_factor_than_one(rng):
    """Two independent ones hold their truth together with 95 % if each does with sqrt(0.95) = 97.5 %: 2.24, not 1.96.

    Three seeds that agree and 400 templates: 399 degrees of freedom, nearly normal.
    """
    luck = np.repeat(rng.normal(size=(1, 2, 400)), 3, axis=0)  # (S, D, T)
    counts = [np.concatenate([of_means(x[:, i]) for i in range(2)], axis=1) for x in (0 * luck, luck)]
    got = simultaneous(*counts, list(range(400)), rng, percent, draws=200_000)
    factor = (got[0].high - got[0].low) / 2 / got[0].error
    assert factor == pytest.approx(2.243, abs=0.02), f"got {factor:.3f}; expected t(0.9873, 399) = 2.243"


def test_all_dialects_hold_their_truth_together(cells, rng):
    """Six dialects, no gain in any: in 95 of 100 studies no interval of the six excludes zero; single ones do."""
    together = alone = 0
    for _ in range(150):
        first, second, templates = cells(rng, seeds=5, dialects=6, templates=20, of_seed=0.005)
        found = simultaneous(first, second, templates, rng, draws=2000)
        together += all(d.low <= 0 <= d.high for d in found)
        alone += all(abs(d.mean) <= quantile(0.975, d.df) * d.error for d in found)
        assert all((d.p < 0.05) == (not d.low <= 0 <= d.high) or abs(d.p - 0.05) < 0.01 for d in found)
    assert together >= 0.9 * 150 > alone, f"{together} and uncorrected {alone} of 150 studies; expected 142 and fewer"


def test_largest_loss_and_gain_of_each_seed():
    first = of_means(np.zeros((2, 1)))
    second = np.concatenate([of_means(np.array([[a], [b]])) for a, b in ((1.0, -4), (3, 2), (-2, 0))], axis=1)
    assert largest(np.repeat(first, 3, 1), second, percent) == pytest.approx(np.array([[-2, 3], [-4, 2]]))
    assert per_seed(np.repeat(first, 3, 1), second, percent) == pytest.approx(np.array([[1, 3, -2], [-4, 2, 0]]))


def test_the_largest_of_many_differences_is_large_by_luck(cells, rng):
    """No dialect gains; the largest of 25 seems to, and the largest loss is as large: two A/A runs show it."""
    first, second, _ = cells(rng, seeds=8, dialects=25, templates=20)
    loss, gain = largest(first, second).mean(axis=0)
    assert gain > 1 and loss == pytest.approx(-gain, rel=0.3), f"{loss:+.1f} to {gain:+.1f}"


def test_holm_by_hand():
    """The smallest times 4, the next times 3, ...; never less than one before it, never above 1; names stay."""
    got = holm({"a": 0.03, "b": 0.01, "c": 0.04, "d": 0.9})
    assert got == pytest.approx({"a": 0.09, "b": 0.04, "c": 0.09, "d": 0.9}) and list(got) == list("abcd")
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1, "b": 1} and holm({}) == {}


def test_one_value_per_seed():
    """THEORY (32): differences 1, 2, 3 have mean 2 and standard deviation 1: 2 ± 4.30 / sqrt 3."""
    got = over_seeds([10, 10, 10], [11, 12, 13])
    assert (got.mean, got.high, got.df) == pytest.approx((2, 2 + 4.303 / 3 ** 0.5, 2), abs=1e-3)


def test_how_many_seeds_confirm(cells, rng):
    for seeds, confirms in ((2, False), (3, False), (4, True)):
        first, second, templates = cells(rng, seeds=seeds)
        assert difference(first, second, templates).confirmatory == confirms
        assert all(d.confirmatory == confirms for d in simultaneous(first, second, templates, rng, draws=10))


def test_a_system_against_itself(cells, rng):
    first, _, templates = cells(rng)
    for got in (difference(first, first, templates), *simultaneous(first, first, templates, rng, draws=10)):
        assert (got.mean, got.low, got.high, got.p) == (0, 0, 0, 1), f"got {got}"


def test_too_few_seeds_or_templates(cells, rng):
    first, second, templates = cells(rng, seeds=1)
    for ask in (lambda: difference(first, second, templates), lambda: over_seeds([1], [2]),
                lambda: simultaneous(first, second, templates, rng)):
        with pytest.raises(TinyDecoupleError, match="at least 2 seeds, found 1.*`seeds`"):
            ask()
    first, second, templates = cells(rng)
    with pytest.raises(TinyDecoupleError, match="interval over templates.*all of one"):
        difference(first, second, [0] * len(templates))
    assert largest(first[:1], second[:1]).shape == (1, 2), "one seed has a largest gain, if no interval"


def test_cells_that_are_not_paired(cells, rng):
    first, second, templates = cells(rng)
    for other in (second[1:], second[:, 1:], second[:, :, 1:]):
        with pytest.raises(ValueError, match="not paired"):
            difference(first, other, templates)
    assert chrf(first).shape == first.shape[:-1]
