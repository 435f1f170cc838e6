"""What lies inside a subspace, what lies outside, and what it costs to lie inside.

U: (d, k) with orthonormal columns. P = U U^T is symmetric and idempotent, of rank k; it depends on the
subspace alone, since (UR)(UR)^T = U U^T for every rotation R. Theorems: tutorials/THEORY.md, (22) to (25).
"""

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.probe import check_matrix


def project(h: np.ndarray, U: np.ndarray) -> np.ndarray:
    """(n, d) -> (n, d): the part of each state inside the subspace, h U U^T."""
    check_matrix(h)
    check_basis(U)
    return h @ U @ U.T


def reject(h: np.ndarray, U: np.ndarray) -> np.ndarray:
    """(n, d) -> (n, d): the part of each state outside the subspace, h - h U U^T."""
    return h - project(h, U)


def penalty(h: np.ndarray, U: np.ndarray, mean: np.ndarray | None = None, squared: bool = False,
            normalised: bool = False) -> tuple[float, np.ndarray]:
    """Decoupling penalty, the mean over states of ||c U||_2, and its gradient (n, d): THEORY (27) to (30).

    c is the state itself, or h - mean with a mean (d,), divided by its own length if `normalised`. squared: the mean of
    ||c U||^2. Since the columns of U are orthonormal, ||c U|| = ||c P||. The gradient of one state's ||h U|| is
    h P / ||h U||: of length 1 for every U, whatever the state's size; that of its square grows with what is inside.
    Dividing by r = ||c|| leaves only the part of a gradient G across u = c / r: (G - (G u) u) / r, so a state cannot
    pay less by shrinking. At h U = 0 the norm has no gradient; 0 is taken.
    """
    check_matrix(h)
    check_basis(U)
    c = h if mean is None else h - mean
    length = np.linalg.norm(c, axis=1, keepdims=True)
    if normalised:
        c = np.divide(c, length, out=np.zeros_like(c), where=length > 0)
    inside = c @ U  # (n, d) @ (d, k) -> (n, k)
    norm = np.linalg.norm(inside, axis=1, keepdims=True)
    slope = 2 * inside if squared else np.divide(inside, norm, out=np.zeros_like(inside), where=norm > 0)
    gradient = slope @ U.T / len(h)  # (n, k) @ (k, d) -> (n, d)
    if normalised:
        across = gradient - (gradient * c).sum(axis=1, keepdims=True) * c
        gradient = np.divide(across, length, out=np.zeros_like(c), where=length > 0)
    return float((norm**2 if squared else norm).mean()), gradient


def check_basis(U: np.ndarray) -> None:
    """Raise TinyDecoupleError unless the columns of U (d, k) are orthonormal, to the precision of its dtype."""
    tolerance = 100 * np.finfo(U.dtype).eps if U.dtype.kind == "f" else 0
    if U.ndim != 2 or not np.abs(U.T @ U - np.eye(U.shape[1])).max() <= tolerance:
        raise TinyDecoupleError(f"a basis of shape {U.shape} is not orthonormal; take it from one of the estimators "
                                "in method/subspace.py, or through np.linalg.qr")
