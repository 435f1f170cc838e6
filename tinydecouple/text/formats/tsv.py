"""TSV with a header: a row per text, or a column per variety."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.formats.common import Reading, Row, one_path
from tinydecouple.text.formats.foreign import refuse_foreign
from tinydecouple.text.hygiene import clean_name, shorten, visible
from tinydecouple.text.options import SPLITS

SHAPE = "a TSV file with the columns key, variety, text, or with a column per variety"
USUAL = (None, None)
LONGEST = 40  # characters in the name of a column; a header with a longer one is a line of text


def recognised(path: Path) -> bool:
    return path.is_file()


def read(paths: Sequence[str | Path], reading: Reading, pivot: str | None = None,
         varieties: tuple[str, ...] | None = None) -> Iterator[Row]:
    """Read TSV with a header: long (key, variety, text) or wide (a column per variety); a column split is optional.

    The header's names may be in any case; a first column `id` is the key where there is no `key`. A header with
    `variety` or `text` is long, any other is wide. Wide: an empty cell says that the key lacks that variety; without
    a key the line number is the key.
    """
    path = one_path(paths)
    refuse_foreign(path)
    columns, rows = reading.table(path, ("key", "variety", "text", "split"))
    key = "key" if "key" in columns else columns[0] if columns[0].lower() == "id" else None
    long = {"variety", "text"} & set(columns)
    wide = [] if long else [name for name in columns if name not in (key, "split")]
    needed = ("key", "variety", "text") if long else ("key",) if key else ()
    if not key or not {"variety", "text"} <= set(columns) if long else len(wide) < 2 or "" in wide:
        raise TinyDecoupleError(f"{path}:1: columns found: {visible(shorten(', '.join(columns)))}; expected key, "
                                "variety, text and, optionally, split; or a column per variety, two at least"
                                f"{_cause(columns)}")
    if any(len(name) > LONGEST or name[-1] in ".?!؟。" for name in columns if name):
        raise TinyDecoupleError(f"{path}:1: {visible(shorten(', '.join(columns)))}: a line of text where the header "
                                "should be; write the columns' names as line 1: key, variety, text, or a column per "
                                "variety")
    if wide:
        reading.names_from = " (the columns of line 1: is it the header?)"
    for where, number, row in rows:
        row["key"] = row[key] if key else str(number)
        texts = {name: row[name] for name in wide if row[name]} if wide else {row["variety"]: row["text"]}
        empty = [name for name in needed if not row[name]] or ([] if texts else ["text"])
        split = clean_name(row["split"]).lower() if "split" in row else None
        if empty:
            reading.bad(where, f"empty {empty[0]}", f"empty {empty[0]}; fill it in or delete the line")
        elif split not in (*SPLITS, None):
            reading.bad(where, "unknown split", f"split {shorten(row['split'])!r}; expected one of {', '.join(SPLITS)}")
        else:
            for variety, text in texts.items():
                yield Row(where, row["key"], variety, text, split)


def _cause(columns: list[str]) -> str:
    """The likely reason why line 1 names no columns of a corpus."""
    if len(columns) > 1:
        return ""
    for sign, name in ((",", "commas"), (";", "semicolons"), ("|", "bars")):
        if sign in columns[0]:
            return f"; cells are separated by tabs, not {name}"
    if not columns[0]:
        return "; the file is empty or begins with an empty line"
    return "; is line 1 the header, and are cells separated by tabs?"
