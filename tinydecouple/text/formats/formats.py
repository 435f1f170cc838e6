"""Corpora in their own formats: each reader is a generator of rows, and names what it leaves out.

Every reader takes `drop`, called with a short reason for everything left out, so that the caller can count, and
`lenient`: a bad row (not UTF-8, a NUL byte, a wrong number of cells, no text) is then dropped with its reason instead
of raising TinyDecoupleError. A missing file or a folder that lacks what its format must have is an error either way.
A byte-order mark and Windows line ends change nothing. TSV and FLORES are read here; madar.py, mediawiki.py and
tatoeba.py read theirs, with the helpers below.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tinydecouple.errors import TinyDecoupleError

SPLITS = ("train", "dev", "test")
SHAPES = {  # format -> what it looks like
    "tsv": "a TSV file with the columns key, variety, text, or with a column a variety",
    "madar": "MADAR.corpus.<City>.tsv, a file a city",
    "flores": "dev/arz_Arab.dev and devtest/arz_Arab.devtest, a file a variety",
    "mediawiki": "i18n/<code>.json, a file a variety",
    "tatoeba": "sentences.csv and links.csv",
}
ARCHIVE_NAMES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz")
ARCHIVE_MAGIC = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
FLORES_NAME = re.compile(r"(?:(dev|devtest)\.)?([a-z]{3}_[A-Z][a-z]{3}(?:_[a-z0-9]+)?)(?:\.(dev|devtest|txt))?")
TATOEBA_SENTENCES = re.compile(r"([a-z]{3}_)?sentences(_detailed)?\.(csv|tsv)")
TATOEBA_LINKS = re.compile(r"([a-z]{3}-[a-z]{3}_)?links\.(csv|tsv)")
MESSAGE_FILE = re.compile(r"([a-z]{2,3}(?:-[a-z0-9]+)*)\.json")


class Row(NamedTuple):
    """One text; where: file:line, or file: key; split: train, dev, test, or None if the corpus has no official one."""

    where: str
    key: str
    variety: str
    text: str
    split: str | None


Drop = Callable[[str], None]                # reason
Bad = Callable[[str, str, str], None]       # where, reason, message


def refuser(drop: Drop, lenient: bool) -> Bad:
    """What is done with a bad row: raise its message, or count its reason if lenient."""
    def bad(where: str, reason: str, message: str) -> None:
        if not lenient:
            raise TinyDecoupleError(f"{where}: {message}")
        drop(reason)
    return bad


def recognise(path: str | Path) -> str:
    """The format of what lies at `path`: tsv, madar, flores, mediawiki or tatoeba.

    A file is tsv. Raises TinyDecoupleError for an archive, a missing path, and a folder that holds no known format.
    """
    path = Path(path)
    if not path.exists():
        raise TinyDecoupleError(f"{path}: nothing there; pass phrasebook, family, a TSV file or a corpus's folder")
    refuse_archive(path)
    if path.is_file():
        return "tsv"
    if madar_files(path) or shared_task_files(path):
        return "madar"
    if flores_files(path):
        return "flores"
    if tatoeba_files(path, TATOEBA_SENTENCES) and tatoeba_files(path, TATOEBA_LINKS):
        return "tatoeba"
    if message_files(path):
        return "mediawiki"
    inside = sorted(p.name for p in path.iterdir())
    packed = [name for name in inside if name.lower().endswith(ARCHIVE_NAMES)]
    hint = "the folder is empty" if not inside else f"unpack {packed[0]} first" if packed else f"it has {inside[0]}"
    raise TinyDecoupleError(f"{path}: no known format here ({hint}); expected "
                            + "; or ".join(f"{name}: {shape}" for name, shape in SHAPES.items()))


def refuse_archive(path: Path) -> None:
    """Raise TinyDecoupleError if a file is an archive, by its name or by its first bytes."""
    if path.is_file():
        with open_bytes(path) as file:
            head = file.read(262)
        if path.name.lower().endswith(ARCHIVE_NAMES) or head.startswith(ARCHIVE_MAGIC) or head[257:] == b"ustar":
            raise TinyDecoupleError(f"{path}: an archive; unpack it first and pass the folder or file it held")


def check_folder(path: str | Path) -> Path:
    """The path, if it is a folder; raises TinyDecoupleError for an archive, a file or nothing."""
    path = Path(path)
    refuse_archive(path)
    if not path.is_dir():
        found = "a file" if path.exists() else "nothing there"
        raise TinyDecoupleError(f"{path}: {found}; pass the folder that holds the corpus")
    return path


def open_bytes(path: Path) -> BinaryIO:
    """The file, open; raises TinyDecoupleError if it is missing or may not be read."""
    try:
        return path.open("rb")
    except OSError as error:
        raise TinyDecoupleError(f"{path}: cannot read this corpus ({error.strerror}); pass a long TSV file or a "
                                "folder of a known format") from None


def read_lines(path: Path, bad: Bad) -> Iterator[tuple[str, int, str]]:
    """Yield (file:line, line number, line) for every line that is UTF-8 without NUL bytes; blank lines too."""
    with open_bytes(path) as file:  # bytes end their lines at \n alone: the text may hold U+2028 and the like
        for number, raw in enumerate(file, start=1):
            where = f"{path}:{number}"
            try:
                line = raw.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                bad(where, "not UTF-8", f"byte {error.start + 1} is not UTF-8; save the file as UTF-8")
                continue
            if "\0" in line:
                bad(where, "NUL byte", "a NUL byte in the text; delete it, or save the file as UTF-8 if it is UTF-16")
                continue
            yield where, number, line


def read_table(path: Path, bad: Bad) -> tuple[list[str], Iterator[tuple[str, int, dict[str, str]]]]:
    """The header's columns, and (file:line, line number, {column: cell}) for every other line that is not blank."""
    strict = refuser(lambda reason: None, lenient=False)  # without its header a table cannot be read
    _, _, header = next(read_lines(path, strict), ("", 1, ""))
    columns = [cell.strip() for cell in header.split("\t")]

    def rows():
        for where, number, line in islice(read_lines(path, bad), 1, None):
            cells = [cell.strip() for cell in line.split("\t")]
            if line and len(cells) != len(columns):
                bad(where, "ragged row", f"{len(cells)} cells, but the header has {len(columns)}; "
                                         "separate cells by one tab and keep tabs out of the text")
            elif line:
                yield where, number, dict(zip(columns, cells))
    return columns, rows()


