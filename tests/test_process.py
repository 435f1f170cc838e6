"""Real processes where streams are closed, under other locales, and interrupted; and options out of bounds."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tinydecouple.cli import main, parser
from tinydecouple.errors import TinyDecoupleError

SHOW = ["corpus", "family", "--keys", "60", "--varieties", "a1", "--show", "m00001"]
SMALL = ["--corpus", "family", "--keys", "60", "--per-variety", "10", "--trickle", "2", "--varieties", "a1,a2",
         "--width", "16", "--blocks", "1", "--heads", "2", "--vocabulary", "600", "--epochs", "1"]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
pytestmark = pytest.mark.skipif(os.name != "posix", reason="streams, signals and locales as POSIX has them")


def python(*argv, before="", after="", **settings):
    """Run tinydecouple from a shell, which can close streams; before: piped into it; after: redirections."""
    command = f'{before} "$0" -m tinydecouple "$@" {after}'
    return subprocess.run(["bash", "-c", command, sys.executable, *map(os.fspath, argv)], capture_output=True,
                          timeout=300, **settings)


def one_line(err):
    return err.startswith(b"tinydecouple: ") and err.count(b"\n") == 1 and b"Traceback" not in err


@pytest.mark.parametrize("argv, after, code, says", [
    (SHOW, ">&-", 2, b"standard output is closed"),
    (["translate", "RUN", "--source", "std", "--target", "a1"], "<&-", 2, b"standard input is closed"),
    (SHOW, "> /dev/full", 2, b"No space left"),
    (["corpus", "no such file"], "2>&-", 2, b""),
    (SHOW, "2>&-", 0, b""),
])
def test_a_stream_that_is_closed_or_full(runs, argv, after, code, says):
    done = python(*[runs / "plain" if a == "RUN" else a for a in argv], after=after)
    assert done.returncode == code and says in done.stderr, done
    assert not says or one_line(done.stderr), f"expected one line, got {done.stderr.decode()}"
    assert says or b"tinydecouple" not in done.stdout, "what belongs on standard error came on standard output"


def test_a_reader_that_has_seen_enough(runs):
    """As `| head -1` does: no complaint, and nothing on standard error as Python ends."""
    done = python(*SHOW, after="| head -c 1")
    assert done.stdout and done.stderr == b"", done


def test_a_file_opened_later_does_not_become_standard_error(tmp_path):
    """With standard error closed, the first file opened would get its number, and hold what a library prints there."""
    done = python("corpus", "family", "--keys", "60", "--varieties", "a1", "--export", tmp_path / "x.tsv", after="2>&-")
    assert done.returncode == 0 and (tmp_path / "x.tsv").read_bytes().startswith(b"key\tvariety")


@pytest.mark.parametrize("name, locale", [("تجربة".encode(), ASCII), (b"caf\xe9", {})])
def test_a_folder_whose_name_the_locale_cannot_spell(runs, tmp_path, name, locale):
    run = os.path.join(os.fsencode(tmp_path), name)
    shutil.copytree(os.fsencode(runs / "plain"), run)
    done = python("translate", run, "--source", "std", "--target", "a1", before="echo yutdo |",
                  env={**os.environ, **locale})
    assert done.returncode == 0 and done.stderr == b"" and done.stdout.endswith(b"\n"), done


def test_a_run_and_a_corpus_whose_names_are_not_utf8(tmp_path, capsys):
    """Trained, written down in config.json, and found again."""
    folder = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"caf\xe9"))
    os.mkdir(folder)
    rows = "".join(f"k{i}\t{v}\t{v} {chr(97 + i % 20)}{chr(97 + i // 20)}\n" for i in range(40) for v in ("s", "d"))
    with open(f"{folder}/c.tsv", "w", encoding="utf-8") as file:
        file.write("key\tvariety\ttext\n" + rows)
    main(["pretrain", "--corpus", f"{folder}/c.tsv", "--standard", "s", "--run", f"{folder}/run", *SMALL[10:],
          "--vocabulary", "300"])
    main(["evaluate", f"{folder}/run"])
    assert "s -> dialect" in capsys.readouterr().out


def test_an_arabic_variety_under_an_ascii_locale(tmp_path):
    rows = "".join(f"k{i}\t{v}\tt {chr(97 + i)}\n" for i in range(20) for v in ("فصحى", "عامية"))
    (tmp_path / "c.tsv").write_text("key\tvariety\ttext\n" + rows, encoding="utf-8")
    done = python("corpus", tmp_path / "c.tsv", "--standard", "فصحى", env={**os.environ, **ASCII})
    assert done.returncode == 0 and "عامية" in done.stdout.decode("utf-8"), done.stderr.decode()
    done = python("corpus", tmp_path / "c.tsv", "--standard", b"caf\xe9")
    assert done.returncode == 2 and one_line(done.stderr) and b"is not UTF-8" in done.stderr


@pytest.mark.parametrize("moment", ["imports", "training"])
def test_ctrl_c(tmp_path, moment):
    """While torch is imported and while a model is trained: one line, exit code 130."""
    argv = ["pretrain", "--run", str(tmp_path / "run"), *SMALL, "--epochs", "100000"]
    process = subprocess.Popen([sys.executable, "-X", "importtime", "-m", "tinydecouple", *argv],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said = b""
    while moment == "imports" and b"numpy" not in said:  # which comes before torch
        said = process.stderr.readline()
        assert said, "ended before it was interrupted"
    while moment == "training" and not (tmp_path / "run" / "checkpoint.pt").exists():
        said = os.read(process.stderr.fileno(), 1 << 16)
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=120)[1]
    err = b"".join(line for line in err.splitlines(True) if not line.startswith(b"import time:"))
    assert process.returncode == 130, f"exit code {process.returncode}; {err.decode()}"
    lines = [line for line in err.decode().splitlines() if line]
    assert len(lines) == 1 and lines[0].startswith("tinydecouple: interrupted"), err.decode()


TOO_MUCH = ["9" * 400, "9" * 5000, "1" + "0" * 25, "4294967296", "1e300", "nan", "inf", "-inf", "-1", "", "0x10", "१२e"]


def numbers(command):
    return [action for action in command._actions if hasattr(action.type, "__closure__") and action.type.__closure__]


@pytest.mark.parametrize("name", ["demo", "corpus", "pretrain", "finetune", "translate", "probe", "evaluate"])
def test_every_number_has_bounds(name):
    """Of every option of every command that takes a number: too large, not finite, negative, or no number at all."""
    top = parser()
    command = top._subparsers._group_actions[0].choices[name]
    needed = {"translate": ["RUN", "--source", "a", "--target", "b"], "evaluate": ["RUN"]}.get(name, [])
    options = numbers(command)
    assert options or name == "finetune", f"{name}: no option that takes a number was found; mend this test"
    for option in options:
        for value in TOO_MUCH:
            with pytest.raises(TinyDecoupleError) as error:
                top.parse_args([name, *needed, f"{option.option_strings[0]}={value}"])
            said = str(error.value)
            assert f"argument {option.option_strings[0]}: " in said and len(said) < 300 and "\n" not in said, said


def test_a_model_too_large_is_refused_before_memory_is_taken(tmp_path, capsys):
    for size in (["--width", "16384"], ["--vocabulary", "1000000", "--width", "512"], ["--blocks", "1024"]):
        width = [] if "--width" in size else ["--width", "512"]
        with pytest.raises(SystemExit) as stop:
            main(["demo", "--corpus", "family", "--keys", "60", "--run", str(tmp_path / "run"), *size, *width])
        assert stop.value.code == 2 and "parameters; expected at most" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("argv", [["corpus", "a\0b"], ["pretrain", "--run", "a\0b"], ["corpus", "--show", "\ud800"],
                                  ["corpus", "--export", "\0"]])
def test_an_argument_that_no_shell_passes(capsys, argv):
    """main is called from Python, too: a NUL, or half a character, is a mistake like others."""
    with pytest.raises(SystemExit) as stop:
        main(argv)
    err = capsys.readouterr().err
    assert stop.value.code == 2 and one_line(err.encode()), err


def test_links_to_themselves(tmp_path, capsys):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for argv in (["corpus", loop], ["pretrain", "--run", loop, *SMALL], ["corpus", "family", "--export", loop],
                 ["evaluate", loop], ["corpus", "phrasebook", "--tables", loop]):
        with pytest.raises(SystemExit) as stop:
            main([str(a) for a in argv])
        err = capsys.readouterr().err
        assert stop.value.code == 2 and one_line(err.encode()), err
