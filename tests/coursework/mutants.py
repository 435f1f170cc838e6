"""Wrong solutions made mechanically: one change in the syntax tree of a right one."""

import ast
import copy
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from solutions import solution

from tinydecouple.coursework.tasks import NAMES, assignment

SWAPS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
         ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Mod: ast.FloorDiv}
ALSO = {"3.3": ("leading",), "3.6": ("divided",)}  # functions that are part of the answer
RANK = "centred labels have rank C - 1, so the C-th singular value is rounding, below the threshold either way"
EQUIVALENT = {  # (task, change) -> why the result is the same, so that it is no wrong solution
    ("3.3", "leading: U * np.sign(centred[0] @ U) becomes U / np.sign(centred[0] @ U)"): "a sign is its own inverse",
    ("3.4", "principal_angles: cosine ** 2 becomes cosine * 2"):
        "the two formulas agree to 1e-7 from 1 to 89 degrees, so they may be exchanged at 75 degrees as well as at 45",
    ("3.4", "principal_angles: 2 becomes 4"): "as above, at 33 degrees",
    ("3.7", "leace: 1 becomes 0"): RANK,
    ("3.7", "leace: len(shares) - 1 becomes len(shares) + 1"): RANK,
    ("3.7", "leace: len(shares) - 1 becomes len(shares)"): RANK,
    ("3.7", "leace: np.sqrt(h.shape[1]) becomes h.shape[1]"): "the handout leaves the threshold open",
    ("4.2", "is_refresh: 1 becomes 0"): "the distance, rounded up, is 1 at least without the maximum",
}
DROPPED = ("sqrt", "exp", "log", "abs", "square", "sign", "max")


def entries(name):
    """(task, what, code) of a file such as wrong.txt."""
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    text = text.replace("PACKAGE_PARENT", repr(str(Path(__file__).parents[2])))
    parts = re.split(r"^=== (\d\.\d): (.+)$", text, flags=re.M)[1:]
    return [(task, what, code.strip() + "\n") for task, what, code in zip(parts[::3], parts[1::3], parts[2::3])]


def task_of(number):
    return assignment(f"A{number[0]}").by_id[number]


def variants(node):
    """Every (line, what, changed copy) of one expression."""
    line = node.lineno
    if isinstance(node, ast.BinOp):
        if type(node.op) in SWAPS:
            other = copy.deepcopy(node)
            other.op = SWAPS[type(node.op)]()
            yield line, f"{ast.unparse(node)} becomes {ast.unparse(other)}", other
        if isinstance(node.op, (ast.Add, ast.Sub)):
            yield line, f"{ast.unparse(node)} becomes {ast.unparse(node.left)}", node.left
            yield line, f"{ast.unparse(node)} becomes {ast.unparse(node.right)}", node.right
        if isinstance(node.op, (ast.Mult, ast.Div)):
            yield line, f"{ast.unparse(node)} becomes {ast.unparse(node.left)}", node.left
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in SWAPS:
        other = copy.deepcopy(node)
        other.ops = [SWAPS[type(node.ops[0])]()]
        yield line, f"{ast.unparse(node)} becomes {ast.unparse(other)}", other
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        new = 1 - node.value if node.value in (0, 1) else node.value * 2
        yield line, f"{node.value} becomes {new}", ast.Constant(new)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield line, f"{ast.unparse(node)} becomes {ast.unparse(node.operand)}", node.operand
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield line, f"{ast.unparse(node)} becomes {ast.unparse(node.value)}", node.value
    elif isinstance(node, ast.Call) and len(node.args) == 1 and isinstance(node.func, ast.Attribute) \
            and node.func.attr in DROPPED:
        yield line, f"{ast.unparse(node)} becomes {ast.unparse(node.args[0])}", node.args[0]


def is_check(node):
    """Whether a statement only checks arguments, which no task asks for."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and \
        getattr(node.value.func, "id", "").startswith("check")


def places(function):
    """The expressions of a function that may be changed: not its signature, docstring, checks and errors."""
    found = []

    def walk(node):
        if isinstance(node, (ast.Raise, ast.JoinedStr)):
            return
        if isinstance(node, ast.If) and ("mu_z" in ast.unparse(node.test) or all(map(is_check, node.body))):
            return  # the group prior, which A1 does not ask for: no input gets there; and checks of arguments
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("eps", "of_rows", "rounding", "shares"):
            return  # how far rounding reaches, or a factor of what is compared with it: open within powers of ten
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) or is_check(node):
            return
        for name, child in ast.iter_fields(node):
            for i, one in enumerate(child if isinstance(child, list) else [child]):
                if isinstance(one, ast.AST):
                    if isinstance(one, ast.expr):
                        found.append((node, name, i if isinstance(child, list) else None, one))
                    walk(one)

    for statement in function.body:
        walk(statement)
    return found


def mutants(number):
    """(what, code) of every mechanical change in a task's right solution."""
    task = task_of(number)
    tree = ast.parse(solution(assignment(f"A{number[0]}")))
    made = {}
    for function in (n for n in tree.body if getattr(n, "name", None) in (task.name, *ALSO.get(number, ()))):
        for parent, name, i, node in places(function):
            for _, what, new in variants(node):
                held = getattr(parent, name)
                if i is None:
                    setattr(parent, name, new)
                else:
                    held[i] = new
                made.setdefault(f"{function.name}: {what}", ast.unparse(ast.fix_missing_locations(function)) + "\n")
                if i is None:
                    setattr(parent, name, held)
                else:
                    held[i] = node
    return list(made.items())


@lru_cache
def all_mutants():
    """(task, what, code) of every task but the warm-ups."""
    tasks = [task.id for name in NAMES for task in assignment(name).tasks if not task.id.endswith(".1")]
    return [(number, what, code) for number in tasks for what, code in mutants(number)]


def drawn(count, seed):
    """`count` mutants, spread over the tasks, in an order drawn from the seed; equivalent ones are replaced."""
    by_task = {}
    for number, what, code in all_mutants():
        if (number, what) not in EQUIVALENT:
            by_task.setdefault(number, []).append((number, what, code))
    rng = np.random.default_rng(seed)
    for rows in by_task.values():
        rng.shuffle(rows)
    turns = [rows[i] for i in range(max(map(len, by_task.values()))) for rows in by_task.values() if i < len(rows)]
    return turns[:count]
