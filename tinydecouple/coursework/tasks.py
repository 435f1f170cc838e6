"""What a task is: a function of the package, inputs for it, and what each property of its result is worth.

The words of a task (title, approach, hint) stand in its handout, tutorials/assignments/A1.md to A4.md.
"""

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from tinydecouple.errors import TinyDecoupleError

Rng = np.random.Generator
NAMES = ("A1", "A2", "A3", "A4")


@dataclass(frozen=True)
class Case:
    """Arguments to call a task's function with.

    note: what they are, for the feedback.  edge: a special case.  tolerance: instead of the task's, if not 0.
    """

    args: tuple[Any, ...]
    note: str
    edge: bool = False
    tolerance: float = 0.0


@dataclass(frozen=True, eq=False)
class Task:
    """A task; its handout, stub, error texts and test marker carry the same id, such as "1.2".

    function: "module:name" in the package; of a method, "module:Class.name", whose `self` is the first argument.
    points: what each property is worth. "shape" is that of every result, "edge case" all about the special cases;
        other names are those of `parts`.
    cases: draws inputs from a generator.
    parts: (name, property) of each part of the result, in order.
    pick: from the result and the arguments after the call to the parts; the result itself unless given.
    examples: code whose last line is an expression; the first stands in the stub, all are public tests.
    mistakes: words for the feedback, and the parts that this mistake would give (None: any) for a case's arguments.
    changed: places of arguments that the function is to change.
    hide: parts of the package's docstring that the stub leaves out, since they are the answer; "…" is anything between.
    call: how the reference is called, if not with the case's arguments.
    """

    id: str
    function: str
    points: dict[str, int]
    cases: Callable[[Rng], Iterable[Case]]
    examples: tuple[str, ...]
    parts: tuple[tuple[str, str], ...] = (("result", "value"),)
    pick: Callable[[Any, list[Any]], Any] | None = None
    mistakes: tuple[tuple[str, Callable[..., Any]], ...] = ()
    changed: tuple[int, ...] = ()
    hide: tuple[str, ...] = ()
    call: Callable[..., Any] | None = None
    tolerance: float = 1e-4

    @property
    def module(self) -> str:
        return "tinydecouple." + self.function.partition(":")[0]

    @property
    def name(self) -> str:
        """The name of the function in the student's file."""
        return self.function.rpartition(":")[2].rpartition(".")[2]

    @property
    def total(self) -> int:
        return sum(self.points.values())

    def home(self) -> ModuleType:
        """The module in which the reference lives; imported only when it is needed, for some import PyTorch."""
        return importlib.import_module(self.module)

    def reference(self, *args: Any, **named: Any) -> Any:
        return (self.call or getattr(self.home(), self.name))(*args, **named)

    def split(self, result: Any, after: list[Any]) -> tuple[Any, ...]:
        """The parts of a result that are compared. Raises whatever a result of another form makes `pick` raise."""
        picked = self.pick(result, after) if self.pick else result
        return tuple(picked) if len(self.parts) > 1 else (picked,)


@dataclass(frozen=True, eq=False)
class Assignment:
    """helpers: "module:name" of what the student is given in helpers.py; what these need comes along."""

    name: str
    title: str
    tasks: tuple[Task, ...]
    helpers: tuple[str, ...]
    written: int = 0  # points of a part that is marked by hand
    by_id: dict[str, Task] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_id", {task.id: task for task in self.tasks})

    @property
    def total(self) -> int:
        """Points that the grader gives."""
        return sum(task.total for task in self.tasks)


def assignment(name: str) -> Assignment:
    """The assignment of that name. Raises TinyDecoupleError for a name that is not in NAMES."""
    if name.upper() not in NAMES:
        raise TinyDecoupleError(f"assignment {name!r} is unknown; expected one of {', '.join(NAMES)}")
    return importlib.import_module(f"tinydecouple.coursework.{name.lower()}").ASSIGNMENT
