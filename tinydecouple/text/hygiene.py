"""Text hygiene: texts that look the same become the same, and every kind of change is named.

Marks that nobody sees are removed, white space is joined, letters take their Unicode NFC form; optionally, Arabic
tatweel and diacritics are removed too. Nothing else changes.

A joiner (U+200C, U+200D) shapes the Arabic and Indic letters beside it and ties emoji together; elsewhere it does
nothing. So one joiner stays between two characters from U+0620, the first Arabic letter, on; every other one goes.
"""

import re
from functools import lru_cache
from itertools import groupby
from unicodedata import category, combining, is_normalized, normalize
from unicodedata import name as name_of

NFC, UNSEEN, SPACES, TATWEEL, DIACRITICS = ("Unicode NFC", "control and direction marks out", "spaces joined",
                                            "tatweel out", "diacritics out")
# Control characters but for white space; soft hyphen; direction marks; zero-width space and its kin; byte-order mark;
# marks of annotations.
CONTROL = (r"\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f"
           r"\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb")
FILLER = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
SHAPED = r"[\u0620-\U0010ffff]"  # characters beside which a joiner counts
STEPS = (
    (UNSEEN, re.compile(f"[{CONTROL}]+"), ""),
    (SPACES, re.compile(r"\s{2,}|[^\S ]"), " "),
    (UNSEEN, re.compile(rf"(?<={SHAPED})([\u200c\u200d])[\u200c\u200d]*(?={SHAPED})|[\u200c\u200d]"), r"\1"),
)
ARABIC = (
    (TATWEEL, re.compile(r"\u0640"), ""),
    (DIACRITICS, re.compile(r"[\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]+"), ""),
)
PILE = re.compile(r"[^\w\s\0-\u02ff]{31}")  # more marks in a row than any language has
SUSPECT = re.compile(rf"[^\S ]|  |^ | $|[\u200c\u200d{CONTROL}]")  # one look that most texts pass
SUSPECT_ARABIC = re.compile(rf"{SUSPECT.pattern}|{ARABIC[0][1].pattern}|{ARABIC[1][1].pattern}")


def clean(text: str, strip_marks: bool = False) -> tuple[str, tuple[str, ...]]:
    """Clean a text; a clean text is returned as it is, so cleaning twice is cleaning once.

    strip_marks: also remove Arabic tatweel and combining marks (vowels, shadda, hamza above a bare letter, Quranic).
    Returns the text, which may be empty now, and the names of what was changed, in the order of the names above.
    Raises nothing.
    """
    suspect = SUSPECT_ARABIC if strip_marks else SUSPECT
    changed: set[str] = set()
    before = None
    # More than one round: a mark taken out can bring two spaces, a letter and its accent, a joiner and an end together.
    while text != before and (suspect.search(text) or not is_normalized("NFC", text)):
        before = text
        text = _note(NFC, text, normalize("NFC", sorted_marks(text)), changed)
        for name, pattern, put in STEPS + ARABIC * strip_marks:
            text = _note(name, text, pattern.sub(put, text), changed)
        text = _note(SPACES, text, text.strip(" "), changed)
    return text, tuple(name for name in (NFC, UNSEEN, SPACES, TATWEEL, DIACRITICS) if name in changed)


def sorted_marks(text: str) -> str:
    """The text, with marks that pile up by the thousand sorted as Unicode's normal forms sort them.

    `normalize` would sort them too, in the square of their number: minutes for 200 kB.
    """
    if not PILE.search(text):
        return text
    apart = (c for char in text for c in normalize("NFD", char))
    return "".join("".join(sorted(group, key=combining) if marks else group)
                   for marks, group in groupby(apart, key=lambda c: combining(c) > 0))


@lru_cache(maxsize=1 << 16)
def clean_name(text: str) -> str:
    """A name (of a variety, a column, a split), cleaned, so that names that print alike are one."""
    return clean(text)[0]


def hidden(text: str) -> list[str]:
    """Characters of a name that print as nothing, though `clean` leaves them: fillers, variation selectors and such."""
    return [c for c in text if category(c) in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp") or FILLER.match(c)]


def visible(text: str) -> str:
    """The text for a message, where what prints as nothing is written out: <U+200F RIGHT-TO-LEFT MARK>."""
    return "".join(f"<U+{ord(c):04X} {name_of(c, 'without a name')}>" if c != " " and (c.isspace() or hidden(c)) else c
                   for c in text)


def shorten(text: str, most: int = 100) -> str:
    """The text, cut to so many characters, for a message."""
    return text if len(text) <= most else f"{text[:most]} …"


def _note(name: str, old: str, new: str, changed: set[str]) -> str:
    if new != old:
        changed.add(name)
    return new
