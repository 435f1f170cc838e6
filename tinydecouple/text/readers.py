"""Which corpus: one made by rule, or text on disk in any of five formats; cleaned, split without leaks, subsampled."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.options import option
from tinydecouple.text.corpus import ParallelCorpus, check_usable, subsample
from tinydecouple.text.family import family_corpus, region
from tinydecouple.text.formats.formats import SHAPES, Row, read_flores, read_tsv_rows, recognise, refuser
from tinydecouple.text.formats.madar import read_madar
from tinydecouple.text.formats.mediawiki import read_mediawiki
from tinydecouple.text.formats.tatoeba import read_tatoeba
from tinydecouple.text.hygiene import clean
from tinydecouple.text.phrasebook.meanings import TABLES, phrasebook, phrasebook_corpus
from tinydecouple.text.phrasebook.tables import FILES
from tinydecouple.text.splits import leaks, split_without_leaks

MADE = ("phrasebook", "family")  # corpora made by rule; any other name is a file or a folder
USUAL = {"madar": ("msa", "en"), "flores": ("arb", "eng"), "mediawiki": (None, "en"), "tatoeba": (None, "eng")}
REGIONS = {  # of varieties known by their ISO 639-3 code; those of MADAR's cities stand in the phrasebook's tables
    "ary": "maghreb", "arq": "maghreb", "aeb": "maghreb", "ayl": "maghreb", "arz": "nile", "apd": "nile", "aec": "nile",
    "apc": "levant", "ajp": "levant", "acm": "iraq", "ayp": "iraq", "ars": "gulf", "afb": "gulf", "acw": "gulf",
    "acq": "yemen", "ayn": "yemen"}


@dataclass(frozen=True)
class CorpusOptions:
    corpus: str = option("phrasebook", "phrasebook (25 Arabic cities), family (pseudo-languages), or a path: a TSV "
                         "file, or a folder of MADAR, FLORES, MediaWiki (or several: core,skins) or Tatoeba")
    format: str = option("auto", "what lies at the path", choices=("auto", *SHAPES))
    standard: str | None = option(None, "the dominant variety of text on disk; msa of MADAR, arb of FLORES if absent")
    pivot: str | None = option(None, "its variety outside the family, if it has one; en or eng of a known format")
    varieties: str | None = option(None, "only these dialects, such as arz,ary; all if absent")
    regions: str | None = option(None, "only dialects of these regions, such as maghreb,nile")
    lenient: bool = option(False, "leave out bad rows and count them, instead of stopping at the first")
    strip_marks: bool = option(False, "take out Arabic tatweel and diacritics")
    per_variety: int = option(1000, "training sentences kept of each dialect", least=1)
    trickle: int = option(20, "of these, sentences that pretraining sees", least=0)
    noise: float = option(0.0, "share of the source's pieces left out where pretraining copies the standard", least=0,
                          most=0.9)
    held_out: float = option(0.1, "share of keys for dev, and the same for test", least=0, most=0.5)
    keys: int = option(3000, "meanings drawn of the phrasebook or the family", least=1)
    tables: str | None = option(None, "folder of the phrasebook's tables, such as a copy that you edit; "
                                "data_samples/phrasebook if absent")
    overlap: float = option(0.5, "share of words that a dialect of the family has from the standard", least=0, most=1)
    corpus_seed: int = option(1, "seed of the draw, the split and the subsample", least=0)

    def __post_init__(self) -> None:
        for name in ("corpus", "tables"):  # so that a run finds its corpus again from another folder
            if (told := getattr(self, name)) not in (*MADE, None):
                object.__setattr__(self, name, ",".join(str(path.resolve()) for path in listed_paths(told)))

    @property
    def table_folder(self) -> Path:
        return Path(self.tables or TABLES)


def load_corpus(options: CorpusOptions) -> ParallelCorpus:
    """Make or read the corpus, choose its dialects and subsample them.

    Raises TinyDecoupleError as the readers do, and for a choice that the corpus cannot satisfy.
    """
    if options.tables and options.corpus != "phrasebook":
        raise TinyDecoupleError(f"--tables goes with the phrasebook, not with {options.corpus}")
    if options.corpus in MADE and (options.standard or options.pivot or options.format != "auto"):
        raise TinyDecoupleError("--standard, --pivot and --format go with a path; "
                                f"the {options.corpus} knows its own")
    if options.corpus == "phrasebook":
        corpus = phrasebook_corpus(options.keys, options.held_out, options.corpus_seed, options.table_folder)
    elif options.corpus == "family":
        corpus = family_corpus(options.keys, options.overlap, options.held_out, options.corpus_seed)
    else:
        corpus = read_corpus(options)
    chosen = choose(corpus, options)
    kept = subsample(chosen, options.per_variety, options.corpus_seed)
    gone = sum(map(len, chosen.texts.values())) - sum(map(len, kept.texts.values()))
    notes = {"subsampled: texts of dialects left out of train (--per-variety)": gone} if gone else {}
    return replace(kept, notes={**kept.notes, **notes}, fingerprint=_fingerprint(options))


def read_corpus(options: CorpusOptions) -> ParallelCorpus:
    """Read text on disk: rows of its format, cleaned, joined by key, split without leaks unless it has a split."""
    path, notes, folders = options.corpus, Counter(), listed_paths(options.corpus)
    kind = recognise(folders[0]) if options.format == "auto" else options.format
    if len(folders) > 1 and kind != "mediawiki":
        raise TinyDecoupleError(f"{path}: several paths go with MediaWiki's messages, but {folders[0]} is {kind}; "
                                "pass one path")
    usual = USUAL.get(kind, (None, None))
    named, wanted = listed_names(options.varieties), None
    if named:  # what is not wanted need not be read
        wanted = tuple({*named, options.standard or usual[0] or named[0], options.pivot or usual[1] or named[0]})

    def drop(reason: str) -> None:
        notes[f"left out: {reason}"] += 1

    rows = {"tsv": lambda: read_tsv_rows(path, drop, options.lenient),
            "madar": lambda: read_madar(path, drop, options.lenient),
            "flores": lambda: read_flores(path, drop, options.lenient),
            "mediawiki": lambda: read_mediawiki(folders, drop, options.lenient, wanted),
            "tatoeba": lambda: read_tatoeba(path, options.pivot or "eng", wanted, drop, options.lenient)}[kind]()
    texts, given = join(rows, options, wanted, notes, drop)
    if not texts:
        why = ", ".join(f"{n} {what.removeprefix('left out: ')}" for what, n in notes.items()) or "no rows"
        raise TinyDecoupleError(f"{path}: nothing in it can be used ({why}); go without --lenient to see the first")
    found = tuple(sorted({variety for row in texts.values() for variety in row}))
    standard = options.standard or usual[0]
    if missing := [v for v in named if v not in found]:
        raise TinyDecoupleError(f"{path}: --varieties {missing[0]!r} is not there; see them all without --varieties")
    pivot = options.pivot or (usual[1] if usual[1] in found else None)
    listed = ", ".join(found) or "none"
    if standard is None:
        raise TinyDecoupleError(f"{path}: no standard named; pass --standard, one of: {listed}")
    for name, variety in (("--standard", standard), ("--pivot", pivot)):
        if variety is not None and variety not in found:
            raise TinyDecoupleError(f"{path}: {name} {variety!r} is not in the file; varieties there: {listed}")
    if standard == pivot:
        raise TinyDecoupleError(f"--standard and --pivot are both {standard!r}; the pivot lies outside the family")
    dialects = tuple(v for v in found if v not in (standard, pivot))
    if not dialects:
        raise TinyDecoupleError(f"{path}: no dialect beside the standard; varieties there: {listed}")
    split = complete_split(texts, given, options, notes)
    return check_usable(ParallelCorpus(texts, split, standard, pivot, dialects, dict(notes)), path)


def join(rows: Iterator[Row], options: CorpusOptions, wanted: tuple[str, ...] | None, notes: Counter,
         drop) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Rows to key -> variety -> text, cleaned, and key -> official split; each change of a text is counted."""
    texts: dict[str, dict[str, str]] = {}
    given: dict[str, str] = {}
    bad = refuser(drop, options.lenient)
    for where, key, variety, raw, split in rows:
        if wanted and variety not in wanted:
            continue
        text, changes = clean(raw, options.strip_marks)
        for change in changes:
            notes[f"cleaned: {change}"] += 1
        cells = texts.setdefault(key, {})
        if not text:
            bad(where, "empty text", "nothing is left of the text once unseen characters are out; delete the line")
        elif variety in cells:
            bad(where, "second row of a key", f"key {key!r} has a second row for variety {variety!r}; keep one of them")
        elif split and given.setdefault(key, split) != split:
            bad(where, "key in two splits", f"key {key!r} is in {split} here and in {given[key]} above; a key belongs "
                                            "to one split")
        else:
            cells[variety] = text
    return {key: cells for key, cells in texts.items() if cells}, given


