"""A plan is data: what it names is what is run, a seed redraws all but dev and test, and every mistake is named."""

import json
import re

import pytest

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.study.conditions import CONDITIONS, HELPS, PRIMARY
from tinydecouple.study.plan import PLANS, chosen_cells, known_plans, read_plan
from tinydecouple.text.readers import load_corpus


@pytest.mark.parametrize("name", known_plans())
def test_the_packages_plans_can_be_read(name):
    cells = [cell.name for cell in read_plan(name).cells()]
    assert cells and len(set(cells)) == len(cells)


def test_the_full_plan_is_the_seven_conditions_with_eight_seeds_in_both_settings():
    plan = read_plan("full")
    assert {setting.name for setting in plan.settings} == {"trained-through", "under-trained"}
    assert all([arm.name for arm in arms] == [arm.name for arm in PRIMARY] for arms in plan.arms.values())
    assert len(PRIMARY) == 7 and len(plan.seeds) == 8 and len(list(plan.cells())) == 7 * 8 * 2
    assert (PLANS / "quick.json").exists() and len(list(read_plan("quick").cells())) == 3 * 2


def test_every_condition_is_explained_in_two_sentences():
    names = [condition.name for condition in CONDITIONS]
    assert len(set(names)) == len(names)
    for condition in CONDITIONS:
        sentences = re.findall(r"[^.]+\.(?= |$)", condition.why.replace("0.01", "0,01"))
        assert len(sentences) == 2, f"{condition.name}: {len(sentences)} sentences: {condition.why}"


def test_a_seed_redraws_everything_but_dev_and_test(plan):
    one, two = (next(cell for cell in plan.cells() if cell.seed == seed) for seed in (1, 2))
    for cell in (one, two):
        assert {cell.corpus.sample_seed, cell.pretrain.seed, cell.options[0].seed} == {cell.seed}
    first, second = load_corpus(one.corpus), load_corpus(two.corpus)
    assert first.split == second.split, "the keys of dev and test change with the seed"
    for split, same in (("dev", True), ("test", True), ("train", False)):
        drawn = [{key: corpus.texts[key] for key in corpus.keys(split)} for corpus in (first, second)]
        assert (drawn[0] == drawn[1]) == same, f"{split} {'changes' if same else 'does not change'} with the seed"


def test_conditions_share_all_that_they_do_not_name(plan):
    plain, paper = (cell.configuration() for cell in plan.cells() if cell.seed == 1)
    assert {part for part in plain if plain[part] != paper[part]} == {"decouple"}
    assert (plain["decouple"]["strength"], paper["decouple"]["strength"]) == (0, 0.5)


def test_a_condition_may_be_changed_under_another_name(write_plan):
    like = {"name": "paper-strong", "like": "paper", "options": {"strength": 2, "epochs": 3}}
    plan = read_plan(write_plan(conditions=["plain", "paper", like], tuned={"tiny": {"paper": {"epochs": 2}}}))
    changed = {cell.arm.name: cell.options for cell in plan.cells()}
    assert {name: (train.epochs, decouple.strength) for name, (train, decouple) in changed.items()} == {
        "plain": (1, 0), "paper": (2, 0.5), "paper-strong": (3, 2)}


def test_tuned_options_may_lie_in_a_file_beside_the_plan(write_plan, tmp_path):
    (tmp_path / "tuned.json").write_text(json.dumps({"tiny": {"plain": {"dropout": 0.25}}}), encoding="utf-8")
    path = tmp_path / "plan.json"
    with open(write_plan(tuned="tuned.json"), encoding="utf-8") as file:
        path.write_text(file.read(), encoding="utf-8")
    assert [cell.options[0].dropout for cell in read_plan(str(path)).cells()][:2] == [0.25, 0]


def test_trials_give_every_condition_the_same_options_and_begin_with_none(write_plan):
    space = {"epochs": [1, 2, 3], "learning_rate": {"low": 1e-3, "high": 1e-2}}
    plan = read_plan(write_plan(trials={"count": 5, "seed": 3, "space": space, "also": {"paper": {"strength": [7.5]}}}))
    assert list(plan.trials) == ["plain", "paper"] and list(plan.trials["plain"]) == [f"plain+{i}" for i in range(1, 6)]
    plain, paper = (list(plan.trials[name].values()) for name in ("plain", "paper"))
    assert plain[0] == paper[0] == {}
    for ours, theirs in zip(plain[1:], paper[1:]):
        assert theirs == ours | {"strength": 7.5}
        assert ours["epochs"] in (1, 2, 3) and 1e-3 <= ours["learning_rate"] <= 1e-2
    assert len({str(trial) for trial in plain}) == 5
    rates = [cell.options[0].learning_rate for cell in plan.cells() if cell.arm.name in plan.trials["plain"]]
    assert rates[:5] == [4e-3, *(trial["learning_rate"] for trial in plain[1:])]


def test_cells_are_chosen_by_condition_seed_and_setting(plan):
    assert [cell.name for cell in chosen_cells(plan, "tiny", ("paper", "2"))] == ["tiny/paper/2"]
    for setting, cell, says in (
            ("big", None, "`setting` 'big': not in the plan; expected one of tiny"),
            (None, ("odd", "1"), "condition 'odd' is not in the plan; expected one of plain, paper"),
            (None, ("paper", "7"), "seed '7' is not in the plan; expected one of 1, 2")):
        with pytest.raises(TinyDecoupleError, match=says):
            chosen_cells(plan, setting, cell)


