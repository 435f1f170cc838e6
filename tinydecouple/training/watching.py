"""What `watch` shows of a run, recorded while it trains: the same tokens and sentences each time.

At each refresh, and once more at the end, a Watcher keeps the states of up to TOKENS fixed tokens
of the dev sentences (they come from the pass that measures the loss on dev, at no cost), the basis
of the moment, the translations of SENTENCES sentences and, as often as code lengths have one, a
null of the angle. A generator of its own draws, so training is what it would be without, bit for
bit.

The plane in which `watch` draws states is known only at the end: until then the checkpoint holds
states, (moments, n, d), and from then on their two coordinates, (moments, n, 2).
"""

import math
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.probe import VariationalProbe, fit
from tinydecouple.method.projection import reject
from tinydecouple.method.states import StatesWarning, standardise
from tinydecouple.method.subspace import oriented, principal_angles
from tinydecouple.model.decode import greedy
from tinydecouple.model.transformer import Transformer
from tinydecouple.options import FORWARD, shown
from tinydecouple.text.tokenizer import Tokenizer
from tinydecouple.training.batches import Batch, Example
from tinydecouple.training.decoupler import NULLS, Decoupler, classes_of
from tinydecouple.training.gather import at_positions, probed
from tinydecouple.training.interventions import editing
from tinydecouple.training.validate import damaged
from tinydecouple.training.validate_watch import MOMENTS, TOKENS, check

SENTENCES = 5
WATCH = 20_251_012  # seed: every run on a corpus shows the same tokens, whatever its own seed is

Arrays = dict[str, np.ndarray]
Seen = tuple[Batch, np.ndarray, dict[int, np.ndarray]]  # (b, t) bool and layer -> (n, d) float16


class Watcher:
    """Looks on at a run that has decouplers; `dev`: examples, as the loss on dev takes them."""

    def __init__(self, dev: list[Example], tokenizer: Tokenizer, cores: dict[int, Decoupler]):
        self.tokenizer, self.layers = tokenizer, tuple(cores)
        self.options = next(iter(cores.values())).options
        self.sizes = {layer: (core.width, core.options.rank) for layer, core in cores.items()}
        self.every = math.ceil(self.options.refreshes / MOMENTS)
        self.sentences = choose_sentences(dev)
        self.seen: list[Seen] = []  # of one pass over dev
        self.cores, self.before = cores, probes_of(cores)
        self.record: dict[str, Any] | None = {}  # None: the run was begun without a watcher

    def see(self, states: list[Tensor], batch: Batch) -> None:
        """Take what a batch of dev sentences gives in passing: hidden states of every layer."""
        at = probed(batch, self.options.tokens)
        held = {layer: at_positions(states[layer], at).clamp(-6e4, 6e4).half().cpu().numpy()
                for layer in self.layers}
        self.seen.append((batch, at, held))

    def look(self, model: Transformer, cores: dict[int, Decoupler], step: int,
             last: bool = False) -> None:
        """Keep this moment: after a refresh, or at the end of the run if `last`."""
        seen, self.seen = self.seen, []
        number = next(iter(cores.values())).refreshes - 1
        skipped = number % self.every and not last
        before, self.before = self.before, probes_of(cores)
        if skipped or self.record is None or not any(at.any() for _, at, _ in seen):
            return
        rows, tokens, variety = drawn(seen)
        if not self.record:
            self.record = {"tokens": tokens, "variety": variety, "step": None, "outputs": [],
                           "sentences": [[e.key, e.target] for e in self.sentences],
                           "layers": {layer: {} for layer in self.layers}}
        if not torch.equal(tokens, self.record["tokens"]):
            raise TinyDecoupleError("the dev sentences are not those that the run was begun with; "
                                    "bring those back or train again with `overwrite`")
        self.record["outputs"].append(self._translate(model, cores))
        self.record["step"] = add(self.record["step"], np.int64(step))
        for layer, core in cores.items():
            h = np.concatenate([held[layer] for _, _, held in seen])
            null = -1.0
            if number * NULLS % max(1, self.options.refreshes) < NULLS and not last:
                varieties = np.concatenate([batch.variety[at] for batch, at, _ in seen])
                null = refit_angle(core, before[layer], h, varieties,
                                   np.random.default_rng([WATCH, step]))
            found = {"states": h[rows], "basis": core.basis, "null": np.float32(null)}
            kept = self.record["layers"][layer]
            self.record["layers"][layer] = {name: add(kept.get(name), found[name])
                                            for name in found}
        if last:
            self.record["layers"] = {layer: in_the_plane(kept)
                                     for layer, kept in self.record["layers"].items()}

    @torch.inference_mode()
    def _translate(self, model: Transformer, cores: dict[int, Decoupler]) -> list[str]:
        """Greedy translations: all at once, being of one length, but one by one where states are
        edited, since an edit may depend on the variety."""
        edited = self.options.form in FORWARD and self.options.penalised != "standard"
        rows: list[list[int]] = []
        for group in ([e] for e in self.sentences) if edited else [self.sentences]:
            prompts = torch.tensor([e.tokens[:e.boundary + 1] for e in group],
                                   device=model.embedding.weight.device)
            edits = {layer: core.edits(np.array([[group[0].target]]))
                     for layer, core in cores.items()} if edited else {}
            with editing(model, edits):
                rows += greedy(model, prompts, self.tokenizer.end).tolist() if group else []
        ended = [row[:[*row, self.tokenizer.end].index(self.tokenizer.end)] for row in rows]
        return [" ".join(text.split()) for text in self.tokenizer.decode(ended)]

    def state(self) -> dict[str, Any] | None:
        """What the checkpoint keeps; None if the run was begun without a watcher."""
        return self.record

    def restore(self, found: Any, path: Path) -> None:
        """Go on from what `state` returned. Raises TinyDecoupleError if it is damaged."""
        if found is not None and found != {} and check(found, False, path):
            sizes = {layer: kept["basis"].shape[1:] for layer, kept in found["layers"].items()}
            if sizes != self.sizes:
                damaged(path, f"watch: layers {shown(list(sizes))}")
        self.record, self.before = found, probes_of(self.cores)


