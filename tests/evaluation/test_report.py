"""The table, the files beside it, and the pictures."""

import json

import pytest

from tinydecouple.evaluation import figures, report
from tinydecouple.evaluation.score import direction, directions


@pytest.fixture
def systems(corpus):
    """Plain says its source, decoupled its reference, in every direction."""
    keys = corpus.keys("test")
    made = {"plain": [], "decoupled": []}
    for s, t in directions(corpus):
        for name, side in (("plain", s), ("decoupled", t)):
            made[name].append(direction(s, t, keys, corpus.column(s, keys), corpus.column(t, keys),
                                        corpus.column(side, keys)))
    return made


def test_the_table_has_a_row_a_dialect_means_and_intervals(systems, corpus):
    result = report.compare(systems, corpus, seed=0)
    assert [row["name"] for row in result["rows"]] == [f"std -> {d}" for d in corpus.dialects]
    assert [m["name"] for m in result["means"]] == \
        ["std -> dialect, mean of 25", "dialect -> std, mean of 25", "piv -> std", "std -> piv"]
    for row in result["rows"]:
        assert row["scores"]["copy"] == row["scores"]["plain"] and row["scores"]["decoupled"] == pytest.approx(100)
    exact, leak = result["shares"]
    assert exact["scores"]["decoupled"] == 100 and leak["scores"]["decoupled"] == 0 < leak["scores"]["plain"]
    text = report.table(result, "test")
    lines = text.splitlines()
    mean = result["means"][0]
    gain = mean["scores"]["decoupled"] - mean["scores"]["plain"]
    shown = next(line for line in lines if line.startswith("| std -> dialect"))
    low, high = mean["interval"]
    assert shown.split("|")[5:7] == [f"{gain:+.1f}".rjust(11) + " ", f" {low:+.1f} to {high:+.1f} "]
    assert "choice of sentences only, one training seed" in " ".join(text.split()) and result["signature"] in text
    assert len({len(line) for line in lines if line.startswith("|")}) == 1, "the columns do not line up"


def test_one_system_beside_copying(systems, corpus):
    result = report.compare({"plain": systems["plain"]}, corpus, seed=0)
    assert "interval" not in result["means"][0] and "difference" not in report.table(result, "dev")


def test_files_of_a_run(systems, corpus, tmp_path):
    report.write_translations(tmp_path, systems["plain"])
    report.write_scores(tmp_path, systems["plain"], corpus, {"split": "test"})
    rows = [line.split("\t") for line in (tmp_path / "translations.tsv").read_text(encoding="utf-8").splitlines()]
    assert rows[0] == list(report.COLUMNS) and len(rows) == 1 + 52 * len(corpus.keys("test"))
    assert all(row[3] == row[5] for row in rows[1:])
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert scores["split"] == "test" and "nw:2" in scores["signature"]
    assert "leakage_percent" in scores["directions"]["std -> a1"]
    assert "leakage_percent" not in scores["directions"]["a1 -> std"]


def test_examples_show_source_reference_and_both_systems(systems):
    text = report.side_by_side(*systems.values(), "piv")
    assert "std -> piv" not in report.side_by_side(*systems.values(), "piv", count=50)
    assert text.count("reference") == text.count("decoupled") == 5
    block = text.splitlines()[:5]
    assert block[1].split()[1:] == block[3].split()[1:] and block[2].split()[1:] == block[4].split()[1:]


def test_pictures_hold_the_numbers_of_table_and_log(systems, corpus, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    result = report.compare(systems, corpus, seed=0)
    left, right = figures.gains(Figure(), result).axes
    assert [line.get_label() for line in left.lines] == ["copy", "plain", "decoupled"]
    assert list(left.lines[1].get_xdata()) == pytest.approx(
        [e["scores"]["plain"] for e in [*result["rows"], result["means"][0]]])
    log = [{"step": i, "loss": 5.0 - i, "penalty": 1.0, "strength": 0.1} for i in range(4)] + [
        {"step": 0, "refresh": 0, "code_bits": 0.5, "entropy_bits": 1.0, "angle_degrees": None, "dev_loss": 4.0}]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, log)), encoding="utf-8")
    paths = figures.draw(tmp_path, result, {"plain": tmp_path, "decoupled": tmp_path})
    assert [p.name for p in paths] == ["gains.png", "training.png"]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in paths)


def test_without_matplotlib_there_are_no_pictures_and_no_failure(systems, corpus, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    assert figures.draw(tmp_path, report.compare(systems, corpus, seed=0), {}) == []
    assert list(tmp_path.iterdir()) == []


def test_the_report_says_which_dialects_beat_copying():
    rows = [{"name": f"std -> {d}", "scores": {"copy": 30.0, "plain": score}}
            for d, score in (("a1", 40.0), ("a2", 20.0))]
    text = report.table({"rows": rows, "means": [], "shares": [], "keys": 3, "signature": "s"}, "dev")
    assert "plain beats copying into 1 of 2 dialects, not into a2." in " ".join(text.split())
