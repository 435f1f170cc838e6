"""What is collected suffices for the intervals; a report says what its numbers allow; what is damaged is named."""

import gzip
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted import plant
from sacrebleu.metrics import CHRF

from tinydecouple.cli import main
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation.chrf import chrf, percent
from tinydecouple.evaluation.significance import Interval, detectable, difference, holm, largest, per_seed
from tinydecouple.evaluation.word_kinds import part_and_whole
from tinydecouple.study import comparisons, report_figures, report_tables
from tinydecouple.study.collect import collect, columns_of, group_names, sealed
from tinydecouple.study.collected import Setting, read_data
from tinydecouple.study.comparisons import CLAIMS, Claim, Comparison, compare, confirmatory, judge, p_text, papers_gain
from tinydecouple.study.conditions import EXPLORATORY
from tinydecouple.study.measures import read_sentences
from tinydecouple.study.plan import Cell, read_plan
from tinydecouple.study.records import cell_folder
from tinydecouple.study.report import luck, why, write_report
from tinydecouple.study.verdicts import answers, helping, paid_in_leakage, papers_claim

CONDITIONS = ["plain", "plain-again", "paper", "random"]
RIGHT = {"plain": 0.5, "plain-again": 0.5, "paper": 0.9, "random": 0.3}
SIZE = {"templates": 6, "keys": 2}


@pytest.fixture(scope="session")
def plans(write_plan):
    """A function: name, changes -> a plan of the tiny one's settings, named as the primary one is."""
    def made(part="train", values=(), **changes):
        values = values or ({"epochs": 1},)
        first = json.loads(open(write_plan(), encoding="utf-8").read())["settings"]["tiny"]
        first["corpus"]["varieties"] = "a1,b1"
        names = ["trained-through", "under-trained"] if len(values) < 3 else [f"s{i}" for i in range(len(values))]
        settings = {name: first | {part: first[part] | value} for name, value in zip(names, values)}
        return read_plan(write_plan(**{"settings": settings, "conditions": CONDITIONS, "seeds": [1, 2, 3, 4],
                                       **changes}))
    return made


@pytest.fixture(scope="session")
def primary(plans, tmp_path_factory):
    """(run, plan, data): cells of four conditions and four seeds, read on fresh keys, and what is collected of them."""
    run, data, plan = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("data"), plans()
    plant(run, plan, RIGHT, number=1, size=SIZE, luck=0.01)
    collect(run, plan, data / "primary", studies=3)
    return run, plan, data


@pytest.fixture
def data(primary, tmp_path):
    """A copy of what was collected, to write into."""
    return shutil.copytree(primary[2], tmp_path / "data")


def per_key(run, plan, arm, name, which, array):
    """(S, D, K, m) counts of a group's directions, straight from the cells."""
    setting = plan.settings[0]
    found = []
    for seed in plan.seeds:
        cell = Cell(setting, next(a for a in plan.arms[setting.name] if a.name == arm), seed)
        counts = read_sentences(cell_folder(run, cell) / "final-1" / f"{name}.npz")
        record = json.loads((cell_folder(run, cell) / "cell.json").read_text(encoding="utf-8"))
        whole = np.zeros((len(counts["directions"]), len(counts["keys"]), *counts[array].shape[1:]))
        whole[counts["direction"], counts["key"]] = counts[array]
        found.append(whole[columns_of(counts["directions"], group_names(record), which)])
    return np.array(found), [key.split("/")[0] for key in counts["keys"]]


def test_what_is_collected_is_sufficient_for_the_intervals_over_seeds_and_templates(primary):
    """The same intervals as from every sentence's counts, and the same largest differences."""
    run, plan, data = primary
    setting, = read_data(data)
    tests = {(t.first, t.second, t.outcome): t.interval for t in compare([setting])}
    kinds = (lambda counts: part_and_whole(counts, "standard"), percent)
    for outcome, name, which, array, (prepare, score) in (
            ("into", "test", "into", "statistics", (np.array, chrf)),
            ("standard", "test", "standard", "statistics", (np.array, chrf)),
            ("pivot", "test", "pivot", "statistics", (np.array, chrf)),
            ("length", "length", "into", "statistics", (np.array, chrf)),
            ("leakage", "test", "into", "word_kinds", kinds)):
        sides = [per_key(run, plan, arm, name, which, array) for arm in ("plain", "paper")]
        expected = difference(*(prepare(counts) for counts, _ in sides), sides[0][1], score)
        got = tests["plain", "paper", outcome]
        np.testing.assert_allclose([got.mean, got.low, got.high, got.df, got.p],
                                   [expected.mean, expected.low, expected.high, expected.df, expected.p], rtol=1e-3,
                                   atol=1e-5, err_msg=f"{outcome}: a direction, a template or a count is lost")
    first, second = (per_key(run, plan, arm, "test", "into", "statistics")[0] for arm in ("plain", "paper"))
    np.testing.assert_allclose(largest(setting.counts("plain"), setting.counts("paper")), largest(first, second))


