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

Cache = list[tuple[Tensor, Tensor]]  # per block, keys and values so far, each (b, a, t, d/a)

MOST_PARAMETERS = 2**28  # 1 GB of weights; AdamW and gradients take three times that on top


@dataclass(frozen=True)
class ModelOptions:
    vocabulary: int = option(4000, "pieces of the tokeniser, tags and 256 bytes included", least=1,
                             most=1_000_000)
    width: int = option(128, "width d of the hidden states", least=1, most=16_384)
    blocks: int = option(4, "transformer blocks", least=1, most=1024)
    heads: int = option(4, "attention heads; width / heads must be even", least=1, most=8192)


def rotations(start: int, t: int, features: int, like: Tensor) -> Tensor:
    """(t, d/2a) unit complex numbers exp(i * angle), for t positions from `start` on.

    features: d/a, those of one head; each pair of them has a frequency of its own, at which its
    angle grows with the position (Su et al. 2021, RoFormer, eq. 34).
    """
    half = features // 2
    frequency = 10_000 ** (-torch.arange(half, device=like.device, dtype=like.dtype) / half)
    position = torch.arange(start, start + t, device=like.device, dtype=like.dtype)
    angle = position[:, None] * frequency
    return torch.polar(torch.ones_like(angle), angle)


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Rotate each pair of neighbouring features, taken as a complex number.

    The product of a query and a key then depends on their positions through their distance alone.
    x: (b, t, 2, a, d/a), queries and keys.  turn: (t, d/2a), as `rotations` gives it.
    """
    # (b, t, 2, a, d/a) -> (b, t, 2, a, d/2a)
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turn[:, None, None]).flatten(-2)


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

    def forward(self, h: Tensor, turn: Tensor,
                past: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        b, t, d = h.shape
        qkv = self.query_key_value(self.attention_norm(h))
        qkv = qkv.view(b, t, 3, self.heads, d // self.heads)
        # (b, t, 2, a, d/a) -> two of (b, a, t, d/a)
        q, k = rotate(qkv[:, :, :2], turn).permute(2, 0, 3, 1, 4)
        v = qkv[:, :, 2].transpose(1, 2)  # (b, t, a, d/a) -> (b, a, t, d/a)
        seen = None  # position i sees positions 0 to i and, if there is one, the whole past
        if past:
            start = past[0].shape[-2]
            seen = torch.ones(t, start + t, dtype=torch.bool, device=h.device).tril(start)
            k = torch.cat((past[0], k), dim=-2)  # (b, a, start + t, d/a)
            v = torch.cat((past[1], v), dim=-2)
        mixed = F.scaled_dot_product_attention(q, k, v, seen, is_causal=past is None)
        joined = mixed.transpose(1, 2).reshape(b, t, d)  # (b, a, t, d/a) -> (b, t, d)
        h = h + self.attention_out(joined)
        return h + self.mlp_out(F.relu(self.mlp_in(self.mlp_norm(h)))), (k, v)


class Transformer(nn.Module):
    """tokens -> hidden states of every block -> logits of the next token."""

    def __init__(self, vocabulary: int, width: int, blocks: int, heads: int,
                 generator: torch.Generator | None = None):
        """Initialise from `generator`; raises TinyDecoupleError for sizes that do not match."""
        super().__init__()
        if width % heads or (width // heads) % 2:
            raise TinyDecoupleError(f"`width` {width} over `heads` {heads}: width / heads must be "
                                    "a whole, even number")
        if (parameters := vocabulary * width + 12 * blocks * width**2) > MOST_PARAMETERS:
            raise TinyDecoupleError(
                f"`width` {width}, `blocks` {blocks}, `vocabulary` {vocabulary}: {parameters:,} "
                f"parameters; expected at most {MOST_PARAMETERS:,}")
        self.sizes = {"vocabulary": vocabulary, "width": width, "blocks": blocks, "heads": heads}
        self.features = width // heads  # per head
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.final_norm = nn.RMSNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                std = 0.02
                if name.endswith("_out.weight"):  # a block adds two outputs to the residual stream
                    std = 0.02 / math.sqrt(2 * blocks)
                nn.init.normal_(parameter, std=std, generator=generator)

    def forward(self, tokens: Tensor, cache: Cache | None = None,
                last: int | None = None) -> list[Tensor]:
        """Hidden states, blocks + 1 of (b, t, d): embeddings, then the stream after each block.

        tokens: (b, t) ids. cache: an empty list to be filled, or one filled by earlier positions,
        which is then extended in place by the new ones. last: stop after that many blocks.
        """
        states = [self.embedding(tokens)]  # (b, t) -> (b, t, d)
        start = cache[0][0].shape[-2] if cache else 0
        turn = rotations(start, tokens.shape[1], self.features, self.embedding.weight)
        for i, block in enumerate(self.blocks[:last]):
            h, keys_values = block(states[-1], turn, cache[i] if cache and len(cache) > i else None)
            states.append(h)
            if cache is not None:
                cache[i:i + 1] = [keys_values]
        return states

    def logits(self, h: Tensor) -> Tensor:
        """(…, d) states after the last block -> (…, v), by the transposed (tied) embedding."""
        return F.linear(self.final_norm(h), self.embedding.weight)


def pick_device(name: str) -> torch.device:
    """name: cpu, cuda or auto, which takes a CUDA device if there is one.

    Raises TinyDecoupleError if cuda is asked for and absent.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise TinyDecoupleError("`device` cuda: this PyTorch sees no CUDA device; use cpu or auto")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
