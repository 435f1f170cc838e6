"""What A4 and T ask for or hand out, and the package has no function of its own for; tests compare them with it."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinydecouple.method.projection import penalty

IGNORE = -100  # label of a position without loss
T_975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262,
         14: 2.145, 19: 2.093}  # degrees of freedom -> quantile of t


@dataclass(frozen=True)
class DecoupleOptions:
    """The options of decoupling that A4 needs.

    strength: lambda, the weight of the penalty.  schedule: "constant", "warm-up" or "decay".  subspace: name of an
    estimator.  frozen: keep the first basis and mean.  rank: k.  probe_steps: Adam steps per refit.
    """

    strength: float = 0.1
    schedule: str = "constant"
    subspace: str = "probe"
    frozen: bool = False
    rank: int = 1
    probe_steps: int = 150


@dataclass
class Decoupler:
    """What a decoupler keeps between refreshes.

    options: see DecoupleOptions.  probe: C classes, d features.  mean: (d,), subtracted by the penalty.  basis: (d, k),
    of the subspace that is penalised, or None.  last: (d, k), the latest estimate, or None.  refreshes: how many.
    """

    options: Any
    probe: Any
    mean: np.ndarray
    basis: np.ndarray | None = None
    last: np.ndarray | None = None
    refreshes: int = 0


@dataclass
class Direction:
    """One direction's texts and chrF++'s counts per sentence, (n, 24), aligned by key."""

    name: str
    keys: list[str]
    sources: list[str]
    references: list[str]
    outputs: list[str]
    statistics: np.ndarray


def is_refresh(step: int, total: int, refreshes: int) -> bool:
    """Whether the probe is refitted before this step.

    step: from 0 to total - 1.  total: steps of the run.  refreshes: how many refits are wanted, at least 1. Refits are
    equally far apart, the first before step 0; there may be fewer than wanted, but never more.
    """
    return step % max(1, math.ceil(total / refreshes)) == 0


def add_penalty(gradient: np.ndarray, h: np.ndarray, positions: np.ndarray, U: np.ndarray, mean: np.ndarray,
                strength: float) -> np.ndarray:
    """The gradient of L_MT + strength * penalty by the states of a batch, THEORY (27).

    gradient: (b, t, d), of the translation loss L_MT by the states.  h: (b, t, d) states.  positions: (b, t) bool, the
    tokens that are penalised, which may be none.  U: (d, k).  mean: (d,), subtracted from the states.
    """
    total = gradient.copy()
    if positions.any():
        total[positions] += strength * penalty(h[positions], U, mean)[1]
    return total


def seed_interval(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Mean of `second` minus `first` and its 95 % interval over seeds, (mean, low, high): THEORY (32).

    first, second: (S,) scores of two systems, trained with the same S seeds, at least 2.
    """
    difference = second - first
    half = T_975[len(difference) - 1] * difference.std(ddof=1) / np.sqrt(len(difference))
    mean = difference.mean()
    return float(mean), float(mean - half), float(mean + half)


def example_arrays(tokens: list[int], boundary: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One training example as a model reads it: (inputs, labels, in_target), one entry per position that is read.

    tokens: ids of `<src> pieces <tgt> pieces </s>`.  boundary: index of the target's tag. There are len(tokens) - 1
    positions, since `</s>` is predicted and never read. inputs: ids, int64.  labels: int64, the id to be predicted at
    this position where it is one of the target's pieces or `</s>`, else IGNORE.  in_target: bool, whether the position
    holds a piece of the target; a tag is no piece.
    """
    read = np.arange(len(tokens) - 1)
    ids = np.array(tokens, dtype=np.int64)
    return ids[:-1], np.where(read >= boundary, ids[1:], IGNORE), read > boundary


def learning_rate_at(highest: float, step: int, total: int) -> float:
    """The learning rate at a step: it rises linearly, then falls along half a cosine.

    highest: the largest rate.  step: from 0 to total - 1.  total: steps of the run. The first total // 10 steps, at
    least 1, are the warm-up, in which the rate rises by equal amounts and reaches `highest` at the last of them. Then
    half a cosine leads from `highest`, at the first step after the warm-up, to 0 at step `total`, which no longer runs.
    """
    warm_up = max(1, total // 10)
    if step < warm_up:
        return highest * (step + 1) / warm_up
    return highest * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up)))


class Handle:
    """What register_forward_hook returns; remove() takes the hook off again."""

    def __init__(self, hooks: dict[str, Any], name: str) -> None:
        self.hooks, self.name = hooks, name

    def remove(self) -> None:
        self.hooks.pop(self.name, None)


@dataclass
class Block:
    """A block as PyTorch has it, in what matters here: block(x) calls hook(block, (x,), output) for every hook.

    weights: (d, d).  as_tuple: whether the output is a tuple whose first entry is the states, as in many Hugging Face
    models.  hooks: those registered.
    """

    weights: np.ndarray
    as_tuple: bool = False
    hooks: dict[str, Any] = field(default_factory=dict)

    def __call__(self, x: np.ndarray) -> Any:
        h = x + np.maximum(x @ self.weights, 0)
        output = (h, None) if self.as_tuple else h
        for hook in list(self.hooks.values()):
            hook(self, (x,), output)
        return output

    def register_forward_hook(self, hook: Any) -> Handle:
        name = str(len(self.hooks))
        self.hooks[name] = hook
        return Handle(self.hooks, name)


@dataclass
class Model:
    """Blocks one after another. model(x): (b, t, d) -> the sum over features, (b, t); it returns no states."""

    blocks: list[Block]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        for block in self.blocks:
            output = block(x)
            x = output[0] if block.as_tuple else output
        return x.sum(axis=-1)


def states_at(model: Model, layer: int, batches: list[np.ndarray], masks: list[np.ndarray]) -> np.ndarray:
    """The states that block `layer` puts out, at the tokens of the masks, (n, d): batch by batch, row by row.

    model: returns no states; what its block puts out is seen by a forward hook only.  layer: index into model.blocks.
    batches: each (b, t, d), the model's input.  masks: each (b, t) bool, the tokens whose states are wanted. The hook
    is off again afterwards. A block's output may be a tuple, whose first entry is the states.
    """
    seen = []
    handle = model.blocks[layer].register_forward_hook(lambda block, inputs, output: seen.append(output))
    for x in batches:
        model(x)
    handle.remove()
    states = [output[0] if isinstance(output, tuple) else output for output in seen]
    return np.concatenate([h[mask] for h, mask in zip(states, masks)])
