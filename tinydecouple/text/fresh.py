"""Meanings that nobody has read yet: drawn after those of a corpus made by rule, and sharing no text with them."""

from dataclasses import replace

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.assemble import keep
from tinydecouple.text.corpus import ParallelCorpus
from tinydecouple.text.family import family_texts
from tinydecouple.text.phrasebook.meanings import phrasebook_texts
from tinydecouple.text.readers import MADE, CorpusOptions
from tinydecouple.text.splits import fold

SIZE = 600  # keys of a set
SPARE = 2  # keys drawn for each that is needed, since some share a text with another key


def fresh_corpus(corpus: ParallelCorpus, options: CorpusOptions, number: int, size: int = SIZE) -> ParallelCorpus:
    """The `number`-th set, counted from 1, of `size` fresh keys: a corpus whose every key is in test.

    corpus: the one that the options name, already read, whose dialects are kept. Draws are nested: the same keys
    follow a corpus's own for every choice of dialects. A key is left out if a text of it, in any variety, is but for
    case, digits, marks and space (splits.fold) a text of the corpus or of a fresh key before it. Raises
    TinyDecoupleError for a corpus that is not made by rule.
    """
    if options.corpus not in MADE:
        raise TinyDecoupleError(f"{options.corpus}: has no fresh meanings; only {' and '.join(MADE)} can draw more")
    drawn = options.keys + SPARE * size * number
    if options.corpus == "phrasebook":
        texts = phrasebook_texts(drawn, options.corpus_seed, options.table_folder)
    else:
        texts = family_texts(drawn, options.overlap, options.corpus_seed)
    seen: set[str] = set()
    fresh: list[str] = []
    for place, (key, row) in enumerate(texts.items()):
        folded = set(map(fold, row.values()))
        if place >= options.keys and seen.isdisjoint(folded):
            fresh.append(key)
        if place < options.keys or fresh[-1:] == [key]:
            seen |= folded
        if len(fresh) == number * size:
            break
    mine = fresh[(number - 1) * size:]
    if len(mine) < size:
        raise TinyDecoupleError(f"{options.corpus}: {drawn} meanings hold only {len(fresh)} fresh ones, expected "
                                f"{number * size}; name fewer `keys`")
    whole = replace(corpus, texts={key: texts[key] for key in mine}, split=dict.fromkeys(mine, "test"), notes={})
    return keep(whole, corpus.dialects)
