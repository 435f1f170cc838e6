"""Corpora in their own formats: what is read, what is left out and counted, which format is which."""

import json
from pathlib import Path

import pytest

from tinydecouple.text.formats import flores as flores_format
from tinydecouple.text.formats import madar as madar_format
from tinydecouple.text.formats import mediawiki, plain, tsv
from tinydecouple.text.formats import tatoeba as tatoeba_format
from tinydecouple.text.formats.common import Reading
from tinydecouple.text.formats.madar import CITIES
from tinydecouple.text.formats.mediawiki import plain_text
from tinydecouple.text.readers import FORMATS, recognise

BOM = b"\xef\xbb\xbf"
MADAR_HEADER = "sentID.BTEC\tsplit\tlang\tsent\n"
LONG = "key\tvariety\ttext\n"


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def collect(module, *paths, lenient=False, **options):
    """(rows, counts of what was dropped)."""
    reading = Reading(lenient)
    return list(module.read(paths, reading, **options)), reading.left_out


def cells(rows):
    return {(row.key, row.variety): (row.text, row.split) for row in rows}


def madar(folder, leave_out=(), **changed):
    splits = ("corpus-6-test-corpus-26-train", "corpus-6-test-Corpus-26-dev", "corpus-6-test-corpus-26-test")
    for city, code in CITIES.items():
        body = "".join(f"{i}\t{splits[i]}\t{code.upper()}\t{city} says {i}\n" for i in range(3))
        if city not in leave_out:
            put(folder / f"MADAR.corpus.{city}.tsv", MADAR_HEADER + changed.get(city, body))
    return folder


def flores(folder, template="{split}/{name}.{split}", names=("arb_Arab", "arz_Arab"), splits=("dev", "devtest")):
    for split in splits:
        for name in names:
            put(folder / template.format(split=split, name=name), f"{name} one {split}\n{name} two {split}\n")
    return folder


def messages(folder, **files):
    for code, texts in (files or {"en": {"about": "About"}, "ar": {"about": "عن"}}).items():
        put(folder / f"{code}.json", json.dumps({"@metadata": {"authors": ["x"]}, **texts}, ensure_ascii=False))
    return folder


SENTENCES = "1\teng\tHello.\n2\tarz\tأهلا\n3\teng\tAlone.\n5\tarz\tازيك\n6\tdeu\tHallo.\n7\tdeu\tGuten Tag.\n"
LINKS = "1\t5\n5\t1\n2\t1\n1\t6\n6\t7\n3\t99\n3\t1\n"


def tatoeba(folder, sentences=SENTENCES, links=LINKS, name="sentences.csv"):
    put(folder / name, sentences)
    put(folder / "links.csv", links)
    return folder


# --- what is read ---

def test_long_tsv_gives_a_row_a_line_and_says_where(tmp_path):
    path = put(tmp_path / "c.tsv", "text\tkey\tvariety\tsplit\nhello\tk1\ten\tdev\n\nahlan\tk1\tmsa\tdev\n")
    rows, dropped = collect(tsv, path)
    assert cells(rows) == {("k1", "en"): ("hello", "dev"), ("k1", "msa"): ("ahlan", "dev")} and not dropped
    assert rows[1].where == f"{path}:4", "the blank line counts as a line"
    assert collect(tsv, put(tmp_path / "d.tsv", LONG + "k\ten\thi\n"))[0][0].split is None


def test_wide_tsv_leaves_empty_cells_out_and_numbers_keys_by_line(tmp_path):
    keyed = put(tmp_path / "a.tsv", "key\ten\tsplit\tmsa\nk1\thello\ttest\tahlan\nk2\tbye\ttrain\t\n")
    rows, dropped = collect(tsv, keyed)
    assert cells(rows) == {("k1", "en"): ("hello", "test"), ("k1", "msa"): ("ahlan", "test"),
                           ("k2", "en"): ("bye", "train")}
    assert not dropped, f"got {dropped}: an empty cell of a wide table is no mistake"
    bare = put(tmp_path / "b.tsv", "en\tmsa\nhello\tahlan\n")
    assert cells(collect(tsv, bare)[0]) == {("2", "en"): ("hello", None), ("2", "msa"): ("ahlan", None)}


