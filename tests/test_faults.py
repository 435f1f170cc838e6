"""Kills, power losses and a full disk at every file operation of every command: the same command goes on, bit for bit.

One undisturbed run is watched. What is on the disk before and half-way through each of its file operations is what a
kill there leaves behind (after it is before the next). A power loss is harder: of each file it may leave any version
since its folder was last synced, and of a file that was never synced any beginning. In each of these states the command
is given again, and what it leaves must be what the undisturbed run left.
"""

import builtins
import errno
import importlib.util
import io
import json
import os
import shutil
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from tinydecouple import commands, corpus_command
from tinydecouple.cli import main
from tinydecouple.evaluation import figures, report
from tinydecouple.evaluation.score import copied, direction, directions
from tinydecouple.files import LOCK, TEMPORARY
from tinydecouple.study import cells
from tinydecouple.training import pipeline
from tinydecouple.training import train as loop

CALLS = ("replace", "rename", "link", "symlink", "unlink", "remove", "mkdir", "rmdir", "fsync", "truncate", "chmod")
NEEDS_ROOM = {"open", "write", "fsync", "mkdir"}


class Disk:
    """Every operation that changes something under a folder, told to `at(operation, path, target, half)` before it
    happens and, of a write, once more when half of it is done; what `at` raises, the operation raises."""

    def __init__(self, folder):
        self.folder, self.files, self.names = str(folder), [], {}

    def tell(self, at, operation, path, target=None, half=False):
        path = self.names.get(path, path) if isinstance(path, int) else path
        if not isinstance(path, int) and os.path.abspath(path).startswith(self.folder):
            at(operation, os.path.abspath(path), target and os.path.abspath(target), half)
            return True
        return False

    @contextmanager
    def watched(self, at):
        real = {name: getattr(os, name) for name in CALLS}
        real_open, real_number = io.open, os.open

        def changed(name):
            def call(path, *rest, **named):
                self.tell(at, name, path, rest[0] if name in ("replace", "rename") else None)
                return real[name](path, *rest, **named)
            return call

        def open_file(path, mode="r", buffering=-1, *rest, **named):
            if not set(mode) & set("wxa+") or not self.tell(at, "open", path):
                return real_open(path, mode, buffering, *rest, **named)
            raw = real_open(path, mode.replace("t", "").replace("b", "") + "b", buffering=0)
            self.files.append(raw)
            self.names[raw.fileno()] = str(path)
            file = Watched(raw, lambda half: self.tell(at, "write", path, half=half))
            return file if "b" in mode else io.TextIOWrapper(io.BufferedWriter(file), *rest, **named)

        def open_number(path, *rest, **named):
            number = real_number(path, *rest, **named)
            self.names[number] = str(path)
            return number

        try:
            for name in CALLS:
                setattr(os, name, changed(name))
            builtins.open = io.open = open_file
            os.open = open_number
            yield
        finally:
            for name in CALLS:
                setattr(os, name, real[name])
            builtins.open = io.open = real_open
            os.open = real_number
            for file in self.files:
                file.close()


