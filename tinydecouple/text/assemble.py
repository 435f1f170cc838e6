"""From rows to a corpus: texts cleaned, joined by key and split; which varieties work where others do not."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.corpus import ParallelCorpus, unusable
from tinydecouple.text.formats.common import Reading, Row
from tinydecouple.text.hygiene import clean, clean_name, hidden, shorten, visible
from tinydecouple.text.splits import leaks, split_without_leaks

JOINERS = "\u200c\u200d"  # which cleaning leaves only where they shape a letter


def join(rows: Iterable[Row], reading: Reading, wanted: tuple[str, ...] | None, strip_marks: bool,
         notes: Counter) -> tuple[dict[str, dict[str, str]], dict[str, str], list[str]]:
    """Rows to key -> variety -> text, key -> official split, and all varieties met, sorted.

    Texts, keys and varieties are cleaned, so that those that print alike are one; each change of a text is counted.
    """
    texts: dict[str, dict[str, str]] = {}
    official: dict[str, str] = {}
    names: dict[str, str] = {}  # a variety as it is written -> cleaned
    for where, key, written, raw, split in tqdm(rows, desc="reading", unit=" texts", disable=None, leave=False):
        variety = names.get(written)
        if variety is None:
            variety = names[written] = _variety(written, where)
        if wanted and variety not in wanted:
            continue
        text, changes = clean(raw, strip_marks)
        for change in changes:
            notes[f"cleaned: {change}"] += 1
        key, changes = clean(key)
        for change in changes:
            notes[f"cleaned in keys: {change}"] += 1
        cells = texts.setdefault(key, {})
        if not text:
            reading.bad(where, "empty text", "nothing is left of the text once characters that nobody sees are "
                                             "out; delete the line")
        elif not key:
            reading.bad(where, "empty key", "nothing is left of the key once characters that nobody sees are out; "
                                            "write one")
        elif variety in cells:
            reading.bad(where, "second row of a key", f"key {shorten(key)!r} has a second row for variety {variety!r}; "
                                                      "keep one of them")
        elif split and official.setdefault(key, split) != split:
            reading.bad(where, "key in two splits", f"key {shorten(key)!r} is in {split} here and in {official[key]} "
                                                    "above; a key belongs to one split")
        else:
            cells[variety] = text
    return {key: cells for key, cells in texts.items() if cells}, official, sorted(reading.met | set(names.values()))


def _variety(written: str, where: str) -> str:
    """A variety's name, cleaned. Raises TinyDecoupleError for one that holds what prints as nothing all the same."""
    variety = clean_name(written)
    if not variety or [c for c in hidden(variety) if c not in JOINERS]:
        raise TinyDecoupleError(f"{where}: variety {visible(written)} holds characters that nobody sees; write its "
                                "name without them")
    return variety


def complete_split(texts: dict[str, dict[str, str]], official: dict[str, str], held_out: float, seed: int,
                   strict: bool = True) -> tuple[dict[str, str], dict[str, int]]:
    """The official split, its leaks counted; keys that it leaves open (FLORES' dev) are split without leaks.

    Where they cannot be split: TinyDecoupleError if strict, else they are all in train.
    Returns key -> train, dev or test in the order of texts, and counts of what happened.
    """
    rng, notes = np.random.default_rng(seed), {}
    rest = {key: row for key, row in texts.items() if key not in official}
    split = {key: official[key] for key in texts if key in official}
    if rest:
        try:
            drawn, counts = split_without_leaks(rest, held_out, rng)
        except TinyDecoupleError as error:
            if strict:
                raise
            drawn, counts = dict.fromkeys(rest, "train"), {f"keys without a split ({error})": len(rest)}
        taken = set(split.values())  # an official test stays the only one
        split |= {key: "train" if side in taken else side for key, side in drawn.items()}
        notes.update({f"split: {what}": n for what, n in counts.items()})
    if official:
        for side, n in leaks(texts, split).items():
            notes[f"official split: {side} keys with a text of train"] = n
    return {key: split[key] for key in texts}, notes


def keep(corpus: ParallelCorpus, dialects: tuple[str, ...]) -> ParallelCorpus:
    """The corpus with these dialects alone, beside its standard and pivot."""
    kept = {corpus.standard, corpus.pivot, *dialects}
    texts = {key: {v: text for v, text in row.items() if v in kept} for key, row in corpus.texts.items()}
    return replace(corpus, texts={key: row for key, row in texts.items() if row}, dialects=dialects)


def working_dialects(corpus: ParallelCorpus, official: dict[str, str], held_out: float,
                     seed: int) -> tuple[str, ...]:
    """The dialects that can be trained if the others are left out; tried, since leaving some out moves the split."""
    while corpus.dialects and (lacking := unusable(corpus)):
        kept = tuple(v for v in corpus.dialects if v not in lacking)
        if kept == corpus.dialects:  # it is the standard or the pivot that lacks rows
            break
        corpus = keep(corpus, kept)
        try:
            corpus = replace(corpus, split=complete_split(corpus.texts, official, held_out, seed)[0])
        except TinyDecoupleError:
            return ()
    return corpus.dialects
