"""The lecturer's desk: hand out, test, grade one or a whole class, bundle. Each prints, and returns an exit code:

0: full marks (or: done); 1: below; 2: could not be graded.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tinydecouple.coursework import grader, stubs
from tinydecouple.coursework.grader import Grade
from tinydecouple.coursework.prepare import Prepared, prepare_all
from tinydecouple.coursework.submission import find
from tinydecouple.coursework.tasks import NAMES, Assignment, assignment
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import write, write_json

THEORY = stubs.HANDOUTS.parent / "THEORY.md"  # an installed package lacks it
SHARED = ("checks.py", "runner.py")  # files of ours that a student's folder holds, too
GRADESCOPE = stubs.HANDOUTS / "gradescope"
NEEDED = ("__init__.py", "errors.py", "files.py", "options.py", "method/*.py", "coursework/*.py")  # to grade A1 to A3


def assignment_command(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    chosen = {name: value for name, value in vars(args).items() if name not in ("command", "action")}
    if code := ACTIONS[args.action](**chosen):
        sys.exit(code)


def student_files(of: Assignment) -> dict[str, str]:
    """Name -> text of what a student gets."""
    number, markers = of.name, "\n".join(f"    task_{t.id.replace('.', '_')}: {t.id} {t.name}" for t in of.tasks)
    readme = stubs.handout("STUDENT").format(name=number, title=of.title, n=number[1])
    return {f"{number}.py": stubs.stubs(of), "helpers.py": stubs.helpers(of),
            f"test_{number}.py": stubs.public_tests(of),
            **{file: (stubs.PACKAGE / "coursework" / file).read_text(encoding="utf-8") for file in SHARED},
            f"{number}.md": stubs.handout(number),
            **({"RUBRIC.md": stubs.handout("RUBRIC")} if of.written else {}), "README.md": readme,
            **({"THEORY.md": THEORY.read_text(encoding="utf-8")} if THEORY.exists() else {}),
            "pytest.ini": f"[pytest]\nmarkers =\n{markers}\n"}


def new(name: str, folder: Path) -> int:
    """Write a student's folder. Raises TinyDecoupleError rather than replace a file."""
    files = student_files(assignment(name))
    if there := [file for file in files if (folder / file).exists()]:
        raise TinyDecoupleError(f"{folder / there[0]}: exists, and may hold work; choose another folder")
    for file, text in files.items():
        write(folder / file, text)
    print(f"{folder}: {', '.join(files)}\nread {name.upper()}.md, edit {name.upper()}.py, then: python "
          f"test_{name.upper()}.py")
    return 0


def test(folder: Path, tasks: list[str], seconds: float = 60) -> int:
    """Run the public tests on a student's file, in a folder of their own."""
    submission = find(folder)
    of = submission.assignment
    if unknown := [task for task in tasks if task not in of.by_id]:
        raise TinyDecoupleError(f"{of.name} has no task {unknown[0]!r}; expected one of {', '.join(of.by_id)}")
    if submission.failed:
        raise TinyDecoupleError(submission.failed)
    with tempfile.TemporaryDirectory(prefix="test-", ignore_cleanup_errors=True) as place:
        for file, text in {**student_files(of), f"{of.name}.py": submission.source}.items():
            write(Path(place) / file, text)
        try:
            done = subprocess.run([sys.executable, "-B", "-X", "utf8", f"test_{of.name}.py", *tasks], cwd=place,
                                  capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=seconds)
        except subprocess.TimeoutExpired:
            raise TinyDecoupleError(f"{of.name}.py: no result after {seconds:g} seconds; does it loop forever?"
                                    ) from None
    print("\n".join([*submission.notes, done.stdout.rstrip()]))
    if done.stderr:
        print(f"{of.name}.py could not be run: {done.stderr.strip().splitlines()[-1]}")
        return 2
    return done.returncode


