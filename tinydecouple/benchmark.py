"""How fast it is, measured side by side: every time is taken in turn with its peer's, in one process.

Peers: torch.nn.TransformerEncoder, batches padded to one length, decoding that recomputes the prefix, a probe in
autograd. A ratio is the median over rounds of (peer's seconds / ours); above 1 ours is faster.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinydecouple.method import probe as ours
from tinydecouple.method.codelength import variational_bits
from tinydecouple.method.planted import plant
from tinydecouple.method.states import standardise
from tinydecouple.method.subspace import probe_subspace
from tinydecouple.model.transformer import Transformer
from tinydecouple.options import DecoupleOptions, ModelOptions, TrainOptions
from tinydecouple.text.corpus import ParallelCorpus
from tinydecouple.text.tokenizer import Tokenizer
from tinydecouple.training.batches import NO_VARIETY, Batch, Example, bucket, collate, finetuning_examples
from tinydecouple.training.decoupler import Decoupler, classes_of
from tinydecouple.training.gather import collect_states, draw_examples
from tinydecouple.training.loss import mixed_precision
from tinydecouple.training.train import make_optimizer, train_step

SHAPE = {"vocabulary": 1500, "width": 128, "blocks": 4, "heads": 4}
BATCH, LENGTH = 32, 64  # sequences and positions of a batch, where shapes are compared
PROMPT, NEW = 16, 20    # tokens read and written, where decoding is compared
Call = Callable[[], Any]


def alternate(calls: dict[str, Call], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call in each round, taken in turn after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(rounds + 1):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # calls return before the GPU has done its work
            if i:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def spread(values: Any) -> dict[str, float]:
    """Median and quartiles."""
    low, median, high = np.percentile(values, (25, 50, 75))
    return {"median": float(median), "low": float(low), "high": float(high)}


def side_by_side(seconds: dict[str, list[float]], work: float) -> dict[str, Any]:
    """Work per second of each, and of every one but the first (ours) the ratio of its seconds to ours, by rounds."""
    first, *others = seconds
    return {"per_second": {name: spread(work / np.array(taken)) for name, taken in seconds.items()},
            "ratio": {name: spread(np.array(seconds[name]) / seconds[first]) for name in others}}


class Encoder(nn.Module):
    """A causal language model of the same shape from torch.nn.TransformerEncoderLayer, with learned positions."""

    def __init__(self, vocabulary: int, width: int, blocks: int, heads: int):
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0, batch_first=True, norm_first=True)
        self.embedding, self.position = nn.Embedding(vocabulary, width), nn.Embedding(LENGTH, width)
        self.stack = nn.TransformerEncoder(layer, blocks, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, tokens: Tensor) -> Tensor:
        t = tokens.shape[1]
        h = self.embedding(tokens) + self.position(torch.arange(t, device=tokens.device))
        mask = nn.Transformer.generate_square_subsequent_mask(t, device=tokens.device)
        return F.linear(self.stack(h, mask=mask, is_causal=True), self.embedding.weight)


def stepper(model: nn.Module, logits: Callable[[Tensor], Tensor], tokens: Tensor) -> Call:
    """A training step on `tokens`: all positions predicted, gradients clipped, AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def step() -> None:
        with mixed_precision(tokens.device):
            loss = F.cross_entropy(logits(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return step


def our_stepper(shape: dict[str, int], batch: int, length: int, device: torch.device) -> Call:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, shape["vocabulary"], (batch, length + 1), generator=generator)
    model = Transformer(**shape, generator=generator).to(device)
    return stepper(model, lambda x: model.logits(model(x)[-1]), tokens.to(device))


def times(call: Call, n: int) -> Call:
    return lambda: [call() for _ in range(n)]


def training(device: torch.device, rounds: int) -> dict[str, Any]:
    """Tokens per second of a training step at equal shape, and the share of the matrix-product rate that it reaches."""
    tokens = torch.randint(0, SHAPE["vocabulary"], (BATCH, LENGTH + 1), generator=torch.Generator().manual_seed(0))
    peer = Encoder(**SHAPE).to(device)
    a, b = torch.ones(BATCH * LENGTH, SHAPE["width"], device=device), torch.ones(SHAPE["width"], 512, device=device)
    seconds = alternate({"ours": times(our_stepper(SHAPE, BATCH, LENGTH, device), 3),
                         "TransformerEncoder": times(stepper(peer, peer, tokens.to(device)), 3),
                         "matrix product": times(lambda: a @ b, 60)}, rounds)
    products = 60 * 2 * a.numel() * b.shape[1] / np.array(seconds.pop("matrix product"))
    d, blocks, v = SHAPE["width"], SHAPE["blocks"], SHAPE["vocabulary"]
    per_token = 3 * 2 * (12 * d * d * blocks + v * d + LENGTH * d * blocks)  # forward once, backward twice
    reached = 3 * BATCH * LENGTH * per_token / np.array(seconds["ours"])
    return {**side_by_side(seconds, 3 * BATCH * LENGTH), "unit": "tokens/s",
            "share_of_matrix_products": spread(reached / products)}


def batching(corpus: ParallelCorpus, tokenizer: Tokenizer, device: torch.device, rounds: int) -> dict[str, Any]:
    """Sentence pairs per second of fine-tuning: batches by length against all padded to the longest sentence."""
    options, rng = TrainOptions(), np.random.default_rng(0)
    every = finetuning_examples(corpus, tokenizer, "train")
    examples = [every[i] for i in rng.permutation(len(every))[:640]]
    longest = max(len(example.tokens) for example in every)
    model = Transformer(**{**asdict(ModelOptions()), "vocabulary": tokenizer.size}).to(device)
    optimizer = make_optimizer(model, options)
    size = max(1, options.batch_tokens // longest)
    filler = Example([tokenizer.pad] * longest, longest - 1, NO_VARIETY, NO_VARIETY, "")  # nothing to predict in it
    by_length = [collate(rows, tokenizer.pad) for rows in bucket(examples, options.batch_tokens, rng)]
    padded = [collate([*examples[i:i + size - 1], filler], tokenizer.pad) for i in range(0, len(examples), size - 1)]

    def through(batches: list[Batch]) -> None:
        for i, batch in enumerate(batches):
            train_step(model, optimizer, batch, options, {}, i, len(batches))

    return {**side_by_side(alternate({"by length": partial(through, by_length), "padded": partial(through, padded)},
                                     rounds), len(examples)), "unit": "sentence pairs/s"}


@torch.inference_mode()
def translation(device: torch.device, rounds: int) -> dict[str, Any]:
    """Sentences per second decoded, 64 prompts of one length, with the cache and recomputing the prefix."""
    model = Transformer(**SHAPE, generator=torch.Generator().manual_seed(0)).to(device).eval()
    prompts = torch.randint(3, SHAPE["vocabulary"], (64, PROMPT), generator=torch.Generator().manual_seed(1)).to(device)

    def cached() -> Tensor:
        cache = model.new_cache(len(prompts), PROMPT + NEW)
        new, tokens = [], prompts
        for i in range(NEW):
            start = PROMPT + i - 1 if i else 0
            tokens = model.logits(model(tokens, cache, start)[-1][:, -1]).argmax(dim=-1, keepdim=True)
            new.append(tokens)
        return torch.cat(new, dim=1)

    def recomputed() -> Tensor:
        tokens = prompts
        for _ in range(NEW):
            best = model.logits(model(tokens)[-1][:, -1]).argmax(dim=-1, keepdim=True)
            tokens = torch.cat((tokens, best), dim=1)
        return tokens[:, PROMPT:]

    return {**side_by_side(alternate({"cache": cached, "recomputing": recomputed}, rounds), len(prompts)),
            "unit": "sentences/s", "same_output": bool((cached() == recomputed()).all())}


def decoupling(corpus: ParallelCorpus, tokenizer: Tokenizer, device: torch.device, rounds: int) -> dict[str, Any]:
    """What decoupling adds to a training step of the default run, in percent, part by part; no nulls."""
    options, decouple, rng = TrainOptions(), DecoupleOptions(), np.random.default_rng(0)
    model = Transformer(**{**asdict(ModelOptions()), "vocabulary": tokenizer.size}).to(device)
    optimizer, core = make_optimizer(model, options), Decoupler(decouple, 2, ModelOptions().width)
    examples = finetuning_examples(corpus, tokenizer, "train")
    batches = [collate(rows, tokenizer.pad) for rows in bucket(examples, options.batch_tokens, rng)]
    layers = (int(decouple.layer),)

    def gather() -> tuple[np.ndarray, np.ndarray]:
        drawn = draw_examples(examples, decouple.probe_states, decouple.tokens, rng)
        states, variety, _ = collect_states(model, drawn, layers, decouple.tokens, tokenizer.pad, rng)
        return standardise(states[layers[0]])[0], classes_of(decouple, variety)

    def steps(cores: dict[int, Decoupler]) -> Call:
        return lambda: [train_step(model, optimizer, batch, options, cores, i, len(batches))
                        for i, batch in enumerate(batches[:10])]

    h, y = gather()
    core.refresh(h, y, rng)
    seconds = alternate({"alone": steps({}), "penalised": steps({layers[0]: core})}, rounds)  # next to each other
    seconds |= alternate({
        "gather": gather,
        "refit": lambda: ours.fit(core.probe, h, y, rng, decouple.probe_steps),
        "SVD": lambda: probe_subspace(core.probe.posterior_mean(), decouple.rank),
        "code length": lambda: variational_bits(core.probe, h, y, rng, samples=1)}, rounds)
    step = np.array(seconds["alone"]) / 10
    every = options.epochs * len(batches) / decouple.refreshes  # steps between refreshes
    parts = {name: np.array(seconds[name]) / every / step for name in ("gather", "refit", "SVD", "code length")}
    parts["penalty"] = np.array(seconds["penalised"]) / 10 / step - 1
    return {"percent_of_a_step": {name: spread(100 * share) for name, share in parts.items()},
            "percent_in_all": spread(100 * sum(parts.values()))}


def probing(rounds: int, steps: int = 600) -> dict[str, Any]:
    """Fits per second of the variational probe, 26 classes, and of the same one in autograd; bits per state of both."""
    n, d, classes, batch, rate = 8192, 128, 26, 512, 0.06
    planted = plant(n, d, classes, 2.0, np.random.default_rng(0))
    h = standardise(planted.h)[0].astype(np.float32)
    h1, y = torch.from_numpy(ours.with_one(h)), torch.from_numpy(planted.y)
    fitted: dict[str, ours.VariationalProbe] = {}

    def numpy_probe() -> None:
        fresh = ours.new_probe(classes, d, dtype=np.float32)
        fitted["NumPy"] = ours.fit(fresh, h, planted.y, np.random.default_rng(1), steps, batch, rate)

    def autograd_probe() -> None:
        generator = torch.Generator().manual_seed(1)
        mu = torch.zeros(classes, d + 1, requires_grad=True)
        log_sigma2 = torch.full((classes, d + 1), -3.0, requires_grad=True)
        adam = torch.optim.Adam([{"params": [mu]}, {"params": [log_sigma2]}], fused=True)
        order = torch.randperm(n, generator=generator).repeat(2)
        for step in range(steps):
            rows = order[step * batch % n:][:batch]
            x = h1[rows]
            v = x**2 @ log_sigma2.exp().T + ours.SMALLEST
            logits = x @ mu.T + v.sqrt() * torch.randn(batch, classes, generator=generator)
            kl = 0.5 * (log_sigma2.exp() + mu**2 - 1 - log_sigma2).sum()
            adam.zero_grad()
            (F.cross_entropy(logits, y[rows]) + kl / n).backward()
            now = rate * 0.5 * (1 + np.cos(np.pi * step / steps))
            adam.param_groups[0]["lr"], adam.param_groups[1]["lr"] = now, ours.VARIANCE_RATE * now
            adam.step()
        parameters = {"mu": mu.detach().numpy(), "log_sigma2": log_sigma2.detach().numpy()}
        fitted["autograd"] = ours.VariationalProbe("normal", parameters)

    result = side_by_side(alternate({"NumPy": numpy_probe, "autograd": autograd_probe}, rounds), 1)
    bits = {name: sum(variational_bits(probe, h, planted.y, np.random.default_rng(2))) / n
            for name, probe in fitted.items()}
    return {**result, "unit": "fits/s", "bits_per_state": bits}


def commands(rounds: int) -> dict[str, Any]:
    """Seconds of whole commands, each in a process of its own."""
    def run(*words: str) -> Call:
        return lambda: subprocess.run([sys.executable, "-m", "tinydecouple", *words], check=True, capture_output=True)
    taken = alternate({"help": run("-h"), "corpus": run("corpus")}, rounds)
    return {"seconds": {name: spread(values) for name, values in taken.items()}}
