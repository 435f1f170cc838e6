"""Arms and conditions, as data: what is compared, and the options in which each differs from its setting.

A condition of the study is an Arm whose `why` says in two sentences what it does and what it is there for.
"""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
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
    """The demo's arms; strength: lambda of those that penalise. The first is what the others are compared with."""
    return (
        Arm("plain", "fine-tuning alone, observed by the probe"),
        Arm("decoupled", "penalises the standard's subspace, refreshed online", {"strength": strength}),
        Arm("random", "the control: penalises a random direction of the states with the same strength",
            {"strength": strength, "subspace": "random-from-states", "frozen": True}),
    )


PLANS = Path(__file__).parent / "plans"


def known_plans() -> list[str]:
    return sorted(path.stem for path in PLANS.glob("*.json"))


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


PLAIN = {"strength": 0.0, "refreshes": 0}
PAPER = {"subspace": "probe", "labels": "one-vs-rest"}
PRIMARY = (
    Arm("plain", "Fine-tuning alone, without a probe. What every other condition is compared with.", PLAIN),
    Arm("plain-again", "Plain with another batch order. Shows how far two runs of one condition differ (A/A).",
        {**PLAIN, "batch_seed": 1}),
    Arm("paper", "Penalises the standard's direction, found by a probe of the standard against the rest and refreshed "
        "online. The method.", PAPER),
    Arm("random", "Penalises a random mixture of the states with the same strength. The control for the direction.",
        {"subspace": "random-from-states", "frozen": True}),
    Arm("weighted", "Plain with the loss on the standard's tokens weighted down. Shows what less weight on the "
        "standard gains without a subspace.", {**PLAIN, "standard_weight": 0.3}),
    Arm("shrunk", "Penalises the mean length of the same states in all directions. The control for regularisation and "
        "shorter states.", {"form": "length"}),
    Arm("plain-longer", "Plain with the extra steps that the method's time would buy, as measured in the setting. The "
        "control for the cost.", {**PLAIN, "extra_steps": 0.1}),
)
EXPLORATORY = (
    Arm("dealt", "The paper's penalty with a probe of labels dealt at random. A direction that means nothing, found "
        "by the same probe.", {**PAPER, "labels": "dealt"}),
    *(Arm(f"all-varieties-{rank}", f"Penalises the leading {rank} directions of a probe with one class per variety. "
          "Any two varieties differ there, not the standard and the rest alone.",
          {"subspace": "probe", "labels": "all-varieties", "rank": rank}) for rank in (1, 3, 6)),
    Arm("random-matched", "The random direction with a strength chosen on dev, so that as large a share of the states "
        "is left inside as with the paper's. Equal effect where random has equal force.",
        {"subspace": "random-from-states", "frozen": True, "strength": 0.024}),
    Arm("frozen", "The paper's penalty with the first refresh's direction kept. Shows what refreshing online adds.",
        {**PAPER, "frozen": True}),
    Arm("dialect", "Penalises the first dialect's direction in place of the standard's. Shows whether it has to be "
        "the standard's.", {**PAPER, "one": 1}),
    Arm("squared", "Penalises the squared length inside the subspace. Its force vanishes for states nearly outside.",
        {**PAPER, "squared": True}),
    Arm("normalised", "Penalises the share of each state's length that is inside. Shrinking states does not lower it.",
        {**PAPER, "normalised": True}),
    Arm("not-centred", "Penalises states as they are, without subtracting their mean. The formula read to the letter.",
        {**PAPER, "centred": False}),
    Arm("dialect-states", "Penalises the states of dialect tokens only. The standard keeps its subspace.",
        {**PAPER, "penalised": "dialects"}),
    Arm("standard-states", "Penalises the states of the standard's tokens only. The standard leaves its subspace.",
        {**PAPER, "penalised": "standard"}),
    Arm("source-tokens", "Probes and penalises the source's tokens. Those are read, not said.",
        {**PAPER, "tokens": "source"}),
    Arm("all-tokens", "Probes and penalises the tokens of both sides. The paper does not say which.",
        {**PAPER, "tokens": "all"}),
    Arm("warm-up", "The strength rises from 0 until half-way. Learning comes first.", {**PAPER, "schedule": "warm-up"}),
    Arm("decay", "The strength falls to 0 by the end. The model may go back to what it needs.",
        {**PAPER, "schedule": "decay"}),
    *(Arm(f"refreshes-{n}", f"The paper's penalty with the probe refitted {n} times per run. Shows what it is to be "
          "up to date.", {**PAPER, "refreshes": n}) for n in (1, 5, 20, 100)),
    Arm("one-sided", "Pushes dialect states off the standard's side of the mean and pulls none across. The penalty "
        "without its pull on states that are already away.",
        {**PAPER, "form": "one-sided", "penalised": "dialects"}),
    *(Arm(f"layer-{layer}", f"The paper's penalty at layer {layer} alone. Where the variety is decided is not known.",
          {**PAPER, "layer": str(layer)}) for layer in range(5)),
    Arm("all-layers", "A probe and a penalty at every block. More is held than at one layer.",
        {**PAPER, "layer": "all"}),
    Arm("reject", "Rejects the standard's direction from the states in the forward pass, in training and translating. "
        "Nothing is left for a penalty to push out.", {**PAPER, "form": "reject", "strength": 0.0}),
    Arm("reject-dialects", "The same where the target is a dialect, and nowhere else. The standard keeps its "
        "direction.", {**PAPER, "form": "reject", "strength": 0.0, "penalised": "dialects"}),
    Arm("leace", "Applies LEACE to the states in the forward pass. The least change that makes the class means equal.",
        {**PAPER, "form": "leace", "strength": 0.0}),
    Arm("reversal", "Gradient reversal: a linear classifier is trained on the states, and they learn to fool it. The "
        "adversarial way to the same aim.", {**PAPER, "form": "reversal"}),
    Arm("plain-no-source-tag", "Plain fine-tuning, translating and probing without the source's tag. What the next "
        "one is compared with.", {**PLAIN, "source_tag": False}),
    Arm("no-source-tag", "The paper's penalty without the source's tag. The model has to tell the source's variety by "
        "its words.", {**PAPER, "source_tag": False}),
    Arm("as-published", "Strength 0.01 and a refresh every 500 steps or so, as the paper gives them. In a run this "
        "short, that is two refreshes.", {**PAPER, "strength": 0.01, "refreshes": 2}),
)
HELPS = (  # with one-sided and reject-dialects the eight of which one may lower leakage and raise chrF++
    Arm("gradient-dialects", "The gradient of dialect tokens' states rejects the standard's direction, and the forward "
        "pass is as it was. What dialects teach cannot move states along the direction that the standard is read by.",
        {**PAPER, "form": "gradient", "strength": 0.0, "penalised": "dialects"}),
    Arm("adapters", "Each dialect has a low-rank adapter on its tokens' states, outside of the standard's direction. "
        "Room of its own is to make it unnecessary to borrow the standard's.",
        {**PAPER, "form": "adapter", "strength": 0.0, "penalised": "dialects", "frozen": True}),
    Arm("contrastive", "Plain, but translated by log p(word | dialect's tag) - alpha log p(word | standard's tag), "
        "among plausible words. What is only probable in the standard is not said.",
        {**PLAIN, "contrast": 0.25, "plausible": 0.1}),
    Arm("sisters", "Plain, where a third of the examples standard to dialect have a sister dialect's sentence as their "
        "source. A dialect is then not learned as the standard with changes.", {**PLAIN, "sisters": 0.33}),
    Arm("unlikelihood", "Plain with a loss on the probability of the standard's pieces that the dialect's sentence "
        "lacks. It says directly which words are not the dialect's.", {**PLAIN, "unlikelihood": 1.0}),
    Arm("own-words", "Plain with the loss on a dialect's own pieces, which the standard's sentence lacks, weighted up. "
        "Shared words are learned anyhow, and where they lead the standard's come along.",
        {**PLAIN, "own_weight": 2.0}),
)
CONDITIONS = (*PRIMARY, *EXPLORATORY, *HELPS)
BASELINE, AGAIN, METHOD, RANDOM, WEIGHTED, SHRUNK, LONGER = (arm.name for arm in PRIMARY)
PRIMARY_COMPARISON = ("trained-through", BASELINE, METHOD, "into")  # setting, first, second, outcome
