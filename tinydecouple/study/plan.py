"""A plan: settings x conditions x seeds, read from a JSON file, in which every mistake is named.

    {"settings": {"under-trained": {"corpus": {"per_variety": 500}, "model": {}, "pretrain": {}, "train": {"epochs": 1},
                                    "decouple": {"layer": "last", "strength": 0.1}}},
     "conditions": ["plain", {"name": "paper-0.3", "like": "paper", "options": {"strength": 0.3}}],
     "seeds": [1, 2, 3],
     "trials": {"count": 8, "seed": 1, "space": {"epochs": [1, 2], "learning_rate": {"low": 0.001, "high": 0.01}}},
     "tuned": {"under-trained": {"plain": {"epochs": 2}}}}

A setting's options are those of the dataclasses of that name, and their defaults. `trials` and `tuned` may be left out.
With trials each condition is run with each trial's options; the first trial changes nothing. `tuned`, or a file that
holds it, gives a condition the options that were chosen for it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.options import MOST, PRETRAIN, DecoupleOptions, ModelOptions, TrainOptions, shown
from tinydecouple.study.checks import check_name, check_names, is_number, read_changes, read_json, read_options
from tinydecouple.study.conditions import CONDITIONS, PLANS, Arm, apply, known_plans
from tinydecouple.study.trials import read_trials
from tinydecouple.text.readers import CorpusOptions


@dataclass(frozen=True)
class Setting:
    """What the conditions of a comparison share. end_biases: those at which each cell's output length is measured."""

    name: str
    corpus: CorpusOptions
    model: ModelOptions
    pretrain: TrainOptions
    train: TrainOptions
    decouple: DecoupleOptions
    beam: int = 1
    end_biases: tuple[float, ...] = (-2.0, -1.0, 1.0, 2.0)
    probe_states: int = 300  # per variety, of the probes after training


@dataclass(frozen=True)
class Cell:
    """A condition in a setting with a seed: what one folder holds."""

    setting: Setting
    arm: Arm
    seed: int

    @property
    def name(self) -> str:
        return f"{self.setting.name}/{self.arm.name}/{self.seed}"

    @property
    def corpus(self) -> CorpusOptions:
        return replace(self.setting.corpus, sample_seed=self.seed)

    @property
    def pretrain(self) -> TrainOptions:
        return replace(self.setting.pretrain, seed=self.seed)

    @property
    def options(self) -> tuple[TrainOptions, DecoupleOptions]:
        train, decouple = apply(self.arm, self.setting.train, self.setting.decouple)
        return replace(train, seed=self.seed), decouple

    def configuration(self) -> dict[str, Any]:
        train, decouple = self.options
        return {"corpus": asdict(self.corpus), "model": asdict(self.setting.model), "pretrain": asdict(self.pretrain),
                "train": asdict(train), "decouple": asdict(decouple), "beam": self.setting.beam,
                "end_biases": list(self.setting.end_biases), "probe_states": self.setting.probe_states}


@dataclass(frozen=True)
class Plan:
    settings: tuple[Setting, ...]
    arms: dict[str, tuple[Arm, ...]]  # setting -> its arms, of which the first is what the others are compared with
    seeds: tuple[int, ...]
    trials: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)  # as of read_trials; empty without

    def cells(self) -> Iterator[Cell]:
        """Seed by seed, so that a study that is stopped holds whole comparisons."""
        for seed in self.seeds:
            for setting in self.settings:
                yield from (Cell(setting, arm, seed) for arm in self.arms[setting.name])


def read_plan(named: str) -> Plan:
    """Read a plan: a JSON file, or one of the package's, by its name.

    Raises TinyDecoupleError for a file that is none and for anything in it that is unknown or cannot be.
    """
    path = Path(named) if Path(named).exists() else PLANS / f"{named}.json"
    if not path.is_file():
        raise TinyDecoupleError(f"{named}: no such plan; name a JSON file or one of {', '.join(known_plans())}")
    given = read_json(path)
    where = str(path)
    check_names(given, ("settings", "conditions", "seeds", "trials", "tuned"), where)
    for name, kind in (("settings", dict), ("conditions", list), ("seeds", list)):
        if not isinstance(given.get(name), kind) or not given[name]:
            raise TinyDecoupleError(f"{where}: expected {name}, {'an object' if kind is dict else 'a list'} that is "
                                    f"not empty, found {json.dumps(given.get(name))}")
    settings = tuple(read_setting(name, said, f"{where}: settings.{name}") for name, said in given["settings"].items())
    arms = [read_condition(said, f"{where}: conditions[{i}]") for i, said in enumerate(given["conditions"])]
    if twice := [arm.name for i, arm in enumerate(arms) if arm.name in [a.name for a in arms[:i]]]:
        raise TinyDecoupleError(f"{where}: conditions name {twice[0]} twice; give one another name")
    trials = read_trials(given.get("trials"), arms, f"{where}: trials")
    tuned = given.get("tuned", {})
    if isinstance(tuned, str):
        tuned = read_json(path.parent / tuned)
    check_names(tuned, [setting.name for setting in settings], f"{where}: tuned")
    of_setting = {}
    for setting in settings:
        ours = tuned.get(setting.name, {})
        check_names(ours, [arm.name for arm in arms], f"{where}: tuned.{setting.name}")
        of_setting[setting.name] = tuple(
            check_arm(changed(arm, ours.get(arm.name, {}) | trial, name), setting, where)
            for arm in arms for name, trial in trials[arm.name].items())
    return Plan(settings, of_setting, read_seeds(given["seeds"], where), trials if "trials" in given else {})


