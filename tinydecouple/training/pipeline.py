"""The two kinds of run, from end to end: pretrain on a corpus, fine-tune a pretrained model."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import real
from tinydecouple.model.transformer import Transformer
from tinydecouple.options import DecoupleOptions, ModelOptions, TrainOptions
from tinydecouple.text.corpus import ParallelCorpus
from tinydecouple.text.readers import CorpusOptions, load_corpus, region_of
from tinydecouple.text.tokenizer import Tokenizer, train_tokenizer
from tinydecouple.training.batches import finetuning_examples, from_sisters, pretraining_examples
from tinydecouple.training.checkpoint import load_config, load_model, open_run
from tinydecouple.training.decoupler import Decoupler, class_count
from tinydecouple.training.gather import parse_layers
from tinydecouple.training.record import weights_sha256
from tinydecouple.training.schedule import SISTERS
from tinydecouple.training.train import train
from tinydecouple.training.watching import Watcher

DEV_SENTENCES = 5  # per direction: enough to see the loss turn, for a few percent of the time


def pretrain(run: Path, corpus: ParallelCorpus, tokenizer: Tokenizer,
             corpus_options: CorpusOptions, model_options: ModelOptions, options: TrainOptions,
             device: torch.device, overwrite: bool = False) -> None:
    """Train a model on pivot and standard, with a trickle of dialects; leaves a complete run.

    corpus: the one that corpus_options name, already read.  tokenizer: trained on it by
    new_tokenizer.
    """
    if options.sisters:
        raise TinyDecoupleError("`sisters` is of fine-tuning: dialects are not yet learned here")
    tokenizer = Tokenizer(tokenizer.proto, options.source_tag)
    sizes = {**asdict(model_options), "vocabulary": tokenizer.size}
    model = Transformer(**sizes, generator=torch.Generator().manual_seed(options.seed)).to(device)
    examples = pretraining_examples(corpus, tokenizer, "train", corpus_options.trickle,
                                    noise=corpus_options.noise,
                                    rng=np.random.default_rng(options.seed))
    dev = pretraining_examples(corpus, tokenizer, "dev", DEV_SENTENCES, most=100)
    config = {"kind": "pretrain", "corpus": asdict(corpus_options),
              "corpus_sha256": corpus.fingerprint, "model": asdict(model_options),
              "train": asdict(options)}
    with open_run(run, config, overwrite):
        train(model, tokenizer, examples, dev, options, run, label="pretraining")


def finetune(run: Path, start: Path, corpus: ParallelCorpus, options: TrainOptions,
             decouple: DecoupleOptions, device: torch.device, overwrite: bool = False,
             label: str = "fine-tuning", stop: int | None = None) -> None:
    """Fine-tune on standard to dialect and back, from the pretrained run `start`.

    corpus: the one that `start` was trained on. With strength 0 the probe only observes; with
    refreshes 0 there is no probe. stop: as in train. Raises TinyDecoupleError if `run` holds
    `start`, or `start` is no pretrained run.
    """
    place = real(start)
    if real(run) in (place, *place.parents):
        raise TinyDecoupleError(
            f"`run` {run} holds the run to start from, {start}; choose another `run`")
    model, tokenizer, pretrained = load_model(start, device)
    if pretrained["kind"] != "pretrain":
        raise TinyDecoupleError(f"{start}: is a fine-tuned run; start from a pretrained one")
    tokenizer.source_tag = options.source_tag
    cores = decouplers(decouple, len(corpus.family), ModelOptions(**pretrained["model"]))
    config = {"kind": "finetune", "corpus": pretrained["corpus"],
              "corpus_sha256": pretrained["corpus_sha256"], "model": pretrained["model"],
              "pretrain": pretrained["train"],
              "start_sha256": weights_sha256(model.state_dict()), "train": asdict(options),
              "decouple": asdict(decouple)}
    with open_run(run, config, overwrite):
        examples = finetuning_examples(corpus, tokenizer, "train")
        if options.sisters:
            named = CorpusOptions(**pretrained["corpus"])
            region = {v: region_of(named, corpus.standard, v) for v in corpus.dialects}
            rng = np.random.default_rng([options.seed, SISTERS])
            examples = from_sisters(examples, corpus, tokenizer, region, options.sisters, rng)
        dev = finetuning_examples(corpus, tokenizer, "dev", DEV_SENTENCES)
        watcher = Watcher(dev, tokenizer, cores) if cores else None
        train(model, tokenizer, examples, dev, options, run, cores, label, stop, watcher)


def new_tokenizer(corpus: ParallelCorpus, model_options: ModelOptions) -> Tokenizer:
    """A tokeniser for a run to be pretrained, trained on its corpus."""
    return Tokenizer(train_tokenizer(corpus, model_options.vocabulary))


def decouplers(options: DecoupleOptions, varieties: int,
               model: ModelOptions) -> dict[int, Decoupler]:
    """Layer -> a decoupler of its own, for each layer in the options; empty with 0 refreshes.

    varieties: how many the family has. Raises TinyDecoupleError for layers that the model lacks and
    for options that a decoupler refuses.
    """
    layers = parse_layers(options.layer, model.blocks)
    if options.one >= varieties:
        raise TinyDecoupleError(f"`one` {options.one}: the family has varieties 0 to "
                                f"{varieties - 1}")
    classes = class_count(options, varieties)
    cores = {layer: Decoupler(options, classes, model.width, varieties) for layer in layers}
    return cores if options.refreshes else {}


def run_corpus(run: Path) -> ParallelCorpus:
    """The corpus that a run was trained on, with its split.

    Raises TinyDecoupleError if its files have changed since.
    """
    config = load_config(run)
    if "corpus" not in config:
        raise TinyDecoupleError(f"{run}: has no corpus of its own; name a folder within it")
    options = CorpusOptions(**config["corpus"])
    corpus = load_corpus(options)
    if corpus.fingerprint != config["corpus_sha256"]:
        raise TinyDecoupleError(f"{options.corpus}: has changed since {run} was trained on it; "
                                "bring the old files back or train again with `overwrite`")
    return corpus


def same_corpus(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two runs' configurations name the same texts in the same split.

    Noise, trickle and the seed that subsamples may differ: they only choose which of the texts are
    trained on.
    """
    used = [{name: value for name, value in config.get("corpus", {}).items()
             if name not in ("noise", "trickle", "sample_seed")} for config in (first, second)]
    return used[0] == used[1] and first.get("corpus_sha256") == second.get("corpus_sha256")
