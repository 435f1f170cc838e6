"""A3, subspace and projection: parts inside and outside, centred SVD, angles, the penalty, LEACE."""

from typing import Any

import numpy as np

from tinydecouple.coursework.tasks import Assignment, Case, Rng, Task

SIZES = ((7, 5, 2, np.float64), (1, 4, 1, np.float64), (40, 6, 3, np.float32))  # n, d, k, dtype


def basis(d: int, k: int, rng: Rng, dtype: type = np.float64) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(d, k)))[0].astype(dtype)


def state_cases(rng: Rng) -> list[Case]:
    return [Case((rng.normal(size=(n, d)).astype(dtype), basis(d, k, rng, dtype)),
                 f"n = {n}, d = {d}, k = {k}, {np.dtype(dtype).name}") for n, d, k, dtype in SIZES]


def reject_cases(rng: Rng) -> list[Case]:
    U = basis(5, 2, rng)
    return state_cases(rng) + [Case((rng.normal(size=(4, 2)) @ U.T, U), "states inside the subspace", True),
                               Case((rng.normal(size=(3, 4)), basis(4, 4, rng)), "k = d", True)]


def subspace_cases(rng: Rng) -> list[Case]:
    shift = 30 * rng.normal(size=6)  # what all rows share, softmax ignores
    pair = rng.normal(size=(2, 6))
    pair[1] += np.eye(6)[2] * (9 + np.abs(pair).max())  # from row 1 to row 0 the largest step goes down
    alike = np.outer(rng.normal(size=5), rng.normal(size=7)) + rng.normal(size=7)
    cases = [Case((rng.normal(size=(26, 8)), 3), "C = 26, d = 8, k = 3"),
             Case((rng.normal(size=(5, 6)) + shift, 2), "C = 5, rows with a large vector in common"),
             Case((rng.normal(size=(2, 9)).astype(np.float32), 1), "C = 2, float32")]
    return cases + [Case((pair + shift, 1), "C = 2: from row 1 to row 0", True),
                    Case((rng.normal(size=(4, 9)), 4), "k = C, one too many: TinyDecoupleError", True),
                    Case((alike, 2), "rows that differ in one direction only, k = 2: TinyDecoupleError", True)]


def turned(A: np.ndarray, angles: list[float], rng: Rng) -> np.ndarray:
    """A basis whose principal angles to A (d, k) are the ones given."""
    d, k = A.shape
    outside = np.linalg.qr(np.hstack((A, rng.normal(size=(d, k)))))[0][:, k:]
    turned = A * np.cos(angles) + outside * np.sin(angles)
    return turned @ np.linalg.qr(rng.normal(size=(k, k)))[0]


def angle_cases(rng: Rng) -> list[Case]:
    A = basis(9, 3, rng)
    cases = [Case((A, turned(A, [0.3, 0.9, 1.4], rng)), "d = 9, p = q = 3"),
             Case((rng.normal(size=(6, 2)), rng.normal(size=(6, 2))), "columns that are not orthonormal"),
             Case((rng.normal(size=(8, 1)).astype(np.float32), rng.normal(size=(8, 1)).astype(np.float32)),
                  "two directions, float32")]
    return cases + [Case((basis(7, 3, rng), basis(7, 2, rng)), "p = 3, q = 2", True),
                    Case((basis(7, 1, rng), basis(7, 4, rng)), "p = 1, q = 4", True),
                    Case((A[:, :1], turned(A[:, :1], [3e-10], rng)), "an angle of 3e-10", True),
                    Case((A, A[:, [0, 1, 1, 0]] @ rng.normal(size=(4, 4))), "inside, dependent columns", True)]


