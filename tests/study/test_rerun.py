"""A run made again from its config.json: identical, or where it differs, and what about the machine does."""

import json
import shutil

import pytest
import torch

from tinydecouple.cli import main
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.study import rerun as again
from tinydecouple.training.checkpoint import load_checkpoint, read_config, save_checkpoint
from tinydecouple.training.record import weights_sha256

TINY = ["--corpus", "family", "--keys", "60", "--per-variety", "10", "--trickle", "2", "--varieties", "a1,b1",
        "--width", "8", "--blocks", "1", "--heads", "1", "--vocabulary", "600", "--pretrain-epochs", "1",
        "--epochs", "1", "--refreshes", "2", "--batch-tokens", "300"]


def check(capsys, *argv):
    """Run `rerun --check`; returns exit code and standard output."""
    with pytest.raises(SystemExit) as stop:
        main(["rerun", "--check", *map(str, argv)])
    return stop.value.code, capsys.readouterr().out


@pytest.fixture
def copied(runs, tmp_path):
    """A copy of the fine-tuned run, to be changed; and that run, as what it is compared with."""
    shutil.copytree(runs / "plain", tmp_path / "plain")
    return tmp_path / "plain", runs / "plain"


def rewrite_log(run, change):
    records = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    change(records)
    (run / "log.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")


def test_a_fine_tuned_run_is_made_again_with_its_start(runs, tmp_path, capsys):
    """Nothing but config.json is used: the pretrained run that it started from is not even there."""
    shutil.copytree(runs / "plain", tmp_path / "moved")
    code, out = check(capsys, tmp_path / "moved", "--into", tmp_path / "again")
    assert code == 0 and out.startswith(f"{tmp_path / 'moved'}: identical: "), f"exit code {code}: {out}"
    start, new = (load_checkpoint(folder / "pretrained")["model"] for folder in (runs, tmp_path / "again"))
    assert all(torch.equal(start[name], new[name]) for name in start)
    assert read_config(runs / "plain")["start_sha256"] == weights_sha256(start), "config names another start"


def test_every_arm_of_a_demo_is_made_again(tmp_path, capsys):
    main(["demo", "--run", str(tmp_path / "demo"), "--arms", "plain,random", *TINY])
    capsys.readouterr()
    code, out = check(capsys, tmp_path / "demo")
    lines = out.splitlines()
    assert code == 0 and [line.split(":")[0] for line in lines] == [
        str(tmp_path / "demo" / name) for name in ("pretrained", "plain", "random")], out
    assert all(": identical: " in line for line in lines)
    state = load_checkpoint(tmp_path / "demo" / "random")
    state["model"]["embedding.weight"][3, 0] += 1e-3
    save_checkpoint(tmp_path / "demo" / "random", state)
    code, out = check(capsys, tmp_path / "demo")
    assert code == 1 and "pretrained: identical" in out and "plain: identical" in out, "exit 1 if one of them differs"
    assert "random: differs\n  weights: 1 of " in out and "embedding.weight first, by at most 0.001" in out


def test_a_rerun_that_was_cut_off_goes_on_but_no_other_folder_is_used(runs, tmp_path, capsys):
    """A run compared with itself would be identical whatever became of it."""
    main(["rerun", str(runs / "pretrained"), "--into", str(tmp_path / "again")])
    stamp = (tmp_path / "again" / "pretrained" / "checkpoint.pt").stat().st_mtime_ns
    assert check(capsys, runs / "pretrained", "--into", tmp_path / "again")[0] == 0
    assert (tmp_path / "again" / "pretrained" / "checkpoint.pt").stat().st_mtime_ns == stamp, "trained a third time"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine", encoding="utf-8")
    for folder in (runs, runs / "pretrained", tmp_path / "mine"):
        assert check(capsys, runs / "pretrained", "--into", folder)[0] == 2, f"used {folder} for the rerun"
    with pytest.raises(SystemExit):
        main(["rerun", str(runs / "plain")])
    assert "name a folder by --into, or pass --check" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["embedding.weight", "final_norm.weight"])
def test_one_bit_of_one_weight_is_a_difference(copied, name):
    ours, theirs = copied
    state = load_checkpoint(ours)
    name = name if name in state["model"] else [*state["model"]][-1]
    weight = state["model"][name]
    weight.view(torch.int32).view(-1)[0] ^= 1  # the last bit of the mantissa
    save_checkpoint(ours, state)
    (weights, machine) = again.compare(ours, theirs).differences
    assert weights.startswith(f"weights: 1 of {len(state['model'])} tensors differ, {name} first, by at most "), weights
    assert machine == "machine: nothing recorded differs"


def test_the_log_counts_but_for_seconds_and_sessions(copied):
    ours, theirs = copied

    def later(records):
        for record in (r for r in records if "seconds" in r):
            record["seconds"] += 100
        records.insert(3, {**records[0], "session": 2})
    rewrite_log(ours, later)
    assert again.compare(ours, theirs).differences == (), "seconds, or a resume, count as a difference"

    def change(records):
        next(r for r in records if r["step"] == 1 and "loss" in r)["loss"] = 9.0
    rewrite_log(ours, change)
    log, _ = again.compare(ours, theirs).differences
    assert log.startswith("log: from step 1 on: loss 9.0 then, "), log
    rewrite_log(ours, lambda records: records.pop())
    longer = shutil.copytree(theirs, ours.parent / "longer")
    rewrite_log(longer, lambda records: records.append({"step": 99, "x": 1}))
    assert again.compare(theirs, longer).differences[0].startswith("log: from step 99 on: "), "a line more"


def test_what_differs_about_the_machine_is_named(copied):
    ours, theirs = copied
    state = load_checkpoint(ours)
    state["model"]["embedding.weight"][0, 0] += 1
    save_checkpoint(ours, state)

    def elsewhere(records):
        records[0] |= {"threads": 64, "torch": "1.0"}
    rewrite_log(ours, elsewhere)
    found = again.compare(ours, theirs).differences[-1]
    assert "threads 64 then, 1 now" in found and "torch 1.0 then, " in found and "numpy " not in found, found
    rewrite_log(ours, lambda records: records.pop(0))
    assert again.compare(ours, theirs).differences[-1] == "machine: the run has no record of what computed it"


def test_an_unfinished_run_is_not_made_again(copied, tmp_path):
    ours, _ = copied
    save_checkpoint(ours, load_checkpoint(ours) | {"complete": False})
    with pytest.raises(TinyDecoupleError, match="no completely trained model"):
        again.rerun(ours, tmp_path / "again", torch.device("cpu"), print)
    assert not (tmp_path / "again").exists(), "a rerun was begun for nothing"


def test_a_damaged_log_is_refused_before_anything_is_trained(runs, tmp_path):
    """It is what a rerun is compared with: found damaged afterwards, the whole training was in vain."""
    run = shutil.copytree(runs / "plain", tmp_path / "run")
    (run / "log.jsonl").write_text("{", encoding="utf-8")
    with pytest.raises(TinyDecoupleError, match="log.jsonl: damaged"):
        again.rerun(run, tmp_path / "again", torch.device("cpu"), print)
    assert not (tmp_path / "again").exists(), "training had begun"
