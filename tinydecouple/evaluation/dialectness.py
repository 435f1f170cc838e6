"""Dialectness: which variety does a text look like? A naive Bayes classifier of character n-grams.

chrF++ does not say whether an output that misses its reference is the dialect's or the standard's. The classifier is
trained on the training texts; what it makes of the references themselves is the rate that a perfect output would get.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinydecouple.evaluation.score import Direction
from tinydecouple.text.corpus import ParallelCorpus

ORDERS = (2, 3, 4, 5)  # characters per n-gram
SMOOTHING = 0.1  # added to each count


@dataclass(frozen=True)
class Classifier:
    """Multinomial naive Bayes with equal priors.

    classes: C names. characters: sorted code points that training had. grams: the F n-grams of training, as sorted
    numbers. log_probability: (F, C), in nats.
    """

    classes: tuple[str, ...]
    characters: np.ndarray
    grams: np.ndarray
    log_probability: np.ndarray


def train_classifier(corpus: ParallelCorpus) -> Classifier:
    """Train on the corpus's training texts: the standard and each dialect are a class, the standard first."""
    texts = [(text, v) for v in corpus.family for text in corpus.column(v, corpus.keys("train", v))]
    return fit(*zip(*texts))


def dialectness(classifier: Classifier, d: Direction, standard: str, region: Mapping[str, str]) -> dict[str, float]:
    """Shares, in percent, of the outputs and of the references of one direction into a dialect.

    region_percent: assigned to a dialect of the target's region. dialect_percent: assigned to any dialect rather than
    to the standard. The references' own shares stand beside them, for no classifier is perfect and a dialect may say a
    sentence as the standard does. region: dialect -> its region.
    """
    found = {}
    for name, texts in (("", d.outputs), ("reference_", d.references)):
        varieties = classify(classifier, texts)
        found[f"{name}region_percent"] = _percent([v != standard and region[v] == region[d.target] for v in varieties])
        found[f"{name}dialect_percent"] = _percent([v != standard for v in varieties])
    return found


def _percent(hits: list[bool]) -> float:
    return 100 * float(np.mean(hits))


def fit(texts: Sequence[str], labels: Sequence[str]) -> Classifier:
    """Train on texts and their classes, which are ordered as they first appear.

    Every class has the same prior, however many texts it has: the standard has the most.
    """
    classes = tuple(dict.fromkeys(labels))
    characters = np.unique(_code_points(texts))
    numbers, owner = _grams(texts, characters)
    grams, feature = np.unique(numbers, return_inverse=True)
    of_text = np.array([classes.index(label) for label in labels])
    counts = np.bincount(feature * len(classes) + of_text[owner], minlength=len(grams) * len(classes))
    smoothed = counts.reshape(len(grams), len(classes)) + SMOOTHING  # (F, C)
    return Classifier(classes, characters, grams, np.log(smoothed / smoothed.sum(axis=0)))


def classify(classifier: Classifier, texts: Sequence[str]) -> list[str]:
    """The likeliest class of each text; of equals, and of a text without a known n-gram, the first."""
    return [classifier.classes[i] for i in log_likelihoods(classifier, texts).argmax(axis=1)]


def log_likelihoods(classifier: Classifier, texts: Sequence[str]) -> np.ndarray:
    """(n, C): log probability of each text's n-grams, in nats; n-grams that training lacks say nothing."""
    numbers, owner = _grams(texts, classifier.characters)
    feature = np.minimum(np.searchsorted(classifier.grams, numbers), len(classifier.grams) - 1)
    known = classifier.grams[feature] == numbers
    feature, owner = feature[known], owner[known]
    return np.stack([np.bincount(owner, weights=column[feature], minlength=len(texts))
                     for column in classifier.log_probability.T], axis=1)


def _code_points(texts: Sequence[str]) -> np.ndarray:
    """All texts as code points, a space around each word, so that n-grams know where words begin and end."""
    return np.frombuffer("".join(map(_spaced, texts)).encode("utf-32-le"), dtype=np.uint32)


def _spaced(text: str) -> str:
    return f" {' '.join(text.split())} "


def _grams(texts: Sequence[str], characters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every n-gram of every text, as a number whose digits are its characters, and the index of its text.

    With more than 6,000 characters a number may outgrow 64 bits; then a few n-grams share one, which does little harm.
    """
    points = _code_points(texts)
    place = np.minimum(np.searchsorted(characters, points), len(characters) - 1)
    digit = np.where(characters[place] == points, place + 1, len(characters) + 1)  # no digit is 0; the last: unknown
    base = len(characters) + 2
    owner = np.repeat(np.arange(len(texts)), [len(_spaced(text)) for text in texts])
    number, numbers, owners = digit, [], []
    for n in range(2, max(ORDERS) + 1):
        number = number[:-1] * base + digit[n - 1:]
        inside = owner[:len(number)] == owner[n - 1:]  # an n-gram lies in one text
        if n in ORDERS:
            numbers.append(number[inside])
            owners.append(owner[:len(number)][inside])
    return np.concatenate(numbers), np.concatenate(owners)
