"""The decoupler on states and labels alone: planted directions are found, PyTorch sees the NumPy penalty."""

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.planted import plant
from tinydecouple.method.probe import PRIORS, new_probe
from tinydecouple.method.projection import penalty
from tinydecouple.method.subspace import ESTIMATORS, principal_angles, probe_subspace
from tinydecouple.options import DecoupleOptions
from tinydecouple.training.decoupler import Decoupler

WIDTH = 12


def make(classes=2, width=WIDTH, **settings):
    return Decoupler(DecoupleOptions(**{"probe_steps": 80, **settings}), classes, width)


@pytest.fixture(scope="module")
def planted():
    p = plant(1500, WIDTH, 2, 2.0, np.random.default_rng(5))
    return p.h.astype(np.float32) + 3, p.y, p.discriminant


@pytest.fixture
def refreshed(planted):
    def build(**settings):
        core = make(**settings)
        core.refresh(*planted[:2], np.random.default_rng(1))
        return core
    return build


def test_a_refresh_finds_the_planted_direction_and_logs_its_code(planted):
    h, y, discriminant = planted
    core = make(probe_steps=300)
    record = core.refresh(h, y, np.random.default_rng(1))
    angle = np.degrees(principal_angles(core.basis, discriminant)[-1])
    assert angle < 15, f"got {angle:.0f} degrees from the planted direction; random would be about 75"
    assert record["code_bits"] < 0.7 * record["entropy_bits"] < record["null_bits"], record
    assert record["states"] == 1500 and 0 < record["kl_bits"] < record["code_bits"]


def by_autograd(h, U, mean, squared, normalised):
    """The penalty as PyTorch would write it: an independent gradient."""
    c = h if mean is None else h - mean
    c = F.normalize(c, dim=-1) if normalised else c
    norm = (c @ U).norm(dim=-1)
    return (norm**2 if squared else norm).mean()


@pytest.mark.parametrize("centred, squared, normalised, rank", list(product(*[(True, False)] * 3, (1, 3))))
def test_the_numpy_gradient_is_autograds(centred, squared, normalised, rank):
    """Through an upstream weight, so that a backward pass that forgets to multiply by it turns red."""
    rng = np.random.default_rng(7)
    core = make(classes=4, labels="all-varieties", rank=rank, centred=centred, squared=squared, normalised=normalised)
    p = plant(400, WIDTH, 4, 2.0, rng)
    core.refresh(p.h.astype(np.float32), p.y, rng)
    core.basis = np.linalg.qr(core.basis.astype(float))[0]  # orthonormal in float64, too
    values, gradients = [], []
    for compute in (core.penalty, lambda h: by_autograd(h, torch.from_numpy(core.basis),
                                                        torch.from_numpy(core.mean).double() if centred else None,
                                                        squared, normalised)):
        h = torch.from_numpy(p.h[:50]).clone().requires_grad_()
        value = compute(h)
        (1.7 * value).backward()
        values.append(value.item())
        gradients.append(h.grad.numpy())
    assert values[0] == pytest.approx(values[1], rel=1e-10)
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-9, atol=1e-14,
                               err_msg="the hand-derived gradient differs from autograd's of the plain formula")


