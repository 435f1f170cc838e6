"""What is compared with the method does what its name says: planted states, and steps of a tiny model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.erasure import leace
from tinydecouple.method.projection import reject
from tinydecouple.options import DecoupleOptions, TrainOptions
from tinydecouple.training import train as loop
from tinydecouple.training.batches import collate, finetuning_examples
from tinydecouple.training.decoupler import Decoupler, classes_of
from tinydecouple.training.interventions import Adversary, dropout, editing, penalty
from tinydecouple.training.schedule import batches_from, total_steps

SHORT = TrainOptions(epochs=2, batch_tokens=300)


@pytest.fixture
def examples(corpus, tokenizer):
    return finetuning_examples(corpus, tokenizer, "train", 2)


def outputs(model, examples, tokenizer, share, seed):
    with dropout(model, share, seed), torch.no_grad():
        return model(torch.from_numpy(collate(examples[:8], tokenizer.pad).inputs))


def test_dropout_follows_from_its_seed_and_leaves_nothing_behind(model, examples, tokenizer):
    plain = outputs(model, examples, tokenizer, 0.0, (1, 2, 0))
    one, same, other = (outputs(model, examples, tokenizer, 0.5, (1, 2, step)) for step in (0, 0, 1))
    assert torch.equal(one[-1], same[-1]) and not torch.equal(one[-1], other[-1])
    assert torch.equal(one[0], plain[0]), "the embeddings are dropped, too"
    assert all(not torch.equal(a, b) for a, b in zip(one[1:], plain[1:])), "a block is left out"
    assert torch.equal(outputs(model, examples, tokenizer, 0.0, ())[-1], plain[-1]), "a hook stays on the model"


@pytest.mark.parametrize("name", ["attention_out", "mlp_out"])
def test_dropout_drops_its_share_of_both_outputs_and_keeps_their_mean(model, examples, tokenizer, name):
    """With the other output at 0 the first block adds this one alone, thinned: zeros, or 1 / (1 - share) times it."""
    other = {"attention_out": "mlp_out", "mlp_out": "attention_out"}[name]
    with torch.no_grad():
        getattr(model.blocks[0], other).weight.zero_()
    h0, h1 = outputs(model, examples, tokenizer, 0.0, ())[:2]
    thin0, thin1 = outputs(model, examples, tokenizer, 0.25, (1,))[:2]
    whole, thinned = h1 - h0, thin1 - thin0
    kept = thinned.abs() > 1e-6
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.01)
    torch.testing.assert_close(thinned[kept], whole[kept] / 0.75, rtol=1e-3, atol=1e-5)


def test_training_steps_use_dropout_and_other_passes_do_not(model, examples, tokenizer):
    batch, options = collate(examples[:8], tokenizer.pad), replace(SHORT, dropout=0.5, learning_rate=0.0)
    losses = [loop.train_step(model, loop.make_optimizer(model, told), batch, told, {}, step, 10)["loss"]
              for told, step in ((SHORT, 0), (options, 0), (options, 0), (options, 1))][1:]
    assert losses[0] == losses[1] != losses[2], f"{losses}: masks follow from the seed and the step"
    dev = [loop.mean_loss(model, examples[:8], tokenizer.pad) for _ in range(2)]
    assert dev[0] == dev[1] and abs(dev[0] - losses[0]) > 1e-4, "the loss on dev is without dropout"


def test_another_batch_order_holds_the_same_examples(examples):
    ours, other = ([rows for _, rows in batches_from(0, examples, replace(SHORT, batch_seed=s))] for s in (0, 7))
    assert ours != other

    def counted(batches):
        return sorted(tuple(e.tokens) for rows in batches for e in rows)

    assert counted(ours) == counted(other)


def test_extra_steps_lengthen_the_run_by_their_share_and_begin_like_it(examples):
    ours = list(batches_from(0, examples, SHORT))
    for share in (0.25, 1.5):
        longer = replace(SHORT, extra_steps=share)
        steps = list(batches_from(0, examples, longer))
        assert len(steps) == total_steps(examples, longer) == round(len(ours) * (1 + share))
        assert steps[:len(ours)] == ours and [step for step, _ in steps] == list(range(len(steps)))
        assert list(batches_from(len(ours) + 2, examples, longer)) == steps[len(ours) + 2:]


def gradient(form, h, basis, mean):
    h = torch.tensor(h, dtype=torch.float64, requires_grad=True)
    value = penalty(form, h, np.array(basis, dtype=np.float64), mean)
    value.backward()
    return value.item(), h.grad.numpy()


def test_one_sided_pushes_only_what_stands_on_the_standards_side(rng):
    """Along the axis (1, 0), with the mean at 1: states at 3 and 1.5 are 2 and 0.5 beyond it, one at -4 is away."""
    value, slope = gradient("one-sided", [[3.0, 9], [1.5, -2], [-4, 1]], [[1.0], [0]], np.array([1.0, 5]))
    assert value == pytest.approx((2 + 0.5 + 0) / 3)
    np.testing.assert_allclose(slope, [[1 / 3, 0], [1 / 3, 0], [0, 0]])


def test_one_sided_knows_the_standards_side(rng):
    """Class 0 is planted at +2 of the first feature: its states are penalised, those of the rest hardly."""
    y = np.arange(600) % 2
    h = rng.normal(size=(600, 8)).astype(np.float32)
    h[:, 0] += np.where(y == 0, 3, -3)
    core = Decoupler(DecoupleOptions(form="one-sided", probe_steps=100), 2, 8)
    core.refresh(h, y, rng)
    standard, rest = (core.penalty(torch.from_numpy(h[y == c])).item() for c in (0, 1))
    assert standard > 2 and rest < 0.1, f"standard {standard:.2f}, rest {rest:.2f}: is the direction turned round?"


def test_shrinking_pulls_every_state_to_zero_with_force_one(rng):
    h = rng.normal(size=(5, 4))
    value, slope = gradient("length", h, np.eye(4)[:, :1], None)
    length = np.linalg.norm(h, axis=1, keepdims=True)
    assert value == pytest.approx(length.mean())
    np.testing.assert_allclose(slope, h / length / 5)


def test_labels_of_the_probe(rng):
    variety = np.array([0, 1, 2, 0, 2, 1, 1, 0] * 50)
    assert np.array_equal(classes_of(DecoupleOptions(), variety), np.minimum(variety, 1))
    assert np.array_equal(classes_of(DecoupleOptions(one=2), variety), variety != 2), "the one is class 0"
    assert np.array_equal(classes_of(DecoupleOptions(labels="all-varieties"), variety), variety)
    dealt = classes_of(DecoupleOptions(labels="dealt"), variety, rng)
    assert dealt.sum() == np.minimum(variety, 1).sum(), "dealing changes how many there are of each"
    agreement = (dealt == np.minimum(variety, 1)).mean()
    assert agreement < 0.7, f"dealt labels agree with the true ones in {agreement:.0%}"


@pytest.mark.parametrize("told", [{"rank": 2}, {"labels": "all-varieties"}, {"labels": "dealt"}])
def test_one_side_needs_one_direction_that_points_to_the_standard(told):
    with pytest.raises(TinyDecoupleError, match="`form` one-sided needs `rank` 1 and `labels` one-vs-rest"):
        Decoupler(DecoupleOptions(form="one-sided", **told), 4, 8)


def test_reversal_makes_the_classifier_worse_and_the_classifier_learns(rng):
    """The gradient to the states is minus that of the classifier's loss; its own steps lower that loss."""
    y = torch.arange(400) % 2
    h = torch.from_numpy(rng.normal(size=(400, 6))).float()
    h[:, 0] += torch.where(y == 0, 2, -2)
    head, losses = Adversary(2, 6), []
    for _ in range(150):
        losses.append(-head(h, y).item())
    assert losses[-1] < 0.3 < losses[0], f"the classifier's loss goes from {losses[0]:.2f} to {losses[-1]:.2f} nats"
    moving = h.clone().requires_grad_()
    value = head(moving, y)
    value.backward()
    after = F.cross_entropy(head.logits(moving - 50 * moving.grad, head.weights), y)
    assert after > -value, "a step down the penalty makes the classifier better: is its sign turned round?"
    again = Adversary(2, 6)
    again.restore(head.state())
    assert head(h, y).item() == again(h, y).item() and torch.equal(head.weights, again.weights)


