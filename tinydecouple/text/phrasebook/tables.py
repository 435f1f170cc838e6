"""The phrasebook's tables: read and checked cell by cell; an error names file, line and column.

Four TSV files in one folder (data_samples/phrasebook/README.md says how to edit them):
varieties.tsv   code, city, country, region
lexicon.tsv     one row per concept, one column per variety; a city's empty cell takes its region's form
meanings.tsv    one row per template: its domain, its slots, what agrees with whom, what is kept apart
templates.tsv   how a variety says a template; the most specific of city, region, dialect is taken
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import read_regular
from tinydecouple.text.hygiene import clean

PERSONS = ("1sm", "1sf", "2sm", "2sf", "3sm", "3sf", "1p", "3p")  # person, number, gender: how words agree
PARTS = {  # kind: the parts of a cell, separated by |; in English and in any Arabic variety
    "noun": (("singular", "plural"), ("singular", "gender", "plural")),
    "adj": (("word",), ("masculine", "feminine", "plural")),
    "verb": (("base", "past", "participle", "ing"), ("past", "imperfect", "imperative")),
    "kin": (("word",), ("mine", "base", "gender")),
    "name": (("name",), ("name", "gender")),
    "num": (("numeral",), ("with a masculine noun", "with a feminine noun")),
    "word": (("text",), ("text",)),
    "gender": (("text",), ("masculine", "feminine")),
    "person": (("text",), PERSONS),
}
HIDDEN = {"1s": ("1sm", "1sf"), "2s": ("2sm", "2sf")}  # genders that English does not mark; the key decides
FILES = ("varieties.tsv", "lexicon.tsv", "meanings.tsv", "templates.tsv")


@dataclass(frozen=True)
class Entry:
    """A concept: forms[variety] holds the parts of its cell."""

    group: str                          # such as noun.drink
    forms: dict[str, tuple[str, ...]]

    @cached_property
    def kind(self) -> str:
        return self.group.split(".")[0]


@dataclass(frozen=True)
class Slot:
    """`{name form ref}` of a template: a concept or slot, the form it takes, whom it agrees with."""

    name: str
    form: str = ""
    ref: str = ""


@dataclass(frozen=True)
class Template:
    """One thing that can be said: slots and persons with their possible values, and the text of every variety."""

    domain: str
    slots: dict[str, tuple[str, ...]]
    agreement: dict[str, tuple[str, ...]]
    never: set[frozenset[str]]              # pairs of concepts that no meaning holds together
    texts: dict[str, tuple[str | Slot, ...]]


@dataclass(frozen=True, eq=False)  # the same only if it is the same object, and so a key of a cache
class Tables:
    cities: dict[str, dict[str, str]]   # code -> its row of varieties.tsv
    lexicon: dict[str, Entry]
    templates: dict[str, Template]

    @property
    def varieties(self) -> tuple[str, ...]:
        return ("en", "msa", *self.cities)


def slip(where: str, column: str, text: str) -> TinyDecoupleError:
    """The error for a mistake in a cell. where: file and line."""
    return TinyDecoupleError(f"{where}: column {column}: {text}")


def read_table(path: Path, required: tuple[str, ...],
               optional: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (file and line, {column: cell}); a required cell must be filled, an unknown column is refused.

    Headers and cells are cleaned as corpora are (hygiene.clean), so that two codes or concepts that look the same
    are the same, and no invisible mark gets into a sentence.
    """
    try:
        text = read_regular(path).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise TinyDecoupleError(f"{path}: cannot read this table ({reason}); the phrasebook needs it") from None
    lines = text.split("\n")  # not at U+2028 and the like, as splitlines does
    columns = [clean(name)[0] for name in lines[0].split("\t")]
    named = (*required, *optional)
    for name in (*required, *columns):
        if columns.count(name) != 1 or name not in named:
            fault = "missing" if name not in columns else "listed twice" if name in named else "unknown"
            raise TinyDecoupleError(f"{path}:1: column {name!r} is {fault}; columns are {', '.join(named)}")
    for number, line in enumerate(lines[1:], start=2):
        where = f"{path}:{number}"
        cells = [clean(cell)[0] for cell in line.split("\t")]
        if not any(cells):
            continue
        if len(cells) != len(columns):
            raise TinyDecoupleError(f"{where}: {len(cells)} cells, but the header has {len(columns)}; "
                                    "separate cells by one tab, keep the tabs of empty cells")
        row = dict(zip(columns, cells))
        for name in required:
            if not row[name]:
                raise slip(where, name, "the cell is empty; fill it in")
        yield where, row


def read_cities(path: Path) -> dict[str, dict[str, str]]:
    """Read varieties.tsv: code -> its row, the region in lower case."""
    cities: dict[str, dict[str, str]] = {}
    for where, row in read_table(path, ("code", "city", "country", "region")):
        if row["code"] in (*cities, "en", "msa", "dialect", "source", "doubtful", "kind", "concept"):
            raise slip(where, "code", f"{row['code']!r} is taken; give every city a code of its own")
        cities[row["code"]] = {**row, "region": row["region"].lower()}
    return cities


def read_lexicon(path: Path, cities: dict[str, dict[str, str]]) -> dict[str, Entry]:
    """Read the lexicon: a cell for en and msa, one for each region, and one for a city that differs from its region."""
    regions = tuple(dict.fromkeys(city["region"] for city in cities.values()))
    lexicon: dict[str, Entry] = {}
    for where, row in read_table(path, ("concept", "kind", "en", "msa", *regions), (*cities, "source", "doubtful")):
        concept = row["concept"]
        kind = row["kind"].split(".")[0]
        if kind not in PARTS:
            raise slip(where, "kind", f"{kind!r} is not one of {', '.join(PARTS)}")
        if concept in lexicon:
            raise slip(where, "concept", f"{concept!r} has a row above; keep one of them")
        for name in row.get("doubtful", "").split():
            if name not in cities and name not in regions:
                raise slip(where, "doubtful", f"no city or region {name!r}; codes are in varieties.tsv")
        if kind == "num" and not concept.removeprefix("num-").isdecimal():
            raise slip(where, "concept", f"{concept!r}: name a numeral num- and its digits, such as num-12")
        forms = {}
        for column in ("en", "msa", *regions, *(c for c in cities if row.get(c))):
            named = PARTS[kind][column != "en"]
            parts = tuple("" if part == "-" else part for part in row[column].split("|"))
            if len(parts) != len(named):
                raise slip(where, column, f"{row[column]!r} has {len(parts)} parts; a {kind} has {len(named)}: "
                                          f"{'|'.join(named)} (- where there is none)")
            if "gender" in named and parts[named.index("gender")] not in ("m", "f"):
                raise slip(where, column, f"{row[column]!r} has no gender (m or f); write {'|'.join(named)}")
            needed = {"noun": () if column == "en" else (0, 1), "verb": (0, 1), "word": (), "gender": (), "person": ()}
            for i in needed.get(kind, range(len(named))):
                if not parts[i]:
                    raise slip(where, column, f"{row[column]!r} has no {named[i]}; write one")
            if kind == "noun" and not any(parts):
                raise slip(where, column, f"{row[column]!r} has neither singular nor plural; write one")
            forms[column] = parts
        spoken = {city: forms.get(city, forms[about["region"]]) for city, about in cities.items()}
        lexicon[concept] = Entry(row["kind"], {"en": forms["en"], "msa": forms["msa"], **spoken})
    return lexicon
