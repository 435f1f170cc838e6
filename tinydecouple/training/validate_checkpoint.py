"""A checkpoint is checked here before it is used.

Types, names, shapes, dtypes and finiteness are compared with what the configuration says, so that a
damaged file is one line, and no library meets a tensor of a size that it does not expect: PyTorch's
fused AdamW reads past the end of moments that are too small. Each check raises TinyDecoupleError.
"""

import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from tinydecouple.model.transformer import Transformer
from tinydecouple.options import shown
from tinydecouple.text.tokenizer import Tokenizer
from tinydecouple.training.decoupler import Decoupler
from tinydecouple.training.validate import damaged, is_number


def check_archive(file: BinaryIO, path: Path) -> None:
    """Check that a checkpoint is the archive that torch.save writes, no larger than its file.

    A compressed one could take a thousand times its size of memory.
    """
    file.seek(0, 2)
    size = file.tell()
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        damaged(path, f"no archive of PyTorch: {shown(error, 80)}")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        damaged(path, "a compressed archive; torch.save writes none")
    if sum(member.file_size for member in members) > size:
        damaged(path, "its entries are larger than the file")
    file.seek(0)


def check_state(state: Any, path: Path) -> dict[str, Any]:
    """Return a loaded checkpoint if it has its entries, each of its type; tensors are as loaded."""
    if not isinstance(state, dict):
        damaged(path, f"it holds {type(state).__name__}, expected a dict")
    expected = {"model": dict, "step": int, "complete": bool, "tokenizer": Tensor, "log": str}
    _check_entries(state, expected, path)
    if isinstance(state["step"], bool) or not 0 <= state["step"] < 2**63:
        damaged(path, f"step {shown(state['step'])}")
    return state


def _check_entries(state: dict[str, Any], expected: dict[str, type], path: Path) -> None:
    for name, kind in expected.items():
        if name not in state:
            damaged(path, f"{name} is missing")
        if not isinstance(state[name], kind):
            damaged(path, f"{name} is {type(state[name]).__name__}, expected {kind.__name__}")


def check_tokenizer(proto: Tensor, vocabulary: int, path: Path) -> Tokenizer:
    """The tokeniser of a checkpoint, if sentencepiece reads it and train_tokenizer could make it.

    proto: (n,) uint8.  vocabulary: the most pieces it may have.
    """
    if proto.dtype != torch.uint8 or proto.dim() != 1 or not _is_plain(proto):
        damaged(path, "tokenizer: expected bytes")
    try:
        tokenizer = Tokenizer(proto.numpy().tobytes())
        tokenizer.decode([[i] for i in range(tokenizer.size)])  # a piece may be no UTF-8
    except (RuntimeError, ValueError, IndexError, OSError) as error:
        damaged(path, f"tokenizer: {shown(error, 80)}")
    pieces = tokenizer.pieces
    found = (tokenizer.pad, pieces.unk_id(), pieces.bos_id(), tokenizer.end)
    if found != (0, 1, -1, 2) or not 3 < tokenizer.size <= vocabulary:
        damaged(path, f"tokenizer: {tokenizer.size} pieces, symbols {found}; expected at most "
                      f"{vocabulary}, (0, 1, -1, 2)")
    spelt = [pieces.piece_to_id(f"<0x{byte:02X}>") for byte in range(256)]
    if len(set(spelt)) < 256 or not all(map(pieces.is_byte, spelt)):
        damaged(path, "tokenizer: it lacks pieces for the 256 bytes")
    return tokenizer


def weights_of(sizes: dict[str, int]) -> dict[str, Tensor]:
    """A Transformer's weights at these sizes, made without taking memory: shapes and dtypes."""
    with torch.device("meta"):
        return Transformer(**sizes).state_dict()


def check_weights(weights: dict[str, Any], expected: dict[str, Tensor], path: Path) -> None:
    """Check a model's tensors against those that it should have."""
    check_tensors(weights, expected, "model", path)


