"""A decoupler on any PyTorch model: hold a module's output during a step, collect states.

    core = Decoupler(DecoupleOptions(), classes=2, width=d)
    for step, batch in enumerate(loader):
        if step % 500 == 0:
            h, y, _ = states_of(model, [block], labelled, rng, limit=8192)
            core.refresh(h[0], np.minimum(y, 1), rng)  # the standard against the rest
        with hold(block) as held:
            loss = loss_of(model, batch)
        (h,) = held.take()  # (b, t, d), one for each run of the block
        (loss + strength * core.penalty(h[mask])).backward()  # mask (b, t): which tokens

block is the module looked at, such as model.model.layers[3] of a Hugging Face model. At scale
(mixed precision, several GPUs, LoRA): tutorials/11_your_own_model.py.
"""

import io
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import write
from tinydecouple.method.states import check_states

Labelled = tuple[Any, Tensor, Any, Sequence[str]]  # (inputs, mask, y, keys): see states_of


class Held:
    """The outputs that `hold` keeps, in the order in which the module ran."""

    def __init__(self, name: str):
        self.name = name
        # output, and how often PyTorch had seen it changed in place when it was kept
        self.kept: list[tuple[Tensor, int | None]] = []

    def take(self) -> list[Tensor]:
        """The outputs since the last take, one for each run, as they came; forgets them.

        Raises TinyDecoupleError if the module has not run, if an output was changed in place since
        or, where gradients are enabled, if one has none: a penalty on it would do nothing.
        """
        kept, self.kept = self.kept, []
        if not kept:
            raise TinyDecoupleError(
                f"the held {self.name} has not run in this step; hold a module that the forward "
                "pass calls and, with torch.compile, enter hold before the first compiled call")
        for h, version in kept:
            if torch.is_grad_enabled() and not h.requires_grad:
                raise TinyDecoupleError(
                    f"the output of the held {self.name} has no gradient, so a penalty on it would "
                    "do nothing; use gradient checkpointing with use_reentrant=False, train a "
                    "parameter before it, or call take under torch.no_grad()")
            if version is not None and version != h._version:
                raise TinyDecoupleError(
                    f"the output of the held {self.name} was changed in place after it returned; "
                    "write x = x + y for x += y in the module that comes next")
        return [h for h, _ in kept]

    def clear(self) -> None:
        """Forget the outputs of passes that are no training step, such as the loss on dev."""
        self.kept = []


@contextmanager
def hold(module: nn.Module) -> Generator[Held, None, None]:
    """Keep the outputs of a module while the context lasts; no hook stays, however it is left.

    An output is a float tensor (..., d), or a tuple, list or mapping (a ModelOutput) whose first
    entry is one. It is kept as it is: dtype, device, graph. What backward recomputes of a
    checkpointed block is not kept again. Raises TinyDecoupleError, inside the forward pass, for
    any other output.

    With torch.compile: enter hold once, before the first compiled call, and stay inside for the
    whole run, since the hook is compiled with the model. PyTorch ignores a hook that comes later;
    `take` then says that the module has not run. After leaving, the next call compiles again.
    """
    held = Held(type(module).__name__)

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        compiling = torch.compiler.is_compiling()
        in_backward = not compiling and torch._C._current_graph_task_id() != -1
        if not in_backward:  # what backward recomputes was kept before
            h = _first_tensor(output, held.name)
            held.kept.append((h, None if compiling or h.is_inference() else h._version))

    handle = module.register_forward_hook(keep)
    try:
        yield held
    finally:
        handle.remove()


def _first_tensor(output: Any, name: str) -> Tensor:
    """The tensor of states in what a module returned."""
    entries = output.values() if isinstance(output, Mapping) else output
    h = next(iter(entries), None) if isinstance(output, (Mapping, tuple, list)) else output
    if not isinstance(h, Tensor):
        raise TinyDecoupleError(f"the held {name} returned {type(output).__name__}, and no tensor "
                                "first in it; hold a module that returns states (..., d)")
    if h.is_nested:
        raise TinyDecoupleError(f"the held {name} returned a nested tensor; pad instead, for "
                                "torch.nn.TransformerEncoder with enable_nested_tensor=False")
    if h.dim() < 2 or not h.is_floating_point():
        raise TinyDecoupleError(f"the held {name} returned a tensor {tuple(h.shape)} of {h.dtype}; "
                                "hold a module that returns float states (..., d)")
    return h


