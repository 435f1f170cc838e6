"""One training loop, for pretraining and for fine-tuning, plain or decoupled."""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import write
from tinydecouple.model.transformer import Transformer
from tinydecouple.options import option
from tinydecouple.text.tokenizer import Tokenizer
from tinydecouple.training.batches import IGNORE, Batch, Example, bucket, collate
from tinydecouple.training.checkpoint import load_checkpoint, save_checkpoint
from tinydecouple.training.decoupler import Decoupler, strength_at

CHECKPOINTS = 20  # a run, if nothing else decides: a cut-off run loses 5 %
ORDER, REFRESH = 0, 1  # what a generator is for; with seed and count it makes streams that do not touch


@dataclass(frozen=True)
class TrainOptions:
    epochs: int = option(2, "times that every example is seen", least=1)
    learning_rate: float = option(4e-3, "AdamW's peak learning rate: linear warm-up over a tenth of the run, "
                                  "then cosine decay to 0", least=0)
    batch_tokens: int = option(1024, "tokens per batch, padding included", least=1)
    weight_decay: float = option(0.01, "weight decay of AdamW, on matrices only", least=0)
    standard_weight: float = option(1.0, "weight of the loss on text in the standard; below 1, the control that merely "
                                    "gives the standard less say", least=0)
    max_grad_norm: float = option(1.0, "longest gradient; a longer one is shortened to this", least=0)
    seed: int = option(1, "seed of initial weights, batch order and probe noise", least=0)


def rate_at(options: TrainOptions, step: int, total: int) -> float:
    """Learning rate at a step counted from 0 in a run of `total`."""
    warm_up = max(1, total // 10)
    if step < warm_up:
        return options.learning_rate * (step + 1) / warm_up
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up)))


def batch_loss(model: Transformer, batch: Batch,
               standard_weight: float = 1.0) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Hidden states of every layer, and the mean cross-entropy of the target's tokens in nats, THEORY (5).

    A token of the standard counts standard_weight times. The mean is over all target tokens, weighted or not, so
    that a token of a dialect has the same say at every weight.
    """
    device = model.embedding.weight.device
    labels = torch.from_numpy(batch.labels).to(device)
    states = model(torch.from_numpy(batch.inputs).to(device))
    counted = labels != IGNORE
    nats = F.cross_entropy(model.logits(states[-1][counted]), labels[counted], reduction="none")  # (b, t, d) -> (n,)
    weight = torch.where(torch.from_numpy(batch.to_standard).to(device), standard_weight, 1.0)  # (b,)
    return states, (nats * weight[:, None].expand_as(labels)[counted]).mean()


@torch.no_grad()
def mean_loss(model: Transformer, examples: list[Example], pad: int) -> float:
    """Cross-entropy in nats a target token."""
    nats = count = 0.0
    for near in bucket(examples, 4096, np.random.default_rng(0)):
        batch = collate(near, pad)
        tokens = int((batch.labels != IGNORE).sum())
        nats += batch_loss(model, batch)[1].item() * tokens
        count += tokens
    return nats / count


def train(model: Transformer, tokenizer: Tokenizer, examples: list[Example], dev: list[Example], options: TrainOptions,
          run: Path, decoupler: Decoupler | None = None, label: str = "training") -> None:
    """Train in place and leave log and checkpoint in `run`; a run that was cut off goes on, bit for bit on a CPU.

    Batches depend on options.seed and the epoch alone, so runs that differ in their decoupler see the same ones.
    At each refresh (without a decoupler, CHECKPOINTS times) the log gets the loss on `dev` and the state is saved.
    """
    total = options.epochs * len(_order(examples, options, 0))
    every = max(1, math.ceil(total / (decoupler.options.refreshes if decoupler else CHECKPOINTS)))
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": matrices}, {"params": vectors, "weight_decay": 0.0}],
                                  betas=(0.9, 0.98), weight_decay=options.weight_decay, fused=True)
    log: list[dict[str, Any]] = []
    done, seconds = 0, 0.0

    def save(complete: bool) -> None:
        write(run / "log.jsonl", "".join(json.dumps(record) + "\n" for record in log))
        unfinished = {} if complete else {"optimizer": optimizer.state_dict(),
                                          "decoupler": decoupler.state() if decoupler else None}
        save_checkpoint(run, {"model": model.state_dict(), "step": step, "complete": complete, **unfinished,
                              "tokenizer": torch.frombuffer(bytearray(tokenizer.proto), dtype=torch.uint8)})

    if saved := load_checkpoint(run):
        model.load_state_dict(saved["model"])
        if saved["complete"]:
            return
        optimizer.load_state_dict(saved["optimizer"])
        done = saved["step"]
        log = read_log(run, done)
        seconds = log[-1]["seconds"]
        if decoupler:
            decoupler.restore(saved["decoupler"])

    step, started = 0, time.perf_counter() - seconds
    model.train()
    with tqdm(total=total, initial=done, desc=label, unit=" steps", disable=None, leave=False) as bar:
        for number in range(options.epochs):
            for chosen in _order(examples, options, number):
                if step < done:
                    step += 1
                    continue
                if step % every == 0 and not (saved and step == done):
                    record = {"refresh": step // every, "step": step}
                    if decoupler:
                        rng = np.random.default_rng([options.seed, REFRESH, step])
                        record |= decoupler.refresh(model, examples, tokenizer.pad, rng)
                    log.append(record | {"dev_loss": mean_loss(model, dev, tokenizer.pad),
                                         "seconds": round(time.perf_counter() - started, 2)})
                    save(complete=False)
                batch = collate(chosen, tokenizer.pad)
                states, loss = batch_loss(model, batch, options.standard_weight)
                record = {"step": step, "loss": loss.item()}
                if decoupler:
                    penalty = decoupler.penalty(states, batch)
                    strength = strength_at(decoupler.options, step, total)
                    loss = loss + strength * penalty
                    record |= {"penalty": penalty.item(), "strength": strength}
                if not math.isfinite(loss.item()):
                    raise TinyDecoupleError(f"{run}: the loss is {loss.item()} at step {step}; lower "
                                            "--learning-rate or --strength, with --overwrite")
                record["learning_rate"] = optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = \
                    rate_at(options, step, total)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), options.max_grad_norm)
                optimizer.step()
                log.append(record)
                step += 1
                bar.update()
                bar.set_postfix(loss=f"{record['loss']:.2f}", refresh=False)
    model.eval()
    log.append({"step": step, "dev_loss": mean_loss(model, dev, tokenizer.pad),
                "seconds": round(time.perf_counter() - started, 2)})
    save(complete=True)


def read_log(run: Path, done: int) -> list[dict[str, Any]]:
    """The log up to a checkpoint at step `done`; what a cut-off run wrote after its last checkpoint is dropped."""
    try:
        records = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        return [r for r in records if r["step"] < done or (r["step"] == done and "refresh" in r)]
    except (OSError, ValueError, KeyError) as error:
        raise TinyDecoupleError(f"{run / 'log.jsonl'}: damaged ({error}); run again with --overwrite") from None


def _order(examples: list[Example], options: TrainOptions, number: int) -> list[list[Example]]:
    return bucket(examples, options.batch_tokens, np.random.default_rng([options.seed, ORDER, number]))