def tiny(**changes):
    return {"settings": {"tiny": changes}}


@pytest.mark.parametrize("changes, says", [
    ({"colour": 1}, "unknown 'colour'; expected some of settings, conditions, seeds"),
    ({"conditions": ["plain", "odd"]}, r"conditions\[1\]: condition 'odd' is unknown; expected one of plain, plain-ag"),
    ({"conditions": ["plain", "plain"]}, "name plain twice"),
    ({"conditions": []}, "expected conditions, a list that is not empty"),
    ({"conditions": [{"name": "../up", "like": "paper"}]}, "is to be a folder's"),
    ({"conditions": [{"like": "paper", "options": {"colour": 1}}]}, "unknown 'colour'; expected some of epochs"),
    ({"conditions": [{"like": "paper", "options": {"seed": 1}}]}, "a cell's seed is the plan's"),
    ({"conditions": [{"like": "paper", "options": {"strength": "much"}}]}, "strength: expected float, found \"much\""),
    ({"conditions": ["layer-3"]}, "condition layer-3 in setting tiny: `layer` 3: the model has layers 0"),
    ({"conditions": [{"like": "one-sided", "options": {"rank": 2}}]}, "one-sided needs `rank` 1"),
    ({"seeds": [1, 1]}, r"seeds\[1\] is 1; expected different"), ({"seeds": [0]}, r"seeds\[0\] is 0"),
    ({"seeds": [True]}, r"seeds\[0\] is true"), ({"seeds": 3}, "expected seeds, a list"),
    (tiny(colour=1), "settings.tiny: unknown 'colour'; expected some of corpus, model"),
    (tiny(train={"epoch": 1}), "settings.tiny.train: unknown 'epoch'; expected some of epochs"),
    (tiny(train={"epochs": 0}), "train.epochs: 0 is not within 1 to 1000000"),
    (tiny(train={"epochs": 1.5}), "train.epochs: expected int, found 1.5"),
    (tiny(train={"epochs": True}), "train.epochs: expected int, found true"),
    (tiny(train={"learning_rate": 10**400}), "learning_rate: expected float, found 1000"),
    ({"seeds": [10**400]}, "expected different whole numbers from 1 to 4294967295"),
    (tiny(train={"dropout": float("nan")}), "train.dropout: nan is not within 0 to 0.9"),
    (tiny(decouple={"labels": "some"}), "decouple.labels: some is not one of one-vs-rest"),
    (tiny(decouple={"frozen": 1}), "decouple.frozen: expected bool, found 1"),
    (tiny(corpus={"varieties": 3}), "corpus.varieties: expected a text, found 3"),
    (tiny(beam=0), "settings.tiny.beam: 0 is no whole number from 1 on"),
    (tiny(end_biases=[1, "x"]), "is no list of numbers"),
    (tiny(model=[1]), r"settings.tiny.model: expected an object, found \[1\]"),
    ({"trials": {"space": {"colour": [1]}}}, "unknown 'colour'"),
    ({"trials": {"space": {"epochs": []}}}, "trials.space.epochs: expected a list of values"),
    ({"trials": {"space": {"learning_rate": {"low": 0, "high": 1}}}}, "both above 0"),
    ({"trials": {"count": 0}}, "count 0"), ({"trials": {"also": {"odd": {}}}}, "trials.also: unknown 'odd'"),
    ({"tuned": {"big": {}}}, "tuned: unknown 'big'; expected some of tiny"),
    ({"tuned": {"tiny": {"odd": {}}}}, "tuned.tiny: unknown 'odd'; expected some of plain, paper"),
    ({"tuned": {"tiny": {"plain": {"odd": 1}}}}, "unknown 'odd'; expected some of epochs"),
    ({"tuned": "nowhere.json"}, "nowhere.json: no such file"),
])
def test_a_mistake_in_a_plan_is_named_with_its_place(write_plan, changes, says):
    with pytest.raises(TinyDecoupleError, match=says):
        read_plan(write_plan(**changes))


@pytest.mark.parametrize("text, says", [
    ("{", r"plan.json:1:2: not JSON"), ("[]", r"expected an object, found \[\]"),
    ("[" * 100_000, "not JSON that can be read"), ('{"seeds": [' + "9" * 9000 + "]}", "not JSON that can be read")])
def test_a_file_that_is_no_plan(tmp_path, text, says):
    (tmp_path / "plan.json").write_text(text, encoding="utf-8")
    with pytest.raises(TinyDecoupleError, match=says):
        read_plan(str(tmp_path / "plan.json"))
    there = ", ".join(known_plans())
    with pytest.raises(TinyDecoupleError, match=f"nowhere: no such plan; name a JSON file or one of {there}"):
        read_plan("nowhere")


def test_the_plan_of_what_helps_tries_each_of_its_arms_four_times():
    """Eight variants and the two that they are compared with; the trials of an arm differ in options of its own."""
    helps = read_plan("helps")
    assert len(helps.trials) == 10 and {arm.name for arm in HELPS} <= set(helps.trials)
    for arm, trials in helps.trials.items():
        assert len({json.dumps(options) for options in trials.values()}) == 4, f"{arm}: two trials are the same"
    assert not {1, 2, 3, 4, 5, 6, 7, 8} & set(helps.seeds), "seeds of the final are not to be tuned on"
