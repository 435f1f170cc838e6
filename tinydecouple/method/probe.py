r"""A variational linear probe: which variety is a state of, and how certain are the weights?

One linear layer with C classes on states h in R^d; each weight has a Gaussian posterior of its own.
Start with the normal prior; the group prior adds a scale to each feature. Derivations: THEORY (6)
and (7) for the loss, (12) for drawing logits, (13) for gradients, (14) to (16) for the priors.

Prior "normal":     w_cj ~ N(mu_cj, sigma2_cj), prior N(0, 1).
Prior "group-normal-jeffreys" (Louizos, Ullrich & Welling 2017):
                    w_cj = z_j b_cj,  z_j ~ N(mu_zj, sigma2_zj),  b_cj ~ N(mu_cj, sigma2_cj),
                    prior of b N(0, 1), of z log-uniform: it can switch a feature off for all.

The bias is the weight of a last feature that is always 1 and never scaled. A sum of Gaussians is
Gaussian, so logits can be drawn instead of weights (local reparameterisation, Kingma et al. 2015).
With x = h * z, z = mu_z + sigma_z * eps_z drawn for each state (normal prior: z = 1), and
eps ~ N(0, 1) for each logit,

    m = x mu^T        v = x^2 sigma2^T        logits = m + sqrt(v) * eps

The loss of N states, in nats per state, is  mean CE(logits, y) + (KL_w + KL_z) / N  with

    KL_w = 1/2 sum( sigma2 + mu^2 - 1 - log sigma2 )
    KL_z = sum( k1 - k1 s(k2 + k3 a) + 1/2 log(1 + exp(-a)) ),
           a = log sigma2_z - log(mu_z^2 + tiny),  s the sigmoid

KL_z is Molchanov et al.'s approximation (2017, eq. 14); the log-uniform prior is improper, so KL_z,
and any code length that contains it, is known up to a constant only. The backward pass, with
p = softmax(logits), Y the one-hot labels, n states in the batch, g = (p - Y) / n for the logits,
and e = g * eps / (2 sqrt v) for v:

    d/d mu           = g^T x                       + mu / N
    d/d log sigma2   = (e^T x^2) * sigma2          + (sigma2 - 1) / (2 N)
    d/d x            = g mu + 2 x * (e sigma2)     and d/d z = (d/d x) * h, state by state
    d/d mu_z         = sum of d/d z                - 2 mu_z / (mu_z^2 + tiny) * KL_z' / N
    d/d log sigma2_z = sum of d/d z * eps_z * sigma_z / 2                     + KL_z' / N
    KL_z'            = d KL_z / d a = - k1 k3 s (1 - s) - 1/2 / (1 + exp(a))
"""

from dataclasses import dataclass, field

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.names import PRIORS
from tinydecouple.method.states import check_states, check_width, warn_of_scale

K1, K2, K3 = 0.63576, 1.87320, 1.48695  # Molchanov et al. 2017
TINY = 1e-8  # added to mu_z^2 before its logarithm
VARIANCE_RATE = 4  # Adam's rate for log variances, which have further to go, over that for means
SMALLEST = 1e-12  # added to v before its root, so that a state of zeros has a gradient

Arrays = dict[str, np.ndarray]  # by name: parameters, their gradients, noise


@dataclass
class VariationalProbe:
    """Posterior of a probe, and the state of its optimiser.

    parameters: mu and log_sigma2, (C, d + 1), the bias last; with the group prior mu_z and
    log_sigma2_z, (d,). They have the dtype of the states that the probe is fitted to.
    """

    prior: str
    parameters: Arrays
    moments: Arrays = field(default_factory=dict)  # Adam's, by parameter and order
    steps: int = 0

    @property
    def classes(self) -> int:
        return len(self.parameters["mu"])

    @property
    def width(self) -> int:
        """d, the number of features of a state."""
        return self.parameters["mu"].shape[1] - 1

    def posterior_mean(self) -> np.ndarray:
        """(C, d) mean weights, without the bias: mu, or mu * mu_z with the group prior."""
        return self.parameters["mu"][:, :-1] * self.parameters.get("mu_z", 1)

    def switched_off(self) -> np.ndarray:
        """(d,) bool: scale is noise, log alpha > 3 (Molchanov et al. 2017); none without scales."""
        if self.prior == "normal":
            return np.zeros(self.width, bool)
        return log_alpha(self.parameters["mu_z"], self.parameters["log_sigma2_z"]) > 3


