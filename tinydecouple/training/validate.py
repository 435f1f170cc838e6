"""config.json and log.jsonl of a run are checked here before they are used.

A run may be damaged, half copied, or made by someone who means harm. Each check raises
TinyDecoupleError that names the file and the entry.
"""

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import read_regular
from tinydecouple.options import DecoupleOptions, ModelOptions, TrainOptions, fault, shown
from tinydecouple.text.readers import CorpusOptions

MOST_LOG = 2**30  # bytes of log.jsonl
ENTRIES = {"marker": str, "version": str, "kind": str, "corpus_sha256": str, "start_sha256": str,
           "beam": int, "arms": list, "of": dict}
SECTIONS = {"corpus": CorpusOptions, "model": ModelOptions, "pretrain": TrainOptions,
            "train": TrainOptions, "decouple": DecoupleOptions}
NEEDED = {  # by the kind of run
    "pretrain": ("corpus", "corpus_sha256", "model", "train"),
    "finetune": ("corpus", "corpus_sha256", "model", "pretrain", "train", "decouple"),
    "rerun": ("of",),
    "demo": ("corpus", "corpus_sha256", "model", "pretrain", "train", "decouple", "beam", "arms")}
COUNTS = ("step", "layer", "refresh", "states")  # whole numbers of a record in the log
MEASURES = ("loss", "dev_loss", "penalty", "strength", "learning_rate", "code_bits", "kl_bits",
            "null_bits", "entropy_bits", "angle_degrees", "dominance", "seconds")


def damaged(where: Path | str, what: str) -> NoReturn:
    """Raise the TinyDecoupleError that all checks raise."""
    raise TinyDecoupleError(f"{where}: damaged ({what}); run again with `overwrite`")


def check_config(config: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return a config.json that was read if every option is known, of its type and in its bounds.

    path: of the file, for messages.
    """
    if not isinstance(config.get("kind"), str) or config["kind"] not in NEEDED:
        damaged(path, f"kind {shown(config.get('kind'))!r}, expected {', '.join(NEEDED)}")
    for name in NEEDED[config["kind"]]:
        if name not in config:
            damaged(path, f"{name} is missing")
    for name, value in config.items():
        if name in SECTIONS:
            _check_section(value, SECTIONS[name], name, path)
        elif name not in ENTRIES:
            damaged(path, f"unknown entry {shown(name)!r}")
        elif type(value) is not ENTRIES[name]:
            damaged(path, f"{name} is {_seen(value)}, expected {ENTRIES[name].__name__}")
    return config


def _check_section(section: Any, kind: type, name: str, path: Path) -> None:
    if not isinstance(section, dict):
        damaged(path, f"{name} is {_seen(section)}, expected a table of options")
    options = {f.name: f for f in fields(kind)}
    if unknown := [key for key in section if key not in options]:
        damaged(path, f"{name}: unknown option {shown(unknown[0])!r}")
    for key, option in options.items():
        if key not in section:
            damaged(path, f"{name}: {key} is missing")
        value, expected = section[key], str if option.default is None else type(option.default)
        if value is None and option.default is None:
            continue
        if type(value) is not expected and not (expected is float and type(value) is int):
            damaged(path, f"{name}: {key} is {_seen(value)}, expected {expected.__name__}")
        if wrong := fault(value, option.metadata):
            damaged(path, f"{name}: {key} {wrong}")


def _seen(value: Any) -> str:
    return f"{type(value).__name__} {shown(value)}"


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a log.jsonl, checked as records_in does."""
    try:
        return records_in(read_regular(path, MOST_LOG).decode("utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        damaged(path, getattr(error, "strerror", None) or "not UTF-8")


def records_in(text: str, path: Path) -> list[dict[str, Any]]:
    """The records of a log, each an object whose steps, layers and measures are numbers.

    path: of the file that holds the log, for messages.
    """
    records = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            records.append(json.loads(line))
            wrong = _fault_of_record(records[-1])
        except (ValueError, RecursionError) as error:
            wrong = f"JSON does not parse: {type(error).__name__}"
        if wrong:
            damaged(path, f"line {number}: {wrong}")
    return records


def _fault_of_record(record: Any) -> str:
    """What is wrong with a record of the log, in words; empty if nothing is."""
    if not isinstance(record, dict) or ("step" not in record and "session" not in record):
        return "a record is an object with a step"
    for name, value in record.items():
        if name in COUNTS and (type(value) is not int or not 0 <= value < 2**63):
            return f"{name} is {_seen(value)}, expected a whole number"
        if name in MEASURES and value is not None and not is_number(value):
            return f"{name} is {_seen(value)}, expected a number"
    by_layer = record.get("penalty_by_layer", {})
    if not isinstance(by_layer, dict) or not all(map(is_number, by_layer.values())):
        return "penalty_by_layer is not a number per layer"
    return ""


def is_number(value: Any) -> bool:
    """Whether a value that JSON or a checkpoint held is a finite number."""
    return type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)
