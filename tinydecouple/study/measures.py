"""What is measured in a cell: scores per direction, counts per sentence, and probes of the states after training."""

import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation.chrf import chrf, precision_recall
from tinydecouple.evaluation.dialectness import Classifier, dialectness, train_classifier
from tinydecouple.evaluation.probe_report import States
from tinydecouple.evaluation.score import Direction, exact_match, group, leakage, one_line
from tinydecouple.evaluation.word_kinds import KINDS, SHARED, vocabularies, word_kinds
from tinydecouple.method.codelength import entropy_bits, null_bits, variational_bits
from tinydecouple.method.probe import fit, new_probe
from tinydecouple.method.states import StatesWarning, standardise
from tinydecouple.method.subspace import angle_null, principal_angles, probe_subspace
from tinydecouple.text.corpus import ParallelCorpus
from tinydecouple.text.readers import CorpusOptions, load_corpus, region_of
from tinydecouple.text.tokenizer import Tokenizer

REFITS = 3  # of the probe before training, for the null of the angle
ARRAYS = ("directions", "keys", "direction", "key", "statistics", "output_tokens", "reference_tokens", "exact",
          "word_kinds")


@dataclass(frozen=True)
class Judge:
    """What an output is judged by, the same for every cell of a setting: word types, a classifier, regions."""

    types: dict[str, frozenset[str]]
    classifier: Classifier
    region: dict[str, str]


def judge(options: CorpusOptions, more: ParallelCorpus | None = None) -> Judge:
    """Made from the whole corpus, before any subsampling; word types also from `more`, such as fresh keys."""
    whole = load_corpus(replace(options, per_variety=sys.maxsize))
    types = vocabularies(whole)
    for variety, found in (vocabularies(more) if more else {}).items():
        types[variety] |= found
    region = {v: region_of(options, whole.standard, v) for v in whole.dialects}
    return Judge(types, train_classifier(whole), region)


def sentences(system: list[Direction], corpus: ParallelCorpus, tokenizer: Tokenizer, by: Judge,
              ) -> dict[str, np.ndarray]:
    """Counts of each sentence, in the smallest integers that hold them.

    directions: (D,) names.  keys: (K,).  direction, key: (n,) indices into them.  statistics: (n, 24), those of
    chrF++, which add up.  output_tokens, reference_tokens: (n,) pieces, end symbol left out.  exact: (n,) bool.
    word_kinds: (n, 5, 4), of the sentences into dialects, 0 elsewhere.
    """
    keys = list(dict.fromkeys(key for d in system for key in d.keys))
    place = {key: i for i, key in enumerate(keys)}
    arrays = {"direction": np.repeat(np.arange(len(system)), [len(d.keys) for d in system]),
              "key": np.array([place[key] for d in system for key in d.keys]),
              "statistics": np.concatenate([d.statistics for d in system]).astype(np.int64),
              "output_tokens": np.concatenate([pieces(d.outputs, tokenizer) for d in system]),
              "reference_tokens": np.concatenate([pieces(d.references, tokenizer) for d in system])}
    kinds = [word_kinds(d, by.types) if into_dialect(d, corpus) else np.zeros((len(d.keys), 5, 4), int) for d in system]
    arrays["word_kinds"] = np.concatenate(kinds)
    small = {name: a.astype(np.min_scalar_type(int(a.max(initial=0)))) for name, a in arrays.items()}
    exact = np.array([a == one_line(b) for d in system for a, b in zip(d.outputs, d.references)])
    return {"directions": np.array([d.name for d in system]), "keys": np.array(keys), **small, "exact": exact}


