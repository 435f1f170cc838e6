"""What a reader of the sentences found wrong, as rules over all meanings: absurd pairs, one word for two, bad English.

Each rule stands for a kind of error that a review against real text found in an earlier state of the tables.
"""

import re
from itertools import combinations, product

import pytest

from tinydecouple.text.phrasebook.inflection import arabic
from tinydecouple.text.phrasebook.meanings import Meaning, meanings, phrasebook, render

BOOK = phrasebook()
EVERY = meanings(BOOK)
ENGLISH = {m.key: render(BOOK, m, "en") for m in EVERY}
WORKERS = "waiter student seller butcher policeman farmer driver receptionist cook-person guide"
ABSURD = [  # concepts that no sentence may hold together; written from the sentences, not from the column `never`
    ("sleep walk pray eat", "last-week next-week"), ("sleep", "tomorrow day-after-tomorrow every-day sometimes"),
    ("plane", "sea mountain desert village"), ("clinic hospital pharmacy", "ill"), ("clinic", "tired drowsy"),
    ("restaurant bakery supermarket", "hungry"), ("cafe restaurant", "thirsty"), ("hotel", "tired drowsy ill"),
    ("television refrigerator", "bathroom"), ("balcony bathroom door", "num-10"), ("needle soap perfume", "big small"),
    ("library", "bookshop"), ("lunch", "hour-7 hour-8 hour-9"), ("breakfast", "hour-12 hour-1 hour-2"),
    ("grandmother grandfather father mother", "married study study-at"), ("prescription", "num-2 1p 1s"),
]


@pytest.mark.parametrize("some, others", ABSURD)
def test_absurd_pairs_are_said_nowhere(some, others):
    templates = {"need"} if some == "prescription" else set()  # one may need a prescription, but not buy one
    found = [ENGLISH[m.key] for m in EVERY if m.template not in templates
             and set(some.split()) & set(m.values.values()) and set(others.split()) & set(m.values.values())]
    assert not found, f"{len(found)} sentences such as {found[0]!r}; keep them apart in the column `never`"


@pytest.mark.parametrize("template, values", [
    ("appointment", WORKERS), ("know-good", "cheap policeman student"), ("beside", "city-centre"),
    ("nearest", "city-centre"), ("is-there-near", "city-centre"), ("meet", "toilet city-centre"),
    ("visit-kin", "husband wife"), ("fault-dirty", "floor"), ("key-of", "lamp window"), ("where-buy", "prescription"),
])
def test_what_a_template_does_not_take(template, values):
    found = [ENGLISH[m.key] for m in EVERY if m.template == template and set(values.split()) & set(m.values.values())]
    assert not found, f"{len(found)} sentences such as {found[0]!r}"


def test_no_slot_takes_two_concepts_that_most_cities_call_alike():
    """Library and bookshop, leg and foot: two English sentences for one of the dialect's."""
    for name, template in BOOK.templates.items():
        for slot, concepts in template.slots.items():
            for a, b in combinations(concepts, 2):
                alike = [c for c in BOOK.cities if BOOK.lexicon[a].forms[c][:2] == BOOK.lexicon[b].forms[c][:2]]
                assert len(alike) <= 5, f"{name}, slot {slot}: {a} and {b} are one word in {', '.join(alike)}"


@pytest.mark.parametrize("pattern", [
    r"very (delicious|afraid)", r"two times", r"\ba (medicine|ointment)\b", r"\b(is|are) \w+ tomorrow\.",
    r"Open the (tap|sh)",
    r"forgot .* on the", r"(hears|hear) that", r"the (key|door) of", r"Which metro ", r"road to", r"seller",
    r"bottles of soft", r"\b(I|we|they) wants\b", r"\b(he|she) want\b", r"\ba [aeiou](?!ni)", r"\ban [^aeiouh]"])
def test_english_that_a_native_reader_stumbles_over(pattern):
    found = [text for text in ENGLISH.values() if re.search(pattern, text, re.IGNORECASE)]
    assert not found, f"{len(found)} sentences such as {found[0]!r}"


def test_who_is_spoken_to_by_name_decides_the_gender():
    """A greeting that inflects (توصل, اشوفك) is of kind gender; one of kind word says nothing to a man alone."""
    east = [city for city, about in BOOK.cities.items() if about["region"] != "maghreb"]  # the west writes both alike
    for name, template in BOOK.templates.items():
        greetings = [c for c in template.slots.get("greet", ()) if BOOK.lexicon[c].kind == "word"]
        for c, city in product(greetings, east):
            you = {w for w in BOOK.lexicon[c].forms[city][0].split() if w.endswith("ك")} - {"مبروك", "مبغوك"}
            assert not you, f"{name}: {c} in {city} speaks to a man ({', '.join(you)}); make it kind gender"


def test_a_person_written_into_a_template_has_no_gender_to_show():
    """{visit bare 1sm} is right only where I, a man and I, a woman say the same."""
    for name, template in BOOK.templates.items():
        for variety in BOOK.varieties[1:]:
            for part in template.texts[variety]:
                if not isinstance(part, str) and part.ref in ("1sm", "2sm"):
                    for concept in template.slots.get(part.name, (part.name,)):
                        man, woman = (arabic(BOOK.lexicon, variety, concept, part.form, p)
                                      for p in (part.ref, part.ref.replace("m", "f")))
                        assert man == woman, f"{name} in {variety}: a man says {man}, a woman {woman}; use agreement"


@pytest.mark.parametrize("concept, one_word", [("gloves", "جوانتي قوانتي"), ("socks", "شراب شخشير دلاغ")])
def test_a_pair_is_not_one_of_it(concept, one_word):
    """English says a pair; the first part of the cell is the plural, or a word for the pair."""
    for city in BOOK.varieties[1:]:
        word, _, plural = BOOK.lexicon[concept].forms[city]
        assert word == plural or word in one_word.split(), f"{concept} in {city}: {word} is one of two"


@pytest.mark.parametrize("variety", [v for v in BOOK.varieties if v != "en"])
def test_spelling_that_no_variety_has(variety):
    """One meaning in fifteen: a final alif before -y (كاميراي), a hamza under another alif, three lams, a mark."""
    wrong = re.compile(r"كاميراي|كامراي|ا[اآ]|للل|\+|ةه|ةك|(^| )ل [^ ]|  ")
    for m in EVERY[::15]:
        text = render(BOOK, m, variety)
        found = wrong.search(text)
        assert not found, f"{m.key} in {variety}: {text!r} holds {found.group()!r}"


def test_keys_say_what_was_kept_apart(book):
    """`never` takes whole sentences out, and only them."""
    template = book.templates["fault-in"]
    held = {m.values["thing"] for m in EVERY if m.template == "fault-in" and m.values["room"] == "bathroom"}
    assert frozenset(("television", "bathroom")) in template.never and "television" not in held
    assert {"tap", "lamp", "door", "window"} <= held
    assert Meaning("fault-in", {"thing": "television", "room": "flat", "fault": "broken"}) in EVERY
