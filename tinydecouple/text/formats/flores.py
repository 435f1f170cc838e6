"""FLORES-200 and FLORES+: a file per variety and split, one sentence per line."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.formats.common import Reading, Row, one_folder

SHAPE = "dev/arz_Arab.dev and devtest/arz_Arab.devtest, a file per variety"
USUAL = ("arb", "eng")
NAME = re.compile(r"(?:(dev|devtest)\.)?([a-z]{3}_[A-Z][a-z]{3}(?:_[a-z0-9]+)?)(?:\.(dev|devtest|txt))?")


def recognised(path: Path) -> bool:
    return path.is_dir() and bool(_files(path))


def read(paths: Sequence[str | Path], reading: Reading, pivot: str | None = None,
         varieties: tuple[str, ...] | None = None) -> Iterator[Row]:
    """Read FLORES: line n is the same sentence in every file.

    File names: arz_Arab, with .dev, .devtest or .txt behind or dev. or devtest. before; the split stands in the name,
    or is the folder's. The variety is the code before _, or the whole name where a code has several scripts.
    Of a code with several scripts the one in Arabic letters keeps the bare code.
    FLORES has no train: rows of dev have no split (None: the caller splits them), rows of devtest are test; if devtest
    is all there is, its rows have none either. Keys are dev-0001 by line. Unequal line counts are an error, and so
    are two copies: versions differ in their sentences.
    """
    folder = one_folder(paths)
    copies_of = _files(folder)
    if not copies_of:
        raise TinyDecoupleError(f"{folder}: no FLORES files here; expected {SHAPE}")
    roots = {_root(path): path for copies in copies_of.values() for path in copies}
    if len(roots) > 1:
        raise TinyDecoupleError(f"{folder}: copies of FLORES in {' and '.join(map(str, sorted(roots)))}; pass one of "
                                "them")
    for copies in copies_of.values():
        if len(copies) > 1:
            raise TinyDecoupleError(f"{copies[1]}: a second file of what {copies[0]} holds; keep one of them")
    files: dict[str, dict[str, Path]] = defaultdict(dict)
    for (split, name), (path,) in copies_of.items():
        files[split][name] = path
    scripts = Counter(name.split("_")[0] for name in {name for _, name in copies_of})
    for split, named in files.items():
        official = "test" if split == "devtest" and "dev" in files else None
        wanted = {}
        for name, path in named.items():
            code = name.split("_")[0]
            variety = code if scripts[code] == 1 or name == f"{code}_Arab" else name
            reading.met.add(variety)
            if varieties is None or variety in varieties:
                wanted[variety] = path
        lines = reading.common_length(list(wanted.values()))
        for variety, path in wanted.items():
            for where, number, line in reading.lines(path):
                if line.strip():
                    yield Row(where, f"{split}-{number:04d}", variety, line.strip(), official)
                elif number <= lines:
                    reading.bad(where, "empty text", "empty line; write the sentence in or delete the line in every "
                                                     "file")


def _files(folder: Path) -> dict[tuple[str, str], list[Path]]:
    """(dev or devtest, name such as arz_Arab) -> its files, here or up to two folders down."""
    files = defaultdict(list)
    for path in sorted([*folder.glob("*"), *folder.glob("*/*"), *folder.glob("*/*/*")]):
        name = NAME.fullmatch(path.name)
        if name and path.is_file():
            split = next((s for s in (name[1], name[3], path.absolute().parent.name) if s in ("dev", "devtest")), None)
            if split:
                files[split, name[2]].append(path)
    return files


def _root(path: Path) -> Path:
    """The folder of the copy that a file belongs to: its own, or the one above dev and devtest."""
    parent = path.absolute().parent
    return parent.parent if parent.name in ("dev", "devtest") else parent
