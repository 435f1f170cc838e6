"""The command line: every command, and every mistake in one line with exit code 2."""

import contextlib
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys

import pytest

from tinydecouple.cli import main, parser
from tinydecouple.corpus_command import options
from tinydecouple.options import DecoupleOptions, ModelOptions, TrainOptions
from tinydecouple.study.plan import read_plan
from tinydecouple.text.readers import CorpusOptions, load_corpus
from tinydecouple.training.pipeline import run_corpus

WORDS = [f"{'abcd'[i // 10]}{'klmnopqrst'[i % 10]}" for i in range(40)]  # not numbers: these fold into one another
CORPUS = "key\tvariety\ttext\n" + "".join(
    f"k{i}\t{v}\t{v} says {WORDS[i]}\n" for i in range(40) for v in ("en", "std", "dia"))


@pytest.fixture
def tsv(tmp_path):
    path = tmp_path / "corpus.tsv"
    path.write_text(CORPUS, encoding="utf-8")
    return str(path)


def fails(capsys, *argv):
    """Run a command that must fail; returns its one line."""
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in argv])
    out, err = capsys.readouterr()
    assert stop.value.code == 2, f"exit code {stop.value.code}, expected 2; stderr: {err}"
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err, f"expected one line on stderr, got: {err!r}"
    return err


@pytest.mark.parametrize("change, says", [
    (lambda t: t.replace("variety", "lang", 1), "corpus.tsv:1: columns found"),
    (lambda t: t + "k1\tdia\tagain\n", "corpus.tsv:122: key 'k1' has a second row"),
    (lambda t: t.replace("dia says an\n", "\n", 1), "corpus.tsv:13: empty text"),
])
@pytest.mark.parametrize("command", ["corpus", "pretrain", "demo"])
def test_bad_corpus(tsv, tmp_path, capsys, command, change, says):
    (tmp_path / "corpus.tsv").write_text(change(CORPUS), encoding="utf-8")
    place = [tsv] if command == "corpus" else ["--corpus", tsv, "--run", tmp_path / "run"]
    assert says in fails(capsys, command, *place, "--standard", "std", "--pivot", "en")
    assert not (tmp_path / "run").exists(), "a run directory was begun on a bad corpus"


@pytest.mark.parametrize("change, says", [
    (lambda t: t.replace("\tdia\t", "\tstd2\t", 1), "std2"),
    (lambda t: "\n".join(t.split("\n")[:10]), "too few sentences to split"),
])
def test_a_corpus_to_look_at_but_not_to_train_on(tsv, tmp_path, capsys, change, says):
    """`corpus` shows what is there and marks what cannot be trained; training refuses before a run is begun."""
    (tmp_path / "corpus.tsv").write_text(change(CORPUS), encoding="utf-8")
    named = ("--standard", "std", "--pivot", "en")
    main(["corpus", tsv, *named])
    assert "std" in capsys.readouterr().out
    assert says in fails(capsys, "demo", "--corpus", tsv, "--run", tmp_path / "run", *named)
    assert not (tmp_path / "run").exists(), "a run directory was begun on a bad corpus"


def test_undecodable_corpus(tsv, tmp_path, capsys):
    (tmp_path / "corpus.tsv").write_bytes(CORPUS.encode("utf-8").replace(b"std says ak", b"caf\xe9"))
    assert "corpus.tsv:3: byte 11 is not UTF-8" in fails(capsys, "corpus", tsv, "--standard", "std")


@pytest.mark.parametrize("options, says", [
    (["none.tsv", "--standard", "std"], "none.tsv: nothing there; pass phrasebook"),
    (["TSV"], "pass --standard, one of: dia, en, std"),
    (["TSV", "--standard", "msa"], "--standard 'msa' is not in the file; varieties there: dia, en, std"),
    (["TSV", "--standard", "std", "--pivot", "fr"], "--pivot 'fr' is not in the file"),
    (["--standard", "std"], "go with a path; the phrasebook knows its own"),
    (["family", "--tables", "x"], "--tables goes with the phrasebook, not with family"),
    (["phrasebook", "--keys", "1000000"], "meanings; ask for fewer"),
    (["--show", "is-far/hotel", "--export", "x.tsv"], "argument --export: not allowed with argument --show"),
    (["--show", "order/tea"], "no such meaning; keys are like order/"),
    (["family", "--keys", "60", "--show", "m1"], "no such key; some are m00000"),
    (["--overlap", "1.5"], "argument --overlap: 1.5 is not within 0 to 1"),
    (["--per-variety", "0"], "argument --per-variety: 0 is not within 1 to"),
    (["--keys", "many"], "argument --keys: invalid int value: 'many'"),
    (["--nonsense"], "unrecognized arguments: --nonsense"),
])
def test_bad_options(tsv, capsys, options, says):
    assert says in fails(capsys, "corpus", *[tsv if o == "TSV" else o for o in options])


