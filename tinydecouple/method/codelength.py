"""How many bits do labels cost, given states? (Voita & Titov 2020: variational and prequential
code)

A sender transmits the labels to a receiver who has the states. Variational code: sending the
probe's posterior costs its KL from the prior (Hinton & van Camp 1993), and sending the labels with
it costs the cross-entropy, in expectation over the posterior. The cross-entropy at the posterior
mean is no code length, since the KL is the cost of weights known to within the posterior's width,
not of exact ones. Prequential code: send some labels, let both sides fit a probe to them, send the
next block with its predictions, and so on.

With the group prior the KL, and so the variational code, is known up to a constant only.
Derivations: THEORY (6) to (11).
"""

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.method.probe import (
    VariationalProbe,
    cross_entropy,
    draw_noise,
    fit,
    forward,
    kl_nats,
    new_probe,
    optimise,
    with_one,
)
from tinydecouple.method.states import blocks, check_states, check_width

# where prequential blocks end, as shares of the sample
BLOCKS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0)


def draws_nats(probe: VariationalProbe, h: np.ndarray, y: np.ndarray, rng: np.random.Generator,
               samples: int) -> np.ndarray:
    """(samples, n) cross-entropy in nats of each label, under `samples` draws from the posterior.

    Each state of each draw has noise of its own. Computed in blocks of rows, so that the memory
    needed does not grow with n * d.
    """
    nats = np.empty((samples, len(y)))
    for rows in blocks(h):
        h1 = with_one(h[rows])
        for draw in nats:
            noise = draw_noise(probe.parameters, len(h1), rng)
            draw[rows] = cross_entropy(forward(probe.parameters, h1, noise)[0], y[rows])[0]
    return nats


def variational_bits(probe: VariationalProbe, h: np.ndarray, y: np.ndarray,
                     rng: np.random.Generator, samples: int = 10) -> tuple[float, float]:
    """Code length of all n labels in bits, THEORY (7): (KL, expected cross-entropy), to be added.

    h: (n, d) the states that the probe was fitted to.  y: (n,) classes.  samples: draws per state
    for the expectation under the posterior; its error falls with n * samples. The KL has
    temperature 1, however the probe was trained. Read the sum beside n, entropy_bits(y) and
    null_bits.
    """
    check_states(h, y, probe.classes)
    check_width(h, probe.width, "probe")
    nats = draws_nats(probe, h, y, rng, samples).sum(axis=1).mean()
    return kl_nats(probe.parameters) / np.log(2), float(nats) / np.log(2)


def null_bits(probe: VariationalProbe, h: np.ndarray, y: np.ndarray, rng: np.random.Generator,
              steps: int | None = None, samples: int = 10) -> float:
    """Code length in bits of the same labels dealt out at random, so that states cannot help.

    Refits `probe` in place, from where it stands, to control_labels(y); THEORY (11). Keep one probe
    for the null, and give it the same steps and warm starts as the task's own probe: a probe fitted
    from scratch in few steps has a longer code than a warm one, which would make the task look
    easier than it is.
    """
    dealt = control_labels(y, rng)
    fit(probe, h, dealt, rng, steps)
    return sum(variational_bits(probe, h, dealt, rng, samples))


def block_ends(keys: np.ndarray, classes: int) -> list[int]:
    """Row counts at which prequential blocks end, for rows sorted into runs of one key (n,).

    The rows of one key are never split, so that tokens of one sentence do not predict each other;
    the first block has at least 4 rows per class. Raises TinyDecoupleError for fewer rows than two
    blocks need.
    """
    n = len(keys)
    cuts = np.append(np.flatnonzero(keys[1:] != keys[:-1]) + 1, n)  # places between keys
    ends = [int(cuts[np.searchsorted(cuts, max(share * n, 4 * classes))]) for share in BLOCKS
            if max(share * n, 4 * classes) <= n]
    ends = list(dict.fromkeys(ends))
    if len(ends) < 2:
        raise TinyDecoupleError(f"{n} states for {classes} classes: the prequential code needs two "
                                f"blocks, the first of {4 * classes} states or more; gather more "
                                "states or more sentences")
    return ends


def prequential_bits(h: np.ndarray, y: np.ndarray, keys: np.ndarray, classes: int,
                     rng: np.random.Generator, prior: str = "normal", samples: int = 10,
                     steps: int | None = None) -> float:
    """Prequential code length of all n labels in bits, THEORY (10).

    h: (n, d) states.  y: (n,) classes.  keys: (n,) the sentence of each state. Sentences are sent
    in random order. The first block costs the uniform code; each later one costs the cross-entropy
    of the mean prediction over `samples` draws from the posterior fitted to the blocks before it,
    which the receiver can fit, too.
    """
    check_states(h, y, classes)
    if np.shape(keys) != y.shape:
        raise TinyDecoupleError(
            f"keys have shape {np.shape(keys)}, expected {y.shape}: the sentence of each state")
    keys = np.asarray(keys)
    place = {key: i for i, key in enumerate(rng.permutation(np.unique(keys)).tolist())}
    order = np.argsort([place[key] for key in keys.tolist()], kind="stable")
    h, y = h[order], y[order]
    ends = block_ends(keys[order], classes)
    bits = uniform_bits(ends[0], classes)
    probe = new_probe(classes, h.shape[1], prior, h.dtype)
    for start, end in zip(ends, ends[1:]):
        optimise(probe, h[:start], y[:start], rng, steps)
        nats = draws_nats(probe, h[start:end], y[start:end], rng, samples)
        total_log_p = np.logaddexp.reduce(-nats, axis=0).sum()  # of sums over draws, not yet means
        bits += float(np.log(samples) * (end - start) - total_log_p) / np.log(2)
    return bits


def uniform_bits(n: int, classes: int) -> float:
    """Bits for n labels if all classes cost the same."""
    return float(n * np.log2(classes))


def entropy_bits(y: np.ndarray) -> float:
    """n * H(Y) in bits, THEORY (9): what n labels cost if only the classes' frequencies are known.

    Compare code lengths with this one: with unequal classes a constant predictor already beats
    uniform_bits.
    """
    counts = np.unique(y, return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum())


def compression(bits: float, y: np.ndarray) -> float:
    """n * H(Y) over the code length, both in bits; at 1 the states save what the probe costs."""
    return entropy_bits(y) / bits


def control_labels(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A control task (Hewitt & Liang 2019): the same labels, permuted: states cannot help."""
    return rng.permutation(y)


def selectivity_bits(bits: float, control_bits: float) -> float:
    """The control task's code length minus the task's, THEORY (11): what states save."""
    return control_bits - bits
