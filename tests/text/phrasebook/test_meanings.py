"""The phrasebook: what constructed text must satisfy to be believed, and what a student's slip in a table costs."""

import itertools
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import CHRF

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.phrasebook.meanings import (
    TABLES,
    _tidy,
    draw,
    generate,
    meanings,
    phrasebook,
    render,
    template_of,
)

BOOK = phrasebook()
EVERY = meanings(BOOK)
BY_KEY = {m.key: m for m in EVERY}
ARABIC = re.compile(r"[ء-غف-يچگڨ،؟. ]+")
HAND = (Path(__file__).parent / "phrasebook_expected.tsv").read_text(encoding="utf-8")  # by the cities' second readers
EXPECTED = [line.split("\t") for line in HAND.splitlines()]
PAIRS = [  # neighbours, against strangers
    ("cai", "alx", "cai", "mos"), ("rab", "fes", "rab", "mus"), ("dam", "ale", "dam", "tun"),
    ("tun", "sfx", "tun", "bag"), ("bag", "bas", "bag", "alg"), ("jer", "amm", "jer", "fes"),
    ("tri", "ben", "tri", "bei"), ("doh", "riy", "doh", "alg"), ("amm", "sal", "amm", "kha"),
    ("cai", "asw", "cai", "rab"), ("alg", "rab", "alg", "bas"), ("jed", "riy", "jed", "tun")]


def trigrams(text):
    return Counter(text[i:i + 3] for i in range(len(text) - 2))


@pytest.fixture(scope="module")
def near(texts):
    """How near the texts of two varieties are: F of their character trigrams, 0 to 100; the same either way round."""
    columns = {v: [trigrams(row[v]) for row in texts.values()] for v in BOOK.varieties if v != "en"}
    size = {v: sum(grams.total() for grams in column) for v, column in columns.items()}
    found = {(a, b): 200 * sum((x & y).total() for x, y in zip(columns[a], columns[b])) / (size[a] + size[b])
             for a, b in itertools.combinations(columns, 2)}
    return found | {(b, a): value for (a, b), value in found.items()}


@pytest.fixture(scope="module")
def to_standard(texts):
    """chrF of msa against each city, as it is measured on real corpora."""
    msa = [row["msa"] for row in texts.values()]
    return {city: CHRF().corpus_score(msa, [[row[city] for row in texts.values()]]).score for city in BOOK.cities}


def test_the_size_that_was_promised():
    content = [e for e in BOOK.lexicon.values() if e.kind in ("noun", "verb", "adj", "kin")]
    function = [e for e in BOOK.lexicon.values() if e.kind in ("word", "gender", "person")]
    assert len(content) >= 350 and len(function) >= 60
    assert len(BOOK.templates) >= 80 and len({t.domain for t in BOOK.templates.values()}) >= 8
    assert len(BY_KEY) == len(EVERY) >= 20_000, f"{len(EVERY)} meanings, {len(BY_KEY)} keys: two meanings have one key"
    assert len(BOOK.cities) == 25


def test_a_key_names_its_template():
    wrong = [m.key for m in EVERY if template_of(m.key) != m.template]
    assert not wrong, f"{len(wrong)} keys do not begin with their template, such as {wrong[0]}"


def test_no_two_meanings_with_one_english_text():
    seen = {}
    for m in EVERY:
        text = render(BOOK, m, "en")
        assert seen.setdefault(text, m.key) == m.key, f"{text!r} is said by {seen[text]} and by {m.key}"


