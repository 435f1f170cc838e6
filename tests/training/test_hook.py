"""The bridge to any PyTorch model: what is held is what ran, and what would fail silently raises."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation.probe_report import read_states
from tinydecouple.method.planted import plant
from tinydecouple.options import DecoupleOptions
from tinydecouple.training.decoupler import Decoupler
from tinydecouple.training.hook import collect, hold, states_of

WIDTH, HEAD = 8, 5


class Net(nn.Module):
    """Two blocks and a head, not ours; `wrap` says what the first block returns around its states."""

    def __init__(self, wrap=lambda h: h, use_reentrant=None):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.second = Block(wrap), Block()
        self.head = nn.Linear(WIDTH, HEAD)
        self.use_reentrant = use_reentrant
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5, generator=generator)

    def forward(self, x):
        if self.use_reentrant is None:
            h = self.first(x)
        else:
            h = checkpoint(self.first, x, use_reentrant=self.use_reentrant)
        h = next(iter(h.values())) if isinstance(h, dict) else h[0] if isinstance(h, tuple) else h
        return self.head(self.second(h))


class Block(nn.Module):
    def __init__(self, wrap=lambda h: h):
        super().__init__()
        self.inner, self.wrap = nn.Linear(WIDTH, WIDTH), wrap

    def forward(self, x):
        return self.wrap(torch.tanh(self.inner(x)))


@pytest.fixture
def x():
    return torch.randn(3, 4, WIDTH, generator=torch.Generator().manual_seed(1), requires_grad=True)


@pytest.fixture(scope="module")
def core():
    p = plant(300, WIDTH, 2, 2.0, np.random.default_rng(0))
    core = Decoupler(DecoupleOptions(probe_steps=20), 2, WIDTH)
    core.refresh(p.h.astype(np.float32), p.y, np.random.default_rng(1))
    return core


def hooks(model):
    return sum(len(part._forward_hooks) for part in model.modules())


WRAPS = {"tensor": lambda h: h, "tuple": lambda h: (h, None), "output": lambda h: OrderedDict(last=h, cache=h[0] * 2)}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_the_penaltys_gradient_is_that_of_the_states_themselves(x, core, wrap):
    """Through the hook as through a model that returns its states: the same value, the same gradients."""
    net = Net(wrap)
    with hold(net.first) as held:
        net(x)
    (h,) = held.take()
    core.penalty(h.flatten(0, 1)).backward()
    held_gradient = net.first.inner.weight.grad.clone()
    net.zero_grad()
    core.penalty(torch.tanh(net.first.inner(x)).flatten(0, 1)).backward()
    torch.testing.assert_close(held_gradient, net.first.inner.weight.grad)
    assert held_gradient.abs().max() > 0 and net.second.inner.weight.grad is None


def test_no_hook_stays_whichever_way_one_leaves(x):
    net = Net()
    with hold(net.first) as held:
        assert hooks(net) == 1
        net(x)
    assert hooks(net) == 0 and len(held.take()) == 1, "what was held can be taken after leaving"
    with pytest.raises(ZeroDivisionError):
        with hold(net.first), hold(net.first):
            raise ZeroDivisionError
    assert hooks(net) == 0, "an exception left a hook behind"


def test_every_run_of_a_step_is_held_once_and_in_order(x):
    net = Net()
    with hold(net.second) as held:
        net(x)
        net(2 * x)
        outputs = held.take()
        expected = [net.second(net.first(scale * x)) for scale in (1, 2)]
        held.clear()
        net(x)
        assert len(held.take()) == 1, "outputs of an earlier step, or forgotten ones, came back"
    for got, wanted in zip(outputs, expected, strict=True):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_the_half_is_held_and_its_penalty_trains(x, core, dtype):
    net = Net()
    net.first.wrap = lambda h: h.to(dtype)
    with torch.autocast("cpu", dtype), hold(net.first) as held:
        loss = net(x).float().mean()
        (h,) = held.take()
        loss = loss + core.penalty(h.flatten(0, 1))
    loss.backward()
    assert h.dtype == dtype and net.first.inner.weight.grad.abs().max() > 0


def test_reentrant_checkpointing_is_refused_where_the_gradient_would_be_0(x):
    """The real thing: what lies inside a checkpointed block runs without a graph."""
    net = Net(use_reentrant=True)
    with hold(net.first.inner) as held, pytest.raises(TinyDecoupleError, match="use_reentrant=False"):
        net(x)
        held.take()


def test_where_checkpointing_is_accepted_it_gives_the_plain_gradient(x, core):
    """Not reentrant, or reentrant with the block's own output. Backward runs the block again; that run is not held."""
    for part in ("first", "first.inner"):
        gradients = {}
        for use_reentrant in (None, False, True)[:3 if part == "first" else 2]:
            net = Net(use_reentrant=use_reentrant)
            with hold(net.get_submodule(part)) as held:
                for _ in range(2):
                    net.zero_grad()
                    loss = net(x).square().mean()
                    (h,) = held.take()
                    (loss + core.penalty(h.flatten(0, 1))).backward()
                    assert held.kept == [], "the recomputation in backward was held"
            gradients[use_reentrant] = net.first.inner.weight.grad
        for use_reentrant, gradient in gradients.items():
            torch.testing.assert_close(gradient, gradients[None], msg=f"{part}, use_reentrant={use_reentrant}")


