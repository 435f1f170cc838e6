"""What usual mistakes would give, so that the feedback can name them: variants of the longer tasks of A1, A2 and A4."""

from typing import Any

import numpy as np

from tinydecouple.coursework.reference import T_975, Direction
from tinydecouple.coursework.tasks import Rng
from tinydecouple.method.codelength import BLOCKS, block_ends, draws_nats, uniform_bits
from tinydecouple.method.probe import (
    VARIANCE_RATE,
    Arrays,
    VariationalProbe,
    adam_step,
    cross_entropy,
    draw_noise,
    forward,
    kl_nats,
    loss_and_gradients,
    new_probe,
    optimise,
    with_one,
)

BY_SIGMA2 = "this is the derivative by sigma², expected that by log sigma²: the chain rule's factor sigma² is missing"
ADAM = (("neither moment is corrected for its start at 0", {"first": 0, "second": 0}),
        ("the first moment is not corrected for its start at 0", {"first": 0}),
        ("the second moment is not corrected for its start at 0", {"second": 0}),
        ("the step is counted after the moments are corrected, expected before", {"late": 1}),
        ("log variances must move VARIANCE_RATE times as fast", {"faster": 1}),
        ("1e-8 belongs beside the root of the second moment, not inside it", {"inside": 1}),
        ("the root of the second moment is missing", {"power": 1.0}),
        ("the sign of the step is reversed: go against the gradient", {"sign": -1}))
FITS = (("the rate does not decay", {"decay": lambda s, steps: 1}),
        ("the rate reaches 0 at the last step: divide by `steps`, not by steps - 1",
         {"decay": lambda s, steps: (1 + np.cos(np.pi * s / max(1, steps - 1))) / 2}),
        ("the rate decays one step early: s counts from 0",
         {"decay": lambda s, steps: (1 + np.cos(np.pi * (s + 1) / steps)) / 2}),
        ("the rate decays in a straight line, expected half a cosine", {"decay": lambda s, steps: 1 - s / steps}),
        ("rows start at place s * batch, also if the batch is larger than the sample",
         {"start": lambda s, batch, n: s * min(batch, n)}),
        ("each pass must go on where the last ended: the rows of `order` wrap around", {"cut": True}),
        ("the moments and the step count of an earlier fit are kept", {"fresh": False}),
        ("the KL is divided by the batch: total is n, the whole sample", {"of_batch": True}),
        ("`kl_weight` is ignored", {"weighted": False}))


def drawn(p: Arrays, h1: np.ndarray, log_sigma2: np.ndarray, eps: np.ndarray) -> np.ndarray:
    """Logits with other log variances or noise."""
    return forward({**p, "log_sigma2": log_sigma2}, h1, {"eps": eps})[0]


def both(p: Arrays, h1: np.ndarray, y: np.ndarray, noise: Arrays, share: float,
         factor: float = 1) -> list[Any]:
    """Loss and gradients with the KL times `share`; factor: of the cross-entropy."""
    logits, x, x2, sigma2, root = forward(p, h1, noise)
    nats, g = cross_entropy(logits, y)
    g *= factor / len(y)
    return [factor * nats.mean() + share * kl_nats(p), g.T @ x + share * p["mu"],
            (g * noise["eps"] / (2 * root)).T @ x2 * sigma2 + share * (sigma2 - 1) / 2]


def by_sigma2(p: Arrays, h1: np.ndarray, y: np.ndarray, noise: Arrays, share: float) -> np.ndarray:
    """The gradient by sigma² for that by its logarithm."""
    return both(p, h1, y, noise, share)[2] / np.exp(p["log_sigma2"])


def adam(probe: VariationalProbe, gradients: Arrays, rate: float, first: int = 1, second: int = 1, late: int = 0,
         faster: float = VARIANCE_RATE, inside: int = 0, power: float = 0.5, sign: int = 1) -> list[Any]:
    """What an Adam step with a mistake makes of mu and log_sigma2."""
    made, t = [], probe.steps + 1 - late
    for name, g in gradients.items():
        m = (0.9 * probe.moments.get(f"{name}.1", 0) + 0.1 * g) / (1 - 0.9**t if first else 1)
        v = (0.999 * probe.moments.get(f"{name}.2", 0) + 0.001 * g**2) / (1 - 0.999**t if second else 1)
        step = m / ((v + 1e-8 * inside)**power + 1e-8 * (not inside))
        made.append(probe.parameters[name] - sign * rate * (faster if name == "log_sigma2" else 1) * step)
    return [*made, None, None, None]


