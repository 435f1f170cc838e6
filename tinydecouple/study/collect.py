"""From a study's cells to the few small files that its report is made of, and that are committed.

FOLDER/
  records.json             settings, conditions, trials, versions, processor, checksums; a line of scores for each cell
  SETTING/_shared.npz      of the final read: dialects, templates, and the references' counts
  SETTING/CONDITION.npz    of the final read, all seeds: the outputs' counts, and pseudo-values of every outcome

Counts are summed over the keys of a template, the unit of the intervals. Only the scores into each dialect are kept as
counts; of any other outcome the macro mean's pseudo-values per template are sufficient, a hundredth of the size.
"""

import gzip
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation import coverage
from tinydecouple.evaluation.chrf import chrf, percent, statistics
from tinydecouple.evaluation.significance import by_template, pseudo_values
from tinydecouple.evaluation.word_kinds import KINDS, part_and_whole
from tinydecouple.files import write
from tinydecouple.options import filled
from tinydecouple.study.conditions import PRIMARY_COMPARISON
from tinydecouple.study.measures import read_sentences
from tinydecouple.study.plan import Cell, Plan
from tinydecouple.study.records import cell_folder, checksum, read_checked
from tinydecouple.study.status import check_alike, read_records

NUMBERS = (1, 2)  # of the sets of fresh keys
OUTCOMES = {  # name of an outcome -> which group of directions, and its measure in a cell's record
    "into": ("into", "chrf++"), "standard": ("standard", "chrf++"), "pivot": ("pivot", "chrf++"),
    "length": ("length", "chrf++"), "leakage": ("into", "leakage_percent"), "exact": ("into", "exact_match_percent"),
    "ratio": ("into", "length_ratio"), **{f"words {kind}": ("into", f"words_{kind.replace(' ', '_')}_percent")
                                          for kind in KINDS}}


def collect(run: Path, plan: Plan, folder: Path, number: int | None = None, studies: int = 0) -> list[Path]:
    """Write the files of a report for all cells of a plan; returns their paths.

    number: the set of fresh keys that `final` read, 0 for dev; without it, the one that was read, if any was.
    studies: how many are redrawn from the cells to see what the intervals cover, for the primary comparison; 0: none.
    Raises TinyDecoupleError for cells that are missing, damaged, or do not compare.
    """
    records = read_records(run, plan)
    number = final_number(run, plan) if number is None else number
    finals = read_finals(run, plan, number, records) if number else {}
    split = f"final-{number}/test" if number else "dev"
    arrays: dict[str, dict[str, np.ndarray]] = {}
    head: dict[str, Any] = {"final": number, "seeds": list(plan.seeds), "settings": {}, "trials": plan.trials}
    with tqdm(total=len(records), desc="collecting", unit=" cells", disable=None, leave=False, delay=2) as bar:
        for setting in plan.settings:
            arms = plan.arms[setting.name]
            first = Cell(setting, arms[0], plan.seeds[0])
            groups = group_names(records[first.name])
            head["settings"][setting.name] = {
                "configuration": first.configuration(), "corpus_sha256": records[first.name]["corpus_sha256"],
                "groups": groups, "copy": copying(cell_folder(run, first) / f"{split}.tsv.gz", groups),
                "conditions": {arm.name: {"why": arm.why, "options": arm.options} for arm in arms}}
            for arm in arms:
                of_seed = []
                for cell in (Cell(setting, arm, seed) for seed in plan.seeds):
                    if number:
                        of_seed.append(final_arrays(cell_folder(run, cell) / f"final-{number}", groups))
                        check_references(of_seed[-1], arrays.setdefault(f"{setting.name}/_shared", {
                            name: of_seed[-1][name] for name in ("dialects", "templates", "reference")}), cell, first)
                    bar.update()
                if number:
                    arrays[f"{setting.name}/{arm.name}"] = {
                        "outcomes": of_seed[0]["outcomes"],
                        **{name: np.stack([one[name] for one in of_seed]) for name in ("output", "both", "pseudo")}}
    made = []
    for name, found in arrays.items():
        made.append(folder / f"{name}.npz")
        write(made[-1], packed(found))
    head |= {"versions": next(iter(records.values()))["versions"],
             "processor": next(iter(records.values()))["processor"],
             "coverage": simulated(run, plan, number, studies) if studies and number else None,
             "files": {f"{name}.npz": checksum(path) for name, path in zip(arrays, made)}}
    lines = [json.dumps(sealed(rounded(slim(name, record, finals.get(name)))), ensure_ascii=False)
             for name, record in records.items()]
    text = json.dumps(sealed(rounded(head)), indent=1, ensure_ascii=False)[:-2]
    write(folder / "records.json", f'{text},\n "cells": [\n' + ",\n".join(lines) + "\n]}\n")
    return [folder / "records.json", *made]