@pytest.mark.parametrize("form", ["reject", "leace"])
def test_an_edit_is_the_methods_own_in_numpy(form, rng):
    h, y = rng.normal(size=(500, 8)).astype(np.float32) + 2, np.arange(500) % 2
    h[:, 1] += 2 * y
    core = Decoupler(DecoupleOptions(form=form, probe_steps=50), 2, 8)
    with pytest.raises(TinyDecoupleError, match="no basis yet"):
        core.edits()
    core.refresh(h, y, rng)
    got = core.edits()(torch.from_numpy(h)).numpy()
    mean = h.mean(axis=0)
    expected = leace(h, y)(h) if form == "leace" else reject(h - mean, core.basis) + mean
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert core.penalty(torch.from_numpy(h)).item() == 0
    restored = Decoupler(DecoupleOptions(form=form, probe_steps=50), 2, 8)
    restored.restore(core.state())
    np.testing.assert_array_equal(restored.edits()(torch.from_numpy(h)).numpy(), got)


def test_states_are_edited_where_they_are_chosen_and_later_layers_see_it(model, examples, tokenizer):
    batch = collate(examples[:8], tokenizer.pad)
    inputs, chosen = torch.from_numpy(batch.inputs), batch.in_target & (batch.variety > 0)
    with torch.no_grad():
        plain = model(inputs)
        with editing(model, {1: lambda h: h * 0}, chosen):
            edited = model(inputs)
        after = model(inputs)
    where = torch.from_numpy(chosen)
    assert not edited[1][where].any() and torch.equal(edited[1][~where], plain[1][~where])
    assert torch.equal(edited[0], plain[0]) and not torch.equal(edited[2], plain[2])
    assert torch.equal(after[2], plain[2]), "a hook stays on the model"


def test_decoding_edits_new_tokens_as_training_does(model, examples, tokenizer):
    """A prompt and its continuation token by token with a cache, against one pass with the target's positions."""
    example = next(e for e in examples if len(e.tokens) - e.boundary > 4)
    batch = collate([example], tokenizer.pad)
    inputs = torch.from_numpy(batch.inputs)

    def edit(h):
        return h - 3 * h[..., :1]

    with torch.no_grad():
        with editing(model, {1: edit}, batch.in_target):
            expected = model(inputs)[-1]
        cache, steps = model.new_cache(1, inputs.shape[1]), []
        with editing(model, {1: edit}):
            steps.append(model(inputs[:, :example.boundary + 1], cache)[-1])
            steps += [model(inputs[:, i:i + 1], cache, i)[-1] for i in range(example.boundary + 1, inputs.shape[1])]
    torch.testing.assert_close(torch.cat(steps, dim=1), expected, rtol=1e-3, atol=1e-3)