def complete_split(texts: dict[str, dict[str, str]], given: dict[str, str], options: CorpusOptions,
                   notes: Counter) -> dict[str, str]:
    """The official split, its leaks counted; keys that it leaves open (FLORES' dev) are split without leaks."""
    rng = np.random.default_rng(options.corpus_seed)
    rest = {key: row for key, row in texts.items() if key not in given}
    split = {key: given[key] for key in texts if key in given}
    if rest:
        drawn, counts = split_without_leaks(rest, options.held_out, rng)
        taken = set(given.values())  # an official test stays the only one
        split |= {key: "train" if side in taken else side for key, side in drawn.items()}
        notes.update({f"split: {what}": n for what, n in counts.items()})
    if given:
        for side, n in leaks(texts, split).items():
            notes[f"official split: {side} keys with a text of train"] = n
    return {key: split[key] for key in texts}


def choose(corpus: ParallelCorpus, options: CorpusOptions) -> ParallelCorpus:
    """Keep the dialects that --varieties and --regions name."""
    dialects = corpus.dialects
    if named := listed_names(options.varieties):
        if unknown := [v for v in named if v not in corpus.varieties]:
            raise TinyDecoupleError(f"--varieties {unknown[0]}: not in the corpus; dialects: {', '.join(dialects)}")
        dialects = tuple(v for v in dialects if v in named)
    if named := listed_names((options.regions or "").lower()):
        there = dict.fromkeys(region_of(options, corpus.standard, v) for v in corpus.dialects)
        if unknown := [name for name in named if name not in there]:
            raise TinyDecoupleError(f"--regions {unknown[0]}: no dialect of that region; there are {', '.join(there)}")
        dialects = tuple(v for v in dialects if region_of(options, corpus.standard, v) in named)
    if not dialects:
        raise TinyDecoupleError("--varieties and --regions leave no dialect; name others")
    if dialects == corpus.dialects:
        return corpus
    kept = {corpus.standard, corpus.pivot, *dialects}
    texts = {key: {v: text for v, text in row.items() if v in kept} for key, row in corpus.texts.items()}
    return replace(corpus, texts={key: row for key, row in texts.items() if row}, dialects=dialects)