@pytest.mark.parametrize("inside", ["", "MADAR_Corpus"])
def test_madar_joins_its_cities_and_keeps_its_splits(tmp_path, inside):
    folder = madar(tmp_path / inside, Cairo="7\tcorpus-6-train\tCAI\tizzayak\n8\tcorpus-6-dev\tCAI\t\"quoted\n")
    put(folder / "MADAR.corpus.English.tsv", MADAR_HEADER + "7\tcorpus-6-train\tENG\thow are you\n")
    put(folder / "MADAR.corpus.Old_Cairo.tsv", MADAR_HEADER + "9\tcorpus-6-train\tCAI\tsaba7\n")
    (folder / "MADAR.corpus.Sanaa.tsv").rename(folder / "MADAR.corpus.Sana'a.tsv")
    rows, dropped = collect(madar_format, tmp_path)
    found = cells(rows)
    assert found["7", "cai"] == ("izzayak", "train") and found["7", "en"] == ("how are you", "train")
    assert found["8", "cai"] == ('"quoted', "dev"), "MADAR quotes nothing: a quotation mark is text"
    assert found["9", "cai"][0] == "saba7", "a file of no known city is read by its column lang"
    assert [found[str(i), "msa"][1] for i in range(3)] == ["train", "dev", "test"]
    assert {variety for _, variety in found} == {*CITIES.values(), "en"} and not dropped


def test_the_shared_task_is_parallel_where_its_rows_show_it(tmp_path):
    put(tmp_path / "sub" / "MADAR-Corpus-26-train.tsv", "a one\tCAI\nb one\tMSA\nb two\tMSA\na two\tCAI\n")
    put(tmp_path / "sub" / "MADAR-Corpus-26-test.tsv", "a three\tCAI\nb three\tMSA\n")
    assert cells(collect(madar_format, tmp_path)[0]) == {
        ("train-00001", "cai"): ("a one", "train"), ("train-00002", "cai"): ("a two", "train"),
        ("train-00001", "msa"): ("b one", "train"), ("train-00002", "msa"): ("b two", "train"),
        ("test-00001", "cai"): ("a three", "test"), ("test-00001", "msa"): ("b three", "test")}
    put(tmp_path / "sub" / "MADAR-Corpus-26-train.tsv", "\tCAI\nb one\tMSA\nstray\na two\tCAI\nb two\tMSA\n")
    rows, dropped = collect(madar_format, tmp_path, lenient=True)
    assert cells(rows)["train-00002", "cai"][0] == "a two", "a dropped row must not shift those below it"
    assert dropped == {"empty text": 1, "ragged row": 1}, f"got {dropped}; are the rows counted in both readings?"


FLORES_SPELLINGS = ["{split}/{name}.{split}", "{split}/{name}", "{split}/{name}.txt", "{name}.{split}",
                    "flores200_dataset/{split}/{name}.{split}", "floresp-v2/{split}/{split}.{name}", "{split}.{name}"]


@pytest.mark.parametrize("template", FLORES_SPELLINGS)
def test_flores_in_each_spelling(tmp_path, template):
    put(tmp_path / "README", "not a variety")
    rows, dropped = collect(flores_format, flores(tmp_path, template))
    assert cells(rows) == {(f"{split}-000{n}", code): (f"{code}_Arab {word} {split}", official)
                           for split, official in (("dev", None), ("devtest", "test"))
                           for code in ("arb", "arz") for n, word in ((1, "one"), (2, "two"))} and not dropped


def test_flores_names_the_script_where_a_code_has_two_and_splits_nothing_if_devtest_stands_alone(tmp_path):
    rows, _ = collect(flores_format, flores(tmp_path, names=("arb_Arab", "arb_Latn", "arz_Arab"), splits=("devtest",)))
    assert {row.variety for row in rows} == {"arb", "arb_Latn", "arz"}, "the Arabic script keeps the bare code"
    assert {row.split for row in rows} == {None}, "with all of it test, nothing would be left to train on"


