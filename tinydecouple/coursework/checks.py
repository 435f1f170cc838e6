"""Compare a result with what was expected, and say in words how they differ.

This file needs NumPy only, and a student's folder holds a copy of it: `python test_A1.py` speaks the same words as the
grader.
"""

import sys
import traceback
from collections.abc import Callable
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np

FACTORS = (  # got / expected, and what usually makes it so
    (2, "it is twice what is expected: is a factor 1/2 missing?"),
    (1 / 2, "it is half of what is expected: is there a factor 1/2 too many, or one class counted of two?"),
    (-1, "its sign is reversed"),
    (np.log(2), "it is off by a factor ln 2: nats and bits are mixed up"),
    (1 / np.log(2), "it is off by a factor ln 2: nats and bits are mixed up"),
    (180 / np.pi, "it is in degrees, expected radians"),
    (100, "it is in percent, expected a share"),
    (1 / 100, "it is a share, expected percent"))


def difference(got: Any, expected: Any, tolerance: float = 1e-4) -> tuple[str, str] | None:
    """None if `got` is `expected` within the tolerance; else ("shape" or "value", what differs in words).

    tolerance: of numbers, relative to the largest entry expected; integers, texts and flags must be equal. A list
    may stand for a tuple, and a number of any type for a number.
    """
    if got is None and expected is not None:
        return "shape", "got None; is the `return` missing, or was the result printed instead of returned?"
    if isinstance(expected, (tuple, list)):
        if isinstance(got, np.ndarray) and got.ndim == 1:
            got = got.tolist()
        if not isinstance(got, (tuple, list)) or len(got) != len(expected):
            return "shape", f"got {shape_of(got)}, expected {len(expected)} results"
        found = [difference(a, b, tolerance) for a, b in zip(got, expected)]
        return next((f for f in found if f and f[0] == "shape"), None) or next((f for f in found if f), None)
    if not isinstance(expected, (Number, np.ndarray)) or isinstance(expected, bool):
        equal = type(got) is type(expected) and got == expected
        return None if equal else ("value", f"got {got!r}"[:80] + f", expected {expected!r}")
    if not isinstance(got, (Number, np.ndarray, np.generic)) or np.asarray(got).dtype.kind not in "fiu":
        return "shape", f"got {shape_of(got)}, expected {shape_of(expected)}"
    if np.shape(got) != np.shape(expected):
        swapped = " (the axes are swapped)" if np.shape(got) == np.shape(expected)[::-1] else ""
        return "shape", f"got {shape_of(got)}, expected {shape_of(expected)}{swapped}"
    a, b = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    exact = np.asarray(expected).dtype.kind in "iu"
    within = 0 if exact else tolerance * np.abs(b).max(initial=0) + 1e-12
    off = ~(np.abs(a - b) <= within)
    if not off.any():
        return None
    return "value", f"{at_worst(a, b)}; {likely_cause(a, b) or 'compare with the equation, term by term'}"


def shape_of(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, Number):
        return "a number"
    return f"a value of type {getattr(value, 'type', type(value).__name__)}"


def at_worst(got: np.ndarray, expected: np.ndarray) -> str:
    """Got and expected, of arrays at the entry where they differ most."""
    if not got.ndim:
        return f"got {float(got):.6g}, expected {float(expected):.6g}"
    error = np.where(np.isfinite(got), np.abs(got - expected), np.inf)
    place = np.unravel_index(error.argmax(), error.shape)
    where = ", ".join(map(str, place))
    return f"at [{where}] got {got[place]:.6g}, expected {expected[place]:.6g}"


def likely_cause(got: np.ndarray, expected: np.ndarray) -> str:
    """What usually makes numbers differ in this way, or "" if nothing usual fits."""
    def like(other: np.ndarray) -> bool:
        return bool(np.allclose(got, other, rtol=1e-3, atol=1e-3 * np.abs(expected).max(initial=0)))

    if not np.isfinite(expected).all():
        return ""
    if not np.isfinite(got).all():
        return "it holds NaN or infinity: does something overflow, or is there a division by 0?"
    if not got.any():
        return "it is 0 everywhere"
    size = max(expected.size, 2)
    n = expected.shape[0] if expected.ndim else 0
    usual = [*FACTORS, (size, "it is a sum where a mean is expected"),
             (1 / size, "it is a mean where a sum is expected")]
    if n > 2:
        usual += [(n, "it is n times what is expected: divide by the number of states?"),
                  (1 / n, "it is 1/n of what is expected: is it divided by the number of states once too often?"),
                  (n / (n - 1), "n and n - 1 are mixed up"), ((n - 1) / n, "n and n - 1 are mixed up")]
    for factor, words in usual:
        if like(factor * expected):
            return words
    if expected.ndim == 2 and expected.shape[0] == expected.shape[1] and like(expected.T):
        return "it is transposed"
    if expected.ndim and like(expected[::-1]):
        return "its order is reversed"
    if like(expected**2):
        return "it is the square of what is expected"
    return "it is the root of what is expected: is a square missing?" if like(np.sqrt(np.abs(expected))) else ""


def check(name: str, got: Any, expected: Any, tolerance: float = 1e-4) -> None:
    """Raise AssertionError, in words, unless `got` is `expected`."""
    if found := difference(got, expected, tolerance):
        raise AssertionError(f"{name}: {found[1]}")


def task(number: str) -> Callable[[Callable], Callable]:
    """Mark a test as that of a task: `pytest -m task_1_2` runs those of task 1.2."""
    def mark(test: Callable) -> Callable:
        test.task = number
        try:
            import pytest
        except ImportError:  # python test_A1.py needs NumPy only
            return test
        return getattr(pytest.mark, "task_" + number.replace(".", "_"))(test)
    return mark


def run(tests: dict[str, Any], chosen: list[str]) -> int:
    """Run the tests of the tasks chosen, all by default, with a line for each; returns 0 if all pass, else 1."""
    by_task: dict[str, list[Callable]] = {}
    for test in [test for name, test in tests.items() if name.startswith("test_")]:
        by_task.setdefault(test.task, []).append(test)
    if unknown := set(chosen) - set(by_task):
        print(f"no task {', '.join(sorted(unknown))}; there are {', '.join(by_task)}")
        return 2
    results = [all([_passes(number, test) for test in by_task[number]]) for number in chosen or by_task]
    print(f"{sum(results)} of {len(results)} tasks pass their public tests; the grader draws inputs of its own")
    return 0 if all(results) else 1


def _passes(number: str, test: Callable) -> bool:
    name = test.__doc__ or test.__name__
    try:
        test()
    except NotImplementedError:
        told = "not written yet"
    except AssertionError as error:
        told = str(error).split(": ", 1)[-1]
    except Exception as error:
        line = traceback.extract_tb(sys.exc_info()[2])[-1]
        told = f"stopped by {type(error).__name__}: {error} ({Path(line.filename).name}, line {line.lineno})"
    else:
        print(f"  {number} passes   {name}")
        return True
    print(f"  {number} FAILS    {name}: {told}")
    return False
