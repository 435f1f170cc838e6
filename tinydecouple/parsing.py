"""From a dataclass of options to arguments of the command line."""

import argparse
import dataclasses
import os
from typing import Any

from tinydecouple.options import MOST, fault, shown


def number(kind: type, limits: Any) -> Any:
    """A converter that keeps a number within the range its option states."""
    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"invalid {kind.__name__} value: {shown(text)!r}") from None
        if wrong := fault(value, {"most": MOST[kind], **limits}):
            raise argparse.ArgumentTypeError(wrong)
        return value
    return convert


def text(given: str) -> str:
    """An option's text as UTF-8, whatever the locale."""
    try:
        return os.fsencode(given).decode("utf-8")
    except UnicodeDecodeError:
        raise argparse.ArgumentTypeError(f"{shown(given)!r} is not UTF-8") from None


def add_options(parser: argparse.ArgumentParser, defaults: Any, prefix: str = "", without: str = "") -> None:
    """One option per field of a dataclass, with its help and default."""
    group = parser.add_argument_group(f"{prefix}{type(defaults).__name__.removesuffix('Options').lower()}")
    for f in dataclasses.fields(defaults):
        if f.name == without:
            continue
        value = getattr(defaults, f.name)
        kind = {"action": argparse.BooleanOptionalAction} if isinstance(value, bool) else {
            "type": str if f.metadata.get("path") else text if value is None or isinstance(value, str) else number(
                type(value), f.metadata),
            "choices": f.metadata.get("choices")}
        group.add_argument(f"--{prefix}{f.name}".replace("_", "-"), default=value, help=f.metadata["help"], **kind)