def cells_of(lines):
    """First cell -> the others, of a Markdown table."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {row[0]: row[1:] for row in rows}


def test_tables_hold_the_numbers_of_the_cells(primary):
    run, plan, data = primary
    setting, = read_data(data)
    finals = {arm: [json.loads((run / f"cells/trained-through/{arm}/{seed}/final-1/final.json").read_text("utf-8"))
                    for seed in plan.seeds] for arm in CONDITIONS}
    table = cells_of(report_tables.outcomes(setting))
    for row, part, group, measure, digits in (
            ("leakage, %", "scores", "std -> dialect", "leakage_percent", 2),
            ("chrF++ into the standard", "scores", "dialect -> std", "chrf++", 2),
            ("chrF++ into the dialects, length controlled", "length_controlled", "std -> dialect", "chrf++", 2),
            ("recall, %", "scores", "std -> dialect", "recall_percent", 1),
            ("words: none, %", "scores", "std -> dialect", "words_none_percent", 1)):
        means = [np.mean([one[part]["means"][group][measure] for one in finals[arm]]) for arm in CONDITIONS]
        assert table[row] == [f"{mean:.{digits}f}" for mean in means], f"{row}: of dev, or of another group"
    sides = {arm: per_key(run, plan, arm, "test", "into", "statistics")[0] for arm in CONDITIONS}
    expected = [largest(sides["plain"], sides[arm])[1] for arm in ("paper", "plain-again")]  # of the second seed
    assert cells_of(report_tables.extremes(setting))["2"] == [f"{x:+.1f}" for pair in expected for x in pair]
    gains = per_seed(sides["plain"], sides["paper"]).mean(axis=0)
    shown = cells_of(report_tables.dialect_table(report_tables.by_dialect(setting, "paper"), "paper", "plain"))
    assert [shown[dialect][0] for dialect in ("a1", "b1")] == [f"{gain:+.2f}" for gain in gains]
    main = next(t for t in compare([setting]) if t.primary)
    assert f"difference of {detectable(main.interval):.2f} chrF++" in report_tables.power([main])
    probes = cells_of(report_tables.probes(setting))["1, paper"]
    assert probes[1:3] == ["1.000", "0.900"], "the code length stands beside its null and H(Y)"


def test_copying_is_what_the_source_handed_back_scores(primary):
    run, plan, data = primary
    text = gzip.decompress((run / "cells/trained-through/paper/3/final-1/test.tsv.gz").read_bytes()).decode("utf-8")
    rows = [line.split("\t") for line in text.splitlines()]
    into = [[row[3:5] for row in rows if row[:2] == ["std", d]] for d in ("a1", "b1")]
    scores = [CHRF(word_order=2).corpus_score([s for s, _ in pairs], [[r for _, r in pairs]]).score for pairs in into]
    assert read_data(data)[0].said["copy"] == pytest.approx(np.mean(scores), abs=1e-3)


def test_a_corpus_without_a_pivot_and_a_machine_without_matplotlib(plans, tmp_path, monkeypatch):
    plan = plans("corpus", [{"pivot": "none"}], conditions=["plain", "paper"])
    plant(tmp_path / "run", plan, RIGHT, number=2, size=SIZE)
    collect(tmp_path / "run", plan, tmp_path / "data" / "two")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert write_report(tmp_path / "data", tmp_path / "RESULTS.md") == [tmp_path / "RESULTS.md"]
    text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert "fresh keys, set 2" in text and "from the pivot" not in text and "![" not in text


def test_a_cell_is_told_by_its_fresh_keys_or_else_by_dev(primary, tmp_path):
    """Never both: a report reads one of them."""
    run, plan, data = primary
    collect(run, plan, tmp_path / "dev", number=0)
    for folder, kept, left in ((data / "primary", "final", "dev"), (tmp_path / "dev", "dev", "final")):
        cells = json.loads((folder / "records.json").read_text(encoding="utf-8"))["cells"]
        assert cells and all(kept in cell and left not in cell for cell in cells), f"{folder.name}: {list(cells[0])}"


def test_files_are_small_and_the_same_bytes_however_often_they_are_made(primary, tmp_path):
    run, plan, data = primary
    paths = collect(run, plan, tmp_path / "again", studies=3)
    for path in paths:
        old = data / "primary" / path.relative_to(tmp_path / "again")
        assert path.read_bytes() == old.read_bytes(), f"{path.name} differs each time it is made"
    assert not [p for p in paths if p.suffix not in (".json", ".npz")]


def test_a_report_is_made_of_the_collected_alone_and_is_the_same_each_time(data, tmp_path, capsys):
    main(["study", "--report", "--data", str(data), "--out", str(tmp_path / "one" / "RESULTS.md")])
    assert str(tmp_path / "one" / "RESULTS.md") in capsys.readouterr().out
    write_report(data, tmp_path / "two" / "RESULTS.md")
    for path in (tmp_path / "one").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes(), path
    text = (tmp_path / "one" / "RESULTS.md").read_text(encoding="utf-8")
    assert "$" not in text.replace("$(", ""), "a place of the template is not filled"
    for named in ("## In short", "### primary/trained-through", "paper - plain: leakage, %", "would be found in 80",
                  "largest of any dialect, seed", "plain-again: gain", "paired bootstrap over keys, one seed",
                  "simultaneous 95 %", "dealt labels", "words: standard, %", "translating, processor seconds"):
        assert named in text, f"the report lacks {named!r}"


def test_verdicts_follow_the_planted_truth(data, tmp_path):
    """Nine words of ten right against five: chrF++ is up, leakage down. The probe's code is the same."""
    write_report(data, tmp_path / "RESULTS.md")
    text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    verdict = {line.split("|")[1].strip(): line.split("|")[5].strip() for line in text.split("## How")[0].splitlines()
               if line.startswith("|")}
    assert verdict[CLAIMS[0].text] == "supported" and verdict["the penalty lowers leakage"] == "supported"
    assert verdict["the standard pays: chrF++ into the standard falls"] == "refuted", "the standard gains here"
    assert verdict["it scores above a random direction"] == "supported"
    assert verdict["a fresh probe needs a longer code to find the standard"] == "open"
    quoted = text.split("to quote: ")[1].split("\n")[0]
    changed = [t for t in compare(read_data(data)) if (t.first, t.second) == ("plain", "paper")][:3]
    assert [t.outcome for t in changed] == ["into", "standard", "leakage"]
    for t in (changed[0], changed[2]):
        assert f" {report_tables.found(t)}{'*' if t.shown else ''}" in quoted, "what the method changes is not quoted"


