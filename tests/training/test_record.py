"""The record of a run: what computed each session, what it says when that changes, and no diverged run is complete."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import sentencepiece
import torch

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.model.transformer import Transformer
from tinydecouple.options import ModelOptions, TrainOptions
from tinydecouple.text.tokenizer import Tokenizer, train_tokenizer
from tinydecouple.training import record
from tinydecouple.training import train as loop
from tinydecouple.training.batches import finetuning_examples
from tinydecouple.training.checkpoint import load_checkpoint
from tinydecouple.training.train import train

CPU = torch.device("cpu")
SHORT = TrainOptions(epochs=1, batch_tokens=200)
NOW = record.machine(CPU)


@pytest.fixture
def examples(corpus, tokenizer):
    return finetuning_examples(corpus, tokenizer, "train", 1)


@pytest.fixture
def go(corpus, tokenizer, examples):
    """A function (folder, stop, options, tokeniser) that trains a tiny model, or goes on with it; returns the model."""
    dev = finetuning_examples(corpus, tokenizer, "dev", 1)[:6]

    def run(folder, stop=None, options=SHORT, tokenizer=tokenizer):
        sizes = ModelOptions(tokenizer.size, 8, 1, 1)
        model = Transformer(**asdict(sizes), generator=torch.Generator().manual_seed(0))
        train(model, tokenizer, examples, dev, options, folder, stop=stop)
        return model

    return run


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def test_each_session_leaves_its_versions_processor_and_threads(go, tmp_path, capsys):
    go(tmp_path, stop=3)
    go(tmp_path)
    first, second = record.sessions(log_of(tmp_path))
    assert (first["session"], first["step"], second["session"]) == (1, 0, 2) and 0 < second["step"] <= 3
    assert (first["torch"], first["numpy"]) == (torch.__version__, np.__version__)
    assert (first["sentencepiece"], first["threads"]) == (sentencepiece.__version__, torch.get_num_threads())
    assert first["processor"] and first["platform"] and first["device"] == "cpu" and first["python"][0] == "3"
    assert capsys.readouterr().err == "", "the same machine must be silent"
    go(tmp_path)
    assert len(record.sessions(log_of(tmp_path))) == 2, "a complete run that is opened again is no session"


def test_the_record_is_written_with_the_first_checkpoint_and_outlives_two_cuts_at_one_step(go, tmp_path):
    """A cut right after a resume leaves the step as it was: neither session's line may be lost or doubled."""
    go(tmp_path, stop=1)
    go(tmp_path, stop=2)
    go(tmp_path)
    got = [(line["session"], line["step"]) for line in record.sessions(log_of(tmp_path))]
    assert got == [(1, 0), (2, 0), (3, 1)], f"sessions and the steps they began at: {got}"


def test_threads_changed_under_a_run_are_said_in_one_line(go, tmp_path, capsys, monkeypatch):
    go(tmp_path, stop=3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    go(tmp_path)
    said = capsys.readouterr().err
    assert said == (f"{tmp_path}: begun with threads {NOW['threads']}; goes on with threads 7: the result will not be "
                    "bit for bit that of a run in one session\n"), f"got {said!r}"
    assert load_checkpoint(tmp_path)["complete"], "another machine is no reason to refuse"


@pytest.mark.parametrize("name, sure", [("torch", "will"), ("processor", "will"), ("instructions", "will"),
                                        ("device", "will"), ("numpy", "may"), ("python", "may"),
                                        ("numpy_threads", "may"), ("platform", "may")])
def test_every_part_of_the_machine_is_compared(tmp_path, capsys, name, sure):
    record.session(tmp_path, [{"session": 1, "step": 0, **NOW, name: "other"}], 5, CPU)
    said = capsys.readouterr().err
    assert f"begun with {name} other; goes on with {name} {NOW[name]}" in said and f"{sure} not be bit for bit" in said
    assert said.count("\n") == 1, f"one line expected, got {said!r}"


def test_any_earlier_session_counts_not_the_last_alone(tmp_path, capsys):
    """64 threads, then one, then one: the last two agree, but the whole is still not that of one session."""
    log = [{"session": 1, "step": 0, **NOW, "threads": 64}, {"session": 2, "step": 4, **NOW}]
    record.session(tmp_path, log, 8, CPU)
    assert "begun with threads 64" in capsys.readouterr().err
    record.session(tmp_path, [{"step": 0, "loss": 1.0}], 8, CPU)
    assert capsys.readouterr().err == "", "a log of an earlier version has no sessions to compare with"


def test_a_run_is_not_continued_with_other_pieces(go, corpus, tokenizer, tmp_path):
    """Weights of piece 300 mean nothing under a tokeniser that calls another piece 300."""
    few = replace(corpus, texts=dict([*corpus.texts.items()][::-2]))
    other = Tokenizer(train_tokenizer(few, 600))
    assert other.size == tokenizer.size and other.proto != tokenizer.proto
    go(tmp_path, stop=3)
    with pytest.raises(TinyDecoupleError, match="begun with another tokeniser"):
        go(tmp_path, tokenizer=other)
    go(tmp_path)


@pytest.mark.parametrize("when", ["last", "before a checkpoint"])
def test_weights_that_diverged_are_never_a_checkpoint(go, examples, tmp_path, monkeypatch, when):
    """The loss of a step is taken before its update: an update that ruins the weights shows only afterwards."""
    total = len(list(loop.batches_from(0, examples, SHORT)))
    ruined = total - 1 if when == "last" else 3
    real = loop.train_step

    def step(model, optimizer, batch, options, cores, number, of):
        done = real(model, optimizer, batch, options, cores, number, of)
        if number == ruined:
            with torch.no_grad():
                model.embedding.weight[0, 0] = float("inf")
        return done

    monkeypatch.setattr(loop, "train_step", step)
    with pytest.raises(TinyDecoupleError, match=r"(the loss is nan|not a finite number) at step \d+; lower `learning"):
        go(tmp_path)
    state = load_checkpoint(tmp_path)
    assert not state["complete"], "a diverged run passes for a trained one"
    assert all(bool(w.isfinite().all()) for w in state["model"].values()), "the checkpoint cannot be gone on from"
    monkeypatch.setattr(loop, "train_step", real)
    go(tmp_path)
    assert load_checkpoint(tmp_path)["complete"]


def test_a_weight_that_is_not_finite_counts_even_where_the_loss_is(model):
    """A piece that dev does not hold, or a dead unit, can be infinite without showing in the loss."""
    record.require_finite(1.0, 3, model)
    with torch.no_grad():
        next(p for p in model.parameters() if p.dim() == 1)[-1] = float("nan")
    with pytest.raises(TinyDecoupleError, match="a weight is not a finite number at step 3"):
        record.require_finite(1.0, 3, model)


def test_the_weights_are_looked_at_wherever_the_loss_on_dev_is(go, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(loop, "require_finite", lambda loss, step, model=None: seen.append((step, model is not None)))
    go(tmp_path)
    checked = [line["step"] for line in log_of(tmp_path) if "dev_loss" in line]
    assert [step for step, whole in seen if whole] == checked, "likely: the last step's weights are not checked"


def test_one_bit_of_one_weight_changes_the_hash():
    weights = {"a": torch.ones(3, 2), "b": torch.zeros(2)}
    first = record.weights_sha256(weights)
    assert first == record.weights_sha256(dict(reversed(weights.items()))), "the order of names is no difference"
    for changed in ({**weights, "b": torch.tensor([0.0, -0.0])}, {**weights, "a": torch.ones(2, 3)},
                    {"a": weights["a"], "c": weights["b"]}):
        assert record.weights_sha256(changed) != first
