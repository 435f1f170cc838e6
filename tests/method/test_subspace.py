"""The basis from a probe, and principal angles."""

import numpy as np
import pytest
import torch

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.names import SUBSPACES
from tinydecouple.method.planted import plant
from tinydecouple.method.probe import fit, new_probe
from tinydecouple.method.states import standardise
from tinydecouple.method.subspace import (
    ESTIMATORS,
    angle_null,
    class_mean_span,
    estimator,
    principal_angles,
    principal_components,
    probe_subspace,
    random_from_states,
    random_subspace,
    standard_row,
    subspace_overlap,
)


def degrees(A, B):
    """Largest principal angle."""
    return np.degrees(principal_angles(A, B)[-1])


def probe_of(p, n, classes, seed=1, steps=1500):
    """Posterior mean weights of a probe fitted to the first n planted states."""
    h = standardise(p.h[:n])[0]
    return fit(new_probe(classes, h.shape[1]), h, p.y[:n], np.random.default_rng(seed), steps).posterior_mean()


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


@pytest.mark.parametrize("anisotropy", [1.0, 10.0])
def test_each_estimator_tends_to_its_own_limit(anisotropy):
    """Probe readings towards Sigma^-1 (differences), class means towards the differences; at anisotropy 10 the two
    limits lie some 38 degrees apart, and neither estimator comes near the other's."""
    p = plant(30_000, 16, 2, 1.5, np.random.default_rng(3), anisotropy)
    probe, means = probe_subspace(probe_of(p, 30_000, 2), 1), class_mean_span(p.h, p.y, 1)
    assert degrees(probe, p.discriminant) < 6, f"probe: {degrees(probe, p.discriminant):.1f} degrees from its limit"
    assert degrees(means, p.differences) < 6, f"means: {degrees(means, p.differences):.1f} degrees from their limit"
    apart = degrees(p.differences, p.discriminant)
    if anisotropy > 1:
        assert apart == pytest.approx(38, abs=8), f"the limits are {apart:.1f} degrees apart"
        assert degrees(probe, p.differences) > apart - 8 and degrees(means, p.discriminant) > apart - 8
    else:
        assert apart < 1e-5


def test_a_class_a_variety_spans_all_differences_and_the_standards_row_its_own():
    p = plant(30_000, 16, 4, 2.0, np.random.default_rng(4))
    weights = probe_of(p, 30_000, 4)
    assert degrees(probe_subspace(weights, 3), p.discriminant) < 12, "the largest angle is that of the weakest of three"
    assert degrees(class_mean_span(p.h, p.y, 3), p.differences) < 12
    means = np.array([p.h[p.y == c].mean(axis=0) for c in range(4)])
    own = (means[0] - means[1:].mean(axis=0))[:, None]  # the covariance is round: the limit is the difference itself
    assert degrees(standard_row(weights), own) < 8 < degrees(standard_row(weights, standard=1), own)


def test_where_the_states_lie_as_a_whole_is_no_difference_between_classes():
    p = plant(2000, 16, 4, 2.0, np.random.default_rng(4))
    assert degrees(class_mean_span(p.h + 100, p.y, 3), class_mean_span(p.h, p.y, 3)) < 1e-6


