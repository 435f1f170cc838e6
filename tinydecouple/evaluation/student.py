"""Student's t distribution, for any real number of degrees of freedom: what SciPy would be needed for otherwise."""

import math


def two_sided(t: float, df: float) -> float:
    """P(|T| >= |t|), 0 to 1, for T of Student's distribution with `df` > 0 degrees of freedom.

    It is the incomplete beta function I_x(df/2, 1/2) at x = df / (df + t²); its mirror image is summed where that
    converges sooner.
    """
    x = df / (df + t * t)
    if x <= 0.5:
        return _incomplete_beta(x, df / 2, 0.5)
    return 1 - _incomplete_beta(1 - x, 0.5, df / 2)


def quantile(probability: float, df: float) -> float:
    """The t with P(T <= t) = probability, 0.5 to 1 (1 excluded): 0.975 gives the factor of a 95 % interval."""
    tail = 2 * (1 - probability)
    low, high = 0.0, 1.0
    while two_sided(high, df) > tail:
        high *= 2
    while low < (middle := (low + high) / 2) < high:  # bisection, to the last bit
        low, high = (middle, high) if two_sided(middle, df) > tail else (low, middle)
    return high


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b), 0 <= x <= 1/2, by its power series; every term is positive, so that nothing cancels."""
    if x == 0:
        return 0.0
    term = total = 1.0
    n = 0
    while term > 1e-17 * total:
        term *= x * (a + b + n) / (a + 1 + n)
        total += term
        n += 1
    log_front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(log_front) * total / a
