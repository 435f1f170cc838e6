"""The numbers in the hints of tutorials 1 to 6: each is computed here and compared with the hint's own text."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tinydecouple.evaluation.probe_report import gather_states
from tinydecouple.method import codelength as cl
from tinydecouple.method import probe as vp
from tinydecouple.method.planted import plant
from tinydecouple.method.states import standardise
from tinydecouple.model.transformer_numpy import rms_norm
from tinydecouple.text.corpus import subsample
from tinydecouple.text.corpus_stats import distances
from tinydecouple.text.readers import CorpusOptions, load_corpus
from tinydecouple.text.splits import HUB
from tinydecouple.text.tokenizer import Tokenizer, train_tokenizer

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tutorials"))
from hint import main, read  # noqa: E402

sys.path.remove(str(ROOT / "tutorials"))
NUMBER = r"(\d[\d,]*(?:\.\d+)?(?:e-\d+)?)"


def hints(tutorial):
    """number -> the answer to that exercise of a tutorial, in one line."""
    return lambda number: " ".join(read()[f"{tutorial}.{number}"].split())


def said(text, *pattern):
    """The numbers that stand in the hint where the pattern has #; fails if the sentence is no longer there."""
    found = re.search(re.escape(pattern[0]).replace(r"\#", NUMBER), text)
    assert found, f"the hint no longer says {pattern[0]!r}:\n{text}\nchange this test with it"
    return [float(group.replace(",", "")) for group in found.groups()]


def agree(hinted, computed, within, what):
    assert abs(hinted - computed) <= within, \
        f"{what}: the hint says {hinted:g}, computed {computed:.4g} (± {within:g}); has the corpus or probe changed?"


@pytest.fixture(scope="module")
def planted():
    """The planted states of tutorial 5: 4 useful, 12 useless and 4 silent features."""
    rng = np.random.default_rng(0)
    states = plant(4000, 4, 3, 2.0, rng)
    return np.hstack((states.h, rng.normal(size=(4000, 12)), np.zeros((4000, 4)))), states.y


def bits(probe, h, y):
    return sum(cl.variational_bits(probe, h, y, np.random.default_rng(9))) / len(y)


def test_1_chrf_of_unrelated_texts_and_of_two_scripts():
    from sacrebleu.metrics import CHRF

    text = hints(1)(2)
    corpus = load_corpus(CorpusOptions(keys=600, varieties="rab"))
    msa = corpus.column("msa", list(corpus.texts)[:300])
    agree(*said(text, "another key: #, as"), CHRF().corpus_score(msa, [msa[1:] + msa[:1]]).score, 1, "another key")
    assert distances(corpus, 100)[0, 1] < said(text, "English against msa: below #,")[0], "English against msa"
    family = load_corpus(CorpusOptions("family", keys=100, overlap=0, varieties="a1,b1,c1,d1,e1,f1"))
    agree(*said(text, "it lies near #, and"), distances(family)[1, 2:].mean(), 1.5, "the family at overlap 0")


def test_1_the_hub_limit():
    assert HUB == 3 and "more than three keys joins nothing" in hints(1)(3)


@pytest.mark.slow
def test_2_a_larger_vocabulary_does_not_close_the_gap():
    corpus = load_corpus(CorpusOptions(varieties="rab,cai,bei,bag"))
    whole = load_corpus(CorpusOptions(varieties="rab,cai,bei,bag", per_variety=3000))
    trickle = subsample(whole, 20, seed=1)

    def per_word(texts, size):
        tokenizer, found = Tokenizer(train_tokenizer(texts, size)), {}
        for v in corpus.varieties:
            column = corpus.column(v, corpus.keys("dev", v))
            found[v] = sum(map(len, tokenizer.encode(column))) / sum(len(text.split()) for text in column)
        return found

    gap, = said(hints(2)(2), "the gap of # pieces per word")
    for size in (1000, 4000):
        found = per_word(trickle, size)
        agree(gap, np.mean([found[v] for v in corpus.dialects]) - found["msa"], 0.1, f"trickle, vocabulary {size}")
    script = next((ROOT / "tutorials").glob("02_*.py")).read_text(encoding="utf-8")
    equal, less = said(script, "needs # pieces per word in *equal* and # in")
    agree(equal, per_word(whole, 4000)["en"], 0.02, "English in equal")
    agree(less, found["en"], 0.02, "English in trickle")


