"""Scores against sacrebleu's own, leakage by hand, and which directions are read."""

import numpy as np
import pytest
import sacrebleu

from tinydecouple.evaluation.chrf import chrf, signature, statistics
from tinydecouple.evaluation.score import (
    copied,
    direction,
    directions,
    exact_match,
    group,
    leakage,
    mean_chrf,
    translate,
)

OUTPUTS = ["ma fish mushkila", "wen el balad", "kifak", ""]
REFERENCES = ["ma fi mushkila", "wen il balad", "kifak", "shu"]


def make(outputs=OUTPUTS, references=REFERENCES, sources=None, pair=("std", "a1")):
    sources = sources or references
    return direction(*pair, [f"k{i}" for i in range(len(outputs))], sources, references, outputs)


def test_summed_statistics_give_sacrebleus_chrf():
    expected = sacrebleu.corpus_chrf(OUTPUTS, [REFERENCES], word_order=2).score
    got = chrf(statistics(OUTPUTS, REFERENCES).sum(axis=0))
    assert got == pytest.approx(expected), f"got {got}, sacrebleu says {expected}: chrF++ has word order 2"
    assert "nw:2" in signature() and "version:" in signature()


def test_leakage_counts_the_standards_words_that_the_dialect_lacks():
    """std 'x y z', dialect reference 'x b': y and z are the standard's. Output 'x y y b': 2 of 4 words leak."""
    d = make(["x y y b", "z"], ["x b", "x b"], ["x y z", "x y z"])
    assert leakage(d) == pytest.approx(100 * 3 / 5)
    assert leakage(make([""], ["x"], ["y"])) == 0, "no output, no leakage"


@pytest.mark.parametrize("output, expected", [("y.", 100), ("«y»؟", 100), ("y، x", 50), ("yَ", 0), (". ؟", 0)])
def test_punctuation_makes_no_other_word_of_a_word(output, expected):
    """'y.' and 'y' are one word, whatever the script; a vowel sign is part of its word; bare punctuation is no word."""
    got = leakage(make([output], ["x b."], ["x y"]))
    assert got == pytest.approx(expected), f"{output!r}: {got} % leak, expected {expected} %"


def test_exact_match_and_copying():
    d = make(["a", "b"], ["a", "c"], ["a", "c"])
    assert exact_match(d) == 50
    assert exact_match(make(["a b"], ["a  b"])) == 100, "white space is no difference"
    (copy,) = copied([d])
    assert copy.outputs == ["a", "c"] and chrf(copy.statistics.sum(axis=0)) == pytest.approx(100)


def test_the_mean_counts_each_dialect_once_whatever_its_size():
    """Macro mean: 100 on one sentence and 0 on three average to 50."""
    perfect, wrong = make(["abc"], ["abc"]), make(["xyz"] * 3, ["abc"] * 3, pair=("std", "a2"))
    assert mean_chrf([perfect, wrong]) == pytest.approx(50, abs=0.1)


def test_directions_and_their_groups(corpus):
    pairs = directions(corpus)
    assert len(pairs) == 52 and pairs[0] == ("std", "a1") and pairs[-2:] == [("piv", "std"), ("std", "piv")]
    groups = group([make(pair=pair) for pair in pairs], "std", "piv")
    assert {name: len(g) for name, g in groups.items()} == \
        {"std -> dialect": 25, "dialect -> std": 25, "piv -> std": 1, "std -> piv": 1}


@pytest.mark.parametrize("split", ["dev", "test"])
def test_translations_stay_with_their_direction(corpus, tokenizer, model, monkeypatch, split):
    """A model that echoes its prompt shows whether outputs come back in the order they went in."""
    monkeypatch.setattr("tinydecouple.evaluation.score.decode", lambda m, prompts, *rest, **more: prompts)
    for d in translate(model, tokenizer, corpus, split):
        keys = corpus.keys(split, d.source, d.target)
        assert d.keys == keys and d.outputs == corpus.column(d.source, keys)
        assert d.references == corpus.column(d.target, keys)
        np.testing.assert_array_equal(d.statistics, statistics(d.outputs, d.references))
