"""Decoding against the simplest thing that could be right: recomputing everything, and trying every output."""

import itertools

import pytest
import torch

from tinydecouple.model import decode as decoding
from tinydecouple.model.decode import Contrasted, beam_search, decode, greedy
from tinydecouple.model.transformer import Transformer


@torch.no_grad()
def slow_greedy(model, prompt, end, end_bias=0.0):
    """One sentence, no cache, no batch."""
    tokens = list(prompt)
    for _ in range(decoding.longest_output(len(prompt))):
        logits = model.logits(model(torch.tensor([tokens]))[-1][0, -1])
        logits[end] += end_bias if end >= 0 else 0
        new = int(logits.argmax())
        if new == end:
            break
        tokens.append(new)
    return tokens[len(prompt):]


def some_prompts():
    generator = torch.Generator().manual_seed(2)
    return [torch.randint(3, 40, (length,), generator=generator).tolist() for length in (5, 3, 5, 8, 3, 5)]


def test_batched_greedy_equals_one_at_a_time(model):
    prompts = some_prompts()
    free = [slow_greedy(model, p, -1) for p in prompts]
    end = free[0][4]  # an end symbol that some outputs meet and others do not
    expected = [slow_greedy(model, p, end) for p in prompts]
    assert len({len(e) for e in expected}) > 1, "the case is too easy: all outputs have one length"
    assert decode(model, prompts, end) == expected
    assert decode(model, prompts, end, batch=2) == expected, "batching changed the outputs"


@pytest.mark.parametrize("beam", [1, 3])
def test_a_bias_on_the_end_symbol_changes_lengths_alone(model, beam):
    """Above 0 outputs end sooner, below 0 later; at a beam of 1 they are those of the definition."""
    prompts = some_prompts()
    end = slow_greedy(model, prompts[0], -1)[4]
    lengths = []
    for bias in (-100.0, 0.0, 3.0, 100.0):
        outputs = decode(model, prompts, end, beam, end_bias=bias)
        lengths.append(sum(map(len, outputs)))
        if beam == 1:
            assert outputs == [slow_greedy(model, p, end, bias) for p in prompts]
    assert lengths == sorted(lengths, reverse=True) and lengths[-1] == 0 and lengths[0] > lengths[1], lengths
    assert lengths[0] == sum(decoding.longest_output(len(p)) for p in prompts)


def test_a_beam_of_one_is_greedy(model):
    prompts = [p for p in some_prompts() if len(p) == 5]
    end = slow_greedy(model, prompts[0], -1)[4]
    new = beam_search(model, torch.tensor(prompts), end, beam=1).tolist()
    cut = [row[:row.index(end)] if end in row else row for row in new]
    assert cut == [slow_greedy(model, p, end) for p in prompts]


@torch.no_grad()
def small_model(vocabulary, seed):
    """Random weights, large enough that outputs differ."""
    model = Transformer(vocabulary, 8, 1, 2, torch.Generator().manual_seed(seed)).eval()
    for p in model.parameters():
        if p.dim() == 2:
            p.mul_(30)
    return model


@torch.no_grad()
def test_a_wide_beam_finds_the_best_of_all_outputs(monkeypatch):
    """Five symbols, at most two new ones: so few that all are scored."""
    model = small_model(5, 4)
    monkeypatch.setattr(decoding, "longest_output", lambda t: 2)
    end, prompt = 0, [1, 2]
    outputs = [o for n in (1, 2) for o in itertools.product(range(5), repeat=n)
               if end not in o[:-1] and (o[-1] == end or n == 2)]

    def score(output):
        log_p = torch.log_softmax(model.logits(model(torch.tensor([prompt + list(output)]))[-1][0]), dim=-1)
        return sum(log_p[len(prompt) - 1 + i, token].item() for i, token in enumerate(output)) / len(output)

    best = max(outputs, key=score)
    expected = list(best[:-1] if best[-1] == end else best)
    assert decode(model, [prompt], end, beam=5) == [expected], "a beam as wide as the search must find the best"
    assert decode(model, [prompt, prompt], end, beam=3)[0] == decode(model, [prompt], end, beam=3)[0]


@torch.no_grad()
def slow_beam(model, prompt, end, beam):
    """Beam search written as its definition: a list of hypotheses, everything recomputed, one sentence, no cache.

    Returns the best hypothesis by log-probability per token, and the best by log-probability alone.
    """
    kept = [([], 0.0)]
    for _ in range(decoding.longest_output(len(prompt))):
        candidates = [h for h in kept if h[0] and h[0][-1] == end]
        going = [h for h in kept if not h[0] or h[0][-1] != end]  # all of one length
        states = model(torch.tensor([[*prompt, *output] for output, _ in going]))[-1][:, -1]
        for (output, score), log_p in zip(going, torch.log_softmax(model.logits(states), dim=-1)):
            best = log_p.topk(beam)  # no hypothesis has more than `beam` descendants among the `beam` best
            candidates += [([*output, i], score + p) for p, i in zip(best.values.tolist(), best.indices.tolist())]
        kept = sorted(candidates, key=lambda h: -h[1])[:beam]
        if all(output[-1] == end for output, _ in kept):
            break
    chosen = (max(kept, key=lambda h: h[1] / len(h[0]))[0], max(kept, key=lambda h: h[1])[0])
    return [output[:-1] if output[-1] == end else output for output in chosen]


