"""A4, online decoupling and what may be claimed: refresh, penalty, leakage, bootstrap, an interval over seeds."""

from dataclasses import replace
from typing import Any

import numpy as np

from tinydecouple.coursework import reference
from tinydecouple.coursework.a2 import noise, sample
from tinydecouple.coursework.a3 import basis
from tinydecouple.coursework.mistakes import leaked, t_interval, unpaired
from tinydecouple.coursework.reference import T_975, DecoupleOptions, Decoupler, Direction
from tinydecouple.coursework.tasks import Assignment, Case, Rng, Task
from tinydecouple.method.probe import new_probe


def strength_cases(rng: Rng) -> list[Case]:
    return [Case((DecoupleOptions(strength=float(rng.uniform(0.1, 1)), schedule=schedule), int(step), 40),
                 f"{schedule}, step {step}") for schedule in ("constant", "warm-up", "decay")
            for step in (0, rng.integers(1, 20), rng.integers(21, 39))]


def refresh_cases(rng: Rng) -> list[Case]:
    def case(classes: int, d: int, note: str, steps: int = 1, edge: bool = False, **chosen: Any) -> Case:
        options = DecoupleOptions(probe_steps=8, **chosen)
        h, y = sample(70, d, classes, rng, np.float32)
        core = Decoupler(options, new_probe(classes, d, "normal", np.float32), np.zeros(d, np.float32))
        for _ in range(steps):
            do_refresh(core, *sample(70, d, classes, rng, np.float32), noise(rng))
        return Case((core, h * np.float32(3) + np.float32(1), y, noise(rng)), note, edge)
    return [case(2, 4, "C = 2, the second refresh"), case(5, 6, "C = 5, rank 2", rank=2),
            case(2, 4, "the first refresh", 0, True), case(2, 4, "frozen, the second refresh", 1, True, frozen=True),
            case(2, 5, "frozen, the third refresh", 2, True, frozen=True)]


def do_refresh(self: Decoupler, h: np.ndarray, y: np.ndarray, rng: Rng) -> dict[str, Any]:
    """The package's own refresh, on a student's Decoupler."""
    from tinydecouple.options import DecoupleOptions as Options
    from tinydecouple.training import decoupler  # only now, for it imports PyTorch
    core = decoupler.Decoupler(Options(**vars(self.options)), self.probe.classes, self.probe.width)
    kept = [name for name in vars(self) if name != "options"]
    for name in kept:
        setattr(core, name, getattr(self, name))
    record = core.refresh(h, y, rng)
    for name in kept:
        setattr(self, name, getattr(core, name))
    return record


def refreshed(core: Decoupler, rest: tuple[Any, ...], **other: Any) -> list[Any]:
    """What a refresh with other options leaves and records."""
    core.options = replace(core.options, **other)
    record = do_refresh(core, *rest)
    return [getattr(core, name) for name in KEPT] + [record[name] for name in RECORD]


def schedule_cases(rng: Rng) -> list[Case]:
    cases = [Case((step, total, refreshes), f"step {step} of {total}, {refreshes} refreshes")
             for total, refreshes in ((100, 20), (97, 10), (int(rng.integers(30, 90)), 7))
             for step in (*range(0, 30), total - 1)]
    return cases + [Case((step, 5, 20), "fewer steps than refreshes", True) for step in range(5)] + [
        Case((step, 10, 1), "a single refresh", True) for step in (0, 1, 9)]


def step_cases(rng: Rng) -> list[Case]:
    def case(share: float, dtype: type, note: str, edge: bool = False) -> Case:
        h = rng.normal(size=(3, 5, 6)).astype(dtype)
        positions = rng.random((3, 5)) < share
        return Case((rng.normal(size=h.shape).astype(dtype), h, positions, basis(6, 2, rng, dtype),
                     rng.normal(size=6).astype(dtype), float(rng.uniform(0.1, 2))), note, edge)
    alone = case(0, np.float64, "one penalised token", True)
    alone.args[2][1, 2] = True
    return [case(0.5, np.float64, "half of the tokens"), case(0.7, np.float32, "float32"), alone,
            case(0, np.float64, "no penalised token", True), case(1, np.float64, "all tokens", True)]


WORDS = ("shu", "ismak", "ma", "hu", "ana", "kitab", "alyawm", "inta", "wen", "min")