def penalty_cases(rng: Rng) -> list[Case]:
    cases = []
    for (h, U), note in [(case.args, case.note) for case in state_cases(rng)]:
        cases += [Case((h, U, None, squared, False), f"{note}{', squared' * squared}") for squared in (False, True)]
    h, U, mean = rng.normal(size=(9, 6)) * 2, basis(6, 2, rng), rng.normal(size=6)
    cases += [Case((h, U, mean, squared, True), f"mean, normalised{', squared' * squared}", True)
              for squared in (False, True)]
    axes, h0 = np.eye(6)[:, [1, 4]], h.copy()
    h0[2, [1, 4]] = 0  # just outside, without rounding: its gradient is 0, not the direction of an error
    h0[4] = 0
    return cases + [Case((h, U, mean, False, False), "with a mean", True),
                    Case((h0, axes, None, False, False), "a state outside the subspace, and one of length 0", True),
                    Case((h0, axes, None, False, True), "normalised, a state of length 0", True)]


def leace_cases(rng: Rng) -> list[Case]:
    def states(n: int, d: int, classes: int, dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray]:
        y = np.arange(n) % classes
        means = rng.normal(size=(classes, d))
        mix = rng.normal(size=(d, d)) + 2 * np.eye(d)
        return ((means[y] + rng.normal(size=(n, d))) @ mix + 3 * rng.normal(size=d)).astype(dtype), y
    flat, y = states(60, 5, 2)
    flat[:, 3] = flat[:, 0] - flat[:, 1]
    pairs, thirds = rng.normal(size=(15, 5)), np.tile(np.arange(15) % 3, 2)
    pairs = np.vstack((pairs, -pairs))  # a state and its negative are of one class, so the class means are 0
    unequal = np.where(y * (rng.random(60) < 0.4), 1, 0)
    return [Case(states(80, 6, 2), "n = 80, d = 6, C = 2"), Case(states(120, 40, 26), "n = 120, d = 40, C = 26"),
            Case((states(60, 5, 2)[0], unequal), "classes of unequal size"),
            Case(states(90, 5, 3, np.float32), "C = 3, float32"),
            Case((flat, y), "a feature that others determine", True),
            Case((pairs, thirds), "equal class means: E = 0", True),
            Case((pairs + np.outer(np.array([0, 1, 3])[thirds], rng.normal(size=5)), thirds),
                 "three class means on a line: E has rank 1", True),
            Case((states(60, 4, 2)[0], np.arange(60) % 3), "classes that the states hardly show", True)]


def of_class_means(h: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """The orthogonal rejection of the class means, which LEACE is not."""
    means = np.array([h[y == c].mean(axis=0) for c in np.unique(y)])
    rows = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)[2][:len(means) - 1]
    return [None, rows.T @ rows]


def uncentred(weights: np.ndarray, k: int) -> list[Any]:
    rows = np.linalg.svd(weights, full_matrices=False)[2][:k]
    return [rows.T @ rows, None]


def raised(result: Any, after: list[Any]) -> Any:
    """Subspace and sign apart: a wrong sign leaves the subspace right."""
    return result @ result.T, result


U2 = "U = np.array([[0.6], [0.8], [0.0]])"
H3 = "h = np.array([[1.0, 2.0, 2.0], [0.0, -1.0, 1.0], [-2.0, 0.5, 3.0]])"
PLANE = "U = np.array([[0.6, 0.0], [0.8, 0.0], [0.0, 1.0]])"

