"""An option, said once: its default, what it means, and its range. The command line is made from these.

A run's config.json is checked against the same ranges when it is read back.
"""

import dataclasses
from typing import Any

MOST = {int: 2**32 - 1, float: 1e6}  # of an option without a most of its own; every seed lies below


def option(default: Any, text: str, **limits: Any) -> Any:
    """A dataclass field; limits: least, most, or choices (a tuple). A number always has a most: MOST of its type."""
    return dataclasses.field(default=default, metadata={"help": text, "most": MOST.get(type(default)), **limits})


def fault(value: Any, limits: Any) -> str:
    """What is wrong with an option's value, in a few words; empty if nothing is.

    value: of the option's type already.  limits: a field's metadata.
    """
    if isinstance(value, str):
        choices = limits.get("choices")
        if choices and value not in choices:
            return f"{shown(value)} is not one of {', '.join(choices)}"
        return "holds a NUL byte" if "\0" in value else ""
    if value is None or isinstance(value, bool):
        return ""
    least, most = limits.get("least"), limits.get("most")
    if value != value or (least is not None and value < least) or (most is not None and value > most):
        return f"{shown(value)} is not within {'' if least is None else least} to {most}"
    return ""


def shown(value: Any, most: int = 40) -> str:
    """A value for a message: a number of 400 digits, or a text without end, is cut."""
    try:
        text = str(value)
    except ValueError:  # an integer of thousands of digits
        return f"a number of {value.bit_length()} bits"
    return text if len(text) <= most else f"{text[:most]}…"