@pytest.mark.parametrize("variety", BOOK.varieties)
def test_every_text_is_whole(variety):
    """Three meanings of each template: no empty text, no unfilled slot, no letter of another script."""
    alphabet = re.compile(r"[A-Za-zé',.? -]+") if variety == "en" else ARABIC
    of_template = itertools.groupby(EVERY, key=lambda m: m.template)
    for _, group in of_template:
        group = list(group)
        for m in (group[0], group[len(group) // 2], group[-1]):
            text = render(BOOK, m, variety)
            assert text[-1:] in ".?؟" and len(text.split()) > 0, f"{m.key} in {variety}: {text!r}"
            assert alphabet.fullmatch(text), f"{m.key} in {variety}: {text!r} holds a character that is not its own"
            assert "  " not in text and " ." not in text


def test_deterministic_and_nested():
    hundred, two_hundred = (draw(n, np.random.default_rng(2), BOOK) for n in (100, 200))
    assert two_hundred[:100] == hundred, "the first 100 of 200 are not the 100"
    assert draw(100, np.random.default_rng(3), BOOK) != hundred


def test_generate_says_what_was_drawn(texts):
    drawn = draw(200, np.random.default_rng(1), BOOK)
    assert list(texts) == [m.key for m in drawn]
    assert texts[drawn[7].key] == {v: render(BOOK, drawn[7], v) for v in BOOK.varieties}


def test_more_than_there_is():
    with pytest.raises(TinyDecoupleError, match=r"n = 1000000, but the phrasebook has \d+ meanings; ask for fewer"):
        draw(1_000_000, np.random.default_rng(1), BOOK)


def test_templates_share_the_page():
    count = Counter(m.template for m in draw(2000, np.random.default_rng(1), BOOK))
    assert max(count.values()) < 100 and len(count) > 0.95 * len(BOOK.templates), count


def test_a_template_is_drawn_by_the_square_root_of_its_meanings():
    size = Counter(m.template for m in EVERY)
    drawn = Counter(m.template for m in draw(2000, np.random.default_rng(4), BOOK))
    big, small = ([t for t, n in size.items() if low <= n < high] for low, high in ((1000, 9000), (60, 250)))
    got = np.mean([drawn[t] for t in big]) / np.mean([drawn[t] for t in small])
    expected = np.mean([size[t] ** 0.5 for t in big]) / np.mean([size[t] ** 0.5 for t in small])
    assert 0.75 < got / expected < 1.33, f"ratio of large to small templates: got {got:.2f}, expected {expected:.2f}"


@pytest.mark.parametrize("city", BOOK.cities)
def test_distance_from_the_standard(to_standard, city):
    got = to_standard[city]
    assert 25 <= got <= 80, f"{city}: chrF {got:.1f} to msa, measured corpora 25 to 80"


def test_the_maghreb_is_farthest_gulf_and_yemen_nearest(to_standard):
    """The order measured on real text: Moroccan and Algerian farthest, then Egypt and the Levant, then the Gulf."""
    mean = {r: np.mean([to_standard[c] for c, about in BOOK.cities.items() if about["region"] == r])
            for r in ("maghreb", "nile", "levant", "iraq", "gulf", "yemen")}
    order = sorted(mean, key=mean.get)
    assert order[0] == "maghreb" and set(order[-2:]) == {"gulf", "yemen"}, f"nearest last: {mean}"


@pytest.mark.parametrize("a, b, c, d", PAIRS)
def test_neighbours_are_closer_than_strangers(near, a, b, c, d):
    assert near[a, b] > near[c, d] + 10, f"trigram F {a}-{b} {near[a, b]:.1f}, {c}-{d} {near[c, d]:.1f}"


def test_the_nearest_city_lies_in_the_same_region(near):
    nearest = {a: max((b for b in BOOK.cities if b != a), key=lambda b: near[a, b]) for a in BOOK.cities}
    strays = {a: b for a, b in nearest.items() if BOOK.cities[a]["region"] != BOOK.cities[b]["region"]}
    assert len(strays) <= 3, f"nearest city in another region: {strays}; Sanaa has no neighbour in its own"


def test_no_two_cities_are_identical(texts):
    for a, b in itertools.combinations(BOOK.cities, 2):
        same = np.mean([row[a] == row[b] for row in texts.values()])
        assert same < 0.95, f"{a} and {b} say {same:.0%} of the sentences alike"


def test_enough_expected_sentences():
    sheet = (TABLES.parent / "DATASHEET.md").read_text(encoding="utf-8")
    assert f"{len(EXPECTED)} sentences by hand" in sheet
    assert len(EXPECTED) >= 60 and len({city for city, _, _ in EXPECTED}) >= 12


@pytest.mark.parametrize("city, key, sentence", EXPECTED)
def test_agreement_as_written_by_hand(city, key, sentence):
    said = render(BOOK, BY_KEY[key], city)
    assert said == sentence, f"{key} in {city}: got {said!r}, expected {sentence!r}: gender, number or person slipped"


@pytest.mark.parametrize("key, msa", [
    ("kin-will/sister/travel/tomorrow", "ستسافر أختي غدا."),             # verb before subject
    ("children/num-3/num-2/1s", "لدي ثلاث بنات وولدان."),                # gender opposed; dual, nominative
    ("bring-n/towel/num-2/2s", "أحضر لي منشفتين، من فضلك."),             # dual, oblique
    ("adj-thing/ring/new/3sf", "تريد خاتما جديدا."),                     # indefinite accusative
    ("colour/dress/red/1p", "نريد فستانا أحمر."),                        # but not of a colour
    ("price-is/watch/num-50/dollar", "ثمن الساعة خمسون دولارا."),        # nominative tens, singular accusative
    ("bought-for/watch/num-50/dollar/3p", "اشتروا الساعة بخمسين دولارا."),  # oblique tens
    ("did-not/sleep/yesterday/1p", "لم ننم أمس."),                       # jussive of a hollow verb
    ("did-not/walk/yesterday/3sm", "لم يمش أمس."),                       # jussive of a defective verb
    ("can-not/walk/today/3p", "لا يستطيعون أن يمشوا اليوم."),            # subjunctive plural
    ("feel-not/tired/3p", "ليسوا متعبين."),                              # sound plural, accusative
    ("order/soft-drink/1s/2s", "أريد مشروبا غازيا، من فضلك."),           # noun and adjective, both accusative
    ("bus-or/taxi/motorcycle/cheap", "سيارة الأجرة رخيصة، لكن الدراجة النارية ليست رخيصة."),  # both with the article
    ("colour/t-shirt/brown/1p", "نريد تيشيرتا بنيا."),                   # a colour in ي has one
    ("if-you-want/bank/now/2s", "إذا كنت تريدين، فسنذهب إلى البنك الآن."),  # an answer with سـ needs فـ
])
def test_what_standard_arabic_shows_of_case_and_mood(key, msa):
    assert render(BOOK, BY_KEY[key], "msa") == msa


@pytest.mark.parametrize("key, variety, says", [
    ("every-day/read/every-day/3p", "msa", "يقرؤون"),             # a final hamza changes its seat
    ("take-remedy/syrup/before/lunch/2s", "bag", "الگحة هذا"),    # a construct keeps together
    ("did/sleep/yesterday/1p", "cai", "نمنا"),                    # a hollow verb shortens
    ("that-i-bought/ring/new/1p", "rab", "شريناه"),               # he is ـه after a vowel
    ("will-go-to/laundry/tomorrow/1s", "bag", " للوندري"),        # three lams are written as two
    ("rent/car/num-2/day/1s", "cai", " أأجر "),                   # two hamzas stay two: the verb is not "trade"
    ("is-kin-adj/father/tired/2s", "bei", "بيك تعبان؟"),          # to a woman: a doubled ي is no vowel
    ("can-not/come/today/1s", "doh", " ايي "),                    # a stem of one letter keeps it
    ("wants-not/work/now/3sm", "jer", "بدوش "),                   # a pronoun in ه before ـش
    ("lost-on/lose/camera/train", "dam", "كاميرتي"),              # a loan in ا takes its endings as one in ة
])
def test_a_rule_of_spelling(key, variety, says):
    said = render(BOOK, BY_KEY[key], variety)
    assert says in said, f"{key} in {variety}: {said!r} lacks {says!r}"


def test_the_gender_that_english_hides_is_settled_evenly():
    asked = [render(BOOK, m, "cai") for m in EVERY if m.template == "take-me"]
    assert 0.3 < np.mean([text.endswith("سمحتي.") for text in asked]) < 0.7, "one gender is spoken to nearly always"


@pytest.mark.parametrize("variety, lines", [
    ("cai", ["ل البيت", "  راح ل البيت  .", "و ل البيت", "", "ب سرعة ، يلا", "ل السوق", "ع السوق"]),
    ("en", ["the bank is here . where ?", " a cup", "", "no+w"])])
def test_many_lines_are_tidied_as_each_by_itself(variety, lines):
    """A corpus is tidied in one go: what holds at a line's start or end must hold at every line's."""
    assert _tidy("\n".join(lines), variety).split("\n") == [_tidy(line, variety) for line in lines]


def test_a_corpus_says_what_render_says():
    tables = phrasebook()
    texts = generate(40, np.random.default_rng(3), tables)
    for meaning in draw(40, np.random.default_rng(3), tables):
        assert texts[meaning.key] == {v: render(tables, meaning, v) for v in tables.varieties}
