"""Corpora in their own formats: what is refused, and where, and what --lenient counts instead."""

import os
import subprocess
import sys
import tarfile

import pytest

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.formats.common import Reading
from tinydecouple.text.formats.madar import CITIES
from tinydecouple.text.readers import FORMATS, recognise

LONG = "key\tvariety\ttext\n"
MADAR_HEADER = "sentID.BTEC\tsplit\tlang\tsent\n"
ROW = "1\tcorpus-6-dev\tGOT\tyes\n"
WHOLE = {f"MADAR.corpus.{city}.tsv": MADAR_HEADER + ROW for city in CITIES}
SENTENCES, LINKS = {"sentences.csv": "1\teng\tYes.\n2\tarz\tاه\n"}, {"links.csv": "1\t2\n"}


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def collect(name, path, lenient=False):
    """(rows, counts of what was dropped)."""
    reading = Reading(lenient)
    return list(FORMATS[name].read([path], reading)), reading.left_out


@pytest.mark.parametrize("name, content", [
    ("MADAR.zip", b"anything"), ("c.tsv.gz", b"anything"), ("f.tgz", b""), ("named_otherwise", b"PK\x03\x04.."),
    ("a", b"\x1f\x8b\x08"), ("b", b"BZh9"), ("c", b"\xfd7zXZ\x00")])
def test_an_archive_is_to_be_unpacked_first(tmp_path, name, content):
    path = put(tmp_path / name, content)
    for read in (recognise, *(lambda p, n=n: collect(n, p) for n in FORMATS)):
        with pytest.raises(TinyDecoupleError, match=f"{name}: an archive; unpack it first"):
            read(path)


def test_a_tar_is_known_by_its_magic_and_an_archive_within_the_folder_is_pointed_at(tmp_path):
    inside = put(tmp_path / "notes", "text")
    with tarfile.open(tmp_path / "bundle", "w") as file:
        file.add(inside)
    with pytest.raises(TinyDecoupleError, match="bundle: an archive"):
        recognise(tmp_path / "bundle")
    put(tmp_path / "zz.tar.bz2", b"")
    with pytest.raises(TinyDecoupleError, match="bundle: an archive; unpack it first: tar xf bundle"):
        recognise(tmp_path)


