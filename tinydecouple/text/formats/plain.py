"""Aligned plain files, as OPUS (Moses format) and WMT hand them out: name.de and name.nds, one sentence per line."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.formats.common import Reading, Row, one_folder
from tinydecouple.text.formats.foreign import refuse_foreign
from tinydecouple.text.options import SPLITS

SHAPE = "name.de and name.nds, a file per variety, line n the same sentence"
USUAL = (None, "en")
CODE = re.compile(r"[a-z]{2,3}(?:[-_][A-Za-z0-9]+)*")
OTHER_FILES = frozenset("txt tsv csv xml tmx ids sgm md rst py js log dat json yml cfg ini gz xz zip tar tgz "
                        "zst pdf doc odt xls ods htm css png jpg gif svg tex bib aux toc npz npy".split())
SIDES = {"valid": "dev", "validation": "dev", **{side: side for side in SPLITS}}


def recognised(path: Path) -> bool:
    return bool(_groups(path))


def read(paths: Sequence[str | Path], reading: Reading, pivot: str | None = None,
         varieties: tuple[str, ...] | None = None) -> Iterator[Row]:
    """Read files that share a name but for their ending, which is the variety; here or one folder down.

    Given one of the files, that name is read alone. Keys are the name and the line, such as Tatoeba.de-nds-00001.
    If there are a train, a dev (or valid) and a test, by name or folder, they are the split. A line that is empty in
    one file is lawful, the sentence had no counterpart: it is counted. Unequal line counts are an error.
    """
    path = Path(paths[0])
    refuse_foreign(path)
    groups = _groups(path)
    if not groups:
        raise TinyDecoupleError(f"{one_folder(paths)}: no aligned files here; expected {SHAPE}")
    sides = {name: next((SIDES[part] for part in reversed(name.split("/")) if part in SIDES), None) for name in groups}
    whole = set(sides.values()) == set(SPLITS)
    for name, files in groups.items():
        reading.met |= set(files)
        wanted = {variety: file for variety, file in files.items() if varieties is None or variety in varieties}
        lines = reading.common_length(list(wanted.values()))
        for variety, file in wanted.items():
            for where, number, line in reading.lines(file):
                if line.strip():
                    yield Row(where, f"{name}-{number:05d}", variety, line.strip(), sides[name] if whole else None)
                elif number <= lines:
                    reading.drop("empty line")


def _groups(path: Path) -> dict[str, dict[str, Path]]:
    """Shared name, with its folder -> variety -> file, where at least two files share it."""
    folder = path if path.is_dir() else path.parent
    groups: dict[str, dict[str, Path]] = defaultdict(dict)
    for file in sorted([*folder.glob("*"), *folder.glob("*/*")] if path.is_dir() else folder.glob("*")):
        code = file.suffix[1:]
        if CODE.fullmatch(code) and code not in OTHER_FILES and file.stem and file.is_file():
            groups[file.relative_to(folder).with_suffix("").as_posix()][code] = file
    one = path.stem if path.is_file() else None
    return {name: files for name, files in groups.items()
            if len(files) > 1 and one in (None, name) and (one is None or path in files.values())}
