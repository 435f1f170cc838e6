"""A1, the variational probe: cost of the weights, a draw of the logits, gradients, Adam, the fit."""

from typing import Any

import numpy as np

from tinydecouple.coursework.mistakes import ADAM, BY_SIGMA2, FITS, adam, both, by_sigma2, drawn, other_fit
from tinydecouple.coursework.tasks import Assignment, Case, Rng, Task
from tinydecouple.method.probe import SMALLEST, VariationalProbe

SIZES = ((7, 5, 2, np.float64), (1, 4, 3, np.float64), (40, 6, 26, np.float32))  # n, d, C, dtype


def weights(classes: int, d: int, rng: Rng, dtype: type = np.float64) -> dict[str, np.ndarray]:
    """Means and log variances of a probe that has learned something."""
    return {"mu": rng.normal(size=(classes, d)).astype(dtype),
            "log_sigma2": rng.normal(-1, 0.7, size=(classes, d)).astype(dtype)}


def batch(n: int, d: int, classes: int, rng: Rng, dtype: type = np.float64) -> tuple[Any, ...]:
    """Parameters, states with a last feature 1, labels, noise."""
    h1 = np.concatenate((rng.normal(size=(n, d - 1)), np.ones((n, 1))), axis=1).astype(dtype)
    noise = {"eps": rng.normal(size=(n, classes)).astype(dtype)}
    return weights(classes, d, rng, dtype), h1, rng.integers(classes, size=n), noise


def sized(note: str = "") -> list[tuple[Any, ...]]:
    return [(*size, f"n = {size[0]}, d = {size[1]}, C = {size[2]}, {np.dtype(size[3]).name}{note}") for size in SIZES]


def with_one_cases(rng: Rng) -> list[Case]:
    return [Case((rng.normal(size=(n, d)).astype(dtype),), note) for n, d, _, dtype, note in sized()]


def kl_cases(rng: Rng) -> list[Case]:
    cases = [Case(tuple(weights(c, d, rng, dtype).values()), note) for _, d, c, dtype, note in sized()]
    return cases + [Case((np.zeros((2, 3)), np.zeros((2, 3))), "the prior itself, which costs 0", True),
                    Case((rng.normal(size=(2, 3)), np.full((2, 3), -20.0)), "weights known almost exactly", True)]


def cross_entropy_cases(rng: Rng) -> list[Case]:
    cases = [Case((rng.normal(size=(n, c)).astype(dtype) * 3, rng.integers(c, size=n)), note)
             for n, _, c, dtype, note in sized()]
    return cases + [Case((rng.normal(size=(5, 3)) + 2000.0, rng.integers(3, size=5)), "logits near 2000", True),
                    Case((np.array([[-900.0, 900.0], [900.0, -900.0]]), np.array([0, 0])), "logits far apart", True)]


def forward_cases(rng: Rng) -> list[Case]:
    cases = []
    for n, d, c, dtype, note in sized():
        parameters, h1, _, noise = batch(n, d, c, rng, dtype)
        cases.append(Case((parameters, h1, noise), note))
    parameters, h1, _, noise = batch(6, 4, 3, rng)
    quiet = {**parameters, "log_sigma2": np.full((3, 4), -80.0)}
    return cases + [Case((parameters, h1, {"eps": np.zeros((6, 3))}), "no noise", True),
                    Case((quiet, h1, noise), "weights known exactly, so that only SMALLEST is left of v", True)]


def loss_cases(rng: Rng) -> list[Case]:
    cases = [Case((*batch(n, d, c, rng, dtype), 3 * n, 1.0), note + ", N = 3n") for n, d, c, dtype, note in sized()]
    return cases + [Case((*batch(9, 4, 3, rng), 50, 0.25), "kl_weight 0.25", True),
                    Case((*batch(9, 4, 3, rng), 50, 0.0), "kl_weight 0", True)]


def adam_cases(rng: Rng) -> list[Case]:
    def case(steps: int, dtype: type, size: float, note: str, edge: bool = False) -> Case:
        parameters = weights(3, 4, rng, dtype)
        moments = {f"{name}.{order}": (rng.normal(size=(3, 4)) * size) ** order
                   for name in parameters for order in (1, 2)} if steps else {}
        moments = {name: moment.astype(dtype) for name, moment in moments.items()}
        gradients = {name: (rng.normal(size=(3, 4)) * size).astype(dtype) for name in parameters}
        return Case((VariationalProbe("normal", parameters, moments, steps), gradients, 0.06), note, edge)
    return [case(7, np.float64, 1, "step 8"), case(40, np.float32, 1, "step 41, float32"),
            case(0, np.float64, 1, "the first step", True), case(3, np.float64, 1e-8, "gradients near 1e-8", True)]


