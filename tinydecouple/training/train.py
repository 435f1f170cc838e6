"""One training loop, for pretraining and for fine-tuning, with a penalty or without."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.files import write
from tinydecouple.model.transformer import Transformer
from tinydecouple.options import TrainOptions
from tinydecouple.text.tokenizer import Tokenizer
from tinydecouple.training.batches import IGNORE, Batch, Example, bucket, collate
from tinydecouple.training.checkpoint import load_checkpoint, restore_log, save_checkpoint
from tinydecouple.training.decoupler import Decoupler, classes_of, strength_at
from tinydecouple.training.gather import (
    BATCH_TOKENS,
    at_positions,
    collect_states,
    draw_examples,
    penalised,
)
from tinydecouple.training.interventions import dropout, editing
from tinydecouple.training.loss import batch_loss
from tinydecouple.training.record import require_finite, session
from tinydecouple.training.schedule import (
    DROPOUT,
    REFRESH,
    batches_from,
    make_optimizer,
    rate_at,
    total_steps,
)
from tinydecouple.training.validate import damaged, records_in
from tinydecouple.training.validate_checkpoint import check_unfinished, check_weights
from tinydecouple.training.watching import Watcher

CHECKPOINTS = 20  # per run without a probe: an interrupted run loses at most 5 %


@torch.no_grad()
def mean_loss(model: Transformer, examples: list[Example], pad: int,
              cores: dict[int, Decoupler] | None = None, watcher: Watcher | None = None) -> float:
    """Cross-entropy in nats per target token; cores: those that edit the forward pass do so.

    watcher: is shown the states, which are computed anyway.
    """
    nats = count = 0.0
    for rows in bucket(examples, BATCH_TOKENS, np.random.default_rng(0)):
        batch = collate(rows, pad)
        tokens = int((batch.labels != IGNORE).sum())
        with editing(model, *edits_of(cores or {}, batch)):
            states, loss = batch_loss(model, batch)
        if watcher:
            watcher.see(states, batch)
        nats += loss.item() * tokens
        count += tokens
    return nats / count


def train(model: Transformer, tokenizer: Tokenizer, examples: list[Example], dev: list[Example],
          options: TrainOptions, run: Path, cores: dict[int, Decoupler] | None = None,
          label: str = "training", stop: int | None = None,
          watcher: Watcher | None = None) -> None:
    """Train in place; leave log and checkpoint in `run`.

    An interrupted run continues as if it had not been, bit for bit on a CPU. cores: layer -> its
    decoupler; None or an empty dict for a run without a probe. Batches depend on options.seed and
    the epoch alone, so runs that differ in their decouplers see the same ones. At each refresh
    (without a decoupler, CHECKPOINTS times) the loss on `dev` is logged and the state is saved.
    stop: step to stop before, as an interrupted run does.  watcher: looks on, and changes nothing.
    Raises TinyDecoupleError if training diverges, at the last step, too: such a run is never
    complete.
    """
    cores = cores or {}
    total = total_steps(examples, options)
    refreshes = next(iter(cores.values())).options.refreshes if cores else CHECKPOINTS
    every = max(1, math.ceil(total / refreshes))
    optimizer = make_optimizer(model, options)
    resumed = resume(run, model, tokenizer, optimizer, cores, total, watcher)
    if resumed is None:
        return
    done, log = resumed
    new = not log
    log.append(session(run, log, done, model.embedding.weight.device))
    started = time.perf_counter() - max((record.get("seconds", 0.0) for record in log), default=0.0)

    def check_dev(step: int, **record: int) -> None:
        loss = mean_loss(model, dev, tokenizer.pad, cores, watcher)
        require_finite(loss, step, model)
        log.append({**record, "step": step, "dev_loss": loss,
                    "seconds": round(time.perf_counter() - started, 2)})

    model.train()
    with tqdm(total=total, initial=done, desc=label, unit=" steps", disable=None,
              leave=False) as bar:
        for step, rows in batches_from(done, examples, options):
            if step == stop:
                return
            if step % every == 0 and (step > done or new):
                number = {"refresh": step // every, "step": step}
                check_dev(**number)  # first: no probe is fitted to states that diverged
                records = refresh(model, cores, examples, tokenizer.pad, options, step)
                log += [number | record for record in records]
                if watcher:
                    watcher.look(model, cores, step)
                save(run, model, tokenizer, log, step, optimizer, cores, watcher)
            batch = collate(rows, tokenizer.pad)
            record = train_step(model, optimizer, batch, options, cores, step, total)
            log.append(record)
            bar.update()
            bar.set_postfix(loss=f"{record['loss']:.2f}", refresh=False)
    model.eval()
    check_dev(total)
    if watcher:
        watcher.look(model, cores, total, last=True)
    save(run, model, tokenizer, log, total, cores=cores, watcher=watcher)


def refresh(model: Transformer, cores: dict[int, Decoupler], examples: list[Example], pad: int,
            options: TrainOptions, step: int) -> list[dict[str, Any]]:
    """Refresh each layer's decoupler on newly drawn examples; one record per layer for the log."""
    if not cores:
        return []
    decouple = next(iter(cores.values())).options
    rng = np.random.default_rng([options.seed, REFRESH, step])
    drawn = draw_examples(examples, decouple.probe_states, decouple.tokens, rng)
    states, variety, _ = collect_states(model, drawn, tuple(cores), decouple.tokens, pad, rng)
    y = classes_of(decouple, variety, rng)
    return [{"layer": layer, **core.refresh(states[layer], y, rng)}
            for layer, core in cores.items()]


