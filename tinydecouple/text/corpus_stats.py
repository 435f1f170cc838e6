"""What a corpus holds, in numbers: counts, lengths, how much is the standard's, how far apart the varieties are."""

from collections import Counter
from collections.abc import Callable
from itertools import combinations, islice
from typing import Any
from zlib import crc32

import numpy as np
from tqdm import tqdm

from tinydecouple.text.chrf import ORDERS, chrf, matches, ngrams
from tinydecouple.text.corpus import SPLITS, ParallelCorpus, unusable

MOST = 100  # keys of a pair of varieties that their distance is measured on
MANY = 12   # varieties, beyond which not all pairs are measured unless asked for
NEAR = 3    # dialects that a dialect is compared with where not all pairs are
BUCKETS = 4096  # that letter trigrams are counted in


def distances(corpus: ParallelCorpus, most: int = MOST, every: bool = True) -> np.ndarray:
    """chrF (0 to 100, 100 on the diagonal) between varieties, on the first `most` keys that both have.

    every: measure any two varieties; else, linear in their number, each with the standard and with the NEAR other
    dialects whose letters resemble it most. The others are NaN, and so is a pair that shares no key.
    (v, v), in the order of corpus.varieties; the later variety is the reference.
    """
    names = corpus.varieties
    pairs = list(combinations(range(len(names)), 2)) if every else _near_pairs(corpus, most)
    counts = np.zeros((len(pairs), 3 * ORDERS), dtype=np.int64)
    keys = [0] * len(pairs)
    for row in tqdm(corpus.texts.values(), desc="distances", disable=None, leave=False):
        wanted = [p for p, (i, j) in enumerate(pairs) if keys[p] < most and names[i] in row and names[j] in row]
        grams = {i: ngrams(row[names[i]]) for i in {i for p in wanted for i in pairs[p]}}
        for p in wanted:
            keys[p] += 1
            counts[p] += matches(*(grams[i] for i in pairs[p]))
        if min(keys, default=most) == most:
            break
    matrix = np.full((len(names), len(names)), np.nan)
    np.fill_diagonal(matrix, 100)
    for (i, j), n, score in zip(pairs, keys, chrf(counts)):
        if n:
            matrix[i, j] = matrix[j, i] = score
    return matrix


def _near_pairs(corpus: ParallelCorpus, most: int) -> list[tuple[int, int]]:
    """Each variety with the standard, and each dialect with the NEAR others of the most similar letter trigrams."""
    names = corpus.varieties
    profiles = np.zeros((len(names), BUCKETS))
    for i, variety in enumerate(tqdm(names, desc="letters", disable=None, leave=False)):
        for text in islice((row[variety] for row in corpus.texts.values() if variety in row), most):
            for k in range(len(text) - 2):
                profiles[i, crc32(text[k:k + 3].encode()) % BUCKETS] += 1
    profiles = np.sqrt(profiles)  # so that a few frequent trigrams do not decide
    profiles /= np.maximum(np.linalg.norm(profiles, axis=1, keepdims=True), 1)
    likeness = profiles @ profiles.T
    standard = names.index(corpus.standard)
    pairs = {(min(i, standard), max(i, standard)) for i in range(len(names)) if i != standard}
    dialects = [i for i, name in enumerate(names) if name in corpus.dialects]
    for i in dialects:
        others = sorted((j for j in dialects if j != i), key=lambda j: -likeness[i, j])  # noqa: B023
        pairs |= {(min(i, j), max(i, j)) for j in others[:NEAR]}
    return sorted(pairs)


def describe(corpus: ParallelCorpus, matrix: np.ndarray) -> list[dict[str, Any]]:
    """A row of numbers per variety: texts per split, mean length, keys and identical texts shared with the standard."""
    names, described = corpus.varieties, []
    for i, variety in enumerate(names):
        rows = [row for row in corpus.texts.values() if variety in row]
        shared = [row for row in rows if corpus.standard in row]
        others = [j for j, name in enumerate(names) if name not in (variety, corpus.standard, corpus.pivot)
                  and not np.isnan(matrix[i, j])]
        nearest = max(others, key=lambda j: matrix[i, j], default=None)
        counted = Counter(corpus.split[key] for key, row in corpus.texts.items() if variety in row)
        described.append({
            "variety": variety, **{split: counted[split] for split in SPLITS},
            "characters": float(np.mean([len(row[variety]) for row in rows])) if rows else 0.0,
            "with_standard": len(shared),
            "same_percent": 100 * sum(row[variety] == row[corpus.standard] for row in shared) / max(1, len(shared)),
            "chrf_standard": float(matrix[i, names.index(corpus.standard)]),
            "nearest": names[nearest] if nearest is not None else "",
            "chrf_nearest": float(matrix[i, nearest]) if nearest is not None else float("nan")})
    return described


def summary(corpus: ParallelCorpus, matrix: np.ndarray, region: Callable[[str], str], examples: int = 10) -> str:
    """The corpus as text for people: the numbers of each variety, what reading left out, some keys side by side."""
    s, lacking = corpus.standard, unusable(corpus)
    wide = max(9, *(len(v) for v in corpus.varieties))
    lines = [f"{'variety':{wide}} {'region':9} {'train':>6} {'dev':>5} {'test':>5} {'letters':>7} {f'with {s}':>10} "
             f"{f'same as {s}':>13} {f'chrF {s}':>9}  nearest"]
    for row in describe(corpus, matrix):
        own = row["variety"] in (s, corpus.pivot)
        place = "" if own else region(row["variety"])
        nearest = f"{row['nearest']} {row['chrf_nearest']:.1f}" if row["nearest"] and not own else ""
        lines.append(f"{row['variety']:{wide}} {place:9} {row['train']:6} {row['dev']:5} {row['test']:5} "
                     f"{row['characters']:7.1f} {row['with_standard']:10} {row['same_percent']:11.1f} % "
                     f"{row['chrf_standard']:9.1f}  {nearest}{'  *' if row['variety'] in lacking else ''}".rstrip())
    lines.append(f"letters: mean characters per text; chrF: between varieties, on at most {MOST} keys that both have")
    if lacking:
        lines.append(f"*: cannot be trained, since train, dev or test lacks keys that it shares with {s}")
    if corpus.notes:
        lines += ["", "what reading did"] + [f"{n:8}  {what}" for what, n in sorted(corpus.notes.items())]
    for key in sorted(corpus.keys("dev") + corpus.keys("train"), key=lambda key: -len(corpus.texts[key]))[:examples]:
        row = corpus.texts[key]
        lines += ["", f"key {key}"] + [f"  {variety:{wide}} {row[variety]}" for variety in corpus.varieties
                                       if variety in row]
    return "\n".join(lines)
