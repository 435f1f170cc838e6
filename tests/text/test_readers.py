"""From a path to a corpus: cleaned, joined, split without leaks, dialects chosen; and what is counted on the way."""

import itertools
import json
import re
import shutil

import pytest

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.corpus import unusable
from tinydecouple.text.formats.common import Reading
from tinydecouple.text.formats.madar import CITIES
from tinydecouple.text.phrasebook.meanings import TABLES, phrasebook
from tinydecouple.text.readers import CorpusOptions, choose, load_corpus, read_corpus, region_of
from tinydecouple.text.splits import fold

LETTERS = ["".join(pair) for pair in itertools.product("abcdefgh", "klmnopqr")]  # 64 words that fold to no other


def madar(folder, leave_out=(), split=lambda i: "corpus-6-test-corpus-26-" + ("train", "dev", "test", "train")[i % 4]):
    folder.mkdir()
    for city, code in CITIES.items():
        if city not in leave_out:
            rows = [f"{i}\t{split(i)}\t{code.upper()}\t{code} {word}" for i, word in enumerate(LETTERS)]
            (folder / f"MADAR.corpus.{city}.tsv").write_text(
                "\n".join(["sentID.BTEC\tsplit\tlang\tsent", *rows, ""]), encoding="utf-8")
    return folder


def flores(folder, names=("eng_Latn", "arb_Arab", "arb_Latn", "arz_Arab", "ary_Arab")):
    for split in ("dev", "devtest"):
        (folder / split).mkdir(parents=True)
        for name in names:
            (folder / split / f"{name}.{split}").write_text(
                "".join(f"{name} {split} {word}\n" for word in LETTERS), encoding="utf-8")
    return folder


def long_tsv(path, rows, header="key\tvariety\ttext"):
    path.write_text("\n".join([header, *("\t".join(row) for row in rows)]) + "\n", encoding="utf-8")
    return path


ROWS = [(f"k{i:02d}", v, f"{v} {word}") for i, word in enumerate(LETTERS) for v in ("en", "ar", "arz", "ary", "apc")]


def test_a_folder_of_madar_needs_no_further_word(tmp_path):
    corpus = load_corpus(CorpusOptions(str(madar(tmp_path / "MADAR_Corpus"))))
    assert corpus.standard == "msa" and corpus.pivot is None and len(corpus.dialects) == 25
    assert corpus.split["0"] == "train" and corpus.split["1"] == "dev" and corpus.split["2"] == "test"
    assert corpus.notes == {"official split: dev keys with a text of train": 0,
                            "official split: test keys with a text of train": 0}


def test_leaks_of_an_official_split_are_kept_and_counted(tmp_path):
    folder = madar(tmp_path / "m")
    path = folder / "MADAR.corpus.Cairo.tsv"
    path.write_text(path.read_text(encoding="utf-8").replace(f"cai {LETTERS[1]}\n", f"cai, {LETTERS[0]}!\n"),
                    encoding="utf-8")
    corpus = load_corpus(CorpusOptions(str(folder)))
    assert corpus.split["1"] == "dev" and corpus.notes["official split: dev keys with a text of train"] == 1


def test_flores_has_no_train_so_its_dev_is_split_and_devtest_stays_test(tmp_path):
    corpus = load_corpus(CorpusOptions(str(flores(tmp_path / "f")), varieties="arz, ary"))
    assert (corpus.standard, corpus.pivot, corpus.dialects) == ("arb", "eng", ("ary", "arz"))
    assert {corpus.split[key] for key in corpus.texts if key.startswith("devtest")} == {"test"}
    assert sorted({corpus.split[key] for key in corpus.texts if key.startswith("dev-")}) == ["dev", "train"]


