"""A student's copy: cut from the source, complete, without answers, and the same every time."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mutants import EQUIVALENT, all_mutants, entries, task_of
from solutions import defined, public, solution

from tinydecouple.coursework import checks, stubs
from tinydecouple.coursework.desk import student_files
from tinydecouple.coursework.prepare import prepare
from tinydecouple.coursework.tasks import NAMES, assignment

ROOT = Path(__file__).parents[2]
TASKS = [task.id for name in NAMES for task in assignment(name).tasks]


@pytest.mark.parametrize("name", NAMES)
def test_points_add_up_and_ids_are_in_order(name):
    of = assignment(name)
    assert of.total == 100, f"{name}: {of.total} points in the table, expected 100"
    assert 5 <= len(of.tasks) <= 8
    assert [task.id for task in of.tasks] == [f"{name[1]}.{i}" for i in range(1, len(of.tasks) + 1)]


@pytest.mark.parametrize("number", TASKS)
def test_one_id_in_handout_stub_error_and_marker(number):
    of, task = assignment(f"A{number[0]}"), task_of(number)
    text = stubs.words(of, task)
    assert set(text) == {"title", "goal", "approach", "hint"}, f"{number}: the handout's section has {sorted(text)}"
    stub = stubs.stub(of, task)
    assert f"TODO {number} ({task.total} points)" in stub and f'raise NotImplementedError("{number} ' in stub
    assert all(word in stub for word in ("APPROACH:", "EXAMPLE:", "gives", "HINT:"))
    assert f'\ndef test_{number.replace(".", "_")}_1' in stubs.public_tests(of)


@pytest.mark.parametrize("number", TASKS)
def test_a_stub_has_the_packages_signature_and_not_its_body(number):
    task = task_of(number)
    node = stubs.definition(task.function)[1]
    made = ast.parse(stubs.stub(assignment(f"A{number[0]}"), task)).body[0]
    assert ast.dump(made.args) == ast.dump(node.args), f"{number}: the stub's arguments differ from the package's"
    assert [type(s) for s in made.body] == [ast.Expr, ast.Raise], f"{number}: a docstring and a raise are expected"


@pytest.mark.parametrize("name", NAMES)
def test_regenerated_files_are_equal_and_stand_alone(name, tmp_path):
    """Nothing drifts: they are made from source and handout alone, and need NumPy only."""
    of = assignment(name)
    files = student_files(of)
    stubs.helpers.cache_clear()
    assert student_files(of) == files
    for file, text in files.items():
        (tmp_path / file).write_text(text, encoding="utf-8")
        if file.endswith(".py"):
            tree = ast.parse(text)
            names = [n.name for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names]
            names += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
            outside = {one.split(".")[0] for one in names} - sys.stdlib_module_names
            outside -= {"numpy", "helpers", "checks", "runner", "pytest", name}
            assert not outside, f"{file} imports {outside}; a student has NumPy only"
    code = f"import {name}, sys; print('tinydecouple' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr[-500:]


@pytest.mark.parametrize("name", NAMES)
def test_the_helpers_hold_no_answer(name):
    of = assignment(name)
    held = defined(stubs.helpers(of))
    assert not held & {task.name for task in of.tasks}, f"helpers.py of {name} holds an answer"
    assert set(stubs.helper_names(of)) <= held, f"helpers.py of {name} lacks {set(stubs.helper_names(of)) - held}"


def test_a_docstring_that_moved_on_is_noticed():
    """If the package's docstring no longer holds what is to be hidden, the answer may stand elsewhere in it."""
    task = task_of("3.2")
    other = type(task)(**{**vars(task), "hide": ("a sentence that is not there",)})
    with pytest.raises(ValueError, match=r"mend `hide` of task 3\.2"):
        stubs.docstring(other, stubs.definition(task.function)[1])