def probes_of(cores: dict[int, Decoupler]) -> dict[int, Arrays]:
    """Copies of the probes' parameters, by layer."""
    return {layer: {name: a.copy() for name, a in core.probe.parameters.items()}
            for layer, core in cores.items()}


def drawn(seen: list[Seen]) -> tuple[np.ndarray, Tensor, Tensor]:
    """Of the tokens of one pass, those that are watched: (n,) rows, ids and varieties."""
    tokens = np.concatenate([batch.inputs[at] for batch, at, _ in seen])
    variety = np.concatenate([batch.variety[at] for batch, at, _ in seen])
    rows = np.sort(np.random.default_rng(WATCH).permutation(len(tokens))[:TOKENS])
    return rows, torch.from_numpy(tokens[rows]), torch.from_numpy(variety[rows])


def choose_sentences(dev: list[Example]) -> list[Example]:
    """SENTENCES from the standard into dialects, far apart, all of one length in pieces.

    Of the length that most meanings have; the greatest, if several have as many.
    """
    into = [e for e in dev if e.source == 0 and e.target > 0]
    keys = Counter(length for length, _ in {(e.boundary, e.key) for e in into})
    length = max(keys, key=lambda n: (keys[n], n), default=0)
    alike = [e for e in into if e.boundary == length]
    meanings = list(dict.fromkeys(e.key for e in alike))
    targets = list(dict.fromkeys(e.target for e in alike))
    chosen: list[Example] = []
    for i in range(min(SENTENCES, len(alike))):
        few = len(targets) < SENTENCES
        target = targets[i % len(targets) if few else i * len(targets) // SENTENCES]
        meaning = meanings[i % len(meanings)]
        left = [e for e in alike if e not in chosen]
        chosen.append(max(left, key=lambda e: (e.target == target, e.key == meaning)))
    return chosen


def add(kept: Tensor | None, new: np.ndarray) -> Tensor:
    """(m, …) and (…) -> (m + 1, …)."""
    new = torch.from_numpy(np.array(new))[None]
    return new if kept is None else torch.cat((kept, new))


def refit_angle(core: Decoupler, before: Arrays, h: np.ndarray, variety: np.ndarray,
                rng: np.random.Generator) -> float:
    """How far another sample of sentences would have turned the basis: the null of the angle.

    core: after a refresh.  before: its probe's parameters before that refresh.  h: (n, d) states of
    other sentences by the same model.  variety: (n,). A probe is fitted to them from the same start
    and the angle between its basis and the refresh's is returned, in degrees; -1 if the states
    allow no fit, such as without one class.
    """
    options = core.options
    try:
        h = standardise(h)[0].astype(np.float32, copy=False)
        y = classes_of(options, variety, rng)
        probe = VariationalProbe(options.prior, {name: a.copy() for name, a in before.items()})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StatesWarning)
            fit(probe, h, y, rng, steps=options.probe_steps)
        basis = core.estimate(h, y, probe.posterior_mean(), options.rank, rng)
    except TinyDecoupleError:  # who looks on stops no training
        return -1.0
    return float(np.degrees(principal_angles(core.last, basis)[-1]))


def in_the_plane(kept: dict[str, Tensor]) -> dict[str, Tensor]:
    """Coordinates in a plane that is fixed for the whole run, from states and bases of its moments.

    kept: states (m, n, d); basis (m, d, k); null (m,). The first axis is the first direction of the
    last basis, the second the leading principal component of the last states outside that basis.
    Each moment's states are centred, as the penalty centres them.

    Returns places (m, n, 2); arrow (m, 2), the projection onto the plane of the unit vector in the
    moment's basis that is nearest to the first axis; inside (m,), the share of the states' squared
    length inside the moment's basis; spread (m,), their root mean square length; null (m,).
    """
    bases = kept["basis"].numpy()
    last = bases[-1]
    plane = None
    found: dict[str, list[Any]] = {"places": [], "arrow": [], "inside": [], "spread": []}
    for h, basis in zip(kept["states"].flip(0).numpy(), bases[::-1]):  # the last moment first
        h = h.astype(np.float32)
        h -= h.mean(axis=0)
        if plane is None:
            plane = np.stack((last[:, 0], first_outside(h, last)), axis=1)  # (d, 2)
        places = h @ plane
        nearest = basis @ (basis.T @ plane[:, 0])
        length = np.linalg.norm(nearest)
        squares = float((h**2).sum())
        found["places"].append(places.astype(np.float16))
        found["arrow"].append((nearest @ plane / (length or 1)).astype(np.float32))
        found["inside"].append(np.float32(((h @ basis)**2).sum() / (squares or 1)))
        found["spread"].append(np.float32(math.sqrt(squares / len(h))))
    return {"null": kept["null"],
            **{name: torch.from_numpy(np.stack(parts[::-1])) for name, parts in found.items()}}


def first_outside(h: np.ndarray, U: np.ndarray) -> np.ndarray:
    """(d,) direction of most variance of centred states (n, d) outside the columns of U (d, k).

    Zeros where U leaves nothing outside.
    """
    direction = np.linalg.svd(reject(h, U), full_matrices=False)[2][:1]
    direction = reject(direction, U)[0]
    length = np.linalg.norm(direction)
    return oriented(direction[:, None] / length)[:, 0] if length > 0.5 else 0 * direction
