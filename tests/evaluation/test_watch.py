"""The page of a run: its numbers are the log's, it needs nothing but itself, and a browser, if there is one, shows it.

A page without a browser is tested as text: its JSON, its tables, what it must not name.
"""

import base64
import contextlib
import html
import json
import os
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tinydecouple.cli import main
from tinydecouple.evaluation.score import direction
from tinydecouple.evaluation.watch import FINEST, direction_of, page
from tinydecouple.evaluation.word_kinds import KINDS, vocabularies, word_kinds
from tinydecouple.training.checkpoint import load_checkpoint, save_checkpoint
from tinydecouple.training.pipeline import run_corpus
from tinydecouple.training.validate import read_records

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell")
SMALL = ["--width", "16", "--blocks", "1", "--heads", "2", "--vocabulary", "600", "--epochs", "1"]
PROBE = ["--refreshes", "3", "--probe-states", "100", "--probe-steps", "5", "--batch-tokens", "400"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs on a corpus in Arabic letters with HTML in it: zero and one (layers 0 and 1), last (1), bare (no probe)."""
    folder, rng = tmp_path_factory.mktemp("watch"), np.random.default_rng(0)
    letters, rows = list("ابتثجحخدذرزسشصضطظعغفقكلمنهوي"), ["key\tvariety\ttext"]
    stems = ["".join(rng.choice(letters, 4)) for _ in range(30)]
    for i in range(60):
        drawn = [stems[j] for j in rng.integers(30, size=3)]
        for variety, ending in (("<std>", ""), ("dia", "ي"), ("dib", "ن")):
            rows.append(f"k{i}\t{variety}\t{' '.join(word + ending * (len(word) > 3) for word in drawn)}.")
    (folder / "corpus.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    main(["pretrain", "--run", str(folder / "pre"), "--corpus", str(folder / "corpus.tsv"), "--standard", "<std>",
          *SMALL])
    for name, layer, strength, extra in (("zero", "0,1", "0", []), ("one", "0,1", "0.5", ["--seed", "2"]),
                                         ("last", "1", "0.5", []), ("bare", "1", "0", ["--refreshes", "0"])):
        main(["finetune", "--from", str(folder / "pre"), "--run", str(folder / name), "--epochs", "2", *PROBE,
              "--layer", layer, "--strength", strength, *extra])
    return folder


@pytest.fixture(scope="module")
def made(folder):
    """The page of two arms."""
    main(["watch", str(folder / "one"), "--against", str(folder / "zero"), "--layer", "1"])
    return folder / "one" / "watch.html"


def data_of(text):
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)[1])


def test_it_needs_nothing_but_itself(made):
    text = made.read_text(encoding="utf-8")
    assert len(made.read_bytes()) < 2e6
    addresses = set(re.findall(r"https?://[^\s\"'<]+", text)) - {"http://www.w3.org/2000/svg"}
    assert not addresses, f"the page names {addresses}"
    assert not re.findall(r"(?:src|href)=(?!\"data:)|@import|fetch\(|XMLHttp", text)
    assert "default-src 'none'" in text and "{{" not in text
    assert "<std>" not in text, "a name with a tag in it is not escaped"


def test_its_numbers_are_those_of_the_log(made, folder):
    data = data_of(made.read_text(encoding="utf-8"))
    assert [arm["name"] for arm in data["arms"]] == ["zero", "one"] and data["names"] == ["<std>", "dia", "dib"]
    for arm in data["arms"]:
        log = read_records(folder / arm["name"] / "log.jsonl")
        refits = [r for r in log if r.get("layer") == 1]
        assert [m["step"] for m in arm["moments"]] == [r["step"] for r in refits] + [log[-1]["step"]]
        for m, r in zip(arm["moments"], refits):
            assert (m["code"], m["null"], m["angle"]) == (r["code_bits"], r["null_bits"], r["angle_degrees"])
            assert (m["entropy"], m["states"]) == (r["entropy_bits"], r["states"])
            assert m["label"] == f"refresh {r['refresh']}"
        first, second = (m["step"] for m in arm["moments"][:2])
        inside = [r["penalty_by_layer"]["1"] for r in log if "penalty" in r and first <= r["step"] < second]
        assert arm["moments"][0]["penalty"] == pytest.approx(np.mean(inside)), "the mean up to the next refresh"
        end = arm["moments"][-1]
        assert end["label"] == "the end" and end["code"] is None and end["dev_loss"] == log[-1]["dev_loss"]
        kept = load_checkpoint(folder / arm["name"])["watch"]["layers"][1]
        points = np.frombuffer(base64.b64decode(arm["points"]), "<i2").reshape(kept["places"].shape) * arm["scale"]
        np.testing.assert_allclose(points, kept["places"], atol=np.abs(points).max() / FINEST)
        assert all(0 < m["inside"] < 100 for m in arm["moments"])


def cells_of(text, caption):
    """Rows of the table with a caption that begins so, as text."""
    found = re.search(rf"<caption>{re.escape(caption)}.*?<tbody>(.*?)</tbody>", text, re.S)[1]
    rows = re.findall(r"<tr>(.*?)</tr>", found, re.S)
    return [[html.unescape(re.sub("<.*?>", "", cell)) for cell in re.findall(r"<td.*?</td>", row)] for row in rows]


def test_without_a_script_its_tables_hold_the_same(made):
    text = made.read_text(encoding="utf-8")
    for arm in data_of(text)["arms"]:
        rows = cells_of(text, f"{arm['name']} (")
        for row, m in zip(rows, arm["moments"], strict=True):
            assert row[:2] == [m["label"], str(m["step"])]
            assert row[2] == ("–" if m["code"] is None else f"{m['code']:.3f}")
            assert row[6] == ("–" if m["angle"] is None else f"{m['angle']:.1f}")
        said = cells_of(text, f"{arm['name']}: translations")
        assert said[0][1:] == [s["source"] for s in arm["sentences"]]
        for i, row in enumerate(said[2:]):
            assert row[1:] == [" ".join(word for word, _ in s["outputs"][i]) for s in arm["sentences"]]


def test_words_have_the_colours_of_their_kinds(made, folder):
    """Counted anew by word_kinds, which the study uses."""
    corpus = run_corpus(folder / "one")
    types = vocabularies(corpus)
    for arm in data_of(made.read_text(encoding="utf-8"))["arms"]:
        assert len(arm["sentences"]) == 5
        for s in arm["sentences"]:
            assert s["direction"] == ["rtl", "rtl"]
            key, target = s["id"].split()
            assert corpus.texts[key][target] == s["reference"] and corpus.texts[key]["<std>"] == s["source"]
            for output in s["outputs"]:
                told = " ".join(word for word, _ in output)
                d = direction("<std>", target, [key], [s["source"]], [s["reference"]], [told])
                counts = [sum(kind == k for _, kind in output) for k in range(len(KINDS))]
                assert counts == word_kinds(d, types)[0, :, 0].tolist()


@pytest.mark.parametrize("text, expected", [("سلام hello", "rtl"), ("hello سلام", "ltr"), ("«12» سلام", "rtl"),
                                            ("שלום", "rtl"), ("12.", "ltr"), ("", "ltr")])
def test_direction_is_that_of_the_first_letter(text, expected):
    assert direction_of(text) == expected


def test_what_it_is_told_to_show_it_shows(folder, tmp_path, capsys):
    out = tmp_path / "new" / "page.html"
    main(["watch", str(folder / "zero"), "--layer", "0", "--out", str(out)])
    assert f"written to {out}" in capsys.readouterr().out
    text = out.read_text(encoding="utf-8")
    assert len(data_of(text)["arms"]) == 1 and "at layer 0" in text
    out.write_text("old", encoding="utf-8")
    main(["watch", str(folder / "last"), "--against", str(folder / "zero"), "--out", str(out)])
    assert "at layer 1" in out.read_text(encoding="utf-8"), "the first layer that both have a probe at"


def test_of_a_demo_the_last_arm_is_shown_beside_the_first(folder, tmp_path, capsys):
    demo = tmp_path / "demo"
    main(["demo", "--run", str(demo), "--corpus", str(folder / "corpus.tsv"), "--standard", "<std>", *SMALL, *PROBE,
          "--pretrain-epochs", "1", "--layer", "1", "--arms", "random,plain"])
    main(["watch", str(demo)])
    arms = data_of((demo / "watch.html").read_text(encoding="utf-8"))["arms"]
    assert [arm["name"] for arm in arms] == ["random", "plain"]


def test_overwrite_deletes_the_page(folder, tmp_path):
    shutil.copytree(folder / "last", tmp_path / "run")
    main(["watch", str(tmp_path / "run")])
    main(["finetune", "--from", str(folder / "pre"), "--run", str(tmp_path / "run"), *PROBE, "--layer", "1", "--seed",
          "3", "--overwrite"])
    assert not (tmp_path / "run" / "watch.html").exists(), "the page of another run is left"


def refused(capsys, *argv):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["watch", *map(str, argv)])
    err = capsys.readouterr().err
    assert stop.value.code == 2 and err.count("\n") == 1, f"exit code {stop.value.code}, stderr: {err}"
    return err


def test_what_it_cannot_show_is_one_line(folder, tmp_path, capsys, monkeypatch):
    assert "no run directory" in refused(capsys, tmp_path / "nothing")
    assert "pretrain" in refused(capsys, folder / "pre")
    assert "--refreshes 0" in refused(capsys, folder / "bare")
    assert "--refreshes 0" in refused(capsys, folder / "one", "--against", folder / "bare")
    assert "--layer 3" in refused(capsys, folder / "one", "--layer", 3)
    assert "--layer 0" in refused(capsys, folder / "one", "--against", folder / "last", "--layer", 0)
    assert "is a folder" in refused(capsys, folder / "one", "--out", tmp_path)
    main(["finetune", "--from", str(folder / "pre"), "--run", str(tmp_path / "first"), *PROBE, "--layer", "0"])
    assert "different layers" in refused(capsys, folder / "last", "--against", tmp_path / "first")
    monkeypatch.setattr("tinydecouple.__version__", "0.9")
    assert "0.9" in refused(capsys, folder / "one")


def test_two_corpora_are_refused(folder, tmp_path, runs, capsys):
    assert "another corpus" in refused(capsys, folder / "last", "--against", runs / "plain")


def altered(folder, copy, change):
    """A copy of the run `one`, its checkpoint changed and its SHA-256 right."""
    shutil.copytree(folder / "one", copy)
    state = load_checkpoint(copy)
    change(state)
    save_checkpoint(copy, {name: value for name, value in state.items() if name != "config_sha256"})
    (copy / "checkpoint-before.pt").unlink()
    return copy


@pytest.mark.parametrize("change, told", [
    (lambda s: s.pop("watch"), "version that did not record"), (lambda s: s.update(watch=None), "did not record"),
    (lambda s: s.update(complete=False), "run its training command again"),
    (lambda s: s["watch"]["tokens"].fill_(10**6), "damaged"), (lambda s: s["watch"]["variety"].fill_(9), "damaged"),
    (lambda s: s["watch"]["sentences"][0].__setitem__(0, "no such key"), "damaged"),
    (lambda s: s["watch"]["layers"][0].pop("arrow"), "damaged"), (lambda s: s.update(log="{"), "damaged")])
def test_a_run_that_holds_no_record_or_a_damaged_one(folder, tmp_path, capsys, change, told):
    assert told in refused(capsys, altered(folder, tmp_path / "copy", change))


def test_a_flipped_bit_is_found(folder, tmp_path, capsys):
    shutil.copytree(folder / "one", tmp_path / "copy")
    spoilt = bytearray((tmp_path / "copy" / "checkpoint.pt").read_bytes())
    spoilt[len(spoilt) // 2] ^= 4
    (tmp_path / "copy" / "checkpoint.pt").write_bytes(spoilt)
    assert "checkpoint.pt: damaged" in refused(capsys, tmp_path / "copy")


class Browser:
    """A headless Chromium, driven over the pipe that --remote-debugging-pipe opens on descriptors 3 and 4."""

    def __init__(self, binary, profile):
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        import fcntl  # not on Windows, where the browser is skipped

        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (theirs_in, theirs_out)]

        def connect():
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            [binary, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             f"--user-data-dir={profile}", "--window-size=1200,1600", "--remote-debugging-pipe"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=connect, close_fds=False)
        for fd in (theirs_in, theirs_out, *high):
            os.close(fd)
        self.read, self.write, self.number, self.events = open(ours_in, "rb", 0), open(ours_out, "wb", 0), 0, []
        self.rest, self.session = b"", None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def message(self):
        while b"\0" not in self.rest:
            if not select.select([self.read], [], [], 60)[0]:
                raise TimeoutError("the browser has said nothing for a minute")
            if not (more := self.read.read(1 << 16)):
                raise EOFError("the browser has ended")
            self.rest += more
        one, self.rest = self.rest.split(b"\0", 1)
        return json.loads(one)

    def call(self, method, **parameters):
        self.number += 1
        sent = {"id": self.number, "method": method, "params": parameters}
        self.write.write(json.dumps(sent | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        while (answer := self.message()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, path, step=""):
        self.call("Page.navigate", url="about:blank")
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri() + step)
        ready = f"document.readyState === 'complete' && location.href.startsWith('{path.as_uri()}')"
        for _ in range(600):
            with contextlib.suppress(AssertionError):  # while the old page goes away
                if self.value(ready):
                    return
            time.sleep(0.1)
        raise TimeoutError(f"{path} was not loaded within a minute")

    def value(self, script):
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key, **more):
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, **more)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.read.close()
        self.write.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    played = sorted(Path.home().glob(".cache/ms-playwright/chromium*/chrome-linux*/*"))
    binary = next(filter(None, map(shutil.which, (*BROWSERS, *(p for p in played if p.name in BROWSERS)))), None)
    if not binary or os.name == "nt":
        pytest.skip("no Chromium here; apt-get install chromium brings one")
    browser = Browser(binary, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


STATE = """({step: document.getElementById("now").textContent, at: document.getElementById("moment").value,
  said: document.getElementById("spoken").textContent,
  focus: document.activeElement.id || document.activeElement.tagName,
  words: [...document.querySelectorAll("#sentences .text")].map(e => e.textContent),
  ink: [...document.querySelectorAll("canvas")].map(c => c.toDataURL().length)})"""


def test_a_browser_shows_it_by_keyboard_alone(browser, made):
    """Real keys: Tab to the slider, arrows along the run; numbers, words and picture follow; nothing goes wrong."""
    data = data_of(made.read_text(encoding="utf-8"))
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    browser.open(made)
    steps = sorted({m["step"] for arm in data["arms"] for m in arm["moments"]})
    first = browser.value(STATE)
    assert first["step"] == f"step 0 of {steps[-1]}" and all(f"{arm['name']}: refresh 0" in first["said"]
                                                            for arm in data["arms"])
    browser.press("ArrowRight", windowsVirtualKeyCode=39)  # nothing has the focus
    assert browser.value(STATE)["step"].startswith(f"step {steps[1]} ")
    for _ in range(2):
        browser.press("Tab", windowsVirtualKeyCode=9)
    seen = browser.value(STATE)
    assert seen["focus"] == "moment", f"two tabs lead to {seen['focus']}, not to the slider"
    assert browser.value("getComputedStyle(document.activeElement).outlineStyle") == "solid", "the focus is not seen"
    browser.press("End", windowsVirtualKeyCode=35)
    last = browser.value(STATE)
    assert last["step"] == f"step {steps[-1]} of {steps[-1]}" and "the end" in last["said"]
    assert all(a != b for a, b in zip(first["ink"], last["ink"])), "the picture stays as it was"
    told = [s["outputs"][-1] for arm in data["arms"] for s in arm["sentences"]]
    for output in told:
        assert (" ".join(word for word, _ in output) or "–") in last["words"]
    wrong = [e["params"] for e in browser.events if e.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded")]
    assert not wrong, f"the page complains: {wrong}"
    asked = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    assert all(url.startswith(("file:", "data:")) for url in asked), f"the page asks the network for {asked}"
    unnamed = browser.value("""[...document.querySelectorAll("input, select, button, canvas, svg")].filter(e =>
      !(e.labels?.length || e.textContent.trim() || e.getAttribute("aria-label"))).map(e => e.outerHTML)""")
    assert not unnamed, f"without a name for a screen reader: {unnamed}"


def test_a_browser_lays_arabic_out_from_the_right(browser, made):
    browser.open(made)
    places = browser.value("""[...document.querySelectorAll("#sentences .text")].map(e => {
      const words = [...e.querySelectorAll(".word")].map(w => w.getBoundingClientRect().left);
      return [getComputedStyle(e).direction, getComputedStyle(e).unicodeBidi, words]; })""")
    assert places and all(place[0] == "rtl" and place[1] == "isolate" for place in places)
    lines = [words[:2] for _, _, words in places if len(words) > 1]
    assert lines and all(first > second for first, second in lines), "the first word is not the rightmost"


def test_a_browser_shows_it_dark_and_light(browser, made):
    colours = {}
    for scheme in ("light", "dark"):
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        browser.open(made)
        style = browser.value("(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))")
        colours[scheme] = [np.mean([int(part) for part in re.findall(r"\d+", c)[:3]]) for c in style]
    (paper, ink), (night, chalk) = colours["light"], colours["dark"]
    assert paper > 200 > 100 > ink and night < 60 < 180 < chalk, colours


def test_a_browser_without_scripts_shows_the_tables(browser, made):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(made)
        shown = browser.value("""(() => { const seen = e => e.getBoundingClientRect().height > 0;
          return [[...document.querySelectorAll("table")].map(seen), seen(document.getElementById("moment"))]; })()""")
        assert shown == [[True] * 4, False], "four tables, and no slider that does nothing"
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_a_page_of_one_run_is_text(folder):
    """The function behind the command takes paths and gives text, for a notebook."""
    assert page(folder / "last").startswith("<!DOCTYPE html>")
