"""Compare a result with what was expected, and say in words how they differ.

This file needs NumPy only, and a student's folder holds a copy of it: `python test_A1.py` speaks the same words as the
grader.
"""

import linecache
import re
import traceback
from collections.abc import Callable
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np

FACTORS = (  # got / expected, and what usually makes it so
    (2, "it is twice what is expected: is a factor 1/2 missing?"),
    (1 / 2, "it is half of what is expected: is there a factor 1/2 too many?"),
    (-1, "its sign is reversed"),
    (np.log(2), "it is off by a factor ln 2: nats and bits are mixed up"),
    (1 / np.log(2), "it is off by a factor ln 2: nats and bits are mixed up"),
    (180 / np.pi, "it is in degrees, expected radians"),
    (100, "it is in percent, expected a share"),
    (1 / 100, "it is a share, expected percent"))


CHANGED = "it changes its argument {} in place; work on a copy"


def difference(got: Any, expected: Any, tolerance: float = 1e-4, names: tuple[str, ...] = ()) -> tuple[str, str] | None:
    """None if `got` is `expected` within the tolerance; else ("shape" or "value", what differs in words).

    tolerance: of numbers, relative to the largest entry expected; integers, texts and flags must be equal. A list
    may stand for a tuple, and a number of any type for a number.  names: of the entries of a tuple.
    """
    if got is None and expected is not None:
        return "shape", "got None; is the `return` missing, or was the result printed instead of returned?"
    if isinstance(expected, (tuple, list)):
        if isinstance(got, np.ndarray) and got.ndim == 1:
            got = got.tolist()
        if not isinstance(got, (tuple, list)) or len(got) != len(expected):
            which = f": {', '.join(names)}" if names else ""
            return "shape", f"got {shape_of(got)}, expected {len(expected)} results{which}"
        names = names if len(names) == len(expected) else [f"entry {i} (from 0)" for i in range(len(expected))]
        found = [difference(a, b, tolerance) for a, b in zip(got, expected)]
        found = [f and (f[0], f"{name}: {f[1]}") for name, f in zip(names, found)]
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
    cause = "" if exact else likely_cause(a, b)  # a count that is twice another says nothing of factors
    return "value", f"{at_worst(a, b)}; {cause or 'go through the steps of the approach'}"


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
        return bool(np.allclose(got, other, rtol=1e-3, atol=1e-3 * np.abs(other).max(initial=0)))

    if not np.isfinite(expected).all():
        return ""
    if not np.isfinite(got).all():
        return "it holds NaN or infinity: does something overflow, or is there a division by 0?"
    if not got.any() or not expected.any():
        return "it is 0 everywhere" if expected.any() else "0 is expected everywhere here"
    size, n = max(expected.size, 2), expected.shape[0] if expected.ndim else 0
    usual = [*FACTORS, (size, "it is a sum where a mean is expected"),
             (1 / size, "it is a mean where a sum is expected")]
    if n == 2:  # both fit, and only the student can know
        usual = [(2, "it is twice what is expected: is a factor 1/2 missing, or a division by 2 (states, directions)?"),
                 (1 / 2, "it is half of what is expected: is a factor 1/2, or a division by 2, too many?"),
                 *usual]
    if n > 2:
        usual += [(n, "it is n times what is expected: divide by the number of states?"),
                  (1 / n, "it is 1/n of what is expected: is it divided by the number of states once too often?"),
                  (n / 2, "it is n/2 times what is expected: is it divided by 2 where the number of states belongs?"),
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
    if like(np.sqrt(np.abs(expected))):
        return "it is the root of what is expected: is a square missing?"
    ratio = (got * expected).sum() / max((expected**2).sum(), 1e-300)
    constant = np.count_nonzero(expected) > 2 and like(ratio * expected)
    return f"every entry is {ratio:.4g} times what is expected" if constant else ""


def check(name: str, got: Any, expected: Any, names: tuple[str, ...] = (), tolerance: float = 1e-4) -> None:
    """Raise AssertionError, in words, unless `got` is `expected`."""
    if found := difference(got, expected, tolerance, names):
        raise AssertionError(f"{name}: {found[1]}")


def refusal(function: Callable, *args: Any) -> str:
    """The name of the exception that a call raises, or what it returns instead, in words."""
    try:
        return shape_of(function(*args))
    except Exception as error:
        if isinstance(error, NotImplementedError):
            raise
        return type(error).__name__


def told(error: BaseException, file: str) -> str:
    """An exception in words: the line of the student's file, and the shapes of the arrays on it."""
    frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__)
              if Path(frame.f_code.co_filename).name == file]
    place, shapes = "", []
    if isinstance(error, SyntaxError):
        place = f"line {error.lineno}: "
    elif frames:
        frame, line = frames[-1]
        names = [one.f_code.co_name for one, _ in reversed(frames) if one.f_code.co_name.isidentifier()][:3]
        place = f"line {line}{' in ' * bool(names)}{', called from '.join(names)}: "
        text = linecache.getline(frame.f_code.co_filename, line)
        held = {name: v for name, v in frame.f_locals.items() if re.search(rf"\b{re.escape(name)}\b", text)}
        held |= {f'{name}["{key}"]': a for name, v in held.items() if isinstance(v, dict) for key, a in v.items()
                 if f'{name}["{key}"]' in text}
        shapes = [f"{name} {v.shape}" for name, v in held.items() if isinstance(v, np.ndarray)]
    if isinstance(error, NotImplementedError):
        return str(error)[:300] or "not written yet"
    if isinstance(error, SystemExit):
        return f"{place}it ends the program (sys.exit); return a result instead"
    if isinstance(error, MemoryError):
        return f"{place}more memory than the grader allows"
    why = re.sub(r"matmul: .*\(size (\d+) is different from (\d+)\)",
                 r"the inner sizes of a matrix product must be equal, and are \2 and \1", str(error))
    why = re.sub(r",? with gufunc signature \S+", "", why)
    if shapes and isinstance(error, (ValueError, IndexError)):
        why += f" [{', '.join(shapes)}]"
    if isinstance(error, ModuleNotFoundError):
        why += "; use NumPy and helpers.py only"
    text = " ".join(f"{place}{type(error).__name__}: {why}".split())[:300]
    return text.encode("utf-8", "backslashreplace").decode()
