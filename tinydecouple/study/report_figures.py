"""The report's figures, if matplotlib is there; the same numbers stand in its tables."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinydecouple.evaluation.figures import COLOURS, save
from tinydecouple.evaluation.significance import Interval
from tinydecouple.evaluation.word_kinds import KINDS
from tinydecouple.study.collected import Setting
from tinydecouple.study.comparisons import Comparison
from tinydecouple.study.report_tables import frontier, point, varied

MARKERS = "osD^v*PXd<>"
FAR = 10   # chrF++ points below the first condition, beyond which a condition is named and not drawn
MANY = 12  # conditions, beyond which not every one is named in the picture


def draw(folder: Path, tests: Sequence[Comparison], dialects: dict[tuple[str, str], dict[str, Interval]],
         confirming: Sequence[Setting], every: Sequence[Setting], maps: dict[str, Sequence[Setting]]) -> list[Path]:
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
    if confirming:
        figures["study_differences"], axes = panels(len(confirming), 5, 4)
        for axis, setting in zip(axes, confirming):
            differences(axis, setting, tests)
        figures["study_words"], axes = panels(len(confirming), 5, 4)
        for axis, setting in zip(axes, confirming):
            words(axis, setting)
    if dialects:
        figures["study_dialects"], axes = panels(len(dialects), 5, 1.5 + 0.22 * max(map(len, dialects.values())))
        for axis, ((label, arm), intervals) in zip(axes, dialects.items()):
            forest(axis, list(intervals), list(intervals.values()), f"{label}: {arm}")
    if every:
        figures["study_frontier"], axes = panels(len(every), 5, 5)
        for axis, setting in zip(axes, every):
            draw_frontier(axis, setting)
    for study, settings in maps.items():
        figures[f"study_map_{study}"], axes = panels(2, 5, 4)
        draw_map(axes, settings)
    return save(folder, figures)


def forest(axis, names: list[str], intervals: list[Interval], title: str) -> None:
    """A line per name: the difference and its interval."""
    y = np.arange(len(names))
    mean = np.array([interval.mean for interval in intervals])
    sides = [[i.mean - i.low for i in intervals], [i.high - i.mean for i in intervals]]
    axis.errorbar(mean, y, xerr=sides, fmt="o", color=COLOURS[1], markersize=4)
    axis.set_yticks(y, names)
    axis.invert_yaxis()
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set(title=title, xlabel="difference in chrF++, 95 % interval")
    axis.grid(axis="x", alpha=0.3)


def differences(axis, setting: Setting, tests: Sequence[Comparison]) -> None:
    ours = [t for t in tests if t.setting is setting and t.first == setting.conditions[0] and t.outcome == "into"]
    forest(axis, [t.second for t in ours], [t.interval for t in ours], setting.label)


def words(axis, setting: Setting) -> None:
    """What the output words are, stacked, a bar per condition."""
    left = np.zeros(len(setting.conditions))
    for kind, colour in zip(KINDS, ("tab:green", "tab:orange", "tab:blue", "tab:purple", "tab:gray")):
        shares = [setting.values(c, "into", f"words_{kind.replace(' ', '_')}_percent") for c in setting.conditions]
        width = np.array([share.mean() for share in shares])
        axis.barh(setting.conditions, width, left=left, color=colour, label=kind)
        left += width
    axis.invert_yaxis()
    axis.set(title=setting.label, xlabel="output words, %")
    axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncol=3)


def draw_frontier(axis, setting: Setting) -> None:
    """Every condition by what it changes into the standard (x) and into the dialects (y), the undominated joined.

    One that loses over FAR points into the dialects would press the others together: the title tells of it. Of more
    than MANY, those are named that no other one beats or that change the dialects by over a point.
    """
    points = {condition: point(setting, condition) for condition in setting.conditions}
    best, far = frontier(points), [condition for condition, (_, y) in points.items() if y < -FAR]
    for i, (condition, (x, y)) in enumerate(points.items()):
        if condition not in far:
            axis.plot(x, y, MARKERS[i % len(MARKERS)], color=COLOURS[i % len(COLOURS)], markersize=5)
            if len(points) <= MANY or condition in best or abs(y) > 1:
                axis.annotate(condition, (x, y), fontsize=6, xytext=(3, 3), textcoords="offset points")
    axis.plot(*zip(*sorted(points[condition] for condition in best)), color="gray", linewidth=0.8)
    axis.axhline(0, color="black", linewidth=0.5)
    axis.axvline(0, color="black", linewidth=0.5)
    outside = "".join(f"\noutside: {c} ({points[c][0]:+.1f}, {points[c][1]:+.1f})" for c in far)
    axis.set(title=setting.label + outside, xlabel="chrF++ into the standard, difference",
             ylabel="chrF++ into the dialects, difference")
    axis.grid(alpha=0.3)


def draw_map(axes: Sequence, settings: Sequence[Setting]) -> None:
    """Left: gains over the option with the most values, a line per value of the others. Right: over what it copies."""
    options = varied(settings)
    said = [tuple(s.said["configuration"][part][name] for part, name in options) for s in settings]
    main = max(range(len(options)), key=lambda i: len({values[i] for values in said}))
    for i, condition in enumerate(settings[0].conditions[1:]):
        gains = np.array([point(setting, condition)[1] for setting in settings])
        rest = [tuple(v for j, v in enumerate(values) if j != main) for values in said]
        for style, other in zip(("-", "--", ":", "-.") * len(rest), dict.fromkeys(rest)):
            mine = sorted((values[main], gain) for values, gain, r in zip(said, gains, rest) if r == other)
            label = condition + "".join(f", {options[j][1]} {v}" for j, v in
                                        zip([j for j in range(len(options)) if j != main], other))
            axes[0].plot(*zip(*mine), style, marker=MARKERS[i % len(MARKERS)], color=COLOURS[i % len(COLOURS)],
                         label=label, markersize=4)
        first = settings[0].conditions[0]
        over = [s.values(first, "into", "chrf++").mean() - s.said["copy"] for s in settings]
        axes[1].plot(over, gains, MARKERS[i % len(MARKERS)], color=COLOURS[i % len(COLOURS)], label=condition)
    axes[0].set(xlabel=options[main][1].replace("_", " "), ylabel="difference in chrF++ into the dialects")
    axes[1].set(xlabel=f"{settings[0].conditions[0]} minus copying, chrF++", ylabel="difference in chrF++")
    for axis in axes:
        axis.axhline(0, color="black", linewidth=0.5)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=6)
    axes[1].axvline(0, color="black", linewidth=0.5)
