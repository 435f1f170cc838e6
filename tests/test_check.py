"""tutorials/check.py: one function of a learner's, right or wrong or not to be checked, each in clear words."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinydecouple.coursework import reference, stubs
from tinydecouple.options import TrainOptions
from tinydecouple.training.batches import Example, collate
from tinydecouple.training.schedule import rate_at

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tutorials"))
import check  # noqa: E402

sys.path.remove(str(ROOT / "tutorials"))

RIGHT = "import numpy as np\n\n\ndef rms_norm(h, weight):\n" \
        "    return h / np.sqrt((h**2).mean(axis=-1, keepdims=True) + np.finfo(h.dtype).eps) * weight\n"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "my_answers.py"


def ran(capsys, *arguments):
    """Exit code, stdout, stderr."""
    code = check.main([str(a) for a in arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_right_function_passes_and_its_file_stays_as_it_is(file, capsys):
    file.write_text(RIGHT, encoding="utf-8")
    assert ran(capsys, "T3.1", file) == (0, "T3.1 rms_norm: right\n", "")
    assert ran(capsys, "t3.1", file)[0] == 0 and file.read_text(encoding="utf-8") == RIGHT


@pytest.mark.parametrize("what, body, told", [
    ("wrong", "return h / np.linalg.norm(h, axis=-1, keepdims=True) * weight", "divides by the length of the state"),
    ("prints", "print(h)", "printed instead of returned"),
    ("returns the wrong type", "return 'norm'", "got a value of type str, expected an array of shape (5,)"),
    ("returns the wrong shape", "return h.sum()", "got a number, expected an array of shape (5,)"),
    ("stops", "return h / nothing", "NameError: name 'nothing' is not defined"),
    ("changes its argument", "h *= 2\n    return h", "changes its argument 1 in place"),
    ("ends the program", "raise SystemExit", "ends the program"),
    ("imports the answer", "from tinydecouple.model.transformer_numpy import rms_norm as r\n    return r(h, weight)",
     "write the function yourself"),
    ("is not written", "raise NotImplementedError('T3.1 rms_norm is not written yet')", ": it is not written yet")])
def test_a_wrong_function_is_told_what_is_wrong(file, capsys, what, body, told):
    file.write_text(f"import numpy as np\n\n\ndef rms_norm(h, weight):\n    {body}\n", encoding="utf-8")
    code, out, err = ran(capsys, "T3.1", file)
    assert code == 1 and out.startswith("T3.1 rms_norm: not yet\n") and told in out and not err, f"{what}: {out}{err}"
    assert "T.py" not in out, f"the learner's file is my_answers.py:\n{out}"


def test_a_function_that_loops_is_stopped(file, capsys):
    file.write_text("def rms_norm(h, weight):\n    while True:\n        pass\n", encoding="utf-8")
    assert check.check("T3.1", file, seconds=1) == 1
    assert "does it loop forever?" in capsys.readouterr().out


@pytest.mark.parametrize("what, text, told", [
    ("does not parse", "def rms_norm(h, weight:\n    return h\n", "line 1: Python cannot read it"),
    ("lacks the function", "def norm(h, weight):\n    return h\n", "it defines no function rms_norm; to append"),
    ("stops when it is imported", RIGHT + "\n1 / 0\n", "line 7: ZeroDivisionError"),
    ("imports what is not there", "import nothing_of_this_name\n\n" + RIGHT, "nothing_of_this_name")])
def test_what_cannot_be_checked_says_why_in_one_line(file, capsys, what, text, told):
    file.write_text(text, encoding="utf-8")
    code, out, err = ran(capsys, "T3.1", file)
    assert code == 2 and not out and told in err and err.count("\n") == 1, f"{what}: {out}{err}"
    assert err.startswith(f"check: {file}"), f"which file?\n{err}"
    if what in ("does not parse",):
        assert ran(capsys, "T3.1", file, "--new")[0] == 2 and file.read_text(encoding="utf-8") == text


def test_absent_things_are_named_with_the_remedy(file, tmp_path, capsys):
    for arguments, told in ((("T3.1", file), "no such file; to begin one with a stub: python tutorials/check.py T3.1"),
                            (("T3.9", file), "no task 'T3.9'; there are T1.1, T2.1"),
                            (("T3.1",), "name your file, too"),
                            (("T3.1", tmp_path), "is a directory"),
                            (("T3.1", tmp_path / "none" / "a.py", "--new"), "no such file or directory")):
        code, out, err = ran(capsys, *arguments)
        assert code == 2 and told in err and err.count("\n") == 1 and not out, (arguments, err)


def test_new_appends_and_overwrites_nothing(file, capsys):
    assert ran(capsys, "T3.1", file, "--new")[0] == 0
    first = file.read_text(encoding="utf-8")
    assert "TODO T3.1: " in first and first.count("import numpy") == 1
    assert ran(capsys, "A1.5", file, "--new")[0] == 0
    both = file.read_text(encoding="utf-8")
    assert both.startswith(first) and both.count("from helpers") == 1 and "TODO A1.5: " in both
    code, _, err = ran(capsys, "T3.1", file, "--new")
    assert code == 2 and "it defines rms_norm already; nothing was changed" in err
    assert file.read_text(encoding="utf-8") == both


def test_new_goes_behind_what_is_there_byte_for_byte(file, capsys):
    for start in (b"x = 1", b"# caf\xc3\xa9\r\nx = 1\r\n", b""):
        file.write_bytes(start)
        assert ran(capsys, "T2.1", file, "--new")[0] == 0
        assert file.read_bytes().startswith(start)
        code, out, _ = ran(capsys, "T2.1", file)
        assert code == 1 and "not written yet" in out, f"the stub does not import behind {start!r}: {out}"
        assert (b"\r\n" in start) == (b"\r\n" in file.read_bytes())


def test_a_task_may_lean_on_tasks_that_are_not_written(file, capsys):
    """A1.5 calls A1.3 and A1.4, A4.4 the penalty of A3.6: absent, or an untouched stub, each counts as right."""
    earlier = frozenset({"with_one", "weight_kl", "cross_entropy", "forward"})
    code = stubs.closure(("method.probe:loss_and_gradients",), earlier)
    for label in ("A3.6", "A1.2"):
        assert ran(capsys, label, file, "--new")[0] == 0
    step = stubs.segment(*stubs.definition("coursework.reference:add_penalty"))
    file.write_text(file.read_text(encoding="utf-8") + "\n\n\n" + code + "\n\n\n" + step + "\n", encoding="utf-8")
    for label in ("A1.5", "A4.4"):
        code, out, err = ran(capsys, label, file)
        assert code == 0, f"{label}: {out}{err}"


def test_the_list_names_every_task(capsys):
    code, out, _ = ran(capsys)
    assert code == 0 and all(f"  {label} " in out for label in check.tasks()) and out.count("\n") == len(check.tasks())
    tutorials = {label.partition(".")[0] for label in check.tasks() if label[0] == "T"}
    assert tutorials == {"T1", "T2", "T3", "T4", "T11"}


def test_as_a_command_from_another_folder(file, tmp_path):
    file.write_text(RIGHT, encoding="utf-8")
    done = subprocess.run([sys.executable, str(ROOT / "tutorials" / "check.py"), "T3.1", file.name], cwd=tmp_path,
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "T3.1 rms_norm: right\n"), done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == [file.name], "it left something behind"
    shutil.rmtree(tmp_path / "none", ignore_errors=True)


def solution(label):
    """The package's own function, as a learner might have written it."""
    of, task = check.tasks()[label]
    return stubs.segment(*stubs.definition(task.function))


