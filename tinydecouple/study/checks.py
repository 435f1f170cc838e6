"""What stands in a plan's JSON, checked: names, types and limits, each mistake with its place."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import read_regular
from tinydecouple.options import DecoupleOptions, TrainOptions, fault, shown

MOST = 2**24  # bytes of a plan
NAME = re.compile(r"[a-z0-9][a-z0-9.+-]*")  # of a folder, on every system


def read_json(path: Path) -> Any:
    try:
        return json.loads(read_regular(path, MOST).decode("utf-8"))
    except FileNotFoundError:
        raise TinyDecoupleError(f"{path}: no such file") from None
    except json.JSONDecodeError as error:
        raise TinyDecoupleError(f"{path}:{error.lineno}:{error.colno}: not JSON ({error.msg})") from None
    except UnicodeDecodeError:
        raise TinyDecoupleError(f"{path}: not UTF-8; convert it") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets without end
        raise TinyDecoupleError(f"{path}: not JSON that can be read ({shown(error, 80)})") from None


def check_names(given: Any, known: Any, where: str) -> None:
    if not isinstance(given, dict):
        raise TinyDecoupleError(f"{where}: expected an object, found {json.dumps(given)}")
    if unknown := [name for name in given if name not in known]:
        raise TinyDecoupleError(f"{where}: unknown {unknown[0]!r}; expected some of {', '.join(known)}")


def check_name(name: Any, where: str) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise TinyDecoupleError(f"{where}: the name {json.dumps(name)} is to be a folder's; write it with a-z, 0-9, "
                                "'.', '+' and '-'")


def read_options(defaults: Any, given: Any, where: str) -> Any:
    """The dataclass with these options in place of its own. Raises TinyDecoupleError for one that cannot be."""
    known = {f.name: f for f in fields(defaults)}
    check_names(given, known, where)
    return replace(defaults, **{name: checked(known[name], value, where) for name, value in given.items()})


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300


def checked(option: Any, value: Any, where: str) -> Any:
    """A value for an option of its type and within its limits."""
    kind = type(option.default)
    if kind is float and is_number(value):
        value = float(value)
    fits = isinstance(value, str) or value is None if option.default is None else type(value) is kind
    if not fits:
        raise TinyDecoupleError(f"{where}.{option.name}: expected {'a text' if kind is type(None) else kind.__name__}, "
                                f"found {shown(json.dumps(value))}")
    if wrong := fault(value, option.metadata):
        raise TinyDecoupleError(f"{where}.{option.name}: {wrong}")
    return value


def read_changes(given: Any, where: str) -> dict[str, Any]:
    """Options of training or of the decoupler, as a condition has them."""
    known = {f.name: f for kind in (TrainOptions, DecoupleOptions) for f in fields(kind)}
    check_names(given, known, where)
    if "seed" in given:
        raise TinyDecoupleError(f"{where}.seed: a cell's seed is the plan's; leave it out")
    return {name: checked(known[name], value, where) for name, value in given.items()}
