"""Pictures of a comparison, if matplotlib is there; the same numbers stand in the table and in the log."""

import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from tinydecouple.files import locked, write
from tinydecouple.training.validate import read_records

COLOURS = ("tab:orange", "tab:blue", "tab:green", "tab:purple", "tab:red", "tab:brown", "tab:pink")  # arms, in order


def draw(run: Path, result: dict[str, Any], arms: dict[str, Path]) -> list[Path]:
    """Write figures/gains.png and figures/training.png under `run`; returns their paths, none without matplotlib.

    result: from report.compare.  arms: name -> run directory of each fine-tuning.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return []
    figures = {"gains": gains(Figure(figsize=(9, 2.5 + 0.25 * len(result["rows"])), layout="constrained"), result),
               "training": training(Figure(figsize=(10, 6), layout="constrained"), arms)}
    return save(run / "figures", figures)


def save(folder: Path, figures: dict[str, Any]) -> list[Path]:
    """Write each figure to NAME.png in a folder; returns the paths."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with locked(folder):
        for name, figure in figures.items():
            picture = BytesIO()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # long names leave no room; a font may lack their letters
                FigureCanvasAgg(figure).print_png(picture)
            write(folder / f"{name}.png", picture.getvalue())
    return [folder / f"{name}.png" for name in figures]


def draw_distances(path: Path, matrix: np.ndarray, names: list[str]) -> bool:
    """Write a heat map of chrF between varieties, (v, v); returns False without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(2 + 0.25 * len(names), 1.5 + 0.25 * len(names)), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(matrix, vmin=0, vmax=100)
    axis.set_xticks(range(len(names)), names, rotation=90)
    axis.set_yticks(range(len(names)), names)
    axis.set_title("chrF between varieties")
    figure.colorbar(image)
    picture = BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    write(path, picture.getvalue())
    return True


def draw_probing(folder: Path, layers: dict[int, dict[str, Any]], names: list[str], y: np.ndarray,
                 group: Callable[[str], str]) -> list[Path]:
    """One picture per question, under `folder`: code length over layers, angles between varieties, states in a plane.

    y: (n,) variety of each state.  group: name of a variety -> what it is coloured by. Angles and plane are those of
    the layer with the shortest code.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return []
    best = min(layers, key=lambda layer: layers[layer]["variational_bits"])
    figures = {name: Figure(figsize=(7, 6), layout="constrained") for name in ("code_length", "angles", "states")}
    axis = figures["code_length"].subplots()
    for column, style in (("variational_bits", "o-"), ("prequential_bits", "s-"), ("entropy_bits", "k:")):
        axis.plot(list(layers), [numbers[column] for numbers in layers.values()], style,
                  label=column.replace("_bits", ""))
    axis.set(xlabel="layer", ylabel="bits per state", xticks=list(layers),
             title=f"distinguishing {names[0]} from the rest")
    axis.legend()
    axis = figures["angles"].subplots()
    image = axis.imshow(layers[best]["angles"], vmin=0, vmax=90)
    axis.set_xticks(range(len(names)), names, rotation=90)
    axis.set_yticks(range(len(names)), names)
    axis.set_title(f"layer {best}: degrees between varieties (null {layers[best]['null']:.0f})")
    figures["angles"].colorbar(image)
    axis = figures["states"].subplots()
    groups = np.array([group(names[i]) for i in y])
    plane = layers[best]["plane"]
    for label in dict.fromkeys(group(name) for name in names):
        here = plane[groups == label]
        axis.plot(here[:, 0], here[:, -1], ".", markersize=3, alpha=0.5, label=label)
    axis.set(title=f"layer {best}: states on the first two all-variety directions")
    axis.legend(markerscale=4, fontsize=8)
    return save(folder, figures)


def gains(figure: Any, result: dict[str, Any]) -> Any:
    """A line per dialect: chrF++ of copying and of every arm, each arm's difference to the first, and leakage."""
    left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=(3, 2, 2))
    primary = result["means"][0]
    entries = [*result["rows"], primary]
    leaked = [*result["leakage"], result["shares"][-1]]
    y = np.arange(len(entries))
    copy, first, *others = primary["scores"]
    for system, marker, colour in zip(primary["scores"], "xoDs^v*P", ("tab:gray", *COLOURS)):
        left.plot([e["scores"][system] for e in entries], y, marker, label=system, markersize=5, fillstyle="none",
                  color=colour)
        if system != copy:
            right.plot([e["scores"][system] for e in leaked], y, marker, markersize=5, fillstyle="none", color=colour)
    left.set_yticks(y, [e["name"] for e in entries])
    left.invert_yaxis()
    left.set_xlabel("chrF++, test")
    left.grid(axis="x", alpha=0.3)
    left.legend()
    height = 0.8 / max(1, len(others))
    for i, (other, colour) in enumerate(zip(others, COLOURS[1:])):
        at = y + (i - (len(others) - 1) / 2) * height
        middle.barh(at, [e["scores"][other] - e["scores"][first] for e in entries], height, color=colour, alpha=0.7)
        middle.plot(primary["intervals"][other], [at[-1]] * 2, color="black", linewidth=2)
    middle.axvline(0, color="black", linewidth=0.8)
    middle.set_xlabel(f"chrF++, minus {first}\n(black: 95 % interval)")
    right.set_xlabel("leakage, %: the standard's\nwords in dialect output")
    right.set_xlim(left=0)
    right.grid(axis="x", alpha=0.3)
    return figure


def series(log: list[dict[str, Any]], name: str, points: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of one number in a log, averaged over neighbours down to about `points`."""
    pairs = np.array([(r["step"], r[name]) for r in log if r.get(name) is not None], dtype=float).reshape(-1, 2)
    size = max(1, len(pairs) // points) if points else 1
    steps, values = pairs[:len(pairs) // size * size].reshape(-1, size, 2).mean(axis=1).T
    return steps, values


def training(figure: Any, arms: dict[str, Path]) -> Any:
    """Losses, penalty, code length with its null, and angle between refreshes, over steps; one line style per layer."""
    axes = figure.subplots(2, 2).ravel()
    for colour, (arm, path) in zip(COLOURS, arms.items()):
        log = read_records(path / "log.jsonl")
        axes[0].plot(*series(log, "loss", 50), color=colour, alpha=0.6, label=f"{arm}, train")
        axes[0].plot(*series(log, "dev_loss"), "o-", color=colour, markersize=3, label=f"{arm}, dev")
        layers = list(dict.fromkeys(r["layer"] for r in log if "layer" in r))
        for layer, style in zip(layers, ("-", "--", "-.", ":") * len(layers)):
            label = arm if len(layers) == 1 else f"{arm}, layer {layer}"
            here = [r for r in log if r.get("layer") == layer]
            inside = log if len(layers) == 1 else [{"step": r["step"], "penalty": r["penalty_by_layer"].get(str(layer))}
                                                   for r in log if "penalty_by_layer" in r]
            axes[1].plot(*series(inside, "penalty", 50), style, color=colour, label=label)
            axes[2].plot(*series(here, "code_bits"), "o" + style, color=colour, markersize=3, label=label)
            axes[2].plot(*series(here, "null_bits"), "x:", color=colour, markersize=4, label=f"{label}, dealt labels")
            axes[3].plot(*series(here, "angle_degrees"), "o" + style, color=colour, markersize=3, label=label)
    titles = ("loss (nats per token)", "mean norm inside the subspace", "probe's code length (bits per state)",
              "angle to the last estimate (degrees)")
    for axis, title in zip(axes, titles):
        axis.set(xlabel="step", title=title)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, framealpha=0.5)
    return figure
