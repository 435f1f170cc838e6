"""Workers: each cell in a process of its own with one thread, as many side by side as are asked for."""

import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.study.cells import final_cell, make_pretrained, run_cell
from tinydecouple.study.plan import Cell, Plan
from tinydecouple.study.records import CPU, cell_folder, pretrained_folder, read_cell
from tinydecouple.study.status import read_records
from tinydecouple.training.checkpoint import load_model

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """A call in a process of its own; it starts once `needs` exists, if it needs a folder."""

    name: str
    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    needs: Path | None = None


def run_plan(run: Path, cells: list[Cell], workers: int, rerun: bool = False, device: torch.device = CPU) -> None:
    """Make the cells that are not there yet. rerun: make anew those that are damaged or of another configuration.

    Raises TinyDecoupleError for cells that failed, once the others are made.
    """
    jobs, starts = [], set()
    for cell in cells:
        if cell_folder(run, cell).exists():
            try:
                read_cell(cell_folder(run, cell), cell)
                continue
            except TinyDecoupleError:
                if not rerun:
                    raise
                shutil.rmtree(cell_folder(run, cell))
        start = pretrained_folder(run, cell)
        if rerun and start not in starts and start.is_dir() and not whole(start):
            shutil.rmtree(start)
        if start not in starts and not start.is_dir():
            jobs.append(Job(f"pretraining for {cell.name}", make_pretrained, (run, cell, device)))
        starts.add(start)
        jobs.append(Job(f"cell {cell.name}", run_cell, (run, cell, device), start))
    work_off(run, jobs, workers, len(cells))


def run_final(run: Path, plan: Plan, cells: list[Cell], number: int, workers: int,
              device: torch.device = CPU) -> None:
    """Read the `number`-th set of fresh keys with these cells, each arm with the bias that gives its outputs length 1.

    Raises TinyDecoupleError unless all cells of the plan are there and compare.
    """
    records = read_records(run, plan)
    jobs = [Job(f"final {cell.name}", final_cell, (run, cell, number, end_bias(plan, records, cell), device))
            for cell in cells]
    work_off(run, jobs, workers, len(jobs))


def end_bias(plan: Plan, records: dict[str, dict[str, Any]], cell: Cell) -> float:
    """The bias on the end symbol at which the mean length ratio of a cell's arm, over its seeds, is 1 on dev.

    Between two biases that were tried it is interpolated; outside of them it is the nearest.
    """
    curves = [records[replace(cell, seed=seed).name]["length_by_end_bias"] for seed in plan.seeds]
    if not curves[0]:
        return 0.0
    biases = [point["end_bias"] for point in curves[0]]
    ratios = np.mean([[point["length_ratio"] for point in curve] for curve in curves], axis=0)
    return round(float(np.interp(-1, -ratios, biases)), 3)  # ratios fall as the bias rises


def work_off(run: Path, jobs: list[Job], workers: int, total: int) -> None:
    """Run the jobs in order, `workers` at a time, with the time that is left; the first error of each is kept."""
    spawn, running, failed = multiprocessing.get_context("spawn"), [], []
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))  # of the processes to come
    logs = run / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    done = total - sum(job.call is not make_pretrained for job in jobs)
    try:
        with tqdm(total=total, initial=done, desc="cells", unit=" cells", smoothing=0.1, ncols=90) as bar:
            while jobs or running:
                for job, process, log in [entry for entry in running if not entry[1].is_alive()]:
                    running.remove((job, process, log))
                    if process.exitcode:
                        failed.append((job, last_line(log) if process.exitcode > 0 else "was killed", log))
                        start = pretrained_folder(*job.arguments[:2])
                        jobs = [j for j in jobs if not (job.call is make_pretrained and j.needs == start)]
                    elif job.call is not make_pretrained:
                        bar.update()
                while len(running) < workers and (job := next((j for j in jobs if ready(j) or not running), None)):
                    jobs.remove(job)
                    log = logs / (job.name.replace("/", "_").replace(" ", "-") + ".log")
                    process = spawn.Process(target=work, args=(job.call, job.arguments, log), daemon=True)
                    process.start()
                    running.append((job, process, log))
                time.sleep(0.1)
    finally:
        for _, process, _ in running:
            process.terminate()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    if failed:
        job, why, log = failed[0]
        others = f"; {len(failed) - 1} more failed, too" if failed[1:] else ""
        raise TinyDecoupleError(f"{job.name}: {why} (see {log}){others}")


def whole(start: Path) -> bool:
    """Whether a pretrained run can be read."""
    try:
        return bool(load_model(start, CPU))
    except TinyDecoupleError:
        return False


def ready(job: Job) -> bool:
    return job.needs is None or job.needs.is_dir()


def work(call: Callable[..., Any], arguments: tuple[Any, ...], log: Path) -> None:
    """In the new process: one thread, what it prints goes to a log."""
    torch.set_num_threads(1)
    sys.stdout = sys.stderr = open(log, "w", encoding="utf-8")  # noqa: SIM115 - it lives as long as the process
    try:
        call(*arguments)
    except TinyDecoupleError as error:
        print(error, flush=True)
        sys.exit(2)


def last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else ""
