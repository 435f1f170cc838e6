"""What a study holds so far, on dev; and of a tuning plan, which trial was best."""

from pathlib import Path
from typing import Any

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation.report import markdown
from tinydecouple.study.plan import Cell, Plan
from tinydecouple.study.records import cell_folder, read_cell

MADE_BY = ("tinydecouple", "torch", "numpy", "sacrebleu", "sentencepiece")  # versions that must agree


def status(run: Path, plan: Plan) -> str:
    """Mean dev scores of what is there: a row per setting and arm."""
    rows = [["dev: setting, condition", "cells", "into dialects", "into the standard", "leakage %", "length ratio",
             "training s"]]
    for setting in plan.settings:
        for arm in plan.arms[setting.name]:
            cells = [Cell(setting, arm, seed) for seed in plan.seeds]
            there = [read_cell(cell_folder(run, cell), cell) for cell in cells if cell_folder(run, cell).exists()]
            rows.append([f"{setting.name}, {arm.name}", f"{len(there)}/{len(cells)}", *summary_cells(there)])
    return "\n".join(markdown(rows)) + "\n"


def summary_cells(records: list[dict[str, Any]]) -> list[str]:
    if not records:
        return [""] * 5
    means = [list(record["scores"]["means"].values())[:2] for record in records]
    columns = [[into["chrf++"] for into, _ in means], [out["chrf++"] for _, out in means],
               [into["leakage_percent"] for into, _ in means], [into["length_ratio"] for into, _ in means],
               [record["seconds"]["training"] for record in records]]
    return [f"{np.mean(column):.{digits}f}" for column, digits in zip(columns, (2, 2, 1, 2, 0))]


def read_records(run: Path, plan: Plan) -> dict[str, dict[str, Any]]:
    """Name -> record of every cell of a plan.

    Raises TinyDecoupleError for a cell that is missing or damaged, and for cells that do not compare: made by other
    versions, on another processor or, within a setting, on another corpus.
    """
    records = {}
    first: dict[str, tuple[str, Any]] = {}
    for cell in plan.cells():
        folder = cell_folder(run, cell)
        if not folder.exists():
            raise TinyDecoupleError(f"cell {cell.name} is missing in {run}; run the plan first")
        records[cell.name] = read_cell(folder, cell)
        check_alike(first, cell, records[cell.name])
    return records


def check_alike(first: dict[str, tuple[str, Any]], cell: Cell, record: dict[str, Any]) -> None:
    """Raise TinyDecoupleError unless a cell was made as those before it; first: what they had in common, kept here."""
    ours = {f"the version of {name}": record["versions"].get(name) for name in MADE_BY}
    ours |= {"the processor": record["processor"], f"the corpus of {cell.setting.name}": record["corpus_sha256"]}
    for what, value in ours.items():
        name, theirs = first.setdefault(what, (cell.name, value))
        if value != theirs:
            raise TinyDecoupleError(f"cells of one report differ in {what}: {name} has {theirs}, {cell.name} has "
                                    f"{value}; `rerun` one of them, or keep them in two `run` folders")


def choose(records: dict[str, dict[str, Any]], plan: Plan) -> tuple[dict[str, dict[str, dict[str, Any]]], str]:
    """Of a plan with trials, setting -> condition -> the options of its best trial, and a table of all trials.

    Best is the highest mean over seeds of the macro mean of chrF++ into dialects, on dev. It is no estimate of what
    those options score: the maximum of several is too high, so they are run again with other seeds.
    """
    best: dict[str, dict[str, dict[str, Any]]] = {}
    rows = [["setting, trial", "chrF++", "chosen", "changes"]]
    for setting in plan.settings:
        arms = {arm.name: arm for arm in plan.arms[setting.name]}
        for condition, trials in plan.trials.items():
            means = {trial: np.mean([into_dialects(records[Cell(setting, arms[trial], seed).name])
                                     for seed in plan.seeds]) for trial in trials}
            chosen = max(means, key=means.get)
            best.setdefault(setting.name, {})[condition] = arms[chosen].options
            for trial, mean in means.items():
                changes = ", ".join(f"{name} {value}" for name, value in trials[trial].items()) or "none"
                rows.append([f"{setting.name}, {trial}", f"{mean:.2f}", "*" if trial == chosen else "", changes])
    return best, "\n".join(markdown(rows)) + "\n"


def into_dialects(record: dict[str, Any]) -> float:
    """Macro mean of chrF++ over standard -> dialect."""
    return next(iter(record["scores"]["means"].values()))["chrf++"]
