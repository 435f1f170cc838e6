"""MADAR, the parallel corpus of 25 Arab cities and Modern Standard Arabic, in its own two formats."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.formats.common import Reading, Row, one_folder
from tinydecouple.text.hygiene import clean_name, shorten, visible
from tinydecouple.text.options import SPLITS

SHAPE = "MADAR.corpus.<City>.tsv, a file per city"
USUAL = ("msa", "en")
COLUMNS = ("sentID.BTEC", "split", "lang", "sent")
OFFICIAL = {"corpus-6-train": "train", "corpus-6-test-corpus-26-train": "train", "corpus-6-dev": "dev",
            "corpus-6-test-corpus-26-dev": "dev", "corpus-6-test-corpus-26-test": "test"}
CITIES = {  # in file names -> variety; MSA stands among them as MADAR's 26th
    "Aleppo": "ale", "Alexandria": "alx", "Algiers": "alg", "Amman": "amm", "Aswan": "asw", "Baghdad": "bag",
    "Basra": "bas", "Beirut": "bei", "Benghazi": "ben", "Cairo": "cai", "Damascus": "dam", "Doha": "doh", "Fes": "fes",
    "Jeddah": "jed", "Jerusalem": "jer", "Khartoum": "kha", "Mosul": "mos", "Muscat": "mus", "Rabat": "rab",
    "Riyadh": "riy", "Salt": "sal", "Sanaa": "san", "Sfax": "sfx", "Tripoli": "tri", "Tunis": "tun", "MSA": "msa"}
NAMES = {city.lower(): code for city, code in CITIES.items()} | {"english": "en", "french": "fr"}


def recognised(path: Path) -> bool:
    return path.is_dir() and bool(_files(path) or _shared_task_files(path))


def read(paths: Sequence[str | Path], reading: Reading, pivot: str | None = None,
         varieties: tuple[str, ...] | None = None) -> Iterator[Row]:
    """Read MADAR_Corpus (Bouamor et al. 2018): MADAR.corpus.<City>.tsv, here or one folder down, official splits kept.

    The file's name gives the variety (Cairo: cai), or the column lang where the name is no city of MADAR. The key is
    sentID.BTEC. Missing cities are an error that names them, counted if lenient; English and French may be there.
    Without such files the shared task's are read: see _read_shared_task.
    """
    folder = one_folder(paths)
    files = _files(folder)
    if not files:
        yield from _read_shared_task(folder, reading)
        return
    cities = {_city(path) for path in files}
    missing = [city for city in CITIES if city.lower() not in cities]
    for _ in missing:
        reading.bad(str(folder), "city without a file",
            f"no MADAR.corpus.<City>.tsv for {', '.join(missing)}; add the files, or go without by lenient")
    for path in files:
        columns, rows = reading.table(path, COLUMNS)
        if not set(COLUMNS) <= set(columns):
            raise TinyDecoupleError(f"{path}:1: columns found: {visible(shorten(', '.join(columns)))}; "
                                    f"expected {', '.join(COLUMNS)}")
        from_name = NAMES.get(_city(path))
        for where, _, row in rows:
            variety = from_name or clean_name(row["lang"]).lower()
            split = OFFICIAL.get(clean_name(row["split"]).lower())
            if not row["sentID.BTEC"]:
                reading.bad(where, "empty key", "empty sentID.BTEC; fill it in or delete the line")
            elif not row["sent"]:
                reading.bad(where, "empty text", "empty sent; fill it in or delete the line")
            elif variety not in NAMES.values():
                reading.bad(where, "unknown city", f"neither the file's name nor lang {row['lang']!r} is a city of "
                                                   "MADAR; rename the file")
            elif split is None:
                reading.bad(where, "unknown split", f"split {row['split']!r}; expected one of {', '.join(OFFICIAL)}")
            else:
                yield Row(where, row["sentID.BTEC"], variety, row["sent"], split)


def _files(folder: Path) -> list[Path]:
    """MADAR_Corpus's files, here or one folder down."""
    return sorted(folder.glob("MADAR.corpus.*.tsv")) or sorted(folder.glob("*/MADAR.corpus.*.tsv"))


def _shared_task_files(folder: Path) -> dict[str, Path]:
    """Split -> its file of MADAR's shared task, here or one folder down."""
    name = "MADAR-Corpus-26-{}.tsv"
    return {split: path for split in SPLITS
            for path in (*folder.glob("*/" + name.format(split)), *folder.glob(name.format(split)))}


def _city(path: Path) -> str:
    """The city in the file's name, in lower case, letters only: Sana'a is Sanaa."""
    return re.sub(r"\W", "", path.name.split(".")[2]).lower()


def _read_shared_task(folder: Path, reading: Reading) -> Iterator[Row]:
    """Read `sentence TAB label` without header or ids, as parallel text where the files show that it is.

    Nothing in a file says which sentences mean the same. If every label has as many rows as every other, and the n-th
    rows of two labels share words far more often than the n-th of one and the next of the other, then the n-th row of
    each label is taken for the same sentence, with key split-n; otherwise TinyDecoupleError says what is needed.
    """
    files = _shared_task_files(folder)
    if not files:
        raise TinyDecoupleError(f"{folder}: no MADAR files here; expected {SHAPE}")
    for split, path in files.items():
        columns: dict[str, list[tuple[str, str]]] = {}
        for where, _, line in reading.lines(path):
            text, _, label = line.partition("\t")
            text, label = text.strip(), clean_name(label).lower()
            if line and label not in CITIES.values():
                reading.bad(where, "ragged row", "expected a sentence, one tab and a city's label such as CAI")
            elif line:
                columns.setdefault(label, []).append((where, text))
        counts = {label: len(column) for label, column in columns.items()}
        if len(set(counts.values())) > 1 or not _side_by_side([[text for _, text in c] for c in columns.values()]):
            raise TinyDecoupleError(f"{path}: shared-task files carry no sentence ids, and the order of the rows does "
                                    "not show which belong together (the n-th of each label should be one sentence); "
                                    "get MADAR_Corpus, whose column sentID.BTEC does")
        for label, column in columns.items():
            for number, (where, text) in enumerate(column, start=1):
                if text:  # a row without text keeps its number, or the rows below would slip
                    yield Row(where, f"{split}-{number:05d}", label, text, split)
                else:
                    reading.bad(where, "empty text", "empty sentence; fill it in or delete the line in every variety")


def _side_by_side(columns: list[list[str]], most: int = 500) -> bool:
    """Whether the n-th texts of neighbouring columns share words three times as often as each with the next."""
    def shared(shift: int) -> int:
        return sum(len(set(x.split()) & set(y.split())) for a, b in zip(columns, columns[1:])
                   for x, y in zip(a[:most], b[shift:]))

    return len(columns) > 1 and shared(0) > 3 * shared(1)