@pytest.mark.parametrize("inside, prefix", [
    ("", ""), ("i18n", "i18n/"), ("languages/i18n", "languages/i18n/"), ("Cite/i18n", "Cite/i18n/"),
    ("extensions/Cite/i18n/api", "extensions/Cite/i18n/api/")])
def test_mediawiki_finds_messages_wherever_a_tarball_has_them(tmp_path, inside, prefix):
    folder = messages(tmp_path / inside)
    messages(folder, qqq={"about": "A title"}, **{"en-x-piglatin": {"about": "Aboutway"}, "be-x-old": {"about": "Пра"}})
    put(folder / "package.json", "{}")
    rows, dropped = collect(mediawiki, tmp_path)
    assert cells(rows) == {(f"{prefix}about", "en"): ("About", None), (f"{prefix}about", "ar"): ("عن", None)}
    assert rows[0].where == f"{folder / 'ar.json'}: about" and not dropped


def test_mediawiki_reads_several_folders_apart_and_only_the_varieties_asked_for(tmp_path):
    folders = [messages(tmp_path / "core" / "i18n"), messages(tmp_path / "Cite" / "i18n", en={"about": "About"},
                                                              arz={"about": "About"})]
    rows, _ = collect(mediawiki, *folders, varieties=("en", "arz"))
    assert cells(rows) == {("core/i18n/about", "en"): ("About", None), ("Cite/i18n/about", "en"): ("About", None),
                           ("Cite/i18n/about", "arz"): ("About", None)}, "one equal to its English stays too"


@pytest.mark.parametrize("message, text", [
    ("{{PLURAL:$1|one page|$1 pages}} found", "$1 pages found"),
    ("{{PLURAL:$1|page|pages|0=no pages}}", "pages"),
    ("{{gender:$2|he|she|they}} left", "they left"),
    ("Welcome to {{SITENAME}}, {{int:hello|x}}friend", "Welcome to , friend"),
    ("See [[Special:Log|the log]], [[:Help]]__NOTOC__", "See the log, Help"),
    ("[https://x.org/a?b=c it] [//x.org the site] [http://x.org]", "it the site"),
    ("[$1 full list] and [{{fullurl:a|b=c}} that one] of [$2]", "full list and that one of [$2]"),
    ("[[User:$1|{{GENDER:$1|his|her}} page]]", "her page"),
    ("{{PLURAL:$1|[[a|b]]|[[c|d]]}}", "d"),
    ("'''Bold''' and ''slanted'' don't", "Bold and slanted don't"),
    ("<span class=\"x\">a<br />b</span> 1 < 2 &amp;&nbsp;c<!-- no -->", "ab 1 < 2 & c"),
    ("two\n\nlines\tand  spaces", "two lines and spaces"),
])
def test_what_is_left_of_markup(message, text):
    assert plain_text(message) == text, f"{message} -> {plain_text(message)}, expected {text}"


def test_mediawiki_counts_messages_that_are_mostly_markup(tmp_path):
    messages(tmp_path, en={"name": "{{SITENAME}}", "half": "[[abcd]]", "less": "[[abc]]", "marks": "हिन्दी में",
                           "unclosed": "{{open and open", "table": "{| of words and words", "numbers": "$1 2 3"})
    rows, dropped = collect(mediawiki, tmp_path)
    assert [row.key for row in rows] == ["half", "marks"], "4 letters of 8 are kept, 3 of 7 are not; vowel signs count"
    assert dropped == {"mostly markup": 5}