@pytest.mark.parametrize("name", NAMES)
def test_the_right_solution_passes_the_public_tests(name, tmp_path):
    for file, text in student_files(assignment(name)).items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    (tmp_path / f"{name}.py").write_text(solution(assignment(name)), encoding="utf-8")
    done = subprocess.run([sys.executable, f"test_{name}.py"], cwd=tmp_path, capture_output=True, text=True)
    count = len(assignment(name).tasks)
    assert done.returncode == 0 and f"{count} of {count} tasks pass" in done.stdout, done.stdout + done.stderr[-500:]


def test_the_markers_choose_a_tasks_tests(tmp_path):
    """With pytest, -m task_1_2 runs the tests of task 1.2, and a stub fails them with its id."""
    for file, text in student_files(assignment("A1")).items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "--strict-markers", "-m", "task_1_2"], cwd=tmp_path,
                          capture_output=True, text=True)
    assert "2 failed" in done.stdout and "passed" not in done.stdout, done.stdout[-500:]
    assert "1.2 weight_kl is not written yet" in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_handouts_have_the_tables_points_and_minutes(name):
    sys.path.insert(0, str(ROOT / "tutorials" / "assignments"))
    import fill_minutes
    there = (ROOT / "tutorials" / "assignments" / f"{name}.md").read_text(encoding="utf-8")
    assert fill_minutes.filled(name) == there, f"{name}.md: run python tutorials/assignments/fill_minutes.py"
    minutes = json.loads((ROOT / "tutorials" / "assignments" / "minutes.json").read_text(encoding="utf-8"))
    assert set(TASKS) <= set(minutes)


@pytest.mark.parametrize("name", NAMES)
def test_equations_named_in_a_handout_exist(name):
    theory = (ROOT / "tutorials" / "THEORY.md").read_text(encoding="utf-8")
    numbers = set(re.findall(r"\\tag\{(\d+)\}", theory))
    told = (ROOT / "tutorials" / "assignments" / f"{name}.md").read_text(encoding="utf-8")
    for cited in re.findall(r"· equations? (\([\d(), to]+\)) of THEORY", told):
        assert set(re.findall(r"\d+", cited)) <= numbers, f"{name}.md cites THEORY {cited}"


def test_a4s_own_references_agree_with_the_package():
    """What A4 names and the package has no function for is said once more in reference.py; here it is compared."""
    import torch

    from tinydecouple.coursework import reference
    from tinydecouple.evaluation.significance import over_seeds
    from tinydecouple.training.decoupler import DecoupleOptions, Decoupler
    rng = np.random.default_rng(0)
    for name, value in vars(reference.DecoupleOptions()).items():
        assert getattr(DecoupleOptions(), name) == value, f"the package's default of {name} has changed"
    for seeds in (2, 3, 5, 10):
        first, second = rng.normal(size=(2, seeds))
        theirs = over_seeds(first, second)
        assert reference.seed_interval(first, second) == pytest.approx((theirs.mean, theirs.low, theirs.high), abs=2e-3)
    core = Decoupler(DecoupleOptions(rank=1), 2, 5)
    core.basis = np.linalg.qr(rng.normal(size=(5, 1)))[0]
    core.mean = rng.normal(size=5)
    h = torch.tensor(rng.normal(size=(2, 4, 5)), requires_grad=True)
    upstream, positions = rng.normal(size=(2, 4, 5)), rng.random((2, 4)) < 0.6  # L_MT = sum(h * upstream)
    ((h * torch.from_numpy(upstream)).sum() + 0.3 * core.penalty(h[torch.from_numpy(positions)])).backward()
    ours = reference.add_penalty(upstream, h.detach().numpy(), positions, core.basis, core.mean, 0.3)
    np.testing.assert_allclose(ours, h.grad.numpy(), atol=1e-6, err_msg="the penalty in a step: NumPy, then autograd")
    source = (ROOT / "tinydecouple" / "training" / "train.py").read_text(encoding="utf-8")
    for piece in ("max(1, math.ceil(total / refreshes))", "step % every == 0"):
        assert piece in source, f"train.py no longer has {piece}; does is_refresh of A4 still say when it refreshes?"


