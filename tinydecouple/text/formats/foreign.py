"""Files that are no corpus yet: archives and other formats, known by name or first bytes, and how to convert each."""

import re
from pathlib import Path

from tinydecouple.errors import TinyDecoupleError

PANDAS = "python -c \"import pandas; pandas.{read}.to_csv('{stem}.tsv', sep='\\t', index=False)\""
FOREIGN = (  # what it is, endings of its name, first bytes, the command that makes a corpus of it
    ("a spreadsheet", ".xlsx .xls .ods", b"\xd0\xcf\x11\xe0",
     PANDAS.replace("{read}", "read_excel('{name}')") + " (needs pandas and openpyxl)"),
    ("parquet", ".parquet", b"PAR1",
     PANDAS.replace("{read}", "read_parquet('{name}')") + " (needs pandas and pyarrow)"),
    ("JSON lines", ".jsonl .ndjson", None,
     PANDAS.replace("{read}", "read_json('{name}', lines=True)") + " (needs pandas)"),
    ("a Git LFS pointer, not the data", "", b"version https://git-lfs", "git lfs pull"),
    ("a web page, not the data", ".html .htm", b"<!doctype html", "download the file that the page offers"),
    ("XML", ".tmx .xml .xliff .sgm", b"<?xml", "write its texts as TSV: key, variety, text"),
    ("an archive", ".7z", b"7z\xbc\xaf\x27\x1c", "7z x {name}"),
    ("an archive", ".tar .tgz .tar.gz .tar.bz2 .tar.xz .tbz2 .txz .tar.zst", None, "tar xf {name}"),
    ("an archive", ".zst", b"\x28\xb5\x2f\xfd", "zstd -d {name}"),
    ("an archive", ".zip", b"PK\x03\x04", "unzip {name}"),
    ("an archive", ".gz", b"\x1f\x8b", "gunzip -k {name}"),
    ("an archive", ".bz2", b"BZh", "bunzip2 -k {name}"),
    ("an archive", ".xz", b"\xfd7zXZ\x00", "unxz -k {name}"),
)
FLORES_PLUS = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}(_[a-z0-9]+)?\.(jsonl|parquet)")  # a row per sentence, column text
EACH_AS_LINES = {
    "jsonl": "python -c \"import json, pathlib; [p.with_suffix('.txt').write_text(''.join(json.loads(s)['text'] + "
             "'\\n' for s in p.open(encoding='utf-8')), encoding='utf-8') for p in "
             "pathlib.Path('.').rglob('*.jsonl')]\"",
    "parquet": "python -c \"import pandas, pathlib; [p.with_suffix('.txt').write_text('\\n'.join(pandas.read_parquet(p)"
               "['text']) + '\\n', encoding='utf-8') for p in pathlib.Path('.').rglob('*.parquet')]\" "
               "(needs pandas and pyarrow)",
}


def foreign(path: Path) -> str | None:
    """What a file is and how to convert it, in one line, if it is an archive or of a format that is not read."""
    if not path.is_file():
        return None
    name = path.name.lower()
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except OSError:
        return None  # the reader says why
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if match := FLORES_PLUS.fullmatch(path.name):
        return f"FLORES+ as {match[2]}; write each file as lines of text, from the corpus's folder: " \
               f"{EACH_AS_LINES[match[2]]}"
    if head[257:262] == b"ustar":
        return f"an archive; unpack it first: tar xf {path.name}"
    by_name = [entry for entry in FOREIGN if name.endswith(tuple(entry[1].split()) or ("\0",))]
    by_bytes = [entry for entry in FOREIGN if entry[2] and start[:len(entry[2])].lower() == entry[2].lower()]
    for what, _, _, command in (*by_name, *by_bytes):
        do = {"an archive": "unpack it first", "a Git LFS pointer, not the data": "fetch them",
              "a web page, not the data": "get the file"}.get(what, "convert it")
        return f"{what}; {do}: {command.format(name=path.name, stem=path.stem)}"
    if start[:1] in (b"{", b"["):
        if start[:1] == b"{" and b"}\n{" in start.replace(b"\r", b""):
            what, _, _, command = next(entry for entry in FOREIGN if entry[0] == "JSON lines")
            return f"{what}; convert it: {command.format(name=path.name, stem=path.stem)}"
        return f"JSON; of MediaWiki's messages pass the folder, {path.parent}; else write TSV: key, variety, text"
    return None


def refuse_foreign(path: Path) -> None:
    """Raise TinyDecoupleError if a file is an archive or of a format that is not read."""
    if what := foreign(path):
        raise TinyDecoupleError(f"{path}: {what}")
