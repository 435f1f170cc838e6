"""Writing files so that a reader sees the old file or the new one, never half of one."""

import contextlib
import errno
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any, BinaryIO

from tinydecouple.errors import TinyDecoupleError


def write(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all: to a temporary name beside it, then rename.

    Of a link, the file it points to is written, and the link stays. Permissions stay. A device, a pipe and what
    standard output goes to are written into. Half a character, as a file name that is not UTF-8 holds, is written as
    its escape, such as \\udcff. Raises TinyDecoupleError for a folder, OSError as the system does.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    if takes_a_stream(path):
        _write_into(path, data)
        return
    path = place_of(path)
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(data)
    keep_permissions(path, temporary)
    os.replace(temporary, path)


def write_json(path: Path, value: Any) -> None:
    write(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def takes_a_stream(path: Path) -> bool:
    """Whether `path` is a device, a pipe, or what standard output goes to: to be written into, never replaced."""
    try:
        found = path.stat()
    except OSError:
        return False
    return not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)) or _is_standard_output(found)


def place_of(path: Path) -> Path:
    """The file that `path` names, at the end of its links, in a folder that exists now.

    Raises TinyDecoupleError for a folder, PermissionError for a file that may not be written.
    """
    if path.is_dir():
        raise TinyDecoupleError(f"{path}: is a folder; name a file")
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return path


def keep_permissions(old: Path, new: Path) -> None:
    """Give `new` the owner and the permissions of `old`, if there is an old file and the system allows it."""
    with contextlib.suppress(OSError, AttributeError):  # Windows has no chown
        found = old.stat()
        with contextlib.suppress(PermissionError):
            os.chown(new, found.st_uid, found.st_gid)
        os.chmod(new, stat.S_IMODE(found.st_mode))


def _is_standard_output(found: os.stat_result) -> bool:
    try:
        return os.path.samestat(found, os.fstat(1))
    except OSError:
        return False


def _write_into(path: Path, data: bytes) -> None:
    if _is_standard_output(path.stat()):  # opened anew, a file would be cut off or written over
        if sys.stdout is not None:
            sys.stdout.flush()
        with os.fdopen(os.dup(1), "wb") as file:
            file.write(data)
    else:
        with path.open("wb") as file:
            file.write(data)


def read_regular(path: Path, most: int | None = None) -> bytes:
    """The bytes of a file. A pipe would be waited for, and a device may have no end: both are refused.

    most: bytes. Raises TinyDecoupleError for what is no file or is larger, OSError as the system does.
    """
    with open_regular(path) as file:
        if most is not None and os.fstat(file.fileno()).st_size > most:
            raise TinyDecoupleError(f"{path}: larger than {most / 2**20:.0f} MB; this is another kind of file")
        return file.read()


def open_regular(path: Path) -> BinaryIO:
    """The file, open for reading bytes; raises as read_regular does."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise TinyDecoupleError(f"{path}: is a device or a pipe; write what it gives to a file, and pass that")
    return path.open("rb")  # of a folder: IsADirectoryError
