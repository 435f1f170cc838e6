# %% [markdown]
# # 9. Online decoupling, step by step
#
# **Goal**: take one refresh apart, see what the penalty reaches and what it does not, then watch the standard's
# subspace move through whole runs, and ask a fresh probe whether the standard is harder to distinguish afterwards.
#
# **Before**: tutorials 5 to 8; THEORY (27) and (28).
# **Time**: 85 seconds of computing, eleven fine-tunings included; 30 minutes of reading. **Difficulty**: hard.

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
# ## One refresh
#
# Fine-tuning minimises $L_{MT} + \lambda\,\Omega$ with $\Omega = \mathbb E\,\|cU\|_2$ (THEORY (27)), $c$ being a
# state of the chosen layer less the mean state. The states change with every step, and with them the place where the
# standard lies; so a few times in a run one stops and asks anew. A refresh does three things, all in NumPy:
#
# 1. gather some thousand hidden states of target tokens, with the variety of each;
# 2. go on fitting the variational probe, standard against dialects, from where it stood (a warm start);
# 3. take the basis $U$ (d, k) of its mean weights by SVD; here $k = 1$.
#
# A code length says little alone. Its null is the code of the same labels dealt at random, by a probe treated alike:
# what labels cost when states say nothing. Expect of the pretrained model, at layer 2, a code far below its null.

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
wb.show("code length", record["code_bits"], 0.42, 0.08, "bits per state")
wb.show("its null, dealt labels", record["null_bits"], 1.22, 0.03, "bits per state")
U = decoupler.basis

# %% [markdown]
# ## What autograd sees
#
# The penalty stays NumPy's: `Decoupler.penalty` hands the states to `projection.penalty` and its hand-derived gradient
# back to PyTorch, as one node of the graph. As a check, let autograd differentiate the plain formula; expect the two
# gradients to agree to single precision. And the gradient reaches only what lies *before* the layer: the states of
# layer 1 do not depend on block 2. So a penalty at layer $\ell$ leaves the blocks after it free to rebuild the
# standard's subspace.

# %%
batch = collate(examples[:8], tokenizer.pad)
inputs = wb.torch.from_numpy(batch.inputs)
h = at_positions(model(inputs)[2], probed(batch)).detach().requires_grad_()
plain_formula = ((h - wb.torch.from_numpy(decoupler.mean)) @ wb.torch.from_numpy(U)).norm(dim=1).mean()
plain_formula.backward()
value, gradient = penalty(h.detach().numpy(), U, mean=decoupler.mean)
error = np.abs(gradient - h.grad.numpy()).max() / np.abs(gradient).max()
wb.show("NumPy's gradient less autograd's, relative", error, 0, 1e-4)
wb.show("length of each state's gradient, times n", np.linalg.norm(gradient, axis=1).mean() * len(h), 1, 1e-4)

first, _ = refreshed(1)
model.zero_grad()
first.penalty(at_positions(model(inputs)[1], probed(batch))).backward()
reached = [name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0]
print("a penalty at layer 1 reaches", ", ".join(reached))

# %% [markdown]
# ## Whole runs
#
# Four runs from one checkpoint, on the same batches in the same order:
# - *plain*: no penalty; the probe observes;
# - *decoupled*: $\lambda = 0.1$ at layer 1, the package's default;
# - *deeper*: $\lambda = 0.1$ at layer 2, the last, where by tutorial 6 the standard is easy to distinguish;
# - *deeper-random*: the control of *deeper*, a random direction of the states at the same layer and strength.
#
# Each refresh leaves a line in `log.jsonl`: the code length, its null (in longer runs at some refreshes only) and the
# angle between the new basis and the last one. **Selectivity**, null less code length, is what the states save. Expect
# a quarter of a bit of it in *plain* at layer 1: there is little of the standard to remove. In *decoupled* expect half
# of that to go. In *deeper* expect it to stay high in training: the states of layer 2 must say which word to write.

