"""Probing states of a run and of a file: a planted answer comes out, with its controls."""

import json
from pathlib import Path

import numpy as np
import pytest

from tinydecouple.cli import main
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation import figures, probe_report
from tinydecouple.evaluation.probe_report import (
    States,
    gather_states,
    held_out_accuracy,
    probe_layer,
    probing_table,
    read_states,
)
from tinydecouple.method import codelength
from tinydecouple.method.planted import plant
from tinydecouple.method.probe import fit


@pytest.fixture(scope="module")
def planted():
    """Layer 0 is noise, layer 1 has three classes planted."""
    p = plant(1000, 16, 3, 3.0, np.random.default_rng(2))
    noise = np.random.default_rng(3).normal(size=p.h.shape)
    return States({0: noise, 1: p.h}, p.y, np.arange(1000) // 5, ["std", "x1", "x2"])


@pytest.fixture(scope="module")
def found(planted):
    """What the probe finds at both layers, noise first."""
    return [probe_layer(planted.h[i], planted, 3, np.random.default_rng(1)) for i in (0, 1)]


def test_a_planted_layer_is_distinguished_from_a_layer_of_noise(planted, found):
    noise, signal = found
    assert signal["variational_bits"] < 0.6 * signal["entropy_bits"] < noise["variational_bits"]
    assert signal["prequential_bits"] < 0.7 * signal["entropy_bits"]
    assert signal["compression"] > 1.6 and noise["compression"] < 1
    assert signal["selectivity_bits"] > 0.4 and abs(noise["selectivity_bits"]) < 0.05
    assert signal["accuracy"] > 0.9 and signal["control_accuracy"] < 0.72, "random labels: the majority"
    assert noise["null"] > 30 > signal["null"], f"null: {noise['null']:.0f}, {signal['null']:.0f}"
    one, larger = (planted.y == 0).mean(), (planted.y > 0).mean()
    for layer in found:
        assert layer["constant_accuracy"] == pytest.approx(max(one, larger), abs=0.04), "always the larger class"
        assert layer["control_accuracy"] == pytest.approx(layer["constant_accuracy"], abs=0.06)
    assert noise["energy_percent"] < 10 and 20 < signal["energy_percent"] < 60, "share of one direction in 16"
    assert signal["accuracy"] > signal["constant_accuracy"] + 0.15
    assert signal["unrelated"] == pytest.approx(60), "three classes of a simplex: arccos(1/2)"
    np.testing.assert_allclose(signal["angles"], np.transpose(signal["angles"]), atol=1e-6)
    text = probing_table({0: noise, 1: signal}, planted.names)
    assert f" {signal['variational_bits']:.3f} |" in text and f" {signal['angles'][0][2]:.1f} |" in text
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    row = dict(zip(lines[0], lines[2]))
    for column, name in (("dealt", "null_bits"), ("accuracy", "accuracy"), ("control", "control_accuracy"),
                         ("constant", "constant_accuracy"), ("energy %", "energy_percent"),
                         ("largest %", "dominance_percent"), ("prequential", "prequential_bits")):
        assert row[column] == f"{signal[name]:.3f}", f"{column} of layer 1: {row[column]}, found {signal[name]:.3f}"
    assert f"n = 1000 states, H(Y) = {signal['entropy_bits']:.3f} bits per state" in " ".join(text.split())


def test_no_signal_costs_what_dealt_labels_cost(found):
    """The null is the dealt-labels code, not H(Y): here noise costs more than H(Y), and selectivity says 0."""
    noise = found[0]
    assert noise["null_bits"] > noise["entropy_bits"] + 0.005
    assert noise["selectivity_bits"] == pytest.approx(noise["null_bits"] - noise["variational_bits"])
    assert abs(noise["selectivity_bits"]) < 0.02, f"noise saves {noise['selectivity_bits']:.3f} bits per state"


def test_held_out_accuracy_is_of_states_the_probe_has_not_seen():
    """Random labels, more features than fitted states: seen states are learned by heart, held-out ones are guessed."""
    rng = np.random.default_rng(0)
    h, y, test = rng.normal(size=(400, 300)), rng.integers(2, size=400), np.arange(400) >= 200
    got = held_out_accuracy(h, y, test, rng)
    assert 0.35 < got < 0.65, f"accuracy {got:.2f} on random labels: has the probe seen the held-out states?"


def test_a_direction_that_dominates_is_shown_and_warns_nobody(planted, recwarn, monkeypatch):
    """And the null is the 95th percentile of the angles between refits, here 0 to 100 degrees; fits of 5 steps do."""
    for module in (probe_report, codelength):
        monkeypatch.setattr(module, "fit", lambda probe, h, y, rng, steps=None: fit(probe, h, y, rng, 5))
    monkeypatch.setattr(probe_report, "angle_null", lambda *args: np.radians(np.arange(101)))
    few = States({}, planted.y[:300], planted.keys[:300], planted.names)
    loud = planted.h[1][:300].copy()
    loud[:, 0] *= 100
    found = probe_layer(loud, few, 2, np.random.default_rng(1))
    assert found["dominance_percent"] > 90 and not recwarn.list
    assert found["null"] == pytest.approx(95)


def test_the_constant_guess_is_the_larger_class_also_where_that_is_the_standard(planted, monkeypatch):
    """An accuracy of 0.8 says nothing where four in five states are the standard's; fits of 5 steps do."""
    for module in (probe_report, codelength):
        monkeypatch.setattr(module, "fit", lambda probe, h, y, rng, steps=None: fit(probe, h, y, rng, 5))
    monkeypatch.setattr(probe_report, "angle_null", lambda *args: np.zeros(3))
    y = (np.arange(300) % 5 == 4) * (1 + np.arange(300) // 5 % 2)
    found = probe_layer(planted.h[1][:300], States({}, y, np.arange(300) // 5, planted.names), 2,
                        np.random.default_rng(1))
    assert found["constant_accuracy"] == pytest.approx(0.8), "every sentence has four states of the standard in five"


def test_states_of_a_run_are_balanced_and_keep_sentences_whole(corpus, tokenizer, model):
    states = gather_states(model, tokenizer, corpus, "train", 20, np.random.default_rng(1))
    counts = np.bincount(states.y)
    assert len(counts) == 26 and counts.min() >= 20 and counts.max() < 60, f"states of each variety: {counts}"
    assert set(states.h) == {0, 1, 2} and states.h[1].shape == (len(states.y), 32) and len(states.keys) == len(states.y)
    assert set(states.keys) <= set(corpus.keys("train"))


def save(path, **changes):
    rng = np.random.default_rng(1)
    arrays = {"h": rng.normal(size=(2, 90, 6)), "y": np.arange(90) % 3, "names": np.array(["a", "b", "std"]),
              "keys": np.arange(90) // 3, **changes}
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def test_a_file_of_states_and_its_standard(tmp_path):
    states = read_states(save(tmp_path / "s.npz"), "std")
    assert states.names == ["std", "a", "b"] and list(states.y[:3]) == [1, 2, 0] and set(states.h) == {0, 1}
    assert len(np.unique(read_states(save(tmp_path / "s.npz", keys=None), None).keys)) == 90
    marked = read_states(save(tmp_path / "m.npz", names=np.array(["a", "b\u200f", "std"])), "\ufeffstd")
    assert marked.names == ["std", "a", "b"], "names are cleaned, in the file and on the command line"
    half = read_states(save(tmp_path / "h.npz", h=np.random.default_rng(1).normal(size=(90, 6)).astype(np.float16),
                            names=np.array([b"cai", b"tun", b"msa"])), None)
    assert half.names == ["cai", "tun", "msa"] and half.h[0].dtype == np.float16


@pytest.mark.parametrize("changes, says", [
    ({"y": None}, "lacks y; expected h, y, names"),
    ({"h": np.zeros((90, 6), int)}, "int64"),
    ({"names": np.array(["a", "b", "std", "more"])}, "no state is labelled 'more'"),
    ({"names": np.array(["a", "b", "a"])}, "holds 'a' twice"),
    ({"h": np.full((90, 6), np.nan)}, "NaN"),
    ({"y": np.zeros(90, int)}, "one label"),
    ({"y": np.arange(90)}, "0 to 2"),
    ({"keys": np.arange(5)}, "keys have shape"),
    ({"names": np.array([{}], dtype=object)}, "not a readable .npz file"),
    ({"names": np.array("std")}, "0 to 0"),
    ({"h": np.zeros((0, 90, 6))}, "without a layer"),
])
def test_files_that_cannot_be_probed(tmp_path, changes, says):
    with pytest.raises(TinyDecoupleError, match=says):
        read_states(save(tmp_path / "s.npz", **changes), None)


def test_other_refusals(tmp_path, capsys):
    with pytest.raises(TinyDecoupleError, match="`standard` 'msa' is not among the names in .*: a, b, std"):
        read_states(save(tmp_path / "s.npz"), "msa")
    (tmp_path / "t.npz").write_bytes(b"no archive")
    np.save(tmp_path / "h.npy", np.zeros((3, 2)))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "s.npz").read_bytes()[:500])
    for argv, says in ((["--states", str(tmp_path / "t.npz")], "not a readable .npz"), ([], "either a run or --states"),
                       (["--states", str(tmp_path / "none.npz")], "not a readable .npz"),
                       (["--states", str(tmp_path / "h.npy")], "not a readable .npz"),
                       (["--states", str(tmp_path / "cut.npz")], "not a readable .npz")):
        with pytest.raises(SystemExit) as stop:
            main(["probe", *argv])
        err = capsys.readouterr().err
        assert stop.value.code == 2 and says in err and err.count("\n") == 1


def test_the_command_on_a_run_and_on_the_planted_sample(runs, tmp_path, capsys):
    main(["probe", str(runs / "plain"), "--split", "train", "--per-variety", "10", "--refits", "2"])
    out = capsys.readouterr().out
    folder = runs / "plain" / "probe-train"
    assert (folder / "table.md").read_text(encoding="utf-8") in out
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    assert set(scores["layers"]) == {"0", "1"} and np.shape(scores["layers"]["1"]["angles"]) == (4, 4)
    sample = read_states(Path(__file__).parents[2] / "data_samples" / "planted.npz", None)
    assert sample.h[0].shape == (2000, 16) and len(sample.names) == 4


def test_pictures_hold_what_was_found(planted, found, tmp_path, monkeypatch):
    """Angles and plane are those of the layer with the shortest code, here the second."""
    pytest.importorskip("matplotlib")
    axes, real = {}, figures.save
    monkeypatch.setattr(figures, "save", lambda folder, drawn: (
        axes.update({name: figure.axes[0] for name, figure in drawn.items()}), real(folder, drawn))[1])
    noise, signal = found
    paths = figures.draw_probing(tmp_path, {3: noise, 5: signal}, planted.names, planted.y, lambda name: name[0])
    assert [p.name for p in paths] == ["code_length.png", "angles.png", "states.png"]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in paths)
    variational = axes["code_length"].lines[0]
    assert list(variational.get_xdata()) == [3, 5]
    assert list(variational.get_ydata()) == [noise["variational_bits"], signal["variational_bits"]]
    np.testing.assert_allclose(axes["angles"].images[0].get_array(), signal["angles"])
    drawn = {line.get_label(): np.transpose(line.get_data()) for line in axes["states"].lines}
    assert set(drawn) == {"s", "x"}, "a colour per group"
    np.testing.assert_allclose(drawn["s"], signal["plane"][planted.y == 0], err_msg="not the standard's states")
    np.testing.assert_allclose(drawn["x"], signal["plane"][planted.y > 0], err_msg="not the dialects' states")
