"""Damaged and hostile run folders: whatever is changed in config, log or checkpoint, one line says so, and no crash."""

import copy
import hashlib
import io
import json
import os
import shutil
import zipfile

import pytest
import torch

from tinydecouple.cli import main
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.training import train as loop
from tinydecouple.training.checkpoint import load_checkpoint, load_config, load_model, save_checkpoint
from tinydecouple.training.validate import read_records

CPU = torch.device("cpu")


@pytest.fixture
def run(runs, tmp_path):
    """A copy of a complete fine-tuned run, to be spoilt."""
    return shutil.copytree(runs / "plain", tmp_path / "run")


CONFIGS = [  # where in config.json, the value put there, what is said
    (("corpus",), 5, "corpus is int 5"), (("corpus",), None, "corpus is NoneType"), (("model",), [], "model is"),
    (("kind",), "other", "kind 'other'"), (("kind",), {}, "kind"), (("corpus_sha256",), 1, "corpus_sha256 is int 1"),
    (("foreign",), 1, "unknown entry 'foreign'"), (("model", "depth"), 3, "model: unknown option 'depth'"),
    (("model", "width"), "16", "width is str 16, expected int"), (("model", "width"), 16.0, "expected int"),
    (("model", "width"), True, "width is bool True, expected int"), (("model", "width"), 0, "0 is not within 1 to"),
    (("model", "width"), 10**30, "is not within"), (("model", "blocks"), -1, "-1 is not within"),
    (("train", "learning_rate"), "nan", "expected float"), (("train", "learning_rate"), float("nan"), "not within"),
    (("train", "learning_rate"), float("inf"), "not within"), (("decouple", "prior"), "none", "is not one of"),
    (("decouple", "layer"), 1, "expected str"), (("corpus", "corpus"), "a\0b", "NUL byte"),
    (("corpus", "standard"), 5, "expected str"), (("corpus", "lenient"), 1, "expected bool"),
    (("corpus", "keys"), None, "expected int"),
    (("train", "seed"), 2**40, "not within 0 to"), (("pretrain",), [], "pretrain is"),
]


@pytest.mark.parametrize("place, value, says", CONFIGS, ids=lambda part: str(part)[:30])
def test_a_config_with_one_wrong_entry(run, place, value, says):
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    section = config if len(place) == 1 else config[place[0]]
    section[place[-1]] = value
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(TinyDecoupleError, match="config.json: damaged") as error:
        load_config(run)
    assert says in str(error.value) and "\n" not in str(error.value), str(error.value)
    with pytest.raises(TinyDecoupleError, match="config.json"):
        load_model(run, CPU)


@pytest.mark.parametrize("place", [("corpus",), ("model", "width"), ("decouple", "rank"), ("corpus", "keys")])
def test_a_config_that_lacks_an_entry(run, place):
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    (config if len(place) == 1 else config[place[0]]).pop(place[-1])
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(TinyDecoupleError, match=f"{place[-1]} is missing"):
        load_config(run)


@pytest.mark.parametrize("content", [
    b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"version": ' + b"[" * 100_000, b"9" * 5000, b"null", b"[]", b'"x"',
    b" " * 2**21])
def test_a_config_that_is_no_json_is_no_run(run, content, capsys):
    (run / "config.json").write_bytes(content)
    with pytest.raises(TinyDecoupleError, match="no readable config.json"):
        load_config(run)


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices")
@pytest.mark.parametrize("name", ["config.json", "checkpoint.pt", "log.jsonl"])
@pytest.mark.parametrize("what", ["pipe", "device", "folder", "link to itself"])
def test_a_pipe_a_device_or_a_folder_in_a_files_place(run, name, what):
    (run / name).unlink()
    if what == "pipe":
        os.mkfifo(run / name)
    elif what == "device":
        (run / name).symlink_to("/dev/zero")
    elif what == "folder":
        (run / name).mkdir()
    else:
        (run / name).symlink_to(run / name)
    with pytest.raises((TinyDecoupleError, OSError)):
        read_records(run / name) if name == "log.jsonl" else load_model(run, CPU)


@pytest.mark.parametrize("line, says", [
    ("", "JSON does not parse"), ("{", "JSON does not parse"), ("[]", "an object with a step"), ("5", "an object"),
    ('{"loss": 1}', "an object with a step"), ('{"step": "1", "loss": 2}', "step is str 1"),
    ('{"step": 1.5}', "step is"), ('{"step": true}', "step is"), ('{"step": -1}', "step is"),
    ('{"step": 1' + "0" * 30 + "}", "step is"), ('{"step": 1, "loss": "x"}', "loss is str x"),
    ('{"step": 1, "loss": NaN}', "loss is"), ('{"step": 1, "loss": 1e999}', "loss is"),
    ('{"step": 1, "loss": ' + "9" * 400 + "}", "loss is"), ('{"step": 1, "loss": ' + "9" * 5000 + "}", "JSON does not"),
    ('{"step": 1, "penalty_by_layer": [1]}', "penalty_by_layer"), ("[" * 100_000, "JSON does not parse"),
    ('{"step": 1, "penalty_by_layer": {"1": "x"}}', "penalty_by_layer"),
    ('{"step": 1, "layer": "1"}', "layer is str 1")])
