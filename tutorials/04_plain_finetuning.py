# %% [markdown]
# # 4. Plain fine-tuning, and what leaks from the standard
#
# **Goal**: pretrain a model in which the standard is dominant, fine-tune it on four dialects the plain way, measure
# what it has learned, and count how much of the standard leaks into its dialects. At the end you have the baseline
# that everything later is measured against.
#
# **Before**: tutorials 1 to 3; chrF++ is defined in THEORY (31), leakage in (33).
# **Time**: 45 seconds of computing, three fine-tunings included; 10 minutes of reading. **Difficulty**: easy.

# %%
import json

import numpy as np
import workbench as wb

from tinydecouple.evaluation.score import copied, group, words
from tinydecouple.training.batches import finetuning_examples, pretraining_examples

# %% [markdown]
# ## Two stages
#
# **Pretraining** makes the standard dominant: English to Modern Standard Arabic and back, the standard to itself, and
# of each dialect a trickle of 20 sentences. **Fine-tuning** then teaches the standard to each dialect and back, at
# most 1,000 sentences per dialect. Both minimise the loss of tutorial 3, the mean cost of the $T$ pieces of the
# target (THEORY (5), every piece counted once):
#
# $$ L_{MT} = \frac1T \sum_t -\log p(\text{piece}_{t+1} \mid \text{pieces} \le t) $$
#
# Expect that pretraining sees more than two hundred times as many examples in the standard as in any dialect. The
# corpus here is the phrasebook, cut down to Rabat, Cairo, Beirut and Baghdad, so that a fine-tuning takes seconds.
#
# Runs are trained when a tutorial first asks for them, and kept in runs/tutorials/. They compute with one thread each
# (at this size a second one slows them down), and several that are missing are trained side by side, one per core.

# %%
start = wb.pretrained()
model, tokenizer, corpus = wb.opened(start)
before = pretraining_examples(corpus, tokenizer, "train", 20)
during = finetuning_examples(corpus, tokenizer, "train")
to_standard = sum(e.target == 0 for e in before)
to_one_dialect = sum(e.target == 1 for e in before)
print(f"pretraining, {wb.PRETRAIN.epochs} epochs:")
wb.show("examples into the standard", to_standard, 4880, 60)
wb.show("examples into Rabat's dialect", to_one_dialect, 20, 0)
print(f"fine-tuning, {wb.FINETUNE.epochs} epochs:")
wb.show("examples, both ways, four dialects", len(during), 8000, 0)

# %% [markdown]
# ## Three seeds
#
# The seed of a fine-tuning decides the order of its batches, nothing else. That is chance, and a score without a
# measure of chance cannot be compared with another. So train the plain baseline three times. Expect chrF++ in the
# middle to high sixties into the dialects, seeds one to three points apart: **a gain of less than that, seen with one
# seed, shows nothing.**

# %%
wb.together(["plain"], (1, 2, 3))
systems = [wb.translated(wb.finetuned("plain", seed)) for seed in (1, 2, 3)]
plain = [wb.scores(system) for system in systems]
print("plain, on dev, chrF++ and leakage:")
for seed, found in enumerate(plain, start=1):
    wb.show(f"seed {seed}, standard to dialects", found["to dialects"], 66.5, 4, "chrF++")
wb.show("largest difference between seeds", np.ptp([p["to dialects"] for p in plain]), 2, 1.5, "chrF++")
wb.show("dialects to standard, mean of seeds", np.mean([p["to standard"] for p in plain]), 76, 3, "chrF++")

# %% [markdown]
# ## The baseline beside every score: copying
#
# Dialects share words with their standard, so a "system" that hands its source back scores well above nothing. Expect
# it in the thirties. A model that does not beat copying by far has learned little, and a method "improving" such a
# model proves little.
#
# ## What leaks
#
# *Leakage* is the share of output words that occur in the standard's sentence but not in the dialect's reference
# (THEORY (33)). If the standard has *a b c*, the reference *a x y*, and the model says *a b y*, then *b* has leaked:
# one word of three, 33 %. (*a* is in both: no leak.) A copy leaks most of its words; expect the well-trained model at
# a few percent. Remember the number: the paper wants to take the standard out of the dialects' way, and if hardly
# anything of it leaks, there is little to mend.

