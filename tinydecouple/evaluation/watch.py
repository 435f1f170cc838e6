"""One page, in one file, that shows what a run recorded at its refreshes (training/watching.py).

The page, watch.html, holds a script and no library, and asks the network for nothing. What it shows is put into it
here: as JSON for the script, and as tables for who reads it without one.
"""

import json
import sys
import unicodedata
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation.score import one_line
from tinydecouple.evaluation.word_kinds import vocabularies, words_with_kinds
from tinydecouple.text.corpus import ParallelCorpus
from tinydecouple.text.readers import CorpusOptions, load_corpus
from tinydecouple.text.tokenizer import SPACE, Tokenizer
from tinydecouple.training.checkpoint import LAST, load_complete, load_config
from tinydecouple.training.pipeline import run_corpus, same_corpus
from tinydecouple.training.validate import damaged, records_in
from tinydecouple.training.validate_checkpoint import check_tokenizer
from tinydecouple.training.validate_watch import check

TEMPLATE = Path(__file__).with_name("watch.html")
POINTS = 200    # of a curve with a value for every step
FINEST = 32000  # coordinates are whole numbers up to this on the page
CLASSES = ("right", "leaked", "own", "other", "wrong")  # by word_kinds.KINDS, as the page's style names them
COLUMNS = {"code": 3, "null": 3, "entropy": 3, "penalty": 3, "angle": 1, "angle_null": 1, "inside": 2, "spread": 2,
           "dev_loss": 3}  # of the tables, with their decimals
HEADS = ("moment", "step", "code length", "dealt labels", "H(Y)", "penalty", "angle, °", "null, °", "inside, %",
         "length", "loss on dev")


@dataclass(frozen=True)
class Watched:
    """A finished run: its configuration, log, tokeniser, and what its checkpoint keeps for this page."""

    run: Path
    config: dict[str, Any]
    log: list[dict[str, Any]]
    tokenizer: Tokenizer
    record: dict[str, Any]


def page(run: Path, against: Path | None = None, layer: int | None = None) -> str:
    """The page of a run, or of two on the same corpus side by side, as text.

    run: fine-tuned with a probe, or a demo's, whose last arm is then shown beside its first. layer: one that both have
    a probe at, the first such if None. Raises TinyDecoupleError for a run that is missing, damaged, not finished,
    without refreshes or of another corpus.
    """
    config = load_config(run)
    if config["kind"] == "demo" and against is None:
        first, *others = [run / arm["name"] for arm in config["arms"]]
        run, against = (others[-1], first) if others else (first, None)
    arms = [read_watched(path) for path in ([against] if against else []) + [run]]
    if len(arms) > 1 and not same_corpus(arms[0].config, arms[1].config):
        raise TinyDecoupleError(f"{against}: trained on another corpus than {run}; watch two runs on the same")
    layers = [found for found in arms[-1].record["layers"] if all(found in arm.record["layers"] for arm in arms)]
    if layer is None and not layers:
        raise TinyDecoupleError(f"{against} and {run} have probes at different layers, "
                                f"{' and '.join(listed(arm) for arm in arms)}; watch one of them alone")
    for arm in arms:
        if layer is not None and layer not in arm.record["layers"]:
            raise TinyDecoupleError(f"`layer` {layer}: {arm.run} has a probe at {listed(arm)}")
    layer = layers[0] if layer is None else layer
    corpus = run_corpus(run)
    types = vocabularies(load_corpus(replace(CorpusOptions(**arms[0].config["corpus"]), per_variety=sys.maxsize)))
    data = [arm_data(arm, layer, corpus, types) for arm in arms]
    tables = "".join(numbers_table(arm) + outputs_table(arm, corpus.standard) for arm in data)
    filled = {"title": escape(" beside ".join(arm["name"] for arm in data)), "layer": str(layer), "tables": tables,
              "count": f"{max(len(arm['tokens']) for arm in data):,}", "standard": escape(corpus.standard),
              "data": json.dumps({"names": corpus.family, "arms": data}, ensure_ascii=False).replace("<", "\\u003c")}
    head, *rest = TEMPLATE.read_text(encoding="utf-8").split("{{")
    return head + "".join(filled[name] + text for name, text in (part.split("}}", 1) for part in rest))


def listed(arm: Watched) -> str:
    return ("layers " if len(arm.record["layers"]) > 1 else "layer ") + ", ".join(map(str, arm.record["layers"]))


