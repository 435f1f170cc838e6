"""The NumPy forward pass against the PyTorch one: every state and the logits, on random and on trained weights."""

import numpy as np
import pytest
import torch

from tinydecouple.model.transformer_numpy import forward
from tinydecouple.training.checkpoint import load_model


def compare(model, tokens, dtype, relative):
    heads = model.blocks[0].heads
    model = model.to(dtype)
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    with torch.no_grad():
        expected_states = model(tokens)
        expected = model.logits(expected_states[-1]).numpy()
    states, logits = forward(tokens.numpy(), weights, heads)
    assert logits.dtype == expected.dtype, "the precision of the weights was lost on the way"
    for i, (got, want) in enumerate(zip([*states, logits], [*(h.numpy() for h in expected_states), expected])):
        error = np.abs(got - want).max() / np.abs(want).max()
        assert error < relative, f"state {i} of {len(states)} (the last is the logits): relative error {error:.1e}"


@pytest.mark.parametrize("dtype, relative", [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_random_weights(model, tokenizer, dtype, relative):
    tokens = torch.randint(0, tokenizer.size, (3, 12), generator=torch.Generator().manual_seed(1))
    compare(model, tokens, dtype, relative)


@pytest.mark.parametrize("dtype, relative", [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_a_trained_checkpoint(runs, dtype, relative):
    model, tokenizer, _ = load_model(runs / "plain", torch.device("cpu"))
    tokens = torch.tensor([[tokenizer.tag("std"), *tokenizer.encode(["yutdo hokbo"])[0], tokenizer.tag("a1")]])
    compare(model, tokens, dtype, relative)
