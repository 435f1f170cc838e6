"""The lecturer's desk, by the command line: hand out, test, grade, a class, bundles; and every way to submit badly."""

import csv
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from solutions import solution

from tinydecouple.cli import main, parser
from tinydecouple.coursework import desk, stubs
from tinydecouple.coursework.submission import decoded, find
from tinydecouple.coursework.tasks import Assignment, assignment

RIGHT = solution(assignment("A3"))
BROKEN = RIGHT + "\n\ndef reject(h, U):\n    return h - (h @ U\n"


@pytest.fixture
def few(monkeypatch):
    """A3 with two tasks only, so that grading starts two processes."""
    of = assignment("A3")
    short = Assignment("A3", of.title, of.tasks[:2], of.helpers)
    monkeypatch.setattr("tinydecouple.coursework.a3.ASSIGNMENT", short)
    return short


def submit(folder, source, name="A3.py"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(source if isinstance(source, bytes) else source.encode())
    return folder


def run(*arguments):
    """The exit code of a command."""
    try:
        main(["assignment", *map(str, arguments)])
    except SystemExit as end:
        return end.code
    return 0


def test_a_students_first_quarter_of_an_hour(tmp_path, capsys):
    """new, edit the warm-up as the handout says, test: 1.1 passes and the others are not written yet."""
    assert run("new", "A1", tmp_path / "me") == 0
    file = tmp_path / "me" / "A1.py"
    answer = "return np.concatenate((h, np.ones_like(h[:, :1])), axis=1)"
    assert answer in (tmp_path / "me" / "A1.md").read_text(encoding="utf-8"), "the warm-up's answer is given"
    text = file.read_text(encoding="utf-8")
    todo = 'raise NotImplementedError("1.1 with_one is not written yet")'
    file.write_text(text.replace(todo, answer), encoding="utf-8")
    assert run("test", tmp_path / "me", "1.1") == 0
    assert run("test", tmp_path / "me", "1.1", "1.2") == 1
    out = capsys.readouterr().out
    assert "1.1 passes" in out and "1.2 FAILS" in out and "not written yet" in out
    assert run("new", "A1", tmp_path / "me") == 2, "it must not replace a student's work"
    assert answer in file.read_text(encoding="utf-8")


def test_marks_exit_codes_and_json(few, tmp_path, capsys):
    right = submit(tmp_path / "right", RIGHT)
    below = submit(tmp_path / "below", RIGHT + "\n\ndef reject(h, U):\n    pass\n")
    assert run("grade", right, "--json", tmp_path / "r.json") == 0
    assert run("grade", below, "--json", tmp_path / "b.json", "--seed", "9") == 1
    out = capsys.readouterr().out
    assert "16 of 16 points; seed 1" in out and "4 of 16 points; seed 9" in out and "limits: 10 s per task" in out
    told = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    properties = {"shape": [0, 2], "value": [0, 6], "edge case": [0, 4]}
    assert told["score"] == 4 and told["tasks"][1]["properties"] == properties
    assert "`return` missing" in told["tasks"][1]["remarks"][0]


@pytest.mark.parametrize("source, words", [
    (BROKEN, "Python cannot read it"), ("import absent_package\n", "No module named 'absent_package'"),
    ("from tinydecouple.method.projection import project, reject\n", "refuses to import tinydecouple"),
    ("raise SystemExit\n", "ends the program"), (b"\0\0\0", "Python cannot read it")])
def test_what_cannot_be_run_is_told_with_exit_code_2(few, source, words, tmp_path, capsys):
    folder = submit(tmp_path / "s", source)
    assert run("grade", folder, "--json", tmp_path / "m.json") == 2
    out = capsys.readouterr().out
    assert words in out and "Traceback" not in out and "0 of 16" in out
    assert json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))["score"] == 0


