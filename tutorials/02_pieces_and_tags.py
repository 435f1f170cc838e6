# %% [markdown]
# # 2. Pieces and tags
#
# **Goal**: see how text becomes the ids that a model reads, why a variety with little text is cut into more pieces,
# what exactly one training example holds, and which of its positions may be looked at when one asks a model what it
# knows of the variety.
#
# **Before**: tutorial 1. Entropy and code length are THEORY (9); read it when section 5 asks for it.
# **Time**: 20 seconds of computing, the pretraining included; 15 minutes of reading. **Difficulty**: easy.

# %%
from collections import Counter
from dataclasses import replace

import numpy as np
import workbench as wb

from tinydecouple.method.codelength import entropy_bits
from tinydecouple.text.corpus import subsample
from tinydecouple.text.readers import load_corpus
from tinydecouple.text.tokenizer import SPACE, Tokenizer, train_tokenizer
from tinydecouple.training.batches import IGNORE, bucket, collate, encode, finetuning_examples

# %% [markdown]
# ## 1. Byte-pair encoding
#
# A model reads numbers. So text is cut into **pieces**, words or parts of words, and each piece has an id. The pieces
# are found by merging: begin with single letters (a space counts as one and is written `▁`). Again and again, make
# one piece of the pair of neighbours that is most frequent in the training text, until the vocabulary is full.
# Merging the pair $ab$ shortens the text by as many pieces as $ab$ was found times (overlaps aside), so each step is
# the best single step:
#
# $$ \text{pieces after the merge} = \text{pieces before} - \max_{ab} \sum_{\text{varieties}} \mathrm{count}(ab) $$
#
# The count of a pair is a sum over varieties: **twice the text gives a variety twice the weight in what becomes a
# piece.**
# The tokeniser sees the training split only; dev may hold letters that it has never seen.
#
# Check the first step: the most frequent pair inside words, counted by hand, should be the first piece that is not a
# byte. Expect `▁` with alif, the first letter of the article, some 7,500 times.

# %%
_, tokenizer, corpus = wb.opened(wb.pretrained())
train = [text for key in corpus.keys("train") for text in corpus.texts[key].values()]
pairs = Counter(SPACE + word[0] if i == 0 else word[i - 1:i + 1]
                for text in train for word in text.split() for i in range(len(word)))
pair, times = pairs.most_common(1)[0]
first_piece = tokenizer.pieces.id_to_piece(3 + len(corpus.varieties) + 256)  # after <pad> <unk> </s>, tags and bytes
print(f"  vocabulary of {tokenizer.size}; first merge by hand {pair!r}, the tokeniser's {first_piece!r}")
wb.show("occurrences of the first pair", times, 7463, 50)

# %% [markdown]
# ## 2. There and back
#
# A word of the training text is one piece or a few. A letter that the training text lacks has no piece; it is spelt
# as its UTF-8 bytes, each of which is one of 256 pieces. So any text at all comes back from its pieces unchanged.
#
# And a **tag**, such as `<|msa|>`, is a control symbol: it has an id, but no text leads to it. If text could spell
# tags, a sentence about tags would change the language of its translation.

# %%
sentence = corpus.texts[corpus.keys("dev")[0]]["msa"]
for text in (sentence, "猫", "<|msa|> x"):
    pieces = tokenizer.encode([text])[0]
    print(f"  {text}  ->  {' '.join(tokenizer.pieces.id_to_piece(i) for i in pieces)}")
rng = np.random.default_rng(0)
strange = ["".join(map(chr, rng.integers(32, 0xD800, size=8))) for _ in range(500)]  # any script below the surrogates
smuggled = set(tokenizer.tags.values()) & set(tokenizer.encode([" ".join(f"<|{v}|>" for v in corpus.varieties)])[0])

