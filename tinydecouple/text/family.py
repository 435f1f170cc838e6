"""A family of pseudo-languages made by rule, so that the truth about it is known.

A pivot and a standard have unrelated words. Each dialect inherits a share of the standard's words,
`overlap`, and says them with its own regular sound changes; its other words are its region's or its own.
Regions also differ in word order. Every variety says every meaning, so the corpus is fully parallel.
"""

import re
from dataclasses import dataclass

import numpy as np

from tinydecouple.text.corpus import ParallelCorpus, check_usable, split_by_key

CONCEPTS = {"noun": 40, "verb": 25, "adjective": 15, "adverb": 10, "negation": 1}
AFFIXES = ("past", "future", "plural", "definite")  # plural goes after its noun, the others before their word
ORDERS = ("VSO", "SVO", "SOV")
SOUND_CHANGES = (  # (pattern, replacement), applied in this order to inherited words
    ("q", "g"), ("q", ""), ("t(?=[ei])", "ch"), ("k(?=[ei])", "sh"), ("d(?=[ei])", "j"), ("p", "f"), ("v", "w"),
    ("z", "s"), ("h", ""), ("(?<=[aeiou])b(?=[aeiou])", "v"), ("(?<=[aeiou])g(?=[aeiou])", "y"),
    ("l(?=[^aeiou]|$)", "r"), ("o", "u"), ("e", "i"), ("a$", "e"), ("(?<=[aeiou]..)[aeiou]$", ""),
)


@dataclass(frozen=True)
class Grammar:
    """One variety: a word per concept, an affix per category, and the order of its sentence."""

    name: str
    region: int | None             # None for the pivot and the standard
    words: dict[str, str]          # concept, such as noun3 -> word
    affixes: dict[str, str]
    inherited: frozenset[str]      # concepts whose word comes from the standard's
    changes: tuple[int, ...]       # indices into SOUND_CHANGES
    order: str                     # one of ORDERS
    adjective_first: bool


@dataclass(frozen=True)
class Family:
    pivot: Grammar
    standard: Grammar
    dialects: tuple[Grammar, ...]


def region(name: str) -> str:
    """The region of a dialect of the family, read off its name: a1 is in region a; pivot and standard in none."""
    return f"region {name[0]}" if name[1:].isdigit() else name


def sound_shift(word: str, changes: tuple[int, ...]) -> str:
    """Apply regular sound changes in their historical order."""
    for index in sorted(changes):
        word = re.sub(*SOUND_CHANGES[index], word)
    return word


def _coin(rng: np.random.Generator, taken: set[str], shapes: tuple[str, ...]) -> str:
    """Invent a word of one of the shapes (C a consonant, V a vowel) that is not taken."""
    while True:
        shape = shapes[rng.integers(len(shapes))]
        word = "".join(letters[rng.integers(len(letters))] for letters in
                       ("aeiou" if s == "V" else "bdfghklmnpqrstvyz" for s in shape))
        if word not in taken:
            taken.add(word)
            return word


def _vocabulary(rng: np.random.Generator) -> tuple[dict[str, str], dict[str, str]]:
    taken: set[str] = set()
    words = {f"{kind}{i}": _coin(rng, taken, ("CVCV", "CVCVC", "VCVC", "CVCCV"))
             for kind, count in CONCEPTS.items() for i in range(count)}
    return words, {affix: _coin(rng, taken, ("VC", "CV")) for affix in AFFIXES}


def make_family(rng: np.random.Generator, overlap: float = 0.5, dialects: int = 25, regions: int = 6) -> Family:
    """Make the grammars of a pivot, a standard and `dialects` dialects in `regions` regions.

    overlap: share of a dialect's words that come from the standard's, from 0 to 1, exact to one word. It is
    nested: the words and affixes inherited at 0.3 are inherited at 0.6 too; nothing else changes.
    Dialects of a region share most of their inheritance, their new words, sound changes and word order.
    """
    if not 0 <= overlap <= 1:
        raise ValueError(f"overlap {overlap} lies outside 0 to 1")
    pivot = Grammar("piv", None, *_vocabulary(rng), frozenset(), (), "SVO", True)
    standard = Grammar("std", None, *_vocabulary(rng), frozenset(), (), "VSO", False)
    grammars = []
    for region in range(regions):
        region_words, region_affixes = _vocabulary(rng)
        region_rank = rng.random(len(region_words))
        region_changes = rng.choice(len(SOUND_CHANGES), size=3, replace=False)
        order, adjective_first = ORDERS[rng.integers(len(ORDERS))], bool(rng.integers(2))
        for i in range(len(range(region, dialects, regions))):
            own_words, _ = _vocabulary(rng)
            is_own = rng.random(len(own_words)) < 0.2
            rank = (region_rank + rng.normal(0, 0.1, len(region_words))).argsort().argsort()
            keeps_affix = rng.random(len(AFFIXES))
            changes = (*region_changes.tolist(), int(rng.integers(len(SOUND_CHANGES))))
            inherited = frozenset(c for c, r in zip(standard.words, rank) if r < round(overlap * len(rank)))
            new = {c: own_words[c] if own else region_words[c] for c, own in zip(own_words, is_own)}
            words = {c: sound_shift(w, changes) if c in inherited else new[c] for c, w in standard.words.items()}
            affixes = {a: standard.affixes[a] if u < overlap else region_affixes[a]
                       for a, u in zip(AFFIXES, keeps_affix)}
            grammars.append(Grammar(f"{'abcdefghijklmnopqrstuvwxyz'[region]}{i + 1}", region, words, affixes,
                                    inherited, changes, order, adjective_first))
    return Family(pivot, standard, tuple(grammars))


