r"""A variational linear probe: which variety does a hidden state belong to, and how sure are the weights?

One linear layer with C classes on states h in R^d. The weights have a Gaussian posterior, each weight on its
own, and a N(0, 1) prior (PAPER.md, "The variational probe", with the normal prior):

    w_cj ~ N(mu_cj, sigma2_cj)        b_c ~ N(mu_bc, sigma2_bc)

Writing the states with a last feature that is always 1 makes the bias a weight like any other. A sum of
Gaussians is Gaussian, so instead of weights one may draw the logits (local reparameterisation, Kingma et al. 2015):

    m = h mu^T        v = h^2 sigma2^T        logits = m + sqrt(v) * eps,   eps ~ N(0, 1)

The loss of a training sample of N states is, in nats a state,

    loss = mean CE(logits, y) + KL / N        KL = 1/2 sum( sigma2 + mu^2 - 1 - log sigma2 )

and its gradients, with p = softmax(logits), Y the one-hot labels and n states in the batch, are

    g = (p - Y) / n                  d loss / d logits
    d loss / d mu        = g^T h                                      + mu / N
    d loss / d log sigma2 = [ (g * eps / (2 sqrt v))^T h^2 ] * sigma2 + (sigma2 - 1) / (2 N)
"""

from dataclasses import dataclass, field

import numpy as np

from tinydecouple.errors import TinyDecoupleError

SMALLEST = 1e-12  # added to v before its root, so that a state of zeros has a gradient


@dataclass
class VariationalProbe:
    """Posterior of a probe, and the state of its optimiser.

    mu, log_sigma2: (C, d + 1) means and log-variances, the bias last; the dtype of the states it is fitted to.
    """

    mu: np.ndarray
    log_sigma2: np.ndarray
    moments: dict[str, np.ndarray] = field(default_factory=dict)  # Adam's, by parameter and order
    steps: int = 0

    def posterior_mean(self) -> np.ndarray:
        """(C, d) mean weights, without the bias."""
        return self.mu[:, :-1]


def new_probe(classes: int, d: int, dtype: type = np.float64) -> VariationalProbe:
    """Means at zero, standard deviations at 0.1: narrow enough that the first steps see the signal."""
    return VariationalProbe(np.zeros((classes, d + 1), dtype), np.full((classes, d + 1), np.log(0.01), dtype))


def with_one(h: np.ndarray) -> np.ndarray:
    """(n, d) -> (n, d + 1), the last feature being 1."""
    return np.concatenate((h, np.ones_like(h[:, :1])), axis=1)


