"""An .npz file of states, read so that what it says of itself is checked before memory is taken.

A file of 3 MB can inflate to 3 GB, and numpy.load takes that memory before anybody has seen the array's shape.
"""

import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import open_regular

KINDS = {"h": "fiub", "y": "fiub", "names": "USfiu", "keys": "USfiu"}  # array -> kinds of dtype; others are not read
FREE = 2**26  # bytes that an array may take, however small it is in the file
RATIO = 20    # how many times its bytes in the file the states may take; real states shrink to a half at best
UNREADABLE = (OSError, ValueError, EOFError, TypeError, AttributeError, KeyError, IndexError, NotImplementedError,
              RuntimeError, SyntaxError, MemoryError, OverflowError, struct.error, tokenize.TokenError,
              zipfile.BadZipFile, zlib.error)


def read_arrays(path: Path, kinds_of: dict[str, str] = KINDS) -> dict[str, np.ndarray]:
    """The arrays h, y, names and keys of an .npz file, or others with their kinds of dtype, as far as it has them.

    Raises TinyDecoupleError for what is no such file, for arrays of Python objects, and for an array that takes far
    more memory than its bytes in the file can hold (h) or than h takes (the others).
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            members = {member.filename: member for member in archive.infolist()}
            arrays: dict[str, np.ndarray] = {}
            for name, kinds in kinds_of.items():
                if f"{name}.npy" in members:
                    arrays[name] = _read(archive, members[f"{name}.npy"], kinds, arrays.get("h"))
            return arrays
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:80]
        raise TinyDecoupleError(f"{path}: not a readable .npz file of plain arrays ({reason or type(error).__name__}); "
                                "write one with np.savez") from None


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, kinds: str, h: np.ndarray | None) -> np.ndarray:
    """One array, its header checked first; ValueError says what is wrong."""
    name = member.filename
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed in a way that NumPy does not use")
    with archive.open(member) as file:
        shape, dtype = _header(file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.kind not in kinds:
            raise ValueError(f"{name} has dtype {str(dtype)[:40]}")
        if len(shape) > 4 or min(shape, default=1) < 0 or size + file.tell() != member.file_size:
            raise ValueError(f"{name} says shape {shape} and holds {member.file_size} bytes")
    if size > FREE and size > (RATIO * member.compress_size if h is None else h.nbytes):
        raise ValueError(f"{name} would take {size / 2**20:.0f} MB, of {member.compress_size / 2**20:.1f} in the file")
    with archive.open(member) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
    if dtype.kind == "U" and size:  # NumPy raises SystemError for a number that is no character
        numbers = np.ascontiguousarray(array).reshape(-1).view(np.dtype("u4").newbyteorder(dtype.byteorder))
        if numbers.max() > 0x10ffff:
            raise ValueError(f"{name} holds what is no character")
    return array


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an .npy file, from its first bytes."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the .npy format")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype
