"""Words in the form that a sentence asks for: gender, number, person and tense, in English and in 26 Arabic varieties.

The rules are few and look at the spelling: which letters a verb ends in, whether a noun ends in ta marbuta. What
differs between varieties is not in the rules but in the lexicon: prefixes and suffixes (`now-prefix`), negation
(`neg-past`), the future, the dual, the place of the demonstrative. A pattern marks the place of the word by ~.
"""

from tinydecouple.text.phrasebook.tables import PERSONS, Entry

VERB_FORMS = {"past", "now", "bare", "will", "prog", "notpast", "notnow", "notwill", "do", "dont"}
FORMS = {  # kind: the forms that a template may ask for
    "noun": {"the", "acc", "pl", "thepl", "this", "of", "count", "counted"},
    "adj": {"the", "acc", "not"}, "verb": VERB_FORMS, "kin": {"of"}, "name": set(), "num": set(), "word": {"at"},
    "gender": set(), "person": {"not"},
    "en": {"a", "the", "pl", "this", "thisis", "with", "of", "be", "is", "have", "has", "want", "do", "past", "ing",
           "s", "times"},
}
GRAMMAR = {  # the rows of the lexicon that hold endings, prefixes and patterns
    **dict.fromkeys(("past-suffix", "past-weak", "past-weak-i", "bare-prefix", "bare-suffix", "now-prefix",
                     "now-suffix", "owner", "owner-after-vowel", "object", "object-after-vowel", "neg-nominal",
                     "future", "neg-future", "want", "can", "have", "pronoun", "progressive"), "person"),
    **dict.fromkeys(("neg-past", "neg-present", "neg-imperative", "neg-want", "neg-can", "neg-have", "dual",
                      "dual-of-time", "weak-final", "at-hour"), "word"),
    "this-noun": "gender", "this-is": "gender",
}
ENGLISH = {  # person: subject, possessive, to be
    "1s": ("I", "my", "am"), "2s": ("you", "your", "are"), "3sm": ("he", "his", "is"), "3sf": ("she", "her", "is"),
    "1p": ("we", "our", "are"), "3p": ("they", "their", "are"),
}


def english(entry: Entry | None, form: str, ref: str) -> str:
    """An English word in a form; entry is None for a pronoun. ref: a person; of the form `with`, an adjective."""
    third = ref[:2] == "3s"
    subject, owner, be = ENGLISH.get(ref if ref[:1] == "3" else ref[:2], ENGLISH["3sm"])
    if entry is None:
        has, do, want = ("has", "does", "wants") if third else ("have", "do", "want")
        return {"of": owner, "be": f"{subject} {be}", "have": f"{subject} {has}", "has": has, "do": f"{subject} {do}",
                "want": f"{subject} {want}"}.get(form, subject)
    parts = entry.forms["en"]
    if entry.kind == "verb":
        verb, past, _, ing = parts
        base, _, particle = verb.partition(" ")  # come back: comes back
        present = base[:-1] + "ies" if base[-1] == "y" and base[-2] not in "aeou" else (
            base + ("es" if base.endswith(("s", "sh", "ch", "x", "o")) else "s"))
        return {"past": past, "ing": ing, "s": f"{present} {particle}".strip() if third else verb}.get(form, verb)
    if form == "times":  # twice, three times
        return {"two": "twice"}.get(parts[0], f"{parts[0]} times")
    if entry.kind != "noun":
        return f"{owner} {parts[0]}" if form == "of" else parts[0]
    single, plural = parts
    word, many = single or plural, not single
    said = f"{ref} {word}" if form == "with" else word
    article = "an" if said[0] in "aeiou" and not said.startswith(("uni", "eu")) or said.startswith("hour") else "a"
    if not (single and plural):  # a mass, or a pair
        article = "a pair of" if many and entry.group in ("noun.clothes", "noun.thing") else "some"
    these, are = ("these", "are") if many else ("this", "is")
    return {"a": f"{article} {said}", "with": f"{article} {said}", "the": f"the {word}", "pl": plural or word,
            "this": f"{these} {word}", "thisis": f"{these} {are}", "of": f"{owner} {word}", "is": are,
            "be": f"the {word} {are}"}.get(form, word)


