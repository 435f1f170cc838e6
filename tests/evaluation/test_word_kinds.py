"""Kinds of output words, by hand, and that the second of them is leakage."""

import numpy as np
import pytest

from tinydecouple.evaluation.chrf import percent
from tinydecouple.evaluation.score import direction, leakage
from tinydecouple.evaluation.word_kinds import KINDS, SHARED, part_and_whole, vocabularies, word_kinds
from tinydecouple.text.corpus import ParallelCorpus

TYPES = {"std": frozenset("s r k"), "a1": frozenset("r d s".split()), "a2": frozenset("r o k".split()),
         "a3": frozenset("p")}


def make(output, source="s r", reference="r d", pair=("std", "a1")):
    return direction(*pair, ["k"], [source], [reference], [output])


@pytest.mark.parametrize("word, kind, shared", [
    ("r", "reference", (1, 1, 1)),        # right, and everyone's: reference comes before the standard's text
    ("s", "standard", (1, 1, 0)),         # the standard's for this key, though a word of this dialect elsewhere, too
    ("o", "other dialects", (0, 0, 1)),
    ("p", "other dialects", (0, 0, 1)),   # of any other dialect, not of the next one alone
    ("k", "other dialects", (0, 1, 1)),   # the standard's elsewhere, not for this key
    ("zzz", "none", (0, 0, 0)),
])
def test_the_first_kind_that_fits(word, kind, shared):
    counts = word_kinds(make(word), TYPES)
    assert counts.shape == (1, len(KINDS), 1 + len(SHARED)) and counts[:, :, 0].sum() == 1
    got = KINDS[int(counts[0, :, 0].argmax())]
    assert got == kind, f"{word!r} is counted as {got!r}, expected {kind!r}"
    assert tuple(counts[0, KINDS.index(kind), 1:]) == shared, f"{word!r}: shared by {dict(zip(SHARED, shared))}"


def test_a_word_of_this_dialect_elsewhere():
    counts = word_kinds(make("d", reference="r"), TYPES)
    assert counts[0, KINDS.index("dialect")].tolist() == [1, 1, 0, 0]


def test_words_count_as_often_as_they_are_said_and_without_punctuation():
    counts = word_kinds(make("r. r «zzz» zzz!"), TYPES)[0, :, 0]
    assert counts.tolist() == [2, 0, 0, 0, 2]


def test_sentences_are_counted_by_themselves_and_add_up_to_the_output():
    d = direction("std", "a1", ["k", "l"], ["s", "s"], ["d", "d"], ["", "d s zzz"])
    counts = word_kinds(d, TYPES)
    assert counts[:, :, 0].sum(axis=1).tolist() == [0, 3] and (counts[:, :, 1:] <= counts[:, :, :1]).all()


def test_the_standards_kind_is_leakage(corpus, rng):
    """The same quantity, counted twice: on outputs that mix the words of source, reference and other sentences."""
    types = vocabularies(corpus)
    keys = corpus.keys("dev", "std", "a1")
    sources, references = corpus.column("std", keys), corpus.column("a1", keys)
    mixed = [" ".join(rng.permutation((s + " " + r + " " + references[0]).split())[:6])
             for s, r in zip(sources, references)]
    d = direction("std", "a1", keys, sources, references, mixed)
    counts = word_kinds(d, types).sum(axis=0)
    assert 0 < leakage(d) == pytest.approx(percent(part_and_whole(counts, "standard")))
    assert percent(part_and_whole(counts, "none")) == 0, "every word is in the corpus"


def test_vocabularies_come_from_all_splits_of_the_family():
    texts = {"1": {"en": "x", "std": "s.", "a1": "r"}, "2": {"std": "t", "a1": "d r"}, "3": {"en": "y", "std": "u"}}
    corpus = ParallelCorpus(texts, {"1": "train", "2": "test", "3": "dev"}, "std", "en", ("a1",))
    assert vocabularies(corpus) == {"std": {"s", "t", "u"}, "a1": {"r", "d"}}
    assert np.array(list(vocabularies(corpus))).tolist() == ["std", "a1"], "no pivot"