# %% [markdown]
# ## 3. Crowding starts here
#
# Pieces per word, on dev. Do not compare a variety with another one right away: words differ in length. Compare **one
# variety under tokenisers that were trained on different amounts of its text**:
# - *equal*: all 2,400 training sentences of every variety;
# - *trickle*: 2,400 of English and the standard, 20 of each dialect;
# - *Cairo first*: the same with the roles of the standard and Cairo exchanged. If what counts is the amount of text,
#   and not something about Arabic, this must reverse the picture.
#
# By the equation above, expect
# - in *equal*: the standard and the dialects at about the same cost, some 1.43 pieces per word;
# - in *trickle*: the dialects half as many pieces again, the standard fewer than in *equal*;
# - in *Cairo first*: the standard as badly off as a dialect is in *trickle*, Cairo as well off as the standard is
#   there. The other dialects suffer in both.


# %%
def pieces_a_word(tokenizer: Tokenizer, *varieties: str) -> float:
    """Pieces per word on dev; the mean over varieties."""
    columns = [corpus.column(v, corpus.keys("dev", v)) for v in varieties]
    return float(np.mean([sum(map(len, tokenizer.encode(texts))) / sum(len(text.split()) for text in texts)
                          for texts in columns]))


whole = load_corpus(replace(wb.CORPUS, per_variety=wb.CORPUS.keys))
cairo_first = replace(whole, standard="cai", dialects=("msa", "rab", "bei", "bag"))
trained_on = {"equal": whole, "trickle": subsample(whole, 20, seed=1),
              "Cairo first": subsample(cairo_first, 20, seed=1)}
sizes = (500, 800) if wb.SMOKE else (1000, 2000, 4000)
wanted = [(name, size) for name in trained_on for size in sizes]
made = {(name, size): Tokenizer(train_tokenizer(trained_on[name], size))
        for name, size in wb.progress(wanted, "training tokenisers")}
of = {name: {v: pieces_a_word(made[name, sizes[-1]], v) for v in corpus.varieties} for name in trained_on}
dialects = {name: np.mean([of[name][v] for v in corpus.dialects]) for name in of}
wb.show("equal: standard", of["equal"]["msa"], 1.43, 0.03, "pieces per word")
wb.show("equal: dialects, mean", dialects["equal"], 1.44, 0.03, "pieces per word")
wb.show("equal: dialects less standard", dialects["equal"] - of["equal"]["msa"], 0.005, 0.03, "pieces per word")
wb.show("trickle: standard", of["trickle"]["msa"], 1.29, 0.03, "pieces per word")
wb.show("trickle: dialects, mean", dialects["trickle"], 2.11, 0.15, "pieces per word")
wb.show("Cairo first: Cairo", of["Cairo first"]["cai"], 1.3, 0.03, "pieces per word")
wb.show("Cairo first: standard", of["Cairo first"]["msa"], 2.1, 0.1, "pieces per word")

# %% [markdown]
# A word in three pieces is three predictions, each of which can go wrong, and its pieces were merged for the sake of
# other words. So crowding begins before the model has a single weight.
#
# What is the case in *our* experiment? Pretraining shows the model 20 sentences of a dialect, but its tokeniser was
# trained on the whole training split: 2,400 sentences of the standard and 1,000 of each dialect. Expect a small
# disadvantage, far from *trickle*: here the tokeniser is not what hurts the dialects. In a large model, whose
# tokeniser saw a dialect as rarely as the model did, it may well be.

# %%
own = {v: pieces_a_word(tokenizer, v) for v in corpus.varieties}
wb.show("the pretrained run's tokeniser: standard", own["msa"], 1.39, 0.03, "pieces per word")
wb.show("the same, dialects, mean", np.mean([own[v] for v in corpus.dialects]), 1.54, 0.04, "pieces per word")
if figure := wb.new_figure(9, 3.6):
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    colours = {"equal": "tab:gray", "trickle": "tab:orange", "Cairo first": "tab:blue", "pretrained run": "tab:green"}
    for i, (name, values) in enumerate({**of, "pretrained run": own}.items()):
        left.bar(np.arange(len(own)) + 0.2 * (i - 1.5), list(values.values()), 0.2, color=colours[name], label=name)
    left.set_xticks(range(len(own)), own)
    left.set(ylabel="pieces per word, dev", title=f"vocabulary of {sizes[-1]}")
    left.legend(fontsize=8)
    for name in ("equal", "trickle"):
        for label, varieties, style in (("standard", ("msa",), "o-"), ("dialects", corpus.dialects, "s--")):
            right.plot(sizes, [pieces_a_word(made[name, size], *varieties) for size in sizes], style,
                       color=colours[name], label=f"{name}: {label}")
    right.set(xlabel="vocabulary", title="a larger vocabulary", xticks=sizes)
    right.legend(fontsize=8)
    wb.save(figure, "02_pieces")

