"""An .npz file is believed only as far as its bytes go: sizes first, then memory."""

import io
import resource
import zipfile
from functools import partial

import numpy as np
import pytest

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation.npz import FREE, read_arrays
from tinydecouple.evaluation.probe_report import read_states

RNG = np.random.default_rng(0)
GOOD = {"h": RNG.normal(size=(2, 60, 4)), "y": np.arange(60) % 3, "names": np.array(["a", "b", "c"]),
        "keys": np.array([f"k{i // 2}" for i in range(60)])}


def npy(array=None, header=None, data=b"", version=b"\x01\x00"):
    """The bytes of an .npy file: of an array, or with any header."""
    if header is None:
        file = io.BytesIO()
        np.save(file, array)
        return file.getvalue()
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2 if version[0] == 1 else 4, "little") + text + data


def put(path, method=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in {**{n: npy(a) for n, a in GOOD.items()}, **members}.items():
            archive.writestr(f"{name}.npy", content)
    return path


def test_numpys_own_files_are_read(tmp_path):
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "s.npz", **GOOD, other=np.array([{"any": "object"}], dtype=object))
        arrays = read_arrays(tmp_path / "s.npz")
        assert list(arrays) == ["h", "y", "names", "keys"], "an array that nobody asked for was read"
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, GOOD[name])
    big_keys = np.repeat(np.array([f"a long key {i}" for i in range(6)]), 200_000)  # sorted: it shrinks a thousandfold
    h = RNG.normal(size=(len(big_keys), 4)).astype(np.float32)
    np.savez_compressed(tmp_path / "s.npz", h=np.tile(h, 4), y=np.arange(len(h)) % 2, names=["a", "b"], keys=big_keys)
    assert len(read_arrays(tmp_path / "s.npz")["keys"]) == len(h), "honest keys were taken for a bomb"


@pytest.mark.parametrize("name", ["h", "y", "names", "keys", "other"])
def test_a_bomb_takes_no_memory(tmp_path, name):
    """256 MB of zeros in 1 MB of file, or less."""
    with zipfile.ZipFile(tmp_path / "s.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for member, array in GOOD.items():
            if member != name:
                archive.writestr(f"{member}.npy", npy(array))
        with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
            shape = (2**18, 128) if name == "h" else (2**25,)
            np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": "<i8"})
            for _ in range(16):
                file.write(bytes(2**24))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if name == "other":
        read_states(tmp_path / "s.npz", None)
    else:
        with pytest.raises(TinyDecoupleError, match="would take 256 MB"):
            read_states(tmp_path / "s.npz", None)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 2 * FREE / 2**20, f"memory grew by {grown:.0f} MB"


HEAD = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}"


@pytest.mark.parametrize("content, says", [
    (npy(header=HEAD.format("<f8", (10**9, 1000))), "says shape"),
    (npy(header=HEAD.format("<f8", (-1, 5)), data=bytes(40)), "says shape"),
    (npy(header=HEAD.format("<f8", (2, 2)), data=bytes(16)), "says shape"),
    (npy(header=HEAD.format("<f8", (1,) * 40), data=bytes(8)), "says shape"),
    (npy(header=HEAD.format("<f8", (0, 10**18))), "states have shape"),
    (npy(header=HEAD.format("|O", (3,)), data=b"cos\nsystem\n(S'touch x'\ntR."), "dtype"),
    (npy(header=HEAD.format("<M8[s]", (1,)), data=bytes(8)), "dtype"),
    (npy(header=HEAD.format("<U0", (10**12,))), "dtype"),
    (npy(header=HEAD.format("nonsense", (3,))), "not a readable"),
    (npy(header="{'shape': " + "(" * 5000), "not a readable"), (npy(header="__import__('os')"), "not a readable"),
    (npy(header="[" * 9000 + "]" * 9000), "not a readable"), (npy(header=HEAD.format("<f8", "[2]")), "not a readable"),
    (npy(header="{}", version=b"\x09\x00"), "version"), (b"", "not a readable"), (b"\x93NUMPY", "not a readable"),
    (npy(np.full((60, 4), np.nan)), "NaN or infinity"), (npy(GOOD["h"] * 1e300), "scale the states"),
    (npy(GOOD["h"] * 1e-300), "scale the states"), (npy(np.zeros((60, 4))), None),
])
def test_headers_that_lie(tmp_path, content, says):
    path = put(tmp_path / "s.npz", h=content)
    if says is None:
        read_states(path, None)
        return
    with pytest.raises(TinyDecoupleError, match=says) as error:
        read_states(path, None)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize("name, array, says", [
    ("names", np.array(["a", "b", "\ud800"]), "half a one"), ("names", np.array(["a", "b", "c" * 300]), "1 to 200"),
    ("names", np.array(["a", "", "c"]), "1 to 200"), ("keys", np.full(60, np.nan), "NaN"),
    ("names", np.frombuffer(b"\xff" * 12, dtype="<U1"), "not a readable"),
    ("names", np.array(["a", "b", "a\u200f"]), "twice"), ("y", np.zeros(60), "dtype float64")])
def test_names_and_keys_that_serve_for_nothing(tmp_path, name, array, says):
    with pytest.raises(TinyDecoupleError, match=says):
        read_states(put(tmp_path / "s.npz", **{name: npy(array)}), None)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_numpy_does_not_use(tmp_path, method):
    with pytest.raises(TinyDecoupleError, match="compressed in a way"):
        read_states(put(tmp_path / "s.npz", method), None)


def test_every_cut_and_many_flipped_bytes(tmp_path):
    """Whatever is cut or flipped: an error of ours, or states; 300 files."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **GOOD)
    data, path = buffer.getvalue(), tmp_path / "s.npz"

    def flip(rng):
        spoilt = bytearray(data)
        for i in rng.integers(len(spoilt), size=rng.integers(1, 4)):
            spoilt[i] = rng.integers(256)
        return bytes(spoilt)

    cases = [partial(lambda n: data[:n], n) for n in range(0, len(data), max(1, len(data) // 100))]
    for seed in range(300):
        path.write_bytes(cases[seed]() if seed < len(cases) else flip(np.random.default_rng(seed)))
        try:
            read_states(path, None)
        except TinyDecoupleError as error:
            assert "\n" not in str(error)
        except Exception as error:
            raise AssertionError(f"case {seed}: {error!r}") from error