def arabic(lexicon: dict[str, Entry], variety: str, concept: str, form: str, ref: str) -> str:
    """A word of an Arabic variety in a form. ref: one of PERSONS, or the concept of a numeral (num-3), or empty."""
    entry = lexicon[concept]
    parts = entry.forms[variety]
    msa = variety == "msa"

    def by_person(name: str, person: str) -> str:
        return lexicon[name].forms[variety][PERSONS.index(person)]

    if entry.kind == "noun":
        single, gender, plural = parts
        if form == "this":
            masculine, feminine = lexicon["this-noun"].forms[variety]
            pattern = feminine if gender == "f" else masculine
            if " " in single and (pattern[1] == "~" or masculine != feminine or msa):  # a construct keeps together
                return f"{definite(single)} {lexicon['this-is'].forms[variety][gender == 'f']}"
            return fill(pattern, definite(single))
        if form in ("count", "counted"):
            return count(lexicon, variety, concept, ref, form == "counted")
        if form == "of":
            loan = gender == "f" and single[-1] == "ا"  # كاميرا، كاميرتي
            return attach(lexicon, variety, single[:-1] + "ة" if loan else single, "owner", ref)
        return {"the": definite(single), "acc": accusative(single) if msa else single, "pl": plural,
                "thepl": definite(plural)}.get(form, single)
    if entry.kind == "adj":
        word = parts[2] if ref.endswith("p") else parts[ref.endswith("f")]
        if form == "not":
            return fill(by_person("neg-nominal", ref), accusative(word, True) if msa else word)
        return {"the": definite(word), "acc": accusative(word, True) if msa else word}.get(form, word)
    if entry.kind == "verb":
        return verb(lexicon, variety, parts, form, ref)
    if entry.kind == "kin":
        mine, base, _ = parts
        return mine if form == "" or ref[:2] == "1s" else attach(lexicon, variety, base, "owner", ref)
    if entry.kind == "person":
        word = by_person(concept, ref)
        return fill(lexicon[f"neg-{concept}"].forms[variety][0], word) if form == "not" else word
    if entry.kind == "gender":
        return parts[ref.endswith("f")]
    if form == "at":
        return fill(lexicon["at-hour"].forms[variety][0], parts[0])
    return parts[0].replace("~", "").strip()  # a preposition is a pattern, too


def verb(lexicon: dict[str, Entry], variety: str, parts: tuple[str, ...], form: str, person: str) -> str:
    """Conjugate. parts: past (he), imperfect without its prefix, imperative (to a man); person: one of PERSONS.

    The kind of verb is inferred from its spelling: hollow (شاف), doubled (حب), weak in its last letter (مشى, نسي).
    """
    past, stem, imperative = parts
    index = PERSONS.index(person)
    msa = variety == "msa"
    hollow = len(past) > 2 and past[-2] == "ا" and past[-1] not in "ىايء"

    def grammar(name: str) -> str:
        cell = lexicon[name].forms[variety]
        return cell[index] if len(cell) > 1 else cell[0]

    def imperfect(mood: str) -> str:
        ending = grammar(f"{mood}-suffix")
        inner = stem
        if ending and stem[-1] in "ىيا":  # kept in the west: يمشيو، تنساي; dropped elsewhere, and one of two ي
            kept = grammar("weak-final") and stem[-1] + ending[0] != "يي"
            inner = stem.replace("ى", "ا") if kept else stem[:-1]
        return begin(grammar(f"{mood}-prefix"), seat(inner, ending))

    def jussive() -> str:
        if hollow and not grammar("bare-suffix"):
            return begin(grammar("bare-prefix"), stem[:-2] + stem[-1])
        return imperfect("bare")[:-1] if stem[-1] in "ىي" and not grammar("bare-suffix") else imperfect("bare")

    if form == "past":
        if past[-1] in "ىا":
            return past[:-1] + grammar("past-weak") if grammar("past-weak") else past
        if past[-1] == "ي":
            return past[:-1] + grammar("past-weak-i") if grammar("past-weak-i") else past
        if person[0] == "3":
            return seat(past, grammar("past-suffix"))
        if len(past) == 2:
            return past + grammar("past-weak")
        return (past[:-2] + past[-1] if hollow else past) + grammar("past-suffix")
    if form == "do":
        if not person.endswith("f") or not grammar("bare-suffix"):
            return imperative
        if grammar("weak-final") and imperative[-1] in "ىا":
            return imperative[:-1] + "اي"
        if msa and hollow:  # the long vowel returns: قم، قومي; استرح، استريحي
            return (imperative[0] if imperative[0] in "اأ" else "") + stem + "ي"
        return seat(imperative.rstrip("ىيا"), "ي")
    if form == "notpast":
        return fill(grammar("neg-past"), jussive() if msa else verb(lexicon, variety, parts, "past", person))
    if form == "dont":
        return fill(grammar("neg-imperative"), jussive() if msa else imperfect("bare"))
    if form in ("notwill", "will"):
        return fill(grammar("neg-future" if form == "notwill" else "future"),
                    imperfect("now" if msa and form == "will" else "bare"))
    word = imperfect("bare" if form == "bare" else "now")
    return fill(grammar("neg-present"), word) if form == "notnow" else (
        fill(grammar("progressive"), word) if form == "prog" else word)