# %%
copy = wb.scores(copied(systems[0]))
wb.show("copying the source, standard to dialects", copy["to dialects"], 33.6, 1, "chrF++")
wb.show("leakage of a copy", copy["leakage"], 77, 3, "%")
wb.show("leakage of plain, mean of seeds", np.mean([p["leakage"] for p in plain]), 4, 2, "%")

# %% [markdown]
# Look at sentences, always. Words that leaked are marked with `*`; other mistakes are simply mistakes. As for the
# number, words are compared without the punctuation at their ends (`words`): *y.* and *y* are one.

# %%
for d in group(systems[0], "msa", "en")["msa -> dialect"]:
    leaked = [{word for word in words(output) if word in words(source) and word not in words(reference)}
              for output, source, reference in zip(d.outputs, d.sources, d.references)]
    worst = max(range(len(leaked)), key=lambda i: len(leaked[i]))
    said = " ".join(word + "*" if leaked[worst] & set(words(word)) else word for word in d.outputs[worst].split())
    print(f"{d.name}\n  source     {d.sources[worst]}\n  reference  {d.references[worst]}\n  plain      {said}")

# %% [markdown]
# ## What the loss did
#
# The log of a run is a file with one line per step. If the loss on dev turned up before the end, the model would be
# overtrained; if it were still falling steeply, undertrained. Expect it to flatten out, far above the loss in
# training: dev is full of words that no example of its direction had. A baseline stopped early is an easy baseline to
# beat.

# %%
log = [json.loads(line) for line in (wb.finetuned("plain") / "log.jsonl").read_text(encoding="utf-8").splitlines()]
dev = [(r["step"], r["dev_loss"]) for r in log if "dev_loss" in r]
wb.show("dev loss before fine-tuning", dev[0][1], 6.3, 0.5, "nats per token")
wb.show("dev loss after", dev[-1][1], 1.9, 0.4, "nats per token")
if figure := wb.new_figure():
    left, right = figure.subplots(1, 2)
    left.plot([r["loss"] for r in log if "loss" in r], color="tab:gray", linewidth=0.5, label="train")
    left.plot(*zip(*dev), "o-", color="tab:orange", label="dev")
    left.set(xlabel="step", ylabel="nats per token", title="plain fine-tuning, seed 1")
    left.legend()
    values = {"copy": copy["to dialects"], **{f"plain {i}": p["to dialects"] for i, p in enumerate(plain, start=1)}}
    right.bar(list(values), list(values.values()), color=["tab:gray"] + 3 * ["tab:orange"])
    right.set(ylabel="chrF++", title="standard to dialects, dev")
    wb.save(figure, "04_plain")

# %% [markdown]
# ## What you have learned, as assertions

# %%
assert to_standard > (10 if wb.SMOKE else 200) * to_one_dialect, "the standard is not dominant in pretraining"
assert copy["leakage"] > 50, "a copy should leak most of its words"
if not wb.SMOKE:
    assert min(p["to dialects"] for p in plain) > copy["to dialects"] + 15, "plain has not learned"
    assert dev[-1][1] < dev[0][1] / 2, "fine-tuning did not help"
    assert max(p["leakage"] for p in plain) < copy["leakage"] / 4, "much leaks; is the model undertrained?"
print("tutorial 4: all assertions hold")

# %% [markdown]
# ## Exercises
# 1. Fine-tune for one epoch instead of three: `python -m tinydecouple finetune --from runs/tutorials/pretrained --run
#    runs/short --strength 0 --learning-rate 9e-3 --batch-tokens 512 --refreshes 8 --epochs 1`, then
#    `python -m tinydecouple evaluate runs/short`. What happens to chrF++, and to leakage?
# 2. Why are both directions, standard to dialect and dialect to standard, in fine-tuning, when the primary score is
#    only the first?
# 3. Leakage counts words that are the standard's *and not the reference's*. Which mistakes does it miss, and when
#    does it blame the model wrongly?
#
# **To write and check.** `learning_rate_at`, the rate of every step (it rises and falls, and too high a one is a
# common reason for a bad run): `python tutorials/check.py T4.1 my_answers.py --new` puts a stub into a file of yours;
# without `--new` it is checked. And `leakage` itself, task A4.5.
#
# Answers, one at a time: `python tutorials/hint.py 4.1`; in a notebook `wb.hint("4.1")`. Try first.
#
# ## Where to read next
# `tinydecouple/training/train.py` (one loop for both stages), `training/batches.py` (what an example is),
# `evaluation/score.py`. Then tutorial 5.