# %% [markdown]
# ## 4. One example
#
# One example is one sentence pair in one row: `<src> pieces <tgt> pieces </s>`. The two tags say from which variety
# into which; `</s>` says that the output is complete. The model reads position $t$ and predicts position $t + 1$.
# Only what follows the target's tag is predicted, for the source is given; everything else has no label (a `-` below,
# −100 in the array). So `<tgt>` is read and has the first piece of the target as its label; `</s>` is a label and
# never read. A piece belongs to the variety of *its* text, a tag to none.

# %%
example = encode(corpus, tokenizer, "dev", "msa", "cai", 1)[0]
batch = collate([example], tokenizer.pad)
names = {i: variety for i, variety in enumerate(corpus.family)}
print("  position  input          label          variety  in_target")
for t, (token, label, variety, inside) in enumerate(zip(*(
        column[0].tolist() for column in (batch.inputs, batch.labels, batch.variety, batch.in_target)))):
    said = [tokenizer.pieces.id_to_piece(i) if i != IGNORE else "-" for i in (token, label)]
    print(f"  {t:8}  {said[0]:13}  {said[1]:13}  {names.get(variety, '-'):7}  {'yes' if inside else '-'}")

# %% [markdown]
# ## 5. Why tags are left out
#
# Three words from later tutorials, in short. At every position the model keeps a row of numbers, its **hidden state**
# (tutorial 3); at **layer 0**, before any block has computed, it depends on the piece at that position and on nothing
# else. A **probe** is a small classifier that is trained to read the variety from a state (tutorial 5). And what the
# probe finds can be **penalised**: training then pushes the states away from it (tutorials 8 and 9). This is the
# paper's method in three sentences. So which states may the probe see?
#
# How much a piece gives away about the variety $Y$ of its text is measured in bits. $H(Y)$, the *entropy*, is what
# one must be told to know $Y$: 1 bit if it is the standard half of the time and a dialect the other half. $H(Y \mid
# \text{piece})$ is what one must still be told when one has seen the piece, on average over pieces (THEORY (9)):
#
# $$ H(Y \mid \text{piece}) = \sum_{\text{pieces}} p(\text{piece}) \Big(-\sum_y p(y \mid \text{piece}) \log_2
#    p(y \mid \text{piece})\Big) $$
#
# For a tag this is **zero**: the tag *is* the label, for every model, trained or not. A probe that saw tags would be
# always right, and that would say nothing about what the model has done; a penalty on it would erase the instruction
# which variety to write. So the `variety` of a tag is −1, and what has −1 is not seen. The end symbol `</s>` is only
# predicted, never read (section 4): there is no state at its position, and nothing to leave out. (States *after* the
# tag may know of it, through attention: that is the model's doing, and worth measuring.)
#
# Half of the target's pieces are the standard's. Expect a piece to give away part of the one bit: some are words of
# one variety, many are shared. How much of this a *linear* probe can use is the question of tutorials 5 and 6.

