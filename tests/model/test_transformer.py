"""The transformer: size, causality, the cache, hidden states."""

import pytest
import torch

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.model.transformer import NormGradient, Transformer, pick_device, rotate, rotations


@pytest.fixture
def tokens(tokenizer):
    return torch.randint(0, tokenizer.size, (3, 9), generator=torch.Generator().manual_seed(1))


def test_about_a_million_parameters_by_default():
    count = sum(p.numel() for p in Transformer(1500, 128, 4, 4).parameters())
    assert 0.9e6 < count < 1.1e6, f"{count} parameters"


def test_states_of_every_block_and_logits(model, tokens, tokenizer):
    states = model(tokens)
    assert [tuple(h.shape) for h in states] == [(3, 9, 32)] * 3, "the embedding and one state per block"
    assert model.logits(states[-1]).shape == (3, 9, tokenizer.size)
    assert torch.equal(states[0], model.embedding(tokens))
    assert [len(model(tokens, last=n)) for n in (0, 1, 2)] == [1, 2, 3]
    assert torch.equal(model(tokens, last=1)[1], states[1])
    turn = rotations(0, 9, 8, states[0])
    assert torch.equal(model.blocks[1](states[1], turn), states[2]), "states are those that the next block reads"


@torch.no_grad()
def test_no_position_sees_the_future(model, tokens, tokenizer):
    changed = tokens.clone()
    changed[:, 5:] = (changed[:, 5:] + 1) % tokenizer.size
    before, after = model(tokens)[-1], model(changed)[-1]
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert (before[:, 5:] - after[:, 5:]).abs().max() > 1e-3, "the change reached nothing: is the input used?"


@torch.no_grad()
def test_the_cache_changes_nothing(model, tokens):
    whole = model.logits(model(tokens)[-1])
    cache = model.new_cache(3, 9)
    parts = [model.logits(model(tokens[:, :4], cache)[-1])]
    parts += [model.logits(model(tokens[:, i:i + 1], cache, i)[-1]) for i in range(4, 9)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-4)
    assert cache.shape == (2, 2, 3, 4, 9, 8), "blocks, keys and values, sequences, heads, positions, features"


@torch.no_grad()
def test_padding_on_the_right_changes_nothing_before_it(model, tokens):
    padded = torch.cat((tokens, torch.zeros(3, 4, dtype=torch.long)), dim=1)
    torch.testing.assert_close(model(padded)[-1][:, :9], model(tokens)[-1])


def test_rotation_keeps_lengths_and_depends_on_distance_alone():
    qk = torch.randn(1, 1, 2, 1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    at = [rotate(qk, rotations(i, 1, 8, qk)).flatten(3)[0, 0] for i in range(24)]  # (2, d/a) at each position
    torch.testing.assert_close(at[7].norm(), qk.norm())
    closer, farther = (at[i + 3][0] @ at[i][1] for i in (0, 20))
    torch.testing.assert_close(closer, farther)
    assert not torch.isclose(at[3][0] @ at[0][1], at[5][0] @ at[0][1]), "another distance must meet otherwise"


@pytest.mark.parametrize("cuts", [(4, 9), (1, 3, 4, 9), (8, 9)])
@torch.no_grad()
def test_several_new_positions_may_follow_a_filled_cache(model, tokens, cuts):
    """New positions see the cache and, of themselves, only those before them."""
    whole, cache, parts, start = model(tokens)[-1], model.new_cache(3, 9), [], 0
    for end in cuts:
        parts.append(model(tokens[:, start:end], cache, start)[-1])
        start = end
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-4)


def test_the_same_generator_gives_the_same_weights():
    one, two = (Transformer(50, 16, 1, 2, torch.Generator().manual_seed(3)).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_is_added_to_the_residual_stream_starts_smaller():
    """2 additions per block: their standard deviation is divided by sqrt(2 * blocks); the sum keeps its size."""
    weights = Transformer(500, 64, 8, 4, torch.Generator().manual_seed(0)).state_dict()
    for name, weight in weights.items():
        if weight.dim() == 2:
            expected = 0.02 / 4 if name.endswith("_out.weight") else 0.02
            got = weight.std().item()
            assert abs(got / expected - 1) < 0.1, f"{name}: standard deviation {got:.4f}, expected {expected:.4f}"


def test_sizes_that_do_not_fit():
    with pytest.raises(TinyDecoupleError, match="`width` 30 over `heads` 4"):
        Transformer(50, 30, 1, 4)


def test_a_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    with pytest.raises(TinyDecoupleError, match="no CUDA device"):
        pick_device("cuda")


def test_the_norms_gradient_is_that_of_its_formula():
    """By autograd of the plain formula, and by finite differences; PyTorch's own norm gives the same output."""
    generator = torch.Generator().manual_seed(0)
    h, w = torch.randn(3, 4, 6, generator=generator).double(), torch.randn(6, generator=generator).double()
    h, w = h.requires_grad_(), w.requires_grad_()
    plain = h / (h.square().mean(dim=-1, keepdim=True) + torch.finfo(h.dtype).eps).sqrt() * w
    torch.testing.assert_close(NormGradient.apply(h, w), plain)
    torch.testing.assert_close(NormGradient.apply(h, w), torch.nn.functional.rms_norm(h, (6,), w))
    slope = torch.randn(3, 4, 6, generator=generator).double()
    for got, want in zip(torch.autograd.grad(NormGradient.apply(h, w), (h, w), slope),
                         torch.autograd.grad(plain, (h, w), slope)):
        torch.testing.assert_close(got, want)
    assert torch.autograd.gradcheck(NormGradient.apply, (h, w))


@pytest.mark.parametrize("name, full, expected", [("cuda", False, "medium"), ("auto", False, "medium"),
                                                  ("cuda", True, "highest"), ("cpu", False, "highest")])
def test_a_gpu_trains_in_medium_precision_unless_told_otherwise(monkeypatch, name, full, expected):
    """PyTorch's setting, which training reads; a CPU that is picked after a GPU is precise again."""
    before = torch.get_float32_matmul_precision()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    try:
        torch.set_float32_matmul_precision("high")
        device = pick_device(name, full)
        assert device.type == ("cpu" if name == "cpu" else "cuda")
        assert torch.get_float32_matmul_precision() == expected, f"{name}: bfloat16 where it should not be, or not"
    finally:
        torch.set_float32_matmul_precision(before)
