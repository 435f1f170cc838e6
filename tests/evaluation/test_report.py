"""The table, the files beside it, and the pictures."""

import json

import pytest

from tinydecouple.evaluation import figures, report
from tinydecouple.evaluation.score import direction, directions


@pytest.fixture
def systems(corpus):
    """Plain says its source, decoupled its reference, a third arm what plain says, in every direction."""
    keys = corpus.keys("test")
    made = {"plain": [], "decoupled": [], "again": []}
    for s, t in directions(corpus):
        for name, side in (("plain", s), ("decoupled", t), ("again", s)):
            made[name].append(direction(s, t, keys, corpus.column(s, keys), corpus.column(t, keys),
                                        corpus.column(side, keys)))
    return made


def rows_of(text):
    """First cell -> the other cells, of the Markdown tables in a text."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    return {first: rest for first, *rest in lines}


def test_the_summary_has_means_intervals_and_verdicts(systems, corpus):
    result = report.compare(systems, corpus, seed=0)
    assert [row["name"] for row in result["rows"]] == [f"std -> {d}" for d in corpus.dialects]
    assert [m["name"] for m in result["means"]] == \
        ["std -> dialect, mean of 25", "dialect -> std, mean of 25", "piv -> std", "std -> piv"]
    for row in result["rows"]:
        assert row["scores"]["copy"] == row["scores"]["plain"] and row["scores"]["decoupled"] == pytest.approx(100)
    exact, leak = result["shares"]
    assert exact["scores"]["decoupled"] == 100 and leak["scores"]["decoupled"] == 0 < leak["scores"]["plain"]
    text = report.summary(result, "test")
    mean = result["means"][0]
    low, high = mean["intervals"]["decoupled"]
    gain = mean["scores"]["decoupled"] - mean["scores"]["plain"]
    rows = rows_of(text)
    assert rows["chrF++"] == ["copy", "plain", "decoupled", "again", "decoupled - plain", "again - plain"]
    assert rows[mean["name"]][4:] == [f"{gain:+.1f} ({low:+.1f} to {high:+.1f})", "+0.0 (+0.0 to +0.0)"]
    said = " ".join(text.split())
    assert "decoupled is better on this training seed" in said
    assert "it holds zero, so no difference is shown, and no equality either" in said
    assert "the choice of sentences only, one training seed" in said and result["signature"] in text
    assert len({len(line) for line in text.splitlines() if line.startswith("|")}) == 1, "the columns do not line up"


def test_a_verdict_follows_its_interval():
    """An interval that holds zero shows no difference, and shows no equality either."""
    cases = (((0.1, 1.0), "b is better"), ((-1.0, -0.1), "b is worse"), ((-0.1, 1.0), "no equality either"))
    for interval, says in cases:
        mean = {"name": "m", "scores": {"a": 1.0, "b": 1.5}, "intervals": {"b": interval}}
        assert says in report.verdict(mean, "a", "b")


def test_rows_of_dialects(systems, corpus):
    text = report.dialect_rows(report.compare(systems, corpus, seed=0))
    assert list(rows_of(text)) == ["chrF++", *(f"std -> {d}" for d in corpus.dialects)]


def test_one_system_beside_copying(systems, corpus):
    result = report.compare({"plain": systems["plain"]}, corpus, seed=0)
    assert result["means"][0]["intervals"] == {}
    assert rows_of(report.summary(result, "dev"))["chrF++"] == ["copy", "plain"]


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


def test_examples_show_source_reference_and_every_system(systems):
    text = report.side_by_side(systems, "piv")
    assert "std -> piv" not in report.side_by_side(systems, "piv", count=50)
    assert text.count("reference") == text.count("decoupled") == text.count("again") == 5
    block = [line.split()[1:] for line in text.splitlines()[:6]]
    source, reference, plain, decoupled, again = block[1:]
    assert source == plain == again and reference == decoupled


def test_pictures_hold_the_numbers_of_table_and_log(systems, corpus, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    result = report.compare(systems, corpus, seed=0)
    left, right = figures.gains(Figure(), result).axes
    assert [line.get_label() for line in left.lines] == ["copy", "plain", "decoupled", "again"]
    assert len(right.patches) == 2 * (len(result["rows"]) + 1), "a bar per dialect and arm, and one for the mean"
    assert list(left.lines[1].get_xdata()) == pytest.approx(
        [e["scores"]["plain"] for e in [*result["rows"], result["means"][0]]])
    log = [{"step": i, "loss": 5.0 - i, "penalty": 1.0, "penalty_by_layer": {"1": 0.6, "3": 0.4}, "strength": 0.1}
           for i in range(4)]
    log += [{"step": 0, "refresh": 0, "layer": layer, "code_bits": 0.5, "null_bits": 1.1, "entropy_bits": 1.0,
             "angle_degrees": None} for layer in (1, 3)] + [{"step": 0, "refresh": 0, "dev_loss": 4.0}]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, log)), encoding="utf-8")
    axes = figures.training(Figure(), {"plain": tmp_path}).axes
    assert [line.get_label() for line in axes[1].lines] == ["plain, layer 1", "plain, layer 3"]
    assert [line.get_ydata()[0] for line in axes[1].lines] == pytest.approx([0.6, 0.4]), "each layer's own penalty"
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
    text = report.dialect_rows({"rows": rows})
    assert "plain beats copying into 1 of 2 dialects, not into a2." in " ".join(text.split())
