"""Runs that two processes want, that lose their process, their disk or a bit, and folders that are not only a run's."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from tinydecouple import files as files_module
from tinydecouple.cli import main
from tinydecouple.files import LOCK, locked, write
from tinydecouple.training.checkpoint import load_checkpoint, load_model

resource = pytest.importorskip("resource", reason="Windows has other limits and signals")
CPU = torch.device("cpu")
TINY = ["--corpus", "family", "--keys", "60", "--per-variety", "10", "--trickle", "2", "--varieties", "a1,b1",
        "--width", "8", "--blocks", "1", "--heads", "2", "--vocabulary", "600", "--epochs", "1",
        "--batch-tokens", "256"]
HOLD = "import pathlib, sys\nfrom tinydecouple.files import locked\nwith locked(pathlib.Path(sys.argv[1])):\n" \
       "    print('held', flush=True)\n    sys.stdin.read()\n"


def fails(capsys, *argv):
    """Run a command that must fail; returns its one line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in argv])
    err = capsys.readouterr().err
    assert stop.value.code == 2 and err.count("\n") == 1, f"exit code {stop.value.code}, stderr: {err}"
    return err


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def copy(runs, tmp_path):
    """A pretrained run and a fine-tuned one that may be spoilt."""
    shutil.copytree(runs, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def holder():
    """A function (folder): another process that locks it until it is killed or its input closed."""
    started = []

    def hold(folder):
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process
    yield hold
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.mark.parametrize("extra", [[], ["--seed", "7"], ["--overwrite"], ["--seed", "7", "--overwrite"]])
def test_a_second_process_is_refused_and_harms_nothing(holder, tmp_path, capsys, extra):
    run = tmp_path / "run"
    main(["pretrain", "--run", str(run), *TINY])
    before = files(run)
    process = holder(run)
    assert "another process" in fails(capsys, "pretrain", "--run", run, *TINY, *extra)
    assert files(run) == before | {LOCK: b""}, "the second process changed the run"
    process.kill()  # the lock goes with its process, though its file stays
    process.wait()
    assert (run / LOCK).exists()
    main(["pretrain", "--run", str(run), *TINY, "--overwrite"])
    assert not (run / LOCK).exists()


def test_an_overwrite_waits_for_nobody_who_writes_into_a_folder_of_the_run(holder, copy, capsys):
    """Such as an evaluation, whose scores would stand in the new run."""
    (copy / "pretrained" / "dev").mkdir()
    before = files(copy / "pretrained")
    holder(copy / "pretrained" / "dev")
    assert "another process" in fails(capsys, "pretrain", "--run", copy / "pretrained", *TINY, "--overwrite")
    assert files(copy / "pretrained") == before | {f"dev/{LOCK}": b""}


def test_a_worker_does_not_inherit_the_lock(holder, tmp_path):
    """A lock of the open file, as flock's is, would stay with a worker that outlives its parent."""
    code = HOLD.split("    print")[0] + ("    worker = os.fork()\n    if not worker:\n        os.close(1)\n"
                                         "        time.sleep(60)\n        os._exit(0)\n"
                                         "    print(worker, flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)\n")
    parent = subprocess.run([sys.executable, "-c", f"import os, signal, time\n{code}", str(tmp_path / "run")],
                            stdout=subprocess.PIPE)
    try:
        assert parent.returncode == -signal.SIGKILL
        holder(tmp_path / "run")
    finally:
        os.kill(int(parent.stdout), signal.SIGKILL)


def test_a_lock_whose_file_is_deleted_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    """Its holder deletes it at its end: who had opened it before would lock a file that nobody else can find."""
    real, calls = files_module._lock, []

    def lock(file):
        if not calls:
            (tmp_path / LOCK).unlink()
        calls.append(real(file))

    monkeypatch.setattr(files_module, "_lock", lock)
    with locked(tmp_path):
        assert (tmp_path / LOCK).exists() and len(calls) == 2, "the lock is one on a file that is gone"


def test_two_locks_of_one_process_are_one(tmp_path, holder):
    with locked(tmp_path / "run"):
        with locked(tmp_path / "run"):
            pass
        assert (tmp_path / "run" / LOCK).exists(), "the inner block gave the outer one's lock away"
    assert not (tmp_path / "run" / LOCK).exists()


@pytest.mark.parametrize("place", ["thesis.txt", "notes/thesis.txt", "dev/thesis.txt", "dev/config.json", ".hidden",
                                   "table.md/thesis.txt", "plain/table.md"])
def test_a_file_that_is_not_the_runs_is_named_and_nothing_deleted(copy, capsys, place):
    run = copy / "pretrained"
    (run / place).parent.mkdir(exist_ok=True)
    (run / place).write_text("mine", encoding="utf-8")
    before = files(run)
    assert place.split("/")[0] in fails(capsys, "pretrain", "--run", run, *TINY, "--overwrite")
    assert files(run) == before, "something was deleted, or left behind, before the refusal"


@pytest.mark.parametrize("config", ['{"version": "0.2.0", "kind": "pretrain"}', '{"version": "0.3.0", "kind": "demo"}'])
def test_a_config_that_looks_like_ours_makes_no_run(tmp_path, capsys, monkeypatch, config):
    (tmp_path / "config.json").write_text(config, encoding="utf-8")
    (tmp_path / "checkpoint.pt").write_text("mine", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    before = files(tmp_path)
    assert "not a run directory" in fails(capsys, "pretrain", "--run", ".", *TINY, "--overwrite")
    assert files(tmp_path) == before


def test_overwrite_deletes_what_every_command_left(tmp_path, capsys):
    """Of a file that a command writes and `overwrite` does not know, it would say that it is no part of the run."""
    run = tmp_path / "run"
    for extra in ([], ["--overwrite", "--seed", "2"]):
        main(["pretrain", "--run", str(run), *TINY, *extra])
        fresh = set(files(run))
        main(["evaluate", str(run), "--split", "test"])
        main(["probe", str(run), "--per-variety", "10", "--refits", "2"])
    main(["pretrain", "--run", str(run), *TINY, "--overwrite"])
    assert set(files(run)) == fresh and {path.name for path in run.iterdir()} == fresh, "folders are left"


def test_overwrite_follows_no_link_and_believes_no_name(copy, tmp_path, capsys):
    """An arm whose name leads out of the demo is none; what a link points to is not the run's."""
    main(["pretrain", "--run", str(tmp_path / "run"), *TINY])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "table.md").write_text("mine", encoding="utf-8")
    config = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    write(tmp_path / "run" / "config.json", json.dumps({**config, "kind": "demo", "arms": [
        {"name": "../out"}, {"name": str(tmp_path / "out")}, {"name": ".."}, {"name": 3}]}))
    (tmp_path / "run" / "dev").symlink_to(tmp_path / "out")
    assert "dev" in fails(capsys, "pretrain", "--run", tmp_path / "run", *TINY, "--overwrite")
    (tmp_path / "run" / "dev").unlink()
    (tmp_path / "run" / "table.md").symlink_to(tmp_path / "out" / "table.md")
    main(["pretrain", "--run", str(tmp_path / "run"), *TINY, "--overwrite"])
    assert (tmp_path / "out" / "table.md").read_text(encoding="utf-8") == "mine"


def test_a_lock_that_is_a_link_makes_no_file_elsewhere(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK).symlink_to(tmp_path / "elsewhere")
    assert LOCK in fails(capsys, "pretrain", "--run", tmp_path / "run", *TINY)
    assert not (tmp_path / "elsewhere").exists()


def test_a_corpus_inside_the_run_is_not_overwritten(copy, capsys):
    """Though it bears a name of the run's own files."""
    main(["evaluate", str(copy / "pretrained")])
    place = copy / "pretrained" / "dev" / "translations.tsv"
    place.write_text("key\tvariety\ttext\n" + "".join(
        f"k{i}\t{v}\t{v} says {i * 7919}\n" for i in range(60) for v in ("std", "dia")), encoding="utf-8")
    before = files(copy)
    said = fails(capsys, "pretrain", "--corpus", place, "--standard", "std", "--run", copy / "pretrained",
                 "--overwrite")
    assert "--corpus" in said and files(copy) == before


def test_one_flipped_bit_is_found_wherever_it_is(copy, capsys):
    """The file's SHA-256 stands at its end; the last state of a complete run's training is taken instead."""
    path, rng = copy / "pretrained" / "checkpoint.pt", np.random.default_rng(0)
    whole = path.read_bytes()
    for place in [0, len(whole) - 1, *rng.integers(len(whole), size=30)]:
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(spoilt)
        said = fails(capsys, "evaluate", copy / "pretrained")
        assert "checkpoint.pt: damaged" in said and "goes on from step" in said, f"a bit of byte {place}: {said}"


def test_the_checkpoint_before_stands_in_for_a_damaged_one(tmp_path, capsys):
    run, argv = tmp_path / "run", ["pretrain", "--run", str(tmp_path / "run"), *TINY]
    main(argv)
    whole = load_checkpoint(run)
    for _ in range(2):  # twice: the damaged one must not take the place of the one before
        (run / "checkpoint.pt").write_bytes(b"PK")
        capsys.readouterr()
        main(argv)
        assert "checkpoint.pt: damaged" in (said := capsys.readouterr().err) and "the one before" in said
        model, again = load_checkpoint(run)["model"], load_checkpoint(run)
        assert again["complete"] and all(torch.equal(whole["model"][name], model[name]) for name in model)
    for name in ("checkpoint.pt", "checkpoint-before.pt"):
        (run / name).write_bytes(b"PK")
    assert "run again with --overwrite" in fails(capsys, *argv)
    main([*argv, "--overwrite"])
    assert load_checkpoint(run)["complete"]


def test_a_checkpoint_of_another_configuration_is_refused(copy, capsys):
    shutil.copy(copy / "pretrained" / "checkpoint.pt", copy / "plain" / "checkpoint.pt")
    assert "belongs to another configuration" in fails(capsys, "evaluate", copy / "plain")


@pytest.mark.parametrize("most", [1, 30_000])
def test_a_limit_on_file_sizes(tmp_path, most):
    """A real limit of the system, in a process of its own: one line that names the file, and nothing half-written."""
    run = tmp_path / "run"
    argv = [sys.executable, "-m", "tinydecouple", "pretrain", "--run", str(run), *TINY]
    done = subprocess.run(argv, capture_output=True, text=True, preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY)))
    assert done.returncode == 2 and "File too large" in done.stderr, done.stderr[-500:]
    assert done.stderr.count("\n") == 1 and str(run) in done.stderr, done.stderr
    assert not [path for path in run.rglob("*") if path.name not in ("config.json", "log.jsonl", "checkpoint.pt")]
    main(argv[3:])
    load_model(run, CPU)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_one_may_not_write_to(copy, capsys):
    (copy / "pretrained").chmod(0o555)
    try:
        assert "Permission denied" in fails(capsys, "evaluate", copy / "pretrained")
    finally:
        (copy / "pretrained").chmod(0o755)


