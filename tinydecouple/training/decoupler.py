"""Online decoupling: refit the probe on current states, take its basis, penalise what lies inside.

A Decoupler needs only states and labels and knows nothing of the model they come from: put it on a
model of your own with training/hook.py. Probe, basis, penalty and the penalty's gradient are the
functions of method/, in NumPy; one autograd.Function hands that gradient to PyTorch.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method import projection
from tinydecouple.method.codelength import entropy_bits, null_bits, variational_bits
from tinydecouple.method.erasure import leace
from tinydecouple.method.probe import VariationalProbe, fit, new_probe
from tinydecouple.method.states import StatesWarning, check_width, dominance, standardise
from tinydecouple.method.subspace import estimator, principal_angles
from tinydecouple.options import FORWARD, DecoupleOptions
from tinydecouple.training import interventions

NULLS = 5  # fits per run of the null that code lengths are compared with, from the first refresh on


def strength_at(options: DecoupleOptions, step: int, total: int) -> float:
    """lambda at a step counted from 0 in a run of `total`."""
    share = step / total
    factor = {"constant": 1.0, "warm-up": min(1.0, 2 * share), "decay": 1 - share}
    return options.strength * factor[options.schedule]


def class_count(options: DecoupleOptions, varieties: int) -> int:
    """Number of classes of the probe, for a family of `varieties`."""
    return varieties if options.labels == "all-varieties" else 2


def classes_of(options: DecoupleOptions, variety: np.ndarray,
               rng: np.random.Generator | None = None) -> np.ndarray:
    """(n,) variety indices, the standard being 0 -> (n,) classes of the probe.

    rng: deals labels that are to be dealt.
    """
    if options.labels == "all-varieties":
        return variety
    y = (variety != options.one).astype(np.int64)
    return rng.permutation(y) if options.labels == "dealt" else y


class Decoupler:
    """A probe, refitted at each refresh, and the basis that is penalised.

    classes: number of classes C of the labels.  width: d of the states.  varieties: of the family,
    which only the form adapter needs.
    Raises TinyDecoupleError for an unknown estimator, or a rank that the estimator cannot give.
    """

    def __init__(self, options: DecoupleOptions, classes: int, width: int,
                 varieties: int = 1):
        if not 1 <= options.rank <= width:
            raise TinyDecoupleError(
                f"`rank` {options.rank}: states of width {width} allow 1 to {width}")
        if options.probe_states < 2 * classes:
            raise TinyDecoupleError(f"`probe_states` {options.probe_states}: too few for {classes} "
                                    f"classes; expected at least {2 * classes}")
        interventions.check(options.form, options.rank, options.labels)
        self.estimate = estimator(options.subspace)
        self._try_rank(options, classes)
        self.options, self.classes, self.width = options, classes, width
        self.probe = new_probe(classes, width, options.prior, np.float32)
        self.null = new_probe(classes, width, options.prior, np.float32)  # for dealt labels
        self.mean = np.zeros(width, np.float32)  # subtracted by the penalty if `centred`
        self.basis: np.ndarray | None = None  # (d, k), of the subspace that is penalised
        self.last: np.ndarray | None = None  # (d, k), latest estimate: the next is compared with it
        self.erase: tuple[np.ndarray, np.ndarray] | None = None  # left and right, each (d, r)
        self.head: interventions.Adversary | interventions.Adapter | None = None  # learns, too
        if options.form == "reversal":
            self.head = interventions.Adversary(classes, width)
        elif options.form == "adapter":
            self.head = interventions.Adapter(varieties, width)
        self.refreshes = 0

    def _try_rank(self, options: DecoupleOptions, classes: int) -> None:
        """Run the estimator on random states: a rank it cannot give then fails before training."""
        d, rng = max(options.rank, classes) + 1, np.random.default_rng(0)
        h, y = rng.standard_normal((2 * d + 2, d)), np.arange(2 * d + 2) % classes
        self.estimate(h, y, h[:classes], options.rank, rng)

    def refresh(self, h: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        """Refit the probe from where it stands and take a new basis from it.

        h: (n, d) states, float16, float32 or float64.  y: (n,) int classes below C.

        Returns a record for the log, with code lengths in bits per state: code_bits, and kl_bits,
        the KL's part of it; entropy_bits, H(Y); states, how many; angle_degrees, the largest
        principal angle to the previous estimate (None at first); at NULLS of the refreshes (at all,
        if there are no more), null_bits, the code length of labels dealt at random by a probe that
        is refitted likewise (else None), and dominance, the share of the states' variance along one
        direction. Raises TinyDecoupleError for states or labels that a probe cannot be fitted to.
        """
        options = self.options
        h, mean, _ = standardise(h)
        check_width(h, self.width, "decoupler")
        h, mean = h.astype(np.float32, copy=False), mean.astype(np.float32, copy=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StatesWarning)  # the record says it, at every refresh
            fit(self.probe, h, y, rng, steps=options.probe_steps)
        estimate = self.estimate(h, y, self.probe.posterior_mean(), options.rank, rng)
        angle = None
        if self.last is not None:
            angle = float(np.degrees(principal_angles(self.last, estimate)[-1]))
        self.last = estimate.astype(np.float32)
        if self.basis is None or not options.frozen:
            self.basis, self.mean = self.last, mean
            if options.form == "reject":
                self.erase = (self.basis, self.basis)
            elif options.form == "leace":
                eraser = leace(h, y)
                self.erase = eraser.left.astype(np.float32), eraser.right.astype(np.float32)
        kl, cross_entropy = variational_bits(self.probe, h, y, rng, samples=1)
        record = {"code_bits": (kl + cross_entropy) / len(y), "kl_bits": kl / len(y),
                  "null_bits": None, "entropy_bits": entropy_bits(y) / len(y), "states": len(y),
                  "angle_degrees": angle}
        if self.refreshes * NULLS % max(1, options.refreshes) < NULLS:  # 5 of 8: 0, 2, 4, 5 and 7
            record |= self._diagnose(h, y, rng.spawn(1)[0])  # its own stream: it changes no run
        self.refreshes += 1
        return record

    def _diagnose(self, h: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
        """What to read a code length beside: its null, THEORY (11), and the states' dominance."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StatesWarning)
            bits = null_bits(self.null, h, y, rng, self.options.probe_steps, samples=1)
        return {"null_bits": bits / len(y), "dominance": dominance(h)}

    def edits(self, variety: np.ndarray | None = None) -> Callable[[Tensor], Tensor] | None:
        """What a form that edits states (…, d) or their gradient does; None for other forms.

        variety: (…,) int, whose text each state is of; only the form adapter needs it.
        """
        if self.options.form not in (*FORWARD, "gradient"):
            return None
        if self.basis is None:
            raise TinyDecoupleError("the decoupler has no basis yet; call refresh(h, y, rng) first")
        if self.options.form == "gradient":
            basis = torch.from_numpy(self.basis)
            return lambda h: interventions.RejectGradient.apply(h, basis.to(h))
        if self.options.form == "adapter":
            return lambda h: self.head(h, variety, self.basis)
        mean = self.mean if self.options.centred or self.options.form == "leace" else None
        return lambda h: interventions.edited(h, *self.erase, mean)

    def penalty(self, h: Tensor, y: np.ndarray | None = None) -> Tensor:
        """(n, d) states, any float dtype and device -> scalar mean ||(h - mean) U||_2, THEORY (27).

        y: (n,) classes, which only the form reversal needs.

        On a GPU the states are copied to the host and their gradient back, once per call: 6 % of
        the time of a training step of 1,000 tokens with the default model, 20 % at 6,400 tokens
        (H100). With no states it is 0.
        """
        if self.basis is None:
            raise TinyDecoupleError(
                "the decoupler has no basis yet; call refresh(h, y, rng) before penalty(h)")
        if h.dim() != 2 or h.shape[1] != self.width:
            raise TinyDecoupleError(f"states have shape {tuple(h.shape)}; expected "
                                    f"(n, {self.width}): pick the tokens first, such as h[mask]")
        if not len(h):
            return h.sum()
        options = self.options
        mean = self.mean if options.centred else None
        if options.form == "reversal":
            return self.head(h, torch.from_numpy(y).to(h.device))
        if options.form != "inside":
            return interventions.penalty(options.form, h, self.basis, mean)
        return NumpyPenalty.apply(h, self.basis, mean, options.squared, options.normalised)

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs in order to continue from here: tensors and numbers."""
        left, right = self.erase or (None, None)
        arrays = {"mean": self.mean, "basis": self.basis, "last": self.last, "left": left,
                  "right": right,
                  **{f"probe.{name}": a for name, a in self.probe.parameters.items()},
                  **{f"null.{name}": a for name, a in self.null.parameters.items()}}
        head = self.head.state() if self.head else {}
        return {"refreshes": self.refreshes, **{f"head.{name}": a for name, a in head.items()},
                **{name: torch.from_numpy(a.copy()) for name, a in arrays.items() if a is not None}}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        arrays = {name: value.numpy().copy() for name, value in state.items()
                  if name != "refreshes"}
        self.refreshes, self.mean = state["refreshes"], arrays["mean"]
        self.basis, self.last = arrays.get("basis"), arrays.get("last")
        self.erase = (arrays["left"], arrays["right"]) if "left" in arrays else None
        if self.head:
            self.head.restore({name.removeprefix("head."): a for name, a in state.items()
                               if name.startswith("head.")})
        for name in ("probe", "null"):
            parameters = {full.removeprefix(f"{name}."): a for full, a in arrays.items()
                          if full.startswith(f"{name}.")}
            setattr(self, name, VariationalProbe(self.options.prior, parameters))


class NumpyPenalty(torch.autograd.Function):
    """projection.penalty with its hand-derived gradient, as one node of PyTorch's graph."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, basis: np.ndarray, mean: np.ndarray | None, squared: bool,
                normalised: bool) -> Tensor:
        # float16 and bfloat16 become float32 in PyTorch, since NumPy has no bfloat16
        wide = h.detach() if h.dtype == torch.float64 else h.detach().float()
        value, gradient = projection.penalty(wide.cpu().numpy(), basis, mean, squared, normalised)
        ctx.save_for_backward(torch.from_numpy(gradient).to(h.device))
        ctx.dtype = h.dtype
        return wide.new_tensor(value)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        scaled = gradient * slope  # before it is rounded to half precision
        return scaled.to(ctx.dtype), None, None, None, None
