"""Tuning: each condition with the options of several trials, and which of them is best on dev."""

import json
from functools import partial
from typing import Any

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.study.checks import check_names, is_number, read_changes
from tinydecouple.study.conditions import Arm


def read_trials(given: Any, arms: list[Arm], where: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Arm -> name of a trial -> the options that it changes; without trials, the arm itself, which changes nothing.

    The options of a space are drawn for all arms alike: of a list, one; of low and high, log-uniformly. `also`: arm ->
    a space of its own beside that.
    """
    if given is None:
        return {arm.name: {arm.name: {}} for arm in arms}
    check_names(given, ("count", "seed", "space", "also"), where)
    count, seed = given.get("count", 8), given.get("seed", 1)
    if type(count) is not int or not 1 <= count <= 1000 or type(seed) is not int or seed < 0:
        raise TinyDecoupleError(f"{where}: count {json.dumps(count)} and seed {json.dumps(seed)} are to be whole "
                                "numbers, from 1 to 1000 and from 0 on")
    also = given.get("also", {})
    check_names(also, [arm.name for arm in arms], f"{where}.also")
    trials: dict[str, dict[str, dict[str, Any]]] = {arm.name: {} for arm in arms}
    for arm in arms:
        for number in range(count):
            draw = partial(drawn, rng=np.random.default_rng([seed, number]))
            spaces = [(given.get("space", {}), f"{where}.space"), (also.get(arm.name, {}), f"{where}.also.{arm.name}")]
            options = {name: draw(space[name], f"{at}.{name}") for space, at in spaces for name in space}
            trials[arm.name][f"{arm.name}+{number + 1}"] = read_changes(options, where) if number else {}
    return trials


def drawn(space: Any, where: str, rng: np.random.Generator) -> Any:
    """One value of a space: a list, or an object with low and high."""
    if isinstance(space, list) and space:
        return space[rng.integers(len(space))]
    if isinstance(space, dict) and set(space) == {"low", "high"} and all(map(is_number, space.values())):
        if 0 < space["low"] <= space["high"]:
            return float(f"{np.exp(rng.uniform(*np.log([space['low'], space['high']]))):.3g}")
    raise TinyDecoupleError(f"{where}: expected a list of values, or low and high, both above 0; found "
                            f"{json.dumps(space)}")
