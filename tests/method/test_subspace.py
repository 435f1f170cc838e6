"""The basis from a probe, and principal angles."""

import numpy as np
import pytest

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.probe import fit, new_probe, standardise
from tinydecouple.method.subspace import principal_angles, probe_subspace


def test_orthonormal_and_blind_to_what_all_rows_share(rng):
    weights = rng.normal(size=(5, 12))
    U = probe_subspace(weights, 3)
    np.testing.assert_allclose(U.T @ U, np.eye(3), atol=1e-12)
    shifted = probe_subspace(weights + 10 * rng.normal(size=12), 3)
    np.testing.assert_allclose(U @ U.T, shifted @ shifted.T, atol=1e-10,
                               err_msg="softmax ignores a vector added to all rows; are the rows centred?")


def test_one_vs_rest_is_the_difference_of_the_two_rows(rng):
    weights = rng.normal(size=(2, 9))
    difference = weights[1] - weights[0]
    U = probe_subspace(weights, 1)
    assert abs(U[:, 0] @ difference) == pytest.approx(np.linalg.norm(difference))


def test_full_rank_spans_all_differences_between_classes(rng):
    weights = rng.normal(size=(4, 10))
    U = probe_subspace(weights, 3)
    differences = weights[1:] - weights[0]
    np.testing.assert_allclose(differences @ U @ U.T, differences, atol=1e-10)


def test_sign_does_not_depend_on_the_svd(rng):
    weights = rng.normal(size=(4, 10))
    U = probe_subspace(weights, 3)
    assert (U[np.abs(U).argmax(axis=0), np.arange(3)] > 0).all()


@pytest.mark.parametrize("k", [0, 4])
def test_rank_is_at_most_classes_minus_one(rng, k):
    with pytest.raises(TinyDecoupleError, match="1 to 3"):
        probe_subspace(rng.normal(size=(4, 10)), k)


def test_weights_without_direction():
    with pytest.raises(TinyDecoupleError, match="learned nothing"):
        probe_subspace(np.ones((3, 5)), 1)


def test_a_planted_direction_is_found_where_the_covariance_is_round(rng):
    """With covariance I, Sigma^-1 (difference) is the difference itself, and the probe tends to it."""
    direction = rng.normal(size=20)
    direction /= np.linalg.norm(direction)
    y = rng.integers(2, size=8000)
    h, _, _ = standardise(rng.normal(size=(8000, 20)) + 2 * np.outer(y, direction))
    U = probe_subspace(fit(new_probe(2, 20), h, y, rng, steps=500).posterior_mean(), 1)
    angle = np.degrees(principal_angles(U, direction[:, None])[0])
    assert angle < 6, f"{angle:.1f} degrees from the planted direction; expected about 3 at n = 8000, 90 by chance"


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-7, 1e-3, 0.7, 0.9, np.pi / 2])
def test_angles_small_and_large(rng, angle):
    """Two planes that share one direction and differ by `angle` in the other, in any coordinates."""
    Q = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    A = Q @ np.array([[1, 0], [0, 1], [0, 0], [0, 0], [0, 0], [0, 0]])
    B = Q @ np.array([[1, 0], [0, np.cos(angle)], [0, np.sin(angle)], [0, 0], [0, 0], [0, 0]])
    got = principal_angles(A @ rng.normal(size=(2, 2)), B @ rng.normal(size=(2, 2)))
    np.testing.assert_allclose(got, [0, angle], rtol=1e-6, atol=1e-14,
                               err_msg="likely cause: arccos of a cosine near 1; small angles need the sine")


def test_angles_of_planes_and_lines_of_unequal_dimension(rng):
    A, B = np.eye(5)[:, :3], np.array([[1, 0, 0, 1, 0.0]]).T
    for pair in ((A, B), (B, A)):
        np.testing.assert_allclose(principal_angles(*pair), [np.pi / 4])
