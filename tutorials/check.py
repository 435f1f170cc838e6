"""Check one function that you have written: python tutorials/check.py T3.1 my_answers.py

First `python tutorials/check.py T3.1 my_answers.py --new` appends its stub to the file, which is made if absent;
nothing in it is overwritten. `python tutorials/check.py` alone lists the tasks. Tasks A1.1 to A4.7 are those of the
assignments (assignments/A1.md to A4.md), tasks T1.1 to T11.1 are the tutorials' own (assignments/T.md).

Your function runs in a process of its own, on inputs drawn here, and what it returns is compared with the package's own
function. What it prints is not shown. Exit code: 0 right, 1 wrong, 2 it cannot be checked.
"""

import argparse
import ast
import importlib.util
import re
import sys
from pathlib import Path

if importlib.util.find_spec("tinydecouple") is None:  # not installed: use the package beside this folder
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tinydecouple.coursework import grader, stubs  # noqa: E402
from tinydecouple.coursework.prepare import prepare  # noqa: E402
from tinydecouple.coursework.submission import Submission, read  # noqa: E402
from tinydecouple.coursework.t import ASSIGNMENT as TUTORIALS  # noqa: E402
from tinydecouple.coursework.tasks import NAMES, Assignment, Task, assignment  # noqa: E402
from tinydecouple.errors import TinyDecoupleError  # noqa: E402

SEEDS = (1, 2)  # of the inputs
HEAD = '''"""My answers. Check one: python tutorials/check.py {label} {file}"""

from __future__ import annotations

'''
NUMPY = "import numpy as np\n"
HELPERS = '''
try:
    from helpers import *  # what a task may use; check.py lays it beside this file
except ImportError:
    pass
'''


def tasks() -> dict[str, tuple[Assignment, Task]]:
    """Label, such as "A1.2" or "T3.1", -> its assignment and the task."""
    every = [TUTORIALS, *map(assignment, NAMES)]
    return {f"{of.name[0]}{task.id}": (of, task) for of in every for task in of.tasks}


def listed() -> str:
    """A line for every task."""
    return "\n".join(f"  {label:6} {task.name:20} {stubs.words(of, task)['title']}"
                     for label, (of, task) in tasks().items())


def named(label: str) -> tuple[str, Assignment, Task]:
    found = tasks()
    if label.upper() not in found:
        raise TinyDecoupleError(f"no task {label!r}; there are {', '.join(found)}")
    return label.upper(), *found[label.upper()]


def parsed(path: Path, of: Assignment) -> Submission:
    """The learner's file as text. Raises TinyDecoupleError for one that Python cannot read."""
    try:
        submission = read(path, path.read_bytes(), of, [])
    except OSError as error:
        raise TinyDecoupleError(f"{path}: {str(error.strerror).lower()}") from None
    if submission.failed:
        raise TinyDecoupleError(submission.failed.replace(f"{of.name}.py", str(path), 1))
    return submission


def defined(source: str) -> dict[str, int]:
    """Function -> the line of its last definition, at the top level of a file."""
    return {node.name: node.lineno for node in ast.parse(source).body
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}


def check(label: str, path: Path, seconds: float = grader.SECONDS) -> int:
    """Check the function of a task; prints what was found; 0 right, 1 wrong.

    Raises TinyDecoupleError where it cannot be checked.
    """
    label, of, task = named(label)
    new = f"python tutorials/check.py {label} {path} --new"
    if not path.exists():
        raise TinyDecoupleError(f"{path}: no such file; to begin one with a stub: {new}")
    submission = parsed(path, of)
    if task.name not in defined(submission.source):
        raise TinyDecoupleError(f"{path}: it defines no function {task.name}; to append a stub of it: {new}")
    source = submission.source + supplied(submission.source, of, task)
    graded = grader.grade(Submission(of, source), [prepare(of, task, SEEDS)], seconds)
    if graded.failed:
        raise TinyDecoupleError(graded.failed.replace(f"{of.name}.py", str(path)))
    mark = graded.marks[0]
    if mark.points == task.total:
        print(f"{label} {task.name}: right")
        return 0
    print(f"{label} {task.name}: not yet")
    for remark in mark.remarks:
        told = remark.removeprefix(f"{task.id} {task.name}, ").replace(f"{label} {task.name} is", "it is")
        print(f"  {told.replace(f'{of.name}.py', str(path))}")
    return 1