# %%
logs = {arm: [json.loads(line) for line in (wb.finetuned(arm) / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        for arm in ("plain", "decoupled", "deeper", "deeper-random")}
refits = {arm: [r for r in log if "code_bits" in r] for arm, log in logs.items()}
saved = {arm: [r["null_bits"] - r["code_bits"] for r in records if r["null_bits"]] for arm, records in refits.items()}
print("selectivity; n 4100, H(Y) 1 bit per state")
for arm, layer, first_null, last_null in (("plain", 1, 0.25, 0.31), ("decoupled", 1, 0.25, 0.11),
                                          ("deeper", 2, 0.8, 0.63)):
    wb.show(f"{arm}, layer {layer}: at the first refresh", saved[arm][0], first_null, 0.06, "bits per state")
    wb.show(f"{arm}, layer {layer}: at the last refresh", saved[arm][-1], last_null, 0.11, "bits per state")
inside = [r["penalty"] for r in logs["deeper"] if "penalty" in r]
wb.show("deeper: norm inside the basis, first ten steps", np.mean(inside[:10]), 2.5, 0.6)
wb.show("deeper: norm inside the basis, last ten steps", np.mean(inside[-10:]), 0.37, 0.12)

# %% [markdown]
# ## Does the subspace move, or does the probe wobble?
#
# The log says that the basis turns by tens of degrees between refreshes. Before believing that the *standard* moved,
# compare with the null of tutorial 7: the angle between refits of one probe on other samples of one and the same
# model's states. An angle within that spread is noise. Each run is read against its own final states. (Refits of the
# null start from nothing, a refresh from the last probe: warm starts wobble less, so a turn below the null is no
# proof that nothing moved.)
#
# Expect *plain*, at layer 1, below its null in the end: nothing to be seen there. Expect *deeper* well above its null
# in the first half of the run, where the subspace moves away from the penalty, and at its null in the end.

# %%
nulls, turned = {}, {arm: [r["angle_degrees"] for r in refits[arm][1:]] for arm in refits}
for arm, layer in (("plain", 1), ("deeper", 2)):
    rng = np.random.default_rng(0)
    states = gather_states(*wb.opened(wb.finetuned(arm)), "train", 60 if wb.SMOKE else 600, rng)
    h, y = standardise(states.h[layer])[0], np.minimum(states.y, 1)
    null = angle_null(h, y, states.keys, 2, lambda weights: probe_subspace(weights, 1), 4, rng, steps=300)
    nulls[arm] = float(np.degrees(np.median(null)))
wb.show("plain, layer 1: turn, last three refreshes", turned["plain"][-3:], 16, 5, "degrees")
wb.show("plain, layer 1: null", nulls["plain"], 32, 6, "degrees")
wb.show("deeper, layer 2: turn, first three refreshes", turned["deeper"][:3], 47, 12, "degrees")
wb.show("deeper, layer 2: turn, last two refreshes", turned["deeper"][-2:], 26, 6, "degrees")
wb.show("deeper, layer 2: null", nulls["deeper"], 24, 5, "degrees")

# %% [markdown]
# ## The check on the model afterwards
#
# A small norm inside the *old* basis proves little: between two refreshes the network may encode the variety along
# other directions. Only a **fresh** probe, fitted afterwards to states of dev, shows whether the standard has become
# harder to distinguish. Its code stands beside a fresh null. Expect *decoupled* and *deeper-random* close to plain at
# layer 2 (what a penalty at layer 1 removes, block 2 rebuilds), and *deeper* at several times the bits of plain, yet
# little over half of its null: a model that has to *write* the right variety must know it.


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
for arm, expected in (("plain", 0.11), ("decoupled", 0.12), ("deeper", 0.56), ("deeper-random", 0.14)):
    wb.show(f"fresh probe at layer 2, {arm}", after[arm][0], expected, 0.08, "bits per state")
wb.show("fresh null at layer 2, plain and deeper", [after["plain"][1], after["deeper"][1]], 0.98, 0.02,
        "bits per state")

# %% [markdown]
# ## And the translations?
#
# On dev, three seeds each. Whether *decoupled* gains over plain, and whether that has to do with the standard, is
# tutorial 10's question. Here look at the last layer, where the standard *is*: does its direction do what a random one
# does? Of three differences $D_1, D_2, D_3$ with mean $\bar D$ and standard deviation $s$ the 95 % interval over seeds
# is $\bar D \pm 4.30\,s/\sqrt 3$ (THEORY (32)).
#
# Expect more leakage with *deeper* than with *deeper-random* in each of the three seeds, by 0.7 to 1.8 points. The
# width of an interval over three seeds is itself luck: here it is ±0.05 points and lies above zero, and when the norm
# was summed in another order the same three seeds gave ±1.4 and held zero. In chrF++ the interval holds zero both
# times: no difference is shown, and no equality either. The variety became harder to distinguish where
# words are chosen, and there is no sign here that the output became less standard by it.

# %%
found = {arm: [wb.scores(wb.translated(wb.finetuned(arm, seed))) for seed in (1, 2, 3)] for arm in logs}
for arm, chrf, leaks in (("plain", 66.7, 3.9), ("decoupled", 67, 3.5), ("deeper", 65.8, 5.1),
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

if figure := wb.new_figure(9, 3.2):
    axes = figure.subplots(1, 3)
    for (arm, records), colour in zip(refits.items(), ("tab:orange", "tab:blue", "tab:green", "tab:red")):
        steps = [r["step"] for r in records]
        axes[0].plot(steps, [r["code_bits"] for r in records], "o-", color=colour, markersize=3, label=arm)
        axes[1].plot(steps[1:], [r["angle_degrees"] for r in records[1:]], "o-", color=colour, markersize=3, label=arm)
        axes[2].semilogy([r["penalty"] for r in logs[arm] if "penalty" in r][::10], color=colour, label=arm)
        nulled = [r for r in records if r["null_bits"]]
        axes[0].plot([r["step"] for r in nulled], [r["null_bits"] for r in nulled], "x:", color=colour, markersize=4)
    axes[0].set(title="code length (null: dotted)", xlabel="step", ylabel="bits per state", ylim=(0, 1.5))
    axes[1].set(title="turn since the last refresh (degrees)", xlabel="step", ylim=(0, 90))
    for arm, colour in (("plain", "tab:orange"), ("deeper", "tab:green")):
        axes[1].axhline(nulls[arm], color=colour, linestyle=":")
    axes[2].set(title="norm inside the basis", xlabel="step / 10")
    axes[0].legend(fontsize=8)
    wb.save(figure, "09_online")

# %% [markdown]
# ## What you have learned, as assertions

# %%
assert all(name.startswith(("embedding", "blocks.0")) for name in reached), "a penalty at layer 1 has reached further"
assert "blocks.0.mlp_out.weight" in reached
assert error < 1e-4, "the hand-derived gradient is not autograd's"
if not wb.SMOKE:
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
# ## Where to read next
# `tinydecouple/training/decoupler.py`, then the two lines in `training/train.py` that call it. Then tutorial 10.