FOREIGN = [  # file, what it holds, what is said: what it is and one command that converts it
    ("dev/ita_Latn.jsonl", b'{"text": "ciao"}\n{"text": "s\xc3\xac"}\n', "FLORES. as jsonl; .*python -c"),
    ("dev/ita_Latn.parquet", b"PAR1..", "FLORES. as parquet; .*python -c .*read_parquet"),
    ("rows.jsonl", b'{"a": 1}\n', "JSON lines; convert it: python -c .*lines=True"),
    ("rows", b'{"a": 1}\n{"a": 2}\n', "JSON lines; convert it"),
    ("all.json", b"[" + b'"text", ' * 400_000 + b'""]', "JSON; of MediaWiki's messages pass the folder"),
    ("rows.parquet", b"PAR1", "parquet; convert it: python -c .*read_parquet"), ("p", b"PAR1....", "parquet; convert"),
    ("t.xlsx", b"PK\x03\x04", "a spreadsheet; convert it: python -c .*read_excel"),
    ("t.xls", b"\xd0\xcf\x11\xe0", "spread"),
    ("t.7z", b"", "unpack it first: 7z x t.7z"), ("seven", b"7z\xbc\xaf\x27\x1c", "unpack it first: 7z x seven"),
    ("t.zst", b"", "unpack it first: zstd -d t.zst"), ("z", b"\x28\xb5\x2f\xfd", "unpack it first: zstd -d z"),
    ("t.tar.zst", b"", "unpack it first: tar xf"), ("t.zip", b"PK\x03\x04", "unpack it first: unzip t.zip"),
    ("t.tsv", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer, .* git lfs pull"),
    ("t.tsv", b"<!DOCTYPE html><html>", "a web page, not the data"), ("t.tmx", b"<?xml", "XML"),
]


@pytest.mark.parametrize("name, content, says", FOREIGN)
def test_a_file_of_another_format_is_named_with_the_command_that_converts_it(tmp_path, name, content, says):
    path = put(tmp_path / name, content)
    for place in {path, tmp_path} if path.suffix != ".json" else {path}:
        with pytest.raises(TinyDecoupleError, match=says) as caught:
            recognise(place)
        assert len(str(caught.value)) < 1200 and "\n" not in str(caught.value), "an error is one short line"


def test_the_command_for_flores_as_json_lines_makes_flores_of_it(tmp_path):
    for name in ("ita_Latn", "vec_Latn"):
        put(tmp_path / "dev" / f"{name}.jsonl", f'{{"text": "{name} \\u00e0"}}\n{{"text": "two"}}\n')
    with pytest.raises(TinyDecoupleError) as caught:
        recognise(tmp_path)
    code = str(caught.value).split('python -c "')[1].split('"); expected')[0].split('")')[0].rsplit('"', 1)[0]
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert recognise(tmp_path) == "flores"
    assert {row.text for row in collect("flores", tmp_path)[0]} == {"ita_Latn à", "vec_Latn à", "two"}


def test_what_is_neither_file_nor_folder(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TinyDecoupleError, match="pipe: neither a file nor a folder"):
        recognise(tmp_path / "pipe")


def test_two_copies_of_flores_are_not_mixed(tmp_path):
    for copy in ("flores200", "floresp"):
        for code in ("ita", "vec"):
            put(tmp_path / copy / "dev" / f"{code}_Latn.dev", "a\n")
    with pytest.raises(TinyDecoupleError, match="copies of FLORES in .*flores200 and .*floresp; pass one of them"):
        collect("flores", tmp_path, lenient=True)
    put(tmp_path / "one" / "dev" / "ita_Latn.dev", "a\n")
    put(tmp_path / "one" / "dev" / "ita_Latn.txt", "b\n")
    with pytest.raises(TinyDecoupleError, match="ita_Latn.txt: a second file of what .*ita_Latn.dev holds"):
        collect("flores", tmp_path / "one")


def test_an_unknown_folder_is_told_what_each_format_looks_like(tmp_path):
    with pytest.raises(TinyDecoupleError, match="the folder is empty") as caught:
        recognise(tmp_path)
    for part in ("key, variety, text", "MADAR.corpus.<City>.tsv", "dev/arz_Arab.dev", "i18n/<code>.json", "links.csv"):
        assert part in str(caught.value), f"{part} is not explained in: {caught.value}"
    assert "\n" not in str(caught.value), "an error is one line"
    put(tmp_path / "config.json", "{}")
    with pytest.raises(TinyDecoupleError, match="it has config.json"):
        recognise(tmp_path)
    with pytest.raises(TinyDecoupleError, match="nothing there"):
        recognise(tmp_path / "absent")


BAD_ROWS = [  # format, how its folder is spoilt, what strict says, what lenient counts
    ("tsv", LONG + "k\ten\thi\nk2\ten\t \n", r"c.tsv:3: empty text", "empty text"),
    ("tsv", LONG + "k\ten\thi\n\ten\thi\n", r"c.tsv:3: empty key", "empty key"),
    ("tsv", LONG + "k\ten\thi\nk2\t\thi\n", r"c.tsv:3: empty variety", "empty variety"),
    ("tsv", LONG + "k\ten\thi\nk2\ten\ta\ttab\n", r"c.tsv:3: 4 cells, but the header has 3", "ragged row"),
    ("tsv", LONG + "k\ten\thi\nk2\ten\n", r"c.tsv:3: 2 cells, but the header has 3", "ragged row"),
    ("tsv", LONG + "k\ten\thi\nk2\ten\t\0\n", r"c.tsv:3: a NUL byte", "NUL byte"),
    ("tsv", (LONG + "k\ten\thi\nk2\ten\tcaf").encode() + b"\xe9\n", r"c.tsv:3: byte 10 is not UTF-8", "not UTF-8"),
    ("tsv", "key\tvariety\ttext\tsplit\nk\ten\thi\tdev\nk2\ten\thi\ttrian\n",
     r"c.tsv:3: split 'trian'; expected one of train", "unknown split"),
    ("tsv", "key\ten\tmsa\nk\thi\t\nk2\t\t\n", r"c.tsv:3: empty text", "empty text"),
    ("tsv", "key\ten\tmsa\nk\thi\t\n\thi\thi\n", r"c.tsv:3: empty key", "empty key"),
]


@pytest.mark.parametrize("name, content, says, reason", BAD_ROWS)
def test_bad_rows_of_tsv_are_refused_by_line_or_counted(tmp_path, name, content, says, reason):
    path = put(tmp_path / "c.tsv", content)
    with pytest.raises(TinyDecoupleError, match=says):
        collect("tsv", path)
    rows, dropped = collect("tsv", path, lenient=True)
    assert [row.key for row in rows] == ["k"] and dropped == {reason: 1}


BAD_FOLDER_ROWS = [  # format, file name -> content, what strict says, what lenient counts, rows that lenient keeps
    ("madar", WHOLE | {"MADAR.corpus.Fes.tsv": MADAR_HEADER + ROW + "2\tcorpus-6-dev\tFES\ta\tb\n"},
     r"Fes.tsv:3: 5 cells, but the header has 4", "ragged row", 26),
    ("madar", WHOLE | {"MADAR.corpus.Fes.tsv": MADAR_HEADER + ROW + "2\tcorpus-6-dev\tFES\t\n"},
     r"Fes.tsv:3: empty sent", "empty text", 26),
    ("madar", WHOLE | {"MADAR.corpus.Fes.tsv": MADAR_HEADER + ROW + "\tcorpus-6-dev\tFES\tyes\n"},
     r"Fes.tsv:3: empty sentID.BTEC", "empty key", 26),
    ("madar", WHOLE | {"MADAR.corpus.Fes.tsv": MADAR_HEADER + ROW + "2\tcorpus-9-dev\tFES\tyes\n"},
     r"Fes.tsv:3: split 'corpus-9-dev'; expected one of corpus-6-train", "unknown split", 26),
    ("madar", WHOLE | {"MADAR.corpus.Gotham.tsv": MADAR_HEADER + ROW}, r"Gotham.tsv:2: neither .* 'GOT'",
     "unknown city", 26),
    ("madar", {name: text for name, text in WHOLE.items() if "Fes" not in name}, r"corpus.<City>.tsv for Fes;",
     "city without a file", 25),
    ("flores", {"dev/arb_Arab.dev": "a\nb\n", "dev/arz_Arab.dev": "a\n  \n"}, r"arz_Arab.dev:2: empty line",
     "empty text", 3),
    ("flores", {"dev/arb_Arab.dev": "a\nb\n", "dev/arz_Arab.dev": b"\xff\nb\n"}, r"arz_Arab.dev:1: byte 1 is not",
     "not UTF-8", 3),
    ("mediawiki", {"en.json": '{"a": "yes", "b": 3}'}, r"en.json: b: int instead of a text", "not a text", 1),
    ("mediawiki", {"en.json": '{"a": "yes", "b": "n\\u0000o"}'}, r"en.json: b: a NUL", "NUL byte", 1),
    ("mediawiki", {"en.json": '{"a": "yes", "b": "no\\ud83d"}'}, r"en.json: b: a NUL, half a char", "NUL byte", 1),
    ("mediawiki", {"en.json": '{"a": "yes", "b\\t": "no"}'}, r"or a tab in the key", "NUL byte", 1),
    ("tatoeba", LINKS | {"sentences.csv": "1\teng\tYes.\n2\tarz\tاه\n3\tarz\ta\tb\n"},
     r"sentences.csv:3: expected an id", "ragged row", 2),
    ("tatoeba", LINKS | {"sentences.csv": "1\teng\tYes.\n2\tarz\tاه\nx\tarz\ta\n"},
     r"sentences.csv:3: expected an id", "ragged row", 2),
    ("tatoeba", LINKS | {"sentences.csv": "1\teng\tYes.\n2\tarz\tاه\n3\tarz\t\n"},
     r"sentences.csv:3: empty sentence", "empty text", 2),
    ("tatoeba", SENTENCES | {"links.csv": "1\t2\n1\t2\t3\n"}, r"links.csv:2: expected two", "ragged row", 2),
    ("tatoeba", SENTENCES | {"links.csv": "1\t2\n1\t" + "2" * 9000 + "\n"}, r"links.csv:2: expected", "ragged row", 2),
    ("tatoeba", SENTENCES | {"links.csv": "1\t2\n1\ttwo\n"}, r"links.csv:2: expected two", "ragged row", 2),
]


@pytest.mark.parametrize("name, files, says, reason, kept", BAD_FOLDER_ROWS)
def test_bad_rows_of_a_folder_are_refused_by_line_or_key_or_counted(tmp_path, name, files, says, reason, kept):
    for file, content in files.items():
        put(tmp_path / file, content)
    with pytest.raises(TinyDecoupleError, match=says):
        collect(name, tmp_path)
    rows, dropped = collect(name, tmp_path, lenient=True)
    assert len(rows) == kept and dropped == {reason: 1}, f"got {len(rows)} rows, {dropped}; is the row counted twice?"


FATAL = [  # format, file name -> content, what is said, lenient or not
    ("tsv", {}, r"cannot read this corpus \(.*\); pass a TSV file"),
    ("tsv", {"corpus": ""}, r"corpus:1: columns found: ; expected key, variety, text"),
    ("tsv", {"corpus": "key\tlang\ttext\n"}, r"corpus:1: columns found: key, lang, text; expected key, variety, text"),
    ("tsv", {"corpus": "key\tvariety\ttext\ttext\n"}, r"corpus:1: columns found"),
    ("tsv", {"corpus": "key,variety,text\n"}, r"corpus:1: columns found.*separated by tabs, not commas"),
    ("tsv", {"corpus": "key\tsplit\ten\n"}, r"corpus:1: columns found: key, split, en; .* per variety, two at"),
    ("tsv", {"corpus": "key\ten\t\tmsa\n"}, r"corpus:1: columns found"),
    ("tsv", {"corpus": LONG.encode("utf-16")}, r"corpus:1: byte 1 is not UTF-8"),
    ("tsv", {"corpus": LONG.encode("utf-16-le")}, r"corpus:1: a NUL byte .* UTF-16"),
    ("tsv", {"corpus": "key\tvariety\ttext\rk\ten\thi\r"}, r"corpus: its lines end in CR alone.*tr '.r' '.n' < corpus"),
    ("tsv", {"corpus": "\nkey\tvariety\ttext\n"}, r"corpus:1: columns found: ; .*empty or begins with an empty line"),
    ("tsv", {"corpus": "Where is the station?\tأين المحطة؟\nYes\tنعم\n"}, r"corpus:1: .*a line of text where the"),
    ("tsv", {"corpus": "x" * 3_000_000 + "\tb\n"}, r"corpus:1: x{100} …: a line of text where the header should be"),
    ("tsv", {"corpus": "key;variety;text\n"}, r"separated by tabs, not semicolons"),
    ("plain", {"corpus/x.txt": "x"}, r"corpus: no aligned files here; expected name.de and name.nds"),
    ("plain", {"corpus/a.de": "x\ny\n", "corpus/a.nds": "x\n"}, r"a.nds: 1 lines, but .*a.de has 2; line n must be"),
    ("plain", {"corpus/a.de": "x\ry\r", "corpus/a.nds": "x\ry\r"}, r"a.de: its lines end in CR alone"),
    ("madar", {}, r"corpus: nothing there; pass the folder"),
    ("madar", {"corpus": "x"}, r"corpus: a file; pass the folder"),
    ("madar", {"corpus/x.tsv": "x"}, r"corpus: no MADAR files here; expected MADAR.corpus.<City>.tsv"),
    ("madar", {f"corpus/{name}": "id\tsent\n" for name in WHOLE},
     r"Aleppo.tsv:1: columns found: id, sent; expected sentID.BTEC, split, lang, sent"),
    ("madar", {"corpus/MADAR-Corpus-26-dev.tsv": "a\tCAI\nb\tMSA\nc\tCAI\n"},
     r"26-dev.tsv: shared-task files carry no sentence ids.*get MADAR_Corpus"),
    ("madar", {"corpus/MADAR-Corpus-26-dev.tsv": "a one\tCAI\na two\tCAI\nb two\tMSA\nb one\tMSA\n"},
     r"26-dev.tsv: shared-task .* the order of the rows does not show which belong together"),
    ("flores", {"corpus/x": "x"}, r"corpus: no FLORES files here; expected dev/arz_Arab.dev"),
    ("flores", {"corpus/dev/arb_Arab.dev": "a\nb\n", "corpus/dev/arz_Arab.dev": "a\n"},
     r"arz_Arab.dev: 1 lines, but .*arb_Arab.dev has 2; line n must be the same sentence"),
    ("mediawiki", {"corpus/x": "x"}, r"corpus: no message files here; expected i18n/<code>.json"),
    ("mediawiki", {"corpus/en.json": '{\n"a": "yes",\n"b": "n'}, r"en.json:3:6: JSON does not parse .*cut off"),
    ("mediawiki", {"corpus/en.json": b'{\n"a": "\xe9"}'}, r"en.json:2: byte 9 of the file is not UTF-8"),
    ("mediawiki", {"corpus/en.json": "[" * 100_000}, r"en.json:1: JSON without messages .RecursionError"),
    ("mediawiki", {"corpus/en.json": '{"a": ' + "1" * 9000 + "}"}, r"en.json:1: JSON without messages .ValueError"),
    ("mediawiki", {"corpus/en.json": "[1]"}, r"en.json:1: JSON without messages"),
    ("tatoeba", {"corpus/links.csv": "1\t2\n"}, r"corpus: no sentences.csv here"),
    ("tatoeba", {"corpus/sentences.csv": "1\teng\tYes.\n"}, r"corpus: no links.csv here"),
    ("tatoeba", {"corpus/links.csv": "1\t2\n", "corpus/sentences.csv": "1\tdeu\tJa.\n2\tarz\tاه\n3\tarz\tلا\n"},
     r"no sentence in 'eng'; codes there, the most frequent first: arz, deu"),
]


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("name, files, says", FATAL)
def test_what_no_row_can_be_blamed_for_is_an_error_even_when_lenient(tmp_path, name, files, says, lenient):
    for file, content in files.items():
        put(tmp_path / file, content)
    with pytest.raises(TinyDecoupleError, match=says) as caught:
        collect(name, tmp_path / "corpus", lenient)
    assert "\n" not in str(caught.value), "an error is one line"


def test_missing_cities_are_all_named_and_each_counted(tmp_path):
    for file, content in WHOLE.items():
        if not any(city in file for city in ("Cairo", "MSA", "Tunis")):
            put(tmp_path / file, content)
    with pytest.raises(TinyDecoupleError, match=r"for Cairo, Tunis, MSA; add the files"):
        collect("madar", tmp_path)
    assert collect("madar", tmp_path, lenient=True)[1] == {"city without a file": 3}


def test_a_line_that_breaks_inside_a_text_is_unicode_and_no_line_end(tmp_path):
    path = put(tmp_path / "c.tsv", LONG + "k\ten\tone\u2028two\x85three\n")
    assert [row.text for row in collect("tsv", path)[0]] == ["one\u2028two\x85three"]


def test_of_a_message_that_comes_twice_the_last_counts_as_in_mediawiki(tmp_path):
    """PHP's json_decode, which reads MediaWiki's messages, keeps the last; keys within @metadata are no messages."""
    put(tmp_path / "en.json", '{"@metadata": {"authors": [], "authors": []}, "about": "About", "help": "Help", '
                              '"about": "Again", "about": "Last"}')
    for lenient in (False, True):
        rows, dropped = collect("mediawiki", tmp_path, lenient=lenient)
        texts = {row.key: row.text for row in rows}
        assert texts == {"about": "Last", "help": "Help"}, f"got {texts}; is an earlier message kept?"
        assert dropped == {"earlier message of a key that comes twice": 2}, "a message is passed over in silence"
