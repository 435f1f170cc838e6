"""The command line: parse, call, print."""

import argparse
import contextlib
import errno
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import tinydecouple
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.messages import flagged, say
from tinydecouple.options import PRETRAIN, DecoupleOptions, ModelOptions, TrainOptions
from tinydecouple.parsing import add_options, number, text
from tinydecouple.study.conditions import DEMO, demo_arms
from tinydecouple.study.plan import known_plans
from tinydecouple.text.corpus import SPLITS
from tinydecouple.text.readers import MADE, CorpusOptions

FINETUNE = TrainOptions()  # chosen on dev, for plain fine-tuning
ON_DISK = {"vocabulary": 800, "pretrain_epochs": 12, "epochs": 8}  # chosen on dev, for plain, of MediaWiki's messages
CORPUS = CorpusOptions.__dataclass_fields__["corpus"].metadata  # the corpus command takes it by place
SMOKE = {"run": Path("runs/smoke"), "keys": 150, "per_variety": 30, "trickle": 5, "width": 32, "blocks": 3,
         "vocabulary": 800, "epochs": 2, "learning_rate": 1e-2, "pretrain_epochs": 3,
         "pretrain_learning_rate": 1e-2, "refreshes": 4}


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is one line, and an option is spelt out."""

    def __init__(self, **settings: Any):
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        raise TinyDecoupleError(f"{message}; see {self.prog} --help")


def parser(smoke: bool = False, on_disk: bool = False) -> argparse.ArgumentParser:
    """smoke, on_disk: take the defaults of a smoke run, or of text on disk."""
    top = Parser(prog="tinydecouple", description=tinydecouple.__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, about: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=about, description=about,
                                   formatter_class=argparse.ArgumentDefaultsHelpFormatter)

    def run_options(sub: argparse.ArgumentParser, run: str) -> None:
        sub.add_argument("--run", type=Path, default=Path(run), help="directory that the run leaves behind")
        sub.add_argument("--overwrite", action="store_true", help="replace a run that exists there")

    demo = command("demo", "everything: corpus, pretraining, fine-tuning of each arm, a table")
    demo.add_argument("--arms", default=DEMO, help="what is compared, the first with each other one, of: " + "; ".join(
        f"{arm.name}, {arm.why}" for arm in demo_arms(0)))
    demo.add_argument("--smoke", action="store_true", help="a run of seconds, through every stage, that "
                      "learns nothing useful; then what it went through is checked: a line per check, exit code 1 if "
                      "one fails")
    demo.add_argument("--json", type=Path, help="with --smoke: file for the checks")
    run_options(demo, "runs/demo")
    add_options(demo, CorpusOptions())
    add_options(demo, ModelOptions())
    add_options(demo, PRETRAIN, "pretrain-")
    add_options(demo, FINETUNE)
    add_options(demo, DecoupleOptions())
    demo.set_defaults(**(SMOKE if smoke else ON_DISK if on_disk else {}))

    corpus = command("corpus", "show a corpus: counts, distance to the standard, examples; or write it as TSV")
    corpus.add_argument("corpus", nargs="?", default=CorpusOptions().corpus, help=CORPUS["help"])
    what = corpus.add_mutually_exclusive_group()
    what.add_argument("--show", metavar="KEY", type=text, help="print one meaning in every variety, by region")
    what.add_argument("--figure", type=Path, help="PNG file for a heat map of the distances; needs matplotlib")
    what.add_argument("--export", type=Path, help="file to write as long TSV")
    add_options(corpus, CorpusOptions(), without="corpus")

    pre = command("pretrain", "train tokeniser and model so that the standard is dominant")
    run_options(pre, "runs/pretrained")
    add_options(pre, CorpusOptions())
    add_options(pre, ModelOptions())
    add_options(pre, PRETRAIN)
    if on_disk:
        pre.set_defaults(vocabulary=ON_DISK["vocabulary"], epochs=ON_DISK["pretrain_epochs"])
    on_paths = "For text on disk, which is scarcer, the defaults are --vocabulary {vocabulary} "
    demo.epilog = (on_paths + "--pretrain-epochs {pretrain_epochs} --epochs {epochs}").format(**ON_DISK)
    pre.epilog = (on_paths + "--epochs {pretrain_epochs}").format(**ON_DISK)

    fine = command("finetune", "fine-tune a pretrained run on standard and dialects, with the penalty "
                   "or, at strength 0, without")
    run_options(fine, "runs/finetuned")
    fine.epilog = f"For a run on text on disk, pass what the demo takes there: --epochs {ON_DISK['epochs']}"
    fine.add_argument("--from", dest="start", type=Path, default=Path("runs/pretrained"), help="pretrained run")
    add_options(fine, FINETUNE)
    add_options(fine, DecoupleOptions())

    say = command("translate", "translate standard input, one sentence per line, to standard output")
    say.add_argument("run", type=Path, help="directory of a pretrained or fine-tuned run")
    say.add_argument("--source", type=text, required=True, help="variety of the input")
    say.add_argument("--target", type=text, required=True, help="variety of the output")

    probe = command("probe", "layer by layer: code lengths, accuracies and angles, each with its null")
    probe.add_argument("run", type=Path, nargs="?", help="directory of a pretrained or fine-tuned run")
    probe.add_argument("--states", type=Path, help="instead of a run: .npz with h (n, d) or (layers, n, d), y (n,), "
                       "names (C,) and, if known, keys (n,), the sentence of each state")
    probe.add_argument("--standard", type=text, help="with --states: name of the standard; the first name if absent")
    probe.add_argument("--split", choices=SPLITS, default="dev", help="whose sentences are read")
    probe.add_argument("--per-variety", type=number(int, {"least": 10, "most": 10_000_000}), default=300,
                       help="states of each variety")
    probe.add_argument("--refits", type=number(int, {"least": 2, "most": 10_000}), default=5,
                       help="refits for the null of the angle")
    probe.add_argument("--seed", type=number(int, {"least": 0}), default=1, help="seed of samples and probe noise")
    probe.add_argument("--out", type=Path, help="folder for table, numbers and pictures; of a run: RUN/probe-SPLIT")

    score = command("evaluate", "translate and score a run, or compare it with another")
    score.add_argument("run", type=Path, help="directory of a pretrained or fine-tuned run")
    score.add_argument("--against", type=Path, help="run to compare with, such as one of strength 0")
    score.add_argument("--split", choices=SPLITS[1:], default="dev", help="choose on dev; read test once")

    watch = command("watch", "one HTML page of a run's refreshes: states on the move, the probe, translations")
    watch.add_argument("run", type=Path, help="directory of a fine-tuned run, or of a demo's, whose last arm is then "
                       "shown beside its first")
    watch.add_argument("--against", type=Path, help="run to show beside it, such as one of strength 0")
    watch.add_argument("--layer", type=number(int, {"least": 0, "most": 1024}), help="layer to show; the first that is "
                       "probed if absent")
    watch.add_argument("--out", type=Path, help="file to write; RUN/watch.html if absent")

    study = command("study", "conditions x seeds: each cell once; stops and resumes anywhere")
    study.add_argument("--plan", type=text, help=f"JSON file, or one of: {', '.join(known_plans())}; default: primary")
    study.add_argument("--quick", action="store_true", help="the plan quick: three conditions, two seeds, minutes")
    study.add_argument("--run", type=Path, default=Path("runs/study"), help="folder of the cells")
    study.add_argument("--workers", type=number(int, {"least": 1, "most": 1024}), default=1,
                       help="cells made side by side, each in a process with one thread")
    study.add_argument("--setting", type=text, help="only cells of this setting")
    study.add_argument("--cell", type=text, nargs=2, metavar=("CONDITION", "SEED"), help="this one; for a scheduler")
    study.add_argument("--rerun", action="store_true", help="make cells anew that are damaged or configured otherwise")
    study.add_argument("--final", type=int, nargs="?", const=1, choices=(1, 2), help="translate fresh meanings that "
                       "no cell has read, with every cell of the plan: the first 600, or the second")
    study.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where cells are made, in float32")
    study.add_argument("--collect", type=Path, nargs="?", const=Path(), metavar="FOLDER", help="write what a report "
                       "needs of all cells into a few small files; default: a folder of the plan's name in --data")
    study.add_argument("--studies", type=number(int, {"least": 0, "most": 1_000_000}), default=1000,
                       help="with --collect: studies redrawn from the cells, to see what the intervals cover; 1000 "
                       "take minutes, 0 none")
    study.add_argument("--report", action="store_true", help="tables, figures and verdicts from what was collected")
    study.add_argument("--data", type=Path, default=Path("data_samples/study"), help="folder of what was collected")
    study.add_argument("--out", type=Path, default=Path("tutorials/RESULTS.md"), help="file for the report; figures go "
                       "beside it")

    bench = command("bench", "measure speed beside its peers, and how cost grows with size; a few minutes")
    bench.add_argument("--rounds", type=number(int, {"least": 1, "most": 1000}), default=5,
                       help="times that each is measured")
    bench.add_argument("--json", type=Path, help="file for the numbers")
    bench.add_argument("--figure", type=Path, help="PNG file for a picture of them; needs matplotlib")

    again = command("rerun", "make a run again from its config.json alone, a demo's with every arm")
    again.add_argument("run", type=Path, help="directory of a complete run: pretrained, fine-tuned or a demo's")
    again.add_argument("--check", action="store_true", help="compare weights, bit for bit, and log; exit code 1 if "
                       "they differ")
    again.add_argument("--into", type=Path, help="directory for the rerun; with --check a temporary one if absent")

    assignment_options(command("assignment", "coursework: hand out, test, grade, bundle"))

    for sub in (demo, say, score):
        sub.add_argument("--beam", type=number(int, {"least": 1, "most": 1000}), default=1,
                         help="hypotheses per sentence; 1 is greedy")
    for sub in (demo, pre, fine, say, probe, score, again, bench):
        sub.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto",
                         help="where the model runs; training on cuda multiplies matrices in bfloat16")
    return top


def assignment_options(parser: argparse.ArgumentParser) -> None:
    """The actions of `assignment`; each is a function of coursework/desk.py."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="action", help="what to do")

    def action(called: str, text: str, /, **places: str) -> argparse.ArgumentParser:
        sub = actions.add_parser(called.replace("_", "-"), help=text, description=text)
        sub.set_defaults(action=called)
        for place, told in places.items():
            sub.add_argument(place, type=str if place == "name" else Path, help=told)
        return sub

    name, one = "A1, A2, A3 or A4", "folder or zip file with a student's A1.py, A2.py, A3.py or A4.py"
    action("new", "write a student's folder: stubs, public tests, handout", name=name, folder="where")
    test = action("test", "run the public tests", folder=one)
    test.add_argument("tasks", nargs="*", help="such as 1.2; all tasks if none is named")
    grade = action("grade", "grade a submission; exit code 0: full marks, 1: below, 2: could not grade", folder=one)
    grade.add_argument("--json", dest="result", type=Path, help="file for the marks")
    whole = action("grade_all", "grade a class, one row per student and task", folder="an entry for each student")
    whole.add_argument("--csv", dest="table", type=Path, required=True, help="file for the marks")
    whole.add_argument("--jobs", type=number(int, {"least": 0}), default=0, help="at a time; 0: one per processor")
    bundle = action("bundle", "write what is handed out, or an autograder, as a zip", name=name, out="zip file")
    for sub in (grade, bundle):
        sub.add_argument("--format", dest="form", choices=("plain", "gradescope"), default="plain", help="for whom")
    for sub in (grade, whole, bundle):
        sub.add_argument("--seed", type=number(int, {"least": 0}), default=1, help="seed of the inputs that are drawn")


