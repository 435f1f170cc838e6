"""The probe's hand-derived gradients against autograd and against differences, and what fitting reaches."""

import numpy as np
import pytest
import torch

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.probe import (
    SMALLEST,
    adam_step,
    cross_entropy,
    fit,
    kl_nats,
    loss_and_gradients,
    new_probe,
    standardise,
    with_one,
)


def case(rng, n=7, d=5, classes=3):
    mu, log_sigma2 = rng.normal(size=(classes, d + 1)), rng.normal(size=(classes, d + 1)) - 1
    h, y, eps = rng.normal(size=(n, d)), rng.integers(classes, size=n), rng.normal(size=(n, classes))
    return mu, log_sigma2, with_one(h), y, eps


def autograd_loss(mu, log_sigma2, h1, y, eps, total, kl_weight):
    """The same loss from torch's own parts: distributions for the KL, cross_entropy for the likelihood."""
    from torch.distributions import Normal, kl_divergence

    sigma = (log_sigma2 / 2).exp()
    kl = kl_divergence(Normal(mu, sigma), Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum()
    logits = h1 @ mu.T + ((h1**2) @ (sigma**2).T + SMALLEST).sqrt() * eps
    return torch.nn.functional.cross_entropy(logits, y) + kl_weight * kl / total


@pytest.mark.parametrize("kl_weight", [1.0, 0.3])
def test_loss_and_every_gradient_agree_with_autograd(rng, kl_weight):
    mu, log_sigma2, h1, y, eps = case(rng)
    loss, got = loss_and_gradients(mu, log_sigma2, h1, y, eps, total=40, kl_weight=kl_weight)
    leaves = {name: torch.tensor(value, requires_grad=True) for name, value in (("mu", mu), ("log_sigma2", log_sigma2))}
    expected = autograd_loss(*leaves.values(), *map(torch.tensor, (h1, y, eps)), 40, kl_weight)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-12), "the forward pass differs from torch's own parts"
    for name, leaf in leaves.items():
        np.testing.assert_allclose(got[name], leaf.grad.numpy(), rtol=1e-6, atol=1e-12,
                                   err_msg=f"gradient of {name}; likely: a factor 2, or sigma2 for log sigma2")


def test_every_gradient_agrees_with_central_differences(rng):
    mu, log_sigma2, h1, y, eps = case(rng)
    parameters = {"mu": mu, "log_sigma2": log_sigma2}
    _, got = loss_and_gradients(**parameters, h1=h1, y=y, eps=eps, total=40)
    step = 1e-5
    for name, value in parameters.items():
        for index in np.ndindex(value.shape):
            losses = []
            for sign in (1, -1):
                moved = value.copy()
                moved[index] += sign * step
                losses.append(loss_and_gradients(**{**parameters, name: moved}, h1=h1, y=y, eps=eps, total=40)[0])
            expected = (losses[0] - losses[1]) / (2 * step)
            assert got[name][index] == pytest.approx(expected, rel=1e-6, abs=1e-9), f"d loss / d {name}{index}"


def test_cross_entropy_gradient_under_a_random_cotangent(rng):
    """The losses of single states, each weighed by its own random number, so that errors cannot cancel."""
    logits, y, R = rng.normal(size=(6, 4)) * 3, rng.integers(4, size=6), rng.normal(size=6)
    nats, gradient = cross_entropy(logits, y)
    leaf = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(leaf, torch.tensor(y), reduction="none")
    (expected * torch.tensor(R)).sum().backward()
    np.testing.assert_allclose(nats, expected.detach().numpy(), rtol=1e-10)
    np.testing.assert_allclose(gradient * R[:, None], leaf.grad.numpy(), rtol=1e-6, atol=1e-12)


def test_kl_in_closed_form():
    """sigma = 1, mu = 0 costs nothing; sigma = 1, mu = m costs m^2 / 2; mu = 0, sigma = s costs (s^2 - 1)/2 - ln s."""
    zero = np.zeros((1, 1))
    assert kl_nats(zero, zero) == 0
    assert kl_nats(zero + 3, zero) == pytest.approx(4.5)
    assert kl_nats(zero, zero + 2 * np.log(0.5)) == pytest.approx((0.25 - 1) / 2 + np.log(2))


def test_adam_agrees_with_torch(rng):
    probe = new_probe(2, 3)
    leaf = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([leaf], lr=0.1)
    for _ in range(5):
        g = rng.normal(size=(2, 4))
        adam_step(probe, {"mu": g}, rate=0.1)
        leaf.grad = torch.tensor(g)
        optimizer.step()
    np.testing.assert_allclose(probe.mu, leaf.detach().numpy(), rtol=1e-10)


def test_fitting_finds_planted_classes_and_a_warm_start_keeps_them(rng):
    direction = np.zeros(16)
    direction[3] = 4
    y = rng.integers(2, size=2000)
    h, mean, scale = standardise(rng.normal(size=(2000, 16)) + y[:, None] * direction)
    probe = fit(new_probe(2, 16), h, y, np.random.default_rng(1))
    weights = probe.posterior_mean()
    guess = (h @ weights.T + probe.mu[:, -1]).argmax(axis=1)
    assert (guess == y).mean() > 0.95, f"accuracy {(guess == y).mean():.3f}, expected about 0.977 (4 apart)"
    difference = weights[1] - weights[0]
    assert np.abs(difference).argmax() == 3, "the largest weight is not on the one feature with signal"
    before = loss_and_gradients(probe.mu, probe.log_sigma2, with_one(h), y, np.zeros((2000, 2)), 2000)[0]
    fit(probe, h, y, np.random.default_rng(2), steps=5)
    after = loss_and_gradients(probe.mu, probe.log_sigma2, with_one(h), y, np.zeros((2000, 2)), 2000)[0]
    assert after < before + 0.05, f"5 more steps: loss {before:.3f} to {after:.3f}; was the warm start lost?"


def test_the_same_generator_state_gives_the_same_bits(rng):
    h, y = rng.normal(size=(100, 4)), rng.integers(3, size=100)
    one, two = (fit(new_probe(3, 4), h, y, np.random.default_rng(5), steps=20).mu for _ in range(2))
    assert (one == two).all()


def test_standardising_keeps_directions(rng):
    h = rng.normal(size=(50, 3)) * 7 + 2
    s, mean, scale = standardise(h)
    np.testing.assert_allclose(s * scale + mean, h)
    assert (s**2).mean() == pytest.approx(1)


@pytest.mark.parametrize("spoil, says", [
    (lambda h, y: (h * np.nan, y), "NaN"),
    (lambda h, y: (h.astype(np.float16), y), "float16"),
    (lambda h, y: (h.astype(int), y), "int"),
    (lambda h, y: (h[:2], y[:2]), "2 states for 3 classes"),
    (lambda h, y: (h, y * 0), "one label"),
    (lambda h, y: (h, y + 1), "0 to 2"),
    (lambda h, y: (h, y[:-1]), "labels have shape"),
])
def test_states_that_no_probe_can_use(rng, spoil, says):
    h, y = spoil(rng.normal(size=(30, 4)), np.arange(30) % 3)
    with pytest.raises(TinyDecoupleError, match=says):
        fit(new_probe(3, 4), h, y, rng, steps=1)
