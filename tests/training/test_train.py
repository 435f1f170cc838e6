"""The loop: it learns, it resumes bit for bit, and a penalty of strength 0 is no penalty at all."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.model.transformer import Transformer
from tinydecouple.options import PENALISED, DecoupleOptions, ModelOptions, TrainOptions
from tinydecouple.training import loss as loss_of
from tinydecouple.training import train as loop
from tinydecouple.training.batches import collate, finetuning_examples
from tinydecouple.training.checkpoint import load_checkpoint
from tinydecouple.training.decoupler import strength_at
from tinydecouple.training.gather import at_positions, penalised
from tinydecouple.training.pipeline import decouplers
from tinydecouple.training.train import mean_loss, rate_at, train

SHORT = TrainOptions(epochs=2, batch_tokens=300)
SETTING = DecoupleOptions(strength=0.5, layer="1", refreshes=4, probe_states=256, probe_steps=10)


def dev_examples(corpus, tokenizer):
    return finetuning_examples(corpus, tokenizer, "dev", 1)[::3]


@pytest.fixture
def setup(corpus, tokenizer):
    """A function (folder, strength or None, options, what else a decoupler is told) -> trained weights."""
    examples, dev = finetuning_examples(corpus, tokenizer, "train", 2), dev_examples(corpus, tokenizer)

    def run(folder, strength=None, options=SHORT, **told):
        sizes = ModelOptions(tokenizer.size, 16, 1, 2)
        model = Transformer(**asdict(sizes), generator=torch.Generator().manual_seed(0))
        cores = None
        if strength is not None:
            cores = decouplers(replace(SETTING, strength=strength, **told), len(corpus.family), sizes)
        train(model, tokenizer, examples, dev, options, folder, cores)
        return model.state_dict()

    return run


def equal(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_loss_falls_and_the_log_has_that_of_dev(setup, corpus, tokenizer, tmp_path):
    weights = setup(tmp_path, options=TrainOptions(epochs=4, batch_tokens=300, learning_rate=1e-2))
    seen, dev = ([r[name] for r in log_of(tmp_path) if name in r] for name in ("loss", "dev_loss"))
    assert np.mean(seen[-5:]) < seen[0] - 1, f"training loss from {seen[0]:.2f} to {seen[-1]:.2f} nats per token"
    assert min(dev) < dev[0] - 0.2, f"dev loss from {dev[0]:.2f} to {min(dev):.2f} nats per token at best"
    model = Transformer(tokenizer.size, 16, 1, 2)
    model.load_state_dict(weights)
    expected = mean_loss(model, dev_examples(corpus, tokenizer), tokenizer.pad)
    assert dev[-1] == pytest.approx(expected), f"the log says {dev[-1]}, the loss on dev is {expected} nats per token"


def test_strength_zero_is_plain_bit_for_bit(setup, tmp_path):
    """Refits run and the penalty is in the graph, but 0 times its gradient moves nothing: same batches, same bits."""
    plain, watched = setup(tmp_path / "plain"), setup(tmp_path / "watched", 0.0)
    assert equal(plain, watched), "the probe touches training: does a refit draw from training's randomness?"
    refits = [r for r in log_of(tmp_path / "watched") if "code_bits" in r]
    assert len(refits) == 4 and all(r["penalty"] > 0 for r in log_of(tmp_path / "watched") if "penalty" in r)
    assert not equal(plain, setup(tmp_path / "decoupled", 0.5)), "0.5 changes nothing: is the penalty in the loss?"


def test_the_same_seed_gives_the_same_bits_and_another_does_not(setup, tmp_path):
    one, two = setup(tmp_path / "1", 0.5), setup(tmp_path / "2", 0.5)
    assert equal(one, two)
    assert not equal(one, setup(tmp_path / "3", 0.5, replace(SHORT, seed=2)))


@pytest.mark.parametrize("cut_at, layer", [(1, "1"), (7, "1"), (14, "1"), (9, "0,1")])
def test_a_run_that_was_cut_off_goes_on_bit_for_bit(setup, tmp_path, monkeypatch, cut_at, layer):
    whole = setup(tmp_path / "whole", 0.5, layer=layer)
    calls = 0

    def interrupted(*args):
        nonlocal calls
        calls += 1
        if calls == cut_at:
            raise KeyboardInterrupt
        return real(*args)

    real = loop.batch_loss
    evaluations = monkeypatch.context
    with evaluations() as patch:
        patch.setattr(loop, "mean_loss", lambda *args: 0.0)  # so that only training steps are counted
        patch.setattr(loop, "batch_loss", interrupted)
        with pytest.raises(KeyboardInterrupt):
            setup(tmp_path / "cut", 0.5, layer=layer)
    assert not load_checkpoint(tmp_path / "cut")["complete"]
    assert equal(whole, setup(tmp_path / "cut", 0.5, layer=layer)), "5 steps + resume + 5 differ from 10"
    steps = [r["step"] for r in log_of(tmp_path / "cut") if "loss" in r]
    assert steps == list(range(len(steps))), "the log repeats or misses steps after the resume"


def test_a_cut_between_log_and_checkpoint_repeats_no_line(setup, tmp_path, monkeypatch):
    whole, saves = setup(tmp_path / "whole", 0.5), []
    with monkeypatch.context() as patch:
        real = loop.save_checkpoint
        patch.setattr(loop, "save_checkpoint", lambda *a: saves.append(1) or (real(*a) if len(saves) < 3 else 1 / 0))
        with pytest.raises(ZeroDivisionError):
            setup(tmp_path / "cut", 0.5)
    assert equal(whole, setup(tmp_path / "cut", 0.5))
    logs = [log_of(tmp_path / name) for name in ("whole", "cut")]
    logs = [[record for record in log if "session" not in record] for log in logs]
    for record in sum(logs, []):
        record.pop("seconds", None)
    assert logs[0] == logs[1], "the log of the resumed run is another"


@pytest.mark.parametrize("spoil", [lambda log: log.unlink(), lambda log: log.write_text("{", encoding="utf-8"),
                                   lambda log: log.write_bytes(log.read_bytes()[:100])])
@pytest.mark.parametrize("complete", [False, True])
def test_a_log_that_is_lost_or_damaged_is_restored(setup, tmp_path, monkeypatch, spoil, complete):
    """The checkpoint holds the log up to its step; log.jsonl is the copy for people."""
    setup(tmp_path / "whole", 0.5)
    with monkeypatch.context() as patch:
        steps = []
        real = loop.train_step
        patch.setattr(loop, "train_step", lambda *args: steps.append(1) or (real(*args) if len(steps) < 9 else 1 / 0))
        with pytest.raises(ZeroDivisionError):
            setup(tmp_path / "cut", 0.5)
    if complete:
        setup(tmp_path / "cut", 0.5)
    spoil(tmp_path / "cut" / "log.jsonl")
    setup(tmp_path / "cut", 0.5)
    logs = [[record for record in log_of(tmp_path / name) if "session" not in record] for name in ("whole", "cut")]
    for record in sum(logs, []):
        record.pop("seconds", None)
    assert logs[0] == logs[1], "the log has a hole, or lines twice"


def test_a_complete_run_is_not_trained_again(setup, tmp_path):
    first = setup(tmp_path)
    stamp = (tmp_path / "checkpoint.pt").stat().st_mtime_ns
    assert equal(first, setup(tmp_path)) and (tmp_path / "checkpoint.pt").stat().st_mtime_ns == stamp


def test_a_diverged_run_says_so(setup, tmp_path):
    with pytest.raises(TinyDecoupleError, match="the loss is .* lower `learning_rate`"):
        setup(tmp_path, options=TrainOptions(epochs=20, batch_tokens=300, learning_rate=1e12, max_grad_norm=1e12))


def test_the_standards_loss_weighted_down(corpus, tokenizer, model):
    """Weight w: dialects keep their share of the loss, the standard's tokens count w times; checked text by text."""
    examples = finetuning_examples(corpus, tokenizer, "train", 1)[:6]
    assert [e.target == 0 for e in examples] == [False, True] * 3
    nats, tokens = zip(*((mean_loss(model, [e], tokenizer.pad), len(e.tokens) - 1 - e.boundary) for e in examples))
    for weight in (0.0, 0.3, 1.0, 2.0):
        got = loop.batch_loss(model, collate(examples, tokenizer.pad), weight)[1].item()
        expected = sum(n * t * (weight if e.target == 0 else 1) for n, t, e in zip(nats, tokens, examples))
        expected /= sum(tokens)
        assert got == pytest.approx(expected, rel=1e-5), f"weight {weight}: got {got}, expected {expected} nats"