def final_number(run: Path, plan: Plan) -> int | None:
    there = [n for n in NUMBERS if any((cell_folder(run, cell) / f"final-{n}").is_dir() for cell in plan.cells())]
    if len(there) > 1:
        raise TinyDecoupleError(f"{run}: both sets of fresh keys were read; name one by `final`")
    return there[0] if there else None


def read_finals(run: Path, plan: Plan, number: int, records: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Name -> final.json of every cell. Raises TinyDecoupleError as read_records does."""
    finals, first = {}, {}
    for cell in plan.cells():
        folder = cell_folder(run, cell) / f"final-{number}"
        if not folder.is_dir():
            raise TinyDecoupleError(f"cell {cell.name} has no final-{number} in {run}; read it by `final` first, or "
                                    "collect what was scored on dev, by `final` 0")
        finals[cell.name] = final = read_checked(folder / "final.json", cell)
        if filled(final["configuration"]) != records[cell.name]["configuration"]:
            raise TinyDecoupleError(f"cell {cell.name}: final-{number} was read with another configuration; remove "
                                    f"{folder} and read it again")
        check_alike(first, cell, final)
    return finals


def group_names(record: dict[str, Any]) -> dict[str, str]:
    """Which of a record's means is what: into the dialects, into the standard, and from and to the pivot, if any."""
    return dict(zip(("into", "standard", "pivot", "to pivot"), record["scores"]["means"]))


def columns_of(names: np.ndarray, groups: dict[str, str], which: str) -> list[int]:
    """Places of a group's directions."""
    if which.endswith("pivot"):
        return [i for i, name in enumerate(names) if name == groups.get(which)]
    side = 0 if which == "into" else 1
    standard = groups["into"].split(" -> ")[0]
    return [i for i, name in enumerate(names) if name.split(" -> ")[side] == standard and name not in groups.values()]


def copying(path: Path, groups: dict[str, str]) -> float:
    """Macro mean of chrF++ into the dialects of handing back the source."""
    rows = [line.split("\t") for line in gzip.decompress(path.read_bytes()).decode("utf-8").splitlines()[1:]]
    names = list(dict.fromkeys(f"{row[0]} -> {row[1]}" for row in rows))
    texts: dict[str, tuple[list[str], list[str]]] = {}
    for source, target, _, text, reference, _ in rows:
        found = texts.setdefault(f"{source} -> {target}", ([], []))
        found[0].append(text)
        found[1].append(reference)
    into = [texts[names[i]] for i in columns_of(np.array(names), groups, "into")]
    return float(np.mean([chrf(statistics(*pair).sum(axis=0)) for pair in into]))


def template_of(key: str) -> str:
    """The template that a key's sentence was made from: 'price-is/shirt/num-15' is of 'price-is'."""
    return key.split("/")[0]


def final_arrays(folder: Path, groups: dict[str, str]) -> dict[str, np.ndarray]:
    """Of one cell: counts (D, T, 8) of outputs, references and both, into each dialect, and pseudo-values (M, T)."""
    test, length = (read_sentences(folder / f"{name}.npz") for name in ("test", "length"))
    templates = [template_of(key) for key in test["keys"]]

    def counts(arrays: dict[str, np.ndarray], which: str, *names: str) -> np.ndarray:
        """(D, T, ...) sums per template of the arrays named, side by side."""
        columns = [arrays[name] if arrays[name].ndim > 1 else arrays[name][:, None] for name in names]
        values = np.concatenate(columns, axis=1)
        whole = np.zeros((len(arrays["directions"]), len(test["keys"]), *values.shape[1:]), dtype=np.int64)
        whole[arrays["direction"], place[arrays["key"]] if arrays is length else arrays["key"]] = values
        mine = whole[columns_of(arrays["directions"], groups, which)]
        sums = by_template(mine.reshape(len(mine), len(templates), values[0].size), templates)
        return sums.reshape(*sums.shape[:2], *values.shape[1:])

    number = {key: i for i, key in enumerate(test["keys"])}
    place = np.array([number[key] for key in length["keys"]])
    test["one"] = np.ones_like(test["key"])
    test["exact"] = test["exact"].astype(np.int64)
    into = counts(test, "into", "statistics")
    kinds = counts(test, "into", "word_kinds")
    made: dict[str, tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]] = {
        "into": (into, chrf), "standard": (counts(test, "standard", "statistics"), chrf),
        "pivot": (counts(test, "pivot", "statistics"), chrf), "length": (counts(length, "into", "statistics"), chrf),
        "leakage": (part_and_whole(kinds, "standard"), percent),
        "exact": (counts(test, "into", "exact", "one"), percent),
        "ratio": (counts(test, "into", "output_tokens", "reference_tokens"), lambda sums: percent(sums) / 100),
        **{f"words {kind}": (part_and_whole(kinds, kind), percent) for kind in KINDS}}
    names = [name for name in OUTCOMES if len(made[name][0])]
    directions = test["directions"][columns_of(test["directions"], groups, "into")]
    return {"dialects": np.array([name.split(" -> ")[1] for name in directions]),
            "templates": np.array(list(dict.fromkeys(templates))), "outcomes": np.array(names),
            "output": into[..., 0::3], "reference": into[..., 1::3], "both": into[..., 2::3],
            "pseudo": np.array([pseudo_values(*made[name]).mean(axis=0) for name in names], dtype=np.float32)}


