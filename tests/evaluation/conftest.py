"""Cells of a study whose truth is planted: counts per sentence with effects of seed, template and sentence."""

import numpy as np
import pytest


def cells(rng, seeds=6, dialects=3, templates=40, gain=0.0, of_seed=0.0, of_template=0.0, of_cell=0.0, base=0.6):
    """Two systems' counts, (S, D, K, 24) each, and each key's template, (K,); templates have 1 to 6 keys.

    A sentence has 20 to 60 characters, and each n-gram is right with probability `base`, plus half of the effects in
    the second system and minus half of them in the first: the gain itself, and normal ones of these standard
    deviations, one per seed, per template and per seed and template. The effects are shared by all dialects.
    """
    sizes = rng.integers(1, 7, templates)
    template = np.repeat(np.arange(templates), sizes)
    effect = (gain + of_seed * rng.standard_normal((seeds, 1)) + of_template * rng.standard_normal(templates)
              + of_cell * rng.standard_normal((seeds, templates)))[:, None, template, None] / 2  # (S, 1, K, 1)
    length = np.broadcast_to(rng.integers(20, 61, (1, dialects, len(template), 1)), (seeds, dialects, len(template), 1))
    total = np.maximum(np.concatenate([length - np.arange(6), length // 5 - np.arange(2)], axis=-1), 0)
    systems = []
    for sign in (-1, 1):
        right = rng.binomial(total, np.clip(base + sign * effect, 0, 1))
        systems.append(np.stack([total, total, right], axis=-1).reshape(*total.shape[:-1], 24))
    return *systems, template


@pytest.fixture(name="cells")
def cells_fixture():
    return cells
