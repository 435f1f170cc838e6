"""What a smoke demo went through, checked: a line per check, so that other people's CI can trust a green run."""

import dataclasses
import math
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tinydecouple
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import write_json
from tinydecouple.options import DecoupleOptions, TrainOptions
from tinydecouple.study.rerun import PRETRAINED, compare, read_records
from tinydecouple.text.corpus import ParallelCorpus
from tinydecouple.training.checkpoint import load_checkpoint, load_config
from tinydecouple.training.pipeline import finetune
from tinydecouple.training.record import machine

FALL = 0.99  # what has fallen is at most this part of what it was; a model that learns nothing stays within 0.3 %


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that was checked; seconds: of the stage that it looks at, in the session that completed it."""

    name: str
    passed: bool
    found: str
    seconds: float


def checks(run: Path, corpus: ParallelCorpus, device: torch.device, scoring: float) -> list[Check]:
    """Every check of a complete demo in `run`; scoring: seconds that translating and scoring took."""
    arms = [arm["name"] for arm in load_config(run)["arms"]]
    logs = {name: read_records(run / name) for name in (PRETRAINED, *arms)}
    configs = {name: load_config(run / name) for name in logs}
    options = {name: configs[name]["decouple"] for name in arms}
    found = [loss_fell(name, log, configs[name]["train"]["epochs"]) for name, log in logs.items()]
    for name in arms:
        if options[name]["strength"]:
            alike = [other for other in arms if options[other] == {**options[name], "strength": 0.0}]
            found.append(penalty_fell(name, logs[name], logs[alike[0]] if alike else None))
    penalised = [name for name in arms if options[name]["strength"]] or arms
    return [*found, resumes(run, penalised[0], corpus, device), table_is_whole(run, corpus, scoring)]


def loss_fell(name: str, log: list[dict[str, Any]], epochs: int) -> Check:
    """The training loss of the last epoch is below that of the first, which has the same sentences."""
    first, last = first_and_last([record["loss"] for record in log if "loss" in record], epochs)
    return Check(f"{name}: the loss fell", last <= FALL * first, f"{first:.2f} to {last:.2f} nats per token",
                 seconds(log))


def penalty_fell(name: str, log: list[dict[str, Any]], unpenalised: list[dict[str, Any]] | None) -> Check:
    """The states' norm inside the subspace, over the run, is below that of the arm that differs in strength alone.

    Both arms see the same batches. Without such an arm: the second half of the run is below the first.
    """
    ours = [record["penalty"] for record in log if "penalty" in record]
    if unpenalised is None:
        before, after = first_and_last(ours, 2)
        found = f"{before:.3f} to {after:.3f} over the run"
    else:
        theirs = [record["penalty"] for record in unpenalised if "penalty" in record]
        before, after = (float(np.mean(values or [math.nan])) for values in (theirs, ours))
        found = f"{after:.3f} on average, {before:.3f} without it"
    return Check(f"{name}: the penalty fell", after <= FALL * before, found, seconds(log))


def resumes(run: Path, name: str, corpus: ParallelCorpus, device: torch.device) -> Check:
    """The arm trained once more, cut off half-way and resumed, has the bits of the arm that was not cut off."""
    started, config = time.perf_counter(), load_config(run / name)
    options = TrainOptions(**config["train"]), DecoupleOptions(**config["decouple"])
    checked = [record["step"] for record in read_records(run / name) if "dev_loss" in record]  # and saved; the end, too
    cut = min(checked[len(checked) // 2] + 1, checked[-1] - 1)
    with tempfile.TemporaryDirectory(prefix="tinydecouple-") as temporary:
        again = Path(temporary) / name
        try:
            finetune(again, run / PRETRAINED, corpus, *options, device, label="cutting off", stop=cut)
            was_cut = (load_checkpoint(again) or {"complete": False})["complete"] is False
            finetune(again, run / PRETRAINED, corpus, *options, device, label="resuming")
            differences = compare(run / name, again).differences
        except TinyDecoupleError as error:
            was_cut, differences = True, (str(error),)
    found = "; ".join(differences) or f"cut off before step {cut} and resumed: weights and log identical"
    return Check(f"{name}: a resume is bit for bit", was_cut and not differences,
                 found if was_cut else "nothing was cut off", round(time.perf_counter() - started, 2))


def table_is_whole(run: Path, corpus: ParallelCorpus, scoring: float) -> Check:
    """table.md has, for every dialect, a row of finite numbers."""
    text = (run / "table.md").read_text(encoding="utf-8")
    missing = []
    for dialect in corpus.dialects:
        row = re.search(rf"^\| *{re.escape(f'{corpus.standard} -> {dialect}')} *\|(.*)\|$", text, re.MULTILINE)
        cells = [cell.strip() for cell in row[1].split("|")] if row else []
        if len(cells) < 2 or not all(is_score(cell) for cell in cells):
            missing.append(dialect)
    found = f"lacks {', '.join(missing)}" if missing else f"{len(corpus.dialects)} dialects"
    return Check("the table has a row per dialect", not missing and bool(corpus.dialects), found, scoring)


def report(found: list[Check], path: Path | None, device: torch.device) -> int:
    """Print a line per check and, if a path is given, write them there as JSON; returns how many failed."""
    for check in found:
        print(f"{'ok' if check.passed else 'FAILED':6} {check.name}: {check.found} ({check.seconds:.1f} s)")
    failed = sum(not check.passed for check in found)
    if path:
        write_json(path, {"passed": not failed, "version": tinydecouple.__version__, "machine": machine(device),
                          "checks": [dataclasses.asdict(check) for check in found]})
    return failed


def first_and_last(values: list[float], epochs: int) -> tuple[float, float]:
    """Means of the first epoch and of the last, of one epoch its halves; of nothing, NaN, which passes no check."""
    size = len(values) // max(2, epochs)
    return (float(np.mean(values[:size])), float(np.mean(values[-size:]))) if size else (math.nan, math.nan)


def seconds(log: list[dict[str, Any]]) -> float:
    return max((record["seconds"] for record in log if "seconds" in record), default=0.0)


def is_score(cell: str) -> bool:
    """A number, and another in brackets."""
    try:
        return all(math.isfinite(float(part)) for part in cell.removesuffix(")").split(" (", 1))
    except ValueError:
        return False
