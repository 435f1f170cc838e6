"""Cells on disk: written whole or not at all, and read back with their checksums."""

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import tinydecouple
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import read_regular, write_json
from tinydecouple.options import filled
from tinydecouple.study.plan import Cell
from tinydecouple.training.checkpoint import difference

CPU = torch.device("cpu")
PACKAGES = ("numpy", "torch", "sentencepiece", "sacrebleu")


def cell_folder(run: Path, cell: Cell) -> Path:
    return run / "cells" / cell.setting.name / cell.arm.name / str(cell.seed)


def pretrained_folder(run: Path, cell: Cell) -> Path:
    """Named after what the run is made from, so that settings that pretrain alike share it."""
    made_from = {name: cell.configuration()[name] for name in ("corpus", "model", "pretrain")}
    younger = filled({"pretrain": {}})["pretrain"]  # at their defaults they make no other run, and no other name
    made_from["pretrain"] = {name: value for name, value in made_from["pretrain"].items()
                             if (name, value) not in younger.items()}
    text = json.dumps([tinydecouple.__version__, made_from], sort_keys=True)
    return run / "pretrained" / hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


@contextmanager
def published(run: Path, folder: Path) -> Generator[Path, None, None]:
    """A new folder that becomes `folder` at the end; if another worker was faster, its folder stays."""
    (run / "unfinished").mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=run / "unfinished", prefix=f"{folder.name}-"))
    try:
        yield work
        work.chmod(0o755)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(work, folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_record(path: Path, record: dict[str, Any], device: torch.device = CPU) -> None:
    """A record with where it was made and the checksums of the files beside it, which are complete by now."""
    files = {file.name: checksum(file) for file in sorted(path.parent.iterdir()) if file.is_file()}
    versions = {"tinydecouple": tinydecouple.__version__, "python": platform.python_version(),
                **{name: version(name) for name in PACKAGES}}
    write_json(path, {**record, "versions": versions, "processor": processor(device), "files": files})


def checksum(path: Path) -> str:
    return hashlib.sha256(read_regular(path)).hexdigest()


def processor(device: torch.device) -> str:
    """The model of the processor, as the system names it, or of the GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def read_cell(folder: Path, cell: Cell) -> dict[str, Any]:
    """The record of a cell.

    Raises TinyDecoupleError, naming it, if it is damaged, or if another configuration has its name.
    """
    record = read_checked(folder / "cell.json", cell)
    ours = json.loads(json.dumps(cell.configuration()))
    record["configuration"] = filled(record["configuration"])
    if record["configuration"] != ours:
        raise TinyDecoupleError(f"cell {cell.name}: made with another configuration "
                                f"({difference(record['configuration'], ours)}); use another `run`, or `rerun` it")
    return record


def read_checked(path: Path, cell: Cell) -> dict[str, Any]:
    """A record whose files are as they were written. Raises TinyDecoupleError for one that is damaged."""
    try:
        record = json.loads(read_regular(path).decode("utf-8"))
        for name, expected in record["files"].items():
            if checksum(path.parent / name) != expected:
                raise ValueError(f"{name} is not as it was written")
        return record
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, TinyDecoupleError) as error:
        raise TinyDecoupleError(f"cell {cell.name}: damaged in {path.parent} ({error}); `rerun` it") from None
