"""Find a student's file in a folder, whatever the folder looks like, and read it as text; it is never imported."""

import ast
import codecs
import io
import re
import tokenize
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from tinydecouple.coursework.tasks import NAMES, Assignment, assignment
from tinydecouple.errors import TinyDecoupleError

MOST = 2**20  # bytes of a student's file


@dataclass(frozen=True)
class Submission:
    """source: text of the student's file; failed: why it cannot be run, or ""; notes: what to tell the student."""

    assignment: Assignment
    source: str = ""
    failed: str = ""
    notes: list[str] = field(default_factory=list)


def find(folder: Path, wanted: Assignment | None = None) -> Submission:
    """The submission in a folder, below it, or in a zip file that lies there.

    wanted: the assignment, if it is known. Raises TinyDecoupleError for a folder without a file A1.py to A4.py, or with
    more than one.
    """
    if not folder.exists():
        raise TinyDecoupleError(f"{folder}: no such folder")
    names = [wanted.name] if wanted else list(NAMES)
    files = {path: path.read_bytes()[:MOST + 1] for name in names for path in candidates(folder, f"{name}.py")}
    notes = []
    if not files and (zips := [folder] if zipfile.is_zipfile(folder) else sorted(folder.rglob("*.zip"))):
        files = {Path(name): data for path in zips for name, data in unpacked(path, names)}
        notes = [f"taken from {zips[0].name}; next time submit {' or '.join(names)}.py itself"] if files else []
    if not files:
        raise TinyDecoupleError(f"{folder}: no file {' or '.join(f'{name}.py' for name in names)}; submit it under "
                                "this name")
    if len(files) > 1:
        raise TinyDecoupleError(f"{folder}: {len(files)} files, {', '.join(map(str, list(files)[:3]))}; submit one")
    (path, data), = files.items()
    return read(path, data, assignment(path.stem), notes)


def candidates(folder: Path, name: str) -> list[Path]:
    """Files of that name in the folder; if there are none, those below it."""
    if folder.is_file():
        return [folder] if folder.name == name else []
    here = folder / name
    return [here] if here.is_file() else [p for p in sorted(folder.rglob(name)) if p.is_file() and "__MACOSX" not in
                                          p.parts]


def unpacked(path: Path, names: list[str]) -> list[tuple[str, bytes]]:
    """The assignments' files in a zip; a zip that is damaged holds none."""
    try:
        with zipfile.ZipFile(path) as archive:
            chosen = [m for m in archive.infolist() if Path(m.filename).name in {f"{name}.py" for name in names}
                      and "__MACOSX" not in m.filename]
            return [(m.filename, archive.open(m).read(MOST + 1)) for m in chosen]
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError):
        return []


def read(path: Path, data: bytes, of: Assignment, notes: list[str]) -> Submission:
    """Text of a file in any usual encoding; what cannot be parsed is told with its line."""
    name = f"{of.name}.py"
    if len(data) > MOST:
        return Submission(of, failed=f"{name}: more than {MOST // 2**20} MiB; that is no student's file", notes=notes)
    text, note = decoded(data)
    notes = notes + ([f"{name} {note}"] if note else [])
    text = re.sub(r"\A(.*\n)?(#.*coding[:=][ \t]*[-\w.]+.*)", r"\1#", text.replace("\r\n", "\n").replace("\r", "\n"))
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        why = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
        return Submission(of, text, f"{name}{line}: Python cannot read it: {why}", notes)
    return Submission(of, text, notes=notes)


def decoded(data: bytes) -> tuple[str, str]:
    """Text, and a note if it is not in the encoding that Python expects."""
    for mark, encoding in ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"),
                           (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            note = "" if encoding == "utf-8-sig" else "is UTF-16; read as such, but save it as UTF-8"
            return data.decode(encoding, "replace"), note
    try:
        return data.decode(tokenize.detect_encoding(io.BytesIO(data).readline)[0]), ""
    except (SyntaxError, LookupError, UnicodeDecodeError):
        return data.decode("cp1252", "replace"), "is not UTF-8; read as Windows-1252, but save it as UTF-8"
