"""Splits without leaks: no text of dev or test is in train, not even one that differs by case, digits or marks."""

import numpy as np
import pytest

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.corpus import SPLITS, split_by_key
from tinydecouple.text.splits import HUB, fold, leaks, split_without_leaks


def apart(n):
    """n keys, none of which shares a text with another: letters only, since digits fold."""
    names = ["".join(chr(97 + k // 26 ** place % 26) for place in range(3)) for k in range(n)]
    return {name: {"std": f"std {name}", "dia": f"dia {name}"} for name in names}


def share(texts, text, places, variety="dia"):
    """Give the keys at these places one text in common; every other text stays as it was."""
    keys = list(texts)
    for k in places:
        texts[keys[k]] = texts[keys[k]] | {variety: text}
    return [keys[k] for k in places]


def split_of(texts, held_out=0.1, seed=0):
    return split_without_leaks(texts, held_out, np.random.default_rng(seed))


def muddled(seed):
    """A corpus at random: few words, short texts, keys without some varieties, decorations that folding ignores."""
    rng = np.random.default_rng(seed)
    words = np.array(["ab", "café", "straße", "عن", "7", "ب", "...", *(f"w{chr(97 + i)}" for i in range(8))])
    texts = {}
    for k in range(150):
        row = {}
        for variety in ("en", "std", "dia"):
            if rng.random() < 0.7:
                text = " ".join(rng.choice(words, rng.integers(1, 5)))
                same = [text, text.upper(), text.replace("7", "3") + "!", text.replace("ب", "بـَ")]
                row[variety] = str(rng.choice(same))
        texts[f"k{k}"] = row
    return texts


@pytest.mark.parametrize("one, other", [
    ("Save page", "save  PAGE!"), ("Heading 2", "heading 5"), ("straße", "STRASSE"), ("café", "cafe\u0301"),
    ("Über", "uber"), ("مَرْحَبًا", "مرحبا"), ("سـلام", "سلام"), ("أهلا", "اهلا"), ("٣ كتب", "5 كتب"), ("ｗｉｄｅ", "wide"),
    ("a\u200cb\u200fc\0", "abc"), ("«x»", "x_+€"), ("ﻻ", "لا"),
])
def test_near_duplicates_fold_to_the_same(one, other):
    assert fold(one) == fold(other) != "", f"got {fold(one)!r} and {fold(other)!r}, expected one text"
    assert fold(fold(one)) == fold(one), "what is folded should fold no further"


@pytest.mark.parametrize("one, other", [("page 2", "page 12"), ("save", "safe"), ("عن", "من"), ("x", "...")])
def test_other_texts_do_not(one, other):
    assert fold(one) != fold(other), f"both fold to {fold(one)!r}: folding takes too much"


@pytest.mark.parametrize("seed", range(30))
def test_no_folded_text_is_on_two_sides(seed):
    texts = muddled(seed)
    split, notes = split_of(texts, seed=seed)
    assert list(split) == list(texts) and set(split.values()) == set(SPLITS)
    sides = {}
    for key, row in texts.items():
        for text in row.values():
            sides.setdefault(fold(text), {})[key] = split[key]
    sides.pop("", None)
    for folded, found in sides.items():
        assert len(set(found.values())) == 1, f"{folded!r} is on two sides: {found}"
        if len(found) > HUB:
            assert set(found.values()) == {"train"}, f"the hub {folded!r} is held out: {found}"
    assert notes["hub texts"] == sum(len(found) > HUB for found in sides.values())
    assert leaks(texts, split) == {"dev": 0, "test": 0}
    by_key = leaks(texts, split_by_key(list(texts), 0.1, np.random.default_rng(seed)))
    assert min(by_key.values()) > 0, f"a split by key alone should leak here, got {by_key}: the test shows nothing"


def test_a_chain_of_near_duplicates_moves_as_one():
    texts = apart(60)
    chain = [*share(texts, "Page 1", [3]), *share(texts, "PAGE 2!", [40]), *share(texts, "other", [17, 30])]
    share(texts, "what brings the two pairs together", [30, 40], "std")
    sides = []
    for seed in range(60):
        split, notes = split_of(texts, seed=seed)
        found = {split[key] for key in chain}
        assert len(found) == 1, f"seed {seed}: the chain is cut, its keys are in {found}"
        sides += found
    assert set(sides) == set(SPLITS), f"the chain only ever went to {set(sides)}; it is small enough for any side"
    assert notes == {"keys joined with a near-duplicate": 4, "hub texts": 0, "keys held in train by a hub text": 0,
                     "largest component": 4}


def test_a_text_that_recurs_everywhere_joins_nothing_and_stays_in_train():
    texts = apart(100)
    held = share(texts, "Cancel", range(10))
    held += share(texts, "a near-duplicate of one that says Cancel", [9, 50], "std")[1:]
    share(texts, "some pair", [70, 71])
    for seed in range(20):
        split, notes = split_of(texts, seed=seed)
        assert {split[key] for key in held} == {"train"}, "a key with a hub text, or joined to one, is held out"
        assert list(split.values()).count("dev") == list(split.values()).count("test") == 10
    assert notes == {"keys joined with a near-duplicate": 4, "hub texts": 1, "keys held in train by a hub text": 11,
                     "largest component": 2}, "a hub should not join its keys"


@pytest.mark.parametrize("n, hubs, largest", [(3, 0, 3), (4, 1, 1)])
def test_a_hub_is_a_text_of_more_than_three_keys(n, hubs, largest):
    texts = apart(50)
    share(texts, "OK", range(n))
    share(texts, "ok!", range(n), "std")  # a second time in the same keys: they count once
    _, notes = split_of(texts)
    assert (notes["hub texts"], notes["largest component"]) == (hubs, largest), f"a text in {n} keys: {notes}"


@pytest.mark.parametrize("seed", range(10))
def test_dev_and_test_get_their_share_and_a_large_component_goes_to_train(seed):
    texts = apart(200)
    large = [key for k in range(25)
             for key in share(texts, f"link {chr(97 + k)}", [k, k + 1], "std" if k % 2 else "dia")]
    for k in range(100, 160, 2):
        share(texts, f"pair {chr(97 + k % 26)}{k // 26 * 'x'}", [k, k + 1])
    split, notes = split_of(texts, seed=seed)
    assert notes["largest component"] == 26 and notes["keys held in train by a hub text"] == 0
    assert {split[key] for key in large} == {"train"}, "26 keys do not fit where 20 are wanted"
    got = [list(split.values()).count(side) for side in SPLITS]
    assert got == [160, 20, 20], f"got {got} keys in train, dev, test, expected 160, 20, 20"


@pytest.mark.parametrize("n, held_out, expected", [(100, 0.29, 29), (57, 0.1, 6), (54, 0.1, 5), (50, 0.14, 7)])
def test_a_share_of_the_keys_is_rounded_to_the_nearest(n, held_out, expected):
    """In binary, 100 * 0.29 is 28.999999999999996: cut off, it would lose a sentence."""
    texts = apart(n)
    for split in (split_of(texts, held_out)[0], split_by_key(list(texts), held_out, np.random.default_rng(0))):
        sizes = {side: list(split.values()).count(side) for side in SPLITS}
        assert sizes["dev"] == sizes["test"] == expected, f"{held_out} of {n} keys: {sizes}; is it rounded down?"


def test_where_few_keys_are_free_dev_and_test_share_them():
    texts = apart(100)
    share(texts, "Cancel", range(94))
    split, _ = split_of(texts)
    assert [list(split.values()).count(side) for side in SPLITS] == [94, 3, 3]


def test_the_split_hangs_on_the_generator_alone():
    texts = muddled(1)
    one, same, other = (split_of(texts, seed=seed) for seed in (1, 1, 2))
    assert one == same, "the same generator gave two splits: something hangs on the order of a set"
    assert one[0] != other[0], "two seeds gave one split: the order of components is not drawn"


def test_texts_that_fold_to_nothing_are_ignored():
    texts = apart(50)
    share(texts, "...", range(40))
    share(texts, "؟!", [41, 42])
    _, notes = split_of(texts)
    assert set(notes.values()) == {0, 1} and notes["largest component"] == 1, f"punctuation joined keys: {notes}"


@pytest.mark.parametrize("n, with_hub, held_out, says", [
    (0, 0, 0.1, "0 of 0 keys are free"),
    (4, 0, 0.1, "0 of 4 keys are free"),
    (100, 0, 0.5, "100 of 100 keys are free to be held out"),  # nothing is left for train
    (100, 99, 0.1, "1 of 100 keys are free"),                  # enough for dev, not for test
])
def test_a_split_with_an_empty_side_is_refused(n, with_hub, held_out, says):
    texts = apart(n)
    share(texts, "Cancel", range(with_hub))
    with pytest.raises(TinyDecoupleError, match=f"too few sentences to split without leaks: {says}") as caught:
        split_of(texts, held_out)
    assert "\n" not in str(caught.value) and "change held_out" in str(caught.value)


def test_leaks_of_a_given_split_are_counted_by_key():
    texts = apart(12)
    split = dict(zip(texts, ["train"] * 4 + ["dev"] * 4 + ["test"] * 4))
    split = dict(reversed(split.items()))  # a split may name its keys in another order than the texts
    assert leaks(texts, split) == {"dev": 0, "test": 0}
    share(texts, "Page 1", [0, 4])
    share(texts, "PAGE 2.", [0, 5, 8], "std")  # with dev's 4 through folding
    share(texts, "more", [1, 5])               # dev's 5 a second time: still one key
    share(texts, "of dev and test", [6, 9])    # not of train
    share(texts, "...", [2, 7, 10])
    assert leaks(texts, split) == {"dev": 2, "test": 1}