def listed_names(text: str | None) -> list[str]:
    """The names in a list such as "arz, ary"; none of None."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def listed_paths(corpus: str) -> list[Path]:
    """The path, or those in a list such as "core/i18n,skins"; a path that has a comma in its name is one path."""
    return [Path(corpus)] if Path(corpus).exists() else [Path(part) for part in corpus.split(",") if part]


def _fingerprint(options: CorpusOptions) -> str:
    """SHA-256 of the files read, or of the phrasebook's tables, so that a run notices a change."""
    if options.corpus == "family":
        return hashlib.sha256(b"family").hexdigest()
    files = [options.table_folder / name for name in FILES] if options.corpus == "phrasebook" else [
        file for path in listed_paths(options.corpus)
        for file in ([path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()))]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def region_of(options: CorpusOptions, standard: str, variety: str) -> str:
    """The region of a dialect, in lower case; a variety of which none is known is a region of its own.

    Where the standard is msa, varieties are MADAR's cities; elsewhere they are ISO 639-3 codes.
    """
    if options.corpus == "family":
        return region(variety)
    if standard != "msa":  # of other corpora, ben is Bengali and san is Sanskrit
        return REGIONS.get(variety, variety)
    cities = phrasebook(options.table_folder).cities
    return cities[variety]["region"] if variety in cities else variety