def test_cleaning_is_counted_and_no_folded_text_crosses_the_split(tmp_path):
    rows = [*ROWS, ("x1", "ar", "ar\u200f  ak"), ("x1", "arz", "new\u00a0text"),
            ("x2", "ar", "AR, ak!"), ("x2", "arz", "y")]
    corpus = read_corpus(CorpusOptions(str(long_tsv(tmp_path / "c.tsv", rows)), standard="ar", pivot="en"))
    assert corpus.texts["x1"] == {"ar": "ar ak", "arz": "new text"}
    assert corpus.notes["cleaned: control and direction marks out"] == 1 and corpus.notes["cleaned: spaces joined"] == 2
    assert corpus.split["x1"] == corpus.split["x2"] == corpus.split["k00"], "near-duplicates stand on two sides"
    sides = {}
    for key, row in corpus.texts.items():
        for text in row.values():
            assert sides.setdefault(fold(text), corpus.split[key]) == corpus.split[key], f"{text!r} is on two sides"


def test_dialects_by_name_and_by_region(tmp_path):
    path = str(long_tsv(tmp_path / "c.tsv", ROWS))
    chosen = load_corpus(CorpusOptions(path, standard="ar", pivot="en", varieties="arz,apc"))
    assert chosen.dialects == ("apc", "arz") and "ary" not in chosen.texts["k00"]
    nile = load_corpus(CorpusOptions(path, standard="ar", pivot="en", regions="Nile,maghreb"))
    assert nile.dialects == ("ary", "arz"), "arz is of the Nile, ary of the Maghreb"
    cities = load_corpus(CorpusOptions(keys=100, regions="yemen,iraq"))
    assert cities.dialects == ("mos", "bag", "bas", "san")


def test_imbalance_and_missing_cells_are_kept(tmp_path):
    rows = [row for row in ROWS if row[1] != "apc" or row[0] < "k40"]
    path = str(long_tsv(tmp_path / "c.tsv", rows))
    corpus = load_corpus(CorpusOptions(path, standard="ar", pivot="en", per_variety=45))
    count = {v: len(corpus.keys("train", v)) for v in corpus.dialects}
    assert count["arz"] == count["ary"] == 45 and 25 <= count["apc"] <= 40, count


@pytest.mark.parametrize("options, says", [
    ({"varieties": "arz,xyz"}, "`varieties` 'xyz': not there"),
    ({"regions": "gulf"}, "`regions` gulf: no dialect of that region; there are levant, maghreb, nile"),
    ({"varieties": "arz", "regions": "levant"}, "`regions` levant: no dialect of that region"),
])
def test_a_choice_that_the_corpus_cannot_satisfy(tmp_path, options, says):
    with pytest.raises(TinyDecoupleError, match=says):
        load_corpus(CorpusOptions(str(long_tsv(tmp_path / "c.tsv", ROWS)), standard="ar", pivot="en", **options))


@pytest.mark.parametrize("row, reason, says", [
    (("k00", "arz", "again"), "second row of a key", r"c.tsv:322: key 'k00' has a second row for variety 'arz'"),
    (("k99", "arz", "\u200f"), "empty text", r"c.tsv:322: nothing is left of the text"),
    (("k99", "arz"), "ragged row", r"c.tsv:322: 2 cells, but the header has 3"),
])
def test_a_bad_row_stops_or_if_lenient_is_counted(tmp_path, row, reason, says):
    path = str(long_tsv(tmp_path / "c.tsv", [*ROWS, row]))
    with pytest.raises(TinyDecoupleError, match=says):
        read_corpus(CorpusOptions(path, standard="ar", pivot="en"))
    corpus = read_corpus(CorpusOptions(path, standard="ar", pivot="en", lenient=True))
    assert corpus.notes[f"left out: {reason}"] == 1 and "k99" not in corpus.texts
    assert corpus.texts["k00"]["arz"] == "arz ak", "the first row of a key is the one that stays"


def test_a_missing_city_stops_or_is_counted(tmp_path):
    folder = str(madar(tmp_path / "m", leave_out=("Doha", "Fes")))
    with pytest.raises(TinyDecoupleError, match=r"no MADAR.corpus.<City>.tsv for Doha, Fes"):
        load_corpus(CorpusOptions(folder))
    corpus = load_corpus(CorpusOptions(folder, lenient=True))
    assert len(corpus.dialects) == 23 and corpus.notes["left out: city without a file"] == 2


