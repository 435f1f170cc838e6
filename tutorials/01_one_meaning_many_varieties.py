# %% [markdown]
# # 1. One meaning, many varieties
#
# **Goal**: know the parallel corpus that everything later stands on: what a variety, a standard, a dialect, a pivot
# and a key are, how far the varieties lie from each other, and why training and test must not share a sentence.
#
# **Before**: nothing. chrF is THEORY (31).
# **Time**: 15 seconds of computing, 15 minutes of reading. **Difficulty**: easy.

# %%
from collections import Counter

import numpy as np
import workbench as wb
from sacrebleu.metrics import CHRF

from tinydecouple.text.corpus import split_by_key
from tinydecouple.text.corpus_stats import describe, distances
from tinydecouple.text.phrasebook.meanings import meanings, phrasebook
from tinydecouple.text.readers import CorpusOptions, load_corpus, region_of
from tinydecouple.text.splits import fold, leaks

# %% [markdown]
# ## Words for the data
#
# A **variety** is any language or dialect in a corpus. One of them, the **standard**, is the dominant one: here
# Modern Standard Arabic, `msa`. The others of its language family are its **dialects**: here those of 25 cities. A
# **pivot** lies outside the language family: here English, `en`. A **key** names one meaning; what stands under one
# key in two varieties is a translation. Here the key is the sentence pattern ("Where is the ...?") and the words
# filled in.
#
# This corpus is the *phrasebook*. **It is constructed**: the developers of this project had language models write,
# and read a second time, 154 sentence patterns and a lexicon of 791 concepts, which make 27,283 meanings in 27
# varieties; 3,000 are drawn. No native speaker has reviewed it (data_samples/DATASHEET.md), and nothing you find here
# is a fact about Cairo or Rabat. What it is good for: the truth about it is known, anyone may copy it, a model's
# mistake can be read.

# %%
options = CorpusOptions(keys=1000 if wb.SMOKE else 3000, per_variety=3000)  # nothing subsampled
corpus = load_corpus(options)
key = next(iter(corpus.texts))
print(f"key {key}, in {corpus.split[key]}")
for variety in ("en", "msa", "rab", "tun", "cai", "bei", "bag", "mus"):
    print(f"  {variety:4} {corpus.texts[key][variety]}")

# %% [markdown]
# ## A distance between texts
#
# chrF compares an output with a reference by the $n$-grams of characters that both have, $n$ from 1 to 6, spaces left
# out. *kitab* and *kutub*, say, share the letters k, t and b, and no pair of neighbours. Two shares are taken, each
# the mean over the six $n$:
# - **precision**: which share of the output's $n$-grams does the reference have, too?
# - **recall**: which share of the reference's $n$-grams does the output have, too?
#
# An output of one right letter has a precision of 1, an output of all the letters there are a high recall. So both
# count:
#
# $$ F_\beta = (1 + \beta^2)\,\frac{\text{precision} \cdot \text{recall}}{\beta^2\,\text{precision} + \text{recall}} $$
#
# $1/F_\beta$ is the mean of 1/precision and 1/recall with weights 1 and $\beta^2$, so at $\beta = 2$ recall counts
# four times as much: leaving things out is worse than adding some. (**chrF++**, used for translations, also counts
# words and pairs of words.) Expect the formula to give what sacrebleu gives, to rounding.


# %%
def chrf_by_hand(output: str, reference: str) -> float:
    """chrF of one sentence of at least six letters, 0 to 100."""
    counts = [[Counter(s[i:i + n] for i in range(len(s) - n + 1)) for n in range(1, 7)]
              for s in (output.replace(" ", ""), reference.replace(" ", ""))]
    shared = [(a & b).total() for a, b in zip(*counts)]
    precision, recall = (np.mean([m / c.total() for m, c in zip(shared, side)]) for side in counts)
    return 100 * 5 * precision * recall / (4 * precision + recall)


row = corpus.texts[key]
by_hand, by_sacrebleu = chrf_by_hand(row["msa"], row["cai"]), CHRF().sentence_score(row["msa"], [row["cai"]]).score
wb.show("chrF of msa against Cairo for this key, by hand less sacrebleu", by_hand - by_sacrebleu, 0, 1e-9)

# %% [markdown]
# ## Why parallel text makes the comparison fair
#
# If Rabat's texts were about food and the standard's about trains, any measure would find them different, and
# whatever learns to tell the two apart would learn food. Parallel text takes the meaning out. In formulas: measure
# some number $a_i$ of key $i$ in one variety and $b_i$ in another, with spreads $\sigma_a, \sigma_b$ and correlation
# $\rho$ between texts of one key. The difference of means over $N$ keys has the variance
#
# $$ \mathrm{Var}(\bar a - \bar b) = \frac{\sigma_a^2 + \sigma_b^2 - 2\rho\,\sigma_a \sigma_b}{N}
#    \;\approx\; (1 - \rho) \cdot \frac{2\sigma^2}{N} $$
#
# and without shared keys $\rho = 0$: sharing them shrinks the standard error by $\sqrt{1 - \rho}$. Take the length in
# letters. What is long to say is long in every variety, so expect $\rho$ above 0.8 and the error more than halved.
#
# And chrF? Against *Rabat's text of the same key*, the standard should score far higher than against *its own text of
# another key*: meaning makes more difference than variety.

