"""What may help a dialect: losses on its own pieces and on the standard's, other sources, edits; planted or by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.projection import reject
from tinydecouple.method.subspace import random_subspace
from tinydecouple.options import DecoupleOptions, ModelOptions, TrainOptions
from tinydecouple.training import train as loop
from tinydecouple.training.batches import (
    NO_VARIETY,
    collate,
    encode,
    finetuning_examples,
    from_sisters,
    leave_out,
    pretraining_examples,
    prompt,
)
from tinydecouple.training.checkpoint import load_checkpoint, load_model
from tinydecouple.training.interventions import Adapter, RejectGradient, editing
from tinydecouple.training.loss import batch_loss
from tinydecouple.training.pipeline import decouplers
from tinydecouple.training.train import train

SHORT = TrainOptions(epochs=1, batch_tokens=300)
NEUTRAL = {"unlikelihood": 0.0, "own_weight": 1.0, "sisters": 0.0, "source_tag": True}
CPU = torch.device("cpu")


@pytest.fixture
def examples(corpus, tokenizer):
    return finetuning_examples(corpus, tokenizer, "train", 2)


def by_hand(model, example, standard_weight, own_weight, unlikelihood):
    """Sum of one sentence's losses, token by token in float64, and how many tokens it has."""
    inputs, target = example.tokens[:-1], example.tokens[example.boundary + 1:]
    with torch.no_grad():
        log_p = torch.log_softmax(model.logits(model(torch.tensor([inputs]))[-1][0]).double(), dim=-1)
    read = set(example.tokens[1:example.boundary]) if example.source == 0 else set()
    total = 0.0
    for place, piece in enumerate(target, start=example.boundary):
        weight = standard_weight if example.target == 0 else own_weight if read and piece not in read else 1
        total -= weight * log_p[place, piece].item()
        total -= unlikelihood * sum(np.log1p(-log_p[place, other].exp().item()) for other in read - set(target))
    return total, len(target)


@pytest.mark.parametrize("told", [(1.0, 1.0, 0.0), (1.0, 3.0, 0.0), (1.0, 1.0, 0.5), (0.3, 2.0, 1.0)])
def test_the_losses_of_a_dialects_own_pieces_and_of_the_standards_are_those_of_the_definition(
        model, examples, tokenizer, told):
    """Sentence by sentence; only those from the standard to a dialect know which pieces are whose."""
    chosen = examples[:10]
    assert {(e.source == 0, e.target == 0) for e in chosen} == {(True, False), (False, True)}
    got = batch_loss(model, collate(chosen, tokenizer.pad), *told)[1].item()
    sums, counts = zip(*(by_hand(model, e, *told) for e in chosen))
    expected = sum(sums) / sum(counts)
    assert got == pytest.approx(expected, rel=1e-4), f"got {got}, expected {expected} nats per target token"


def test_a_certain_piece_that_is_not_to_be_said_gives_a_finite_loss(model, examples, tokenizer, monkeypatch):
    example = next(e for e in examples if e.source == 0 and set(e.tokens[1:e.boundary]) - set(e.tokens[e.boundary:]))
    foreign = next(iter(set(example.tokens[1:example.boundary]) - set(example.tokens[example.boundary:])))
    logits_of = model.logits
    monkeypatch.setattr(model, "logits", lambda h: logits_of(h) + 1e4 * torch.eye(tokenizer.size)[foreign])
    loss = batch_loss(model, collate([example], tokenizer.pad), unlikelihood=1.0)[1]
    loss.backward()
    assert torch.isfinite(loss) and all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_a_gradient_without_its_part_in_the_subspace(model, examples, tokenizer, rng):
    """Same states; the first block learns from the rejected gradient where states are chosen, else from the whole."""
    batch = collate(examples[:8], tokenizer.pad)
    inputs, chosen = torch.from_numpy(batch.inputs), batch.in_target & (batch.variety > 0)
    U = random_subspace(32, 2, rng).astype(np.float32)
    block, mixture = list(model.blocks[0].parameters()), torch.from_numpy(rng.normal(size=32)).float()

    plain = model(inputs)
    g = torch.autograd.grad((plain[2] @ mixture).square().sum(), plain[1], retain_graph=True)[0]
    flat = g.reshape(-1, 32).numpy()
    wanted = np.where(chosen.reshape(-1, 1), reject(flat, U), flat).reshape(g.shape)
    expected = torch.autograd.grad(plain[1], block, torch.from_numpy(wanted), retain_graph=True)
    with editing(model, {1: lambda h: RejectGradient.apply(h, torch.from_numpy(U))}, chosen):
        edited = model(inputs)
    assert all(torch.equal(a, b) for a, b in zip(edited, plain)), "the forward pass has changed"
    got = torch.autograd.grad((edited[2] @ mixture).square().sum(), block)
    for a, b in zip(got, expected):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * b.abs().max().item())
    whole = torch.autograd.grad(plain[1], block, g)
    assert not torch.allclose(whole[1], expected[1], rtol=1e-2), "the case is too easy: nothing was rejected"