# %%
examples = finetuning_examples(corpus, tokenizer, "train")
everything = collate(examples, tokenizer.pad)
piece, label = everything.inputs[everything.in_target], np.minimum(everything.variety[everything.in_target], 1)
tag, tag_label = np.array([(e.tokens[e.boundary], min(e.target, 1)) for e in examples]).T
entropy = entropy_bits(label) / len(label)
# H(Y | piece) = H(piece, Y) - H(piece), by the definition of a conditional probability
left_by_piece = (entropy_bits(2 * piece + label) - entropy_bits(piece)) / len(label)
left_by_tag = (entropy_bits(2 * tag + tag_label) - entropy_bits(tag)) / len(tag)
wb.show("H(Y) of target pieces, standard against dialects", entropy, 1, 0.001, "bits")
wb.show("H(Y | piece)", left_by_piece, 0.51, 0.03, "bits")
wb.show("H(Y | tag)", left_by_tag, 0, 1e-9, "bits")

# %% [markdown]
# ## 6. Batches by length
#
# The rows of a batch are padded to its longest, and padding is computed and thrown away. `bucket` shuffles, sorts
# some dozens of batches' worth by length, cuts them within a budget of positions and shuffles the batches. Expect a
# few percent of padding, and about a third if the same examples are dealt out in random order.

# %%
batches = bucket(examples, wb.FINETUNE.batch_tokens, np.random.default_rng(0))
dealt = [[examples[i] for i in part] for part in np.array_split(rng.permutation(len(examples)), len(batches))]
padding, at_random = (100 * np.mean(np.concatenate([collate(b, tokenizer.pad).inputs.ravel() == tokenizer.pad
                                                    for b in cut])) for cut in (batches, dealt))
wb.show("padding, by length", padding, 2, 0.5, "%")
wb.show("padding, at random", at_random, 35, 2, "%")

# %% [markdown]
# ## What you have learned, as assertions

# %%
assert pair == first_piece, "the first merge is not the most frequent pair"
assert all(each.decode(each.encode(strange)) == strange for each in (tokenizer, *made.values())), "text is lost"
assert not smuggled, "text can spell a tag"
read, predicted = batch.inputs[0], batch.labels[0][batch.labels[0] != IGNORE]
assert predicted.tolist() == example.tokens[example.boundary + 1:] and tokenizer.end not in read, "what is predicted?"
tags = np.isin(everything.inputs, list(tokenizer.tags.values()))
assert (everything.variety[tags] == -1).all() and not everything.in_target[tags].any(), "the probe would see tags"
assert abs(left_by_tag) < 1e-9 < left_by_piece < entropy, "a tag gives away all, a piece only part"
assert padding < at_random / 2, "sorting by length saves nothing"
if not wb.SMOKE:
    assert abs(dialects["equal"] - of["equal"]["msa"]) < 0.06, "with equal text the standard should cost no less"
    assert dialects["trickle"] > 1.4 * dialects["equal"] and of["trickle"]["msa"] < of["equal"]["msa"], "no crowding"
    assert of["Cairo first"]["msa"] > 1.4 * of["Cairo first"]["cai"], "the amount of text should decide, not the name"
    assert of["trickle"]["msa"] < own["msa"] < np.mean([own[v] for v in corpus.dialects]) < dialects["trickle"]
print("tutorial 2: all assertions hold")

# %% [markdown]
# ## Exercises
# 1. English, with 2,400 sentences in all three tokenisers, needs 1.30 pieces per word in *equal* and 1.20 in
#    *trickle*. Why does it gain, when its own text has not changed?
# 2. In *trickle*, does a larger vocabulary close the gap? Read the right-hand figure, and say what would.
# 3. Suppose `collate` gave the tag of the target the target's variety. How many bits would the probe at layer 0 need
#    for such positions, and which number of a run would look better for no reason?
#
# **To write and check.** `example_arrays`: the three arrays of section 4, from an example's ids and the place of its
# tag. `python tutorials/check.py T2.1 my_answers.py --new` puts a stub into a file of yours; without `--new` it is
# checked.
#
# Answers, one at a time: `python tutorials/hint.py 2.1`; in a notebook `wb.hint("2.1")`. Try first.
#
# ## Where to read next
# `tinydecouple/text/tokenizer.py` (70 lines), `training/batches.py`, and `probed` in `training/gather.py`, which
# is where positions are left out. Then tutorial 3.
