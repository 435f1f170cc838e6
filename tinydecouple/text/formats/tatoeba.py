"""Tatoeba: sentences that volunteers wrote and linked to their translations."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.formats.formats import (
    SHAPES,
    TATOEBA_LINKS,
    TATOEBA_SENTENCES,
    Bad,
    Drop,
    Row,
    check_folder,
    read_lines,
    refuser,
    tatoeba_files,
)


def read_tatoeba(folder: str | Path, pivot: str, varieties: tuple[str, ...] | None, drop: Drop,
                 lenient: bool) -> Iterator[Row]:
    """Read Tatoeba's exports: sentences.csv (or sentences_detailed.csv) and links.csv, or those of single languages.

    Each sentence of `pivot` (Tatoeba's code, such as eng) that has a direct translation is a key, with its id as name;
    of several translations into one variety the first by id is kept. Chains of links are not followed: their ends
    drift apart in meaning. varieties: the codes wanted beside the pivot; None for all. Rows come in file order.
    """
    folder = check_folder(folder)
    sentences, links = tatoeba_files(folder, TATOEBA_SENTENCES), tatoeba_files(folder, TATOEBA_LINKS)
    if not sentences or not links:
        raise TinyDecoupleError(f"{folder}: no {'sentences.csv' if links else 'links.csv'} here; "
                                f"expected {SHAPES['tatoeba']}")
    wanted = None if varieties is None else {pivot, *varieties}
    variety_of: dict[int, str] = {}
    met: Counter[str] = Counter()
    for _, number, variety, _ in _sentences(sentences, refuser(drop, lenient)):
        met[variety] += 1
        if variety in ("", "\\N"):
            drop("unknown language")
        elif wanted is None or variety in wanted:
            variety_of[number] = variety
    for code in (pivot, *(varieties or ())):
        if code not in met:
            raise TinyDecoupleError(f"{sentences[0]}: no sentence in {code!r}; codes there, the most frequent first: "
                                    f"{', '.join(code for code, _ in met.most_common(12)) or 'none'}")
    translations: dict[int, set[int]] = defaultdict(set)
    bad = refuser(drop, lenient)
    for path in links:
        for where, _, line in read_lines(path, bad):
            ends = line.split("\t")
            if line and (len(ends) != 2 or not all(end.isdecimal() for end in ends)):
                bad(where, "ragged row", "expected two sentence ids separated by one tab")
            elif line:
                for a, b in (ends, reversed(ends)):  # a file may list a link in one direction only
                    if variety_of.get(int(a)) == pivot and variety_of.get(int(b), pivot) != pivot:
                        translations[int(a)].add(int(b))
    keys = defaultdict(list)  # sentence -> the keys that it is a text of
    for key in (number for number, variety in variety_of.items() if variety == pivot):
        first = {}
        for number in sorted(translations.get(key, ())):
            if first.setdefault(variety_of[number], number) != number:
                drop("second translation")
        for number in (key, *first.values()) if first else ():
            keys[number].append(key)
        if not first:
            drop("no translation")
    for where, number, variety, text in _sentences(sentences, refuser(lambda reason: None, lenient)):
        for key in keys.pop(number, ()):  # popped: a sentence in two exports is one sentence
            yield Row(where, str(key), variety, text, None)


def _sentences(paths: list[Path], bad: Bad) -> Iterator[tuple[str, int, str, str]]:
    """Yield (file:line, id, variety, text); columns beyond the third, those of the detailed export, are not read."""
    for path in paths:
        for where, _, line in read_lines(path, bad):
            cells = [cell.strip() for cell in line.split("\t")]
            if line and (len(cells) not in (3, 6) or not cells[0].isdecimal()):
                bad(where, "ragged row", "expected an id, a language and a sentence, separated by one tab each")
            elif line and not cells[2]:
                bad(where, "empty text", "empty sentence; delete the line")
            elif line:
                yield where, int(cells[0]), cells[1], cells[2]
