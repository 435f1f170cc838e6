"""Cells that nobody trained: a run's folder in which every condition's scores are planted.

A sentence has three words. A condition's outputs get each word right with a chance of its own; a wrong word is the
standard's or of no variety. So its chrF++ and its leakage are known to go up or down.
"""

import gzip

import numpy as np

from tinydecouple.evaluation.chrf import chrf, precision_recall, statistics
from tinydecouple.evaluation.word_kinds import KINDS, SHARED
from tinydecouple.study.records import cell_folder, write_record

WORDS = 3
SIZE = {"templates": 8, "keys": 4}  # keys per template


def plant(run, plan, right, leaks=0.5, number=1, size=SIZE, luck=0.03):
    """Write all cells of a plan, and their read of the fresh keys, if `number` is one.

    right: condition -> chance that a word is right.  leaks: share of wrong words that are the standard's, or a dict of
    them.  luck: spread of `right` between seeds.
    """
    for cell in plan.cells():
        rng = np.random.default_rng([cell.seed, sum(map(ord, cell.setting.name + cell.arm.name))])
        chance = right[cell.arm.name] + luck * rng.normal()
        share = leaks[cell.arm.name] if isinstance(leaks, dict) else leaks
        dialects = cell.setting.corpus.varieties.split(",")
        folder = cell_folder(run, cell)
        folder.mkdir(parents=True)
        configuration = cell.configuration()
        pivot = cell.setting.corpus.pivot != "none"
        scores, arrays, text = outputs(dialects, chance, share, size, rng, pivot=pivot)
        write_split(folder, "dev", arrays, text)
        common = {"cell": cell.name, "configuration": configuration, "corpus_sha256": "c" * 64}
        write_record(folder / "cell.json", {
            **common, "why": cell.arm.why, "scores": scores, "length_by_end_bias": [], "steps": 7,
            "probes": {"1": {"states": 50, "code_bits": 0.5 + 0.01 * rng.normal(), "null_bits": 1.0,
                             "entropy_bits": 0.9, "angle_degrees": 40.0, "angle_null_degrees": 20.0,
                             "energy_percent": 1.0, "energy_before_percent": 2.0, "mean_length": 3.0,
                             "mean_length_before": 3.0}},
            "seconds": {"training": 9.0, "translating": 2.0, "probing": 1.0}})
        if number:
            final = folder / f"final-{number}"
            final.mkdir()
            scores, arrays, text = outputs(dialects, chance, share, size, rng, pivot=pivot)
            write_split(final, "test", arrays, text)
            controlled, arrays, text = outputs(dialects, chance, share, size, rng, into_only=True)
            write_split(final, "length", arrays, text)
            write_record(final / "final.json", {**common, "set": number, "end_bias": 0.0, "scores": scores,
                                                "length_controlled": controlled, "seconds": {"translating": 2.0}})


def write_split(folder, split, arrays, text):
    np.savez_compressed(folder / f"{split}.npz", **arrays)
    (folder / f"{split}.tsv.gz").write_bytes(gzip.compress(text.encode("utf-8"), mtime=0))


def outputs(dialects, chance, share, size, rng, into_only=False, pivot=True):
    """Scores as of measures.scores, arrays as of measures.sentences, and the translations as a table."""
    keys = [f"template{t}/meaning{k}" for t in range(size["templates"]) for k in range(size["keys"])]
    names = [("std", d) for d in dialects] + ([] if into_only else
                                              [(d, "std") for d in dialects] + [("piv", "std"), ("std", "piv")] * pivot)
    rows = ["source_variety\ttarget_variety\tkey\tsource\treference\toutput"]
    each, parts = {}, {name: [] for name in ("statistics", "output_tokens", "reference_tokens", "exact", "word_kinds")}
    for source, target in names:
        into = source == "std" and target != "piv"
        pairs, kinds = [], np.zeros((len(keys), 5, 4), np.int64)
        for i, key in enumerate(keys):
            reference = [f"{target}{key[8:].replace('/meaning', '')}{'abc'[w]}" for w in range(WORDS)]
            source_text = [f"{source}{key[8:].replace('/meaning', '')}{'abc'[w]}" for w in range(WORDS)]
            is_right = rng.random(WORDS) < chance
            leaked = rng.random(WORDS) < share
            output = [r if good else (s if leak else "qqq") for r, s, good, leak in
                      zip(reference, source_text, is_right, leaked)]
            kinds[i, 0, 0], kinds[i, 1, 0] = is_right.sum(), (~is_right & leaked).sum()
            kinds[i, 4, 0] = WORDS - kinds[i, :2, 0].sum()
            pairs.append((" ".join(output), " ".join(reference)))
            rows.append("\t".join((source, target, key, " ".join(source_text), pairs[-1][1], pairs[-1][0])))
        counts = statistics(*map(list, zip(*pairs)))
        exact = np.array([a == b for a, b in pairs])
        precision, recall = precision_recall(counts.sum(axis=0))
        each[f"{source} -> {target}"] = found = {
            "chrf++": float(chrf(counts.sum(axis=0))), "precision_percent": 100 * float(precision),
            "recall_percent": 100 * float(recall), "exact_match_percent": 100 * float(exact.mean()),
            "length_ratio": 1.0}
        if into:
            of = kinds.sum(axis=0)[:, 0] / (WORDS * len(keys))
            found |= {f"words_{kind.replace(' ', '_')}_percent": 100 * float(x) for kind, x in zip(KINDS, of)}
            found |= {f"words_also_{whose.replace(' ', '_')}_percent": 0.0 for whose in SHARED}
            found |= {"leakage_percent": 100 * float(of[1]), "region_percent": 50.0, "dialect_percent": 80.0,
                      "reference_region_percent": 90.0, "reference_dialect_percent": 95.0}
        for name, value in (("statistics", counts), ("output_tokens", np.full(len(keys), 3)), ("exact", exact),
                            ("reference_tokens", np.full(len(keys), 3)), ("word_kinds", kinds if into else 0 * kinds)):
            parts[name].append(value)
    groups = {"std -> dialect": [f"std -> {d}" for d in dialects]}
    if not into_only:
        groups |= {"dialect -> std": [f"{d} -> std" for d in dialects]}
        groups |= {"piv -> std": ["piv -> std"], "std -> piv": ["std -> piv"]} if pivot else {}
    means = {name: {measure: float(np.mean([each[d][measure] for d in members])) for measure in each[members[0]]}
             for name, members in groups.items()}
    arrays = {name: np.concatenate(value) for name, value in parts.items()}
    arrays = {name: a if a.dtype == bool else a.astype(np.uint16) for name, a in arrays.items()}
    where = {"direction": np.repeat(np.arange(len(names)), len(keys)).astype(np.uint8),
             "key": np.tile(np.arange(len(keys)), len(names)).astype(np.uint16)}
    return ({"means": means, "directions": each},
            {"directions": np.array([f"{a} -> {b}" for a, b in names]), "keys": np.array(keys), **where, **arrays},
            "\n".join(rows) + "\n")