@pytest.mark.parametrize("mean, low, high, p, primary, says", [
    (3, 1, 5, 0.01, False, "supported"), (-3, -5, -1, 0.01, False, "refuted"),
    (3, 1, 5, 0.2, False, "open"),  # excludes zero, but not after Holm
    (3, -1, 7, 0.01, False, "open"), (3, 1, 5, None, False, "open")])
def test_shown_is_an_interval_without_zero_and_an_adjusted_p_below_five_percent(mean, low, high, p, primary, says):
    test = Comparison(None, "a", "b", "into", Interval(mean, low, high, 1, 5, 0.001, 8), p)
    assert judge(Claim("b gains", "a", "b", "into", 1), [test])[0] == says


@pytest.mark.parametrize("low, high, shown, says", [(0.5, 3, 1, "supported"), (0.5, 1.9, 1, "refuted"),
                                                    (-1, 3, 0, "open"), (-3, -1, -1, "refuted")])
def test_the_papers_gain_is_refuted_where_the_interval_lies_below_it(low, high, shown, says):
    test = Comparison(None, "a", "b", "into", Interval((low + high) / 2, low, high, 1, 5, 0.001, 8),
                      0.01 if shown else 0.9)
    assert papers_gain(test) == says


def comparisons_of(setting, **said):
    """Of each name `first_second_outcome`: an interval (low, high) that is shown if it holds no zero."""
    return [Comparison(setting, *name.split("_"), Interval(sum(pair) / 2, *pair, 1, 5, 0.001, 8), 0.001)
            for name, pair in said.items()]


GAIN, NONE = (1, 3), (-1, 1)


@pytest.mark.parametrize("said, verdict, because", [
    (dict(plain_paper_into=(-1, 1.9)), "refuted", "holds zero and excludes"),
    (dict(plain_paper_into=(-1, 2.1)), "open", "holds both zero and"),
    (dict(plain_paper_into=(-2, -1)), "refuted", "below zero"),
    (dict(plain_paper_into=GAIN), "open", "not shown that it scores above random, nor that it scores above shr"),
    (dict(plain_paper_into=GAIN, plain_random_into=GAIN, random_paper_into=NONE), "refuted", "random matches the gain"),
    (dict(plain_paper_into=GAIN, random_paper_into=GAIN, shrunk_paper_into=GAIN, plain_paper_code=GAIN,
          plain_paper_leakage=NONE), "supported", "no control matches it"),
    (dict(plain_paper_into=GAIN, random_paper_into=GAIN, shrunk_paper_into=GAIN, plain_paper_code=NONE), "open",
     "a fresh probe"),
    (dict(plain_paper_into=GAIN, random_paper_into=GAIN, shrunk_paper_into=GAIN, plain_paper_code=GAIN,
          plain_paper_leakage=GAIN), "refuted", "leakage rises")])
def test_the_papers_claim_is_judged_as_the_protocol_says(primary, said, verdict, because):
    answer = papers_claim(comparisons_of(read_data(primary[2])[0], **said))
    assert answer.verdict == verdict and because in answer.because, answer


@pytest.mark.parametrize("copy, gain, leaks, verdict", [
    (99.0, GAIN, GAIN, "supported"), (99.0, GAIN, NONE, "refuted"), (0.0, GAIN, GAIN, "refuted"),
    (99.0, NONE, GAIN, "open")])
