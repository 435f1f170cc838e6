"""What is not the paper's method and is compared with it: regularisers and other penalties.

Each is named by an option of TrainOptions or DecoupleOptions and used by the loop that trains plain
and decoupled runs, so that a study's conditions differ in what they name and in nothing else.
"""

from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tinydecouple.model.transformer import Transformer


@contextmanager
def dropout(model: Transformer, share: float, seed: tuple[int, ...]) -> Generator[None, None, None]:
    """Set a share of the features of each block's two outputs to 0 while the context lasts.

    The rest is divided by 1 - share, so that the mean stays. The masks follow from the seed alone,
    which holds the step's number: a resumed run draws the same ones.
    """
    if not share:
        yield
        return
    rng = torch.Generator(model.embedding.weight.device)
    rng.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))

    def thin(module: torch.nn.Module, given: tuple[Tensor], h: Tensor) -> Tensor:
        kept = torch.empty_like(h).bernoulli_(1 - share, generator=rng)
        return h * kept / (1 - share)

    outputs = [out for block in model.blocks for out in (block.attention_out, block.mlp_out)]
    hooks = [out.register_forward_hook(thin) for out in outputs]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def one_sided(h: Tensor, basis: Tensor, mean: Tensor) -> Tensor:
    """Mean coordinate along the direction (d, 1) of the states on its positive side, 0 elsewhere.

    The direction points to the standard, so that states are pushed off its side and none is pulled
    across: those of dialects that stand beyond the mean have no gradient.
    """
    return F.relu((h - mean) @ basis).mean()


def length(h: Tensor, basis: Tensor, mean: Tensor) -> Tensor:
    """Mean ||h||_2: shrinks states in all directions. Its gradient has length 1, as the paper's."""
    return torch.linalg.vector_norm(h, dim=-1).mean()


PENALTIES = {"one-sided": one_sided, "length": length}


def penalty(form: str, h: Tensor, basis: np.ndarray, mean: np.ndarray | None) -> Tensor:
    """(n, d) states -> scalar, by the form of that name; mean: (d,), or None for 0."""
    U = torch.from_numpy(basis).to(h)
    mu = h.new_zeros(h.shape[-1]) if mean is None else torch.from_numpy(mean).to(h)
    return PENALTIES[form](h, U, mu)