def test_gradcheck_by_finite_differences(refreshed):
    core = refreshed(normalised=True)
    core.basis = np.linalg.qr(core.basis.astype(float))[0]
    h = torch.randn(5, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(core.penalty, h, atol=1e-6)


def test_the_value_is_the_numpy_penaltys(planted, refreshed):
    core = refreshed()
    value, gradient = penalty(planted[0], core.basis, core.mean)
    h = torch.from_numpy(planted[0]).requires_grad_()
    got = core.penalty(h)
    got.backward()
    assert got.item() == pytest.approx(value)
    np.testing.assert_array_equal(h.grad.numpy(), gradient)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_widened_before_numpy_sees_them(planted, refreshed, dtype):
    core = refreshed()
    h = torch.from_numpy(planted[0]).to(dtype).requires_grad_()
    value = core.penalty(h)
    (1024 * value).backward()  # as a gradient scaler does
    full = torch.from_numpy(planted[0]).requires_grad_()
    core.penalty(full).backward()
    assert value.dtype == torch.float32 and h.grad.dtype == dtype
    assert value.item() == pytest.approx(core.penalty(full).item(), rel=2e-2)
    np.testing.assert_allclose(h.grad.float().numpy() / 1024, full.grad.numpy(), atol=3e-5)


def test_states_of_double_precision_meet_a_basis_of_single_precision(planted, refreshed):
    """A basis from a refresh is float32: orthonormal to its own precision, not to that of float64 states."""
    core = refreshed()
    h = torch.from_numpy(planted[0]).double().requires_grad_()
    value = core.penalty(h)
    value.backward()
    assert value.dtype == h.grad.dtype == torch.float64
    assert value.item() == pytest.approx(core.penalty(torch.from_numpy(planted[0])).item(), rel=1e-5)


def test_no_states_cost_nothing_and_can_be_backpropagated(refreshed):
    h = torch.zeros(0, WIDTH, requires_grad=True)
    value = refreshed().penalty(h)
    value.backward()
    assert value.item() == 0 and h.grad.shape == (0, WIDTH)


def test_a_refresh_is_warm_and_takes_the_probes_basis(planted):
    core, rng = make(), np.random.default_rng(1)
    first = core.refresh(*planted[:2], rng)
    mu = core.probe.parameters["mu"].copy()
    second = core.refresh(*planted[:2], rng)
    assert first["angle_degrees"] is None and 0 < second["angle_degrees"] < 90
    assert np.abs(core.probe.parameters["mu"] - mu).max() < np.abs(mu).max(), "the probe starts from nothing again"
    assert second["code_bits"] < first["code_bits"] + 0.02
    np.testing.assert_allclose(core.basis, probe_subspace(core.probe.posterior_mean(), 1), atol=1e-6)
    np.testing.assert_allclose(core.mean, planted[0].mean(axis=0), rtol=1e-4, err_msg="not the mean of the last sample")


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_is_reachable_and_can_be_frozen(planted, name):
    """Frozen keeps basis and mean of the first refresh; the probe goes on observing."""
    h, y, _ = planted
    for frozen in (True, False):
        core, rng = make(subspace=name, frozen=frozen), np.random.default_rng(1)
        kept = []
        for shift in (0, 1):
            core.refresh(h[shift * 500:][:1000] + shift, y[shift * 500:][:1000], rng)
            kept.append((core.basis, core.mean, core.probe.parameters["mu"].copy()))
        (basis, mean, mu), (later, later_mean, later_mu) = kept
        np.testing.assert_allclose(basis.T @ basis, np.eye(1), atol=1e-5)
        assert np.array_equal(basis, later) == frozen == np.array_equal(mean, later_mean)
        assert not np.array_equal(mu, later_mu)


def test_only_the_probe_estimator_is_the_probes(planted):
    bases = {}
    for name in ESTIMATORS:
        core = make(subspace=name)
        core.refresh(*planted[:2], np.random.default_rng(1))
        bases[name] = core.basis
    angles = {name: np.degrees(principal_angles(bases["probe"], U)[-1]) for name, U in bases.items()}
    assert angles["standard-row"] < 1e-3, "with two classes the standard's row is the probe's direction"
    assert angles["class-means"] < 20 and min(angles["random"], angles["random-from-states"]) > 20, angles


def test_the_angle_logged_is_the_largest_to_the_estimate_before(rng):
    """Of rank 3: the smallest of three angles would hide how far a subspace turns."""
    p = plant(800, WIDTH, 4, 1.0, rng)
    core = make(classes=4, labels="all-varieties", rank=3)
    core.refresh(p.h[:400], p.y[:400], rng)
    before = core.basis
    angle = core.refresh(p.h[400:], p.y[400:], rng)["angle_degrees"]
    angles = np.degrees(principal_angles(before, core.basis))
    assert angles[0] < 0.9 * angles[-1], "the case is too easy: all angles are alike"
    assert angle == pytest.approx(angles[-1], abs=0.1), f"{angle:.1f} degrees logged, principal angles {angles}"


def test_a_refit_takes_as_many_steps_as_asked(planted):
    """Adam moves a weight by about its learning rate per step, so one step leaves the probe near its start."""
    moved = {}
    for steps in (1, 80):
        core = make(probe_steps=steps)
        core.refresh(*planted[:2], np.random.default_rng(1))
        moved[steps] = np.abs(core.probe.parameters["mu"]).max()
    assert moved[1] < 0.2 * moved[80], f"largest weight after 1 and after 80 steps: {moved}"


@pytest.mark.parametrize("prior", PRIORS)
def test_probe_and_null_have_the_prior_asked_for(prior):
    core = make(prior=prior)
    for probe in (core.probe, core.null):
        assert probe.prior == prior and set(probe.parameters) == set(new_probe(2, WIDTH, prior).parameters)


def test_the_null_changes_no_run(planted, monkeypatch):
    """A diagnostic draws from a stream of its own: without it the same basis, bit for bit."""
    bases = []
    for skip in (False, True):
        core, rng = make(), np.random.default_rng(1)
        if skip:
            monkeypatch.setattr(core, "_diagnose", lambda *args: {})
        for _ in range(2):
            core.refresh(*planted[:2], rng)
        bases.append(core.basis)
    np.testing.assert_array_equal(*bases)


def test_the_null_is_fitted_at_five_of_the_refreshes_and_stays_warm(planted):
    core, rng = make(refreshes=20, probe_steps=20), np.random.default_rng(1)
    nulls = [core.refresh(*planted[:2], rng)["null_bits"] for _ in range(20)]
    fitted = [bits for bits in nulls if bits is not None]
    assert [i for i, bits in enumerate(nulls) if bits is not None] == [0, 4, 8, 12, 16]
    assert fitted[-1] < fitted[0], f"a warm null falls towards H(Y) from refresh to refresh: {np.round(fitted, 3)}"
    assert fitted[-1] > 1, "dealt labels cost more than H(Y), 1 bit"


@pytest.mark.parametrize("refreshes, expected", [(1, [0]), (3, [0, 1, 2]), (5, [0, 1, 2, 3, 4]), (6, [0, 2, 3, 4, 5]),
                                                 (8, [0, 2, 4, 5, 7]), (10, [0, 2, 4, 6, 8]), (23, [0, 5, 10, 14, 19])])
def test_the_null_is_fitted_five_times_whatever_the_number_of_refreshes(planted, monkeypatch, refreshes, expected):
    """A null costs as much as a refit, so eight refreshes are no reason for eight: of R, those at or after 0, R / 5,
    2 R / 5, 3 R / 5 and 4 R / 5; of five or fewer, every one."""
    monkeypatch.setattr(Decoupler, "_diagnose", lambda *args: {"null_bits": 1.0})
    core, rng = make(refreshes=refreshes, probe_steps=1), np.random.default_rng(1)
    h, y = planted[0][:100], planted[1][:100]
    fitted = [i for i in range(refreshes) if core.refresh(h, y, rng)["null_bits"]]
    assert fitted == expected, f"of {refreshes} refreshes those with a null are {fitted}, expected {expected}"


@pytest.mark.parametrize("frozen", [False, True])
def test_state_and_restore_go_on_bit_for_bit(planted, frozen):
    """Two refreshes before the cut: the latest estimate is then another than the frozen basis, and both are needed."""
    ends, options = [], {"prior": "group-normal-jeffreys", "refreshes": 10, "frozen": frozen, "probe_steps": 20}
    for cut in (False, True):
        core = make(**options)
        for seed in (1, 2):
            core.refresh(*planted[:2], np.random.default_rng(seed))
        if cut:
            saved = core.state()
            core = make(**options)
            core.restore(saved)
        ends.append((core.refresh(*planted[:2], np.random.default_rng(3)), core.basis, core.mean))
    assert ends[0][0] == ends[1][0], "the resumed record differs: is everything in state()?"
    np.testing.assert_array_equal(ends[0][1], ends[1][1])


def test_a_class_per_variety_gives_more_directions(rng):
    p = plant(2000, 32, 26, 3.0, rng)
    core = make(classes=26, width=32, labels="all-varieties", rank=25)
    core.refresh(p.h, p.y, rng)
    assert core.probe.parameters["mu"].shape == (26, 33) and core.basis.shape == (32, 25)


@pytest.mark.parametrize("settings, says", [
    ({"rank": 2}, "rank.* 1"),
    ({"labels": "all-varieties", "classes": 4, "rank": 4}, "rank.* 3"),
    ({"rank": 13}, "`rank` 13: states of width 12 allow 1 to 12"),
    ({"subspace": "svd"}, f"`subspace` 'svd' is unknown; expected one of {', '.join(ESTIMATORS)}"),
    ({"subspace": "standard-row", "rank": 2}, "rank"),
    ({"classes": 40, "labels": "all-varieties", "probe_states": 64}, "`probe_states` 64: too few for 40 classes"),
])
def test_settings_that_cannot_be(settings, says):
    with pytest.raises(TinyDecoupleError, match=says):
        make(**settings)


@pytest.mark.parametrize("change, says", [
    (lambda h, y: (h, y[:-1]), "labels"),
    (lambda h, y: (h, y + 1), "labels run from 1 to 2"),
    (lambda h, y: (h[:, :5], y), "5 features, the decoupler 12"),
    (lambda h, y: (np.where(np.arange(len(y))[:, None] == 3, np.nan, h).astype(np.float16), y), "NaN"),
    (lambda h, y: (h, np.zeros_like(y)), "one label"),
    (lambda h, y: (h[0], y), "shape"),
])
def test_states_and_labels_that_cannot_be(planted, change, says):
    with pytest.raises(TinyDecoupleError, match=says):
        make().refresh(*change(*planted[:2]), np.random.default_rng(1))


def test_a_penalty_out_of_place(refreshed):
    with pytest.raises(TinyDecoupleError, match="no basis yet; call refresh"):
        make().penalty(torch.zeros(3, WIDTH))
    with pytest.raises(TinyDecoupleError, match=r"shape \(2, 3, 12\); expected \(n, 12\)"):
        refreshed().penalty(torch.zeros(2, 3, WIDTH))
    with pytest.raises(TinyDecoupleError, match="NaN"):
        refreshed().penalty(torch.full((3, WIDTH), torch.nan, dtype=torch.bfloat16))
