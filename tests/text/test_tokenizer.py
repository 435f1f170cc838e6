"""Pieces, bytes and tags."""

import numpy as np
import pytest

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.tokenizer import Tokenizer, train_tokenizer


@pytest.mark.parametrize("text", [
    "", " ", "yutdo", " leading", "trailing ", "two  spaces", "\u2581", "a\u2581b \u2581\u2581", "<|std|>", "</s><pad>",
    "tab\tline\r\n", "nul\0", "\u0643\u064a\u0641 \u062d\u0627\u0644\u0643", "\U0001f600 e\u0301 \u00e9", "<0x41>"])
def test_any_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode([text])) == [text]


def test_random_unicode_comes_back(tokenizer, rng):
    points = np.concatenate((np.arange(0, 0xD800), np.arange(0xE000, 0x110000), [0x2581] * 50_000, [0x20] * 50_000))
    texts = ["".join(map(chr, rng.choice(points, size=rng.integers(1, 12)))) for _ in range(2000)]
    assert tokenizer.decode(tokenizer.encode(texts)) == texts


def test_one_tag_a_variety_and_no_text_spells_it(tokenizer, corpus):
    assert set(tokenizer.tags) == set(corpus.varieties)
    assert len(set(tokenizer.tags.values())) == len(corpus.varieties)
    assert tokenizer.tag("std") not in tokenizer.encode(["<|std|> x"])[0], "text can smuggle in a tag"
    assert tokenizer.decode([[tokenizer.tag("std"), *tokenizer.encode(["yutdo"])[0], tokenizer.end]]) == ["yutdo"]


def test_unknown_variety(tokenizer):
    with pytest.raises(TinyDecoupleError, match="has not seen variety 'xx'; it knows: piv, std, a1"):
        tokenizer.tag("xx")


def test_training_sees_the_training_split_only(corpus):
    """Spoil dev and test text with characters of their own: no piece of the model has them."""
    from dataclasses import replace
    texts = {k: row if corpus.split[k] == "train" else dict.fromkeys(row, "\u03a9\u03a8")
             for k, row in corpus.texts.items()}
    spoilt = Tokenizer(train_tokenizer(replace(corpus, texts=texts), 600))
    assert not any("\u03a9" in spoilt.pieces.id_to_piece(i) for i in range(spoilt.size))


def test_same_corpus_same_model_and_nothing_left_on_disk(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train_tokenizer(corpus, 600) == train_tokenizer(corpus, 600)
    assert list(tmp_path.iterdir()) == []


def test_vocabulary_without_room(corpus):
    with pytest.raises(TinyDecoupleError, match="`vocabulary` 100 is too small"):
        train_tokenizer(corpus, 100)


def test_a_model_comes_back_from_its_bytes(tokenizer):
    again = Tokenizer(tokenizer.proto)
    assert again.encode(["yutdo x"]) == tokenizer.encode(["yutdo x"]) and again.tags == tokenizer.tags
