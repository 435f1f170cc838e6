"""Run the public tests of an assignment, and say in words what fails; a student's folder holds a copy of this file.

It needs NumPy only; pytest may run the same tests.
"""

import ast
import inspect
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from checks import CHANGED, told


def guarded(function: Callable, changes: tuple[int, ...]) -> Callable:
    """The function, which now raises AssertionError if it changes an argument whose place is not among `changes`."""
    places = list(inspect.signature(function).parameters)

    def call(*args: Any, **named: Any) -> Any:
        given = inspect.signature(function).bind(*args, **named).arguments
        kept = {name: pickle.dumps(value) for name, value in given.items()
                if places.index(name) not in changes and not isinstance(value, np.random.Generator)}
        result = function(*args, **named)
        for name, before in kept.items():
            if pickle.dumps(given[name]) != before:
                raise AssertionError(f"{function.__name__}: {CHANGED.format(places.index(name) + 1)}")
        return result
    return call


def guard(space: dict[str, Any], changes: dict[str, tuple[int, ...]]) -> None:
    """Guard the functions named, those that are there; changes: places of the arguments that each may change."""
    space |= {name: guarded(space[name], places) for name, places in changes.items() if callable(space.get(name))}


def not_imported(error: Exception, file: str) -> int:
    """Say why the student's file could not be imported; returns the exit code."""
    print(f"{file} could not be run: {told(error, file)}")
    return 2


def foreign(file: str) -> list[str]:
    """What a student's file imports and the grader does not have."""
    nodes = list(ast.walk(ast.parse(Path(__file__).with_name(file).read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return sorted({name.split(".")[0] for name in names} - sys.stdlib_module_names - {"numpy", "helpers"})


def task(number: str, needs: str = "") -> Callable[[Callable], Callable]:
    """Mark a test: `pytest -m task_1_2` runs those of task 1.2.  needs: earlier tasks whose functions it calls."""
    def mark(test: Callable) -> Callable:
        test.task, test.needs = number, needs.split()
        try:
            import pytest
        except ImportError:  # python test_A1.py needs NumPy only
            return test
        return getattr(pytest.mark, "task_" + number.replace(".", "_"))(test)
    return mark


def run(tests: dict[str, Any], chosen: list[str], file: str) -> int:
    """Run the tests of the tasks chosen, all by default, with a line for each; returns 0 if all pass, else 1.

    file: the student's.
    """
    by_task: dict[str, list[Callable]] = {}
    for test in [test for name, test in tests.items() if name.startswith("test_")]:
        by_task.setdefault(test.task, []).append(test)
    if any(one.startswith("-") for one in chosen):
        print(f"python test_{file} [TASK ...]: run the public tests, all or those of tasks named: {', '.join(by_task)}")
        return 0
    if unknown := set(chosen) - set(by_task):
        print(f"no task {', '.join(sorted(unknown))}; there are {', '.join(by_task)}")
        return 2
    for name in foreign(file):
        print(f"{file} imports {name}: the grader has NumPy and helpers.py only, and gives no points to a file that "
              "it cannot import")
    whys: dict[str, list[str]] = {}  # for each test of a task, why it fails, or ""
    for number in chosen or by_task:
        tried = by_task[number]
        for one in (*tried[0].needs, number):
            whys[one] = whys.get(one) or [fails(test, file) for test in by_task[one]]
        stub = f"{number} {tried[0].__doc__.partition(',')[0]} is not written yet"
        if set(whys[number]) == {stub}:
            print(f"  {number} FAILS    {stub.removeprefix(number + ' ')}")
            continue
        for test, why in zip(tried, whys[number]):
            print(f"  {number} {'FAILS ' if why else 'passes'}   {test.__doc__}{': ' * bool(why)}{why}")
        if any(whys[number]) and (broken := [one for one in tried[0].needs if any(whys[one])]):
            print(f"             {', '.join(broken)} fail{'s' * (len(broken) == 1)} too: repair that first")
    right = sum(not any(whys[number]) for number in chosen or by_task)
    print(f"{right} of {len(chosen or by_task)} tasks pass their public tests; the grader draws inputs of its own")
    return 0 if right == len(chosen or by_task) else 1


def fails(test: Callable, file: str) -> str:
    """Why a test fails, in words, or "" if it passes."""
    try:
        test()
    except AssertionError as error:
        return str(error).split(": ", 1)[-1] or "an assertion of its own fails"
    except Exception as error:
        return told(error, file)
    return ""