def new_probe(classes: int, d: int, prior: str = "normal",
              dtype: type = np.float64) -> VariationalProbe:
    """Weights of mean 0, scales of mean 1; standard deviation 0.2, so that first steps see signal.

    Raises TinyDecoupleError for a prior that is not in PRIORS.
    """
    if prior not in PRIORS:
        raise TinyDecoupleError(f"`prior` {prior!r} is unknown; expected {' or '.join(PRIORS)}")
    shape = (classes, d + 1)
    parameters = {"mu": np.zeros(shape, dtype), "log_sigma2": np.full(shape, -3, dtype)}
    if prior == "group-normal-jeffreys":
        parameters |= {"mu_z": np.ones(d, dtype), "log_sigma2_z": np.full(d, -3, dtype)}
    return VariationalProbe(prior, parameters)


def with_one(h: np.ndarray) -> np.ndarray:
    """(n, d) -> (n, d + 1), the last feature being 1."""
    return np.concatenate((h, np.ones_like(h[:, :1])), axis=1)


def cross_entropy(logits: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cross-entropy (n,) of each state in nats, and its gradient (n, C) by the logits (n, C)."""
    logits = logits - logits.max(axis=1, keepdims=True)
    p = np.exp(logits)
    total = p.sum(axis=1, keepdims=True)
    rows = np.arange(len(y))
    nats = np.log(total[:, 0]) - logits[rows, y]
    p /= total
    p[rows, y] -= 1
    return nats, p


def weight_kl(mu: np.ndarray, log_sigma2: np.ndarray) -> float:
    """KL_w in nats, summed over all weights: of N(mu, sigma2) from N(0, 1)."""
    return float(0.5 * (np.exp(log_sigma2) + mu**2 - 1 - log_sigma2).sum())


def log_alpha(mu_z: np.ndarray, log_sigma2_z: np.ndarray) -> np.ndarray:
    """Log of a scale's variance over its squared mean; large where the scale is mostly noise."""
    return log_sigma2_z - np.log(mu_z**2 + TINY)


def scale_kl(a: np.ndarray) -> tuple[float, np.ndarray]:
    """KL_z in nats, summed over the scales, and its derivative by each a = log alpha (d,)."""
    s = 1 / (1 + np.exp(-(K2 + K3 * a)))
    kl = K1 - K1 * s + 0.5 * np.logaddexp(0, -a)
    return float(kl.sum()), -K1 * K3 * s * (1 - s) - 0.5 / (1 + np.exp(a))


def kl_nats(parameters: Arrays) -> float:
    """KL of the whole posterior from the prior, in nats; with the group prior up to a constant."""
    kl = weight_kl(parameters["mu"], parameters["log_sigma2"])
    if "mu_z" in parameters:
        kl += scale_kl(log_alpha(parameters["mu_z"], parameters["log_sigma2_z"]))[0]
    return kl


def draw_noise(parameters: Arrays, n: int, rng: np.random.Generator) -> Arrays:
    """Standard normal eps (n, C), and eps_z (n, d) if there are scales."""
    mu = parameters["mu"]
    noise = {"eps": rng.standard_normal((n, len(mu)), dtype=mu.dtype)}
    if "mu_z" in parameters:
        noise["eps_z"] = rng.standard_normal((n, mu.shape[1] - 1), dtype=mu.dtype)
    return noise


def forward(parameters: Arrays, h1: np.ndarray, noise: Arrays) -> tuple[np.ndarray, ...]:
    """One draw of the logits (n, C), with what backward needs: x (n, d + 1), its square, sigma2,
    sqrt v.

    h1: (n, d + 1) states, the last feature 1.  noise: as draw_noise gives it.
    """
    x = h1
    if "mu_z" in parameters:
        sigma_z = np.exp(parameters["log_sigma2_z"] / 2)
        x = h1 * with_one(parameters["mu_z"] + sigma_z * noise["eps_z"])
    x2, sigma2 = x**2, np.exp(parameters["log_sigma2"])
    root = np.sqrt(x2 @ sigma2.T + SMALLEST)  # (n, d+1) @ (d+1, C) -> (n, C)
    return x @ parameters["mu"].T + root * noise["eps"], x, x2, sigma2, root


def loss_and_gradients(parameters: Arrays, h1: np.ndarray, y: np.ndarray, noise: Arrays,
                       total: int, kl_weight: float = 1.0) -> tuple[float, Arrays]:
    """Loss in nats per state, and its gradients by parameter name; formulas: the module's
    docstring.

    h1: (n, d + 1) states of a batch, the last feature 1.  y: (n,) classes from 0.  noise: as
    draw_noise gives it.  total: N, size of the training sample.  kl_weight: temperature of the KL,
    for training only; a code has 1.
    """
    logits, x, x2, sigma2, root = forward(parameters, h1, noise)
    mu, share = parameters["mu"], kl_weight / total
    nats, g = cross_entropy(logits, y)
    g /= len(y)
    e = g * noise["eps"] / (2 * root)
    gradients = {"mu": g.T @ x + share * mu,  # (C, n) @ (n, d+1) -> (C, d+1)
                 "log_sigma2": (e.T @ x2) * sigma2 + share * 0.5 * (sigma2 - 1)}
    if "mu_z" in parameters:
        mu_z, log_sigma2_z = parameters["mu_z"], parameters["log_sigma2_z"]
        dx = g @ mu + 2 * x * (e @ sigma2)  # (n, C) @ (C, d+1) -> (n, d+1)
        dz = (dx * h1)[:, :-1]  # (n, d)
        slope = share * scale_kl(log_alpha(mu_z, log_sigma2_z))[1]
        gradients["mu_z"] = dz.sum(axis=0) - slope * 2 * mu_z / (mu_z**2 + TINY)
        gradients["log_sigma2_z"] = (
            (dz * noise["eps_z"]).sum(axis=0) * np.exp(log_sigma2_z / 2) / 2 + slope)
    return float(nats.mean() + share * kl_nats(parameters)), gradients


def adam_step(probe: VariationalProbe, gradients: Arrays, rate: float) -> None:
    """One step of Adam (Kingma & Ba 2015, algorithm 1; beta 0.9 and 0.999), in place."""
    probe.steps += 1
    for name, g in gradients.items():
        first = probe.moments.setdefault(f"{name}.1", np.zeros_like(g))
        second = probe.moments.setdefault(f"{name}.2", np.zeros_like(g))
        first += 0.1 * (g - first)
        second += 0.001 * (g * g - second)
        step = first / (1 - 0.9**probe.steps) / (np.sqrt(second / (1 - 0.999**probe.steps)) + 1e-8)
        probe.parameters[name] -= rate * (VARIANCE_RATE if name.startswith("log") else 1) * step


def default_steps(probe: VariationalProbe) -> int:
    """Steps of fit: 600 per 256 features, at least 600; twice that with the group prior.

    What they reach on planted states (n = 8,192, 2 classes, signal 1), in bits per state, and what
    longer fits reach: 0.654 and 0.653 (4,800 steps) at d = 128; 1.054 and 1.053 (9,600) at d = 512;
    2.221 and 2.208 (9,600), so 0.6 % is left or more, at d = 2,048, where 600 steps reach 2.245;
    with the group prior 0.601 and 0.597 (9,600) at d = 128. Where classes are separable the weights
    go on growing: 0.0131 and 0.0099 (3,000) at d = 64 and signal 4, so a third is left.
    """
    steps = 600 * max(1, probe.width // 256)
    return steps if probe.prior == "normal" else 2 * steps


def fit(probe: VariationalProbe, h: np.ndarray, y: np.ndarray, rng: np.random.Generator,
        steps: int | None = None, batch: int = 512, rate: float = 0.06,
        kl_weight: float = 1.0) -> VariationalProbe:
    """Fit in place, from where the probe stands (a warm start), and return it.

    h: (n, d) float32 or float64 states.  y: (n,) int classes from 0 to C - 1.  steps: of Adam,
    default_steps(probe) unless given.  batch: states per step.  rate: Adam's peak learning rate,
    decaying to 0 on a cosine.  Adam's moments start afresh: only the posterior is warm. Raises
    TinyDecoupleError for states or labels that a probe cannot be fitted to; warns (StatesWarning)
    of states that are not standardised, or of which one direction holds most of the variance.
    """
    check_states(h, y, probe.classes)
    check_width(h, probe.width, "probe")
    warn_of_scale(h)
    return optimise(probe, h, y, rng, steps, batch, rate, kl_weight)


def optimise(probe: VariationalProbe, h: np.ndarray, y: np.ndarray, rng: np.random.Generator,
             steps: int | None = None, batch: int = 512, rate: float = 0.06,
             kl_weight: float = 1.0) -> VariationalProbe:
    """fit without its checks: the first blocks of a prequential code may hold a single class."""
    probe.moments, probe.steps = {}, 0
    steps = default_steps(probe) if steps is None else steps
    order = rng.permutation(len(y))
    for step in range(steps):
        rows = order[np.arange(step * batch, step * batch + min(batch, len(y))) % len(y)]
        noise = draw_noise(probe.parameters, len(rows), rng)
        _, gradients = loss_and_gradients(probe.parameters, with_one(h[rows]), y[rows], noise,
                                          len(y), kl_weight)
        adam_step(probe, gradients, rate * 0.5 * (1 + np.cos(np.pi * step / steps)))
    return probe
