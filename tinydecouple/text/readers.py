"""Which corpus: one made by rule, or text on disk in any of the formats; cleaned, split without leaks, subsampled."""

import hashlib
from collections import Counter
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import read_regular, real
from tinydecouple.text.assemble import complete_split, join, keep, working_dialects
from tinydecouple.text.corpus import ParallelCorpus, check_usable, subsample, unusable
from tinydecouple.text.family import family_corpus, region
from tinydecouple.text.formats.common import Reading, fingerprint
from tinydecouple.text.formats.foreign import foreign
from tinydecouple.text.hygiene import visible
from tinydecouple.text.options import FORMAT_NAMES, MADE, CorpusOptions, listed_paths
from tinydecouple.text.phrasebook.meanings import phrasebook, phrasebook_corpus
from tinydecouple.text.phrasebook.tables import FILES

FORMATS = {name: import_module(f"tinydecouple.text.formats.{name}") for name in FORMAT_NAMES}
NO_PIVOT = "none"
REGIONS = {  # of varieties known by their ISO 639-3 code; those of MADAR's cities stand in the phrasebook's tables
    "ary": "maghreb", "arq": "maghreb", "aeb": "maghreb", "ayl": "maghreb", "arz": "nile", "apd": "nile", "aec": "nile",
    "apc": "levant", "ajp": "levant", "acm": "iraq", "ayp": "iraq", "ars": "gulf", "afb": "gulf", "acw": "gulf",
    "acq": "yemen", "ayn": "yemen"}


def load_corpus(options: CorpusOptions, strict: bool = True) -> ParallelCorpus:
    """Make or read the corpus, choose its dialects and subsample them.

    strict: as of read_corpus. Raises TinyDecoupleError as the readers do, and for a choice that the corpus cannot
    satisfy.
    """
    if options.tables and options.corpus != "phrasebook":
        raise TinyDecoupleError(f"`tables` goes with the phrasebook, not with {options.corpus}")
    if options.corpus in MADE and (options.standard or options.pivot or options.format != "auto"):
        raise TinyDecoupleError(f"`standard`, `pivot` and `format` go with a path; the {options.corpus} knows its own")
    if options.corpus == "phrasebook":
        corpus = phrasebook_corpus(options.keys, options.held_out, options.corpus_seed, options.table_folder)
        made_from = {name: hashlib.sha256(read_regular(options.table_folder / name)).digest() for name in FILES}
        corpus = choose(replace(corpus, fingerprint=fingerprint(made_from)), options)
    elif options.corpus == "family":
        corpus = family_corpus(options.keys, options.overlap, options.held_out, options.corpus_seed)
        corpus = choose(replace(corpus, fingerprint=fingerprint({"family": b""})), options)
    else:
        corpus = read_corpus(options, strict)
    kept = subsample(corpus, options.per_variety, options.sample_seed or options.corpus_seed)
    gone = sum(map(len, corpus.texts.values())) - sum(map(len, kept.texts.values()))
    notes = {"subsampled: training texts of dialects left out (per_variety)": gone} if gone else {}
    return replace(kept, notes={**kept.notes, **notes})


def recognise(path: str | Path) -> str:
    """The format of what lies at `path`. Raises TinyDecoupleError for a missing path and for one of no known format."""
    path = Path(path)
    if not path.exists():
        raise TinyDecoupleError(f"{path}: nothing there; pass phrasebook, family, a TSV file or a corpus's folder")
    if what := foreign(path):
        raise TinyDecoupleError(f"{path}: {what}")
    for kind, module in FORMATS.items():
        if module.recognised(path):
            return kind
    if not path.is_dir():
        raise TinyDecoupleError(f"{path}: neither a file nor a folder; write what it gives to a file, and pass that")
    inside = sorted(path.iterdir())
    files = [file for file in (*inside, *sorted(path.glob("*/*"))) if file.suffix != ".json"]
    known = next((f"{file}: {what}" for file in files if (what := foreign(file))), None)
    hint = known or (f"it has {inside[0].name}" if inside else "the folder is empty")
    raise TinyDecoupleError(f"{path}: no known format here ({hint}); expected "
                            + "; or ".join(f"{name}: {module.SHAPE}" for name, module in reversed(FORMATS.items())))