def test_a_weight_of_the_standard_reaches_training(setup, tmp_path):
    plain = setup(tmp_path / "1")
    assert equal(plain, setup(tmp_path / "2", options=replace(SHORT, standard_weight=1.0)))
    assert not equal(plain, setup(tmp_path / "3", options=replace(SHORT, standard_weight=0.3)))


def test_mean_loss_counts_each_token_once_however_batches_are_cut(corpus, tokenizer, model, monkeypatch):
    """A mean of the batches' means would weigh a token by how few others share its batch."""
    examples = finetuning_examples(corpus, tokenizer, "train", 1)[:15]
    whole = loop.batch_loss(model, collate(examples, tokenizer.pad))[1].item()
    monkeypatch.setattr(loop, "BATCH_TOKENS", 40)
    got = mean_loss(model, examples, tokenizer.pad)
    assert got == pytest.approx(whole, rel=1e-5), f"{got} nats per token over several batches, {whole} in one"


def test_every_epoch_holds_every_example_in_an_order_of_its_own(corpus, tokenizer):
    examples = finetuning_examples(corpus, tokenizer, "train", 1)
    batches = list(loop.batches_from(0, examples, SHORT))
    assert [step for step, _ in batches] == list(range(len(batches))) and len(batches) % 2 == 0
    first, second = ([id(e) for _, rows in half for e in rows]
                     for half in (batches[:len(batches) // 2], batches[len(batches) // 2:]))
    assert sorted(first) == sorted(second) == sorted(map(id, examples))
    assert first != second, "both epochs have one order"
    assert list(loop.batches_from(0, examples, replace(SHORT, seed=2))) != batches, "the seed does not order batches"
    assert list(loop.batches_from(3, examples, SHORT)) == batches[3:], "a resumed run sees other batches"


def test_learning_rate_rises_then_falls_to_nothing():
    rates = [rate_at(TrainOptions(learning_rate=1.0), step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == rates[9] == 1.0 and rates[-1] < 0.001
    assert np.all(np.diff(rates[:10]) > 0) and np.all(np.diff(rates[10:]) < 0)


@pytest.mark.parametrize("schedule, expected", [
    ("constant", [2, 2, 2]), ("warm-up", [0, 2, 2]), ("decay", [2, 1, 0.02])])
def test_the_strength_has_a_schedule_of_its_own(schedule, expected):
    options = DecoupleOptions(strength=2.0, schedule=schedule)
    assert [strength_at(options, step, 100) for step in (0, 50, 99)] == pytest.approx(expected)


def test_the_penalty_is_added_and_falls(setup, tmp_path):
    """Subtracted, it would grow: the states would be pushed into the subspace."""
    inside = {}
    for strength in (0.0, 2.0):
        setup(tmp_path / str(strength), strength, options=TrainOptions(epochs=4, batch_tokens=300, learning_rate=1e-2),
              normalised=True)
        inside[strength] = np.mean([r["penalty"] for r in log_of(tmp_path / str(strength)) if "penalty" in r][-5:])
    assert inside[2.0] < 0.7 * inside[0.0], f"norm inside the basis, with the penalty and without: {inside}"


def test_two_layers_have_two_probes_and_two_penalties(setup, tmp_path):
    setup(tmp_path, 0.5, layer="0,1")
    log = log_of(tmp_path)
    refits = [r for r in log if "code_bits" in r]
    assert [r["layer"] for r in refits] == [0, 1] * 4, "one record per refresh and layer"
    assert all(a["code_bits"] != b["code_bits"] for a, b in zip(refits[::2], refits[1::2]))
    for record in (r for r in log if "penalty" in r):
        assert record["penalty"] == pytest.approx(sum(record["penalty_by_layer"].values()))
    assert {int(layer) for r in log if "penalty" in r for layer in r["penalty_by_layer"]} == {0, 1}


def test_refreshes_see_other_sentences_each_time(setup, tmp_path, monkeypatch):
    seen = []
    real = loop.draw_examples
    monkeypatch.setattr(loop, "draw_examples", lambda *args: seen.append(real(*args)) or seen[-1])
    setup(tmp_path, 0.5, probe_states=64)
    first = [tuple(map(tuple, (e.tokens for e in drawn))) for drawn in seen]
    assert len(set(first)) == len(first) == 4, "two refreshes of a run drew the same sentences"


def test_weight_decay_spares_the_gains_of_the_norms(model):
    """One step of AdamW at gradient 0 moves a parameter by its decay alone."""
    optimizer = loop.make_optimizer(model, TrainOptions(weight_decay=0.5))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for (name, p), rate in ((pair, optimizer.param_groups[0]["lr"]) for pair in model.named_parameters()):
        expected = before[name] * (1 - rate * 0.5) if p.dim() == 2 else before[name]
        torch.testing.assert_close(p.detach(), expected, rtol=1e-6, atol=0, msg=f"{name}: not the decay of its kind")


def test_a_step_starts_from_gradients_of_nothing(corpus, tokenizer, model):
    """At rate 0 no weight moves, so the same batch twice leaves the same gradient twice, not its double."""
    batch = collate(finetuning_examples(corpus, tokenizer, "train", 1)[:4], tokenizer.pad)
    options = TrainOptions(learning_rate=0.0, max_grad_norm=0.0)
    optimizer, gradients = loop.make_optimizer(model, options), []
    for step in range(2):
        loop.train_step(model, optimizer, batch, options, {}, step, 10)
        gradients.append(model.embedding.weight.grad.clone())
    torch.testing.assert_close(gradients[1], gradients[0], msg="gradients of the last step are still there")


@pytest.mark.parametrize("whose", PENALISED)
def test_the_penalty_is_of_the_tokens_asked_for(corpus, tokenizer, model, whose):
    """All, the dialects' or the standard's, at each layer; the penalties are added to the loss with their strength."""
    examples = finetuning_examples(corpus, tokenizer, "train", 1)[:8]
    batch = collate(examples, tokenizer.pad)
    options = TrainOptions(learning_rate=0.0, max_grad_norm=0.0)
    decouple = replace(SETTING, penalised=whose, layer="1,2", strength=0.7)
    cores = decouplers(decouple, len(corpus.family), ModelOptions(tokenizer.size, 32, 2, 4))
    loop.refresh(model, cores, examples, tokenizer.pad, options, 0)
    states, loss = loop.batch_loss(model, batch)
    positions = penalised(batch, "target", whose)
    one, two = (cores[layer].penalty(at_positions(states[layer], positions)) for layer in (1, 2))
    (loss + 0.7 * one + 0.7 * two).backward()
    gradient = model.embedding.weight.grad.clone()
    record = loop.train_step(model, loop.make_optimizer(model, options), batch, options, cores, 0, 10)
    expected = (one + two).item()
    assert record["penalty"] == pytest.approx(expected, rel=1e-5), f"{record['penalty']}, of {whose}: {expected}"
    torch.testing.assert_close(model.embedding.weight.grad, gradient, msg="not the gradient of loss + 0.7 * penalties")


@pytest.mark.parametrize("most, expected", [(0.01, 0.01), (0.0, None), (1e6, None)])
def test_gradients_are_scaled_down_to_the_maximum_norm(corpus, tokenizer, model, most, expected):
    """0 turns clipping off; a norm that no gradient reaches changes nothing."""
    batch = collate(finetuning_examples(corpus, tokenizer, "train", 1)[:4], tokenizer.pad)
    optimizer = loop.make_optimizer(model, TrainOptions())
    loop.train_step(model, optimizer, batch, TrainOptions(max_grad_norm=most), {}, 0, 10)
    norm = torch.sqrt(sum((p.grad**2).sum() for p in model.parameters())).item()
    assert norm == pytest.approx(expected, rel=1e-3) if expected else norm > 0.1, f"gradient norm {norm}"


def test_a_learning_rate_reaches_both_groups_of_parameters(corpus, tokenizer, model):
    batch = collate(finetuning_examples(corpus, tokenizer, "train", 1)[:4], tokenizer.pad)
    optimizer = loop.make_optimizer(model, TrainOptions())
    record = loop.train_step(model, optimizer, batch, TrainOptions(), {}, 3, 100)
    assert record["learning_rate"] == rate_at(TrainOptions(), 3, 100)
    assert [group["lr"] for group in optimizer.param_groups] == [record["learning_rate"]] * 2


def test_mixed_precision_changes_a_loss_by_its_rounding_only(setup, tmp_path, monkeypatch, corpus, tokenizer):
    """What a GPU runs, here on the CPU: matrix products in bfloat16, the residual stream in float32."""
    with loss_of.mixed_precision(torch.device("cpu")):
        assert not torch.is_autocast_enabled("cpu"), "a CPU is slower in bfloat16"
    model = Transformer(tokenizer.size, 16, 2, 2, generator=torch.Generator().manual_seed(0))
    batch = collate(dev_examples(corpus, tokenizer)[:8], tokenizer.pad)
    exact_states, exact = loop.batch_loss(model, batch)
    monkeypatch.setattr(loss_of, "mixed_precision", lambda device: torch.autocast("cpu", torch.bfloat16))
    states, rounded = loop.batch_loss(model, batch)
    assert {h.dtype for h in states} == {torch.float32}, "states are added up in bfloat16"
    with torch.autocast("cpu", torch.bfloat16):
        normed = model.final_norm(exact_states[-1])
    assert torch.equal(normed, model.final_norm(exact_states[-1])), "the norm is rounded to bfloat16"
    assert rounded.dtype == torch.float32 and 0 < abs(rounded.item() - exact.item()) < 0.02 * exact.item(), \
        f"got {rounded.item():.4f}, in float32 {exact.item():.4f} nats: equal means that nothing was rounded"
    for one, other in zip(torch.autograd.grad(rounded, [*model.parameters()]),
                          torch.autograd.grad(exact, [*model.parameters()]), strict=True):
        assert one.dtype == torch.float32 and torch.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.98
    weights = setup(tmp_path, strength=0.5)
    assert all(w.dtype == torch.float32 and bool(w.isfinite().all()) for w in weights.values())