def check_unfinished(state: dict[str, Any], optimizer: torch.optim.Optimizer,
                     cores: dict[int, Decoupler], total: int, path: Path) -> None:
    """Check what training continues from: optimiser and decouplers, as fresh ones hold it.

    total: steps of the run.
    """
    _check_entries(state, {"optimizer": dict, "decouplers": dict}, path)
    if not state["step"] < total:
        damaged(path, f"step {state['step']} of {total}, yet not complete")
    fresh, saved = optimizer.state_dict()["param_groups"], state["optimizer"].get("param_groups")
    if not isinstance(saved, list) or len(saved) != len(fresh):
        damaged(path, "optimizer: param_groups")
    for group, found in zip(fresh, saved):
        for name, value in group.items():
            same = isinstance(found, dict) and name in found and type(found[name]) is type(value)
            if not same or (found[name] != value if name != "lr" else not is_number(found["lr"])):
                damaged(path, f"optimizer: {name} of a group is not what the options say")
    moments, trained = state["optimizer"].get("state"), {}
    for group, numbers in zip(optimizer.param_groups, fresh):
        trained |= {i: p for i, p in zip(numbers["params"], group["params"]) if p.requires_grad}
    if not isinstance(moments, dict) or set(moments) != (set(trained) if state["step"] else set()):
        damaged(path, f"optimizer: moments are not those of {len(trained)} parameters")
    for i, entry in moments.items():
        like = {"step": torch.zeros(()), "exp_avg": trained[i], "exp_avg_sq": trained[i]}
        check_tensors(entry, like, f"optimizer, parameter {i}", path)
        if entry["step"] != state["step"] or (entry["exp_avg_sq"] < 0).any():
            damaged(path, f"optimizer, parameter {i}: step or exp_avg_sq")
    if set(state["decouplers"]) != set(cores):
        damaged(path, f"decouplers of layers {shown(list(state['decouplers']))}; expected "
                      f"{list(cores)}")
    for layer, core in cores.items():
        _check_decoupler(state["decouplers"][layer], core, f"decoupler of layer {layer}", path)


def _check_decoupler(found: Any, core: Decoupler, what: str, path: Path) -> None:
    fresh = core.state()
    refreshes = found.get("refreshes") if isinstance(found, dict) else None
    if type(refreshes) is not int or not 0 <= refreshes <= core.options.refreshes:
        damaged(path, f"{what}: refreshes {shown(refreshes)}")
    tensors = {name: value for name, value in fresh.items() if isinstance(value, Tensor)}
    if refreshes:
        basis = torch.zeros(core.width, core.options.rank)
        tensors |= {"basis": basis, "last": basis}
        if core.options.form in ("reject", "leace"):
            # the rank of an eraser is below the number of classes
            left = found.get("left")
            like = left if isinstance(left, Tensor) and left.dim() == 2 else basis
            tensors |= dict.fromkeys(("left", "right"), basis[:, :1].expand(-1, like.shape[1]))
    held = {name: value for name, value in found.items() if name not in fresh or name in tensors}
    check_tensors(held, tensors, what, path)
    for name in ("basis", "last") if refreshes else ():
        if (held[name].T @ held[name] - torch.eye(core.options.rank)).abs().max() > 1e-3:
            damaged(path, f"{what}: the columns of {name} are not orthonormal")


def check_tensors(found: Any, expected: dict[str, Tensor], what: str, path: Path) -> None:
    """Check names, shapes, dtypes and finiteness of a dict of tensors."""
    if not isinstance(found, dict) or set(found) != set(expected):
        names = set(found) ^ set(expected) if isinstance(found, dict) else "no dict"
        damaged(path, f"{what}: missing or unknown: {shown(', '.join(sorted(map(str, names))))}")
    for name, like in expected.items():
        value = found[name]
        if not isinstance(value, Tensor) or not _is_plain(value):
            damaged(path, f"{what}: {name} is no plain tensor")
        if value.shape != like.shape or value.dtype != like.dtype:
            damaged(path, f"{what}: {name} is {tuple(value.shape)} {value.dtype}, expected "
                          f"{tuple(like.shape)} {like.dtype}")
        if not torch.isfinite(value).all():
            damaged(path, f"{what}: {name} holds NaN or infinity")


def _is_plain(value: Tensor) -> bool:
    return value.layout == torch.strided and value.device.type == "cpu"
