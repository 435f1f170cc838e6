"""What a corpus holds: planted counts and distances, and what is printed of them."""

import re

import numpy as np
import pytest

from tinydecouple.text.corpus import ParallelCorpus
from tinydecouple.text.corpus_stats import describe, distances, summary

NOTES = {"left out: ragged row": 3}


@pytest.fixture
def planted():
    """10 keys: dialect d1 says the standard's words in 4 of 10, d2 only of the first 5 keys and nearly as d1."""
    texts = {f"k{i}": {**({"d2": f"dar zwina hna {i}"} if i < 5 else {}),
                       "d1": f"hadha bayt {i}" if i < 4 else f"dar zwina {i}",
                       "en": f"thing {i}", "std": f"hadha bayt {i}"} for i in range(10)}
    split = {key: ("train", "train", "train", "dev", "test")[i % 5] for i, key in enumerate(texts)}
    return ParallelCorpus(texts, split, "std", "en", ("d1", "d2"), NOTES)


def test_counts_shares_and_the_nearest(planted):
    rows = {row["variety"]: row for row in describe(planted, distances(planted))}
    assert [rows["d2"][split] for split in ("train", "dev", "test")] == [3, 1, 1]
    assert rows["d1"]["same_percent"] == pytest.approx(40) and rows["d2"]["same_percent"] == 0
    assert rows["d2"]["with_standard"] == 5 and rows["std"]["chrf_standard"] == 100
    assert rows["d2"]["nearest"] == "d1" and rows["d1"]["nearest"] == "d2", "neither standard nor pivot is a neighbour"


def test_the_share_of_identical_texts_is_of_the_keys_that_the_standard_has(planted):
    for key in ("k5", "k6", "k7"):
        del planted.texts[key]["std"]
    row = next(row for row in describe(planted, distances(planted)) if row["variety"] == "d1")
    assert (row["with_standard"], row["same_percent"]) == (7, pytest.approx(100 * 4 / 7))


def test_distances_are_symmetric_and_nan_where_no_key_is_shared(planted):
    matrix = distances(planted)
    assert np.array_equal(matrix, matrix.T, equal_nan=True) and (np.diag(matrix) == 100).all()
    for i, row in enumerate(planted.texts.values()):
        row.pop("d1" if i < 5 else "d2", None)
    i, j = planted.varieties.index("d1"), planted.varieties.index("d2")
    assert np.isnan(distances(planted)[i, j]), "a distance without a shared key"
    assert describe(planted, distances(planted))[i]["nearest"] == ""


def test_the_distance_is_chrf_on_the_first_keys(planted):
    only_same = distances(planted, most=4)
    i, j = planted.varieties.index("std"), planted.varieties.index("d1")
    assert only_same[i, j] == pytest.approx(100), "the first 4 keys say the same in both"
    assert distances(planted)[i, j] < 80


def test_what_is_printed(planted):
    text = summary(planted, distances(planted), lambda variety: f"by {variety}", examples=2)
    assert "by d1" in text and "by std" not in text and "40.0 %" in text
    assert "       3  left out: ragged row" in text and text.count("\nkey ") == 2
    shown = re.findall(r"^  (\w+)", text.split("\nkey ")[1], re.MULTILINE)
    assert shown == ["en", "std", "d1", "d2"], f"{shown}: the varieties of a key come pivot, standard, dialects"


def test_not_every_pair_is_measured_where_there_are_many_but_the_nearest_is_found():
    """20 dialects in 10 pairs of near twins: the twin is among the few pairs that are measured."""
    words = ["".join(word) for word in np.random.default_rng(0).choice(list("abcdefghijklmnopqrst"), (300, 7))]
    texts = {f"k{i}": {"std": f"{words[i]} {words[i + 1]}"} for i in range(20)}
    for d in range(10):
        for i, row in enumerate(texts.values()):
            row[f"a{d}"] = f"{words[30 + 25 * d + i]} {words[31 + 25 * d + i]}"
            row[f"b{d}"] = f"{words[30 + 25 * d + i]} {words[31 + 25 * d + i][::-1]}"
    corpus = ParallelCorpus(texts, dict.fromkeys(texts, "train"), "std", None,
                            tuple(f"{c}{d}" for c in "ab" for d in range(10)))
    few, every = distances(corpus, every=False), distances(corpus)
    measured = np.isfinite(few)
    assert np.array_equal(few[measured], every[measured]) and measured[0].all(), "each dialect with the standard"
    assert measured.sum() <= 21 + 2 * (20 + 3 * 20), "the cost is linear in the number of varieties"
    rows = {row["variety"]: row for row in describe(corpus, few)}
    for d in range(10):
        assert (rows[f"a{d}"]["nearest"], rows[f"b{d}"]["nearest"]) == (f"b{d}", f"a{d}")


def test_what_cannot_be_trained_is_marked(planted):
    text = summary(planted, distances(planted), str)
    assert " *" not in text and "cannot be trained" not in text
    for key in ("k3", "k8"):  # dev's keys
        del planted.texts[key]["d1"]
    lines = summary(planted, distances(planted), str).splitlines()
    assert [line.split()[0] for line in lines if line.endswith("  *")] == ["d1"]
    assert any("*: cannot be trained, since train, dev or test lacks keys that it shares with std" in s for s in lines)
