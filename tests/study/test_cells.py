"""One cell of a study: each arm trains with its own options, and is scored in a folder of its own."""

import json
from types import SimpleNamespace

import pytest
import torch

from tinydecouple.evaluation.score import direction
from tinydecouple.options import DecoupleOptions, TrainOptions
from tinydecouple.study import cells
from tinydecouple.study.conditions import apply, demo_arms
from tinydecouple.training.pipeline import run_corpus

CPU = torch.device("cpu")


def test_every_arm_trains_with_its_own_options_in_its_own_folder(corpus, tmp_path, monkeypatch):
    calls, said = {}, []
    monkeypatch.setattr(cells, "finetune", lambda run, start, corpus, options, decouple, device, label="":
                        calls.update({run: (start, options, decouple)}))
    arms, options, decouple = demo_arms(0.3), TrainOptions(epochs=7), DecoupleOptions(strength=0.0, layer="2")
    got = cells.train_arms(tmp_path, arms, tmp_path / "start", corpus, options, decouple, CPU, said.append)
    assert got == {name: tmp_path / name for name in ("plain", "decoupled", "random")}
    assert calls == {tmp_path / arm.name: (tmp_path / "start", *apply(arm, options, decouple)) for arm in arms}
    assert [line.split(":")[0] for line in said] == list(got)


@pytest.mark.parametrize("split, beam", [("dev", 3), ("test", 1)])
def test_a_run_is_scored_in_a_folder_named_after_the_split(runs, tmp_path, monkeypatch, split, beam):
    asked = []

    def translate(model, tokenizer, corpus, split, beam=1, label=""):
        asked.append(SimpleNamespace(split=split, beam=beam))
        return [direction("std", "a1", ["k"], ["x"], ["y"], ["z"])]

    (tmp_path / "mine").mkdir()
    for name in ("config.json", "checkpoint.pt"):
        (tmp_path / "mine" / name).write_bytes((runs / "plain" / name).read_bytes())
    monkeypatch.setattr(cells, "translate", translate)
    cells.score_run(tmp_path / "mine", run_corpus(runs / "plain"), split, beam, CPU)
    assert asked == [SimpleNamespace(split=split, beam=beam)]
    folder = tmp_path / "mine" / split
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    assert (scores["split"], scores["beam"]) == (split, beam)
    assert (folder / "translations.tsv").read_text(encoding="utf-8").splitlines()[1] == "std\ta1\tk\tx\ty\tz"
    assert not (tmp_path / "mine" / "scores.json").exists(), "scores belong beside the translations of their split"
