"""Other machines: the workflow says what the package says, and neither locale, hash seed nor folder changes a bit."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tinydecouple.cli import main
from tinydecouple.training.checkpoint import load_checkpoint

ROOT = Path(__file__).parents[1]
WORKFLOW = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
REQUIREMENTS = (ROOT / "requirements.txt").read_text(encoding="utf-8")


def test_the_workflow_runs_the_readmes_command_on_what_the_package_supports():
    commands = re.findall(r"run: (.*)$", WORKFLOW, re.MULTILINE)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "python -m pytest" in commands and "```sh\npython -m pytest\n```" in readme, "not the README's test command"
    pythons = re.findall(r'"(3\.\d+)"', re.search(r"python: \[(.*)\]", WORKFLOW)[1])
    oldest = re.search(r'requires-python = ">=(3\.\d+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))[1]
    assert pythons == ["3.10", "3.11", "3.12", "3.13"] and pythons[0] == oldest, f"{pythons}, the package says {oldest}"
    for system in ("ubuntu", "macos", "windows"):
        assert f"{system}-latest" in re.search(r"os: \[(.*)\]", WORKFLOW)[1]
    bound = re.search(r"^numpy>=([\d.]+)", REQUIREMENTS, re.MULTILINE)[1]
    assert re.search(rf'numpy: "=={re.escape(bound)}(\.0)?"', WORKFLOW), f"NumPy {bound}, the oldest, is not tried"


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A function (name, environment, options of Python): a tiny run made by a process in a folder of its own; without
    an environment by this process, whose seed of hashes was drawn."""
    def train(name, environment=None, *options):
        folder = tmp_path / name
        folder.mkdir()
        command = [sys.executable, *options, "-m", "tinydecouple", "pretrain", "--run", "run", "--varieties", "cai,fes",
                   "--keys", "60", "--per-variety", "10", "--trickle", "2", "--vocabulary", "600", "--width", "8",
                   "--heads", "1", "--blocks", "1", "--epochs", "1"]
        if environment is None:
            monkeypatch.chdir(folder)
            main(command[3:])
            return load_checkpoint(folder / "run")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHON"))}
        done = subprocess.run(command, cwd=folder, env={**kept, "PYTHONPATH": str(ROOT), **environment},
                              capture_output=True)
        said = done.stderr.decode("utf-8", "replace")
        assert done.returncode == 0, said
        ours = [line for line in said.splitlines() if "EncodingWarning" in line and "site-packages" not in line]
        assert not ours, f"a file is opened in the locale's encoding: {ours}"
        return load_checkpoint(folder / "run")

    return train


def test_hash_seed_locale_and_folder_change_no_bit(trained):
    """A set iterated in the order of its hashes, or a file opened in the locale's encoding, would show here."""
    one = trained("first")
    another = "1" if os.environ.get("PYTHONHASHSEED") == "4242" else "4242"
    two = trained("second", {"PYTHONHASHSEED": another, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0",
                             "PYTHONWARNDEFAULTENCODING": "1"}, "-X", "utf8=0")
    assert torch.equal(one["tokenizer"], two["tokenizer"]), "another tokeniser: does the corpus come in another order?"
    for name, weight in one["model"].items():
        assert torch.equal(weight, two["model"][name]), f"{name} has other bits"
