"""A2, code length: what labels cost in bits, by the variational and the prequential code, and beside which null."""

from typing import Any

import numpy as np

from tinydecouple.coursework.a1 import weights
from tinydecouple.coursework.mistakes import other_ends, other_prequential
from tinydecouple.coursework.tasks import Assignment, Case, Rng, Task
from tinydecouple.method.probe import VariationalProbe, optimise

SIZES = ((12, 4, 2, np.float64), (60, 5, 26, np.float32))  # n, d, C, dtype


def sample(n: int, d: int, classes: int, rng: Rng, dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """States and labels, every class among them."""
    y = rng.permutation(np.arange(n) % classes)
    h = rng.normal(size=(n, d))
    h[:, :1] += 2 * (y[:, None] % 2) - 1
    return h.astype(dtype), y


def probe(classes: int, d: int, rng: Rng, dtype: type = np.float64, spread: float = 0.0) -> VariationalProbe:
    """A probe with wide posteriors, so that the expected cost is far from the cost at the mean."""
    parameters = weights(classes, d + 1, rng, dtype)
    parameters["log_sigma2"] += dtype(1.0 + spread)
    return VariationalProbe("normal", parameters)


def noise(rng: Rng) -> Rng:
    return np.random.default_rng(rng.integers(2**31))


def uniform_cases(rng: Rng) -> list[Case]:
    return [Case((int(rng.integers(2, 1000)), 2), "C = 2"), Case((int(rng.integers(2, 1000)), 26), "C = 26"),
            Case((1, 3), "n = 1")]


def label_cases(rng: Rng) -> list[Case]:
    cases = [Case((rng.choice(classes, size=n, p=rng.dirichlet(np.ones(classes))),), f"n = {n}, C = {classes}")
             for n, classes in ((50, 2), (300, 26), (31, 4))]
    return cases + [Case((np.zeros(9, int),), "one class only, which costs 0", True),
                    Case((rng.choice([0, 7, 3], size=40),), "classes of which some do not occur", True),
                    Case((np.array([4]),), "n = 1", True)]


def compression_cases(rng: Rng) -> list[Case]:
    return [Case((float(rng.uniform(5, 80)), case.args[0]), case.note) for case in label_cases(rng)[:3]]


def sized_cases(rng: Rng, samples: int) -> list[Case]:
    return [Case((probe(c, d, rng, t), *sample(n, d, c, rng, t), noise(rng), samples),
                 f"n = {n}, C = {c}, {np.dtype(t).name}") for n, d, c, t in SIZES]


def draw_cases(rng: Rng) -> list[Case]:
    alone = probe(3, 4, rng), rng.normal(size=(1, 4)), np.array([2]), noise(rng), 4
    once = probe(3, 4, rng), *sample(9, 4, 3, rng), noise(rng), 1
    return sized_cases(rng, 3) + [Case(alone, "n = 1", True), Case(once, "one draw", True)]


def bits_cases(rng: Rng) -> list[Case]:
    return sized_cases(rng, 8) + [Case((probe(2, 3, rng), *sample(8, 3, 2, rng), noise(rng), 1), "one draw", True)]


def key_cases(rng: Rng) -> list[Case]:
    def keys(sentences: int, longest: int) -> np.ndarray:
        return np.repeat(rng.permutation(sentences), rng.integers(1, longest, size=sentences))
    cases = [Case((keys(500, 9), 2), "500 sentences, C = 2"), Case((keys(900, 7), 26), "900 sentences, C = 26"),
             Case((keys(40, 30), 3), "40 long sentences")]
    names = np.array(sorted({f"s{i}" for i in range(60)}))[np.repeat(np.arange(60), 5)]
    return cases + [Case((names, 2), "keys that are texts", True), Case((np.arange(64), 2), "one state each", True),
                    Case((np.repeat([3, 1], [20, 30]), 2), "two sentences only", True),
                    Case((np.arange(7), 2), "fewer states than the first block: TinyDecoupleError", True),
                    Case((np.zeros(50, int), 2), "a single sentence: TinyDecoupleError", True)]


def prequential_cases(rng: Rng) -> list[Case]:
    def case(n: int, d: int, classes: int, steps: int, note: str, texts: bool = False, edge: bool = False) -> Case:
        keys = rng.permutation(np.arange(n) // 3)
        keys = np.array([f"key {key}" for key in keys.tolist()]) if texts else keys
        h, y = sample(n, d, classes, rng)
        return Case((h, y, keys, classes, noise(rng), "normal", 3, steps), note, edge)
    return [case(90, 3, 2, 12, "n = 90, C = 2"), case(260, 2, 26, 6, "n = 260, C = 26"),
            case(48, 2, 3, 8, "keys that are texts", True, True)]


def null_cases(rng: Rng) -> list[Case]:
    cases = [Case((probe(c, 3, rng, spread=-1), *sample(n, 3, c, rng), noise(rng), steps, 4), f"n = {n}, C = {c}", edge)
             for n, c, steps, edge in ((40, 2, 10, False), (80, 26, 6, False), (30, 3, 0, True))]
    return cases


def ce_at_mean(p: VariationalProbe, h: np.ndarray, y: np.ndarray, *rest: Any) -> np.ndarray:
    """The cost of each label in nats at the posterior mean, which is no code length."""
    logits = h @ p.parameters["mu"][:, :-1].T + p.parameters["mu"][:, -1]
    return np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(y)), y]


