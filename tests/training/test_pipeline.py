"""The two kinds of run: what each hands to the training loop, which is only noted here."""

from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.options import DecoupleOptions, ModelOptions, TrainOptions
from tinydecouple.text.readers import CorpusOptions
from tinydecouple.training import pipeline
from tinydecouple.training.batches import finetuning_examples, pretraining_examples
from tinydecouple.training.checkpoint import load_model, read_config

CPU = torch.device("cpu")
SMALL = ModelOptions(width=16, blocks=2, heads=2)
OBSERVED = DecoupleOptions(layer="0,1", refreshes=3)


@pytest.fixture
def noted(monkeypatch):
    """What the training loop was called with, one entry per call; nothing is trained."""
    calls = []

    def train(model, tokenizer, examples, dev, options, run, cores=None, label="", stop=None, watcher=None):
        calls.append(SimpleNamespace(model=model, examples=examples, dev=dev, options=options, run=run, cores=cores,
                                     watcher=watcher))

    monkeypatch.setattr(pipeline, "train", train)
    return calls


def keys_of(examples):
    return {e.key for e in examples}


def test_pretraining_gets_its_noise_its_trickle_and_its_seed(corpus, tokenizer, noted, tmp_path, monkeypatch):
    plain, most = CorpusOptions("family", keys=60, per_variety=10, trickle=2), []
    monkeypatch.setattr(pipeline, "pretraining_examples", lambda *args, **settings: (
        most.append(settings.get("most")) or pretraining_examples(*args, **settings)))
    for name, options, seed in (("plain", plain, 1), ("same", plain, 1), ("noisy", replace(plain, noise=0.4), 1),
                                ("more", replace(plain, trickle=3), 1), ("other", plain, 2)):
        pipeline.pretrain(tmp_path / name, corpus, tokenizer, options, SMALL, TrainOptions(seed=seed), CPU)
    first, same, noisy, more, other = noted
    assert first.examples == same.examples == pretraining_examples(corpus, tokenizer, "train", 2)
    assert sum(len(e.tokens) for e in noisy.examples) < sum(len(e.tokens) for e in first.examples), \
        "noise leaves nothing out"
    assert noisy.dev == first.dev, "dev is read without noise, so that runs compare"
    assert len(more.examples) == len(first.examples) + 2 * len(corpus.dialects)
    assert most == [None, 100] * 5, "dev is capped, or each check takes long; training sees every sentence"
    assert keys_of(first.dev) <= set(corpus.keys("dev")) and keys_of(first.examples) <= set(corpus.keys("train"))
    weights = [call.model.embedding.weight for call in noted]
    assert torch.equal(weights[0], weights[1]), "the same seed gives other initial weights"
    assert not torch.equal(weights[0], weights[4]), "the seed does not reach the initial weights"


def test_finetuning_starts_from_its_start_and_watches_dev(runs, noted, tmp_path):
    start = runs / "pretrained"
    corpus, options = pipeline.run_corpus(start), TrainOptions(epochs=5)
    pipeline.finetune(tmp_path / "run", start, corpus, options, OBSERVED, CPU)
    pipeline.finetune(tmp_path / "bare", start, corpus, options, replace(OBSERVED, refreshes=0), CPU)
    call, bare = noted
    model, tokenizer, _ = load_model(start, CPU)
    assert torch.equal(call.model.embedding.weight, model.embedding.weight), "not the weights of the run to start from"
    assert call.examples == finetuning_examples(corpus, tokenizer, "train")
    assert call.dev and keys_of(call.dev) <= set(corpus.keys("dev")), "the loss that is watched is not that of dev"
    assert (call.run, call.options) == (tmp_path / "run", options)
    assert list(call.cores) == [0, 1] and bare.cores == {}
    assert call.watcher.layers == (0, 1) and bare.watcher is None, "a run without a probe has nothing to watch"
    assert all(core.options == OBSERVED for core in call.cores.values())
    config = read_config(tmp_path / "run")
    assert config["train"] == asdict(options) and config["decouple"] == asdict(OBSERVED)


def test_classes_of_the_probe(corpus):
    """One against the rest has two classes, whatever the family; all varieties have one each."""
    for labels, expected in (("one-vs-rest", 2), ("all-varieties", 26)):
        (core,) = pipeline.decouplers(DecoupleOptions(labels=labels), len(corpus.family), SMALL).values()
        assert core.classes == expected, f"{labels}: {core.classes} classes, expected {expected}"


@pytest.mark.parametrize("corpus, sha, same", [
    ({}, "a", True), ({"noise": 0.3, "trickle": 9}, "a", True), ({"per_variety": 9}, "a", False), ({}, "b", False)])
def test_which_runs_saw_the_same_corpus(corpus, sha, same):
    """Noise and trickle choose among the same texts; other texts, or another choice of them, do not compare."""
    options = asdict(CorpusOptions("family"))
    one, two = {"corpus": options, "corpus_sha256": "a"}, {"corpus": {**options, **corpus}, "corpus_sha256": sha}
    assert pipeline.same_corpus(one, two) == pipeline.same_corpus(two, one) == same


def test_a_run_is_refused_as_its_own_start(runs, corpus, noted, tmp_path):
    with pytest.raises(TinyDecoupleError, match="holds the run to start from"):
        pipeline.finetune(runs, runs / "pretrained", corpus, TrainOptions(), OBSERVED, CPU, overwrite=True)
    assert noted == []
