"""What a slip in a table costs: one line that names the file, the line, the column and the remedy."""

import re
import unicodedata

import pytest

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.phrasebook.inflection import FORMS, GRAMMAR
from tinydecouple.text.phrasebook.meanings import TABLES, Meaning, meanings, render
from tinydecouple.text.phrasebook.tables import FILES, PARTS
from tinydecouple.text.phrasebook.templates import read_tables


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize("file, old, new, says", [
    ("templates.tsv", "nearest {place}", "nearest {plaec}", r"\d+: column text: unknown slot {plaec}; slots here are"),
    ("templates.tsv", "nearest {place}", "nearest {place", r"\d+: column text: an unbalanced brace"),
    ("templates.tsv", "nearest {place}", "nearest {place thep}", r"\d+: column text: .* a noun takes {name form whom}"),
    ("templates.tsv", "{near a}", "{near}", r"\d+: column text: {near} lacks agreement information; name the slot"),
    ("templates.tsv", "{map the}", "{}", r"\d+: column text: unknown slot {}"),
    ("templates.tsv", "nearest\tdialect", "nearest\tparis", r"\d+: column variety: unknown city or region 'paris'"),
    ("templates.tsv", "nearest\tdialect", "nearest\tmsa", r"\d+: column variety: 'msa' has a row above for 'nearest'"),
    ("templates.tsv", "nearest\tdialect", "newest\tdialect", r"\d+: column template: 'newest' has no row in meanings"),
    ("meanings.tsv", "nearest\t", "latest\t", r"|templates.tsv:\d+: column template: 'nearest' has no row"),
    ("meanings.tsv", "noun.place\tyou", "noun.place\t", r"2: column agreement: '=2s'; write name=value"),
    ("meanings.tsv", "\tyou=2s", "\t", r"2: column agreement: the cell is empty; fill it in"),
    ("meanings.tsv", "place=noun.place", "place=noun.palce", r"2: column slots: 'noun.palce' is neither a concept"),
    ("meanings.tsv", "you=2s", "you=5x", r"2: column agreement: you=5x: persons are 1s, 2s"),
    ("lexicon.tsv", "concept\tkind", "concept\tsort", r"1: column 'kind' is missing"),
    ("lexicon.tsv", "\tale\t", "\tparis\t", r"1: column 'paris' is unknown; columns are concept"),
    ("lexicon.tsv", "house|houses\tبيت|m|بيوت", "house|houses\t", r"\d+: column msa: the cell is empty; fill it in"),
    ("lexicon.tsv", "house|houses\tبيت|m|بيوت", "house|houses\tبيت|بيوت",
     r"\d+: column msa: .* has 2 parts; a noun has 3: singular\|gender\|plural"),
    ("lexicon.tsv", "house|houses\tبيت|m|بيوت", "house|houses\tبيت|x|بيوت", r"\d+: column msa: .* has no gender"),
    ("lexicon.tsv", "house|houses\tبيت|m|بيوت", "house|houses", r"\d+: 36 cells, but the header has 37"),
    ("lexicon.tsv", "door|doors\tباب|m|أبواب", "door|doors\tباب|m|-", r"|templates.*{r count n}: 'door' has no plural"),
    ("lexicon.tsv", "\nhouse\tnoun.home", "\nhouse\tnuon.home", r"\d+: column kind: 'nuon' is not one of noun"),
    ("lexicon.tsv", "\nhouse\t", "\nhotel\t", r"\d+: column concept: 'hotel' has a row above"),
    ("lexicon.tsv", "house|houses\tبيت|m|بيوت", "house|houses\t-|m|بيوت", r"\d+: column msa: .* has no singular"),
    ("lexicon.tsv", "\thouse|houses\t", "\t-|-\t", r"\d+: column en: .* has neither singular nor plural"),
    ("lexicon.tsv", "\nnum-10\t", "\nnum-ten\t", r"\d+: column concept: 'num-ten': name a numeral num-"),
    ("meanings.tsv", "place=noun.place\tyou", "place=noun.place,go\tyou", r"2: column slots: .* of several kinds"),
    ("meanings.tsv", "place=noun.place\tyou", "place=bank place=shop\tyou", r"2: column slots: place or one of its"),
    ("meanings.tsv", "you=2s", "you=2s,2s", r"2: column agreement: you or one of its values is named twice"),
    ("meanings.tsv", "place=noun.place\tyou", "place=noun.place idle=noun.place\tyou", r"2: column slots: no text of"),
    ("templates.tsv", "{find notpast subj}", "{find notpast num-3}", r"\d+: column text: .* only the forms count"),
    ("templates.tsv", "{pronoun subj}", "{pronoun not subj}", r"\d+: column text: .* no row 'neg-pronoun'"),
    ("templates.tsv", "{item with adj}", "{item with bank}", r"\d+: column text: .* name a slot of adjectives"),
    ("templates.tsv", "nearest\tmsa\t", "nearest\tmsa\thello ", r"\d+: column text: Latin letters outside a slot"),
    ("varieties.tsv", "\nfes\t", "\nrab\t", r"3: column code: 'rab' is taken"),
    ("lexicon.tsv", "\nowner\t", "\nowners\t", r" column concept: no row 'owner' of kind person"),
    ("meanings.tsv", "lock+dirty", "lock", r"\d+: column never: 'lock'; write concepts,concepts.concepts,concepts"),
    ("meanings.tsv", "lock+dirty", "lock+drity", r"\d+: column never: 'drity' is neither a concept nor a group"),
    ("meanings.tsv", "lock+dirty", "lock+hotel", r"\d+: column never: 'lock.hotel' keeps 'hotel' apart, which no slot"),
    ("varieties.tsv", "region", "land", r"1: column 'region' is missing"),
    ("varieties.tsv", "\nale\t", "\nalp\t", r"|lexicon.tsv:1: column 'ale' is unknown"),
])
def test_a_slip_in_a_table_is_told_by_file_line_and_column(tables, file, old, new, says):
    edit(tables / file, old, new)
    with pytest.raises(TinyDecoupleError, match=says[1:] if says[0] == "|" else f"{file}:{says}"):
        read_tables(tables, FORMS, GRAMMAR)


