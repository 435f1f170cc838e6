"""RESULTS.md: every table, figure and verdict, made from the collected cells alone."""

from collections.abc import Sequence
from pathlib import Path
from string import Template

from tqdm import tqdm

from tinydecouple.evaluation.report import markdown
from tinydecouple.files import write
from tinydecouple.study import report_tables as tables
from tinydecouple.study.collected import Setting, read_data
from tinydecouple.study.comparisons import (
    MAIN,
    PAPERS_GAIN,
    Comparison,
    beyond,
    claims,
    compare,
    confirmatory,
    judge,
    p_text,
    papers_gain,
)
from tinydecouple.study.conditions import AGAIN, LONGER, METHOD
from tinydecouple.study.report_figures import draw
from tinydecouple.study.verdicts import along, answers

TEMPLATE = Path(__file__).with_name("results.md")
FRONTIER = ("Every condition by what it changes into the standard and into the dialects. The gray line joins those "
            "that no other one beats on both.")
FIGURES = {"study_differences": "Differences to the first condition, chrF++ into the dialects, with their intervals. "
                                "Gray: not shown, or not tested. Dotted: +2.0, the paper's mean gain.",
           "study_words": "What the output words are, each counted by the first kind that fits.",
           "study_dialects": "Simultaneous intervals against the first condition, dialect by dialect. Gray: it holds "
                             "zero.",
           "study_frontier": FRONTIER, "study_explored": FRONTIER}


def write_report(data: Path, out: Path) -> list[Path]:
    """Write the report and, with matplotlib, figures/study_*.png beside it; returns the paths.

    Raises TinyDecoupleError, naming it, for what is damaged or does not compare.
    """
    with tqdm(total=5, desc="report", disable=None, leave=False, delay=2) as bar:
        def step(made):
            bar.update()
            return made

        settings = step(read_data(data))
        confirming = sorted((setting for setting in settings if confirmatory(setting)),
                            key=lambda setting: METHOD not in setting.conditions)  # the method's first
        tests = step(compare(confirming))
        dialects = step({(s.label, arm): tables.by_dialect(s, arm) for s in confirming for arm in tables.featured(s)})
        trying = [setting for setting in settings if setting.trials]
        exploring = [setting for setting in settings if setting not in confirming and not setting.trials]
        maps = map_plans(exploring)
        single = [setting for setting in exploring if setting.study not in maps]
        figures = step(draw(out.parent / "figures", tests, dialects, confirming, single, maps))
        drawn = {path.stem for path in figures}

        def figure(name: str, caption: str = "") -> list[str]:
            caption = caption or FIGURES[name]
            return [f"![{caption}](figures/{name}.png)", "", caption, ""] if name in drawn else []

        parts = {
            "tests": str(sum(t.p is not None and not t.primary for t in tests)),
            "answers": "\n".join(f"- **{a.question}**: *{a.verdict}*, for {a.because}."
                                 for a in answers(confirming, tests, maps)),
            "verdicts": verdicts(confirming, tests), "quote": quote(confirming, tests), "luck": luck(tests),
            "size": " or ".join(sizes(confirming or settings)),
            "studies": "\n".join(studies(settings)),
            "conditions": "\n".join(why(settings)),
            "confirmatory": section("Confirmatory results", [
                line for s in confirming for line in confirmed(s, tests, dialects)]
                + [line for name in FIGURES if name != "study_explored" for line in figure(name)]),
            "exploratory": section("Exploratory results", [
                *(EXPLORATORY if single else []), *(line for s in single for line in explored(s)),
                *figure("study_explored")]),
            "maps": section("Maps (exploratory)", [line for study, members in maps.items() for line in [
                f"### {study}", "", *seeds_of(members[0]), "", *tables.map_table(members), "",
                *(f"- {along(members, c)}." for c in members[0].conditions[1:]), "",
                *figure(f"study_map_{study}", f"{study}: gains and leakage over the options that differ, and gains "
                                              "over how far the first condition is above copying.")]]),
            "tuning": section("Tuning", [*(TUNING if trying else []), *(line for s in trying for line in [
                f"### {s.label}", "", *tables.trials(s), ""])])}
        text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(parts)
        while "\n\n\n" in text:
            text = text.replace("\n\n\n", "\n\n")
        write(out, text.rstrip() + "\n")
        step(None)
    return [out, *figures]


