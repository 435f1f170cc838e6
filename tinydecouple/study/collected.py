"""What `collect` wrote, read back and checked: every damaged part is named."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation.chrf import chrf
from tinydecouple.evaluation.npz import read_arrays
from tinydecouple.files import read_regular
from tinydecouple.options import shown
from tinydecouple.study.collect import OUTCOMES, sealed
from tinydecouple.study.records import checksum
from tinydecouple.study.status import MADE_BY

RECORDS = "records.json"
MOST = 2**26  # bytes
HEAD = {"seeds": list, "settings": dict, "trials": dict, "versions": dict, "processor": str, "files": dict,
        "cells": list}
SETTING = {"configuration": dict, "corpus_sha256": str, "groups": dict, "copy": float, "conditions": dict}
KINDS = {"dialects": "U", "templates": "U", "reference": "u", "outcomes": "U", "output": "u", "both": "u",
         "pseudo": "f"}  # kinds of dtype


@dataclass(frozen=True)
class Setting:
    """The cells of one setting of a plan. conditions: name -> why and options; the first is the one compared with.

    records: (condition, seed) -> its line of records.json. number: the set of fresh keys that was read; None: dev only.
    head: records.json.
    """

    study: str
    name: str
    folder: Path
    seeds: tuple[int, ...]
    number: int | None
    said: dict[str, Any]
    records: dict[tuple[str, int], dict[str, Any]]
    trials: dict[str, dict[str, dict[str, Any]]]
    head: dict[str, Any]

    @property
    def label(self) -> str:
        return f"{self.study}/{self.name}"

    @property
    def conditions(self) -> list[str]:
        return list(self.said["conditions"])

    @property
    def dialects(self) -> list[str]:
        standard = self.said["groups"]["into"].split(" -> ")[0]
        names = self.of(self.conditions[0], self.seeds[0])["chrf++"]
        rest = self.said["groups"].values()
        return [n.split(" -> ")[1] for n in names if n.startswith(f"{standard} -> ") and n not in rest]

    def of(self, condition: str, seed: int) -> dict[str, Any]:
        """Scores of a cell: on the fresh keys, if they were read, else on dev."""
        return self.records[condition, seed]["final" if self.number else "dev"]

    def values(self, condition: str, group: str, measure: str) -> np.ndarray | None:
        """(S,) of a measure, one per seed; None where it was not measured. group: into, standard, pivot, length."""
        if group == "length":
            found = [self.of(condition, seed).get("length_controlled", {}) for seed in self.seeds]
        else:
            found = [self.of(condition, seed)["means"].get(self.said["groups"].get(group), {}) for seed in self.seeds]
        return np.array([means[measure] for means in found]) if all(measure in means for means in found) else None

    @cached_property
    def shared(self) -> dict[str, np.ndarray]:
        return self._arrays("_shared", ("dialects", "templates", "reference"))

    def arrays(self, condition: str) -> dict[str, np.ndarray]:
        return self._arrays(condition, ("outcomes", "output", "both", "pseudo"))

    def counts(self, condition: str) -> np.ndarray:
        """(S, D, T, 24) of chrF++ into each dialect. Raises TinyDecoupleError if damaged."""
        found, reference = self.arrays(condition), self.shared["reference"]
        shape = (len(self.seeds), *reference.shape)
        for name in ("output", "both"):
            if found[name].shape != shape:
                self._damaged(condition, f"{name} has shape {found[name].shape}, expected {shape}")
        sides = (found["output"], np.broadcast_to(reference, shape), found["both"])
        counts = np.stack(sides, axis=-1).astype(np.int64).reshape(*shape[:3], 24)
        scores = chrf(counts.sum(axis=2)).mean(axis=1)
        told = self.values(condition, *OUTCOMES["into"])
        if not np.allclose(scores, told, atol=1e-3):
            worst = self.seeds[int(np.abs(scores - told).argmax())]
            self._damaged(condition, f"its counts give another chrF++ than {RECORDS} has for seed {worst}")
        return counts

    def pseudo(self, condition: str, outcome: str) -> np.ndarray:
        """(S, T) pseudo-values of an outcome's macro mean."""
        found = self.arrays(condition)
        names = list(found["outcomes"])
        shape = (len(self.seeds), len(names), len(self.shared["templates"]))
        if found["pseudo"].shape != shape or not np.isfinite(found["pseudo"]).all() or outcome not in names:
            self._damaged(condition, f"pseudo-values: expected finite ones of shape {shape}, {outcome} among them")
        return found["pseudo"][:, names.index(outcome)].astype(np.float64)

    def _arrays(self, name: str, expected: tuple[str, ...]) -> dict[str, np.ndarray]:
        arrays = read_arrays(self.folder / self.name / f"{name}.npz", KINDS)
        if lacking := [array for array in expected if array not in arrays]:
            self._damaged(name, f"has no array {lacking[0]}")
        return arrays

    def _damaged(self, condition: str, why: str) -> None:
        damaged(self.folder / self.name / f"{condition}.npz", why)


