"""What all of method/ stands on: checks of states and labels, means, variances, and standardising.

States are (n, d), one row per state. Sums over states are taken in float64, block of rows by block
of rows, so that float32 means do not drift and float16 states need no second copy.
"""

import warnings
from collections.abc import Iterator

import numpy as np

from tinydecouple.errors import TinyDecoupleError

BLOCK = 2**20  # entries per block of rows: 8 MiB in float64
DOMINANT = 0.5  # share of all variance, beyond 1 / d, that one direction may hold without a warning


class StatesWarning(UserWarning):
    """States that a probe can be fitted to, but whose code length misleads."""


def check_array(a: np.ndarray, what: str) -> None:
    """Raise TinyDecoupleError unless `a` is a NumPy array; `what` names it in the message."""
    if isinstance(a, np.ndarray):
        return
    kind = f"{type(a).__module__.split('.')[0]}.{type(a).__name__}".removeprefix("builtins.")
    remedy = "pass x.detach().cpu().numpy()" if kind.startswith("torch.") else "pass np.asarray(x)"
    raise TinyDecoupleError(f"{what} are a {kind}, expected a NumPy array: {remedy}")


def check_matrix(h: np.ndarray, half: bool = False) -> None:
    """Raise TinyDecoupleError unless h is (n, d), not empty, finite, and float32 or float64.

    half: allow float16, too.
    """
    check_array(h, "states")
    allowed = (np.float16, np.float32, np.float64) if half else (np.float32, np.float64)
    if h.ndim != 2 or h.dtype not in allowed:
        names = " or ".join(np.dtype(t).name for t in allowed)
        raise TinyDecoupleError(
            f"states have shape {h.shape} and dtype {h.dtype}; expected (n, d), {names}")
    if not h.size:
        raise TinyDecoupleError(f"states have shape {h.shape}: there is no state, or no feature")
    if not all(np.isfinite(h[rows]).all() for rows in blocks(h)):
        raise TinyDecoupleError("states contain NaN or infinity; look for a diverged model, "
                                "an overflow in half precision or a damaged file")


def check_states(h: np.ndarray, y: np.ndarray, classes: int | None = None,
                 half: bool = False) -> None:
    """Raise TinyDecoupleError unless h passes check_matrix and y (n,) fits it.

    y holds integers from 0 to classes - 1; without `classes` the highest label decides. At least
    two different labels must occur.
    """
    check_matrix(h, half)
    check_array(y, "labels")
    if y.shape == h.shape[1:] and y.shape != h.shape[:1]:
        raise TinyDecoupleError(f"states have shape {h.shape} for {len(y)} labels; one row per "
                                "state is expected, so the axes are likely swapped: pass h.T")
    if y.shape != h.shape[:1] or y.dtype.kind not in "iu":
        raise TinyDecoupleError(f"labels have shape {y.shape} and dtype {y.dtype}; expected "
                                f"{h.shape[:1]} integers, one per row of the states")
    classes = int(y.max()) + 1 if classes is None else classes
    if y.min() < 0 or y.max() >= classes:
        raise TinyDecoupleError(
            f"labels run from {y.min()} to {y.max()}; expected 0 to {classes - 1}")
    if len(y) < classes:
        raise TinyDecoupleError(
            f"{len(y)} states for {classes} classes; gather more states than classes")
    if (y == y[0]).all():
        raise TinyDecoupleError(
            "all states carry one label; a probe needs two classes to distinguish")


def check_width(h: np.ndarray, d: int, whose: str) -> None:
    """Raise TinyDecoupleError unless states h have d features.

    whose: what else has d features, such as a probe or a basis, for the message.
    """
    if h.shape[1] != d:
        raise TinyDecoupleError(
            f"states have {h.shape[1]} features, the {whose} {d}; take both from one layer")


def check_rank(k: int, highest: int, why: str) -> None:
    """Raise TinyDecoupleError unless k is an integer from 1 to `highest`.

    why: the reason for the upper limit, for the message.
    """
    if not isinstance(k, (int, np.integer)) or not 1 <= k <= highest:
        raise TinyDecoupleError(f"`rank` {k}: expected 1 to {highest} ({why})")


