"""The phrasebook: what constructed text must satisfy to be believed, and what a student's slip in a table costs."""

import itertools
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import CHRF

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.phrasebook.inflection import FORMS, GRAMMAR
from tinydecouple.text.phrasebook.meanings import TABLES, generate, meanings, phrasebook, render
from tinydecouple.text.phrasebook.tables import PARTS
from tinydecouple.text.phrasebook.templates import read_tables

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


@pytest.fixture(scope="module")
def texts():
    return generate(200, np.random.default_rng(1))


@pytest.fixture(scope="module")
def near(texts):
    """chrF between any two varieties' texts; the order of the two changes it by a point or so."""
    columns = {v: [row[v] for row in texts.values()] for v in BOOK.varieties if v != "en"}
    score = CHRF()
    found = {(a, b): score.corpus_score(columns[b], [columns[a]]).score for a, b in itertools.combinations(columns, 2)}
    return found | {(b, a): value for (a, b), value in found.items()}


def test_the_size_that_was_promised():
    content = [e for e in BOOK.lexicon.values() if e.kind in ("noun", "verb", "adj", "kin")]
    function = [e for e in BOOK.lexicon.values() if e.kind in ("word", "gender", "person")]
    assert len(content) >= 350 and len(function) >= 60
    assert len(BOOK.templates) >= 80 and len({t.domain for t in BOOK.templates.values()}) >= 8
    assert len(BY_KEY) == len(EVERY) >= 20_000, f"{len(EVERY)} meanings, {len(BY_KEY)} keys: two meanings have one key"
    assert len(BOOK.cities) == 25


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


def test_every_cell_is_filled():
    silent = {"is-it", "gen", "gen-my", "gen-your", "weak-final", "past-suffix", "past-weak", "past-weak-i",
              "bare-suffix", "now-suffix", "progressive"}  # where nothing said is an answer
    for concept, entry in BOOK.lexicon.items():
        assert set(entry.forms) == set(BOOK.varieties), f"{concept} lacks a variety"
        for variety, parts in entry.forms.items():
            assert len(parts) == len(PARTS[entry.kind][variety != "en"])
            optional = entry.kind in ("noun", "verb") or concept in silent
            assert optional or all(parts), f"{concept} in {variety}: {parts}"
            assert parts[0] or concept in silent or variety == "en", f"{concept} in {variety} says nothing"


def test_deterministic_and_nested():
    hundred, two_hundred = (generate(n, np.random.default_rng(2)) for n in (100, 200))
    assert list(two_hundred.items())[:100] == list(hundred.items()), "the first 100 of 200 are not the 100"
    assert list(generate(100, np.random.default_rng(3))) != list(hundred)


def test_templates_share_the_page():
    keys = list(generate(2000, np.random.default_rng(1)))
    count = {name: sum(k.split("/")[0] == name for k in keys) for name in BOOK.templates}
    assert max(count.values()) < 100 and sum(c > 0 for c in count.values()) > 0.95 * len(count), count


@pytest.mark.parametrize("city", BOOK.cities)
def test_distance_from_the_standard(near, city):
    assert 25 <= near["msa", city] <= 80, f"{city}: chrF {near['msa', city]:.1f} to msa, measured corpora 25 to 80"


def test_the_maghreb_is_farthest_gulf_and_yemen_nearest(near):
    """The order measured on real text: Moroccan and Algerian farthest, then Egypt and the Levant, then the Gulf."""
    mean = {r: np.mean([near["msa", c] for c, about in BOOK.cities.items() if about["region"] == r])
            for r in ("maghreb", "nile", "levant", "iraq", "gulf", "yemen")}
    order = sorted(mean, key=mean.get)
    assert order[0] == "maghreb" and set(order[-2:]) == {"gulf", "yemen"}, f"nearest last: {mean}"


@pytest.mark.parametrize("a, b, c, d", PAIRS)
def test_neighbours_are_closer_than_strangers(near, a, b, c, d):
    assert near[a, b] > near[c, d] + 10, f"{a}-{b} {near[a, b]:.1f}, {c}-{d} {near[c, d]:.1f}"


def test_the_nearest_city_lies_in_the_same_region(near):
    nearest = {a: max((b for b in BOOK.cities if b != a), key=lambda b: near[a, b]) for a in BOOK.cities}
    strays = {a: b for a, b in nearest.items() if BOOK.cities[a]["region"] != BOOK.cities[b]["region"]}
    assert len(strays) <= 3, f"nearest city in another region: {strays}; Sanaa has no neighbour in its own"


