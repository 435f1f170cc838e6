"""Text and names enter by many doors; what prints alike must be one thing behind each of them."""

import io
import sys
import unicodedata
from dataclasses import replace

import pytest
import torch

from tinydecouple.cli import main
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.hygiene import visible
from tinydecouple.text.readers import CorpusOptions, load_corpus

WORDS = [f"{a}{b}" for a in "abcdefgh" for b in "klmnop"]
MARKS = {  # a mark that nobody sees -> put into a name
    "byte-order mark": "\ufeff{}", "right-to-left mark": "{}\u200f", "isolates": "\u2067{}\u2069",
    "no-break space": "\u00a0{}", "zero-width space": "{}\u200b", "soft hyphen": "{}\u00ad",
    "line separator": "{}\u2028", "inner CR": "{}\r", "spaces": "  {} ", "joiner": "{}\u200d",
    "vowel separator": "{}\u180e", "NUL of another kind": "{}\x7f"}


def long_tsv(path, spoil=lambda i, cells: cells, header="key\tvariety\ttext\tsplit"):
    rows = [spoil(i, [f"k\u00e9{i:02d}", v, f"{v} {word}", ("train", "dev", "test", "train")[i % 4]])
            for i, word in enumerate(WORDS) for v in ("en", "std", "egy")]
    path.write_bytes(("\n".join([header, *("\t".join(row) for row in rows)]) + "\n").encode())
    return CorpusOptions(str(path), standard="std", pivot="en")


@pytest.mark.parametrize("column", [0, 1, 2, 3], ids=["key", "variety", "text", "split"])
@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_that_nobody_sees_changes_no_corpus(tmp_path, mark, column):
    """Every third row is spoilt, so that a key, a variety or a split would fall into two that print alike."""
    def spoil(i, cells):
        return [MARKS[mark].format(cell) if c == column and i % 3 == 0 else cell for c, cell in enumerate(cells)]

    clean, dirty = load_corpus(long_tsv(tmp_path / "a.tsv")), load_corpus(long_tsv(tmp_path / "b.tsv", spoil))
    assert dirty == clean, f"a {mark} in a {('key', 'variety', 'text', 'split')[column]} made another corpus"


def test_keys_in_nfd_are_the_keys_in_nfc(tmp_path):
    """Ten keys of one variety in NFD fell out of their pairs and could put one meaning on two sides of a split."""
    def spoil(i, cells):
        return [unicodedata.normalize("NFD", cells[0]) if i < 10 and cells[1] == "egy" else cells[0], *cells[1:]]

    clean, dirty = load_corpus(long_tsv(tmp_path / "a.tsv")), load_corpus(long_tsv(tmp_path / "b.tsv", spoil))
    assert dirty == clean and dirty.notes["cleaned in keys: Unicode NFC"] == 10


def test_marks_are_stripped_from_texts_and_not_from_keys(tmp_path):
    """A vowel may be all that two keys differ in; a text without it is what `strip_marks` asks for."""
    def spoil(i, cells):
        return [f"{cells[0]}\u0645\u064e", cells[1], f"{cells[2]} \u0645\u064e", cells[3]]

    corpus = load_corpus(replace(long_tsv(tmp_path / "c.tsv", spoil), strip_marks=True))
    assert corpus.texts["k\u00e900\u0645\u064e"]["egy"] == f"egy {WORDS[0]} \u0645"


@pytest.mark.parametrize("mark", MARKS)
def test_headers_are_cleaned_and_two_that_print_alike_are_refused_with_the_mark_made_visible(tmp_path, mark):
    body = "".join(f"k{i}\ten {w}\tstd {w}\tegy {w}\n" for i, w in enumerate(WORDS))
    spoilt = MARKS[mark].format("egy")
    path = tmp_path / "c.tsv"
    path.write_bytes(f"key\ten\tstd\t{spoilt}\n{body}".encode())
    assert load_corpus(CorpusOptions(str(path), standard="std", pivot="en")).dialects == ("egy",)
    path.write_bytes(f"egy\ten\tstd\t{spoilt}\n{body}".encode())
    with pytest.raises(TinyDecoupleError, match="c.tsv:1: columns found: .*each may stand once") as caught:
        load_corpus(CorpusOptions(str(path), standard="std", pivot="en"))
    assert mark in ("inner CR", "spaces") or "<U+" in str(caught.value), f"{mark} is not made visible: {caught.value}"