def blocks(h: np.ndarray) -> Iterator[slice]:
    """Rows of h (n, d) as slices of about BLOCK entries, so that a temporary copy stays small."""
    step = max(1, BLOCK // h.shape[1])
    for start in range(0, len(h), step):
        yield slice(start, min(start + step, len(h)))


def centred(h: np.ndarray, mean: np.ndarray) -> Iterator[np.ndarray]:
    """h - mean, a block of rows at a time, in the wider of their dtypes."""
    return (h[rows] - mean for rows in blocks(h))


def mean_state(h: np.ndarray) -> np.ndarray:
    """(n, d) -> (d,) mean over states, float64.

    The mean of a million float32 states, summed in float32, can be off by whole standard
    deviations.
    """
    return sum(h[rows].sum(axis=0, dtype=np.float64) for rows in blocks(h)) / len(h)


def class_means(h: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n, d) states, (n,) classes -> (C, d) float64: the mean state of each class that occurs.

    Rows are in the order of the classes' numbers.
    """
    classes, counts = np.unique(y, return_counts=True)
    sums = sum((y[rows] == classes[:, None]).astype(np.float64) @ h[rows]  # (C, n) @ (n, d)
               for rows in blocks(h))
    return sums / counts[:, None]


def principal_axes(h: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (d,), variances (r,) falling, and their axes (d, r), of states h (n, d); all float64.

    r is the rank of the centred states: a variance that rounding alone could produce is left out.
    Rounding errors of n states are independent, so they add up to eps * sqrt(d) of the largest
    value, where numpy.linalg.matrix_rank allows for eps * d. eps is that of h's own dtype; since
    the covariance is made of squares, it cannot resolve anything finer than float64's eps.
    """
    mean, d = mean_state(h), h.shape[1]
    variance, axes = np.linalg.eigh(sum(c.T @ c for c in centred(h, mean)) / len(h))
    eps, largest = np.finfo(h.dtype).eps, variance[-1]
    of_states = eps**2 * (largest + np.abs(mean).max()**2)
    rounding = d * max(np.finfo(np.float64).eps * largest, of_states)
    kept = variance > rounding
    return mean, variance[kept][::-1], axes[:, kept][:, ::-1]


def root_mean_square(h: np.ndarray) -> float:
    """Root mean square of all entries of h (n, d)."""
    squares = sum(np.square(h[rows], dtype=np.float64).sum() for rows in blocks(h))
    return float(np.sqrt(squares / h.size))


def standardise(h: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Centre states and divide them by one number, so that their root mean square is 1 per feature.

    Returns (states (n, d), mean (d,), scale), float32 for float16 or float32 states. One scale for
    all features leaves every direction as it was. What the prior N(0, 1) means, and so the code
    length, depends on this scale.
    """
    check_matrix(h, half=True)
    if all((h[rows] == h[0]).all() for rows in blocks(h)):
        raise TinyDecoupleError("all states are equal; there is nothing for a probe to learn from")
    dtype = np.promote_types(h.dtype, np.float32)
    mean = mean_state(h).astype(dtype)
    states = np.subtract(h, mean, dtype=dtype)
    scale = root_mean_square(states)
    states /= scale
    return states, mean, scale


def dominance(h: np.ndarray) -> float:
    """Share, 0 to 1, of the variance of states h (n, d) along the direction of most variance.

    A single outlying feature and a single outlying state both show up in it. Found by three power
    iterations from the feature of most variance: accurate where one direction dominates, a lower
    bound elsewhere.
    """
    check_matrix(h, half=True)
    mean = mean_state(h).astype(np.promote_types(h.dtype, np.float32))
    variance = sum((c**2).sum(axis=0) for c in centred(h, mean))  # (d,), times n
    axis = np.eye(1, h.shape[1], variance.argmax(), dtype=mean.dtype)[0]
    for _ in range(3):
        product = sum((c @ axis) @ c for c in centred(h, mean))  # (n,) @ (n, d) -> (d,)
        largest = np.linalg.norm(product)
        axis = product / (largest or 1)
    return float(largest / (variance.sum() or 1))


def warn_of_scale(h: np.ndarray) -> None:
    """Warn if the prior N(0, 1) on weights does not suit states h (n, d).

    It does not if their scale is far from 1, or if one direction holds most of their variance.
    """
    size = root_mean_square(h)
    if not 0.1 < size < 10:
        warnings.warn(f"states have root mean square {size:.3g} per feature, expected about 1: "
                      "pass them through standardise() first, or the code length misleads",
                      StatesWarning, stacklevel=3)
    elif (share := dominance(h)) > DOMINANT + 1 / h.shape[1]:
        warnings.warn(f"one direction (an outlying feature or state?) holds {share:.0%} of the "
                      "states' variance: their code length cannot be compared with that of other "
                      "states", StatesWarning, stacklevel=3)
