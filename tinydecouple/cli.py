"""The command line: parse, call, print."""

import argparse
import contextlib
import errno
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, NoReturn

import tinydecouple
from tinydecouple import arguments
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.messages import flagged, say


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is one line, and an option is spelt out."""

    def __init__(self, **settings: Any):
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        raise TinyDecoupleError(f"{message}; see {self.prog} --help")


def parser(smoke: bool = False, choice: str = "six") -> argparse.ArgumentParser:
    """smoke: take the defaults of a smoke run.  choice: as of arguments.chosen."""
    top = Parser(prog="tinydecouple", description=tinydecouple.__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="command")

    def command(add: Callable[..., None], about: str, *how: Any) -> None:
        add(commands.add_parser(add.__name__, help=about, description=about,
                                formatter_class=argparse.ArgumentDefaultsHelpFormatter), *how)

    command(arguments.demo, "everything: corpus, pretraining, fine-tuning of each arm, a table", smoke, choice)
    command(arguments.corpus, "show a corpus: counts, distance to the standard, examples; or write it as TSV")
    command(arguments.pretrain, "train tokeniser and model so that the standard is dominant", choice)
    command(arguments.finetune, "fine-tune a pretrained run on standard and dialects, with the penalty "
            "or, at strength 0, without")
    command(arguments.translate, "translate standard input, one sentence per line, to standard output")
    command(arguments.probe, "layer by layer: code lengths, accuracies and angles, each with its null")
    command(arguments.evaluate, "translate and score a run, or compare it with another")
    command(arguments.watch, "one HTML page of a run's refreshes: states on the move, the probe, translations")
    command(arguments.study, "conditions x seeds: each cell once; stops and resumes anywhere")
    command(arguments.bench, "measure speed beside its peers, and how cost grows with size; a few minutes")
    command(arguments.rerun, "make a run again from its config.json alone, a demo's with every arm")
    command(arguments.assignment, "coursework: hand out, test, grade, bundle")
    return top


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
        if (choice := arguments.chosen(args)) != "six":
            args = parser(smoke, choice).parse_args(argv)
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
