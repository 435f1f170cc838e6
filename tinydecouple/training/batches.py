"""Training examples and length-bucketed batches.

An example is `<src> pieces <tgt> pieces </s>`; the loss is on what follows the target's tag. A
tokeniser without `source_tag` leaves the first tag out.
"""

from dataclasses import dataclass, replace

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.corpus import ParallelCorpus
from tinydecouple.text.tokenizer import Tokenizer

IGNORE = -100  # label of a position without loss, as torch's cross_entropy has it
NO_VARIETY = -1


@dataclass(frozen=True)
class Example:
    """One sentence pair, to be translated from source to target.

    tokens: (t,) ids.  boundary: index of the target's tag.  source, target: variety indices, or
    NO_VARIETY.  key: of the meaning.  first: index of the source's first piece.  The index of a
    variety is its place in corpus.family; the standard is 0, the pivot has none.
    """

    tokens: list[int]
    boundary: int
    source: int
    target: int
    key: str = ""
    first: int = 1


@dataclass(frozen=True)
class Batch:
    """Arrays (b, t) over input positions, padded on the right.

    inputs: ids, int64.  labels: id of the next token where the target is predicted, else IGNORE,
    int64.  variety: index of the variety whose text the input token belongs to; NO_VARIETY for
    tags, padding and the pivot, int64.  in_target: whether the input token is a piece of the
    target, bool.  to_standard: (b,) bool, whether a row's target is in the standard.
    """

    inputs: np.ndarray
    labels: np.ndarray
    variety: np.ndarray
    in_target: np.ndarray
    to_standard: np.ndarray


def prompt(tokenizer: Tokenizer, source: str, target: str, texts: list[str]) -> list[list[int]]:
    """`<src> pieces <tgt>` for each text: the prompt that a translation continues."""
    before, after = tokenizer.tag(source), tokenizer.tag(target)
    start = [before] if tokenizer.source_tag else []
    return [[*start, *pieces, after] for pieces in tokenizer.encode(texts)]


def encode(corpus: ParallelCorpus, tokenizer: Tokenizer, split: str, source: str, target: str,
           most: int | None = None) -> list[Example]:
    """Examples of one direction, for the first `most` keys of a split that both varieties have."""
    keys = corpus.keys(split, source, target)[:most]
    index = {variety: i for i, variety in enumerate(corpus.family)}
    prompts = prompt(tokenizer, source, target, corpus.column(source, keys))
    outputs = tokenizer.encode(corpus.column(target, keys))
    return [Example([*start, *pieces, tokenizer.end], len(start) - 1,
                    index.get(source, NO_VARIETY), index.get(target, NO_VARIETY), key,
                    int(tokenizer.source_tag))
            for start, pieces, key in zip(prompts, outputs, keys)]


def pretraining_examples(corpus: ParallelCorpus, tokenizer: Tokenizer, split: str, trickle: int,
                         most: int | None = None, noise: float = 0.0,
                         rng: np.random.Generator | None = None) -> list[Example]:
    """Standard to itself, pivot to standard and back; a trickle of each dialect, both ways.

    This makes the standard dominant before fine-tuning starts. trickle: sentences per dialect and
    direction.  most: sentences per direction without a dialect. noise: share of the source's pieces
    to leave out, chosen by rng, where the standard is copied.
    """
    standard, pivot = corpus.standard, corpus.pivot
    copies = encode(corpus, tokenizer, split, standard, standard, most)
    if noise:
        copies = [leave_out(e, rng.random(e.boundary - e.first) < noise) for e in copies]
    others = [(pivot, standard), (standard, pivot)] if pivot else []
    return (copies + [e for pair in others for e in encode(corpus, tokenizer, split, *pair, most)]
            + finetuning_examples(corpus, tokenizer, split, trickle))


