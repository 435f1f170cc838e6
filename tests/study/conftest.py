"""A study of seconds: two conditions, two seeds, on pseudo-languages; planted.py is imported by the tests beside it."""

import json
import sys
from pathlib import Path

import pytest

from tinydecouple.study.plan import read_plan

sys.path.insert(0, str(Path(__file__).parent))

TINY = {
    "settings": {"tiny": {
        "corpus": {"corpus": "family", "keys": 60, "per_variety": 10, "trickle": 2, "varieties": "a1,a2,b1"},
        "model": {"width": 16, "blocks": 1, "heads": 2, "vocabulary": 600},
        "pretrain": {"epochs": 1, "batch_tokens": 300}, "train": {"epochs": 1, "batch_tokens": 300},
        "decouple": {"layer": "last", "strength": 0.5, "refreshes": 2, "probe_states": 64, "probe_steps": 5},
        "end_biases": [-1, 1], "probe_states": 20}},
    "conditions": ["plain", "paper"], "seeds": [1, 2]}


@pytest.fixture(scope="session")
def write_plan(tmp_path_factory):
    """A function: changes at the top of the tiny plan -> the path of a file with it."""
    def write(**changes):
        path = tmp_path_factory.mktemp("plan") / "plan.json"
        path.write_text(json.dumps({**TINY, **changes}), encoding="utf-8")
        return str(path)
    return write


@pytest.fixture(scope="session")
def plan(write_plan):
    return read_plan(write_plan())
