"""Code lengths in bits: known values, the expectation under the posterior, and what random labels cost."""

import numpy as np
import pytest

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method import codelength, states
from tinydecouple.method.codelength import (
    block_ends,
    compression,
    control_labels,
    draws_nats,
    entropy_bits,
    null_bits,
    prequential_bits,
    selectivity_bits,
    uniform_bits,
    variational_bits,
)
from tinydecouple.method.planted import plant
from tinydecouple.method.probe import fit, new_probe
from tinydecouple.method.states import standardise


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


@pytest.fixture(scope="module")
def planted():
    return plant(30_000, 16, 4, 2.0, np.random.default_rng(5))


def excess(planted, n):
    """Variational code over H(Y|h), as a share of H(Y|h), on the first n states."""
    h, y = planted.h[:n], planted.y[:n]
    probe = fit(new_probe(4, 16), h, y, np.random.default_rng(1), steps=1500)
    return total(probe, h, y) / n / planted.conditional_bits - 1


def test_the_code_approaches_the_conditional_entropy_from_above(planted):
    """C = 4, d = 16: within 5 % at n = 30,000, and ever nearer on the way."""
    over = [excess(planted, n) for n in (1000, 5000, 30_000)]
    assert over[0] > over[1] > over[2] > -0.01, f"shares above H(Y|h) at n = 1000, 5000, 30000: {over}"
    assert over[2] < 0.05, f"{over[2]:.1%} above H(Y|h) at n = 30,000"


def test_relabelling_the_classes_changes_little(planted):
    h, y = planted.h[:5000], planted.y[:5000]
    bits = [total(fit(new_probe(4, 16), h, names[y], np.random.default_rng(1), steps=1500), h, names[y])
            for names in (np.arange(4), np.array([2, 0, 3, 1]))]
    assert bits[1] == pytest.approx(bits[0], rel=0.01)


def test_random_labels_cost_more_than_their_entropy_by_an_excess_that_vanishes(rng):
    over = []
    for n in (1000, 16_000):
        y = rng.integers(4, size=n)
        h = rng.normal(size=(n, 16))
        over.append(total(fit(new_probe(4, 16), h, y, rng, steps=1500), h, y) / n - entropy_bits(y) / n)
    assert over[0] > over[1] > 0, f"bits a label above the entropy at n = 1000, 16000: {over}"
    assert over[1] < 0.05


def test_prequential_code_lies_between_the_truth_and_the_entropy(planted):
    n = 6000
    h, y, keys = planted.h[:n], planted.y[:n], np.arange(n) // 6
    bits = prequential_bits(h, y, keys, 4, np.random.default_rng(2), steps=400)
    assert planted.conditional_bits * n < bits < 0.8 * entropy_bits(y), f"{bits / n:.3f} bits a label"
    dealt = control_labels(y, np.random.default_rng(3))
    control = prequential_bits(h, dealt, keys, 4, np.random.default_rng(2), steps=400)
    assert control > entropy_bits(y), f"{control / n:.3f} bits for random labels, below their entropy"
    assert selectivity_bits(bits, control) == control - bits > 0.3 * n
    assert compression(bits, y) > 1.25 > 1 > compression(control, y)


def test_prequential_blocks_cut_no_sentence_and_start_with_four_rows_a_class():
    keys = np.repeat(np.arange(100), 7)
    ends = block_ends(keys, 5)
    assert ends[0] >= 20 and ends[-1] == 700 and all(end % 7 == 0 for end in ends), f"blocks end at {ends}"
    for n in (15, 20):
        with pytest.raises(TinyDecoupleError, match="needs two blocks"):
            block_ends(np.arange(n), 5)


def test_the_first_block_costs_the_uniform_code(rng):
    """Labels that any probe reads off the states: nearly all that is paid is the first block, log2 C bits a label."""
    y = rng.integers(4, size=2000)
    keys = np.arange(2000)
    bits = prequential_bits(20.0 * np.eye(4)[y], y, keys, 4, rng)
    first = uniform_bits(block_ends(keys, 4)[0], 4)
    assert first <= bits < first + 100, f"{bits:.0f} bits, of which the first block costs {first:.0f}"


def test_tokens_of_one_sentence_do_not_help_one_another(rng):
    """Each sentence has states of its own and a label at random: apart, its tokens would give the label away.

    The rows come in any order; it is the keys that hold a sentence together.
    """
    keys = rng.permutation(np.repeat(np.arange(60), 40))
    h = rng.normal(size=(60, 64))[keys] + 0.01 * rng.normal(size=(2400, 64))
    y = rng.integers(2, size=60)[keys]
    bits = prequential_bits(h, y, keys, 2, np.random.default_rng(0), steps=200)
    assert bits > entropy_bits(y), f"{bits / 2400:.2f} bits a label: a sentence lies in two blocks"


