"""An option, said once: its default, what it means, and its range. The command line is made from these."""

import dataclasses
from typing import Any


def option(default: Any, text: str, **limits: Any) -> Any:
    """A dataclass field; limits: least, most, or choices (a tuple)."""
    return dataclasses.field(default=default, metadata={"help": text, **limits})