def read_watched(run: Path) -> Watched:
    """A finished run with what it recorded at its refreshes. Raises TinyDecoupleError for any other."""
    config = load_config(run)
    if config["kind"] != "finetune":
        raise TinyDecoupleError(f"{run}: is of kind {config['kind']}, which has no refreshes of its own; name the "
                                "folder of a fine-tuned run")
    if not config["decouple"]["refreshes"]:
        raise TinyDecoupleError(f"{run}: trained without a probe (`refreshes` 0), so there is nothing to watch; with "
                                "`strength` 0 a probe looks on and changes nothing")
    state = load_complete(run)
    if state.get("watch") is None:
        raise TinyDecoupleError(f"{run}: trained by a version that did not record what watch shows; train it again, "
                                "with `overwrite`")
    record = check(state["watch"], True, run / LAST)
    tokenizer = check_tokenizer(state["tokenizer"], config["model"]["vocabulary"], run / LAST)
    if int(record["tokens"].max()) >= tokenizer.size:
        damaged(run / LAST, "watch: tokens beyond the vocabulary")
    return Watched(run, config, records_in(state["log"], run / LAST), tokenizer, record)


def arm_data(arm: Watched, layer: int, corpus: ParallelCorpus, types: dict[str, frozenset[str]]) -> dict[str, Any]:
    """What the page's script needs of one run, in what JSON can hold."""
    kept, options = arm.record["layers"][layer], arm.config["decouple"]
    steps = arm.record["step"].tolist()
    if int(arm.record["variety"].max()) >= len(corpus.family):
        damaged(arm.run / LAST, "watch: a variety that the corpus lacks")
    places = kept["places"].numpy().astype(np.float64)  # (m, n, 2)
    scale = float(np.abs(places).max()) / FINEST or 1.0
    series = curves(arm.log, layer)
    series["angle_null"] = [[s, a] for s, a in zip(steps[:-1], kept["null"].tolist()) if a >= 0]
    about = (f"form {options['form']}, subspace {options['subspace']}, rank {options['rank']}, "
             f"strength {options['strength']:g}")
    return {"name": arm.run.name or str(arm.run), "about": about, "strength": options["strength"],
            "scale": scale, "points": b64encode(np.round(places / scale).astype("<i2").tobytes()).decode("ascii"),
            "arrow": np.round(kept["arrow"].numpy().astype(float), 4).tolist(),
            "tokens": [piece(arm.tokenizer, i) for i in arm.record["tokens"].tolist()],
            "variety": arm.record["variety"].tolist(), "moments": moments(arm, layer, series), "series": series,
            "sentences": sentences(arm, corpus, types)}


def piece(tokenizer: Tokenizer, i: int) -> str:
    return tokenizer.pieces.id_to_piece(i).replace(SPACE, " ").strip() or "a space"


