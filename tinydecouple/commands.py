"""What each command does with its parsed options: call, and print."""

import argparse
import dataclasses
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tinydecouple import benchmark_report
from tinydecouple.corpus_command import options
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation import figures, report, watch
from tinydecouple.evaluation.probe_report import gather_states, probe_layer, probing_table, read_states
from tinydecouple.evaluation.readback import read_result, read_text
from tinydecouple.evaluation.score import one_line
from tinydecouple.files import locked, write, write_json
from tinydecouple.messages import flagged, say
from tinydecouple.model.decode import decode
from tinydecouple.model.transformer import Transformer, pick_device
from tinydecouple.options import DecoupleOptions, ModelOptions, TrainOptions
from tinydecouple.study import smoke
from tinydecouple.study.cells import score_run, train_arms
from tinydecouple.study.collect import collect
from tinydecouple.study.conditions import apply, choose_arms, demo_arms
from tinydecouple.study.plan import chosen_cells, read_plan
from tinydecouple.study.report import write_report
from tinydecouple.study.rerun import compare, rerun
from tinydecouple.study.runner import run_final, run_plan
from tinydecouple.study.status import choose, read_records, status
from tinydecouple.text.hygiene import clean
from tinydecouple.text.readers import CorpusOptions, load_corpus, region_of
from tinydecouple.training.batches import prompt
from tinydecouple.training.checkpoint import is_complete, load_config, load_model, open_run
from tinydecouple.training.pipeline import decouplers, finetune, new_tokenizer, pretrain, run_corpus, same_corpus

MOST_INPUT = 2**26  # bytes that translate reads


def demo_command(args: argparse.Namespace) -> None:
    corpus_options, model_options = options(CorpusOptions, args), options(ModelOptions, args)
    pretraining, training = options(TrainOptions, args, "pretrain-"), options(TrainOptions, args)
    decouple = options(DecoupleOptions, args)
    if not decouple.refreshes:
        raise TinyDecoupleError("`refreshes` 0: the demo compares with decoupling; use finetune for a run "
                                "without a probe")
    if args.json and not args.smoke:
        raise TinyDecoupleError("`json` goes with `smoke`")
    arms = choose_arms(demo_arms(decouple.strength), args.arms)
    decouple = dataclasses.replace(decouple, strength=0.0)  # what the first arm has, and each arm may change
    device, run, started = pick_device(args.device), args.run, time.perf_counter()
    corpus = load_corpus(corpus_options)
    tokenizer = new_tokenizer(corpus, model_options)
    for arm in arms:  # what training would refuse later is refused now
        decouplers(apply(arm, training, decouple)[1], len(corpus.family), model_options)
    Transformer(**dataclasses.asdict(model_options))
    config = {"kind": "demo", "beam": args.beam, "corpus_sha256": corpus.fingerprint,
              "arms": [dataclasses.asdict(arm) for arm in arms], "corpus": dataclasses.asdict(corpus_options),
              "model": dataclasses.asdict(model_options), "pretrain": dataclasses.asdict(pretraining),
              "train": dataclasses.asdict(training), "decouple": dataclasses.asdict(decouple)}
    scoring = 0.0
    with open_run(run, config, args.overwrite):
        made = all((run / name).exists() for name in ("scores.json", "table.md")) and all(
            is_complete(run / name) for name in ("pretrained", *(arm.name for arm in arms)))
        if not made:
            def say_at(text: str) -> None:
                say(f"{text} (at {time.perf_counter() - started:.0f} s)")

            say_at(f"{run}: pretraining, so that the standard is dominant")
            pretrain(run / "pretrained", corpus, tokenizer, corpus_options, model_options, pretraining, device)
            train_arms(run, arms, run / "pretrained", corpus, training, decouple, device, say_at)
            say_at("translating and scoring the test split")
            scoring = time.perf_counter()
            systems = {arm.name: score_run(run / arm.name, corpus, "test", args.beam, device) for arm in arms}
            result = report.compare(systems, corpus, args.seed)
            write_json(run / "scores.json", result)
            examples = report.side_by_side(systems, corpus.pivot)
            write(run / "table.md", f"{report.summary(result, 'test')}\n{report.dialect_rows(result)}\n"
                                    f"```\n{examples}\n```\n")
            scoring = time.perf_counter() - scoring
            say(f"done in {time.perf_counter() - started:.0f} s{peak_memory()}")
    result = read_result(run / "scores.json", [arm.name for arm in arms])
    print(read_text(run / "table.md"))
    if left_out := [arm.name for arm in demo_arms(0) if arm.name not in {a.name for a in arms}]:
        print(flagged(f"left out, to save a third of the time: {', '.join(left_out)}. A claim owes its "
                      f"control: demo `arms` {args.arms},{','.join(left_out)} `run` {run}-controlled adds it.\n"))
    drawn = figures.draw(run, result, {arm.name: run / arm.name for arm in arms})
    print(f"run directory: {run}\nfigures: {', '.join(map(str, drawn)) or 'none; pip install matplotlib, then again'}")
    if args.smoke and smoke.report(smoke.checks(run, corpus, device, scoring), args.json, device):
        sys.exit(1)


