"""What a task asks and what is right: inputs drawn from a seed, and the reference's results on them."""

import copy
import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinydecouple.coursework import child
from tinydecouple.coursework.stubs import PACKAGE
from tinydecouple.coursework.tasks import Assignment, Case, Task

MEMORY = 2 * 2**30  # bytes that a child may use


@dataclass(frozen=True)
class Answer:
    """What the reference gives for a case: parts of its result, or the name of the exception it raises."""

    case: Case
    parts: tuple[Any, ...] = ()
    raises: str = ""


@dataclass(frozen=True)
class Prepared:
    """A task with its answers; work: what the child gets, without them."""

    task: Task
    answers: list[Answer]
    work: bytes


@contextmanager
def recorded(task: Task, earlier: tuple[Task, ...], calls: dict[str, list[dict[str, Any]]]) -> Generator[None]:
    """While this lasts, the reference's outermost calls of earlier tasks' functions are kept with their results."""
    home, kept, inside = task.home(), {}, []

    def recording(function: Callable, name: str) -> Callable:
        def call(*args: Any, **named: Any) -> Any:
            if inside:
                return function(*args, **named)
            bound = inspect.signature(function).bind(*args, **named)
            bound.apply_defaults()
            before = copy.deepcopy(list(bound.arguments.values()))
            inside.append(name)
            result = function(*args, **named)
            inside.clear()
            after = copy.deepcopy(list(bound.arguments.values()))
            calls.setdefault(name, []).append({"before": before, "after": after, "result": copy.deepcopy(result)})
            return result
        return call

    for one in earlier:
        if hasattr(home, one.name):
            kept[one.name] = getattr(home, one.name)
            setattr(home, one.name, recording(kept[one.name], one.name))
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(home, name, function)


def prepare(assignment: Assignment, task: Task, seeds: tuple[int, ...]) -> Prepared:
    """Draw the inputs of a task from the seeds and run the reference on them."""
    number = assignment.tasks.index(task)
    cases = [case for seed in seeds for case in task.cases(np.random.default_rng([seed, number]))]
    calls: dict[str, list[dict[str, Any]]] = {}
    answers = []
    with recorded(task, assignment.tasks[:number], calls):
        for case in cases:
            args = copy.deepcopy(list(case.args))
            try:
                result = task.reference(*args)
            except Exception as error:  # that the reference refuses is the answer
                answers.append(Answer(case, raises=type(error).__name__))
            else:
                answers.append(Answer(case, task.split(result, args)))
    work = {"module": assignment.name, "function": task.name, "memory": MEMORY, "package": str(PACKAGE),
            "earlier": calls, "cases": [list(case.args) for case in cases]}
    return Prepared(task, answers, child.dump(work))


def prepare_all(assignment: Assignment, seed: int) -> list[Prepared]:
    return [prepare(assignment, task, (seed,)) for task in assignment.tasks]