def count(lexicon: dict[str, Entry], variety: str, concept: str, numeral: str, oblique: bool) -> str:
    """A counted noun. numeral: a concept such as num-3; oblique: after a preposition or a verb (MSA shows it).

    MSA counts three to ten with the gender opposed and the plural, above with the singular, and has a dual.
    """
    single, gender, plural = lexicon[concept].forms[variety]
    n = int(numeral.removeprefix("num-"))
    word = lexicon[numeral].forms[variety][gender == "f" or variety != "msa"]
    if variety != "msa":
        if lexicon[concept].group == "noun.measure" and single == plural:  # three kilo
            return f"{lexicon[numeral].forms[variety][0]} {single}"
        if n == 2:
            of_time = lexicon[concept].group == "noun.period"
            pattern = lexicon["dual-of-time" if of_time else "dual"].forms[variety][0]
            return fill(pattern, single if pattern.startswith("~") else plural)
        return fill(word if "~" in word else f"{word} ~", plural if n <= 10 else single)
    if n == 2:
        return join(single, "ين" if oblique else "ان")
    if oblique:
        for nominative, other in (("ون", "ين"), ("اثنا ", "اثني "), ("اثنتا ", "اثنتي "), ("مئتا", "مئتي")):
            word = word.replace(nominative, other)
    return f"{word} {plural if n <= 10 else accusative(single) if n < 100 else single}"


def definite(word: str) -> str:
    """Add the article to a word, to the last word of a construct, and to both noun and adjective (marked by +)."""
    if "+" in word:
        return " ".join("ال" + part.lstrip("+") for part in word.split(" "))
    *rest, last = word.split(" ")
    return " ".join([*rest, f"ال{last}"])


def accusative(word: str, adjective: bool = False) -> str:
    """The indefinite accusative of MSA as far as unvocalised spelling shows it."""
    if "+" in word:
        return " ".join(accusative(part.lstrip("+")) for part in word.split(" "))
    first, *rest = word.split(" ")
    if adjective and first.endswith("ون"):
        first = first[:-2] + "ين"
    elif not rest and first[-1] not in "ةاىء" and not (
            adjective and (first.endswith("ان") or first[0] == "أ" and len(first) == 4)):  # عطشان، أحمر take no ending
        first += "ا"
    return " ".join([first, *rest])


def begin(prefix: str, stem: str) -> str:
    """Join a prefix to a verb; two vowels become one."""
    if prefix.endswith("أ") and stem[0] == "أ":
        return prefix[:-1] + "آ" + stem[1:]
    if prefix.endswith("ا") and stem[0] == "أ":
        return prefix[:-1] + "أ" + stem
    merges = stem[0] == "ا" or stem[0] == "ي" and len(stem) > 2  # يجي: اجي; but يي: ايي
    return prefix + (stem[1:] if prefix.endswith("ا") and merges else stem)


def attach(lexicon: dict[str, Entry], variety: str, word: str, pronoun: str, person: str) -> str:
    """Join a pronoun to a word. pronoun: owner or object; person: one of PERSONS.

    A final ي is a vowel in a verb (اشتريتي) and a doubled consonant in a noun (Beirut's بي, my father: بيي).
    """
    vowels = "اوى" if pronoun == "owner" else "اويى"
    row = lexicon[f"{pronoun}-after-vowel" if word[-1] in vowels else pronoun]
    return join(word, row.forms[variety][PERSONS.index(person)])


def seat(stem: str, ending: str) -> str:
    """Join an ending to a verb; a final hamza changes its seat: يقرأ، يقرؤون، تقرئين."""
    return stem[:-1] + {"ي": "ئ", "و": "ؤ"}.get(ending[:1], stem[-1]) + ending if stem[-1] == "أ" else stem + ending


def join(word: str, ending: str) -> str:
    """Join an ending: ta marbuta opens to ta, final vowels are spelt as inside a word."""
    for last, inside in (("ة", "ت"), ("ى", "ا"), ("وا", "و")) if ending else ():
        if word.endswith(last):
            return word[:-len(last)] + inside + ending
    return word + ending


def fill(pattern: str, word: str) -> str:
    """Put a word in the place of ~; what follows ~ without a space is an ending of the word."""
    before, _, after = pattern.partition("~")
    ending, space, rest = after.partition(" ")
    if ending == "ش" and word.endswith("ه"):  # بده: بدوش
        word = word[:-1] + "و"
    return before + join(word, ending) + space + rest