def test_frozen_parameters_before_the_module_are_no_gradient_either(x):
    net = Net().requires_grad_(False)
    net.head.requires_grad_(True)
    with hold(net.first) as held:
        net(x.detach())
        with pytest.raises(TinyDecoupleError, match="has no gradient.*train a parameter before it"):
            held.take()
        net(x.detach())
        with torch.no_grad():
            assert len(held.take()) == 1, "for a refresh no gradient is needed"


def test_a_module_that_never_ran(x):
    net = Net()
    with hold(Net().first) as held:
        net(x)
    with pytest.raises(TinyDecoupleError, match="the held Block has not run in this step"):
        held.take()


def test_compiled_a_hook_from_before_the_first_call_holds_and_a_later_one_says_so(x, core):
    torch.compiler.reset()
    net = Net()
    compiled = torch.compile(net, backend="eager")
    with hold(net.first) as held:
        for _ in range(3):
            compiled(x)
            (h,) = held.take()
        core.penalty(h.flatten(0, 1)).backward()
        torch.testing.assert_close(h, net.first(x))
        held.clear()
    compiled(x)
    assert held.kept == [], "the compiled copy of the hook still holds: memory grows for ever"
    assert net.first.inner.weight.grad.abs().max() > 0

    late = Net()
    compiled = torch.compile(late, backend="eager")
    compiled(x)
    with torch.no_grad():
        compiled.eval()(x[:2].detach())
    compiled.train()
    with hold(late.first) as held, pytest.raises(TinyDecoupleError, match="before the first compiled call"):
        compiled(x)
        held.take()
    h, _, _ = states_of(compiled, [late.first], batches_of(x), np.random.default_rng(0))
    assert h.shape == (1, 12, WIDTH), "collecting runs uncompiled, so that it sees every module"


def test_an_output_changed_in_place_would_be_another_layers(x):
    class InPlace(Net):
        def forward(self, x):
            h = self.first(x)
            h += self.second(h.detach())
            return self.head(h)

    net = InPlace()
    net.first.wrap = lambda h: h.relu_().clone().mul_(2)  # changes before it returns are its own affair
    with hold(net.first) as held, pytest.raises(TinyDecoupleError, match="in place.*x = x \\+ y"):
        net(x)
        held.take()
    with hold(net.first) as held:
        net.first(x)
        held.take()
        torch.compiler.reset()
        torch.compile(net.first, backend="eager")(x)
        held.take()
        with torch.inference_mode():  # whose tensors count no changes
            net.first(x)
            held.take()


@pytest.mark.parametrize("wrap, says", [
    (lambda h: None, "returned NoneType, and no tensor first"),
    (lambda h: (), "returned tuple, and no tensor first"),
    (lambda h: {}, "returned dict, and no tensor first"),
    (lambda h: ([h], h), "returned tuple, and no tensor first"),
    (lambda h: h.mean(), r"a tensor \(\) of torch.float32.*float states \(..., d\)"),
    (lambda h: h.argmax(-1), r"a tensor \(3, 4\) of torch.int64"),
    (lambda h: torch.nested.as_nested_tensor(list(h), layout=torch.jagged), "nested tensor; pad instead"),
])
def test_outputs_that_hold_no_states(x, wrap, says):
    block = Block(wrap)
    with pytest.raises(TinyDecoupleError, match=says) as caught, hold(block):
        block(x)
    assert "\n" not in str(caught.value) and hooks(block) == 0