class Watched(io.RawIOBase):
    """A file without a buffer, written in two halves."""

    def __init__(self, raw, at):
        self.raw, self.at = raw, at

    def writable(self):
        return True

    def fileno(self):
        return self.raw.fileno()

    def write(self, data):
        data = bytes(data)
        self.at(False)
        self.raw.write(data[:len(data) // 2])
        self.at(True)
        self.raw.write(data[len(data) // 2:])
        return len(data)

    def close(self):
        self.raw.close()
        super().close()


def read_tree(folder):
    """Path -> content of each file under a folder; None for a folder."""
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
            for path in sorted(folder.rglob("*"))}


def write_tree(folder, tree):
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, content in sorted(tree.items()):
        path = folder / name
        (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_bytes(content)


class Loss:
    """What a power loss may leave of each path: its version at the last sync of its folder, or any later one."""

    def __init__(self, tree):
        self.versions = {name: [content] for name, content in tree.items()}
        self.unsynced, self.gone = set(), set()

    def note(self, operation, name, target, now):
        """After an operation; now: the tree as running programs see it."""
        if operation in ("open", "write"):
            self.unsynced.add(name)
        if operation == "fsync" and now.get(name, 0) is not None:  # a file
            self.unsynced.discard(name)
        if operation == "replace" and name in self.unsynced:
            self.unsynced.add(target)
        for path in now.keys() | self.versions.keys():
            history = self.versions.setdefault(path, ["absent"])
            version = now.get(path, "absent")
            history += [version] * (history[-1] != version)
        if operation == "fsync" and now.get(name, "" if name == "." else 0) in (None, ""):  # a folder
            for path, history in list(self.versions.items()):
                above = [str(parent) for parent in Path(path).parents]
                if above[0] == name or any(p not in now and p != "." for p in above):
                    self.versions[path] = [history[-1]]

    def draw(self, rng):
        tree = {}
        for path, history in self.versions.items():
            version = history[rng.integers(len(history))]
            if isinstance(version, bytes) and path in self.unsynced and rng.random() < 0.5:
                version = version[:rng.integers(len(version) + 1)]
            if version != "absent":
                tree[path] = version
        return tree


@pytest.fixture(scope="module")
def small():
    """Runs of a tenth of a second: the corpus is read once, translations are copies, a picture is empty."""
    patch = pytest.MonkeyPatch()
    patch.setattr(commands, "load_corpus", lru_cache(commands.load_corpus))
    tokenizers, real = {}, commands.new_tokenizer
    patch.setattr(commands, "new_tokenizer", lambda corpus, options: tokenizers.setdefault(
        (corpus.fingerprint, options), tokenizers.get((corpus.fingerprint, options)) or real(corpus, options)))
    for module in (pipeline, corpus_command):
        patch.setattr(module, "load_corpus", commands.load_corpus)

    for name in ("pretraining_examples", "finetuning_examples"):  # few of them, made once
        patch.setattr(pipeline, name, few(getattr(pipeline, name)))

    @lru_cache
    def system(split):
        corpus = commands.run_corpus(system.run)
        return copied([direction(s, t, keys, corpus.column(s, keys), corpus.column(t, keys), corpus.column(t, keys))
                       for s, t in directions(corpus) for keys in [corpus.keys(split, s, t)[:2]]])

    def translate(model, tokenizer, corpus, split, *rest, **named):
        return system(split)

    patch.setattr(cells, "translate", translate)
    patch.setattr(report, "paired_bootstrap", lambda *args: (0.0, 0.0))
    patch.setattr(loop, "CHECKPOINTS", 2)
    patch.setattr(commands, "probe_layer", lambda h, states, *rest: {"bits": float(h.sum())})
    patch.setattr(commands, "probing_table", lambda layers, names: f"{layers}\n")
    if importlib.util.find_spec("matplotlib"):
        from matplotlib.figure import Figure

        dot = Figure(figsize=(0.1, 0.1))
        patch.setattr(figures, "draw", lambda run, *rest: figures.save(run / "figures", {"gains": dot}))
        patch.setattr(figures, "draw_probing", lambda folder, *rest: figures.save(folder, {"angles": dot}))
    yield system
    patch.undo()


def few(examples):
    made = {}

    def call(corpus, tokenizer, split, *rest, **named):
        if split not in made:
            made[split] = examples(corpus, tokenizer, split, *rest, **named)[::10][:40]
        return made[split]
    return call


FAMILY = ["--corpus", "family", "--keys", "60", "--per-variety", "10", "--trickle", "2", "--varieties", "a1,b1"]
TINY = ["--width", "8", "--blocks", "1", "--heads", "2", "--vocabulary", "600"]
SHORT = ["--epochs", "1", "--batch-tokens", "256"]
PROBE = ["--layer", "1", "--refreshes", "2", "--probe-states", "64", "--probe-steps", "2"]
PRETRAIN = ["pretrain", *FAMILY, *TINY, *SHORT, "--run", "pre"]
FINETUNE = ["finetune", "--from", "pre", *SHORT, *PROBE, "--strength", "0.5", "--run", "fine"]
DEMO = ["demo", *FAMILY, *TINY, *SHORT, *PROBE, "--pretrain-epochs", "1", "--pretrain-batch-tokens", "256",
        "--arms", "plain", "--run", "demo"]
COMMANDS = {  # name -> (what was done before, the command)
    "pretrain": ([], PRETRAIN),
    "pretrain over another": ([[*PRETRAIN, "--seed", "2"], ["evaluate", "pre"]], [*PRETRAIN, "--overwrite"]),
    "finetune": ([PRETRAIN], FINETUNE),
    "finetune over another": ([PRETRAIN, [*FINETUNE, "--seed", "2"], ["probe", "fine"]], [*FINETUNE, "--overwrite"]),
    "evaluate": ([PRETRAIN], ["evaluate", "pre"]),
    "evaluate against": ([PRETRAIN, FINETUNE], ["evaluate", "fine", "--against", "pre"]),
    "probe": ([PRETRAIN], ["probe", "pre"]),
    "probe elsewhere": ([PRETRAIN], ["probe", "pre", "--out", "new/folder"]),
    "watch": ([PRETRAIN, FINETUNE], ["watch", "fine"]),
    "rerun": ([PRETRAIN], ["rerun", "pre", "--into", "again"]),
    "demo": ([], DEMO),
    "demo over another": ([[*DEMO, "--seed", "2"]], [*DEMO, "--overwrite"]),
    "export": ([], ["corpus", *FAMILY[1:], "--export", "new/corpus.tsv"]),
    "figure": ([], ["corpus", *FAMILY[1:], "--figure", "new/map.png"]),
}
SPARSE = {"finetune": 2, "demo": 6, "rerun": 4, "evaluate against": 2}  # of which every so-manieth state is tried in CI


@pytest.fixture(params=[pytest.param(False, id=""), pytest.param(True, id="every", marks=pytest.mark.slow)])
def thorough(request):
    """Whether every state is tried."""
    return request.param


@pytest.fixture(params=COMMANDS)
def given(request, small, thorough, tmp_path_factory, monkeypatch):
    """(folder, tree before the command, tree after it, the command's arguments, every how many states are tried)."""
    if request.param == "figure":
        pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("disk").resolve()
    monkeypatch.chdir(folder)
    before, argv = COMMANDS[request.param]
    for command in before:
        system_of(small, command)
        main(command)
    system_of(small, argv)
    tree = read_tree(folder)
    main(argv)
    stride = 1 if thorough else 2 * SPARSE.get(request.param.removesuffix(" over another"), 1)
    return folder, tree, read_tree(folder), argv, stride


def system_of(system, argv):
    names = [Path(word) for word in argv if word in ("pre", "fine")]
    system.run = names[-1] if names else Path("demo/pretrained")


def readable(name, content):
    """A file's content but for seconds: those of a checkpoint are its tensors."""
    if name.endswith(".pt"):
        state = torch.load(io.BytesIO(content), weights_only=True)
        return [(key, value.numpy().tobytes() if torch.is_tensor(value) else value) for key, value in walk(state)
                if key != "/log"]
    if name.endswith("log.jsonl"):
        records = [json.loads(line) for line in content.decode("utf-8").splitlines()]
        return [{key: value for key, value in record.items() if key != "seconds"} for record in records
                if "session" not in record]
    return content


def walk(state, at=""):
    for key, value in state.items() if isinstance(state, dict) else enumerate(state):
        if isinstance(value, (dict, list, tuple)):
            yield from walk(value, f"{at}/{key}")
        else:
            yield f"{at}/{key}", value


def differences(got, expected):
    """Names of files that are not as expected; hidden files that a kill left count, too."""
    names = [name for name in sorted(got.keys() | expected.keys())
             if (name in got) != (name in expected) or got[name] != expected[name]]
    return [name for name in names
            if not (name in got and name in expected and readable(name, got[name]) == readable(name, expected[name]))]


def goes_on(folder, state, argv, after, where):
    write_tree(folder, state)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", lambda number: None)  # it changes nothing that can be seen here
            main(argv)
    except SystemExit as stop:
        pytest.fail(f"{where}: refused with exit code {stop.code}, in {sorted(state)}")
    wrong = [name for name in differences(read_tree(folder), after)  # a power loss may bring a lock's empty file back
             if not name.endswith(LOCK)]
    if "--export" in argv or "--figure" in argv:  # into a folder of the user's, where nothing is cleared away
        wrong = [name for name in wrong if TEMPORARY not in name]
    assert not wrong, f"{where}: {wrong} differ from an undisturbed run"


def test_a_kill_at_any_file_operation(given, capsys):
    folder, before, after, argv, stride = given
    states, known = [], set()

    def at(operation, path, target, half):
        state = read_tree(folder)
        if (mark := hash(frozenset(state.items()))) not in known:
            known.add(mark)
            states.append((state, f"{'half-way through' if half else 'before'} {operation} of {path}"))

    write_tree(folder, before)
    with Disk(folder).watched(at):
        main(argv)
    assert not differences(read_tree(folder), after), "two undisturbed runs differ"
    assert len(states) > 2, "no file operation was seen: does something write past the functions that are watched?"
    for state, where in states[::(stride + 1) // 2]:
        goes_on(folder, state, argv, after, f"killed {where}")


def test_a_power_loss_keeps_any_version_of_any_file(given, capsys):
    folder, before, after, argv, stride = given
    rng, states, pending = np.random.default_rng(0), [], []
    loss = Loss(before)

    def at(operation, path, target, half):
        if pending:
            loss.note(*pending, read_tree(folder))
        states.append((loss.draw(rng), f"{operation} of {path}"))
        short = [os.path.relpath(p, folder) if p else None for p in (path, target)]
        pending[:] = [operation, *short]

    write_tree(folder, before)
    with Disk(folder).watched(at):
        main(argv)
    for state, where in states[::stride]:
        goes_on(folder, state, argv, after, f"power lost before {where}")


def test_a_disk_that_is_full_from_any_operation_on(given, capsys):
    """One line that names a file, exit code 2, nothing half-written; with room again the same command goes on."""
    folder, before, after, argv, stride = given
    write_tree(folder, before)
    operations = []
    with Disk(folder).watched(lambda operation, path, *rest: operations.append(operation)):
        main(argv)
    for full in [i for i, operation in enumerate(operations) if operation in NEEDS_ROOM][::stride]:
        write_tree(folder, before)
        seen = iter(range(len(operations) + 1000))

        def at(operation, path, target, half, full=full, seen=seen):
            if next(seen) >= full and operation in NEEDS_ROOM:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as write(2) does: without a file name

        capsys.readouterr()
        try:
            with Disk(folder).watched(at):
                main(argv)
        except SystemExit as stop:
            last = capsys.readouterr().err.splitlines()[-1]
            assert stop.code == 2, f"full at operation {full}: exit code {stop.code}, expected 2; {last}"
            named = last.removeprefix("tinydecouple: ").split(":")[0]
            assert "No space left" in last and Path(named).parent != Path(named), f"names no file: {last}"
        left = [name for name in read_tree(folder) if TEMPORARY in name or name.endswith(LOCK)]
        assert not left, f"full at operation {full}: {left} left behind"
        goes_on(folder, read_tree(folder), argv, after, f"room again after operation {full}")