def read_corpus(options: CorpusOptions, strict: bool = True) -> ParallelCorpus:
    """Read text on disk: rows of its format, cleaned, joined by key, dialects chosen, split without leaks unless it
    has a split.

    strict: raise TinyDecoupleError for what cannot be trained; otherwise the corpus comes back as it is, all of it in
    train if it cannot be split, for the user to look at.
    """
    paths, reading = listed_paths(options.corpus), Reading(options.lenient)
    kind = recognise(paths[0]) if options.format == "auto" else options.format
    if len(paths) > 1 and kind != "mediawiki":
        raise TinyDecoupleError(f"{options.corpus}: several paths go with MediaWiki's messages, but {paths[0]} is "
                                f"{kind}; pass one path")
    usual_standard, usual_pivot = FORMATS[kind].USUAL
    named, wanted = listed_names(options.varieties), None
    asked_pivot = None if options.pivot == NO_PIVOT else options.pivot or usual_pivot
    if named:  # what is not wanted need not be read
        wanted = tuple(dict.fromkeys(v for v in (*named, options.standard or usual_standard, asked_pivot) if v))
    rows = FORMATS[kind].read(paths, reading, asked_pivot, wanted)
    notes: Counter[str] = Counter()
    texts, official, there = join(rows, reading, wanted, options.strip_marks, notes)
    notes.update({f"left out: {reason}": n for reason, n in reading.left_out.items()})
    if not texts:
        why = ", ".join(f"{n} {reason}" for reason, n in reading.left_out.items()) or "no rows"
        hint = f"; varieties there: {', '.join(there)}" if wanted and there else ""
        hint += "; go without `lenient` to see the first" * options.lenient
        raise TinyDecoupleError(f"{options.corpus}: nothing in it can be used ({why}){hint}")
    corpus = arrange(texts, ", ".join(there) + reading.names_from, kind, options)
    corpus = choose(corpus, options)
    how = (options.held_out, options.corpus_seed)
    try:
        split, counts = complete_split(corpus.texts, official, *how, strict)
    except TinyDecoupleError as error:
        raise TinyDecoupleError(f"{options.corpus}: {error}") from None
    corpus = replace(corpus, split=split, notes={**notes, **counts}, fingerprint=reading.fingerprint(paths))
    if strict and unusable(corpus):
        check_usable(corpus, options.corpus, working_dialects(corpus, official, *how))
    return corpus


def arrange(texts: dict[str, dict[str, str]], listed: str, kind: str, options: CorpusOptions) -> ParallelCorpus:
    """The texts as a corpus without a split yet: which variety is the standard, which the pivot, and the dialects.

    listed: all varieties met, for error messages.
    """
    path, (usual_standard, usual_pivot) = options.corpus, FORMATS[kind].USUAL
    found = tuple(sorted({variety for row in texts.values() for variety in row}))
    if missing := [v for v in listed_names(options.varieties) if v not in found]:
        raise TinyDecoupleError(f"{path}: `varieties` {', '.join(repr(visible(v)) for v in missing)}: not there; "
                                f"varieties there: {listed}")
    standard = options.standard or usual_standard
    if standard is None or (standard not in found and not options.standard):
        usual = f", and the usual one, {standard}, is not there" if standard else ""
        raise TinyDecoupleError(f"{path}: no standard named{usual}; pass `standard`, one of: {listed}")
    pivot = None if options.pivot == NO_PIVOT else options.pivot
    if not options.pivot and usual_pivot in found and usual_pivot != standard:
        pivot = usual_pivot
    for role, variety in (("standard", standard), ("pivot", pivot)):
        if variety is not None and variety not in found:
            raise TinyDecoupleError(f"{path}: `{role}` {visible(variety)!r} is not in the file; varieties there: "
                                    f"{listed}")
    if standard == pivot:
        raise TinyDecoupleError(f"`standard` and `pivot` are both {standard!r}; the pivot lies outside the family")
    dialects = tuple(v for v in found if v not in (standard, pivot))
    if not dialects:
        raise TinyDecoupleError(f"{path}: no dialect beside the standard; varieties there: {listed}")
    return ParallelCorpus(texts, {}, standard, pivot, dialects)


def choose(corpus: ParallelCorpus, options: CorpusOptions) -> ParallelCorpus:
    """Keep the dialects that the options' varieties and regions name."""
    dialects = corpus.dialects
    if named := listed_names(options.varieties):
        if unknown := [v for v in named if v not in corpus.varieties]:
            raise TinyDecoupleError(f"`varieties` {visible(', '.join(unknown))}: not in the corpus; dialects: "
                                    f"{', '.join(dialects)}")
        dialects = tuple(v for v in dialects if v in named)
    if named := listed_names((options.regions or "").lower()):
        there = dict.fromkeys(region_of(options, corpus.standard, v) for v in corpus.dialects)
        if unknown := [name for name in named if name not in there]:
            raise TinyDecoupleError(f"`regions` {', '.join(unknown)}: no dialect of that region; there are "
                                    f"{', '.join(there)}")
        dialects = tuple(v for v in dialects if region_of(options, corpus.standard, v) in named)
    if not dialects:
        raise TinyDecoupleError("`varieties` and `regions` leave no dialect; name others")
    return corpus if dialects == corpus.dialects else keep(corpus, dialects)


def listed_names(text: str | None) -> list[str]:
    """The names in a list such as "arz, ary"; none of None."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def is_read(options: CorpusOptions, path: Path) -> bool:
    """Whether a file that exists is one that the corpus is read from, or lies in a folder that it is read from."""
    if options.corpus in MADE:
        roots = [options.table_folder] if options.corpus == "phrasebook" else []
    else:
        roots = [root for root in listed_paths(options.corpus) if root.exists()]
    return path.is_file() and any(real(root) in real(path).parents if root.is_dir() else root.samefile(path)
                                  for root in roots)


def region_of(options: CorpusOptions, standard: str, variety: str) -> str:
    """The region of a dialect, in lower case; a variety of which none is known is a region of its own.

    Where the standard is msa, varieties are MADAR's cities; elsewhere they are ISO 639-3 codes.
    """
    if options.corpus == "family":
        return region(variety)
    if standard != "msa":  # of other corpora, ben is Bengali and san is Sanskrit
        return REGIONS.get(variety.replace("_", "-").split("-")[0], variety)  # aeb-arab is aeb in Arabic letters
    cities = phrasebook(options.table_folder).cities
    return cities[variety]["region"] if variety in cities else variety
