"""The grader is tested by submissions: untouched, right in many styles, wrong in many ways, hostile."""

import sys
import types
import warnings
from functools import lru_cache

import numpy as np
import pytest
from mutants import EQUIVALENT, all_mutants, drawn, entries, task_of
from solutions import solution

from tinydecouple.coursework import checks, child, grader, stubs
from tinydecouple.coursework.prepare import prepare, prepare_all
from tinydecouple.coursework.submission import Submission
from tinydecouple.coursework.tasks import NAMES, assignment

SURVIVE = set()  # (task, what) of wrong solutions known to get full marks; at most 3
MECHANICAL = 40
TASKS = [task.id for name in NAMES for task in assignment(name).tasks]
cached = lru_cache(lambda number, seeds: prepare(assignment(f"A{number[0]}"), task_of(number), seeds))


def mark_here(number, code="", seeds=(1,)):
    """The mark of one task for a right solution to which code is appended, computed in this process: we trust it."""
    of, prepared = assignment(f"A{number[0]}"), cached(number, seeds)
    helpers, module = types.ModuleType("helpers"), types.ModuleType(of.name)
    try:
        sys.modules["helpers"] = helpers
        exec(compile(stubs.helpers(of), "helpers.py", "exec"), vars(helpers))
        exec(compile(solution(of) + "\n\n" + code, f"{of.name}.py", "exec"), vars(module))
    finally:
        del sys.modules["helpers"]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = list(child.results(module, child.load(prepared.work, helpers), helpers, child.watched(),
                                   checks.told))
    return grader.judge(prepared, [child.load(child.dump(record)) for record in found], "")


def mark_of(number, code="", seeds=(1,), seconds=grader.SECONDS):
    """The same by a process of its own, as for a student."""
    of = assignment(f"A{number[0]}")
    source = solution(of) + "\n\n" + code
    graded = grader.grade(Submission(of, source), [cached(number, seeds)], seconds)
    assert not graded.failed, graded.failed
    return graded.marks[0]


def survivors(rows, mark=mark_here):
    return {(number, what) for number, what, code in rows if mark(number, code).points == task_of(number).total}


