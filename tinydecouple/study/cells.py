"""One cell of a study: an arm fine-tuned from a pretrained run, translated and scored, in a folder of its own."""

from collections.abc import Callable
from pathlib import Path

import torch

from tinydecouple.evaluation import report
from tinydecouple.evaluation.score import Direction, translate
from tinydecouple.files import locked
from tinydecouple.options import DecoupleOptions, TrainOptions
from tinydecouple.study.conditions import Arm, apply
from tinydecouple.text.corpus import ParallelCorpus
from tinydecouple.training.checkpoint import load_model
from tinydecouple.training.pipeline import finetune


def train_arms(folder: Path, arms: tuple[Arm, ...], start: Path, corpus: ParallelCorpus, options: TrainOptions,
               decouple: DecoupleOptions, device: torch.device, say: Callable[[str], None]) -> dict[str, Path]:
    """Fine-tune every arm from `start`, in `folder`/NAME; returns name -> run directory."""
    runs = {arm.name: folder / arm.name for arm in arms}
    for arm in arms:
        ours = apply(arm, options, decouple)
        say(f"{arm.name}: {arm.why}")
        finetune(runs[arm.name], start, corpus, *ours, device, label=f"fine-tuning, {arm.name}")
    return runs


def score_run(run: Path, corpus: ParallelCorpus, split: str, beam: int, device: torch.device) -> list[Direction]:
    """Translate a split and leave translations.tsv and scores.json in a folder of the run named after it."""
    model, tokenizer, _ = load_model(run, device)
    with locked(run / split):
        system = translate(model, tokenizer, corpus, split, beam, label=f"translating, {run.name}")
        report.write_translations(run / split, system)
        report.write_scores(run / split, system, corpus, {"split": split, "beam": beam})
    return system
