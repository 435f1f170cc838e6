"""T, tasks of the tutorials that no assignment asks: 1 to 4 and 11. Checked one at a time by tutorials/check.py.

The first number of an id is the tutorial's. An "assignment" only in that stubs and grader take it as they take A1 to
A4: nobody submits it.
"""

from typing import Any

import numpy as np

from tinydecouple.coursework import reference
from tinydecouple.coursework.reference import IGNORE, Block, Model
from tinydecouple.coursework.tasks import Assignment, Case, Rng, Task

LEMMAS = ("kitab", "Kitab!", "bayt", "BAYT", "shams", "qamar 1", "qamar 2", "bab", "nahr", "jabal")


def leak_cases(rng: Rng) -> list[Case]:
    def case(n: int, note: str, edge: bool = False, sides: tuple[str, ...] = ("train", "dev", "test")) -> Case:
        texts = {f"k{i}": {v: f"{rng.choice(LEMMAS)} {v} {rng.integers(n)}x" for v in ("msa", "rab")} for i in range(n)}
        return Case((texts, {key: str(rng.choice(sides)) for key in texts}), note, edge)
    once = case(12, "a text in two varieties of one key")
    for row in once.args[0].values():
        row["rab"] = row["msa"]
    empty = case(8, "texts without a letter, which are nobody's duplicate", True)
    for row in empty.args[0].values():
        row["msa"] = "..."
    return [case(20, "20 keys"), case(60, "60 keys"), once, empty,
            case(20, "nothing in train", True, ("dev", "test"))]


def verbatim(texts: dict[str, dict[str, str]], split: dict[str, str]) -> list[int]:
    seen = {text for key, row in texts.items() if split[key] == "train" for text in row.values()}
    leaking = [key for key, row in texts.items() if seen & set(row.values())]
    return [sum(split[key] == side for key in leaking) for side in ("dev", "test")]


def example_cases(rng: Rng) -> list[Case]:
    def case(source: int, target: int, note: str, edge: bool = False) -> Case:
        pieces = [int(i) for i in rng.integers(300, 4000, size=source + target)]
        return Case(([3, *pieces[:source], 4, *pieces[source:], 2], source + 1), note, edge)
    return [case(5, 4, "5 pieces into 4"), case(2, 9, "2 pieces into 9"), case(1, 1, "one piece into one", True),
            case(3, 0, "an empty target: </s> alone is predicted", True)]


def labelled(tokens: list[int], boundary: int, first: int, shift: int = 1) -> np.ndarray:
    ids = np.array(tokens)
    return np.where(np.arange(len(ids) - 1) >= first, ids[1:] if shift else ids[:-1], IGNORE)


def norm_cases(rng: Rng) -> list[Case]:
    cases = [Case((rng.normal(size=shape).astype(dtype), rng.normal(size=shape[-1]).astype(dtype)),
                  f"shape {shape}, {np.dtype(dtype).name}")
             for shape, dtype in (((5,), np.float64), ((7, 6), np.float64), ((2, 3, 8), np.float32))]
    tiny = Case((1e-8 * rng.normal(size=(3, 4)), np.ones(4)), "states so short that EPSILON counts", True)
    return [*cases, tiny, Case((np.zeros((2, 4)), np.ones(4)), "states of zeros", True)]


def attention_cases(rng: Rng) -> list[Case]:
    def case(b: int, t: int, heads: int, note: str, edge: bool = False) -> Case:
        w = {"query_key_value.weight": rng.normal(size=(24, 8)), "attention_out.weight": rng.normal(size=(8, 8))}
        return Case((rng.normal(size=(b, t, 8)), w, heads), note, edge)
    return [case(1, 5, 2, "one sentence, 2 heads"), case(3, 4, 4, "3 sentences, 4 heads"),
            case(2, 6, 1, "one head", True), case(1, 1, 2, "a single position", True)]


