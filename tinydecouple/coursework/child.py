"""The process that runs a student's code: one task, its cases one after another; it knows no expected answer.

Run as `python child.py INPUTS OUTPUT SECONDS` in a folder that holds this file, checks.py, the student's file and
helpers.py. It imports NumPy and the standard library only. INPUTS is an npz of arrays without pickle; OUTPUT gets one
record per case, written as soon as the case is done, so that a later one that hangs costs only itself. What one process
of the same interpreter can enforce is enforced: memory where the system has limits, and an audit hook, which no code
can take off again, that refuses the package tinydecouple, the network, other processes and writing to files. The limit
on time by the clock is the parent's.
"""

import dataclasses
import importlib
import inspect
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

REFUSED = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile",
           "os.kill", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate",
           "os.chmod", "os.chown", "shutil.", "ctypes.dlopen", "_winapi.CreateProcess", "pty.spawn")
WATCHED = (np, np.linalg, np.random)  # modules in which nothing may be replaced
_savez, _load = np.savez, np.load  # as they were before the student's file was imported


def dump(value: Any) -> bytes:
    """A value as npz: arrays as they are, all else as JSON. What cannot be told is told as its type."""
    arrays: list[np.ndarray] = []
    skeleton = json.dumps(_pack(value, arrays))
    buffer = io.BytesIO()
    _savez(buffer, skeleton=np.frombuffer(skeleton.encode(), np.uint8), **{f"a{i}": a for i, a in enumerate(arrays)})
    return buffer.getvalue()


def load(data: bytes, classes: Any = None) -> Any:
    """What `dump` wrote. classes: a module with the dataclasses that occur; else they become plain namespaces."""
    with _load(io.BytesIO(data), allow_pickle=False) as arrays:
        return _unpack(json.loads(arrays["skeleton"].tobytes()), arrays, classes)


def _pack(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"is": value}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufU":
        arrays.append(np.array(value))
        return {"array": len(arrays) - 1}
    if isinstance(value, (tuple, list)):
        return {type(value).__name__ if type(value) in (tuple, list) else "tuple": [_pack(v, arrays) for v in value]}
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return {"dict": {k: _pack(v, arrays) for k, v in value.items()}}
    if isinstance(value, np.random.Generator):
        return {"generator": value.bit_generator.state}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {"object": type(value).__name__, "fields": {k: _pack(v, arrays) for k, v in fields.items()}}
    return {"other": f"array of dtype {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__}


def _unpack(packed: dict[str, Any], arrays: Any, classes: Any) -> Any:
    kind, content = next(iter(packed.items()))
    if kind == "array":
        return np.array(arrays[f"a{content}"])
    if kind in ("tuple", "list"):
        return {"tuple": tuple, "list": list}[kind](_unpack(v, arrays, classes) for v in content)
    if kind == "dict":
        return {k: _unpack(v, arrays, classes) for k, v in content.items()}
    if kind == "generator":
        rng = np.random.default_rng()
        rng.bit_generator.state = content
        return rng
    if kind == "object":
        fields = {k: _unpack(v, arrays, classes) for k, v in packed["fields"].items()}
        return getattr(classes, content)(**fields) if classes else SimpleNamespace(**fields)
    return SimpleNamespace(type=content) if kind == "other" else content


def same(a: Any, b: Any) -> bool:
    """Whether two arguments are equal, numbers within rounding."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        a, b = np.asarray(a), np.asarray(b)
        numbers = a.dtype.kind in "biuf" and b.dtype.kind in "biuf"
        return a.shape == b.shape and bool(
            np.allclose(a, b, rtol=1e-5, atol=1e-9) if numbers else a.dtype.kind == b.dtype.kind and (a == b).all())
    if isinstance(a, (tuple, list)):
        return isinstance(b, (tuple, list)) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, np.random.Generator):
        return isinstance(b, np.random.Generator) and a.bit_generator.state == b.bit_generator.state
    if dataclasses.is_dataclass(a) or isinstance(a, SimpleNamespace):
        return hasattr(b, "__dict__") and same(vars(a), vars(b))
    return bool(a == b)


def assign(target: Any, value: Any) -> None:
    """Make a changeable argument equal to another value, in place."""
    if isinstance(target, np.ndarray):
        target[...] = value
    elif isinstance(target, np.random.Generator):
        target.bit_generator.state = value.bit_generator.state
    elif isinstance(target, dict):
        target.clear()
        target.update(value)
    elif dataclasses.is_dataclass(target) and not target.__dataclass_params__.frozen:
        for name, new in vars(value).items():
            setattr(target, name, new)


def answered(own: Any, calls: list[dict[str, Any]], classes: Any) -> Any:
    """The student's function of an earlier task, but with the reference's answer for the calls the reference made.

    So a mistake in one task costs nothing in those that build upon it.
    """
    def call(*args: Any, **named: Any) -> Any:
        bound = inspect.signature(own).bind(*args, **named)
        bound.apply_defaults()
        given = list(bound.arguments.values())
        for record in calls:
            if len(given) == len(record["before"]) and all(map(same, given, record["before"])):
                for target, before, after in zip(given, record["before"], record["after"]):
                    if not same(before, after):
                        assign(target, load(dump(after), classes))
                return load(dump(record["result"]), classes)
        return own(*args, **named)
    return call


def limit(memory: int, seconds: int) -> None:
    """Limit this process to so many bytes of memory and seconds of computing, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_FSIZE, 2**28),
                       (resource.RLIMIT_CORE, 0)):
        try:
            resource.setrlimit(kind, (most, most + 1))  # at the first a signal that says why, at the second the end
        except (OSError, ValueError):  # macOS has no limit on memory
            pass


