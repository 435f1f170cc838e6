"""How a run proceeds: its steps, the order of its batches, its learning rate and optimiser."""

import math
from collections.abc import Iterator

import numpy as np
import torch

from tinydecouple.model.transformer import Transformer
from tinydecouple.options import TrainOptions
from tinydecouple.training.batches import Example, bucket

# uses of randomness, part of a seed: independent streams
ORDER, REFRESH, DROPOUT, SISTERS = 0, 1, 2, 3


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


def make_optimizer(model: Transformer, options: TrainOptions) -> torch.optim.Optimizer:
    """AdamW; weight decay on matrices, not on the gains of the norms."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    gains = [p for p in model.parameters() if p.dim() == 1]
    return torch.optim.AdamW([{"params": matrices}, {"params": gains, "weight_decay": 0.0}],
                             betas=(0.9, 0.98), weight_decay=options.weight_decay, fused=True)