def test_a_folder_without_the_file(tmp_path, capsys):
    submit(tmp_path / "s", "x = 1\n", "homework.py")
    assert run("grade", tmp_path / "s", "--json", tmp_path / "m.json") == 2
    assert "no file A1.py or A2.py" in capsys.readouterr().err
    assert json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))["score"] == 0
    for words in (("grade", tmp_path / "absent"), ("new", "A7", tmp_path / "n"), ("bundle", "B1", tmp_path / "b.zip"),
                  ("test", submit(tmp_path / "t", RIGHT), "3.99"),
                  ("grade-all", tmp_path / "absent", "--csv", "x.csv")):
        assert run(*words) == 2, words
        assert len(capsys.readouterr().err.splitlines()) == 1, f"{words}: one line is expected"


@pytest.mark.parametrize("data, note", [
    (RIGHT.replace("\n", "\r\n").encode(), ""), (b"\xef\xbb\xbf" + RIGHT.encode(), ""),
    (("# \u00e9\u00e8\n" + RIGHT).encode("latin-1", "ignore"), "Windows-1252"), (RIGHT.encode("utf-16"), "UTF-16"),
    (("# -*- coding: latin-1 -*-\n# \u00e9\n" + RIGHT).encode("latin-1", "ignore"), "")])
def test_other_encodings_and_line_ends_are_read(data, note, tmp_path):
    found = find(submit(tmp_path, data))
    assert not found.failed, found.failed
    assert note in " ".join(found.notes) and bool(note) == bool(found.notes)
    assert "\r" not in found.source and "def leace" in found.source
    compile(found.source.encode(), "A3.py", "exec")


def test_a_zip_inside_a_folder(tmp_path):
    (tmp_path / "s").mkdir()
    with zipfile.ZipFile(tmp_path / "s" / "my work.zip", "w") as archive:
        archive.writestr("A3/A3.py", RIGHT)
        archive.writestr("__MACOSX/A3/A3.py", "x")
        archive.writestr("../../evil.py", "x")
    found = find(tmp_path / "s")
    assert found.source == RIGHT and "taken from my work.zip" in found.notes[0]
    assert find(tmp_path / "s" / "my work.zip").source == RIGHT
    assert not (tmp_path / "evil.py").exists(), "nothing is unpacked to disk"


