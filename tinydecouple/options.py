"""An option, said once: its default, what it means, and its range. The command line is made from these.

They stand apart from what they configure, so that the command line can be read without NumPy and PyTorch. A run's
config.json is checked against the same ranges when it is read back.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from tinydecouple.method.names import PRIORS, SUBSPACES

MOST = {int: 2**32 - 1, float: 1e6}  # of an option without a most of its own; every seed lies below
TOKENS = ("target", "source", "all")
PENALISED = ("all", "dialects", "standard")
FORWARD = ("reject", "leace", "adapter")  # forms that edit states in the forward pass and penalise nothing
FORMS = ("inside", "one-sided", "length", "reversal", "gradient", *FORWARD)


def option(default: Any, text: str, **limits: Any) -> Any:
    """A dataclass field; limits: least, most, or choices (a tuple). A number always has a most: MOST of its type.

    later: the option is younger than some runs of this version, which are read as if they held its default.
    """
    return dataclasses.field(default=default, metadata={"help": text, "most": MOST.get(type(default)), **limits})


def fault(value: Any, limits: Any) -> str:
    """What is wrong with an option's value, in a few words; empty if nothing is.

    value: of the option's type already.  limits: a field's metadata.
    """
    if isinstance(value, str):
        choices = limits.get("choices")
        if choices and value not in choices:
            return f"{shown(value)} is not one of {', '.join(choices)}"
        return "holds a NUL byte" if "\0" in value else ""
    if value is None or isinstance(value, bool):
        return ""
    least, most = limits.get("least"), limits.get("most")
    if value != value or (least is not None and value < least) or (most is not None and value > most):
        return f"{shown(value)} is not within {'' if least is None else least} to {most}"
    return ""


def shown(value: Any, most: int = 40) -> str:
    """A value for a message: a number of 400 digits, or a text without end, is cut."""
    try:
        text = str(value)
    except ValueError:  # an integer of thousands of digits
        return f"a number of {value.bit_length()} bits"
    return text if len(text) <= most else f"{text[:most]}…"


def filled(config: dict[str, Any]) -> dict[str, Any]:
    """A run's or a cell's configuration, with the defaults of the options that are younger than it."""
    kinds = {"pretrain": TrainOptions, "train": TrainOptions, "decouple": DecoupleOptions}
    later = {section: {f.name: f.default for f in dataclasses.fields(kind) if "later" in f.metadata}
             for section, kind in kinds.items()}
    return {section: {**later[section], **value} if section in kinds and isinstance(value, dict) else value
            for section, value in config.items()}


@dataclass(frozen=True)
class ModelOptions:
    """The transformer of model/transformer.py."""

    vocabulary: int = option(4000, "pieces of the tokeniser, tags and 256 bytes included", least=1, most=1_000_000)
    width: int = option(128, "width d of the hidden states", least=1, most=16_384)
    blocks: int = option(4, "transformer blocks", least=1, most=1024)
    heads: int = option(4, "attention heads; width / heads must be even", least=1, most=8192)


@dataclass(frozen=True)
class TrainOptions:
    """The training loop of training/train.py."""

    epochs: int = option(2, "passes over the training data", least=1, most=1_000_000)
    learning_rate: float = option(4e-3, "AdamW's peak learning rate: linear warm-up over a tenth "
                                  "of the run, then cosine decay to 0", least=0)
    batch_tokens: int = option(1024, "tokens per batch, padding included", least=1, most=10_000_000)
    weight_decay: float = option(0.01, "weight decay of AdamW, on matrices only", least=0)
    standard_weight: float = option(1.0, "weight of the loss on the standard's tokens; below 1 is "
                                    "the control that merely down-weights the standard", least=0)
    max_grad_norm: float = option(1.0, "maximum gradient norm, to which larger gradients are "
                                  "scaled down; 0: off, no clipping", least=0)
    dropout: float = option(0.0, "share of the features of each block's two outputs set to 0",
                            least=0, most=0.9)
    extra_steps: float = option(0.0, "further steps, as a share of those of the epochs", least=0,
                                most=100)
    unlikelihood: float = option(0.0, "weight of a loss on saying the standard's pieces: of every "
                                 "piece of the standard's sentence that the dialect's lacks",
                                 least=0, later=True)
    own_weight: float = option(1.0, "weight of the loss on a dialect's own pieces, those that the "
                               "standard's sentence lacks", least=0, later=True)
    sisters: float = option(0.0, "share of the examples standard to dialect that get the sentence "
                            "of another dialect of its region as their source", least=0, most=1,
                            later=True)
    source_tag: bool = option(True, "put the source's tag before it", later=True)
    batch_seed: int = option(0, "if not 0, another batch order at the same seed", least=0)
    seed: int = option(1, "seed of initial weights, batch order and probe noise", least=0)


@dataclass(frozen=True)
class DecoupleOptions:
    """What the paper leaves open, one option each; measurements: THEORY.md, section 12."""

    strength: float = option(0.1, "lambda, weight of the penalty; 0 observes only", least=0)
    schedule: str = option("constant", "strength over the run: warm-up rises from 0 until "
                           "half-way, decay falls to 0", choices=("constant", "warm-up", "decay"))
    layer: str = option("1", "block whose output is probed and penalised; several, such as 1,3, "
                        "each have a probe and a penalty of their own, and the penalties are "
                        "added; 0 is the embedding; or last, or all")
    labels: str = option("one-vs-rest", "classes of the probe: the standard against the dialects, "
                         "one class per variety, or, as a control, one-vs-rest dealt at random",
                         choices=("one-vs-rest", "all-varieties", "dealt"))
    one: int = option(0, "the one of one-vs-rest: 0 is the standard, 1 the first dialect", least=0)
    form: str = option("inside", "what is penalised: the length inside the subspace, the "
                       "coordinate on the one's side of the mean, the whole state's length, or "
                       "telling varieties apart (gradient reversal); or nothing, but the "
                       "states' gradient rejects the subspace, or the forward pass rejects it, "
                       "applies LEACE, or has a low-rank adapter per variety outside of it",
                       choices=FORMS)
    subspace: str = option("probe", "estimator of the subspace that is penalised",
                           choices=SUBSPACES)
    frozen: bool = option(False, "keep the first refresh's subspace and mean for the whole run")
    rank: int = option(1, "dimension k of the subspace; for a probe at most classes - 1", least=1)
    refreshes: int = option(20, "refits of the probe per run (fewer if steps are few); 0: no probe",
                            least=0)
    tokens: str = option("target", "which text's tokens are probed and penalised", choices=TOKENS)
    penalised: str = option("all", "whose tokens are penalised", choices=PENALISED)
    centred: bool = option(True, "subtract the mean state of the probe's sample first")
    squared: bool = option(False, "penalise the squared norm, whose gradient vanishes for states "
                           "nearly outside")
    normalised: bool = option(False, "divide states by their length first, so that shrinking them "
                              "does not lower the penalty")
    prior: str = option("normal", "prior of the probe's weights", choices=PRIORS)
    probe_states: int = option(4096, "states gathered per refit", least=64, most=10_000_000)
    probe_steps: int = option(150, "Adam steps per refit", least=1, most=1_000_000)
    contrast: float = option(0.0, "when the study translates into a dialect: alpha of log p(piece | "
                             "dialect's tag) - alpha log p(piece | standard's tag)", least=0,
                             later=True)
    plausible: float = option(0.0, "with contrast, pieces less probable than this share of the "
                              "likeliest one's probability are never said", least=0, most=1,
                              later=True)


PRETRAIN = TrainOptions(epochs=3, learning_rate=3e-3)  # chosen on dev, for plain fine-tuning
