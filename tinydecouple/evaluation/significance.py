"""Is a difference larger than luck explains? The luck of the test sentences, and that of the training seed.

Everything here takes counts per sentence and a score of their sums, chrF++ unless told. Shapes: S seeds, D dialects
(or other directions), K keys, T templates, m counts (24 for chrF++). A key that a dialect lacks is a row of zeros.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation.chrf import chrf
from tinydecouple.evaluation.score import Direction
from tinydecouple.evaluation.student import quantile, two_sided

Score = Callable[[np.ndarray], np.ndarray]  # summed counts (..., m) -> scores (...)
LEVEL = 0.95
CONFIRMATORY = 4  # seeds; two or three are too few to confirm anything


@dataclass(frozen=True)
class Interval:
    """A mean difference and its 95 % interval; error: standard error; p: two-sided, of no difference."""

    mean: float
    low: float
    high: float
    error: float
    df: float
    p: float
    seeds: int

    @property
    def confirmatory(self) -> bool:
        """Whether there are seeds enough to call a difference significant; with fewer it is exploratory."""
        return self.seeds >= CONFIRMATORY


def difference(first: np.ndarray, second: np.ndarray, templates: Sequence[Hashable], score: Score = chrf) -> Interval:
    """95 % interval of the macro mean of `second` minus that of `first`, for new seeds and new templates.

    first, second: (S, D, K, m), paired by seed and key; templates: of each key. The macro mean is the mean over
    dialects of each one's score of summed counts, so it is no mean over keys, and keys of one template are alike. So
    the unit is the template: leaving one out at a time gives jackknife pseudo-values (S, T), whose mean squares over
    seeds, over templates and left over give

        V = max(s²_seed / S + s²_template / T - s²_res / (S T),  s²_seed / S)

    and t has Satterthwaite's degrees of freedom, at least S - 1. Raises TinyDecoupleError for fewer than two seeds or
    templates.
    """
    values = _paired_pseudo_values(first, second, templates, score).mean(axis=1)  # (S, D, T) -> (S, T)
    return crossed(values, float(per_seed(first, second, score).mean()))


def crossed(values: np.ndarray, mean: float) -> Interval:
    """The interval of `difference` from its pseudo-values (S, T), `second` minus `first`, and the mean difference.

    They are what has to be kept of two conditions: the macro mean over dialects of each one's pseudo-values, which
    subtract. Raises TinyDecoupleError for fewer than two seeds or templates.
    """
    _check_seeds(len(values))
    _check_templates(values.shape[1])
    error, df = _standard_error(values)
    return _interval(mean, float(error), float(df), len(values))


def simultaneous(first: np.ndarray, second: np.ndarray, templates: Sequence[Hashable], rng: np.random.Generator,
                 score: Score = chrf, draws: int = 20_000) -> list[Interval]:
    """One interval per dialect, all of which hold their true difference with 95 %: max-t.

    Arguments as for `difference`. The largest |t| over dialects is drawn from a multivariate t distribution with the
    dialects' estimated correlation and the fewest degrees of freedom of any of them; its 95 % quantile replaces that
    of a single t. p is the share of draws whose largest |t| reaches the dialect's, so it is adjusted for choosing
    among dialects. Raises TinyDecoupleError as `difference` does.
    """
    values = _paired_pseudo_values(first, second, templates, score).swapaxes(0, 1)  # (D, S, T)
    error, df = _standard_error(values)
    df = float(df.min())
    observed = per_seed(first, second, score).mean(axis=0)  # (D,)
    normal = rng.standard_normal((draws, len(values))) @ _correlation_root(values).T
    largest = np.abs(normal).max(axis=1) / np.sqrt(rng.chisquare(df, draws) / df)
    factor = float(np.quantile(largest, LEVEL))
    t = np.divide(np.abs(observed), error, out=np.where(observed == 0, 0, np.inf), where=error > 0)
    p = (1 + (largest[:, None] >= t).sum(axis=0)) / (1 + draws)
    return [Interval(float(x), float(x - factor * e), float(x + factor * e), float(e), df, float(q), values.shape[1])
            for x, e, q in zip(observed, error, p)]


def over_seeds(first: Sequence[float], second: Sequence[float]) -> Interval:
    """95 % interval of a measure that has one value per seed, second minus first, paired by seed: THEORY (32).

    It says nothing about other sentences. Raises TinyDecoupleError for fewer than two seeds.
    """
    values = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    _check_seeds(len(values))
    return _interval(values.mean(), float(values.std(ddof=1) / len(values) ** 0.5), len(values) - 1.0, len(values))


def per_seed(first: np.ndarray, second: np.ndarray, score: Score = chrf) -> np.ndarray:
    """(S, D): `second` minus `first`, (S, D, K, m) each, for every seed and dialect."""
    _check_aligned(first, second)
    return score(second.sum(axis=-2)) - score(first.sum(axis=-2))


def largest(first: np.ndarray, second: np.ndarray, score: Score = chrf) -> np.ndarray:
    """(S, 2): each seed's largest loss and largest gain of any dialect, `second` minus `first`.

    "Up to +4.9" is the largest of many differences, and the largest of many is large by luck alone: how large, two
    plain runs that differ in nothing but their batch order show.
    """
    gains = per_seed(first, second, score)
    return np.stack([gains.min(axis=1), gains.max(axis=1)], axis=1)


def holm(p: dict[Hashable, float]) -> dict[Hashable, float]:
    """p-values adjusted for their number (Holm 1979): below 0.05, whatever the others are, is significant."""
    adjusted: dict[Hashable, float] = {}
    for i, name in enumerate(sorted(p, key=p.__getitem__)):
        adjusted[name] = min(1.0, max((len(p) - i) * p[name], *adjusted.values(), 0.0))
    return {name: adjusted[name] for name in p}


def detectable(of: Interval, power: float = 0.8) -> float:
    """The smallest true difference, in the unit of `of`, whose interval excludes zero in a share `power` of studies.

    For a design of this size and this much luck: standard error times the sum of two quantiles of t, which is within
    1 % of the noncentral t's answer from 5 degrees of freedom on.
    """
    return of.error * (quantile((1 + LEVEL) / 2, of.df) + quantile(power, of.df))


def by_template(counts: np.ndarray, templates: Sequence[Hashable]) -> np.ndarray:
    """Sums of counts (..., K, m) over the keys of each template: (..., T, m), templates as they first appear."""
    number = {template: i for i, template in enumerate(dict.fromkeys(templates))}
    if counts.shape[-2] != len(templates):
        raise ValueError(f"{counts.shape[-2]} keys, but {len(templates)} templates; expected a template for each key")
    of_key = np.array([number[template] for template in templates])
    order = np.argsort(of_key, kind="stable")
    return np.add.reduceat(counts[..., order, :], np.searchsorted(of_key[order], np.arange(len(number))), axis=-2)


def pseudo_values(sums: np.ndarray, score: Score = chrf) -> np.ndarray:
    """Jackknife pseudo-values (..., T) of a score from each template's counts (..., T, m).

    Their mean is the score (but for a bias that the jackknife removes), and unlike the score they are a mean over
    templates, so that their spread shows its luck. For a score that is a mean over templates, they are its terms.
    """
    whole, count = sums.sum(axis=-2, keepdims=True), sums.shape[-2]
    return count * score(whole) - (count - 1) * score(whole - sums)


def _paired_pseudo_values(first: np.ndarray, second: np.ndarray, templates: Sequence[Hashable],
                          score: Score) -> np.ndarray:
    _check_aligned(first, second)
    _check_seeds(len(first))
    _check_templates(len(set(templates)))
    ours, theirs = (pseudo_values(by_template(counts, templates), score) for counts in (first, second))
    return theirs - ours


def _mean_squares(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each kind of luck adds to the variance of the mean of crossed values (..., S, T): seed, template, rest."""
    *_, seeds, templates = values.shape
    of_seed, of_template = values.mean(axis=-1, keepdims=True), values.mean(axis=-2, keepdims=True)
    rest = values - of_seed - of_template + values.mean(axis=(-1, -2), keepdims=True)
    return (of_seed.var(axis=(-1, -2), ddof=1) / seeds, of_template.var(axis=(-1, -2), ddof=1) / templates,
            (rest ** 2).sum(axis=(-1, -2)) / ((seeds - 1) * (templates - 1) * seeds * templates))