def pretrain_command(args: argparse.Namespace) -> None:
    corpus_options, model_options = options(CorpusOptions, args), options(ModelOptions, args)
    corpus, device = load_corpus(corpus_options), pick_device(args.device)
    pretrain(args.run, corpus, new_tokenizer(corpus, model_options), corpus_options, model_options,
             options(TrainOptions, args), device, args.overwrite)
    say(f"pretrained: {args.run}")


def finetune_command(args: argparse.Namespace) -> None:
    device = pick_device(args.device)
    finetune(args.run, args.start, run_corpus(args.start), options(TrainOptions, args), options(DecoupleOptions, args),
             device, args.overwrite)
    say(f"fine-tuned: {args.run}")


def probe_command(args: argparse.Namespace) -> None:
    if (args.run is None) == (args.states is None):
        raise TinyDecoupleError("probe: name either a run or `states` FILE.npz")
    rng = np.random.default_rng(args.seed)
    if args.states:
        states, folder = read_states(args.states, args.standard), args.out
    else:
        if args.standard:
            raise TinyDecoupleError("`standard` goes with `states`; a run knows its standard")
        model, tokenizer, _ = load_model(args.run, pick_device(args.device))
        states = gather_states(model, tokenizer, run_corpus(args.run), args.split, args.per_variety, rng)
        folder = args.out or args.run / f"probe-{args.split}"
    layers = {layer: probe_layer(h, states, args.refits, rng)
              for layer, h in tqdm(states.h.items(), desc="probing layers", disable=None, leave=False)}
    text = probing_table(layers, states.names)
    print(text)
    if folder:
        numbers = {layer: {name: value.tolist() if name == "angles" else value for name, value in measures.items()
                           if name != "plane"} for layer, measures in layers.items()}
        regions = {name: name for name in states.names}
        if args.run:
            corpus_options = CorpusOptions(**load_config(args.run)["corpus"])
            regions = {name: region_of(corpus_options, states.names[0], name) for name in states.names}
        with locked(folder):
            write(folder / "table.md", text)
            write_json(folder / "scores.json", {"names": states.names, "layers": numbers})
            drawn = figures.draw_probing(folder, layers, states.names, states.y, regions.get)
        print(f"written to {folder}{'' if drawn else '; pictures need pip install matplotlib'}")


def translate_command(args: argparse.Namespace) -> None:
    model, tokenizer, config = load_model(args.run, pick_device(args.device))
    if sys.stdin is None:
        raise TinyDecoupleError("standard input is closed; send sentences into it, one per line")
    given = sys.stdin.buffer.read(MOST_INPUT + 1)
    if len(given) > MOST_INPUT:
        raise TinyDecoupleError(f"standard input: more than {MOST_INPUT / 2**20:.0f} MB; translate it in parts")
    lines = []
    for number, raw in enumerate(given.removesuffix(b"\n").split(b"\n"), start=1):
        try:  # cleaned as the run's corpus was: the model has seen no other text
            lines.append(clean(raw.decode("utf-8"), config["corpus"]["strip_marks"])[0])
        except UnicodeDecodeError:
            raise TinyDecoupleError(f"standard input, line {number}: not UTF-8; convert it") from None
    sentences = [line for line in lines if line]
    prompts = prompt(tokenizer, clean(args.source)[0], clean(args.target)[0], sentences)
    outputs = iter(tokenizer.decode(decode(model, prompts, tokenizer.end, args.beam)))
    for line in lines:
        print(one_line(next(outputs)) if line else "")