def other_fit(probe: VariationalProbe, h: np.ndarray, y: np.ndarray, rng: Rng, steps: int, batch: int, rate: float,
              kl_weight: float, decay: Any = lambda s, steps: (1 + np.cos(np.pi * s / steps)) / 2,
              start: Any = lambda s, batch, n: s * batch, cut: bool = False, fresh: bool = True, of_batch: bool = False,
              weighted: bool = True) -> list[Any]:
    """What a fit with a mistake makes of mu and log_sigma2."""
    if fresh:
        probe.moments, probe.steps = {}, 0
    n, order = len(y), rng.permutation(len(y))
    for s in range(steps):
        place = start(s, batch, n)
        rows = order[place % n:place % n + batch] if cut else order[np.arange(place, place + min(batch, n)) % n]
        noise = draw_noise(probe.parameters, len(rows), rng)
        gradients = loss_and_gradients(probe.parameters, with_one(h[rows]), y[rows], noise,
                                              len(rows) if of_batch else n, kl_weight if weighted else 1.0)[1]
        adam_step(probe, gradients, rate * decay(s, steps))
    return [probe.parameters["mu"], probe.parameters["log_sigma2"], None]


def other_prequential(h: np.ndarray, y: np.ndarray, keys: np.ndarray, classes: int, rng: Rng, prior: str, samples: int,
                      steps: int, seen: bool = False, mean_log: bool = False, fresh: bool = False, free: bool = False,
                      unshuffled: bool = False) -> list[Any]:
    """A prequential code with a mistake.

    seen: trained on the block itself.  fresh: a new probe for each block.  free: the first block costs nothing.
    """
    names = np.unique(keys) if unshuffled else rng.permutation(np.unique(keys))
    place = {key: i for i, key in enumerate(names.tolist())}
    order = np.argsort([place[key] for key in keys.tolist()], kind="stable")
    h, y = h[order], y[order]
    ends = block_ends(keys[order], classes)
    bits = 0.0 if free else uniform_bits(ends[0], classes)
    probe = new_probe(classes, h.shape[1], prior, h.dtype)
    for start, end in zip(ends, ends[1:]):
        probe = new_probe(classes, h.shape[1], prior, h.dtype) if fresh else probe
        known = end if seen else start
        optimise(probe, h[:known], y[:known], rng, steps)
        nats = draws_nats(probe, h[start:end], y[start:end], rng, samples)
        bits += (nats.mean(0).sum() if mean_log else -np.log(np.exp(-nats).mean(0)).sum()) / np.log(2)
    return [bits]


def other_ends(keys: np.ndarray, classes: int, side: int) -> list[Any]:
    """Ends of blocks that cut a sentence (side 0), or moved to its start (-1)."""
    n = len(keys)
    cuts = np.append(np.flatnonzero(keys[1:] != keys[:-1]) + 1, n)
    wanted = [max(share * n, 4 * classes) for share in BLOCKS if max(share * n, 4 * classes) <= n]
    if side:
        wanted = [cuts[max(0, np.searchsorted(cuts, want, side="right") - 1)] for want in wanted]
    return [list(dict.fromkeys(int(want) for want in wanted))]


def t_interval(first: np.ndarray, second: np.ndarray, factor: float, ddof: int, root: bool = True) -> list[float]:
    d = second - first
    half = factor * d.std(ddof=ddof) / (np.sqrt(len(d)) if root else 1)
    return [d.mean(), d.mean() - half, d.mean() + half]


def unpaired(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    half = T_975[len(first) - 1] * np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / len(first))
    return second.mean() - first.mean() - half, second.mean() - first.mean() + half


def leaked(d: Direction) -> list[list[bool]]:
    """Whether each word, with its punctuation, of each output is the standard's and not the reference's."""
    return [[word in set(s.split()) - set(r.split()) for word in o.split()]
            for s, r, o in zip(d.sources, d.references, d.outputs)]
