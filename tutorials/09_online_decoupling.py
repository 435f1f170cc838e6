# %% [markdown]
# # 9. Online decoupling, step by step
#
# **Goal**: see the whole method as one loop and take one refresh apart. See what the penalty reaches and what it does
# not. Then watch the standard's subspace move through whole runs, and ask a fresh probe whether the standard is harder
# to distinguish afterwards.
#
# **Before**: tutorials 5 to 8; THEORY (27) and (28).
# **Time**: 85 seconds of computing, with twelve fine-tunings (four arms, three seeds each), eight of them new after
# tutorials 4 and 8; 25 minutes of reading. **Difficulty**: hard.

# %%
import json
import time
from dataclasses import replace

import numpy as np
import workbench as wb

from tinydecouple.evaluation.probe_report import gather_states
from tinydecouple.method.codelength import entropy_bits, null_bits, variational_bits
from tinydecouple.method.probe import fit, new_probe
from tinydecouple.method.projection import penalty
from tinydecouple.method.states import standardise
from tinydecouple.method.subspace import angle_null, probe_subspace
from tinydecouple.training.batches import collate, finetuning_examples
from tinydecouple.training.decoupler import Decoupler, classes_of
from tinydecouple.training.gather import at_positions, collect_states, draw_examples, probed

# %% [markdown]
# ## The method in one sentence, and in one picture
#
# Fine-tuning minimises the translation loss plus the length of the hidden states' part inside the standard's subspace,
# which a variational probe estimates anew a few times per run:
#
# $$ L_{MT} + \lambda\,\Omega, \qquad \Omega = \mathbb E\,\|\dot hU\|_2 $$
#
# $\dot h = h - \bar h$ is a state of the chosen layer less the mean state (THEORY (27)). Why anew? The states change
# with every training step, and with them the place where the standard lies. So the loop has two speeds (the figure of
# the next cell):
# - **at every step** (lower row): forward, penalty on the part inside $U$, gradient, update. $U$ stays as it is;
# - **at a refresh** (upper row), 8 times in these short runs (about every 85 steps; 20 times by default): gather
#   states, standardise them, refit the probe, take a new $U$.

# %%
if figure := wb.new_figure(10, 4):
    axis = figure.subplots()
    axis.set(xlim=(0, 10), ylim=(0, 4))
    axis.axis("off")
    boxes = {"gather": (1.2, 3.1, "gather\n4,000 states of\ntarget tokens, their\nvarieties"),
             "scale": (3.75, 3.1, "standardise\ncentre, divide by\none number"),
             "refit": (6.25, 3.1, "refit the probe\nstandard against rest,\nfrom where it stood"),
             "basis": (8.75, 3.1, "basis\nU (d, k): SVD of the\nmean weights"),
             "forward": (1.2, 0.9, "forward\nbatch through\nthe model"),
             "penalty": (6.25, 0.9, "penalty Omega\nmean length of\n(h - mean) U"),
             "loss": (3.75, 0.9, "loss\nL_MT +\nlambda Omega")}
    for x, y, words in boxes.values():
        style = {"boxstyle": "round,pad=0.5", "facecolor": "#fff2cc" if y > 2 else "#d9e8fb", "edgecolor": "gray"}
        axis.text(x, y, words, ha="center", va="center", fontsize=11, bbox=style)

    def go(start, end, bend=0.0):
        axis.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "linewidth": 1.8,
                                                  "connectionstyle": f"arc3,rad={bend}"})

    go((2.15, 3.1), (2.85, 3.1))
    go((4.65, 3.1), (5.15, 3.1))
    go((7.4, 3.1), (7.8, 3.1))
    go((8.75, 2.55), (7.3, 0.9), -0.35)  # U to the penalty
    axis.text(9.35, 1.6, "U and the mean,\nkept until the\nnext refresh", ha="center", va="center")
    go((5.4, 0.9), (4.6, 0.9))
    go((1.95, 1.05), (2.9, 1.05))
    go((2.9, 0.75), (1.95, 0.75))
    axis.text(2.42, 0.45, "gradient", ha="center", va="center")
    go((1.8, 1.45), (5.6, 1.45), -0.2)  # states to the penalty
    axis.text(3.7, 1.98, "states of the layer", ha="center", va="center")
    go((0.8, 1.5), (0.8, 2.4))
    axis.text(0.1, 3.85, "at a refresh, in NumPy", fontsize=11, weight="bold", va="center")
    axis.text(0.1, 0.1, "at every step", fontsize=11, weight="bold", va="center")
    wb.save(figure, "09_loop")