@pytest.mark.slow
def test_killed_again_and_again(tmp_path):
    """SIGKILL after a time drawn at random, until the command comes to its end: nothing is lost, nothing is other."""
    rng = np.random.default_rng(0)
    argv = [sys.executable, "-m", "tinydecouple", "demo", *TINY, "--pretrain-epochs", "1", "--layer", "1",
            "--refreshes", "4", "--probe-states", "64", "--probe-steps", "5", "--arms", "plain,decoupled", "--run"]
    started = time.monotonic()
    subprocess.run([*argv, str(tmp_path / "whole")], check=True, capture_output=True)
    whole, kills = time.monotonic() - started, 0
    for number in range(3):
        for attempt in range(30):
            process = subprocess.Popen([*argv, str(tmp_path / f"cut{number}")], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            try:
                process.wait(timeout=whole * (rng.uniform(0.4, 1.5) if attempt else 0.4))  # the first is killed
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
            else:
                break
        assert process.returncode == 0, f"after {kills} kills: exit code {process.returncode}"
        got, expected = (files(tmp_path / name) for name in (f"cut{number}", "whole"))
        assert got.keys() == expected.keys()
        for arm in ("pretrained", "plain", "decoupled"):
            one, two = (load_checkpoint(tmp_path / name / arm) for name in (f"cut{number}", "whole"))
            assert all(torch.equal(one["model"][name], two["model"][name]) for name in one["model"])
        assert got["table.md"] == expected["table.md"] and got["scores.json"] == expected["scores.json"]
    assert kills > 2, "nothing was killed: is the machine so uneven that a command takes 0.4 of its own time?"


def test_a_demo_with_a_table_and_a_damaged_arm_is_mended(tmp_path, capsys):
    """The table alone does not make it complete: a file may be lost after it was written."""
    argv = ["demo", "--run", str(tmp_path / "demo"), *TINY, "--pretrain-epochs", "1", "--layer", "1",
            "--refreshes", "2", "--probe-states", "64", "--probe-steps", "2", "--arms", "plain"]
    main(argv)
    (tmp_path / "demo" / "plain" / "checkpoint.pt").write_bytes(b"PK")
    (tmp_path / "demo" / "pretrained" / "log.jsonl").unlink()
    main(argv)
    load_model(tmp_path / "demo" / "plain", CPU)
    assert (tmp_path / "demo" / "pretrained" / "log.jsonl").exists()
