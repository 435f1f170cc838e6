"""Which corpus: the phrasebook, the pseudo-language family, or a file."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.options import option
from tinydecouple.text.corpus import ParallelCorpus, read_tsv, subsample
from tinydecouple.text.family import family_corpus, region
from tinydecouple.text.phrasebook import TABLES, phrasebook, phrasebook_corpus
from tinydecouple.text.tables import FILES

MADE = ("phrasebook", "family")  # corpora made by rule; any other name is a file


@dataclass(frozen=True)
class CorpusOptions:
    corpus: str = option("phrasebook", "phrasebook (25 Arabic cities), family (pseudo-languages), or a long TSV file "
                         "(key, variety, text, optional split)")
    standard: str | None = option(None, "the file's dominant variety; needed with a file")
    pivot: str | None = option(None, "the file's variety outside the family, if it has one")
    per_variety: int = option(1000, "training sentences kept of each dialect", least=1)
    trickle: int = option(20, "of these, sentences that pretraining sees", least=0)
    held_out: float = option(0.1, "share of keys for dev, and the same for test", least=0, most=0.5)
    keys: int = option(3000, "meanings drawn of the phrasebook or the family", least=1)
    tables: str | None = option(None, "folder of the phrasebook's tables, such as a copy that you edit; "
                                "data_samples/phrasebook if absent")
    overlap: float = option(0.5, "share of words that a dialect of the family has from the standard", least=0, most=1)
    corpus_seed: int = option(1, "seed of the draw, the split and the subsample", least=0)

    def __post_init__(self) -> None:
        for name in ("corpus", "tables"):  # so that a run finds its corpus again from another folder
            if getattr(self, name) not in (*MADE, None):
                object.__setattr__(self, name, str(Path(getattr(self, name)).resolve()))

    @property
    def table_folder(self) -> Path:
        return Path(self.tables or TABLES)


def load_corpus(options: CorpusOptions) -> ParallelCorpus:
    """Make or read the corpus, split it by key and subsample its dialects.

    Raises TinyDecoupleError as read_tsv, read_tables and split_by_key do.
    """
    if options.tables and options.corpus != "phrasebook":
        raise TinyDecoupleError(f"--tables goes with the phrasebook, not with {options.corpus}")
    if options.corpus in MADE and (options.standard or options.pivot):
        raise TinyDecoupleError(f"--standard and --pivot go with --corpus FILE; the {options.corpus} knows its own")
    if options.corpus == "phrasebook":
        corpus = phrasebook_corpus(options.keys, options.held_out, options.corpus_seed, options.table_folder)
    elif options.corpus == "family":
        corpus = family_corpus(options.keys, options.overlap, options.held_out, options.corpus_seed)
    else:
        corpus = read_tsv(options.corpus, options.standard, options.pivot, options.held_out, options.corpus_seed)
    return subsample(corpus, options.per_variety, options.corpus_seed)


def fingerprint(options: CorpusOptions) -> str | None:
    """SHA-256 of the corpus file or the phrasebook's tables, so that a run notices a change; None for the family."""
    files = {"phrasebook": [options.table_folder / name for name in FILES], "family": []}
    data = [file.read_bytes() for file in files.get(options.corpus, [Path(options.corpus)])]
    return hashlib.sha256(b"".join(data)).hexdigest() if data else None


def region_of(options: CorpusOptions, variety: str) -> str:
    """The region of a dialect of the phrasebook or the family; any other variety is a region of its own."""
    if options.corpus == "phrasebook":
        return phrasebook(options.table_folder).cities.get(variety, {}).get("region", variety)
    return region(variety) if options.corpus == "family" else variety
