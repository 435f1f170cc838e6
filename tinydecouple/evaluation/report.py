"""From translations to scores.json, translations.tsv, a table and examples side by side."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np

from tinydecouple.evaluation.chrf import chrf, signature
from tinydecouple.evaluation.score import Direction, copied, exact_match, group, leakage, mean_chrf
from tinydecouple.evaluation.significance import paired_bootstrap
from tinydecouple.files import write, write_json
from tinydecouple.text.corpus import ParallelCorpus

COPY = "copy"  # the system that hands back its source
COLUMNS = ("source_variety", "target_variety", "key", "source", "reference", "output")


def write_translations(folder: Path, system: list[Direction]) -> None:
    lines = ["\t".join(COLUMNS)] + ["\t".join((d.source, d.target, *cells)) for d in system
                                    for cells in zip(d.keys, d.sources, d.references, d.outputs)]
    write(folder / "translations.tsv", "\n".join(lines) + "\n")


def write_scores(folder: Path, system: list[Direction], corpus: ParallelCorpus, of: dict[str, Any]) -> None:
    """scores.json: chrF++ with its signature, exact match and, into dialects, leakage, for each direction."""
    into_dialect = group(system, corpus.standard, corpus.pivot)[f"{corpus.standard} -> dialect"]
    write_json(folder / "scores.json", {**of, "signature": signature(), "directions": {
        d.name: {"chrf++": chrf(d.statistics.sum(axis=0)), "exact_match_percent": exact_match(d),
                 "sentences": len(d.keys)} | ({"leakage_percent": leakage(d)} if d in into_dialect else {})
        for d in system}})


def compare(systems: dict[str, list[Direction]], corpus: ParallelCorpus, seed: int) -> dict[str, Any]:
    """What the tables show, as numbers: copying beside any number of systems, each against the first.

    systems: name -> translations of the same sentences.
    Returns rows and leakage (one per dialect, standard -> dialect, in chrF++ and in percent), means (macro means of
    each group of directions) and shares (exact match and leakage in percent, means over standard -> dialect): each a
    list of {name, scores by system}; a mean also has intervals, by system: 95 % for that system minus the first.
    """
    grouped = {name: group(s, corpus.standard, corpus.pivot)
               for name, s in {COPY: copied(next(iter(systems.values()))), **systems}.items()}
    into = f"{corpus.standard} -> dialect"
    first, *others = systems

    def entry(name: str, values: Iterable[float]) -> dict[str, Any]:
        return {"name": name, "scores": dict(zip(grouped, map(float, values)))}

    means = []
    for name, directions in grouped[COPY].items():
        label = f"{name}, mean of {len(directions)}" if "dialect" in name else name
        means.append(entry(label, [mean_chrf(g[name]) for g in grouped.values()]))
        means[-1]["intervals"] = {other: paired_bootstrap(grouped[first][name], grouped[other][name],
                                                          np.random.default_rng(seed)) for other in others}
    same_direction = list(zip(*(g[into] for g in grouped.values())))
    return {"rows": [entry(d[0].name, [chrf(one.statistics.sum(axis=0)) for one in d]) for d in same_direction],
            "leakage": [entry(d[0].name, map(leakage, d)) for d in same_direction], "means": means,
            "shares": [entry(name, [np.mean([measure(d) for d in g[into]]) for g in grouped.values()])
                       for name, measure in (("exact match, %", exact_match), ("leakage, %", leakage))],
            "keys": len({k for d in grouped[COPY][into] for k in d.keys}), "signature": signature()}


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table that also reads as plain text; the first row is the header, the first column text."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [f"| {row[0]:<{widths[0]}} | " + " | ".join(c.rjust(w) for c, w in zip(row[1:], widths[1:])) + " |"
             for row in rows]
    rule = "|" + "-" * (widths[0] + 2) + "|" + "|".join("-" * (w + 1) + ":" for w in widths[1:]) + "|"
    return [lines[0], rule, *lines[1:]]


def summary(result: dict[str, Any], split: str) -> str:
    """Means and shares of every system, and each system's difference to the first with its verdict."""
    names = [name for name in result["means"][0]["scores"] if name != COPY]
    first, others = names[0], names[1:]
    rows = [["chrF++", COPY, *names, *(f"{other} - {first}" for other in others)]]
    for e in result["means"] + result["shares"]:
        differences = [f"{e['scores'][other] - e['scores'][first]:+.1f}" for other in others]
        for i, (low, high) in enumerate(e.get("intervals", {}).values()):
            differences[i] += f" ({low:+.1f} to {high:+.1f})"
        rows.append([e["name"], *(f"{score:.1f}" for score in e["scores"].values()), *differences])
    verdicts = [verdict(result["means"][0], first, other) for other in others]
    note = f"{split} split, {result['keys']} keys. {COPY}: the source handed back. "
    if others:
        note += ("In brackets: 95 % paired bootstrap over keys, which covers the choice of sentences only, one "
                 "training seed. ")
    note += "Exact match and leakage: means over standard to dialect."
    return "\n".join([*markdown(rows), "", *(line for v in verdicts for line in wrap(v, 110)), *([""] * bool(verdicts)),
                      *wrap(note, 110), result["signature"]]) + "\n"


def verdict(mean: dict[str, Any], first: str, other: str) -> str:
    """What an interval allows to say of a difference, and no more."""
    low, high = mean["intervals"][other]
    found = f"{mean['scores'][other] - mean['scores'][first]:+.1f} chrF++, interval {low:+.1f} to {high:+.1f}"
    if low <= 0 <= high:
        says = "it holds zero, so no difference is shown, and no equality either"
    else:
        says = f"{other} is {'better' if low > 0 else 'worse'} on this training seed"
    return f"{other} against {first}, {mean['name']}: {found}; {says}."


def dialect_rows(result: dict[str, Any]) -> str:
    """One row per dialect, leakage in brackets, and which dialects each system beats copying into."""
    systems = list(result["rows"][0]["scores"])
    rows = [["chrF++ (leakage, %)", *systems]]
    for e, leaked in zip(result["rows"], result["leakage"]):
        rows.append([e["name"], *(f"{e['scores'][name]:.1f} ({leaked['scores'][name]:.1f})" for name in systems)])
    note = ""
    for system in systems:
        behind = [e["name"].split(" -> ")[1] for e in result["rows"] if e["scores"][system] <= e["scores"][COPY]]
        if system != COPY:
            named = f", not into {', '.join(behind)}" if 0 < len(behind) < len(rows) / 2 else ""
            note += f"{system} beats copying into {len(rows) - 1 - len(behind)} of {len(rows) - 1} dialects{named}. "
    return "\n".join([*markdown(rows), "", *wrap(note, 110)]) + "\n"


def side_by_side(systems: dict[str, list[Direction]], pivot: str | None, count: int = 5) -> str:
    """`count` translations into dialects spread over the list, from every system."""
    standard = next(iter(systems.values()))[0].source
    into = [same for same in zip(*systems.values()) if same[0].source == standard and same[0].target != pivot]
    width = max(map(len, ("reference", *systems)))
    out = []
    for i in range(count):
        same = into[i * len(into) // count]
        j = i % len(same[0].keys)
        lines = {"source": same[0].sources[j], "reference": same[0].references[j],
                 **{name: d.outputs[j] for name, d in zip(systems, same)}}
        out.append(f"{same[0].name}, key {same[0].keys[j]}")
        out += [f"  {name:<{width}}  {text}" for name, text in lines.items()]
    return "\n".join(out)
