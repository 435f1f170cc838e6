"""A student's copy, cut from the package's own source: signatures, docstrings, helpers; examples are computed.

Nothing in the package marks what is cut: tasks.py names functions, and the syntax tree knows where they are.
"""
import ast
import re
import textwrap
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tinydecouple.coursework import checks
from tinydecouple.coursework.tasks import Assignment, Task
from tinydecouple.errors import TinyDecoupleError

PACKAGE = Path(__file__).parents[1]
INSTALLED = PACKAGE / "coursework" / "handouts"
HANDOUTS = INSTALLED if INSTALLED.exists() else PACKAGE.parent / "tutorials" / "assignments"


@lru_cache
def parsed(module: str) -> tuple[str, ast.Module]:
    """Source and syntax tree of a module of the package, such as "method.probe"."""
    source = (PACKAGE / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
    return source, ast.parse(source)


def definition(function: str) -> tuple[str, ast.FunctionDef]:
    """Source and syntax tree of "module:name" or "module:Class.name"."""
    module, _, path = function.partition(":")
    source, node = parsed(module)
    for name in path.split("."):
        node = next(n for n in node.body if getattr(n, "name", None) == name)
    return source, node


def segment(source: str, node: ast.AST) -> str:
    """The source of a definition with its decorators, comments kept, indented as at the top level."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    return textwrap.dedent("\n".join(source.splitlines()[first - 1:node.end_lineno]))


def top_level(module: str) -> dict[str, tuple[str, Any]]:
    """Name -> ("import", the line) or ("from", "module:name" of the package) or ("here", node), of a module."""
    found: dict[str, tuple[str, Any]] = {}
    for node in parsed(module)[1].body:
        if isinstance(node, ast.ImportFrom) and node.module.startswith("tinydecouple."):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}".removeprefix("tinydecouple.")
                whole = (PACKAGE / (inner.replace(".", "/") + ".py")).exists()
                where = ("module", inner) if whole else ("from", f"{node.module.removeprefix('tinydecouple.')}:"
                                                                 f"{alias.name}")
                found[alias.asname or alias.name] = where
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                line = ast.unparse(type(node)(**{**vars(node), "names": [alias]}))
                found[alias.asname or alias.name.split(".")[0]] = ("import", line)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found[node.name] = ("here", node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name):
                        found[name.id] = ("here", node)
    return found


def closure(wanted: tuple[str, ...], known: frozenset[str] = frozenset()) -> str:
    """Source that defines every "module:name" wanted, after what it needs of the package, but not `known`."""
    imports: dict[str, None] = {}
    seen = set(known)
    pieces: dict[str, None] = {}

    def add(module: str, name: str) -> None:
        if name in seen:
            return
        kind, what = top_level(module).get(name, (None, None))
        if kind == "import":
            imports[what] = None
        elif kind == "from":
            add(*what.split(":"))
        elif kind == "here":
            seen.add(name)
            for inner in ast.walk(what):
                if isinstance(inner, ast.Name):
                    add(module, inner.id)
            pieces[segment(parsed(module)[0], what)] = None

    for one in wanted:
        add(*one.split(":"))
    return "\n".join([*sorted(imports), "", "", "\n\n\n".join(pieces)]) + "\n"


@lru_cache
def helpers(assignment: Assignment) -> str:
    """helpers.py of an assignment: what its tasks may use, cut from the package, without the answers asked for."""
    answers = frozenset(task.name for task in assignment.tasks)
    head = f'"""What assignment {assignment.name} gives you, cut from tinydecouple: use it, do not change it.\n\n' \
           '"THEORY (12)" is equation (12) of THEORY.md.\n"""\n\nfrom __future__ import annotations\n\n'
    return head + closure(assignment.helpers, answers)


def helper_names(assignment: Assignment) -> list[str]:
    return [one.partition(":")[2] for one in assignment.helpers]


def handout(name: str) -> str:
    path = HANDOUTS / f"{name}.md"
    if not path.exists():
        raise TinyDecoupleError(f"{path}: the handout is missing; run from a checkout of tinydecouple, which has it")
    return path.read_text(encoding="utf-8")


def words(assignment: Assignment, task: Task) -> dict[str, str]:
    """Title, goal, approach and hint of a task, as its handout has them."""
    text = handout(assignment.name)
    found = re.search(rf"^## {re.escape(task.id)} +`{task.name}`: (.+?)$(.*?)(?=^## |\Z)", text, re.M | re.S)
    if not found:
        raise TinyDecoupleError(f"{assignment.name}.md: no section '## {task.id} `{task.name}`: title'")
    parts = {leader.lower(): " ".join(body.split()) for leader, body in
             re.findall(r"^\*\*(Goal|Approach|Hint)\.\*\* (.+?)(?=\n\n|\Z)", found[2], re.M | re.S)}
    return {"title": found[1], **parts}


def filled(text: str, first: str = "", later: str = "") -> str:
    """Lines of at most 92 columns; code between backticks stays on one line, so that it can be copied."""
    whole = re.sub("`[^`]+`", lambda code: code[0].replace(" ", "\0"), text)
    return textwrap.fill(whole, 92, initial_indent=first, subsequent_indent=later, break_long_words=False,
                         break_on_hyphens=False).replace("\0", " ")


def docstring(task: Task, node: ast.FunctionDef) -> str:
    """The reference's docstring without the sentences that give the answer away."""
    text = ast.get_docstring(node)
    for part in task.hide:
        pattern = ".*?".join(r"\s+".join(map(re.escape, piece.split())) for piece in part.split("…"))
        text, count = re.subn(pattern, "", text, flags=re.S)
        if count != 1:
            raise ValueError(f"{task.function}: the docstring no longer says {part!r}; mend `hide` of task {task.id}")
    paragraphs = [re.sub(r" +([,.;:])", r"\1", " ".join(p.split())) for p in text.split("\n\n")]
    text = "\n\n".join(filled(re.sub("^equation", "Equation", cited(p))) for p in paragraphs if p)
    return text[:1].upper() + text[1:] if text[:2].isalpha() else text  # a sentence whose start was hidden


def cited(text: str) -> str:
    """The package's "THEORY (17)" in words that cannot be taken for a section."""
    return re.sub(r"THEORY (\(\d+\)(?:(?:,| and| to) \(\d+\))*)",
                  lambda found: f"equation{'s' * (found[1].count('(') > 1)} {found[1]} of THEORY.md", text)


def called(assignment: Assignment, task: Task) -> list[str]:
    """Ids of the earlier tasks whose functions a task's reference calls, itself or through others of its module."""
    module, seen = task.function.partition(":")[0], set()

    def visit(node: ast.AST) -> None:
        for name in {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} - seen:
            kind, inner = top_level(module).get(name, ("", None))
            if kind == "here" and isinstance(inner, ast.FunctionDef):
                seen.add(name)
                visit(inner)
    visit(definition(task.function)[1])
    return [one.id for one in assignment.tasks if one.name in seen and one.function.startswith(f"{module}:")
            and one.id < task.id]


def run_example(assignment: Assignment, task: Task, code: str) -> Any:
    """The value of an example's last line, by the reference."""
    space = {"np": np, "checks": checks}
    exec(compile(helpers(assignment), "helpers.py", "exec"), space)
    space |= {one.name: one.reference for one in assignment.tasks}
    *before, last = code.strip().splitlines()
    exec("\n".join(before), space)
    return eval(last, space)


def rounded(value: Any) -> Any:
    """With 6 digits, arrays as lists, for people to read."""
    if isinstance(value, (tuple, list)):
        return type(value)(rounded(v) for v in value)
    if isinstance(value, np.ndarray):
        return np.vectorize(lambda v: float(f"{v:.6g}") + 0.0, otypes=[float])(value).tolist()
    return float(f"{value:.6g}") + 0.0 if isinstance(value, float) else value


def literal(value: Any) -> str:
    """Code that makes the value again, arrays to 8 digits of the largest entry."""
    if isinstance(value, np.ndarray):
        digits = 8 - min(0, int(np.log10(np.abs(value).max(initial=0) or 1)))
        return f"np.array({(np.round(value.astype(np.float64), digits) + 0.0).tolist()})"
    if isinstance(value, (tuple, list)):
        inner = ", ".join(map(literal, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner},)"
    return repr(round(float(value), 8)) if isinstance(value, (float, np.floating)) else repr(value)


def stub(assignment: Assignment, task: Task) -> str:
    """A task's function with everything but its body."""
    source, node = definition(task.function)
    header = segment(source, node).splitlines()[:node.body[0].lineno - node.lineno]
    text = words(assignment, task)
    told = docstring(task, node) or filled(text["goal"])
    code = task.examples[0].strip().splitlines()
    lines = [f"TODO {task.id} ({task.total} points): {text['title']}", f"APPROACH: {text['approach']}",
             *(f"EXAMPLE: {line}" if i == 0 else f"         {line}" for i, line in enumerate(code)),
             f"         gives {rounded(run_example(assignment, task, task.examples[0]))}", f"HINT: {text['hint']}"]
    body = [f'"""{told}', '"""'] if "\n" in told else [f'"""{told}"""']
    body += [f"# {one}" if one.startswith(("EXAMPLE", "   ")) else filled(one, "# ", "#     ") for one in lines]
    body += [f'raise NotImplementedError("{task.id} {task.name} is not written yet")']
    return "\n".join([*header, textwrap.indent("\n".join(body), "    ")])


def stubs(assignment: Assignment) -> str:
    """The file that a student edits."""
    head = f'"""Assignment {assignment.name}: {assignment.title}\n\nWrite the body of each function; the handout is ' \
           f'{assignment.name}.md. To test: python test_{assignment.name}.py, or one\ntask: python ' \
           f'test_{assignment.name}.py {assignment.tasks[0].id}. Only this file is graded; keep the names and the ' \
           'order of the arguments.\n"""\n\nfrom __future__ import annotations\n\nimport numpy as np\n\n'
    imported = textwrap.fill(f"from helpers import ({', '.join(helper_names(assignment))})", 100,
                             subsequent_indent=" " * 21)
    return head + "\n\n\n".join([imported, *(stub(assignment, task) for task in assignment.tasks)]) + "\n"


def public_tests(assignment: Assignment) -> str:
    """test_A1.py and the like: the examples, with what the reference gives."""
    allowed = {task.name: task.changed for task in assignment.tasks}
    parts = [f'"""Public tests of {assignment.name}: python test_{assignment.name}.py, or with pytest, '
             f'-m task_{assignment.tasks[1].id.replace(".", "_")} for one task."""\n\nimport sys\n\n'
             "import numpy as np\n\nimport checks\nimport runner\n\n"
             f"try:\n    from {assignment.name} import *\nexcept Exception as error:\n"
             f'    if __name__ != "__main__":\n        raise\n'
             f'    sys.exit(runner.not_imported(error, "{assignment.name}.py"))\n\nfrom helpers import *\n\n'
             f"# no argument may change, but for these places (from 0)\nrunner.guard(globals(), {allowed})"]
    for task in assignment.tasks:
        needed = f', "{needs}"' if (needs := " ".join(called(assignment, task))) else ""
        for number, code in enumerate(task.examples, 1):
            *before, last = code.strip().splitlines()
            value = run_example(assignment, task, code)
            tree = ast.parse(last, mode="eval").body
            entries = [ast.unparse(e) for e in tree.elts] if isinstance(tree, ast.Tuple) else [n for n, _ in task.parts]
            names = tuple(entries) if isinstance(value, tuple) and len(value) == len(entries) > 1 else ()
            more = f", {names}" * bool(names) + f", tolerance={task.tolerance}" * (task.tolerance != 1e-4)
            shown = f" ({last})" * isinstance(tree, (ast.Name, ast.Subscript, ast.Attribute))
            lines = [f'r"""{task.name}, example {number}{shown}"""', *before, f"got = {last}",
                     f'checks.check("{task.id} {task.name}", got, {literal(value)}{more})']
            parts.append(f'@runner.task("{task.id}"{needed})\ndef test_{task.id.replace(".", "_")}_{number}():\n'
                         + textwrap.indent("\n".join(lines), "    "))
    main = f'if __name__ == "__main__":\n    sys.exit(runner.run(globals(), sys.argv[1:], "{assignment.name}.py"))'
    return "\n\n\n".join([*parts, main]) + "\n"
