"""A run made again from its configuration alone, and where the two differ."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tinydecouple.options import DecoupleOptions, ModelOptions, TrainOptions
from tinydecouple.study.cells import train_arms
from tinydecouple.study.conditions import Arm
from tinydecouple.text.readers import CorpusOptions
from tinydecouple.training import validate
from tinydecouple.training.checkpoint import load_config, load_model, open_run
from tinydecouple.training.pipeline import finetune, new_tokenizer, pretrain, run_corpus
from tinydecouple.training.record import changes, machine, sessions

CPU = torch.device("cpu")
PRETRAINED, FINETUNED = "pretrained", "finetuned"  # a demo has the first, too


@dataclass(frozen=True)
class Found:
    """What became of one run: its folder, that of the rerun, and each difference in a line; none if identical."""

    run: Path
    again: Path
    weights: int
    records: int
    differences: tuple[str, ...]


def parts(run: Path) -> dict[str, Path]:
    """The trained runs that a rerun of `run` makes again: folder within the rerun -> the original.

    Raises TinyDecoupleError if one is missing, damaged or not complete.
    """
    config = load_config(run)
    if config["kind"] == "demo":
        found = {name: run / name for name in (PRETRAINED, *(arm["name"] for arm in config["arms"]))}
    else:
        found = {PRETRAINED if config["kind"] == "pretrain" else FINETUNED: run}
    for original in found.values():
        load_model(original, CPU)
        read_records(original)
    return found


def rerun(run: Path, folder: Path, device: torch.device, say: Callable[[str], None]) -> dict[str, Path]:
    """Train again, into `folder`, what `run` holds; returns the originals by the names of their reruns there.

    run: pretrained, fine-tuned (what it started from is pretrained again, too) or a demo's. A rerun that was cut off
    goes on. Raises TinyDecoupleError if the corpus has changed since, or `folder` holds something else.
    """
    originals, config, corpus = parts(run), load_config(run), run_corpus(run)
    with open_run(folder, {"kind": "rerun", "of": config}, overwrite=False):
        corpus_options, model_options = CorpusOptions(**config["corpus"]), ModelOptions(**config["model"])
        first = TrainOptions(**config["train" if config["kind"] == "pretrain" else "pretrain"])
        start = folder / PRETRAINED
        say(f"{start}: pretraining")
        pretrain(start, corpus, new_tokenizer(corpus, model_options), corpus_options, model_options, first, device)
        if config["kind"] != "pretrain":
            options = TrainOptions(**config["train"]), DecoupleOptions(**config["decouple"])
            if config["kind"] == "demo":
                arms = tuple(Arm(**arm) for arm in config["arms"])
                train_arms(folder, arms, start, corpus, *options, device, say)
            else:
                say(f"{folder / FINETUNED}: fine-tuning")
                finetune(folder / FINETUNED, start, corpus, *options, device)
    return originals


def compare(run: Path, again: Path) -> Found:
    """Weights bit for bit, tokeniser, and the log without seconds; if they differ, what of the machine does."""
    (model, tokenizer, config), (other, pieces, copied) = load_model(run, CPU), load_model(again, CPU)
    ours, theirs = model.state_dict(), other.state_dict()
    logs = [read_records(folder) for folder in (run, again)]
    found = ["tokeniser: another"] * (tokenizer.proto != pieces.proto)
    found += ["start: fine-tuned from other weights than those that its configuration pretrains"
              ] * (config.get("start_sha256") != copied.get("start_sha256"))
    found += weight_differences(ours, theirs)
    found += [f"log: {line}" for line in log_difference(*([r for r in log if "session" not in r] for log in logs))]
    if found:
        found += machine_differences(*(sessions(log) for log in logs))
    return Found(run, again, sum(w.numel() for w in ours.values()),
                 sum("session" not in record for record in logs[0]), tuple(found))


def read_records(run: Path) -> list[dict[str, Any]]:
    """The log of a run, checked."""
    return validate.read_records(run / "log.jsonl")


def weight_differences(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> list[str]:
    """A line for the weights, or none if all bits agree."""
    if {name: w.shape for name, w in ours.items()} != {name: w.shape for name, w in theirs.items()}:
        return ["weights: of other names or shapes"]
    bits = {name: w.contiguous().view(torch.uint8) == theirs[name].contiguous().view(torch.uint8)
            for name, w in ours.items()}
    other = [name for name, same in bits.items() if not bool(same.all())]
    if not other:
        return []
    most = max((ours[name] - theirs[name]).abs().max().item() for name in other)
    return [f"weights: {len(other)} of {len(ours)} tensors differ, {other[0]} first, by at most {most:.2g}"]


def log_difference(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[str]:
    """A line for the first record, of two logs without their sessions, that differs; seconds do not count."""
    for one, two in zip_longest(ours, theirs, fillvalue={}):
        for name in {**one, **two}:
            if name != "seconds" and one.get(name) != two.get(name):
                at = one.get("step", two.get("step"))
                return [f"from step {at} on: {name} {one.get(name)} then, {two.get(name)} now"]
    return []


def machine_differences(then: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[str]:
    """A line for what differs between the sessions of the original and this process."""
    if not then:
        return ["machine: the run has no record of what computed it"]
    here = now[-1] if now else machine(CPU)
    found = {line for record in then for line in (f"{name} {a} then, {b} now" for name, (a, b) in
                                                   changes(record, here).items())}
    return [f"machine: {'; '.join(sorted(found)) or 'nothing recorded differs'}"]
