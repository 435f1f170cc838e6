"""The tutorials run, from anywhere, in any order; every number lies within the tolerance printed beside it."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tinydecouple.cli import parser

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "tutorials").glob("[01][0-9]_*.py"))
THEORY = (ROOT / "tutorials" / "THEORY.md").read_text(encoding="utf-8")
ONE = r"(?:-?\d[\d.]*(?:e[-+]?\d+)?|nan)"
NUMBER = re.compile(rf"^  (?P<name>.*): (?P<values>{ONE}(?:, {ONE})*)(?: (?P<unit>[^(\n]+?))?   "
                    rf"\((?:each )?expected (?P<expected>{ONE}) ± (?P<within>{ONE})\)(?P<off>.*)$", re.MULTILINE)
WITHOUT_MATPLOTLIB = "import sys; sys.modules['matplotlib'] = None; sys.argv = sys.argv[1:]; import runpy; " \
                     "sys.path.insert(0, sys.argv[0].rsplit('/', 1)[0]); runpy.run_path(sys.argv[0])"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of tutorials/, so that its runs lie in a folder of their own."""
    there = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "tutorials", there / "tutorials", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "data_samples", there / "data_samples")
    return there


def run(script, folder, smoke=True, code=None):
    """Run a tutorial of the copy from another folder than its own; returns the finished process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TINYDECOUPLE_SMOKE": "1" if smoke else "0",
                   "PYTHONIOENCODING": "utf-8"}
    inline = ["-c", code] if code else []
    return subprocess.run([sys.executable, *inline, (folder / "tutorials" / script).as_posix()],
                          cwd=folder, capture_output=True, text=True, encoding="utf-8", env=environment)


def test_there_are_eleven_in_order():
    assert [int(script.name[:2]) for script in SCRIPTS] == list(range(1, 12))


@pytest.mark.parametrize("script", [s.name for s in reversed(SCRIPTS)])  # the last first, so that it finds no runs
def test_it_runs_in_smoke_mode_and_out_of_order(folder, script):
    done = run(script, folder)
    assert done.returncode == 0, f"{script}: exit code {done.returncode}\n{done.stdout[-500:]}\n{done.stderr[-1500:]}"
    assert done.stdout.rstrip().endswith(f"tutorial {int(script[:2])}: all assertions hold"), done.stdout[-300:]
    assert "smoke, nothing to expect" in done.stdout and "expected" not in done.stdout
    assert not (folder / "runs" / "tutorials").exists(), "smoke mode wrote to the runs of the real experiment"


def test_a_tutorial_takes_smoke_and_refuses_what_it_does_not_know(folder):
    """A word that is swallowed starts the full run, which takes minutes; here the full run is what is asked for."""
    code = "import sys; sys.argv = ['01_a.py', *sys.argv[2:]]; sys.path.insert(0, 'tutorials'); " \
           "import workbench as wb; print(wb.SMOKE, wb.RUNS.name)"

    def start(*words):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TINYDECOUPLE_SMOKE": "0"}
        return subprocess.run([sys.executable, "-c", code, "-", *words], cwd=folder, capture_output=True, text=True,
                              encoding="utf-8", env=environment)

    assert start("--smoke").stdout == "True tutorials-smoke\n", start("--smoke").stderr[-500:]
    for words in (("--somke",), ("--smoke", "--fast"), ("smoke",)):
        done, unknown = start(*words), words[-1]
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr, done
        assert repr(unknown) in done.stderr and "--smoke" in done.stderr, f"got {done.stderr!r} for {words}"
    assert start().stdout == "False tutorials\n"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.name)
def test_its_form(script):
    """Header, cells, exercises with answers, theory that exists: what a reader finds in each."""
    text = script.read_text(encoding="utf-8")
    cells = re.split(r"^# %%", text, flags=re.MULTILINE)
    assert cells[0] == "" and cells[1].startswith(" [markdown]\n# # " + str(int(script.name[:2])))
    for word in ("**Goal**", "**Before**", "**Time**", "**Difficulty**"):
        assert word in cells[1], f"{script.name}: the header lacks {word}"
    for heading in ("## What you have learned, as assertions", "## Exercises", "## Where to read next"):
        assert f"# {heading}" in text, f"{script.name} lacks {heading!r}"
    exercises = text.split("# ## Exercises")[1].split("# ##")[0]
    assert re.findall(r"^# (\d)\. ", exercises, re.MULTILINE) == ["1", "2", "3"]
    tree = ast.parse(text)
    number = int(script.name[:2])
    hints = (ROOT / "tutorials" / "hints" / f"{number:02}.md").read_text(encoding="utf-8")
    told = [part.split("\n", 1) for part in re.split(r"^## ", hints, flags=re.MULTILINE)[1:]]
    assert [head for head, _ in told] == [f"{number}.{i}" for i in (1, 2, 3)] and all(len(t) > 60 for _, t in told)
    assert f"`python tutorials/hint.py {number}.1`" in text, f"{script.name} does not say where its answers are"
    assert "def hint" not in text, f"{script.name} holds its answers itself; they belong in hints/{number:02}.md"
    assert sum(isinstance(node, ast.Assert) for node in ast.walk(tree)) >= 3
    named = set(re.findall(r"tinydecouple/[\w/]+\.py", text.split("## Where to read next")[1]))
    assert named and all((ROOT / path).exists() for path in named), f"{script.name} sends its reader to {named}"
    assert "__file__" not in text and "__name__" not in text, "a notebook knows neither"


@pytest.mark.slow
def test_missing_runs_are_trained_side_by_side_as_they_would_be_one_by_one(folder):
    """Processes of their own, the same weights; what stops one is told in one line."""
    code = "import sys; sys.path.insert(0, sys.argv[1].rsplit('/', 1)[0]); import workbench as wb\n" \
           "wb.os.cpu_count = lambda: 2\nwb.SMOKE = False\n{}\n"
    runs = folder / "runs" / "tutorials-smoke"
    for name in ("plain-8", "weighted-8"):
        shutil.rmtree(runs / name, ignore_errors=True)
    done = run("workbench.py", folder, code=code.format("wb.together(['plain', 'weighted'], [8])"))
    assert done.returncode == 0 and "training plain-8, weighted-8 ..." in done.stdout, done.stderr[-500:]
    weights = [torch.load(runs / "plain-8" / "checkpoint.pt", weights_only=True)["model"]]
    shutil.rmtree(runs / "plain-8")
    assert run("workbench.py", folder, code=code.format("wb.finetuned('plain', 8)")).returncode == 0
    weights.append(torch.load(runs / "plain-8" / "checkpoint.pt", weights_only=True)["model"])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0]), "side by side differs"
    done = run("workbench.py", folder, code=code.format("wb.together(['plain', 'none'], [9])"))
    assert done.returncode == 2 and done.stderr == "tutorial: KeyError: 'none'\n", done.stderr


def test_no_term_before_its_definition():
    """A learner meets probe and penalty in 2, where they are explained, and a basis not before 5."""
    words = {1: ("probe", "penalty", "hidden state"), 2: ("basis",), 3: ("basis", "hU", "penalty "), 4: ("basis", "hU")}
    for script in SCRIPTS[:4]:
        text = script.read_text(encoding="utf-8").split("## Exercises")[0]
        early = [word for word in words[int(script.name[:2])] if word in text and word != "penalty "]
        assert not early, f"{script.name} says {early} before it is explained"


def test_symbols_have_one_meaning():
    """The letters that used to have two: each pattern is the one that went."""
    gone = {r"\\varepsilon": "the norm's small number is eps, for epsilon is the probe's noise",
            r"\\\|cU": "c is a class; a centred state is \\dot h", r"x_\{t \+ 1\}|x_\{t\+1\}": "x is a state with a 1",
            r"p\(Y \\mid H": "H is an entropy; all states are X", r"\\Lambda": "singular values are sv_i",
            r"p\(Y ?\| ?H": "the same, in a label or comment", r"\\mathcal L": "a code length is L",
            r"\\\|uU\\\|": "u is the probe's direction; the direction of a state is s",
            r"\$v_[1k]|W\^\{?\+|\\Sigma_\{hz\}|(?<!m)u_\{cj\}|\bm_[01]\b":
                "THEORY has u_1, Sigma^(1/2), Sigma_hY, b_cj, h-bar_0"}
    for path in (ROOT / "tutorials" / "THEORY.md", *SCRIPTS):
        for pattern, why in gone.items():
            found = re.search(pattern, path.read_text(encoding="utf-8"))
            assert not found, f"{path.name} says {found[0]}: {why}"


def test_every_tutorial_has_a_function_to_write():
    """It names a task that exists; 5 to 9 and 10 those of the assignments."""
    known = set(re.findall(r"^## (\d+\.\d) ", "\n".join(
        f"{path.read_text(encoding='utf-8')}" for path in (ROOT / "tutorials" / "assignments").glob("[AT]*.md")), re.M))
    for script in (*SCRIPTS[:4], *SCRIPTS[9:]):
        named = re.findall(r"check\.py [AT](\d+\.\d)", script.read_text(encoding="utf-8"))
        assert named and set(named) <= known, f"{script.name} names {named}"


def test_arabic_is_drawn_only_where_it_is_shaped(monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(ROOT / "tutorials"))
    import workbench as wb

    wb.shapes_arabic.cache_clear()
    version = tuple(int(part) for part in matplotlib.__version__.split(".")[:2])
    assert wb.shapes_arabic() == (version >= (3, 11)), "do letters join? the check and the README's sentence differ"


def test_equations_are_numbered_once_and_citations_exist():
    numbers = [int(n) for n in re.findall(r"\\tag\{(\d+)\}", THEORY)]
    assert numbers == list(range(1, len(numbers) + 1)), f"the equations are numbered {numbers}"
    assert len(THEORY.splitlines()) <= 300
    cited = {}
    for path in (*SCRIPTS, *(ROOT / "tinydecouple").rglob("*.py"), *(ROOT / "tutorials").glob("*.md")):
        for place in re.findall(r"THEORY ((?:\(\d+\)(?:,? (?:to|and) |, )?)+)", path.read_text(encoding="utf-8")):
            for number in re.findall(r"\d+", place):
                cited.setdefault(int(number), set()).add(path.name)
    wrong = {n: names for n, names in cited.items() if n not in numbers}
    assert not wrong, f"cited but not in THEORY.md: {wrong}"


def test_options_in_theory_exist():
    known = {option for command in parser()._subparsers._group_actions[0].choices.values()
             for action in command._actions for option in action.option_strings}
    told = set(re.findall(r"--[a-z][a-z-]+", THEORY.split("## 12.")[1]))
    assert told and told <= known, f"THEORY.md names options that do not exist: {sorted(told - known)}"


def test_without_matplotlib(folder):
    done = run(SCRIPTS[3].name, folder, code=WITHOUT_MATPLOTLIB)
    assert done.returncode == 0 and "figure:" not in done.stdout, done.stderr[-500:]


TRAIN = "import sys; sys.path.insert(0, sys.argv[1].rsplit('/', 1)[0]); import workbench as wb; "  # without a tutorial


def test_damaged_runs_are_told_in_one_line(folder):
    """Both checkpoints cut short, a folder that is no run: the line names the folder to delete; then it works again."""
    runs = folder / "runs" / "tutorials-smoke"
    train = TRAIN + "[wb.finetuned('plain', seed) for seed in (1, 2)]"
    if not (runs / "plain-2" / "checkpoint.pt").exists():
        run("workbench.py", folder, code=train)
    spoils = {"plain-1": lambda p: [path.write_bytes(b"PK") for path in p.glob("checkpoint*.pt")],
              "plain-2": lambda p: (p / "config.json").write_text("{", encoding="utf-8")}
    for name, spoil in spoils.items():
        spoil(runs / name)
        done = run("workbench.py", folder, code=train)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr[-500:]
        assert done.stderr.count("\n") == 1 and f"delete the folder {runs / name}" in done.stderr, done.stderr
        shutil.rmtree(runs / name)
    assert run("workbench.py", folder, code=train).returncode == 0


def test_interrupted_and_run_again(folder):
    """Ctrl-C in the middle of training: one line; the next start goes on."""
    shutil.rmtree(folder / "runs" / "tutorials-smoke", ignore_errors=True)
    cut = "import tinydecouple.training.train as t; real = t.collate; n = [0]\n" \
          "def cut(*a):\n n[0] += 1\n if n[0] == 12: raise KeyboardInterrupt\n return real(*a)\n" \
          "t.collate = cut; wb.pretrained()"
    done = run("workbench.py", folder, code=TRAIN + cut)
    assert done.returncode == 130 and "interrupted; start it again" in done.stderr and "Traceback" not in done.stderr
    log = folder / "runs" / "tutorials-smoke" / "pretrained" / "log.jsonl"
    before = log.read_text(encoding="utf-8")
    assert '"seconds"' in before and run("workbench.py", folder, code=TRAIN + "wb.pretrained()").returncode == 0
    assert log.read_text(encoding="utf-8").startswith(before), "training began anew instead of going on"


def test_readme_of_the_tutorials_names_each_with_its_minutes():
    text = (ROOT / "tutorials" / "README.md").read_text(encoding="utf-8")
    for script in SCRIPTS:
        minutes = re.search(r"(\d+)[\s#]+minutes of[\s#]+reading", script.read_text(encoding="utf-8"))[1]
        assert re.search(rf"\({script.name}\) \| \d+ \| {minutes} min \|", text), f"{script.name}: no row"
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (ROOT / "tutorials" / picture).exists(), f"{picture} is not there"
    pictures = list((ROOT / "tutorials" / "figures").glob("*.png"))
    assert sum(p.stat().st_size for p in pictures) < 2_500_000, "the figures are over 2.5 MB in all"
    shown = {Path(p).name for name in ("README.md", "tutorials/README.md", "tutorials/DEMO.md", "tutorials/RESULTS.md")
             for p in re.findall(r"!\[.*?\]\((.*?)\)", (ROOT / name).read_text(encoding="utf-8"))}
    assert {p.name for p in pictures} == shown, "a committed figure is shown nowhere, or the other way round"


def test_run_all_runs_in_order_stops_at_a_failure_and_copies_figures(tmp_path):
    there = tmp_path / "tutorials"
    (there / "figures").mkdir(parents=True)
    shutil.copy(ROOT / "tutorials" / "run_all.py", there)

    def go(*options):
        return subprocess.run([sys.executable, str(there / "run_all.py"), *options], capture_output=True, text=True)

    (there / "02_b.py").write_text("print('two', flush=True)", encoding="utf-8")
    (there / "01_a.py").write_text("print('one', flush=True)", encoding="utf-8")
    done = go()
    said = r"== 01_a.py\none\n== 02_b.py\ntwo\n +\d+ s  01_a.py\n +\d+ s  02_b.py"
    assert done.returncode == 0 and re.search(said, done.stdout), done.stdout
    assert go("--figures").returncode == 2 and "pip install matplotlib" in go("--figures").stderr
    (tmp_path / "runs" / "tutorials" / "figures").mkdir(parents=True)
    (tmp_path / "runs" / "tutorials" / "figures" / "a.png").write_bytes(b"picture")
    assert go("--figures").returncode == 0 and (there / "figures" / "a.png").read_bytes() == b"picture"
    (there / "01_a.py").write_text("raise SystemExit(7)", encoding="utf-8")
    done = go()
    assert done.returncode == 7 and "two" not in done.stdout, "a failed tutorial does not stop the rest"
    assert go("--fast").returncode == 2


def test_a_number_is_read_from_its_own_line():
    """Not from the interval above it, which has the same form up to the words."""
    said = "  over seeds: -0.59 to +2.50, holds zero\n  random less plain: 1.72 chrF++   (expected 1.7 ± 1.2)"
    assert [(m["name"], m["values"]) for m in NUMBER.finditer(said)] == [("random less plain", "1.72")]


@pytest.mark.slow
def test_every_number_lies_within_its_tolerance(folder):
    """All eleven in order, the real thing: about twelve minutes."""
    off, count = [], 0
    for script in SCRIPTS:
        done = run(script.name, folder, smoke=False)
        assert done.returncode == 0, f"{script.name}\n{done.stdout[-500:]}\n{done.stderr[-1500:]}"
        found = list(NUMBER.finditer(done.stdout))
        assert len(found) == done.stdout.count("expected"), f"{script.name}: a number is printed in another form"
        for match in found:
            for value in match["values"].split(", "):
                count += 1
                if not abs(float(value) - float(match["expected"])) <= float(match["within"]) * (1 + 1e-3):
                    off.append(f"{script.name}: {match[0].strip()}")
    assert not off, "outside their tolerance:\n" + "\n".join(off)
    assert count > 100