def main(argv: list[str] | None = None) -> None:
    """Run a command; a user's mistake is one line on stderr and exit code 2, Ctrl-C one line and 130."""
    if sys.stderr is None:  # closed by the caller; print would take standard output in its place
        sys.stderr = open(os.devnull, "w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # a file name that is not UTF-8
    try:
        if sys.stdout is None:
            raise TinyDecoupleError("standard output is closed; send it to a file, or to /dev/null")
        argv = sys.argv[1:] if argv is None else argv
        for given in argv:
            if "\0" in given or any("\ud800" <= c < "\udc80" or "\udcff" < c <= "\udfff" for c in given):
                raise TinyDecoupleError(f"{given[:40]!a}: no operating system takes such an argument")
        smoke = "--smoke" in argv
        args = parser(smoke).parse_args(argv)
        if getattr(args, "corpus", MADE[0]) not in MADE:
            args = parser(smoke, on_disk=True).parse_args(argv)
        # imported only now, since --help can do without PyTorch, and these two, too
        apart = {"corpus": "corpus_command", "assignment": "coursework.desk"}
        module = import_module(f"tinydecouple.{apart.get(args.command, 'commands')}")
        getattr(module, f"{args.command}_command")(args)
        sys.stdout.flush()
    except TinyDecoupleError as error:
        fail(flagged(str(error)))
    except BrokenPipeError:  # whoever reads, such as head, has seen enough
        discard(sys.stdout)
        discard(sys.stderr)
    except OSError as error:  # a disk that is full, a place one may not write to
        discard(sys.stdout)  # what could not be written is not tried again
        full = error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)  # of a file, files.write names it
        fail(f"{error.filename or ('standard output' if full else 'file system')}: {error.strerror or error}")
    except KeyboardInterrupt:
        fail("interrupted; training goes on from its last checkpoint, by the same command without --overwrite", 130)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        fail("out of memory; choose a smaller model, batch or corpus")


def fail(message: str, code: int = 2) -> NoReturn:
    """One line on standard error, if anybody reads it, and an exit code."""
    try:
        say(f"tinydecouple: {' '.join(message.split())}")
    except OSError:
        discard(sys.stderr)
    sys.exit(code)


def discard(stream: Any) -> None:
    """Send what a stream still holds to nowhere, so that Python does not try again as it ends."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
