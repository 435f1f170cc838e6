"""Batched decoding with a key-value cache: greedy, or beam search.

Prompts of one length go together, so that no batch needs padding.
"""

from itertools import groupby

import torch
from torch import Tensor
from tqdm import tqdm

from tinydecouple.model.transformer import Transformer


class Contrasted:
    """A model for `decode` whose logits are log p(piece | tag) - alpha log p(piece | other tag).

    The prompt's last token is the tag; the other one takes its place in a second pass (contrastive
    decoding, Li et al. 2023). plausible: pieces whose p is below this share of the largest get
    minus infinity.
    """

    def __init__(self, model: Transformer, other: int, alpha: float, plausible: float = 0.0):
        self.model, self.other, self.alpha, self.plausible = model, other, alpha, plausible
        self.embedding = model.embedding

    def new_cache(self, b: int, most: int) -> Tensor:
        """Room for both passes: that of the second lies behind the heads of the first."""
        return torch.cat([self.model.new_cache(b, most)] * 2, dim=3)

    def __call__(self, tokens: Tensor, cache: Tensor, start: int = 0) -> list[Tensor]:
        """(b, t) -> [(b, t, 2d)]: the last states of both passes."""
        others = tokens.clone()
        if not start:
            others[:, -1] = self.other
        passes = zip((tokens, others), cache.chunk(2, dim=3))
        return [torch.cat([self.model(ids, part, start)[-1] for ids, part in passes], dim=-1)]

    def logits(self, h: Tensor) -> Tensor:
        """(…, 2d) -> (…, v)."""
        ours, others = (torch.log_softmax(self.model.logits(part), dim=-1)
                        for part in h.chunk(2, dim=-1))
        left_out = ours.exp() < self.plausible * ours.max(dim=-1, keepdim=True).values.exp()
        return (ours - self.alpha * others).masked_fill(left_out, -torch.inf)


def longest_output(prompt_length: int) -> int:
    """Most new tokens to decode for a prompt: more than twice its length is no translation."""
    return 2 * prompt_length + 10


@torch.inference_mode()
def decode(model: Transformer | Contrasted, prompts: list[list[int]], end: int, beam: int = 1,
           batch: int = 512, label: str = "decoding", end_bias: float = 0.0) -> list[list[int]]:
    """Continue each prompt until the end symbol, which is left out; results in prompt order.

    beam: 1 is greedy; more keeps that many hypotheses per prompt. batch: hypotheses decoded at
    once. end_bias: added to the logit of the end symbol; above 0, outputs get shorter.
    """
    device = model.embedding.weight.device
    outputs: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    with tqdm(total=len(prompts), desc=label, unit=" sentences", disable=None, leave=False) as bar:
        for _, same_length in groupby(order, key=lambda i: len(prompts[i])):
            indices = list(same_length)
            for first in range(0, len(indices), max(1, batch // beam)):
                group = indices[first:first + max(1, batch // beam)]
                tokens = torch.tensor([prompts[i] for i in group], device=device)
                if beam == 1:
                    new = greedy(model, tokens, end, end_bias)
                else:
                    new = beam_search(model, tokens, end, beam, end_bias)
                for i, row in zip(group, new.tolist()):
                    outputs[i] = row[:row.index(end)] if end in row else row
                bar.update(len(group))
    return outputs


def biased(logits: Tensor, end: int, end_bias: float) -> Tensor:
    """(b, v) logits, with end_bias added to that of the end symbol, in place."""
    if end_bias:
        logits[:, end] += end_bias
    return logits


def greedy(model: Transformer | Contrasted, tokens: Tensor, end: int,
           end_bias: float = 0.0) -> Tensor:
    """(b, t) prompts -> (b, longest_output(t)) most likely next tokens, padded with `end`."""
    b, t = tokens.shape
    new = torch.full((b, longest_output(t)), end, device=tokens.device)
    active = torch.arange(b, device=tokens.device)
    cache = model.new_cache(b, t + new.shape[1])
    start = 0
    for i in range(new.shape[1]):
        logits = biased(model.logits(model(tokens, cache, start)[-1][:, -1]), end, end_bias)
        start += tokens.shape[1]
        tokens = logits.argmax(dim=-1, keepdim=True)  # (b, 1)
        if i:  # what has ended stays so
            tokens = torch.where(new[active, i - 1:i] == end, end, tokens)
        new[active, i] = tokens[:, 0]
        unfinished = tokens[:, 0] != end
        left = int(unfinished.sum())
        if not left:
            break
        if left <= 0.75 * len(active):  # finished rows leave the batch, many at once
            active, tokens, cache = active[unfinished], tokens[unfinished], cache[:, :, unfinished]
    return new


def beam_search(model: Transformer | Contrasted, tokens: Tensor, end: int, beam: int,
                end_bias: float = 0.0) -> Tensor:
    """Like greedy, but with the `beam` best hypotheses per prompt kept at every step.

    Returns the hypothesis of highest log-probability per token.
    """
    b, t = tokens.shape
    most = longest_output(t)
    cache = model.new_cache(b, t + most)
    logits = biased(model.logits(model(tokens, cache)[-1][:, -1]), end, end_bias)  # (b, v)
    log_p = torch.log_softmax(logits, dim=-1)
    beam, v = min(beam, log_p.shape[-1]), log_p.shape[-1]
    score, last = log_p.topk(beam, dim=-1)  # (b, beam)
    cache = cache.repeat_interleave(beam, dim=2)  # (blocks, 2, b * beam, …)
    new = last[..., None]  # (b, beam, 1)
    length = torch.ones_like(score)
    only_end = torch.full((v,), -torch.inf, device=tokens.device)
    only_end[end] = 0
    while new.shape[-1] < most and not (new[..., -1] == end).all():
        done = new[..., -1] == end  # a finished hypothesis stays as it is, at no cost
        newest = new[..., -1].reshape(-1, 1)  # (b * beam, 1)
        start = t + new.shape[-1] - 1
        logits = biased(model.logits(model(newest, cache, start)[-1][:, -1]), end, end_bias)
        log_p = torch.log_softmax(logits, dim=-1)
        log_p = torch.where(done[..., None], only_end, log_p.view(b, beam, v))
        length = length + ~done
        # (b, beam * v) -> (b, beam)
        score, best = (score[..., None] + log_p).view(b, -1).topk(beam, dim=-1)
        parent = best // v  # the hypothesis that each survivor continues
        rows = (parent + beam * torch.arange(b, device=tokens.device)[:, None]).flatten()
        filled = cache[:, :, :, :, :start + 1]
        filled[:] = filled[:, :, rows]  # the right-hand side is a copy
        length = length.gather(1, parent)
        kept = new.gather(1, parent[..., None].expand_as(new))
        new = torch.cat((kept, (best % v)[..., None]), dim=-1)
    winner = (score / length).argmax(dim=-1)
    return new[torch.arange(b, device=tokens.device), winner]