def states_of(model: nn.Module, modules: Sequence[nn.Module], batches: Iterable[Labelled],
              rng: np.random.Generator, limit: int = 20_000
              ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Run batches through a model, in evaluation mode without gradients; keep each module's states.

    A batch is (inputs, mask, y, keys).  inputs: a dict for model(**inputs), a tuple for
    model(*inputs), or a tensor.  mask: (b, t) bool tensor, the tokens that count; leave out
    padding, prompt and template.  y: (b,) int, the variety of each row.  keys: (b,), its sentence.
    limit: most states in all; whole rows are drawn at random until the next would exceed it.

    Returns h (layers, n, d) float32, y (n,), keys (n,), in the batches' order. A compiled model
    runs uncompiled. Raises TinyDecoupleError for a mask that does not fit, and for NaN or infinity.
    """
    batches = list(batches)
    masks = draw_rows([mask for _, mask, _, _ in batches], limit, rng)
    parts, ys, keys = [[] for _ in modules], [], []
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"), ExitStack() as stack:
            holds = [stack.enter_context(hold(module)) for module in modules]
            for (inputs, _, variety, key), mask in zip(batches, masks):
                if not len(mask) == len(variety) == len(key):
                    raise TinyDecoupleError(
                        f"a batch has {len(mask)} rows in its mask, {len(variety)} in y and "
                        f"{len(key)} in keys; expected as many of each")
                if not mask.any():
                    continue
                positional = inputs if isinstance(inputs, tuple) else (inputs,)
                model(**inputs) if isinstance(inputs, Mapping) else model(*positional)
                for held, states in zip(holds, parts):
                    states.append(_at_mask(held, mask))
                counts = mask.sum(dim=1).tolist()
                ys.append(np.repeat(torch.as_tensor(variety).cpu().numpy(), counts))
                keys.append(np.repeat(np.asarray(key), counts))
    finally:
        for part, training in modes:
            part.training = training
    widths = {states[0].shape[1] for states in parts}
    if len(widths) > 1:
        raise TinyDecoupleError(
            f"the modules return states of widths {sorted(widths)}; expected one")
    return np.stack([np.concatenate(p) for p in parts]), np.concatenate(ys), np.concatenate(keys)


def draw_rows(masks: list[Tensor], limit: int, rng: np.random.Generator) -> list[Tensor]:
    """The masks (b, t) with whole rows left, drawn at random, that hold at most `limit` tokens."""
    counts = np.array([count for mask in masks for count in mask.sum(dim=1).tolist()], int)
    order = rng.permutation(len(counts))
    drawn = np.zeros(len(counts), bool)
    drawn[order[counts[order].cumsum() <= limit]] = True
    if not counts[drawn].any():
        raise TinyDecoupleError(f"no states: the masks mark {counts.sum()} tokens and `limit` is "
                                f"{limit}; mark tokens that count with True, or raise `limit`")
    rows = torch.from_numpy(drawn).split([len(mask) for mask in masks])
    return [mask & row[:, None].to(mask.device) for mask, row in zip(masks, rows)]


def _at_mask(held: Held, mask: Tensor) -> np.ndarray:
    """(n, d) float32: the states at the mask (b, t) of a module that runs once per pass."""
    h, *more = held.take()
    if more or h.shape[:-1] != mask.shape:
        raise TinyDecoupleError(
            f"the held {held.name} returned states {tuple(h.shape)}, {1 + len(more)} times in a "
            f"pass; expected once, and (b, t, d) for a mask (b, t) of {tuple(mask.shape)}")
    states = h[mask.to(h.device)].float()  # a half becomes float32 before NumPy sees it
    if not states.isfinite().all():
        raise TinyDecoupleError(
            f"states of the held {held.name} contain NaN or infinity in {h.dtype}; float16 ends at "
            "65,504: run the model in bfloat16 or float32")
    return states.cpu().numpy()


def collect(model: nn.Module, modules: Sequence[nn.Module], batches: Iterable[Labelled], path: Path,
            names: Sequence[str], rng: np.random.Generator, limit: int = 20_000) -> None:
    """Write what `states_of` returns as the .npz file that the command `probe` reads (`states`).

    names: (C,) of the varieties that y counts, the standard first. Raises TinyDecoupleError as
    states_of, for labels that no probe can use and for a name without states; then nothing is
    written.
    """
    h, y, keys = states_of(model, modules, batches, rng, limit)
    check_states(h[0], y, len(names))
    if absent := [name for c, name in enumerate(names) if c not in y]:
        raise TinyDecoupleError(f"no state of {absent[0]!r}; give batches of every name or leave "
                                "it out, or raise `limit`")
    file = io.BytesIO()
    np.savez(file, h=h, y=y, names=np.array(names, str), keys=keys)
    write(Path(path), file.getvalue())
