"""LEACE and INLP: findable before, not after; what each changes; and what rejecting one direction leaves."""

import numpy as np
import pytest
import torch

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.codelength import entropy_bits
from tinydecouple.method.erasure import Eraser, inlp, leace, reject_span
from tinydecouple.method.planted import plant
from tinydecouple.method.probe import fit, new_probe
from tinydecouple.method.states import standardise
from tinydecouple.method.subspace import probe_subspace

CLASSES = 4


@pytest.fixture(scope="module")
def planted():
    return plant(4000, 12, CLASSES, 2.0, np.random.default_rng(1), anisotropy=10)


def best_affine(h, y):
    """Cross-entropy in bits a label, and accuracy, of the best affine classifier on this sample, by torch's L-BFGS."""
    X, Y = torch.tensor(h), torch.tensor(y)
    W = torch.zeros(CLASSES, h.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([W], max_iter=300, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(X @ W[:, :-1].T + W[:, -1], Y)
        value.backward()
        return value

    optimizer.step(loss)
    accuracy = ((X @ W[:, :-1].T + W[:, -1]).argmax(dim=1) == Y).double().mean().item()
    return loss().item() / np.log(2), accuracy


def spread(h, y):
    """Largest distance of a class mean from the mean of all."""
    return max(np.linalg.norm(h[y == c].mean(axis=0) - h.mean(axis=0)) for c in range(CLASSES))


def moved(eraser, h):
    return float(((eraser(h) - h)**2).sum(axis=1).mean())


def until_means_coincide(h, y):
    for rounds in range(1, 5):
        eraser = inlp(h, y, rounds, np.random.default_rng(0))
        if spread(eraser(h), y) < 0.02 * spread(h, y):
            return eraser
    return eraser


def test_before_the_variety_is_found_after_leace_no_affine_classifier_beats_a_constant(planted):
    h, y = planted.h, planted.y
    constant = entropy_bits(y) / len(y)
    before, accuracy = best_affine(h, y)
    assert before < 0.7 * constant and accuracy > 0.6, f"nothing to erase: {before:.2f} bits, accuracy {accuracy:.2f}"
    eraser = leace(h, y)
    after, _ = best_affine(eraser(h), y)
    assert eraser.rank == CLASSES - 1
    assert spread(eraser(h), y) < 1e-10, "class means differ after LEACE"
    assert after == pytest.approx(constant, abs=1e-8), f"{after:.6f} bits, the constant {constant:.6f}"


def test_leace_moves_the_states_least_of_all_that_equalise_the_means(planted):
    h, y = planted.h, planted.y
    span, nullspace = reject_span(h, y), until_means_coincide(h, y)
    assert spread(span(h), y) < 1e-10 and spread(nullspace(h), y) < 0.02 * spread(h, y)
    least, others = moved(leace(h, y), h), [moved(span, h), moved(nullspace, h)]
    assert least < min(others), f"LEACE moves by {least:.2f}, rejecting the span {others[0]:.2f}, INLP {others[1]:.2f}"


def test_rejecting_only_the_probes_directions_moves_less_and_leaves_the_variety_findable(planted):
    h, y = planted.h, planted.y
    weights = fit(new_probe(CLASSES, 12), standardise(h)[0], y, np.random.default_rng(1)).posterior_mean()
    U = probe_subspace(weights, CLASSES - 1)
    probe = Eraser(h.mean(axis=0), U, U)
    assert moved(probe, h) < moved(leace(h, y), h), "the probe's directions hold little of the states, and yet"
    bits, accuracy = best_affine(probe(h), y)
    constant = entropy_bits(y) / len(y)
    assert bits < constant - 0.05 and accuracy > 0.35, f"{bits:.2f} bits of {constant:.2f}, accuracy {accuracy:.2f}"


@pytest.mark.parametrize("fitter", [leace, reject_span, lambda h, y: inlp(h, y, 2, np.random.default_rng(0))])
def test_erasing_twice_is_erasing_once(planted, fitter):
    eraser = fitter(planted.h, planted.y)
    once = eraser(planted.h)
    np.testing.assert_allclose(eraser(once), once, atol=1e-8)
    assert np.linalg.matrix_rank(eraser.E) == eraser.rank


def test_inlp_takes_classes_minus_one_directions_a_round(planted):
    ranks = [inlp(planted.h, planted.y, r, np.random.default_rng(0), steps=50).rank for r in (1, 2, 3)]
    assert ranks == [3, 6, 9], f"got ranks {ranks} after 1, 2 and 3 rounds, expected 3 more per round"


@pytest.mark.parametrize("fitter", [leace, reject_span, lambda h, y: inlp(h, y, 1, np.random.default_rng(0))])
@pytest.mark.parametrize("spoil, says", [(lambda h, y: (h, y * 0), "a single class|one label"),
                                         (lambda h, y: (h * np.nan, y), "NaN"),
                                         (lambda h, y: (h.astype(int), y), "int")])
def test_states_that_nothing_can_be_erased_from(planted, fitter, spoil, says):
    with pytest.raises(TinyDecoupleError, match=says):
        fitter(*spoil(planted.h, planted.y))


def test_each_round_of_inlp_looks_at_what_the_last_one_left(planted):
    """Bits that the best affine classifier still needs: 0.72 at first, 1.49, 1.91 after one and two rounds, of 2."""
    h, y = planted.h, planted.y
    bits = [best_affine(inlp(h, y, r, np.random.default_rng(0))(h), y)[0] for r in (1, 2)]
    assert bits[0] == pytest.approx(1.49, abs=0.1) and bits[1] > 1.8, f"{bits}: a later round found what is gone"


def test_leace_with_a_feature_that_never_varies(planted):
    """A singular covariance has no inverse root; its pseudo-inverse serves."""
    h = np.hstack((planted.h, np.ones((len(planted.h), 1))))
    erased = leace(h, planted.y)(h)
    assert np.isfinite(erased).all() and spread(erased, planted.y) < 1e-10