@pytest.mark.parametrize("mark", MARKS)
def test_names_in_options_are_cleaned(tmp_path, mark):
    path = long_tsv(tmp_path / "c.tsv").corpus
    put = MARKS[mark].format
    corpus = load_corpus(CorpusOptions(path, standard=put("std"), pivot=put("en"), varieties=put("egy")))
    assert corpus.varieties == ("en", "std", "egy")
    assert CorpusOptions(regions=put("gulf")).regions == "gulf"


@pytest.mark.parametrize("unseen, named", [
    ("\ufe0f", "U+FE0F VARIATION SELECTOR-16"), ("\u3164", "U+3164 HANGUL FILLER"),
    ("\u034f", "U+034F COMBINING GRAPHEME JOINER")])
def test_what_cleaning_keeps_but_nobody_sees_is_refused_in_a_name(tmp_path, unseen, named):
    options = long_tsv(tmp_path / "c.tsv", lambda i, cells: [cells[0], cells[1] + unseen * (i == 7), *cells[2:]])
    with pytest.raises(TinyDecoupleError) as caught:
        load_corpus(options)
    assert "c.tsv:23: variety" in str(caught.value) and named in str(caught.value), caught.value


def test_visible_writes_out_what_nobody_sees_and_nothing_else():
    assert visible("egy\u200f \u0645\u064e\u0631 e\u00a0f") == \
        "egy<U+200F RIGHT-TO-LEFT MARK> \u0645\u064e\u0631 e<U+00A0 NO-BREAK SPACE>f"


class Recorder:
    """Stands in for a tokeniser and notes what reaches it."""

    def __init__(self):
        self.seen, self.end = [], 0

    def decode(self, outputs):
        return ["out"] * len(self.seen)


def translated(monkeypatch, text, strip_marks, source="std"):
    """(what reaches the model, what is printed) when `translate` reads text."""
    from tinydecouple import commands

    recorder, printed = Recorder(), io.StringIO()
    monkeypatch.setattr(commands, "load_model", lambda run, device: (
        None, recorder, {"corpus": {"strip_marks": strip_marks}}))

    def prompt(tokenizer, *arguments):
        recorder.seen, recorder.names = arguments[-1], arguments[:-1]
        return arguments[-1]

    monkeypatch.setattr(commands, "prompt", prompt)
    monkeypatch.setattr(commands, "decode", lambda *arguments: [])
    monkeypatch.setattr(commands, "pick_device", lambda name: torch.device("cpu"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))
    monkeypatch.setattr(sys, "stdout", printed)
    main(["translate", "run", "--source", source, "--target", "egy\u200f"])
    return recorder, printed.getvalue()


@pytest.mark.parametrize("mark", MARKS)
def test_translate_cleans_standard_input_as_the_corpus_was_cleaned(monkeypatch, mark):
    recorder, printed = translated(monkeypatch, MARKS[mark].format("cafe\u0301 noir") + "\n\u200f\nb\u00a0c\n", False,
                                   MARKS[mark].format("std"))
    assert recorder.seen == ["caf\u00e9 noir", "b c"], f"a {mark} reached the model: {recorder.seen!a}"
    assert recorder.names == ("std", "egy"), f"names reached the model as {recorder.names!a}"
    assert printed == "out\n\nout\n", "a line with nothing to translate gives an empty line"


@pytest.mark.parametrize("strip_marks, expected", [(True, "\u0645\u0631"), (False, "\u0645\u064e\u0640\u0631")])
def test_translate_takes_marks_out_as_its_run_did(monkeypatch, strip_marks, expected):
    assert translated(monkeypatch, "\u0645\u064e\u0640\u0631\n", strip_marks)[0].seen == [expected]


def test_the_key_of_show_is_cleaned(tmp_path, capsys):
    path = long_tsv(tmp_path / "c.tsv").corpus
    main(["corpus", path, "--standard", "std", "--show", "ke\u030103\u200f"])
    assert f"std      std {WORDS[3]}" in capsys.readouterr().out
