"""Run directories: what a run leaves behind, written so that an interrupted run can continue.

runs/NAME/
  config.json           marker of a run; every option, seed and version that make it this run
  log.jsonl             one line per training step, per refresh and layer, and per check on dev
  checkpoint.pt         weights, tokeniser, log, decouplers and what `watch` shows; until the run
                        is complete, the optimiser, too; at its end the SHA-256 of all before
  checkpoint-before.pt  the checkpoint before, should the last one be damaged
  .lock                 there while a process writes to the run
"""

import hashlib
import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch

import tinydecouple
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import locked, read_regular, write, write_json
from tinydecouple.model.transformer import Transformer
from tinydecouple.options import FORWARD, filled, shown
from tinydecouple.text.tokenizer import Tokenizer
from tinydecouple.training.overwrite import clear, in_passing
from tinydecouple.training.validate import REMEDY, check_config
from tinydecouple.training.validate_checkpoint import (
    check_archive,
    check_state,
    check_tokenizer,
    check_weights,
    weights_of,
)

MARKER = "run directory of tinydecouple 7d1f0c52b6a94e38"  # many programs write a config.json
LAST, BEFORE = "checkpoint.pt", "checkpoint-before.pt"
MOST_CONFIG = 2**20  # bytes of config.json
DIGITS = 64  # of a SHA-256


def _config_at(run: Path) -> dict[str, Any] | None:
    """config.json, or None if there is none that this program wrote."""
    try:
        config = json.loads(read_regular(run / "config.json", MOST_CONFIG).decode("utf-8"))
        return config if config["marker"] == MARKER and {"version", "kind"} <= set(config) else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError, TinyDecoupleError):
        return None


def read_config(run: Path) -> dict[str, Any]:
    """The configuration of a run.

    Raises TinyDecoupleError if there is none, or if another version of tinydecouple wrote it.
    """
    config = _config_at(run)
    if config is None:
        raise TinyDecoupleError(f"{run}: no readable config.json of this or a later version, so "
                                "this is no run directory; make one with pretrain, finetune or "
                                "demo")
    if config["version"] != tinydecouple.__version__:
        raise TinyDecoupleError(f"{run}: made by tinydecouple {config['version']}, but this is "
                                f"{tinydecouple.__version__}; run it again with `overwrite` or "
                                "under another `run`")
    return filled(config)


def load_config(run: Path) -> dict[str, Any]:
    """read_config, with every option checked; raises TinyDecoupleError for a damaged one, too."""
    return check_config(read_config(run), run / "config.json")


@contextmanager
def open_run(run: Path, config: dict[str, Any], overwrite: bool) -> Generator[None, None, None]:
    """Make the run directory, or continue in an existing one of the same configuration.

    Inside the block no other process can open it. `overwrite` deletes the files of the run that is
    there. Raises TinyDecoupleError if it holds another configuration or version (unless
    `overwrite`), something other than a run (always), or if another process has it.
    """
    config = {"marker": MARKER, "version": tinydecouple.__version__, **config}
    config = json.loads(json.dumps(config))  # as it will be read back
    _refuse_a_stranger(run)
    with locked(run):
        _refuse_a_stranger(run)
        stored = _config_at(run)
        if stored is not None and overwrite:
            clear(run, stored, config)
            stored = None
        if stored is None:
            write_json(run / "config.json", config)
        elif read_config(run) != filled(config):
            raise TinyDecoupleError(f"{run}: holds a run of another configuration "
                                    f"({difference(stored, config)}); choose another `run` or "
                                    "pass `overwrite`")
        yield


def _refuse_a_stranger(run: Path) -> None:
    """A folder without a run's config.json must be empty, but for what a killed process left."""
    if run.exists() and _config_at(run) is None:
        if not run.is_dir() or not all(in_passing(path.name) for path in run.iterdir()):
            raise TinyDecoupleError(f"{run}: exists but is not a run directory; choose another "
                                    "`run` (a run made before version 0.3 has no marker: delete "
                                    "its folder yourself)")


def difference(stored: dict, asked: dict, prefix: str = "") -> str:
    """The first option that differs, as 'name: stored 1, asked for 2'."""
    for name in {**stored, **asked}:
        old, new = stored.get(name), asked.get(name)
        if old != new:
            if isinstance(old, dict) and isinstance(new, dict):
                return difference(old, new, f"{prefix}{name}.")
            return f"{prefix}{name}: stored {old!r}, asked for {new!r}"
    return "nothing"


def _config_sha256(run: Path) -> str:
    return hashlib.sha256(json.dumps(_config_at(run), sort_keys=True).encode()).hexdigest()


def save_checkpoint(run: Path, state: dict[str, Any]) -> None:
    """state: nested dicts and lists of tensors, numbers and strings."""
    buffer = BytesIO()
    torch.save({**state, "config_sha256": _config_sha256(run)}, buffer)
    buffer.write(hashlib.sha256(buffer.getbuffer()).hexdigest().encode("ascii"))
    write(run / LAST, buffer.getvalue(), before=run / BEFORE)


