"""Which tokens the probe sees and the penalty reaches, and whose they are."""

import numpy as np
import pytest
import torch

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.options import TOKENS
from tinydecouple.training.batches import collate, encode, finetuning_examples
from tinydecouple.training.gather import collect_states, draw_examples, parse_layers, penalised, probed


@pytest.fixture
def examples(corpus, tokenizer):
    return finetuning_examples(corpus, tokenizer, "train")


@pytest.mark.parametrize("tokens", ["target", "source", "all"])
def test_states_are_gathered_with_the_variety_of_their_text(corpus, tokenizer, model, tokens, rng):
    """std -> a3: target pieces are a3's, source pieces std's; tags and end symbol are nobody's."""
    one = encode(corpus, tokenizer, "train", "std", "a3", 1)
    states, variety, keys = collect_states(model, one, (1,), tokens, tokenizer.pad, rng)
    source, target = one[0].boundary - 1, len(one[0].tokens) - one[0].boundary - 2
    a3 = corpus.family.index("a3")
    expected = [0] * (source if tokens != "target" else 0) + [a3] * (target if tokens != "source" else 0)
    assert variety.tolist() == expected
    assert set(keys) == {corpus.keys("train", "std", "a3")[0]}
    hidden = model(torch.tensor([one[0].tokens[:-1]]))[1][0].detach().numpy()
    first = 1 if tokens != "target" else one[0].boundary + 1
    np.testing.assert_allclose(states[1][0], hidden[first], rtol=1e-5)


def test_the_pivot_is_left_out(corpus, tokenizer, model, rng):
    both = encode(corpus, tokenizer, "train", "piv", "std", 3)
    assert set(collect_states(model, both, (1,), "all", tokenizer.pad, rng)[1]) == {0}


def test_several_layers_come_from_one_pass_and_stay_apart(tokenizer, model, examples, rng):
    together, variety, _ = collect_states(model, examples[:20], (2, 0), "target", tokenizer.pad, rng)
    for layer in (0, 2):
        alone, _, _ = collect_states(model, examples[:20], (layer,), "target", tokenizer.pad, np.random.default_rng(0))
        assert together[layer].shape == (len(variety), 32) and together[layer].dtype == np.float32
        np.testing.assert_allclose(np.sort(together[layer][:, 0]), np.sort(alone[layer][:, 0]), rtol=1e-5)


def test_each_state_keeps_its_sentence_when_batches_are_shuffled(corpus, tokenizer, model, examples, rng):
    """At layer 0 a state is the embedding of its token, so a key's states are its sentence's embeddings."""
    states, variety, keys = collect_states(model, examples[:40], (0,), "target", tokenizer.pad, rng)
    table = model.embedding.weight.detach().numpy()
    for example in examples[:40]:
        expected = table[example.tokens[example.boundary + 1:-1]]
        got = states[0][(keys == example.key) & (variety == example.target)]
        assert any(np.allclose(got[i:i + len(expected)], expected) for i in range(len(got))), \
            f"{example.key}: its embeddings are not among the states of its key; are keys and states in one order?"


@pytest.mark.parametrize("tokens", TOKENS)
def test_draws_are_whole_examples_up_to_the_limit_and_another_draw_is_another(examples, rng, tokens):
    """The limit counts the tokens that are probed, of the side that is."""
    def size(drawn):
        return sum(int(probed(collate([e], 0), tokens).sum()) for e in drawn)

    drawn = draw_examples(examples, 200, tokens, rng)
    assert size(drawn) >= 200 > size(drawn[:-1]), "the last example drawn must be the one that reaches the limit"
    again = draw_examples(examples, 200, tokens, rng)
    assert [e.key for e in again] != [e.key for e in drawn], "two refreshes see the same sentences"
    assert len(draw_examples(examples, 10**9, tokens, rng)) == len(examples)


@pytest.mark.parametrize("whose", ["all", "dialects", "standard"])
def test_whose_states_are_penalised(corpus, tokenizer, examples, whose):
    batch = collate(examples[:6] + examples[-6:], tokenizer.pad)
    got = penalised(batch, "all", whose)
    expected = {"all": batch.variety >= 0, "dialects": batch.variety > 0, "standard": batch.variety == 0}[whose]
    np.testing.assert_array_equal(got, expected)
    assert not penalised(batch, "target", whose)[~batch.in_target].any()


@pytest.mark.parametrize("text, says", [
    ("3", r"`layer` 3: the model has layers 0 \(embedding\) to 2"), ("-1", "`layer` -1"),
    ("1,x", "'1,x': expected numbers"), ("1,2,1", "layer 1 is named twice"), ("", "expected numbers")])
def test_layers_that_cannot_be(text, says):
    with pytest.raises(TinyDecoupleError, match=says):
        parse_layers(text, 2)


def test_layers_are_kept_in_the_order_named():
    assert parse_layers("2,0", 2) == (2, 0)