def leave_out(example: Example, gone: np.ndarray) -> Example:
    """The example without the source pieces that are `gone`, (boundary - first,) bool."""
    first, boundary = example.first, example.boundary
    kept = [piece for piece, out in zip(example.tokens[first:boundary], gone) if not out]
    return replace(example, tokens=[*example.tokens[:first], *kept, *example.tokens[boundary:]],
                   boundary=first + len(kept))


def finetuning_examples(corpus: ParallelCorpus, tokenizer: Tokenizer, split: str,
                        most: int | None = None) -> list[Example]:
    """Standard to each dialect and back, at most `most` sentences per direction."""
    return [e for dialect in corpus.dialects
            for pair in ((corpus.standard, dialect), (dialect, corpus.standard))
            for e in encode(corpus, tokenizer, split, *pair, most)]


def from_sisters(examples: list[Example], corpus: ParallelCorpus, tokenizer: Tokenizer,
                 region: dict[str, str], share: float,
                 rng: np.random.Generator) -> list[Example]:
    """The examples, where a share of those standard to dialect have a sister's sentence as source.

    A sister is another dialect of the same region, drawn by rng from those that have the key. The
    targets stay, and how many there are: it is no more training, only from other sources. Raises
    TinyDecoupleError if no example has a sister.
    """
    index = {variety: i for i, variety in enumerate(corpus.family)}
    drawn, found = [], False
    for e in examples:
        target = corpus.family[e.target] if e.source == 0 and e.target > 0 else None
        sisters = [v for v in corpus.dialects if target and v != target and v in corpus.texts[e.key]
                   and region[v] == region[target]]
        found = found or bool(sisters)
        if sisters and rng.random() < share:
            sister = sisters[rng.integers(len(sisters))]
            (start,) = prompt(tokenizer, sister, target, corpus.column(sister, [e.key]))
            e = replace(e, tokens=start + e.tokens[e.boundary + 1:], boundary=len(start) - 1,
                        source=index[sister])
        drawn.append(e)
    if not found:
        raise TinyDecoupleError("`sisters`: no sentence is there in two dialects of one region; "
                                "choose more dialects per region")
    return drawn


def collate(examples: list[Example], pad: int) -> Batch:
    """Lay examples of similar length side by side."""
    longest = max(len(e.tokens) for e in examples) - 1
    inputs = np.full((len(examples), longest), pad, dtype=np.int64)
    labels = np.full_like(inputs, IGNORE)
    variety = np.full_like(inputs, NO_VARIETY)
    in_target = np.zeros(inputs.shape, dtype=bool)
    for row, e in enumerate(examples):
        last = len(e.tokens) - 1  # the end symbol is predicted, never read
        inputs[row, :last] = e.tokens[:-1]
        labels[row, e.boundary:last] = e.tokens[e.boundary + 1:]
        variety[row, e.first:e.boundary] = e.source
        variety[row, e.boundary + 1:last] = e.target
        in_target[row, e.boundary + 1:last] = True
    return Batch(inputs, labels, variety, in_target, np.array([e.target == 0 for e in examples]))


def bucket(examples: list[Example], batch_tokens: int,
           rng: np.random.Generator) -> list[list[Example]]:
    """Shuffle one epoch into batches of similar length, each of at most `batch_tokens` tokens.

    Padding counts. An example longer than that makes a batch of its own. Every example appears
    once.
    """
    order = rng.permutation(len(examples))
    batches: list[list[Example]] = []
    pool = 2 * batch_tokens  # examples sorted at a time: dozens of batches, so that epochs differ
    for first in range(0, len(order), pool):
        pooled = [examples[i] for i in order[first:first + pool]]
        by_length = sorted(pooled, key=lambda e: len(e.tokens))
        current: list[Example] = []
        for example in by_length:  # the newest is the longest, so it sets the width of the batch
            if current and (len(current) + 1) * (len(example.tokens) - 1) > batch_tokens:
                batches.append(current)
                current = []
            current.append(example)
        batches.append(current)
    return [batches[i] for i in rng.permutation(len(batches))]