def evaluate_command(args: argparse.Namespace) -> None:
    device, corpus = pick_device(args.device), run_corpus(args.run)
    if args.against and not same_corpus(load_config(args.run), load_config(args.against)):
        raise TinyDecoupleError(f"{args.against}: trained on another corpus than {args.run}; scores do not compare")
    runs = [args.against, args.run] if args.against else [args.run]
    systems = {str(run): score_run(run, corpus, args.split, args.beam, device) for run in runs}
    result = report.compare(systems, corpus, 0)
    text = f"{report.summary(result, args.split)}\n{report.dialect_rows(result)}"
    write(args.run / args.split / "table.md", text)
    print(text)


def watch_command(args: argparse.Namespace) -> None:
    text = watch.page(args.run, args.against, args.layer)
    out = args.out or args.run / "watch.html"
    with nullcontext() if args.out else locked(args.run):  # which clears away what a killed process left
        write(out, text)
    print(f"written to {out}; open it in a browser")


def study_command(args: argparse.Namespace) -> None:
    if args.report:
        for path in write_report(args.data, args.out):
            print(path)
        return
    named = args.plan or ("quick" if args.quick else "full")
    plan = read_plan(named)
    cells = chosen_cells(plan, args.setting, args.cell)
    if args.collect:
        folder = args.collect if args.collect != Path() else args.data / Path(named).stem
        kept = tuple(s for s in plan.settings if args.setting in (None, s.name))
        for path in collect(args.run, dataclasses.replace(plan, settings=kept), folder, args.final, args.studies):
            print(path)
        return
    if args.final == 0:
        raise TinyDecoupleError("`final` 0 goes with `collect`")
    device = pick_device(args.device, full_precision=True)
    if args.final:
        run_final(args.run, plan, cells, args.final, args.workers, device)
        return
    run_plan(args.run, cells, args.workers, args.rerun, device)
    if args.cell:
        return
    print(status(args.run, plan))
    if plan.trials and not args.setting:
        best, table = choose(read_records(args.run, plan), plan)
        write(args.run / "trials.md", table)
        write_json(args.run / "tuned.json", best)
        print(f"{table}\nchosen options, to be named by a plan as tuned: {args.run / 'tuned.json'}")


def bench_command(args: argparse.Namespace) -> None:
    device, corpus = pick_device(args.device), load_corpus(CorpusOptions())
    result = benchmark_report.measure(corpus, new_tokenizer(corpus, ModelOptions()), device, args.rounds)
    print(benchmark_report.text(result))
    if args.json:
        write_json(args.json, result)
    if args.figure and not benchmark_report.draw(args.figure, result):
        raise TinyDecoupleError("a picture needs matplotlib; pip install matplotlib")


def rerun_command(args: argparse.Namespace) -> None:
    if not (args.check or args.into):
        raise TinyDecoupleError("rerun: name a folder by `into`, or pass `check`")
    with tempfile.TemporaryDirectory(prefix="tinydecouple-") as temporary:
        folder = args.into or Path(temporary)
        originals = rerun(args.run, folder, pick_device(args.device), say)
        if not args.check:
            say(f"made again: {folder}")
            return
        results = [compare(original, folder / name) for name, original in originals.items()]
    for found in results:
        same = f"identical: {found.weights:,} weights bit for bit, {found.records:,} lines of log"
        print("\n  ".join([f"{found.run}: {'differs' if found.differences else same}", *found.differences]))
    sys.exit(int(any(found.differences for found in results)))


def peak_memory() -> str:
    """Peak resident memory, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    return f", {peak:.1f} GB at the peak"
