"""Arms are data: a name and the options in which it differs from the first."""

import pytest

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.options import DecoupleOptions, TrainOptions
from tinydecouple.study.conditions import Arm, apply, choose_arms, demo_arms


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
