"""Tatoeba: sentences that volunteers wrote and linked to their translations."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.formats.common import Reading, Row, one_folder
from tinydecouple.text.hygiene import clean_name

SHAPE = "sentences.csv and links.csv"
USUAL = (None, "eng")
SENTENCES = re.compile(r"([a-z]{3}_)?sentences(_detailed)?\.(csv|tsv)")
LINKS = re.compile(r"([a-z]{3}-[a-z]{3}_)?links\.(csv|tsv)")


def recognised(path: Path) -> bool:
    return path.is_dir() and bool(_files(path, SENTENCES) and _files(path, LINKS))


def read(paths: Sequence[str | Path], reading: Reading, pivot: str | None = None,
         varieties: tuple[str, ...] | None = None) -> Iterator[Row]:
    """Read Tatoeba's exports: sentences.csv (or sentences_detailed.csv) and links.csv, or those of single languages.

    Each sentence of `pivot` (Tatoeba's code; eng if None) that has a direct translation is a key, with its id as name;
    of several translations into one variety the first by id is kept. Chains of links are not followed: their ends
    drift apart in meaning. varieties: the codes wanted beside the pivot; None for all. Rows come in file order.
    """
    folder, pivot = one_folder(paths), pivot or USUAL[1]
    sentences, links = _files(folder, SENTENCES), _files(folder, LINKS)
    if not sentences or not links:
        raise TinyDecoupleError(f"{folder}: no {'sentences.csv' if links else 'links.csv'} here; "
                                f"expected {SHAPE}")
    wanted = None if varieties is None else {pivot, *varieties}
    variety_of: dict[int, str] = {}
    met: Counter[str] = Counter()
    for _, number, variety, _ in _sentences(sentences, reading):
        met[variety] += 1
        if variety in ("", "\\N"):
            reading.drop("unknown language")
        elif wanted is None or variety in wanted:
            variety_of[number] = variety
    for code in (pivot, *(varieties or ())):
        if code not in met:
            raise TinyDecoupleError(f"{sentences[0]}: no sentence in {code!r}; codes there, the most frequent first: "
                                    f"{', '.join(code for code, _ in met.most_common(12)) or 'none'}")
    translations: dict[int, set[int]] = defaultdict(set)
    for path in links:
        for where, _, line in reading.lines(path):
            ends = line.split("\t")
            if line and (len(ends) != 2 or not all(map(_is_id, ends))):
                reading.bad(where, "ragged row", "expected two sentence ids separated by one tab")
            elif line:
                for a, b in (ends, reversed(ends)):  # a file may list a link in one direction only
                    if variety_of.get(int(a)) == pivot and variety_of.get(int(b), pivot) != pivot:
                        translations[int(a)].add(int(b))
    keys = defaultdict(list)  # sentence -> the keys that it is a text of
    for key in (number for number, variety in variety_of.items() if variety == pivot):
        first = {}
        for number in sorted(translations.get(key, ())):
            if first.setdefault(variety_of[number], number) != number:
                reading.drop("second translation")
        for number in (key, *first.values()) if first else ():
            keys[number].append(key)
        if not first:
            reading.drop("no translation")
    again = Reading(reading.lenient)  # what is bad was counted in the first pass, and the files noted
    again.digests = reading.digests
    for where, number, variety, text in _sentences(sentences, again):
        for key in keys.pop(number, ()):  # popped: a sentence in two exports is one sentence
            yield Row(where, str(key), variety, text, None)


def _files(folder: Path, name: re.Pattern[str]) -> list[Path]:
    return sorted(path for path in folder.iterdir() if name.fullmatch(path.name))


def _is_id(cell: str) -> bool:
    return cell.isdecimal() and len(cell) < 19


def _sentences(paths: list[Path], reading: Reading) -> Iterator[tuple[str, int, str, str]]:
    """Yield (file:line, id, variety, text); columns beyond the third, those of the detailed export, are not read."""
    for path in paths:
        for where, _, line in reading.lines(path):
            cells = [cell.strip() for cell in line.split("\t")]
            if line and (len(cells) not in (3, 6) or not _is_id(cells[0])):
                reading.bad(where, "ragged row", "expected an id, a language and a sentence, separated by one tab each")
            elif line and not cells[2]:
                reading.bad(where, "empty text", "empty sentence; delete the line")
            elif line:
                yield where, int(cells[0]), clean_name(cells[1]), cells[2]
