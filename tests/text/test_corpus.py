"""Splitting and subsampling parallel text, and what is refused."""

import numpy as np
import pytest

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.corpus import split_by_key, subsample, write_tsv
from tinydecouple.text.readers import CorpusOptions, read_corpus

WORDS = [f"{'abcd'[i // 10]}{'klmnopqrst'[i % 10]}" for i in range(40)]  # not numbers: these fold into one another
ROWS = [(f"k{i:02d}", v, f"{v} text {WORDS[i]}") for i in range(40) for v in ("en", "std", "dia")]


def tsv(path, rows=ROWS, header="key\tvariety\ttext", newline="\n"):
    path.write_bytes((newline.join([header, *("\t".join(r) for r in rows)]) + newline).encode("utf-8"))
    return path


def read(path, standard="std", pivot="en", held_out=0.1, seed=0):
    return read_corpus(CorpusOptions(str(path), standard=standard, pivot=pivot, held_out=held_out, corpus_seed=seed))


def test_a_file_is_read_and_split_by_key(tmp_path):
    corpus = read(tsv(tmp_path / "c.tsv"))
    assert corpus.family == ("std", "dia") and corpus.varieties == ("en", "std", "dia")
    assert [len(corpus.keys(s)) for s in ("train", "dev", "test")] == [32, 4, 4]
    assert corpus.texts["k07"]["dia"] == f"dia text {WORDS[7]}"


def test_its_own_split_is_kept(tmp_path):
    rows = [(*r, ("train", "dev", "test")[int(r[0][1:]) % 3]) for r in ROWS]
    corpus = read(tsv(tmp_path / "c.tsv", rows, "key\tvariety\ttext\tsplit"))
    assert corpus.split["k00"] == "train" and corpus.split["k01"] == "dev" and corpus.split["k02"] == "test"


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path):
    plain = read(tsv(tmp_path / "a.tsv"))
    path = tsv(tmp_path / "b.tsv", newline="\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read(path) == plain


def test_what_is_written_reads_back_the_same(tmp_path):
    corpus = read(tsv(tmp_path / "c.tsv"))
    (tmp_path / "d.tsv").write_text(write_tsv(corpus), encoding="utf-8")
    assert read(tmp_path / "d.tsv") == corpus


def test_splits_share_no_key_and_hang_on_the_seed():
    keys = [f"k{i}" for i in range(100)]
    one, same, other = (split_by_key(keys, 0.2, np.random.default_rng(s)) for s in (1, 1, 2))
    assert sorted(one.values()) == ["dev"] * 20 + ["test"] * 20 + ["train"] * 60
    assert one == same and one != other


def test_subsampling_is_nested_and_touches_only_the_dialects_training_text(corpus):
    few, *others = (subsample(corpus, size, seed=1) for size in range(3, 10))
    for d in corpus.dialects:
        assert len(few.keys("train", d)) == 3
        assert few.keys("test", d) == corpus.keys("test", d)
        for size, (less, more) in enumerate(zip([few, *others], others), start=3):  # one pair may be nested by luck
            assert set(less.keys("train", d)) < set(more.keys("train", d)), f"{size} are not within {size + 1} ({d})"
    assert few.keys("train", corpus.standard) == corpus.keys("train", corpus.standard)
    assert set(few.keys("train", "a1")) != set(subsample(corpus, 3, seed=2).keys("train", "a1"))


@pytest.mark.parametrize("rows, header, options, says", [
    (ROWS, "key\tlang\ttext", {}, r"c.tsv:1: columns found: key, lang, text"),
    ([*ROWS, ("k01", "dia", "again")], None, {}, r"c.tsv:122: key 'k01' has a second row for variety 'dia'"),
    ([*ROWS[:2], ("k00", "dia", "  "), *ROWS[3:]], None, {}, r"c.tsv:4: empty text"),
    ([*ROWS, ("k50", "dia")], None, {}, r"c.tsv:122: 2 cells, but the header has 3"),
    (ROWS, None, {"standard": None}, r"no standard named; pass `standard`, one of: dia, en, std"),
    (ROWS, None, {"standard": "msa"}, r"`standard` 'msa' is not in the file; varieties there: dia, en, std"),
    (ROWS, None, {"pivot": "fr"}, r"`pivot` 'fr' is not in the file"),
    (ROWS, None, {"pivot": "std"}, r"both 'std'"),
    ([r for r in ROWS if r[1] != "dia"], None, {}, r"no dialect"),
    (ROWS[:12], None, {}, r"too few sentences to split without leaks: 0 of 4 keys"),
    ([*ROWS, ("k00", "rare", "x")], None, {}, r"variety 'rare' has no rows in"),
    ([r for r in ROWS if r[1] != "en" or r[0] < "k03"], None, {}, r"variety 'en' has no rows in"),
    ([(*r, "trian") for r in ROWS], "key\tvariety\ttext\tsplit", {}, r"c.tsv:2: split 'trian'; expected one of train"),
    ([(*r, "dev" if r[1] == "dia" else "train") for r in ROWS], "key\tvariety\ttext\tsplit", {},
     r"c.tsv:4: key 'k00' is in dev here and in train above"),
])
def test_bad_files_are_refused_by_line(tmp_path, rows, header, options, says):
    path = tsv(tmp_path / "c.tsv", rows, header or "key\tvariety\ttext")
    with pytest.raises(TinyDecoupleError, match=says):
        read(path, **options)


def test_a_variety_that_shares_no_key_with_the_standard_cannot_be_trained(tmp_path):
    """It has sentences enough, and some in each split, but none that says what the standard says."""
    alone = [(f"x{i:02d}", v, f"{v} alone {WORDS[i]}") for i in range(40) for v in ("en", "rare")]
    with pytest.raises(TinyDecoupleError, match=r"variety 'rare' has no rows in train, dev, test that share a key with "
                                                r"'std' \(train 0, dev 0, test 0\).*leave it out by varieties dia$"):
        read(tsv(tmp_path / "c.tsv", [*ROWS, *alone]))


def test_a_missing_file_and_bytes_that_are_not_utf8(tmp_path):
    with pytest.raises(TinyDecoupleError, match="nothing there; pass phrasebook"):
        read(tmp_path / "none.tsv")
    path = tsv(tmp_path / "c.tsv")
    path.write_bytes(path.read_bytes().replace(f"std text {WORDS[1]}\n".encode(), b"caf\xe9\n"))
    with pytest.raises(TinyDecoupleError, match=r"c.tsv:6: byte \d+ is not UTF-8"):
        read(path)