EXPLORATORY = ["Dev scores, and two or three seeds, confirm nothing, so these carry no interval and no verdict. Beside "
               "each difference to the first condition stand the lowest and the highest of any seed. `*`: no other "
               "condition is at least as good both into the dialects and into the standard. "
               "[THEORY](THEORY.md), section 12, orders them by the question that each answers.", ""]
TUNING = ["Every trial is listed, with its mean of dev scores. The chosen one's score is a maximum and thus too high: "
          "what is reported above is its rerun with other seeds.", ""]


PROBED = ("A fresh probe of the standard against the rest, after training, on dev: its code length in bits per state, "
          "beside that of dealt labels and H(Y), and the selectivity, what the states save of the dealt labels' code; "
          "the angle in degrees between its direction and that before training, beside what two probes of the same "
          "states differ by (refit null, 95th percentile); the share of the states' squared length inside its "
          "direction (energy), inside the one before training (in the old) and inside what was penalised; the states' "
          "mean length, and that before training.")


def section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"## {title}", "", *lines]) if lines else ""


def map_plans(settings: Sequence[Setting]) -> dict[str, list[Setting]]:
    """The studies with three settings or more that differ in one or two options alone: a map over these."""
    of_study: dict[str, list[Setting]] = {}
    for setting in settings:
        of_study.setdefault(setting.study, []).append(setting)
    return {study: members for study, members in of_study.items()
            if len(members) > 2 and 1 <= len(tables.varied(members)) <= 2}


def studies(settings: Sequence[Setting]) -> list[str]:
    rows = [["study/setting", "conditions", "seeds", "dialects", "scored on", "copying, chrF++"]]
    for s in settings:
        read = f"fresh keys, set {s.number}" if s.number else "dev"
        rows.append([s.label, str(len(s.conditions)), str(len(s.seeds)), str(len(s.dialects)), read,
                     f"{s.said['copy']:.1f}"])
    made_on = {s.study: s.head["processor"] for s in settings}
    where = "; ".join(f"{study}: {processor}" for study, processor in made_on.items())
    made_by = ", ".join(f"{name} {number}" for name, number in settings[0].head["versions"].items())
    return [*markdown(rows), "", f"Made by {made_by}. Processors: {where}."]


def seeds_of(setting: Setting) -> list[str]:
    return [f"{len(setting.seeds)} seed{'s' * (len(setting.seeds) > 1)}, "
            f"{'fresh keys' if setting.number else 'dev'}: {', '.join(setting.conditions)}."]


def confirmed(setting: Setting, tests: Sequence[Comparison], dialects: dict[tuple[str, str], dict]) -> list[str]:
    """Everything about one confirmatory setting."""
    ours = [t for t in tests if t.setting is setting]
    first = setting.conditions[0]
    again = f" {AGAIN} is {first} run again: what it shows is luck." if AGAIN in setting.conditions else ""
    lines = [f"### {setting.label}", "", *tables.outcomes(setting), "",
             "Differences, paired by seed and sentence. Intervals are for new seeds and new templates; those of "
             f"dialectness and of the probe are for new seeds only. A line without a Holm p is not tested.{again}",
             "", *tables.differences(ours), "", tables.power(ours), ""]
    if tables.featured(setting):
        lines += ["The largest of many differences (the paper's: +4.9) is large by luck alone: how large, two runs of "
                  "one condition show.", "", *tables.extremes(setting), ""]
    for arm in tables.featured(setting):
        found = dialects[setting.label, arm]
        lines += ["Intervals that hold for all dialects at once:", "", *tables.dialect_table(found, arm, first), "",
                  above(found), ""]
    if (covered := setting.head["coverage"]) and covered["setting"] == setting.name:
        lines += ["What the intervals cover when studies are redrawn from these cells:", "",
                  *covered["table"].splitlines(), ""]
    if probed := tables.probes(setting):
        lines += [PROBED, "", *probed, ""]
    return lines


