"""Run directories: what a run leaves behind, written so that an interrupted run can continue.

runs/NAME/
  config.json      every option, seed and version: what makes this run this run
  log.jsonl        one line per training step, per refresh and layer, and per check on dev
  checkpoint.pt    weights and tokeniser; until the run is complete, optimiser and decouplers, too
"""

import json
import os
import shutil
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch

import tinydecouple
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import write_json
from tinydecouple.model.transformer import Transformer
from tinydecouple.options import FORWARD
from tinydecouple.text.tokenizer import Tokenizer


def _config_at(run: Path) -> dict[str, Any] | None:
    """config.json, or None if this is no run directory: other programs write a config.json, too."""
    try:
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
        return config if {"version", "kind"} <= set(config) else None
    except (OSError, ValueError, TypeError):
        return None


def read_config(run: Path) -> dict[str, Any]:
    """The configuration of a run.

    Raises TinyDecoupleError if there is none, or if another version of tinydecouple wrote it.
    """
    config = _config_at(run)
    if config is None:
        raise TinyDecoupleError(f"{run}: no readable config.json, so this is no run directory; "
                                "make one with pretrain, finetune or demo")
    if config["version"] != tinydecouple.__version__:
        raise TinyDecoupleError(f"{run}: made by tinydecouple {config['version']}, but this is "
                                f"{tinydecouple.__version__}; run it again with `overwrite` or "
                                "under another `run`")
    return config


def open_run(run: Path, config: dict[str, Any], overwrite: bool) -> None:
    """Make the run directory, or continue in an existing one of the same configuration.

    Raises TinyDecoupleError if it holds another configuration or version (unless `overwrite`), or
    something other than a run (always).
    """
    config = {"version": tinydecouple.__version__, **config}
    config = json.loads(json.dumps(config))  # as it will be read back
    if run.exists() and _config_at(run) is None and (not run.is_dir() or any(run.iterdir())):
        raise TinyDecoupleError(f"{run}: exists but is not a run directory; choose another `run`")
    if overwrite and run.exists():
        shutil.rmtree(run)
    if _config_at(run) is None:
        write_json(run / "config.json", config)
    elif (stored := read_config(run)) != config:
        raise TinyDecoupleError(f"{run}: holds a run of another configuration "
                                f"({difference(stored, config)}); choose another `run` or pass "
                                "`overwrite`")


def difference(stored: dict, asked: dict, prefix: str = "") -> str:
    """The first option that differs, as 'name: stored 1, asked for 2'."""
    for name in {**stored, **asked}:
        old, new = stored.get(name), asked.get(name)
        if old != new:
            if isinstance(old, dict) and isinstance(new, dict):
                return difference(old, new, f"{prefix}{name}.")
            return f"{prefix}{name}: stored {old!r}, asked for {new!r}"
    return "nothing"


def save_checkpoint(run: Path, state: dict[str, Any]) -> None:
    """state: nested dicts and lists of tensors, numbers and strings."""
    run.mkdir(parents=True, exist_ok=True)
    temporary = run / "checkpoint.pt.part"
    torch.save(state, temporary)
    os.replace(temporary, run / "checkpoint.pt")


def load_checkpoint(run: Path) -> dict[str, Any] | None:
    """The last saved state, on the CPU, or None. Raises TinyDecoupleError for a damaged file."""
    path = run / "checkpoint.pt"
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        _ = state["complete"], state["step"], state["model"], state["tokenizer"]
        return state
    except Exception as error:  # torch reports a damaged file by many types
        reason = shorten(repr(error), 80, placeholder=" …")
        raise TinyDecoupleError(f"{path}: damaged ({reason}); run again with `overwrite`") from None


def load_model(run: Path, device: torch.device, unedited: bool = False
               ) -> tuple[Transformer, Tokenizer, dict[str, Any]]:
    """Model, tokeniser and configuration of a complete run.

    unedited: take a model that was trained with edits in its forward pass, without them. Raises
    TinyDecoupleError for such a model otherwise, and if the directory is no run or its training is
    not complete.
    """
    config = read_config(run)
    if config.get("decouple", {}).get("form") in FORWARD and not unedited:
        raise TinyDecoupleError(f"{run}: its forward pass was edited in training, by `form` "
                                f"{config['decouple']['form']}, and only the study edits it when "
                                "it translates; make it a cell of a study")
    state = load_checkpoint(run)
    if state is None or not state["complete"]:
        raise TinyDecoupleError(
            f"{run}: holds no completely trained model; run its training command again, which goes "
            "on where it stopped (of a demo, name the folder of one arm)")
    tokenizer = Tokenizer(state["tokenizer"].numpy().tobytes())
    sizes = {**config["model"], "vocabulary": tokenizer.size}
    model = Transformer(**sizes)
    model.load_state_dict(state["model"])
    return model.to(device).eval(), tokenizer, config
