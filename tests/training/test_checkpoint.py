"""Run directories: whole files, the same configuration, or a refusal."""

import os

import pytest
import torch

import tinydecouple
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import write_json
from tinydecouple.training.checkpoint import load_checkpoint, load_model, open_run, read_config, save_checkpoint


def opened(run, config, overwrite=False):
    with open_run(run, config, overwrite):
        pass


def test_a_checkpoint_cut_off_while_it_is_written_leaves_the_last_one(tmp_path, monkeypatch):
    """Weights take seconds to write at scale: a run that is stopped in them must find what it had saved before."""
    state = {"complete": False, "step": 5, "model": {}, "tokenizer": torch.zeros(1), "log": ""}
    save_checkpoint(tmp_path, state)

    def cut_off(number):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", cut_off)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, state | {"step": 10})
    assert load_checkpoint(tmp_path)["step"] == 5, "the checkpoint is written over in place"


def test_the_same_configuration_is_taken_up_another_refused(tmp_path):
    config = {"kind": "pretrain", "train": {"learning_rate": 0.1, "seed": 1}, "pair": (1, 2)}
    opened(tmp_path / "run", config)
    (tmp_path / "run" / "log.jsonl").write_text("work", encoding="utf-8")
    opened(tmp_path / "run", config)
    other = {**config, "train": {"learning_rate": 0.2, "seed": 1}}
    with pytest.raises(TinyDecoupleError, match=r"\(train.learning_rate: stored 0.1, asked for 0.2\)"):
        opened(tmp_path / "run", other)
    deep = [{"kind": "demo", "arms": {"plain": {"strength": strength}}} for strength in (0, 1)]
    opened(tmp_path / "deep", deep[0])
    with pytest.raises(TinyDecoupleError, match=r"\(arms.plain.strength: stored 0, asked for 1\)"):
        opened(tmp_path / "deep", deep[1])
    assert (tmp_path / "run" / "log.jsonl").exists(), "a refusal must lose nothing"
    opened(tmp_path / "run", other, overwrite=True)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]
    assert read_config(tmp_path / "run")["train"]["learning_rate"] == 0.2


def test_another_version_is_refused(tmp_path, monkeypatch):
    opened(tmp_path / "run", {"kind": "demo"})
    monkeypatch.setattr(tinydecouple, "__version__", "9.9")
    for call in (lambda: read_config(tmp_path / "run"), lambda: opened(tmp_path / "run", {"kind": "demo"})):
        with pytest.raises(TinyDecoupleError, match=r"made by tinydecouple 0\.\d+\.\d+, but this is 9.9"):
            call()


@pytest.mark.parametrize("config", [None, '{"architectures": ["Other"]}', "[]", "{"])
def test_a_directory_that_is_no_run_is_never_overwritten(tmp_path, config):
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    if config:
        (tmp_path / "config.json").write_text(config, encoding="utf-8")
    with pytest.raises(TinyDecoupleError, match="exists but is not a run directory"):
        opened(tmp_path, {"kind": "demo"}, overwrite=True)
    assert (tmp_path / "thesis.txt").exists()


def test_a_run_that_was_cut_off_is_no_model(runs, tmp_path):
    """Half-trained weights must not be translated, probed or scored as if they were whole."""
    (tmp_path / "config.json").write_bytes((runs / "plain" / "config.json").read_bytes())
    save_checkpoint(tmp_path, load_checkpoint(runs / "plain") | {"complete": False})
    with pytest.raises(TinyDecoupleError, match="no completely trained model"):
        load_model(tmp_path, torch.device("cpu"))
    save_checkpoint(tmp_path, load_checkpoint(tmp_path) | {"complete": True})
    load_model(tmp_path, torch.device("cpu"))


@pytest.mark.parametrize("config", [
    '{"version": "1"}', '{"kind": "demo"}', '{"version": "0.2.0", "kind": "demo"}',
    '{"version": "0.3.0", "kind": "demo", "marker": "mine"}'])
def test_another_programs_config_makes_no_run_directory(tmp_path, config):
    """Many programs write a version and a kind into their config.json: only the marker makes it a run of ours."""
    (tmp_path / "config.json").write_text(config, encoding="utf-8")
    with pytest.raises(TinyDecoupleError, match="exists but is not a run directory"):
        opened(tmp_path, {"kind": "demo"}, overwrite=True)
    assert (tmp_path / "config.json").read_text(encoding="utf-8") == config


def test_json_is_written_as_it_reads(tmp_path):
    write_json(tmp_path / "x.json", {"text": "كتاب"})
    assert "كتاب" in (tmp_path / "x.json").read_text(encoding="utf-8"), "Arabic is escaped: nobody can read the file"


def test_a_damaged_or_missing_checkpoint(tmp_path):
    opened(tmp_path / "run", {"kind": "pretrain"})
    with pytest.raises(TinyDecoupleError, match="no completely trained model"):
        load_model(tmp_path / "run", torch.device("cpu"))
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(TinyDecoupleError, match=r"checkpoint.pt: damaged"):
        load_model(tmp_path / "run", torch.device("cpu"))
    torch.save({"another": 1}, tmp_path / "run" / "checkpoint.pt")
    with pytest.raises(TinyDecoupleError, match=r"checkpoint.pt: damaged"):
        load_model(tmp_path / "run", torch.device("cpu"))