def load_checkpoint(run: Path, mend: bool = False) -> dict[str, Any] | None:
    """The last saved state, on the CPU, or None; if damaged, the one before, and that is said.

    mend: let the one before take the place of a damaged one; for who has opened the run. Raises
    TinyDecoupleError if there are checkpoints, but damaged ones.
    """
    state, complaint = _newest(run)
    if complaint and state is None:
        raise TinyDecoupleError(complaint + REMEDY)
    if complaint:
        print(f"{complaint}; going on from the one before, of step {state['step']}",
              file=sys.stderr, flush=True)
        if mend:
            os.replace(run / BEFORE, run / LAST)
    return state


def restore_log(run: Path, state: dict[str, Any]) -> None:
    """Bring log.jsonl to a checkpoint's step: a kill or power loss may leave any version of it."""
    path = run / "log.jsonl"
    if not path.exists() or read_regular(path) != state["log"].encode():
        write(path, state["log"])


def is_complete(run: Path) -> bool:
    """Whether a run's last checkpoint is sound and its training complete; its log is restored."""
    state, _ = _newest(run)
    if state is not None:
        restore_log(run, state)
    return state is not None and state["complete"]


def _newest(run: Path) -> tuple[dict[str, Any] | None, str]:
    """The newest checkpoint that is sound, if any, and what is wrong with the last one, if so."""
    complaint = ""
    for path in (run / LAST, run / BEFORE):
        if path.exists():
            try:
                return _read_checkpoint(path), complaint
            except TinyDecoupleError as error:
                complaint = complaint or str(error)
    return None, complaint


def _read_checkpoint(path: Path) -> dict[str, Any]:
    """Raises TinyDecoupleError for a file that is not as it was written, or of another run."""
    try:
        content = read_regular(path)
        payload, digest = content[:-DIGITS], content[-DIGITS:]
        if hashlib.sha256(payload).hexdigest().encode("ascii") != digest:
            raise ValueError("its SHA-256 differs")
        check_archive(BytesIO(payload), path)
        state = torch.load(BytesIO(payload), map_location="cpu", weights_only=True)
        check_state(state, path)
    except OSError:  # not readable is not damaged
        raise
    except TinyDecoupleError as error:  # the remedy is for the caller to say
        raise TinyDecoupleError(str(error).removesuffix(REMEDY)) from None
    except Exception as error:  # torch reports a damaged file by many types
        reason = shorten(repr(error), 80, placeholder=" …")
        raise TinyDecoupleError(f"{path}: damaged ({reason})") from None
    if state.get("config_sha256") != _config_sha256(path.parent):
        raise TinyDecoupleError(f"{path}: belongs to another configuration than config.json")
    return state


def load_complete(run: Path) -> dict[str, Any]:
    """The last saved state of a run. Raises TinyDecoupleError if it is damaged or not complete."""
    state, complaint = _newest(run)
    if complaint:
        remedy = f"; run its training command again, which goes on from step {state['step']}" \
            if state else REMEDY
        raise TinyDecoupleError(complaint + remedy)
    if state is None or not state["complete"]:
        raise TinyDecoupleError(
            f"{run}: holds no completely trained model; run its training command again, which goes "
            "on where it stopped (of a demo, name the folder of one arm)")
    return state


def load_model(run: Path, device: torch.device, unedited: bool = False
               ) -> tuple[Transformer, Tokenizer, dict[str, Any]]:
    """Model, tokeniser and configuration of a complete run.

    unedited: take a model that was trained with edits in its forward pass, without them. Raises
    TinyDecoupleError for such a model otherwise, and if the directory is no run or its training is
    not complete.
    """
    config = read_config(run)
    decouple = config.get("decouple", {})
    if decouple.get("form") in FORWARD and not unedited:
        raise TinyDecoupleError(f"{run}: its forward pass was edited in training, by `form` "
                                f"{decouple['form']}, and only the study edits it when "
                                "it translates; make it a cell of a study")
    if decouple.get("contrast") and not unedited:
        raise TinyDecoupleError(f"{run}: `contrast` {shown(decouple['contrast'])} is for the study "
                                "alone; make it a cell of a study")
    state = load_complete(run)
    check_config(config, run / "config.json")
    tokenizer = check_tokenizer(state["tokenizer"], config["model"]["vocabulary"], run / LAST)
    sizes = {**config["model"], "vocabulary": tokenizer.size}
    check_weights(state["model"], weights_of(sizes), run / LAST)
    tokenizer.source_tag = config["train"]["source_tag"]
    model = Transformer(**sizes)
    model.load_state_dict(state["model"])
    return model.to(device).eval(), tokenizer, config
