"""The whole benchmark: every part of benchmark.py and how cost grows, as numbers, as text and as a picture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from tinydecouple import benchmark
from tinydecouple.benchmark import BATCH, LENGTH, SHAPE, alternate, our_stepper, spread
from tinydecouple.method import probe
from tinydecouple.method.planted import plant
from tinydecouple.method.states import standardise
from tinydecouple.text.corpus import ParallelCorpus
from tinydecouple.text.tokenizer import Tokenizer
from tinydecouple.training.record import machine

STEP_SIZES = {"batch": (8, 16, 32, 64), "width": (64, 128, 256), "blocks": (2, 4, 8), "length": (16, 32, 64, 128)}
FIT_SIZES = {"n": (2048, 8192, 32768), "d": (64, 128, 256, 512), "C": (2, 8, 26)}
FIT = {"n": 8192, "d": 128, "C": 2}
EPOCHS, BATCH_STATES = 10, 512  # of a refit whose cost is compared: its Adam steps grow with n


def exponent(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """k of seconds ~ size^k, by least squares on logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def growth(device: torch.device, rounds: int) -> dict[str, Any]:
    """Tokens per second over the sizes of a training step; seconds of a refit of EPOCHS epochs over n, d and C."""
    steps, fits = {}, {}
    for name, sizes in STEP_SIZES.items():
        calls = {}
        for size in sizes:
            shape = {**SHAPE, name: size} if name in SHAPE else SHAPE
            batch, length = (size if name == side else usual for side, usual in (("batch", BATCH), ("length", LENGTH)))
            calls[size] = our_stepper(shape, batch, length, device)
        taken = {size: spread(values)["median"] for size, values in alternate(calls, rounds).items()}
        tokens = [(size if name == "batch" else BATCH) * (size if name == "length" else LENGTH) for size in sizes]
        steps[name] = {"tokens_per_second": {str(size): n / taken[size] for size, n in zip(sizes, tokens)},
                       "seconds_exponent": exponent(sizes, [*taken.values()])}
    for name, sizes in FIT_SIZES.items():
        calls = {size: _refit(**{**FIT, name: size}) for size in sizes}
        taken = {size: spread(values)["median"] for size, values in alternate(calls, rounds).items()}
        fits[name] = {"seconds": {str(size): value for size, value in taken.items()},
                      "seconds_exponent": exponent(sizes, [*taken.values()])}
    return {"step": steps, "refit": fits}


def _refit(n: int, d: int, C: int) -> Callable[[], Any]:  # noqa: N803
    planted = plant(n, d, C, 2.0, np.random.default_rng(0))
    h = standardise(planted.h)[0].astype(np.float32)
    steps = EPOCHS * n // BATCH_STATES
    return lambda: probe.fit(probe.new_probe(C, d, dtype=np.float32), h, planted.y, np.random.default_rng(1), steps,
                             BATCH_STATES)


def measure(corpus: ParallelCorpus, tokenizer: Tokenizer, device: torch.device, rounds: int) -> dict[str, Any]:
    """Every part, with a progress bar: numbers as JSON holds them."""
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "training": lambda: benchmark.training(device, rounds),
        "batching": lambda: benchmark.batching(corpus, tokenizer, device, rounds),
        "decoding": lambda: benchmark.translation(device, rounds),
        "probe": lambda: benchmark.probing(rounds),
        "decoupling": lambda: benchmark.decoupling(corpus, tokenizer, device, rounds),
        "commands": lambda: benchmark.commands(rounds),
        "growth": lambda: growth(device, rounds)}
    return {"machine": machine(device), "rounds": rounds,
            **{name: part() for name, part in tqdm(parts.items(), desc="measuring", disable=None, leave=False)}}


def _range(values: dict[str, float], digits: int = 2) -> str:
    return f"{values['median']:,.{digits}f} ({values['low']:,.{digits}f} to {values['high']:,.{digits}f})"


def text(result: dict[str, Any]) -> str:
    """The numbers for people: medians, quartiles in brackets."""
    lines = [", ".join(f"{name} {value}" for name, value in result["machine"].items())
             + f"; medians of {result['rounds']} rounds, quartiles in brackets; a ratio above 1: the first is faster"]
    for part in ("training", "batching", "decoding", "probe"):
        measured = result[part]
        lines += ["", f"{part}, {measured['unit']}"]
        lines += [f"  {name:20} {_range(values, 1)}" for name, values in measured["per_second"].items()]
        lines += [f"  over {name:15} {_range(values)}" for name, values in measured["ratio"].items()]
    bits = ", ".join(f"{name} {value:.4f}" for name, value in result["probe"]["bits_per_state"].items())
    lines += [f"  bits per state: {bits}", "",
              f"share of the matrix-product rate in training: {_range(result['training']['share_of_matrix_products'])}",
              f"what decoupling adds to a step, percent: {_range(result['decoupling']['percent_in_all'])}"]
    lines += [f"  {name:20} {_range(values)}" for name, values in result["decoupling"]["percent_of_a_step"].items()]
    lines += [f"seconds of {name:12} {_range(values)}" for name, values in result["commands"]["seconds"].items()]
    for what, measures, unit in (("step", "tokens_per_second", "tokens/s"), ("refit", "seconds", "s")):
        for name, values in result["growth"][what].items():
            digits = 0 if what == "step" else 3
            row = "  ".join(f"{size}: {value:,.{digits}f}" for size, value in values[measures].items())
            lines.append(f"{what} over {name}: {row} {unit}; seconds grow with the power "
                         f"{values['seconds_exponent']:.2f}")
    return "\n".join(lines)


def draw(path: Path, result: dict[str, Any]) -> bool:
    """Write the picture: ratios to the peers, and cost over each size; False without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(10, 7), layout="constrained")
    (ratios, step), (parts, refit) = figure.subplots(2, 2)
    named = [(f"{part} / {name}", values) for part in ("training", "batching", "decoding", "probe")
             for name, values in result[part]["ratio"].items()]
    ratios.barh([name for name, _ in named], [values["median"] for _, values in named],
                xerr=[[v["median"] - v["low"] for _, v in named], [v["high"] - v["median"] for _, v in named]])
    ratios.axvline(1, color="black")
    ratios.set_xlabel("times as fast as the peer")
    shares = result["decoupling"]["percent_of_a_step"]
    parts.barh(list(shares), [values["median"] for values in shares.values()])
    parts.set_xlabel("what decoupling adds, percent of a training step")
    for axis, what, measures, label in ((step, "step", "tokens_per_second", "tokens per second"),
                                        (refit, "refit", "seconds", "seconds of a refit")):
        for name, values in result["growth"][what].items():
            axis.loglog([int(size) for size in values[measures]], list(values[measures].values()), "o-", label=name)
        axis.set(xlabel="size", ylabel=label)
        axis.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(path)
    return True
