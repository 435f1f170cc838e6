"""The variety classifier: Bayes' formula written out, planted dialects, and rates by hand."""

from collections import Counter
from math import log

import numpy as np
import pytest

from tinydecouple.evaluation.dialectness import (
    ORDERS,
    SMOOTHING,
    classify,
    dialectness,
    fit,
    log_likelihoods,
    train_classifier,
)
from tinydecouple.evaluation.score import direction
from tinydecouple.text.corpus import ParallelCorpus
from tinydecouple.text.family import region

TEXTS = ["ma fi", "ma  fish", "la yujad", "وين", "أين هو", "la"]
LABELS = ["east", "west", "std", "east", "std", "std"]


def grams(text):
    """n-grams of a text with a space around each word, in plain Python."""
    text = f" {' '.join(text.split())} "
    return [text[i:i + n] for n in ORDERS for i in range(len(text) - n + 1)]


def by_hand(text):
    known = {gram for one in TEXTS for gram in grams(one)}
    scores = []
    for name in dict.fromkeys(LABELS):
        counts = Counter(gram for one, label in zip(TEXTS, LABELS) if label == name for gram in grams(one))
        total = sum(counts.values()) + SMOOTHING * len(known)
        scores.append(sum(log((counts[gram] + SMOOTHING) / total) for gram in grams(text) if gram in known))
    return scores


@pytest.mark.parametrize("text", [*TEXTS, "fish ma", "xyz", "", "  la\nla ", "هوين ma", "é"])
def test_bayes_formula_written_out(text):
    got = log_likelihoods(fit(TEXTS, LABELS), ["padding", text, "ma"])[1]
    np.testing.assert_allclose(got, by_hand(text), atol=1e-9, err_msg=f"{text!r}: Counter and log say otherwise")


def test_texts_are_classified_by_themselves():
    """No n-gram crosses from one text into the next: alone or among others, a text scores the same."""
    classifier = fit(TEXTS, LABELS)
    together = log_likelihoods(classifier, TEXTS)
    np.testing.assert_array_equal(together, np.concatenate([log_likelihoods(classifier, [t]) for t in TEXTS]))
    assert classify(classifier, TEXTS) == LABELS


def test_a_text_that_says_nothing_goes_to_the_first_class():
    assert classify(fit(TEXTS, LABELS), ["", "zzz", "ма"]) == ["east"] * 3


def test_a_class_is_not_preferred_for_its_size():
    """Two classes that share nothing, one a hundred times as large: each still gets its own."""
    classifier = fit(["aba"] * 100 + ["bab"], ["large"] * 100 + ["small"])
    assert classify(classifier, ["aba", "bab"]) == ["large", "small"]
    assert np.exp(classifier.log_probability).sum(axis=0) == pytest.approx([1, 1]), "probabilities over n-grams"


def test_planted_dialects_are_found(corpus):
    """The family's texts that training lacks: regions by their sound changes, the standard by its words."""
    classifier = train_classifier(corpus)
    assert classifier.classes == corpus.family, "the standard first, so that what says nothing counts as standard"
    regions = {v: region(v) for v in corpus.dialects}
    rates = []
    for v in corpus.dialects:
        keys = corpus.keys("dev", "std", v)
        sources, references = corpus.column("std", keys), corpus.column(v, keys)
        shares = dialectness(classifier, direction("std", v, keys, sources, references, sources), "std", regions)
        rates.append([shares[name] for name in ("reference_dialect_percent", "reference_region_percent",
                                                "dialect_percent", "region_percent")])
    ours, region_of_ours, copied, region_of_copied = np.mean(rates, axis=0)
    assert ours > 90 and copied < 20, f"references as dialect {ours:.0f} %, the standard's texts {copied:.0f} %"
    assert region_of_ours > 60 > 10 > region_of_copied, f"in their region {region_of_ours:.0f}, {region_of_copied:.0f}"


def test_only_training_texts_are_learned_from():
    """'zzz' is a dialect's in dev and test alone: unknown, so it goes to the standard."""
    texts = {"1": {"std": "sss", "a1": "aaa"}, "2": {"std": "sss", "a1": "zzz"}, "3": {"std": "sss", "a1": "zzz"}}
    corpus = ParallelCorpus(texts, {"1": "train", "2": "dev", "3": "test"}, "std", None, ("a1",))
    assert classify(train_classifier(corpus), ["aaa", "zzz"]) == ["a1", "std"], "held-out texts are learned from"


def test_rates_by_hand():
    """Outputs: one of the region, one of another region, one of the standard, one that says nothing."""
    classifier = fit(["sss", "aaa", "bbb", "ccc"], ["std", "a1", "a2", "b1"])
    d = direction("std", "a1", list("1234"), ["sss"] * 4, ["aaa", "aaa", "aaa", "sss"], ["bbb", "ccc", "sss", ""])
    assert dialectness(classifier, d, "std", {"a1": "a", "a2": "a", "b1": "b"}) == {
        "region_percent": 25, "dialect_percent": 50, "reference_region_percent": 75, "reference_dialect_percent": 75}
