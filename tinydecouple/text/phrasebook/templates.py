"""The phrasebook's templates: what can be said and how each variety says it; every slot and agreement is checked."""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from tinydecouple.text.phrasebook.tables import (
    FILES,
    HIDDEN,
    PERSONS,
    Entry,
    Slot,
    Tables,
    Template,
    read_cities,
    read_lexicon,
    read_table,
    slip,
)

AGREES = ("adj", "verb", "gender", "person")  # kinds whose slot must name whom they agree with


def read_tables(folder: Path, forms: dict[str, set[str]], grammar: dict[str, str]) -> Tables:
    """Read and check the four tables.

    forms: kind -> the forms that its words have, so that a template can ask for no other.
    grammar: concept -> kind of the rows that the rules of inflection look up.
    Raises TinyDecoupleError with file, line, column and remedy.
    """
    varieties, lexicon, meanings, templates = (folder / name for name in FILES)
    cities = read_cities(varieties)
    words = read_lexicon(lexicon, cities)
    for concept, kind in grammar.items():
        if concept not in words or words[concept].kind != kind:
            raise slip(str(lexicon), "concept", f"no row {concept!r} of kind {kind}; the rules of inflection need it")
    return Tables(cities, words, read_templates(meanings, templates, cities, words, forms))


def read_templates(meanings: Path, templates: Path, cities: dict[str, dict[str, str]], lexicon: dict[str, Entry],
                   forms: dict[str, set[str]]) -> dict[str, Template]:
    """Read meanings.tsv and templates.tsv; check that every slot is known and agreement is complete."""
    groups = {concept: [concept] for concept in lexicon}  # concept or group -> its concepts
    for concept, entry in lexicon.items():
        groups.setdefault(entry.group, []).append(concept)
    by_name: dict[str, Template] = {}
    defined_at: dict[str, str] = {}
    for where, row in read_table(meanings, ("template", "domain", "slots", "agreement"), ("never",)):
        if row["template"] in by_name:
            raise slip(where, "template", f"{row['template']!r} has a row above; keep one of them")
        slots: dict[str, tuple[str, ...]] = {}
        agreement: dict[str, tuple[str, ...]] = {}
        for column, target in (("slots", slots), ("agreement", agreement)):
            for name, values in pairs(row[column], where, column):
                if name in slots or name in agreement or len(set(values)) < len(values):
                    raise slip(where, column, f"{name} or one of its values is named twice; name it once")
                target[name] = fillers(values, groups, lexicon, where, column) if column == "slots" else tuple(values)
        for name, values in agreement.items():
            if unknown := [v for v in values if v not in PERSONS and v not in HIDDEN]:
                raise slip(where, "agreement", f"{name}={unknown[0]}: persons are {', '.join((*HIDDEN, *PERSONS))}")
        never = {frozenset(pair) for pair in apart(row.get("never", ""), slots, groups, lexicon, where)}
        by_name[row["template"]] = Template(row["domain"], slots, agreement, never, {})
        defined_at[row["template"]] = where
    regions = {city["region"] for city in cities.values()}
    for where, row in read_table(templates, ("template", "variety", "text")):
        name = row["template"]
        variety = row["variety"]
        if name not in by_name:
            raise slip(where, "template", f"{name!r} has no row in meanings.tsv; add it there")
        if variety not in ("en", "msa", "dialect", *regions, *cities):
            raise slip(where, "variety", f"unknown city or region {variety!r}; use en, msa, dialect, or a code or "
                                         "region of varieties.tsv")
        if variety in by_name[name].texts:
            raise slip(where, "variety", f"{variety!r} has a row above for {name!r}; keep one of them")
        by_name[name].texts[variety] = parse(row["text"], where, by_name[name], lexicon, forms, variety == "en")
    for name, template in by_name.items():
        for variety in ("en", "msa", "dialect"):
            if variety not in template.texts:
                raise slip(defined_at[name], "template", f"{name!r} has no {variety} row in templates.tsv; add one")
        used = {name for parts in template.texts.values() for part in parts if not isinstance(part, str)
                for name in (part.name, part.ref)}
        if idle := [slot for slot in template.slots if slot not in used]:
            raise slip(defined_at[name], "slots", f"no text of {name!r} uses {idle[0]!r}; use it or delete it")
        for city, about in cities.items():
            template.texts[city] = next(template.texts[v] for v in (city, about["region"], "dialect")
                                        if v in template.texts)
    return by_name