def leakage_cases(rng: Rng) -> list[Case]:
    def text(size: int, mark: str = "") -> str:
        return " ".join(f"{word}{mark}" for word in rng.choice(WORDS, size=size))

    def case(n: int, note: str, edge: bool = False, mark: str = "") -> Case:
        texts = [[text(int(rng.integers(3, 7)), mark if i == 2 else "") for _ in range(n)] for i in range(3)]
        return Case((Direction("msa -> rab", [f"k{i}" for i in range(n)], *texts, np.zeros((n, 24))),), note, edge)
    empty = case(3, "an empty output among others", True)
    empty.args[0].outputs[1] = ""
    silent = case(2, "no output at all, which is 0", True)
    silent.args[0].outputs[:] = ["", ""]
    return [case(1, "one sentence"), case(12, "12 sentences"), case(6, "outputs with punctuation", True, "."), empty,
            silent]


def counts(right: np.ndarray, length: int = 100) -> np.ndarray:
    """(n, 24) statistics of sentences in which `right` of `length` n-grams of each order match: score = their share."""
    rows = np.empty((len(right), 8, 3))
    rows[:, :, :2] = length
    rows[:, :, 2] = right[:, None]
    return rows.reshape(len(right), 24)


def system(names: list[str], keys: list[list[str]], right: list[np.ndarray]) -> list[Direction]:
    return [Direction(name, k, [], [], [], counts(r)) for name, k, r in zip(names, keys, right)]


def bootstrap_cases(rng: Rng) -> list[Case]:
    """Equal lengths make chrF++ linear in the sentences, so that what must cancel cancels to the last digit."""
    keys, names = [f"k{i}" for i in range(60)], ["msa -> rab", "msa -> cai"]
    base = [rng.integers(20, 60, size=60) for _ in names]
    gain = [rng.integers(-17, 18, size=60) for _ in names]

    def case(change: list[np.ndarray], resamples: int, note: str, edge: bool = False) -> Case:
        first = system(names, [keys, keys], base)
        second = system(names, [keys, keys], [b + c for b, c in zip(base, change)])
        return Case((first, second, noise(rng), resamples), note, edge)
    part = [keys[:40], keys[20:]]
    some = Case((system(names, part, [b[:40] for b in base]),
                 system(names, part, [b[:40] + g[:40] for b, g in zip(base, gain)]), noise(rng), 2000),
                "directions that share some keys only", True, 0.2)
    return [case(gain, 5000, "60 keys, 2 directions"),
            case([gain[0], -gain[0]], 300, "directions whose differences cancel key by key"),
            case([np.full(60, 7)] * 2, 300, "the same gain on every sentence: no luck is left", True),
            case([np.zeros(60)] * 2, 300, "two equal systems", True), some]


def interval(result: Any, after: list[Any]) -> np.ndarray:
    """Both ends as one array: what resampling leaves uncertain is judged by the larger of them."""
    low, high = result
    return np.array([float(low), float(high)])


def seed_cases(rng: Rng) -> list[Case]:
    cases = [Case((rng.normal(60, 2, size=s), rng.normal(62, 2, size=s)), f"{s} seeds") for s in (3, 5, 10)]
    first = rng.normal(60, 5, size=4)
    return cases + [Case((first, first + 1.5), "the same gain at every seed", True),
                    Case((rng.normal(60, 1, size=2), rng.normal(60, 1, size=2)), "two seeds", True)]


KEPT = ("basis", "mean", "last", "refreshes")
RECORD = ("code_bits", "kl_bits", "entropy_bits", "states", "angle_degrees")
OPTIONS = 'options = DecoupleOptions(strength=0.4, schedule="warm-up")\n'
CORE = ("rng = np.random.default_rng(0)\nh, y = rng.normal(size=(40, 3)).astype(np.float32), np.arange(40) % 3\n"
        "h[:, 0] += y\noptions = DecoupleOptions(rank=2, probe_steps=5)\n"
        'core = Decoupler(options, new_probe(3, 3, "normal", np.float32), np.zeros(3))\n')
FROZEN = CORE.replace("steps=5", "steps=5, frozen=True")
AGAIN = "refresh(core, h, y, rng)\nrecord = refresh(core, h[::-1] * 2 + 1, y, rng)\n"
TEXTS = ('sources, references = ["ana hu min", "inta min wen", "hu ana"], ["ana huwa mn", "inta mn wen", "huwa ana"]\n'
         'outputs = ["ana hu. mn hu", "min", ""]\n'
         'd = Direction("msa -> rab", ["k1", "k2", "k3"], sources, references, outputs, np.zeros((3, 24)))\n')