def draw_meaning(rng: np.random.Generator) -> dict[str, str]:
    """One meaning: subject, verb and object, some with number, adjective, tense, negation or adverb.

    Concepts are Zipfian: the r-th most frequent of its kind has probability proportional to 1 / (r + 2).
    """
    def pick(kind: str) -> str:
        weight = 1 / (np.arange(CONCEPTS[kind]) + 2)
        return f"{kind}{rng.choice(CONCEPTS[kind], p=weight / weight.sum())}"

    meaning = {"subject": pick("noun"), "verb": pick("verb"), "object": pick("noun"),
               "tense": ("present", "past", "future")[rng.integers(3)]}
    for role in ("subject", "object"):
        meaning[f"{role} number"] = ("singular", "plural")[rng.integers(2)]
        meaning[f"{role} article"] = ("none", "definite")[rng.integers(2)]
        if rng.random() < 0.3:
            meaning[f"{role} adjective"] = pick("adjective")
    if rng.random() < 0.2:
        meaning["negation"] = "negation0"
    if rng.random() < 0.3:
        meaning["adverb"] = pick("adverb")
    return meaning


def render(grammar: Grammar, meaning: dict[str, str]) -> str:
    """Say a meaning in a variety."""
    def noun_phrase(role: str) -> str:
        noun = grammar.words[meaning[role]]
        noun += grammar.affixes["plural"] if meaning[f"{role} number"] == "plural" else ""
        noun = (grammar.affixes["definite"] if meaning[f"{role} article"] == "definite" else "") + noun
        if f"{role} adjective" not in meaning:
            return noun
        adjective = grammar.words[meaning[f"{role} adjective"]]
        return f"{adjective} {noun}" if grammar.adjective_first else f"{noun} {adjective}"

    verb = grammar.affixes.get(meaning["tense"], "") + grammar.words[meaning["verb"]]
    if "negation" in meaning:
        verb = f"{grammar.words['negation0']} {verb}"
    parts = {"S": noun_phrase("subject"), "V": verb, "O": noun_phrase("object")}
    adverb = [grammar.words[meaning["adverb"]]] if "adverb" in meaning else []
    return " ".join([parts[role] for role in grammar.order] + adverb)


def generate(family: Family, n: int, rng: np.random.Generator) -> dict[str, dict[str, str]]:
    """Draw n distinct meanings and say each in every variety: key -> variety -> text.

    Deterministic and nested: the first 100 of 200 are the 100, under the same generator state.
    """
    grammars = (family.pivot, family.standard, *family.dialects)
    texts: dict[str, dict[str, str]] = {}
    seen = set()
    while len(texts) < n:
        meaning = draw_meaning(rng)
        if (sentence := render(family.pivot, meaning)) not in seen:
            seen.add(sentence)
            texts[f"m{len(texts):05d}"] = {g.name: render(g, meaning) for g in grammars}
    return texts


def family_texts(keys: int, overlap: float, seed: int) -> dict[str, dict[str, str]]:
    """The texts of family_corpus; those of fewer keys come first."""
    grammar_rng, meaning_rng, _ = np.random.default_rng(seed).spawn(3)
    return generate(make_family(grammar_rng, overlap), keys, meaning_rng)


def family_corpus(keys: int, overlap: float, held_out: float, seed: int) -> ParallelCorpus:
    """The default corpus: the same seed gives the same text."""
    split_rng = np.random.default_rng(seed).spawn(3)[2]
    texts = family_texts(keys, overlap, seed)
    pivot, standard, *dialects = next(iter(texts.values()))
    corpus = ParallelCorpus(texts, split_by_key(list(texts), held_out, split_rng), standard, pivot, tuple(dialects))
    return check_usable(corpus, "the pseudo-language family")