# %%
keys = list(corpus.texts)[:300]
msa, rab = corpus.column("msa", keys), corpus.column("rab", keys)
a, b = (np.array([len(text) for text in column]) for column in (msa, rab))
gain = np.std(a - b) / np.sqrt(a.var() + b.var())
lost = np.std(a - np.roll(b, 1)) / np.sqrt(a.var() + b.var())  # each text beside one of another key
score = CHRF()
same_key = score.corpus_score(msa, [rab]).score
other_key = score.corpus_score(msa, [msa[1:] + msa[:1]]).score
wb.show("standard error of a difference of lengths, paired over unpaired", gain, 0.38, 0.04)
wb.show("msa against Rabat, same key", same_key, 27.5, 1.5, "chrF")
wb.show("msa against msa, another key", other_key, 10.1, 1, "chrF")

# %% [markdown]
# ## How far apart the varieties are
#
# Now all pairs, on the first 100 keys. Expect what was built in and is seen in real corpora too (the data sheet
# compares): dialects lie at chrF 26 to 48 from their standard, the Maghreb farthest; **cities of a region are on
# average far nearer to each other than to the standard**, and even cities of different regions are somewhat nearer;
# and a dialect rarely says exactly what the standard says. The share of identical sentences matters twice: who copies
# the source gets them for free, and in them nothing can distinguish the varieties.

# %%
matrix = distances(corpus, 10 if wb.SMOKE else 100)
rows = {row["variety"]: row for row in describe(corpus, matrix)}
to_standard = {v: rows[v]["chrf_standard"] for v in corpus.dialects}
regions = np.array([region_of(options, "msa", v) for v in corpus.dialects])
among = matrix[2:, 2:]  # dialects alone: en and msa come first
within = regions[:, None] == regions
wb.show("a dialect against the standard, mean of 25", np.mean(list(to_standard.values())), 39.8, 1.5, "chrF")
wb.show("farthest, one of Morocco", min(to_standard.values()), 26.5, 1.5, "chrF")
wb.show("nearest, one of the Gulf or Yemen", max(to_standard.values()), 48, 2, "chrF")
wb.show("two cities of a region", among[within & ~np.eye(25, dtype=bool)].mean(), 71.5, 1.5, "chrF")
wb.show("two cities of different regions", among[~within].mean(), 49, 2.5, "chrF")
wb.show("sentences identical to the standard's, mean", np.mean([rows[v]["same_percent"] for v in corpus.dialects]),
        1.7, 0.6, "%")
strays = [f"{v} (to {rows[v]['nearest']})" for v, home in zip(corpus.dialects, regions)
          if home != region_of(options, "msa", rows[v]["nearest"])]
print("  cities nearest to one of another region:", ", ".join(strays), "-- Sanaa is alone in its region")
cities = phrasebook().cities
print("  the codes:", ", ".join(f"{v} {cities[v]['city']}" for v in corpus.dialects))
if figure := wb.new_figure(7, 5.6):
    axis = figure.subplots()
    figure.colorbar(axis.imshow(matrix[1:, 1:], vmin=20, vmax=100))
    axis.set_xticks(range(26), corpus.family, rotation=90, fontsize=8)
    axis.set_yticks(range(26), corpus.family, fontsize=8)
    edges = [-0.5, 0.5, *(np.flatnonzero(regions[1:] != regions[:-1]) + 1.5), 25.5]  # the standard is row 0
    for i in edges[1:-1]:
        axis.axhline(i, color="white", linewidth=1.5)
        axis.axvline(i, color="white", linewidth=1.5)
    names = ["standard", *(regions[round(i - 0.5)].replace("_", " ") for i in edges[1:-1])]
    beside = axis.secondary_yaxis("right")
    beside.set_yticks([(a + b) / 2 for a, b in zip(edges, edges[1:])], names, fontsize=9)
    beside.tick_params(length=0)
    axis.set_title("chrF between varieties; lines divide the regions")
    wb.save(figure, "01_distances")

# %% [markdown]
# ## A dial: pseudo-languages
#
# In the phrasebook the distance is what it is. To ask "what if the dialects were nearer?" one needs a dial. The
# second corpus (`family` in commands and code) is a set of *pseudo-languages* made by rule. A dialect inherits a share
# `overlap` of the standard's words, changed by regular sound changes, and has the rest from its region or for itself.
# Turning the dial up only turns more words into the standard's.
#
# Expect chrF to rise with overlap, but **neither from 0 nor to 100**: unrelated words over one alphabet share short
# n-grams by chance (English and Arabic do not: other letters), and at overlap 1 sound changes and word order remain.

