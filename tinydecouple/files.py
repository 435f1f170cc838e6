"""Writing files so that a reader sees the old file or the new one, never half of one, even after a power loss.

While a file is written it has a hidden name of its own, beside its place: .tinydecouple-RANDOM.part. A folder that one
process at a time may write to is locked by the operating system, so the lock is gone with its process.
"""

import errno
import json
import os
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from tinydecouple.errors import TinyDecoupleError

LOCK = ".lock"
TEMPORARY = ".tinydecouple-"  # how the name of a half-written file begins
HELD = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}  # what a system says of a lock that another process holds
UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
_held: set[tuple[int, Path]] = set()  # (process, folder): a process that was forked holds none


def write(path: Path, content: str | bytes, before: Path | None = None) -> None:
    """Write a file whole or not at all.

    Of a link, the file it points to is written, and the link stays. Permissions stay. A device, a pipe and what
    standard output goes to are written into. Half a character, as a file name that is not UTF-8 holds, is written as
    its escape, such as \\udcff.
    before: where the file that was there goes; without it that file is gone. Raises TinyDecoupleError, which names the
    file, if there is no room or no permission; then the file that was there is still there, here or at `before`.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        if takes_a_stream(path):
            _write_into(path, data)
            return
        if path.is_dir():
            raise TinyDecoupleError(f"{path}: is a folder; name a file")
        if not before:
            path = real(path)
        if path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        temporary = path.with_name(f"{TEMPORARY}{os.urandom(8).hex()}.part")
        make_folder(path.parent)
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            _keep_permissions(path, temporary)
            if before and path.exists():
                os.replace(path, before)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        sync(path.parent)
    except BrokenPipeError:  # whoever reads has seen enough
        raise
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> TinyDecoupleError:
    return TinyDecoupleError(f"{path}: cannot be written ({error.strerror or error}); the same command goes on once "
                             "that is mended")


def write_json(path: Path, value: Any) -> None:
    write(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def real(path: Path) -> Path:
    """Where a path leads, links followed; of a link to itself, for which Path.resolve raises, the link."""
    return Path(os.path.realpath(path))


def takes_a_stream(path: Path) -> bool:
    """Whether `path` is a device, a pipe, or what standard output goes to: to be written into, never replaced."""
    try:
        found = path.stat()
    except OSError:
        return False
    return not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)) or _is_standard_output(found)


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


def _keep_permissions(old: Path, new: Path) -> None:
    """Give `new` the owner and the permissions of `old`, if there is an old file and the system allows it."""
    with suppress(OSError, AttributeError):  # Windows has no chown
        found = old.stat()
        with suppress(PermissionError):
            os.chown(new, found.st_uid, found.st_gid)
        os.chmod(new, stat.S_IMODE(found.st_mode))


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


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, so that they are still there after a power loss."""
    missing = [path for path in (folder, *folder.parents) if not path.is_dir()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        sync(path.parent)


def sync(folder: Path) -> None:
    """Make the names in a folder last, where the system can: a file's own fsync does not cover its name."""
    with suppress(OSError):  # Windows opens no folders; some file systems cannot sync them
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@contextmanager
def locked(folder: Path) -> Generator[None, None, None]:
    """Keep other processes from writing to a folder; clear away what killed ones left half written.

    Raises TinyDecoupleError if another process has it; to this one a second lock is none. Where the file system has no
    locks it says so and goes on.
    """
    ours = (os.getpid(), real(folder))
    if ours in _held:
        yield
        return
    file = None
    try:
        make_folder(folder)
        file = _lock_file(folder)
        for path in folder.glob(f"{TEMPORARY}*.part"):
            path.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in UNWRITABLE or not folder.is_dir():
            raise _unwritable(folder / LOCK, error) from None  # but a run that may not be changed can be looked at
    _held.add(ours)
    try:
        yield
    finally:
        _held.discard(ours)
        if file and os.name != "nt":
            _forget(folder)
        if file:
            file.close()
        if file and os.name == "nt":  # which deletes no open file
            _forget(folder)


def _forget(folder: Path) -> None:
    with suppress(OSError):
        (folder / LOCK).unlink()


def _lock_file(folder: Path) -> BinaryIO:
    while True:
        if takes_a_stream(folder / LOCK):
            raise TinyDecoupleError(f"{folder / LOCK}: is a device or a pipe; delete it")
        file = open(folder / LOCK, "ab", opener=_no_link)
        try:
            _lock(file)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(folder / LOCK)):
                return file
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in HELD:
                file.close()
                raise TinyDecoupleError(f"{folder}: another process is writing to it; wait until it has finished, or "
                                        "choose another folder") from None
            print(f"{folder}: this file system has no locks; let no other process write there", file=sys.stderr)
            return file
        file.close()  # who held it deleted it meanwhile: the lock is one on nothing


def _no_link(path: str, flags: int) -> int:
    """Opens no file elsewhere that a link of the lock's name points to."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _lock(file: BinaryIO) -> None:
    """Both kinds end with their process and are not inherited by those it starts. Raises OSError if it is held."""
    try:
        import fcntl
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows
        import msvcrt
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
