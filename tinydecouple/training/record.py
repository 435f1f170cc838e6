"""The record of a run: its log, what computed it, and whether it may be called trained.

Each session has one line in the log: "session", the step it begins at, versions, processor,
threads and device. They are no part of the configuration: a run may go on elsewhere, but not bit
for bit, and then says so.
"""

import hashlib
import math
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch
from torch import Tensor

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.messages import say
from tinydecouple.model.transformer import Transformer

DECISIVE = ("torch", "processor", "instructions", "threads", "device")  # on which bits depend
BLAS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")  # NumPy's library obeys the first that is set


def machine(device: torch.device) -> dict[str, str | int]:
    """Versions, processor, threads and platform of this process."""
    blas = [os.environ[name] for name in BLAS if os.environ.get(name)]
    gpu = [torch.cuda.get_device_name(device)] if device.type == "cuda" else []
    return {"python": platform.python_version(), "numpy": np.__version__,
            "torch": torch.__version__, "sentencepiece": sentencepiece.__version__,
            "platform": platform.platform(), "processor": _processor(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(), "numpy_threads": (blas or ["all"])[0],
            "device": " ".join([device.type, *gpu])}


def _processor() -> str:
    try:  # Linux: elsewhere platform knows it
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return (names or [platform.processor() or platform.machine()])[0]


def changes(then: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs between two sessions: name -> (then, now)."""
    return {name: (then[name], now[name]) for name in now if name in then
            and then[name] != now[name] and name not in ("session", "step")}


def sessions(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of a log that say with what a session was computed."""
    return [record for record in log if "session" in record]


def session(run: Path, log: list[dict[str, Any]], step: int,
            device: torch.device) -> dict[str, Any]:
    """The line for a session that begins at `step`.

    Says on stderr, in one line, if an earlier session of the log was computed otherwise.
    """
    earlier = sessions(log)
    now = {"session": len(earlier) + 1, "step": step, **machine(device)}
    changed = next((found for then in earlier if (found := changes(then, now))), {})
    if changed:
        told = [", ".join(f"{name} {pair[which]}" for name, pair in changed.items())
                for which in (0, 1)]
        sure = "will" if set(changed) & set(DECISIVE) else "may"
        say(f"{run}: begun with {told[0]}; goes on with {told[1]}: the result {sure} not be "
            "bit for bit that of a run in one session")
    return now


def weights_sha256(state: dict[str, Tensor]) -> str:
    """A hash of a model's weights, names and all: equal if and only if every bit is."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(f"{name} {tuple(state[name].shape)}".encode())
        digest.update(state[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def require_finite(loss: float, step: int, model: Transformer | None = None) -> None:
    """Raises TinyDecoupleError if the loss, or a weight of the model, is not a finite number."""
    whole = model is None or all(bool(p.isfinite().all()) for p in model.parameters())
    if not (math.isfinite(loss) and whole):
        what = f"the loss is {loss}" if whole else "a weight is not a finite number"
        raise TinyDecoupleError(f"{what} at step {step}; lower `learning_rate` or `strength`, "
                                "with `overwrite`")
