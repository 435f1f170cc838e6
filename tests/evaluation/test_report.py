"""The table, the files beside it, and the pictures."""

import json
from contextlib import nullcontext

import numpy as np
import pytest

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation import figures, report
from tinydecouple.evaluation.chrf import chrf
from tinydecouple.evaluation.readback import read_result
from tinydecouple.evaluation.score import direction, directions, mean_chrf
from tinydecouple.text.readers import CorpusOptions, load_corpus


@pytest.fixture(scope="module")
def corpus():
    """Three dialects: a bootstrap over 25 takes its time and shows nothing more."""
    return load_corpus(CorpusOptions("family", keys=60, per_variety=10, varieties="a1,a2,f4"))


@pytest.fixture(scope="module")
def systems(corpus):
    """Plain says its source, of every other sentence the reference; decoupled the reference; again what plain says."""
    keys = corpus.keys("test")
    made = {"plain": [], "decoupled": [], "again": []}
    for s, t in directions(corpus):
        sources, references = corpus.column(s, keys), corpus.column(t, keys)
        half = [(a, b)[i % 2] for i, (a, b) in enumerate(zip(sources, references))]
        for name, outputs in (("plain", half), ("decoupled", references), ("again", half)):
            made[name].append(direction(s, t, keys, sources, references, outputs))
    return made


@pytest.fixture(scope="module")
def result(systems, corpus):
    return report.compare(systems, corpus, seed=0)


