"""The report's tables: means of every condition, differences with their intervals, dialect by dialect, probes."""

from collections.abc import Sequence

import numpy as np

from tinydecouple.evaluation.report import markdown
from tinydecouple.evaluation.significance import Interval, detectable, largest, simultaneous
from tinydecouple.evaluation.word_kinds import KINDS, SHARED
from tinydecouple.study.collected import Setting
from tinydecouple.study.comparisons import DESCRIBED, DIGITS, NAMES, Comparison, beyond, p_text
from tinydecouple.study.conditions import AGAIN, METHOD

MEASURES = (  # row, group, measure, digits
    ("chrF++ into the dialects", "into", "chrf++", 2), ("chrF++ into the standard", "standard", "chrf++", 2),
    ("chrF++ from the pivot into the standard", "pivot", "chrf++", 2),
    ("chrF++ into the dialects, length controlled", "length", "chrf++", 2),
    ("the length ratio reached, controlled", "length", "length_ratio", 3),
    ("exact match, %", "into", "exact_match_percent", 1), ("leakage, %", "into", "leakage_percent", 2),
    ("precision, %", "into", "precision_percent", 1), ("recall, %", "into", "recall_percent", 1),
    ("length ratio", "into", "length_ratio", 3),
    *((f"words: {kind}, %", "into", f"words_{kind.replace(' ', '_')}_percent", 1) for kind in KINDS),
    *((f"words also of {whose}, %", "into", f"words_also_{whose.replace(' ', '_')}_percent", 1) for whose in SHARED),
    ("assigned to any dialect, %", "into", "dialect_percent", 1),
    ("references assigned to any dialect, %", "into", "reference_dialect_percent", 1),
    ("assigned to the target's region, %", "into", "region_percent", 1),
    ("references assigned to the target's region, %", "into", "reference_region_percent", 1))
PROBED = (("code_bits", "code", 3), ("null_bits", "dealt labels", 3), ("entropy_bits", "H(Y)", 3),
          ("saved_bits", "selectivity", 3), ("angle_degrees", "angle", 1), ("angle_null_degrees", "refit null", 1),
          ("energy_percent", "energy, %", 2), ("energy_before_percent", "in the old, %", 2),
          ("energy_penalised_percent", "in the penalised, %", 2), ("mean_length", "length", 2),
          ("mean_length_before", "before", 2))
BESIDE = (("into the dialects", "into", "chrf++", 2), ("into the standard", "standard", "chrf++", 2),
          ("leakage, %", "into", "leakage_percent", 2), ("any dialect, %", "into", "dialect_percent", 1),
          ("length ratio", "into", "length_ratio", 3), ("words: reference, %", "into", "words_reference_percent", 1))
SECONDS = ("training", "translating", "probing")


def outcomes(setting: Setting) -> list[str]:
    """Every outcome of every condition, means over seeds."""
    rows = [["mean over seeds", *setting.conditions]]
    for name, group, measure, digits in MEASURES:
        columns = [setting.values(condition, group, measure) for condition in setting.conditions]
        if any(column is not None for column in columns):
            rows.append([name, *("" if column is None else f"{column.mean():.{digits}f}" for column in columns)])
    for name in dict.fromkeys(name for said in setting.said["conditions"].values()
                              for name, value in said["options"].items() if isinstance(value, float)):
        options = [str(said["options"].get(name) or "") for said in setting.said["conditions"].values()]
        rows += [[f"option: {name.replace('_', ' ')}", *options]] if any(options) else []
    if setting.number:
        biases = [setting.of(condition, setting.seeds[0])["end_bias"] for condition in setting.conditions]
        rows.append(["bias on the end symbol, controlled", *(f"{bias:+.2f}" for bias in biases)])
    for what in SECONDS:
        seconds = [np.mean([setting.records[condition, seed]["seconds"].get(what, 0) for seed in setting.seeds])
                   for condition in setting.conditions]
        rows.append([f"{what}, processor seconds", *(f"{mean:.0f}" for mean in seconds)])
    return markdown(rows)