def grade(folder: Path, result: Path | None = None, form: str = "", seed: int = 1) -> int:
    """Grade one submission; result: file for the marks as JSON; form: "gradescope", or any other for the usual one."""
    try:
        submission = find(folder)
    except TinyDecoupleError as error:
        if result:
            write_json(result, {"score": 0, "output": str(error)})
        raise
    prepared = prepare_all(submission.assignment, seed)
    graded = grader.grade(submission, prepared)
    if form == "gradescope":
        told = for_gradescope(graded)
        print(json.dumps(told, indent=1, ensure_ascii=False)) if not result else write_json(result, told)
    else:
        print(in_words(graded, seed))
        if result:
            write_json(result, as_json(graded, seed))
    return exit_code(graded)


def exit_code(graded: Grade) -> int:
    return 2 if graded.failed else int(graded.points < graded.assignment.total)


def limits() -> str:
    """What keeps a submission within bounds on this system, in words."""
    try:
        import resource  # noqa: F401
        memory = "memory 2 GiB" if sys.platform != "darwin" else "memory not limited (macOS has no such limit)"
    except ImportError:
        memory = "memory not limited (Windows has no such limit)"
    return f"{grader.SECONDS:g} s per task; {memory}; network, other processes and writing refused inside Python"


def in_words(graded: Grade, seed: int) -> str:
    lines = [f"{graded.assignment.name}: {graded.assignment.title}", *graded.notes]
    lines += [graded.failed] * bool(graded.failed)
    for mark in graded.marks:
        worth = ", ".join(f"{name} {mark.earned.get(name, 0)}/{most}" for name, most in mark.task.points.items())
        lines.append(f"  {mark.task.id} {mark.task.name:20} {mark.points:3} of {mark.task.total:3}   ({worth})")
        lines += [f"      {remark}" for remark in mark.remarks if not graded.failed]
    lines.append(f"{graded.points} of {graded.assignment.total} points; seed {seed}; {graded.seconds:.0f} s")
    lines.append(f"limits: {limits()}")
    return "\n".join(lines)


def as_json(graded: Grade, seed: int) -> dict[str, Any]:
    return {"assignment": graded.assignment.name, "score": graded.points, "max_score": graded.assignment.total,
            "failed": graded.failed, "notes": graded.notes, "seed": seed, "limits": limits(),
            "tasks": [{"id": m.task.id, "function": m.task.name, "score": m.points, "max_score": m.task.total,
                       "properties": {name: [m.earned.get(name, 0), most] for name, most in m.task.points.items()},
                       "remarks": m.remarks} for m in graded.marks]}


def for_gradescope(graded: Grade) -> dict[str, Any]:
    return {"score": graded.points, "execution_time": round(graded.seconds), "visibility": "visible",
            "output": "\n".join([*graded.notes, *([graded.failed] * bool(graded.failed)), limits()]),
            "tests": [{"number": m.task.id, "name": f"{m.task.id} {m.task.name}", "score": m.points,
                       "max_score": m.task.total, "output": "\n".join(m.remarks)} for m in graded.marks]}


