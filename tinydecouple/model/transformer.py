"""A small decoder-only transformer: pre-norm, rotary positions, no biases, tied embeddings.

Written to be read beside transformer formulas: every line that changes a shape says so.
Sizes: b sequences, t positions, d width, a heads, v vocabulary.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.options import option

Cache = list[tuple[Tensor, Tensor]]  # one pair per block: keys and values so far, each (b, a, t, d/a)


@dataclass(frozen=True)
class ModelOptions:
    vocabulary: int = option(4000, "pieces of the tokeniser, tags and 256 bytes included", least=1)
    width: int = option(128, "width d of the hidden states", least=1)
    blocks: int = option(4, "transformer blocks", least=1)
    heads: int = option(4, "attention heads; width / heads must be even", least=1)


def rotate(x: Tensor, start: int) -> Tensor:
    """Turn each pair of features by an angle that grows with the position (Su et al. 2021, RoFormer, eq. 34).

    x: (b, a, t, d/a), its first position being `start`. Queries and keys then meet by distance alone.
    """
    half = x.shape[-1] // 2
    frequency = 10_000 ** (-torch.arange(half, device=x.device, dtype=x.dtype) / half)
    angle = torch.arange(start, start + x.shape[-2], device=x.device, dtype=x.dtype)[:, None] * frequency  # (t, d/2a)
    first, second = x.chunk(2, dim=-1)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)


class Block(nn.Module):
    """h + attention(norm(h)), then h + mlp(norm(h))."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attention_norm, self.mlp_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.mlp_in = nn.Linear(width, 4 * width, bias=False)
        self.mlp_out = nn.Linear(4 * width, width, bias=False)

    def forward(self, h: Tensor, past: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        b, t, d = h.shape
        q, k, v = (x.view(b, t, self.heads, d // self.heads).transpose(1, 2)  # (b, t, d) -> (b, a, t, d/a)
                   for x in self.query_key_value(self.attention_norm(h)).chunk(3, dim=-1))
        start = past[0].shape[-2] if past else 0
        q, k = rotate(q, start), rotate(k, start)
        if past:
            k, v = torch.cat((past[0], k), dim=-2), torch.cat((past[1], v), dim=-2)  # (b, a, start + t, d/a)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=t > 1)  # one new position may see all before it
        h = h + self.attention_out(mixed.transpose(1, 2).reshape(b, t, d))  # (b, a, t, d/a) -> (b, t, d)
        return h + self.mlp_out(F.relu(self.mlp_in(self.mlp_norm(h)))), (k, v)


class Transformer(nn.Module):
    """tokens -> hidden states of every block -> logits of the next token."""

    def __init__(self, vocabulary: int, width: int, blocks: int, heads: int, generator: torch.Generator | None = None):
        """Initialise from `generator`; raises TinyDecoupleError for sizes that do not fit together."""
        super().__init__()
        if width % heads or (width // heads) % 2:
            raise TinyDecoupleError(f"`width` {width} over `heads` {heads}: width / heads must be a whole, even number")
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.final_norm = nn.RMSNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:  # what is added to the residual stream starts smaller: 2 additions per block
                std = 0.02 / math.sqrt(2 * blocks) if name.endswith("_out.weight") else 0.02
                nn.init.normal_(parameter, std=std, generator=generator)

    def forward(self, tokens: Tensor, cache: Cache | None = None, last: int | None = None) -> list[Tensor]:
        """Hidden states (b, t, d): the embeddings, then the residual stream after each block; blocks + 1 in all.

        tokens: (b, t) ids. cache: an empty list to be filled, or one filled by earlier positions, then
        extended in place; with a filled cache pass one new position at a time. last: stop after so many blocks.
        """
        states = [self.embedding(tokens)]  # (b, t) -> (b, t, d)
        for i, block in enumerate(self.blocks[:last]):
            h, keys_values = block(states[-1], cache[i] if cache and len(cache) > i else None)
            states.append(h)
            if cache is not None:
                cache[i:i + 1] = [keys_values]
        return states

    def logits(self, h: Tensor) -> Tensor:
        """(…, d) states after the last block -> (…, v), through the embedding used the other way round."""
        return F.linear(self.final_norm(h), self.embedding.weight)


def pick_device(name: str) -> torch.device:
    """auto: a CUDA device if there is one. Raises TinyDecoupleError if cuda is asked for and absent."""
    if name == "cuda" and not torch.cuda.is_available():
        raise TinyDecoupleError("`device` cuda: this PyTorch sees no CUDA device; use cpu or auto")
    return torch.device("cuda" if name == "auto" and torch.cuda.is_available() else name.replace("auto", "cpu"))