def rows_of(text):
    """First cell -> the other cells, of the Markdown tables in a text."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    return {first: rest for first, *rest in lines}


def test_every_number_stands_under_its_own_system(systems, corpus, result):
    """Rows, means and shares, each computed once more from the system whose name it has."""
    into = {name: made[:len(corpus.dialects)] for name, made in systems.items()}
    for i, row in enumerate(result["rows"]):
        for name, made in into.items():
            assert row["scores"][name] == pytest.approx(chrf(made[i].statistics.sum(axis=0))), (row["name"], name)
    for name, made in into.items():
        assert result["means"][0]["scores"][name] == pytest.approx(mean_chrf(made)), name
    assert result["shares"][0]["scores"] == \
        {"copy": 0, "plain": 50, "decoupled": 100, "again": 50}
    assert result["keys"] == len(corpus.keys("test"))


def test_the_summary_has_means_intervals_and_verdicts(corpus, result):
    assert [row["name"] for row in result["rows"]] == [f"std -> {d}" for d in corpus.dialects]
    assert [m["name"] for m in result["means"]] == \
        ["std -> dialect, mean of 3", "dialect -> std, mean of 3", "piv -> std", "std -> piv"]
    for row in result["rows"]:
        copy, plain, decoupled, again = (row["scores"][name] for name in ("copy", "plain", "decoupled", "again"))
        assert copy < plain == again < decoupled == pytest.approx(100)
    exact, leak = result["shares"]
    assert exact["scores"]["decoupled"] == 100 and leak["scores"]["decoupled"] == 0 < leak["scores"]["plain"]
    text = report.summary(result, "test")
    mean = result["means"][0]
    low, high = mean["intervals"]["decoupled"]
    gain = mean["scores"]["decoupled"] - mean["scores"]["plain"]
    assert 0 < low < gain < high, f"interval {low:.1f} to {high:.1f}, difference {gain:.1f}"
    rows = rows_of(text)
    assert rows["chrF++"] == ["copy", "plain", "decoupled", "again", "decoupled - plain", "again - plain"]
    assert rows[mean["name"]][4:] == [f"{gain:+.1f} ({low:+.1f} to {high:+.1f})", "+0.0 (+0.0 to +0.0)"]
    said = " ".join(text.split())
    assert f"decoupled against plain, std -> dialect, mean of 3: {gain:+.1f} chrF++" in said
    assert "decoupled is better on this training seed" in said
    assert "it holds zero, so no difference is shown, and no equality either" in said
    assert "the choice of sentences only, one training seed" in said and result["signature"] in text
    assert len({len(line) for line in text.splitlines() if line.startswith("|")}) == 1, "the columns do not line up"


def test_the_same_seed_gives_the_same_intervals(systems, corpus, result):
    two = {name: systems[name] for name in ("plain", "decoupled")}
    for seed, same in ((0, True), (1, False)):
        intervals = [mean["intervals"]["decoupled"] for mean in report.compare(two, corpus, seed)["means"]]
        assert (intervals == [mean["intervals"]["decoupled"] for mean in result["means"]]) == same, f"seed {seed}"


def test_a_verdict_follows_its_interval():
    """An interval that holds zero shows no difference, and shows no equality either."""
    cases = (((0.1, 1.0), "b is better"), ((-1.0, -0.1), "b is worse"), ((-0.1, 1.0), "no equality either"))
    for interval, says in cases:
        mean = {"name": "m", "scores": {"a": 1.0, "b": 1.5}, "intervals": {"b": interval}}
        assert says in report.verdict(mean, "a", "b")


def test_rows_of_dialects(corpus, result):
    text = report.dialect_rows(result)
    assert list(rows_of(text)) == ["chrF++ (leakage, %)", *(f"std -> {d}" for d in corpus.dialects)]
    for e, leaked in zip(result["rows"], result["leakage"]):
        shown = [f"{e['scores'][name]:.1f} ({leaked['scores'][name]:.1f})" for name in e["scores"]]
        assert rows_of(text)[e["name"]] == shown, "leakage of another dialect, or of another system?"
    assert np.mean([e["scores"]["plain"] for e in result["leakage"]]) == pytest.approx(
        result["shares"][-1]["scores"]["plain"]), "the mean of the dialects' leakages"


def test_one_system_beside_copying(systems, corpus):
    result = report.compare({"plain": systems["plain"]}, corpus, seed=0)
    assert result["means"][0]["intervals"] == {}
    assert rows_of(report.summary(result, "dev"))["chrF++"] == ["copy", "plain"]


def test_files_of_a_run(systems, corpus, tmp_path):
    report.write_translations(tmp_path, systems["plain"])
    report.write_scores(tmp_path, systems["plain"], corpus, {"split": "test"})
    rows = [line.split("\t") for line in (tmp_path / "translations.tsv").read_text(encoding="utf-8").splitlines()]
    assert rows[0] == list(report.COLUMNS) and len(rows) == 1 + 8 * len(corpus.keys("test"))
    expected = [[d.source, d.target, *cells] for d in systems["plain"]
                for cells in zip(d.keys, d.sources, d.references, d.outputs)]
    assert rows[1:] == expected, "a column holds what another is named for"
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert scores["split"] == "test" and "nw:2" in scores["signature"]
    assert "leakage_percent" in scores["directions"]["std -> a1"]
    assert "leakage_percent" not in scores["directions"]["a1 -> std"]


def test_examples_show_source_reference_and_every_system(systems):
    text = report.side_by_side(systems, "piv", count=20)
    assert "std -> piv" not in text
    assert text.count("reference") == text.count("decoupled") == text.count("again") == 20
    made = {(d.name, name): d for name, system in systems.items() for d in system}
    for block in (text.splitlines()[i:i + 6] for i in range(0, 120, 6)):
        name, key = block[0].split(", key ")
        shown = {line.split(None, 1)[0]: line.split(None, 1)[1] for line in block[1:]}
        at = made[name, "plain"].keys.index(key)
        assert shown.pop("source") == made[name, "plain"].sources[at], "another key's source"
        assert shown.pop("reference") == made[name, "plain"].references[at], "another key's reference"
        assert shown == {system: made[name, system].outputs[at] for system in systems}


def test_examples_are_spread_over_the_dialects():
    """Dialects stand region by region: the first five would all be of one."""
    many = [direction("std", f"d{i}", ["k"], ["a"], ["b"], ["c"]) for i in range(25)]
    shown = [line.split(",")[0] for line in report.side_by_side({"plain": many}, None, count=5).splitlines()
             if ", key " in line]
    assert shown == [f"std -> d{i}" for i in (0, 5, 10, 15, 20)], f"not spread over 25 dialects: {shown}"


def test_pictures_hold_the_numbers_of_table_and_log(result, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    left, middle, right = figures.gains(Figure(), result).axes
    assert [line.get_label() for line in left.lines] == ["copy", "plain", "decoupled", "again"]
    assert len(middle.patches) == 2 * (len(result["rows"]) + 1), "a bar per dialect and arm, and one for the mean"
    assert list(left.lines[1].get_xdata()) == pytest.approx(
        [e["scores"]["plain"] for e in [*result["rows"], result["means"][0]]])
    entries = [*result["rows"], result["means"][0]]
    gains = [e["scores"][arm] - e["scores"]["plain"] for arm in ("decoupled", "again") for e in entries]
    assert [bar.get_width() for bar in middle.patches] == pytest.approx(gains), "a bar is an arm less the first"
    assert [list(line.get_xdata()) for line in middle.lines[:2]] == \
        [pytest.approx(result["means"][0]["intervals"][arm]) for arm in ("decoupled", "again")]
    leaked = [e["scores"]["plain"] for e in [*result["leakage"], result["shares"][1]]]
    assert list(right.lines[0].get_xdata()) == pytest.approx(leaked), "leakage of each dialect, and its mean"
    log = [{"step": i, "loss": 5.0 - i, "penalty": 1.0, "penalty_by_layer": {"1": 0.6, "3": 0.4}, "strength": 0.1}
           for i in range(4)]
    log += [{"step": step, "refresh": step, "layer": layer, "code_bits": layer / 10, "null_bits": 1 + layer / 10,
             "entropy_bits": 1.0, "angle_degrees": 10 * layer if step else None} for step in (0, 1) for layer in (1, 3)]
    log += [{"step": 0, "refresh": 0, "dev_loss": 4.0}]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, log)), encoding="utf-8")
    axes = figures.training(Figure(), {"plain": tmp_path}).axes
    assert [line.get_label() for line in axes[1].lines] == ["plain, layer 1", "plain, layer 3"]
    assert [line.get_ydata()[0] for line in axes[1].lines] == pytest.approx([0.6, 0.4]), "each layer's own penalty"
    drawn = [[list(line.get_ydata()) for line in axis.lines] for axis in axes]
    assert drawn[0] == [[5, 4, 3, 2], [4]], "loss of training, loss on dev"
    assert drawn[2] == [pytest.approx([bits] * 2) for bits in (0.1, 1.1, 0.3, 1.3)], "code and null of each layer"
    assert drawn[3] == [[10], [30]], "each layer's own angle, from the second refresh on"
    paths = figures.draw(tmp_path, result, {"plain": tmp_path, "decoupled": tmp_path})
    assert [p.name for p in paths] == ["gains.png", "training.png"]
    assert all(p.read_bytes().startswith(b"\x89PNG") and p.parent == tmp_path / "figures" for p in paths)


def test_long_logs_are_averaged_over_neighbours():
    log = [{"step": i, "loss": float(i % 2)} for i in range(100)]
    steps, values = figures.series(log, "loss", 50)
    np.testing.assert_allclose(values, 0.5)
    np.testing.assert_allclose(steps, np.arange(0.5, 100, 2))
    assert [list(part) for part in figures.series(log[:3], "loss")] == [[0, 1, 2], [0, 1, 0]]


def test_without_matplotlib_there_are_no_pictures_and_no_failure(result, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    assert figures.draw(tmp_path, result, {}) == []
    assert list(tmp_path.iterdir()) == []


def test_the_report_says_which_dialects_beat_copying():
    """A score that copying has too beats nothing."""
    rows = [{"name": f"std -> {d}", "scores": {"copy": 30.0, "plain": score}}
            for d, score in (("a1", 40.0), ("a2", 20.0), ("a3", 31.0), ("a4", 30.0), ("a5", 35.0))]
    text = report.dialect_rows({"rows": rows, "leakage": rows})
    assert "plain beats copying into 3 of 5 dialects, not into a2, a4." in " ".join(text.split())


def test_leakage_of_other_directions_is_a_damaged_result(result, tmp_path):
    """Row by row it stands beside chrF++: one that is missing would move all below it to another dialect."""
    for leaked, damaged in ((result["leakage"], False), (result["leakage"][1:], True), (result["leakage"][::-1], True)):
        (tmp_path / "scores.json").write_text(json.dumps(result | {"leakage": leaked}), encoding="utf-8")
        with pytest.raises(TinyDecoupleError, match="scores.json: damaged .leakage") if damaged else nullcontext():
            read_result(tmp_path / "scores.json", ["plain", "decoupled", "again"])