def test_a_changed_file_in_a_folder_changes_the_fingerprint(tmp_path):
    options = CorpusOptions(str(madar(tmp_path / "m")))
    before = load_corpus(options).fingerprint
    path = tmp_path / "m" / "MADAR.corpus.Cairo.tsv"
    path.write_text(path.read_text(encoding="utf-8").replace("cai ak", "cai kk"), encoding="utf-8")
    assert load_corpus(options).fingerprint != before


def test_regions_and_choosing_nothing():
    options = CorpusOptions("family", keys=60)
    corpus = load_corpus(options)
    assert choose(corpus, options) is corpus and region_of(options, "std", "a1") == "region a"
    assert [region_of(CorpusOptions(), "msa", v) for v in ("fes", "san", "xx")] == ["maghreb", "yemen", "xx"]
    known = [region_of(CorpusOptions("flores"), "arb", v) for v in ("ary", "acm", "ben")]
    assert known == ["maghreb", "iraq", "ben"], "ben is Bengali here, not Benghazi"


def test_varieties_and_regions_are_both_kept_to():
    options = CorpusOptions("family", keys=60, varieties="a1,a2,b1", regions="region a")
    assert load_corpus(options).dialects == ("a1", "a2")


def messages(folder, start):
    """A MediaWiki folder with 64 messages in ar, arz and en."""
    folder.mkdir(parents=True)
    for code in ("en", "ar", "arz"):
        (folder / f"{code}.json").write_text(
            json.dumps({f"m{i}": f"{code} {start} {word}" for i, word in enumerate(LETTERS)}), encoding="utf-8")
    return folder


def test_several_folders_of_messages_are_one_corpus(tmp_path):
    comma = CorpusOptions(str(messages(tmp_path / "a,b" / "i18n", "x")), standard="ar")
    assert len(load_corpus(comma).texts) == 64, "a comma in the name of a path that exists makes no list"
    core, skins = messages(tmp_path / "core" / "i18n", "core"), messages(tmp_path / "skins", "skin")
    listed = CorpusOptions(f"{core},{skins}", standard="ar")
    corpus = load_corpus(listed)
    assert corpus.texts["core/i18n/m0"]["arz"] == f"arz core {LETTERS[0]}" and "skins/m0" in corpus.texts
    path = tmp_path / "skins" / "ar.json"
    path.write_text(path.read_text(encoding="utf-8").replace("ar skin ak", "ar skin kk"), encoding="utf-8")
    assert load_corpus(listed).fingerprint != corpus.fingerprint, "a change in the second folder is not noticed"


def test_several_paths_of_another_format_are_refused(tmp_path):
    paths = [long_tsv(tmp_path / name, ROWS) for name in ("a.tsv", "b.tsv")]
    with pytest.raises(TinyDecoupleError, match="several paths go with MediaWiki's messages, but .*a.tsv is tsv"):
        load_corpus(CorpusOptions(",".join(map(str, paths)), standard="ar"))


def test_nothing_usable_says_what_was_left_out(tmp_path):
    path = str(long_tsv(tmp_path / "c.tsv", [("k1", "ar"), ("k2", "ar", " ")]))
    with pytest.raises(TinyDecoupleError, match=r"nothing in it can be used .1 ragged row, 1 empty text."):
        load_corpus(CorpusOptions(path, standard="ar", lenient=True))


def test_tatoeba_needs_no_list_of_varieties(tmp_path):
    codes = ("eng", "arb", "arz")
    rows = [(3 * i + j, v, f"{v} {word}") for i, word in enumerate(LETTERS) for j, v in enumerate(codes)]
    (tmp_path / "sentences.csv").write_text("".join(f"{i}\t{v}\t{t}\n" for i, v, t in rows), encoding="utf-8")
    (tmp_path / "links.csv").write_text(
        "".join(f"{3 * i}\t{3 * i + j}\n" for i in range(len(LETTERS)) for j in (1, 2)), encoding="utf-8")
    corpus = load_corpus(CorpusOptions(str(tmp_path), standard="arb"))
    assert (corpus.pivot, corpus.dialects, len(corpus.texts)) == ("eng", ("arz",), len(LETTERS))
    assert corpus.texts["3"] == {"eng": "eng al", "arb": "arb al", "arz": "arz al"}