def test_a_place_one_may_not_write_to(tmp_path, capsys):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    small = ("--keys", "60", "--per-variety", "10")
    assert "file" in fails(capsys, "corpus", *small, "--export", tmp_path / "file" / "x.tsv")
    (tmp_path / "folder").mkdir()
    assert "is a folder; name a file" in fails(capsys, "corpus", *small, "--export", tmp_path / "folder")


def test_no_command(capsys):
    assert "see tinydecouple --help" in fails(capsys)


def test_another_configuration_or_version_is_refused(runs, tmp_path, capsys, monkeypatch):
    shutil.copytree(runs, tmp_path / "r")
    pre, plain = tmp_path / "r" / "pretrained", tmp_path / "r" / "plain"
    before = (plain / "checkpoint.pt").read_bytes()
    small = ("--epochs", "1", "--layer", "1", "--refreshes", "2")
    again = ("finetune", "--from", pre, "--run", plain, *small, "--strength")
    assert "decouple.strength: stored 0.0, asked for 0.5" in fails(capsys, *again, "0.5")
    assert "no readable config.json" in fails(capsys, "finetune", "--from", tmp_path, "--run", tmp_path / "x")
    assert "is a fine-tuned run" in fails(capsys, "finetune", "--from", plain, "--run", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    for place in (pre, tmp_path / "r"):
        assert "holds the run to start from" in fails(capsys, "finetune", "--from", pre, "--run", place, "--overwrite")
    monkeypatch.setattr("tinydecouple.__version__", "9.9")
    for command in (["evaluate", plain], ["translate", plain, "--source", "std", "--target", "a1"], [*again, "0"]):
        assert "but this is 9.9" in fails(capsys, *command)
    assert (plain / "checkpoint.pt").read_bytes() == before


def speak(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


def test_translate_a_line_for_a_line(runs, capsys, monkeypatch):
    speak(monkeypatch, "yutdo x\n\nبيت 😀\n".encode())
    main(["translate", str(runs / "plain"), "--source", "std", "--target", "a1"])
    out, err = capsys.readouterr()
    assert out.count("\n") == 3 and out.split("\n")[1] == "" and err == ""
    speak(monkeypatch, b"x\n\xff\xfe\n")
    assert "standard input, line 2: not UTF-8" in fails(
        capsys, "translate", runs / "plain", "--source", "std", "--target", "a1")


@pytest.mark.parametrize("source, target", [("std", "xx"), ("xx", "std")])
def test_a_variety_the_model_has_not_seen(runs, capsys, monkeypatch, source, target):
    speak(monkeypatch, b"x\n")
    says = fails(capsys, "translate", runs / "plain", "--source", source, "--target", target)
    assert "the model has not seen variety 'xx'; it knows: piv, std, a1, a2" in says


def test_a_changed_corpus_file_is_noticed(tsv, tmp_path, capsys):
    small = ["--epochs", "1", "--width", "16", "--blocks", "1", "--heads", "2", "--vocabulary", "300"]
    main(["pretrain", "--corpus", tsv, "--standard", "std", "--pivot", "en", "--run", str(tmp_path / "run"), *small])
    capsys.readouterr()
    (tmp_path / "corpus.tsv").write_text(CORPUS.replace("std says al\n", "std says one\n"), encoding="utf-8")
    assert "has changed since" in fails(capsys, "evaluate", tmp_path / "run")


def test_evaluate_one_run_and_two(runs, capsys):
    main(["evaluate", str(runs / "plain")])
    assert "| std -> dialect, mean of 3 |" in capsys.readouterr().out
    main(["evaluate", str(runs / "plain"), "--against", str(runs / "pretrained"), "--split", "test"])
    out = capsys.readouterr().out
    assert "95 % paired bootstrap" in out
    assert f"| copy | {runs / 'pretrained'} | {runs / 'plain'} | {runs / 'plain'} - {runs / 'pretrained'} |" in \
        " ".join(out.split()), "the run named --against comes first: the other's difference is to it"
    assert out == (runs / "plain" / "test" / "table.md").read_text(encoding="utf-8") + "\n"
    assert json.loads((runs / "plain" / "test" / "scores.json").read_text(encoding="utf-8"))["split"] == "test"


@pytest.mark.parametrize("made, standard, pivot, first, last", [
    ("phrasebook", "msa", "en", "cai", "tun"), ("family", "std", "piv", "a1", "f4")])
def test_corpus_shows_and_exports(tmp_path, capsys, made, standard, pivot, first, last):
    small = ["--keys", "60", "--per-variety", "10", "--varieties", f"{first},{last}"]
    main(["corpus", made, *small])
    out = capsys.readouterr().out
    assert f"\n{first} " in out and f"\n{last} " in out and "\nkey " in out and "chrF" in out
    main(["corpus", made, *small, "--export", str(tmp_path / "c.tsv")])
    main(["corpus", str(tmp_path / "c.tsv"), "--standard", standard, "--pivot", pivot, "--per-variety", "10",
          "--export", str(tmp_path / "d.tsv")])
    assert (tmp_path / "c.tsv").read_bytes() == (tmp_path / "d.tsv").read_bytes(), "the export reads back otherwise"


def test_a_heat_map_of_distances(tsv, tmp_path, capsys):
    asked = ["corpus", tsv, "--standard", "std", "--pivot", "en", "--figure", str(tmp_path / "new" / "map.png")]
    if importlib.util.find_spec("matplotlib"):
        main(asked)
        assert (tmp_path / "new" / "map.png").read_bytes().startswith(b"\x89PNG")
    else:
        with pytest.raises(SystemExit):
            main(asked)
        assert "pip install matplotlib" in capsys.readouterr().err


@pytest.mark.parametrize("make, says", [
    (lambda path: path.mkdir(), "no known format here (the folder is empty); expected tsv"),
    (lambda path: path.write_bytes(b"PK\x03\x04zip"), "an archive; unpack it first"),
    (lambda path: path.write_bytes(CORPUS.encode("utf-16")), ":1: byte 1 is not UTF-8"),
    (lambda path: path.write_bytes(CORPUS.encode("utf-8")[:200] + b"\0\n"), "a NUL byte in the text"),
])
@pytest.mark.parametrize("command", ["corpus", "demo"])
def test_what_is_no_corpus(tmp_path, capsys, make, says, command):
    make(tmp_path / "given")
    place = [tmp_path / "given"] if command == "corpus" else [
        "--corpus", tmp_path / "given", "--run", tmp_path / "run"]
    assert says in fails(capsys, command, *place, "--standard", "std")
    assert not (tmp_path / "run").exists()


def test_one_meaning_in_all_varieties_by_region(capsys):
    main(["corpus", "phrasebook", "--show", "is-far/hotel"])
    shown = capsys.readouterr().out
    assert "English" in shown and "Modern Standard Arabic" in shown and "الفندق" in shown
    lines = shown.splitlines()
    assert len([line for line in lines if line.startswith("  ")]) == 27, "a line a variety"
    assert any(line.startswith("  fes  Fes") for line in lines[lines.index("Maghreb"):lines.index("Nile")]), shown


def test_a_corpus_without_a_pivot(tsv, tmp_path, capsys):
    path = tmp_path / "corpus.tsv"
    path.write_text("".join(line for line in CORPUS.splitlines(True) if "\ten\t" not in line), encoding="utf-8")
    smoke = ["--width", "16", "--heads", "2", "--blocks", "1", "--vocabulary", "300", "--arms", "plain"]
    main(["demo", "--smoke", "--corpus", tsv, "--standard", "std", "--run", str(tmp_path / "run"), *smoke])
    out = capsys.readouterr().out
    assert "| std -> dialect" in out and "| en ->" not in out and "-> en" not in out


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A demo of three dialects, with options of its own for each stage: run directory, arguments, stdout, stderr."""
    run = tmp_path_factory.mktemp("demo") / "demo"
    argv = ["demo", "--smoke", "--run", str(run), "--arms", "plain,decoupled,random",
            "--varieties", "cai,tun,fes", "--keys", "60", "--per-variety", "20",
            "--width", "16", "--heads", "2", "--blocks", "2", "--beam", "2", "--noise", "0.2", "--strength", "0.3",
            "--epochs", "2", "--learning-rate", "0.005", "--pretrain-epochs", "1", "--pretrain-learning-rate", "0.02"]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        main(argv)
    return run, argv, out.getvalue(), err.getvalue()


def test_every_option_of_a_demo_reaches_its_stage(smoke):
    def read(name):
        return json.loads((smoke[0] / name).read_text(encoding="utf-8"))

    pre = read("pretrained/config.json")
    assert (pre["train"]["epochs"], pre["train"]["learning_rate"], pre["corpus"]["noise"]) == (1, 0.02, 0.2)
    starts = {}
    for name, strength, subspace in (("plain", 0, "probe"), ("decoupled", 0.3, "probe"),
                                     ("random", 0.3, "random-from-states")):
        config, scores = read(f"{name}/config.json"), read(f"{name}/test/scores.json")
        assert (config["train"]["epochs"], config["train"]["learning_rate"]) == (2, 0.005), name
        assert (config["decouple"]["strength"], config["decouple"]["subspace"]) == (strength, subspace), name
        assert (scores["split"], scores["beam"]) == ("test", 2)
        log = [json.loads(line) for line in (smoke[0] / name / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        assert {record["strength"] for record in log if "strength" in record} == {strength}, name
        starts[name] = next(record["loss"] for record in log if "loss" in record)
        for row in read("scores.json")["rows"]:
            assert row["scores"][name] == pytest.approx(scores["directions"][row["name"]]["chrf++"]), \
                f"the table's {name} is not what {name} scored"
        for row in read("scores.json")["leakage"]:
            assert row["scores"][name] == pytest.approx(scores["directions"][row["name"]]["leakage_percent"]), name
    assert len(set(starts.values())) == 1, f"arms start from other weights or another batch: {starts}"
    rows = (smoke[0] / "plain" / "test" / "translations.tsv").read_text(encoding="utf-8").splitlines()[1:]
    assert {row.split("\t")[2] for row in rows} == set(run_corpus(smoke[0] / "plain").keys("test"))


def test_smoke_goes_through_every_stage_and_shows_its_result_again(smoke, capsys):
    run, argv, first, said = smoke
    assert "done in" in said
    for name in ("config.json", "scores.json", "table.md", "pretrained/checkpoint.pt", "plain/test/translations.tsv",
                 "decoupled/test/scores.json", "random/log.jsonl", "plain/config.json"):
        assert (run / name).exists(), f"{name} is missing from the run directory"
    assert first.count("reference") == 5 and "msa -> dialect, mean of 3" in first and str(run) in first
    assert not list(run.rglob("*.part")), "a temporary file was left behind"
    main(argv)
    again, said = capsys.readouterr()
    shown, checks = (re.split("^(?=ok |FAILED )", text, maxsplit=1, flags=re.MULTILINE) for text in (first, again))
    assert shown[0] == checks[0] and "pretraining" not in said
    assert [re.sub(r"\([\d.]+ s\)", "", text) for text in (shown[1], checks[1])] == [
        re.sub(r"\([\d.]+ s\)", "", checks[1])] * 2, "the checks found something else the second time"


@pytest.mark.parametrize("option, says", [
    (["--layer", "9"], "--layer 9: the model has layers 0 (embedding) to 2"),
    (["--rank", "2"], "--rank 2: expected 1 to 1"),
    (["--strength", "inf"], "argument --strength: inf is not within 0"),
    (["--labels", "all-varieties", "--rank", "9", "--width", "8"], "--rank 9: states of width 8 allow 1 to 8"),
    (["--layer", "1,1"], "--layer '1,1': layer 1 is named twice"),
    (["--arms", "plain,weighted"], "--arms 'weighted' is unknown; expected some of plain, decoupled, random"),
    (["--subspace", "svd"], "choose from 'probe', 'standard-row'"),
    (["--heads", "5"], "--width 96 over --heads 5"),
    (["--vocabulary", "200"], "--vocabulary 200 is too small"),
    (["--refreshes", "0"], "use finetune for a run without a probe"),
])
def test_demo_refuses_before_it_trains(tmp_path, capsys, option, says):
    assert says in fails(capsys, "demo", "--keys", "60", "--per-variety", "10", "--run", tmp_path / "run", *option)
    assert not (tmp_path / "run").exists()


def test_help_shows_every_option_with_its_default():
    commands = parser()._subparsers._group_actions[0].choices
    assert set(commands) == {"demo", "corpus", "pretrain", "finetune", "translate", "probe", "evaluate", "study",
                             "watch", "rerun", "bench", "assignment"}
    for name, command in commands.items():
        for action in command._actions:
            if action.dest != "help":
                assert action.help, f"{name} {action.option_strings}: no help"
        shown = "".join(command.format_help().split())  # lines are wrapped at hyphens, too
        for action in command._actions:
            if action.option_strings and action.default not in (None, "==SUPPRESS==") and action.dest != "overwrite":
                assert f"(default:{action.default})" in shown, f"{name} {action.dest}: no default"


@pytest.mark.parametrize("command, options, expected", [
    ("demo", [], (4000, 1, 4)), ("demo", ["--corpus", "family"], (4000, 1, 4)),
    ("demo", ["--corpus", "x.tsv"], (800, 8, 12)), ("demo", ["--corpus", "x.tsv", "--epochs", "5"], (800, 5, 12)),
    ("demo", ["--corpus", "x.tsv", "--smoke"], (800, 2, 3)),
    ("pretrain", [], (4000, 3, None)), ("pretrain", ["--corpus", "x.tsv"], (800, 12, None))])
def test_text_on_disk_has_defaults_of_its_own(monkeypatch, command, options, expected):
    seen = []
    monkeypatch.setattr(f"tinydecouple.commands.{command}_command", lambda args: seen.append(args))
    monkeypatch.setattr(f"tinydecouple.commands.{command}_command.__name__", f"{command}_command", raising=False)
    main([command, *options])
    assert (seen[0].vocabulary, seen[0].epochs, getattr(seen[0], "pretrain_epochs", None)) == expected


def test_the_demo_is_a_seed_of_the_studys_under_trained_setting(monkeypatch):
    """By default: a cell of plans/small.json, but for the arms' names. Its first seed is in RESULTS; that is tested."""
    seen = []
    monkeypatch.setattr("tinydecouple.commands.demo_command", seen.append)
    main(["demo"])
    setting = next(s for s in read_plan("small").settings if s.name == "under-trained")
    args = seen[0]
    assert setting.corpus == options(CorpusOptions, args) and setting.model == options(ModelOptions, args)
    assert (setting.pretrain, setting.train) == (options(TrainOptions, args, "pretrain-"), options(TrainOptions, args))
    assert setting.decouple == options(DecoupleOptions, args)


@pytest.mark.parametrize("given, dialects", [([], 6), (["--regions", "nile,gulf"], 8), (["--varieties", "tun"], 1),
                                             (["--corpus", "family", "--keys", "60"], 25), (["--smoke"], 25)])
def test_six_cities_are_the_demos_only_where_nothing_else_is_chosen(monkeypatch, given, dialects):
    seen = []
    monkeypatch.setattr("tinydecouple.commands.demo_command", seen.append)
    main(["demo", *given])
    assert len(load_corpus(options(CorpusOptions, seen[0])).dialects) == dialects, given


def test_python_m_is_silent_where_there_is_no_terminal(runs):
    """One real process: exit code, UTF-8 both ways, no progress bar, no warning."""
    done = subprocess.run([sys.executable, "-m", "tinydecouple", "translate", str(runs / "plain"), "--source", "std",
                           "--target", "a1"], input=b"yutdo\n", capture_output=True)
    assert done.returncode == 0 and done.stderr == b"" and done.stdout.decode("utf-8").endswith("\n")


@pytest.mark.parametrize("module, heavy", [("cli", "numpy"), ("cli", "torch"), ("corpus_command", "torch"),
                                           ("coursework.desk", "torch")])
def test_what_needs_no_pytorch_does_not_import_it(module, heavy):
    """It takes a second: corpus and assignment do without, --help and a check of arguments without NumPy, too."""
    code = f"import sys, tinydecouple.{module}; from tinydecouple import cli; cli.parser().format_help(); " \
           f"print({heavy!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False", f"tinydecouple.{module} imports {heavy}, by way of another module?"