def chosen_cells(plan: Plan, setting: str | None = None, cell: Sequence[str] | None = None) -> list[Cell]:
    """All cells of a plan, those of a setting, or one, named by condition and seed, in the settings that are left."""
    known = [s.name for s in plan.settings]
    if setting and setting not in known:
        raise TinyDecoupleError(f"`setting` {setting!r}: not in the plan; expected one of {', '.join(known)}")
    cells = [c for c in plan.cells() if setting in (None, c.setting.name)]
    if cell:
        conditions, seeds = dict.fromkeys(c.arm.name for c in cells), dict.fromkeys(str(c.seed) for c in cells)
        for what, value, valid in (("condition", cell[0], conditions), ("seed", cell[1], seeds)):
            if value not in valid:
                raise TinyDecoupleError(f"`cell`: {what} {value!r} is not in the plan; expected one of "
                                        f"{', '.join(valid)}")
        cells = [c for c in cells if (c.arm.name, str(c.seed)) == tuple(cell)]
    return cells


def read_setting(name: str, said: Any, where: str) -> Setting:
    kinds = {"corpus": CorpusOptions(), "model": ModelOptions(), "pretrain": PRETRAIN, "train": TrainOptions(),
             "decouple": DecoupleOptions()}
    simple = ("beam", "end_biases", "probe_states")
    check_names(said, (*kinds, *simple), where)
    check_name(name, where)
    options = {kind: read_options(defaults, said.get(kind, {}), f"{where}.{kind}") for kind, defaults in kinds.items()}
    rest = {key: said[key] for key in simple if key in said}
    for key, least in (("beam", 1), ("probe_states", 10)):
        if key in rest and (type(rest[key]) is not int or rest[key] < least):
            raise TinyDecoupleError(f"{where}.{key}: {json.dumps(rest[key])} is no whole number from {least} on")
    if "end_biases" in rest:
        if not isinstance(rest["end_biases"], list) or not all(map(is_number, rest["end_biases"])):
            raise TinyDecoupleError(f"{where}.end_biases: {json.dumps(rest['end_biases'])} is no list of numbers")
        rest["end_biases"] = tuple(map(float, rest["end_biases"]))
    return Setting(name, **options, **rest)


def read_condition(said: Any, where: str) -> Arm:
    """A condition's name, or an object: its own name, the condition that it is like, and the options it changes."""
    known = {arm.name: arm for arm in CONDITIONS}
    if isinstance(said, str):
        said = {"like": said}
    check_names(said, ("name", "like", "options", "why"), where)
    if said.get("like") not in known:
        raise TinyDecoupleError(f"{where}: condition {said.get('like')!r} is unknown; expected one of "
                                f"{', '.join(known)}")
    arm = known[said["like"]]
    check_name(said.get("name", arm.name), where)
    arm = changed(arm, read_changes(said.get("options", {}), f"{where}.options"), said.get("name", arm.name))
    return replace(arm, why=said.get("why", arm.why))


def changed(arm: Arm, options: dict[str, Any], name: str) -> Arm:
    return replace(arm, name=name, options={**arm.options, **options})


def check_arm(arm: Arm, setting: Setting, where: str) -> Arm:
    """The arm, if its options can be trained in the setting, as far as can be seen without its corpus."""
    from tinydecouple.training.pipeline import decouplers  # brings PyTorch, which the command line does without

    read_changes(arm.options, f"{where}: condition {arm.name}")
    try:
        decouple = apply(arm, setting.train, setting.decouple)[1]
        decouplers(decouple, max(decouple.one, decouple.rank) + 2, setting.model)
    except TinyDecoupleError as error:
        raise TinyDecoupleError(f"{where}: condition {arm.name} in setting {setting.name}: {error}") from None
    return arm


def read_seeds(given: list[Any], where: str) -> tuple[int, ...]:
    for i, seed in enumerate(given):
        if type(seed) is not int or not 1 <= seed <= MOST[int] or seed in given[:i]:
            raise TinyDecoupleError(f"{where}: seeds[{i}] is {shown(json.dumps(seed))}; expected different whole "
                                    f"numbers from 1 to {MOST[int]}")
    return tuple(given)