def fit_cases(rng: Rng) -> list[Case]:
    def case(n: int, classes: int, size: int, steps: int, kl: float, note: str, edge: bool = False) -> Case:
        y = np.arange(n) % classes
        h = rng.normal(size=(n, 3)) + y[:, None]
        probe = VariationalProbe("normal", weights(classes, 4, rng))
        return Case((probe, h, y, np.random.default_rng(rng.integers(2**31)), steps, size, 0.06, kl), note, edge)
    warm = case(30, 2, 8, 9, 1.0, "a probe with the moments of an earlier fit", True)
    warm.args[0].steps = 5
    warm.args[0].moments = {f"{name}.{order}": np.full((2, 4), 0.5) for name in warm.args[0].parameters
                            for order in (1, 2)}
    return [case(40, 2, 16, 12, 1.0, "n = 40, C = 2, batches of 16"), case(60, 26, 25, 8, 0.5, "C = 26, kl_weight 0.5"),
            case(10, 2, 512, 6, 1.0, "fewer states than a batch", True), warm]


def moved(result: Any, after: list[Any]) -> tuple[np.ndarray, ...]:
    return after[0].parameters["mu"], after[0].parameters["log_sigma2"]


def at_mean(parameters: dict[str, np.ndarray], h1: np.ndarray, noise: dict[str, np.ndarray]) -> tuple[Any, ...]:
    return h1 @ parameters["mu"].T, None, None, None, None


PROBE = 'probe = VariationalProbe("normal", {"mu": np.zeros((2, 2)), "log_sigma2": np.full((2, 2), -3.0)})\n'
LOSS = 'parameters = {"mu": np.array([[1.0, 0.0], [0.5, 1.0]]), "log_sigma2": np.array([[-1.0, 0.5], [-2.0, 1.0]])}\n' \
       'h1 = np.array([[0.5, 1.0], [2.0, 1.0], [-1.0, 1.0]])\n' \
       'noise = {"eps": np.array([[1.0, -1.0], [0.3, 2.0], [0.5, 0.0]])}\n' \
       'loss, gradients = loss_and_gradients(parameters, h1, np.array([1, 0, 1]), noise, total=10, kl_weight=0.5)\n'

FIT = PROBE + 'h, y = np.array([[1.0], [-1.0], [2.0], [-2.0], [0.5]]), np.array([0, 1, 0, 1, 0])\n'

