"""Which corpus: the pseudo-language family, or a file."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.corpus import ParallelCorpus, read_tsv, subsample
from tinydecouple.text.family import family_corpus


@dataclass(frozen=True)
class CorpusOptions:
    corpus: str = field(default="family", metadata={
        "help": "a long TSV file (key, variety, text, optional split), or family: pseudo-languages made by rule"})
    standard: str | None = field(default=None, metadata={"help": "the file's dominant variety; needed with a file"})
    pivot: str | None = field(default=None, metadata={"help": "the file's variety outside the family, if it has one"})
    per_variety: int = field(default=500, metadata={"least": 1, "help": "training sentences kept of each dialect"})
    trickle: int = field(default=20, metadata={"least": 0, "help": "of these, sentences that pretraining sees"})
    held_out: float = field(default=0.1, metadata={"least": 0, "most": 0.5, "help": "share of keys for dev, and the same for test"})
    keys: int = field(default=2500, metadata={"least": 1, "help": "meanings in the family"})
    overlap: float = field(default=0.5, metadata={"least": 0, "most": 1, "help": "share of words a dialect of the family has from the standard"})
    corpus_seed: int = field(default=1, metadata={"least": 0, "help": "of the family, the split and the subsample"})


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
