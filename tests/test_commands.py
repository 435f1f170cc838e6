"""Every option of a command reaches the function that it is for: recorders stand in for the functions."""

import inspect
import io
import json
import sys
from collections import defaultdict

import numpy as np
import pytest

from tinydecouple import commands
from tinydecouple.cli import main
from tinydecouple.evaluation.probe_report import States
from tinydecouple.evaluation.score import direction
from tinydecouple.model.decode import decode
from tinydecouple.training.checkpoint import load_model


@pytest.fixture
def recorder(monkeypatch):
    """A function (name, result): commands.NAME only notes its arguments from now on; returns the list of notes."""
    def record(name, result=lambda **arguments: None):
        real, seen = getattr(commands, name), []

        def note(*args, **kwargs):
            bound = inspect.signature(real).bind(*args, **kwargs)
            bound.apply_defaults()
            seen.append(bound.arguments)
            return result(**bound.arguments)
        monkeypatch.setattr(commands, name, note)
        return seen
    return record


def test_pretrain_and_finetune(recorder, runs, tmp_path):
    seen = recorder("pretrain"), recorder("finetune")
    tiny = ["--corpus", "family", "--keys", "60", "--per-variety", "10", "--noise", "0.2", "--vocabulary", "600",
            "--width", "8", "--heads", "2"]
    main(["pretrain", "--run", str(tmp_path / "p"), "--epochs", "7", "--overwrite", *tiny])
    main(["finetune", "--from", str(runs / "pretrained"), "--run", str(tmp_path / "f"), "--overwrite", "--seed", "5",
          "--strength", "0.7", "--penalised", "dialects"])
    (pre,), (fine,) = seen
    assert (pre["run"], pre["overwrite"], pre["options"].epochs) == (tmp_path / "p", True, 7)
    assert (pre["corpus_options"].noise, pre["model_options"].width, pre["corpus"].standard) == (0.2, 8, "std")
    assert (fine["run"], fine["start"], fine["overwrite"]) == (tmp_path / "f", runs / "pretrained", True)
    assert (fine["options"].seed, fine["decouple"].strength, fine["decouple"].penalised) == (5, 0.7, "dialects")
    main(["finetune", "--from", str(runs / "pretrained"), "--run", str(tmp_path / "f")])
    assert not seen[1][1]["overwrite"], "nothing may be overwritten that nobody asked to overwrite"


def test_demo(recorder, tmp_path, monkeypatch):
    """Everything but the training itself: what each stage is handed, and the seed of the interval."""
    seeds, real = [], commands.report.compare
    stages = {name: recorder(name) for name in ("pretrain", "train_arms")}
    scored = recorder("score_run", lambda run, **rest: [direction("std", "a1", ["k"], ["x"], ["yutdo"], [run.name])])
    monkeypatch.setattr(commands.report, "compare", lambda systems, corpus, seed: (
        seeds.append(seed) or real(systems, corpus, seed)))
    monkeypatch.setattr(commands.figures, "draw", lambda *args: [])
    run = tmp_path / "demo"
    main(["demo", "--run", str(run), "--corpus", "family", "--keys", "60", "--per-variety", "10", "--vocabulary", "600",
          "--varieties", "a1", "--seed", "7", "--pretrain-seed", "5", "--beam", "3", "--arms", "plain,random"])
    (pre,), (arms,) = stages.values()
    assert (pre["run"], pre["options"].seed, arms["start"], arms["options"].seed) == \
        (run / "pretrained", 5, run / "pretrained", 7)
    assert [arm.name for arm in arms["arms"]] == ["plain", "random"] and arms["decouple"].strength == 0
    assert [(call["run"], call["split"], call["beam"]) for call in scored] == \
        [(run / "plain", "test", 3), (run / "random", "test", 3)]
    assert seeds == [7], f"the interval is drawn by seed {seeds}, asked for 7"


