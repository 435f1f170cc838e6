"""Translate a split in every direction and score it: chrF++, exact match, leakage, beside copying the source."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from tqdm import tqdm

from tinydecouple.evaluation.chrf import chrf, statistics
from tinydecouple.model.decode import decode
from tinydecouple.model.transformer import Transformer
from tinydecouple.text.corpus import ParallelCorpus
from tinydecouple.text.tokenizer import Tokenizer
from tinydecouple.training.batches import prompt


@dataclass(frozen=True)
class Direction:
    """Texts of one direction, aligned by key; statistics, (n, 24), are chrF++'s counts per sentence."""

    source: str
    target: str
    keys: list[str]
    sources: list[str]
    references: list[str]
    outputs: list[str]
    statistics: np.ndarray

    @property
    def name(self) -> str:
        return f"{self.source} -> {self.target}"


def directions(corpus: ParallelCorpus) -> list[tuple[str, str]]:
    """Standard to each dialect, each dialect to standard, and between pivot and standard if there is a pivot."""
    s = corpus.standard
    pairs = [(s, d) for d in corpus.dialects] + [(d, s) for d in corpus.dialects]
    return pairs + ([(corpus.pivot, s), (s, corpus.pivot)] if corpus.pivot else [])


def translate(model: Transformer, tokenizer: Tokenizer, corpus: ParallelCorpus, split: str, beam: int = 1,
              label: str = "translating", end_bias: float = 0.0, pairs: Sequence[tuple[str, str]] | None = None,
              most: int | None = None) -> list[Direction]:
    """Translate a split in all directions at once, or in these `pairs` and at most so many keys of each.

    end_bias: as of decode.
    """
    pairs = directions(corpus) if pairs is None else pairs
    keys = [corpus.keys(split, *pair)[:most] for pair in pairs]
    prompts = [p for (s, t), k in zip(pairs, keys) for p in prompt(tokenizer, s, t, corpus.column(s, k))]
    outputs = map(one_line, tokenizer.decode(decode(model, prompts, tokenizer.end, beam, label=label,
                                                       end_bias=end_bias)))
    return [direction(s, t, k, corpus.column(s, k), corpus.column(t, k), [next(outputs) for _ in k])
            for (s, t), k in tqdm(list(zip(pairs, keys)), desc="scoring", disable=None, leave=False)]


def one_line(text: str) -> str:
    """A model that spells bytes may say a tab or a line break; as output that becomes a space."""
    return " ".join(text.split())


def direction(source: str, target: str, keys: list[str], sources: list[str], references: list[str],
              outputs: list[str]) -> Direction:
    return Direction(source, target, keys, sources, references, outputs, statistics(outputs, references))


def copied(system: list[Direction]) -> list[Direction]:
    """The system that hands back its source: what dialects that share words with their standard score for free."""
    return [direction(d.source, d.target, d.keys, d.sources, d.references, d.sources)
            for d in tqdm(system, desc="scoring copies", disable=None, leave=False)]


def exact_match(d: Direction) -> float:
    """Share of outputs, in percent, equal to their reference, white space aside."""
    return 100 * float(np.mean([a == one_line(b) for a, b in zip(d.outputs, d.references)]))


@lru_cache(maxsize=1 << 16)
def bare(token: str) -> str:
    """The token without punctuation at its ends; a mark on a letter, such as a vowel sign, is none."""
    inner = [i for i, c in enumerate(token) if not unicodedata.category(c).startswith("P")]
    return token[inner[0]:inner[-1] + 1] if inner else ""


def words(text: str) -> list[str]:
    """Word tokens of a text, between spaces, without punctuation at their ends."""
    return [word for token in text.split() if (word := bare(token))]


def leakage(d: Direction) -> float:
    """Share of output words, in percent, that are in the standard's sentence but not in the dialect's reference.

    THEORY (33); for standard -> dialect only, where the standard's sentence is the source. 'y.' and 'y' are one word.
    """
    leaked = [word in foreign for output, source, reference in zip(d.outputs, d.sources, d.references)
              for foreign in [set(words(source)) - set(words(reference))] for word in words(output)]
    return 100 * float(np.mean(leaked)) if leaked else 0.0


def group(system: list[Direction], standard: str, pivot: str | None) -> dict[str, list[Direction]]:
    """The rows of a summary: directions that are averaged together, each direction counting the same."""
    groups: dict[str, list[Direction]] = {}
    for d in system:
        other = d.target if d.source == standard else d.source
        to_dialect = f"{standard} -> dialect" if d.source == standard else f"dialect -> {standard}"
        name = d.name if other == pivot else to_dialect
        groups.setdefault(name, []).append(d)
    return groups


def mean_chrf(group: list[Direction]) -> float:
    """Macro mean: the mean over directions of each direction's corpus chrF++."""
    return float(np.mean([chrf(d.statistics.sum(axis=0)) for d in group]))
