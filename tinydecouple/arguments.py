"""The arguments of each command: a function per command, which adds them to its parser."""

import argparse
from dataclasses import asdict
from pathlib import Path

from tinydecouple.options import PRETRAIN, DecoupleOptions, ModelOptions, TrainOptions
from tinydecouple.parsing import add_options, number, text
from tinydecouple.study.conditions import demo_arms, known_plans
from tinydecouple.text.options import MADE, SPLITS, CorpusOptions

FINETUNE = TrainOptions()  # chosen on dev, for plain fine-tuning
ON_DISK = {"vocabulary": 800, "pretrain_epochs": 12, "epochs": 8}  # chosen on dev, for plain, of MediaWiki's messages
ON_PATHS = "For text on disk, which is scarcer, the defaults are --vocabulary {vocabulary} "
# the study's under-trained setting (plans/small.json), of which a demo is one seed
SHORT = {"width": 96, "blocks": 2, "pretrain_epochs": 4, "pretrain_learning_rate": 6e-3, "pretrain_batch_tokens": 512,
         "epochs": 1, "learning_rate": 2e-3, "batch_tokens": 512, "layer": "last"}
SIX = {"varieties": "rab,cai,dam,bag,doh,san"}  # its cities, one of each region
SMOKE = {"run": Path("runs/smoke"), "arms": "plain,decoupled", "keys": 150, "per_variety": 30, "trickle": 5,
         "width": 32, "blocks": 3, "vocabulary": 800, "epochs": 2, "learning_rate": 1e-2, "pretrain_epochs": 3,
         "pretrain_learning_rate": 1e-2, "refreshes": 4}
RUN = "directory of a pretrained or fine-tuned run"


def chosen(args: argparse.Namespace) -> str:
    """Which defaults go with a choice of corpus: six cities, all dialects of what is made by rule, or text on disk."""
    corpus, *others = (getattr(args, name, None) for name in ("corpus", "regions", "tables"))
    if corpus not in (*MADE, None):
        return "disk"
    return "all" if corpus == "family" or any(others) else "six"


def demo(sub: argparse.ArgumentParser, smoke: bool, choice: str) -> None:
    """smoke: take the defaults of a smoke run.  choice: as of chosen."""
    arms = demo_arms(0)
    sub.add_argument("--arms", default=",".join(arm.name for arm in arms), help="what is compared, the first with each "
                     "other one, of: " + "; ".join(f"{arm.name}, {arm.why}" for arm in arms))
    sub.add_argument("--smoke", action="store_true", help="a run of seconds, through every stage, that "
                     "learns nothing useful; then what it went through is checked: a line per check, exit code 1 if "
                     "one fails")
    sub.add_argument("--json", type=Path, help="with --smoke: file for the checks")
    where(sub, "runs/demo")
    add_options(sub, CorpusOptions())
    add_options(sub, ModelOptions())
    add_options(sub, PRETRAIN, "pretrain-")
    add_options(sub, FINETUNE)
    add_options(sub, DecoupleOptions())
    beam(sub)
    device(sub)
    sub.set_defaults(**(SMOKE if smoke else {"six": SHORT | SIX, "all": SHORT, "disk": ON_DISK}[choice]))
    pretraining = {f"pretrain_{name}": value for name, value in asdict(PRETRAIN).items()}
    general = asdict(ModelOptions()) | asdict(FINETUNE) | pretraining | asdict(DecoupleOptions()) | ON_DISK
    sub.epilog = ("These defaults are the study's under-trained setting, on six of the phrasebook's cities unless "
                  "--varieties, --regions or --tables is given. For text on disk, which is scarcer, they are "
                  + " ".join(f"--{name.replace('_', '-')} {general[name]}" for name in SHORT | ON_DISK))


def corpus(sub: argparse.ArgumentParser) -> None:
    about = CorpusOptions.__dataclass_fields__["corpus"]  # here it is taken by place
    sub.add_argument("corpus", nargs="?", default=about.default, help=about.metadata["help"])
    what = sub.add_mutually_exclusive_group()
    what.add_argument("--show", metavar="KEY", type=text, help="print one meaning in every variety, by region")
    what.add_argument("--figure", type=Path, help="PNG file for a heat map of the distances; needs matplotlib")
    what.add_argument("--export", type=Path, help="file to write as long TSV")
    add_options(sub, CorpusOptions(), without="corpus")


def pretrain(sub: argparse.ArgumentParser, choice: str) -> None:
    where(sub, "runs/pretrained")
    add_options(sub, CorpusOptions())
    add_options(sub, ModelOptions())
    add_options(sub, PRETRAIN)
    device(sub)
    if choice == "disk":
        sub.set_defaults(vocabulary=ON_DISK["vocabulary"], epochs=ON_DISK["pretrain_epochs"])
    sub.epilog = (ON_PATHS + "--epochs {pretrain_epochs}").format(**ON_DISK)


def finetune(sub: argparse.ArgumentParser) -> None:
    where(sub, "runs/finetuned")
    sub.add_argument("--from", dest="start", type=Path, default=Path("runs/pretrained"), help="pretrained run")
    add_options(sub, FINETUNE)
    add_options(sub, DecoupleOptions())
    device(sub)
    sub.epilog = f"For a run on text on disk, pass what the demo takes there: --epochs {ON_DISK['epochs']}"


