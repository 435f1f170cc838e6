"""Arms, as data: what is compared, and the options in which each differs from the first."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.options import DecoupleOptions, TrainOptions


@dataclass(frozen=True)
class Arm:
    """A name, why it is there, and the options in which it differs from the arm that it is compared with."""

    name: str
    why: str
    options: dict[str, Any] = field(default_factory=dict)


def demo_arms(strength: float) -> tuple[Arm, ...]:
    """The demo's arms; strength: lambda of those that penalise. The first is what the others are compared with.

    The demo runs DEMO of them unless told: a third fine-tuning would take it past four minutes on two cores.
    """
    return (
        Arm("plain", "fine-tuning alone, observed by the probe"),
        Arm("decoupled", "penalises the standard's subspace, refreshed online", {"strength": strength}),
        Arm("random", "the control: penalises a random direction of the states with the same strength",
            {"strength": strength, "subspace": "random-from-states", "frozen": True}),
    )


DEMO = "plain,decoupled"


def choose_arms(arms: tuple[Arm, ...], names: str) -> tuple[Arm, ...]:
    """The arms named, such as 'plain,random', in that order.

    Raises TinyDecoupleError for a name that is unknown or stands there twice.
    """
    known = {arm.name: arm for arm in arms}
    wanted = [name.strip() for name in names.split(",")]
    for i, name in enumerate(wanted):
        if name not in known:
            raise TinyDecoupleError(f"`arms` {name!r} is unknown; expected some of {', '.join(known)}")
        if name in wanted[:i]:
            raise TinyDecoupleError(f"`arms` names {name} twice; name each arm once")
    return tuple(known[name] for name in wanted)


def apply(arm: Arm, train: TrainOptions, decouple: DecoupleOptions) -> tuple[TrainOptions, DecoupleOptions]:
    """The options of an arm: those given, with the arm's own in their place.

    Raises TinyDecoupleError for an option that neither training nor the decoupler has.
    """
    sides = [{f.name for f in fields(options)} for options in (train, decouple)]
    if unknown := arm.options.keys() - sides[0] - sides[1]:
        raise TinyDecoupleError(f"arm {arm.name}: unknown option {min(unknown)!r}; expected some of "
                                f"{', '.join(sorted(sides[0] | sides[1]))}")
    ours = [{name: value for name, value in arm.options.items() if name in side} for side in sides]
    return replace(train, **ours[0]), replace(decouple, **ours[1])
