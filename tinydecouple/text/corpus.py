"""Parallel text: one meaning, known by its key, in many varieties.

The file format is long TSV, UTF-8, with a header line: columns `key`, `variety`, `text`
and, if the corpus comes with its own split, `split` (train, dev or test).
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinydecouple.errors import TinyDecoupleError

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class ParallelCorpus:
    """Texts that share a key mean the same; a key need not exist in every variety.

    texts: key -> variety -> text.  split: key -> train, dev or test.
    standard: the dominant variety.  pivot: a variety outside the family, or None.
    dialects: every other variety, in order of first appearance.
    """

    texts: dict[str, dict[str, str]]
    split: dict[str, str]
    standard: str
    pivot: str | None
    dialects: tuple[str, ...]

    @property
    def family(self) -> tuple[str, ...]:
        """The standard and its dialects: the varieties that a probe tells apart."""
        return (self.standard, *self.dialects)

    @property
    def varieties(self) -> tuple[str, ...]:
        return ((self.pivot,) if self.pivot else ()) + self.family

    def keys(self, split: str, *varieties: str) -> list[str]:
        """Keys of a split that exist in all the named varieties, in corpus order."""
        return [key for key, row in self.texts.items()
                if self.split[key] == split and all(v in row for v in varieties)]

    def column(self, variety: str, keys: list[str]) -> list[str]:
        return [self.texts[key][variety] for key in keys]


def read_tsv(path: str | Path, standard: str | None, pivot: str | None, held_out: float, seed: int) -> ParallelCorpus:
    """Read long TSV; without a `split` column, split by key.

    held_out: share of the keys for dev, and the same share for test.
    Raises TinyDecoupleError, naming file and line, for a missing file or column, text that is empty or
    not UTF-8, a (key, variety) met twice, or an unknown variety.
    """
    rows = list(_read_rows(Path(path)))
    texts: dict[str, dict[str, str]] = {}
    given: dict[str, str] = {}
    for line, row in rows:
        cells = texts.setdefault(row["key"], {})
        if row["variety"] in cells:
            raise TinyDecoupleError(f"{path}:{line}: key {row['key']!r} has a second row for variety "
                                    f"{row['variety']!r}; keep one of them")
        cells[row["variety"]] = row["text"]
        if "split" in row and given.setdefault(row["key"], row["split"]) != row["split"]:
            raise TinyDecoupleError(f"{path}:{line}: key {row['key']!r} is in {row['split']} here and in "
                                    f"{given[row['key']]} above; a key belongs to one split")
    found = tuple(dict.fromkeys(row["variety"] for _, row in rows))
    listed = ", ".join(found) or "none"
    if standard is None:
        raise TinyDecoupleError(f"{path}: no standard named; pass --standard, one of: {listed}")
    for option, name in (("--standard", standard), ("--pivot", pivot)):
        if name is not None and name not in found:
            raise TinyDecoupleError(f"{path}: {option} {name!r} is not in the file; varieties there: {listed}")
    if standard == pivot:
        raise TinyDecoupleError(f"--standard and --pivot are both {standard!r}; the pivot lies outside the family")
    dialects = tuple(v for v in found if v not in (standard, pivot))
    if not dialects:
        raise TinyDecoupleError(f"{path}: no dialect beside the standard; varieties there: {listed}")
    split = given or split_by_key(list(texts), held_out, np.random.default_rng(seed))
    return check_usable(ParallelCorpus(texts, split, standard, pivot, dialects), str(path))


def _read_rows(path: Path):
    """Yield (line number, {column: cell}); every cell is stripped and not empty."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TinyDecoupleError(f"{path}: cannot read this corpus ({error.strerror}); pass a long TSV file") from None
    columns: list[str] = []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            line = raw.decode("utf-8").rstrip("\r")
        except UnicodeDecodeError as error:
            raise TinyDecoupleError(f"{path}:{number}: byte {error.start + 1} is not UTF-8; "
                                    "save the file as UTF-8") from None
        cells = [cell.strip() for cell in line.split("\t")]
        if number == 1:
            columns = cells
            missing = [name for name in ("key", "variety", "text") if name not in columns]
            if missing or len(set(columns)) < len(columns):
                raise TinyDecoupleError(f"{path}:1: columns found: {', '.join(columns)}; "
                                        f"expected key, variety, text and, if you like, split, each once")
        elif line:
            if len(cells) != len(columns):
                raise TinyDecoupleError(f"{path}:{number}: {len(cells)} cells, but the header has {len(columns)}; "
                                        "separate cells by one tab and keep tabs out of the text")
            row = dict(zip(columns, cells))
            for name in ("key", "variety", "text"):
                if not row[name]:
                    raise TinyDecoupleError(f"{path}:{number}: empty {name}; fill it in or delete the line")
            if row.get("split", "train") not in SPLITS:
                raise TinyDecoupleError(f"{path}:{number}: split {row['split']!r}; expected one of {', '.join(SPLITS)}")
            yield number, row


def write_tsv(corpus: ParallelCorpus) -> str:
    """The corpus as long TSV with its split; what read_tsv reads back is the same corpus."""
    lines = ["key\tvariety\ttext\tsplit"]
    for key, row in corpus.texts.items():
        lines += [f"{key}\t{variety}\t{text}\t{corpus.split[key]}" for variety, text in row.items()]
    return "\n".join(lines) + "\n"


def split_by_key(keys: list[str], held_out: float, rng: np.random.Generator) -> dict[str, str]:
    """Put a share of the keys in dev, as many in test, the rest in train: no meaning is on two sides."""
    n = round(len(keys) * held_out)
    if n < 1 or 2 * n >= len(keys):
        raise TinyDecoupleError(f"too few sentences to split: {len(keys)} keys at a held-out share of {held_out} "
                                "leave train, dev or test empty; add sentences or change --held-out")
    split = dict.fromkeys(keys, "train")
    order = rng.permutation(len(keys))
    split.update({keys[i]: "dev" for i in order[:n]})
    split.update({keys[i]: "test" for i in order[n:2 * n]})
    return split


def check_usable(corpus: ParallelCorpus, source: str) -> ParallelCorpus:
    """Return the corpus if every variety can be trained, chosen on and tested; raise TinyDecoupleError if not."""
    for variety in corpus.varieties:
        shared = Counter(corpus.split[key] for key, row in corpus.texts.items()
                         if variety in row and corpus.standard in row)
        for split in SPLITS:
            if not shared[split]:
                raise TinyDecoupleError(f"{source}: variety {variety!r} has no rows in {split} that share a key with "
                                        f"{corpus.standard!r} (train {shared['train']}, dev {shared['dev']}, test "
                                        f"{shared['test']}); too few sentences to split: add some or leave it out")
    return corpus


def subsample(corpus: ParallelCorpus, per_variety: int, seed: int) -> ParallelCorpus:
    """Keep at most `per_variety` training sentences a dialect; nested by seed: 100 lie within 200.

    The standard, the pivot, dev and test stay whole.
    """
    order = corpus.keys("train")
    np.random.default_rng(seed).shuffle(order)
    dropped = set()
    for dialect in corpus.dialects:
        with_both = [k for k in order if dialect in corpus.texts[k] and corpus.standard in corpus.texts[k]]
        dropped |= {(k, dialect) for k in with_both[per_variety:]}
    texts = {k: {v: t for v, t in row.items() if (k, v) not in dropped} for k, row in corpus.texts.items()}
    return replace(corpus, texts=texts)
