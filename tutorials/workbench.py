"""What the tutorials share: where runs lie, the small experiment, a number printed beside what to expect, a figure.

No part of the method is here; it lies in tinydecouple/. Runs go to runs/tutorials/ beside README.md, from whatever
folder a tutorial is started in: one that is complete is used again, one that was cut off goes on.
TINYDECOUPLE_SMOKE=1, or --smoke behind a tutorial's name, goes through everything in seconds, in
runs/tutorials-smoke/, and learns nothing.

Everything computes with one thread: the arrays are so small that a second thread costs more than it gives (a
fine-tuning took 54 s with two threads and 42 s with one, on a machine with 2 cores). Where a tutorial needs several
runs that are not there yet, `together` trains them side by side, one per core.
"""

import dataclasses
import importlib.util
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
for stream in (sys.stdout, sys.stderr):  # Arabic, also on a Windows console
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(encoding="utf-8")
if importlib.util.find_spec("tinydecouple") is None:  # not installed: use the package beside this folder
    sys.path.insert(0, str(ROOT))

if Path(sys.argv[0]).name[:2].isdigit() and sys.argv[1:]:  # a tutorial, and not a notebook or a test
    if unknown := [word for word in sys.argv[1:] if word != "--smoke"]:
        print(f"tutorial: unknown argument {unknown[0]!r}; the only one is --smoke, a tiny run", file=sys.stderr)
        sys.exit(2)
    os.environ["TINYDECOUPLE_SMOKE"] = "1"

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # before NumPy and PyTorch are imported
    os.environ.setdefault(name, "1")

import torch  # noqa: E402
from hint import hint  # noqa: E402, F401   (a tutorial's wb.hint)
from tqdm import tqdm  # noqa: E402

from tinydecouple.errors import TinyDecoupleError  # noqa: E402
from tinydecouple.evaluation.score import Direction, group, leakage, mean_chrf, translate  # noqa: E402
from tinydecouple.method.states import StatesWarning  # noqa: E402
from tinydecouple.model.transformer import Transformer  # noqa: E402
from tinydecouple.options import DecoupleOptions, ModelOptions, TrainOptions  # noqa: E402
from tinydecouple.text.corpus import ParallelCorpus  # noqa: E402
from tinydecouple.text.readers import CorpusOptions, load_corpus  # noqa: E402
from tinydecouple.text.tokenizer import Tokenizer  # noqa: E402
from tinydecouple.training import pipeline  # noqa: E402
from tinydecouple.training.checkpoint import load_model  # noqa: E402

SMOKE = os.environ.get("TINYDECOUPLE_SMOKE") == "1"
RUNS = ROOT / "runs" / ("tutorials-smoke" if SMOKE else "tutorials")
CPU = torch.device("cpu")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))  # if NumPy or PyTorch was imported before this

# The small experiment: four cities instead of 25, so that a fine-tuning takes seconds. Chosen on dev, for plain.
CORPUS = CorpusOptions(varieties="rab,cai,bei,bag")
MODEL = ModelOptions(width=96, blocks=2)
PRETRAIN = TrainOptions(epochs=4, learning_rate=6e-3, batch_tokens=512)
FINETUNE = TrainOptions(epochs=3, learning_rate=9e-3, batch_tokens=512)
DECOUPLE = DecoupleOptions(refreshes=8)
ARMS = {  # arm -> what differs from decoupled fine-tuning: options of training, options of decoupling
    "plain": ({}, {"strength": 0.0}),
    "decoupled": ({}, {}),
    "deeper": ({}, {"layer": "2"}),
    "random": ({}, {"subspace": "random-from-states", "frozen": True}),
    "deeper-random": ({}, {"layer": "2", "subspace": "random-from-states", "frozen": True}),
    "normalised": ({}, {"normalised": True, "strength": 5.0}),  # force: 5 over the length of a state, at first 50
    "weighted": ({"standard_weight": 0.3}, {"strength": 0.0}),
}
SHORT = {"epochs": 1, "learning_rate": 1e-3}  # the under-trained setting of tutorial 10
ARMS |= {f"short-{arm}": (ARMS[arm][0] | SHORT, ARMS[arm][1])
         for arm in ("plain", "deeper", "deeper-random", "weighted")}
if SMOKE:
    warnings.simplefilter("ignore", StatesWarning)  # of states that have learned nothing; a full run shows them
    CORPUS = dataclasses.replace(CORPUS, keys=150, per_variety=30, trickle=5)
    MODEL = ModelOptions(vocabulary=800, width=32, blocks=2)
    PRETRAIN = FINETUNE = TrainOptions(epochs=1, learning_rate=1e-2)
    DECOUPLE = DecoupleOptions(refreshes=3, probe_states=256, probe_steps=20)


@lru_cache
def pretrained() -> Path:
    """The pretrained run that all fine-tuning starts from; made in about 20 seconds if absent."""
    def make(run: Path) -> None:
        pipeline.pretrain(run, _corpus(), pipeline.new_tokenizer(_corpus(), MODEL), CORPUS, MODEL, PRETRAIN, CPU)

    _remake("pretrained", make)
    return RUNS / "pretrained"


@lru_cache
def finetuned(arm: str, seed: int = 1) -> Path:
    """The fine-tuned run of an arm (one of ARMS); made in about 12 seconds if absent.

    The seed is that of fine-tuning: the order of batches and the probe's noise. All start from one pretrained run.
    """
    train, decouple = ARMS[arm]
    start, name = pretrained(), f"{arm}-{seed}"

    def make(run: Path) -> None:
        pipeline.finetune(run, start, _corpus(), dataclasses.replace(FINETUNE, seed=seed, **train),
                          dataclasses.replace(DECOUPLE, **decouple), CPU)

    _remake(name, make)
    return RUNS / name


