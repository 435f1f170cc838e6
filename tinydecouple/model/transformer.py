"""A small decoder-only transformer: pre-norm, rotary positions, no biases, tied embeddings.

Written to be read beside transformer formulas: every line that changes a shape says so.
Sizes: b sequences, t positions, d width, a heads, v vocabulary.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinydecouple.errors import TinyDecoupleError

MOST_PARAMETERS = 2**28  # 1 GB of weights; AdamW and gradients take three times that on top


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


class NormGradient(torch.autograd.Function):
    """RMSNorm with its gradient by hand: PyTorch's own takes more than twice as long on a CPU.

    With r = 1 / root mean square, y = r h, out = w y and g the gradient by out, w g = u:
    d/d h = r (u - y mean(u y)),  d/d w = sum of g y over the states.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor) -> Tensor:
        with torch.autocast(h.device.type, enabled=False):  # which would round it to bfloat16
            mean_square = torch.linalg.vecdot(h, h)[..., None] / h.shape[-1]  # (…, d) -> (…, 1)
        r = torch.rsqrt(mean_square + torch.finfo(h.dtype).eps)
        y = h * r
        ctx.save_for_backward(y, r, weight)
        return y * weight

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        y, r, weight = ctx.saved_tensors
        gy = g * y
        mean = (gy @ weight)[..., None] / y.shape[-1]  # (…, d) -> (…, 1)
        return torch.addcmul(g * weight, y, mean, value=-1) * r, gy.flatten(0, -2).sum(dim=0)


class RMSNorm(nn.Module):
    """Divide each state by its root mean square, then scale each feature: THEORY (1)."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, h: Tensor) -> Tensor:
        return NormGradient.apply(h, self.weight)


class Block(nn.Module):
    """h + attention(norm(h)), then h + mlp(norm(h))."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attention_norm = RMSNorm(width)
        self.mlp_norm = RMSNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.mlp_in = nn.Linear(width, 4 * width, bias=False)
        self.mlp_out = nn.Linear(4 * width, width, bias=False)

    def forward(self, h: Tensor, turn: Tensor, cache: Tensor | None = None,
                start: int = 0) -> Tensor:
        """(b, t, d) -> (b, t, d), for positions from `start` on.

        turn: of these positions.  cache: (2, b, a, most, d/a), keys and values of the positions
        before `start`, to which those of the new ones are added in place.
        """
        b, t, d = h.shape
        qkv = self.query_key_value(self.attention_norm(h))
        # (b, t, 3d) -> (b, t, 2, a, d/a) and (b, t, 1, a, d/a)
        qk, v = qkv.view(b, t, 3, self.heads, d // self.heads).split((2, 1), dim=2)
        # complex numbers of half precision are none; -> two of (b, a, t, d/a)
        q, k = rotate(qk.to(turn.real.dtype), turn).to(v.dtype).permute(2, 0, 3, 1, 4)
        v = v.squeeze(2).transpose(1, 2)  # -> (b, a, t, d/a)
        if cache is not None:
            cache[0, :, :, start:start + t] = k
            cache[1, :, :, start:start + t] = v
            k, v = cache[:, :, :, :start + t]  # two of (b, a, start + t, d/a)
        seen = None  # position i sees positions 0 to i; a single new one sees all
        if start and t > 1:
            seen = torch.ones(t, start + t, dtype=torch.bool, device=h.device).tril(start)
        mixed = F.scaled_dot_product_attention(q, k, v, seen, is_causal=not start)
        joined = mixed.transpose(1, 2).reshape(b, t, d)  # (b, a, t, d/a) -> (b, t, d)
        h = h + self.attention_out(joined)
        return h + self.mlp_out(self.mlp_in(self.mlp_norm(h)).relu_())


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
        self.features = width // heads  # per head
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.final_norm = RMSNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                std = 0.02
                if name.endswith("_out.weight"):  # a block adds two outputs to the residual stream
                    std = 0.02 / math.sqrt(2 * blocks)
                nn.init.normal_(parameter, std=std, generator=generator)

    def forward(self, tokens: Tensor, cache: Tensor | None = None, start: int = 0,
                last: int | None = None) -> list[Tensor]:
        """Hidden states, blocks + 1 of (b, t, d): embeddings, then the stream after each block.

        tokens: (b, t) ids of positions from `start` on.  cache: as `new_cache` makes it, filled up
        to `start`; the new positions are added in place.  last: stop after that many blocks.
        """
        states = [self.embedding(tokens)]  # (b, t) -> (b, t, d)
        turn = rotations(start, tokens.shape[1], self.features, self.embedding.weight)
        for i, block in enumerate(self.blocks[:last]):
            states.append(block(states[-1], turn, None if cache is None else cache[i], start))
        return states

    def new_cache(self, b: int, most: int) -> Tensor:
        """Room for the keys and values of `most` positions: (blocks, 2, b, a, most, d/a)."""
        heads = self.embedding.embedding_dim // self.features
        return self.embedding.weight.new_empty(len(self.blocks), 2, b, heads, most, self.features)

    def logits(self, h: Tensor) -> Tensor:
        """(…, d) states after the last block -> (…, v), by the transposed (tied) embedding."""
        return F.linear(self.final_norm(h), self.embedding.weight)


def pick_device(name: str, full_precision: bool = False) -> torch.device:
    """name: cpu, cuda or auto, which takes a CUDA device if there is one.

    On cuda training then multiplies matrices in bfloat16, which PyTorch calls medium precision,
    unless full_precision. Raises TinyDecoupleError if cuda is asked for and absent.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise TinyDecoupleError("`device` cuda: this PyTorch sees no CUDA device; use cpu or auto")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_float32_matmul_precision(
        "medium" if name == "cuda" and not full_precision else "highest")
    return torch.device(name)