def read_tsv_rows(path: str | Path, drop: Drop, lenient: bool) -> Iterator[Row]:
    """Read TSV with a header: long (key, variety, text) or wide (a column a variety); `split` if you like.

    Wide: an empty cell says that the key lacks that variety; without a column `key` the line number is the key.
    A header with `variety` or `text` is long, any other is wide.
    """
    path = Path(path)
    refuse_archive(path)
    bad = refuser(drop, lenient)
    columns, rows = read_table(path, bad)
    long = {"variety", "text"} & set(columns)
    wide = [] if long else [name for name in columns if name not in ("key", "split")]
    needed = ("key", "variety", "text") if long else ("key",) if "key" in columns else ()
    unfit = not set(needed) <= set(columns) if long else len(wide) < 2 or "" in wide
    if unfit or len(set(columns)) < len(columns):
        cut = "; cells are separated by tabs, not commas" if len(columns) == 1 and "," in columns[0] else ""
        raise TinyDecoupleError(f"{path}:1: columns found: {', '.join(columns)}; expected key, variety, text and, if "
                                f"you like, split, each once; or a column a variety, two at least{cut}")
    for where, number, row in rows:
        texts = {name: row[name] for name in wide if row[name]} if wide else {row["variety"]: row["text"]}
        empty = [name for name in needed if not row[name]] or ([] if texts else ["text"])
        if empty:
            bad(where, f"empty {empty[0]}", f"empty {empty[0]}; fill it in or delete the line")
        elif row.get("split", "train") not in SPLITS:
            bad(where, "unknown split", f"split {row['split']!r}; expected one of {', '.join(SPLITS)}")
        else:
            for variety, text in texts.items():
                yield Row(where, row.get("key", str(number)), variety, text, row.get("split"))


