"""Write points and minutes into the handouts, from the task tables and minutes.json."""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from tinydecouple.coursework.tasks import NAMES, assignment  # noqa: E402


def filled(name: str) -> str:
    """The handout's text with the line below each task's heading, and the sums at the top, as the tables have them."""
    text = (HERE / f"{name}.md").read_text(encoding="utf-8")
    minutes = json.loads((HERE / "minutes.json").read_text(encoding="utf-8"))
    given = assignment(name)
    for task in given.tasks:
        told = minutes[task.id]
        how = "measured" if told["measured"] else "estimated"
        below = re.search(rf"^## {re.escape(task.id)} .*\n\n\*(.*)\*$", text, re.M)[1].split(" · ")
        level = next(part for part in below if part in ("easy", "medium", "hard"))
        reading = "".join(f" · {part}" for part in below[below.index(level) + 1:] if "minutes" not in part)
        worth = ", ".join(f"{name} {points}" for name, points in task.points.items())
        line = f"*{task.total} points ({worth}) · {level} · {told['minutes']} minutes ({how}){reading}*"
        text = re.sub(rf"(^## {re.escape(task.id)} .*\n\n)\*.*\*$", rf"\g<1>{line}", text, flags=re.M)
    total = sum(minutes[task.id]["minutes"] for task in given.tasks)
    written = f" and {given.written} for the written part" if given.written else ""
    time = f"{minutes[name]['reading']} minutes to read this, and {total / 60:.1f} hours for the code"
    return re.sub(r"^\*\*Worth\*\*: .*$", f"**Worth**: {given.total} points{written}. **Time**: about {time} "
                  f"({minutes[name]['how']}).", text, flags=re.M)


if __name__ == "__main__":
    for name in NAMES:
        (HERE / f"{name}.md").write_text(filled(name), encoding="utf-8")
