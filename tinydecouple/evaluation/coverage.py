"""Do 95 % intervals hold the truth in 95 of 100 studies? Studies are redrawn from real cells, whose truth is known.

    python -m tinydecouple.evaluation.coverage CELLS.npz [STUDIES]

CELLS.npz holds `first` and `second`, (S, D, K, 24), and `templates`, (K,), as significance.difference takes them.
"""

import sys
import zipfile
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation.report import markdown
from tinydecouple.evaluation.significance import bootstrap, difference, over_seeds, per_seed


@dataclass(frozen=True)
class Coverage:
    """What a kind of interval does: share of studies, in percent, in which it holds the truth; mean width, points."""

    name: str
    covered: float
    width: float


def simulate(first: np.ndarray, second: np.ndarray, templates: Sequence[Hashable], rng: np.random.Generator,
             studies: int = 1000, resamples: int = 200) -> list[Coverage]:
    """Coverage of four intervals of the macro mean of chrF++, `second` minus `first`.

    first, second: (S, D, K, 24) counts of all seeds, dialects and keys; templates: of each key. These are taken for the
    world: its difference is the truth. A study draws S seeds and T templates from it, with replacement, a template
    with all its keys. So the clusters, their unequal sizes, the ratio that chrF++ is and the real effects are all in.
    resamples: of each bootstrap; 200 leave percentiles a little rough. Raises TinyDecoupleError as `difference` does.
    """
    difference(first, second, templates)  # refuses what has no interval
    truth = per_seed(first, second).mean()
    keys_of = [np.flatnonzero([t == template for t in templates]) for template in dict.fromkeys(templates)]
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in tqdm(range(studies), desc="studies", disable=None, leave=False):
        seeds = rng.integers(len(first), size=len(first))
        drawn = rng.integers(len(keys_of), size=len(keys_of))
        keys = np.concatenate([keys_of[t] for t in drawn])
        clusters = np.repeat(np.arange(len(drawn)), [len(keys_of[t]) for t in drawn])
        a, b = (np.asarray(world[seeds][:, :, keys], dtype=np.float64) for world in (first, second))
        for name, interval in _intervals(a, b, clusters, rng, resamples).items():
            found.setdefault(name, []).append(interval)
    return [Coverage(name, 100 * float(np.mean([low <= truth <= high for low, high in intervals])),
                     float(np.mean([high - low for low, high in intervals]))) for name, intervals in found.items()]


def _intervals(a: np.ndarray, b: np.ndarray, clusters: np.ndarray, rng: np.random.Generator,
               resamples: int) -> dict[str, tuple[float, float]]:
    crossed = difference(a, b, clusters)
    gains = per_seed(a, b).mean(axis=1)
    seeds = over_seeds(np.zeros(len(gains)), gains)
    stacked = (x.reshape(-1, *x.shape[2:]) for x in (a, b))  # (S, D, K, 24) -> (S D, K, 24): a key is drawn for all
    return {"jackknife: seeds and templates": (crossed.low, crossed.high),
            "t over seeds": (seeds.low, seeds.high),
            "paired bootstrap over keys, all seeds": bootstrap(*stacked, rng, resamples),
            "paired bootstrap over keys, one seed": bootstrap(a[0], b[0], rng, resamples)}


def table(coverage: list[Coverage], studies: int) -> str:
    """The coverage of each interval as a Markdown table, with the precision that so many studies give."""
    rows = [["95 % interval", "holds the truth, %", "width, chrF++"],
            *([c.name, f"{c.covered:.1f}", f"{c.width:.2f}"] for c in coverage)]
    precision = 196 * (0.95 * 0.05 / studies) ** 0.5
    return "\n".join([*markdown(rows), "", f"{studies} studies redrawn from the cells; a true 95.0 % shows as 95.0 "
                                           f"± {precision:.1f}."])


def read_cells(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`first`, `second` and `templates` of an npz file; raises TinyDecoupleError for any other."""
    try:
        with np.load(path, allow_pickle=False) as cells:
            first, second, templates = (cells[name] for name in ("first", "second", "templates"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, TypeError, AttributeError) as error:
        raise TinyDecoupleError(f"{path}: no cells ({' '.join(str(error).split())}); expected an npz file with arrays "
                                "first and second (seeds, dialects, keys, 24) and templates (keys,)") from error
    if first.shape != second.shape or first.ndim != 4 or templates.shape != (first.shape[2],) or first.shape[3] != 24:
        raise TinyDecoupleError(f"{path}: first is {first.shape}, second {second.shape}, templates {templates.shape}; "
                                "expected twice (seeds, dialects, keys, 24) and (keys,)")
    return first, second, templates


def main(arguments: Sequence[str]) -> None:
    if len(arguments) not in (1, 2) or not all(text.isdigit() and int(text) > 0 for text in arguments[1:]):
        raise TinyDecoupleError("expected a file of cells and, if not 1000, a number of studies")
    studies = int(arguments[1]) if len(arguments) == 2 else 1000
    print(table(simulate(*read_cells(Path(arguments[0])), np.random.default_rng(0), studies), studies))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except TinyDecoupleError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
