"""Random and mutated input for everything that reads: a TinyDecoupleError of one line, or success; and round trips.

A case is a seed. One that fails names its seed: FUZZ=17 pytest tests/test_fuzz.py runs case 17 alone.
"""

import copy
import dataclasses
import io
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tinydecouple.cli import parser
from tinydecouple.corpus_command import options
from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation.probe_report import read_states
from tinydecouple.evaluation.readback import read_result
from tinydecouple.study.plan import PLANS, read_plan
from tinydecouple.text.corpus import ParallelCorpus, write_tsv
from tinydecouple.text.formats.mediawiki import plain_text
from tinydecouple.text.hygiene import clean
from tinydecouple.text.phrasebook.meanings import TABLES
from tinydecouple.text.phrasebook.tables import FILES, read_cities, read_lexicon
from tinydecouple.text.readers import FORMATS, CorpusOptions, load_corpus
from tinydecouple.text.splits import fold
from tinydecouple.training.checkpoint import load_checkpoint, load_config, load_model, save_checkpoint
from tinydecouple.training.validate import read_records

RANGES = ((32, 127), (0, 32), (0x80, 0x250), (0x300, 0x370), (0x600, 0x700), (0x900, 0x980), (0x1100, 0x1200),
          (0x2000, 0x2070), (0x3000, 0x3100), (0xe000, 0xe010), (0xfb50, 0xfe00), (0xfff0, 0x10000),
          (0x1f300, 0x1f400), (0xe0100, 0xe0110), (0x10fff0, 0x110000))
TOKENS = ("\t", "\n", "\r\n", "\0", "\ufeff", "\u2581", "\u2028", "\u200d", "{{", "}}", "[[", "]]", "<|std|>", "<0x41>",
          "</s>", "<unk>", "<!--", "&#", "PLURAL:", '"', "\\u0000", "\\ud83d", "NaN", "1e999", "9" * 50, "-1", ",",
          "{", "[")
LINES = "".join(f"k{i}\t{v}\t{v} text {chr(97 + i)}\n" for i in range(20) for v in ("en", "std", "dia"))
CORPORA = {  # format -> the files of a small corpus
    "tsv": {"c.tsv": "key\tvariety\ttext\n" + LINES},
    "madar": {"MADAR.corpus.Cairo.tsv": "sentID.BTEC\tsplit\tlang\tsent\n1\tcorpus-6-dev\tCAI\tyes\n",
              "MADAR.corpus.MSA.tsv": "sentID.BTEC\tsplit\tlang\tsent\n1\tcorpus-6-dev\tMSA\tno\n"},
    "flores": {"dev/arb_Arab.dev": "one\ntwo\n", "dev/arz_Arab.dev": "uno\ndue\n"},
    "tatoeba": {"sentences.csv": "1\teng\tYes.\n2\tarz\tاه\n3\tarb\tx\n", "links.csv": "1\t2\n1\t3\n"},
    "mediawiki": {"i18n/en.json": '{"@metadata": {}, "a": "A {{PLURAL:$1|b|c}} [[d|e]]"}',
                  "i18n/de.json": '{"a": "B"}'},
    "plain": {"a.de": "eins\nzwei\n", "a.nds": "een\ntwee\n"}}


def text(rng, most=30):
    """Any valid Unicode, with what means something to a reader strewn in."""
    parts = []
    for _ in range(rng.integers(most)):
        low, high = RANGES[rng.integers(len(RANGES))]
        parts.append(TOKENS[rng.integers(len(TOKENS))] if rng.random() < 0.2 else chr(rng.integers(low, high)))
    return "".join(parts)


def mutated(data, rng):
    """Bytes with one to four changes: flipped, cut out, doubled, put in, cut off, or all replaced."""
    for _ in range(rng.integers(1, 5)):
        a, b = sorted(rng.integers(len(data) + 1, size=2))
        b = min(b, a + 40)
        put = text(rng, 6).encode() if rng.random() < 0.7 else rng.bytes(rng.integers(1, 9))
        data = (data[:a] + put + data[a + len(put):], data[:a] + data[b:], data[:b] + data[a:b] * 3 + data[b:],
                data[:a] + put + data[a:], data[:a], rng.bytes(b))[rng.choice(6, p=(0.4, 0.15, 0.15, 0.2, 0.08, 0.02))]
    return data


