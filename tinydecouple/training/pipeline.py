"""The two kinds of run, whole: pretrain on a corpus, fine-tune from a pretrained run."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.model.transformer import ModelOptions, Transformer
from tinydecouple.text.corpus import ParallelCorpus
from tinydecouple.text.readers import CorpusOptions, load_corpus
from tinydecouple.text.tokenizer import Tokenizer, train_tokenizer
from tinydecouple.training.batches import finetuning_examples, pretraining_examples
from tinydecouple.training.checkpoint import load_model, open_run, read_config
from tinydecouple.training.decoupler import DecoupleOptions, Decoupler
from tinydecouple.training.train import TrainOptions, train

DEV_SENTENCES = 5  # a direction: enough to see the loss turn, few enough to cost a few percent of the time


def pretrain(run: Path, corpus_options: CorpusOptions, model_options: ModelOptions, options: TrainOptions,
             device: torch.device, overwrite: bool = False) -> None:
    """Train tokeniser and model on pivot and standard, with a trickle of dialects; leaves a complete run."""
    corpus = load_corpus(corpus_options)
    proto = train_tokenizer(corpus, model_options.vocabulary)
    tokenizer = Tokenizer(proto)
    sizes = {**asdict(model_options), "vocabulary": tokenizer.size}
    model = Transformer(**sizes, generator=torch.Generator().manual_seed(options.seed)).to(device)
    examples = pretraining_examples(corpus, tokenizer, "train", corpus_options.trickle, noise=corpus_options.noise,
                                    rng=np.random.default_rng(options.seed))
    dev = pretraining_examples(corpus, tokenizer, "dev", DEV_SENTENCES, most=100)
    open_run(run, {"kind": "pretrain", "corpus": asdict(corpus_options), "corpus_sha256": corpus.fingerprint,
                   "model": asdict(model_options), "train": asdict(options)}, overwrite)
    train(model, tokenizer, examples, dev, options, run, label="pretraining")


def finetune(run: Path, start: Path, options: TrainOptions, decouple: DecoupleOptions, device: torch.device,
             overwrite: bool = False) -> None:
    """Fine-tune on standard to dialect and back, from the pretrained run `start` and on its corpus.

    Strength 0 is plain fine-tuning, watched by the probe; refreshes 0 is plain fine-tuning without a probe.
    """
    if run.resolve() in (start.resolve(), *start.resolve().parents):
        raise TinyDecoupleError(f"--run {run} holds the run to start from, {start}; choose another --run")
    model, tokenizer, pretrained = load_model(start, device)
    if pretrained["kind"] != "pretrain":
        raise TinyDecoupleError(f"--from {start}: is a fine-tuned run; start from a pretrained one")
    corpus = run_corpus(start)
    decoupler = None
    if decouple.refreshes:
        decoupler = Decoupler(decouple, len(corpus.family), pretrained["model"]["width"], pretrained["model"]["blocks"])
    open_run(run, {"kind": "finetune", "corpus": pretrained["corpus"], "corpus_sha256": pretrained["corpus_sha256"],
                   "model": pretrained["model"], "pretrain": pretrained["train"], "train": asdict(options),
                   "decouple": asdict(decouple)}, overwrite)
    train(model, tokenizer, finetuning_examples(corpus, tokenizer, "train"),
          finetuning_examples(corpus, tokenizer, "dev", DEV_SENTENCES), options, run, decoupler,
          label="plain fine-tuning" if not decouple.strength else "decoupled fine-tuning")


def check(corpus: ParallelCorpus, model_options: ModelOptions, decouple: DecoupleOptions) -> None:
    """Raise at once what pretraining and fine-tuning would raise of these options later."""
    train_tokenizer(corpus, model_options.vocabulary)
    Transformer(**asdict(model_options))
    Decoupler(decouple, len(corpus.family), model_options.width, model_options.blocks)


def run_corpus(run: Path) -> ParallelCorpus:
    """The corpus that a run was trained on, with its split. Raises TinyDecoupleError if its file has changed."""
    config = read_config(run)
    options = CorpusOptions(**config["corpus"])
    corpus = load_corpus(options)
    if corpus.fingerprint != config["corpus_sha256"]:
        raise TinyDecoupleError(f"{options.corpus}: has changed since {run} was trained on it; "
                                "bring the old file back or train again with --overwrite")
    return corpus