def test_3_where_epsilon_begins_to_matter():
    text = hints(3)(1)
    for pattern, epsilon in (("96 * #) = #, in", 2.0**-52), ("in single above sqrt(96 * #) = #.", 2.0**-23)):
        precision, length = said(text, pattern)
        agree(precision, epsilon, 0.02 * epsilon, "epsilon")
        agree(length, np.sqrt(96 * epsilon), 0.15 * length, "the length at which epsilon counts as much")
    length, shrunk = said(text, "Length # becomes #.")
    agree(shrunk, length * 1e-6, 0.05 * shrunk, "a millionth of a state's length")
    h = np.random.default_rng(0).normal(size=96)
    h *= length / np.linalg.norm(h)
    for dtype, limit in ((np.float64, said(text, "In double precision to about #, in")[0]), (np.float32, None)):
        one = np.ones(96, dtype)
        whole, tiny = (rms_norm((scale * h).astype(dtype), one) for scale in (1, 1e-6))
        error = np.abs(tiny / whole - 1).max()
        if limit:
            agree(limit, error, 0.2 * limit, "relative change of norm(h) in double precision")
        else:
            assert error > 0.5, f"in single precision norm(h) changes by a share of {error:.2f} only"


def test_5_states_until_a_useless_feature_is_known():
    rng = np.random.default_rng(0)
    n = int(said(hints(5)(1), "n > #.")[0])
    assert n == 4 * (100 - 1), "1 + n/4 = 100"
    h, y = rng.normal(size=(n, 4)), rng.integers(2, size=n)
    probe = vp.fit(vp.new_probe(2, 4), h, y, rng)
    agree(0.1, np.exp(probe.parameters["log_sigma2"][:, :-1] / 2).mean(), 0.008, f"sigma at {n} states")


def test_5_a_code_length_belongs_to_a_scale(planted):
    h, y = planted
    text = hints(5)(2)
    one, ten = (bits(vp.fit(vp.new_probe(3, 20), a * h, y, np.random.default_rng(1)), a * h, y) for a in (1, 10))
    rise, = said(text, "rises by # bits")
    agree(rise, ten - one, 0.006, "L/n at ten times the scale less L/n")
    weights, = said(text, "each of the # weights")
    assert weights == 3 * 16, "three classes, 4 useful and 12 useless features"
    agree(rise, weights * np.log(10) / np.log(2) / 4000, 0.005, "the cost by the formula")


def test_5_the_start_of_a_probe(planted):
    h, y = planted
    slow, usual, end = said(hints(5)(3), "after 20 steps L/n is # bits instead of #, after 600 it is # from either")

    def after(start, steps):
        probe = vp.new_probe(3, 20)
        if start is not None:  # else it starts as the package has it
            probe.parameters["log_sigma2"][:] = start
        return bits(vp.fit(probe, h, y, np.random.default_rng(1), steps), h, y)

    agree(slow, after(0, 20), 0.1, "20 steps from sigma = 1")
    agree(usual, after(None, 20), 0.03, "20 steps from the package's start")
    for start in (0, None):
        agree(end, after(start, 600), 0.01, f"600 steps from log_sigma2 = {start or 'the usual'}")
    length = np.sqrt((vp.with_one(h)**2).sum(axis=1)).mean()  # the spread of a logit at sigma = 1
    assert length > said(hints(5)(3), "standard deviation above #")[0]


@pytest.mark.slow
def test_4_one_epoch_instead_of_three(layer_1, monkeypatch):
    """Trains the run of exercise 1, about 12 seconds; layer_1 skips where the run with three epochs is missing."""
    assert "falls by more than twenty points, and leakage more than doubles" in hints(4)(1)
    monkeypatch.syspath_prepend(str(ROOT / "tutorials"))
    import workbench as wb

    monkeypatch.setitem(wb.ARMS, "short", ({"epochs": 1}, {"strength": 0.0}))
    three, one = (wb.scores(wb.translated(wb.finetuned(arm, 1))) for arm in ("plain", "short"))
    assert three["to dialects"] - one["to dialects"] > 20, (three, one)
    assert one["leakage"] > 2 * three["leakage"], (three, one)