@pytest.mark.parametrize("number, value, gradient", [("1.5", 0, (1, 2)), ("3.6", 0, (1,))])
def test_expected_gradients_are_slopes_along_random_directions(number, value, gradient):
    """Central differences of the reference's value along a random R equal the gradient's product with R."""
    task, rng = task_of(number), np.random.default_rng(3)

    def at(case, R, t):
        target, *rest = case.args
        moved = {k: target[k] + t * R[k] for k in target} if isinstance(target, dict) else target + t * R["h"]
        return task.split(task.reference(moved, *rest), [])[value]

    for case in task.cases(rng):
        target = case.args[0] if isinstance(case.args[0], dict) else {"h": case.args[0]}
        if "float32" in case.note or "length 0" in case.note:
            continue
        R = {k: rng.normal(size=v.shape) for k, v in target.items()}
        parts = task.split(task.reference(*case.args), case.args)
        slope = sum((parts[i] * R[k]).sum() for i, k in zip(gradient, R))
        difference = (at(case, R, 1e-6) - at(case, R, -1e-6)) / 2e-6
        assert difference == pytest.approx(slope, rel=1e-5, abs=1e-8), f"{number}, {case.note}"


def test_inputs_come_in_the_sizes_that_the_handouts_name():
    notes = " ".join(a.case.note for number in ("1.2", "1.3", "1.4", "1.5")
                     for a in prepare(assignment("A1"), task_of(number), (5,)).answers)
    assert all(size in notes for size in ("n = 1,", "C = 2,", "C = 26", "float32", "float64"))


@pytest.mark.parametrize("got, expected, words", [
    (2.0, 1.0, "factor 1/2 missing"), (-1.0, 1.0, "sign"), (np.log(2), 1.0, "nats and bits"),
    (np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2), "axes are swapped"),
    (np.array([3.0, 2.0, 1.0]), np.array([1.0, 2.0, 3.0]), "order is reversed"),
    (np.array([1.0, np.nan]), np.array([1.0, 2.0]), "NaN"), (None, 1.0, "`return` missing"),
    (np.array([5.0, 10.0, 50.0, 15.0]), np.array([1.0, 2.0, 10.0, 3.0]) * 15, "every entry is 0.3333 times"),
    (np.array([5.0, 1.0, 50.0]), np.array([1.0, 2.0, 10.0]), "go through the steps"),
    (np.full((3, 2), 1e-17), np.full((3, 2), 1e-6), "every entry is 1e-11 times"),  # not "the square"
    (np.array([1.0, 2.0]), np.array([2.0, 4.0]), "or a division by 2"),  # not "a factor 1/2" alone
    (np.ones((5, 2)), np.full((5, 2), 0.4), "divided by 2 where the number of states belongs"),
    (1, 2, "got 1, expected 2; go through"),  # a count, not "half of what is expected"
    (np.ones(3), np.zeros(3), "0 is expected everywhere"), ((1.0, 2.0), (1.0, 3.0), "entry 1 (from 0)"),
    ("1", 1.0, "expected a number"),
    (np.array([4.0, 9.0, 1.0]), np.array([2.0, 3.0, 1.0]), "square"), ([1.0], (1.0, 2.0), "expected 2 results")])
def test_what_a_difference_is_called(got, expected, words):
    assert words in checks.difference(got, expected)[1], checks.difference(got, expected)


def test_equal_results_in_other_clothes_are_equal():
    for got, expected in ((np.float32(1.00001), 1.0), ([1.0, np.ones(2)], (1.0, np.ones(2, np.float32))),
                          (np.array([3, 4]), [3, 4]), (np.int64(3), 3), (1, 1.0)):
        assert checks.difference(got, expected) is None, (got, expected)
    assert checks.difference(4, 3) and checks.difference(True, False) and checks.difference(3.0000001, 3) \
        , "integers and flags must be equal"


def test_the_public_tests_catch_the_mistakes_that_were_written_down():
    """All wrong solutions of the list: who passes the public tests has no elementary mistake left."""
    passing = {(number, what) for number, what, code in entries("wrong.txt") if not any(public(number, code))}
    assert not passing, f"the public tests let these pass: {sorted(passing)}"


