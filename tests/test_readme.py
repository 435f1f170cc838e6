"""The README's commands run as they stand, and its table is the one that its command gives."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tinydecouple.text.phrasebook.meanings import meanings, phrasebook, render

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
TOLERANCE = 3.0  # chrF++ points; stated beside the table: other machines sum in another order, and training drifts


def run(command, folder):
    """A README command, in a shell as a reader would type it, with this Python and this package."""
    command = command.replace("python ", f'"{sys.executable}" ')
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, encoding="utf-8",
                          env={**__import__("os").environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, f"{command}\nexit code {done.returncode}\n{done.stderr}"
    return done.stdout


def numbers(text):
    """Row name -> its chrF++ numbers, from a Markdown table."""
    rows = [[cell.strip() for cell in line.strip("| \n").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {row[0]: [float(cell) for cell in row[1:4]] for row in rows if len(row) > 4 and re.match(r"[\d.]+$", row[1])}


def test_the_two_commands_stand_there():
    assert COMMANDS[0] == "pip install -r requirements.txt && python -m tinydecouple demo"
    assert COMMANDS[1] == "python -m pytest"
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").rstrip().endswith(COMMANDS[1]), "CI runs another command"


def test_what_the_readme_names_is_there():
    for row in re.findall(r"^\| (tinydecouple/\S+\.py.*?) \|", README, re.MULTILINE):
        first, *others = row.split(", ")
        for path in [ROOT / first, *((ROOT / first).parent / other for other in others)]:
            assert path.exists(), f"the README sends its reader to {path.relative_to(ROOT)}, which is not there"
    for path in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / path).exists(), f"the README shows {path}, which is not there"


def test_the_phrase_in_eight_cities_is_what_the_phrasebook_says():
    book = phrasebook()
    meaning = next(m for m in meanings(book) if m.key == "not-go-because/market/tired/1p")
    codes = {"Modern Standard Arabic": "msa", **{about["city"]: code for code, about in book.cities.items()}}
    shown = re.findall(r"^\| ([\w ]+?) \| ([^|]*[\u0621-\u064a][^|]*) \|$", README, re.MULTILINE)
    assert len(shown) == 9 and f"| {render(book, meaning, 'en')} |" in README and meaning.key in README
    for name, sentence in shown:
        assert sentence == render(book, meaning, codes[name]), f"{name}: the README's sentence is not the phrasebook's"


def test_every_further_command_runs(tmp_path):
    """On the runs of a smoke demo, made where the README's own demo would leave them."""
    run("python -m tinydecouple demo --smoke --run runs/demo", tmp_path)
    shutil.copytree(ROOT / "data_samples", tmp_path / "data_samples")  # as in a checkout
    further = [c for c in COMMANDS if "-m tinydecouple" in c and c != COMMANDS[0]]
    assert len(further) >= 6
    for command in further:
        run(command, tmp_path)


def test_the_commands_for_a_corpus_of_ones_own_run(tmp_path):
    """On a made messages.tsv, and a smaller model; what stands in fenced blocks of README and your_own_corpus.md."""
    words = [a + b for a in "abcdefgh" for b in "klmnopqr"]
    rows = [f"k{i}\t{v}\t{v} {word}\n" for i, word in enumerate(words) for v in ("en", "ar", "arz", "ary")]
    (tmp_path / "messages.tsv").write_text("key\tvariety\ttext\n" + "".join(rows), encoding="utf-8")
    page = (ROOT / "tutorials" / "your_own_corpus.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python -m tinydecouple .*(?:messages.tsv|PATH|runs/small).*$", README + page, re.MULTILINE)
    assert len(commands) >= 6
    small = {"demo": " --smoke --width 16 --heads 2 --vocabulary 400", "corpus": "",
             "pretrain": " --width 16 --heads 2 --blocks 1 --epochs 1", "finetune": "", "evaluate": ""}
    for command in dict.fromkeys(commands):
        command = command.replace("PATH", "messages.tsv --standard ar").replace("--epochs 8", "--epochs 1")
        run(command + small[command.split()[3]], tmp_path)


@pytest.mark.parametrize("name", ["phrasebook_sample.tsv", "family_sample.tsv"])
def test_a_sample_is_what_its_command_writes(tmp_path, name):
    text = (ROOT / "data_samples" / "README.md").read_text(encoding="utf-8")
    run(re.search(rf"^python -m tinydecouple .*{name}$", text, re.MULTILINE).group(), tmp_path)
    assert (tmp_path / "data_samples" / name).read_bytes() == (ROOT / "data_samples" / name).read_bytes()


@pytest.mark.slow
def test_the_table_is_what_the_demo_prints(tmp_path):
    """The whole demo, minutes long: every mean within the tolerance, and the claims that the README makes of it."""
    got, shown = numbers(run("python -m tinydecouple demo", tmp_path)), numbers(README)
    assert shown and set(shown) <= set(got), f"rows in the README: {sorted(shown)}"
    for name, values in shown.items():
        for system, here, there in zip(("copy", "plain", "decoupled"), got[name], values):
            assert abs(here - there) <= TOLERANCE, f"{name}, {system}: got {here}, the README says {there}"
    for name in ("msa -> dialect, mean of 25", "dialect -> msa, mean of 25"):
        copy, plain, _ = got[name]
        assert plain >= copy + 15, f"{name}: plain {plain} against copying {copy}; has the plain model learned?"
