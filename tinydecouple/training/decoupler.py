"""Online decoupling: refit the probe on the states of the moment, take its basis, penalise what lies inside.

The probe and the basis are the NumPy method, run as it stands; PyTorch has one line, the norm ||hU||, because
autograd must pass through it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.codelength import entropy_bits, variational_bits
from tinydecouple.method.probe import PRIORS, VariationalProbe, fit, new_probe
from tinydecouple.method.states import standardise
from tinydecouple.method.subspace import principal_angles, probe_subspace, random_from_states
from tinydecouple.model.transformer import Transformer
from tinydecouple.options import option
from tinydecouple.training.batches import NO_VARIETY, Batch, Example, bucket, collate


@dataclass(frozen=True)
class DecoupleOptions:
    """What the paper leaves open, an option each; what was measured: tutorials/THEORY.md, section 12."""

    strength: float = option(0.1, "lambda, weight of the penalty; 0 observes only", least=0)
    schedule: str = option("constant", "strength over the run: warm-up rises from 0 until half-way, decay falls to 0",
                           choices=("constant", "warm-up", "decay"))
    layer: int = option(1, "block whose output is probed and penalised; 0 is the embedding", least=0)
    labels: str = option("one-vs-rest", "classes of the probe: the standard against the dialects, or a class a variety",
                         choices=("one-vs-rest", "all-varieties"))
    subspace: str = option("probe", "what is penalised: the probe's basis, its first basis for the whole run, or, as a "
                           "control, a random one drawn once from the states", choices=("probe", "frozen", "random"))
    rank: int = option(1, "dimension k of the subspace, at most classes - 1", least=1)
    refreshes: int = option(20, "refits of the probe in a run (fewer if steps are few); 0: no probe", least=0)
    tokens: str = option("target", "which text's tokens are probed and penalised", choices=("target", "source", "all"))
    penalised: str = option("all", "whose tokens are penalised", choices=("all", "dialects", "standard"))
    centred: bool = option(True, "subtract the mean state of the probe's sample first")
    squared: bool = option(False, "penalise the squared norm, which spares states that are nearly outside")
    normalised: bool = option(False, "divide states by their length first, so that shrinking does not pay")
    prior: str = option("normal", "prior of the probe's weights", choices=PRIORS)
    probe_states: int = option(4096, "states gathered for a refit", least=64)
    probe_steps: int = option(150, "Adam steps a refit", least=1)


def strength_at(options: DecoupleOptions, step: int, total: int) -> float:
    """lambda at a step counted from 0 in a run of `total`."""
    share = step / total
    return options.strength * {"constant": 1.0, "warm-up": min(1.0, 2 * share), "decay": 1 - share}[options.schedule]


class Decoupler:
    """The probe of a run and the basis it gave last.

    varieties: number of varieties in the family; the standard is number 0.
    """

    def __init__(self, options: DecoupleOptions, varieties: int, width: int, blocks: int):
        if not 0 <= options.layer <= blocks:
            raise TinyDecoupleError(f"--layer {options.layer}: the model has layers 0 (embedding) to {blocks}")
        classes = 2 if options.labels == "one-vs-rest" else varieties
        highest = min(classes - 1, width)
        if not 1 <= options.rank <= highest:
            raise TinyDecoupleError(f"--rank {options.rank}: with labels {options.labels} the probe has {classes} "
                                    f"classes, so rank 1 to {highest} (softmax ignores what all classes share)")
        if options.probe_states < 2 * classes:
            raise TinyDecoupleError(f"--probe-states {options.probe_states}: too few for {classes} classes")
        self.options = options
        self.probe: VariationalProbe = new_probe(classes, width, options.prior, np.float32)
        self.basis: np.ndarray | None = None  # (d, k), what is penalised
        self.last: np.ndarray | None = None  # (d, k), the probe's, to measure how far the next one turns
        self.mean = np.zeros(width, np.float32)

    def chosen(self, batch: Batch) -> np.ndarray:
        """(b, t) bool: the positions whose states the probe sees; tags, padding and the pivot never."""
        side = {"target": batch.in_target, "source": ~batch.in_target, "all": True}[self.options.tokens]
        return (batch.variety != NO_VARIETY) & side

    def gather(self, model: Transformer, examples: list[Example], pad: int,
               rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """States (n, d) float32 of the layer and the variety (n,) of each, from examples drawn at random."""
        device = model.embedding.weight.device
        drawn: list[Example] = []
        positions = 0
        for i in rng.permutation(len(examples)):
            if positions >= self.options.probe_states:
                break
            drawn.append(examples[i])
            positions += int(self.chosen(collate([examples[i]], pad)).sum())
        states, varieties = [], []
        for batch in (collate(near, pad) for near in bucket(drawn, 4096, rng)):
            with torch.no_grad():
                h = model(torch.from_numpy(batch.inputs).to(device), last=self.options.layer)[-1]
            keep = self.chosen(batch)
            states.append(h.cpu().numpy()[keep])
            varieties.append(batch.variety[keep])
        return np.concatenate(states), np.concatenate(varieties)

    def refresh(self, model: Transformer, examples: list[Example], pad: int,
                rng: np.random.Generator) -> dict[str, Any]:
        """Refit the probe (warm start), take its basis, and say what it saw; all code lengths in bits a state."""
        h, variety = self.gather(model, examples, pad, rng)
        y = np.minimum(variety, 1) if self.options.labels == "one-vs-rest" else variety
        h, self.mean, _ = standardise(h)
        fit(self.probe, h, y, rng, steps=self.options.probe_steps)
        basis = probe_subspace(self.probe.posterior_mean(), self.options.rank)
        angle = None if self.last is None else float(np.degrees(principal_angles(self.last, basis)[-1]))
        self.last = basis
        if self.basis is None or self.options.subspace == "probe":
            self.basis = random_from_states(h, basis.shape[1], rng) if self.options.subspace == "random" else basis
        kl, cross_entropy = variational_bits(self.probe, h, y, rng, samples=1)
        return {"code_bits": (kl + cross_entropy) / len(y), "kl_bits": kl / len(y),
                "entropy_bits": entropy_bits(y) / len(y), "states": len(y), "angle_degrees": angle}

    def penalty(self, states: list[Tensor], batch: Batch) -> Tensor:
        """Mean ||(h - mean) U||_2 over a batch's penalised positions: projection.penalty, THEORY (27), by autograd."""
        keep = self.chosen(batch) & {"all": True, "dialects": batch.variety > 0,
                                     "standard": batch.variety == 0}[self.options.penalised]
        h = states[self.options.layer]
        if not keep.any():
            return h.new_zeros(())
        h = h[torch.from_numpy(keep).to(h.device)]  # (b, t, d) -> (n, d)
        if self.options.centred:
            h = h - torch.from_numpy(self.mean).to(h)
        if self.options.normalised:
            h = F.normalize(h, dim=-1)
        norm = (h @ torch.from_numpy(self.basis).to(h)).norm(dim=-1)  # (n, d) @ (d, k) -> (n, k) -> (n,)
        return (norm**2 if self.options.squared else norm).mean()

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs to go on from here."""
        arrays = {**self.probe.parameters, "mean": self.mean, "basis": self.basis, "last": self.last}
        return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}

    def restore(self, state: dict[str, Any]) -> None:
        arrays = {name: tensor.numpy().copy() for name, tensor in state.items()}
        self.mean, self.basis, self.last = (arrays.pop(name) for name in ("mean", "basis", "last"))
        self.probe = VariationalProbe(self.probe.prior, arrays)