def test_a_gain_paid_in_leakage_is_one_below_copying_with_more_leakage(primary, copy, gain, leaks, verdict):
    setting = replace(read_data(primary[2])[0])
    setting.said["copy"] = copy
    tests = comparisons_of(setting, plain_paper_into=gain, plain_paper_leakage=leaks)
    answer = paid_in_leakage([setting], tests, {"map-of-one": [setting]})
    assert answer.verdict == verdict
    if verdict == "open":
        assert f"no gain is shown in {setting.label}, and plain is above copying in 0 of these 1" in answer.because
        assert "along map-of-one, paper gains at 1 of 1 points where plain is below" in answer.because, answer.because


@pytest.mark.parametrize("right, leaks, verdict", [
    (0.9, (0.5, 0.2), "supported"), (0.2, (0.5, 0.5), "refuted"), (0.8, (0, 1), "refuted")])
def test_an_intervention_helps_if_it_gains_two_points_on_the_second_keys_without_more_leakage(
        plans, tmp_path, right, leaks, verdict):
    """Right words up or down from 0.5; of the wrong ones, so many are the standard's, before and after."""
    plan = plans(conditions=["plain", {"name": "ours", "like": "paper"}])
    plant(tmp_path / "run", plan, {"plain": 0.5, "ours": right}, dict(zip(("plain", "ours"), leaks)), 2, luck=0,
          size={"templates": 12, "keys": 4})
    collect(tmp_path / "run", plan, tmp_path / "data" / "second")
    setting, = read_data(tmp_path / "data")
    answer, = answers([setting], compare([setting]), {})
    assert answer.question.startswith("An intervention that helps, ours") and answer.verdict == verdict, answer


@pytest.mark.parametrize("gain, leaked, verdict, because", [
    ((1.5, 2.5), (-1, 1), "supported", ""), ((1.57, 2.42), (-2, -1), "open", "; the mean is below +2.0"),
    ((-1, 5.2), (-2, -1), "open", "; no gain is shown"), ((1.5, 2.5), (-1, 1.1), "open", "; leakage is higher"),
    ((1, 1.9), (-2, -1), "refuted", "; the mean is below +2.0"), ((2, 3), (0.1, 1), "refuted", "; leakage is higher")])
def test_an_intervention_that_is_open_says_what_it_lacks(primary, gain, leaked, verdict, because):
    setting = read_data(primary[2])[0]
    setting = replace(setting, number=2, said={**setting.said, "conditions": dict.fromkeys(["plain", "ours"], {})})
    answer, = helping([setting], comparisons_of(setting, plain_ours_into=gain, plain_ours_leakage=leaked))
    assert answer.verdict == verdict, answer
    assert because in answer.because and answer.because.count(";") == bool(because), answer
    setting = replace(setting, name="under-trained")
    answer, = helping([setting], comparisons_of(setting, plain_ours_into=gain, plain_ours_leakage=leaked))
    assert answer.verdict in ("open", "refuted") and answer.because.endswith("; plain was not tuned there"), answer


def test_an_intervention_is_compared_with_its_random_twin_and_with_less_weight_on_the_standard(plans, tmp_path):
    plan = plans(conditions=["plain", "weighted", {"name": "ours", "like": "paper"},
                             {"name": "ours-random", "like": "random"}, "plain-longer"])
    plant(tmp_path / "run", plan, {"plain": 0.5, "weighted": 0.4, "ours": 0.8, "ours-random": 0.8, "plain-longer": 0.2},
          number=2, luck=0, size=SIZE)
    collect(tmp_path / "run", plan, tmp_path / "data" / "second")
    setting, = read_data(tmp_path / "data")
    tests = compare([setting])
    assert report_tables.featured(setting) == ["ours"], "a control is no intervention"
    said = {claim.text: judge(claim, tests)[0] for claim in comparisons.claims(setting) if judge(claim, tests)}
    assert said["ours: it scores above the same with a random direction"] == "open", "its twin gains as much"
    answer, = answers([setting], tests, {})
    twin = next(t for t in tests if t.first == "ours-random")
    assert f"its twin with a random direction {report_tables.found(twin)}" in answer.because, answer
    longer = next(t for t in tests if (t.first, t.second) == ("plain-longer", "ours"))
    assert f"to plain-longer, which has its time {report_tables.found(longer)}" in answer.because, answer
    assert said["ours: it costs the standard less than weighting its loss down"] == "supported"
    assert said["ours: it scores above plain with the steps that its time buys, plain-longer"] == "supported"
    assert sum(t.p is not None for t in tests) == 4 * 3 + 3, "each less plain, in three outcomes, and the three above"


def test_options_that_a_condition_sets_stand_in_its_table(primary):
    """One that is 0 says nothing: it is how a condition is made, not how it was tuned."""
    setting, = read_data(primary[2])
    setting.said["conditions"]["paper"]["options"] |= {"strength": 0.25}
    setting.said["conditions"]["plain"]["options"] |= {"dropout": 0.0, "strength": 0.0}
    rows = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
            for line in report_tables.outcomes(setting) if "option: " in line}
    assert rows["option: strength"] == ["0.25" if c == "paper" else "" for c in setting.conditions], rows
    assert "option: dropout" not in rows


