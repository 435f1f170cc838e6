"""Arms are data: a name and the options in which it differs from the first."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.model.transformer import Transformer
from tinydecouple.options import DecoupleOptions, ModelOptions, TrainOptions
from tinydecouple.study.conditions import CONDITIONS, EXPLORATORY, HELPS, PRIMARY, Arm, apply, choose_arms, demo_arms
from tinydecouple.training import train as loop
from tinydecouple.training.batches import collate, finetuning_examples
from tinydecouple.training.gather import at_positions, penalised
from tinydecouple.training.pipeline import decouplers


def test_an_arm_changes_its_own_options_and_no_other():
    train, decouple = TrainOptions(epochs=3), DecoupleOptions(strength=0.0, layer="2")
    arm = Arm("weighted", "the standard's loss is down-weighted", {"standard_weight": 0.3, "strength": 0.2})
    assert apply(arm, train, decouple) == (TrainOptions(epochs=3, standard_weight=0.3),
                                           DecoupleOptions(strength=0.2, layer="2"))


def test_the_demos_arms_share_all_but_the_penalty():
    """Equal strength is equal force: the random control differs in its direction alone."""
    plain, decoupled, random = (apply(arm, TrainOptions(), DecoupleOptions(strength=0.0)) for arm in demo_arms(0.1))
    assert plain[0] == decoupled[0] == random[0] and plain[1].strength == 0
    assert decoupled[1].strength == random[1].strength == 0.1 and random[1].frozen and not decoupled[1].frozen
    assert (decoupled[1].subspace, random[1].subspace) == ("probe", "random-from-states")


def test_arms_are_chosen_by_name_in_the_order_given():
    assert [arm.name for arm in choose_arms(demo_arms(0.1), "random, plain")] == ["random", "plain"]


@pytest.mark.parametrize("names, says", [("plain,frozen", "`arms` 'frozen' is unknown; expected some of plain, "
                                          "decoupled, random"), ("plain,plain", "plain twice"), ("", "'' is unknown")])
def test_arms_that_cannot_be(names, says):
    with pytest.raises(TinyDecoupleError, match=says):
        choose_arms(demo_arms(0.1), names)


def test_an_option_that_nobody_has_is_named():
    with pytest.raises(TinyDecoupleError, match="arm odd: unknown option 'colour'; expected some of .*strength"):
        apply(Arm("odd", "", {"colour": 1}), TrainOptions(), DecoupleOptions())


NAMED = {condition.name: condition for condition in CONDITIONS}
BASE = TrainOptions(learning_rate=0.0, max_grad_norm=0.0), DecoupleOptions(
    strength=10.0, layer="2", refreshes=5, probe_states=1500, probe_steps=20)


@pytest.fixture(scope="module")
def take_steps(corpus, tokenizer):
    """A function (condition, learning rate) -> three steps: log records, decouplers, the model, its options."""
    examples = finetuning_examples(corpus, tokenizer, "train", 4)

    def run(condition, learning_rate=0.0):
        train, decouple = apply(condition, BASE[0], BASE[1])
        sizes = ModelOptions(tokenizer.size, 16, 4, 2)
        model = Transformer(**asdict(sizes), generator=torch.Generator().manual_seed(0))
        cores = decouplers(decouple, len(corpus.family), sizes)
        optimizer = loop.make_optimizer(model, train)
        train = apply(Arm("", "", {"learning_rate": learning_rate}), train, decouple)[0]
        records = []
        for step in range(3):
            records += loop.refresh(model, cores, examples, tokenizer.pad, train, step)
            batch = collate(examples[step::40], tokenizer.pad)
            records.append(loop.train_step(model, optimizer, batch, train, cores, step, 3))
        return records, cores, model, (train, decouple), batch

    return run


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda c: c.name)
def test_every_condition_trains(take_steps, condition):
    records, cores, model, (train, decouple), _ = take_steps(condition, 1e-3)
    assert all(np.isfinite(r["loss"]) for r in records if "loss" in r) and len(records) >= 3
    assert bool(cores) == bool(decouple.refreshes)
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_every_condition_differs_from_every_other():
    options = {str(apply(condition, *BASE)): condition.name for condition in CONDITIONS}
    same = {c.name for c in CONDITIONS} - set(options.values())
    assert same <= {"paper", "layer-2", "refreshes-5", "random"}, f"{same} are other names of the setting itself"
    assert len(PRIMARY) + len(EXPLORATORY) + len(HELPS) == len(NAMED)


@pytest.mark.parametrize("name", ["plain", "plain-again", "weighted", "plain-longer"])
def test_what_is_called_plain_has_no_probe_and_no_penalty(take_steps, name):
    records, cores, *_ = take_steps(NAMED[name])
    assert not cores and all("penalty" not in record for record in records)


@pytest.mark.parametrize("name, measure", [
    ("paper", lambda h, core: ((h - core.mean) @ core.basis).norm(dim=-1)),
    ("random", lambda h, core: ((h - core.mean) @ core.basis).norm(dim=-1)),
    ("not-centred", lambda h, core: (h @ torch.from_numpy(core.basis)).norm(dim=-1)),
    ("squared", lambda h, core: ((h - core.mean) @ core.basis).norm(dim=-1)**2),
    ("normalised", lambda h, core: ((h - core.mean) @ core.basis).norm(dim=-1) / (h - core.mean).norm(dim=-1)),
    ("one-sided", lambda h, core: ((h - core.mean) @ core.basis).clamp(min=0)),
    ("shrunk", lambda h, core: h.norm(dim=-1))])
def test_what_is_penalised_is_what_the_condition_says(take_steps, name, measure):
    """The log's penalty is the mean, over the tokens that the condition names, of what it is said to be."""
    records, cores, model, (_, decouple), batch = take_steps(NAMED[name])
    h = model(torch.from_numpy(batch.inputs))[2]
    h = at_positions(h, penalised(batch, decouple.tokens, decouple.penalised)).detach()
    core = cores[2]
    core.mean, core.basis = torch.from_numpy(core.mean), core.basis if name == "not-centred" else torch.from_numpy(
        core.basis)
    assert records[-1]["penalty"] == pytest.approx(measure(h, core).mean().item(), rel=1e-4)


@pytest.mark.parametrize("name, moves", [("paper", True), ("frozen", False), ("random", False), ("dealt", True)])
def test_which_conditions_follow_the_states(take_steps, name, moves):
    """With a high learning rate the states move, and the basis of the last refresh is not that of the first."""
    kept = []
    original = loop.Decoupler.penalty
    try:
        loop.Decoupler.penalty = lambda core, h, y: kept.append(core.basis.copy()) or original(core, h, y)
        take_steps(NAMED[name], 1e-2)
    finally:
        loop.Decoupler.penalty = original
    assert (not np.array_equal(kept[0], kept[-1])) == moves


def test_the_layers_of_the_layer_conditions(take_steps):
    layers = {name: list(take_steps(NAMED[name])[1]) for name in ("layer-0", "layer-3", "all-layers", "paper")}
    assert layers == {"layer-0": [0], "layer-3": [3], "all-layers": [1, 2, 3, 4], "paper": [2]}