# %% [markdown]
# ## One refresh
#
# Now the upper row, call by call, on the pretrained model at layer 2:
# 1. `draw_examples` draws whole sentences until they hold about 4,000 target tokens. `collect_states` runs them
#    through the model and keeps the states of a layer with the variety of each. (`gather_states` of tutorial 5 does
#    both, for equal numbers of tokens per variety.)
# 2. `classes_of` makes classes of varieties: the standard 0, the rest 1.
# 3. `Decoupler.refresh` standardises, goes on fitting the probe from where it stood (a *warm start*), and takes the
#    basis $U$ (d, k) of its mean weights by SVD. With two classes $k = 1$, since $C - 1 = 1$.
#
# It returns a record for the log. Expect the code length (bits per label, given the states) far below its null (labels
# dealt at random). The null is 1.22 here, larger than in tutorial 6: half of the target tokens are the standard's, so
# $H(Y)$ is near 1, and $n$ is only 4,100.

# %%
model, tokenizer, corpus = wb.opened(wb.pretrained())
examples = finetuning_examples(corpus, tokenizer, "train")


def refreshed(layer: int) -> tuple[Decoupler, dict]:
    """A new decoupler after one refresh on states of the pretrained model, and what it logs."""
    decoupler, rng = Decoupler(replace(wb.DECOUPLE, layer=str(layer)), 2, wb.MODEL.width), np.random.default_rng(0)
    drawn = draw_examples(examples, wb.DECOUPLE.probe_states, "target", rng)
    states, variety, _ = collect_states(model, drawn, (layer,), "target", tokenizer.pad, rng)
    return decoupler, decoupler.refresh(states[layer], classes_of(wb.DECOUPLE, variety), rng)


started = time.perf_counter()
decoupler, record = refreshed(2)
print(f"a refresh took {time.perf_counter() - started:.2f} s and returned {sorted(record)}")
wb.show("n, states seen", record["states"], 4100, 10)
wb.show("H(Y) of standard against dialects", record["entropy_bits"], 1.0, 0.01, "bits per state")
wb.show("code length", record["code_bits"], 0.4, 0.08, "bits per state")
wb.show("its null, dealt labels", record["null_bits"], 1.22, 0.03, "bits per state")
U = decoupler.basis

# %% [markdown]
# ## What autograd sees
#
# Now the lower row. `Decoupler.penalty` hands the states to NumPy's `projection.penalty` and gives its hand-derived
# gradient back to PyTorch, as one node of the graph. As a check, let autograd differentiate the plain formula. Expect
# the two gradients to agree to single precision, and each state's gradient to have length 1 (tutorial 8).

# %%
batch = collate(examples[:8], tokenizer.pad)
inputs = wb.torch.from_numpy(batch.inputs)
h = at_positions(model(inputs)[2], probed(batch)).detach().requires_grad_()  # states of the target tokens, layer 2
plain_formula = ((h - wb.torch.from_numpy(decoupler.mean)) @ wb.torch.from_numpy(U)).norm(dim=1).mean()
plain_formula.backward()
value, gradient = penalty(h.detach().numpy(), U, mean=decoupler.mean)
error = np.abs(gradient - h.grad.numpy()).max() / np.abs(gradient).max()
wb.show("NumPy's gradient less autograd's, relative", error, 0, 1e-4)
wb.show("length of each state's gradient, times n", np.linalg.norm(gradient, axis=1).mean() * len(h), 1, 1e-4)

# %% [markdown]
# ## What the penalty does not reach
#
# The gradient flows backwards from the layer. So it reaches only weights that these states depend on: the blocks up to
# the layer, and the embedding. The states of layer 1 do not depend on block 2. A penalty at layer $\ell$ leaves the
# blocks after it free to rebuild the standard's subspace. One matrix is on both sides: the embedding is tied (tutorial
# 3), so what the penalty changes in it also changes the logits. Which weights will the cell list for layer 1? (In the
# code `blocks.0` is the first block, whose output is layer 1.)

