"""chrF from sets of numbered n-grams is sacrebleu's."""

import numpy as np
import pytest
from sacrebleu.metrics import CHRF

from tinydecouple.text.chrf import chrf, matches, ngrams


def test_a_set_counts_what_recurs():
    """aaa has two aa: with aa it shares one of them; of a it shares two of three."""
    assert matches(ngrams("a aa"), ngrams("aa"))[:6] == [3, 2, 2, 2, 1, 1], "n-grams of aaa, of aa and of both"


@pytest.mark.parametrize("letters", ["ab", "ab ", "بكم هادي"])
def test_scores_are_sacrebleus(rng, letters):
    """Two letters recur often; texts shorter than six characters lack the long orders; an empty one lacks all."""
    texts = [["".join(rng.choice(list(letters), size=n)) for n in rng.integers(0, 15, size=30)] for _ in range(2)]
    for one, other in zip(*texts):
        got, expected = chrf(np.array(matches(ngrams(one), ngrams(other)))), CHRF().corpus_score([one], [[other]]).score
        assert got == pytest.approx(expected), f"{one!r} to {other!r}: got {got}, sacrebleu says {expected}"
    total = np.sum([matches(ngrams(one), ngrams(other)) for one, other in zip(*texts)], axis=0)
    assert chrf(total) == pytest.approx(CHRF().corpus_score(texts[0], [texts[1]]).score), "counts are summed first"