def cross_entropy(logits: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per-state cross-entropy (n,) in nats and its gradient (n, C) with respect to the logits (n, C)."""
    logits = logits - logits.max(axis=1, keepdims=True)
    p = np.exp(logits)
    total = p.sum(axis=1, keepdims=True)
    rows = np.arange(len(y))
    nats = np.log(total[:, 0]) - logits[rows, y]
    p /= total
    p[rows, y] -= 1
    return nats, p


def kl_nats(mu: np.ndarray, log_sigma2: np.ndarray) -> float:
    """KL of the posterior from the N(0, 1) prior, in nats, summed over all weights."""
    return float(0.5 * (np.exp(log_sigma2) + mu**2 - 1 - log_sigma2).sum())


def loss_and_gradients(mu: np.ndarray, log_sigma2: np.ndarray, h1: np.ndarray, y: np.ndarray, eps: np.ndarray,
                       total: int, kl_weight: float = 1.0) -> tuple[float, dict[str, np.ndarray]]:
    """Loss in nats a state, and its gradients by parameter name; the formulas stand in the module's docstring.

    h1: (n, d + 1) states of a batch, the last feature 1.  y: (n,) classes from 0.  eps: (n, C) noise.
    total: N, size of the training sample.  kl_weight: temperature of the KL, for training only.
    """
    sigma2 = np.exp(log_sigma2)
    h2 = h1**2
    root = np.sqrt(h2 @ sigma2.T + SMALLEST)  # (n, d+1) @ (d+1, C) -> (n, C)
    logits = h1 @ mu.T + root * eps
    nats, g = cross_entropy(logits, y)
    g /= len(y)
    loss = nats.mean() + kl_weight * kl_nats(mu, log_sigma2) / total
    share = kl_weight / total
    return float(loss), {
        "mu": g.T @ h1 + share * mu,  # (C, n) @ (n, d+1) -> (C, d+1)
        "log_sigma2": ((g * eps / (2 * root)).T @ h2) * sigma2 + share * 0.5 * (sigma2 - 1),
    }


def adam_step(probe: VariationalProbe, gradients: dict[str, np.ndarray], rate: float) -> None:
    """One step of Adam (Kingma & Ba 2015, algorithm 1; beta 0.9 and 0.999), changing the probe in place."""
    probe.steps += 1
    for name, g in gradients.items():
        first = probe.moments.setdefault(f"{name}.1", np.zeros_like(g))
        second = probe.moments.setdefault(f"{name}.2", np.zeros_like(g))
        first += 0.1 * (g - first)
        second += 0.001 * (g * g - second)
        step = first / (1 - 0.9**probe.steps) / (np.sqrt(second / (1 - 0.999**probe.steps)) + 1e-8)
        getattr(probe, name)[...] -= rate * step


def fit(probe: VariationalProbe, h: np.ndarray, y: np.ndarray, rng: np.random.Generator, steps: int = 300,
        batch: int = 1024, rate: float = 0.03, kl_weight: float = 1.0) -> VariationalProbe:
    """Fit in place, from where the probe stands (a warm start), and return it.

    h: (n, d) float32 or float64 states.  y: (n,) int classes from 0 to C - 1.  rate: Adam's, falling to 0 on a
    cosine.  The optimiser's memory starts afresh: only the posterior is warm.
    Raises TinyDecoupleError for states or labels that a probe cannot be fitted to.
    """
    check_states(h, y, classes=len(probe.mu))
    probe.moments, probe.steps = {}, 0
    h1 = with_one(h)
    order = rng.permutation(len(y))
    for step in range(steps):
        rows = order[np.arange(step * batch, step * batch + min(batch, len(y))) % len(y)]
        eps = rng.standard_normal((len(rows), len(probe.mu)), dtype=h.dtype)
        _, gradients = loss_and_gradients(probe.mu, probe.log_sigma2, h1[rows], y[rows], eps, len(y), kl_weight)
        adam_step(probe, gradients, rate * 0.5 * (1 + np.cos(np.pi * step / steps)))
    return probe


def check_states(h: np.ndarray, y: np.ndarray, classes: int) -> None:
    """Raise TinyDecoupleError unless h is (n, d) finite float32 or float64 and y holds n classes below `classes`."""
    if h.ndim != 2 or h.dtype not in (np.float32, np.float64):
        raise TinyDecoupleError(f"states have shape {h.shape} and dtype {h.dtype}; expected (n, d), float32 or float64")
    if y.shape != h.shape[:1] or y.dtype.kind not in "iu":
        raise TinyDecoupleError(f"labels have shape {y.shape} and dtype {y.dtype}; expected {h.shape[:1]} integers")
    if not np.isfinite(h).all():
        raise TinyDecoupleError("states contain NaN or infinity; look for a diverged model or a bad file")
    if len(y) < classes:
        raise TinyDecoupleError(f"{len(y)} states for {classes} classes; gather more states than classes")
    if y.min() < 0 or y.max() >= classes:
        raise TinyDecoupleError(f"labels run from {y.min()} to {y.max()}; expected 0 to {classes - 1}")
    if len(np.unique(y)) < 2:
        raise TinyDecoupleError("all states carry one label; a probe needs two classes to tell apart")


def standardise(h: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Centre states and divide them by one number, so that their root mean square is 1 a feature.

    Returns (states, mean (d,), scale). One scale for all features leaves every direction what it was; what
    N(0, 1) means as a prior, and so the code length, is relative to this scale.
    """
    mean = h.mean(axis=0)
    centred = h - mean
    scale = float(np.sqrt((centred**2).mean()))
    if not scale > 0:
        raise TinyDecoupleError("all states are equal; there is nothing for a probe to see")
    return centred / scale, mean, scale