@pytest.mark.parametrize("name", ["sentences.csv", "sentences_detailed.csv", "eng_sentences.tsv"])
def test_tatoeba_takes_direct_translations_the_first_by_id(tmp_path, name):
    sentences = SENTENCES if "detailed" not in name else SENTENCES.replace("\n", "\tsomebody\t2010\t2011\n")
    folder = tatoeba(tmp_path, sentences, name=name)
    rows, dropped = collect(tatoeba_format, folder)
    assert cells(rows) == {("1", "eng"): ("Hello.", None), ("1", "arz"): ("أهلا", None), ("1", "deu"): ("Hallo.", None)}
    assert dropped == {"second translation": 1, "no translation": 1}, "5 beside 2; 3 is linked to its own variety"
    assert rows[1].where == f"{folder / name}:2"
    assert {row.variety for row in collect(tatoeba_format, folder, varieties=("arz",))[0]} == {"eng", "arz"}


def test_tatoeba_takes_a_sentence_of_two_exports_once(tmp_path):
    folder = tatoeba(tatoeba(tmp_path), "1\teng\tHello.\n", name="eng_sentences.tsv")
    assert len(collect(tatoeba_format, folder)[0]) == 3


def test_tatoeba_counts_sentences_in_no_known_language(tmp_path):
    folder = tatoeba(tmp_path, SENTENCES + "8\t\\N\t?\n", LINKS + "1\t8\n")
    rows, dropped = collect(tatoeba_format, folder)
    assert dropped["unknown language"] == 1 and len(rows) == 3


MAKERS = {"madar": madar, "flores": flores, "mediawiki": messages, "tatoeba": tatoeba,
          "plain": lambda folder: aligned(folder)}


@pytest.mark.parametrize("name", MAKERS)
def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path, name):
    folder = MAKERS[name](tmp_path)
    expected, _ = collect(FORMATS[name], folder)
    for path in (p for p in folder.rglob("*") if p.is_file()):
        path.write_bytes(BOM + path.read_bytes().replace(b"\n", b"\r\n"))
    assert collect(FORMATS[name], folder)[0] == expected and expected


def aligned(folder, name="Tatoeba.nob-nno", **files):
    for code, text in (files or {"nob": "en\nto\n", "nno": "ein\nto\n"}).items():
        put(folder / f"{name}.{code}", text)
    return folder


def test_plain_files_are_aligned_by_line_and_known_by_their_shared_name(tmp_path):
    aligned(tmp_path, nob="en\n\ntre\n", nno="ein\nto\ntri\n\n")
    for other in ("README", "LICENSE", "Tatoeba.nob-nno.ids", "notes.md", "notes.txt"):
        put(tmp_path / other, "not a variety\n")
    rows, dropped = collect(plain, tmp_path)
    assert cells(rows) == {("Tatoeba.nob-nno-00001", "nob"): ("en", None),
                           ("Tatoeba.nob-nno-00001", "nno"): ("ein", None),
                           ("Tatoeba.nob-nno-00002", "nno"): ("to", None),
                           ("Tatoeba.nob-nno-00003", "nob"): ("tre", None),
                           ("Tatoeba.nob-nno-00003", "nno"): ("tri", None)}
    assert dropped == {"empty line": 1}, "a sentence without counterpart is lawful; a blank line at the end is no line"
    assert cells(collect(plain, tmp_path / "Tatoeba.nob-nno.nno")[0]) == cells(rows), "one file stands for its name"
    assert {row.variety for row in collect(plain, tmp_path, varieties=("nno",))[0]} == {"nno"}


def test_plain_counts_an_empty_last_line_that_has_a_counterpart(tmp_path):
    rows, dropped = collect(plain, aligned(tmp_path, nob="en\n\n", nno="ein\nto\n"))
    assert dropped == {"empty line": 1} and len(rows) == 3


@pytest.mark.parametrize("code", ["pl", "pt", "so", "zh_CN", "pt-br", "nob_Latn"])
def test_plain_endings_are_codes_of_varieties(tmp_path, code):
    rows, _ = collect(plain, aligned(tmp_path, **{code: "a\n", "en": "b\n"}))
    assert {row.variety for row in rows} == {code, "en"}