@pytest.mark.parametrize("label", [label for label in check.tasks() if label[0] == "T"])
def test_every_task_of_the_tutorials_passes_with_the_packages_own_function(label, file, capsys):
    of, task = check.tasks()[label]
    source = "from helpers import *\nimport numpy as np\nimport math\n\n\n" + solution(label)
    if label == "T1.1":
        source += "\n\n\n" + stubs.segment(*stubs.definition("text.splits:_holders"))
    file.write_text(source, encoding="utf-8")
    code, out, err = ran(capsys, label, file)
    assert code == 0, out + err


MISTAKES = [  # label, what is right in the package's function, what a learner may write
    ("T1.1", "any(sides[k] == \"train\" for k in group)", "True"),
    ("T1.1", "if folded:", "if True:"),
    ("T2.1", "read >= boundary", "read > boundary"),
    ("T2.1", "IGNORE), read > boundary", "IGNORE), read >= boundary"),
    ("T2.1", "read > boundary", "read == boundary"),
    ("T3.1", " + EPSILON[h.dtype]", ""),
    ("T3.1", " * weight", ""),
    ("T3.2", "k=1", "k=0"),
    ("T3.2", " / np.sqrt(np.asarray(d // heads, h.dtype))", ""),
    ("T3.2", "q, k = rotate(q), rotate(k)", "q, k = rotate(q), k"),
    ("T4.1", "(step + 1)", "step"),
    ("T4.1", "max(1, total // 10)", "total // 10 + 1"),
    ("T4.1", "max(1, total - warm_up)", "total"),
    ("T11.1", "    handle.remove()\n", ""),
    ("T11.1", "output[0] if isinstance(output, tuple) else output", "output"),
    ("T11.1", "h[mask]", "h.reshape(-1, h.shape[-1])")]