def differences(tests: list[Comparison]) -> list[str]:
    """Each test: mean difference, interval, degrees of freedom, p, and p adjusted."""
    rows = [["second minus first: outcome", "difference", "95 % interval", "df", "p", "Holm p", "shown"]]
    for t in tests:
        name = f"{t.second} - {t.first}: {NAMES[t.outcome]}"
        adjusted = "primary" if t.primary else "" if t.p is None else p_text(t.p)
        digits = DIGITS.get(t.outcome, 2)
        rows.append([name, f"{t.interval.mean:+.{digits}f}", between(t.interval, digits), f"{t.interval.df:.1f}",
                     "" if t.outcome in DESCRIBED else p_text(t.interval.p), adjusted,
                     ("", "higher", "lower")[t.shown]])
    return markdown(rows)


def between(interval: Interval, digits: int = 2) -> str:
    return f"{interval.low:+.{digits}f} to {interval.high:+.{digits}f}"


def found(test: Comparison) -> str:
    digits = DIGITS.get(test.outcome, 2)
    return f"{test.interval.mean:+.{digits}f} ({between(test.interval, digits)})"


def extremes(setting: Setting) -> list[str]:
    """Each seed's largest loss and gain of any dialect, the method's beside that of the baseline run again."""
    first = setting.counts(setting.conditions[0])
    arms = [*featured(setting), *([AGAIN] if AGAIN in setting.conditions[1:] else [])]
    columns = [largest(first, setting.counts(arm)) for arm in arms]  # (S, 2) each
    rows = [["largest of any dialect, seed", *(f"{arm}: {what}" for arm in arms for what in ("loss", "gain"))]]
    for i, seed in enumerate(setting.seeds):
        rows.append([str(seed), *(f"{x:+.1f}" for column in columns for x in column[i])])
    return markdown([*rows, ["mean", *(f"{x:+.1f}" for column in columns for x in column.mean(axis=0))]])


def featured(setting: Setting) -> list[str]:
    """The conditions that are shown dialect by dialect: the method, and any beyond the primary seven."""
    return [c for c in setting.conditions[1:] if c in (METHOD, *beyond(setting))]


def by_dialect(setting: Setting, arm: str) -> dict[str, Interval]:
    """Simultaneous intervals of each dialect's difference to the baseline."""
    templates = list(setting.shared["templates"])
    found = simultaneous(setting.counts(setting.conditions[0]), setting.counts(arm), templates,
                         np.random.default_rng(0))
    return dict(zip(setting.shared["dialects"].tolist(), found))


def dialect_table(intervals: dict[str, Interval], arm: str, first: str) -> list[str]:
    return markdown([[f"{arm} - {first}, into", "chrF++", "simultaneous 95 %", "adjusted p"],
                     *([dialect, f"{i.mean:+.2f}", between(i), p_text(i.p)] for dialect, i in intervals.items())])


def power(tests: list[Comparison]) -> str:
    """The smallest difference that a design of this size would detect."""
    into = next((t for t in tests if t.outcome == "into" and t.second in featured(t.setting)), None)
    if into is None:
        return ""
    seeds, templates = len(into.setting.seeds), len(into.setting.shared["templates"])
    return (f"With {seeds} seeds and {templates} templates, a true mean difference of {detectable(into.interval):.2f} "
            f"chrF++ into the dialects between {into.first} and {into.second} would be found in 80 of 100 studies at "
            f"the unadjusted 5 % level (standard error {into.interval.error:.2f}, {into.interval.df:.1f} degrees of "
            "freedom).")


def probes(setting: Setting) -> list[str]:
    """What a fresh probe finds after training, at each layer: lengths in bits per state beside both nulls."""
    rows = [["layer, condition", *(title for _, title, _ in PROBED)]]
    layers = dict.fromkeys(layer for record in setting.records.values() for layer in record["probes"])
    for layer in sorted(layers, key=int):
        for condition in setting.conditions:
            found = [setting.records[condition, seed]["probes"].get(layer, {}) for seed in setting.seeds]
            found = [p | ({"saved_bits": p["null_bits"] - p["code_bits"]} if "null_bits" in p else {}) for p in found]
            cells = [f"{np.mean([probe[name] for probe in found]):.{digits}f}" if all(name in p for p in found) else ""
                     for name, _, digits in PROBED for probe in [found[0]]]
            if any(cells):
                rows.append([f"{layer}, {condition}", *cells])
    return markdown(rows) if rows[1:] else []


