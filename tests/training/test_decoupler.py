"""Which states the probe sees, whose are penalised, and that the penalty is the NumPy one."""

import numpy as np
import pytest
import torch

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.projection import penalty
from tinydecouple.method.subspace import probe_subspace
from tinydecouple.training.batches import collate, encode, finetuning_examples
from tinydecouple.training.decoupler import DecoupleOptions, Decoupler


def make(corpus, **settings):
    options = {"layer": 1, "probe_states": 512, "probe_steps": 60, **settings}
    return Decoupler(DecoupleOptions(**options), len(corpus.family), 32, 2)


@pytest.fixture
def examples(corpus, tokenizer):
    return finetuning_examples(corpus, tokenizer, "train")


@pytest.mark.parametrize("tokens", ["target", "source", "all"])
def test_states_are_gathered_with_the_variety_of_their_text(corpus, tokenizer, model, tokens, rng):
    """std -> a3: target pieces are a3's, source pieces std's; tags and end symbol are nobody's."""
    one = encode(corpus, tokenizer, "train", "std", "a3", 1)
    h, variety = make(corpus, tokens=tokens).gather(model, one, tokenizer.pad, rng)
    source, target = one[0].boundary - 1, len(one[0].tokens) - one[0].boundary - 2
    a3 = corpus.family.index("a3")
    expected = [0] * (source if tokens != "target" else 0) + [a3] * (target if tokens != "source" else 0)
    assert variety.tolist() == expected
    states = model(torch.tensor([one[0].tokens[:-1]]))[1][0].detach().numpy()
    first = 1 if tokens != "target" else one[0].boundary + 1
    np.testing.assert_allclose(h[0], states[first], rtol=1e-5)


def test_the_pivot_is_left_out(corpus, tokenizer, model, rng):
    both = encode(corpus, tokenizer, "train", "piv", "std", 3)
    _, variety = make(corpus, tokens="all").gather(model, both, tokenizer.pad, rng)
    assert set(variety) == {0}


@pytest.mark.parametrize("penalised", ["all", "dialects", "standard"])
@pytest.mark.parametrize("how", [{}, {"centred": False}, {"squared": True}, {"normalised": True}])
def test_the_penalty_in_training_is_the_numpy_one(corpus, tokenizer, model, examples, rng, penalised, how):
    decoupler = make(corpus, tokens="all", penalised=penalised, **how)
    decoupler.refresh(model, examples, tokenizer.pad, rng)
    batch = collate(examples[:6] + examples[-6:], tokenizer.pad)
    states = [h.detach().double().requires_grad_() for h in model(torch.from_numpy(batch.inputs))]
    got = decoupler.penalty(states, batch)
    got.backward()
    keep = batch.variety >= 0
    if penalised != "all":
        keep &= (batch.variety > 0) == (penalised == "dialects")
    mean = decoupler.mean.astype(float) if how.pop("centred", True) else None
    U = np.linalg.qr(decoupler.basis.astype(float))[0]  # orthonormal in float64, too
    value, gradient = penalty(states[1].detach().numpy()[keep], U, mean, **how)
    assert got.item() == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(states[1].grad.numpy()[keep], gradient, rtol=1e-4, atol=1e-7)
    assert (states[1].grad.numpy()[~keep] == 0).all(), "a position that is not penalised is pushed"


def test_a_refresh_refits_the_probe_and_takes_its_basis(corpus, tokenizer, model, examples, rng):
    decoupler = make(corpus, tokens="all")
    first = decoupler.refresh(model, examples, tokenizer.pad, rng)
    mu = decoupler.probe.parameters["mu"].copy()
    second = decoupler.refresh(model, examples, tokenizer.pad, rng)
    assert first["angle_degrees"] is None and 0 < second["angle_degrees"] < 90
    assert (decoupler.probe.parameters["mu"] != mu).any() and second["code_bits"] < first["entropy_bits"] * 2
    np.testing.assert_array_equal(decoupler.basis, probe_subspace(decoupler.probe.posterior_mean(), 1))


@pytest.mark.parametrize("subspace", ["probe", "frozen", "random"])
def test_controls_keep_their_basis_while_the_probe_is_refitted(corpus, tokenizer, model, examples, rng, subspace):
    decoupler = make(corpus, subspace=subspace)
    bases, probes, angles = [], [], []
    for _ in range(2):
        angles.append(decoupler.refresh(model, examples, tokenizer.pad, rng)["angle_degrees"])
        bases.append(decoupler.basis)
        probes.append(probe_subspace(decoupler.probe.posterior_mean(), 1))
    assert np.array_equal(*bases) == (subspace != "probe") and not np.array_equal(*probes) and angles[1] > 0
    assert np.array_equal(bases[0], probes[0]) == (subspace != "random")


def test_a_class_a_variety_gives_more_directions(corpus, tokenizer, model, examples, rng):
    decoupler = make(corpus, labels="all-varieties", rank=25)
    decoupler.refresh(model, examples, tokenizer.pad, rng)
    assert decoupler.probe.parameters["mu"].shape == (26, 33) and decoupler.basis.shape == (32, 25)


@pytest.mark.parametrize("settings, says", [
    ({"rank": 2}, r"--rank 2: with labels one-vs-rest the probe has 2 classes, so rank 1 to 1"),
    ({"labels": "all-varieties", "rank": 26}, r"rank 1 to 25"),
    ({"layer": 3}, r"--layer 3: the model has layers 0 \(embedding\) to 2"),
])
def test_settings_that_cannot_be(corpus, settings, says):
    with pytest.raises(TinyDecoupleError, match=says):
        make(corpus, **settings)