def read_sentences(path: Path) -> dict[str, np.ndarray]:
    """What `sentences` returned, counts as int64, so that they can be subtracted.

    Raises TinyDecoupleError for a damaged file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ARRAYS}
        return {name: a.astype(np.int64) if a.dtype.kind == "u" else a for name, a in arrays.items()}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise TinyDecoupleError(f"{path}: damaged ({error})") from None


def into_dialect(d: Direction, corpus: ParallelCorpus) -> bool:
    return d.source == corpus.standard and d.target != corpus.pivot


def pieces(texts: list[str], tokenizer: Tokenizer) -> np.ndarray:
    """(n,) how many pieces each text has; an empty one has none, though the tokeniser gives it a space."""
    return np.array([len(ids) if text else 0 for text, ids in zip(texts, tokenizer.encode(texts))])


def length_ratio(system: list[Direction], tokenizer: Tokenizer) -> float:
    """Pieces in the outputs over pieces in the references, all directions together."""
    outputs, references = (sum(pieces(getattr(d, name), tokenizer).sum() for d in system)
                           for name in ("outputs", "references"))
    return float(outputs / references)


def scores(system: list[Direction], corpus: ParallelCorpus, tokenizer: Tokenizer, by: Judge) -> dict[str, Any]:
    """Each direction's scores, and their macro means over each group of directions; chrF++, and shares in percent."""
    def score(d: Direction) -> dict[str, float]:
        sums = d.statistics.sum(axis=0)
        precision, recall = precision_recall(sums)
        found = {"chrf++": float(chrf(sums)), "precision_percent": 100 * float(precision),
                 "recall_percent": 100 * float(recall), "exact_match_percent": exact_match(d),
                 "length_ratio": length_ratio([d], tokenizer)}
        if not into_dialect(d, corpus):
            return found
        kinds = word_kinds(d, by.types).sum(axis=0)  # (5, 4)
        words = np.maximum(kinds[:, 0].sum(), 1)
        found |= {f"words_{kind.replace(' ', '_')}_percent": 100 * float(n / words)
                  for kind, n in zip(KINDS, kinds[:, 0])}
        found |= {f"words_also_{whose.replace(' ', '_')}_percent": 100 * float(n / words)
                  for whose, n in zip(SHARED, kinds[:, 1:].sum(axis=0))}
        return found | {"leakage_percent": leakage(d)} | dialectness(by.classifier, d, corpus.standard, by.region)

    each = {d.name: score(d) for d in system}
    groups = group(system, corpus.standard, corpus.pivot)
    means = {name: {measure: float(np.mean([each[d.name][measure] for d in members]))
                    for measure in each[members[0].name]} for name, members in groups.items()}
    return {"means": means, "directions": each}


def manipulation(before: States, after: States, layers: tuple[int, ...], penalised: dict[int, np.ndarray],
                 rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """What a fresh probe of the standard against the rest finds at each layer, tags left out.

    before, after: states of the same sentences before and after fine-tuning.  penalised: layer -> the basis (d, k)
    that was penalised last, if any. Code lengths in bits per state, beside H(Y) and that of dealt labels; the angle
    in degrees to the direction before training, beside the 95th percentile between refits before training; the shares
    of the centred states' energy inside the fresh direction, inside the one before training, and inside what was
    penalised; and the mean length of the states as they are.
    """
    found = {}
    for layer in layers:
        h, y = standardise(after.h[layer])[0], np.minimum(after.y, 1)
        h0, y0 = standardise(before.h[layer])[0], np.minimum(before.y, 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StatesWarning)
            probe = fit(new_probe(2, h.shape[1], dtype=h.dtype), h, y, rng)
            bits = sum(variational_bits(probe, h, y, rng))
            dealt = null_bits(new_probe(2, h.shape[1], dtype=h.dtype), h, y, rng)
            old = fit(new_probe(2, h.shape[1], dtype=h.dtype), h0, y0, rng)
            null = angle_null(h0, y0, before.keys, 2, lambda weights: probe_subspace(weights, 1), REFITS, rng)
        U, U0 = (probe_subspace(p.posterior_mean(), 1) for p in (probe, old))
        found[str(layer)] = {
            "states": len(y), "code_bits": bits / len(y), "null_bits": dealt / len(y),
            "entropy_bits": entropy_bits(y) / len(y),
            "angle_degrees": float(np.degrees(principal_angles(U, U0)[-1])),
            "angle_null_degrees": float(np.degrees(np.percentile(null, 95))),
            "energy_percent": energy(h, U), "energy_before_percent": energy(h, U0),
            "mean_length": float(np.linalg.norm(after.h[layer], axis=1).mean()),
            "mean_length_before": float(np.linalg.norm(before.h[layer], axis=1).mean())}
        if layer in penalised:
            found[str(layer)]["energy_penalised_percent"] = energy(h, penalised[layer])
    return found


def energy(h: np.ndarray, U: np.ndarray) -> float:
    """Share of the squared length of states h (n, d), in percent, inside the basis U (d, k)."""
    return 100 * float(((h @ U)**2).sum() / (h**2).sum())
