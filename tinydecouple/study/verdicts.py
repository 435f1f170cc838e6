"""The three answers of the study, by the rules under "What would count" in tutorials/PROTOCOL.md.

Each is supported, refuted or open, with the reason in words. `shown` is that of comparisons.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tinydecouple.study.collected import Setting
from tinydecouple.study.comparisons import MAIN, PAPERS_GAIN, Comparison, beyond
from tinydecouple.study.conditions import BASELINE, LONGER, METHOD, PRIMARY_COMPARISON, RANDOM, SHRUNK

CONFIRMING = 2  # the set of fresh keys that confirms an intervention


@dataclass(frozen=True)
class Answer:
    question: str
    verdict: str
    because: str


def answers(confirming: Sequence[Setting], tests: Sequence[Comparison],
            maps: dict[str, Sequence[Setting]]) -> list[Answer]:
    """What can be answered: nothing without a confirmatory setting. maps: study -> its settings."""
    found = [papers_claim([t for t in tests if t.setting is p.setting]) for p in tests if p.primary]
    paying = paid_in_leakage(confirming, tests, maps)
    return [*found, *([paying] if paying else []), *helping(confirming, tests)]


def find(tests: Sequence[Comparison], first: str, second: str, outcome: str) -> Comparison | None:
    return next((t for t in tests if (t.first, t.second, t.outcome) == (first, second, outcome)), None)


def shown(tests: Sequence[Comparison], first: str, second: str, outcome: str) -> int:
    """1 or -1 for a difference that is shown, 0 for one that is not or was not tested."""
    test = find(tests, first, second, outcome)
    return test.shown if test else 0


def papers_claim(tests: Sequence[Comparison]) -> Answer:
    """The penalty gains, the controls do not match it, leakage does not rise, and the probe finds less.

    A control matches a gain if its own is shown and the method's is not shown to be larger.
    """
    question = f"A gain as the paper's, at this size, in {tests[0].setting.label}"
    gain = find(tests, BASELINE, METHOD, "into")
    held = f"the interval {gain.interval.low:+.2f} to {gain.interval.high:+.2f}"
    if gain.interval.high < 0:
        return Answer(question, "refuted", f"{held} lies below zero")
    if gain.interval.low <= 0:
        if gain.interval.high < PAPERS_GAIN:
            return Answer(question, "refuted", f"{held} holds zero and excludes {PAPERS_GAIN:+.1f}")
        return Answer(question, "open", f"{held} holds both zero and {PAPERS_GAIN:+.1f}")
    against = [f"{control} matches the gain" for control in (RANDOM, SHRUNK)
               if shown(tests, BASELINE, control, "into") > 0 >= shown(tests, control, METHOD, "into")]
    if shown(tests, BASELINE, METHOD, "leakage") > 0:
        against.append("leakage rises with it")
    if against:
        return Answer(question, "refuted", f"{held} lies above zero, but {' and '.join(against)}")
    lacking = [f"that it scores above {control}" for control in (RANDOM, SHRUNK)
               if shown(tests, control, METHOD, "into") <= 0]
    if shown(tests, BASELINE, METHOD, "code") <= 0:
        lacking.append("that a fresh probe finds the standard harder to distinguish")
    if lacking:
        return Answer(question, "open", f"{held} lies above zero, but it is not shown {', nor '.join(lacking)}")
    return Answer(question, "supported", f"{held} lies above zero, no control matches it, leakage is not shown to "
                                         "rise, and a fresh probe finds the standard harder to distinguish")


def paid_in_leakage(confirming: Sequence[Setting], tests: Sequence[Comparison],
                    maps: dict[str, Sequence[Setting]]) -> Answer | None:
    """That the method gains only where the baseline is worse than copying, and leaks more wherever it gains.

    Only gains that are shown decide. What happens along the maps, on dev with few seeds, is told beside it.
    """
    settings = [s for s in confirming if s.number != CONFIRMING and {BASELINE, METHOD} <= set(s.conditions)]
    if not settings:
        return None
    question = "A gain only where plain is worse than copying, paid in leakage"
    gains, against = [], []
    for setting in settings:
        ours = [t for t in tests if t.setting is setting]
        if shown(ours, BASELINE, METHOD, "into") > 0:
            gains.append(setting.label)
            if not below_copying(setting):
                against.append(f"a gain is shown in {setting.label}, where {BASELINE} is above copying")
            elif shown(ours, BASELINE, METHOD, "leakage") <= 0:
                against.append(f"a gain is shown in {setting.label}, and no rise in leakage")
    if against:
        return Answer(question, "refuted", "; ".join(against))
    if gains:
        return Answer(question, "supported", f"a gain is shown in {', '.join(gains)}, where {BASELINE} is below "
                                             "copying and leakage rises")
    above = [s.label for s in settings if not below_copying(s)]
    seen = [f"along {study}, {along(points, METHOD)}" for study, points in maps.items()
            if METHOD in points[0].conditions]
    return Answer(question, "open", "; ".join([
        f"no gain is shown in {', '.join(s.label for s in settings)}, and {BASELINE} is above copying in "
        f"{len(above)} of these {len(settings)}", *seen]))


def below_copying(setting: Setting) -> bool:
    return bool(setting.values(setting.conditions[0], "into", "chrf++").mean() < setting.said["copy"])


def helping(confirming: Sequence[Setting], tests: Sequence[Comparison]) -> list[Answer]:
    """That a condition chosen on dev gains two points on the second fresh keys, without more leakage."""
    found = []
    for setting in (s for s in confirming if s.number == CONFIRMING):
        ours = [t for t in tests if t.setting is setting]
        for name in beyond(setting):
            gain, leaked = (find(ours, setting.conditions[0], name, outcome) for outcome in ("into", "leakage"))
            twin, longer = (find(ours, control, name, "into") for control in (f"{name}-{RANDOM}", LONGER))
            because = ", ".join(f"{what} {t.interval.mean:+.2f} ({t.interval.low:+.2f} to {t.interval.high:+.2f})"
                                for what, t in ((MAIN["into"], gain), (MAIN["leakage"], leaked),
                                                ("difference to its twin with a random direction", twin),
                                                (f"to {LONGER}, which has its time", longer)) if t)
            lacking = [text for text, lacks in (
                ("no gain is shown", gain.shown <= 0), ("leakage is higher on average", leaked.interval.mean > 0),
                (f"the mean is below {PAPERS_GAIN:+.1f}", gain.interval.mean < PAPERS_GAIN),
                (f"{BASELINE} was not tuned there", setting.name != PRIMARY_COMPARISON[0])) if lacks]
            verdict = "refuted" if gain.interval.high < PAPERS_GAIN or leaked.shown > 0 else \
                "open" if lacking else "supported"
            found.append(Answer(f"An intervention that helps, {name}, in {setting.label}", verdict,
                                "; ".join([because, *lacking])))
    return found


def along(settings: Sequence[Setting], condition: str) -> str:
    """At how many points of a map a condition gains on average, and at how many it leaks more."""
    first = settings[0].conditions[0]
    gains, leaks = ([bool((s.values(condition, "into", m) - s.values(first, "into", m)).mean() > 0) for s in settings]
                    for m in ("chrf++", "leakage_percent"))
    below = [below_copying(s) for s in settings]
    counts = [f"{sum(g for g, b in zip(gains, below) if b == side)} of {below.count(side)}" for side in (True, False)]
    return (f"{condition} gains at {counts[0]} points where {first} is below copying and at {counts[1]} where it is "
            f"above; leakage rises at {sum(leaks)} of {len(leaks)}, and at {sum(map(min, gains, leaks))} of the "
            f"{sum(gains)} that gain")
