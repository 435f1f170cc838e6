"""The checks of `demo --smoke`: each passes on a sound run, and fails when the thing that it checks is broken."""

import json
import re
import shutil

import pytest
import torch

from tinydecouple.cli import main
from tinydecouple.options import DecoupleOptions, TrainOptions
from tinydecouple.study import smoke
from tinydecouple.study.rerun import read_records
from tinydecouple.training import train as loop
from tinydecouple.training.checkpoint import load_checkpoint, read_config
from tinydecouple.training.decoupler import Decoupler
from tinydecouple.training.pipeline import finetune, run_corpus

CPU = torch.device("cpu")
TINY = ["demo", "--smoke", "--corpus", "family", "--keys", "60", "--per-variety", "20", "--varieties", "a1,b1,c1",
        "--width", "16", "--blocks", "1", "--heads", "2", "--vocabulary", "600", "--batch-tokens", "300"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A small smoke demo: its folder and corpus, and what was written by --json."""
    run = tmp_path_factory.mktemp("smoke") / "demo"
    main([*TINY, "--run", str(run), "--json", str(run.parent / "checks.json")])
    return run, run_corpus(run / "pretrained"), json.loads((run.parent / "checks.json").read_text(encoding="utf-8"))


@pytest.fixture
def broken(sound, tmp_path, monkeypatch):
    """A function (a patch): the penalised arm trained again under the patch, in a copy of the demo; its folder."""
    run = shutil.copytree(sound[0], tmp_path / "demo")

    def again(patch):
        config = read_config(run / "decoupled")
        shutil.rmtree(run / "decoupled")
        with monkeypatch.context() as context:
            patch(context)
            finetune(run / "decoupled", run / "pretrained", sound[1], TrainOptions(**config["train"]),
                     DecoupleOptions(**config["decouple"]), CPU)
        return run

    return again


def named(found, name):
    return next(check for check in found if name in check.name)


def test_a_sound_run_passes_every_check(sound, capsys):
    run, corpus, written = sound
    assert written["passed"] and all(check["passed"] for check in written["checks"]), written
    names = [check["name"] for check in written["checks"]]
    assert names == ["pretrained: the loss fell", "plain: the loss fell", "decoupled: the loss fell",
                     "decoupled: the penalty fell", "decoupled: a resume is bit for bit",
                     "the table has a row per dialect"]
    assert written["machine"]["torch"] == torch.__version__
    assert all(check["seconds"] > 0 for check in written["checks"]), "a stage that took no time"
    found = smoke.checks(run, corpus, CPU, 1.0)
    assert smoke.report(found, None, CPU) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(found) and all(line.startswith("ok ") and line.endswith(" s)") for line in lines), lines


def test_a_model_that_does_not_learn_fails_the_demo(tmp_path, capsys):
    """At a learning rate of 0 every stage is gone through, and a table is printed; the exit code is 1 all the same."""
    with pytest.raises(SystemExit) as stop:
        main([*TINY, "--run", str(tmp_path / "demo"), "--learning-rate", "0", "--json", str(tmp_path / "checks.json")])
    out = capsys.readouterr().out
    assert stop.value.code == 1 and "FAILED plain: the loss fell" in out and "ok     pretrained: the loss fell" in out
    assert "FAILED decoupled: the penalty fell" in out, "without learning the penalty has no effect"
    written = json.loads((tmp_path / "checks.json").read_text(encoding="utf-8"))
    assert not written["passed"] and [c["passed"] for c in written["checks"]] == [True, False, False, False, True, True]


@pytest.mark.parametrize("factor", [-1.0, 0.0], ids=["its sign is turned", "it is not in the loss"])
def test_a_penalty_that_does_not_lower_the_norm(broken, factor):
    real = loop.strength_at
    run = broken(lambda patch: patch.setattr(loop, "strength_at", lambda *args: factor * real(*args)))
    logs = [read_records(run / name) for name in ("decoupled", "plain")]
    check = smoke.penalty_fell("decoupled", *logs)
    assert not check.passed, f"{check.found}: passes although the penalty does not work"


def test_a_penalty_that_grows_where_no_arm_compares():
    rising = [{"step": step, "penalty": 1 + step / 40, "seconds": 1.0} for step in range(40)]
    assert not smoke.penalty_fell("x", rising, None).passed and smoke.penalty_fell("x", rising[::-1], None).passed
    assert not smoke.penalty_fell("x", [{"step": 0, "loss": 1.0}], None).passed, "no penalty at all passes"
    assert not smoke.loss_fell("x", rising, 2).passed, "no loss at all passes"


@pytest.mark.parametrize("where, name", [
    (torch.optim.AdamW, "load_state_dict"), (Decoupler, "restore"), (loop.Transformer, "load_state_dict")])
def test_a_resume_that_forgets_something(sound, monkeypatch, where, name):
    """Optimiser moments, decoupler or weights: each left as they are new, the resumed run has other bits."""
    real, calls = getattr(where, name), []

    def forget(self, *args, **kwargs):
        calls.append(1)
        if where is loop.Transformer and len(calls) != 3:  # start, start again, then the cut run's weights
            return real(self, *args, **kwargs)
        return None

    monkeypatch.setattr(where, name, forget)
    check = smoke.resumes(sound[0], "decoupled", sound[1], CPU)
    assert calls and not check.passed, f"{check.found}: passes although {name} does nothing"


def test_a_cut_that_did_not_happen_is_no_pass(sound, monkeypatch):
    real = loop.train
    monkeypatch.setattr("tinydecouple.training.pipeline.train", lambda *args: real(*args[:8]))
    check = smoke.resumes(sound[0], "decoupled", sound[1], CPU)
    assert not check.passed and check.found == "nothing was cut off"
    assert load_checkpoint(sound[0] / "decoupled")["complete"], "the check must leave the demo's own arm alone"


@pytest.mark.parametrize("change", [
    lambda row: "", lambda row: row.replace(row.split("|")[2], " nan "), lambda row: "| std -> b1 | |\n",
    lambda row: re.sub(r"\([\d.]+\)", "(nan)", row)])
def test_a_table_that_lacks_a_dialect(sound, tmp_path, change):
    text = (sound[0] / "table.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines(True) if line.startswith("| std -> b1 "))
    (tmp_path / "table.md").write_text(text.replace(row, change(row)), encoding="utf-8")
    check = smoke.table_is_whole(tmp_path, sound[1], 1.0)
    assert not check.passed and check.found == "lacks b1", f"{check.found}: passes without b1's numbers"


def test_json_goes_with_smoke(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--json", str(tmp_path / "checks.json"), "--run", str(tmp_path / "run")])
    assert "--json goes with --smoke" in capsys.readouterr().err and not (tmp_path / "run").exists()
