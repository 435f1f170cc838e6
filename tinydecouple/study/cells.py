"""One cell of a study: a condition fine-tuned from its seed's pretrained run, translated and scored, in its own folder.

RUN/
  pretrained/HASH/             the run that all conditions of a setting and a seed start from
  cells/SETTING/CONDITION/SEED/
    config.json, log.jsonl, checkpoint.pt    the fine-tuned run
    cell.json                  configuration, scores, probes, seconds, versions, processor, checksums of the rest
    dev.npz, dev.tsv.gz        counts per sentence (measures.sentences), and the translations
    final-1/, final-2/         final.json and counts on the first and the second fresh 600 keys, once they are read
  unfinished/                  where cells are made, before they are renamed
"""

import gzip
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tinydecouple.evaluation import report
from tinydecouple.evaluation.probe_report import States, gather_states
from tinydecouple.evaluation.score import Direction, directions, mean_chrf, translate
from tinydecouple.files import locked
from tinydecouple.model.decode import Contrasted
from tinydecouple.model.transformer import Transformer
from tinydecouple.options import FORWARD, DecoupleOptions, ModelOptions, TrainOptions
from tinydecouple.study.conditions import Arm, apply
from tinydecouple.study.measures import Judge, judge, length_ratio, manipulation, scores, sentences
from tinydecouple.study.plan import Cell
from tinydecouple.study.records import (
    CPU,
    cell_folder,
    pretrained_folder,
    published,
    read_cell,
    read_checked,
    write_record,
)
from tinydecouple.text.corpus import ParallelCorpus
from tinydecouple.text.fresh import fresh_corpus
from tinydecouple.text.readers import load_corpus
from tinydecouple.text.tokenizer import Tokenizer
from tinydecouple.training.checkpoint import BEFORE, load_checkpoint, load_model
from tinydecouple.training.decoupler import Decoupler
from tinydecouple.training.gather import parse_layers
from tinydecouple.training.interventions import editing
from tinydecouple.training.pipeline import decouplers, finetune, new_tokenizer, pretrain

LENGTH_KEYS = 100  # keys whose outputs' length is measured at each bias on the end symbol


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


def make_pretrained(run: Path, cell: Cell, device: torch.device = CPU) -> Path:
    """The pretrained run of a cell, made unless it is there."""
    folder = pretrained_folder(run, cell)
    if not folder.is_dir():
        corpus = load_corpus(cell.corpus)
        with published(run, folder) as work:
            tokenizer = new_tokenizer(corpus, cell.setting.model)
            pretrain(work, corpus, tokenizer, cell.corpus, cell.setting.model, cell.pretrain, device)
    return folder


def run_cell(run: Path, cell: Cell, device: torch.device = CPU) -> None:
    """Make a cell, unless it is there. Raises TinyDecoupleError if what is there is damaged or of another plan."""
    folder = cell_folder(run, cell)
    if folder.exists():
        read_cell(folder, cell)
        return
    start = make_pretrained(run, cell, device)
    corpus = load_corpus(cell.corpus)
    train, decouple = cell.options
    seconds = {}
    with published(run, folder) as work:
        with timed(seconds, "training"):
            finetune(work, start, corpus, train, decouple, device)
        trained = load_cell(work, len(corpus.family), device)
        tokenizer = trained.tokenizer
        with timed(seconds, "translating"):
            system = trained.translate(corpus, "dev", cell.setting.beam)
        by = judge(cell.corpus)
        write_sentences(work, "dev", system, corpus, tokenizer, by)
        with timed(seconds, "length"):
            lengths = length_curve(trained, corpus, cell)
        with timed(seconds, "probing"):
            probes = probe_states(start, work, corpus, cell, device)
        steps = load_checkpoint(work)["step"]
        (work / BEFORE).unlink(missing_ok=True)  # three times the size of what is needed
        write_record(work / "cell.json", {
            "cell": cell.name, "why": cell.arm.why, "configuration": cell.configuration(),
            "corpus_sha256": corpus.fingerprint, "scores": scores(system, corpus, tokenizer, by),
            "length_by_end_bias": lengths, "probes": probes, "steps": steps, "seconds": seconds}, device)


def final_cell(run: Path, cell: Cell, number: int, end_bias: float, device: torch.device = CPU) -> None:
    """Translate the `number`-th set of fresh keys with a cell's model, with and without a bias on the end symbol."""
    folder = cell_folder(run, cell)
    record = read_cell(folder, cell)
    if (folder / f"final-{number}").is_dir():
        read_checked(folder / f"final-{number}" / "final.json", cell)
        return
    corpus = fresh_corpus(load_corpus(cell.corpus), cell.corpus, number)
    trained = load_cell(folder, len(corpus.family), device)
    tokenizer = trained.tokenizer
    seconds: dict[str, float] = {}
    with published(run, folder / f"final-{number}") as work:
        with timed(seconds, "translating"):
            system = trained.translate(corpus, "test", cell.setting.beam)
        into = [(corpus.standard, dialect) for dialect in corpus.dialects]
        controlled = trained.translate(corpus, "test", cell.setting.beam, into, end_bias=end_bias)
        by = judge(cell.corpus, corpus)
        write_sentences(work, "test", system, corpus, tokenizer, by)
        write_sentences(work, "length", controlled, corpus, tokenizer, by)
        write_record(work / "final.json", {
            "cell": cell.name, "configuration": record["configuration"], "corpus_sha256": corpus.fingerprint,
            "set": number, "end_bias": end_bias, "scores": scores(system, corpus, tokenizer, by),
            "length_controlled": scores(controlled, corpus, tokenizer, by), "seconds": seconds}, device)