def check_references(ours: dict[str, np.ndarray], shared: dict[str, np.ndarray], cell: Cell, first: Cell) -> None:
    if not all(np.array_equal(ours[name], shared[name]) for name in shared):
        raise TinyDecoupleError(f"cells of one report differ in their references: {first.name} and {cell.name}; read "
                                "both by `final` from one version of the corpus")


def simulated(run: Path, plan: Plan, number: int, studies: int) -> dict[str, Any] | None:
    """What intervals cover when studies are redrawn from the cells of the primary comparison, key by key."""
    name, first, second, _ = PRIMARY_COMPARISON
    setting = next((s for s in plan.settings if s.name == name), plan.settings[0])
    arms = {arm.name: arm for arm in plan.arms[setting.name]}
    if not {first, second} <= arms.keys() or len(plan.seeds) < 2:
        return None
    sides = []
    for arm in (first, second):
        cells = [cell_folder(run, Cell(setting, arms[arm], seed)) / f"final-{number}" for seed in plan.seeds]
        found = [read_sentences(folder / "test.npz") for folder in cells]
        groups = group_names(json.loads((cells[0].parent / "cell.json").read_text(encoding="utf-8")))
        counts = np.zeros((len(cells), len(found[0]["directions"]), len(found[0]["keys"]), 24))
        for place, one in zip(counts, found):
            place[one["direction"], one["key"]] = one["statistics"]
        sides.append(counts[:, columns_of(found[0]["directions"], groups, "into")])
    templates = [template_of(key) for key in found[0]["keys"]]
    covered = coverage.simulate(*sides, templates, np.random.default_rng(0), studies)
    return {"setting": setting.name, "studies": studies, "table": coverage.table(covered, studies)}


def slim(name: str, record: dict[str, Any], final: dict[str, Any] | None) -> dict[str, Any]:
    """What a report takes from a cell's record or, once fresh keys were read, from its final.json."""
    def scores(of: dict[str, Any]) -> dict[str, Any]:
        return {"means": of["means"], "chrf++": {d: found["chrf++"] for d, found in of["directions"].items()}}

    kept = {"cell": name, **({} if final else {"dev": scores(record["scores"])}),
            **{part: record[part] for part in ("probes", "length_by_end_bias", "steps", "seconds")}}
    if final:
        kept["final"] = scores(final["scores"]) | {
            "length_controlled": next(iter(final["length_controlled"]["means"].values())),
            "end_bias": final["end_bias"]}
    return kept


def rounded(value: Any) -> Any:
    """Numbers to six digits: what is measured is not known better, and the file is half the size."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list | tuple) else value


def sealed(part: dict[str, Any]) -> dict[str, Any]:
    """A part of records.json with a checksum of the rest of it, the cells of a study aside."""
    text = json.dumps({name: value for name, value in part.items() if name not in ("cells", "sha256")}, sort_keys=True)
    return part | {"sha256": hashlib.sha256(text.encode("utf-8")).hexdigest()}


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    """A compressed .npz file, the same bytes for the same arrays, counts in the smallest integers that hold them."""
    small = {name: a.astype(np.min_scalar_type(int(a.max(initial=0)))) if a.dtype.kind == "i" else a
             for name, a in arrays.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **small)
    return buffer.getvalue()
