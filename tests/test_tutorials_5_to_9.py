"""Tutorials 5 to 9: a picture that is drawn is shown and small; a task that is set exists in the coursework."""

import re
from pathlib import Path

import pytest

from tinydecouple.coursework.tasks import assignment

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "tutorials").glob("0[5-9]_*.py"))
README = (ROOT / "tutorials" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.name)
def test_each_picture_is_committed_captioned_and_small(script):
    drawn = re.findall(r'wb\.save\(figure, "(\w+)"\)', script.read_text(encoding="utf-8"))
    number = script.name[:2]
    kept = sorted(path.stem for path in (ROOT / "tutorials" / "figures").glob(f"{number}_*.png"))
    assert sorted(drawn) == kept, f"{script.name} draws {sorted(drawn)}, tutorials/figures holds {kept}"
    for name in drawn:
        caption = re.search(rf"!\[.+\]\(figures/{name}\.png\)\n\n{int(number)}: (.+)", README)
        assert caption, f"README.md does not say below {name}.png what to see in it"
        size = (ROOT / "tutorials" / "figures" / f"{name}.png").stat().st_size
        assert size < 120_000, f"{name}.png has {size:,} bytes, at most 120,000: draw fewer points"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.name)
def test_each_sets_tasks_that_the_coursework_has_by_their_right_names(script):
    exercises = script.read_text(encoding="utf-8").split("# ## Exercises")[1].split("# ## Where")[0]
    text = " ".join(line.removeprefix("#").strip() for line in exercises.splitlines())
    checked = re.findall(r"python tutorials/check\.py (A\d\.\d) my_answers\.py", text)
    assert checked, f"{script.name} has nothing for the learner to write and check"
    named = re.findall(r"A(\d)\.(\d)\b", text)
    for group, number in named:
        tasks = assignment(f"A{group}").by_id
        assert f"{group}.{number}" in tasks, f"{script.name} sets A{group}.{number}, which is no task of the coursework"
        name = tasks[f"{group}.{number}"].name
        known = name == "prequential_bits" or f"`{name}(" in text or f"`{name}`" in text
        assert known, f"{script.name} sets A{group}.{number} and does not name its function, {name}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.name)
def test_a_code_length_stands_beside_n_and_the_entropy(script):
    """The first number in bits per state is shown after a line that tells H(Y)."""
    lines = script.read_text(encoding="utf-8").splitlines()
    first = next((i for i, line in enumerate(lines) if "wb.show(" in line and '"bits per state")' in line), None)
    if first is not None:
        shown = re.compile(r'(print|wb\.show)\(.*H\(Y\)|^measured\("')
        told = next((i for i, line in enumerate(lines) if shown.search(line) and "{what}" not in line), len(lines))
        assert told <= first, f"{script.name}:{first + 1} shows a code length, H(Y) is told in line {told + 1} only"
