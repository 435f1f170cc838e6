"""What a probe finds in the states of a model, layer by layer, with a control or a null beside each number.

The states may be those of a run, or any in a file, so that it serves people with a large model of their own.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation.npz import read_arrays
from tinydecouple.evaluation.report import markdown
from tinydecouple.method.codelength import (
    compression,
    control_labels,
    entropy_bits,
    null_bits,
    prequential_bits,
    selectivity_bits,
    variational_bits,
)
from tinydecouple.method.probe import fit, new_probe
from tinydecouple.method.projection import project
from tinydecouple.method.states import StatesWarning, check_states, dominance, standardise
from tinydecouple.method.subspace import angle_null, principal_angles, probe_subspace, standard_row
from tinydecouple.model.transformer import Transformer
from tinydecouple.text.corpus import ParallelCorpus
from tinydecouple.text.hygiene import clean_name, shorten
from tinydecouple.text.tokenizer import Tokenizer
from tinydecouple.training.batches import collate, finetuning_examples
from tinydecouple.training.gather import collect_states, probed

LONGEST = 200   # characters in the name of a class
LARGEST = 1e100


@dataclass(frozen=True)
class States:
    """h: layer -> (n, d) states.  y: (n,) varieties, 0 the standard.  keys: (n,) sentences.  names: of varieties."""

    h: dict[int, np.ndarray]
    y: np.ndarray
    keys: np.ndarray
    names: list[str]


def gather_states(model: Transformer, tokenizer: Tokenizer, corpus: ParallelCorpus, split: str, per_variety: int,
                  rng: np.random.Generator) -> States:
    """At most about `per_variety` states of each variety at every layer, of target pieces, whole sentences at random.

    Directions are standard to dialect and back; tags and the end symbol are left out, as in training.
    """
    examples = finetuning_examples(corpus, tokenizer, split)
    count = np.zeros(len(corpus.family), int)
    drawn = []
    for i in rng.permutation(len(examples)):
        example = examples[i]
        if count[example.target] < per_variety:
            drawn.append(example)
            count[example.target] += int(probed(collate([example], tokenizer.pad)).sum())
    h, y, keys = collect_states(model, drawn, tuple(range(len(model.blocks) + 1)), "target", tokenizer.pad, rng)
    return States(h, y, keys, list(corpus.family))


def read_states(path: Path, standard: str | None) -> States:
    """States from an .npz file: h (n, d) or (layers, n, d), float16, float32 or float64; y (n,); names (C,); keys (n,).

    Without keys each state counts as a sentence of its own. The standard becomes class 0. Raises
    TinyDecoupleError for a file that cannot be read, lacks an array, or holds states that no probe can use.
    """
    arrays = read_arrays(Path(path))
    if missing := [name for name in ("h", "y", "names") if name not in arrays]:
        raise TinyDecoupleError(f"{path}: lacks {', '.join(missing)}; expected h, y, names and, if known, keys")
    h, y, names = arrays["h"], arrays["y"], [text_of(name) for name in np.atleast_1d(arrays["names"])]
    for name in names:
        if not 0 < len(name) <= LONGEST or any("\ud800" <= c <= "\udfff" for c in name):
            raise TinyDecoupleError(f"{path}: names holds {shorten(name, LONGEST)!r}; a name has 1 to {LONGEST} "
                                    "characters, none of them half a one")
    if len(set(names)) < len(names):
        raise TinyDecoupleError(f"{path}: names holds {max(names, key=names.count)!r} twice; one name per class")
    layers = h if h.ndim == 3 else h[None]
    if not len(layers):
        raise TinyDecoupleError(f"{path}: h has shape {h.shape}, without a layer")
    for layer in layers:
        check_states(layer, y, len(names), half=True)
        largest = float(max(-layer.min(), layer.max()))
        if largest and not 1 / LARGEST < largest < LARGEST:
            raise TinyDecoupleError(f"{path}: h holds numbers up to {largest:.0e}, whose squares no dtype holds; "
                                    "scale the states")
    if absent := sorted(set(range(len(names))) - set(y.tolist())):
        raise TinyDecoupleError(f"{path}: no state is labelled {names[absent[0]]!r} (class {absent[0]}); leave names "
                                "without states out and number the others anew")
    keys = arrays.get("keys", np.arange(len(y)))
    if keys.shape != y.shape:
        raise TinyDecoupleError(f"{path}: keys have shape {keys.shape}, expected {y.shape}")
    if keys.dtype.kind == "f" and not np.isfinite(keys).all():
        raise TinyDecoupleError(f"{path}: keys hold NaN or infinity; name each state's sentence")
    standard = None if standard is None else clean_name(standard)
    if standard is not None and standard not in names:
        raise TinyDecoupleError(f"`standard` {standard!r} is not among the names in {path}: {', '.join(names)}")
    first = names.index(standard) if standard else 0
    order = [first, *(i for i in range(len(names)) if i != first)]
    return States(dict(enumerate(layers)), np.argsort(order)[y], keys, [names[i] for i in order])


def text_of(name: Any) -> str:
    """A name as text, also if an array of bytes holds it, cleaned as the names in a corpus are."""
    return clean_name(name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name))


def held_out_accuracy(h: np.ndarray, y: np.ndarray, test: np.ndarray, rng: np.random.Generator) -> float:
    """Share of held-out states that a binary probe, fitted to the others, labels rightly at its posterior mean."""
    probe = fit(new_probe(2, h.shape[1], dtype=h.dtype), h[~test], y[~test], rng)
    logits = h[test] @ probe.posterior_mean().T + probe.parameters["mu"][:, -1]
    return float((logits.argmax(axis=1) == y[test]).mean())


def probe_layer(h: np.ndarray, states: States, refits: int, rng: np.random.Generator) -> dict[str, Any]:
    """The standard against the rest, and one class per variety, at one layer; bits per state, angles in degrees.

    null_bits: the code of dealt labels; selectivity_bits: how much cheaper the true ones are.  angles: (C, C) between
    the directions of every two varieties (each row of the C-way weights against the mean of the others).  null: 95th
    percentile of the angle between refits of the standard's own direction.  unrelated: the angle in a regular simplex,
    where every class differs from every other alike; its cosine is 1 / (C - 1).
    """
    h, y = standardise(h)[0], np.minimum(states.y, 1)
    n, classes = len(y), len(states.names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StatesWarning)  # the table has a column for it
        probe = fit(new_probe(2, h.shape[1], dtype=h.dtype), h, y, rng)
        bits = sum(variational_bits(probe, h, y, rng))
        dealt_bits = null_bits(new_probe(2, h.shape[1], dtype=h.dtype), h, y, rng)
        prequential = prequential_bits(h, y, states.keys, 2, rng)
        names = np.unique(states.keys)
        test = np.isin(states.keys, rng.permutation(names)[:max(1, len(names) // 5)])
        U = probe_subspace(probe.posterior_mean(), 1)
        many = fit(new_probe(classes, h.shape[1], dtype=h.dtype), h, states.y, rng).posterior_mean()
        rows = [standard_row(many, c) for c in range(classes)]
        angles = np.degrees([[principal_angles(a, b)[0] for b in rows] for a in rows])
        null = np.degrees(angle_null(h, states.y, states.keys, classes, standard_row, refits, rng))
        accuracy = held_out_accuracy(h, y, test, rng)
        control_accuracy = held_out_accuracy(h, control_labels(y, rng), test, rng)
    return {"states": n, "variational_bits": bits / n, "null_bits": dealt_bits / n,
            "selectivity_bits": selectivity_bits(bits, dealt_bits) / n, "entropy_bits": entropy_bits(y) / n,
            "compression": compression(bits, y), "prequential_bits": prequential / n,
            "accuracy": accuracy, "control_accuracy": control_accuracy,
            "constant_accuracy": float(max(1 - y[test].mean(), y[test].mean())),
            "energy_percent": 100 * float((project(h, U)**2).sum() / (h**2).sum()),
            "dominance_percent": 100 * dominance(h),
            "angles": angles, "null": float(np.percentile(null, 95)),
            "unrelated": float(np.degrees(np.arccos(1 / (classes - 1)))),
            "plane": h @ probe_subspace(many, min(2, classes - 1))}


def probing_table(layers: dict[int, dict[str, Any]], names: list[str]) -> str:
    """One row per layer, then one row per dialect with the angle of its direction to the standard's at each layer."""
    columns = {"variational": "variational_bits", "dealt": "null_bits", "selectivity": "selectivity_bits",
               "H(Y)": "entropy_bits", "compression": "compression", "prequential": "prequential_bits",
               "accuracy": "accuracy", "control": "control_accuracy", "constant": "constant_accuracy",
               "energy %": "energy_percent", "largest %": "dominance_percent"}
    lines = markdown([["layer", *columns], *([f"{layer}", *(f"{numbers[key]:.3f}" for key in columns.values())]
                                             for layer, numbers in layers.items())])
    standard, some = names[0], next(iter(layers.values()))
    note = f"""
        {standard} against the rest, n = {some['states']} states, H(Y) = {some['entropy_bits']:.3f} bits per state.
        variational, prequential: code lengths in bits per state; dealt: the variational code of the same labels dealt
        at random, its null; selectivity: dealt less variational, what the states save. A code near H(Y) does not mean
        that states say nothing: compare it with dealt. compression: H(Y) over the variational code; accuracy: on
        sentences held out; control: the same with labels dealt at random; constant: always the larger class; energy:
        share of the centred states' squared length inside the direction; largest: share of their variance along one
        direction: code lengths of layers in which it differs much do not compare."""
    lines += ["", *wrap(" ".join(note.split()), 110), ""]
    rows = {name: [numbers["angles"][0][i] for numbers in layers.values()] for i, name in enumerate(names) if i}
    rows |= {label: [numbers[label] for numbers in layers.values()] for label in ("null", "unrelated")}
    lines += markdown([["angle", *(f"layer {layer}" for layer in layers)],
                       *([name, *(f"{value:.1f}" for value in row)] for name, row in rows.items())])
    return "\n".join([*lines, "", f"Degrees between {standard}'s direction and each variety's. null: 95th percentile",
                      "between refits on other samples of the same states; unrelated: classes that differ all alike.",
                      ""])