def curves(log: list[dict[str, Any]], layer: int) -> dict[str, list[list[float]]]:
    """[step, value] pairs of a layer's code length, null, H(Y), angle and penalty, and of the loss on dev."""
    here = [r for r in log if r.get("layer") == layer]
    found = {name: [[r["step"], r[key]] for r in here if r.get(key) is not None]
             for name, key in (("code", "code_bits"), ("null", "null_bits"), ("entropy", "entropy_bits"),
                               ("angle", "angle_degrees"), ("states", "states"))}
    found["dev_loss"] = [[r["step"], r["dev_loss"]] for r in log if "dev_loss" in r]
    inside = [[r["step"], r.get("penalty_by_layer", {}).get(str(layer), r["penalty"])] for r in log if "penalty" in r]
    size = max(1, len(inside) // POINTS)
    found["penalty"] = [[block[0][0], float(np.mean([value for _, value in block]))]
                        for block in (inside[i:i + size] for i in range(0, len(inside), size))]
    found["every"] = inside
    return found


def moments(arm: Watched, layer: int, series: dict[str, list[list[float]]]) -> list[dict[str, Any]]:
    """The numbers of each moment; None for what is not measured there, which at the end is what a refresh measures."""
    kept, steps = arm.record["layers"][layer], arm.record["step"].tolist()
    numbers = {r["step"]: r["refresh"] for r in arm.log if "refresh" in r}
    every = series.pop("every")
    refreshes = [*sorted(numbers), sys.maxsize]
    states = dict(series.pop("states"))
    at = {name: dict(pairs) for name, pairs in series.items()}
    found = []
    for i, step in enumerate(steps):
        last = i == len(steps) - 1
        until = next(s for s in refreshes if s > step)
        nulls = [[s, value] for s, value in series["null"] if s <= step]
        null = nulls[-1] if nulls and not last else [step, None]
        turns = [[s, value] for s, value in series["angle_null"] if s <= step and not last] or [[step, None]]
        penalties = [value for s, value in every if step <= s < until]
        found.append({
            "label": "the end" if last else f"refresh {numbers.get(step, i)}", "step": step,
            "code": at["code"].get(step), "null": null[1],
            "null_label": at_refresh(null[0], step, numbers), "angle_label": at_refresh(turns[-1][0], step, numbers),
            "entropy": at["entropy"].get(step), "states": states.get(step),
            "penalty": float(np.mean(penalties)) if penalties else None,
            "angle": at["angle"].get(step), "angle_null": turns[-1][1],
            "inside": 100 * float(kept["inside"][i]), "spread": float(kept["spread"][i]),
            "dev_loss": at["dev_loss"].get(step)})
    return found


def at_refresh(measured: int, step: int, numbers: dict[int, int]) -> str:
    """Where a null was measured, if not at this step."""
    return "" if measured == step else f" (at refresh {numbers.get(measured)})"


def sentences(arm: Watched, corpus: ParallelCorpus, types: dict[str, frozenset[str]]) -> list[dict[str, Any]]:
    """Each sentence with its translation at every moment, as words with their kinds."""
    found = []
    for i, (key, target) in enumerate(arm.record["sentences"]):
        name = corpus.family[target] if target < len(corpus.family) else ""
        texts = corpus.texts.get(key, {})
        if corpus.standard not in texts or name not in texts:
            damaged(arm.run / LAST, "watch: a sentence that the corpus lacks")
        source, reference = texts[corpus.standard], texts[name]
        found.append({"id": f"{key} {name}", "target": name, "source": source, "reference": reference,
                      "direction": [direction_of(source), direction_of(reference)],
                      "outputs": [words_with_kinds(one_line(row[i]), source, reference, (corpus.standard, name), types)
                                  for row in arm.record["outputs"]]})
    return found


def direction_of(text: str) -> str:
    """"rtl" or "ltr", by the first character that has a direction."""
    return next(("ltr" if kind == "L" else "rtl" for kind in map(unicodedata.bidirectional, text)
                 if kind in ("L", "R", "AL")), "ltr")


def numbers_table(arm: dict[str, Any]) -> str:
    """The numbers of an arm's moments as an HTML table."""
    rows = []
    for moment in arm["moments"]:
        here = moment | {name: None for name, label in (("null", "null_label"), ("angle_null", "angle_label"))
                         if moment[label]}  # elsewhere the last one is told again
        shown = [here[name] for name in COLUMNS]
        cells = [escape(moment["label"]), str(moment["step"]),
                 *("–" if value is None else f"{value:.{digits}f}" for value, digits in zip(shown, COLUMNS.values()))]
        rows.append(cells)
    n = next((moment["states"] for moment in arm["moments"] if moment["states"]), 0)
    return table(f"{arm['name']} ({arm['about']}), n = {n} states at the first refresh", HEADS,
                 [["<td>" + cell + "</td>" for cell in row] for row in rows])


def outputs_table(arm: dict[str, Any], standard: str) -> str:
    """The translations at each moment as an HTML table; source and reference first."""
    told, heads = arm["sentences"], ["", *(f"{standard} → {s['target']}" for s in arm["sentences"])]
    rows = [[f"<td>{name}</td>", *(text_cell([(s[name], None)], s["direction"][i]) for s in told)]
            for i, name in enumerate(("source", "reference"))]
    rows += [[f"<td>{escape(moment['label'])}</td>", *(text_cell(s["outputs"][i], s["direction"][1]) for s in told)]
             for i, moment in enumerate(arm["moments"])]
    return table(f"{arm['name']}: translations", heads, rows)


def text_cell(parts: Sequence[tuple[str, int | None]], direction: str) -> str:
    spans = [escape(text) if kind is None else f'<span class="word {CLASSES[kind]}">{escape(text)}</span>'
             for text, kind in parts]
    return f'<td class="text" dir="{direction}"><bdi dir="{direction}">{" ".join(spans)}</bdi></td>'


def table(caption: str, heads: Sequence[str], rows: list[list[str]]) -> str:
    """rows: of cells with their tags."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(row)}</tr>\n" for row in rows)
    told = escape(caption)
    return (f'<div class="wide" tabindex="0" role="region" aria-label="{told}"><table><caption>{told}</caption>'
            f"\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n")