def damaged(path: Path, why: str) -> None:
    raise TinyDecoupleError(f"{path}: damaged ({shown(' '.join(why.split()), 120)}); `collect` it again")


def read_data(folder: Path) -> list[Setting]:
    """All settings of all studies in a folder, study by study.

    Raises TinyDecoupleError, naming it, for what is damaged, and for cells that do not compare: of other versions, or,
    in settings of one name and configuration, of another corpus or processor. Other settings may come from another
    processor: no comparison crosses them.
    """
    paths = sorted(folder.glob(f"*/{RECORDS}"))
    if not paths:
        raise TinyDecoupleError(f"{folder}: no collected study in it; run `collect` first")
    settings = []
    first: dict[str, tuple[Path, Any]] = {}
    for path in paths:
        head = read_head(path)
        ours = {f"the version of {name}": str(head["versions"].get(name)).split("+")[0] for name in MADE_BY}
        ours |= {f"the corpus of {name}": said["corpus_sha256"] for name, said in head["settings"].items()}
        ours |= {f"the processor of {name}": head["processor"] for name in head["settings"]}
        for what, value in ours.items():
            said = head["settings"].get(what.split(" of ")[1], {})
            where, theirs = first.setdefault(f"{what} {json.dumps(said.get('configuration'))}", (path.parent, value))
            if value != theirs:
                raise TinyDecoupleError(f"cells of one report differ in {what}: those of {where} have {theirs}, those "
                                        f"of {path.parent} have {value}; run one of them again, or leave it out")
        settings += [read_setting(path, head, name) for name in head["settings"]]
    return settings


def read_head(path: Path) -> dict[str, Any]:
    try:
        head = json.loads(read_regular(path, MOST).decode("utf-8"))
        check_parts(head, HEAD, "the file")
        for name, said in head["settings"].items():
            check_parts(said, SETTING, f"setting {name}")
        for cell in head["cells"]:
            check_parts(cell, {"cell": str}, "a cell")
        if sealed(head) != head:
            raise ValueError("is not as it was written")
    except (OSError, ValueError, RecursionError) as error:
        damaged(path, str(error))
    for name, expected in head["files"].items():
        if not (path.parent / name).is_file():
            raise TinyDecoupleError(f"{path.parent / name}: missing; `collect` it again")
        if checksum(path.parent / name) != expected:
            damaged(path.parent / name, "is not as it was written")
    return head


def check_parts(value: Any, parts: dict[str, type], what: str) -> None:
    """Raise ValueError for a part that is missing or of another type."""
    for name, kind in parts.items():
        if not isinstance(value, dict) or not isinstance(value.get(name), kind):
            raise ValueError(f"{what} has no {name} of type {kind.__name__}")


def read_setting(path: Path, head: dict[str, Any], name: str) -> Setting:
    said, seeds = head["settings"][name], tuple(head["seeds"])
    records = {cell["cell"]: cell for cell in head["cells"]}
    found = {}
    for condition in said["conditions"]:
        for seed in seeds:
            cell = f"{name}/{condition}/{seed}"
            if cell not in records:
                raise TinyDecoupleError(f"{path}: cell {cell} is missing; `collect` it again")
            if sealed(records[cell]) != records[cell]:
                raise TinyDecoupleError(f"{path}: cell {cell} is damaged; `collect` it again")
            found[condition, seed] = records[cell]
    return Setting(path.parent.name, name, path.parent, seeds, head.get("final"), said, found, head["trials"], head)