def above(intervals: dict) -> str:
    counts = [sum(test(i) for i in intervals.values()) for test in (lambda i: i.low > 0, lambda i: i.high < 0)]
    return f"Of {len(intervals)} dialects, above zero: {counts[0]}; below zero: {counts[1]}."


def explored(setting: Setting) -> list[str]:
    return [f"### {setting.label} (exploratory)", "", *seeds_of(setting), "", *tables.exploratory(setting), ""]


def why(settings: Sequence[Setting]) -> list[str]:
    """What each condition is there for, once."""
    named: dict[str, dict[str, None]] = {}
    for name, said in (pair for setting in settings for pair in setting.said["conditions"].items()):
        named.setdefault(said["why"], {})[name.split("+")[0]] = None  # a trial is called CONDITION+NUMBER
    return [f"- **{', '.join(names)}**: {text}" for text, names in named.items()]


def verdicts(confirming: Sequence[Setting], tests: Sequence[Comparison]) -> str:
    """A row per claim and setting: what was found, and what may be said of it."""
    if not confirming:
        return NOTHING
    rows = [["claim", "setting", "difference (95 % interval)", "p, as adjusted", "verdict"]]
    for claim, setting, said, test in decided(confirming, tests):
        rows.append([claim.text, setting.label, tables.found(test),
                     p_text(test.p) + (' (primary)' if test.primary else ''), said])
    for test in (t for t in tests if t.primary):
        rows.append([f"its mean gain is {PAPERS_GAIN:+.1f}, as in the paper", test.setting.label,
                     tables.found(test), "", papers_gain(test)])
    return "\n".join(markdown(rows))


def decided(confirming: Sequence[Setting], tests: Sequence[Comparison]) -> list[tuple]:
    return [(claim, setting, *found) for setting in confirming for claim in claims(setting)
            if (found := judge(claim, [t for t in tests if t.setting is setting]))]


NOTHING = "No setting has been read on fresh keys with at least four seeds, so nothing is confirmed yet."


def quote(confirming: Sequence[Setting], tests: Sequence[Comparison]) -> str:
    """One paragraph, from the numbers alone: what the method, what was chosen, and their controls change."""
    if not confirming:
        return NOTHING
    told = [("Penalising the standard's direction", METHOD, "into"), ("It", METHOD, "leakage"),
            ("Plain in another batch order", AGAIN, "into"),
            *((name.capitalize(), name, "into") for name in dict.fromkeys(c for s in confirming for c in beyond(s))),
            ("Plain with the steps that their time would buy", LONGER, "into")]
    sentences = []
    for who, arm, outcome in told:
        changed = [f"{tables.found(t)}{'*' * abs(t.shown)} in {t.setting.label}" for t in tests
                   if (t.first, t.second, t.outcome) == (t.setting.conditions[0], arm, outcome)]
        if changed:
            sentences.append(f"{who} changed {MAIN[outcome].removesuffix(', %')} by {', '.join(changed)}.")
    return (f"{' '.join(sentences)} Differences to plain with 95 % intervals over {len(confirming[0].seeds)} seeds and "
            f"the templates (`*`: shown), on constructed text and a model of {' or '.join(sizes(confirming))}.")


def luck(tests: Sequence[Comparison]) -> str:
    """How many intervals of the baseline run again exclude zero; one of twenty is what is to be expected."""
    again = [t for t in tests if t.second == AGAIN and t.outcome in MAIN]
    by_luck = [f"{t.setting.label}, {MAIN[t.outcome]}, {tables.found(t)}" for t in again
               if t.interval.low > 0 or t.interval.high < 0]
    return (f"{AGAIN} is the baseline run again. Of its {len(again)} intervals, in three outcomes, those that exclude "
            f"zero do so by luck: {'; '.join(by_luck) or 'none'}.") if again else ""


def sizes(settings: Sequence[Setting]) -> list[str]:
    models = [setting.said["configuration"]["model"] for setting in settings]
    return list(dict.fromkeys(f"width {model['width']} and {model['blocks']} blocks" for model in models))