@pytest.mark.parametrize("template", ["{side}", "{side}/a", "corpus/{side}"])
def test_plain_train_dev_and_test_are_the_split_if_all_are_there(tmp_path, template):
    for side in ("train", "valid", "test"):
        aligned(tmp_path, template.format(side=side))
    assert {row.split for row in collect(plain, tmp_path)[0]} == {"train", "dev", "test"}
    aligned(tmp_path / "other", "test")
    assert {row.split for row in collect(plain, tmp_path / "other")[0]} == {None}, "all of it test: nothing to train on"


def test_mediawiki_counts_empty_messages_which_switch_a_part_of_the_page_off(tmp_path):
    messages(tmp_path, en={"sitesubtitle": "", "blank": " \n", "about": "About"})
    rows, dropped = collect(mediawiki, tmp_path)
    assert [row.key for row in rows] == ["about"] and dropped == {"empty message": 2}


def test_mediawiki_follows_links_once_and_passes_over_hidden_folders(tmp_path):
    messages(tmp_path / "real" / "i18n")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "linked").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real", target_is_directory=True)
    messages(tmp_path / "tree" / ".git" / "i18n")
    messages(tmp_path / "tree" / "node_modules" / "i18n")
    rows, _ = collect(mediawiki, tmp_path / "tree")
    assert sorted({row.key for row in rows}) == ["linked/i18n/about"]


@pytest.mark.parametrize("header", ["Key\tVARIETY\tText\tSplit", "ID\tvariety\ttext\tSPLIT"])
def test_the_header_of_long_tsv_may_be_in_any_case(tmp_path, header):
    rows, _ = collect(tsv, put(tmp_path / "c.tsv", f"{header}\nk1\ten\thello\tTrain\n"))
    assert cells(rows) == {("k1", "en"): ("hello", "train")}


@pytest.mark.parametrize("header", ["ID\ten\tmsa\tSplit", "Key\ten\tmsa\tSPLIT", "id\ten\tmsa\tsplit"])
def test_key_and_split_of_wide_tsv_are_no_varieties_in_any_case(tmp_path, header):
    rows, _ = collect(tsv, put(tmp_path / "c.tsv", f"{header}\nk1\thello\tahlan\tDEV\n"))
    assert cells(rows) == {("k1", "en"): ("hello", "dev"), ("k1", "msa"): ("ahlan", "dev")}


def test_a_spreadsheets_empty_columns_are_no_cells(tmp_path):
    rows, dropped = collect(tsv, put(tmp_path / "c.tsv", "en\tmsa\nhello\tahlan\t\t\n"))
    assert [row.text for row in rows] == ["hello", "ahlan"] and not dropped


def test_every_format_is_a_module_with_the_same_four_names():
    folder = Path(tsv.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "common", "foreign"}
    assert files == set(FORMATS), f"{files ^ set(FORMATS)}: a module of formats/ that readers.py does not list"
    for name, module in FORMATS.items():
        assert isinstance(module.SHAPE, str) and len(module.USUAL) == 2, name
        assert callable(module.recognised) and callable(module.read), name


# --- which format it is ---

@pytest.mark.parametrize("name", MAKERS)
def test_each_format_is_recognised(tmp_path, name):
    assert recognise(MAKERS[name](tmp_path)) == name
    assert recognise(put(tmp_path / "c.tsv", LONG)) == "tsv"


def test_spellings_are_recognised(tmp_path):
    put(tmp_path / "a" / "sub" / "MADAR-Corpus-26-dev.tsv", "x\tCAI\n")
    assert recognise(tmp_path / "a") == "madar"
    madar(tmp_path / "b" / "MADAR_Corpus")
    assert recognise(tmp_path / "b") == "madar"
    for i, template in enumerate(FLORES_SPELLINGS):
        assert recognise(flores(tmp_path / f"f{i}", template)) == "flores", template
    messages(tmp_path / "m" / "extensions" / "Cite" / "i18n")
    assert recognise(tmp_path / "m") == "mediawiki"