# %%
dial = {}
for overlap in (0, 0.5, 1):
    made = load_corpus(CorpusOptions("family", keys=100, overlap=overlap, varieties="a1,b1,c1,d1,e1,f1"))
    dial[overlap] = distances(made)[1, 2:].mean()  # the standard against a dialect of each region
for overlap, expected, spread in ((0, 10, 1), (0.5, 28, 4), (1, 65, 5)):
    wb.show(f"pseudo-languages, overlap {overlap}: standard against a dialect", dial[overlap], expected, spread, "chrF")

# %% [markdown]
# ## Splits without leaks
#
# *Train* is learned from, choices are made on *dev*, *test* is read once. Splitting by key keeps a meaning on one
# side. That is not enough: two keys can share a **text**. Arabic without vowel signs writes "I went" and "she went"
# alike, and where a corpus has "Save page" and "save page!", a model that saw one knows the other. `fold` maps such
# near-duplicates to one string: case, marks, spaces and digits go.
#
# How many leaks should a split by key alone have? A key with one near-duplicate leaks if it is held out (a share $p =
# 0.2$, dev and test together) and its partner is not. Over $J$ such keys
#
# $$ \mathbb E[\text{leaks}] \approx J\,p\,(1 - p) $$
#
# which for the 53 joined keys of the phrasebook is 8.5. `split_without_leaks` joins keys that share a folded text and
# deals out whole connected components; expect 0. (8 of 600 is little. Where a text such as "Cancel" recurs in many
# keys, as in the messages of a user interface, it is more; such a text joins nothing, and its keys stay in train.)

# %%
held = {fold(row["msa"]): other for other, row in corpus.texts.items()}  # folded text -> the last key that has it
one, two = next((k, held[fold(row["msa"])]) for k, row in corpus.texts.items() if held[fold(row["msa"])] != k)
print(f"  {corpus.texts[one]['en']} / {corpus.texts[two]['en']}  in msa both: {corpus.texts[one]['msa']}")
rng, draws = np.random.default_rng(0), 3 if wb.SMOKE else 10
by_key = [sum(leaks(corpus.texts, split_by_key(list(corpus.texts), 0.1, rng)).values()) for _ in range(draws)]
joined = corpus.notes["split: keys joined with a near-duplicate"]
without = sum(leaks(corpus.texts, corpus.split).values())
wb.show("leaking keys of 600, split by key, mean of 10 draws", np.mean(by_key), 8.5, 3)
wb.show("leaking keys, split without leaks", without, 0, 0)

# %% [markdown]
# ## What you have learned, as assertions

# %%
assert len(meanings(phrasebook())) == 27_283, "the tables have changed; so have the numbers above"
assert abs(by_hand - by_sacrebleu) < 1e-9, "the formula is not chrF"
assert gain < 0.5 and lost > 0.9, "pairing by key should halve the error, and pairing at random should not"
assert fold("Save page!") == fold("save  PAGE") and fold("save") != fold("safe"), "what are near-duplicates?"
assert same_key > 2 * other_key, "meaning should make more difference than variety"
assert len(strays) <= 5 and among[~within].mean() > np.mean(list(to_standard.values())), "where do the dialects lie?"
assert region_of(options, "msa", min(to_standard, key=to_standard.get)) == "maghreb", "the Maghreb should be farthest"
assert sorted(dial.values()) == list(dial.values()) and 5 < dial[0] < 15 and 45 < dial[1] < 80, "the dial does not turn"
assert without == 0 < min(by_key), "a split by key should leak, and the package's should not"
assert abs(np.mean(by_key) - joined * 0.2 * 0.8) < 4, "the number of leaks is not what the formula gives"
print("tutorial 1: all assertions hold")

# %% [markdown]
# ## Exercises
# 1. `chrf_by_hand(x, y)` and `chrf_by_hand(y, x)` differ. Why, in terms of precision and recall, and when do they
#    agree? Try msa and Cairo of the first key. What does `distances` do about it?
# 2. The pseudo-languages at overlap 0 score about 10 although no word is inherited. Compare with msa against another
#    key, and with `matrix[0, 1]`, English against msa. What does that say about reading a chrF of 27?
# 3. What goes wrong if `split_without_leaks` joins the keys of every shared text, however common? Think of "Cancel"
#    in 500 keys, and of what hangs on each of these.
#
# **To write and check.** `leaks`: how many keys of dev and of test does training know, but for case, marks and space?
# `python tutorials/check.py T1.1 my_answers.py --new` puts a stub into a file of yours, the same without `--new`
# checks what you have written.
#
# Answers, one at a time: `python tutorials/hint.py 1.1`; in a notebook `wb.hint("1.1")`. Try first.
#
# ## Where to read next
# `tinydecouple/text/corpus.py`, `text/splits.py`, `text/corpus_stats.py`; the whole table: `python -m tinydecouple
# corpus phrasebook`, with `--tables FOLDER` for tables of words and templates that you have changed (a copy of
# data_samples/phrasebook/). Your own text: [your_own_corpus.md](your_own_corpus.md). Then tutorial 2.