def exploratory(setting: Setting) -> list[str]:
    """Every condition beside the first: differences of means and, in brackets, the lowest and highest of any seed."""
    rows = [["condition", *(name for name, *_ in BESIDE), "training s", "frontier"]]
    best = set(frontier({c: point(setting, c) for c in setting.conditions}))
    for condition in setting.conditions:
        seconds = np.mean([setting.records[condition, seed]["seconds"].get("training", 0) for seed in setting.seeds])
        rows.append([condition, *beside(setting, condition), f"{seconds:.0f}", "*" if condition in best else ""])
    return markdown(rows)


def beside(setting: Setting, condition: str) -> list[str]:
    """The means of the first condition; of another one, its differences to them."""
    found = [(setting.values(condition, *which), setting.values(setting.conditions[0], *which), digits)
             for _, *which, digits in BESIDE]
    return [f"{mine.mean():.{digits}f}" if condition == setting.conditions[0] else spread(mine - first, digits)
            for mine, first, digits in found]


def spread(values: np.ndarray, digits: int) -> str:
    mean = f"{values.mean():+.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({values.min():+.{digits}f} to {values.max():+.{digits}f})"


def point(setting: Setting, condition: str) -> tuple[float, float]:
    """Mean difference to the baseline: into the standard, into the dialects."""
    return tuple(float((setting.values(condition, group, "chrf++")
                        - setting.values(setting.conditions[0], group, "chrf++")).mean())
                 for group in ("standard", "into"))


def frontier(points: dict[str, tuple[float, float]]) -> list[str]:
    """The conditions that no other one equals or beats on both sides and beats on one."""
    def beaten(ours: tuple[float, float], theirs: tuple[float, float]) -> bool:
        return theirs[0] >= ours[0] and theirs[1] >= ours[1] and theirs != ours

    return [name for name, ours in points.items() if not any(beaten(ours, theirs) for theirs in points.values())]


def varied(settings: Sequence[Setting]) -> list[tuple[str, str]]:
    """The options in which the settings of a plan differ, as (part, option)."""
    configurations = [setting.said["configuration"] for setting in settings]
    parts = ("corpus", "model", "train", "decouple")
    return [(part, name) for part in parts for name in configurations[0][part]
            if len({str(c[part].get(name)) for c in configurations}) > 1]


def map_table(settings: Sequence[Setting]) -> list[str]:
    """Of each setting, the first condition against copying, and the other ones beside it."""
    options = varied(settings)
    rows = [[", ".join(name.replace("_", " ") for _, name in options), "condition", "minus copying",
             *(name for name, *_ in BESIDE)]]
    for setting in settings:
        said = setting.said["configuration"]
        where = ", ".join(str(said[part][name]) for part, name in options)
        over = setting.values(setting.conditions[0], "into", "chrf++").mean() - setting.said["copy"]
        rows += [[where, condition, "" if i else f"{over:+.1f}", *beside(setting, condition)]
                 for i, condition in enumerate(setting.conditions)]
    return markdown(rows)


def trials(setting: Setting) -> list[str]:
    """Every trial of every condition: the options it changes, its dev score of each seed, what it costs, the choice."""
    rows = [["condition, trial", "changes", *(f"seed {seed}" for seed in setting.seeds), "mean", "into the standard",
             "leakage, %", "chosen"]]
    for condition, tried in setting.trials.items():
        scores = {trial: setting.values(trial, "into", "chrf++") for trial in tried if trial in setting.conditions}
        chosen = max(scores, key=lambda trial: scores[trial].mean())
        for trial, values in scores.items():
            changes = ", ".join(f"{name} {value}" for name, value in tried[trial].items()) or "none"
            price = (setting.values(trial, "standard", "chrf++"), setting.values(trial, "into", "leakage_percent"))
            rows.append([trial if trial.startswith(condition) else f"{condition}, {trial}", changes,
                         *(f"{value:.2f}" for value in values), *(f"{side.mean():.2f}" for side in (values, *price)),
                         "*" if trial == chosen else ""])
    return markdown(rows)
