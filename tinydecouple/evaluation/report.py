"""From translations to scores.json, translations.tsv, a table and examples side by side."""

from collections.abc import Iterable
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np

from tinydecouple.evaluation.score import Direction, chrf, copied, exact_match, group, leakage, mean_chrf, signature
from tinydecouple.evaluation.significance import paired_bootstrap
from tinydecouple.files import write, write_json
from tinydecouple.text.corpus import ParallelCorpus

COLUMNS = ("source_variety", "target_variety", "key", "source", "reference", "output")


def write_translations(folder: Path, system: list[Direction]) -> None:
    lines = ["\t".join(COLUMNS)] + ["\t".join((d.source, d.target, *cells)) for d in system
                                    for cells in zip(d.keys, d.sources, d.references, d.outputs)]
    write(folder / "translations.tsv", "\n".join(lines) + "\n")


def write_scores(folder: Path, system: list[Direction], corpus: ParallelCorpus, of: dict[str, Any]) -> None:
    """scores.json: chrF++ with its signature, exact match and, into dialects, leakage, a direction each."""
    into_dialect = group(system, corpus.standard, corpus.pivot)[f"{corpus.standard} -> dialect"]
    write_json(folder / "scores.json", {**of, "signature": signature(), "directions": {
        d.name: {"chrf++": chrf(d.statistics.sum(axis=0)), "exact_match_percent": exact_match(d),
                 "sentences": len(d.keys)} | ({"leakage_percent": leakage(d)} if d in into_dialect else {})
        for d in system}})


def compare(systems: dict[str, list[Direction]], corpus: ParallelCorpus, seed: int) -> dict[str, Any]:
    """What the table shows, as numbers: copying beside one system, or beside two and their difference.

    systems: name -> translations; of two, the second is measured against the first.
    Returns rows (a row a dialect, standard -> dialect, in chrF++), means (macro means of each group of directions)
    and shares (exact match and leakage in percent, means over standard -> dialect): each a list of
    {name, scores by system}, and with two systems an interval for each mean: 95 %, second minus first.
    """
    grouped = {name: group(s, corpus.standard, corpus.pivot)
               for name, s in {"copy": copied(next(iter(systems.values()))), **systems}.items()}
    into = f"{corpus.standard} -> dialect"

    def entry(name: str, values: Iterable[float]) -> dict[str, Any]:
        return {"name": name, "scores": dict(zip(grouped, map(float, values)))}

    means = []
    for name, directions in grouped["copy"].items():
        parts = [g[name] for g in grouped.values()]
        means.append(entry(f"{name}, mean of {len(directions)}" if "dialect" in name else name, map(mean_chrf, parts)))
        if len(systems) == 2:
            means[-1]["interval"] = paired_bootstrap(*parts[1:], np.random.default_rng(seed))
    same_direction = zip(*(g[into] for g in grouped.values()))
    return {"rows": [entry(d[0].name, [chrf(one.statistics.sum(axis=0)) for one in d]) for d in same_direction],
            "means": means,
            "shares": [entry(name, [np.mean([measure(d) for d in g[into]]) for g in grouped.values()])
                       for name, measure in (("exact match, %", exact_match), ("leakage, %", leakage))],
            "keys": len({k for d in grouped["copy"][into] for k in d.keys}), "signature": signature()}


def table(result: dict[str, Any], split: str) -> str:
    """The comparison as Markdown that also reads as plain text."""
    entries = result["rows"] + result["means"] + result["shares"]
    systems = list(entries[0]["scores"])
    two = len(systems) == 3
    header = ["chrF++", *systems] + (["difference", "95 % interval"] if two else [])
    lines = []
    for e in entries:
        cells = [e["name"], *(f"{score:.1f}" for score in e["scores"].values())]
        if two:
            low, high = e.get("interval", (None, None))
            cells += [f"{e['scores'][systems[2]] - e['scores'][systems[1]]:+.1f}",
                      "" if low is None else f"{low:+.1f} to {high:+.1f}"]
        lines.append(cells)
    widths = [max(len(row[i]) for row in [header, *lines]) for i in range(len(header))]

    def draw(row: list[str]) -> str:
        return f"| {row[0]:<{widths[0]}} | " + " | ".join(c.rjust(w) for c, w in zip(row[1:], widths[1:])) + " |"

    rule = "|" + "-" * (widths[0] + 2) + "|" + "|".join("-" * (w + 1) + ":" for w in widths[1:]) + "|"
    note = f"{split} split, {result['keys']} keys. copy: the source handed back. "
    if two:
        note += (f"difference: {systems[2]} minus {systems[1]}; its interval is a paired bootstrap over keys and "
                 "covers the choice of sentences only, one training seed. ")
    note += "Exact match and leakage: means over standard to dialect. "
    for system in systems[1:]:
        behind = [e["name"].split(" -> ")[1] for e in result["rows"] if e["scores"][system] <= e["scores"][systems[0]]]
        note += (f"{system} beats copying into {len(result['rows']) - len(behind)} of {len(result['rows'])} dialects"
                 f"{', not into ' + ', '.join(behind) if behind else ''}. ")
    return "\n".join([draw(header), rule, *map(draw, lines), "", *wrap(note, 110), result["signature"]]) + "\n"


def side_by_side(plain: list[Direction], decoupled: list[Direction], pivot: str | None, count: int = 5) -> str:
    """`count` translations into dialects spread over the list, from both systems."""
    into = [(a, b) for a, b in zip(plain, decoupled) if a.source == plain[0].source and a.target != pivot]
    out = []
    for i in range(count):
        a, b = into[i * len(into) // count]
        j = i % len(a.keys)
        out += [f"{a.name}, key {a.keys[j]}", f"  source     {a.sources[j]}", f"  reference  {a.references[j]}",
                f"  plain      {a.outputs[j]}", f"  decoupled  {b.outputs[j]}"]
    return "\n".join(out)
