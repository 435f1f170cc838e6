"""Right solutions of every assignment, cut from the package, as a student would submit them."""

import ast

from tinydecouple.coursework import stubs

HEAD = "from __future__ import annotations\n\nimport numpy as np\n\nfrom helpers import *\n\n"


def defined(source):
    """Names that a module defines or imports at its top level."""
    names = set()
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
    return names


def solution(assignment):
    """The package's own functions, in one file that imports NumPy and helpers only."""
    known = frozenset(defined(stubs.helpers(assignment)))
    plain = tuple(task.function for task in assignment.tasks if task.function.count(".") < 2 or ":" not in
                  task.function or "." not in task.function.partition(":")[2])
    source = HEAD + stubs.closure(plain, known)
    for task in assignment.tasks:
        if task.function not in plain:
            text, node = stubs.definition(task.function)
            source += "\n\n" + stubs.segment(text, node) + "\n"
    return source
