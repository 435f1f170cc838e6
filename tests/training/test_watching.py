"""What `watch` shows is recorded without touching the training, goes on after a kill, and is what it says it is."""

import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.model.decode import decode
from tinydecouple.model.transformer import Transformer
from tinydecouple.options import DecoupleOptions, ModelOptions, TrainOptions
from tinydecouple.training import watching
from tinydecouple.training.batches import Example, finetuning_examples
from tinydecouple.training.checkpoint import load_checkpoint, save_checkpoint
from tinydecouple.training.pipeline import decouplers
from tinydecouple.training.train import train
from tinydecouple.training.validate_watch import TOKENS, check
from tinydecouple.training.watching import Watcher, choose_sentences, in_the_plane, refit_angle

SHORT = TrainOptions(epochs=2, batch_tokens=100)
SETTING = DecoupleOptions(strength=0.5, layer="0,1", refreshes=4, probe_states=256, probe_steps=10)


@pytest.fixture(scope="module")
def setup(corpus, tokenizer):
    """A function (folder, whether it is watched, options, stop) -> (the trained model, the checkpoint)."""
    examples = finetuning_examples(corpus, tokenizer, "train", 2)[::5]
    dev = finetuning_examples(corpus, tokenizer, "dev", 3)[::2]

    def run(folder, watched=True, options=SHORT, stop=None, **told):
        sizes = ModelOptions(tokenizer.size, 16, 1, 2)
        model = Transformer(**asdict(sizes), generator=torch.Generator().manual_seed(0))
        cores = decouplers(replace(SETTING, **told), len(corpus.family), sizes)
        watcher = Watcher(dev, tokenizer, cores) if watched else None
        train(model, tokenizer, examples, dev, options, folder, cores, stop=stop, watcher=watcher)
        return model, load_checkpoint(folder)

    return run


