"""The corpus command, apart from the others: it needs no PyTorch, which takes a second to import."""

import argparse
import dataclasses
import sys
from difflib import get_close_matches
from itertools import islice
from typing import TypeVar

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import write
from tinydecouple.messages import say
from tinydecouple.text.corpus import write_tsv
from tinydecouple.text.corpus_stats import MANY, distances, summary
from tinydecouple.text.hygiene import clean, shorten
from tinydecouple.text.phrasebook.meanings import meanings, phrasebook, render
from tinydecouple.text.readers import CorpusOptions, is_read, load_corpus, region_of

T = TypeVar("T")
LONG_KEY = 80  # characters; beyond them keys are not compared, which takes the product of their lengths


def options(kind: type[T], args: argparse.Namespace, prefix: str = "") -> T:
    return kind(**{f.name: getattr(args, f"{prefix}{f.name}".replace("-", "_")) for f in dataclasses.fields(kind)})


def corpus_command(args: argparse.Namespace) -> None:
    chosen = options(CorpusOptions, args)
    if args.show is not None:
        print(show(chosen, clean(args.show)[0]))
        return
    for path in (args.export, args.figure):
        if path and is_read(chosen, path):
            raise TinyDecoupleError(f"{path}: is part of the corpus that is read; name another file")
    corpus = load_corpus(chosen, strict=False)  # to look at, even if some of it cannot be trained
    if args.export:
        write(args.export, write_tsv(corpus))
        say(f"wrote {args.export}")
        return
    matrix = distances(corpus, every=args.figure is not None or len(corpus.varieties) <= MANY)
    print(summary(corpus, matrix, lambda variety: region_of(chosen, corpus.standard, variety)))
    if args.figure:
        from tinydecouple.evaluation.figures import draw_distances  # which a table can do without

        if not draw_distances(args.figure, matrix, list(corpus.varieties)):
            raise TinyDecoupleError("a picture needs matplotlib; pip install matplotlib")


def show(chosen: CorpusOptions, key: str) -> str:
    """One meaning in every variety; of the phrasebook, any of its meanings, the cities by region."""
    if chosen.corpus != "phrasebook":
        corpus = load_corpus(dataclasses.replace(chosen, per_variety=sys.maxsize), strict=False)
        if key not in corpus.texts:
            known = [shorten(known, LONG_KEY) for known in islice(corpus.texts, 10_000)]
            alike = get_close_matches(key[:LONG_KEY], known) or known[:3]
            raise TinyDecoupleError(f"{shorten(key)}: no such key; some are {', '.join(alike)}")
        row = corpus.texts[key]
        return "\n".join(f"{variety:8} {row[variety]}" for variety in corpus.varieties if variety in row)
    tables = phrasebook(chosen.table_folder)
    by_key = {meaning.key: meaning for meaning in meanings(tables)}
    if key not in by_key:
        key = shorten(key, LONG_KEY)
        alike = get_close_matches(key, [k for k in by_key if k.startswith(key.split("/")[0] + "/")] or by_key, 3, 0)
        raise TinyDecoupleError(f"{key}: no such meaning; keys are like {', '.join(alike)}")
    lines = [f"{by_key[key].key}: {tables.templates[by_key[key].template].domain}"]
    lines += [f"  {v:4} {name:24} {render(tables, by_key[key], v)}"
              for v, name in (("en", "English"), ("msa", "Modern Standard Arabic"))]
    for region_name in dict.fromkeys(city["region"] for city in tables.cities.values()):
        lines.append(region_name.title())
        lines += [f"  {code:4} {city['city']:24} {render(tables, by_key[key], code)}"
                  for code, city in tables.cities.items() if city["region"] == region_name]
    return "\n".join(lines)