def rate_cases(rng: Rng) -> list[Case]:
    total = int(rng.integers(80, 200))
    cases = [Case((9e-3, step, total), f"step {step} of {total}")
             for step in (0, 3, total // 10 - 1, total // 10, total // 2, total - 1)]
    return [*cases, Case((1e-3, 0, 5), "fewer than ten steps", True), Case((1e-3, 3, 5), "fewer than ten steps", True)]


def hook_cases(rng: Rng) -> list[Case]:
    def case(layer: int, batches: int, note: str, edge: bool = False, as_tuple: bool = False) -> Case:
        model = Model([Block(0.3 * rng.normal(size=(4, 4)), as_tuple) for _ in range(3)])
        shapes = [(2, int(t)) for t in rng.integers(3, 7, size=batches)]
        masks = [rng.random(shape) < 0.6 for shape in shapes]
        return Case((model, layer, [rng.normal(size=(*shape, 4)) for shape in shapes], masks), note, edge)
    return [case(0, 1, "the first block, one batch"), case(1, 3, "the second block, three batches"),
            case(2, 2, "the last block"), case(1, 2, "a block that returns a tuple", True, True)]


def all_tokens(model: Model, layer: int, batches: list[np.ndarray], masks: list[np.ndarray]) -> list[Any]:
    return [reference.states_at(model, layer, batches, [np.ones_like(mask) for mask in masks]), None]


def left(result: Any, after: list[Any]) -> tuple[Any, int]:
    return result, sum(len(block.hooks) for block in after[0].blocks)


TEXTS = ('texts = {"k1": {"msa": "Save page!"}, "k2": {"msa": "save page"}, "k3": {"msa": "exit"}}\n')
MODEL = "model = Model([Block(np.eye(2)), Block(-np.eye(2))])\nx = np.array([[[1.0, -2.0], [0.5, 3.0]]])\n"
WEIGHTS = ('w = {"query_key_value.weight": np.ones((6, 2)), "attention_out.weight": np.eye(2)}\n'
           "attention(np.array([[[1.0, 0.0], [0.0, 2.0]]]), w, heads=1)")

ASSIGNMENT = Assignment("T", "tasks of the tutorials", (
    Task("1.1", "text.splits:leaks", {"value": 3, "edge case": 1}, leak_cases,
         (f'{TEXTS}leaks(texts, {{"k1": "train", "k2": "dev", "k3": "test"}})',),
         parts=(("keys of dev", "value"), ("keys of test", "value")), pick=lambda r, after: (r["dev"], r["test"]),
         mistakes=(("these are exact duplicates only: compare folded texts",
                    lambda texts, split: verbatim(texts, split)),)),
    Task("2.1", "coursework.reference:example_arrays", {"shape": 1, "value": 3, "edge case": 1}, example_cases,
         ("[a.tolist() for a in example_arrays([3, 310, 320, 4, 330, 340, 2], boundary=3)]",),
         parts=(("inputs", "value"), ("labels", "value"), ("in_target", "value")),
         pick=lambda r, after: (r[0], r[1], np.asarray(r[2]).astype(int)),
         mistakes=(("the source is predicted, too: nothing before the target's tag has a label",
                    lambda tokens, boundary: [None, labelled(tokens, boundary, 0), None]),
                   ("the labels are not shifted: position t predicts token t + 1",
                    lambda tokens, boundary: [None, labelled(tokens, boundary, boundary, 0), None]),
                   ("the first piece of the target is missing: the tag is read, and predicts it",
                    lambda tokens, boundary: [None, labelled(tokens, boundary, boundary + 1), None]),
                   ("a tag is no piece of the target",
                    lambda tokens, boundary: [None, None, (np.arange(len(tokens) - 1) >= boundary).astype(int)]))),
    Task("3.1", "model.transformer_numpy:rms_norm", {"shape": 1, "value": 3, "edge case": 1}, norm_cases,
         ("rms_norm(np.array([[3.0, 4.0], [30.0, 40.0]]), np.array([1.0, 2.0]))",), tolerance=1e-5,
         mistakes=(("this divides by the length of the state: its root mean square is smaller by the root of d",
                    lambda h, w: [h / np.sqrt((h**2).sum(-1, keepdims=True)) * w]),
                   ("this norm subtracts the mean first: RMSNorm does not",
                    lambda h, w: [(h - h.mean(-1, keepdims=True)) / h.std(-1, keepdims=True) * w]))),
    Task("3.2", "model.transformer_numpy:attention", {"shape": 1, "value": 3, "edge case": 1}, attention_cases,
         (WEIGHTS,), tolerance=1e-5),
    Task("4.1", "coursework.reference:learning_rate_at", {"value": 3, "edge case": 1}, rate_cases,
         ("[round(learning_rate_at(0.009, step, 100), 5) for step in (0, 9, 10, 55, 99)]",),
         mistakes=(("the first step of the warm-up has a rate above 0",
                    lambda highest, step, total: [highest * step / max(1, total // 10)]),)),
    Task("11.1", "coursework.reference:states_at", {"shape": 1, "value": 3, "edge case": 1}, hook_cases,
         (f"{MODEL}states_at(model, 0, [x], [np.array([[True, False]])])",),
         parts=(("states", "value"), ("hooks left on the model", "value")), pick=left, changed=(0,),
         mistakes=(("these are the states of all tokens: the masks are not used", all_tokens),)),
), ("text.splits:fold", "coursework.reference:IGNORE", "coursework.reference:Model", "coursework.reference:Block",
    "model.transformer_numpy:EPSILON", "model.transformer_numpy:softmax", "model.transformer_numpy:rotate",
    "model.transformer_numpy:Parameters"))
