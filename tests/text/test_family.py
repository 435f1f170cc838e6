"""The pseudo-languages: the overlap dial, determinism, and that dialects look like dialects."""

import numpy as np
import pytest

from tinydecouple.evaluation.chrf import chrf, statistics
from tinydecouple.text.family import SOUND_CHANGES, draw_meaning, family_corpus, generate, make_family, sound_shift


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 1.0])
def test_overlap_is_the_share_of_words_from_the_standard(overlap):
    family = make_family(np.random.default_rng(1), overlap)
    concepts = len(family.standard.words)
    for d in family.dialects:
        from_standard = sum(word == sound_shift(family.standard.words[c], d.changes) for c, word in d.words.items())
        assert from_standard == pytest.approx(overlap * concepts, abs=1.5), \
            f"{d.name}: {from_standard} of {concepts} words are the standard's, expected {overlap:.0%}, chance aside"


def test_turning_the_dial_only_turns_words_into_the_standards():
    low, high = (make_family(np.random.default_rng(1), overlap) for overlap in (0.3, 0.6))
    assert low.standard == high.standard and low.pivot == high.pivot
    for a, b in zip(low.dialects, high.dialects):
        assert a.inherited < b.inherited and (a.order, a.changes) == (b.order, b.changes)
        kept = [c for c in a.words if (c in a.inherited) == (c in b.inherited)]
        assert all(a.words[c] == b.words[c] for c in kept)


def test_dialects_of_a_region_inherit_mostly_the_same_words():
    """At overlap 0.5 strangers share half of what either inherits, by chance; neighbours nearly all of it."""
    dialects = make_family(np.random.default_rng(1), 0.5).dialects
    shared = {True: [], False: []}
    for i, a in enumerate(dialects):
        for b in dialects[i + 1:]:
            shared[a.region == b.region].append(len(a.inherited & b.inherited) / len(a.inherited))
    assert np.mean(shared[False]) == pytest.approx(0.5, abs=0.05), f"strangers: {np.mean(shared[False]):.2f}"
    assert np.mean(shared[True]) > 0.8, f"neighbours share {np.mean(shared[True]):.2f} of the words they inherit"


def test_25_dialects_in_6_regions_no_two_alike():
    family = make_family(np.random.default_rng(1))
    assert len(family.dialects) == 25 and len({d.region for d in family.dialects}) == 6
    assert len({tuple(d.words.values()) for d in family.dialects}) == 25


def test_deterministic_and_nested():
    family = make_family(np.random.default_rng(1))
    hundred, two_hundred = (generate(family, n, np.random.default_rng(2)) for n in (100, 200))
    assert list(two_hundred.items())[:100] == list(hundred.items()), "the first 100 of 200 are not the 100"
    assert generate(family, 100, np.random.default_rng(3)) != hundred
    assert len({row["piv"] for row in two_hundred.values()}) == 200, "two keys have one meaning"


def test_meanings_are_zipfian(rng):
    verbs = [draw_meaning(rng)["verb"] for _ in range(4000)]
    first, tenth = (verbs.count(f"verb{i}") for i in (0, 9))
    assert first / tenth == pytest.approx(11 / 2, rel=0.35), f"rank 1 came {first} times, rank 10 {tenth}; not 5.5 to 1"


def test_sound_changes_are_regular_and_ordered():
    index = {pattern: i for i, (pattern, _) in enumerate(SOUND_CHANGES)}
    assert sound_shift("qoto", (index["o"],)) == "qutu"
    assert sound_shift("keda", (index["e"], index["k(?=[ei])"])) == "shida", "k softens before e, then e becomes i"
    both = (index["(?<=[aeiou])g(?=[aeiou])"], index["q"] - 1)  # two changes start from q; the first makes it g
    assert sound_shift("aqa", both) == "aya", "q becomes g before g between vowels becomes y, in whatever order named"


def test_neighbours_are_closer_than_strangers():
    corpus = family_corpus(100, 0.5, 0.1, seed=1)
    keys = corpus.keys("train")[:20]

    def near(a, b):
        return chrf(statistics(corpus.column(a, keys), corpus.column(b, keys)).sum(axis=0))

    pairs = [(a, b) for i, a in enumerate(corpus.dialects) for b in corpus.dialects[i + 1:]]
    same = np.mean([near(a, b) for a, b in pairs if a[0] == b[0]])
    other = np.mean([near(a, b) for a, b in pairs if a[0] != b[0]])
    assert same > other + 10, f"chrF++ within regions {same:.1f}, across {other:.1f}"
