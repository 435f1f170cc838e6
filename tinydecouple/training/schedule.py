"""What happens when in a run: its options, its learning rate, and the order of its batches."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tinydecouple.options import option
from tinydecouple.training.batches import Example, bucket

ORDER, REFRESH, DROPOUT = 0, 1, 2  # uses of randomness, part of a seed: independent streams


@dataclass(frozen=True)
class TrainOptions:
    epochs: int = option(2, "passes over the training data", least=1)
    learning_rate: float = option(4e-3, "AdamW's peak learning rate: linear warm-up over a tenth "
                                  "of the run, then cosine decay to 0", least=0)
    batch_tokens: int = option(1024, "tokens per batch, padding included", least=1)
    weight_decay: float = option(0.01, "weight decay of AdamW, on matrices only", least=0)
    standard_weight: float = option(1.0, "weight of the loss on the standard's tokens; below 1 is "
                                    "the control that merely down-weights the standard", least=0)
    max_grad_norm: float = option(1.0, "maximum gradient norm, to which larger gradients are "
                                  "scaled down; 0: no clipping", least=0)
    dropout: float = option(0.0, "share of the features of each block's two outputs set to 0",
                            least=0, most=0.9)
    extra_steps: float = option(0.0, "further steps, as a share of those of the epochs", least=0)
    batch_seed: int = option(0, "if not 0, another batch order at the same seed", least=0)
    seed: int = option(1, "seed of initial weights, batch order and probe noise", least=0)


def rate_at(options: TrainOptions, step: int, total: int) -> float:
    """Learning rate at a step counted from 0 in a run of `total`."""
    warm_up = max(1, total // 10)
    if step < warm_up:
        return options.learning_rate * (step + 1) / warm_up
    return options.learning_rate * 0.5 * (
        1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up)))


def total_steps(examples: list[Example], options: TrainOptions) -> int:
    """Steps of a run: those of its epochs, and the share that is added to them."""
    per_epoch = len(order(examples, options, 0))
    return round(options.epochs * per_epoch * (1 + options.extra_steps))


def batches_from(first: int, examples: list[Example],
                 options: TrainOptions) -> Iterator[tuple[int, list[Example]]]:
    """(step, its examples) of all epochs and of the extra steps, from step `first` on."""
    total = total_steps(examples, options) if options.extra_steps else 0
    epoch = step = 0
    while epoch < options.epochs or step < total:
        for rows in order(examples, options, epoch):
            if epoch >= options.epochs and step >= total:
                return
            if step >= first:
                yield step, rows
            step += 1
        epoch += 1


def order(examples: list[Example], options: TrainOptions, epoch: int) -> list[list[Example]]:
    """The batches of one epoch. They depend on the seeds and the epoch, not on a decoupler."""
    other = [options.batch_seed] if options.batch_seed else []
    rng = np.random.default_rng([options.seed, ORDER, epoch, *other])
    return bucket(examples, options.batch_tokens, rng)