# %%
first, _ = refreshed(1)
model.zero_grad()
first.penalty(at_positions(model(inputs)[1], probed(batch))).backward()
reached = [name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0]
print("a penalty at layer 1 reaches", ", ".join(reached))
wb.show("weights of the second block reached", sum(name.startswith("blocks.1") for name in reached), 0, 0)

# %% [markdown]
# ## Whole runs
#
# Four runs from one checkpoint, on the same batches in the same order:
# - *plain*: no penalty; the probe observes;
# - *decoupled*: $\lambda = 0.1$ at layer 1, the package's default;
# - *deeper*: $\lambda = 0.1$ at layer 2, the last, where by tutorial 6 the standard is easy to distinguish;
# - *deeper-random*: the control of *deeper*, one random direction (a sum of centred states with random weights) at the
#   same layer and strength.
#
# Each refresh leaves a line in `log.jsonl` with the code length, and at five of the eight also its null.
# **Selectivity**, null less code length, is what the states save. Expect a quarter of a bit of it in *plain* at layer
# 1: there is little of the standard to remove. In *decoupled* expect half of that to go. At layer 2 compare *deeper*
# with *deeper-random* (the probe of *plain* looks at layer 1): both begin at 0.82 bits. The control rises to 1.13, as
# the model learns the dialects; *deeper* falls to 0.6, and not to 0, for the states of layer 2 must say which word to
# write.

