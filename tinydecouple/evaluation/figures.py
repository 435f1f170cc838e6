"""Pictures of a comparison, if matplotlib is there; the same numbers stand in the table and in the log."""

import json
from pathlib import Path
from typing import Any

import numpy as np


def draw(run: Path, result: dict[str, Any], arms: dict[str, Path]) -> list[Path]:
    """Write figures/gains.png and figures/training.png under `run`; returns their paths, none without matplotlib.

    result: from report.compare.  arms: name -> run directory of each fine-tuning.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return []
    figures = {"gains": gains(Figure(figsize=(8, 7), layout="constrained"), result),
               "training": training(Figure(figsize=(10, 6), layout="constrained"), arms)}
    (run / "figures").mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        FigureCanvasAgg(figure).print_png(run / "figures" / f"{name}.png")
    return [run / "figures" / f"{name}.png" for name in figures]


def gains(figure: Any, result: dict[str, Any]) -> Any:
    """A line a dialect: copy, plain and decoupled on one axis, their difference on another."""
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    primary = result["means"][0]
    entries = [*result["rows"], primary]
    y = np.arange(len(entries))
    for system, marker in zip(primary["scores"], ("x", "o", "D")):
        left.plot([e["scores"][system] for e in entries], y, marker, label=system, markersize=5, fillstyle="none")
    left.set_yticks(y, [e["name"] for e in entries])
    left.invert_yaxis()
    left.set_xlabel("chrF++, test")
    left.grid(axis="x", alpha=0.3)
    left.legend()
    right.barh(y, [e["scores"]["decoupled"] - e["scores"]["plain"] for e in entries],
               color=["tab:gray"] * (len(entries) - 1) + ["tab:blue"])
    right.plot(primary["interval"], [y[-1]] * 2, color="black", linewidth=2)
    right.axvline(0, color="black", linewidth=0.8)
    right.set_xlabel("decoupled minus plain\n(line: 95 % over sentences, one seed)")
    return figure


def series(log: list[dict[str, Any]], name: str, points: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of one number in a log, averaged over neighbours down to about `points`."""
    pairs = np.array([(r["step"], r[name]) for r in log if r.get(name) is not None], dtype=float).reshape(-1, 2)
    size = max(1, len(pairs) // points) if points else 1
    steps, values = pairs[:len(pairs) // size * size].reshape(-1, size, 2).mean(axis=1).T
    return steps, values


def training(figure: Any, arms: dict[str, Path]) -> Any:
    """Losses, penalty, code length and angle between refreshes, over steps."""
    axes = figure.subplots(2, 2).ravel()
    for colour, (arm, path) in zip(("tab:orange", "tab:blue"), arms.items()):
        log = [json.loads(line) for line in (path / "log.jsonl").read_text(encoding="utf-8").splitlines()]

        axes[0].plot(*series(log, "loss", 50), color=colour, alpha=0.6, label=f"{arm}, train")
        axes[0].plot(*series(log, "dev_loss"), "o-", color=colour, markersize=3, label=f"{arm}, dev")
        axes[1].plot(*series(log, "penalty", 50), color=colour, label=arm)
        axes[2].plot(*series(log, "code_bits"), "o-", color=colour, markersize=3, label=f"{arm}, code")
        axes[2].plot(*series(log, "entropy_bits"), ":", color=colour, label=f"{arm}, entropy of the labels")
        axes[3].plot(*series(log, "angle_degrees"), "o-", color=colour, markersize=3, label=arm)
    titles = ("loss (nats a token)", "mean norm inside the subspace", "probe's code length (bits a state)",
              "angle to the last basis (degrees)")
    for axis, title in zip(axes, titles):
        axis.set(xlabel="step", title=title)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    return figure
