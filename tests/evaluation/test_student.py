"""Student's t against printed tables and against its own density, integrated."""

import math

import numpy as np
import pytest

from tinydecouple.evaluation.student import quantile, two_sided

TABLE = {  # as textbooks print it: degrees of freedom -> t of 0.975, of 0.995, of 0.8
    1: (12.706, 63.657, 1.376), 2: (4.303, 9.925, 1.061), 3: (3.182, 5.841, 0.978), 7: (2.365, 3.499, 0.896),
    10: (2.228, 3.169, 0.879), 30: (2.042, 2.750, 0.854), 120: (1.980, 2.617, 0.845), 10 ** 6: (1.960, 2.576, 0.842)}


@pytest.mark.parametrize("df", TABLE)
def test_quantiles_of_the_textbooks_table(df):
    for probability, expected in zip((0.975, 0.995, 0.8), TABLE[df]):
        got = quantile(probability, df)
        assert got == pytest.approx(expected, abs=6e-4), f"t({probability}, {df}): got {got:.4f}, table {expected}"


@pytest.mark.parametrize("df", [1, 1.5, 2, 7, 7.3, 50, 3000])
@pytest.mark.parametrize("t", [0.0, 0.3, 1.0, 2.5, 12.0])
def test_tails_are_the_area_under_the_density(df, t):
    """An independent way, good for any real df: integrate (1 + x²/df)^(-(df+1)/2) from -t to t."""
    x, weight = np.polynomial.legendre.leggauss(200)
    density = np.exp(-(df + 1) / 2 * np.log1p((t * x) ** 2 / df))
    constant = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)
    expected = 1 - constant * t * (weight @ density)
    got = two_sided(t, df)
    assert got == pytest.approx(expected, abs=1e-11), f"P(|T| > {t}) with {df} df: got {got}, integral {expected}"


def test_closed_forms_and_ends():
    assert two_sided(1, 1) == pytest.approx(0.5), "with 1 degree of freedom it is Cauchy's: half lies within 1"
    assert two_sided(-2.0, 5) == two_sided(2.0, 5)
    assert two_sided(math.inf, 3) == 0 and two_sided(0, 3) == 1
    assert 0 < two_sided(1e6, 7) < 1e-35, "far tails keep their size"
    for df in (1.0, 4.2, 90):
        assert two_sided(quantile(0.99, df), df) == pytest.approx(0.02, rel=1e-10)