ASSIGNMENT = Assignment("A1", "the variational probe", (
    Task("1.1", "method.probe:with_one", {"shape": 1, "value": 3}, with_one_cases,
         ("with_one(np.array([[0.5, -2.0], [3.0, 1.0], [0.0, 4.0]]))",),
         mistakes=(("the ones come first, expected last",
                    lambda h: [np.concatenate((np.ones_like(h[:, :1]), h), axis=1)]),)),
    Task("1.2", "method.probe:weight_kl", {"shape": 2, "value": 10, "edge case": 4}, kl_cases,
         ("weight_kl(np.array([[0.5, -1.0, 2.0]]), np.array([[0.0, -2.0, 0.5]]))",
          "weight_kl(np.array([[2.0, 1.0], [0.0, 3.0]]), np.array([[-1.0, 0.5], [0.0, 1.0]]))"),
         mistakes=(("it looks as if log_sigma2 were taken for sigma: it is log sigma²",
                    lambda mu, s: [0.5 * (s**2 + mu**2 - 1 - np.log(s**2 + 1e-300)).sum()]),
                   ("it looks as if log_sigma2 were taken for log sigma: it is log sigma²",
                    lambda mu, s: [0.5 * (np.exp(2 * s) + mu**2 - 1 - 2 * s).sum()]),
                   ("`log_sigma2` is already a logarithm: use it as it is, and np.exp for the variance",
                    lambda mu, s: [0.5 * (s + mu**2 - 1 - np.log(s)).sum()]),
                   ("the constant -1 of each weight is missing",
                    lambda mu, s: [0.5 * (np.exp(s) + mu**2 - s).sum()]),
                   ("the sign of log sigma² is wrong", lambda mu, s: [0.5 * (np.exp(s) + mu**2 - 1 + s).sum()]),
                   ("this is a mean over the weights, expected their sum",
                    lambda mu, s: [0.5 * (np.exp(s) + mu**2 - 1 - s).mean()]),
                   ("the squared mean is missing", lambda mu, s: [0.5 * (np.exp(s) - 1 - s).sum()]))),
    Task("1.3", "method.probe:cross_entropy", {"shape": 2, "value": 5, "gradient": 5, "edge case": 4},
         cross_entropy_cases,
         ("cross_entropy(np.array([[2.0, 0.0, -1.0]]), np.array([0]))",
          "cross_entropy(np.array([[0.0, 1.0, -0.5], [3.0, 3.0, 1.0], [2.0, 0.5, 0.0]]), np.array([0, 1, 0]))",
          "cross_entropy(np.array([[2000.0, 1999.0], [0.0, 1.0], [1.0, -1.0]]), np.array([1, 0, 1]))"),
         parts=(("nats", "value"), ("gradient", "gradient")),
         mistakes=(("the gradient is the softmax itself: the one-hot label is missing",
                    lambda l, y: [None, np.exp(l - l.max(1, keepdims=True))
                                  / np.exp(l - l.max(1, keepdims=True)).sum(1, keepdims=True)]),
                   ("the gradient is that of each state's own cost: do not divide it by the number of states",
                    lambda l, y: [None, ASSIGNMENT.by_id["1.3"].reference(l, y)[1] / len(y)]),
                   ("softmax is taken over the states, expected over the classes",
                    lambda l, y: [(np.logaddexp.reduce(l, axis=0) - l)[np.arange(len(y)), y],
                                  np.exp(l - np.logaddexp.reduce(l, axis=0)) - np.eye(l.shape[1])[y]]),
                   ("the logarithm of the normaliser is missing",
                    lambda l, y: [(l.max(1, keepdims=True) - l)[np.arange(len(y)), y], None]))),
    Task("1.4", "method.probe:forward", {"shape": 2, "value": 10, "edge case": 4}, forward_cases,
         ('parameters = {"mu": np.array([[1, 0.5], [0, 2]]), "log_sigma2": np.array([[0.5, -1], [1, 0]])}\n'
          'forward(parameters, np.array([[3.0, 1.0]]), {"eps": np.array([[1.0, -1.0]])})',
          'parameters = {"mu": np.array([[1.0, 2.0], [0, -1]]), "log_sigma2": np.array([[-2, 0.5], [0, -1]])}\n'
          'noise = {"eps": np.array([[0.5, 1.0], [-2.0, 0.3], [1.5, -0.7]])}\n'
          'forward(parameters, np.array([[0.5, 1.0], [2.0, 1.0], [-3.0, 1.0]]), noise)',
          'parameters = {"mu": np.ones((2, 2)), "log_sigma2": np.full((2, 2), -80.0)}\n'
          'forward(parameters, np.array([[0.5, 1.0]]), {"eps": np.array([[0.5, -2.0]])})[4]'),
         parts=(("logits", "value"), ("x", "value"), ("x2", "value"), ("sigma2", "value"), ("sqrt v", "value")),
         mistakes=(("SMALLEST is not added to the variance before its root",
                    lambda p, h1, noise: [None] * 4 + [np.sqrt(h1**2 @ np.exp(p["log_sigma2"]).T)]),
                   ("SMALLEST belongs under the root, added to the variance",
                    lambda p, h1, noise: [None] * 4 + [np.sqrt(h1**2 @ np.exp(p["log_sigma2"]).T) + SMALLEST]),
                   ("this is the variance v itself, expected its root",
                    lambda p, h1, noise: [None] * 4 + [h1**2 @ np.exp(p["log_sigma2"]).T + SMALLEST]),
                   ("the noise is missing: these are the mean logits", at_mean),
                   ("the noise is multiplied by v, expected its root",
                    lambda p, h1, noise: [h1 @ p["mu"].T + h1**2 @ np.exp(p["log_sigma2"]).T * noise["eps"]]
                    + [None] * 4),
                   ("all states have the noise of the first: each has its own",
                    lambda p, h1, noise: [drawn(p, h1, p["log_sigma2"], noise["eps"][:1])] + [None] * 4),
                   ("this is computed with sigma, expected sigma²", lambda p, h1, noise: [
                       drawn(p, h1, p["log_sigma2"] / 2, noise["eps"]), None, None, np.exp(p["log_sigma2"] / 2), None]),
                   ("it looks as if log_sigma2 were taken for log sigma: it is log sigma²", lambda p, h1, noise: [
                       drawn(p, h1, 2 * p["log_sigma2"], noise["eps"]), None, None, np.exp(2 * p["log_sigma2"]), None]),
                   ("h must be squared in the variance",
                    lambda p, h1, noise: [h1 @ p["mu"].T + np.sqrt(np.abs(h1 @ np.exp(p["log_sigma2"]).T))
                                          * noise["eps"]] + [None] * 4))),
    Task("1.5", "method.probe:loss_and_gradients", {"shape": 2, "value": 4, "gradient": 6, "edge case": 4}, loss_cases,
         (f'{LOSS}loss', f'{LOSS}gradients["mu"]', f'{LOSS}gradients["log_sigma2"]'),
         hide=("; formulas: the module's docstring",),
         parts=(("loss", "value"), ("gradient by mu", "gradient"), ("gradient by log_sigma2", "gradient")),
         pick=lambda result, after: (result[0], result[1]["mu"], result[1]["log_sigma2"]),
         mistakes=(("the KL is divided by the batch, expected the whole sample (total)",
                    lambda p, h1, y, noise, total, w: both(p, h1, y, noise, w / len(y))),
                   ("the KL is missing", lambda p, h1, y, noise, total, w: both(p, h1, y, noise, 0)),
                   ("`kl_weight` is ignored", lambda p, h1, y, noise, total, w: both(p, h1, y, noise, 1 / total)),
                   ("the KL is not divided by total", lambda p, h1, y, noise, total, w: both(p, h1, y, noise, w)),
                   ("the cross-entropy is not divided by the number of states in the batch",
                    lambda p, h1, y, noise, total, w: both(p, h1, y, noise, w / total, len(y))),
                   ("the cross-entropy's gradient is divided by the number of states twice",
                    lambda p, h1, y, noise, total, w: both(p, h1, y, noise, w / total, 1 / len(y))),
                   (BY_SIGMA2, lambda p, h1, y, noise, total, w: [None, None, by_sigma2(p, h1, y, noise, 0)
                                                                  + w / total * (np.exp(p["log_sigma2"]) - 1) / 2]),
                   (BY_SIGMA2, lambda p, h1, y, noise, total, w: [None, None,
                                                                  by_sigma2(p, h1, y, noise, w / total)]))),
    Task("1.6", "method.probe:adam_step", {"shape": 2, "value": 10, "edge case": 4}, adam_cases,
         (f'{PROBE}adam_step(probe, {{"mu": np.array([[1.0, -2.0], [0.5, 0.0]])}}, 0.1)\nprobe.parameters["mu"]',
          f'{PROBE}for i in range(3):\n    adam_step(probe, {{"log_sigma2": np.array([[1, -2], [0.5, i]])}}, 0.1)\n'
          'probe.parameters["log_sigma2"]',
          f'{PROBE}for i in range(3):\n    adam_step(probe, {{"mu": np.array([[1e-8, -2], [0.5, i]])}}, 0.1)\n'
          'probe.parameters["mu"], probe.moments["mu.1"], probe.moments["mu.2"], probe.steps'),
         parts=(("mu", "value"), ("log_sigma2", "value"), ("first moment", "value"), ("second moment", "value"),
                ("steps", "value")),
         pick=lambda result, after: (*moved(result, after), after[0].moments["mu.1"], after[0].moments["mu.2"],
                                     after[0].steps),
         mistakes=tuple((words, lambda p, g, rate, how=how: adam(p, g, rate, **how)) for words, how in ADAM),
         changed=(0,)),
    Task("1.7", "method.probe:optimise", {"shape": 2, "value": 10, "edge case": 4}, fit_cases,
         (f'{FIT}optimise(probe, h, y, np.random.default_rng(0), steps=4, batch=2)\nprobe.parameters["mu"]',
          f'{FIT}optimise(probe, h, y, np.random.default_rng(0), steps=4, batch=2)\nprobe.parameters["log_sigma2"]',
          f'{FIT}optimise(probe, h, y, np.random.default_rng(1), steps=3, batch=8, kl_weight=0.5)\n'
          'probe.parameters["mu"]',
          f'{FIT}optimise(probe, h, y, np.random.default_rng(1), 3)\n'
          'optimise(probe, h, y, np.random.default_rng(2), 2).parameters["mu"], probe.steps'),
         parts=(("mu", "value"), ("log_sigma2", "value"), ("what is returned", "value")),
         pick=lambda result, after: (*moved(result, after), result.parameters["mu"]),
         mistakes=tuple((words, lambda *args, how=how: other_fit(*args, **how)) for words, how in FITS),
         changed=(0, 3), hide=("fit without its checks:…a single class.",),
         tolerance=1e-3),
), ("method.probe:VariationalProbe", "method.probe:Arrays", "method.probe:SMALLEST", "method.probe:VARIANCE_RATE",
    "method.probe:draw_noise", "method.probe:default_steps"))
