"""Parallel text: one meaning, known by its key, in many varieties."""

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.options import SPLITS


@dataclass(frozen=True)
class ParallelCorpus:
    """Texts that share a key mean the same; a key need not exist in every variety.

    texts: key -> variety -> text.  split: key -> train, dev or test.
    standard: the dominant variety.  pivot: a variety outside the family, or None.
    dialects: every other variety, in order of first appearance.
    notes: what reading left out, cleaned or moved, in counts.
    fingerprint: SHA-256 of what it was made from: name and bytes of the files read, so that a run notices a change.
    """

    texts: dict[str, dict[str, str]]
    split: dict[str, str]
    standard: str
    pivot: str | None
    dialects: tuple[str, ...]
    notes: dict[str, int] = field(default_factory=dict, compare=False)
    fingerprint: str = field(default="", compare=False)

    @property
    def family(self) -> tuple[str, ...]:
        """The standard and its dialects: the varieties that a probe distinguishes."""
        return (self.standard, *self.dialects)

    @property
    def varieties(self) -> tuple[str, ...]:
        return ((self.pivot,) if self.pivot else ()) + self.family

    def keys(self, split: str, *varieties: str) -> list[str]:
        """Keys of a split that exist in all the named varieties, in corpus order."""
        return [key for key, row in self.texts.items()
                if self.split[key] == split and all(v in row for v in varieties)]

    def column(self, variety: str, keys: list[str]) -> list[str]:
        return [self.texts[key][variety] for key in keys]


def write_tsv(corpus: ParallelCorpus) -> str:
    """The corpus as long TSV with its split; what is read back is the same corpus."""
    lines = ["key\tvariety\ttext\tsplit"]
    for key, row in corpus.texts.items():
        lines += [f"{key}\t{variety}\t{text}\t{corpus.split[key]}" for variety, text in row.items()]
    return "\n".join(lines) + "\n"


def split_by_key(keys: list[str], held_out: float, rng: np.random.Generator) -> dict[str, str]:
    """Put a share of the keys in dev, as many in test, the rest in train: no meaning is on two sides."""
    n = round(len(keys) * held_out)
    if n < 1 or 2 * n >= len(keys):
        raise TinyDecoupleError(f"too few sentences to split: {len(keys)} keys at a held-out share of {held_out} "
                                "leave train, dev or test empty; add sentences or change `held_out`")
    split = dict.fromkeys(keys, "train")
    order = rng.permutation(len(keys))
    split.update({keys[i]: "dev" for i in order[:n]})
    split.update({keys[i]: "test" for i in order[n:2 * n]})
    return split


def unusable(corpus: ParallelCorpus) -> dict[str, Counter[str]]:
    """Varieties that cannot be trained, chosen on and tested -> keys that they share with the standard, per split."""
    shared = {variety: Counter() for variety in corpus.varieties}
    for key, row in corpus.texts.items():
        if corpus.standard in row:
            for variety in row:
                if variety in shared:
                    shared[variety][corpus.split[key]] += 1
    return {variety: counts for variety, counts in shared.items() if not all(counts[split] for split in SPLITS)}


def check_usable(corpus: ParallelCorpus, source: str, working: tuple[str, ...] = ()) -> ParallelCorpus:
    """Return the corpus if every variety can be trained, chosen on and tested; raise TinyDecoupleError if not.

    working: dialects known to pass without the others, for the remedy.
    """
    lacking = unusable(corpus)
    if not lacking:
        return corpus
    size = Counter(corpus.split.values())
    if absent := [split for split in SPLITS if not size[split]]:
        raise TinyDecoupleError(f"{source}: no key is in {' or '.join(absent)} ({_counts(size)}), by the split that "
                                f"came with it; mark some keys {' or '.join(absent)}, or leave the split out so that "
                                "one is drawn")
    named = "; ".join(f"variety {v!r} has no rows in {', '.join(s for s in SPLITS if not counts[s])} that share a key "
                      f"with {corpus.standard!r} ({_counts(counts)})" for v, counts in lacking.items())
    remedy = ""
    if working and not lacking.keys().isdisjoint(corpus.dialects):
        remedy = f", or leave it out by varieties {','.join(working)}"
    if corpus.pivot in lacking:
        remedy += ", and choose another `pivot`, or none"
    raise TinyDecoupleError(f"{source}: {named}; too few sentences to split: add some{remedy}")


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{split} {counts[split]}" for split in SPLITS)


def subsample(corpus: ParallelCorpus, per_variety: int, seed: int) -> ParallelCorpus:
    """Keep at most `per_variety` training sentences per dialect; nested by seed: 100 lie within 200.

    The standard, the pivot, dev and test stay whole.
    """
    order = corpus.keys("train")
    np.random.default_rng(seed).shuffle(order)
    dropped = set()
    for dialect in corpus.dialects:
        with_both = [k for k in order if dialect in corpus.texts[k] and corpus.standard in corpus.texts[k]]
        dropped |= {(k, dialect) for k in with_both[per_variety:]}
    texts = {k: {v: t for v, t in row.items() if (k, v) not in dropped} for k, row in corpus.texts.items()}
    return replace(corpus, texts=texts)
