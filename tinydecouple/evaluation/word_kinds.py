"""Whose words does a system say? Each output word is counted once, by the first kind that fits."""

from collections.abc import Sequence, Set

import numpy as np

from tinydecouple.evaluation.score import Direction, bare, words
from tinydecouple.text.corpus import ParallelCorpus

KINDS = (
    "reference",       # in the dialect's reference
    "standard",        # else in the standard's text of this key: leakage
    "dialect",         # else a word of this dialect elsewhere
    "other dialects",  # else a word of another dialect
    "none",            # else: of no dialect
)
SHARED = ("this dialect", "the standard", "another dialect")  # whose word it is, too, anywhere in the corpus


def vocabularies(corpus: ParallelCorpus) -> dict[str, frozenset[str]]:
    """Word types of the standard and of each dialect, in all splits.

    Take the corpus before subsampling: who has a word must not depend on how many sentences an arm is trained on.
    """
    return {v: frozenset(word for row in corpus.texts.values() if v in row for word in words(row[v]))
            for v in corpus.family}


def word_kinds(d: Direction, types: dict[str, frozenset[str]]) -> np.ndarray:
    """(n, 5, 4) int64: output words of each sentence by KINDS; how many, and how many of them are SHARED by whom.

    d: a direction from the standard to a dialect. types: of `vocabularies`. Words count as often as they are said. The
    kinds exclude one another, and the columns of SHARED do not: most words of a reference are another dialect's, too,
    so a right word is no evidence for one dialect by itself. Sums over sentences are sufficient for every share.
    """
    mine, standard, others = types[d.target], types[d.source], of_others(d.source, d.target, types)
    counts = np.zeros((len(d.keys), len(KINDS), 1 + len(SHARED)), dtype=np.int64)
    for i, (output, source, reference) in enumerate(zip(d.outputs, d.sources, d.references)):
        fits = [set(words(reference)), set(words(source)), mine, others]
        for word in words(output):
            counts[i, kind_of(word, fits)] += [1, word in mine, word in standard, word in others]
    return counts


def of_others(source: str, target: str, types: dict[str, frozenset[str]]) -> frozenset[str]:
    """Word types of the dialects that a direction from the standard to a dialect is not about."""
    return frozenset().union(*(t for v, t in types.items() if v not in (source, target)))


def kind_of(word: str, fits: Sequence[Set[str]]) -> int:
    """Index into KINDS. fits: words of the reference, of the source, of the dialect, of other dialects."""
    return next((k for k, known in enumerate(fits) if word in known), len(fits))


def words_with_kinds(output: str, source: str, reference: str, direction: tuple[str, str],
                     types: dict[str, frozenset[str]]) -> list[tuple[str, int | None]]:
    """The tokens of one output as they stand, each with its index into KINDS; None for one of punctuation alone.

    direction: the standard and a dialect.
    """
    fits = [set(words(reference)), set(words(source)), types[direction[1]], of_others(*direction, types)]
    return [(token, kind_of(word, fits) if (word := bare(token)) else None) for token in output.split()]


def part_and_whole(counts: np.ndarray, kind: str) -> np.ndarray:
    """(..., 2) from (..., 5, 4): words of a kind and all words, of which chrf.percent makes a share.

    Its intervals: significance.difference with score=percent.
    """
    return np.stack([counts[..., KINDS.index(kind), 0], counts[..., 0].sum(axis=-1)], axis=-1)