def test_no_two_cities_are_identical(texts):
    for a, b in itertools.combinations(BOOK.cities, 2):
        same = np.mean([row[a] == row[b] for row in texts.values()])
        assert same < 0.95, f"{a} and {b} say {same:.0%} of the sentences alike"


def test_enough_expected_sentences():
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
])
def test_what_standard_arabic_shows_of_case_and_mood(key, msa):
    assert render(BOOK, BY_KEY[key], "msa") == msa


@pytest.fixture
def tables(tmp_path):
    shutil.copytree(TABLES, tmp_path / "tables")
    return tmp_path / "tables"


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize("file, old, new, says", [
    ("templates.tsv", "nearest {place}", "nearest {plaec}", r"\d+: column text: unknown slot {plaec}; slots here are"),
    ("templates.tsv", "nearest {place}", "nearest {place", r"\d+: column text: a bracket without its partner"),
    ("templates.tsv", "nearest {place}", "nearest {place thep}", r"\d+: column text: .* a noun takes {name form whom}"),
    ("templates.tsv", "{near a}", "{near}", r"\d+: column text: {near} lacks agreement information; name the slot"),
    ("templates.tsv", "{map the}", "{}", r"\d+: column text: unknown slot {}"),
    ("templates.tsv", "nearest\tdialect", "nearest\tparis", r"\d+: column variety: unknown city or region 'paris'"),
    ("templates.tsv", "nearest\tdialect", "nearest\tmsa", r"\d+: column variety: 'msa' has a row above for 'nearest'"),
    ("templates.tsv", "nearest\tdialect", "newest\tdialect", r"\d+: column template: 'newest' has no row in meanings"),
    ("meanings.tsv", "nearest\t", "latest\t", r"|templates.tsv:\d+: column template: 'nearest' has no row"),
    ("meanings.tsv", "noun.place\tyou", "noun.place\t", r"2: column agreement: '=2s'; write name=value"),
    ("meanings.tsv", "\tyou=2s", "\t", r"2: column agreement: the cell is empty; fill it in"),
    ("meanings.tsv", "place=noun.place", "place=noun.palce", r"2: column slots: 'noun.palce' is no concept"),
    ("meanings.tsv", "you=2s", "you=5x", r"2: column agreement: you=5x: persons are 1s, 2s"),
    ("lexicon.tsv", "concept\tkind", "concept\tsort", r"1: column 'kind' is missing"),
    ("lexicon.tsv", "\tale\t", "\tparis\t", r"1: column 'paris' is unknown; columns are concept"),
    ("lexicon.tsv", "house|houses\tبيت|m|بيوت", "house|houses\t", r"\d+: column msa: the cell is empty; fill it in"),
    ("lexicon.tsv", "house|houses\tبيت|m|بيوت", "house|houses\tبيت|بيوت",
     r"\d+: column msa: .* has 2 parts; a noun has 3: singular\|gender\|plural"),
    ("lexicon.tsv", "house|houses\tبيت|m|بيوت", "house|houses\tبيت|x|بيوت", r"\d+: column msa: .* has no gender"),
    ("lexicon.tsv", "house|houses\tبيت|m|بيوت", "house|houses", r"\d+: 36 cells, but the header has 37"),
    ("lexicon.tsv", "door|doors\tباب|m|أبواب", "door|doors\tباب|m|-", r"|templates.*{r count n}: 'door' has no plural"),
    ("lexicon.tsv", "\nhouse\tnoun.home", "\nhouse\tnuon.home", r"\d+: column kind: 'nuon' is none of noun"),
    ("lexicon.tsv", "\nhouse\t", "\nhotel\t", r"\d+: column concept: 'hotel' has a row above"),
    ("lexicon.tsv", "house|houses\tبيت|m|بيوت", "house|houses\t-|m|بيوت", r"\d+: column msa: .* has no singular"),
    ("lexicon.tsv", "\thouse|houses\t", "\t-|-\t", r"\d+: column en: .* has neither singular nor plural"),
    ("lexicon.tsv", "\nnum-10\t", "\nnum-ten\t", r"\d+: column concept: 'num-ten': a numeral is called num-"),
    ("meanings.tsv", "place=noun.place\tyou", "place=noun.place,go\tyou", r"2: column slots: .* of several kinds"),
    ("meanings.tsv", "place=noun.place\tyou", "place=bank place=shop\tyou", r"2: column slots: place is named twice"),
    ("meanings.tsv", "you=2s", "you=2s,2s", r"2: column agreement: you is named twice, or a value of it is"),
    ("meanings.tsv", "place=noun.place\tyou", "place=noun.place idle=noun.place\tyou", r"2: column slots: no text of"),
    ("templates.tsv", "{find notpast subj}", "{find notpast num-3}", r"\d+: column text: .* a numeral goes with"),
    ("templates.tsv", "{pronoun subj}", "{pronoun not subj}", r"\d+: column text: .* no row 'neg-pronoun'"),
    ("templates.tsv", "{item with adj}", "{item with bank}", r"\d+: column text: .* with what\? name a slot"),
    ("templates.tsv", "nearest\tmsa\t", "nearest\tmsa\thello ", r"\d+: column text: Latin letters outside of a slot"),
    ("varieties.tsv", "\nfes\t", "\nrab\t", r"3: column code: 'rab' is taken"),
    ("lexicon.tsv", "\nowner\t", "\nowners\t", r" column concept: no row 'owner' of kind person"),
    ("varieties.tsv", "region", "land", r"1: column 'region' is missing"),
    ("varieties.tsv", "\nale\t", "\nalp\t", r"|lexicon.tsv:1: column 'ale' is unknown"),
])
def test_a_slip_in_a_table_is_told_by_file_line_and_column(tables, file, old, new, says):
    edit(tables / file, old, new)
    with pytest.raises(TinyDecoupleError, match=says[1:] if says[0] == "|" else f"{file}:{says}"):
        read_tables(tables, FORMS, GRAMMAR)


