"""Right solutions of every assignment, cut from the package, as a student would submit them."""

import ast
import sys
import types
from functools import lru_cache

from tinydecouple.coursework import checks, stubs
from tinydecouple.coursework.tasks import assignment as named

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


REFRESH = '''
def refresh(self, h, y, rng):
    options = self.options
    h, mean, _ = standardise(h)
    fit(self.probe, h, y, rng, steps=options.probe_steps)
    estimate = estimator(options.subspace)(h, y, self.probe.posterior_mean(), options.rank, rng)
    angle = None
    if self.last is not None:
        angle = float(np.degrees(principal_angles(self.last, estimate)[-1]))
    self.last = estimate.astype(np.float32)
    if self.basis is None or not options.frozen:
        self.basis = self.last
        self.mean = mean
    kl, cross_entropy = variational_bits(self.probe, h, y, rng, samples=1)
    self.refreshes += 1
    return {"code_bits": (kl + cross_entropy) / len(y), "kl_bits": kl / len(y), "states": len(y),
            "entropy_bits": entropy_bits(y) / len(y), "angle_degrees": angle}
'''


@lru_cache
def solution(assignment):
    """The package's own functions, in one file that imports NumPy and helpers only; a method is written out here."""
    known = frozenset(defined(stubs.helpers(assignment)))
    functions = tuple(task.function for task in assignment.tasks if task.name != "refresh")
    source = HEAD + stubs.closure(functions, known)
    return source + REFRESH if len(functions) < len(assignment.tasks) else source


@lru_cache
def compiled(name):
    return compile(stubs.public_tests(named(name)), f"test_{name}.py", "exec")


def public(number, code=""):
    """Why the public tests of a task fail, "" for each that passes, of a right solution to which code is appended."""
    name = f"A{number[0]}"
    runner = (stubs.PACKAGE / "coursework" / "runner.py").read_text(encoding="utf-8")
    sources = {"helpers": stubs.helpers(named(name)), name: solution(named(name)) + "\n\n" + code, "runner": runner,
               f"test_{name}": compiled(name)}
    before = dict(sys.modules)
    sys.modules |= {"checks": checks, "pytest": None}  # without pytest, whose markers are those of this project
    try:
        for one, source in sources.items():
            sys.modules[one] = types.ModuleType(one)
            source = compile(source, f"{one}.py", "exec") if isinstance(source, str) else source
            exec(source, vars(sys.modules[one]))
        tests = vars(sys.modules[f"test_{name}"]).values()
        fails = sys.modules["runner"].fails
        return [fails(test, f"{name}.py") for test in tests if getattr(test, "task", "") == number]
    finally:
        for one in (*sources, "checks", "pytest"):
            del sys.modules[one]
        sys.modules |= {one: module for one, module in before.items() if one not in sys.modules}
