"""The loss of a batch, and how much each of its tokens counts."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tinydecouple.model.transformer import Transformer
from tinydecouple.training.batches import IGNORE, Batch

MOST_PROBABILITY = 1 - 1e-6  # of a piece that is not to be said: a logarithm of 0 is none


def mixed_precision(device: torch.device) -> torch.autocast:
    """On a GPU of medium precision (pick_device) products in bfloat16; all else stays float32."""
    on = device.type == "cuda" and torch.get_float32_matmul_precision() == "medium"
    return torch.autocast(device.type, torch.bfloat16, enabled=on)


def batch_loss(model: Transformer, batch: Batch, standard_weight: float = 1.0,
               own_weight: float = 1.0,
               unlikelihood: float = 0.0) -> tuple[list[Tensor], Tensor]:
    """Hidden states of every layer, and the loss: THEORY (5).

    The loss is the cross-entropy in nats per target token; that of a token of the standard is
    multiplied by standard_weight. The sum is divided by the number of all target tokens, so that a
    dialect's token counts the same at every weight. own_weight multiplies that of the pieces of a
    dialect's sentence that the standard's sentence, its source, lacks. unlikelihood: weight of
    -sum log(1 - p(piece)) over the pieces of the standard's sentence that the dialect's lacks, at
    every target token (Welleck et al. 2020).
    """
    device = model.embedding.weight.device
    labels = torch.from_numpy(batch.labels).to(device)
    counted = labels != IGNORE
    with mixed_precision(device):
        states = model(torch.from_numpy(batch.inputs).to(device))
        logits = model.logits(states[-1][counted])  # (b, t, d) -> (n, d) -> (n, v)
        nats = F.cross_entropy(logits, labels[counted], reduction="none")  # (n,)
    to_standard = torch.from_numpy(batch.to_standard).to(device)
    weight = torch.where(to_standard, standard_weight, 1.0)  # (b,)
    nats = nats * weight[:, None].expand_as(labels)[counted]
    if own_weight != 1 or unlikelihood:
        read = torch.from_numpy(standards_pieces(batch, logits.shape[-1])).to(device)  # (b, v)
        row = counted.nonzero()[:, 0]  # (n,)
        own = read.any(dim=1)[row] & ~read[row, labels[counted]]
        said = torch.zeros_like(read)
        said[row, labels[counted]] = True
        foreign = (read & ~said)[row]  # (n, v)
        p = torch.softmax(logits.float(), dim=-1).clamp(max=MOST_PROBABILITY)
        nats = torch.where(own, own_weight, 1.0) * nats
        nats = nats - unlikelihood * torch.where(foreign, torch.log1p(-p), 0).sum(dim=-1)
    return states, nats.mean()


def standards_pieces(batch: Batch, vocabulary: int) -> np.ndarray:
    """(b, vocabulary) bool: the pieces of the source, in rows from the standard to others."""
    pieces = np.zeros((len(batch.inputs), vocabulary), bool)
    row, column = np.nonzero((batch.variety == 0) & ~batch.in_target)
    pieces[row, batch.inputs[row, column]] = True
    pieces[batch.to_standard] = False
    return pieces
