"""The part of a state inside a subspace, the part outside, and the penalty on the part inside.

U: (d, k) with orthonormal columns. P = U U^T is symmetric and idempotent, of rank k; it depends on
the subspace alone, since (UR)(UR)^T = U U^T for every rotation R. Theorems: tutorials/THEORY.md,
(22) to (25).
"""

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.states import check_array, check_matrix, check_width


def project(h: np.ndarray, U: np.ndarray) -> np.ndarray:
    """(n, d) -> (n, d): the part of each state inside the subspace, h U U^T."""
    check_matrix(h)
    check_basis(U)
    check_width(h, len(U), "basis")
    return h @ U @ U.T


def reject(h: np.ndarray, U: np.ndarray) -> np.ndarray:
    """(n, d) -> (n, d): the part of each state outside the subspace, h - h U U^T."""
    return h - project(h, U)


def penalty(h: np.ndarray, U: np.ndarray, mean: np.ndarray | None = None, squared: bool = False,
            normalised: bool = False) -> tuple[float, np.ndarray]:
    """The penalty, mean over states of ||c U||_2, and its gradient (n, d): THEORY (27) to (30).

    c is the state h itself, or h - mean if a mean (d,) is given; it is divided by its own length if
    `normalised`. squared: take the mean of ||c U||^2 instead. The gradient has the dtype of h,
    float32 or float64. Since the columns of U are orthonormal, ||c U|| = ||c P||. Raises
    TinyDecoupleError for shapes that do not fit, a basis that is not orthonormal, and NaN or
    infinity.

    The gradient of one state's ||h U|| is h P / ||h U||: its length is 1 for every U and every size
    of the state; that of the square grows with what is inside. Dividing by r = ||c|| leaves only
    the part of a gradient G that is orthogonal to u = c / r, (G - (G u) u) / r, so that shrinking a
    state does not lower the penalty. With G = s U^T, G u is s (u U). At h U = 0 the norm has no
    gradient; 0 is taken.
    """
    check_basis(U)
    floats = (np.float32, np.float64)
    if not (isinstance(h, np.ndarray) and h.ndim == 2 and h.dtype in floats and h.size):
        check_matrix(h)  # says what is wrong
    check_width(h, len(U), "basis")
    if mean is not None and mean.shape != h.shape[1:]:
        raise TinyDecoupleError(
            f"mean has shape {mean.shape}, expected {h.shape[1:]}: one number per feature")
    U = U.astype(h.dtype, copy=False)
    c = h if mean is None else h - mean.astype(h.dtype, copy=False)
    if normalised:
        length = np.sqrt(np.einsum("nd,nd->n", c, c))[:, None]  # (n, 1)
    else:
        length = np.ones((len(h), 1), h.dtype)
    inside = divided(c @ U, length)  # (n, d) @ (d, k) -> (n, k)
    squares = np.einsum("nk,nk->n", inside, inside)[:, None]
    norm = np.sqrt(squares)
    value = float((squares if squared else norm).mean())
    if not np.isfinite(value):  # NaN or infinity in any entry reaches the value
        raise TinyDecoupleError("states contain NaN or infinity, or are too large to square; "
                                "look for a diverged model")
    slope = divided(2 * inside if squared else divided(inside, norm), len(h) * length)
    gradient = slope @ U.T  # (n, k) @ (k, d) -> (n, d)
    if normalised:
        gradient -= c * divided((slope * inside).sum(axis=1, keepdims=True), length)
    return value, gradient


def divided(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a (n, k) over b (n, 1), and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


def check_basis(U: np.ndarray) -> None:
    """Raise TinyDecoupleError unless U (d, k) has orthonormal columns, to its dtype's precision."""
    check_array(U, "bases")
    tolerance = 100 * np.finfo(U.dtype).eps if U.dtype.kind == "f" else 0
    if U.ndim != 2 or not U.size or not np.abs(U.T @ U - np.eye(U.shape[1])).max() <= tolerance:
        raise TinyDecoupleError(f"a basis of shape {U.shape} is not orthonormal; take it from one "
                                "of the estimators in method/subspace.py, or from np.linalg.qr")
