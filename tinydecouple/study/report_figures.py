"""The report's figures, if matplotlib is there; the same numbers stand in its tables."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from tinydecouple.evaluation.figures import COLOURS, save
from tinydecouple.evaluation.significance import Interval
from tinydecouple.evaluation.word_kinds import KINDS
from tinydecouple.study.collected import Setting
from tinydecouple.study.comparisons import PAPERS_GAIN, Comparison
from tinydecouple.study.conditions import METHOD, RANDOM
from tinydecouple.study.report_tables import frontier, point, varied

MARKERS = "osD^v*PXd<>"
FAR = 10   # chrF++ points below the first condition, beyond which a condition is named and not drawn
READ_AGAINST = (METHOD, RANDOM, "dealt", "dialect", "frozen")
MANY = 12  # conditions, beyond which not every one is named in the picture


def draw(folder: Path, tests: Sequence[Comparison], dialects: dict[tuple[str, str], dict[str, Interval]],
         confirming: Sequence[Setting], single: Sequence[Setting], maps: dict[str, Sequence[Setting]]) -> list[Path]:
    """Write study_NAME.png under `folder`; returns the paths, none without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return []

    def panels(count: int, width: float, height: float) -> tuple[Figure, list]:
        columns = min(count, 3)
        rows = -(-count // columns)
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for unused in axes[count:]:
            unused.remove()
        return figure, axes

    figures = {}
    for name, height, fill in (("study_differences", 3, partial(differences, tests)), ("study_words", 4, words)):
        if confirming:
            figures[name], placed = grid(Figure, confirming, height)
            for setting, axis in placed:
                fill(axis, setting)
    if confirming:
        figures["study_differences"].suptitle("95 % intervals. Blue: shown after correction. Gray: not shown, or not "
                                              "tested. Dotted: the paper's mean gain.", fontsize=9)
    if dialects:
        figures["study_dialects"], axes = panels(len(dialects), 5, 1.5 + 0.22 * max(map(len, dialects.values())))
        for axis, ((label, arm), intervals) in zip(axes, dialects.items()):
            forest(axis, intervals, [i.low > 0 or i.high < 0 for i in intervals.values()], f"{label}: {arm}")
    known = list(dict.fromkeys(c for setting in (*confirming, *single) for c in setting.conditions))
    for name, settings, size in (("study_frontier", confirming, 5), ("study_explored", single, 9)):
        if settings:
            figures[name], axes = panels(len(settings), size, size)
            for axis, setting in zip(axes, settings):
                draw_frontier(axis, setting, known)
    for study, settings in maps.items():
        figures[f"study_map_{study}"], axes = panels(3, 5, 5)
        draw_map(axes, settings)
    return save(folder, figures)


def grid(Figure: type, settings: Sequence[Setting], height: float) -> tuple:
    """A row per study and a column per setting, which share their horizontal axis; the figure, and (setting, axis)."""
    rows, columns = (list(dict.fromkeys(names)) for names in ([s.study for s in settings], [s.name for s in settings]))
    figure = Figure(figsize=(6 * len(columns), height * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(columns), sharex="col", squeeze=False)
    placed = [(s, axes[rows.index(s.study), columns.index(s.name)]) for s in settings]
    for axis in axes.flat:
        axis.tick_params(labelbottom=True)
        if all(axis is not used for _, used in placed):
            axis.remove()
    return figure, placed


def forest(axis, intervals: dict[str, Interval], dark: list[bool], title: str) -> None:
    """A line per name: the difference and its interval, gray where not `dark`."""
    for y, (i, shown) in enumerate(zip(intervals.values(), dark)):
        axis.errorbar(i.mean, y, xerr=[[i.mean - i.low], [i.high - i.mean]], fmt="o", markersize=4,
                      color=COLOURS[1] if shown else "gray")
    axis.set_yticks(range(len(intervals)), intervals)
    axis.invert_yaxis()
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set(title=title, xlabel="chrF++ into the dialects, difference to the first condition")
    axis.grid(axis="x", alpha=0.3)


def differences(tests: Sequence[Comparison], axis, setting: Setting) -> None:
    ours = [t for t in tests if t.setting is setting and t.first == setting.conditions[0] and t.outcome == "into"]
    forest(axis, {t.second: t.interval for t in ours}, [bool(t.shown) for t in ours], setting.label)
    axis.axvline(PAPERS_GAIN, color="black", linewidth=0.8, linestyle=":")


def words(axis, setting: Setting) -> None:
    """What the output words are, stacked, a bar per condition."""
    left = np.zeros(len(setting.conditions))
    for kind, colour in zip(KINDS, ("tab:green", "tab:orange", "tab:blue", "tab:purple", "tab:gray")):
        shares = [setting.values(c, "into", f"words_{kind.replace(' ', '_')}_percent") for c in setting.conditions]
        width = np.array([share.mean() for share in shares])
        axis.barh(setting.conditions, width, left=left, color=colour, label=kind)
        left += width
    axis.invert_yaxis()
    axis.set(title=setting.label, xlabel="output words, %", xlim=(0, 100))
    axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncol=3)


def draw_frontier(axis, setting: Setting, known: list[str]) -> None:
    """Every condition by what it changes into the standard (x) and into the dialects (y), the undominated joined.

    One that loses over FAR points into the dialects would press the others together: the title tells of it. Of more
    than MANY, those are named that no other one beats, that change the dialects by over 1.5 points, or that the rest
    is read against. A condition has one colour and marker wherever it is drawn: those of its place in `known`.
    """
    points = {condition: point(setting, condition) for condition in setting.conditions}
    best, far = frontier(points), [condition for condition, (_, y) in points.items() if y < -FAR]
    for condition, (x, y) in points.items():
        if condition not in far:
            i = known.index(condition)
            axis.plot(x, y, MARKERS[i % len(MARKERS)], color=COLOURS[i % len(COLOURS)], markersize=5)
            if len(points) <= MANY or condition in (*best, *READ_AGAINST) or abs(y) > 1.5:
                axis.annotate(condition, (x, y), fontsize=6, xytext=(3, 3), textcoords="offset points")
    axis.plot(*zip(*sorted(points[condition] for condition in best)), color="gray", linewidth=0.8)
    axis.axhline(0, color="black", linewidth=0.5)
    axis.axvline(0, color="black", linewidth=0.5)
    outside = "".join(f"\noutside: {c} ({points[c][0]:+.1f}, {points[c][1]:+.1f})" for c in far)
    axis.set(title=setting.label + outside, xlabel="chrF++ into the standard, difference",
             ylabel="chrF++ into the dialects, difference")
    axis.margins(0.12)
    axis.grid(alpha=0.3)


def draw_map(axes: Sequence, settings: Sequence[Setting]) -> None:
    """Gains and leakage over the option with the most values, a line per value of the others; gains over copying.

    Beside the mean gain over copying stand the lowest and the highest seed's.
    """
    options = varied(settings)
    said = [tuple(s.said["configuration"][part][name] for part, name in options) for s in settings]
    main = max(range(len(options)), key=lambda i: len({values[i] for values in said}))
    rest = [tuple(v for j, v in enumerate(values) if j != main) for values in said]
    named = [name for j, (_, name) in enumerate(options) if j != main]
    first = settings[0].conditions[0]
    over = [s.values(first, "into", "chrf++").mean() - s.said["copy"] for s in settings]
    for i, condition in enumerate(settings[0].conditions):
        look = {"marker": MARKERS[i % len(MARKERS)], "color": COLOURS[i % len(COLOURS)], "markersize": 4}
        by_seed = [s.values(condition, "into", "chrf++") - s.values(first, "into", "chrf++") for s in settings]
        gains = [float(values.mean()) for values in by_seed]
        leakage = [setting.values(condition, "into", "leakage_percent").mean() for setting in settings]
        for axis, heights in ((axes[0], gains), (axes[1], leakage))[condition == first:]:
            for style, other in zip(("-", "--", ":", "-.") * len(rest), dict.fromkeys(rest)):
                mine = sorted((values[main], y) for values, y, r in zip(said, heights, rest) if r == other)
                label = condition + "".join(f", {name} {value}" for name, value in zip(named, other))
                axis.plot(*zip(*mine), style, label=label, **look)
        if condition != first:
            reach = np.transpose([(m - v.min(), v.max() - m) for m, v in zip(gains, by_seed)])
            axes[2].errorbar(over, gains, reach, linestyle="", linewidth=0.8, label=condition, **look)
    for axis, label in zip(axes, ("chrF++ into the dialects, difference", "leakage, %", "difference, every seed's")):
        axis.set(xlabel=options[main][1].replace("_", " "), ylabel=label)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncol=3)
    ticks = sorted({values[main] for values in said})
    if ticks[0] > 0:
        for axis in axes[:2]:
            axis.set_xscale("log", base=2)
            axis.set_xticks(ticks, map(str, ticks))
    axes[2].set_xlabel(f"{first} minus copying, chrF++")
    axes[2].axvline(0, color="black", linewidth=0.5)
    for axis in (axes[0], axes[2]):
        axis.axhline(0, color="black", linewidth=0.5)