def test_selectivity_is_what_states_save_of_the_code_of_dealt_labels(primary):
    setting, = read_data(primary[2])
    heading, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")]
                         for line in report_tables.probes(setting))
    code, dealt, saved = (heading.index(name) for name in ("code", "dealt labels", "selectivity"))
    assert rows
    for row in rows:
        assert float(row[saved]) == pytest.approx(float(row[dealt]) - float(row[code]), abs=0.0015), row


def test_intervals_of_plain_run_again_that_exclude_zero_are_named_as_luck(primary):
    setting, = read_data(primary[2])
    found = comparisons_of(setting, **{"plain_plain-again_into": (0.1, 0.9), "plain_plain-again_leakage": (-1, 1),
                                       "plain_paper_into": (1, 2)})
    said = luck([replace(t, setting=setting) for t in found])
    assert "Of its 2 intervals" in said and said.endswith(f"{setting.label}, chrF++ into the dialects, +0.50 "
                                                          "(+0.10 to +0.90)."), said
    assert luck(found[2:]) == "", "no plain-again, nothing to say"


def test_holm_counts_every_test_but_the_primary_one_and_the_controls_for_luck(primary):
    setting, = read_data(primary[2])
    tests = compare([setting])
    alone = [t for t in tests if t.primary]
    assert len(alone) == 1 and alone[0].p == alone[0].interval.p, "the primary comparison is not adjusted"
    assert all(t.p is None for t in tests if "plain-again" in (t.first, t.second)), "plain run again is luck, no test"
    family = {i: t for i, t in enumerate(tests) if t.p is not None and not t.primary}
    expected = holm({str(i): t.interval.p for i, t in family.items()})
    assert {str(i): t.p for i, t in family.items()} == expected
    assert {t.outcome for t in family.values() if t.second == "paper"} == set(comparisons.MAIN | comparisons.MORE)


def test_the_primary_comparisons_of_two_scales_are_adjusted_for_each_other_alone(primary):
    setting, = read_data(primary[2])
    pair = [t for t in compare([setting, replace(setting)]) if t.primary]
    assert [t.p for t in pair] == [min(1.0, 2 * t.interval.p) for t in pair], "two scales, each by Holm's method"
    assert len(pair) == 2


@pytest.mark.parametrize("reached, given", [(1.01, True), (1.03, False)])
def test_lengths_that_were_not_made_equal_are_not_compared(primary, monkeypatch, reached, given):
    """Planted: with the length controlled, plain reaches a ratio of 1 and paper another."""
    def values(self, condition, group, measure, read=Setting.values):
        if (group, measure) == ("length", "length_ratio"):
            return np.full(len(self.seeds), reached if condition == "paper" else 1.0)
        return read(self, condition, group, measure)

    monkeypatch.setattr(Setting, "values", values)
    found = {t.outcome for t in compare(read_data(primary[2])) if (t.first, t.second) == ("plain", "paper")}
    assert ("length" in found) == given and "into" in found, found


def test_dev_scores_carry_no_interval_and_no_verdict(plans, tmp_path):
    plan = plans(seeds=[1, 2], conditions=["plain", "paper", {"name": "paper-0.3", "like": "paper"}])
    plant(tmp_path / "run", plan, {"plain": 0.5, "paper": 0.6, "paper-0.3": 0.7}, number=None, size=SIZE)
    collect(tmp_path / "run", plan, tmp_path / "data" / "explore")
    write_report(tmp_path / "data", tmp_path / "RESULTS.md")
    text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert "nothing is confirmed yet" in text and "explore/trained-through (exploratory)" in text
    assert "95 % interval" not in text.split("## In short")[1] and "| paper-0.3" in text
    assert "- **paper, paper-0.3**: Penalises" in text, "what conditions have in common is said once"
    values = [read_data(tmp_path / "data")[0].values(c, "into", "chrf++") for c in ("plain", "paper-0.3")]
    gain = values[1] - values[0]
    assert f"{gain.mean():+.2f} ({gain.min():+.2f} to {gain.max():+.2f})" in text


def test_settings_that_differ_in_an_option_or_two_are_a_map(plans, tmp_path):
    plan = plans("train", [{"epochs": e, "learning_rate": r} for e in (1, 3) for r in (0.1, 0.2)], seeds=[1],
                 conditions=["plain", "paper"])
    plant(tmp_path / "run", plan, {"plain": 0.4, "paper": 0.6}, number=None, size=SIZE, luck=0)
    collect(tmp_path / "run", plan, tmp_path / "data" / "grid")
    write_report(tmp_path / "data", tmp_path / "RESULTS.md")
    text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8").split("## Maps")[1]
    setting = read_data(tmp_path / "data")[-1]
    plain, paper = (setting.values(c, "into", "chrf++")[0] for c in ("plain", "paper"))
    assert "epochs, learning rate" in text
    first, second = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()
                     if line.startswith("| 3, 0.2 "))
    assert first[1:4] == ["plain", f"{plain - setting.said['copy']:+.1f}", f"{plain:.2f}"]
    assert second[1:4] == ["paper", "", f"{paper - plain:+.2f}"]
    assert ("- paper gains at 0 of 0 points where plain is below copying and at 4 of 4 where it is above; leakage "
            "rises at 0 of 4, and at 0 of the 4 that gain.") in text


