"""The command line: parse, call, print."""

import argparse
import dataclasses
import math
import sys
import time
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import tinydecouple
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation import figures, report
from tinydecouple.evaluation.score import chrf, one_line, statistics, translate
from tinydecouple.model.decode import decode
from tinydecouple.model.transformer import ModelOptions, pick_device
from tinydecouple.text.corpus import SPLITS, ParallelCorpus, write_tsv
from tinydecouple.text.readers import CorpusOptions, fingerprint, load_corpus
from tinydecouple.training.batches import prompt
from tinydecouple.training.checkpoint import load_model, open_run, write, write_json
from tinydecouple.training.decoupler import DecoupleOptions
from tinydecouple.training.runs import finetune, pretrain, run_corpus
from tinydecouple.training.train import TrainOptions

T = TypeVar("T")
PRETRAIN, FINETUNE = TrainOptions(epochs=6), TrainOptions(epochs=3)
SMOKE = {"keys": 150, "per_variety": 30, "trickle": 5, "width": 32, "blocks": 2, "vocabulary": 800, "epochs": 1,
         "pretrain_epochs": 2, "layer": 1, "refreshes": 4}


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is one line."""

    def error(self, message: str) -> NoReturn:
        raise TinyDecoupleError(f"{message}; see {self.prog} --help")


def number(kind: type, metadata: Any) -> Any:
    """A converter that keeps a number within the range its option states."""
    def convert(text: str) -> Any:
        value = kind(text)
        if not metadata.get("least", -math.inf) <= value <= metadata.get("most", math.inf):
            raise argparse.ArgumentTypeError(f"{text} is not within {metadata.get('least', '')} to "
                                             f"{metadata.get('most', 'any number')}")
        return value
    convert.__name__ = kind.__name__
    return convert


def add_options(parser: argparse.ArgumentParser, defaults: Any, prefix: str = "") -> None:
    """An option a field of a dataclass, its help and default beside it."""
    group = parser.add_argument_group(f"{prefix}{type(defaults).__name__.removesuffix('Options').lower()}")
    for f in dataclasses.fields(defaults):
        value = getattr(defaults, f.name)
        kind = {"action": argparse.BooleanOptionalAction} if isinstance(value, bool) else {
            "type": str if value is None else number(type(value), f.metadata) if not isinstance(value, str) else str,
            "choices": f.metadata.get("choices")}
        group.add_argument(f"--{prefix}{f.name}".replace("_", "-"), default=value, help=f.metadata["help"], **kind)


def options(kind: type[T], args: argparse.Namespace, prefix: str = "") -> T:
    return kind(**{f.name: getattr(args, f"{prefix}{f.name}".replace("-", "_")) for f in dataclasses.fields(kind)})


def parser(smoke: bool = False) -> argparse.ArgumentParser:
    top = Parser(prog="tinydecouple", description=tinydecouple.__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="command")

    def command(call: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(call.__name__.removesuffix("_command"), help=text, description=text,
                                  formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        sub.set_defaults(call=call)
        return sub

    def run_options(sub: argparse.ArgumentParser, run: str) -> None:
        sub.add_argument("--run", type=Path, default=Path(run), help="directory that the run leaves behind")
        sub.add_argument("--overwrite", action="store_true", help="replace a run that is there")

    demo = command(demo_command, "everything: corpus, pretraining, plain and decoupled fine-tuning, a table")
    demo.add_argument("--smoke", action="store_true", help="a run of seconds, through every stage, that learns nothing")
    run_options(demo, "runs/demo")
    add_options(demo, CorpusOptions())
    add_options(demo, ModelOptions())
    add_options(demo, PRETRAIN, "pretrain-")
    add_options(demo, FINETUNE)
    add_options(demo, DecoupleOptions())
    demo.set_defaults(**(SMOKE if smoke else {}))

    corpus = command(corpus_command, "show a corpus: counts, distance to the standard, examples; or write it as TSV")
    corpus.add_argument("--export", type=Path, help="file to write as long TSV")
    add_options(corpus, CorpusOptions())

    pre = command(pretrain_command, "train tokeniser and model so that the standard is dominant")
    run_options(pre, "runs/pretrained")
    add_options(pre, CorpusOptions())
    add_options(pre, ModelOptions())
    add_options(pre, PRETRAIN)

    fine = command(finetune_command, "fine-tune a pretrained run on standard and dialects, decoupled or plain")
    run_options(fine, "runs/finetuned")
    fine.add_argument("--from", dest="start", type=Path, default=Path("runs/pretrained"), help="pretrained run")
    add_options(fine, FINETUNE)
    add_options(fine, DecoupleOptions())

    say = command(translate_command, "translate standard input, a sentence a line, to standard output")
    say.add_argument("run", type=Path, help="directory of a pretrained or fine-tuned run")
    say.add_argument("--source", required=True, help="variety of the input")
    say.add_argument("--target", required=True, help="variety of the output")

    score = command(evaluate_command, "translate and score a run, or compare it with another")
    score.add_argument("run", type=Path, help="directory of a pretrained or fine-tuned run")
    score.add_argument("--against", type=Path, help="run to compare with, such as the plain one")
    score.add_argument("--split", choices=SPLITS[1:], default="dev", help="choose on dev; read test once")

    for sub in (demo, say, score):
        sub.add_argument("--beam", type=int, default=1, help="hypotheses a sentence; 1 is greedy")
    for sub in (demo, pre, fine, say, score):
        sub.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where the model runs")
    return top


def demo_command(args: argparse.Namespace) -> None:
    stages = {"corpus": options(CorpusOptions, args), "model": options(ModelOptions, args),
              "pretrain": options(TrainOptions, args, "pretrain-"), "train": options(TrainOptions, args),
              "decouple": options(DecoupleOptions, args)}
    if not stages["decouple"].refreshes:
        raise TinyDecoupleError("demo --refreshes 0: the demo compares with decoupling; use finetune for a plain run")
    device, run, started = pick_device(args.device), args.run, time.perf_counter()
    stages_said = {name: dataclasses.asdict(stage) for name, stage in stages.items()}
    sha = fingerprint(stages["corpus"])
    open_run(run, {"kind": "demo", "beam": args.beam, "corpus_sha256": sha, **stages_said}, args.overwrite)
    if not (run / "table.md").exists():
        say(f"{run}: pretraining, so that the standard is dominant")
        pretrain(run / "pretrained", stages["corpus"], stages["model"], stages["pretrain"], device)
        systems = {}
        for arm, decouple in (("plain", dataclasses.replace(stages["decouple"], strength=0.0)),
                              ("decoupled", stages["decouple"])):
            say(f"{arm} fine-tuning, lambda {decouple.strength:g} (at {time.perf_counter() - started:.0f} s)")
            finetune(run / arm, run / "pretrained", stages["train"], decouple, device)
        say(f"translating and scoring the test split (at {time.perf_counter() - started:.0f} s)")
        corpus = run_corpus(run / "plain")
        for arm in ("plain", "decoupled"):
            systems[arm] = score_run(run / arm, corpus, "test", args.beam, device)
        result = report.compare(systems, corpus, args.seed)
        write_json(run / "scores.json", result)
        figures.draw(run, result, {arm: run / arm for arm in systems})
        write(run / "table.md", f"{report.table(result, 'test')}\n```\n{report.side_by_side(*systems.values())}\n```\n")
        say(f"done in {time.perf_counter() - started:.0f} s{peak_memory()}")
    print((run / "table.md").read_text(encoding="utf-8"))
    drawn = sorted(str(path) for path in (run / "figures").glob("*.png"))
    print(f"run directory: {run}\nfigures: {', '.join(drawn) or 'none; pip install matplotlib and run with --overwrite'}")


def score_run(run: Path, corpus: ParallelCorpus, split: str, beam: int, device: Any) -> list:
    """Translate a split and leave translations.tsv and scores.json in the run."""
    model, tokenizer, _ = load_model(run, device)
    system = translate(model, tokenizer, corpus, split, beam, label=f"translating, {run.name}")
    report.write_translations(run, system)
    report.write_scores(run, system, corpus, {"split": split, "beam": beam})
    return system


def corpus_command(args: argparse.Namespace) -> None:
    corpus = load_corpus(options(CorpusOptions, args))
    if args.export:
        write(args.export, write_tsv(corpus))
        say(f"wrote {args.export}")
        return
    print("variety   train   dev  test  characters  chrF++ of the standard against it")
    for variety in corpus.varieties:
        counts = [len(corpus.keys(split, variety)) for split in SPLITS]
        keys = corpus.keys("dev", variety, corpus.standard)
        texts = corpus.column(variety, keys)
        distance = chrf(statistics(corpus.column(corpus.standard, keys), texts).sum(axis=0)) if keys else float("nan")
        print(f"{variety:8} {counts[0]:6} {counts[1]:5} {counts[2]:5} {sum(map(len, texts)) / max(1, len(keys)):11.1f}"
              f" {distance:7.1f}")
    for key in corpus.keys("dev")[:3]:
        print(f"\nkey {key}")
        for variety, text in corpus.texts[key].items():
            print(f"  {variety:8} {text}")


def pretrain_command(args: argparse.Namespace) -> None:
    pretrain(args.run, options(CorpusOptions, args), options(ModelOptions, args), options(TrainOptions, args),
             pick_device(args.device), args.overwrite)
    say(f"pretrained: {args.run}")


def finetune_command(args: argparse.Namespace) -> None:
    finetune(args.run, args.start, options(TrainOptions, args), options(DecoupleOptions, args),
             pick_device(args.device), args.overwrite)
    say(f"fine-tuned: {args.run}")


def translate_command(args: argparse.Namespace) -> None:
    model, tokenizer, _ = load_model(args.run, pick_device(args.device))
    lines = []
    for number, raw in enumerate(sys.stdin.buffer.read().removesuffix(b"\n").split(b"\n"), start=1):
        try:
            lines.append(raw.decode("utf-8").strip())
        except UnicodeDecodeError:
            raise TinyDecoupleError(f"standard input, line {number}: not UTF-8") from None
    spoken = [line for line in lines if line]
    outputs = iter(tokenizer.decode(decode(model, prompt(tokenizer, args.source, args.target, spoken), tokenizer.end,
                                           args.beam)))
    for line in lines:
        print(one_line(next(outputs)) if line else "")


def evaluate_command(args: argparse.Namespace) -> None:
    device, corpus = pick_device(args.device), run_corpus(args.run)
    if args.against and run_corpus(args.against) != corpus:
        raise TinyDecoupleError(f"{args.against}: trained on another corpus than {args.run}; scores do not compare")
    runs = [args.against, args.run] if args.against else [args.run]
    systems = {str(run): score_run(run, corpus, args.split, args.beam, device) for run in runs}
    text = report.table(report.compare(systems, corpus, 0), args.split)
    write(args.run / "table.md", text)
    print(text)


def say(text: str) -> None:
    """A line of progress, for people; the result goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def peak_memory() -> str:
    """Peak resident memory, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    return f", {peak:.1f} GB at the peak"


def main(argv: list[str] | None = None) -> None:
    """Run a command; a user's mistake is one line on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8")
    try:
        args = parser("--smoke" in (sys.argv[1:] if argv is None else argv)).parse_args(argv)
        args.call(args)
    except TinyDecoupleError as error:
        say(f"tinydecouple: {' '.join(str(error).split())}")
        sys.exit(2)
    except KeyboardInterrupt:
        say("tinydecouple: interrupted; the same command goes on from the last refresh")
        sys.exit(130)
