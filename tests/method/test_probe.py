"""The probe's hand-derived gradients against autograd and against differences, its KLs, and what fitting reaches."""

import numpy as np
import pytest
import torch

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.codelength import variational_bits
from tinydecouple.method.probe import (
    PRIORS,
    SMALLEST,
    TINY,
    VARIANCE_RATE,
    VariationalProbe,
    adam_step,
    cross_entropy,
    default_steps,
    draw_noise,
    fit,
    kl_nats,
    log_alpha,
    loss_and_gradients,
    new_probe,
    scale_kl,
    weight_kl,
    with_one,
)
from tinydecouple.method.states import standardise


def case(rng, prior, n=7, d=5, classes=3):
    """Random parameters, states with a last 1, labels and noise; float64."""
    parameters = {name: rng.normal(size=value.shape) - (name != "mu") for name, value in
                  new_probe(classes, d, prior).parameters.items()}
    return (parameters, with_one(rng.normal(size=(n, d))), rng.integers(classes, size=n),
            draw_noise(parameters, n, rng))


def torch_loss(p, h1, y, noise, total, kl_weight=1.0):
    """The same loss from torch's own parts: distributions for the KL, softplus, sigmoid, cross_entropy."""
    from torch.distributions import Normal, kl_divergence
    from torch.nn.functional import cross_entropy, softplus

    sigma = (p["log_sigma2"] / 2).exp()
    kl = kl_divergence(Normal(p["mu"], sigma), Normal(torch.zeros_like(p["mu"]), torch.ones_like(sigma))).sum()
    x = h1
    if "mu_z" in p:
        z = p["mu_z"] + (p["log_sigma2_z"] / 2).exp() * noise["eps_z"]
        x = torch.cat((h1[:, :-1] * z, h1[:, -1:]), dim=1)
        a = p["log_sigma2_z"] - (p["mu_z"]**2 + TINY).log()
        kl = kl + (0.63576 - 0.63576 * torch.sigmoid(1.87320 + 1.48695 * a) + 0.5 * softplus(-a)).sum()
    logits = x @ p["mu"].T + (x**2 @ (sigma**2).T + SMALLEST).sqrt() * noise["eps"]
    return cross_entropy(logits, y) + kl_weight * kl / total


def as_tensors(values, **settings):
    return {name: torch.tensor(value, **settings) for name, value in values.items()}


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("kl_weight", [1.0, 0.3])
def test_loss_and_every_gradient_agree_with_autograd(rng, prior, kl_weight):
    parameters, h1, y, noise = case(rng, prior)
    loss, got = loss_and_gradients(parameters, h1, y, noise, total=40, kl_weight=kl_weight)
    leaves = as_tensors(parameters, requires_grad=True)
    expected = torch_loss(leaves, torch.tensor(h1), torch.tensor(y), as_tensors(noise), 40, kl_weight)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-12), "the forward pass differs from torch's own parts"
    assert set(got) == set(parameters)
    for name, leaf in leaves.items():
        np.testing.assert_allclose(got[name], leaf.grad.numpy(), rtol=1e-6, atol=1e-12,
                                   err_msg=f"gradient of {name}; likely: a factor 2, or sigma2 for log sigma2")


@pytest.mark.parametrize("prior", PRIORS)
def test_every_gradient_agrees_with_central_differences(rng, prior):
    parameters, h1, y, noise = case(rng, prior)
    _, got = loss_and_gradients(parameters, h1, y, noise, total=40)
    step = 1e-5
    for name, value in parameters.items():
        for index in np.ndindex(value.shape):
            losses = []
            for sign in (1, -1):
                moved = value.copy()
                moved[index] += sign * step
                losses.append(loss_and_gradients({**parameters, name: moved}, h1, y, noise, total=40)[0])
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


def test_weight_kl_in_closed_form():
    """sigma = 1, mu = 0 costs nothing; sigma = 1, mu = m costs m^2 / 2; mu = 0, sigma = s costs (s^2 - 1)/2 - ln s."""
    zero = np.zeros((1, 1))
    assert weight_kl(zero, zero) == 0
    assert weight_kl(zero + 3, zero) == pytest.approx(4.5)
    assert weight_kl(zero, zero + 2 * np.log(0.5)) == pytest.approx((0.25 - 1) / 2 + np.log(2))


def test_weight_kl_agrees_with_a_monte_carlo_estimate(rng):
    """KL = E_q[log q - log p], drawn; within three standard errors."""
    mu, log_sigma2 = rng.normal(size=5), rng.normal(size=5)
    w = mu + np.exp(log_sigma2 / 2) * rng.normal(size=(200_000, 5))
    draws = (-0.5 * (w - mu)**2 / np.exp(log_sigma2) - 0.5 * log_sigma2 + 0.5 * w**2).sum(axis=1)
    error = draws.std() / np.sqrt(len(draws))
    assert weight_kl(mu, log_sigma2) == pytest.approx(draws.mean(), abs=3 * error)