def test_every_trial_is_listed_and_the_best_mean_is_marked(plans, tmp_path):
    plan = plans(seeds=[1, 2], conditions=["plain"], trials={"count": 3, "space": {"epochs": [4, 5]}})
    plant(tmp_path / "run", plan, {"plain+1": 0.4, "plain+2": 0.8, "plain+3": 0.5}, number=None, size=SIZE)
    collect(tmp_path / "run", plan, tmp_path / "data" / "tune")
    setting, = read_data(tmp_path / "data")
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in report_tables.trials(setting)[2:]]
    assert [row[0] for row in rows] == ["plain+1", "plain+2", "plain+3"] and [r[-1] for r in rows] == ["", "*", ""]
    assert rows[0][1] == "none" and rows[1][1].startswith("epochs ")
    assert [line.split(":")[0] for line in why([setting])] == ["- **plain**"], "three trials are one condition"
    for row in rows:
        means = [setting.values(row[0], *of).mean() for of in
                 (("into", "chrf++"), ("standard", "chrf++"), ("into", "leakage_percent"))]
        assert row[4:7] == [f"{mean:.2f}" for mean in means], "a trial's means: into the dialects, standard, leakage"


def test_the_frontier_holds_what_nothing_beats_on_both_sides():
    points = {"plain": (0, 0), "paper": (-1, 2), "worse": (-1.5, 1), "weighted": (-4, 3), "same": (0, 0)}
    assert report_tables.frontier(points) == ["plain", "paper", "weighted", "same"]


def failing(call):
    with pytest.raises(TinyDecoupleError) as error:
        call()
    assert "\n" not in str(error.value), f"not one line: {error.value}"
    return str(error.value)


def change(data, edit, name="primary", seal=lambda head: head):
    path = data / name / "records.json"
    head = json.loads(path.read_text(encoding="utf-8"))
    edit(head)
    path.write_text(json.dumps(seal(head)), encoding="utf-8")


@pytest.mark.parametrize("edit, says", [
    (lambda h: h["cells"][5]["final"]["means"]["std -> dialect"].update({"leakage_percent": 9.0}),
     "cell trained-through/plain-again/2 is damaged"),
    (lambda h: h["cells"][5]["probes"].clear(), "cell trained-through/plain-again/2 is damaged"),
    (lambda h: h["cells"][5].pop("final"), "cell trained-through/plain-again/2 is damaged"),
    (lambda h: h["cells"].pop(3), "cell trained-through/random/1 is missing"),
    (lambda h: h["cells"].__setitem__(3, []), "records.json: damaged"),
    (lambda h: h.update(seeds=[]), "records.json: damaged"), (lambda h: h.update(settings=[]), "records.json: damaged"),
    (lambda h: h.pop("files"), "records.json: damaged"), (lambda h: h.update(seeds=[[]]), "records.json: damaged"),
    (lambda h: h["settings"]["trained-through"].pop("groups"), "records.json: damaged"),
    (lambda h: h["settings"]["trained-through"].update(copy=3.0), "records.json: damaged .is not as it was written")])
def test_a_damaged_cell_of_the_collected_is_named(data, tmp_path, edit, says):
    change(data, edit)
    assert re.search(says, said := failing(lambda: write_report(data, tmp_path / "RESULTS.md"))), said
    assert not (tmp_path / "RESULTS.md").exists()


def test_counts_that_belong_to_other_scores_are_named(data, tmp_path):
    def edit(head):
        head["cells"][0]["final"]["means"]["std -> dialect"]["chrf++"] = 99.0
        head["cells"][0] = sealed(head["cells"][0])

    change(data, edit)
    assert re.search("plain.npz: damaged .* seed 1", failing(lambda: write_report(data, tmp_path / "RESULTS.md")))


@pytest.mark.parametrize("name", ["paper", "_shared"])
def test_damaged_and_missing_counts_are_named(data, tmp_path, name):
    path = data / "primary" / "trained-through" / f"{name}.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert f"{name}.npz: damaged" in failing(lambda: read_data(data))
    path.unlink()
    assert f"{name}.npz: missing" in failing(lambda: read_data(data))


@pytest.mark.parametrize("edit, what", [
    (lambda h: h["versions"].update(tinydecouple="0"), "the version of tinydecouple"),
    (lambda h: h["settings"]["trained-through"].update(corpus_sha256="0"), "the corpus of trained-through"),
    (lambda h: h.update(processor="Z80"), "the processor of trained-through")])