def read_flores(folder: str | Path, drop: Drop, lenient: bool) -> Iterator[Row]:
    """Read FLORES-200 or FLORES+: a file a variety and split, one sentence a line, line n the same sentence everywhere.

    File names: arz_Arab, with .dev, .devtest or .txt behind or dev. or devtest. before; the split stands in the name,
    or is the folder's. The variety is the code before _, or the whole name where a code has several scripts.
    Of a code with several scripts the one in Arabic letters keeps the bare code.
    FLORES has no train: rows of dev have no split (None: the caller splits them), rows of devtest are test; if devtest
    is all there is, its rows have none either. Keys are dev-0001 by line. Unequal line counts are an error.
    """
    folder, bad = check_folder(folder), refuser(drop, lenient)
    files = flores_files(folder)
    if not files:
        raise TinyDecoupleError(f"{folder}: no FLORES files here; expected {SHAPES['flores']}")
    scripts = Counter(name.split("_")[0] for name in {name for paths in files.values() for name in paths})
    for paths in files.values():
        first, *others = paths.values()
        expected = _count_lines(first)
        for path in others:
            if _count_lines(path) != expected:
                raise TinyDecoupleError(f"{path}: {_count_lines(path)} lines, but {first} has {expected}; line n must "
                                        "be the same sentence in every file: get the file again")
    for split, paths in files.items():
        official = "test" if split == "devtest" and "dev" in files else None
        for name, path in paths.items():
            code = name.split("_")[0]
            variety = code if scripts[code] == 1 or name == f"{code}_Arab" else name
            for where, number, line in read_lines(path, bad):
                if line.strip():
                    yield Row(where, f"{split}-{number:04d}", variety, line.strip(), official)
                else:
                    bad(where, "empty text", "empty line; write the sentence in or delete the line in every file")


def tatoeba_files(folder: Path, name: re.Pattern[str]) -> list[Path]:
    """Files in the folder with such a name: TATOEBA_SENTENCES or TATOEBA_LINKS."""
    return sorted(path for path in folder.iterdir() if name.fullmatch(path.name))


def madar_files(folder: Path) -> list[Path]:
    """MADAR_Corpus's files, here or one folder down."""
    return sorted(folder.glob("MADAR.corpus.*.tsv")) or sorted(folder.glob("*/MADAR.corpus.*.tsv"))


def shared_task_files(folder: Path) -> dict[str, Path]:
    """Split -> its file of MADAR's shared task, here or one folder down."""
    name = "MADAR-Corpus-26-{}.tsv"
    return {split: path for split in SPLITS
            for path in (*folder.glob("*/" + name.format(split)), *folder.glob(name.format(split)))}


def flores_files(folder: Path) -> dict[str, dict[str, Path]]:
    """dev or devtest -> name such as arz_Arab -> its file, here or up to two folders down."""
    files = defaultdict(dict)
    for path in sorted([*folder.glob("*"), *folder.glob("*/*"), *folder.glob("*/*/*")]):
        name = FLORES_NAME.fullmatch(path.name)
        if name and path.is_file():
            split = next((s for s in (name[1], name[3], path.absolute().parent.name) if s in ("dev", "devtest")), None)
            if split:
                files[split][name[2]] = path
    return files


def _count_lines(path: Path) -> int:
    with open_bytes(path) as file:
        return sum(1 for _ in file)


def message_files(folder: Path) -> list[Path]:
    """Message files <code>.json: directly in the folder, or anywhere below a folder named i18n."""
    return sorted(path for path in folder.rglob("*.json") if MESSAGE_FILE.fullmatch(path.name)
                  and (path.parent == folder or "i18n" in (folder.absolute().name, *path.relative_to(folder).parts)))