def supplied(source: str, of: Assignment, task: Task) -> str:
    """Code to run after the learner's: what the task builds on, and the learner has not written in this file.

    Functions of earlier tasks that are absent get a header; the grader answers them as the package does. Functions of
    other assignments that this one hands out are taken from there.
    """
    have, text = defined(source), []
    for earlier in of.tasks[:of.tasks.index(task)]:
        if earlier.name not in have:
            node = stubs.definition(earlier.function)[1]
            text.append(f"def {earlier.name}({bare(node.args)}):\n    raise NotImplementedError")
    others = {t.name for one, t in tasks().values() if one is not of}
    given = sorted(others & set(have) & set(stubs.helper_names(of)))
    if given:
        text.append(f"from helpers import {', '.join(given)}")
    return "\n\n\n" + "\n\n\n".join(text) + "\n" if text else ""


def bare(arguments: ast.arguments) -> str:
    """Arguments without annotations."""
    plain = ast.parse(f"def f({ast.unparse(arguments)}): pass").body[0].args
    for node in ast.walk(plain):
        if isinstance(node, ast.arg):
            node.annotation = None
    return ast.unparse(plain)


def new(label: str, path: Path) -> int:
    """Append the stub of a task to a file. Raises TinyDecoupleError rather than change what is there."""
    label, of, task = named(label)
    begun = path.exists()
    data = parsed(path, of).source if begun else HEAD.format(label=label, file=path.name)
    if begun and parsed(path, of).notes:
        raise TinyDecoupleError(f"{path}: it is not UTF-8; save it as UTF-8, then again")
    if line := defined(data).get(task.name):
        raise TinyDecoupleError(f"{path} line {line}: it defines {task.name} already; nothing was changed")
    top = "" if re.search(r"^import numpy as np", data, re.M) else NUMPY
    top += "" if re.search(r"^\s*from helpers import \*", data, re.M) else HELPERS
    stub = stubs.stub(of, task).replace(f"TODO {task.id} ({task.total} points)", f"TODO {label}")
    stub = stub.replace(f'NotImplementedError("{task.id} ', f'NotImplementedError("{label} ')
    text = (top + "\n\n" if top else "\n\n") + stub + "\n"
    if begun and not data.endswith("\n"):
        text = "\n" + text
    if begun and b"\r\n" in path.read_bytes():
        text = text.replace("\n", "\r\n")
    try:
        with open(path, "ab") as file:
            file.write(("" if begun else data).encode() + text.encode())
    except OSError as error:
        raise TinyDecoupleError(f"{path}: {str(error.strerror).lower()}") from None
    print(f"{path}: a stub of {label} {task.name} is at its end; write its body, then: "
          f"python tutorials/check.py {label} {path}")
    return 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="check.py", description=__doc__.partition("\n")[0])
    parser.add_argument("task", nargs="?", help="such as A1.2 or T3.1; without it the tasks are listed")
    parser.add_argument("file", nargs="?", type=Path, help="your file, such as my_answers.py")
    parser.add_argument("--new", action="store_true", help="append a stub of the task to the file")
    given = parser.parse_args(arguments)
    if given.task is None:
        print(listed())
        return 0
    try:
        named(given.task)
        if given.file is None:
            raise TinyDecoupleError(f"name your file, too: python tutorials/check.py {given.task} my_answers.py")
        return (new if given.new else check)(given.task, given.file)
    except TinyDecoupleError as error:
        print(f"check: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    sys.exit(main(sys.argv[1:]))
