"""The answer to one exercise, without running its tutorial: python tutorials/hint.py 7.1

In a notebook, or after `python -i` of a tutorial: `wb.hint("7.1")`. The answers lie in hints/, one file per tutorial;
tests/test_hints_*.py compute every number in them again.
"""

import re
import sys
from pathlib import Path

HINTS = Path(__file__).resolve().parent / "hints"


def read() -> dict[str, str]:
    """Exercise, such as "7.1" -> the text of its answer, in the order of the tutorials."""
    found = {}
    for path in sorted(HINTS.glob("[01][0-9].md")):
        for part in re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            number, _, text = part.partition("\n")
            found[number.strip()] = text.strip()
    return found


def hint(exercise: str) -> None:
    """Print the answer to an exercise, such as "7.1". Raises ValueError for one that does not exist."""
    answers = read()
    if str(exercise) not in answers:
        raise ValueError(f"no exercise {exercise!r}; there are {', '.join(answers)}")
    print(answers[str(exercise)])


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("hint: name one exercise, such as: python tutorials/hint.py 7.1", file=sys.stderr)
        return 2
    try:
        hint(arguments[0])
    except ValueError as error:
        print(f"hint: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")
    sys.exit(main(sys.argv[1:]))
