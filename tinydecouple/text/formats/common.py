"""What the readers of all formats share: one row, one reading, lines, tables.

A format is one module with four names: SHAPE, what it looks like, for error messages; USUAL, its usual standard and
pivot (None where there is none); recognised(path); and read(paths, reading, pivot, varieties), a generator of rows.
`pivot` and `varieties` (the ones wanted, or None for all) spare a reader work; what it yields beside them is ignored.
A byte-order mark and Windows line ends change nothing.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import open_regular
from tinydecouple.text.formats.foreign import refuse_foreign
from tinydecouple.text.hygiene import clean_name, shorten, visible


class Row(NamedTuple):
    """One text; where: file:line, or file: key; split: train, dev, test, or None if the corpus has no official one."""

    where: str
    key: str
    variety: str
    text: str
    split: str | None


class Reading:
    """One reading of a corpus: whether a bad row stops it, what it left out, which files it opened.

    lenient: count a bad row (not UTF-8, a NUL byte, a wrong number of cells, no text) instead of raising
    TinyDecoupleError. A missing file, or a folder that lacks what its format must have, is an error either way.
    """

    def __init__(self, lenient: bool = False):
        self.lenient = lenient
        self.left_out: Counter[str] = Counter()  # reason -> rows
        self.digests: dict[Path, bytes] = {}     # file -> SHA-256 of its bytes
        self.met: set[str] = set()               # varieties that a reader passed over, since they were not wanted
        self.names_from = ""                     # where the names of varieties stand, where that is easily mistaken

    def drop(self, reason: str) -> None:
        """Count something that is lawful in its format but is no text to train on."""
        self.left_out[reason] += 1

    def bad(self, where: str, reason: str, message: str) -> None:
        """Raise the message about a bad row, or count its reason if lenient."""
        if not self.lenient:
            raise TinyDecoupleError(f"{where}: {message}")
        self.drop(reason)

    def open(self, path: Path) -> BinaryIO:
        """The file, open, its bytes noted for the fingerprint; raises TinyDecoupleError if it may not be read."""
        try:
            file = open_regular(path)
        except OSError as error:
            raise TinyDecoupleError(f"{path}: cannot read this corpus ({error.strerror}); pass a TSV file or a "
                                    "folder of a known format") from None
        if path not in self.digests:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            file.seek(0)
            self.digests[path] = digest.digest()
        return file

    def fingerprint(self, roots: Sequence[Path]) -> str:
        """SHA-256 over the name, relative to the folder that holds all roots, and the bytes of the files opened."""
        base = os.path.commonpath([os.path.abspath(root if root.is_dir() else root.parent) for root in roots])
        return fingerprint({Path(os.path.relpath(path, base)).as_posix(): digest
                            for path, digest in self.digests.items()})

    def lines(self, path: Path) -> Iterator[tuple[str, int, str]]:
        """Yield (file:line, line number, line) for every line that is UTF-8 without NUL bytes; blank lines too."""
        with self.open(path) as file:  # bytes end their lines at \n alone: the text may hold U+2028 and the like
            head = file.read(1 << 16)
            if b"\r" in head.rstrip(b"\r") and b"\n" not in head:
                raise TinyDecoupleError(f"{path}: its lines end in CR alone, as on old Macs; convert them: "
                                        f"tr '\\r' '\\n' < {path.name} > converted-{path.name}")
            file.seek(0)
            for number, raw in enumerate(file, start=1):
                where = f"{path}:{number}"
                try:
                    line = raw.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").decode("utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    self.bad(where, "not UTF-8", f"byte {error.start + 1} is not UTF-8; save the file as UTF-8")
                    continue
                if "\0" in line:
                    self.bad(where, "NUL byte", "a NUL byte in the text; delete it, or save the file as UTF-8 if it is "
                                                "UTF-16")
                    continue
                yield where, number, line

    def table(self, path: Path, known: Sequence[str]) -> tuple[list[str], Iterator[tuple[str, int, dict[str, str]]]]:
        """The header's columns, and (file:line, line number, {column: cell}) for every other line that is not blank.

        known: columns that the format knows, which the header may write in any case.
        """
        _, _, header = next(Reading().lines(path), ("", 1, ""))  # not lenient: a table needs its header
        named = {name.lower(): name for name in known}
        columns = [named.get(name.lower(), name) for name in map(clean_name, header.split("\t"))]
        if len(set(columns)) < len(columns):
            raise TinyDecoupleError(f"{path}:1: columns found: {visible(shorten(header))}; each may stand once, "
                                    "whatever its case and marks that nobody sees")

        def rows() -> Iterator[tuple[str, int, dict[str, str]]]:
            for where, number, line in islice(self.lines(path), 1, None):
                cells = [cell.strip() for cell in line.split("\t")]
                while len(cells) > len(columns) and not cells[-1]:  # a spreadsheet's empty columns
                    cells.pop()
                if line and len(cells) != len(columns):
                    self.bad(where, "ragged row", f"{len(cells)} cells, but the header has {len(columns)}; "
                                                  "separate cells by one tab and keep tabs out of the text")
                elif line:
                    yield where, number, dict(zip(columns, cells))
        return columns, rows()

    def common_length(self, paths: Sequence[Path]) -> int:
        """How many lines each file has, blank ones at the end of some aside; TinyDecoupleError if they do not agree."""
        counts, full = [], []
        for path in paths:
            with self.open(path) as file:
                lines = [bool(line.strip()) for line in file]
            counts.append(len(lines))
            full.append(len(lines) - lines[::-1].index(True) if True in lines else 0)
        if len(set(counts)) > 1 and len(set(full)) > 1:
            other = next(i for i, count in enumerate(counts) if count != counts[0])
            raise TinyDecoupleError(f"{paths[other]}: {counts[other]} lines, but {paths[0]} has {counts[0]}; line n "
                                    "must be the same sentence in every file: get the file again")
        return min(counts, default=0)


def fingerprint(digests: dict[str, bytes]) -> str:
    """SHA-256, in hexadecimal, over the names of files and the SHA-256 of their bytes, in the order of names."""
    whole = hashlib.sha256()
    for name, digest in sorted(digests.items()):
        whole.update(name.encode("utf-8", "surrogateescape") + b"\0" + digest)
    return whole.hexdigest()


def one_folder(paths: Sequence[str | Path]) -> Path:
    """The one path, if it is a folder; TinyDecoupleError for several paths, a foreign file, a file or nothing."""
    path = one_path(paths)
    refuse_foreign(path)
    if not path.is_dir():
        found = "a file" if path.exists() else "nothing there"
        raise TinyDecoupleError(f"{path}: {found}; pass the folder that holds the corpus")
    return path


def one_path(paths: Sequence[str | Path]) -> Path:
    """The one path; raises TinyDecoupleError for several."""
    if len(paths) > 1:
        raise TinyDecoupleError(f"{paths[0]}: several paths go with MediaWiki's messages alone; pass one path")
    return Path(paths[0])