def test_a_missing_table(tables):
    (tables / "lexicon.tsv").unlink()
    with pytest.raises(TinyDecoupleError, match="lexicon.tsv: cannot read this table .No such file"):
        read_tables(tables, FORMS, GRAMMAR)


def test_a_new_word_is_said_at_once(tables):
    """What a student does first: change a cell, and see it in the sentence."""
    edit(tables / "lexicon.tsv", "فندق|m|فنادق", "نزل|m|نزول")
    changed = read_tables(tables, FORMS, GRAMMAR)
    assert render(changed, Meaning("is-far", {"place": "hotel"}), "msa") == "هل النزل بعيد عن هنا؟"


@pytest.mark.parametrize("file, old, new", [
    ("varieties.tsv", "\ncai\t", "\ncai\u200f\t"),                   # a direction mark behind a code
    ("varieties.tsv", "code\t", "\ufeffcode\t"),                      # a byte-order mark
    ("lexicon.tsv", "\tcai\t", "\tcai\u200f\t"),                      # in a header
    ("lexicon.tsv", "فندق|m|فنادق", "ف\u200eندق|m|فنادق"),             # in a cell
    ("lexicon.tsv", "أبي|", unicodedata.normalize("NFD", "أبي|")),       # a letter and its hamza apart
    ("lexicon.tsv", "\nhotel\t", "\nho\u00adtel\t"),                   # a soft hyphen in a concept
    ("templates.tsv", "where is {place the}", "where is\u00a0 {place the}"),  # a no-break space and another
    ("meanings.tsv", "\nis-far\t", "\nis-far\u2066\t"),                # an isolate behind a template's name
])
def test_a_mark_that_nobody_sees_changes_nothing(book, tables, file, old, new):
    """Text that enters by the tables is cleaned as a corpus is: keys, codes and sentences stay the same."""
    edit(tables / file, old, new)
    assert vars(read_tables(tables, FORMS, GRAMMAR)) == vars(book)


def test_two_rows_that_look_the_same_are_the_same(tables):
    edit(tables / "varieties.tsv", "\nfes\t", "\nrab\u200f\t")
    with pytest.raises(TinyDecoupleError, match=r"varieties.tsv:3: column code: 'rab' is taken"):
        read_tables(tables, FORMS, GRAMMAR)


def test_tables_in_nfd_make_the_same_keys(book, tables):
    for name in FILES:
        text = (tables / name).read_text(encoding="utf-8")
        (tables / name).write_text(unicodedata.normalize("NFD", text), encoding="utf-8")
    changed = read_tables(tables, FORMS, GRAMMAR)
    assert [m.key for m in meanings(changed)] == [m.key for m in meanings(book)]
    assert vars(changed) == vars(book)


def test_every_cell_is_filled(book):
    silent = {"is-it", "gen", "gen-my", "gen-your", "weak-final", "past-suffix", "past-weak", "past-weak-i",
              "bare-suffix", "now-suffix", "to-place"}  # where nothing said is an answer
    for concept, entry in book.lexicon.items():
        assert set(entry.forms) == set(book.varieties), f"{concept} lacks a variety"
        for variety, parts in entry.forms.items():
            assert len(parts) == len(PARTS[entry.kind][variety != "en"])
            optional = entry.kind in ("noun", "verb") or concept in silent
            assert optional or all(parts), f"{concept} in {variety}: {parts}"
            assert parts[0] or concept in silent or variety == "en", f"{concept} in {variety} says nothing"


def test_the_datasheet_tells_what_the_tables_hold(book):
    sheet = (TABLES.parent / "DATASHEET.md").read_text(encoding="utf-8")
    every = len(meanings(book))
    for number, what in ((len(book.templates), "templates"), (len(book.lexicon), "concepts"), (every, "distinct")):
        assert f"{number:,} {what}" in sheet, f"the datasheet does not say {number:,} {what}"
    listed = dict(re.findall(r"^- .*? \(`(\w+)`\): ((?:.|\n)*?)\.$", sheet, re.MULTILINE))
    unsure: dict[str, list[str]] = {}
    for row in (TABLES / "lexicon.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        concept, *_, doubtful = row.split("\t")
        for name in doubtful.split():
            unsure.setdefault(name, []).append(concept)
    assert {name: set(" ".join(concepts.split()).split(", ")) for name, concepts in listed.items()} == \
        {name: set(concepts) for name, concepts in unsure.items()}, "the datasheet's doubtful forms are not the tables'"
