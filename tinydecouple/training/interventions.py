"""What is not the paper's method and is compared with it: regularisers and other penalties.

Each is named by an option of TrainOptions or DecoupleOptions and used by the loop that trains plain
and decoupled runs, so that a study's conditions differ in what they name and in nothing else.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tinydecouple.errors import TinyDecoupleError
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


def check(form: str, rank: int, labels: str) -> None:
    """Raise TinyDecoupleError for options that do not go with a form."""
    if form == "one-sided" and (rank > 1 or labels != "one-vs-rest"):
        raise TinyDecoupleError("`form` one-sided needs `rank` 1 and `labels` one-vs-rest: only "
                                "one direction has a side that is the standard's")
    if form == "reversal" and labels == "dealt":
        raise TinyDecoupleError("`form` reversal has a classifier of its own; choose other "
                                "`labels` than dealt")


def penalty(form: str, h: Tensor, basis: np.ndarray, mean: np.ndarray | None) -> Tensor:
    """(n, d) states -> scalar, by the form of that name; mean: (d,), or None for 0."""
    if form not in PENALTIES:  # it edits states or their gradient
        return h.sum() * 0
    U = torch.from_numpy(basis).to(h)
    mu = h.new_zeros(h.shape[-1]) if mean is None else torch.from_numpy(mean).to(h)
    return PENALTIES[form](h, U, mu)


class Adversary:
    """Gradient reversal (Ganin & Lempitsky 2015): a classifier that the states learn to fool.

    Each call takes one Adam step for the classifier on the states as they are, then returns minus
    its cross-entropy, whose gradient goes to the states alone.
    """

    def __init__(self, classes: int, width: int, rate: float = 1e-2):
        self.weights = torch.zeros(classes, width + 1, requires_grad=True)  # the last one is a bias
        self.optimizer = torch.optim.Adam([self.weights], lr=rate)

    def __call__(self, h: Tensor, y: Tensor) -> Tensor:
        """(n, d) states, (n,) classes -> scalar, in nats."""
        with torch.enable_grad():
            self.optimizer.zero_grad()
            F.cross_entropy(self.logits(h.detach(), self.weights), y).backward()
            self.optimizer.step()
        return -F.cross_entropy(self.logits(h, self.weights.detach()), y)

    def logits(self, h: Tensor, weights: Tensor) -> Tensor:
        weights = weights.to(h)
        return F.linear(h, weights[:, :-1], weights[:, -1])

    def state(self) -> dict[str, Tensor]:
        """Weights and Adam's moments, which are 0 before the first step."""
        zero = torch.zeros_like(self.weights)
        moments = {"step": torch.zeros(()), "exp_avg": zero, "exp_avg_sq": zero,
                   **self.optimizer.state.get(self.weights, {})}
        return {"weights": self.weights.detach().clone(),
                **{name: value.detach().clone() for name, value in moments.items()}}

    def restore(self, state: dict[str, Tensor]) -> None:
        with torch.no_grad():
            self.weights.copy_(state["weights"])
        self.optimizer.state[self.weights] = {name: value.clone() for name, value in state.items()
                                              if name != "weights"}


def edited(h: Tensor, left: np.ndarray, right: np.ndarray, mean: np.ndarray | None) -> Tensor:
    """(…, d) -> (…, d): h - (h - mean) right left^T, an eraser (method/erasure.py) in PyTorch."""
    c = h if mean is None else h - torch.from_numpy(mean).to(h)
    return h - (c @ torch.from_numpy(right).to(h)) @ torch.from_numpy(left).to(h).T


class Adapter:
    """Per variety, h + A B h outside of a subspace: low-rank adapters (Hu et al. 2022) on states.

    A begins at 0, so that nothing changes at first. They have an Adam of their own.
    """

    def __init__(self, varieties: int, width: int, rank: int = 4):
        start = np.random.default_rng(0).normal(size=(varieties, width, rank)) / np.sqrt(width)
        down = torch.from_numpy(start.astype(np.float32))
        # (2, varieties, d, rank): B, transposed, and A
        self.weights = torch.stack((down, torch.zeros_like(down))).requires_grad_()
        self.optimizer = torch.optim.Adam([self.weights])

    state, restore = Adversary.state, Adversary.restore

    def __call__(self, h: Tensor, variety: np.ndarray, basis: np.ndarray) -> Tensor:
        """(b, t, d) states, (b, t) varieties, basis (d, k) -> (b, t, d)."""
        down, up = self.weights.to(h)[:, torch.from_numpy(variety).to(h.device)]  # (b, t, d, rank)
        added = (up @ (h[..., None, :] @ down).mT)[..., 0]  # (b, t, 1, rank) -> (b, t, d)
        U = torch.from_numpy(basis).to(h)
        return h + added - (added @ U) @ U.T

    def step(self, rate: float) -> None:
        """Take a step with the gradient of the loss, and forget it."""
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()


class RejectGradient(torch.autograd.Function):
    """The states as they are, with a gradient that has no part inside the subspace.

    After gradient projection memory (Saha et al. 2021), which keeps what earlier tasks read: here
    learning moves no state, to first order, along the standard's direction.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, basis: Tensor) -> Tensor:
        ctx.save_for_backward(basis)
        return h.view_as(h)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        (U,) = ctx.saved_tensors
        return g - (g @ U) @ U.T, None


@contextmanager
def editing(model: Transformer, edits: dict[int, Callable[[Tensor], Tensor]],
            positions: np.ndarray | None = None) -> Generator[None, None, None]:
    """Edit the states of some layers in every forward pass while the context lasts.

    edits: layer -> what it does to states.  positions: (b, t) bool, which states; None while
    decoding, for those of new tokens: all passes of one position, that is, all but the prompt's.
    """
    def hook_of(edit: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
        def hook(module: torch.nn.Module, given: Any, h: Tensor) -> Tensor:
            if positions is None:
                return edit(h) if h.shape[1] == 1 else h
            chosen = torch.from_numpy(positions).to(h.device)[..., None]
            return torch.where(chosen, edit(h), h)
        return hook

    modules = [model.embedding, *model.blocks]
    hooks = [modules[layer].register_forward_hook(hook_of(edit)) for layer, edit in edits.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