def test_studies_that_do_not_compare_are_named(data, edit, what):
    shutil.copytree(data / "primary", data / "second")
    assert len(read_data(data)) == 2
    change(data, edit, "second", sealed)
    said = failing(lambda: read_data(data))
    assert f"differ in {what}" in said and "primary" in said and "second" in said


@pytest.mark.parametrize("change, says", [
    ({"processor": "Z80"}, "differ in the processor: trained-through/plain/1 has .*, trained-through/plain/2 has Z80"),
    ({"configuration": {}}, "cell trained-through/plain/2: final-1 was read with another configuration")])
def test_final_reads_that_do_not_compare_are_named_before_anything_is_written(primary, tmp_path, change, says):
    run, plan, _ = primary
    ours = shutil.copytree(run, tmp_path / "run")
    path = ours / "cells/trained-through/plain/2/final-1/final.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(TinyDecoupleError, match=says):
        collect(ours, plan, tmp_path / "data")
    path.unlink()
    assert "cell trained-through/plain/2: damaged" in failing(lambda: collect(ours, plan, tmp_path / "data"))
    shutil.rmtree(path.parent)
    assert "trained-through/plain/2 has no final-1" in failing(lambda: collect(ours, plan, tmp_path / "data"))
    assert not (tmp_path / "data").exists()
    collect(ours, plan, tmp_path / "all" / "dev", number=0)
    assert not any(setting.number for setting in read_data(tmp_path / "all")), "dev can be collected all the same"


def test_one_seed_has_no_interval_and_three_confirm_nothing(plans, tmp_path, capsys):
    for seeds in ([1], [1, 2, 3]):
        plan = plans(seeds=seeds, conditions=["plain", "paper"])
        run, data = tmp_path / f"run{len(seeds)}", tmp_path / f"data{len(seeds)}"
        plant(run, plan, RIGHT, number=1, size=SIZE)
        collect(run, plan, data / "few")
    with pytest.raises(SystemExit) as stopped:
        main(["study", "--report", "--data", str(tmp_path / "data1"), "--out", str(tmp_path / "RESULTS.md")])
    assert stopped.value.code == 2 and "an interval needs at least 2 seeds, found 1" in capsys.readouterr().err
    setting, = read_data(tmp_path / "data3")
    assert not confirmatory(setting)
    write_report(tmp_path / "data3", tmp_path / "RESULTS.md")
    assert "nothing is confirmed" in (tmp_path / "RESULTS.md").read_text(encoding="utf-8")


def test_a_report_of_nothing_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["study", "--report", "--data", str(tmp_path)])
    assert stopped.value.code == 2 and "no collected study in it; run --collect first" in capsys.readouterr().err


def test_a_small_p_is_never_told_as_zero():
    assert [p_text(p) for p in (0.04994, 5e-5, 4.9e-5, 0.0)] == ["0.0499", "0.0001", "< 0.0001", "< 0.0001"]


def test_the_committed_results_are_what_the_committed_data_say(tmp_path):
    """RESULTS.md is made, not written; pictures need matplotlib, and a heading may hold nothing else."""
    def text(path):
        lines = path.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line and line not in captions and not line.startswith(("![", "## "))]

    root = Path(__file__).parents[2]
    captions = re.findall(r"!\[(.*?)\]", (root / "tutorials" / "RESULTS.md").read_text(encoding="utf-8"))
    write_report(root / "data_samples" / "study", tmp_path / "RESULTS.md")
    got, expected = text(tmp_path / "RESULTS.md"), text(root / "tutorials" / "RESULTS.md")
    for a, b in zip(got, expected):
        assert a == b, f"got {a!r}, expected {b!r}: run study --report and commit what it writes"
    assert len(got) == len(expected)


def test_what_is_committed_of_the_study_stays_under_eight_megabytes():
    data = Path(__file__).parents[2] / "data_samples" / "study"
    size = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    assert 1e6 < size < 8e6, f"{size / 1e6:.2f} MB: fewer cells, or fewer outcomes per sentence"