def value(rng, depth=2):
    """A JSON value of any kind."""
    kinds = (None, True, 0, -1, 1.5, 10**30, float("nan"), float("inf"), "", text(rng), [], {}, "phrasebook", 1, 2**63)
    if depth and rng.random() < 0.3:
        return [value(rng, depth - 1)] if rng.random() < 0.5 else {text(rng, 5): value(rng, depth - 1)}
    return kinds[rng.integers(len(kinds))]


def spoil(tree, rng):
    """Change, remove or add one entry somewhere in nested dicts and lists; returns the tree."""
    node = tree
    while True:
        places = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not places:
            return tree
        at = places[rng.integers(len(places))]
        if isinstance(node[at], (dict, list)) and node[at] and rng.random() < 0.7:
            node = node[at]
            continue
        change = rng.integers(4)
        if change == 0:
            del node[at]
        elif change == 1 and isinstance(node, dict):
            node[text(rng, 4)] = value(rng)
        else:
            node[at] = value(rng)
        return tree


def reader(rng, folder, whole):
    name = list(CORPORA)[rng.integers(len(CORPORA))]
    for file, content in CORPORA[name].items():
        (folder / file).parent.mkdir(exist_ok=True)
        data = content.encode()
        (folder / file).write_bytes(mutated(data, rng) if rng.random() < 0.7 else data)
    path = folder / "c.tsv" if name == "tsv" else folder
    chosen = name if rng.random() < 0.7 else ["auto", *FORMATS][rng.integers(len(FORMATS) + 1)]
    load_corpus(CorpusOptions(str(path), format=chosen, standard=["std", "msa", "de", "arb"][rng.integers(4)],
                              lenient=bool(rng.random() < 0.7)), strict=bool(rng.random() < 0.3))


def tables(rng, folder, whole):
    for name in FILES[:2]:
        lines = (TABLES / name).read_bytes().split(b"\n")
        lines = lines[:1] + [lines[i] for i in rng.integers(1, len(lines), size=10)] if name != FILES[0] else lines
        (folder / name).write_bytes(mutated(b"\n".join(lines), rng) if rng.random() < 0.6 else b"\n".join(lines))
    read_lexicon(folder / FILES[1], read_cities(folder / FILES[0]))


def cleaning(rng, folder, whole):
    given = text(rng, 80)
    cleaned = clean(given, bool(rng.random() < 0.5))[0]
    assert clean(cleaned)[0] == cleaned, f"{given!a}: cleaned twice is not cleaned once"
    assert fold(fold(cleaned)) == fold(cleaned), f"{given!a}: folded twice is not folded once"
    plain_text(given)


def tokens(rng, folder, whole):
    texts = [clean(text(rng, 60))[0] for _ in range(3)]
    back = whole.tokenizer.decode(whole.tokenizer.encode(texts))
    assert back == texts, f"got {back!a}, expected {texts!a}: the tokeniser loses text"


def export(rng, folder, whole):
    """What is written as TSV reads back as the same corpus."""
    texts = {}
    for i in range(12):
        key = clean(f"{text(rng, 8)}k{i}")[0]
        texts[key] = {v: cleaned for v in ("d", "s") if (cleaned := clean(text(rng, 20))[0])}
    texts = {key: row for key, row in texts.items() if row} | {"last": {"s": "x", "d": "y"}}
    split = {key: ("train", "dev", "test")[rng.integers(3)] for key in texts}
    corpus = ParallelCorpus(texts, split, "s", None, ("d",))
    (folder / "c.tsv").write_text(write_tsv(corpus), encoding="utf-8", newline="")
    back = load_corpus(CorpusOptions(str(folder / "c.tsv"), standard="s", format="tsv"), strict=False)
    assert (back.texts, back.split) == (texts, split), f"got {back.texts!a}, expected {texts!a}"


def config(rng, folder, whole):
    spoilt = spoil(copy.deepcopy(whole.config), rng)
    data = json.dumps(spoilt).encode()
    (folder / "config.json").write_bytes(mutated(data, rng) if rng.random() < 0.3 else data)
    config = load_config(folder)
    CorpusOptions(**config["corpus"])


def log(rng, folder, whole):
    lines = [json.dumps(spoil(dict(record), rng) if rng.random() < 0.1 else record) for record in whole.log[:20]]
    data = "\n".join(lines).encode()
    (folder / "log.jsonl").write_bytes(mutated(data, rng) if rng.random() < 0.5 else data)
    read_records(folder / "log.jsonl")


