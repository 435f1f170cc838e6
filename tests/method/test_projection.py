"""The theorems of orthogonal projection, and the penalty's gradient."""

import numpy as np
import pytest
import torch

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.projection import penalty, project, reject


@pytest.fixture
def U(rng):
    return np.linalg.qr(rng.normal(size=(8, 3)))[0]


def test_symmetric_idempotent_rank_k(rng, U):
    P = project(np.eye(8), U)
    np.testing.assert_allclose(P, P.T, atol=1e-12)
    np.testing.assert_allclose(P @ P, P, atol=1e-12)
    assert np.linalg.matrix_rank(P) == 3 and np.trace(P) == pytest.approx(3)


def test_only_the_subspace_counts_not_its_basis(rng, U):
    h, R = rng.normal(size=(5, 8)), np.linalg.qr(rng.normal(size=(3, 3)))[0]
    np.testing.assert_allclose(project(h, U), project(h, U @ R), atol=1e-12)
    assert penalty(h, U)[0] == pytest.approx(penalty(h, U @ R)[0])


def test_pythagoras_and_nothing_is_left_inside(rng, U):
    h = rng.normal(size=(5, 8))
    inside, outside = project(h, U), reject(h, U)
    np.testing.assert_allclose((inside**2).sum(1) + (outside**2).sum(1), (h**2).sum(1))
    np.testing.assert_allclose(outside @ U, 0, atol=1e-12)
    np.testing.assert_allclose(inside + outside, h)


def test_penalty_is_the_mean_norm_of_the_projection(rng, U):
    h, mean = rng.normal(size=(5, 8)), rng.normal(size=8)
    assert penalty(h, U)[0] == pytest.approx(np.linalg.norm(project(h, U), axis=1).mean())
    assert penalty(h, U, mean)[0] == pytest.approx(np.linalg.norm(project(h - mean, U), axis=1).mean())


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("normalised", [False, True])
def test_penalty_gradient_agrees_with_autograd_and_differences(rng, U, centred, squared, normalised):
    h, mean = rng.normal(size=(4, 8)), rng.normal(size=8) if centred else None
    settings = {"mean": mean, "squared": squared, "normalised": normalised}
    value, got = penalty(h, U, **settings)
    leaf = torch.tensor(h, requires_grad=True)
    c = leaf - (0 if mean is None else torch.tensor(mean))
    c = torch.nn.functional.normalize(c, dim=-1) if normalised else c
    norm = (c @ torch.tensor(U)).norm(dim=-1)
    expected = (norm**2 if squared else norm).mean()
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(got, leaf.grad.numpy(), rtol=1e-6, atol=1e-12)
    for index in np.ndindex(h.shape):
        step = np.zeros_like(h)
        step[index] = 1e-6
        difference = (penalty(h + step, U, **settings)[0] - penalty(h - step, U, **settings)[0]) / 2e-6
        assert got[index] == pytest.approx(difference, rel=1e-6, abs=1e-9)


def test_a_normalised_state_cannot_pay_less_by_shrinking(rng, U):
    h = rng.normal(size=(5, 8))
    value, gradient = penalty(h, U, normalised=True)
    assert penalty(0.1 * h, U, normalised=True)[0] == pytest.approx(value) and 0 < value < 1
    np.testing.assert_allclose((gradient * h).sum(axis=1), 0, atol=1e-12)


@pytest.mark.parametrize("h, says", [(np.full((3, 8), np.nan), "NaN"), (np.ones((3, 8), int), "int"),
                                     (np.ones((3, 8), np.float16), "float16")])
def test_states_that_have_no_projection(U, h, says):
    for call in (project, reject, penalty):
        with pytest.raises(TinyDecoupleError, match=says):
            call(h, U)


@pytest.mark.parametrize("basis", [np.eye(8)[:, :2] * 1.01, np.ones((8, 2)), 2 * np.eye(8, 2, dtype=int), np.ones(8)])
def test_a_basis_that_is_not_orthonormal(rng, basis):
    for call in (project, reject, penalty):
        with pytest.raises(TinyDecoupleError, match="not orthonormal"):
            call(rng.normal(size=(5, 8)), basis)


def test_every_state_is_pushed_with_force_one(rng, U):
    """The gradient of ||hU|| has norm 1 a state, for every U and every size of h: equal lambda is equal force."""
    h = rng.normal(size=(5, 8)) * np.array([1e-3, 1, 10, 100, 1e4])[:, None]
    np.testing.assert_allclose(np.linalg.norm(penalty(h, U)[1] * len(h), axis=1), 1)


def test_no_gradient_where_there_is_no_norm(U):
    value, gradient = penalty(np.zeros((2, 8)), U)
    assert value == 0 and (gradient == 0).all(), "at hU = 0 the gradient is taken as 0, not NaN"


def test_random_subspaces_hold_k_of_d(rng):
    """Root mean square of ||hU|| / ||h|| over random U is sqrt(k / d)."""
    h = rng.normal(size=(1, 64))
    for k in (1, 16):
        shares = [np.sum(project(h, np.linalg.qr(rng.normal(size=(64, k)))[0])**2) / np.sum(h**2) for _ in range(800)]
        assert np.sqrt(np.mean(shares)) == pytest.approx(np.sqrt(k / 64), rel=0.06)
