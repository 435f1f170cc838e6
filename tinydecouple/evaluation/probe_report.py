"""What a probe finds in the states of a model, layer by layer, with a control or a null beside each number.

The states may be those of a run, or any in a file, so that it serves people with a large model of their own.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from tqdm import tqdm

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.codelength import (
    compression,
    control_labels,
    entropy_bits,
    prequential_bits,
    selectivity_bits,
    variational_bits,
)
from tinydecouple.method.probe import fit, new_probe
from tinydecouple.method.projection import project
from tinydecouple.method.states import check_states, standardise
from tinydecouple.method.subspace import angle_null, principal_angles, probe_subspace, standard_row
from tinydecouple.model.transformer import Transformer
from tinydecouple.text.corpus import ParallelCorpus
from tinydecouple.text.tokenizer import Tokenizer
from tinydecouple.training.batches import collate, encode


@dataclass(frozen=True)
class States:
    """h: layer -> (n, d) states.  y: (n,) varieties, 0 the standard.  keys: (n,) sentences.  names: of varieties."""

    h: dict[int, np.ndarray]
    y: np.ndarray
    keys: np.ndarray
    names: list[str]


@torch.inference_mode()
def gather_states(model: Transformer, tokenizer: Tokenizer, corpus: ParallelCorpus, split: str, per_variety: int,
                  rng: np.random.Generator) -> States:
    """At most about `per_variety` states of each variety at every layer, of target pieces, whole sentences at random.

    Directions are standard to dialect and back; tags and the end symbol are left out, as in training.
    """
    pairs = [pair for d in corpus.dialects for pair in ((corpus.standard, d), (d, corpus.standard))]
    found = [(example, key) for s, t in pairs
             for example, key in zip(encode(corpus, tokenizer, split, s, t), corpus.keys(split, s, t))]
    count = np.zeros(len(corpus.family), int)
    h: dict[int, list[np.ndarray]] = {}
    y, keys = [], []
    device = model.embedding.weight.device
    for i in tqdm(rng.permutation(len(found)), desc="gathering states", disable=None, leave=False):
        example, key = found[i]
        if count[example.target] >= per_variety:
            continue
        batch = collate([example], tokenizer.pad)
        for layer, states in enumerate(model(torch.from_numpy(batch.inputs).to(device))):
            h.setdefault(layer, []).append(states.cpu().numpy()[batch.in_target])
        size = int(batch.in_target.sum())
        count[example.target] += size
        y += [example.target] * size
        keys += [key] * size
    return States({layer: np.concatenate(parts) for layer, parts in h.items()}, np.array(y), np.array(keys),
                  list(corpus.family))


def read_states(path: Path, standard: str | None) -> States:
    """States from an .npz file: h (n, d) or (layers, n, d), float32 or float64; y (n,); names (C,); keys (n,) if known.

    Without keys each state counts as a sentence of its own. The standard becomes class 0. Raises
    TinyDecoupleError for a file that cannot be read, lacks an array, or holds states that no probe can use.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError, EOFError, TypeError, BadZipFile):
        raise TinyDecoupleError(f"{path}: not a readable .npz file of plain arrays; write one with np.savez") from None
    if missing := [name for name in ("h", "y", "names") if name not in arrays]:
        raise TinyDecoupleError(f"{path}: lacks {', '.join(missing)}; expected h, y, names and, if known, keys")
    h, y, names = arrays["h"], arrays["y"], [str(name) for name in np.atleast_1d(arrays["names"])]
    layers = h if h.ndim == 3 else h[None]
    if not len(layers):
        raise TinyDecoupleError(f"{path}: h has shape {h.shape}, without a layer")
    for layer in layers:
        check_states(layer, y, len(names))
    keys = arrays.get("keys", np.arange(len(y)))
    if keys.shape != y.shape:
        raise TinyDecoupleError(f"{path}: keys have shape {keys.shape}, expected {y.shape}")
    if standard is not None and standard not in names:
        raise TinyDecoupleError(f"--standard {standard!r} is not among the names in {path}: {', '.join(names)}")
    first = names.index(standard) if standard else 0
    order = [first, *(i for i in range(len(names)) if i != first)]
    return States(dict(enumerate(layers)), np.argsort(order)[y], keys, [names[i] for i in order])


def held_out_accuracy(h: np.ndarray, y: np.ndarray, test: np.ndarray, rng: np.random.Generator) -> float:
    """Share of held-out states that a binary probe, fitted to the others, labels rightly at its posterior mean."""
    probe = fit(new_probe(2, h.shape[1], dtype=h.dtype), h[~test], y[~test], rng)
    logits = h[test] @ probe.posterior_mean().T + probe.parameters["mu"][:, -1]
    return float((logits.argmax(axis=1) == y[test]).mean())