def test_pytorchs_own_encoder_nests_tensors_unless_it_is_told_not_to():
    for nested in (True, False):
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True)
        encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested).eval()
        padding = torch.tensor([[False, False, True], [False, False, False]])
        with torch.no_grad(), hold(encoder.layers[0]) as held:
            if nested:
                with pytest.raises(TinyDecoupleError, match="enable_nested_tensor=False"):
                    encoder(torch.randn(2, 3, WIDTH), src_key_padding_mask=padding)
            else:
                encoder(torch.randn(2, 3, WIDTH), src_key_padding_mask=padding)
                assert held.take()[0].shape == (2, 3, WIDTH)


def batches_of(x, mask=None, size=2):
    """(inputs, mask, y, keys): rows of variety 0, 1, 0, ..., each a sentence of its own."""
    mask = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
    rows = range(len(x))
    return [(x[i:i + size].detach(), mask[i:i + size], [r % 2 for r in rows][i:i + size],
             [f"s{r}" for r in rows][i:i + size]) for i in range(0, len(x), size)]


def test_collected_states_are_the_models_at_the_mask(tmp_path, rng):
    """Two layers, in order; probe's own reader takes the file; padding and prompt are left out."""
    net = Net(lambda h: (h, None))
    x = torch.randn(5, 4, WIDTH, generator=torch.Generator().manual_seed(2))
    mask = torch.arange(4)[None] < torch.tensor([4, 1, 3, 2, 4])[:, None]
    mask[:, 0] = False
    collect(net, [net.first, net.second], batches_of(x, mask), tmp_path / "s.npz", ["std", "x"], rng)
    states = read_states(tmp_path / "s.npz", "std")
    with torch.no_grad():
        first = net.first(x)[0]
        expected = first[mask], net.second(first)[mask]
    for layer in (0, 1):
        np.testing.assert_allclose(states.h[layer], expected[layer], rtol=1e-5, atol=1e-6)
    row = np.nonzero(mask.numpy())[0]
    np.testing.assert_array_equal(states.y, row % 2)
    assert states.names == ["std", "x"] and list(states.keys) == [f"s{r}" for r in row]


def test_inputs_of_any_kind(rng):
    """A dict as from a Hugging Face loader, a tuple, a tensor: the same states."""
    class Named(Net):
        def forward(self, input_ids, scale=1.0):
            return super().forward(scale * input_ids)

    net, x = Named(), torch.randn(2, 4, WIDTH)
    (_, mask, y, keys), = batches_of(x)
    got = [states_of(net, [net.first], [(inputs, mask, torch.tensor(y), keys)], rng)[0]
           for inputs in ({"input_ids": x, "scale": 2.0}, (x, 2.0), 2 * x)]
    np.testing.assert_array_equal(got[0], got[1])
    np.testing.assert_array_equal(got[0], got[2])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_halves_become_float32_and_modes_are_restored(rng, dtype):
    net = Net().to(dtype)
    net.second.wrap = nn.Dropout(0.5)
    net.first.eval()  # frozen, while the rest trains
    h, _, _ = states_of(net, [net.second], batches_of(torch.randn(4, 3, WIDTH, dtype=dtype)), rng)
    assert h.dtype == np.float32 and h.all(), "dropout was on while states were collected"
    assert net.training and net.second.training and not net.first.training and hooks(net) == 0


@pytest.mark.parametrize("limit", [7, 50, 400])
def test_the_cap_draws_whole_rows_at_random(limit):
    x, mask = torch.randn(40, 6, WIDTH), torch.arange(6)[None] < 1 + torch.arange(40)[:, None] % 6
    net, drawn = Net(), []
    for seed in (1, 1, 2):
        h, y, keys = states_of(net, [net.first], batches_of(x, mask, 7), np.random.default_rng(seed), limit)
        assert h.shape[1] == len(y) == len(keys) <= limit
        names, counts = np.unique(keys, return_counts=True)
        assert all(1 + int(name[1:]) % 6 == count for name, count in zip(names, counts)), "a row was cut"
        drawn.append(set(names))
    assert drawn[0] == drawn[1] and (limit == 400 or drawn[0] != drawn[2])
    assert limit < 400 or len(drawn[0]) == 40
    with pytest.raises(TinyDecoupleError, match="`limit` is 0.*raise `limit`"):
        states_of(net, [net.first], batches_of(x, mask, 7), np.random.default_rng(1), 0)


