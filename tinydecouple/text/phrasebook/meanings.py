"""The phrasebook: what a traveller says, in English, Modern Standard Arabic and 25 city dialects.

Constructed by rule from the tables in data_samples/phrasebook/, not attested: see data_samples/DATASHEET.md. A meaning
is a template and a concept for each of its slots; its key says which, so that it is the same in every version.
"""

import re
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import combinations, product
from pathlib import Path

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.corpus import ParallelCorpus, check_usable
from tinydecouple.text.options import TABLES
from tinydecouple.text.phrasebook.inflection import FORMS, GRAMMAR, arabic, attach, english
from tinydecouple.text.phrasebook.tables import HIDDEN, Tables
from tinydecouple.text.phrasebook.templates import read_tables
from tinydecouple.text.splits import split_without_leaks


@dataclass(frozen=True)
class Meaning:
    """What is said: a template and the value of each slot, a concept or a person."""

    template: str
    values: dict[str, str]

    @property
    def key(self) -> str:
        return "/".join([self.template, *self.values.values()])


def template_of(key: str) -> str:
    """The template of a meaning's key: keys that share it are alike, so they are no independent sentences."""
    return key.split("/", 1)[0]


@lru_cache
def phrasebook(folder: Path = TABLES) -> Tables:
    """Read the tables once. Raises TinyDecoupleError as read_tables does."""
    return read_tables(folder, FORMS, GRAMMAR)


def meanings(tables: Tables) -> list[Meaning]:
    """Every meaning, in the order of the tables.

    Two slots of a meaning never hold the same concept, nor two that the template's column `never` keeps apart.
    """
    all_meanings = []
    for name, template in tables.templates.items():
        choices = {**template.slots, **template.agreement}
        for values in product(*choices.values()):
            absurd = template.never and any(frozenset(pair) in template.never for pair in combinations(values, 2))
            if len(set(values)) == len(values) and not absurd:
                all_meanings.append(Meaning(name, dict(zip(choices, values))))
    return all_meanings


def render(tables: Tables, meaning: Meaning, variety: str) -> str:
    """Say a meaning in a variety."""
    return _tidy(_words(tables, [meaning], variety)[0], variety)


def _words(tables: Tables, alike: list[Meaning], variety: str) -> list[str]:
    """The words of meanings of one template in their forms, spaced as in the template; part by part, all at once."""
    template, lexicon = tables.templates[alike[0].template], tables.lexicon
    columns: list[list[str]] = []  # a part of the template each: what every meaning says there
    for part in template.texts[variety]:
        if isinstance(part, str):
            columns.append([part] * len(alike))
            continue
        names = [meaning.values.get(part.name, part.name) for meaning in alike]
        refs = _agreeing(tables, alike, part.ref, variety) if part.ref else [""] * len(alike)
        if variety == "en":
            if part.form == "with":
                refs = [english(lexicon[meaning.values[part.ref]], "", "") for meaning in alike]
            entries = [None if part.name in template.agreement else lexicon[name] for name in names]
            columns.append([english(entry, part.form, ref) for entry, ref in zip(entries, refs)])
            continue
        before, said = columns[-1] if columns else None, []
        for k, (name, ref) in enumerate(zip(names, refs)):
            if name in ("object", "owner") and before:  # an ending of the word before, which comes over here
                said.append(attach(lexicon, variety, before[k], name, ref))
                before[k] = ""
            else:
                said.append(_inflected(tables, variety, name, part.form, ref))
        columns.append(said)
    return ["".join(words) for words in zip(*columns)]


@cache
def _inflected(tables: Tables, variety: str, concept: str, form: str, ref: str) -> str:
    """arabic, remembered: a corpus asks for each form a dozen times."""
    return arabic(tables.lexicon, variety, concept, form, ref)


