"""Grade a student's file: the reference runs here, the student's code in a process of its own, which knows no answer.

For each task one child gets inputs drawn from the seed, and the answers of earlier tasks; it returns results as arrays;
they are compared here. The student's file is never imported by this process.
"""

import copy
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tinydecouple.coursework import checks, child
from tinydecouple.coursework.checks import difference, shape_of
from tinydecouple.coursework.prepare import Answer, Prepared
from tinydecouple.coursework.stubs import helpers
from tinydecouple.coursework.submission import Submission
from tinydecouple.coursework.tasks import Assignment, Case, Task

SECONDS = 10.0  # of computing for one task, all its cases; the reference needs less than two
PATIENCE = 3  # times as long by the clock, for a machine that is busy, and for code that sleeps


@dataclass
class Mark:
    """What a task has earned, property by property, and why not more."""

    task: Task
    earned: dict[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def points(self) -> int:
        return sum(self.earned.values())


@dataclass
class Grade:
    """The marks of a submission; failed: why it could not be run at all, or ""."""

    assignment: Assignment
    marks: list[Mark]
    failed: str = ""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def points(self) -> int:
        return sum(mark.points for mark in self.marks)


def run_child(source: str, assignment: Assignment, work: bytes, seconds: float = SECONDS) -> tuple[list[Any], str]:
    """The records that a child left, and why it left no more ("" if it finished)."""
    late, why = False, ""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment |= {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    with tempfile.TemporaryDirectory(prefix="grade-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for module in (child, checks):
            (folder / Path(module.__file__).name).write_bytes(Path(module.__file__).read_bytes())
        (folder / "helpers.py").write_text(helpers(assignment), encoding="utf-8")
        (folder / f"{assignment.name}.py").write_text(source, encoding="utf-8")
        (folder / "inputs.npz").write_bytes(work)
        with open(folder / "errors.txt", "wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-B", "-X", "utf8", "child.py", "inputs.npz", "output.bin", f"{seconds:.0f}"],
                cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
            try:
                code = process.wait(PATIENCE * seconds)
                late = hasattr(signal, "SIGXCPU") and code == -signal.SIGXCPU
                why = "" if code == 0 else f"the process ended with exit code {code}"
            except subprocess.TimeoutExpired:
                late = True
            finally:
                process.kill()
                process.wait()
        why = f"no result after {seconds:g} seconds; does it loop forever?" if late else why
        output = folder / "output.bin"
        try:
            with open(output, "rb") as stream:
                found = records(stream)
        except (OSError, ValueError, KeyError, TypeError):
            found = []
        if not found and not why.startswith("no result"):
            last = (folder / "errors.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            why = f"the grader's process did not start: {' '.join(last)[:200]}"
        return found, why


def records(stream: BinaryIO, most: int = 2**26) -> list[Any]:
    """The records of an OUTPUT file, as far as they were written whole."""
    found = []
    while len(head := stream.read(8)) == 8:
        size = int.from_bytes(head, "little")
        if size > most or len(body := stream.read(size)) < size:
            break
        found.append(child.load(body))
    return found


def judge(prepared: Prepared, results: list[Any], why: str) -> Mark:
    """Marks for the results of each case, in order; a case without a result, or with changed inputs, earns nothing."""
    task = prepared.task
    lost: dict[str, tuple[str, str]] = {}  # property -> where, why
    for i, answer in enumerate(prepared.answers):
        for name, remark in faults(task, answer, results[i] if i < len(results) else None, why):
            lost.setdefault(name, (f"{task.id} {task.name}, {name} ({answer.case.note}): ", remark))
    mark = Mark(task, {name: 0 if name in lost else points for name, points in task.points.items()})
    first: dict[str, str] = {}  # why -> where, each once
    for name in task.points:
        if name in lost:
            first.setdefault(lost[name][1], lost[name][0])
    mark.remarks = [where + remark for remark, where in first.items()]
    return mark


def faults(task: Task, answer: Answer, record: dict[str, Any] | None, why: str) -> Iterator[tuple[str, str]]:
    """(property, remark) for all that is wrong with one case's result."""
    case = answer.case
    concerned = ["edge case"] if case.edge else [name for name in task.points if name != "edge case"]
    if record is None:
        yield from ((name, why or "it ended the process before it returned") for name in concerned)
        return
    if "error" in record:
        if not answer.raises or record["kind"] != answer.raises:
            yield from ((name, record["error"]) for name in concerned)
        return
    if answer.raises:
        yield from ((name, f"got {shape_of(record['result'])}, expected {answer.raises}") for name in concerned)
        return
    after = list(record["after"])
    for place, before in enumerate(case.args):
        if place not in task.changed and not isinstance(before, np.random.Generator):
            if not child.same(before, after[place]):  # costs one property, for what is returned may be right
                yield next(iter(task.points)), checks.CHANGED.format(place + 1)
            after[place] = before
    try:
        got = task.split(record["result"], after)
        if len(got) != len(answer.parts):
            raise ValueError
    except Exception:  # any other form of result
        found = difference(record["result"], answer.parts)
        remark = found[1] if found else "a result of another form than the docstring says"
        yield from ((name, remark) for name in concerned)
        return
    for (part, name), a, b in zip(task.parts, got, answer.parts):
        if found := difference(a, b, case.tolerance or task.tolerance):
            kind, remark = found
            remark = f"{part}: {remark}" if len(task.parts) > 1 else remark
            if cause := known_mistake(task, case, part, a):
                remark = f"{remark.partition('; ')[0]}; {cause}"
            if case.edge:
                yield "edge case", remark
            elif kind == "shape":
                yield "shape", remark
                yield name, remark
            else:
                yield name, remark


def known_mistake(task: Task, case: Case, part: str, got: Any) -> str:
    """Words for the mistake that gives just this result, or ""."""
    place = [name for name, _ in task.parts].index(part)
    for words, mistaken in task.mistakes:
        try:
            with np.errstate(all="ignore"):
                wrong = mistaken(*copy.deepcopy(case.args))[place]
                if wrong is not None and (both_infinite(got, wrong) or difference(got, wrong, 1e-3) is None):
                    return words
        except Exception:  # a mistake that this case's arguments do not allow
            continue
    return ""


def both_infinite(got: Any, wrong: Any) -> bool:
    """Whether both are one number, NaN or infinite: np.log of what is not positive, say."""
    numbers = [isinstance(value, (float, np.floating)) for value in (got, wrong)]
    return all(numbers) and not np.isfinite(got) and not np.isfinite(wrong)


def grade(submission: Submission, prepared: list[Prepared], seconds: float = SECONDS) -> Grade:
    """Grade a submission against what `prepare_all` prepared."""
    assignment, started = submission.assignment, time.perf_counter()
    result = Grade(assignment, [], submission.failed, list(submission.notes))
    for one in prepared:
        task = one.task
        if result.failed:
            result.marks.append(Mark(task, dict.fromkeys(task.points, 0), [f"{task.id} {task.name}: not run"]))
            continue
        found, why = run_child(submission.source, assignment, one.work, seconds)
        head = found[0] if found else {"failed": why}
        if "failed" in head:
            result.failed = f"{assignment.name}.py could not be run: {head['failed'] or why}"
            result.marks.append(Mark(task, dict.fromkeys(task.points, 0), [f"{task.id} {task.name}: not run"]))
        elif not head["imported"]:
            result.marks.append(Mark(task, dict.fromkeys(task.points, 0),
                                     [f"{task.id} {task.name}: {assignment.name}.py defines no function of this name"]))
        else:
            result.marks.append(judge(one, found[1:], why))
    result.seconds = time.perf_counter() - started
    return result