def test_nothing_is_half_written_and_what_ran_is_left_as_it_was(tmp_path, rng):
    net = Net()
    net.head.register_forward_hook(lambda *args: 1 / 0)
    (tmp_path / "s.npz").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        collect(net, [net.first], batches_of(torch.randn(4, 3, WIDTH)), tmp_path / "s.npz", ["a", "b"], rng)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("s.npz", b"old")]
    assert net.training and hooks(net) == 1


def change(batches, i, value):
    return [tuple(value if i == j else part for j, part in enumerate(batch)) for batch in batches]


@pytest.mark.parametrize("spoil, says", [
    (lambda b: change(b, 1, torch.zeros(2, 3, dtype=torch.bool)), "the masks mark 0 tokens and `limit` is 20000"),
    (lambda b: [], "the masks mark 0 tokens"),
    (lambda b: change(b, 1, torch.ones(2, 4, dtype=torch.bool)), r"states \(2, 3, 8\), 1 times.* of \(2, 4\)"),
    (lambda b: change(b, 2, [0]), "2 rows in its mask, 1 in y and 2 in keys"),
    (lambda b: change(b, 2, [0, 0]), "label"),
    (lambda b: change(b, 2, [0, 2]), "labels run from 0 to 2|label"),
    (lambda b: change(b, 0, torch.full((2, 3, WIDTH), torch.nan)), "NaN or infinity in torch.float32"),
])
def test_batches_that_cannot_be(tmp_path, rng, spoil, says):
    net = Net()
    with pytest.raises(TinyDecoupleError, match=says):
        collect(net, [net.first], spoil(batches_of(torch.randn(4, 3, WIDTH))), tmp_path / "s.npz", ["a", "b"], rng)
    assert not list(tmp_path.iterdir())


def test_modules_that_cannot_be(tmp_path, rng):
    net, batches = Net(), batches_of(torch.randn(4, 3, WIDTH))
    for modules, says in (([net.first, net.head], r"widths \[5, 8\]"), ([Net().first], "has not run")):
        with pytest.raises(TinyDecoupleError, match=says):
            states_of(net, modules, batches, rng)
    with pytest.raises(TinyDecoupleError, match="no state of 'c'"):
        collect(net, [net.first], batches, tmp_path / "s.npz", ["a", "b", "c"], rng)
    net.second = net.first
    with pytest.raises(TinyDecoupleError, match=r"\(4, 3, 8\)|2 times in a pass"):
        states_of(net, [net.first], batches, rng)


def test_float16_that_overflows_is_named(rng):
    net = Net().half()
    net.first.wrap = lambda h: 1e5 * h
    with pytest.raises(TinyDecoupleError, match="infinity in torch.float16; float16 ends at 65,504"):
        states_of(net, [net.first], batches_of(torch.randn(4, 3, WIDTH).half()), rng)


def test_a_hugging_face_model(tmp_path, rng, core):
    """A causal model of random weights: both modes of checkpointing, and collecting from its batches."""
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(vocab_size=20, hidden_size=WIDTH, intermediate_size=16, num_hidden_layers=2,
                                      num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=16)
    ids = torch.arange(24).reshape(4, 6) % 20
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    model, gradients = transformers.LlamaForCausalLM(config), []
    block = model.model.layers[1]
    for use_reentrant in (None, False, True):
        if use_reentrant is not None:
            model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
            model.enable_input_require_grads()
        model.train().zero_grad()
        with hold(block) as held, hold(block.mlp) as inside:
            model(**inputs, use_cache=False)
        (h,) = held.take()
        core.penalty(h.flatten(0, 1)).backward()
        gradients.append(block.mlp.down_proj.weight.grad.clone())
        if use_reentrant:
            with pytest.raises(TinyDecoupleError, match="use_reentrant=False"):
                inside.take()
        else:
            assert len(inside.take()) == 1
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0])
    assert gradients[0].abs().max() > 0

    mask = torch.arange(6) >= 2
    batches = [(inputs, mask.expand(4, 6), [0, 1, 0, 1], list("abcd"))]
    collect(model, list(model.model.layers), batches, tmp_path / "s.npz", ["std", "x"], rng)
    with torch.no_grad():
        hidden = model.eval()(**inputs, output_hidden_states=True).hidden_states
    got = read_states(tmp_path / "s.npz", "std")
    np.testing.assert_allclose(got.h[0], hidden[1][:, 2:].flatten(0, 1), rtol=1e-5, atol=1e-6)
    assert got.h[1].shape == (16, WIDTH) and list(got.keys) == list(np.repeat(list("abcd"), 4))
