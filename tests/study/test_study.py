"""A study stops and resumes anywhere, and its cells are the same however they were made."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tinydecouple
from tinydecouple.cli import main
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.model.decode import Contrasted
from tinydecouple.model.transformer import Transformer
from tinydecouple.options import filled
from tinydecouple.study import cells as making
from tinydecouple.study import runner
from tinydecouple.study.cells import final_cell, run_cell
from tinydecouple.study.measures import read_sentences
from tinydecouple.study.plan import read_plan
from tinydecouple.study.records import cell_folder, read_cell
from tinydecouple.study.runner import end_bias, run_plan
from tinydecouple.study.status import choose, read_records, status
from tinydecouple.text.readers import load_corpus
from tinydecouple.training.checkpoint import load_checkpoint, load_config, load_model
from tinydecouple.training.decoupler import Decoupler

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def made(plan, tmp_path_factory):
    """A folder with all cells of the tiny plan; do not write into it."""
    run = tmp_path_factory.mktemp("study")
    for cell in plan.cells():
        run_cell(run, cell)
    return run


@pytest.fixture
def ours(made, tmp_path):
    """A copy of it to write into."""
    return shutil.copytree(made, tmp_path / "ours")


def same_cell(one, two):
    a, b = (json.loads((folder / "cell.json").read_text(encoding="utf-8")) for folder in (one, two))
    arrays = [read_sentences(folder / "dev.npz") for folder in (one, two)]
    return (all(a[name] == b[name] for name in ("configuration", "scores", "probes", "length_by_end_bias", "steps"))
            and all(np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0]))


def test_a_cell_holds_what_its_report_needs(made, plan):
    cell = next(cell for cell in plan.cells() if cell.name == "tiny/paper/1")
    folder = cell_folder(made, cell)
    record, counts = read_cell(folder, cell), read_sentences(folder / "dev.npz")
    corpus = load_corpus(cell.corpus)
    assert len(counts["directions"]) == 2 * 3 + 2 and set(counts["keys"]) == set(corpus.keys("dev"))
    assert counts["statistics"].shape == (8 * 6, 24) and counts["statistics"].dtype == np.int64
    for place, name in enumerate(counts["directions"]):  # the counts give the scores back
        mine = counts["direction"] == place
        score = record["scores"]["directions"][name]
        assert score["exact_match_percent"] == 100 * counts["exact"][mine].mean()
        ratio = counts["output_tokens"][mine].sum() / counts["reference_tokens"][mine].sum()
        assert score["length_ratio"] == pytest.approx(ratio)
    into = record["scores"]["directions"]["std -> a1"]
    kinds = counts["word_kinds"][counts["direction"] == 0].sum(axis=0)[:, 0]
    shares = [into[f"words_{kind}_percent"] for kind in ("reference", "standard", "dialect", "other_dialects", "none")]
    np.testing.assert_allclose(shares, 100 * kinds / max(1, kinds.sum()))
    assert {"precision_percent", "recall_percent", "region_percent", "reference_region_percent"} <= set(into)
    assert record["versions"]["tinydecouple"] and record["processor"] and record["corpus_sha256"] == corpus.fingerprint
    assert {"training", "translating"} <= set(record["seconds"])
    assert [point["end_bias"] for point in record["length_by_end_bias"]] == [-1, 0, 1]
    probe = record["probes"]["1"]
    assert {"code_bits", "null_bits", "entropy_bits", "states", "angle_degrees", "angle_null_degrees"} <= set(probe)
    assert "energy_penalised_percent" in probe


def test_conditions_of_a_seed_share_its_pretrained_run(made, plan):
    assert len(list((made / "pretrained").iterdir())) == len(plan.seeds)
    assert not list((made / "unfinished").iterdir()), "what was made elsewhere was not renamed"


def test_a_cell_that_was_cut_off_leaves_nothing_under_its_name(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(making, "translate", lambda *args, **told: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_cell(tmp_path, next(plan.cells()))
    assert not cell_folder(tmp_path, next(plan.cells())).exists(), "half a cell has the name of a whole one"
    assert len(list((tmp_path / "pretrained").iterdir())) == 1, "what was whole is lost"


def test_workers_go_on_after_a_kill_and_past_a_cell_that_fails_and_leave_the_same_cells(made, plan, write_plan,
                                                                                        tmp_path):
    """In processes of their own; what the corpus rules out is found there, and named with its reason."""
    bad = {"like": "all-varieties-1", "options": {"one": 9}}
    cells = [c for c in read_plan(write_plan(conditions=[bad, "plain", "paper"])).cells() if c.seed == 1]
    there = cell_folder(tmp_path, cells[1])
    shutil.copytree(cell_folder(made, cells[1]), there)
    left = tmp_path / "unfinished" / "1-killed"  # as kill -9 leaves it
    left.mkdir(parents=True)
    with pytest.raises(TinyDecoupleError, match="cell tiny/all-varieties-1/1: `one` 9: the family has varieties 0 to"):
        run_plan(tmp_path, cells, workers=2)
    for cell in cells[1:]:
        assert same_cell(cell_folder(made, cell), cell_folder(tmp_path, cell)), f"{cell.name} depends on who made it"
    assert list((tmp_path / "unfinished").iterdir()) == [left], "another worker's folder is not ours to clean"


def test_two_workers_that_take_the_same_cell_do_no_harm(made, plan, tmp_path, monkeypatch):
    """The other one is faster: its cell and its pretrained run stay, and ours is dropped."""
    cell = next(plan.cells())
    folder, theirs = cell_folder(tmp_path, cell), cell_folder(made, cell)

    def slow(path, record, device, write=making.write_record):
        write(path, record, device)
        shutil.copytree(theirs, folder)

    monkeypatch.setattr(making, "write_record", slow)
    run_cell(tmp_path, cell)
    assert (folder / "cell.json").read_bytes() == (theirs / "cell.json").read_bytes()
    assert not list((tmp_path / "unfinished").iterdir())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="xargs and sh")
def test_the_protocols_ways_to_hand_cells_to_others_make_the_same_cells(made, plan, write_plan, tmp_path):
    """xargs makes two at a time, of which two pretrain the same checkpoint; a SLURM task makes those of its seed."""
    page = (ROOT / "tutorials" / "PROTOCOL.md").read_text(encoding="utf-8")
    xargs, slurm = (block.replace("--plan small", f"--plan {write_plan()}").replace("runs/small", str(tmp_path))
                    .replace("trained-through", "tiny").replace("python ", f"{sys.executable} ")
                    for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "SLURM_ARRAY_TASK_ID": "2"}

    def shell(script):
        done = subprocess.run(["sh", "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    shell(xargs)
    of_the_task = [cell_folder(tmp_path, cell) for cell in plan.cells() if cell.seed == 2]
    for folder in of_the_task:
        shutil.rmtree(folder)
    shell(slurm)
    assert all(same_cell(cell_folder(made, cell), cell_folder(tmp_path, cell)) for cell in plan.cells())
    assert not list((tmp_path / "unfinished").iterdir())


def test_a_cell_that_is_there_is_not_made_again(ours, plan, monkeypatch):
    monkeypatch.setattr(runner, "work_off", lambda run, jobs, workers, total: calls.append(jobs))
    calls = []
    run_plan(ours, list(plan.cells()), 1)
    assert calls == [[]]
    monkeypatch.setattr(making, "finetune", lambda *args: 1 / 0)
    run_cell(ours, next(plan.cells()))


@pytest.mark.parametrize("file", ["cell.json", "dev.npz", "checkpoint.pt"])
def test_a_damaged_cell_is_named_and_made_again_on_request(ours, plan, monkeypatch, file):
    cell = list(plan.cells())[1]
    path = cell_folder(ours, cell) / file
    path.write_bytes(path.read_bytes()[:-10])
    for call in (lambda: run_plan(ours, list(plan.cells()), 1), lambda: run_cell(ours, cell)):
        with pytest.raises(TinyDecoupleError, match=rf"cell {cell.name}: damaged in .*; `rerun` it"):
            call()
    jobs = []
    monkeypatch.setattr(runner, "work_off", lambda run, asked, workers, total: jobs.extend(asked))
    run_plan(ours, list(plan.cells()), 1, rerun=True)
    assert [job.name for job in jobs] == [f"cell {cell.name}"] and not path.parent.exists()


def test_a_cell_of_another_configuration_is_not_taken_for_ours(ours, write_plan):
    other = read_plan(write_plan(conditions=["plain", {"like": "paper", "options": {"strength": 9}}]))
    with pytest.raises(TinyDecoupleError, match=r"tiny/paper/1: made with another configuration \(decouple.strength: "
                                                "stored 0.5, asked for 9"):
        run_plan(ours, list(other.cells()), 1)


def test_the_final_read_is_of_fresh_keys_once_with_the_arms_own_bias(ours, plan, monkeypatch):
    cell = next(plan.cells())
    fresh = making.fresh_corpus
    monkeypatch.setattr(making, "fresh_corpus", lambda corpus, options, number: fresh(corpus, options, number, size=7))
    asked, translate = [], making.translate
    monkeypatch.setattr(making, "translate", lambda *args, **told: (
        asked.append(told.get("end_bias", 0.0)) or translate(*args, **told)))
    final_cell(ours, cell, 1, end_bias=0.5)
    folder = cell_folder(ours, cell) / "final-1"
    record, counts = (json.loads((folder / "final.json").read_text(encoding="utf-8")),
                      [read_sentences(folder / f"{name}.npz") for name in ("test", "length")])
    assert len(counts[0]["keys"]) == 7 and set(counts[0]["keys"]).isdisjoint(load_corpus(cell.corpus).texts)
    assert record["end_bias"] == 0.5 and list(record["length_controlled"]["means"]) == ["std -> dialect"]
    assert asked == [0.0, 0.5], "once without a bias, once with the arm's"
    monkeypatch.setattr(making, "translate", lambda *args, **told: 1 / 0)
    final_cell(ours, cell, 1, end_bias=0.5)  # there already
    read_cell(cell_folder(ours, cell), cell)


def test_the_bias_is_the_one_at_which_the_arms_seeds_have_length_one_together(plan):
    """Planted: ratios 1.3, 1.1, 0.9 and 1.5, 1.3, 1.1 at -1, 0, 1 have the means 1.4, 1.2 and 1.0: bias 1."""
    def record(at_zero, step=0.2):
        return {"length_by_end_bias": [{"end_bias": b, "length_ratio": at_zero - step * b} for b in (-1, 0, 1)]}

    cell = next(plan.cells())
    records = {replace(cell, seed=1).name: record(1.1), replace(cell, seed=2).name: record(1.3)}
    assert end_bias(plan, records, cell) == 1.0
    records[replace(cell, seed=2).name] = record(0.8)
    assert end_bias(plan, records, cell) == pytest.approx(-0.25)
    records[replace(cell, seed=2).name] = record(9)
    assert end_bias(plan, records, cell) == 1.0, "outside of what was tried, the nearest"


@pytest.mark.parametrize("change, says", [
    ({"processor": "Z80"}, "differ in the processor: tiny/plain/1 has .*, tiny/plain/2 has Z80"),
    ({"versions": {"tinydecouple": "0"}}, "differ in the version of tinydecouple"),
    ({"corpus_sha256": "0"}, "differ in the corpus of tiny")])
def test_cells_that_do_not_compare_are_named(ours, plan, change, says):
    cell = list(plan.cells())[2]
    path = cell_folder(ours, cell) / "cell.json"
    assert len(read_records(ours, plan)) == 4
    record = json.loads(path.read_text(encoding="utf-8"))
    record["versions"] |= change.pop("versions", {})
    path.write_text(json.dumps(record | change), encoding="utf-8")
    with pytest.raises(TinyDecoupleError, match=says):
        read_records(ours, plan)


def test_what_is_missing_is_named_and_counted(ours, plan):
    shutil.rmtree(cell_folder(ours, list(plan.cells())[3]))
    with pytest.raises(TinyDecoupleError, match="cell tiny/paper/2 is missing"):
        read_records(ours, plan)
    rows = status(ours, plan).splitlines()
    assert [row.split("|")[2].strip() for row in rows[2:]] == ["2/2", "1/2"]


def test_the_best_trial_is_chosen_by_its_mean_over_seeds(write_plan):
    """Planted: trial 2 has the best single score, trial 3 the best mean."""
    plan = read_plan(write_plan(trials={"count": 3, "space": {"epochs": [4, 5]}}))
    planted = {"plain+1": (1, 1), "plain+2": (9, 0), "plain+3": (5, 5), "paper+1": (3, 3), "paper+2": (0, 0),
               "paper+3": (1, 1)}
    records = {cell.name: {"scores": {"means": {"into": {"chrf++": planted[cell.arm.name][cell.seed - 1]}}}}
               for cell in plan.cells()}
    best, table = choose(records, plan)
    assert best["tiny"]["plain"]["epochs"] == plan.trials["plain"]["plain+3"]["epochs"]
    assert "epochs" not in best["tiny"]["paper"] and len(table.splitlines()) == 2 + 6


def test_the_command_names_the_cells_that_a_plan_has(write_plan, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["study", "--plan", write_plan(), "--run", str(tmp_path), "--cell", "odd", "1"])
    assert stopped.value.code == 2
    assert "--cell: condition 'odd' is not in the plan; expected one of plain, paper" in capsys.readouterr().err


def test_a_finished_study_shows_its_table(ours, write_plan, capsys):
    main(["study", "--plan", write_plan(), "--run", str(ours)])
    assert "| tiny, paper" in capsys.readouterr().out


def test_the_penalised_basis_is_kept_in_a_finished_run(made, plan):
    plain, paper = (load_checkpoint(cell_folder(made, cell)) for cell in list(plan.cells())[:2])
    assert plain["decouplers"] == {} and paper["decouplers"][1]["basis"].shape == (16, 1)


@pytest.mark.parametrize("whose", ["all", "dialects"])
def test_edits_of_the_forward_pass_are_there_when_translating(plan, write_plan, tmp_path, monkeypatch, whose):
    condition = {"like": "reject", "options": {"penalised": whose}}
    cell = next(read_plan(write_plan(conditions=[condition])).cells())
    asked = []

    def translate(model, tokenizer, corpus, split, beam, pairs, translate=making.translate, **told):
        asked.append((bool(model.blocks[0]._forward_hooks), {target for _, target in pairs}))
        return translate(model, tokenizer, corpus, split, beam, pairs=pairs, **told)

    monkeypatch.setattr(making, "translate", translate)
    run_cell(tmp_path, cell)
    edited, bare = ({t for on, targets in asked[:2] if on == state for t in targets} for state in (True, False))
    assert edited >= {"a1", "a2", "b1"} and ("std" in edited) == (whose == "all")
    assert bare == ({"piv"} if whose == "all" else {"std", "piv"})
    with pytest.raises(TinyDecoupleError, match="its forward pass was edited in training, by `form` reject"):
        load_model(cell_folder(tmp_path, cell), making.CPU)
    names = list(read_sentences(cell_folder(tmp_path, cell) / "dev.npz")["directions"])
    assert names[:4] == ["std -> a1", "std -> a2", "std -> b1", "a1 -> std"], "directions are out of order"


def test_only_dialects_are_contrasted_and_each_has_its_own_adapter(plan, write_plan, tmp_path, monkeypatch):
    conditions = [{"like": "contrastive"}, {"like": "adapters"}]
    contrasted, adapted = read_plan(write_plan(conditions=conditions, seeds=[1])).cells()
    asked, varieties = [], []

    def translate(model, tokenizer, corpus, split, beam, pairs, translate=making.translate, **told):
        asked.append((model, {target for _, target in pairs}))
        return translate(model, tokenizer, corpus, split, beam, pairs=pairs, **told)

    def edits(core, variety, edits=Decoupler.edits):
        varieties.append(int(np.unique(variety)[-1])) if variety.shape == (1, 1) else None
        return edits(core, variety)

    monkeypatch.setattr(making, "translate", translate)
    monkeypatch.setattr(Decoupler, "edits", edits)
    run_cell(tmp_path, contrasted)
    (with_contrast, dialects), (without, rest) = asked[:2]
    assert isinstance(with_contrast, Contrasted) and dialects == {"a1", "a2", "b1"}
    assert not isinstance(without, Contrasted) and rest == {"std", "piv"}
    tag = load_model(cell_folder(tmp_path, contrasted), making.CPU, unedited=True)[1].tag("std")
    assert (with_contrast.other, with_contrast.alpha, with_contrast.plausible) == (tag, 0.25, 0.1)
    assert not varieties
    asked.clear()
    run_cell(tmp_path, adapted)
    assert [targets for _, targets in asked[:4]] == [{"a1"}, {"a2"}, {"b1"}, {"std", "piv"}]
    assert varieties[:3] == [1, 2, 3], "a dialect is translated with another's adapter"


def test_without_the_sources_tag_none_is_read_in_training_translating_or_probing(write_plan, tmp_path, monkeypatch):
    """At every forward pass, the first token is a tag only where the source has no pieces, that is, nowhere."""
    first = []

    def forward(model, tokens, cache=None, start=0, last=None, forward=Transformer.forward):
        first.extend(tokens[:, 0].tolist() if not start else [])
        return forward(model, tokens, cache, start, last)

    with_tag, without = read_plan(write_plan(conditions=["plain", "plain-no-source-tag"], seeds=[1])).cells()
    making.make_pretrained(tmp_path, with_tag)
    monkeypatch.setattr(Transformer, "forward", forward)
    for cell, expected in ((without, 0.0), (with_tag, 1.0)):
        first.clear()
        run_cell(tmp_path, cell)
        tokenizer = load_model(cell_folder(tmp_path, cell), making.CPU)[1]
        share = np.mean(np.isin(first, list(tokenizer.tags.values())))
        assert share == expected and len(first) > 100, f"{cell.name}: {share:.0%} of the inputs begin with a tag"


def test_what_was_made_before_an_option_was_there_is_read_as_made_at_its_default(ours, plan, write_plan):
    """Cells, their runs and the pretrained run that they share; an option in use makes it another cell."""
    cell, later = next(plan.cells()), filled({"train": {}, "decouple": {}})
    folder, start = cell_folder(ours, cell), making.make_pretrained(ours, cell)
    configuration = cell.configuration()
    assert {"contrast", "plausible"} == set(later["decouple"]) and "source_tag" in later["train"]
    for name in later["train"]:
        del configuration["pretrain"][name]
    text = json.dumps([tinydecouple.__version__, {name: configuration[name] for name in
                                                  ("corpus", "model", "pretrain")}], sort_keys=True)
    assert start.name == hashlib.sha256(text.encode("utf-8")).hexdigest()[:16], "its name holds younger options"
    for path in (folder / "cell.json", folder / "config.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        inner = record.get("configuration", record)
        for section in ("train", "decouple", "pretrain"):
            for name in later["decouple" if section == "decouple" else "train"]:
                del inner[section][name]
        path.write_text(json.dumps(record), encoding="utf-8")
    record = json.loads((folder / "cell.json").read_text(encoding="utf-8"))
    record["files"]["config.json"] = hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
    (folder / "cell.json").write_text(json.dumps(record), encoding="utf-8")
    read_cell(folder, cell)
    assert load_config(folder)["train"]["source_tag"] is True
    other = next(read_plan(write_plan(conditions=[{"like": "plain", "options": {"own_weight": 2}}])).cells())
    with pytest.raises(TinyDecoupleError, match="own_weight: stored 1.0, asked for 2.0"):
        read_cell(folder, other)