def pairs(cell: str, where: str, column: str) -> Iterator[tuple[str, list[str]]]:
    """`item=noun.drink,honey who=1s,1p` -> (item, [noun.drink, honey]), (who, [1s, 1p]); - is none."""
    for word in cell.split() if cell != "-" else ():
        name, _, values = word.partition("=")
        if not (name and values):
            raise slip(where, column, f"{word!r}; write name=value,value or - for none")
        yield name, values.split(",")


def apart(cell: str, slots: dict[str, tuple[str, ...]], groups: dict[str, list[str]], lexicon: dict[str, Entry],
          where: str) -> Iterator[tuple[str, str]]:
    """`television,fan+bathroom` -> (television, bathroom), (fan, bathroom): what no meaning holds together."""
    taken = {concept for concepts in slots.values() for concept in concepts}
    for word in cell.split() if cell != "-" else ():
        sides = [fillers(side.split(","), groups, lexicon, where, "never") for side in word.split("+")]
        if len(sides) != 2:
            raise slip(where, "never", f"{word!r}; write concepts,concepts+concepts,concepts or - for none")
        if idle := [concept for side in sides for concept in side if concept not in taken]:
            raise slip(where, "never", f"{word!r} keeps {idle[0]!r} apart, which no slot of this row takes; delete it")
        yield from product(*sides)


def fillers(wanted: list[str], groups: dict[str, list[str]], lexicon: dict[str, Entry], where: str,
            column: str) -> tuple[str, ...]:
    """The concepts that a slot takes: of groups (noun.drink), single ones (honey), without others (!honey)."""
    taken: dict[str, None] = {}
    for word in wanted:
        concepts = groups.get(word.lstrip("!"))
        if not concepts:
            raise slip(where, column, f"{word!r} is neither a concept nor a group of lexicon.tsv")
        for concept in concepts:
            taken.pop(concept, None)
            if word[0] != "!":
                taken[concept] = None
    if len({lexicon[concept].kind for concept in taken}) != 1:
        raise slip(where, column, f"{','.join(wanted)!r} has no concepts, or concepts of several kinds; "
                                  "a slot takes concepts of one kind")
    return tuple(taken)


def parse(text: str, where: str, template: Template, lexicon: dict[str, Entry], forms: dict[str, set[str]],
          english: bool) -> tuple[str | Slot, ...]:
    """Cut a template's text into literal text and slots, and check each slot."""
    parts: list[str | Slot] = []
    slots = template.slots
    agreement = template.agreement
    for i, piece in enumerate(re.split(r"{([^{}]*)}", text)):
        if i % 2 == 0:
            if "{" in piece or "}" in piece:
                raise slip(where, "text", f"an unbalanced brace in {text!r}")
            if not english and re.search("[A-Za-z]", piece):
                raise slip(where, "text", f"Latin letters outside a slot in {text!r}; write Arabic, or {{slot}}")
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
                                      f"{', '.join(sorted(known)) or 'none'}; whom is a slot or in column agreement")
        counted = [c for c in slots.get(ref, (ref,)) if c in lexicon and lexicon[c].kind == "num"]
        if ref and not english and bool(counted) != (form in ("count", "counted")):
            raise slip(where, "text", f"{{{piece}}}: only the forms count and counted take a numeral")
        if form == "not" and kind == "person" and f"neg-{name}" not in lexicon:
            raise slip(where, "text", f"{{{piece}}}: the lexicon has no row 'neg-{name}'; add one")
        if form == "with" and ref not in slots:
            raise slip(where, "text", f"{{{piece}}}: name a slot of adjectives: {{{name} with adj}}")
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
