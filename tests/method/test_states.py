"""What all of method/ stands on: refusals of one line, means in float64, ranks by the dtype's rounding, warnings."""

import warnings

import numpy as np
import pytest
import torch

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method import states as st
from tinydecouple.method.codelength import prequential_bits, variational_bits
from tinydecouple.method.erasure import inlp, leace, reject_span
from tinydecouple.method.probe import fit, new_probe
from tinydecouple.method.projection import penalty, project
from tinydecouple.method.states import StatesWarning, check_states, dominance, mean_state, principal_axes, standardise
from tinydecouple.method.subspace import class_mean_span, principal_components, random_from_states


def everything_that_takes_labels(h, y):
    """Each public function that meets states and labels, as a call without arguments."""
    rng = np.random.default_rng(0)
    probe = new_probe(3, 4)
    return {"check_states": lambda: check_states(h, y, 3), "fit": lambda: fit(probe, h, y, rng, steps=1),
            "variational_bits": lambda: variational_bits(probe, h, y, rng),
            "prequential_bits": lambda: prequential_bits(h, y, np.arange(30), 3, rng, steps=1),
            "leace": lambda: leace(h, y), "reject_span": lambda: reject_span(h, y),
            "inlp": lambda: inlp(h, y, 1, rng, steps=1), "class_mean_span": lambda: class_mean_span(h, y, 1)}


H, Y = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3


@pytest.mark.parametrize("h, y, says", [
    (torch.tensor(H), Y, r"states are a torch.Tensor.*pass x.detach\(\).cpu\(\).numpy\(\)"),
    (H, torch.tensor(Y), r"labels are a torch.Tensor.*numpy\(\)"),
    (H.tolist(), Y, r"states are a list.*np.asarray"),
    (H, Y.tolist(), r"labels are a list.*np.asarray"),
    (H.T, Y, r"shape \(4, 30\) for 30 labels.*axes are likely swapped: pass h.T"),
    (H, Y[:-1], r"labels have shape \(29,\).*expected \(30,\) integers"),
    (H, Y[:, None], r"labels have shape \(30, 1\)"),
    (H, Y.astype(float), "dtype float64; expected"),
    (H, Y - 1, "labels run from -1 to 1"),
    (H, Y * 0, "one label"),
    (np.where(H > 2, np.inf, H), Y, "NaN or infinity"),
    (np.where(np.arange(120).reshape(30, 4) == 77, np.nan, H), Y, "NaN or infinity"),
    (H[:0], Y[:0], "no state"),
    (H[0], Y, r"shape \(4,\)"),
    (H.astype(complex), Y, "complex128"),
])
def test_every_door_refuses_the_same_mistakes_in_one_line(h, y, says):
    for name, call in everything_that_takes_labels(h, y).items():
        with pytest.raises(TinyDecoupleError, match=says) as error:
            call()
        assert "\n" not in str(error.value), f"{name}: more than one line"