def together(arms: Iterable[str], seeds: Iterable[int] = (1, 2, 3)) -> None:
    """Train the runs of these arms and seeds that are not there, side by side: one thread each, one run per core.

    What `finetuned` gives afterwards is what it would have trained itself, bit for bit.
    """
    missing = [f"{arm}-{seed}" for arm in arms for seed in seeds
               if not (RUNS / f"{arm}-{seed}" / "checkpoint.pt").exists()]
    cores = os.cpu_count() or 1
    if SMOKE or len(missing) < 2 or cores < 2:  # `finetuned` does it
        return
    pretrained()
    print(f"training {', '.join(missing)} ...", flush=True)
    with ThreadPoolExecutor(min(cores, len(missing))) as pool:
        jobs = [pool.submit(subprocess.run, [sys.executable, str(Path(__file__).resolve()), name],
                            capture_output=True, text=True, encoding="utf-8") for name in missing]
        for job in tqdm(as_completed(jobs), total=len(jobs), desc="training", unit=" runs", disable=None, leave=False):
            done = job.result()
            if done.returncode:
                pool.shutdown(wait=False, cancel_futures=True)
                told = (done.stderr.strip().splitlines() or ["no word why"])[-1]
                raise TinyDecoupleError(told.removeprefix("tutorial: "))


def progress(items: Iterable[Any], what: str) -> Iterator[Any]:
    """The items, with a bar on a terminal; for loops that take more than two seconds."""
    return iter(tqdm(items, desc=what, disable=None, leave=False))


def _remake(name: str, make: Callable[[Path], None]) -> None:
    run = RUNS / name
    if not (run / "checkpoint.pt").exists():
        print(f"training {run.name} ...", flush=True)
    try:
        make(run)
        load_model(run, CPU)
    except TinyDecoupleError as error:
        if "another process" in str(error):  # a tutorial in another window: nothing is wrong with the folder
            raise TinyDecoupleError(f"{error}; wait for it, then start the tutorial again") from None
        told = str(error).rpartition(";")[0] or str(error)  # without the remedy, which speaks of the command line
        raise TinyDecoupleError(f"{told}; delete the folder {run} and start the tutorial again") from None


def opened(run: Path) -> tuple[Transformer, Tokenizer, ParallelCorpus]:
    """Model, tokeniser and corpus of a run."""
    model, tokenizer, _ = load_model(run, CPU)
    return model, tokenizer, _corpus()


@lru_cache
def _corpus() -> ParallelCorpus:
    return load_corpus(CORPUS)


def translated(run: Path, split: str = "dev") -> list[Direction]:
    """The translations of a split in every direction, greedy."""
    model, tokenizer, corpus = opened(run)
    return translate(model, tokenizer, corpus, split, label=f"translating, {run.name}")


def scores(system: list[Direction]) -> dict[str, float]:
    """Mean chrF++ into the dialects and into the standard, and mean leakage into the dialects in percent."""
    grouped = group(system, "msa", "en")
    into = grouped["msa -> dialect"]
    return {"to dialects": mean_chrf(into), "to standard": mean_chrf(grouped["dialect -> msa"]),
            "leakage": sum(map(leakage, into)) / len(into)}


def show(name: str, value: Any, expected: float, within: float, unit: str = "") -> Any:
    """Print a number, or several that are to be alike, beside what to expect; returns it.

    tests/test_tutorials.py reads the line and compares, in a full run.
    """
    values = [float(v) for v in (value if isinstance(value, Sequence) else [value])]
    told = "smoke, nothing to expect" if SMOKE else f"{'each ' * (len(values) > 1)}expected {expected:g} ± {within:g}"
    off = not SMOKE and any(abs(v - expected) > within for v in values)
    print(f"  {name}: {', '.join(f'{v:.4g}' for v in values)}{f' {unit}' if unit else ''}   ({told})"
          f"{'  <- differs; see README.md in this folder' if off else ''}", flush=True)
    return value


def new_figure(width: float = 7, height: float = 3.5) -> Any:
    """An empty matplotlib figure, or None without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    return Figure(figsize=(width, height), layout="constrained", dpi=100, facecolor="white")


@lru_cache
def shapes_arabic() -> bool:
    """Whether this matplotlib joins Arabic letters and sets them from right to left; 3.11 does, 3.10 does not.

    Three joined letters are narrower than three that stand alone.
    """
    from matplotlib.textpath import TextPath
    joined, alone = (TextPath((0, 0), text, size=100).get_extents().width for text in ("ببب", "ب"))
    return joined < 2.5 * alone


def save(figure: Any, name: str) -> None:
    """Save a figure under runs/tutorials/figures/, and show it if this is a notebook."""
    path = RUNS / "figures" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    print(f"figure: {path}")
    if "ipykernel" in sys.modules:
        from IPython.display import Image, display
        display(Image(path))


def _one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What the learner can mend is told in one line, as by the command line."""
    if issubclass(kind, TinyDecoupleError):
        told, code = str(error), 2
    elif issubclass(kind, KeyboardInterrupt):
        told, code = "interrupted; start it again, and training goes on from its last checkpoint", 130
    else:
        sys.__excepthook__(kind, error, trace)
        return
    print(f"tutorial: {told}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(code)  # an exception hook has no other way to set the exit code


sys.excepthook = _one_line

if __name__ == "__main__":  # a process of `together`, which has made the pretrained run and is its only reader
    def pretrained() -> Path:
        return RUNS / "pretrained"

    for run_name in sys.argv[1:]:
        finetuned(*(part if i == 0 else int(part) for i, part in enumerate(run_name.rsplit("-", 1))))
