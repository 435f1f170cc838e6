"""What a checkpoint holds for `watch` (training/watching.py) is checked here before it is used."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tinydecouple.training.validate import damaged
from tinydecouple.training.validate_checkpoint import check_tensors

TOKENS = 1000  # the most that are watched
MOMENTS = 40  # of a run with more refreshes every second or so is kept, and the end


def check(found: Any, complete: bool, path: Path) -> dict[str, Any]:
    """What a checkpoint holds for `watch`, if it is as `state` made it.

    complete: whether it is that of a finished run. Raises TinyDecoupleError if it is damaged.
    """
    expected = {"tokens", "variety", "step", "outputs", "sentences", "layers"}
    if not isinstance(found, dict) or set(found) != expected:
        damaged(path, "watch: missing or unknown entries")
    for name in ("tokens", "step"):
        if not isinstance(found[name], Tensor) or found[name].dim() != 1 or not len(found[name]):
            damaged(path, f"watch: {name}")
    n, m = len(found["tokens"]), len(found["step"])
    like = torch.empty(n, dtype=torch.int64)
    tensors = {name: found[name] for name in ("tokens", "variety", "step")}
    check_tensors(tensors, {name: like for name in tensors} | {"step": like[:1].expand(m)},
                  "watch", path)
    if n > TOKENS or m > MOMENTS + 1 or min(t.min() for t in tensors.values()) < 0:
        damaged(path, f"watch: {n} tokens at {m} moments")
    sentences, outputs = found["sentences"], found["outputs"]
    if not all(isinstance(part, list) for part in (sentences, outputs)) or len(outputs) != m:
        damaged(path, "watch: outputs")
    for key, target in (s if isinstance(s, list) and len(s) == 2 else ("", "") for s in sentences):
        if not isinstance(key, str) or type(target) is not int or target < 1:
            damaged(path, "watch: sentences")
    for row in outputs:
        if not isinstance(row, list) or [type(text) for text in row] != [str] * len(sentences):
            damaged(path, "watch: outputs")
    if not isinstance(found["layers"], dict) or not found["layers"]:
        damaged(path, "watch: layers")
    for layer, kept in found["layers"].items():
        check_tensors(kept, shapes(kept, complete, m, n, path), f"watch, layer {layer}", path)
    return found


def shapes(kept: Any, complete: bool, m: int, n: int, path: Path) -> dict[str, Tensor]:
    """Tensors as those of a layer should be, taking no memory."""
    single, half = torch.zeros(()), torch.zeros((), dtype=torch.float16)
    if complete:
        return {"null": single.expand(m), "places": half.expand(m, n, 2),
                "arrow": single.expand(m, 2), "inside": single.expand(m),
                "spread": single.expand(m)}
    basis = kept.get("basis") if isinstance(kept, dict) else None
    if not isinstance(basis, Tensor) or basis.dim() != 3:
        damaged(path, "watch: basis")
    return {"null": single.expand(m), "states": half.expand(m, n, basis.shape[1]),
            "basis": single.expand(m, *basis.shape[1:])}