def _agreeing(tables: Tables, alike: list[Meaning], ref: str, variety: str) -> list[str]:
    """Whom a word agrees with: one of PERSONS, or a numeral. The key decides a gender that English does not mark."""
    values = [meaning.values.get(ref, ref) for meaning in alike]
    return [HIDDEN[value][zlib.crc32(f"{meaning.key} {ref}".encode()) % 2] if value in HIDDEN else
            _person(tables, "msa" if variety == "en" else variety, value) for meaning, value in zip(alike, values)]


@cache
def _person(tables: Tables, variety: str, value: str) -> str:
    """The person of a concept, which follows from its gender; any other value as it is."""
    if value not in tables.lexicon or value.startswith("num-"):
        return value
    return "3sf" if "f" in tables.lexicon[value].forms[variety][1:] else "3sm"


def _tidy(text: str, variety: str) -> str:
    """Close up spaces; in Arabic, write one-letter words as the prefixes they are; in English, begin with a capital.

    text: any number of lines, each tidied by itself.
    """
    text = re.sub(r" (?=[،,.?؟!\n])", "", re.sub(r"  +", " ", f"\n{text}\n")).replace("\n ", "\n")[1:-1]
    text = text.replace("+", "")  # the mark of an adjective in a noun's cell
    if variety == "en":
        return re.sub(r"(?m)(^|[.?!] )([a-z])", lambda m: m.group().upper(), text)
    text = re.sub(r"(?m)(^| )([وف]?)ل الل?", r"\1\2لل", text)
    return re.sub(r"(?m)(^| )([وبلفك]|ع(?= ال)) (?=\w)", r"\1\2", text)


def draw(n: int, rng: np.random.Generator, tables: Tables) -> list[Meaning]:
    """Draw n distinct meanings.

    Deterministic and nested: the first 100 of 200 are the 100, under the same generator state. A template is drawn
    in proportion to the square root of its number of meanings, so that none fills the page.
    Raises TinyDecoupleError if there are fewer than n meanings.
    """
    every = meanings(tables)
    if n > len(every):
        raise TinyDecoupleError(f"n = {n}, but the phrasebook has {len(every)} meanings; ask for fewer")
    of_template = Counter(m.template for m in every)
    waiting = rng.exponential(size=len(every)) * [of_template[m.template] ** 0.5 for m in every]
    return [every[i] for i in np.argsort(waiting)[:n]]


def generate(n: int, rng: np.random.Generator, tables: Tables | None = None) -> dict[str, dict[str, str]]:
    """Draw n distinct meanings, as `draw` does, and say each in every variety: key -> variety -> text."""
    tables = tables or phrasebook()
    drawn = draw(n, rng, tables)
    by_template: dict[str, list[Meaning]] = {}
    for meaning in drawn:
        by_template.setdefault(meaning.template, []).append(meaning)
    texts: dict[str, dict[str, str]] = {meaning.key: {} for meaning in drawn}
    rows = [texts[meaning.key] for alike in by_template.values() for meaning in alike]
    for variety in tables.varieties:
        words = [text for alike in by_template.values() for text in _words(tables, alike, variety)]
        for row, text in zip(rows, _tidy("\n".join(words), variety).split("\n"), strict=True):
            row[variety] = text
    return texts


def phrasebook_texts(keys: int, seed: int, folder: Path = TABLES) -> dict[str, dict[str, str]]:
    """The texts of phrasebook_corpus; those of fewer keys come first."""
    return generate(keys, np.random.default_rng(seed).spawn(2)[0], phrasebook(folder))


@lru_cache(maxsize=1)
def phrasebook_corpus(keys: int, held_out: float, seed: int, folder: Path = TABLES) -> ParallelCorpus:
    """The default corpus: the same seed and tables give the same text."""
    split_rng = np.random.default_rng(seed).spawn(2)[1]
    tables, texts = phrasebook(folder), phrasebook_texts(keys, seed, folder)
    split, notes = split_without_leaks(texts, held_out, split_rng)
    notes = {f"split: {what}": n for what, n in notes.items()}
    return check_usable(ParallelCorpus(texts, split, "msa", "en", tuple(tables.cities), notes), "the phrasebook")
