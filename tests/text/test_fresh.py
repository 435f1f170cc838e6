"""Fresh meanings: the same for every choice of dialects, and nothing of them has been seen."""

from dataclasses import replace

import pytest

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text import fresh
from tinydecouple.text.fresh import fresh_corpus
from tinydecouple.text.readers import CorpusOptions, load_corpus
from tinydecouple.text.splits import fold

OPTIONS = {"phrasebook": CorpusOptions(keys=200, varieties="cai,fes"),
           "family": CorpusOptions("family", keys=200, varieties="a1,b1")}


def folded(corpus):
    return {fold(text) for row in corpus.texts.values() for text in row.values()}


@pytest.mark.parametrize("name", OPTIONS)
def test_fresh_keys_share_no_text_with_the_corpus_nor_with_each_other(name):
    options = OPTIONS[name]
    corpus = load_corpus(options)
    sets = [fresh_corpus(corpus, options, number, size=30) for number in (1, 2)]
    for drawn in sets:
        assert len(drawn.texts) == 30 and drawn.dialects == corpus.dialects
        assert drawn.keys("test", *drawn.varieties) == list(drawn.texts) and not drawn.keys("train")
        assert folded(drawn).isdisjoint(folded(corpus)) and set(drawn.texts).isdisjoint(corpus.texts)
    assert folded(sets[0]).isdisjoint(folded(sets[1]))


def test_fresh_keys_are_the_same_for_every_choice_of_dialects_and_seed_of_the_subsample():
    options = OPTIONS["phrasebook"]
    wide = replace(options, varieties="cai,dam,mos", sample_seed=9, per_variety=10)
    ours, other = (fresh_corpus(load_corpus(o), o, 1, size=30) for o in (options, wide))
    assert list(ours.texts) == list(other.texts) and other.dialects == ("cai", "dam", "mos")
    assert all(ours.texts[key]["cai"] == other.texts[key]["cai"] for key in ours.texts)


def test_a_text_that_is_known_in_any_variety_makes_its_key_stale(monkeypatch):
    """Planted: of three keys after the corpus's own, one shares a text with it in a dialect that nobody chose."""
    texts = {"k0": {"std": "one", "a1": "uno", "b1": "un"}, "k1": {"std": "two", "a1": "UNO!", "b1": "deux"},
             "k2": {"std": "three", "a1": "tre", "b1": "trois"}, "k3": {"std": "4", "a1": "tre", "b1": "quatre"},
             "k4": {"std": "five", "a1": "cinque", "b1": "cinq"}}
    monkeypatch.setattr(fresh, "family_texts", lambda keys, overlap, seed: texts)
    options = CorpusOptions("family", keys=1, varieties="b1")
    corpus = replace(load_corpus(OPTIONS["family"]), dialects=("b1",))
    assert list(fresh_corpus(corpus, options, 1, size=2).texts) == ["k2", "k4"]
    with pytest.raises(TinyDecoupleError, match="hold only 2 fresh ones, expected 4"):
        fresh_corpus(corpus, options, 2, size=2)


def test_text_on_disk_has_no_fresh_meanings(corpus, tmp_path):
    with pytest.raises(TinyDecoupleError, match="no fresh meanings; only phrasebook and family"):
        fresh_corpus(corpus, CorpusOptions(str(tmp_path)), 1)
