"""Splits without leaks: keys that share a text, but for case, digits, marks and space, stay on one side.

Such keys are joined, and the keys joined to those, and so on: connected components, each of which goes whole to
train, dev or test. A text that recurs everywhere ("Cancel") would join the corpus into one component, so a hub, a
folded text of more than HUB keys, joins nothing: every component that holds one goes to train instead.
"""

import re
from unicodedata import normalize

import numpy as np

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.hygiene import shorten, sorted_marks

HUB = 3  # keys; a text in more of them is a hub
DIGIT = re.compile(r"\d")
DROPPED = re.compile(r"[\W_\u0640]+")  # what is no letter and no number: Unicode's M, P, S, Z and C; and tatweel


def fold(text: str) -> str:
    """What near-duplicates share: letters without case, marks or tatweel, and 0 for each digit; may be empty.

    Compatibility forms (wide letters, Arabic presentation forms) fold to the plain ones. Case comes last, as it turns
    one Greek mark into a letter.
    """
    if not text.isascii():
        text = normalize("NFKD", sorted_marks(text))
    return DIGIT.sub("0", DROPPED.sub("", text).casefold())


def split_without_leaks(texts: dict[str, dict[str, str]], held_out: float, rng: np.random.Generator,
                        ) -> tuple[dict[str, str], dict[str, int]]:
    """Put about a share of the keys in dev, as many in test, the rest in train; no folded text is on two sides.

    texts: key -> variety -> text.  held_out: share of the keys, in (0, 0.5).
    Components come in random order; each goes to dev if it fits into what is still wanted there, else to test if it
    fits there, else to train. Where fewer keys can be held out than are wanted, dev and test want half of them each.
    Texts that fold to nothing, such as "...", are ignored.
    Returns key -> train, dev or test in the order of texts, and counts of what happened.
    Raises TinyDecoupleError if train, dev or test would be empty.
    """
    keys = list(texts)
    n = round(len(keys) * held_out)
    holders = _holders(texts).values()
    hubs = [group for group in holders if len(group) > HUB]
    with_hub = set().union(*hubs)
    components = _components(len(keys), [group for group in holders if len(group) <= HUB])
    hubless = [members for members in components if with_hub.isdisjoint(members)]
    free = [members for members in hubless if len(members) <= n]
    n_free = sum(map(len, free))

    wanted = dict.fromkeys(("dev", "test"), min(n, n_free // 2))
    split = dict.fromkeys(keys, "train")
    for i in rng.permutation(len(free)):
        side = next((s for s in wanted if len(free[i]) <= wanted[s]), "train")
        if side != "train":
            wanted[side] -= len(free[i])
            split.update((keys[k], side) for k in free[i])
    if len(set(split.values())) < 3:
        recurring = _named_hubs(texts, keys, hubs)
        raise TinyDecoupleError(f"too few sentences to split without leaks: {n_free} of {len(keys)} keys are free to "
                                f"be held out (any others hold, or are joined to, a text of more than {HUB} keys, or "
                                f"stand in a group of more than {n}); a held-out share of {held_out} leaves train, "
                                f"dev or test empty{recurring}; add sentences, leave out those that recur, or change "
                                "held_out")
    return split, {
        "keys joined with a near-duplicate": sum(len(members) for members in components if len(members) > 1),
        "hub texts": len(hubs),
        "keys held in train by a hub text": len(keys) - sum(map(len, hubless)),
        "largest component": max(map(len, components)),
    }


def _named_hubs(texts: dict[str, dict[str, str]], keys: list[str], hubs: list[list[int]], most: int = 3) -> str:
    """The most frequent hubs, in words: "; 'yes' recurs in 20 keys, in variety std"; empty without any."""
    named = []
    for group in sorted(hubs, key=len, reverse=True)[:most]:
        shared = set.intersection(*({fold(text) for text in texts[keys[k]].values()} for k in group)) - {""}
        holding = {v: text for v, text in texts[keys[group[0]]].items() if fold(text) in shared}
        variety, text = next(iter(holding.items()))
        named.append(f"{shorten(text, 40)!r} in {len(group)} keys of {variety!r}")
    return f"; these recur: {', '.join(named)}" if named else ""


def leaks(texts: dict[str, dict[str, str]], split: dict[str, str]) -> dict[str, int]:
    """For a split that came with the corpus: how many keys of dev and of test hold a folded text of train."""
    sides = list(map(split.__getitem__, texts))
    leaking = set()
    for group in _holders(texts).values():
        if any(sides[k] == "train" for k in group):
            leaking.update(group)
    return {side: sum(sides[k] == side for k in leaking) for side in ("dev", "test")}


def _holders(texts: dict[str, dict[str, str]]) -> dict[str, list[int]]:
    """Folded text -> the places in texts of the keys that hold it, each once, ascending."""
    holders: dict[str, list[int]] = {}
    for k, row in enumerate(texts.values()):
        for folded in dict.fromkeys(map(fold, dict.fromkeys(row.values()))):
            if folded:
                holders.setdefault(folded, []).append(k)
    return holders


def _components(n: int, groups: list[list[int]]) -> list[list[int]]:
    """Connected components of 0 ... n - 1, where the members of a group are joined (union-find); ordered."""
    parent = list(range(n))

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = k = parent[parent[k]]  # halve the way for the next who asks
        return k

    for first, *others in groups:
        for other in others:
            parent[root(other)] = root(first)
    group: dict[int, list[int]] = {}
    for k in range(n):
        group.setdefault(root(k), []).append(k)
    return list(group.values())
