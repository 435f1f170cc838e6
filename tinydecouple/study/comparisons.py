"""Which differences are tested, and what may be said of each: the rules of tutorials/PROTOCOL.md.

A difference is *shown* if its 95 % interval excludes zero and its p-value, adjusted by Holm's method for all tests of
the report, is below 0.05. The primary comparisons, one per scale, are adjusted for each other alone. A claim is
*supported* if the difference that it foretells is shown, *refuted* if the opposite is shown, and *open* otherwise.
"""

from dataclasses import dataclass, replace

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation.significance import Interval, crossed, holm, over_seeds
from tinydecouple.study.collect import OUTCOMES
from tinydecouple.study.collected import Setting
from tinydecouple.study.conditions import (
    AGAIN,
    BASELINE,
    LONGER,
    METHOD,
    PRIMARY_COMPARISON,
    RANDOM,
    SHRUNK,
    WEIGHTED,
)

MAIN = {"into": "chrF++ into the dialects", "standard": "chrF++ into the standard", "leakage": "leakage, %"}
MORE = {"pivot": "chrF++ from the pivot into the standard", "length": "chrF++ into the dialects, length controlled",
        "dialectness": "assigned to a dialect, %", "code": "probe's code, bits per state"}  # tested of the method alone
DESCRIBED = {name: {"exact": "exact match, %", "ratio": "length ratio"}.get(name, f"{name.replace(' ', ': ', 1)}, %")
             for name in OUTCOMES if name not in MAIN | MORE}  # with intervals, of the method alone, never tested
NAMES = MAIN | MORE | DESCRIBED
DIGITS = {"code": 3, "ratio": 3}  # after the point; 2 for the others
CONTROLS = (RANDOM, WEIGHTED, SHRUNK, LONGER)  # with each of which the method is compared, too, into the dialects
UNEVEN = 0.02  # between length ratios reached: beyond it, no difference with the length controlled is given
PAPERS_GAIN = 2.0  # points of chrF++, its mean over dialects
LEVEL = 0.05


@dataclass(frozen=True)
class Claim:
    """That `second` minus `first` has the sign `sign` in an outcome."""

    text: str
    first: str
    second: str
    outcome: str
    sign: int


CLAIMS = (
    Claim("the penalty raises chrF++ into the dialects", BASELINE, METHOD, "into", 1),
    Claim("the standard pays: chrF++ into the standard falls", BASELINE, METHOD, "standard", -1),
    Claim("the penalty lowers leakage", BASELINE, METHOD, "leakage", -1),
    Claim("its outputs look more like a dialect's", BASELINE, METHOD, "dialectness", 1),
    Claim("it gains with the length controlled, too", BASELINE, METHOD, "length", 1),
    Claim("a fresh probe needs a longer code to find the standard", BASELINE, METHOD, "code", 1),
    Claim("it scores above a random direction", RANDOM, METHOD, "into", 1),
    Claim("it scores above weighting the standard's loss down", WEIGHTED, METHOD, "into", 1),
    Claim("it scores above shrinking the states", SHRUNK, METHOD, "into", 1),
    Claim("it scores above plain with the steps that its time buys, plain-longer", LONGER, METHOD, "into", 1),
    Claim("a random direction loses chrF++ into the dialects", BASELINE, RANDOM, "into", -1),
)


def beyond(setting: Setting) -> list[str]:
    """The conditions that are none of the primary seven, and not another one's control, named `-random` after it."""
    twins = {f"{c}-{RANDOM}" for c in setting.conditions}
    return [c for c in setting.conditions[1:] if c not in (BASELINE, AGAIN, METHOD, *CONTROLS, *twins)]


def claims(setting: Setting) -> list[Claim]:
    """Those above, and of every condition beyond the seven: that it gains, leaks less, and costs less."""
    first = setting.conditions[0]
    return [*CLAIMS, *(claim for c in beyond(setting) for claim in (
        Claim(f"{c}: chrF++ into the dialects rises", first, c, "into", 1),
        Claim(f"{c}: leakage falls", first, c, "leakage", -1),
        Claim(f"{c}: it scores above the same with a random direction", f"{c}-{RANDOM}", c, "into", 1),
        Claim(f"{c}: it scores above plain with the steps that its time buys, {LONGER}", LONGER, c, "into", 1),
        Claim(f"{c}: it costs the standard less than weighting its loss down", WEIGHTED, c, "standard", 1)))]