def test_a_missing_table(tables):
    (tables / "lexicon.tsv").unlink()
    with pytest.raises(TinyDecoupleError, match="lexicon.tsv: cannot read this table .No such file"):
        read_tables(tables, FORMS, GRAMMAR)


def test_a_new_word_is_said_at_once(tables):
    """What a student does first: change a cell, and see it in the sentence."""
    edit(tables / "lexicon.tsv", "فندق|m|فنادق", "نزل|m|نزول")
    changed = read_tables(tables, FORMS, GRAMMAR)
    assert render(changed, BY_KEY["is-far/hotel"], "msa") == "هل النزل بعيد عن هنا؟"


def test_the_datasheet_tells_what_the_tables_hold():
    sheet = (TABLES.parent / "DATASHEET.md").read_text(encoding="utf-8")
    for number, what in ((len(BOOK.templates), "templates"), (len(BOOK.lexicon), "concepts"), (len(EVERY), "distinct")):
        assert f"{number:,} {what}" in sheet, f"the datasheet does not say {number:,} {what}"
    assert f"{len(EXPECTED)} sentences by hand" in sheet
    listed = dict(re.findall(r"^- .*? \(`(\w+)`\): ((?:.|\n)*?)\.$", sheet, re.MULTILINE))
    unsure: dict[str, list[str]] = {}
    for row in (TABLES / "lexicon.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        concept, *_, doubtful = row.split("\t")
        for name in doubtful.split():
            unsure.setdefault(name, []).append(concept)
    assert {name: set(" ".join(concepts.split()).split(", ")) for name, concepts in listed.items()} == \
        {name: set(concepts) for name, concepts in unsure.items()}, "the datasheet's doubtful forms are not the tables'"


@pytest.mark.parametrize("key, variety, says", [
    ("every-day/read/every-day/3p", "msa", "يقرؤون"),             # a final hamza changes its seat
    ("take-remedy/syrup/before/lunch/2s", "bag", "الگحة هذا"),    # a construct keeps together
    ("did/sleep/yesterday/1p", "cai", "نمنا"),                    # a hollow verb shortens
    ("that-i-bought/ring/new/1p", "rab", "شريناه"),               # he is ـه after a vowel
    ("will-go-to/laundry/tomorrow/1s", "bag", " للوندري"),        # three lams are written as two
])
def test_a_rule_of_spelling(key, variety, says):
    said = render(BOOK, BY_KEY[key], variety)
    assert says in said, f"{key} in {variety}: {said!r} lacks {says!r}"


def test_the_gender_that_english_hides_is_settled_evenly():
    asked = [render(BOOK, m, "cai") for m in EVERY if m.template == "take-me"]
    assert 0.3 < np.mean([text.endswith("سمحتي.") for text in asked]) < 0.7, "one gender is spoken to nearly always"