def same(a, b):
    """Whether two nests of dicts, lists and tensors agree, bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    return a == b


@pytest.mark.parametrize("form", ["inside", "reject"])
def test_weights_do_not_change_by_being_watched(setup, tmp_path, form):
    """Not one bit: the tokens are drawn by a generator of their own, and nothing that is computed goes back."""
    told = {"strength": 0.5 if form == "inside" else 0.0, "form": form}
    states = [setup(tmp_path / str(watched), watched, **told)[1] for watched in (False, True)]
    assert same(*(s["model"] for s in states)), "the watcher changes training: does it draw from its randomness?"
    assert same(*(s["decouplers"] for s in states)), "the watcher changes a probe or its basis"
    assert "watch" not in states[0] and len(states[1]["watch"]["step"]) == 5, "4 refreshes and the end are expected"


@pytest.mark.parametrize("stop", [1, 6, 9])
def test_a_run_that_was_cut_off_records_the_same(setup, tmp_path, stop):
    whole = setup(tmp_path / "whole")[1]["watch"]
    setup(tmp_path / "cut", stop=stop)
    assert not load_checkpoint(tmp_path / "cut")["complete"]
    assert same(whole, setup(tmp_path / "cut")[1]["watch"]), "what is watched differs after the resume"


def test_a_run_begun_without_a_watcher_goes_on_without(setup, tmp_path):
    """Such as one that an older version began: half a record would pass for a whole one."""
    setup(tmp_path, watched=False, stop=6)
    assert setup(tmp_path)[1]["watch"] is None


def test_tokens_are_the_same_in_runs_of_other_seeds(setup, tmp_path):
    one, two = (setup(tmp_path / str(seed), options=replace(SHORT, seed=seed))[1]["watch"] for seed in (1, 2))
    assert torch.equal(one["tokens"], two["tokens"]) and torch.equal(one["variety"], two["variety"])
    assert one["sentences"] == two["sentences"]
    assert len(one["tokens"]) <= TOKENS == 1000
    states = [w["layers"][1]["places"] for w in (one, two)]
    assert not torch.equal(*states), "runs of two seeds show the same states"


def test_states_that_are_shown_are_those_of_their_tokens(setup, tmp_path, corpus, tokenizer):
    """At the embedding, layer 0, a state depends on its token alone: equal tokens at one place, others elsewhere."""
    record = setup(tmp_path)[1]["watch"]
    for places in record["layers"][0]["places"]:
        found = {}
        for token, place in zip(record["tokens"].tolist(), places.tolist()):
            assert found.setdefault(token, place) == place, "a token is shown at two places: are rows mixed up?"
        assert len({tuple(place) for place in found.values()}) > 0.9 * len(found)


def test_the_last_translations_are_the_models(setup, tmp_path, corpus, tokenizer):
    model, state = setup(tmp_path)
    expected = []
    for key, target in state["watch"]["sentences"]:
        source = tokenizer.encode([corpus.texts[key][corpus.standard]])[0]
        prompt = [tokenizer.tag(corpus.standard), *source, tokenizer.tag(corpus.family[target])]
        expected += tokenizer.decode(decode(model, [prompt], tokenizer.end))
    assert state["watch"]["outputs"][-1] == [" ".join(text.split()) for text in expected]
    assert len(expected) == 5


def test_a_long_run_keeps_every_second_refresh(setup, tmp_path, monkeypatch):
    """So that what is kept, and rewritten at each refresh, does not grow with the square of the refreshes."""
    monkeypatch.setattr(watching, "MOMENTS", 2)
    state = setup(tmp_path)[1]
    assert len(state["watch"]["step"]) == 3, "of 4 refreshes 2 are kept, and the end"
    assert state["watch"]["step"][-1] == state["step"]


def test_a_plane_known_in_advance(rng):
    """States that vary by 3 along e1, by 2 along e2, little elsewhere; the basis turns from 30 degrees to e1."""
    h = rng.standard_normal((400, 6)) * [3, 2, 0.1, 0.1, 0.1, 0.1] + 5
    turn = np.radians(30)
    before = np.eye(6)[:, :1] * np.cos(turn) + np.eye(6)[:, 1:2] * np.sin(turn)
    kept = {"states": torch.from_numpy(np.stack((2 * h, h))).half(), "null": torch.zeros(2),
            "basis": torch.from_numpy(np.stack((before, np.eye(6)[:, :1]))).float()}
    found = in_the_plane(kept)
    centred = h - h.mean(axis=0)
    second = np.linalg.eigh(np.cov(h[:, 1:].T))[1][:, -1]
    second *= np.sign(second[np.abs(second).argmax()])
    expected = np.stack((centred[:, 0], centred[:, 1:] @ second), axis=1)
    np.testing.assert_allclose(found["places"][1], expected, atol=0.03)  # float16 near 15 has steps of 0.008
    np.testing.assert_allclose(found["places"][0], 2 * expected, atol=0.06)  # the axes are those of the last moment
    np.testing.assert_allclose(found["arrow"], [[np.cos(turn), np.sin(turn)], [1, 0]], atol=0.03)
    share = (centred @ before).var() * len(h) / (centred**2).sum()
    np.testing.assert_allclose(found["inside"], [share, (centred[:, 0]**2).sum() / (centred**2).sum()], atol=0.01)
    np.testing.assert_allclose(found["spread"][0], 2 * np.sqrt((centred**2).sum(axis=1).mean()), rtol=0.01)


def test_a_basis_of_the_whole_space_leaves_no_second_axis():
    h = torch.arange(12.0).view(1, 6, 2).half()
    found = in_the_plane({"states": h, "null": torch.zeros(1), "basis": torch.eye(2)[None]})
    assert (found["places"][..., 1] == 0).all() and torch.isfinite(found["arrow"]).all()


def test_the_null_of_an_angle_is_that_of_a_refit_on_other_sentences(rng):
    """Planted along e1: a clear difference leaves the refit near the refresh, none leaves it anywhere."""
    sizes = ModelOptions(600, 16, 1, 2)
    angles = {}
    for gap in (4.0, 0.0):
        (core,) = decouplers(replace(SETTING, layer="1", probe_steps=60), 3, sizes).values()
        start = watching.probes_of({1: core})[1]
        y = np.arange(600) % 3
        first, other = (rng.standard_normal((600, 16)) + gap * np.outer(y == 0, np.eye(16)[0]) for _ in range(2))
        core.refresh(first, (y != 0).astype(int), rng)
        held = {name: a.copy() for name, a in core.probe.parameters.items()}
        angles[gap] = refit_angle(core, start, other, y, np.random.default_rng(0))
        assert all((held[name] == a).all() for name, a in core.probe.parameters.items()), "the run's probe was fitted"
        assert angles[gap] == refit_angle(core, start, other, y, np.random.default_rng(0)), "the start was refitted"
    assert 0 < angles[4.0] < 35 < 50 < angles[0.0], f"got {angles} degrees by gap"  # 21 and 74 were measured
    assert refit_angle(core, start, other, np.zeros(600, int), rng) == -1, "without a class there is no fit"


def test_sentences_are_of_one_length_and_far_apart():
    dev = [Example([1] * (3 + length), length + 1, 0, target, f"key {number}") for target in range(1, 27)
           for number, length in enumerate((5, 6, 6, 9, 6))]
    chosen = choose_sentences(dev + [replace(e, source=1, target=0) for e in dev])
    assert {len(e.tokens) for e in chosen} == {9}, "three meanings of 6 pieces are the most of one length"
    assert [e.target for e in chosen] == [1, 6, 11, 16, 21], "of 26 dialects every fifth"
    assert [e.key for e in chosen] == ["key 1", "key 2", "key 4", "key 1", "key 2"]
    few = choose_sentences(dev[:10])
    assert len({(e.key, e.target) for e in few}) == 5 and {e.target for e in few} == {1, 2}
    assert choose_sentences([]) == []


def spoilt(entry, value):
    def spoil(record):
        *path, name = entry
        for part in path:
            record = record[part]
        record[name] = value
    return spoil


@pytest.fixture(scope="module")
def unfinished(setup, tmp_path_factory):
    """A function (what spoils its record, a folder) -> nothing; the folder then holds a run cut off at step 1."""
    whole = tmp_path_factory.mktemp("unfinished")
    setup(whole, stop=1)

    def spoilt_copy(spoil, folder):
        shutil.copytree(whole, folder, dirs_exist_ok=True)
        state = load_checkpoint(folder)
        spoil(state["watch"])
        save_checkpoint(folder, {name: value for name, value in state.items() if name != "config_sha256"})

    return spoilt_copy


@pytest.mark.parametrize("spoil", [
    spoilt(["tokens"], torch.ones(3)), spoilt(["step"], torch.ones(99).long()), spoilt(["outputs"], [["a"]]),
    spoilt(["layers"], {}),
    spoilt(["sentences"], [[1, 2]] * 5), spoilt(["sentences", 0, 1], 0), spoilt(["outputs", 0, 0], 7),
    spoilt(["layers", 1, "states"], torch.zeros(2, 2, 2)), spoilt(["layers", 1, "basis"], torch.ones(1)),
    spoilt(["layers", 1, "null"], torch.full((1,), torch.nan)), spoilt(["variety", 0], -5),
    lambda record: record["layers"].pop(1), lambda record: record.pop("tokens"),
    lambda record: record["layers"][1].update(basis=torch.ones(2, 99, 1))])
def test_a_damaged_record_is_one_line(setup, unfinished, tmp_path, spoil):
    """Though the file's SHA-256 is right: who wrote it may mean harm."""
    unfinished(spoil, tmp_path)
    with pytest.raises(TinyDecoupleError, match="damaged .watch") as told:
        setup(tmp_path)
    assert "\n" not in str(told.value)


def test_other_dev_sentences_are_refused(setup, unfinished, tmp_path):
    unfinished(lambda record: record["tokens"].add_(1), tmp_path)
    with pytest.raises(TinyDecoupleError, match="dev sentences are not those"):
        setup(tmp_path)


def test_a_complete_record_passes_its_check(setup, tmp_path):
    record = setup(tmp_path)[1]["watch"]
    assert check(record, True, tmp_path) is record
    with pytest.raises(TinyDecoupleError, match="damaged"):
        check(record, False, tmp_path)
