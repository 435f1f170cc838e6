"""What usual mistakes in A1 would give, so that the feedback can name them: variants of its last three tasks."""

from typing import Any

import numpy as np

from tinydecouple.coursework.tasks import Rng
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