@dataclass(frozen=True)
class Trained:
    """A cell's model, with the decouplers that edit its states when it translates: layer -> decoupler."""

    model: Transformer
    tokenizer: Tokenizer
    cores: dict[int, Decoupler]
    decouple: DecoupleOptions

    def translate(self, corpus: ParallelCorpus, split: str, beam: int, pairs: Sequence[tuple[str, str]] | None = None,
                  **told: Any) -> list[Direction]:
        """As score.translate."""
        pairs = directions(corpus) if pairs is None else pairs
        alike: dict[tuple[Any, ...], list[tuple[str, str]]] = {}  # pairs that are decoded in one way
        for pair in pairs:
            alike.setdefault(self.way(pair[1], corpus), []).append(pair)
        done = []
        for (variety, contrasted), some in alike.items():
            model = Contrasted(self.model, self.tokenizer.tag(corpus.standard), self.decouple.contrast,
                               self.decouple.plausible) if contrasted else self.model
            edits = {} if variety is None else {layer: core.edits(np.array([[variety]]))
                                                for layer, core in self.cores.items()}
            with editing(self.model, edits):
                done += translate(model, self.tokenizer, corpus, split, beam, pairs=some, **told)
        place = {pair: i for i, pair in enumerate(pairs)}
        return sorted(done, key=lambda d: place[d.source, d.target])

    def way(self, target: str, corpus: ParallelCorpus) -> tuple[int | None, bool]:
        """How a target is decoded: the variety whose edits are made, or None, and whether it is contrasted.

        Only adapters differ from one variety to the other.
        """
        whose = {"all": corpus.family, "standard": (corpus.standard,), "dialects": corpus.dialects}
        edited = bool(self.cores) and target in whose[self.decouple.penalised]
        of = corpus.family.index(target) if edited and self.decouple.form == "adapter" else 0
        return of if edited else None, bool(self.decouple.contrast) and target in corpus.dialects


def load_cell(folder: Path, varieties: int, device: torch.device) -> Trained:
    """varieties: how many the family has."""
    model, tokenizer, config = load_model(folder, device, unedited=True)
    decouple = DecoupleOptions(**config["decouple"])
    cores = decouplers(decouple, varieties, ModelOptions(**config["model"]))
    for layer, state in load_checkpoint(folder)["decouplers"].items():
        cores[layer].restore(state)
    return Trained(model, tokenizer, cores if decouple.form in FORWARD else {}, decouple)


@contextmanager
def timed(seconds: dict[str, float], what: str) -> Generator[None, None, None]:
    """Seconds of the processor, which other work on the machine hardly changes."""
    started = time.process_time()
    yield
    seconds[what] = round(time.process_time() - started, 2)


def length_curve(trained: Trained, corpus: ParallelCorpus, cell: Cell) -> list[dict[str, float]]:
    """Length ratio and chrF++ into dialects on the first dev keys, at 0 and at each bias on the end symbol."""
    into = [(corpus.standard, dialect) for dialect in corpus.dialects]
    curve = []
    for bias in sorted({0.0, *cell.setting.end_biases}) if cell.setting.end_biases else ():
        system = trained.translate(corpus, "dev", cell.setting.beam, into, end_bias=bias, most=LENGTH_KEYS)
        curve.append({"end_bias": bias, "length_ratio": length_ratio(system, trained.tokenizer),
                      "chrf++": mean_chrf(system)})
    return curve


def probe_states(start: Path, work: Path, corpus: ParallelCorpus, cell: Cell,
                 device: torch.device) -> dict[str, dict[str, float]]:
    """Probes of the states of dev sentences, before any edit, at the layers of the cell and of its setting."""
    def states(folder: Path) -> States:
        model, tokenizer, _ = load_model(folder, device, unedited=True)
        tokenizer.source_tag = cell.options[0].source_tag
        return gather_states(model, tokenizer, corpus, "dev", cell.setting.probe_states,
                             np.random.default_rng([cell.seed, 0]))

    blocks = cell.setting.model.blocks
    layers = {layer for options in (cell.setting.decouple, cell.options[1])
              for layer in parse_layers(options.layer, blocks)}
    kept = load_checkpoint(work)["decouplers"]
    penalised = {layer: state["basis"].numpy() for layer, state in kept.items()}
    return manipulation(states(start), states(work), tuple(sorted(layers)), penalised,
                        np.random.default_rng([cell.seed, 1]))


def write_sentences(folder: Path, split: str, system: list[Direction], corpus: ParallelCorpus, tokenizer: Tokenizer,
                    by: Judge) -> None:
    """SPLIT.npz, counts per sentence, and SPLIT.tsv.gz, the translations."""
    np.savez_compressed(folder / f"{split}.npz", **sentences(system, corpus, tokenizer, by))
    report.write_translations(folder, system)
    text = (folder / "translations.tsv").read_bytes()
    (folder / "translations.tsv").unlink()
    (folder / f"{split}.tsv.gz").write_bytes(gzip.compress(text, mtime=0))


