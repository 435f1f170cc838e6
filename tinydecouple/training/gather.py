"""Which tokens are probed and penalised, and their states; training and `probe` both use this."""

import numpy as np
import torch
from torch import Tensor

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.model.transformer import Transformer
from tinydecouple.options import shown
from tinydecouple.training.batches import NO_VARIETY, Batch, Example, bucket, collate

BATCH_TOKENS = 4096  # tokens per batch when only the forward pass runs


def parse_layers(text: str, blocks: int) -> tuple[int, ...]:
    """'1,3' -> (1, 3); 'last' and 'all' blocks by name.

    Raises TinyDecoupleError for a layer that is absent or named twice.
    """
    if text in ("last", "all"):
        return (blocks,) if text == "last" else tuple(range(1, blocks + 1))
    try:
        layers = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise TinyDecoupleError(f"`layer` {shown(text)!r}: expected numbers separated by commas, "
                                "such as 1 or 1,3") from None
    for i, layer in enumerate(layers):
        if not 0 <= layer <= blocks:
            raise TinyDecoupleError(
                f"`layer` {layer}: the model has layers 0 (embedding) to {blocks}")
        if layer in layers[:i]:
            raise TinyDecoupleError(
                f"`layer` {text!r}: layer {layer} is named twice; name each layer once")
    return layers


def probed(batch: Batch, tokens: str = "target") -> np.ndarray:
    """(b, t) bool: the positions whose states are probed, never tags, padding or the pivot.

    tokens: "target", "source" or "all", the side of the example that is probed.
    """
    side = {"target": batch.in_target, "source": ~batch.in_target, "all": True}[tokens]
    return (batch.variety != NO_VARIETY) & side


def penalised(batch: Batch, tokens: str = "target", whose: str = "all") -> np.ndarray:
    """(b, t) bool: the positions penalised.  whose: "all", "dialects" or "standard"."""
    variety = {"all": True, "dialects": batch.variety > 0, "standard": batch.variety == 0}[whose]
    return probed(batch, tokens) & variety


def at_positions(h: Tensor, positions: np.ndarray) -> Tensor:
    """(b, t, d) -> (n, d): the states at the positions, (b, t) bool, in reading order."""
    return h[torch.from_numpy(positions).to(h.device)]


def draw_examples(examples: list[Example], limit: int, tokens: str,
                  rng: np.random.Generator) -> list[Example]:
    """Whole examples in random order until they hold `limit` probed tokens, or all of them."""
    drawn: list[Example] = []
    count = 0
    for i in rng.permutation(len(examples)):
        if count >= limit:
            break
        drawn.append(examples[i])
        count += int(probed(collate([examples[i]], 0), tokens).sum())
    return drawn


@torch.no_grad()
def collect_states(model: Transformer, examples: list[Example], layers: tuple[int, ...],
                   tokens: str, pad: int, rng: np.random.Generator
                   ) -> tuple[dict[int, np.ndarray], np.ndarray, np.ndarray]:
    """Run examples through the model and keep the states of their probed tokens.

    Returns the states, layer -> (n, d) float32; the variety of each, (n,) int; the key of its
    sentence, (n,) str.
    """
    device = model.embedding.weight.device
    states: dict[int, list[np.ndarray]] = {layer: [] for layer in layers}
    varieties, keys = [], []
    for rows in bucket(examples, BATCH_TOKENS, rng):
        batch = collate(rows, pad)
        positions = probed(batch, tokens)
        hidden = model(torch.from_numpy(batch.inputs).to(device), last=max(layers))
        for layer in layers:
            states[layer].append(at_positions(hidden[layer], positions).float().cpu().numpy())
        varieties.append(batch.variety[positions])
        keys.append(np.repeat([row.key for row in rows], positions.sum(axis=1)))
    return ({layer: np.concatenate(parts) for layer, parts in states.items()},
            np.concatenate(varieties), np.concatenate(keys))