def probe_layer(h: np.ndarray, states: States, refits: int, rng: np.random.Generator) -> dict[str, Any]:
    """The standard against the rest, and a class a variety, at one layer; bits are a state, angles in degrees.

    angles: (C, C) between the directions of every two varieties (each row of the C-way weights against the mean of
    the others).  null: 95th percentile of the angle between refits of the standard's own direction.  unrelated: the
    angle in a regular simplex, where every class differs from every other alike; its cosine is 1 / (C - 1).
    """
    h, y = standardise(h)[0], np.minimum(states.y, 1)
    n, classes = len(y), len(states.names)
    probe = fit(new_probe(2, h.shape[1], dtype=h.dtype), h, y, rng)
    bits = sum(variational_bits(probe, h, y, rng))
    prequential = prequential_bits(h, y, states.keys, 2, rng)
    names = np.unique(states.keys)
    test = np.isin(states.keys, rng.permutation(names)[:max(1, len(names) // 5)])
    control = control_labels(y, rng)
    control_bits = sum(variational_bits(fit(new_probe(2, h.shape[1], dtype=h.dtype), h, control, rng), h, control, rng))
    U = probe_subspace(probe.posterior_mean(), 1)
    many = fit(new_probe(classes, h.shape[1], dtype=h.dtype), h, states.y, rng).posterior_mean()
    rows = [standard_row(many, c) for c in range(classes)]
    angles = np.degrees([[principal_angles(a, b)[0] for b in rows] for a in rows])
    null = np.degrees(angle_null(h, states.y, states.keys, classes, standard_row, refits, rng))
    return {"variational_bits": bits / n, "prequential_bits": prequential / n, "entropy_bits": entropy_bits(y) / n,
            "compression": compression(bits, y), "selectivity_bits": selectivity_bits(bits, control_bits) / n,
            "accuracy": held_out_accuracy(h, y, test, rng),
            "constant_accuracy": float(max(1 - y[test].mean(), y[test].mean())),
            "control_accuracy": held_out_accuracy(h, control, test, rng),
            "energy_percent": 100 * float((project(h, U)**2).sum() / (h**2).sum()),
            "angles": angles, "null": float(np.percentile(null, 95)),
            "unrelated": float(np.degrees(np.arccos(1 / (classes - 1)))),
            "plane": h @ probe_subspace(many, min(2, classes - 1))}


def probing_table(layers: dict[int, dict[str, Any]], names: list[str]) -> str:
    """A row a layer, then a row a dialect with the angle of its direction to the standard's at each layer."""
    columns = {"variational": "variational_bits", "prequential": "prequential_bits", " H(Y)": "entropy_bits",
               "compression": "compression", "selectivity": "selectivity_bits", "accuracy": "accuracy",
               "control": "control_accuracy", "constant": "constant_accuracy", "energy %": "energy_percent"}
    lines = [f"| layer | {' | '.join(columns)} |",
             "|------:|" + "|".join("-" * (len(c) + 1) + ":" for c in columns) + "|"]
    lines += [f"| {layer:5} | " + " | ".join(f"{found[key]:{len(c)}.3f}" for c, key in columns.items()) + " |"
              for layer, found in layers.items()]
    width = max(map(len, [*names, "unrelated"]))
    lines += ["", f"{names[0]} against the rest: code lengths and entropy in bits a state; compression: entropy over",
              "the variational code; selectivity: bits a state that the code of randomly dealt labels costs more;",
              "accuracy: on sentences held out; control: the same with labels dealt at random; constant: always the",
              "larger class; energy: share of the centred states' squared length inside the direction.", "",
              f"| {'angle':<{width}} | " + " | ".join(f"layer {layer:2}" for layer in layers) + " |",
              f"|{'-' * (width + 2)}|" + "|".join("---------:" for _ in layers) + "|"]
    rows = {name: [found["angles"][0][i] for found in layers.values()] for i, name in enumerate(names) if i}
    rows |= {label: [found[label] for found in layers.values()] for label in ("null", "unrelated")}
    lines += [f"| {name:<{width}} | {' | '.join(f'{value:8.1f}' for value in row)} |" for name, row in rows.items()]
    return "\n".join([*lines, "", f"Degrees between {names[0]}'s direction and each variety's. null: 95th percentile",
                      "between refits on other samples of the same states; unrelated: classes that differ all alike.",
                      ""])