def test_the_angle_to_the_limit_falls_as_one_over_root_n():
    p = plant(64_000, 16, 2, 1.5, np.random.default_rng(6))
    angles = [np.mean([degrees(class_mean_span(p.h[i::64_000 // n], p.y[i::64_000 // n], 1), p.differences)
                       for i in range(4)]) for n in (1000, 16_000)]
    assert angles[0] / angles[1] == pytest.approx(4, rel=0.4), f"degrees at n = 1000 and 16,000: {angles}"
    probes = [degrees(probe_subspace(probe_of(p, n, 2), 1), p.discriminant) for n in (1000, 16_000)]
    assert probes[0] / probes[1] > 2, f"probe, degrees at n = 1000 and 16,000: {probes}"


def test_principal_components_follow_variance_not_labels():
    p = plant(5000, 16, 2, 1.0, np.random.default_rng(7), anisotropy=100)
    values, axes = np.linalg.eigh(np.cov(p.h.T))
    assert degrees(principal_components(p.h, 2), axes[:, -2:]) < 1e-4
    assert degrees(principal_components(p.h, 1), p.discriminant) > 45


def test_random_subspaces_are_orthonormal_and_the_fair_one_lies_where_states_lie(rng):
    p = plant(5000, 32, 2, 1.0, np.random.default_rng(8), anisotropy=1000)
    held = {"isotropic": [], "from states": []}
    for _ in range(50):
        for name, U in (("isotropic", random_subspace(32, 2, rng)), ("from states", random_from_states(p.h, 2, rng))):
            np.testing.assert_allclose(U.T @ U, np.eye(2), atol=1e-10)
            held[name].append(((p.h @ U)**2).sum() / (p.h**2).sum())
    assert np.mean(held["isotropic"]) == pytest.approx(2 / 32, rel=0.3)
    assert np.mean(held["from states"]) > 2.5 * np.mean(held["isotropic"]), "the fair control holds no more energy"


@pytest.mark.parametrize("spoil, says", [(lambda h: h * np.nan, "NaN"), (lambda h: h.astype(int), "int"),
                                         (lambda h: h.tolist(), "are a list, expected a NumPy array"),
                                         (lambda h: torch.tensor(h), "torch.Tensor.*numpy"),
                                         (lambda h: (h * 1e6).astype(np.float16), "half precision|float16")])
def test_states_that_no_estimator_can_use(rng, spoil, says):
    h, y = spoil(rng.normal(size=(30, 4))), np.arange(30) % 3
    for call in (lambda: class_mean_span(h, y, 1), lambda: principal_components(h, 1), lambda: standardise(h),
                 lambda: random_from_states(h, 1, rng), lambda: probe_subspace(h[:3], 1)):
        with pytest.raises(TinyDecoupleError, match=says):
            call()


def test_ranks_that_cannot_be(rng):
    h = rng.normal(size=(30, 4))
    for call in (lambda: random_subspace(4, 5, rng), lambda: random_from_states(h, 0, rng),
                 lambda: class_mean_span(h, np.arange(30) % 3, 3), lambda: principal_components(h, 5)):
        with pytest.raises(TinyDecoupleError, match="rank"):
            call()


def test_overlap_from_none_to_all(rng):
    eye = np.eye(8)
    assert subspace_overlap(eye[:, :2], eye[:, 2:5]) == pytest.approx(0)
    assert subspace_overlap(eye[:, :2], eye[:, :5]) == pytest.approx(1)
    random = [subspace_overlap(random_subspace(64, 2, rng), random_subspace(64, 6, rng)) for _ in range(300)]
    assert np.mean(random) == pytest.approx(6 / 64, rel=0.15)


def test_the_null_shrinks_with_more_sentences_and_keeps_sentences_whole():
    p = plant(8000, 16, 2, 1.5, np.random.default_rng(9))

    def one(weights):
        return probe_subspace(weights, 1)

    few, many = (angle_null(p.h[:n], p.y[:n], np.arange(n) // 4, 2, one, 5, np.random.default_rng(1),
                            steps=300)
                 for n in (400, 8000))
    assert len(few) == 10 and few.mean() > 2 * many.mean(), f"degrees {np.degrees([few.mean(), many.mean()])}"
    copies = np.repeat(p.h[:400], 10, axis=0)  # ten tokens that say the same are worth one
    labels, keys = np.repeat(p.y[:400], 10), np.arange(4000) // 40
    whole = angle_null(copies, labels, keys, 2, one, 5, np.random.default_rng(1), steps=300)
    assert whole.mean() > 2 * many.mean(), "repeating tokens narrowed the null: sentences are not drawn whole"


def test_every_estimator_is_one_entry_of_a_dict_and_takes_the_same_call():
    """name -> estimate(h, y, weights, k, rng): what the command line offers, what training calls."""
    p = plant(3000, 12, 4, 2.0, np.random.default_rng(3), anisotropy=5)
    h, weights = standardise(p.h)[0], probe_of(p, 3000, 4, steps=100)
    direct = {"probe": probe_subspace(weights, 1), "standard-row": standard_row(weights),
              "class-means": class_mean_span(h, p.y, 1), "principal-components": principal_components(h, 1),
              "random": random_subspace(12, 1, np.random.default_rng(0)),
              "random-from-states": random_from_states(h, 1, np.random.default_rng(0))}
    assert set(ESTIMATORS) == set(direct) == set(SUBSPACES), "a name without a function, or the other way round"
    for name, expected in direct.items():
        got = estimator(name)(h, p.y, weights, 1, np.random.default_rng(0))
        np.testing.assert_array_equal(got, expected, err_msg=f"{name} is another function than its name says")
    for name in set(ESTIMATORS) - {"standard-row"}:
        U = estimator(name)(h, p.y, weights, 3, np.random.default_rng(0))
        np.testing.assert_allclose(U.T @ U, np.eye(3), atol=1e-10, err_msg=f"{name}: basis not orthonormal")


@pytest.mark.parametrize("name, k, says", [
    ("probe", 4, "`rank` 4: expected 1 to 3 .*softmax"), ("standard-row", 2, "`rank` 2: expected 1 to 1 .*one row"),
    ("class-means", 4, "`rank` 4: expected 1 to 3 .*class means"),
    ("principal-components", 13, "`rank` 13: expected 1 to 12"),
    ("random", 13, "`rank` 13: expected 1 to 12"), ("random-from-states", 0, "`rank` 0: expected 1 to 12")])
def test_every_estimator_names_the_ranks_it_can_give(rng, name, k, says):
    h, y = rng.normal(size=(60, 12)), np.arange(60) % 4
    with pytest.raises(TinyDecoupleError, match=says):
        estimator(name)(h, y, rng.normal(size=(4, 12)), k, rng)


def test_an_unknown_estimator_is_refused_with_those_there_are():
    with pytest.raises(TinyDecoupleError, match="'pca' is unknown; expected one of probe, standard-row, class-means"):
        estimator("pca")


def test_two_classes_give_a_direction_from_the_rest_to_the_standard():
    """Class 0 is the standard: along the basis its states come out higher, whatever the basis' largest entry says."""
    for seed in range(12):
        p = plant(400, 9, 2, 2.0, np.random.default_rng(seed))
        h, weights = standardise(p.h)[0], probe_of(p, 400, 2, seed, steps=150)
        for name in ("probe", "standard-row", "class-means"):
            along = h @ estimator(name)(h, p.y, weights, 1, np.random.default_rng(0))
            apart = along[p.y == 0].mean() - along[p.y == 1].mean()
            assert apart > 0.5, f"{name}, seed {seed}: the standard lies {apart:.2f} along it; was its sign flipped?"
    many = np.random.default_rng(0).normal(size=(5, 9))
    for c in range(5):
        assert standard_row(many, c)[:, 0] @ (many[c] - np.delete(many, c, axis=0).mean(axis=0)) > 0


def test_angles_are_those_of_column_spaces_not_of_columns(rng):
    """Columns that depend on others, zero columns, other scales: the same space, the same angles."""
    A, B = rng.normal(size=(8, 2)), rng.normal(size=(8, 3))
    expected = principal_angles(A, B)
    assert len(expected) == 2
    for dtype, places in ((np.float64, 1e-10), (np.float32, 1e-5)):
        for same in (np.hstack((A, A @ rng.normal(size=(2, 2)))), np.hstack((A, np.zeros((8, 1)))), A * [1e-3, 1e3]):
            for pair in ((same.astype(dtype), B), (B, same.astype(dtype))):
                np.testing.assert_allclose(principal_angles(*pair), expected, atol=places)
                assert subspace_overlap(*pair) == pytest.approx((np.cos(expected)**2).mean(), abs=places)
    for spoilt, says in ((np.zeros((8, 2)), "all its columns are zero"), (B[:5], "8 and 5 features"),
                         (B * np.nan, "real and finite"), (torch.tensor(B), "torch.Tensor")):
        with pytest.raises(TinyDecoupleError, match=says):
            principal_angles(A, spoilt)


def test_rank_deficient_weights_and_class_means_give_no_more_than_they_have():
    """Float32 weights on two directions: the third singular value is rounding."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        weights = (rng.normal(size=(6, 2)).astype(np.float32) @ rng.normal(size=(2, 20)).astype(np.float32)) + 5
        assert probe_subspace(weights, 2).shape == (20, 2)
        with pytest.raises(TinyDecoupleError, match="`rank` 3: the rows have only 2 directions"):
            probe_subspace(weights.astype(np.float32), 3)
    with pytest.raises(TinyDecoupleError, match="class 5 of 3"):
        standard_row(np.eye(3), 5)


def test_where_the_states_lie_as_a_whole_is_no_direction_of_theirs(rng):
    """Both controls drawn from the states look at the centred states."""
    h = rng.normal(size=(300, 6)) * np.arange(1, 7)
    for estimate in (lambda h: random_from_states(h, 2, np.random.default_rng(0)),
                     lambda h: principal_components(h, 2)):
        np.testing.assert_allclose(estimate(h + 1000), estimate(h), atol=1e-8, err_msg="the mean was left in")