def test_scale_kl_agrees_with_a_monte_carlo_estimate(rng):
    """The KL from the log-uniform prior is E log|1 + sqrt(alpha) eps| - 1/2 log alpha + 1/2 (gamma + ln 2) + constant.

    The constant is the one that makes it 0 where the scale is all noise. Molchanov et al. 2017 fitted the
    approximation; 0.02 nats is about its accuracy and three standard errors of a million draws (0.004) beside it.
    """
    eps = rng.normal(size=1_000_000)
    for a in (-6.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0):
        expected = np.log(np.abs(1 + np.exp(a / 2) * eps)).mean() - a / 2 + (np.euler_gamma + np.log(2)) / 2
        got = scale_kl(np.array([a]))[0]
        assert got == pytest.approx(expected, abs=0.02), f"log alpha {a}: got {got:.4f} nats, expected {expected:.4f}"


def test_adam_agrees_with_torch(rng):
    """Log variances at VARIANCE_RATE times the rate of means."""
    probe = new_probe(2, 3)
    leaves = {name: torch.tensor(value, requires_grad=True) for name, value in probe.parameters.items()}
    optimizer = torch.optim.Adam([{"params": [leaves["mu"]], "lr": 0.1},
                                  {"params": [leaves["log_sigma2"]], "lr": 0.1 * VARIANCE_RATE}])
    for _ in range(5):
        gradients = {name: rng.normal(size=(2, 4)) for name in leaves}
        adam_step(probe, gradients, rate=0.1)
        for name, leaf in leaves.items():
            leaf.grad = torch.tensor(gradients[name])
        optimizer.step()
    for name, leaf in leaves.items():
        np.testing.assert_allclose(probe.parameters[name], leaf.detach().numpy(), rtol=1e-10, err_msg=name)


def loss_at_mean(probe, h, y):
    noise = draw_noise(probe.parameters, len(y), np.random.default_rng(0))
    nothing = {name: value * 0 for name, value in noise.items()}
    return loss_and_gradients(probe.parameters, with_one(h), y, nothing, len(y))[0]


@pytest.mark.parametrize("prior", PRIORS)
def test_fitting_finds_planted_classes_and_a_warm_start_keeps_them(rng, prior):
    direction = np.zeros(16)
    direction[3] = 4
    y = rng.integers(2, size=2000)
    h, _, _ = standardise(rng.normal(size=(2000, 16)) + y[:, None] * direction)
    probe = fit(new_probe(2, 16, prior), h, y, np.random.default_rng(1))
    weights = probe.posterior_mean()
    accuracy = ((h @ weights.T + probe.parameters["mu"][:, -1]).argmax(axis=1) == y).mean()
    assert accuracy > 0.95, f"accuracy {accuracy:.3f}, expected about 0.977 (two unit Gaussians, 4 apart)"
    difference = weights[1] - weights[0]
    assert np.abs(difference).argmax() == 3, "the largest weight is not on the one feature with signal"
    before = loss_at_mean(probe, h, y)
    after = loss_at_mean(fit(probe, h, y, np.random.default_rng(2), steps=5), h, y)
    assert after < before + 0.05, f"5 more steps: loss {before:.3f} to {after:.3f}; was the warm start lost?"


def test_the_group_prior_switches_off_features_without_signal(rng):
    """4 of 40 features carry signal; at n = 8000 those are kept and at least 90 % of the others switched off."""
    y = rng.integers(3, size=8000)
    means = np.zeros((3, 40))
    means[:, :4] = rng.normal(size=(3, 4)) * 2
    h, _, _ = standardise(rng.normal(size=(8000, 40)) + means[y])
    probe = fit(new_probe(3, 40, "group-normal-jeffreys"), h, y, rng)
    off = probe.switched_off()
    alpha = log_alpha(probe.parameters["mu_z"], probe.parameters["log_sigma2_z"])
    assert not off[:4].any(), f"a feature with signal is off: log alpha {alpha[:4].round(1)}"
    assert off[4:].mean() >= 0.9, f"only {off[4:].mean():.0%} of the features without signal are off"
    assert not fit(new_probe(3, 40), h, y, rng, steps=10).switched_off().any(), "the normal prior has no scales"


