"""Corpora that mean harm, or were damaged: time grows with their length, nothing hangs, one line says what is wrong."""

import json
import os
from time import process_time
from unicodedata import normalize

import pytest

from tinydecouple.cli import main
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.formats.common import Reading
from tinydecouple.text.formats.mediawiki import plain_text
from tinydecouple.text.hygiene import NFC, clean
from tinydecouple.text.phrasebook.tables import FILES, read_table
from tinydecouple.text.readers import FORMATS, CorpusOptions, load_corpus
from tinydecouple.text.splits import fold

posix = pytest.mark.skipif(os.name != "posix", reason="pipes and devices as POSIX has them")
PATTERNS = {  # a text of n characters that a careless pattern takes the square of n for
    "nested links": lambda n: "[" * (n // 2) + "]" * (n // 2),
    "nested templates": lambda n: "{{PLURAL:$1|" * (n // 14) + "}}" * (n // 14),
    "nested labels": lambda n: "[ a" * (n // 4) + "]" * (n // 4),
    "links in templates": lambda n: "{{[[" * (n // 8) + "]]}}" * (n // 8),
    "open brackets": lambda n: "[[" * (n // 2),
    "comments without end": lambda n: "<!--" * (n // 4),
    "tags without end": lambda n: "<a " * (n // 3),
    "switches without end": lambda n: "__A" * (n // 3),
    "urls without end": lambda n: "[https:" * (n // 7),
    "spaces": lambda n: "a" + " \u00a0" * (n // 2),
    "joiners": lambda n: "ب" + "\u200d\u200c" * (n // 2),
    "joiners and marks": lambda n: "ب\u200d\u0651\u200b \u0650" * (n // 6),
    "marks in two minds": lambda n: "a" + "\u0301\u0316" * (n // 2),
    "marks in the wrong order": lambda n: "a" + "\u0301" * (n // 2) + "\u0316" * (n // 2),
    "marks on one letter": lambda n: "ك" + "\u064e\u0651" * (n // 2),
}


def seconds(call, text):
    start = process_time()
    call(text)
    return process_time() - start


@pytest.mark.parametrize("call", [plain_text, clean, fold], ids=lambda call: call.__name__)
@pytest.mark.parametrize("name", PATTERNS)
def test_time_grows_with_the_length_of_a_text(name, call):
    """Four times the text: four times as long, not sixteen times."""
    short, long = (seconds(call, PATTERNS[name](n)) for n in (20_000, 80_000))
    assert long < 8 * short + 0.1, f"{name}: {short:.2f} s for 20,000 characters, {long:.2f} s for 80,000: quadratic"


@pytest.mark.parametrize("message, text", [
    ("a<!-- x -->b<!---->c", "abc"), ("a<!-- x", "a<!-- x"), ("<!-- a <b> --> -->", "-->"), ("<!-->a-->b", "b"),
    ("&#" + "1" * 5000 + ";!", "\ufffd!"), ("&#65;&#x42;", "AB"),
    ("{{PLURAL:$1|[[a|{{GENDER:$1|x|y}}]]|[[b|{{GENDER:$1|v|w}}]]}}", "w"),
])
def test_markup_that_python_or_a_pattern_would_trip_over(message, text):
    assert plain_text(message) == text, f"got {plain_text(message)[:80]!r}, expected {text!r}"


def test_piled_up_marks_come_out_as_unicode_says():
    """The short way gives what `normalize` gives, and the change has its name."""
    for pile in ("a" + "\u0316\u0301" * 40, "\u1100\u1161 e" + "\u0301" * 20 + "\u0323\u0345" * 20 + "é",
                 "\u0344" * 50):
        assert clean(pile)[0] == normalize("NFC", pile), f"{pile[:9]!a}…: got {clean(pile)[0]!a}"
        assert NFC in clean(pile)[1]


ONE = {  # format -> files of a corpus that it recognises
    "tsv": ["c.tsv"], "madar": ["MADAR.corpus.Cairo.tsv"], "flores": ["dev/arb_Arab.dev", "dev/arz_Arab.dev"],
    "tatoeba": ["sentences.csv", "links.csv"], "mediawiki": ["i18n/en.json"], "plain": ["a.de", "a.nds"]}


def path_of(name, folder):
    return folder / ONE[name][0] if name == "tsv" else folder


@posix
@pytest.mark.parametrize("what", ["pipe", "device", "folder"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_pipe_a_device_or_a_folder_in_a_files_place(tmp_path, name, what):
    """Opened, a pipe would be waited for without end, and /dev/zero fills the memory."""
    for file in ONE[name]:
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        if what == "pipe":
            os.mkfifo(path)
        elif what == "device":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()
    for chosen in ("auto", name):
        with pytest.raises(TinyDecoupleError) as error:
            load_corpus(CorpusOptions(str(path_of(name, tmp_path)), format=chosen, standard="a", lenient=True))
        assert "\n" not in str(error.value)


@posix
def test_a_pipe_or_a_device_among_the_phrasebooks_tables(tmp_path):
    os.mkfifo(tmp_path / FILES[0])
    (tmp_path / FILES[1]).symlink_to("/dev/zero")
    for name in FILES[:2]:
        with pytest.raises(TinyDecoupleError, match="is a device or a pipe"):
            list(read_table(tmp_path / name, ("code",)))


@pytest.mark.parametrize("content, says", [
    ('{"a": ' + "[" * 100_000, "JSON without messages"), ("[" * 100_000 + "]" * 100_000, "JSON without messages"),
    ('{"a": ' * 50_000 + "1" + "}" * 50_000, "JSON without messages"),
    ('{"a": ' + "9" * 5000 + "}", "JSON without messages"), ('{"a": 1e999}', "float instead of a text"),
    ('{"a": NaN}', "float instead of a text"), ('"a"', "JSON without messages"), ("", "JSON does not parse")])
def test_json_that_python_cannot_hold(tmp_path, content, says):
    (tmp_path / "en.json").write_text(content, encoding="utf-8")
    with pytest.raises(TinyDecoupleError, match=says):
        list(FORMATS["mediawiki"].read([tmp_path], Reading()))


def test_a_key_of_100000_letters_is_not_compared_with_every_other(tmp_path, capsys):
    """difflib takes the product of two lengths."""
    rows = "".join(f"{'ab' * 50_000}{i}\t{v}\tt {i}\n" for i in range(3) for v in ("std", "dia"))
    (tmp_path / "c.tsv").write_text("key\tvariety\ttext\n" + rows, encoding="utf-8")
    start = process_time()
    with pytest.raises(SystemExit):
        main(["corpus", str(tmp_path / "c.tsv"), "--standard", "std", "--show", "ba" * 40_000])
    assert process_time() - start < 5
    assert len(capsys.readouterr().err) < 1000, "a message as long as the key"


def test_json_keys_and_values_of_every_kind(tmp_path):
    """Lenient reading counts what is no text; nothing of it ends in a traceback."""
    odd = {"null": None, "list": [1], "number": 10**400, "deep": {"a": {}}, "half": "\ud800", "nul": "a\0b", "": "text",
           "long": "x" * 10_000, "good": "text"}
    (tmp_path / "en.json").write_text(json.dumps(odd).replace(str(10**400), "1e5"), encoding="utf-8")
    reading = Reading(lenient=True)
    kept = {row.key for row in FORMATS["mediawiki"].read([tmp_path], reading)}
    assert kept == {"", "long", "good"} and sum(reading.left_out.values()) == 6