def test_a_log_with_one_wrong_line(run, line, says):
    path = run / "log.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    records = read_records(path)
    assert len(records) == len(lines)
    lines[2] = line
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(TinyDecoupleError, match="log.jsonl: damaged \\(line 3: ") as error:
        read_records(path)
    assert says in str(error.value) and len(str(error.value)) < 400


def swap(name, change):
    """A change of one tensor of the model."""
    def spoil(state):
        state["model"][name] = change(state["model"][name])
    return spoil


def put(name, value):
    def spoil(state):
        state[name] = value
    return spoil


def half_a_character(state):
    """The last piece that begins with a space's sign loses that sign's last byte to another."""
    data = bytearray(state["tokenizer"].numpy().tobytes())
    data[data.rindex("\u2581".encode()) + 2] = 0x41
    state["tokenizer"] = torch.frombuffer(data, dtype=torch.uint8)


EMBEDDING = "embedding.weight"
CHECKPOINTS = [  # what is spoilt, what is said
    (put("step", "1"), "step is str"), (put("step", -1), "step -1"), (put("step", True), "step"),
    (put("step", 10**30), "step 1000"), (put("complete", 1), "complete is int"), (put("model", []), "model is list"),
    (put("model", {}), "missing or unknown"), (put("tokenizer", b"x"), "tokenizer is bytes"),
    (put("tokenizer", torch.zeros(5)), "expected bytes"), (put("tokenizer", torch.zeros(0, dtype=torch.uint8)), ""),
    (put("tokenizer", torch.full((99,), 7, dtype=torch.uint8)), "tokenizer"),
    (swap(EMBEDDING, lambda w: w[:-1]), "embedding.weight is"),
    (swap(EMBEDDING, lambda w: w.T.contiguous()), "expected"),
    (swap(EMBEDDING, lambda w: w.double()), "float64"), (swap(EMBEDDING, lambda w: w.to(torch.int32)), "int32"),
    (swap(EMBEDDING, lambda w: w.to_sparse()), "no plain tensor"), (swap(EMBEDDING, lambda w: w * torch.nan), "NaN"),
    (swap(EMBEDDING, lambda w: torch.zeros(1).expand(10**12)), "is (1000000000000,)"),
    (swap(EMBEDDING, lambda w: w.to("meta")), "damaged"), (swap(EMBEDDING, lambda w: 5), "no plain tensor"),
    (lambda state: state["model"].pop(EMBEDDING), "missing or unknown: embedding.weight"),
    (lambda state: state["model"].update(extra=torch.zeros(1)), "missing or unknown: extra"),
    (half_a_character, "tokenizer: "),
    (lambda state: state.pop("step"), "step is missing"), (lambda state: state.clear(), "missing"),
]


@pytest.mark.parametrize("spoil, says", CHECKPOINTS, ids=range(len(CHECKPOINTS)))
def test_a_checkpoint_with_one_wrong_entry(run, spoil, says):
    state = load_checkpoint(run)
    spoil(state)
    save_checkpoint(run, state)
    with pytest.raises(TinyDecoupleError, match="checkpoint.pt: damaged") as error:
        load_model(run, CPU)
    assert says in str(error.value) and "\n" not in str(error.value), str(error.value)


def test_sizes_in_the_config_that_the_checkpoint_does_not_have(run):
    """Ten thousand times the width: refused before a model of that size takes its memory."""
    config, state = json.loads((run / "config.json").read_text(encoding="utf-8")), load_checkpoint(run)
    for name, value in (("width", 4096), ("blocks", 2), ("vocabulary", 300)):
        spoilt = copy.deepcopy(config)
        spoilt["model"][name] = value
        (run / "config.json").write_text(json.dumps(spoilt), encoding="utf-8")
        save_checkpoint(run, {name: value for name, value in state.items() if name != "config_sha256"})
        with pytest.raises(TinyDecoupleError, match="checkpoint.pt: damaged"):
            load_model(run, CPU)


