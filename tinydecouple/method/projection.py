"""What lies inside a subspace, what lies outside, and what it costs to lie inside.

U: (d, k) with orthonormal columns. P = U U^T is symmetric and idempotent, of rank k; it depends on the
subspace alone, since (UR)(UR)^T = U U^T for every rotation R.
"""

import numpy as np


def project(h: np.ndarray, U: np.ndarray) -> np.ndarray:
    """(n, d) -> (n, d): the part of each state inside the subspace, h U U^T."""
    return h @ U @ U.T


def reject(h: np.ndarray, U: np.ndarray) -> np.ndarray:
    """(n, d) -> (n, d): the part of each state outside the subspace, h - h U U^T."""
    return h - project(h, U)


def penalty(h: np.ndarray, U: np.ndarray, mean: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """Decoupling penalty, the mean over states of ||(h - mean) U||_2, and its gradient (n, d) (PAPER.md, step 3).

    ||h P|| = ||h U||, since the columns of U are orthonormal. mean: (d,) to centre by, or None.
    The gradient of one state's term is P h / ||h U||: of length 1 for every U, whatever the state's size.
    At h U = 0 the norm has no gradient; 0 is taken.
    """
    inside = (h if mean is None else h - mean) @ U  # (n, d) @ (d, k) -> (n, k)
    norm = np.linalg.norm(inside, axis=1, keepdims=True)
    unit = np.divide(inside, norm, out=np.zeros_like(inside), where=norm > 0)
    return float(norm.mean()), unit @ U.T / len(h)
