"""Text hygiene: texts that look the same become the same, and every kind of change is named.

Out go marks that nobody sees, white space is joined, letters take their Unicode NFC form; if wished, Arabic tatweel
and diacritics go too. The rest is untouched.

A joiner (U+200C, U+200D) shapes the Arabic and Indic letters beside it and ties emoji together; elsewhere it does
nothing. So one joiner stays between two characters from U+0620, the first Arabic letter, on; every other one goes.
"""

import re
from unicodedata import is_normalized, normalize

NFC, UNSEEN, SPACES, TATWEEL, DIACRITICS = ("Unicode NFC", "control and direction marks out", "spaces joined",
                                            "tatweel out", "diacritics out")
# Control characters but for white space; soft hyphen; direction marks; zero-width space and its kin; byte-order mark.
CONTROL = r"\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
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
SUSPECT = re.compile(rf"[^\S ]|  |^ | $|[\u200c\u200d{CONTROL}]")  # one look that most texts pass
SUSPECT_ARABIC = re.compile(rf"{SUSPECT.pattern}|{ARABIC[0][1].pattern}|{ARABIC[1][1].pattern}")


def clean(text: str, strip_marks: bool = False) -> tuple[str, tuple[str, ...]]:
    """Clean a text; a text that is clean comes back as it is, so cleaning twice changes nothing more.

    strip_marks: also take out Arabic tatweel and combining marks (vowels, shadda, hamza above a bare letter, Quranic).
    Returns the text, which may be empty now, and the names of what was changed, in the order of the names above.
    Raises nothing.
    """
    suspect = SUSPECT_ARABIC if strip_marks else SUSPECT
    changed: set[str] = set()
    before = None
    # More than one round: a mark taken out can bring two spaces, a letter and its accent, a joiner and an end together.
    while text != before and (suspect.search(text) or not is_normalized("NFC", text)):
        before = text
        text = _note(NFC, text, normalize("NFC", text), changed)
        for name, pattern, put in STEPS + ARABIC * strip_marks:
            text = _note(name, text, pattern.sub(put, text), changed)
        text = _note(SPACES, text, text.strip(" "), changed)
    return text, tuple(name for name in (NFC, UNSEEN, SPACES, TATWEEL, DIACRITICS) if name in changed)


def _note(name: str, old: str, new: str, changed: set[str]) -> str:
    if new != old:
        changed.add(name)
    return new