def test_control_labels_keep_their_frequencies(rng):
    y = np.array([0] * 30 + [1] * 10)
    control = control_labels(y, rng)
    assert np.bincount(control).tolist() == [30, 10] and (control != y).any()


def test_many_classes_need_many_states():
    """C = 26, d = 32: 832 weights against n labels. Excess over H(Y|h): 80 % at n = 2000, 17 % at 16,000."""
    p = plant(16_000, 32, 26, 3.0, np.random.default_rng(1))
    over = {}
    for n in (2000, 16_000):
        probe = fit(new_probe(26, 32), p.h[:n], p.y[:n], np.random.default_rng(1))
        over[n] = total(probe, p.h[:n], p.y[:n]) / n / p.conditional_bits - 1
    assert over[2000] == pytest.approx(0.8, abs=0.15) and over[16_000] == pytest.approx(0.17, abs=0.05), f"{over}"


@pytest.mark.slow
def test_the_default_steps_reach_what_ten_times_as_many_reach():
    """C = 26, d = 128, n = 8192, float32: within 1 %."""
    p = plant(8192, 128, 26, 3.0, np.random.default_rng(2))
    h = p.h.astype(np.float32)
    bits = [total(fit(new_probe(26, 128, dtype=np.float32), h, p.y, np.random.default_rng(1), steps=steps), h, p.y)
            for steps in (600, 6000)]
    assert bits[0] < 1.01 * bits[1], f"bits a label: {bits[0] / 8192:.4f} by default, {bits[1] / 8192:.4f} in the end"


def test_a_later_block_pays_for_the_mean_prediction_not_for_the_mean_price(rng, monkeypatch):
    """Draws that give a label 1/2 and 1/8 predict it with 5/16: log2(16/5) bits. The mean price is another."""
    price = np.log([2.0, 8.0])[:, None]
    monkeypatch.setattr(codelength, "draws_nats", lambda probe, h, y, rng, samples: np.tile(price, len(y)))
    y, keys = np.arange(64) % 2, np.arange(64)
    bits = prequential_bits(rng.normal(size=(64, 3)), y, keys, 2, rng, samples=2, steps=1)
    first = block_ends(keys, 2)[0]
    expected = first + (64 - first) * np.log2(16 / 5)
    assert bits == pytest.approx(expected), f"got {bits:.2f} bits, expected {expected:.2f}: log of the mean, in bits?"


def test_every_draw_and_every_state_has_noise_of_its_own():
    """One state, many times: the mean over N draws then errs by the spread / sqrt(N), over draws as over states."""
    probe = new_probe(3, 4)
    probe.parameters["log_sigma2"][:] = 0
    nats = draws_nats(probe, np.ones((100, 4)), np.zeros(100, int), np.random.default_rng(0), 100)
    for axis, of in ((0, "draws"), (1, "states")):
        ratio = nats.mean(axis=axis).std() / nats.std() * 10
        assert ratio == pytest.approx(1, abs=0.25), f"spread of means over {of} is {ratio:.1f} times what it should be"


def test_a_code_is_the_same_block_by_block(monkeypatch):
    """With no noise in the posterior, 7 rows at a time cost what all cost at once."""
    h, y = np.random.default_rng(0).normal(size=(50, 4)), np.arange(50) % 3
    probe = fit(new_probe(3, 4), h, y, np.random.default_rng(0), steps=20)
    probe.parameters["log_sigma2"][:] = -60
    whole = variational_bits(probe, h, y, np.random.default_rng(0))
    monkeypatch.setattr(states, "BLOCK", 28)
    assert variational_bits(probe, h, y, np.random.default_rng(0)) == pytest.approx(whole)


def test_the_null_is_the_code_of_dealt_labels_by_a_probe_kept_warm(rng):
    """States that say everything do not help with dealt labels; a probe that stays warm pays less than a cold one."""
    y = rng.integers(2, size=1500)
    h = standardise(rng.normal(size=(1500, 32)) + 4 * np.outer(y, np.eye(32)[0]))[0]
    probe = new_probe(2, 32)
    null = [null_bits(probe, h, y, rng, steps=15) / 1500 for _ in range(6)]
    task = total(fit(new_probe(2, 32), h, y, rng, steps=200), h, y) / 1500
    assert task < 0.5 < 1 < null[-1], f"task {task:.2f} bits, null {null[-1]:.2f}: the labels were not dealt"
    assert null[-1] < null[0] - 0.02, f"bits per state over refits: {np.round(null, 3)}; was the warm start lost?"


def test_prequential_code_wants_a_key_per_state(rng):
    with pytest.raises(TinyDecoupleError, match=r"keys have shape \(29,\)"):
        prequential_bits(rng.normal(size=(30, 4)), np.arange(30) % 2, np.arange(29), 2, rng)
