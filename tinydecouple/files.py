"""Writing files so that a reader sees the old file or the new one, never half of one."""

import json
import os
from pathlib import Path
from typing import Any

from tinydecouple.errors import TinyDecoupleError


def write(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all: to a temporary name beside it, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise TinyDecoupleError(f"{path}: is a folder; name a file")
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    os.replace(temporary, path)


def write_json(path: Path, value: Any) -> None:
    write(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