def scores(rng, folder, whole):
    entry = {"name": "a", "scores": {"copy": 1.0, "one": 2.0, "two": 3.0}}
    result = {"rows": [entry], "leakage": [entry], "means": [entry | {"intervals": {"two": [0.0, 1.0]}}],
              "shares": [entry], "keys": 3}
    data = json.dumps(spoil(copy.deepcopy(result), rng)).encode()
    (folder / "scores.json").write_bytes(mutated(data, rng) if rng.random() < 0.3 else data)
    read_result(folder / "scores.json", ["one", "two"])


def plan(rng, folder, whole):
    data = json.dumps(spoil(json.loads((PLANS / "quick.json").read_bytes()), rng)).encode()
    (folder / "plan.json").write_bytes(mutated(data, rng) if rng.random() < 0.3 else data)
    list(read_plan(str(folder / "plan.json")).cells())


def checkpoint(rng, folder, whole):
    """Bytes of the archive, mostly outside of the tensors' own; or one entry of what it holds."""
    (folder / "config.json").write_text(json.dumps(whole.config), encoding="utf-8")
    if rng.random() < 0.5:
        data = bytearray(whole.checkpoint)
        at = rng.integers(2000) if rng.random() < 0.5 else len(data) - 1 - rng.integers(4000)
        data[at:at + 4] = rng.bytes(rng.integers(0, 9))
        (folder / "checkpoint.pt").write_bytes(bytes(data))
    else:
        state = copy.deepcopy(whole.state)
        if rng.random() < 0.5:
            state = spoil(state, rng)
        else:
            name = list(state["model"])[rng.integers(len(state["model"]))]
            shape = tuple(rng.integers(0, 5, size=rng.integers(0, 4)))
            dtype = (torch.float32, torch.int8, torch.complex64)[rng.integers(3)]
            state["model"][name] = torch.zeros(shape, dtype=dtype)
        save_checkpoint(folder, state)
    load_model(folder, torch.device("cpu"))


def states(rng, folder, whole):
    (folder / "s.npz").write_bytes(mutated(whole.npz, rng))
    read_states(folder / "s.npz", "a" if rng.random() < 0.5 else None)


def arguments(rng, folder, whole):
    top = parser()
    commands = top._subparsers._group_actions[0].choices
    name = list(commands)[rng.integers(len(commands))]
    argv, actions = [name], [a for a in commands[name]._actions if a.dest != "help"]
    for i in rng.integers(len(actions), size=rng.integers(1, 5)):
        given = str(value(rng, 0)) if rng.random() < 0.7 else text(rng)
        argv += [f"{actions[i].option_strings[0]}={given}"] if actions[i].option_strings else [given]
    args = top.parse_args(argv)
    if name in ("corpus", "pretrain"):
        options(CorpusOptions, SimpleNamespace(**{f.name: getattr(args, f.name) for f in
                                                  dataclasses.fields(CorpusOptions)}))


TARGETS = (reader, tables, cleaning, tokens, export, config, log, scores, checkpoint, states, arguments, plan)


@pytest.fixture(scope="module")
def whole(runs, tokenizer):
    """What is mutated: a run's files, whole, and a file of states."""
    file = io.BytesIO()
    rng = np.random.default_rng(0)
    np.savez_compressed(file, h=rng.normal(size=(20, 3)), y=np.arange(20) % 2, names=np.array(["a", "b"]),
                        keys=np.arange(20))
    run = runs / "plain"
    return SimpleNamespace(state=load_checkpoint(run), config=load_config(run),
                           log=read_records(run / "log.jsonl"), npz=file.getvalue(),
                           checkpoint=(run / "checkpoint.pt").read_bytes(), tokenizer=tokenizer)


def case(seed, folder, whole):
    """One case; its target follows from the seed, so that the seed alone runs it again."""
    target = TARGETS[seed % len(TARGETS)]
    try:
        target(np.random.default_rng(seed), folder, whole)
    except TinyDecoupleError as error:
        assert len(" ".join(str(error).split())) < 2000, f"seed {seed}, {target.__name__}: a message without end"
    except (Exception, SystemExit) as error:
        raise AssertionError(f"seed {seed}, {target.__name__}: {error!r}; expected success or TinyDecoupleError. "
                             f"Run this case again: FUZZ={seed} pytest tests/test_fuzz.py") from error


def run(seeds, folder: Path, whole):
    for seed in seeds:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        case(seed, folder, whole)


def test_300_cases(tmp_path, whole):
    seeds = [int(os.environ["FUZZ"])] if "FUZZ" in os.environ else range(300)
    run(seeds, tmp_path / "case", whole)


@pytest.mark.slow
def test_10000_cases(tmp_path, whole):
    run(range(300, 10_300), tmp_path / "case", whole)