def test_an_adapter_adds_what_its_variety_has_outside_of_the_subspace(rng):
    h, variety = rng.normal(size=(2, 3, 6)).astype(np.float32), np.array([[1, 2, 1], [2, NO_VARIETY, 1]])
    U = random_subspace(6, 2, rng).astype(np.float32)
    adapter = Adapter(3, 6)
    with torch.no_grad():
        assert torch.equal(adapter(torch.from_numpy(h), variety, U), torch.from_numpy(h)), "it begins with a change"
        adapter.weights.normal_(generator=torch.Generator().manual_seed(0))
        got = adapter(torch.from_numpy(h), variety, U).numpy()
    down, up = adapter.weights.detach().numpy()  # (varieties, d, rank)
    for (row, place), v in np.ndenumerate(variety):
        added = h[row, place] @ down[v] @ up[v].T
        expected = h[row, place] + reject(added[None], U)[0]
        np.testing.assert_allclose(got[row, place], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose((got - h) @ U, 0, atol=1e-4)


def trained(corpus, tokenizer, folder, stop=None, **told):
    """A tiny run with an edit at layer 1: its model and decouplers."""
    sizes = ModelOptions(tokenizer.size, 16, 1, 2)
    model = loop.Transformer(sizes.vocabulary, 16, 1, 2, torch.Generator().manual_seed(0))
    options = DecoupleOptions(strength=0.0, refreshes=4, probe_states=256, probe_steps=10, penalised="dialects", **told)
    cores = decouplers(options, len(corpus.family), sizes)
    train(model, tokenizer, finetuning_examples(corpus, tokenizer, "train", 2),
          finetuning_examples(corpus, tokenizer, "dev", 1), SHORT, folder, cores, stop=stop)
    return model, cores


def test_adapters_of_dialects_are_trained_and_the_standards_is_not(corpus, tokenizer, tmp_path):
    _, cores = trained(corpus, tokenizer, tmp_path, form="adapter")
    up = cores[1].head.weights[1].detach()
    moved = up.abs().amax(dim=(1, 2)) > 0
    assert moved.tolist() == [False] + [True] * len(corpus.dialects), "whose adapters were trained?"


@pytest.mark.parametrize("form", ["adapter", "gradient"])
def test_a_run_that_was_cut_off_goes_on_bit_for_bit(corpus, tokenizer, tmp_path, form):
    whole, cores = trained(corpus, tokenizer, tmp_path / "whole", form=form)
    trained(corpus, tokenizer, tmp_path / "cut", 4, form=form)
    assert not load_checkpoint(tmp_path / "cut")["complete"]
    again, resumed = trained(corpus, tokenizer, tmp_path / "cut", form=form)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values()))
    if form == "adapter":
        assert torch.equal(cores[1].head.weights, resumed[1].head.weights)
    plain, _ = trained(corpus, tokenizer, tmp_path / "plain", form="inside")
    assert not torch.equal(plain.embedding.weight, whole.embedding.weight), f"{form} changes nothing"


REGION = {"a1": "a", "a2": "a", "b1": "b"}