def bits(*args: Any) -> tuple[float, float]:
    return ASSIGNMENT.by_id["2.5"].reference(*args)


PROBE = ('parameters = {"mu": np.array([[1.0, 0.0], [-1.0, 0.0]]), "log_sigma2": np.array([[1.0, 0.5], [-1.0, 1.5]])}\n'
         'probe = VariationalProbe("normal", parameters)\n'
         "h, y = np.array([[0.5], [-1.0], [2.0]]), np.array([0, 1, 1])\n")
SENTENCES = "keys = np.repeat(np.arange(20), 3)\n"

ASSIGNMENT = Assignment("A2", "code length", (
    Task("2.1", "method.codelength:uniform_bits", {"shape": 1, "value": 3}, uniform_cases, ("uniform_bits(10, 26)",)),
    Task("2.2", "method.codelength:entropy_bits", {"shape": 2, "value": 6, "edge case": 2}, label_cases,
         ("entropy_bits(np.array([0, 0, 0, 1]))", "entropy_bits(np.array([2, 0, 2, 1, 1, 2]))",
          "entropy_bits(np.array([5, 0, 5, 5, 2]))"),
         mistakes=(("this is H(Y) of one label, expected the bits of all n",
                    lambda y: [ASSIGNMENT.by_id["2.2"].reference(y) / len(y)]),
                   ("this is the uniform code: the classes' shares are not used",
                    lambda y: [len(y) * np.log2(len(np.unique(y)))]))),
    Task("2.3", "method.codelength:compression", {"shape": 1, "value": 5}, compression_cases,
         ("compression(2.0, np.array([0, 0, 0, 1, 2]))",), hide=("n * H(Y) over the code length, both in bits;",),
         mistakes=(("it is divided the wrong way round",
                    lambda b, y: [b / ASSIGNMENT.by_id["2.2"].reference(y)]),
                   ("it compares with the uniform code, expected the entropy",
                    lambda b, y: [len(y) * np.log2(len(np.unique(y))) / b]))),
    Task("2.4", "method.codelength:draws_nats", {"shape": 2, "value": 10, "edge case": 4}, draw_cases,
         (f"{PROBE}draws_nats(probe, h, y, np.random.default_rng(0), 2)",
          f"{PROBE}draws_nats(probe, h, y, np.random.default_rng(0), 4)"), changed=(3,),
         hide=("Computed in blocks of rows, so that the memory needed does not grow with n * d.",),
         mistakes=(("every draw is the cost at the posterior mean: the noise is missing",
                    lambda p, h, y, rng, samples: [np.tile(ce_at_mean(p, h, y), (samples, 1))]),
                   ("every draw has the same noise: call `draw_noise` for each",
                    lambda p, h, y, rng, samples: [np.tile(ASSIGNMENT.by_id["2.4"].reference(p, h, y, rng, 1),
                                                           (samples, 1))]))),
    Task("2.5", "method.codelength:variational_bits", {"shape": 2, "value": 10, "edge case": 4}, bits_cases,
         (f"{PROBE}variational_bits(probe, h, y, np.random.default_rng(0), 4)",), changed=(3,),
         parts=(("KL", "value"), ("expected cross-entropy", "value")),
         mistakes=(("this is the cross-entropy at the posterior mean, which is lower and no code length",
                    lambda p, h, y, *r: [None, ce_at_mean(p, h, y).sum() / np.log(2)]),
                   ("this is a sum over draws, expected their mean",
                    lambda p, h, y, rng, samples: [None, bits(p, h, y, rng, samples)[1] * samples]),
                   ("this is in nats, expected bits", lambda *a: [b * np.log(2) for b in bits(*a)]),
                   ("this is per state, expected the whole code",
                    lambda p, h, y, *r: [part / len(y) for part in bits(p, h, y, *r)]))),
    Task("2.6", "method.codelength:block_ends", {"shape": 2, "value": 10, "edge case": 6}, key_cases,
         ("block_ends(np.repeat(np.arange(40), 4), 2)", "block_ends(np.repeat(np.arange(9), 7), 3)",
          "block_ends(np.repeat([5, 3, 8, 1, 2, 9], [9, 4, 11, 2, 17, 6]), 2)",
          "checks.refusal(block_ends, np.zeros(50, int), 2)"),
         mistakes=(("a block cuts a sentence: move its end to the next change of key",
                    lambda keys, classes: other_ends(keys, classes, 0)),
                   ("an end is moved to the start of its sentence, expected the end",
                    lambda keys, classes: other_ends(keys, classes, -1)))),
    Task("2.7", "method.codelength:prequential_bits", {"shape": 2, "value": 12, "edge case": 4}, prequential_cases,
         ("h, y = np.array([[1.0], [-1.0]] * 20), np.array([0, 1] * 20)\n"
          "prequential_bits(h, y, np.arange(40) // 2, 2, np.random.default_rng(0), samples=2, steps=5)",
          "h = np.sin(np.arange(90.0)).reshape(45, 2)\ny = np.arange(45) * 7 % 3\nh[:, 0] += y\n"
          "prequential_bits(h, y, np.arange(45) % 15, 3, np.random.default_rng(1), samples=3, steps=4)"), changed=(4,),
         tolerance=1e-3,
         mistakes=(("it is off by a factor ln 2: nats and bits are mixed up",
                    lambda *a: [ASSIGNMENT.by_id["2.7"].reference(*a) * np.log(2)]),
                   ("the block itself is among the rows that the probe was fitted to",
                    lambda *a: other_prequential(*a, seen=True)),
                   ("this averages logarithms over draws, expected the logarithm of the mean probability",
                    lambda *a: other_prequential(*a, mean_log=True)),
                   ("the probe starts anew for each block, expected one and the same",
                    lambda *a: other_prequential(*a, fresh=True)),
                   ("the sentences are not shuffled", lambda *a: other_prequential(*a, unshuffled=True)),
                   ("the uniform code of the first block is missing", lambda *a: other_prequential(*a, free=True)))),
    Task("2.8", "method.codelength:null_bits", {"shape": 2, "value": 7, "edge case": 3}, null_cases,
         (f"{PROBE}null_bits(probe, h, y, np.random.default_rng(0), 3, 4)",
          f'{PROBE}null_bits(probe, h, y, np.random.default_rng(0), 3, 4)\nprobe.parameters["mu"]'),
         changed=(0, 3), tolerance=1e-3,
         parts=(("bits", "value"), ("mu of the probe", "value")),
         pick=lambda result, after: (result, after[0].parameters["mu"]),
         mistakes=(("fit the probe itself, in place, and not a copy",
                    lambda p, h, y, rng, steps, samples: [None, p.parameters["mu"]]),
                   ("the labels are the true ones: deal them at random first",
                    lambda p, h, y, rng, steps, samples: [sum(bits(optimise(p, h, y, rng, steps), h, y, rng, samples)),
                                                          p.parameters["mu"]]),
                   ("the code is that of the true labels, expected the dealt ones",
                    lambda p, h, y, rng, steps, samples: [sum(bits(optimise(p, h, rng.permutation(y), rng, steps), h, y,
                                                                   rng, samples)), None]))),
), ("method.probe:VariationalProbe", "method.probe:new_probe", "method.probe:draw_noise", "method.probe:with_one",
    "method.probe:forward", "method.probe:cross_entropy", "method.probe:kl_nats", "method.probe:optimise",
    "method.codelength:BLOCKS", "method.codelength:control_labels", "errors:TinyDecoupleError"))