def test_translate(recorder, runs, monkeypatch, capsys):
    """The prompt is `<src> pieces <tgt>`; a model that repeats it gives the sentence back."""
    seen = recorder("decode", lambda prompts, **rest: prompts)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"yutdo hokbo\n\nx\n"), encoding="utf-8"))
    main(["translate", str(runs / "plain"), "--source", "std", "--target", "a2", "--beam", "3"])
    _, tokenizer, _ = load_model(runs / "plain", seen[0]["model"].embedding.weight.device)
    assert seen[0]["beam"] == 3 and seen[0]["end"] == tokenizer.end
    for prompt in seen[0]["prompts"]:
        assert (prompt[0], prompt[-1]) == (tokenizer.tag("std"), tokenizer.tag("a2")), "likely: source, target swapped"
    assert capsys.readouterr().out == "yutdo hokbo\n\nx\n"
    assert inspect.signature(decode).parameters["beam"].default == 1, "greedy unless asked"


def test_evaluate_compares_with_the_run_named_against(recorder, runs, tmp_path, capsys):
    for name in ("pretrained", "plain"):
        (tmp_path / name).mkdir()
        for file in ("config.json", "checkpoint.pt"):
            (tmp_path / name / file).write_bytes((runs / name / file).read_bytes())
    outputs = {"pretrained": "zz", "plain": "yutdo"}
    seen = recorder("score_run", lambda run, **rest: [
        direction("std", "a1", ["k"], ["x"], ["yutdo"], [outputs[run.name]])])
    new, old = tmp_path / "plain", tmp_path / "pretrained"
    main(["evaluate", str(new), "--against", str(old), "--split", "test", "--beam", "4"])
    assert [(s["run"], s["split"], s["beam"]) for s in seen] == [(old, "test", 4), (new, "test", 4)]
    out = " ".join(capsys.readouterr().out.split())
    assert "test split, 1 keys" in out, "the table names another split"
    assert f"{new} - {old} |" in out and "| +100.0 (+100.0 to +100.0) |" in out, "likely: the difference has its sign"
    assert (new / "test" / "table.md").exists() and not (old / "test").exists()


@pytest.fixture
def states():
    """Two layers of 60 states, three to a sentence."""
    h = np.random.default_rng(0).normal(size=(2, 60, 4))
    return States(dict(enumerate(h)), np.arange(60) % 3, np.arange(60) // 3, ["std", "a1", "a2"])


# What probe_layer might find: every number 0.5, but for these.
FOUND = defaultdict(lambda: 0.5, states=60, angles=np.zeros((3, 3)), plane=np.zeros((60, 2)))


def test_probe_of_a_run(recorder, runs, states, tmp_path, monkeypatch):
    monkeypatch.setattr(commands.figures, "draw_probing", lambda *args: [])
    gathered = recorder("gather_states", lambda **rest: states)
    probed = recorder("probe_layer", lambda **rest: FOUND)
    start = np.random.default_rng(9).bit_generator.state
    asked = ["--split", "test", "--per-variety", "17", "--refits", "3", "--seed", "9"]
    for out in ([], ["--out", str(tmp_path / "elsewhere")]):
        main(["probe", str(runs / "plain"), *asked, *out])
    assert (gathered[0]["split"], gathered[0]["per_variety"]) == ("test", 17)
    assert gathered[0]["rng"].bit_generator.state == start, "the seed does not reach the draw of sentences"
    assert [call["refits"] for call in probed] == [3] * 4
    for folder in (runs / "plain" / "probe-test", tmp_path / "elsewhere"):
        assert (folder / "table.md").exists(), f"nothing in {folder}"
        scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        assert scores["names"] == states.names and set(scores["layers"]) == {"0", "1"}


def test_probe_of_a_file(recorder, states, tmp_path, capsys):
    """The seed decides the draws; the standard named is class 0; without --out nothing is written."""
    seen = recorder("probe_layer", lambda **rest: FOUND)
    np.savez(tmp_path / "s.npz", h=states.h[1], y=(states.y + 1) % 3, names=["a2", "std", "a1"], keys=states.keys)
    before = sorted(tmp_path.iterdir())
    main(["probe", "--states", str(tmp_path / "s.npz"), "--standard", "std", "--seed", "7"])
    assert seen[0]["rng"].bit_generator.state == np.random.default_rng(7).bit_generator.state
    assert seen[0]["states"].names[0] == "std" and np.array_equal(seen[0]["states"].y == 0, states.y == 0)
    assert "std against the rest, n = 60 states" in " ".join(capsys.readouterr().out.split())
    assert sorted(tmp_path.iterdir()) == before