@dataclass(frozen=True)
class Comparison:
    """A difference, second minus first. p: adjusted by Holm's method; None: shown, but not tested."""

    setting: Setting
    first: str
    second: str
    outcome: str
    interval: Interval
    p: float | None

    @property
    def primary(self) -> bool:
        return (self.setting.name, self.first, self.second, self.outcome) == PRIMARY_COMPARISON

    @property
    def shown(self) -> int:
        """1 or -1 for a difference of that sign that is shown, else 0."""
        excludes = self.interval.low > 0 or self.interval.high < 0
        return int(np.sign(self.interval.mean)) if excludes and self.p is not None and self.p < LEVEL else 0


def confirmatory(setting: Setting) -> bool:
    """Whether intervals of this setting may confirm anything: fresh keys, and seeds enough.

    Raises TinyDecoupleError for a single seed on fresh keys, which has no interval.
    """
    if setting.number and len(setting.seeds) < 2:
        raise TinyDecoupleError(f"{setting.folder}: an interval needs at least 2 seeds, found {len(setting.seeds)} in "
                                f"{setting.name}; add `seeds` to the plan")
    return bool(setting.number) and Interval(0, 0, 0, 0, 0, 1, len(setting.seeds)).confirmatory


def compare(settings: list[Setting]) -> list[Comparison]:
    """Every test of the report, in all confirmatory settings together, p-values adjusted."""
    found = []
    for setting in settings:
        first, *others = setting.conditions
        pairs = [(first, second, outcome) for second in others for outcome in (NAMES if second == METHOD else MAIN)]
        pairs += [(control, METHOD, "into") for control in (AGAIN, *CONTROLS)]
        pairs += [pair for c in beyond(setting) for pair in (
            (f"{c}-{RANDOM}", c, "into"), (LONGER, c, "into"), (WEIGHTED, c, "standard"))]
        found += [Comparison(setting, a, b, outcome, interval, None) for a, b, outcome in pairs
                  if {a, b} <= {first, *others} and (interval := difference(setting, a, b, outcome)) is not None]
    tested = {i: test for i, test in enumerate(found)
              if AGAIN not in (test.first, test.second) and test.outcome not in DESCRIBED}
    adjusted = {i: p for primary in (True, False) for i, p in
                holm({i: t.interval.p for i, t in tested.items() if t.primary == primary}).items()}
    return [replace(test, p=adjusted.get(i)) for i, test in enumerate(found)]


def difference(setting: Setting, first: str, second: str, outcome: str) -> Interval | None:
    """Its interval over seeds and templates, or over seeds alone if there is one value per seed; None without any."""
    if outcome == "dialectness":
        a, b = (setting.values(condition, "into", "dialect_percent") for condition in (first, second))
    elif outcome == "code":
        a, b = (probed(setting, condition, "code_bits") for condition in (first, second))
    else:
        a, b = (setting.values(condition, *OUTCOMES[outcome]) for condition in (first, second))
    if a is None or b is None:
        return None
    if outcome not in OUTCOMES:
        return over_seeds(a, b)
    if outcome == "length":
        reached = [setting.values(condition, "length", "length_ratio").mean() for condition in (first, second)]
        if abs(reached[1] - reached[0]) > UNEVEN:
            return None
    return crossed(setting.pseudo(second, outcome) - setting.pseudo(first, outcome), float((b - a).mean()))


def probed(setting: Setting, condition: str, measure: str) -> np.ndarray | None:
    """(S,) of a probe's measure at the first layer of the setting; None without probes."""
    found = [next(iter(setting.records[condition, seed]["probes"].values()), {}) for seed in setting.seeds]
    return np.array([probe[measure] for probe in found]) if all(measure in probe for probe in found) else None


def judge(claim: Claim, tests: list[Comparison]) -> tuple[str, Comparison] | None:
    """Supported, refuted or open, and the test that decides it; None if nothing was tested."""
    asked = (claim.first, claim.second, claim.outcome)
    test = next((t for t in tests if (t.first, t.second, t.outcome) == asked), None)
    if test is None:
        return None
    return {claim.sign: "supported", -claim.sign: "refuted", 0: "open"}[test.shown], test


def papers_gain(test: Comparison) -> str:
    """Whether a mean gain of two points, the paper's, is compatible with the primary comparison's interval."""
    if test.interval.high < PAPERS_GAIN:
        return "refuted"
    return "supported" if test.interval.low > 0 and test.shown > 0 else "open"


def p_text(p: float) -> str:
    """A p-value with four digits; a smaller one says so, since none is 0."""
    return f"{p:.4f}" if p >= 5e-5 else "< 0.0001"