def guard(package: str) -> None:
    """From now on refuse the package, whose folder is given, other processes, the network and writing to files."""
    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "import" and args[0].split(".")[0] == "tinydecouple":
            raise ImportError("the grader refuses to import tinydecouple; write the function yourself")
        if event == "open":
            path, mode, flags = args
            if mode is None and flags & (os.O_WRONLY | os.O_RDWR) or set(mode or "") & set("wax+"):
                raise PermissionError("the grader refuses to write to files")
            if isinstance(path, str) and os.path.abspath(path).startswith(package + os.sep):
                raise PermissionError("the grader refuses to read the package's source")
        elif event.startswith(REFUSED):
            raise PermissionError(f"the grader refuses {event}")
    sys.addaudithook(hook)


def watched() -> dict[tuple[int, str], Any]:
    """Every function of NumPy that a student's file could replace."""
    return {(i, name): thing for i, module in enumerate(WATCHED) for name, thing in vars(module).items()
            if callable(thing)}


def results(module: Any, work: dict[str, Any], classes: Any, before: dict[tuple[int, str], Any],
            told: Callable[[BaseException, str], str]) -> Iterator[Any]:
    """A record for each case of a task, of the function in a student's module.

    before: what NumPy was before the module was imported.  told: an exception in words, as checks.told gives it.
    """
    for earlier, calls in work["earlier"].items():
        if callable(own := getattr(module, earlier, None)):
            setattr(module, earlier, answered(own, calls, classes))
    for args in work["cases"]:
        try:
            record = {"result": getattr(module, work["function"])(*args), "after": args}
            now = watched()
            if any(now.get(name) is not thing for name, thing in before.items()):
                raise RuntimeError("your file replaces functions of NumPy; leave NumPy as it is")
            dump(record)  # what cannot be sent is the student's error
        except BaseException as error:
            record = {"error": told(error, work["module"] + ".py"), "kind": type(error).__name__}
        yield record


def main(inputs: str, output: str, seconds: str) -> None:
    with open(inputs, "rb") as file:
        data = file.read()
    import helpers
    told = importlib.import_module("checks").told  # checks.py lies beside this file

    work = load(data, helpers)
    limit(work["memory"], int(seconds))
    out = open(output, "wb", buffering=0)
    before = watched()

    def say(**record: Any) -> None:
        written = dump(record)
        out.write(len(written).to_bytes(8, "little") + written)

    guard(work["package"])
    sys.path.insert(0, os.getcwd())
    try:
        module = __import__(work["module"])
        function = getattr(module, work["function"], None)
    except BaseException as error:
        say(failed=told(error, work["module"] + ".py"))
        return
    say(imported=callable(function))
    if not callable(function):
        return
    for record in results(module, work, helpers, before, told):
        say(**record)


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # whatever the student's file left running