@pytest.fixture(scope="module")
def layer_1():
    """15,000 states of layer 1 of the tutorials' plain run, which a full run of tutorial 4 leaves behind."""
    if not (ROOT / "runs" / "tutorials" / "plain-1" / "checkpoint.pt").exists():
        pytest.skip("no trained run: start tutorials/04_plain_finetuning.py first")

    from tinydecouple.training.checkpoint import load_model

    model, tokenizer, _ = load_model(ROOT / "runs" / "tutorials" / "plain-1", torch.device("cpu"))
    corpus = load_corpus(CorpusOptions(varieties="rab,cai,bei,bag"))
    states = gather_states(model, tokenizer, corpus, "train", 3000, np.random.default_rng(0))
    return standardise(states.h[1])[0], states.y, states.keys


def code(h, y):
    return bits(vp.fit(vp.new_probe(2, h.shape[1], dtype=h.dtype), h, y, np.random.default_rng(1), 800), h, y)


@pytest.mark.slow
def test_6_whitening_hardly_shortens_the_code(layer_1):
    h, y = layer_1[0], np.minimum(layer_1[1], 1)
    text = hints(6)(1)
    spread, axes = np.linalg.eigh(np.cov(h.T))
    white = ((h - h.mean(axis=0)) @ axes / np.sqrt(spread)).astype(h.dtype)
    usual, least, most = said(text, "its # bits per state fall by # to #")
    plain = code(h, y)
    agree(usual, plain, 0.06, "layer 1")
    agree((least + most) / 2, plain - code(white, y), 0.015, "what whitening saves")


@pytest.mark.slow
def test_6_the_null_at_2_000_and_15_000_states(layer_1):
    h, y = layer_1[0], np.minimum(layer_1[1], 1)
    null_few, null_many = said(hints(6)(3), "These cost # bits per state at 2,000 states and # at")
    few, many = said(hints(6)(3), "the true labels # and #:")
    saved, = said(hints(6)(3), "the states save about # either way")
    rows = np.random.default_rng(2).permutation(len(y))
    for n, null, true in ((2000, null_few, few), (len(y), null_many, many)):
        part, labels = h[rows[:n]], y[rows[:n]]
        dealt, own = code(part, cl.control_labels(labels, np.random.default_rng(3))), code(part, labels)
        agree(null, dealt, 0.05, f"labels dealt at random, {n} states")
        agree(true, own, 0.08, f"layer 1, {n} states")
        agree(saved, dealt - own, 0.07, f"selectivity, {n} states")


@pytest.mark.slow
def test_6_labels_dealt_by_sentence_cost_as_much(layer_1):
    h, y, keys = layer_1
    text = hints(6)(2)
    sentence = np.cumsum(np.r_[0, (keys[1:] != keys[:-1]) | (y[1:] != y[:-1])])  # examples lie one after another
    agree(*said(text, "About # sentences"), sentence[-1] + 1, 100, "sentences")
    label = np.minimum(y, 1)[np.unique(sentence, return_index=True)[1]]
    dealt = np.random.default_rng(2).permutation(label)[sentence]
    usual, apart = said(text, "# bits per state either way, less than # apart")
    by_state = cl.control_labels(dealt, np.random.default_rng(3))
    changes = [(labels[1:] != labels[:-1])[sentence[1:] == sentence[:-1]].mean() for labels in (dealt, by_state)]
    assert changes[0] == 0 and changes[1] > 0.25, f"share of labels that change within a sentence: {changes}"
    whole, single = code(h, dealt), code(h, by_state)
    agree(usual, whole, 0.02, "labels dealt by sentence")
    assert abs(whole - single) < apart, f"by sentence {whole:.4f}, by state {single:.4f}"


def test_one_answer_per_call_without_its_tutorial(capsys):
    assert main(["7.1"]) == 0
    out = capsys.readouterr().out
    assert "cosine is -1" in out and "7.2" not in out, f"one answer, not its neighbours:\n{out}"
    for wrong in (["7.9"], ["7"], [], ["7.1", "7.2"]):
        assert main(wrong) == 2
        told = capsys.readouterr()
        assert not told.out and told.err.count("\n") == 1 and "7.1" in told.err, told