def train_step(model: Transformer, optimizer: torch.optim.Optimizer, batch: Batch,
               options: TrainOptions, cores: dict[int, Decoupler], step: int,
               total: int) -> dict[str, Any]:
    """One step of gradient descent on L_MT + lambda * penalty; returns its record for the log."""
    masks = (options.seed, DROPOUT, step)
    with dropout(model, options.dropout, masks), editing(model, *edits_of(cores, batch)):
        states, loss = batch_loss(model, batch, options.standard_weight, options.own_weight,
                                  options.unlikelihood)
    record = {"step": step, "loss": loss.item()}
    if cores:
        decouple = next(iter(cores.values())).options
        positions = penalised(batch, decouple.tokens, decouple.penalised)
        y = classes_of(decouple, batch.variety[positions]) if decouple.form == "reversal" else None
        penalties = {layer: core.penalty(at_positions(states[layer], positions), y)
                     for layer, core in cores.items()}
        strength = strength_at(decouple, step, total)
        if strength:
            loss = loss + strength * sum(penalties.values())
        record |= {"penalty": sum(p.item() for p in penalties.values()), "strength": strength}
        if len(cores) > 1:
            record["penalty_by_layer"] = {layer: p.item() for layer, p in penalties.items()}
    require_finite(loss.item(), step)
    record["learning_rate"] = rate_at(options, step, total)
    for group in optimizer.param_groups:
        group["lr"] = record["learning_rate"]
    optimizer.zero_grad()
    loss.backward()
    if options.max_grad_norm:
        torch.nn.utils.clip_grad_norm_(model.parameters(), options.max_grad_norm)
    optimizer.step()
    for core in cores.values():
        if core.options.form == "adapter":
            core.head.step(record["learning_rate"])
    return record


def edits_of(cores: dict[int, Decoupler],
             batch: Batch) -> tuple[dict[int, Callable[[Tensor], Tensor]], np.ndarray | None]:
    """What `editing` takes: layer -> what its decoupler does to states, and which states.

    Before the first refresh nothing is edited.
    """
    edits = {layer: edit for layer, core in cores.items()
             if core.refreshes and (edit := core.edits(batch.variety))}
    if not edits:
        return {}, None
    decouple = next(iter(cores.values())).options
    return edits, penalised(batch, decouple.tokens, decouple.penalised)


def save(run: Path, model: Transformer, tokenizer: Tokenizer, log: list[dict[str, Any]], step: int,
         optimizer: torch.optim.Optimizer | None = None,
         cores: dict[int, Decoupler] | None = None, watcher: Watcher | None = None) -> None:
    """Write checkpoint and log: to continue from `step` if an optimiser is given, else complete."""
    text = "".join(json.dumps(record) + "\n" for record in log)
    proto = torch.frombuffer(bytearray(tokenizer.proto), dtype=torch.uint8)
    state = {"model": model.state_dict(), "step": step, "complete": optimizer is None,
             "tokenizer": proto, "log": text,
             "decouplers": {layer: core.state() for layer, core in (cores or {}).items()}}
    if watcher:
        state["watch"] = watcher.state()
    if optimizer is not None:
        state["optimizer"] = optimizer.state_dict()
    save_checkpoint(run, state)
    write(run / "log.jsonl", text)


def resume(run: Path, model: Transformer, tokenizer: Tokenizer, optimizer: torch.optim.Optimizer,
           cores: dict[int, Decoupler], total: int,
           watcher: Watcher | None = None) -> tuple[int, list[dict[str, Any]]] | None:
    """Load what a run of `total` steps has saved: the next step and the log; None if complete.

    Raises TinyDecoupleError if it is damaged, or was begun with another tokeniser: pieces have
    other numbers.
    """
    saved = load_checkpoint(run, mend=True)
    if saved is None:
        return 0, []
    path = run / "checkpoint.pt"
    check_weights(saved["model"], model.state_dict(), path)
    log = records_in(saved["log"], path)
    if not saved["complete"]:
        check_unfinished(saved, optimizer, cores, total, path)
        if [r["step"] for r in log if "loss" in r] != list(range(saved["step"])):
            damaged(path, f"log: not one line for each step before {saved['step']}")
    restore_log(run, saved)
    model.load_state_dict(saved["model"])
    if saved["complete"]:
        return None
    if saved["tokenizer"].numpy().tobytes() != tokenizer.proto:
        raise TinyDecoupleError(f"{run}: begun with another tokeniser, perhaps of another "
                                "sentencepiece; bring that back or train again with `overwrite`")
    optimizer.load_state_dict(saved["optimizer"])
    for layer, core in cores.items():
        core.restore(saved["decouplers"][layer])
    if watcher:
        watcher.restore(saved.get("watch"), path)
    return saved["step"], log