@pytest.mark.parametrize("label, right, wrong", MISTAKES, ids=[f"{m[0]} {m[2][:20]}" for m in MISTAKES])
def test_one_line_mistakes_are_found(label, right, wrong, file, capsys):
    text = solution(label)
    if label == "T1.1":
        text += "\n\n\n" + stubs.segment(*stubs.definition("text.splits:_holders"))
    assert right in text, f"{label} no longer says {right!r}"
    file.write_text("from helpers import *\nimport numpy as np\nimport math\n\n\n" + text.replace(right, wrong),
                    encoding="utf-8")
    code, out, err = ran(capsys, label, file)
    assert code == 1 and out, f"{label} with {wrong!r} passes: {out}{err}"


def test_the_tasks_own_functions_are_the_packages():
    """What T hands out or asks for and the package says in another form gives the same numbers."""
    for total in (5, 40, 133):
        for step in range(total):
            expected = rate_at(TrainOptions(learning_rate=9e-3), step, total)
            assert reference.learning_rate_at(9e-3, step, total) == expected
    tokens, boundary = [3, 310, 320, 4, 330, 340, 2], 3
    batch = collate([Example(tokens, boundary, 0, 1)], pad=0)
    found = reference.example_arrays(tokens, boundary)
    for got, expected in zip(found, (batch.inputs[0], batch.labels[0], batch.in_target[0])):
        np.testing.assert_array_equal(got, expected)


def test_the_stand_in_for_a_pytorch_block_behaves_as_one():
    """A hook gets module, inputs and output, in PyTorch as here, and is gone after remove()."""
    import torch

    layer = torch.nn.Linear(3, 3, bias=False)
    block = reference.Block(np.zeros((3, 3)))
    for module, x in ((layer, torch.ones(1, 2, 3)), (block, np.ones((1, 2, 3)))):
        seen = []
        handle = module.register_forward_hook(lambda *given, seen=seen: seen.append(given))
        output = module(x)
        handle.remove()
        module(x)
        assert len(seen) == 1 and seen[0][0] is module and seen[0][1][0] is x and seen[0][2] is output


@pytest.mark.slow
def test_every_stub_of_every_task_fits_into_one_file_and_says_that_it_is_not_written(file, capsys):
    for label in check.tasks():
        assert ran(capsys, label, file, "--new")[0] == 0
    for label in check.tasks():
        code, out, err = ran(capsys, label, file)
        assert code == 1 and "it is not written yet" in out, f"{label}: {out}{err}"