@pytest.mark.slow
def test_the_public_tests_catch_nearly_every_mechanical_change():
    rows = [row for row in all_mutants() if row[:2] not in EQUIVALENT]
    passing = [row[:2] for row in rows if not any(public(row[0], row[2]))]
    assert len(passing) <= 0.02 * len(rows), f"the public tests let {len(passing)} of {len(rows)} pass: {passing}"


def written(name, folder, code="", source=None):
    """A student's folder with a right solution, to which code is appended; the output of its public tests."""
    for file, text in student_files(assignment(name)).items():
        (folder / file).write_text(text, encoding="utf-8")
    (folder / f"{name}.py").write_text((source or solution(assignment(name))) + "\n\n" + code, encoding="utf-8")

    def tested(*arguments):
        command = [sys.executable, f"test_{name}.py", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert "Traceback" not in done.stderr + done.stdout, done.stderr[-500:]
        return done.stdout
    return tested


def test_public_tests_name_the_earlier_task_that_fails_too(tmp_path):
    """Also if only the later one is asked for."""
    code = "\ndef forward(parameters, h1, noise):\n    return h1 @ parameters['mu'].T, h1, h1, h1, h1\n"
    tested = written("A1", tmp_path, code)
    assert re.search(r"1\.5 FAILS.*\n +1\.4 fails too: repair that first", tested("1.5")), tested("1.5")
    assert "fails too" not in tested("1.4") and "example 1: sigma2: " in tested("1.4"), "1.4 is itself to blame"
    assert "1.7" in tested("-h") and "no task" not in tested("-h")


def test_an_error_in_an_earlier_function_says_who_called_it(tmp_path):
    tested = written("A1", tmp_path, "\ndef with_one(h):\n    wide = np.ones((7, 9))\n    return wide @ h\n")
    out = tested("1.7")
    assert re.search(r"line \d+ in with_one, called from optimise: ValueError: the inner sizes of a matrix product "
                     r"must be equal, and are 9 and 2 \[.*wide \(7, 9\)", out), out
    assert "1.1 fails too: repair that first" in out


def test_a_file_that_cannot_be_imported_is_told_in_words(tmp_path):
    assert "A1.py could not be run: line " in written("A1", tmp_path, "def f(:\n")()
    assert "use NumPy and helpers.py only" in written("A1", tmp_path, "import absent_package\n")()
    assert "A1.py imports pytest: the grader has NumPy" in written("A1", tmp_path, "import pytest\n")("1.1")


def test_code_to_be_copied_stays_on_one_line():
    """Between backticks of a stub's comments nothing is wrapped, or pasting it fails."""
    for name in NAMES:
        for line in stubs.stubs(assignment(name)).splitlines():
            assert not line.lstrip().startswith("#") or line.count("`") % 2 == 0, f"{name}.py: {line}"
    assert "`return np.concatenate((h, np.ones_like(h[:, :1])), axis=1)`" in stubs.stubs(assignment("A1"))


@pytest.mark.parametrize("number, earlier", [("1.5", "1.1 1.2 1.3 1.4"), ("2.7", "2.1 2.4 2.6"), ("3.5", "3.4"),
                                             ("3.6", ""), ("4.3", "")])
def test_the_earlier_tasks_that_a_task_calls_are_found_in_the_source(number, earlier):
    assert " ".join(stubs.called(assignment(f"A{number[0]}"), task_of(number))) == earlier


@pytest.mark.parametrize("name", NAMES)
def test_a_student_gets_the_equations(name):
    files = student_files(assignment(name))
    assert r"\tag{12}" in files["THEORY.md"]
    assert "0 of 100" in files["README.md"] and f"test_{name}.py {name[1]}.1" in files["README.md"]
    cited = files[f"{name}.py"] + files[f"{name}.md"]
    assert not re.search(r"THEORY \(", cited), "an equation's number may be taken for a section's"