def test_a_label_outside_the_classes_and_states_of_another_width():
    for call in (lambda: check_states(H, Y, 2), lambda: fit(new_probe(2, 4), H, Y, np.random.default_rng(0))):
        with pytest.raises(TinyDecoupleError, match="labels run from 0 to 2; expected 0 to 1"):
            call()
    eraser, U, probe, rng = leace(H, Y), np.eye(5)[:, :2], new_probe(3, 5), np.random.default_rng(0)
    for call in (lambda: fit(probe, H, Y, rng), lambda: variational_bits(probe, H, Y, rng), lambda: project(H, U),
                 lambda: penalty(H, U), lambda: eraser(np.ones((3, 5)))):
        with pytest.raises(TinyDecoupleError, match="states have . features, the (probe|basis|eraser) ."):
            call()
    with pytest.raises(TinyDecoupleError, match=r"mean has shape \(5,\), expected \(4,\)"):
        penalty(H, np.eye(4)[:, :1], np.zeros(5))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float16_becomes_float32_and_the_others_keep_their_dtype(dtype, monkeypatch):
    """Block by block: the same as from float64 at once, up to what the dtype itself has rounded."""
    h = (np.random.default_rng(1).normal(size=(500, 6)) * np.arange(1, 7) + 3).astype(dtype)
    y, exact = np.arange(500) % 3, h.astype(np.float64)
    monkeypatch.setattr(st, "BLOCK", 6 * 64)  # 64 rows a block, the last one shorter
    s, mean, scale = standardise(h)
    assert s.dtype == np.promote_types(dtype, np.float32)
    np.testing.assert_allclose(s * scale + mean, exact, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(mean_state(h), exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(principal_axes(h)[1], np.linalg.eigvalsh(np.cov(exact.T, bias=True))[::-1], rtol=1e-10)
    np.testing.assert_allclose(st.class_means(h, y), [exact[y == c].mean(axis=0) for c in range(3)], rtol=1e-12)
    np.testing.assert_allclose(leace(h, y)(h), leace(exact, y)(exact), atol=1e-5)
    for estimate in (lambda h: class_mean_span(h, y, 2), lambda h: principal_components(h, 3),
                     lambda h: random_from_states(h, 2, np.random.default_rng(0))):
        np.testing.assert_allclose(estimate(h), estimate(exact), atol=1e-10)


def test_a_float32_mean_far_from_zero_does_not_drift():
    """300,000 states at 1,000 standard deviations from zero: added up in float32 the mean is off by more than one."""
    rng = np.random.default_rng(0)
    h = (rng.standard_normal((300_000, 2)) + 1000).astype(np.float32)
    h[:150_000, 0] += 1
    y = (np.arange(300_000) >= 150_000).astype(int)
    exact = h.astype(np.float64).mean(axis=0)
    naive = np.abs(h.mean(axis=0) - exact).max()
    assert naive > 0.01, f"the naive mean is off by {naive}: this test has nothing to find"
    for name, mean in (("standardise", standardise(h)[1]), ("leace", leace(h, y).mean),
                       ("reject_span", reject_span(h, y).mean)):
        np.testing.assert_allclose(mean, exact, atol=1e-4, err_msg=f"{name}: add up in float64")
    U = class_mean_span(h, y, 1)
    assert U[0, 0] > 0.999, f"class means differ along feature 0, the basis is {U.ravel()}"


def dependent(dtype, n=2000, d=12, rank=2, seed=0, offset=0.0):
    """States of a given rank in d features, as a program in that dtype makes them."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    parts = rng.normal(size=(n, rank)) + 2 * rng.normal(size=(3, rank))[y]
    return (parts.astype(dtype) @ rng.normal(size=(rank, d)).astype(dtype) + dtype(offset)).astype(dtype), y


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [4, 64])
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_a_rank_is_what_the_dtype_can_resolve(dtype, d, offset):
    """Two directions and rounding in d features: a third is refused, in float32 as in float64."""
    for seed in range(8):
        h, y = dependent(dtype, d=d, seed=seed, offset=offset)
        assert len(principal_axes(h)[1]) == 2, f"variances {principal_axes(h)[1]}: rounding counted as a direction"
        for estimate in (lambda k: principal_components(h, k),  # noqa: B023
                         lambda k: random_from_states(h, k, np.random.default_rng(1))):  # noqa: B023
            U = estimate(2)
            inside = np.linalg.norm((h - h.mean(axis=0)) @ U) / np.linalg.norm(h - h.mean(axis=0))
            assert inside == pytest.approx(1, abs=1e-4), "the two directions of the states are not those found"
            with pytest.raises(TinyDecoupleError, match="`rank` 3: expected 1 to 2"):
                estimate(3)
        eraser = leace(h, y)
        assert eraser.rank == 2 and np.linalg.norm(eraser.E) < 100, f"rank {eraser.rank}, {np.linalg.norm(eraser.E)}"
        np.testing.assert_allclose(eraser.E @ eraser.E, eraser.E, atol=1e-6, err_msg="LEACE is idempotent")


def test_small_variances_that_are_real_are_kept():
    """Standard deviations from 1 to 1e-4 in float32: all far above rounding."""
    h = (np.random.default_rng(0).normal(size=(3000, 16)) * np.logspace(0, -4, 16)).astype(np.float32)
    mean, variance, axes = principal_axes(h)
    assert axes.shape == (16, 16), f"{axes.shape[1]} of 16 directions kept"
    np.testing.assert_allclose(np.sqrt(variance), np.logspace(0, -4, 16), rtol=0.1)
    assert random_from_states(h, 3, np.random.default_rng(0)).shape == (16, 3)


def test_dominance_is_the_share_of_the_largest_direction(rng):
    h = rng.normal(size=(2000, 8))
    assert dominance(h) < 0.2
    turned = (h * np.array([20, 1, 1, 1, 1, 1, 1, 1])) @ np.linalg.qr(rng.normal(size=(8, 8)))[0]
    values = np.linalg.eigvalsh(np.cov(turned.T))
    assert dominance(turned) == pytest.approx(values[-1] / values.sum(), rel=1e-3), "one direction across features"
    h[0] *= 2000 / np.linalg.norm(h[0])
    assert dominance(h) > 0.99, "one state of length 2,000"


def test_fit_warns_of_states_on_another_scale_and_of_a_direction_that_dominates(rng):
    h, y = standardise(rng.normal(size=(400, 8)))[0], np.arange(400) % 2
    outlier, feature = h.copy(), h * np.array([1000, 1, 1, 1, 1, 1, 1, 1])
    outlier[7] *= 2000 / np.linalg.norm(outlier[7])
    for spoilt, says in ((h * 1000, "root mean square 1e.03"), (h / 1000, "standardise"),
                         (standardise(feature)[0], "cannot be compared"), (standardise(outlier)[0], "one direction")):
        with pytest.warns(StatesWarning, match=says):
            fit(new_probe(2, 8), spoilt, y, rng, steps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(new_probe(2, 8), h, y, rng, steps=1)


def test_states_that_are_all_equal_have_no_scale():
    for value in (0.0, 0.1, 1e6):
        with pytest.raises(TinyDecoupleError, match="all states are equal"):
            standardise(np.full((30, 4), value))
