"""The planted answer itself: bases, entropies, the angle that anisotropy makes."""

from pathlib import Path

import numpy as np
import pytest

from tinydecouple.method.planted import plant
from tinydecouple.method.subspace import principal_angles


def test_class_means_lie_in_the_planted_subspace(rng):
    p = plant(50_000, 12, 4, 2.0, rng)
    means = np.array([p.h[p.y == c].mean(axis=0) for c in range(4)])
    centred = means - means.mean(axis=0)
    outside = centred - centred @ p.differences @ p.differences.T
    assert np.linalg.norm(outside) < 0.05 * np.linalg.norm(centred), "the means leave their subspace"
    assert np.sqrt((centred**2).sum(axis=1).mean()) == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize("anisotropy", [1.0, 10.0])
def test_the_covariance_within_classes_has_the_planted_anisotropy_and_determinant_one(rng, anisotropy):
    p = plant(50_000, 6, 3, 2.0, rng, anisotropy)
    within = p.h - np.array([p.h[p.y == c].mean(axis=0) for c in range(3)])[p.y]
    variance = np.linalg.eigvalsh(np.cov(within.T))
    assert variance[-1] / variance[0] == pytest.approx(anisotropy, rel=0.1), f"variances {variance}"
    assert np.prod(variance) == pytest.approx(1, rel=0.1), f"determinant {np.prod(variance):.2f}, expected 1"


def test_the_sample_file_is_this_functions_work():
    with np.load(Path(__file__).parents[2] / "data_samples" / "planted.npz", allow_pickle=False) as file:
        saved = dict(file)
    p = plant(2000, 16, 4, 2.0, np.random.default_rng(0), anisotropy=10)
    np.testing.assert_allclose(saved["h"], p.h, rtol=1e-5, atol=1e-6)
    assert (saved["y"] == p.y).all() and saved["conditional_bits"] == pytest.approx(p.conditional_bits)
    for name in ("differences", "discriminant"):
        assert principal_angles(saved[name], getattr(p, name))[-1] < 1e-6


def test_no_signal_leaves_all_the_bits(rng):
    assert plant(10, 8, 4, 0.0, rng).conditional_bits == pytest.approx(2.0, abs=1e-9)


def test_two_classes_in_one_dimension_by_numerical_integration(rng):
    """H(Y|h) for N(-s, 1) against N(s, 1), integrated on a grid."""
    x, s = np.linspace(-12, 12, 200_001), 1.5
    density = np.exp(-0.5 * (x - s)**2) / np.sqrt(2 * np.pi)
    expected = (density * np.log2(1 + np.exp(-2 * s * x))).sum() * (x[1] - x[0])
    got = plant(10, 6, 2, s, rng, monte_carlo=400_000).conditional_bits
    assert got == pytest.approx(expected, abs=0.004), f"got {got:.4f} bits, the integral says {expected:.4f}"


def test_round_covariance_makes_the_two_bases_one_and_anisotropy_parts_them():
    angles = [np.degrees(principal_angles(*(getattr(plant(10, 16, 2, 1.0, np.random.default_rng(3), a), name)
                                            for name in ("differences", "discriminant")))[0]) for a in (1, 10, 100)]
    assert angles[0] < 1e-5 and angles[0] < angles[1] < angles[2], f"degrees at anisotropy 1, 10, 100: {angles}"
    assert 20 < angles[1] < 50, f"{angles[1]:.0f} degrees at anisotropy 10"