# %%
logs = {arm: [json.loads(line) for line in (wb.finetuned(arm) / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        for arm in ("plain", "decoupled", "deeper", "deeper-random")}
refits = {arm: [r for r in log if "code_bits" in r] for arm, log in logs.items()}
saved = {arm: [r["null_bits"] - r["code_bits"] for r in records if r["null_bits"]] for arm, records in refits.items()}
print("selectivity; n 4100, H(Y) 1 bit per state")
for arm, layer, first_saved, last_saved in (("plain", 1, 0.25, 0.31), ("decoupled", 1, 0.25, 0.13),
                                            ("deeper", 2, 0.82, 0.6), ("deeper-random", 2, 0.82, 1.13)):
    wb.show(f"{arm}, layer {layer}: at the first refresh", saved[arm][0], first_saved, 0.06, "bits per state")
    wb.show(f"{arm}, layer {layer}: at the last refresh", saved[arm][-1], last_saved, 0.11, "bits per state")

# %% [markdown]
# ## What happens at a refresh?
#
# Between two refreshes the basis stays, and the model moves its states out of the direction that is penalised. Look at
# the norm inside the basis, step by step, in *deeper* and in *deeper-random*, which keeps one direction for the whole
# run. **Guess first**: what happens to the norm at a refresh?
#
# In numbers: the mean norm over the ten steps after a refresh, over that of the ten before, the median over the seven
# refreshes after the first. (Bumps between refreshes are the noise of batches: every step sees other sentences.)


# %%
def jumps(arm: str) -> list[float]:
    """At each refresh but the first: mean penalty of the ten steps from it on, over that of the ten before."""
    inside = {r["step"]: r["penalty"] for r in logs[arm] if "penalty" in r}
    means = [[np.mean([inside[s] for s in range(a, b) if s in inside]) for a, b in ((at - 10, at), (at, at + 10))]
             for at in (r["step"] for r in refits[arm][1:])] if not wb.SMOKE else [[1, 1]]
    return [after / before for before, after in means]


inside = [r["penalty"] for r in logs["deeper"] if "penalty" in r]
wb.show("deeper: norm inside the basis, first ten steps", np.mean(inside[:10]), 2.5, 0.6)
wb.show("deeper: norm inside the basis, last ten steps", np.mean(inside[-10:]), 0.35, 0.12)
tooth = {arm: float(np.median(jumps(arm))) for arm in ("deeper", "deeper-random")}
wb.show("deeper: norm after a refresh over before", tooth["deeper"], 4, 1.5)
wb.show("deeper-random: norm after a refresh over before", tooth["deeper-random"], 1, 0.3)
COLOURS = {"plain": "tab:orange", "decoupled": "tab:blue", "deeper": "tab:green", "deeper-random": "tab:red"}
if figure := wb.new_figure(8, 3.4):
    axis = figure.subplots()
    for arm in ("deeper-random", "deeper"):
        steps, norms = zip(*((r["step"], r["penalty"]) for r in logs[arm] if "penalty" in r))
        means = np.array(norms)[:len(norms) // 5 * 5].reshape(-1, 5).mean(axis=1)  # of five steps each
        axis.semilogy(steps[::5][:len(means)], means, color=COLOURS[arm], label=arm)
    for i, r in enumerate(refits["deeper"]):
        axis.axvline(r["step"], color="gray", linestyle=":", linewidth=0.9, label="refresh" if i == 0 else None)
    axis.set(title="norm inside the basis, means of five steps", xlabel="step", ylabel="norm", ylim=(0.05, 20))
    axis.legend(loc="lower left")
    wb.save(figure, "09_teeth")

# %% [markdown]
# **Saw teeth**: at a refresh the norm *jumps up*. Nothing has happened to the model then. The *question* has changed.
# The probe looks anew and finds the standard along another direction, and there the states still have their old
# extent.
#
# So the teeth are the method at work, and a warning: a small norm just before a refresh says only that the *last*
# direction is empty. *deeper-random* has no teeth, since its direction stays.

# %% [markdown]
# ## Does the subspace move, or does the probe wobble?
#
# The log says that the basis turns by tens of degrees between refreshes. Read it by the rule of tutorial 7. Its first
# scale is the null: the angle between refits of one probe on other samples of the finished model's states, each as
# large as a refresh's. (Refits start from nothing, a refresh from the last probe. Warm starts wobble less, so a
# turn *below* the null is no proof that nothing moved.) The second scale, another seed, compares whole runs, and the
# third, the states' own turn, needs states that a log does not keep. So here one may claim "more than noise", and no
# more.
#
# Guess for *plain* at layer 1 and for *deeper* at layer 2: above the null or not, early in the run and at its end?

# %%
nulls, turned = {}, {arm: [r["angle_degrees"] for r in refits[arm][1:]] for arm in refits}
for arm, layer in (("plain", 1), ("deeper", 2)):
    rng = np.random.default_rng(0)
    drawn = draw_examples(examples, wb.DECOUPLE.probe_states, "target", rng)
    tuned = wb.opened(wb.finetuned(arm))[0]
    states, variety, keys = collect_states(tuned, drawn, (layer,), "target", tokenizer.pad, rng)
    null = angle_null(standardise(states[layer])[0], classes_of(wb.DECOUPLE, variety), keys, 2,
                      lambda weights: probe_subspace(weights, 1), 4, rng, steps=300)
    nulls[arm] = float(np.degrees(np.median(null)))
wb.show("plain, layer 1: turn, last three refreshes", turned["plain"][-3:], 16, 5, "degrees")
wb.show("plain, layer 1: null", nulls["plain"], 26, 6, "degrees")
wb.show("deeper, layer 2: turn, first three refreshes", turned["deeper"][:3], 47, 12, "degrees")
wb.show("deeper, layer 2: turn, last two refreshes", turned["deeper"][-2:], 25, 6, "degrees")
wb.show("deeper, layer 2: null", nulls["deeper"], 18, 4, "degrees")
if figure := wb.new_figure(9.5, 3.7):
    left, right = figure.subplots(1, 2)
    for arm, colour in COLOURS.items():
        records = [r for r in refits[arm] if r["null_bits"]]
        deep = "deeper" in arm
        left.plot([r["step"] for r in records], saved[arm], "s--" if deep else "o-", color=colour, markersize=4,
                  label=f"{arm}, layer {2 if deep else 1}")
    left.set(title="what the states save", xlabel="step", ylabel="selectivity (bits per state)", ylim=(0, 1.25))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    for arm, name in (("plain", "plain, layer 1"), ("deeper", "deeper, layer 2")):
        right.plot([r["step"] for r in refits[arm][1:]], turned[arm], "o-", color=COLOURS[arm], label=name)
        right.axhline(nulls[arm], color=COLOURS[arm], linestyle=":", label=f"{arm}, null")
    right.set(title="turn since the last refresh", xlabel="step", ylabel="degrees", ylim=(0, 100))
    right.legend(loc="upper right", ncols=2)
    wb.save(figure, "09_online")

# %% [markdown]
# *Plain*, at layer 1, is above its null at the first two refreshes, then at it, then below. *Deeper* is well above its
# null in the first half of the run, and at the end still a little: 22° to 26° against 18°. So the subspace moves.
# Whether it moves because of the penalty these two lines do not tell: *plain*, which has none, turns early, too.
#
# ## The check on the model afterwards
#
# A small norm inside the *old* basis proves little, as the saw teeth show. Only a **fresh** probe, fitted afterwards
# to states of dev, tells whether the standard has become harder to distinguish. Its code stands beside a fresh null.
#
# Guess first, for layer 2: in which of *decoupled*, *deeper* and *deeper-random* is the standard harder to distinguish
# than in *plain*? And does any of them come near its null? Remember tutorial 8: this is what a linear probe can read.


# %%
def fresh_codes(arm: str, layer: int) -> tuple[float, float, float, int]:
    """Code length of a new probe on dev states, its dealt-labels null, H(Y), all in bits per state, and n."""
    model, tokenizer, corpus = wb.opened(wb.finetuned(arm))
    rng = np.random.default_rng(0)
    states = gather_states(model, tokenizer, corpus, "dev", 60 if wb.SMOKE else 600, rng)
    h, y = standardise(states.h[layer])[0], np.minimum(states.y, 1)
    probe = fit(new_probe(2, h.shape[1], dtype=h.dtype), h, y, rng, steps=300)
    null = null_bits(new_probe(2, h.shape[1], dtype=h.dtype), h, y, rng, steps=300)
    return sum(variational_bits(probe, h, y, rng)) / len(y), null / len(y), entropy_bits(y) / len(y), len(y)


after = {arm: fresh_codes(arm, 2) for arm in logs}
wb.show("n, states of dev", after["plain"][3], 3022, 20)
wb.show("H(Y) of these states", after["plain"][2], 0.72, 0.01, "bits per state")
for arm, expected in (("plain", 0.13), ("decoupled", 0.14), ("deeper", 0.58), ("deeper-random", 0.14)):
    wb.show(f"fresh probe at layer 2, {arm}", after[arm][0], expected, 0.08, "bits per state")
wb.show("fresh null at layer 2, plain and deeper", [after["plain"][1], after["deeper"][1]], 0.98, 0.02,
        "bits per state")

# %% [markdown]
# *Decoupled* and *deeper-random* are close to plain: what a penalty at layer 1 removes is there again after block 2.
# *Deeper* needs several times the bits of plain, yet little over half of its null: a model that has to *write* the
# right variety must know it. (Plain needs 0.13 bits here and 0.03 in tutorial 6: 3,022 states pay for the same weights
# as 15,019 did there.)
#
# ## And the translations?
#
# On dev, three seeds each. Whether *decoupled* gains over plain, and whether that has to do with the standard, is
# tutorial 10's question. Here look at the last layer, where the standard *is*: does penalising its direction do what
# penalising a random one does?
#
# Of three differences $D_1, D_2, D_3$ with mean $\bar D$ and standard deviation $s_D$ the 95 % interval over seeds is
# $\bar D \pm 4.30\,s_D/\sqrt 3$ (THEORY (32); 4.30 is Student's t for three values). Take *deeper* less
# *deeper-random*. Which sign do you expect of its difference in leakage, the share of the standard's words in the
# output (tutorial 4)?

# %%
found = {arm: [wb.scores(wb.translated(wb.finetuned(arm, seed))) for seed in (1, 2, 3)] for arm in logs}
for arm, chrf, leaks in (("plain", 66.7, 3.9), ("decoupled", 67, 3.5), ("deeper", 65.6, 5.0),
                         ("deeper-random", 66.7, 3.9)):
    wb.show(f"{arm}: standard to dialects, seeds 1 to 3", [s["to dialects"] for s in found[arm]], chrf, 2, "chrF++")
    wb.show(f"{arm}: leakage, seeds 1 to 3", [s["leakage"] for s in found[arm]], leaks, 0.6, "%")
special = {}
for column, expected, within, unit in (("to dialects", -0.8, 1.5, "chrF++"), ("leakage", 1.2, 0.8, "points")):
    special[column] = np.array([a[column] - b[column] for a, b in zip(found["deeper"], found["deeper-random"])])
    mean, half = special[column].mean(), 4.30 * special[column].std(ddof=1) / np.sqrt(3)
    wb.show(f"deeper less deeper-random, {column}, by seed", list(special[column]), expected, within, unit)
    sign = "above zero" if mean > half else "below zero" if mean < -half else "holds zero"
    print(f"    over seeds: {mean - half:+.2f} to {mean + half:+.2f} {unit}, {sign}")

# %% [markdown]
# *deeper* leaks **more** than *deeper-random* in each of the three seeds. The width of an interval over three seeds is
# itself luck, so read the three differences, too. In chrF++ the interval holds zero: no difference is shown, and no
# equality either.
#
# So the variety became harder to distinguish where words are chosen, and there is no sign here that the output became
# less standard by it.
#
# ## What you have learned, as assertions

# %%
assert all(name.startswith(("embedding", "blocks.0")) for name in reached), "a penalty at layer 1 has reached further"
assert "blocks.0.mlp_out.weight" in reached
assert error < 1e-4, "the hand-derived gradient is not autograd's"
if not wb.SMOKE:
    assert tooth["deeper"] > 1.4, "a refresh should raise the norm inside the basis"
    assert 0.6 < tooth["deeper-random"] < 1.4, "a basis that stays should have no teeth"
    assert saved["plain"][-1] < saved["deeper"][-1] / 1.5, "states of layer 1 distinguish the standard as layer 2 does"
    assert saved["decoupled"][-1] < 0.6 * saved["plain"][-1], "the penalty at layer 1 has removed nothing"
    assert np.mean(inside[-10:]) < np.mean(inside[:10]) / 2, "the penalty has not brought the states out of the basis"
    assert after["deeper"][0] > after["plain"][0] + 0.1, "a fresh probe finds the standard as cheaply as before"
    assert after["deeper"][0] < after["deeper"][1] - 0.2, "deeper hides the variety altogether"
    assert np.mean(turned["deeper"][:3]) > nulls["deeper"], "the subspace has not moved by more than the probe wobbles"
    assert np.mean(turned["plain"][-3:]) < nulls["plain"], "plain's direction at layer 1 turns by more than noise"
    assert special["leakage"].min() > 0, "in one seed the standard's direction leaks no more than a random one"
    d = special["to dialects"]
    assert abs(d.mean()) < 4.30 * d.std(ddof=1) / np.sqrt(3), "a difference in chrF++ is shown over seeds after all"
print("tutorial 9: all assertions hold")

# %% [markdown]
# ## Exercises
#
# **Write and check.** Begin small with A4.2, `is_refresh(step, total, refreshes)`: whether the probe is refitted
# before this step. `python tutorials/check.py A4.2 my_answers.py --new` puts a stub into a file of yours; without
# `--new` it is checked. Then the upper row of the loop's figure, A4.3: `refresh(self, h, y, rng)`, which
# standardises, refits the probe, takes the basis and returns the record. A4.4, `add_penalty`, is the lower row. What
# each is to return stands in [A4.md](assignments/A4.md).
#
# **Think and try.**
# 1. `--frozen` keeps the first basis for the whole run (`python -m tinydecouple finetune --from
#    runs/tutorials/pretrained --run runs/frozen --layer 2 --frozen --learning-rate 9e-3 --epochs 3
#    --batch-tokens 512 --refreshes 8`, then `python -m tinydecouple probe runs/frozen`). What do you expect of the
#    norm inside it, and of a fresh probe's code length?
# 2. With `--refreshes 1` the paper's method is the frozen control. Which number in the log tells whether more
#    refreshes are worth their cost?
# 3. The probe is fitted to standardised states, the penalty acts on states that are centred and not scaled. Why does
#    the basis not change by that, and why would $\lambda$'s effect?
#
# Answers, one at a time: `python tutorials/hint.py 9.1`; in a notebook `wb.hint("9.1")`. Try first.
#
# **Watch it**: `python -m tinydecouple watch runs/tutorials/deeper-1 --against runs/tutorials/deeper-random-1` writes
# one page that shows both runs refresh by refresh, with five translations.
#
# ## Where to read next
# `tinydecouple/training/decoupler.py`, then the two lines in `training/train.py` that call it. Then tutorial 10.
