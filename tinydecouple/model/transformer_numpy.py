"""The same forward pass as transformer.py, in NumPy, to read from top to bottom; not for training.

Sizes: b sequences, t positions, d width, a heads, v vocabulary.
"""

import numpy as np

Parameters = dict[str, np.ndarray]  # by PyTorch's names, such as blocks.0.mlp_in.weight

EPSILON = {np.dtype(t): np.finfo(t).eps for t in (np.float32, np.float64)}


def rms_norm(h: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Divide each state by its root mean square, then scale each feature: THEORY (1)."""
    return h / np.sqrt((h**2).mean(axis=-1, keepdims=True) + EPSILON[h.dtype]) * weight


def softmax(x: np.ndarray) -> np.ndarray:
    """Exponentials that sum to 1 over the last axis; subtracting the largest avoids overflow."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def rotate(x: np.ndarray) -> np.ndarray:
    """Rotary positions (Su et al. 2021), THEORY (4).

    At position p, rotate the i-th pair of neighbouring features by the angle p * 10000^(-i / half),
    in radians; half is the number of pairs. transformer.py does the same with complex numbers.
    """
    t, half = x.shape[-2], x.shape[-1] // 2
    frequency = 10_000 ** (-np.arange(half, dtype=x.dtype) / half)
    angle = np.arange(t, dtype=x.dtype)[:, None] * frequency  # (t, 1) * (d/2a,) -> (t, d/2a)
    first, second = x[..., 0::2], x[..., 1::2]  # (b, a, t, d/a) -> two of (b, a, t, d/2a)
    cos, sin = np.cos(angle), np.sin(angle)
    # two of (b, a, t, d/2a) -> (b, a, t, d/2a, 2) -> (b, a, t, d/a)
    rotated = np.stack((first * cos - second * sin, first * sin + second * cos), axis=-1)
    return rotated.reshape(x.shape)


def attention(h: np.ndarray, w: Parameters, heads: int) -> np.ndarray:
    """Causal self-attention of normalised states, THEORY (2): (b, t, d) -> (b, t, d)."""
    b, t, d = h.shape
    qkv = h @ w["query_key_value.weight"].T  # (b, t, d) -> (b, t, 3d)
    q, k, v = (x.reshape(b, t, heads, d // heads).swapaxes(1, 2)  # (b, t, d) -> (b, a, t, d/a)
               for x in np.split(qkv, 3, axis=-1))
    q, k = rotate(q), rotate(k)
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(np.asarray(d // heads, h.dtype))  # -> (b, a, t, t)
    future = np.triu(np.ones((t, t), bool), k=1)
    weights = softmax(np.where(future, -np.inf, scores))
    mixed = weights @ v  # (b, a, t, t) @ (b, a, t, d/a) -> (b, a, t, d/a)
    joined = mixed.swapaxes(1, 2).reshape(b, t, d)  # (b, a, t, d/a) -> (b, t, d)
    return joined @ w["attention_out.weight"].T


def mlp(h: np.ndarray, w: Parameters) -> np.ndarray:
    """Two linear layers with a ReLU between, on each normalised state by itself: THEORY (3)."""
    hidden = np.maximum(h @ w["mlp_in.weight"].T, 0)  # (b, t, d) -> (b, t, 4d)
    return hidden @ w["mlp_out.weight"].T  # (b, t, 4d) -> (b, t, d)


def forward(tokens: np.ndarray, w: Parameters, heads: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Token ids (b, t) -> hidden states, blocks + 1 of (b, t, d), and logits (b, t, v).

    w: the parameters of a checkpoint, all float32 or all float64, which is then the precision of
    everything.
    """
    states = [w["embedding.weight"][tokens]]  # (b, t) -> (b, t, d)
    blocks = 1 + max(int(name.split(".")[1]) for name in w if name.startswith("blocks."))
    for i in range(blocks):
        start = f"blocks.{i}."
        block = {name.removeprefix(start): value for name, value in w.items()
                 if name.startswith(start)}
        h = states[-1]
        h = h + attention(rms_norm(h, block["attention_norm.weight"]), block, heads)
        states.append(h + mlp(rms_norm(h, block["mlp_norm.weight"]), block))
    final = rms_norm(states[-1], w["final_norm.weight"])
    return states, final @ w["embedding.weight"].T  # (b, t, d) @ (d, v) -> (b, t, v)
