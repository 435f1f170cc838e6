"""What cleaning changes, what it leaves, and that it names each change."""

from unicodedata import category, is_normalized, normalize

import numpy as np
import pytest

from tinydecouple.text.hygiene import clean

NFC, UNSEEN, SPACES, TATWEEL, DIACRITICS = ("Unicode NFC", "control and direction marks out", "spaces joined",
                                            "tatweel out", "diacritics out")
ZWNJ, ZWJ = "\u200c", "\u200d"
UNTOUCHED = ["About", "Über uns, 5 €", "عن", "مَرْحَبًا", "سـلام", "क्षमा", "👩\u200d💻 ❤\ufe0f\u200d🔥",
             "ﷺ ½ ① ｗ", "a - b"]


@pytest.mark.parametrize("text", UNTOUCHED)
def test_clean_text_is_untouched(text):
    assert clean(text) == (text, ()), f"got {clean(text)}, expected {text!r} as it was: cleaning takes too much"


@pytest.mark.parametrize("dirty, expected, changes", [
    ("cafe\u0301", "café", (NFC,)),
    ("\ufeffhi", "hi", (UNSEEN,)),                                       # a byte-order mark in mid file
    ("a\0b\x1bc\x7fd\x9f", "abcd", (UNSEEN,)),
    ("\u202bعن\u202c \u200fعن\u200e\u061c \u2067x\u2069", "عن عن x", (UNSEEN,)),
    ("zero\u200bwidth, word\u2060joiner, soft\u00adhyphen", "zerowidth, wordjoiner, softhyphen", (UNSEEN,)),
    (" a\t\tb\r\nc\u00a0d\u2003e\u2028f  g ", "a b c d e f g", (SPACES,)),
    ("a \u200f b", "a b", (UNSEEN, SPACES)),                             # two spaces meet when the mark goes
    ("\u200f cafe\u200b\u0301 ", "café", (NFC, UNSEEN, SPACES)),         # so do a letter and its accent
    ("\u200f \0\t", "", (UNSEEN, SPACES)),
])
def test_each_change_is_made_and_named(dirty, expected, changes):
    got = clean(dirty)
    assert got == (expected, changes), f"{dirty!a}: got {ascii(got)}, expected {ascii((expected, changes))}"


@pytest.mark.parametrize("text, expected, why", [
    (f"می{ZWNJ}خواهم", f"می{ZWNJ}خواهم", "Persian needs it inside a word"),
    (f"می{ZWNJ}{ZWNJ}{ZWJ}خواهم", f"می{ZWNJ}خواهم", "the first of a run stays"),
    (f"क्{ZWJ}ष", f"क्{ZWJ}ष", "it picks the form of an Indic letter, after a mark"),
    (f"می\u200f{ZWNJ}\u200fخ", f"می{ZWNJ}خ", "direction marks beside it do not count"),
    (f"Auf{ZWNJ}lage", "Auflage", "it shapes no Latin letter"),
    (f"{ZWNJ}می{ZWNJ} خ{ZWJ}.", "می خ.", "nothing to join at a space, an end or a full stop"),
    (f"می{ZWNJ}، خ", "می، خ", "an Arabic comma is no letter"),
    (f"می{ZWNJ}\u3000خ", "می خ", "a wide space is a space too"),
])
def test_a_joiner_stays_only_where_it_shapes(text, expected, why):
    assert clean(text)[0] == expected, f"got {clean(text)[0]!a}, expected {expected!a}: {why}"


@pytest.mark.parametrize("text, expected, changes", [
    ("سـلام", "سلام", (TATWEEL,)),
    ("مَرْحَبًا بِكُمْ", "مرحبا بكم", (DIACRITICS,)),
    ("هٰذا ۗ قـالَ", "هذا قال", (SPACES, TATWEEL, DIACRITICS)),             # small alef; a pause sign between two spaces
    ("أ ؤ ئ إ آ", "أ ؤ ئ إ آ", ()),                                      # hamza and madda are part of these letters
    (normalize("NFD", "أ ؤ ئ إ آ"), "أ ؤ ئ إ آ", (NFC,)),                # however they were typed
    ("۝ ۞ café", "۝ ۞ café", ()),                                        # no marks, or none of Arabic
])
def test_arabic_marks_go_only_if_wished(text, expected, changes):
    assert clean(text, strip_marks=True) == (expected, changes)
    assert not {TATWEEL, DIACRITICS} & set(clean(text)[1]), "stripped without being asked to"


def test_every_character_is_treated_as_its_kind():
    for c in map(chr, range(0x3100)):
        kind = category(c)
        if kind == "Cc" and not c.isspace():
            expected = "xy"
        elif c.isspace():
            expected = "x y"
        elif kind[0] in "LMNPS":
            expected = normalize("NFC", f"x{c}y")
        else:
            continue  # format characters: the tests above name those that go
        assert clean(f"x{c}y")[0] == expected, f"U+{ord(c):04X} ({kind}): got {clean(f'x{c}y')[0]!a}"


@pytest.mark.parametrize("strip_marks", [False, True])
def test_cleaning_twice_is_cleaning_once_and_what_is_seen_stays(strip_marks):
    rng = np.random.default_rng(0)
    letters = np.array(list("ae\u0301\u0327بيكـَّٰ \t\u00a0\u200b\u200c\u200d\u200f\0\ufeff3!"))
    for _ in range(3000):
        text = "".join(rng.choice(letters, rng.integers(1, 12)))
        cleaned, changes = clean(text, strip_marks)
        assert clean(cleaned, strip_marks) == (cleaned, ()), f"{text!a} -> {cleaned!a} is not clean yet"
        assert is_normalized("NFC", cleaned) and cleaned == " ".join(cleaned.split()), f"{text!a} -> {cleaned!a}"
        assert (cleaned != text) == bool(changes), f"{text!a} -> {cleaned!a}, but the changes named are {changes}"
        seen = set("ae\u0301\u0327بيك3!") | set("" if strip_marks else "ـَّٰ")
        before, after = ([c for c in normalize("NFD", t) if c in seen] for t in (text, cleaned))
        assert sorted(before) == sorted(after), f"{text!a} -> {cleaned!a} lost or gained a character that is seen"