def test_sisters_give_their_sentence_and_targets_stay_as_they_are(corpus, tokenizer, rng):
    """Planted regions: a1 and a2 are sisters, b1 has none."""
    plain = finetuning_examples(corpus, tokenizer, "train")
    region = {v: REGION.get(v, v) for v in corpus.dialects}
    index = {v: i for i, v in enumerate(corpus.family)}
    for share in (0.0, 0.4, 1.0):
        ours = from_sisters(plain, corpus, tokenizer, region, share, rng)
        assert len(ours) == len(plain)
        changed = [(a, b) for a, b in zip(plain, ours) if a != b]
        able = [e for e in plain if e.source == 0 and e.target in (index["a1"], index["a2"])]
        assert abs(len(changed) - share * len(able)) <= (0 if share in (0, 1) else 0.3 * len(able)), len(changed)
        for before, after in changed:
            assert before.source == 0 and {after.source, after.target} == {index["a1"], index["a2"]}
            assert after.target == before.target and after.key == before.key
            source = corpus.family[after.source]
            assert after.tokens[:after.boundary + 1] == prompt(
                tokenizer, source, corpus.family[after.target], [corpus.texts[after.key][source]])[0]
            assert after.tokens[after.boundary + 1:] == before.tokens[before.boundary + 1:], "another target"


def test_without_sisters_there_is_nothing_to_learn_from(corpus, tokenizer, rng):
    examples = finetuning_examples(corpus, tokenizer, "train", 2)
    with pytest.raises(TinyDecoupleError, match="`sisters`: no sentence is there in two dialects of one region"):
        from_sisters(examples, corpus, tokenizer, {v: v for v in corpus.dialects}, 1.0, rng)


def test_without_its_tag_a_source_is_its_pieces_alone(corpus, tokenizer):
    """The rest of an example and of its batch is what it was, one place to the left."""
    bare = type(tokenizer)(tokenizer.proto, source_tag=False)
    for ours, with_tag in zip(finetuning_examples(corpus, bare, "train", 3),
                              finetuning_examples(corpus, tokenizer, "train", 3)):
        assert ours.tokens == with_tag.tokens[1:] and ours.boundary == with_tag.boundary - 1
        one, other = collate([ours], 0), collate([with_tag], 0)
        for name in ("inputs", "labels", "variety", "in_target"):
            assert np.array_equal(getattr(one, name), getattr(other, name)[:, 1:]), f"{name}: is a piece lost?"
    assert prompt(bare, "std", "a1", ["x"]) == [prompt(tokenizer, "std", "a1", ["x"])[0][1:]]
    example = encode(corpus, bare, "train", "std", "std", 1)[0]
    gone = np.arange(example.boundary) == 0
    assert leave_out(example, gone).tokens == example.tokens[1:], "noise leaves out another piece"
    pretraining_examples(corpus, bare, "train", 1, noise=0.3, rng=np.random.default_rng(0))


def test_options_at_rest_train_bit_for_bit_as_without_them(corpus, tokenizer, model, examples, tmp_path):
    """The loss is the one formula that it was, and what the options add is not in the graph."""
    batch = collate(examples[:8], tokenizer.pad)
    labels = torch.from_numpy(batch.labels)
    counted = labels != -100
    logits = model.logits(model(torch.from_numpy(batch.inputs))[-1][counted])
    nats = torch.nn.functional.cross_entropy(logits, labels[counted], reduction="none")
    weight = torch.where(torch.from_numpy(batch.to_standard), 0.3, 1.0)[:, None].expand_as(labels)[counted]
    assert torch.equal(batch_loss(model, batch, 0.3)[1], (nats * weight).mean())
    runs = []
    for name, options in (("given", replace(SHORT, **NEUTRAL)), ("default", SHORT)):
        ours = loop.Transformer(tokenizer.size, 16, 1, 2, torch.Generator().manual_seed(0))
        train(ours, tokenizer, examples, examples[:4], options, tmp_path / name)
        runs.append(ours.state_dict())
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_a_model_to_be_contrasted_is_the_studys(runs, tmp_path):
    from tinydecouple.training import pipeline
    start = runs / "pretrained"
    corpus = pipeline.run_corpus(start)
    pipeline.finetune(tmp_path / "run", start, corpus, replace(SHORT, batch_tokens=10_000),
                      DecoupleOptions(strength=0.0, refreshes=0, contrast=0.5), CPU)
    with pytest.raises(TinyDecoupleError, match="`contrast` 0.5 is for the study alone"):
        load_model(tmp_path / "run", CPU)
    load_model(tmp_path / "run", CPU, unedited=True)
    with pytest.raises(TinyDecoupleError, match="`sisters` is of fine-tuning"):
        pipeline.pretrain(tmp_path / "pre", corpus, None, None, None, TrainOptions(sisters=0.5), CPU)