def test_a_class(few, tmp_path, capsys):
    """Five students: right, below, a broken file, none, a zip; a name with spaces, one in Arabic letters."""
    folder = tmp_path / "class"
    submit(folder / "Ann Example", RIGHT)
    submit(folder / "\u0644\u064a\u0644\u0649", RIGHT + "\n\ndef project(h, U):\n    return h @ U @ U.T * 2\n")
    submit(folder / "broken", BROKEN)
    submit(folder / "nothing", "x = 1", "notes.txt")
    with zipfile.ZipFile(folder / "zipped.zip", "w") as archive:
        archive.writestr("A3.py", RIGHT)
    assert run("grade-all", folder, "--csv", tmp_path / "marks.csv", "--jobs", 1) == 2, "two could not be run"
    out = capsys.readouterr().out
    assert "failed to run: nothing: " in out and "failed to run: broken: A3.py line" in out
    with open(tmp_path / "marks.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    points = {}
    for row in rows:
        points[row["student"]] = points.get(row["student"], 0) + int(row["points"])
    assert points == {"Ann Example": 16, "\u0644\u064a\u0644\u0649": 13, "broken": 0, "nothing": 0, "zipped": 16}
    assert [row["status"] for row in rows if row["student"] in ("broken", "nothing")] == ["failed to run"] * 3
    remarks = [row["remarks"] for row in rows if row["student"] == "\u0644\u064a\u0644\u0649" and row["task"] == "3.1"]
    assert "twice what is expected" in remarks[0]


def test_a_name_in_small_letters_and_a_folder_that_cannot_be_read(few, tmp_path, monkeypatch):
    submit(tmp_path / "class" / "small", RIGHT, "a3.py")
    submit(tmp_path / "class" / "locked", RIGHT)
    real = desk.find

    def locked(entry):
        if entry.name == "locked":
            raise PermissionError(13, "Permission denied", str(entry))
        return real(entry)
    monkeypatch.setattr(desk, "find", locked)
    assert run("grade-all", tmp_path / "class", "--csv", tmp_path / "m.csv") == 2
    text = (tmp_path / "m.csv").read_text(encoding="utf-8-sig")
    assert "small,A3,3.2,12,12,graded" in text and "Permission denied" in text


def test_one_students_folder_is_no_class(tmp_path, capsys):
    submit(tmp_path / "s", RIGHT)
    assert run("grade-all", tmp_path / "s", "--csv", tmp_path / "m.csv") == 2
    assert "one student's folder" in capsys.readouterr().err


def test_a_bundle_has_no_solutions(tmp_path):
    assert run("bundle", "A3", tmp_path / "A3.zip") == 0
    with zipfile.ZipFile(tmp_path / "A3.zip") as archive:
        names = set(archive.namelist()) - {"A3/"}
        texts = "\n".join(archive.read(name).decode() for name in names)
    assert {Path(name).name for name in names} == set(desk.student_files(assignment("A3")))
    for task in assignment("A3").tasks[1:]:
        source, node = stubs.definition(task.function)
        last = stubs.segment(source, node).splitlines()[-1].strip()
        assert last not in texts, f"{task.id}: the bundle holds {last!r}"


@pytest.mark.skipif(os.name == "nt", reason="Gradescope runs Linux")
def test_gradescopes_autograder_runs_as_gradescope_runs_it(tmp_path):
    """source/, submission/, results/ as there; only the installation is replaced, by this Python."""
    assert run("bundle", "A3", tmp_path / "auto.zip", "--format", "gradescope", "--seed", "4") == 0
    root = tmp_path / "autograder"
    for folder in ("source", "results", "venv/bin"):
        (root / folder).mkdir(parents=True)
    submit(root / "submission", RIGHT + "\n\ndef reject(h, U):\n    return -h\n")
    with zipfile.ZipFile(tmp_path / "auto.zip") as archive:
        archive.extractall(root / "source")
        assert {"setup.sh", "run_autograder"} <= set(archive.namelist())
        assert archive.getinfo("run_autograder").external_attr >> 16 & 0o111, "run_autograder is not executable"
    (root / "venv/bin/python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    (root / "venv/bin/python").chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"AUTOGRADER": str(root)}
    done = subprocess.run(["bash", root / "source" / "run_autograder"], env=environment, capture_output=True, text=True,
                          cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-500:]
    told = json.loads((root / "results" / "results.json").read_text(encoding="utf-8"))
    assert told["score"] == 100 - 12 + 2 and len(told["tests"]) == 7
    assert all({"name", "score", "max_score", "output", "number"} <= set(test) for test in told["tests"])
    subprocess.run(["bash", "-n", root / "source" / "setup.sh"], check=True)


def test_a_decoder_never_fails():
    for data in (b"", b"\xff\xfe", b"\xff\xfea", b"# coding: nonsense\n", bytes(range(256))):
        assert isinstance(decoded(data)[0], str)


def test_the_lecturers_commands_are_understood():
    text = (stubs.HANDOUTS / "LECTURER.md").read_text(encoding="utf-8")
    commands = re.findall(r"python -m tinydecouple (assignment [^`\n]+)", text)
    assert len(commands) >= 4
    for command in commands:
        parser().parse_args(command.split())


def test_what_the_lecturers_page_quotes_is_what_the_grader_says():
    """Words in the table of mistakes stand in the code that says them."""
    text = (stubs.HANDOUTS / "LECTURER.md").read_text(encoding="utf-8")
    said = " ".join(p.read_text(encoding="utf-8") for p in sorted((stubs.PACKAGE / "coursework").glob("*.py")))
    said = re.sub(r'"\s+f?"', "", said)
    for quote in re.findall(r"^\| \d\.\d(?:, \d\.\d)? \| .* \| (.+) \|$", text, re.M):
        if "..." not in quote and "(directions" not in quote and "got a list" not in quote:
            assert quote in said, f"the grader does not say {quote!r}"