def test_every_panel_of_a_figure_shows_something_and_says_of_which_study(plans, tmp_path, monkeypatch):
    """Four settings in rows of three; a condition far below the others is told of and presses none together."""
    pytest.importorskip("matplotlib")
    for study, right in (("one", RIGHT), ("two", RIGHT | {"paper": RIGHT["plain"]})):
        plan = plans(values=[{"epochs": 1}, {"epochs": 2}])
        plant(tmp_path / study, plan, right | {"random": 0.1}, number=1, size=SIZE)
        collect(tmp_path / study, plan, tmp_path / "data" / study)
    drawn = {}
    monkeypatch.setattr(report_figures, "save", lambda folder, figures: drawn.update(figures) or [])
    write_report(tmp_path / "data", tmp_path / "RESULTS.md")
    for name in ("study_differences", "study_words", "study_frontier"):
        axes = drawn[name].axes
        assert all(axis.has_data() for axis in axes), f"{name} has an empty panel"
        assert len({axis.get_title().split("\n")[0] for axis in axes}) == 4, f"{name}: titles that are alike"
    of_setting = {}
    for axis in drawn["study_differences"].axes:
        of_setting.setdefault(axis.get_title().split("/")[1], []).append(axis)
        assert any(set(line.get_xdata()) == {2.0} for line in axis.lines), "the paper's gain is not drawn"
        assert axis.lines[0].get_color() == "gray", "plain-again, the first, is not tested"
        assert [label.get_text() for label in axis.get_yticklabels()] == CONDITIONS[1:], "a line has another's name"
    for axis in drawn["study_dialects"].axes:  # in the second study, no gain is planted
        for line, (segment,) in zip(axis.lines, (bar.get_segments() for bar in axis.collections)):
            low, high = segment[:, 0]
            assert (line.get_color() == "gray") == (low <= 0 <= high), f"{axis.get_title()}: {low} to {high}"
    for one, two in of_setting.values():
        assert one.get_shared_x_axes().joined(one, two), "two studies of a setting have two scales"
    for axis in drawn["study_frontier"].axes:
        assert axis.get_ylim()[0] > -11 and "outside: random (" in axis.get_title(), "drawn, or not told of"


def test_a_condition_that_two_studies_explain_differently_keeps_both(primary):
    setting, = read_data(primary[2])
    other = {**setting.said["conditions"], "paper": {**setting.said["conditions"]["paper"], "why": "Another reason."}}
    lines = why([setting, setting, replace(setting, said={**setting.said, "conditions": other})])
    assert len(lines) == len(set(lines)) == len(CONDITIONS) + 1 and lines[-1] == "- **paper**: Another reason.", lines


def test_a_map_draws_the_leakage_of_every_condition(plans, tmp_path, monkeypatch):
    """Planted: at each of three points, a tenth of the words are the standard's, of paper's two tenths."""
    pytest.importorskip("matplotlib")
    plan = plans(values=[{"epochs": epochs} for epochs in (1, 2, 4)])
    plant(tmp_path / "run", plan, dict.fromkeys(CONDITIONS, 0.5), dict.fromkeys(CONDITIONS, 0.2) | {"paper": 0.4}, None,
          luck=0, size={"templates": 12, "keys": 4})
    collect(tmp_path / "run", plan, tmp_path / "data" / "map")
    drawn = {}
    monkeypatch.setattr(report_figures, "save", lambda folder, figures: drawn.update(figures) or [])
    write_report(tmp_path / "data", tmp_path / "RESULTS.md")
    gains, leakage, over = drawn["study_map_map"].axes
    heights = {line.get_label(): line.get_ydata() for line in leakage.lines}
    assert list(heights) == CONDITIONS and leakage.get_ylabel() == "leakage, %"
    for name, expected in (("plain", 10), ("paper", 20)):
        assert heights[name] == pytest.approx([expected] * 3, abs=3), f"leakage of {name}"
    assert [tick.get_text() for tick in leakage.get_xticklabels()] == ["1", "2", "4"]


def test_random_matched_leaves_as_large_a_share_inside_as_the_papers_penalty():
    """Its strength was chosen for that, and the cells of the report were made with the strength of the package."""
    explore = next(s for s in read_data(Path(__file__).parents[2] / "data_samples" / "study") if s.study == "explore")
    ours = next(arm.options for arm in EXPLORATORY if arm.name == "random-matched")
    assert explore.said["conditions"]["random-matched"]["options"] == ours, "run again with this strength, or mend it"
    share = {arm: comparisons.probed(explore, arm, "energy_penalised_percent").mean()
             for arm in ("paper", "random", "random-matched")}
    assert 0.5 < share["random-matched"] / share["paper"] < 2, f"shares left inside, in percent: {share}"
    assert share["random"] < share["paper"] / 4, "equal strength would have been equal effect: no need to match"


def test_what_theory_tells_of_open_choices_stands_in_results():
    """THEORY's section 12: a condition, its difference in chrF++ and, in brackets, in leakage."""
    pages = Path(__file__).parents[2] / "tutorials"
    results, theory = ((pages / name).read_text(encoding="utf-8") for name in ("RESULTS.md", "THEORY.md"))
    explored = results.split("### explore/under-trained")[1].split("\n## ")[0]
    rows = {cells[0]: cells[1:] for cells in ([cell.strip() for cell in line.strip("|").split("|")]
                                              for line in explored.splitlines() if line.startswith("| "))}
    assert "not measured" not in theory
    told = re.findall(r"`([\w.-]+)` ([+-][\d.]+) \(leakage ([+-][\d.]+)\)", theory.split("## 12.")[1])
    assert len(told) >= 30, f"read only {told}"
    for condition, gain, leaked in told:
        there = [rows[condition][column].split(" ")[0] for column in (0, 2)]
        assert [gain, leaked] == there, f"THEORY says {gain} and {leaked} of {condition}, RESULTS says {there}"