ASSIGNMENT = Assignment("A3", "subspace and projection", (
    Task("3.1", "method.projection:project", {"shape": 1, "value": 3}, state_cases, (f"{U2}\n{H3}\nproject(h, U)",)),
    Task("3.2", "method.projection:reject", {"shape": 2, "value": 6, "edge case": 4}, reject_cases,
         (f"{U2}\n{H3}\nreject(h, U)", f"{PLANE}\n{H3}\nreject(h, U)"), hide=(", h - h U U^T",),
         mistakes=(("this is the part inside, expected the part outside", lambda h, U: [h @ U @ U.T]),
                   ("the part inside is subtracted twice: a reflection, expected a rejection",
                    lambda h, U: [h - 2 * h @ U @ U.T]))),
    Task("3.3", "method.subspace:probe_subspace", {"shape": 2, "value": 8, "sign": 3, "edge case": 5}, subspace_cases,
         ("probe_subspace(np.array([[1.0, 2.0, 0.0], [1.0, 0.0, 0.0]]), 1)",
          "weights = np.array([[3.0, 1.0, 0.0], [1.0, 1.0, 0.5], [2.0, 1.0, -0.5]])\nprobe_subspace(weights, 2)",
          "probe_subspace(np.array([[1.0, 2.0, 0.0], [1.5, 5.0, 0.0]]), 1)",  # the largest entry is negative
          "checks.refusal(probe_subspace, np.array([[1.0, 2.0, 0.0], [2.0, 2.0, 0.0], [5.0, 2.0, 0.0]]), 2)",
          "checks.refusal(probe_subspace, np.array([[1.0, 2.0, 0.0], [1.0, 0.0, 0.0]]), 2)"),
         parts=(("subspace U U^T", "value"), ("U", "sign")), pick=raised, tolerance=1e-3,
         mistakes=(("the rows are not centred over classes", uncentred),
                   ("each row is centred over its features, expected over the classes",
                    lambda w, k: uncentred(w - w.mean(axis=1, keepdims=True), k)))),
    Task("3.4", "method.subspace:principal_angles", {"shape": 2, "value": 10, "edge case": 6}, angle_cases,
         ("principal_angles(np.eye(3)[:, :1], np.array([[1.0], [1.0], [0.0]]))",
          "principal_angles(np.eye(4)[:, :2], np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, 0.0]]))",
          "principal_angles(np.array([[1.0, 2.0], [0.0, 1.0], [2.0, 4.0]]), np.array([[1.0], [3.0], [0.0]]))",
          "principal_angles(np.eye(3)[:, :1], np.array([[1.0, 2.0], [1e-9, 2e-9], [0.0, 0.0]]))"),
         hide=("Björck & Golub 1973: the cosines are…Qa^T Qb.", "(1 - 1e-8^2 / 2 is 1 in float64)",
               ": the singular values of Qb - Qa Qa^T Qb"),
         mistakes=(("these are the cosines, expected the angles", lambda A, B: [np.cos(angles(A, B))]),
                   ("these are the sines, expected the angles", lambda A, B: [np.sin(angles(A, B))]),
                   ("columns of A and B must be made orthonormal first",
                    lambda A, B: [np.arccos(np.clip(np.linalg.svd(A.T @ B, compute_uv=False), 0, 1))]),
                   ("a small angle is lost to rounding: near 1 a cosine no longer distinguishes angles",
                    lambda A, B: [np.zeros(1)]))),
    Task("3.5", "method.subspace:subspace_overlap", {"shape": 2, "value": 7, "edge case": 3}, angle_cases,
         ("subspace_overlap(np.eye(3)[:, :1], np.array([[1.0], [1.0], [0.0]]))",
          "B = np.array([[1.0, 0.0], [2.0, 1.0], [0.0, 1.0], [0.5, 0.0]])\nsubspace_overlap(np.eye(4)[:, :3], B)"),
         hide=("Mean squared cosine of the principal angles, THEORY (21).",),
         mistakes=(("this is the mean cosine: is a square missing?", lambda A, B: [np.cos(angles(A, B)).mean()]),
                   ("this is the mean squared sine, expected that of the cosine",
                    lambda A, B: [(np.sin(angles(A, B))**2).mean()]),
                   ("the columns of A and B must be made orthonormal before (21)'s Frobenius norm is taken",
                    lambda A, B: [((A.T @ B)**2).sum() / min(A.shape[1], B.shape[1])]),
                   ("the mean is over as many angles as the smaller rank",
                    lambda A, B: [(np.cos(angles(A, B))**2).sum() / max(A.shape[1], B.shape[1])]),
                   ("a sum over the angles, expected a mean", lambda A, B: [(np.cos(angles(A, B))**2).sum()]))),
    Task("3.6", "method.projection:penalty", {"shape": 2, "value": 4, "gradient": 6, "edge case": 6}, penalty_cases,
         (f"{U2}\n{H3}\npenalty(h, U)", f"{U2}\n{H3}\npenalty(h, U, squared=True)",
          f"{PLANE}\n{H3}\npenalty(h, U, np.array([0.5, 0.0, 1.0]))",
          f"{PLANE}\n{H3}\npenalty(h, U, np.array([0.5, 0.0, 1.0]), normalised=True)",
          f"{U2}\nh = np.array([[0.8, -0.6, 3.0], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0]])\npenalty(h, U, normalised=True)"),
         parts=(("penalty", "value"), ("gradient", "gradient")),
         hide=("The gradient of one state's ||h U||…G u is s (u U).", "Raises TinyDecoupleError…NaN or infinity."),
         mistakes=(("the gradient is not divided by the number of states",
                    lambda h, U, mean, s, m: [None, penalty(h, U, mean, s, m)[1] * len(h)]),
                   ("`squared` is ignored", lambda h, U, mean, s, m: [penalty(h, U, mean, not s, m)[0], None]),
                   ("the mean is not subtracted", lambda h, U, mean, s, m: [penalty(h, U, None, s, m)[0], None]),
                   ("the gradient misses the division by a state's length: chain rule through u = c/‖c‖",
                    lambda h, U, mean, s, m: [None, None if not m else of_unit(h, U, mean, s)]),
                   ("the gradient must lose its part along u = c/‖c‖ if `normalised`",
                    lambda h, U, mean, s, m: [None, None if not m else of_unit(h, U, mean, s, True)]),
                   ("the states are not divided by their length",
                    lambda h, U, mean, s, m: [penalty(h, U, mean, s, False)[0], None]))),
    Task("3.7", "method.erasure:leace", {"shape": 2, "value": 11, "edge case": 5}, leace_cases,
         ("h = np.array([[1.0, 0.0], [2.0, 1.0], [4.0, 0.0], [5.0, 1.5]])\neraser = leace(h, np.array([0, 0, 1, 1]))\n"
          "eraser.E",
          "h = np.array([[1.0, 0.0, 2.0], [2.0, 1.0, 0.0], [4.0, 0.0, 1.0], [5.0, 1.5, 3.0], [0.0, 2.0, 1.0]])\n"
          "eraser = leace(h, np.array([0, 0, 1, 2, 2]))\neraser.E, eraser.mean",
          "h = np.array([[0.1, 0.7], [0.5, 0.2], [0.2, 0.4], [0.4, 0.5]])  # equal means: nothing to erase\n"
          "eraser = leace(h, np.array([0, 0, 1, 1]))\neraser.E"),
         parts=(("mean", "value"), ("E = left right^T", "value")),
         pick=lambda result, after: (result.mean, result.left @ result.right.T), tolerance=1e-3,
         hide=("With S = cov(h)…of S^(-1/2) cov(h, Y).", "In the coordinates of S's…(mean_c - mean)."),
         mistakes=(("this is the orthogonal rejection of the class means' differences: the whitening is missing",
                    of_class_means),
                   ("E is transposed: left and right are swapped", lambda h, y: [None, leace_E(h, y).T]))),
), ("method.subspace:oriented", "method.subspace:column_space", "method.states:principal_axes",
    "method.states:class_means", "method.erasure:Eraser", "errors:TinyDecoupleError"))


def angles(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return ASSIGNMENT.by_id["3.4"].reference(A, B)


def penalty(*args: Any) -> tuple[float, np.ndarray]:
    return ASSIGNMENT.by_id["3.6"].reference(*args)


def leace_E(h: np.ndarray, y: np.ndarray) -> np.ndarray:
    return ASSIGNMENT.by_id["3.7"].reference(h, y).E


def of_unit(h: np.ndarray, U: np.ndarray, mean: np.ndarray | None, squared: bool, divided: bool = False) -> np.ndarray:
    """The gradient by u = c/||c||; divided: by the length of c, too, but not made orthogonal to u."""
    c = h if mean is None else h - mean
    length = np.linalg.norm(c, axis=1, keepdims=True)
    return penalty(c / length, U, None, squared, False)[1] / (length if divided else 1)