# --- the fingerprint: name and bytes of exactly the files read ---

def test_files_that_are_not_read_leave_the_fingerprint_alone(tmp_path):
    folder = flores(tmp_path / "f")
    options = CorpusOptions(str(folder), varieties="arz,ary")
    before = load_corpus(options).fingerprint
    for name in (".DS_Store", "dev/arz_Arab.dev~", "runs/demo/config.json", "export.tsv", ".git/refs/v1", "README"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("never read", encoding="utf-8")
    assert load_corpus(options).fingerprint == before, "a run in the corpus's folder would refuse its own corpus"
    assert len(before) == 64


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_text("x\n", encoding="utf-8")])
def test_a_variety_that_is_not_wanted_is_not_read(tmp_path, spoil):
    folder = flores(tmp_path / "f")
    options = CorpusOptions(str(folder), varieties="arz")
    before = load_corpus(options)
    spoil(folder / "dev" / "ary_Arab.dev")
    assert load_corpus(options) == before and load_corpus(options).fingerprint == before.fingerprint


@pytest.mark.parametrize("make, standard, known", [
    (lambda folder: flores(folder), "arb", "arb, arb_Latn, ary, arz, eng"),
    (lambda folder: messages(folder / "i18n", "x").parent, "ar", "ar, arz, en")])
def test_a_slip_in_varieties_names_all_that_are_there(tmp_path, make, standard, known):
    path = str(make(tmp_path / "f"))
    with pytest.raises(TinyDecoupleError, match=f"`varieties` 'vecc': not there; varieties there: {known}$"):
        load_corpus(CorpusOptions(path, standard=standard, varieties="vecc"))


def test_a_file_that_is_read_changes_the_fingerprint_by_its_bytes_its_name_and_through_links(tmp_path):
    folder = messages(tmp_path / "real" / "i18n", "x").parent
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(folder, target_is_directory=True)
    options = CorpusOptions(str(tmp_path / "tree"), standard="ar")
    seen = [load_corpus(options).fingerprint]
    path = folder / "i18n" / "arz.json"
    path.write_text(path.read_text(encoding="utf-8").replace("arz x ak", "arz x kk"), encoding="utf-8")
    seen.append(load_corpus(options).fingerprint)
    path.rename(folder / "i18n" / "arq.json")
    seen.append(load_corpus(options).fingerprint)
    assert len(set(seen)) == 3, "a linked folder's change, or a renamed file, went unnoticed"
    moved = tmp_path / "elsewhere"
    (tmp_path / "tree").rename(moved)
    assert load_corpus(CorpusOptions(str(moved), standard="ar")).fingerprint == seen[2], "names are relative"


def test_the_last_byte_of_a_large_file_counts(tmp_path):
    prints = []
    for end in ("a", "b"):
        path = tmp_path / "large.tsv"
        path.write_text("x" * 3_000_000 + end, encoding="utf-8")
        reading = Reading()
        reading.open(path).close()
        prints.append(reading.fingerprint([path]))
    assert prints[0] != prints[1], "a change beyond the first block of a file goes unnoticed"


def test_made_corpora_have_a_fingerprint_of_their_tables(tmp_path):
    shutil.copytree(TABLES, tmp_path / "t")
    options = CorpusOptions(keys=60, tables=str(tmp_path / "t"))
    before = load_corpus(options).fingerprint
    assert before == load_corpus(CorpusOptions(keys=60)).fingerprint
    path = tmp_path / "t" / "meanings.tsv"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    phrasebook.cache_clear()
    assert load_corpus(options).fingerprint != before
    assert len(load_corpus(CorpusOptions("family", keys=60)).fingerprint) == 64


# --- thin varieties: choose first, then check; name them all, and what would work ---

THIN = [*ROWS, *((f"k0{i}", v, f"{v} word {LETTERS[i]}") for v in ("thin", "rare") for i in range(3))]