def test_a_checkpoint_that_inflates(run):
    """The archive that torch.save writes is not compressed; one that is may take a thousand times its size."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(run / "checkpoint.pt") as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    digest = hashlib.sha256(buffer.getvalue()).hexdigest().encode()
    (run / "checkpoint.pt").write_bytes(buffer.getvalue() + digest)
    (run / "checkpoint-before.pt").unlink(missing_ok=True)
    with pytest.raises(TinyDecoupleError, match="a compressed archive"):
        load_checkpoint(run)


class Stop(Exception):
    pass


@pytest.fixture(scope="module")
def cut(runs, tmp_path_factory):
    """A fine-tuning that was cut off at its second save, and the command that goes on with it."""
    run = tmp_path_factory.mktemp("cut") / "run"
    argv = ["finetune", "--from", str(runs / "pretrained"), "--run", str(run), "--epochs", "2", "--refreshes", "2",
            "--probe-steps", "5", "--batch-tokens", "256"]
    real, calls = loop.save, []

    def save(*args):
        real(*args)
        calls.append(1)
        if len(calls) == 2:
            raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "save", save)
        with pytest.raises(Stop):
            main(argv)
    state = load_checkpoint(run)
    assert state["step"] > 0 and not state["complete"], "the cut run is not half-way; mend this fixture"
    return run, argv


def moment(name, change):
    def spoil(state):
        entry = state["optimizer"]["state"][0]
        entry[name] = change(entry[name])
    return spoil


def decoupler(name, change):
    def spoil(state):
        core = state["decouplers"][1]
        core[name] = change(core[name])
    return spoil


UNFINISHED = [
    (moment("exp_avg", lambda m: m[:1, :1].clone()), "exp_avg is"),  # a fused AdamW reads past its end: a crash
    (moment("exp_avg_sq", lambda m: torch.zeros(0)), "exp_avg_sq is"),
    (moment("exp_avg", lambda m: m.half()), "float16"),
    (moment("exp_avg", lambda m: m * torch.inf), "NaN or infinity"),
    (moment("exp_avg_sq", lambda m: m - 1), "exp_avg_sq"),
    (moment("step", lambda m: m + 1), "step or"), (moment("step", lambda m: 5), "no plain tensor"),
    (lambda s: s["optimizer"]["state"].pop(0), "moments"), (lambda s: s["optimizer"].pop("state"), "moments"),
    (lambda s: s["optimizer"]["state"].update({99: {}}), "moments"), (put("optimizer", {}), "param_groups"),
    (lambda s: s["optimizer"]["param_groups"].pop(), "param_groups"), (put("optimizer", None), "optimizer is"),
    (lambda s: s["optimizer"]["param_groups"][0].update(params=[5]), "params of a group"),
    (lambda s: s["optimizer"]["param_groups"][0].update(betas=(2.0, 0.98)), "betas of a group"),
    (lambda s: s["optimizer"]["param_groups"][0].update(lr="x"), "lr of a group"),
    (lambda s: s["optimizer"]["param_groups"][0].update(lr=float("nan")), "lr of a group"),
    (put("decouplers", {}), "decouplers of layers"), (put("decouplers", {1: 5}), "decoupler of layer 1"),
    (lambda s: s.pop("decouplers"), "decouplers is missing"), (put("step", 10**6), "yet not complete"),
    (decoupler("mean", lambda m: m[:3]), "mean is"), (decoupler("basis", lambda m: m.T.contiguous()), "basis is"),
    (decoupler("basis", lambda m: m * 2), "not orthonormal"), (decoupler("last", lambda m: m * 0), "not orthonormal"),
    (decoupler("refreshes", lambda n: "1"), "refreshes"), (decoupler("refreshes", lambda n: 99), "refreshes"),
    (lambda s: s["decouplers"][1].pop("basis"), "missing or unknown: basis"),
    (lambda s: s["decouplers"][1].pop("mean"), "missing or unknown: mean"),
]


@pytest.mark.parametrize("spoil, says", UNFINISHED, ids=range(len(UNFINISHED)))
def test_an_unfinished_checkpoint_with_one_wrong_entry(cut, tmp_path, capsys, spoil, says):
    run, argv = shutil.copytree(cut[0], tmp_path / "run"), cut[1]
    state = load_checkpoint(run)
    spoil(state)
    save_checkpoint(run, state)
    with pytest.raises(SystemExit) as stop:
        main([str(run) if a == str(cut[0]) else a for a in argv])
    err = capsys.readouterr().err
    assert stop.value.code == 2 and err.count("\n") == 1 and says in err and "damaged" in err, err


def test_a_hole_in_the_log_is_noticed(cut, tmp_path, capsys):
    run = shutil.copytree(cut[0], tmp_path / "run")
    state = load_checkpoint(run)
    lines = state["log"].splitlines(True)
    hole = next(i for i, line in enumerate(lines) if '"loss"' in line)
    save_checkpoint(run, state | {"log": "".join(lines[:hole] + lines[hole + 1:])})
    with pytest.raises(SystemExit):
        main([str(run) if a == str(cut[0]) else a for a in cut[1]])
    assert "checkpoint.pt: damaged (log: not one line for each step" in capsys.readouterr().err


def test_what_is_whole_goes_on(cut, tmp_path):
    """The checks refuse nothing that training itself wrote."""
    run = shutil.copytree(cut[0], tmp_path / "run")
    main([str(run) if a == str(cut[0]) else a for a in cut[1]])
    assert load_checkpoint(run)["complete"]


def test_weights_of_a_pickle_that_runs_code(run):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(run / "evil"),))

    buffer = io.BytesIO()
    torch.save({"model": Evil()}, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest().encode()
    (run / "checkpoint.pt").write_bytes(buffer.getvalue() + digest)
    (run / "checkpoint-before.pt").unlink(missing_ok=True)
    with pytest.raises(TinyDecoupleError, match="damaged"):
        load_checkpoint(run)
    assert not (run / "evil").exists(), "a checkpoint ran code"
