"""What is predicted, which variety a token belongs to, and how batches are cut."""

from collections import Counter

import numpy as np

from tinydecouple.training.batches import (
    IGNORE,
    NO_VARIETY,
    Example,
    bucket,
    collate,
    encode,
    finetuning_examples,
    pretraining_examples,
)


def test_a_batch_by_hand():
    """`<src> 10 11 <tgt> 20 </s>` beside a longer one: positions, labels and varieties, written out."""
    short = Example([3, 10, 11, 4, 20, 2], boundary=3, source=0, target=5)
    long = Example([4, 30, 3, 40, 41, 42, 2], boundary=2, source=NO_VARIETY, target=0)
    batch = collate([short, long], pad=9)
    assert batch.inputs.tolist() == [[3, 10, 11, 4, 20, 9], [4, 30, 3, 40, 41, 42]]
    assert batch.labels.tolist() == [[IGNORE] * 3 + [20, 2, IGNORE], [IGNORE] * 2 + [40, 41, 42, 2]]
    assert batch.variety.tolist() == [[-1, 0, 0, -1, 5, -1], [-1, -1, -1, 0, 0, 0]], "tags, padding and pivot have none"
    assert batch.in_target.astype(int).tolist() == [[0, 0, 0, 0, 1, 0], [0, 0, 0, 1, 1, 1]]
    assert batch.to_standard.tolist() == [False, True]


def test_an_example_reads_back(corpus, tokenizer):
    example = encode(corpus, tokenizer, "train", "std", "a1")[0]
    key = corpus.keys("train", "std", "a1")[0]
    assert example.tokens[0] == tokenizer.tag("std") and example.tokens[example.boundary] == tokenizer.tag("a1")
    assert tokenizer.decode([example.tokens[:example.boundary], example.tokens[example.boundary:]]) == \
        [corpus.texts[key]["std"], corpus.texts[key]["a1"]]
    assert example.tokens[-1] == tokenizer.end and (example.source, example.target) == (0, 1)


def test_every_example_once_within_the_budget(corpus, tokenizer, rng):
    examples = finetuning_examples(corpus, tokenizer, "train")
    batches = bucket(examples, 200, rng)
    assert sorted(id(e) for b in batches for e in b) == sorted(map(id, examples))
    widths = [len(b) * (max(len(e.tokens) for e in b) - 1) for b in batches]
    assert max(widths) <= 200
    longest = [max(len(e.tokens) for e in b) for b in batches]
    assert longest != sorted(longest), "an epoch goes from short to long sentences; are the batches shuffled?"
    used = sum(len(e.tokens) - 1 for e in examples)
    assert used / sum(widths) > 0.9, f"{used / sum(widths):.0%} of positions are used; is the order by length lost?"
    assert bucket(examples[:1], 1, rng) == [examples[:1]], "an example over the budget makes a batch of its own"


def test_batches_hang_on_the_generator_alone(corpus, tokenizer):
    examples = finetuning_examples(corpus, tokenizer, "train")
    one, same, other = (bucket(examples, 300, np.random.default_rng(s)) for s in (1, 1, 2))
    assert one == same and one != other


def test_which_directions_train(corpus, tokenizer):
    fine = {(e.source, e.target) for e in finetuning_examples(corpus, tokenizer, "train")}
    assert fine == {(0, d) for d in range(1, 26)} | {(d, 0) for d in range(1, 26)}
    pre = pretraining_examples(corpus, tokenizer, "train", trickle=2)
    counts = Counter((e.source, e.target) for e in pre)
    train = len(corpus.keys("train"))
    for split in ("train", "dev", "test"):
        keys = {e.key for e in finetuning_examples(corpus, tokenizer, split)}
        assert keys <= set(corpus.keys(split)) and keys, f"{split} holds sentences of another split"
    assert [counts[pair] for pair in ((0, 0), (-1, 0), (0, -1), (0, 7), (7, 0))] == [train, train, train, 2, 2]
    assert len(counts) == 53


def test_noise_leaves_out_pieces_of_the_copied_source_only(corpus, tokenizer):
    plain = pretraining_examples(corpus, tokenizer, "train", 2)
    noisy = pretraining_examples(corpus, tokenizer, "train", 2, noise=0.4, rng=np.random.default_rng(0))
    copies = [(a, b) for a, b in zip(plain, noisy) if a.source == a.target]
    assert all(a == b for a, b in zip(plain, noisy) if a.source != a.target), "another direction has lost pieces"
    gone = sum(a.boundary - b.boundary for a, b in copies) / sum(a.boundary - 1 for a, _ in copies)
    assert 0.3 < gone < 0.5, f"{gone:.0%} of the pieces left out, expected about 40 %"
    for a, b in copies:
        assert b.tokens[b.boundary:] == a.tokens[a.boundary:], "the target is not what it was"
        assert b.tokens[0] == a.tokens[0] and b.tokens[b.boundary] == tokenizer.tag(corpus.standard)