def translate(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("run", type=Path, help=RUN)
    sub.add_argument("--source", type=text, required=True, help="variety of the input")
    sub.add_argument("--target", type=text, required=True, help="variety of the output")
    beam(sub)
    device(sub)


def probe(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("run", type=Path, nargs="?", help=RUN)
    sub.add_argument("--states", type=Path, help="instead of a run: .npz with h (n, d) or (layers, n, d), y (n,), "
                     "names (C,) and, if known, keys (n,), the sentence of each state")
    sub.add_argument("--standard", type=text, help="with --states: name of the standard; the first name if absent")
    sub.add_argument("--split", choices=SPLITS, default="dev", help="whose sentences are read")
    sub.add_argument("--per-variety", type=number(int, {"least": 10, "most": 10_000_000}), default=300,
                     help="states of each variety")
    sub.add_argument("--refits", type=number(int, {"least": 2, "most": 10_000}), default=5,
                     help="refits for the null of the angle")
    sub.add_argument("--seed", type=number(int, {"least": 0}), default=1, help="seed of samples and probe noise")
    sub.add_argument("--out", type=Path, help="folder for table, numbers and pictures; of a run: RUN/probe-SPLIT")
    device(sub)


def evaluate(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("run", type=Path, help=RUN)
    sub.add_argument("--against", type=Path, help="run to compare with, such as one of strength 0")
    sub.add_argument("--split", choices=SPLITS[1:], default="dev", help="choose on dev; read test once")
    beam(sub)
    device(sub)


def watch(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("run", type=Path, help="directory of a fine-tuned run, or of a demo's, whose last arm is then "
                     "shown beside its first")
    sub.add_argument("--against", type=Path, help="run to show beside it, such as one of strength 0")
    sub.add_argument("--layer", type=number(int, {"least": 0, "most": 1024}), help="layer to show; the first that is "
                     "probed if absent")
    sub.add_argument("--out", type=Path, help="file to write; RUN/watch.html if absent")


def study(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--plan", type=text, help=f"JSON file, or one of: {', '.join(known_plans())}; default: full")
    sub.add_argument("--quick", action="store_true", help="the plan quick: three conditions, two seeds, minutes")
    sub.add_argument("--run", type=Path, default=Path("runs/study"), help="folder of the cells")
    sub.add_argument("--workers", type=number(int, {"least": 1, "most": 1024}), default=1,
                     help="cells made side by side, each in a process with one thread")
    sub.add_argument("--setting", type=text, help="only cells of this setting")
    sub.add_argument("--cell", type=text, nargs=2, metavar=("CONDITION", "SEED"), help="this one; for a scheduler")
    sub.add_argument("--rerun", action="store_true", help="make cells anew that are damaged or configured otherwise")
    sub.add_argument("--final", type=int, nargs="?", const=1, choices=(0, 1, 2), help="translate fresh meanings "
                     "that no cell has read, with every cell of the plan: the first 600, or the second; with --collect "
                     "which of them to take, 0: none, dev alone")
    sub.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where cells are made, in float32")
    sub.add_argument("--collect", type=Path, nargs="?", const=Path(), metavar="FOLDER", help="write what a report "
                     "needs of all cells into a few small files; default: a folder of the plan's name in --data")
    sub.add_argument("--studies", type=number(int, {"least": 0, "most": 1_000_000}), default=1000,
                     help="with --collect: studies redrawn from the cells, to see what the intervals cover; 1000 "
                     "take minutes, 0 none")
    sub.add_argument("--report", action="store_true", help="tables, figures and verdicts from what was collected")
    sub.add_argument("--data", type=Path, default=Path("data_samples/study"), help="folder of what was collected")
    sub.add_argument("--out", type=Path, default=Path("tutorials/RESULTS.md"), help="file for the report; figures go "
                     "beside it")


def bench(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--rounds", type=number(int, {"least": 1, "most": 1000}), default=5,
                     help="times that each is measured")
    sub.add_argument("--json", type=Path, help="file for the numbers")
    sub.add_argument("--figure", type=Path, help="PNG file for a picture of them; needs matplotlib")
    device(sub)


def rerun(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("run", type=Path, help="directory of a complete run: pretrained, fine-tuned or a demo's")
    sub.add_argument("--check", action="store_true", help="compare weights, bit for bit, and log; exit code 1 if "
                     "they differ")
    sub.add_argument("--into", type=Path, help="directory for the rerun; with --check a temporary one if absent")
    device(sub)


def assignment(parser: argparse.ArgumentParser) -> None:
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


def where(sub: argparse.ArgumentParser, run: str) -> None:
    sub.add_argument("--run", type=Path, default=Path(run), help="directory that the run leaves behind")
    sub.add_argument("--overwrite", action="store_true", help="replace a run that exists there")


def beam(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--beam", type=number(int, {"least": 1, "most": 1000}), default=1,
                     help="hypotheses per sentence; 1 is greedy")


def device(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto",
                     help="where the model runs; training on cuda multiplies matrices in bfloat16")