def grade_all(folder: Path, table: Path, seed: int = 1, jobs: int = 0) -> int:
    """Grade every entry of a folder, one per student; a row per student and task goes to the CSV file `table`.

    jobs: submissions graded side by side; as many as there are processors if 0.
    """
    if not folder.is_dir():
        raise TinyDecoupleError(f"{folder}: no such folder; expected one entry in it per student")
    students = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith((".", "__MACOSX"))
                and (entry.is_dir() or entry.suffix in (".zip", ".py"))]
    if not students:
        raise TinyDecoupleError(f"{folder}: no submissions; expected a folder or a zip file per student")
    if len({entry.name for entry in students if entry.is_dir()}) == 0 and all(e.stem in NAMES for e in students):
        raise TinyDecoupleError(f"{folder}: this is one student's folder; to grade it: assignment grade {folder}")
    found = {}
    for entry in students:
        try:
            found[entry] = find(entry)
        except (TinyDecoupleError, OSError) as error:  # the others are graded all the same
            found[entry] = str(error)
    used = {s.assignment.name for s in found.values() if not isinstance(s, str)}
    prepared: dict[str, list[Prepared]] = {name: prepare_all(assignment(name), seed) for name in sorted(used)}

    def one(entry: Path) -> Grade | str:
        submission = found[entry]
        return submission if isinstance(submission, str) else grader.grade(submission,
                                                                           prepared[submission.assignment.name])
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        graded = list(tqdm(pool.map(one, students), total=len(students), desc="grading", disable=None, leave=False))
    table.parent.mkdir(parents=True, exist_ok=True)
    with open(table, "w", encoding="utf-8-sig", newline="") as file:  # the mark tells Excel that it is UTF-8
        writer = csv.writer(file)
        writer.writerow(("student", "assignment", "task", "points", "of", "status", "remarks"))
        for entry, result in zip(students, graded):
            writer.writerows(rows(entry.stem if entry.is_file() else entry.name, result))
    failed = [(entry.name, result if isinstance(result, str) else result.failed) for entry, result in
              zip(students, graded) if isinstance(result, str) or result.failed]
    for entry, result in zip(students, graded):
        print(f"  {entry.name:30} " + ("failed to run" if isinstance(result, str) or result.failed else
                                       f"{result.assignment.name} {result.points:3} of {result.assignment.total}"))
    print(f"{len(students)} submissions, written to {table}; seed {seed}; {limits()}")
    for name, why in failed:
        print(f"failed to run: {name}: {why}")
    return 2 if failed else 0


def rows(student: str, result: Grade | str) -> Iterator[tuple[Any, ...]]:
    """Rows of the table for one student."""
    if isinstance(result, str):
        yield student, "", "", 0, "", "failed to run", result
        return
    status = "failed to run" if result.failed else "graded"
    for mark in result.marks:
        remarks = result.failed or " | ".join(mark.remarks)
        yield student, result.assignment.name, mark.task.id, mark.points, mark.task.total, status, remarks


def bundle(name: str, out: Path, form: str = "", seed: int = 1) -> int:
    """Write what a lecturer hands out, without solutions, as a zip; form "gradescope": the autograder instead."""
    of = assignment(name)
    with tempfile.TemporaryDirectory(prefix="bundle-") as place:
        folder = Path(place) / ("autograder" if form == "gradescope" else of.name)
        files = gradescope_files(of, seed) if form == "gradescope" else student_files(of)
        for file, text in files.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            path.chmod(0o755 if file in ("setup.sh", "run_autograder") else 0o644)
        out.parent.mkdir(parents=True, exist_ok=True)
        root, base = (folder, ".") if form == "gradescope" else (Path(place), of.name)
        made = shutil.make_archive(str(Path(place) / "made"), "zip", root, base)
        shutil.copyfile(made, out)
    print(f"{out}: {len(files)} files, " + ("an autograder for Gradescope" if form == "gradescope" else
                                            f"a student's folder {of.name}/"))
    return 0


def gradescope_files(of: Assignment, seed: int) -> dict[str, str]:
    """Name -> text of an autograder: two scripts, and as much of the package as grading needs."""
    whole = not all(task.function.startswith(("method.", "coursework.")) for task in of.tasks)
    paths = [p for pattern in (("**/*.py",) if whole else NEEDED) for p in sorted(stubs.PACKAGE.glob(pattern))]
    files = {p.relative_to(stubs.PACKAGE.parent).as_posix(): p.read_text(encoding="utf-8") for p in paths}
    scripts = {p.name: p.read_text(encoding="utf-8") for p in sorted(GRADESCOPE.iterdir())}
    if not whole:
        scripts["requirements.txt"] = "numpy\ntqdm\n"
    scripts["run_autograder"] = scripts["run_autograder"].replace("SEED", str(seed))
    return {**scripts, **files}


ACTIONS = {"new": new, "test": test, "grade": grade, "grade_all": grade_all, "bundle": bundle}
