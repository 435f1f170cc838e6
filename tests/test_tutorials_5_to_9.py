"""Tutorials 5 to 9: pictures are shown and small; tasks exist in the coursework; worked numbers are right."""

import re
from pathlib import Path

import numpy as np
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


def angle(cosine):
    return np.degrees(np.arccos(cosine))


DELTA, WITHIN = np.array([[3.0], [3.0]]), np.diag([1.0, 9.0])  # of the clouds in the plane, tutorials 7 and 8
ALL = WITHIN + DELTA @ DELTA.T / 4  # both clouds taken as one: the means lie at plus and minus delta / 2
MOST = np.linalg.eigh(ALL)[1][:, -1]
ERASED = [DELTA @ DELTA.T @ np.linalg.inv(S) / (DELTA.T @ np.linalg.inv(S) @ DELTA) for S in (WITHIN, ALL)]
WORKED = (  # tutorial; what its text says; the numbers in it; the same computed
    (6, "With $p = 1/8$ it is 3 bits long, with $p = 0.8$ it costs 0.32", (3, 0.32), -np.log2([1 / 8, 0.8])),
    (6, "$\\log 1000$, or 10 bits, per weight", 10, np.log2(1000)),
    (6, "1.58 bits per state sent less 1.31 back, 0.27", 0.27, 1.58 - 1.31),
    (6, "68 weights times half a nat are 34 nats or 49 bits, over 500 states 0.10 bits", (34, 49, 0.1),
     68 / 2 / np.array([1, np.log(2), 500 * np.log(2)])),
    (6, "So 0.10 bits seem to be saved, then 0.21", (0.1, 0.21), (0.86 - 0.76, 0.86 - 0.65)),
    (7, "75° from the first feature and 30° from $\\delta$", (75, 30), angle([abs(MOST[0]), abs(MOST.sum()) / 2**0.5])),
    (7, "$\\rho = 1$: 75.5°", 75.5, angle(1 / 4)),
    (7, "$\\rho = 0.45$ gives 56°", 56, angle(1 / (4 * 0.45))),
    (8, "\\begin{pmatrix} 0.9 & 0.1 \\\\ 0.9 & 0.1 \\end{pmatrix}", (0.9, 0.1, 0.9, 0.1), ERASED[0].ravel()),
    (8, "both give the same direction $\\Sigma^{-1}\\delta$, and the same $E$", ERASED[0].ravel(), ERASED[1].ravel()),
    (8, "1.24 of 45.6, or 2.7 % of the push; for the random one 8.9 of 45.6, or 19.5 %", (2.7, 19.5),
     (124 / 45.6, 890 / 45.6)),
    (8, "47/150 = 0.31", 0.31, 47 / 150),
)


@pytest.mark.parametrize("tutorial, phrase, said, computed", WORKED, ids=[f"{row[0]}: {row[1][:20]}" for row in WORKED])
def test_worked_numbers_in_the_text(tutorial, phrase, said, computed):
    """Arithmetic that no cell prints: it stands in the text, and is right to the digits that stand there."""
    (script,) = (s for s in SCRIPTS if s.name.startswith(f"{tutorial:02}"))
    text = " ".join(line.removeprefix("#").strip() for line in script.read_text(encoding="utf-8").splitlines())
    assert phrase in text, f"{script.name} no longer says {phrase!r}; mend WORKED with it"
    assert np.allclose(computed, said, rtol=0.02), f"{script.name}: {phrase!r}, computed {computed}"