def test_batched_beam_equals_its_definition(monkeypatch):
    """Small models, many of them: hypotheses that end early, change places and win by their length all occur."""
    monkeypatch.setattr(decoding, "longest_output", lambda t: 6)
    prompts, end, differs = [[1, 2, 3], [2, 2], [4, 1, 5], [3, 6, 1]], 0, 0
    for seed in range(25):
        model = small_model(7, seed)
        expected, by_sum = zip(*(slow_beam(model, p, end, 3) for p in prompts))
        differs += expected != by_sum
        assert decode(model, prompts, end, beam=3) == list(expected), f"model {seed}: the cache loses its hypothesis?"
    assert differs > 5, f"the cases are too easy: dividing by the length mattered in {differs} of 25"


@pytest.mark.parametrize("beam", [1, 3])
def test_no_more_hypotheses_at_once_than_asked(monkeypatch, beam):
    """`batch` bounds memory: sentences times beam, whatever the search."""
    rows, name = [], "greedy" if beam == 1 else "beam_search"
    real = getattr(decoding, name)
    monkeypatch.setattr(decoding, name, lambda model, tokens, *rest: (
        rows.append(len(tokens)) or real(model, tokens, *rest)))
    decode(small_model(7, 1), [[1, 2]] * 10, 0, beam=beam, batch=6)
    assert rows == ([6, 4] if beam == 1 else [2] * 5), f"sentences at once: {rows}"


def test_nothing_to_do(model):
    assert decode(model, [], 0) == []


@pytest.mark.parametrize("beam", [1, 3])
def test_a_model_that_never_ends_is_stopped(model, beam):
    out = decode(model, [[5, 6, 7]], end=-1 if beam == 1 else 1, beam=beam)[0]
    assert len(out) <= decoding.longest_output(3)


def test_what_has_ended_stays_ended(model):
    """Rows leave the batch together; one that waits for it is padded, whatever the model would say next."""
    prompts = torch.randint(3, 40, (16, 5), generator=torch.Generator().manual_seed(4))
    free = greedy(model, prompts, -1).tolist()
    met = {end: sum(end in row[:9] for row in free) for row in free for end in row[:9]}
    end = next(end for end, rows in met.items() if rows in (1, 2))  # so few that they do not leave the batch
    rows = greedy(model, prompts, end).tolist()
    stops = [row.index(end) if end in row else len(row) for row in rows]
    assert min(stops) < 9 and len(set(stops)) > 1, "the case is too easy: no row waits for others"
    for row, stop in zip(rows, stops):
        assert set(row[stop:]) <= {end}, f"{row}: goes on after its end, at {stop}"


@torch.no_grad()
def contrasted_log_p(model, prompt, output, other, alpha, plausible):
    """The definition, everything recomputed: what comes after prompt and output, by log p - alpha log p under other."""
    ours, others = (torch.log_softmax(model.logits(model(torch.tensor([[*start, *output]]))[-1][0, -1]), dim=-1)
                    for start in (prompt, [*prompt[:-1], other]))
    scores = ours - alpha * others
    scores[ours.exp() < plausible * ours.exp().max()] = -torch.inf
    return torch.log_softmax(scores, dim=-1)


@pytest.mark.parametrize("alpha, plausible", [(0.5, 0.0), (0.5, 0.3), (0.0, 0.0)])
def test_a_contrasted_model_decodes_by_the_definition(model, alpha, plausible):
    """Greedy, with rows that end early and leave the batch, as if each sentence were alone."""
    prompts, other = some_prompts(), 7
    against = Contrasted(model, other, alpha, plausible)

    def alone(prompt, end):
        output = []
        while len(output) < decoding.longest_output(len(prompt)):
            new = int(contrasted_log_p(model, prompt, output, other, alpha, plausible).argmax())
            if new == end:
                break
            output.append(new)
        return output

    end = alone(prompts[0], -1)[4]
    expected = [alone(p, end) for p in prompts]
    assert len({len(e) for e in expected}) > 1, "the case is too easy: all outputs have one length"
    assert decode(against, prompts, end) == expected
    plain = decode(model, prompts, end)
    assert (plain == expected) == (alpha == 0), "the contrast changes nothing, or is there at alpha 0"


def test_a_contrasted_beam_keeps_both_caches_with_their_hypothesis(monkeypatch):
    monkeypatch.setattr(decoding, "longest_output", lambda t: 5)
    end, beam = 0, 3
    for seed in range(12):
        model, prompt = small_model(7, seed), [1, 2, 3]
        kept = [([], 0.0)]
        for _ in range(5):
            longer = [(o, s) for o, s in kept if o and o[-1] == end]
            for output, score in (h for h in kept if not h[0] or h[0][-1] != end):
                log_p = contrasted_log_p(model, prompt, output, 5, 0.6, 0.0)
                longer += [([*output, i], score + p) for i, p in enumerate(log_p.tolist())]
            kept = sorted(longer, key=lambda h: -h[1])[:beam]
        best = max(kept, key=lambda h: h[1] / len(h[0]))[0]
        got = decode(Contrasted(model, 5, 0.6), [prompt, [2, 2, 4]], end, beam=beam)[0]
        assert got == [i for i in best if i != end], f"model {seed}: got {got}, expected {best}"
