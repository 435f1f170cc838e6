"""What lies inside a subspace, what lies outside, and what it costs to lie inside.

U: (d, k) with orthonormal columns. P = U U^T is symmetric and idempotent, of rank k; it depends on the
subspace alone, since (UR)(UR)^T = U U^T for every rotation R. Theorems: tutorials/THEORY.md, (22) to (25).
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
    """Decoupling penalty, the mean over states of ||c U||_2, and its gradient (n, d): THEORY (27) to (30).

    c is the state itself, or h - mean with a mean (d,), divided by its own length if `normalised`. squared: the mean of
    ||c U||^2. Both results have the dtype of h, float32 or float64. Since the columns of U are orthonormal,
    ||c U|| = ||c P||. The gradient of one state's ||h U|| is h P / ||h U||: of length 1 for every U, whatever the
    state's size; that of its square grows with what is inside. Dividing by r = ||c|| leaves only the part of a gradient
    G across u = c / r: (G - (G u) u) / r, so that shrinking a state does not lower the penalty. With G = s U^T,
    G u is s (u U). At h U = 0 the norm has no gradient; 0 is taken.
    """
    check_basis(U)
    if not (isinstance(h, np.ndarray) and h.ndim == 2 and h.dtype in (np.float32, np.float64) and h.size):
        check_matrix(h)  # says what is wrong
    check_width(h, len(U), "basis")
    if mean is not None and mean.shape != h.shape[1:]:
        raise TinyDecoupleError(f"mean has shape {mean.shape}, expected {h.shape[1:]}: one number per feature")
    U = U.astype(h.dtype, copy=False)
    c = h if mean is None else h - mean.astype(h.dtype, copy=False)
    length = np.sqrt(np.einsum("nd,nd->n", c, c))[:, None] if normalised else np.ones((len(h), 1), h.dtype)
    inside = divided(c @ U, length)  # (n, d) @ (d, k) -> (n, k)
    squares = np.einsum("nk,nk->n", inside, inside)[:, None]
    norm = np.sqrt(squares)
    value = float((squares if squared else norm).mean())
    if not np.isfinite(value):  # one look at the result instead of one at every entry: NaN and infinity reach it
        raise TinyDecoupleError("states contain NaN or infinity, or are too large to square; look for a diverged model")
    slope = divided(2 * inside if squared else divided(inside, norm), len(h) * length)
    gradient = slope @ U.T  # (n, k) @ (k, d) -> (n, d)
    if normalised:
        gradient -= c * divided((slope * inside).sum(axis=1, keepdims=True), length)
    return value, gradient


def divided(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a (n, k) by b (n, 1), and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


def check_basis(U: np.ndarray) -> None:
    """Raise TinyDecoupleError unless the columns of U (d, k) are orthonormal, to the precision of its dtype."""
    check_array(U, "bases")
    tolerance = 100 * np.finfo(U.dtype).eps if U.dtype.kind == "f" else 0
    if U.ndim != 2 or not U.size or not np.abs(U.T @ U - np.eye(U.shape[1])).max() <= tolerance:
        raise TinyDecoupleError(f"a basis of shape {U.shape} is not orthonormal; take it from one of the estimators "
                                "in method/subspace.py, or through np.linalg.qr")