SEEDS = "first, second = np.array([60.0, 62.0, 61.0]), np.array([61.0, 64.5, 62.0])\n"
COUNTS = ('rows, keys = np.tile([10.0, 10.0, 4.0], (3, 8)), ["a", "b", "c"]\n'
          'first = [Direction("msa -> rab", keys, [], [], [], rows)]\n'
          'second = [Direction("msa -> rab", keys, [], [], [], rows + np.tile([0.0, 0.0, 1.0], 8))]\n')
UNLIKE = ('right, gain = np.arange(20.0) + 20, np.arange(20.0) * 7 % 11 - 5\nkeys = [f"k{i}" for i in range(20)]\n'
          "def counts(right):  # of 100 n-grams of each order\n"
          "    return np.stack([np.full((20, 8), 100.0), np.full((20, 8), 100.0), np.tile(right[:, None], 8)], 2)"
          ".reshape(20, 24)\n"
          'first = [Direction(name, keys, [], [], [], counts(right)) for name in ("msa -> rab", "msa -> cai")]\n'
          'second = [Direction(d.name, keys, [], [], [], counts(right + gain)) for d in first]\n')

ASSIGNMENT = Assignment("A4", "online decoupling, and what may be claimed", (
    Task("4.1", "training.decoupler:strength_at", {"shape": 1, "value": 3}, strength_cases,
         (f"{OPTIONS}strength_at(options, 5, 20)",)),
    Task("4.2", "coursework.reference:is_refresh", {"value": 6, "edge case": 4}, schedule_cases,
         ("[step for step in range(10) if is_refresh(step, 10, 3)]",
          "[step for step in range(100) if is_refresh(step, 100, 4)]",
          "[is_refresh(step, 3, 20) for step in range(3)]")),
    Task("4.3", "training.decoupler:Decoupler.refresh", {"shape": 2, "value": 10, "edge case": 8}, refresh_cases,
         (f"{CORE}refresh(core, h, y, rng)\ncore.basis", f"{CORE}{AGAIN}{', '.join(f'core.{k}' for k in KEPT)}",
          f"{FROZEN}{AGAIN}{', '.join(f'core.{k}' for k in KEPT)}",
          f"{CORE}{AGAIN}" + ", ".join(f'record["{name}"]' for name in RECORD)),
         parts=tuple((name, "value") for name in KEPT + RECORD),
         pick=lambda r, after: [getattr(after[0], name) for name in KEPT] + [r[name] for name in RECORD],
         mistakes=(("`options.frozen` keeps the first basis and mean",
                    lambda core, *r: refreshed(core, r, frozen=False)),
                   ("a basis that is not frozen is replaced at every refresh",
                    lambda core, *r: [core.basis, core.mean] + [None] * 7),
                   ("this is in radians, expected degrees", lambda core, *r: [None] * 8 + [
                       np.radians(refreshed(core, r)[8])]),
                   ("the code is per state: divide the bits by their number", lambda core, *r: [None] * 4 + [
                       bits * len(r[1]) for bits in refreshed(core, r)[4:7]] + [None] * 2)),
         changed=(0, 3), call=do_refresh, tolerance=3e-3,
         hide=("; at…NULLS of the refreshes…along one direction",)),
    Task("4.4", "coursework.reference:add_penalty", {"shape": 2, "value": 3, "gradient": 9, "edge case": 4}, step_cases,
         ("h = np.array([[[1.0, 2.0], [3.0, 4.0]], [[-1.0, 0.5], [2.0, 0.0]]])\ngradient = np.full((2, 2, 2), 0.5)\n"
          "positions, U = np.array([[False, True], [True, True]]), np.array([[0.6, -0.8], [0.8, 0.6]])\n"
          "add_penalty(gradient, h, positions, U, np.array([0.5, 0.0]), 0.1)",
          "h, gradient = np.ones((1, 2, 2)), np.array([[[1.0, 2.0], [3.0, 4.0]]])\n"
          "positions, U = np.zeros((1, 2), bool), np.array([[0.6], [0.8]])  # no token is penalised\n"
          "add_penalty(gradient, h, positions, U, np.zeros(2), 0.1)"),
         parts=(("gradient at tokens that are not penalised", "value"), ("gradient at penalised tokens", "gradient")),
         pick=lambda r, after: (np.where(after[2][..., None], 0, r), np.where(after[2][..., None], r, 0)),
         mistakes=(("the penalty's gradient is missing", lambda g, h, p, *r: [None, np.where(p[..., None], g, 0)]),
                   ("the penalty's gradient replaces that of the translation loss, expected their sum",
                    lambda g, h, p, *r: [None, np.where(p[..., None], reference.add_penalty(0 * g, h, p, *r), 0)]),
                   ("`strength` is ignored", lambda g, h, p, U, mean, s: [
                       None, np.where(p[..., None], reference.add_penalty(g, h, p, U, mean, 1.0), 0)]),
                   ("this is the gradient of a sum, expected that of the mean", lambda g, h, p, U, mean, s: [
                       None, np.where(p[..., None], reference.add_penalty(g, h, p, U, mean, s * p.sum()), 0)]),
                   ("the mean is over all tokens, expected over the penalised ones",
                    lambda g, h, p, *r: [None, np.where(p[..., None], reference.add_penalty(g, h, p | True, *r), 0)]),
                   ("the mean is not subtracted from the states",
                    lambda g, h, p, U, mean, s: [None, np.where(p[..., None], reference.add_penalty(
                        g, h, p, U, 0 * mean, s), 0)]),
                   ("the penalty is taken over all tokens, expected the penalised ones",
                    lambda g, h, p, U, mean, s: [reference.add_penalty(g, h, p | True, U, mean, s) * ~p[..., None],
                                                 None]))),
    Task("4.5", "evaluation.score:leakage", {"shape": 2, "value": 7, "edge case": 5}, leakage_cases,
         (f"{TEXTS}leakage(d)", f'{TEXTS}d.outputs = ["", "", ""]\nleakage(d)'),
         mistakes=(("punctuation is taken for part of a word: use `words`",
                    lambda d: [100 * float(np.mean(sum(leaked(d), [])))]),
                   ("this is the mean of the sentences' shares, expected the share of all words",
                    lambda d: [100 * float(np.mean([np.mean(words) for words in leaked(d) if words]))]),
                   ("this is the share of words that the standard's sentence has: leave out those of the reference",
                    lambda d: [100 * float(np.mean([w in o.split() for o, s in zip(d.sources, d.outputs)
                                                    for w in s.split()]))]),)),
    Task("4.6", "evaluation.significance:paired_bootstrap", {"shape": 2, "value": 12, "edge case": 6}, bootstrap_cases,
         (f"{COUNTS}low, high = paired_bootstrap(first, second, np.random.default_rng(0), 50)\nlow, high",
          f"{UNLIKE}np.array(paired_bootstrap(first, second, np.random.default_rng(0), 5000))",
          f"{UNLIKE}first[1], second[1] = second[1], first[1]  # what one direction gains the other loses\n"
          "low, high = paired_bootstrap(first, second, np.random.default_rng(0), 200)\nlow, high"),
         pick=interval, changed=(2,), tolerance=0.125,
         hide=("Keys are drawn with replacement,…and not independent.",)),
    Task("4.7", "coursework.reference:seed_interval", {"shape": 2, "value": 8, "edge case": 4}, seed_cases,
         (f"{SEEDS}seed_interval(first, second)",
          "first, second = np.array([60.0, 62.0, 61.0, 64.0, 59.0]), np.array([61.0, 64.5, 62.0, 63.0, 60.0])\n"
          "seed_interval(first, second)"), parts=(("mean", "value"), ("low", "value"), ("high", "value")),
         mistakes=(("t has S - 1 degrees of freedom", lambda a, b: t_interval(a, b, T_975.get(len(a), 0), 1)),
                   ("n and n - 1 are mixed up in the standard deviation",
                    lambda a, b: t_interval(a, b, T_975[len(a) - 1], 0)),
                   ("this is 1.96 of a normal distribution: with few seeds t is wider",
                    lambda a, b: t_interval(a, b, 1.96, 1)),
                   ("the standard deviation must be divided by the root of S",
                    lambda a, b: t_interval(a, b, T_975[len(a) - 1], 1, False)),
                   ("the scores are paired by seed: take differences first",
                    lambda a, b: [None, *unpaired(a, b)]))),
), ("coursework.reference:DecoupleOptions", "coursework.reference:Decoupler", "coursework.reference:Direction",
    "coursework.reference:T_975", "evaluation.chrf:chrf", "evaluation.score:words", "method.states:standardise",
    "method.probe:new_probe", "method.probe:fit", "method.codelength:variational_bits",
    "method.codelength:entropy_bits",
    "method.subspace:estimator", "method.subspace:principal_angles", "method.projection:penalty"), written=30)
