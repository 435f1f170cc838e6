"""Which corpus: the pseudo-language family, or a file."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.options import option
from tinydecouple.text.corpus import ParallelCorpus, read_tsv, subsample
from tinydecouple.text.family import family_corpus


@dataclass(frozen=True)
class CorpusOptions:
    corpus: str = option("family", "long TSV file (key, variety, text, optional split), or family: made by rule")
    standard: str | None = option(None, "the file's dominant variety; needed with a file")
    pivot: str | None = option(None, "the file's variety outside the family, if it has one")
    per_variety: int = option(500, "training sentences kept of each dialect", least=1)
    trickle: int = option(20, "of these, sentences that pretraining sees", least=0)
    held_out: float = option(0.1, "share of keys for dev, and the same for test", least=0, most=0.5)
    keys: int = option(2500, "meanings in the family", least=1)
    overlap: float = option(0.5, "share of words that a dialect of the family has from the standard", least=0, most=1)
    corpus_seed: int = option(1, "seed of the family, the split and the subsample", least=0)

    def __post_init__(self) -> None:
        if self.corpus != "family":  # so that a run finds its corpus again from another folder
            object.__setattr__(self, "corpus", str(Path(self.corpus).resolve()))


def load_corpus(options: CorpusOptions) -> ParallelCorpus:
    """Make or read the corpus, split it by key and subsample its dialects.

    Raises TinyDecoupleError as read_tsv and split_by_key do.
    """
    if options.corpus == "family":
        if options.standard or options.pivot:
            raise TinyDecoupleError("--standard and --pivot go with --corpus FILE; the family has std and piv")
        corpus = family_corpus(options.keys, options.overlap, options.held_out, options.corpus_seed)
    else:
        corpus = read_tsv(options.corpus, options.standard, options.pivot, options.held_out, options.corpus_seed)
    return subsample(corpus, options.per_variety, options.corpus_seed)


def fingerprint(options: CorpusOptions) -> str | None:
    """SHA-256 of the corpus file, so that a run notices a changed one; None for the family, which its options fix."""
    return None if options.corpus == "family" else hashlib.sha256(Path(options.corpus).read_bytes()).hexdigest()
