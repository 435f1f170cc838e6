"""How many bits do labels cost, given states? (Voita & Titov 2020, variational code.)

Somebody who has the states wants the labels. Sending the probe's posterior costs the KL from the prior (Hinton &
van Camp 1993); sending the labels with it costs the cross-entropy, in expectation over the posterior. Cross-entropy
at the posterior mean is no code length: nobody can send exact weights for the price of blurred ones.
"""

import numpy as np

from tinydecouple.method.probe import SMALLEST, VariationalProbe, check_states, cross_entropy, kl_nats, with_one


def variational_bits(probe: VariationalProbe, h: np.ndarray, y: np.ndarray, rng: np.random.Generator,
                     samples: int = 10) -> tuple[float, float]:
    """Code length of all n labels in bits, as (KL, expected cross-entropy); the code is their sum.

    h: (n, d) the states that the probe was fitted to.  y: (n,) classes.  samples: draws a state for the
    expectation under the posterior; its error falls with n * samples.
    """
    check_states(h, y, classes=len(probe.mu))
    h1 = with_one(h)
    mean, root = h1 @ probe.mu.T, np.sqrt(h1**2 @ np.exp(probe.log_sigma2).T + SMALLEST)
    nats = np.mean([cross_entropy(mean + root * rng.standard_normal(mean.shape, dtype=h.dtype), y)[0].sum()
                    for _ in range(samples)])
    return kl_nats(probe.mu, probe.log_sigma2) / np.log(2), float(nats) / np.log(2)


def uniform_bits(n: int, classes: int) -> float:
    """Bits for n labels if all classes cost the same."""
    return float(n * np.log2(classes))


def entropy_bits(y: np.ndarray) -> float:
    """n * H(Y) in bits: what n labels cost if only the classes' frequencies are known.

    The code length is compared with this: with unequal classes a constant predictor already beats uniform_bits.
    """
    counts = np.unique(y, return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum())
