"""The paired bootstrap: no difference, a sure difference, and sacrebleu's own bootstrap as a second opinion."""

import numpy as np
import pytest
from sacrebleu.metrics import CHRF
from sacrebleu.significance import PairedTest

from tinydecouple.evaluation.chrf import METRIC, chrf
from tinydecouple.evaluation.score import direction
from tinydecouple.evaluation.significance import paired_bootstrap


def system(rng, n, right, name="a1"):
    """A share `right` of n outputs is perfect, the others are noise."""
    words = ["".join(rng.choice(list("abcdefgh"), 5)) for _ in range(2 * n)]
    references = [f"{a} {b}" for a, b in zip(words[::2], words[1::2])]
    outputs = [r if rng.random() < right else "zzz yyy" for r in references]
    return direction("std", name, [f"k{i}" for i in range(n)], references, references, outputs)


def worse(d, rng, share):
    outputs = [o if rng.random() > share else "zzz yyy" for o in d.outputs]
    return direction(d.source, d.target, d.keys, d.sources, d.references, outputs)


def test_a_system_against_itself(rng):
    d = system(rng, 50, 0.5)
    assert paired_bootstrap([d], [d], np.random.default_rng(0)) == (0, 0)


def test_the_interval_holds_the_difference_and_excludes_zero_when_it_is_sure(rng):
    better = [system(rng, 200, 0.7, name) for name in ("a1", "a2")]
    lesser = [worse(d, rng, 0.3) for d in better]
    observed = np.mean([chrf(b.statistics.sum(0)) - chrf(a.statistics.sum(0)) for a, b in zip(lesser, better)])
    low, high = paired_bootstrap(lesser, better, np.random.default_rng(0))
    once = paired_bootstrap(lesser, better, np.random.default_rng(0), resamples=1)
    assert once[0] == once[1], "one resample is one number"
    assert 0 < low < observed < high, f"{low:.1f} to {high:.1f} around {observed:.1f}"


def test_more_sentences_narrow_it(rng):
    widths = []
    for n in (50, 800):
        better = system(rng, n, 0.7)
        low, high = paired_bootstrap([worse(better, rng, 0.3)], [better], np.random.default_rng(0))
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.5), f"widths {widths}; 16 times the sentences: a quarter"


def test_directions_of_one_key_are_drawn_together(rng):
    """Ten dialects with the same outputs are one dialect ten times: no narrower than one."""
    better = system(rng, 100, 0.7)
    lesser = worse(better, rng, 0.3)
    one = paired_bootstrap([lesser], [better], np.random.default_rng(0))
    ten = paired_bootstrap([lesser] * 10, [better] * 10, np.random.default_rng(0))
    assert ten == pytest.approx(one), "directions are drawn apart, which makes the interval too narrow"


def test_a_sentence_is_drawn_by_its_key_not_by_its_place(rng):
    """The same sentences in reverse order are the same sentences, so beside the first direction they change nothing;
    drawn by place they would be other ones, and their mean would vary less."""
    def reverse(d):
        return direction(d.source, d.target, d.keys[::-1], d.sources[::-1], d.references[::-1], d.outputs[::-1])

    better = system(rng, 100, 0.7)
    lesser = worse(better, rng, 0.3)
    one = paired_bootstrap([lesser], [better], np.random.default_rng(0))
    two = paired_bootstrap([lesser, reverse(lesser)], [better, reverse(better)], np.random.default_rng(0))
    assert two == pytest.approx(one), f"got {two}, expected {one}: are a direction's keys looked up?"


def test_systems_that_are_not_aligned(rng):
    with pytest.raises(ValueError, match="not aligned"):
        paired_bootstrap([system(rng, 5, 1)], [system(rng, 5, 1, "a2")], rng)


def test_agrees_with_sacrebleus_bootstrap_of_one_score(rng, monkeypatch):
    """Against a system of score 0 the difference is the score, whose 95 % half-width sacrebleu computes too."""
    monkeypatch.setenv("SACREBLEU_SEED", "1")
    d = system(rng, 300, 0.6)
    nothing = direction("std", "a1", d.keys, d.sources, d.references, ["zzz"] * 300)
    low, high = paired_bootstrap([nothing], [d], np.random.default_rng(0))
    metric = CHRF(word_order=2, references=[d.references])
    _, scores = PairedTest([("base", d.outputs), ("same", d.outputs)], {"chrF": metric}, references=None,
                           test_type="bs", n_samples=1000)()
    theirs = scores["chrF2++"][0].ci
    assert (high - low) / 2 == pytest.approx(theirs, rel=0.15), f"{(high - low) / 2:.2f}, theirs {theirs:.2f}"


def test_the_same_as_sacrebleus_formula_on_each_resample(rng):
    """The draws written out, one score at a time; the second direction lacks some keys."""
    better = [system(rng, 40, 0.7), system(rng, 30, 0.6, "a2")]
    lesser = [worse(d, rng, 0.3) for d in better]
    drawn = np.random.default_rng(3).multinomial(40, np.full(40, 1 / 40), size=200)
    score = lambda d, times: METRIC._compute_f_score((times[:len(d.keys)] @ d.statistics).tolist())  # noqa: E731
    expected = [np.mean([score(b, times) - score(a, times) for a, b in zip(lesser, better)]) for times in drawn]
    got = paired_bootstrap(lesser, better, np.random.default_rng(3), resamples=200)
    assert got == pytest.approx(np.percentile(expected, (2.5, 97.5)), abs=1e-9), "the resamples or scores are others"