def test_thin_varieties_are_all_named_with_the_varieties_that_work(tmp_path):
    path = str(long_tsv(tmp_path / "c.tsv", THIN))
    with pytest.raises(TinyDecoupleError) as caught:
        load_corpus(CorpusOptions(path, standard="ar", pivot="en"))
    says = str(caught.value)
    assert "'rare' has no rows in" in says and "'thin' has no rows in" in says and "\n" not in says
    working = re.search(r"leave it out by varieties (\S+)$", says)[1]
    again = load_corpus(CorpusOptions(path, standard="ar", pivot="en", varieties=working))
    assert again.dialects == ("apc", "ary", "arz")
    corpus = load_corpus(CorpusOptions(path, standard="ar", pivot="en"), strict=False)
    assert set(unusable(corpus)) == {"thin", "rare"}, "to look at, the corpus comes back as it is"


def test_a_thin_pivot_is_to_be_replaced_or_gone_without(tmp_path):
    path = str(long_tsv(tmp_path / "c.tsv", [row for row in ROWS if row[1] != "en" or row[0] < "k03"]))
    with pytest.raises(TinyDecoupleError, match="'en' has no rows in .* and choose another `pivot`, or none$"):
        load_corpus(CorpusOptions(path, standard="ar", pivot="en"))


@pytest.mark.parametrize("choice", [{"varieties": "arz,ary"}, {"regions": "nile"}])
def test_a_choice_without_the_thin_varieties_works(tmp_path, choice):
    path = str(long_tsv(tmp_path / "c.tsv", THIN))
    assert load_corpus(CorpusOptions(path, standard="ar", pivot="en", **choice)).dialects


def test_a_given_split_without_dev_is_told_from_too_few_sentences(tmp_path):
    rows = [(*row, "test" if row[0] > "k50" else "train") for row in ROWS]
    path = str(long_tsv(tmp_path / "c.tsv", rows, "key\tvariety\ttext\tsplit"))
    with pytest.raises(TinyDecoupleError, match=r"no key is in dev \(train 51, dev 0, test 13\), by the split that"):
        load_corpus(CorpusOptions(path, standard="ar", pivot="en"))


def test_a_column_that_is_no_text_is_named_where_it_makes_a_split_impossible(tmp_path):
    path = tmp_path / "c.tsv"
    path.write_text("ID\tar\tarz\tdomain\n" + "".join(
        f"{i}\tar {w}\tarz {w}\t{('news', 'travel')[i % 2]}\n" for i, w in enumerate(LETTERS)), encoding="utf-8")
    with pytest.raises(TinyDecoupleError, match=r"0 of 64 keys .*'news' in 32 keys of 'domain', 'travel' in 32"):
        load_corpus(CorpusOptions(str(path), standard="ar"))
    assert load_corpus(CorpusOptions(str(path), standard="ar", varieties="arz")).dialects == ("arz",)
    corpus = load_corpus(CorpusOptions(str(path), standard="ar"), strict=False)
    assert set(corpus.split.values()) == {"train"} and any("keys without a split" in note for note in corpus.notes)


def test_a_usual_standard_that_is_not_there_names_those_that_are(tmp_path):
    folder = flores(tmp_path / "f", ("eng_Latn", "ita_Latn", "vec_Latn"))
    with pytest.raises(TinyDecoupleError, match="no standard named, and the usual one, arb, is not there; pass "
                                                "`standard`, one of: eng, ita, vec"):
        load_corpus(CorpusOptions(str(folder)))
    assert load_corpus(CorpusOptions(str(folder), standard="ita")).pivot == "eng"
    assert load_corpus(CorpusOptions(str(folder), standard="eng")).pivot is None, "the standard is no pivot"
    assert load_corpus(CorpusOptions(str(folder), standard="ita", pivot="none")).dialects == ("eng", "vec")


def test_a_wide_table_without_its_header_hints_at_line_1(tmp_path):
    path = tmp_path / "c.tsv"
    path.write_text("hello\tahlan\nbye\tslama\n", encoding="utf-8")
    with pytest.raises(TinyDecoupleError, match="varieties there: ahlan, hello .the columns of line 1: is it"):
        load_corpus(CorpusOptions(str(path), standard="ar"))
