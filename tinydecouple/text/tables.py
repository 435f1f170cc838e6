"""The phrasebook's tables: read, checked cell by cell, and every mistake told by file, line and column.

Four TSV files in one folder (data_samples/phrasebook/README.md says how to edit them):
varieties.tsv   code, city, country, region
lexicon.tsv     a row a concept: its kind, a column a variety; a city's empty cell takes its region's form
meanings.tsv    a row a template: its domain, its slots, and what agrees with whom
templates.tsv   how a variety says a template; the most specific of city, region, dialect is taken
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tinydecouple.errors import TinyDecoupleError

PERSONS = ("1sm", "1sf", "2sm", "2sf", "3sm", "3sf", "1p", "3p")  # person, number, gender: how words agree
PARTS = {  # kind: what the parts of its cell are, separated by |; in English, in any Arabic variety
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
HIDDEN = {"1s": ("1sm", "1sf"), "2s": ("2sm", "2sf")}  # genders that English does not show; the key settles them
AGREES = ("adj", "verb", "gender", "person")  # kinds whose slot must name whom they agree with
FILES = ("varieties.tsv", "lexicon.tsv", "meanings.tsv", "templates.tsv")


@dataclass(frozen=True)
class Entry:
    """A concept: forms[variety] holds the parts of its cell."""

    group: str                          # such as noun.drink
    forms: dict[str, tuple[str, ...]]

    @property
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
    texts: dict[str, tuple[str | Slot, ...]]


@dataclass(frozen=True)
class Tables:
    cities: dict[str, dict[str, str]]   # code -> its row of varieties.tsv
    lexicon: dict[str, Entry]
    templates: dict[str, Template]

    @property
    def varieties(self) -> tuple[str, ...]:
        return ("en", "msa", *self.cities)


def read_tables(folder: Path, forms: dict[str, set[str]], grammar: dict[str, str]) -> Tables:
    """Read and check the four tables.

    forms: kind -> the forms that its words have, so that a template can ask for no other.
    grammar: concept -> kind of the rows that the rules of inflection look up.
    Raises TinyDecoupleError with file, line, column and remedy.
    """
    varieties, lexicon, meanings, templates = (folder / name for name in FILES)
    cities = {row["code"]: row for _, row in read_table(varieties, ("code", "city", "country", "region"))}
    words = read_lexicon(lexicon, cities)
    for concept, kind in grammar.items():
        if concept not in words or words[concept].kind != kind:
            raise slip(str(lexicon), "concept", f"no row {concept!r} of kind {kind}; the rules of inflection need it")
    return Tables(cities, words, read_templates(meanings, templates, cities, words, forms))


def slip(where: str, column: str, text: str) -> TinyDecoupleError:
    """A mistake in a cell. where: file and line."""
    return TinyDecoupleError(f"{where}: column {column}: {text}")


def read_table(path: Path, required: tuple[str, ...],
               optional: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (file and line, {column: cell}); a required cell must be filled, an unknown column is refused."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise TinyDecoupleError(f"{path}: cannot read this table ({reason}); the phrasebook needs it") from None
    columns = lines[0].split("\t") if lines else []
    named = (*required, *optional)
    for name in (*required, *columns):
        if columns.count(name) != 1 or name not in named:
            fault = "missing" if name not in columns else "there twice" if name in named else "unknown"
            raise TinyDecoupleError(f"{path}:1: column {name!r} is {fault}; columns are {', '.join(named)}")
    for number, line in enumerate(lines[1:], start=2):
        where, cells = f"{path}:{number}", [cell.strip() for cell in line.split("\t")]
        if len(cells) != len(columns):
            raise TinyDecoupleError(f"{where}: {len(cells)} cells, but the header has {len(columns)}; "
                                    "separate cells by one tab, keep the tabs of empty cells")
        row = dict(zip(columns, cells))
        for name in required:
            if not row[name]:
                raise slip(where, name, "the cell is empty; fill it in")
        yield where, row


def read_lexicon(path: Path, cities: dict[str, dict[str, str]]) -> dict[str, Entry]:
    """Read the lexicon: a cell for en and msa, one for each region, and one for a city that differs from its region."""
    regions = tuple(dict.fromkeys(city["region"] for city in cities.values()))
    lexicon: dict[str, Entry] = {}
    for where, row in read_table(path, ("concept", "kind", "en", "msa", *regions), (*cities, "source", "doubtful")):
        concept, kind = row["concept"], row["kind"].split(".")[0]
        if kind not in PARTS:
            raise slip(where, "kind", f"{kind!r} is none of {', '.join(PARTS)}")
        if concept in lexicon:
            raise slip(where, "concept", f"{concept!r} has a row above; keep one of them")
        for name in row.get("doubtful", "").split():
            if name not in cities and name not in regions:
                raise slip(where, "doubtful", f"no city or region {name!r}; codes are in varieties.tsv")
        forms = {}
        for column in ("en", "msa", *regions, *(c for c in cities if row.get(c))):
            named = PARTS[kind][column != "en"]
            parts = tuple("" if part == "-" else part for part in row[column].split("|"))
            if len(parts) != len(named):
                raise slip(where, column, f"{row[column]!r} has {len(parts)} parts; a {kind} has {len(named)}: "
                                          f"{'|'.join(named)} (- where there is none)")
            if "gender" in named and parts[named.index("gender")] not in ("m", "f"):
                raise slip(where, column, f"{row[column]!r} has no gender; write {'|'.join(named)} with m or f for it")
            forms[column] = parts
        spoken = {city: forms.get(city, forms[about["region"]]) for city, about in cities.items()}
        lexicon[concept] = Entry(row["kind"], {"en": forms["en"], "msa": forms["msa"], **spoken})
    return lexicon


def read_templates(meanings: Path, templates: Path, cities: dict[str, dict[str, str]], lexicon: dict[str, Entry],
                   forms: dict[str, set[str]]) -> dict[str, Template]:
    """Read meanings.tsv and templates.tsv; every slot is known, and every word that agrees says with whom."""
    found: dict[str, Template] = {}
    said_in: dict[str, str] = {}
    for where, row in read_table(meanings, ("template", "domain", "slots", "agreement")):
        if row["template"] in found:
            raise slip(where, "template", f"{row['template']!r} has a row above; keep one of them")
        slots = {name: fillers(wanted, lexicon, where) for name, wanted in pairs(row["slots"], where, "slots")}
        agreement = {name: tuple(wanted) for name, wanted in pairs(row["agreement"], where, "agreement")}
        for name, wanted in agreement.items():
            if unknown := [w for w in wanted if w not in PERSONS and w not in HIDDEN]:
                raise slip(where, "agreement", f"{name}={unknown[0]}: persons are {', '.join((*HIDDEN, *PERSONS))}")
        found[row["template"]] = Template(row["domain"], slots, agreement, {})
        said_in[row["template"]] = where
    regions = {city["region"] for city in cities.values()}
    for where, row in read_table(templates, ("template", "variety", "text")):
        name, variety = row["template"], row["variety"]
        if name not in found:
            raise slip(where, "template", f"{name!r} has no row in meanings.tsv; add it there")
        if variety not in ("en", "msa", "dialect", *regions, *cities):
            raise slip(where, "variety", f"unknown city or region {variety!r}; use en, msa, dialect, or a code or "
                                         "region of varieties.tsv")
        if variety in found[name].texts:
            raise slip(where, "variety", f"{variety!r} has a row above for {name!r}; keep one of them")
        found[name].texts[variety] = parse(row["text"], where, found[name], lexicon, forms, variety == "en")
    for name, template in found.items():
        for variety in ("en", "msa", "dialect"):
            if variety not in template.texts:
                raise slip(said_in[name], "template", f"{name!r} has no row for {variety} in templates.tsv; write one")
        for city, about in cities.items():
            template.texts[city] = next(template.texts[v] for v in (city, about["region"], "dialect")
                                        if v in template.texts)
    return found


def pairs(cell: str, where: str, column: str) -> Iterator[tuple[str, list[str]]]:
    """`item=noun.drink,honey who=1s,1p` -> (item, [noun.drink, honey]), (who, [1s, 1p]); - is none."""
    for word in cell.split() if cell != "-" else ():
        name, _, values = word.partition("=")
        if not (name and values):
            raise slip(where, column, f"{word!r}; write name=value,value or - for none")
        yield name, values.split(",")


def fillers(wanted: list[str], lexicon: dict[str, Entry], where: str) -> tuple[str, ...]:
    """The concepts that a slot takes: of groups (noun.drink), single ones (honey), without others (!honey)."""
    found: dict[str, None] = {}
    for word in wanted:
        named = [concept for concept, entry in lexicon.items() if word.lstrip("!") in (concept, entry.group)]
        if not named:
            raise slip(where, "slots", f"{word!r} is no concept and no group of lexicon.tsv")
        for concept in named:
            found.pop(concept, None)
            if word[0] != "!":
                found[concept] = None
    return tuple(found)


def parse(text: str, where: str, template: Template, lexicon: dict[str, Entry], forms: dict[str, set[str]],
          english: bool) -> tuple[str | Slot, ...]:
    """Cut a template's text into literal text and slots, and check each slot."""
    parts: list[str | Slot] = []
    slots, agreement = template.slots, template.agreement
    for i, piece in enumerate(re.split(r"{([^{}]*)}", text)):
        if i % 2 == 0:
            if "{" in piece or "}" in piece:
                raise slip(where, "text", f"a bracket without its partner in {text!r}")
            parts += [piece] if piece else []
            continue
        name, *words = piece.split() or [""]
        if english and name in agreement and len(words) < 2 and set(words) <= forms["en"]:
            parts.append(Slot(name, "".join(words), name))
            continue
        concepts = slots.get(name) or ((name,) if name in lexicon else ())
        if not concepts:
            raise slip(where, "text", f"unknown slot {{{piece}}}; slots here are {', '.join(slots) or 'none'}; "
                                      "other names must be concepts of lexicon.tsv")
        kind = lexicon[concepts[0]].kind
        known = forms["en" if english else kind]
        form = words.pop(0) if words and words[0] in known else ""
        ref = words.pop(0) if words else ""
        if words or (ref and not any(ref in names for names in (agreement, slots, lexicon, PERSONS))):
            raise slip(where, "text", f"{{{piece}}}: a {kind} takes {{name form whom}}; forms are "
                                      f"{', '.join(sorted(known)) or 'none'}; whom is a slot, or of column agreement")
        if not ref and not english and (kind in AGREES or form in ("of", "count", "counted")):
            whom = ", ".join((*agreement, *slots)) or "none here"
            raise slip(where, "text", f"{{{piece}}} lacks agreement information; name the slot or person it agrees "
                                      f"with ({whom}), such as {{{piece} 3sm}}")
        if form in ("pl", "thepl", "count", "counted") and not english:
            for concept in concepts:
                if not all(f[-1] for variety, f in lexicon[concept].forms.items() if variety != "en"):
                    raise slip(where, "text", f"{{{piece}}}: {concept!r} has no plural in some variety of lexicon.tsv; "
                                              "write one there or take it out of the slot")
        parts.append(Slot(name, form, ref))
    return tuple(parts)