@pytest.mark.parametrize("name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])])
def test_an_untouched_stub_scores_0(name):
    graded = grader.grade(Submission(assignment(name), stubs.stubs(assignment(name))), prepare_all(assignment(name), 1))
    assert graded.points == 0 and not graded.failed
    assert all("is not written yet" in mark.remarks[0] for mark in graded.marks)


@pytest.mark.parametrize("number", TASKS)
def test_the_reference_scores_full(number):
    seeds = (1,) if number in ("1.7", "4.6") else (1, 2, 3)
    mark = mark_here(number, seeds=seeds)
    assert mark.points == mark.task.total, mark.remarks


@pytest.mark.slow
@pytest.mark.parametrize("number", TASKS)
def test_the_reference_scores_full_with_20_seeds_in_its_process(number):
    mark = mark_of(number, seeds=tuple(range(1, 21)), seconds=20 * grader.SECONDS)
    assert mark.points == mark.task.total, mark.remarks


@pytest.mark.parametrize("number, what, code", entries("styles.txt"), ids=lambda x: x if len(x) < 60 else "")
def test_other_styles_get_full_marks(number, what, code):
    mark = mark_here(number, code)
    assert mark.points == mark.task.total, f"{number}, {what}: {mark.remarks}"


def test_wrong_solutions_lose_marks():
    """A third of those by hand and a third of the mechanical ones; all, by processes of their own, in the slow test."""
    rows = entries("wrong.txt")[1::3] + drawn(MECHANICAL, seed=1)[::3]
    assert survivors(rows) <= SURVIVE


@pytest.mark.slow
def test_all_wrong_solutions_lose_marks():
    by_hand, mechanical = entries("wrong.txt"), drawn(MECHANICAL, seed=1)
    assert len(by_hand) + len(mechanical) >= 80 and len(mechanical) >= 40 and len(SURVIVE) <= 3
    found = survivors(by_hand + mechanical, mark_of)
    assert found == SURVIVE, f"these get full marks: {sorted(found - SURVIVE)}"


@pytest.mark.slow
def test_every_mechanical_change_loses_marks_or_is_proved_equivalent():
    rows = all_mutants()
    assert set(EQUIVALENT) <= {(number, what) for number, what, _ in rows}, "a proof for a change that is not made"
    assert survivors(rows) == set(EQUIVALENT)


def test_one_mistake_costs_once():
    """A wrong 1.2 leaves 1.5 whole, which calls it, and a wrong 1.6 leaves 1.7, though 1.6 changes a probe in place."""
    code = {number: code for number, _, code in reversed(entries("wrong.txt"))}
    of = assignment("A1")
    source = solution(of) + "\n\n" + code["1.2"] + code["1.4"] + code["1.6"]
    graded = grader.grade(Submission(of, source), [cached(number, (1,)) for number in ("1.2", "1.5", "1.6", "1.7")])
    full = {mark.task.id: mark.points == mark.task.total for mark in graded.marks}
    assert full == {"1.2": False, "1.5": True, "1.6": False, "1.7": True}, [mark.remarks for mark in graded.marks]


@pytest.mark.parametrize("number, what, code", entries("hostile.txt"), ids=lambda x: x if len(x) < 60 else "")
def test_hostile_solutions_get_nothing(number, what, code):
    mark = mark_of(number, code, seconds=1 if "forever" in what else grader.SECONDS)
    assert mark.points == 0, f"{what}: {mark.earned}"
    assert mark.remarks, f"{what}: no word why"
    assert "forever" not in what or "loop forever?" in mark.remarks[0], mark.remarks


CAUSES = {  # (task, what is wrong) -> what the feedback must say of it
    ("1.2", "the logarithm of what is a logarithm already"): "`log_sigma2` is already a logarithm: use it as it is",
    ("1.4", "SMALLEST is forgotten"): "SMALLEST is not added",
    ("1.5", "the cross-entropy's gradient is not divided by n"): "is not divided by the number of states",
    ("1.5", "kl_weight is ignored"): "`kl_weight` is ignored",
    ("1.6", "no bias correction"): "neither moment is corrected",
    ("1.7", "the rate reaches 0 at the last step"): "divide by `steps`, not by steps - 1",
    ("1.7", "a batch larger than the sample starts where the last ended"): "also if the batch is larger",
    ("2.6", "a block cuts a sentence"): "a block cuts a sentence",
    ("2.7", "the mean logarithm for the logarithm of the mean"): "averages logarithms",
    ("3.5", "(21)'s Frobenius norm of columns that are not orthonormal"): "orthonormal before (21)",
    ("4.3", "the basis is not frozen"): "`options.frozen` keeps the first basis",
    ("4.5", "punctuation is part of the word"): "use `words`"}


@pytest.mark.parametrize("number, what", CAUSES, ids=lambda x: x if len(x) < 60 else "")
def test_usual_mistakes_are_called_by_their_name(number, what):
    (code,) = [code for task, told, code in entries("wrong.txt") if (task, told) == (number, what)]
    remarks = mark_here(number, code).remarks
    assert CAUSES[number, what] in remarks[0], remarks


def test_a_logarithm_taken_twice_is_named_where_it_gives_nan_and_where_it_gives_infinity():
    (code,) = [code for _, told, code in entries("wrong.txt") if told == "the logarithm of what is a logarithm already"]
    remarks = mark_here("1.2", code).remarks
    assert len(remarks) == 2 and "got nan" in remarks[0] and "got inf" in remarks[1], remarks
    assert all("np.exp for the variance" in remark for remark in remarks), remarks


def test_an_argument_changed_in_place_costs_one_property():
    (code,) = [code for task, what, code in entries("wrong.txt") if what == "logits are changed in place"]
    mark = mark_here("1.3", code)
    assert mark.earned == {"shape": 0, "value": 5, "gradient": 5, "edge case": 4}, mark.earned
    assert "changes its argument 1 in place" in mark.remarks[0]


def test_the_grader_goes_on_after_a_hostile_task():
    """The task that ends its process costs its own points; the next one is graded."""
    code = "\ndef cross_entropy(logits, y):\n    import os\n    os._exit(0)\n"
    of = assignment("A1")
    tasks = [cached(number, (1,)) for number in ("1.3", "1.4")]
    graded = grader.grade(Submission(of, solution(of) + code), tasks)
    assert [mark.points for mark in graded.marks] == [0, 16]
    assert "ended the process" in graded.marks[0].remarks[0]


def test_no_expected_answer_reaches_the_child():
    """Neither as an array, nor as a number in the JSON of its inputs."""
    for number in ("1.2", "2.2", "3.5", "4.5"):
        prepared = cached(number, (1,))
        work = child.load(prepared.work)
        assert set(work) == {"module", "function", "memory", "package", "earlier", "cases"}
        for answer in prepared.answers:
            (right,) = answer.parts
            if abs(right) > 1e-6 and abs(right - round(right, 3)) > 1e-9:
                raw = np.float64(right).tobytes()
                assert raw not in prepared.work and repr(float(right)).encode() not in prepared.work, number


def test_feedback_says_got_expected_and_cause_but_not_the_answer():
    mark = mark_of("1.2", entries("wrong.txt")[0][2])
    told = mark.remarks[0]
    assert told.startswith("1.2 weight_kl, value (n = 7") and "got" in told and "expected" in told
    assert "1/2 missing" in told and "log_sigma2 -" not in told
    assert mark.earned == {"shape": 2, "value": 0, "edge case": 0}, "right shape earns its points, wrong values do not"


def test_values_travel_without_pickle():
    value = {"a": [np.arange(3), (1.5, None, "متى")], "nan": float("nan"), "rng": np.random.default_rng(4)}
    back = child.load(child.dump(value))
    assert child.same(back["a"], value["a"]) and np.isnan(back["nan"])
    assert back["rng"].random() == np.random.default_rng(4).random(), "a generator goes on where it stood"
    assert child.load(child.dump(np.array([{}], dtype=object))).type == "array of dtype object"


def test_a_record_cut_short_is_left_out(tmp_path):
    whole = child.dump({"result": 1})
    record = len(whole).to_bytes(8, "little") + whole
    (tmp_path / "output.bin").write_bytes(2 * record + (10**9).to_bytes(8, "little"))
    with open(tmp_path / "output.bin", "rb") as stream:
        assert grader.records(stream) == [{"result": 1}] * 2