@pytest.mark.parametrize("prior", PRIORS)
def test_the_fitted_posterior_is_the_optimum_that_autograd_finds(rng, prior):
    """Torch's Adam on torch's loss, one rate for means and variances: the same loss within 1 %."""
    n, steps = 400, 1000
    y = rng.integers(3, size=n)
    h, _, _ = standardise(rng.normal(size=(n, 6)) + rng.normal(size=(3, 6))[y])
    probe = fit(new_probe(3, 6, prior), h, y, np.random.default_rng(1), batch=n)
    generator = np.random.default_rng(2)
    leaves = as_tensors(new_probe(3, 6, prior).parameters, requires_grad=True)
    optimizer = torch.optim.Adam(leaves.values(), lr=0.06)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    h1, labels = with_one(h), torch.tensor(y)
    for _ in range(steps):
        optimizer.zero_grad()
        noise = as_tensors(draw_noise(probe.parameters, n, generator))
        torch_loss(leaves, torch.tensor(h1), labels, noise, n).backward()
        optimizer.step()
        schedule.step()

    def loss(parameters):
        draws = [loss_and_gradients(parameters, h1, y, draw_noise(parameters, n, np.random.default_rng(s)), n)[0]
                 for s in range(100)]
        return np.mean(draws)

    theirs = loss({name: leaf.detach().numpy() for name, leaf in leaves.items()})
    assert loss(probe.parameters) == pytest.approx(theirs, rel=0.01)


@pytest.mark.parametrize("prior", PRIORS)
def test_a_warm_start_keeps_the_posterior_and_nothing_of_the_optimiser(rng, prior):
    """A probe fitted before, and a new one given the same posterior: one refit makes them equal, bit for bit."""
    h, y = standardise(rng.normal(size=(100, 4)))[0], rng.integers(3, size=100)
    used = fit(new_probe(3, 4, prior), h, y, np.random.default_rng(1), steps=30)
    fresh = VariationalProbe(prior, {name: value.copy() for name, value in used.parameters.items()})
    for probe in (used, fresh):
        fit(probe, h, y, np.random.default_rng(2), steps=5)
    for name, value in fresh.parameters.items():
        np.testing.assert_array_equal(used.parameters[name], value,
                                      err_msg=f"{name}: are Adam's moments and its step count reset at a refit?")


def test_the_same_generator_state_gives_the_same_bits(rng):
    h, y = rng.normal(size=(100, 4)), rng.integers(3, size=100)
    one, two = (fit(new_probe(3, 4), h, y, np.random.default_rng(5), steps=20).parameters["mu"] for _ in range(2))
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


def test_the_mean_weight_is_the_product_of_means(rng):
    probe = new_probe(3, 5, "group-normal-jeffreys")
    probe.parameters["mu"][:], probe.parameters["mu_z"][:] = rng.normal(size=(3, 6)), rng.normal(size=5)
    np.testing.assert_allclose(probe.posterior_mean(), probe.parameters["mu"][:, :5] * probe.parameters["mu_z"])


def test_an_unknown_prior():
    with pytest.raises(TinyDecoupleError, match="`prior` .laplace. is unknown; expected normal or group-"):
        new_probe(2, 3, "laplace")


def test_kl_of_the_whole_posterior_is_the_sum(rng):
    parameters, *_ = case(rng, "group-normal-jeffreys")
    parts = weight_kl(parameters["mu"], parameters["log_sigma2"])
    parts += scale_kl(log_alpha(parameters["mu_z"], parameters["log_sigma2_z"]))[0]
    assert kl_nats(parameters) == pytest.approx(parts)


def test_the_default_steps_grow_with_the_width_and_with_the_group_prior():
    normal, group = ([default_steps(new_probe(2, d, prior)) for d in (16, 128, 2048)] for prior in PRIORS)
    assert normal == [600, 600, 4800] and group == [2 * steps for steps in normal]


@pytest.mark.parametrize("prior", PRIORS)
def test_the_default_steps_come_within_two_percent_of_four_times_as_many(prior, d=32, n=300):
    """At moderate signal. Where classes are nearly separable the weights go on growing, and more is left."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=n)
    h = rng.standard_normal((n, d), dtype=np.float32)
    h[:, :4] += 0.6 * rng.normal(size=(2, 4)).astype(np.float32)[y]
    h = standardise(h)[0]
    bits = []
    for steps in (None, 4 * default_steps(new_probe(2, d, prior))):
        probe = fit(new_probe(2, d, prior, np.float32), h, y, np.random.default_rng(1), steps)
        bits.append(sum(variational_bits(probe, h, y, np.random.default_rng(2), 50)) / n)
    assert bits[0] < 1.02 * bits[1], f"bits per state: {bits[0]:.4f} by default, {bits[1]:.4f} at last"