def _standard_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard error of the mean of crossed values (..., S, T) and its degrees of freedom (Satterthwaite 1946)."""
    *_, seeds, templates = values.shape
    seed, template, rest = _mean_squares(values)
    variance = np.maximum(seed + template - rest, seed)
    spread = seed ** 2 / (seeds - 1) + template ** 2 / (templates - 1) + rest ** 2 / ((seeds - 1) * (templates - 1))
    df = np.divide(variance ** 2, spread, out=np.zeros_like(variance), where=spread > 0)
    return np.sqrt(variance), np.maximum(df, seeds - 1)


def _correlation_root(values: np.ndarray) -> np.ndarray:
    """R (D, D) with R Rᵀ the correlation of the means of crossed values (D, S, T), estimated as their variance is."""
    _, seeds, templates = values.shape
    of_seed, of_template = values.mean(axis=2), values.mean(axis=1)  # (D, S), (D, T)
    grand = of_seed.mean(axis=1)[:, None, None]
    rest = (values - of_seed[:, :, None] - of_template[:, None] + grand).reshape(len(values), -1)
    cells = seeds * templates
    covariance = (np.atleast_2d(np.cov(of_seed)) / seeds + np.atleast_2d(np.cov(of_template)) / templates
                  - rest @ rest.T / ((seeds - 1) * (templates - 1) * cells))
    eigenvalues, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(eigenvalues, 0))  # a difference of covariances may be slightly indefinite
    length = np.linalg.norm(root, axis=1, keepdims=True)
    return np.divide(root, length, out=np.zeros_like(root), where=length > 0)


def _interval(mean: float, error: float, df: float, seeds: int) -> Interval:
    half = quantile((1 + LEVEL) / 2, df) * error
    p = two_sided(mean / error, df) if error > 0 else float(mean == 0)
    return Interval(float(mean), float(mean - half), float(mean + half), error, df, p, seeds)


def _check_seeds(seeds: int) -> None:
    if seeds < 2:
        raise TinyDecoupleError(f"an interval needs at least 2 seeds, found {seeds}: one seed says nothing about "
                                "another; run both conditions with a second of `seeds`")


def _check_templates(templates: int) -> None:
    if templates < 2:
        raise TinyDecoupleError("an interval over templates needs keys of at least 2; these keys are all of one: use "
                                "more sentences, or take every key for a template of its own")


def _check_aligned(first: np.ndarray, second: np.ndarray) -> None:
    if first.shape != second.shape:
        raise ValueError(f"not paired: {first.shape} and {second.shape}, expected the same seeds, dialects and keys")


def paired_bootstrap(first: list[Direction], second: list[Direction], rng: np.random.Generator,
                     resamples: int = 1000) -> tuple[float, float]:
    """95 % interval of mean chrF++ of `second` minus that of `first`, the mean being over directions (Koehn 2004).

    Keys are drawn with replacement, the same draw for both systems and all directions: the directions of one key
    are translations of one sentence and not independent. The interval covers the choice of sentences only, as if each
    were drawn by itself; one training seed says nothing about another. sacrebleu's own paired bootstrap takes one
    direction and has no interval of a difference.
    """
    keys = {key: i for i, key in enumerate(dict.fromkeys(k for d in first for k in d.keys))}
    counts = np.zeros((2, len(first), len(keys), 24))
    for i, (a, b) in enumerate(zip(first, second)):
        if a.name != b.name or a.keys != b.keys:
            raise ValueError(f"the systems are not aligned: {a.name} and {b.name}")
        counts[:, i, [keys[k] for k in a.keys]] = a.statistics, b.statistics
    return bootstrap(*counts, rng, resamples)


def bootstrap(first: np.ndarray, second: np.ndarray, rng: np.random.Generator,
              resamples: int = 1000) -> tuple[float, float]:
    """`paired_bootstrap` of counts (D, K, 24): keys redrawn, the difference of macro means (D) from percentiles."""
    keys = first.shape[1]
    drawn = rng.multinomial(keys, np.full(keys, 1 / keys), size=resamples).astype(np.float64)  # (resamples, K)
    means = [chrf(drawn @ counts).mean(axis=0) for counts in (first, second)]  # (D, resamples, 24) -> (resamples,)
    low, high = np.percentile(means[1] - means[0], (2.5, 97.5))
    return float(low), float(high)
