"""Code lengths in bits: known values, the expectation under the posterior, and what random labels cost."""

import numpy as np
import pytest

from tinydecouple.method.codelength import entropy_bits, uniform_bits, variational_bits
from tinydecouple.method.probe import fit, new_probe


def total(probe, h, y, seed=0):
    return sum(variational_bits(probe, h, y, np.random.default_rng(seed)))


def test_a_probe_that_knows_nothing_pays_one_bit_a_fair_coin():
    """Weights of exactly zero with almost no variance: every logit is 0, so every label of two costs 1 bit."""
    probe = new_probe(2, 3)
    probe.parameters["log_sigma2"][:] = -60
    h = np.random.default_rng(0).normal(size=(50, 3))
    kl, cross_entropy = variational_bits(probe, h, np.arange(50) % 2, np.random.default_rng(0))
    assert cross_entropy == pytest.approx(50, rel=1e-4), f"got {cross_entropy} bits, expected 50; 34.7 would be nats"
    assert kl == pytest.approx(8 * 0.5 * (np.exp(-60) - 1 + 60) / np.log(2))


def test_blurred_weights_cost_more_than_their_mean(rng):
    """E_q[CE] lies above CE at the posterior mean (Jensen): the mean is no code length."""
    h, y = rng.normal(size=(500, 4)), rng.integers(3, size=500)
    sharp, blurred = new_probe(3, 4), new_probe(3, 4)
    sharp.parameters["mu"][:] = blurred.parameters["mu"][:] = rng.normal(size=(3, 5))
    sharp.parameters["log_sigma2"][:], blurred.parameters["log_sigma2"][:] = -40, 0
    at_mean = variational_bits(sharp, h, y, np.random.default_rng(0))[1]
    expected = variational_bits(blurred, h, y, np.random.default_rng(0))[1]
    assert expected > at_mean + 10, f"blurred {expected:.0f}, at the mean {at_mean:.0f}: no noise in the code"


def test_entropy_and_uniform_code():
    y = np.array([0] * 25 + [1])
    assert uniform_bits(26, 2) == 26
    assert entropy_bits(y) == pytest.approx(26 * 0.23519, rel=1e-4), "1 in 26: 0.235 bits, 4.25 times below uniform"


def test_more_signal_costs_fewer_bits_and_random_labels_never_less_than_their_entropy(rng):
    y = rng.integers(2, size=4000)
    h = rng.normal(size=(4000, 8))
    bits = []
    for signal in (0.0, 1.0, 3.0):
        moved = h + signal * np.outer(y, np.eye(8)[0])
        bits.append(total(fit(new_probe(2, 8), moved, y, np.random.default_rng(1)), moved, y) / 4000)
    assert bits[0] > bits[1] > bits[2], f"bits a label at signal 0, 1, 3: {bits}"
    assert bits[0] >= entropy_bits(y) / 4000, f"random labels at {bits[0]:.4f} bits: states cannot help there"
    assert bits[0] < 1.05, f"random labels at {bits[0]:.4f} bits, expected within 5 % of 1 (n = 4000, 18 weights)"
