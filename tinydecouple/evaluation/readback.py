"""A demo's result, read again from scores.json and checked before a table or a figure is made of it."""

import json
from pathlib import Path
from typing import Any

from tinydecouple.files import read_regular
from tinydecouple.training.validate import damaged, is_number

MOST = 2**26  # bytes


def read_text(path: Path) -> str:
    """The text of a file of the run. Raises TinyDecoupleError if it cannot be read or is not UTF-8."""
    try:
        return read_regular(path, MOST).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        damaged(path, getattr(error, "strerror", None) or "not UTF-8")


def read_result(path: Path, systems: list[str]) -> dict[str, Any]:
    """What report.compare found for these systems, as scores.json holds it. Raises TinyDecoupleError if damaged."""
    try:
        result = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        damaged(path, f"JSON does not parse: {type(error).__name__}")
    if not isinstance(result, dict):
        damaged(path, "no object")
    for part in ("rows", "leakage", "means", "shares"):
        entries = result.get(part)
        if not isinstance(entries, list) or not entries or not all(_is_entry(entry, systems) for entry in entries):
            damaged(path, f"{part}: expected names with a score for each of {', '.join(systems)}")
    if [entry["name"] for entry in result["rows"]] != [entry["name"] for entry in result["leakage"]]:
        damaged(path, "leakage: expected the directions of rows")
    for entry in result["means"]:
        intervals = entry.get("intervals")
        if not isinstance(intervals, dict) or not set(systems[1:]) <= set(intervals) or not all(
                isinstance(pair, list) and len(pair) == 2 and all(map(is_number, pair)) for pair in intervals.values()):
            damaged(path, "means: expected an interval for each system but the first")
    return result


def _is_entry(entry: Any, systems: list[str]) -> bool:
    return (isinstance(entry, dict) and isinstance(entry.get("name"), str) and isinstance(entry.get("scores"), dict)
            and set(systems) <= set(entry["scores"]) and all(map(is_number, entry["scores"].values())))
