# %% [markdown]
# # 8. Orthogonal projection, and what shrinks that should not
#
# **Goal**: prove and check what projection onto a subspace does, see what rejecting the probe's direction leaves
# behind and what LEACE does instead, take the penalty's gradient apart, and then look at trained models for what the
# penalty shrank that nobody asked it to.
#
# **Before**: tutorial 7; THEORY sections 8 to 10.
# **Time**: 75 seconds of computing, five fine-tunings included; 40 minutes of reading. **Difficulty**: medium.

# %%
import json
from dataclasses import replace

import numpy as np
import workbench as wb

from tinydecouple.evaluation.probe_report import gather_states
from tinydecouple.method.codelength import entropy_bits, null_bits, variational_bits
from tinydecouple.method.erasure import Eraser, inlp, leace, reject_span
from tinydecouple.method.planted import plant
from tinydecouple.method.probe import fit, new_probe
from tinydecouple.method.projection import penalty, project, reject
from tinydecouple.method.states import standardise
from tinydecouple.method.subspace import probe_subspace, random_subspace
from tinydecouple.training.batches import finetuning_examples
from tinydecouple.training.pipeline import decouplers
from tinydecouple.training.train import refresh

# %% [markdown]
# ## The theorems
#
# $U$ (d, k) has orthonormal columns, $U^\top U = I$, and $P = UU^\top$. From that alone:
#
# $$ P^\top = P, \qquad P^2 = U(U^\top U)U^\top = P, \qquad \mathrm{tr}\,P = \mathrm{tr}\,U^\top U = k $$
#
# A rotation $R$ (k, k) of the basis changes nothing, $(UR)(UR)^\top = U R R^\top U^\top = P$: only the subspace
# counts (THEORY (22)). A state splits into $hP$ and $h - hP$, orthogonal since $hP(I - P)h^\top = h(P - P^2)h^\top =
# 0$. Hence Pythagoras, and since $\|hP\|^2 = hUU^\top UU^\top h^\top = \|hU\|^2$, k numbers do for d (THEORY (23)):
#
# $$ \|h\|^2 = \|hP\|^2 + \|h - hP\|^2, \qquad \|hP\| = \|hU\| $$
#
# **Least change** (THEORY (24)): of all $y$ outside the subspace, $yU = 0$, rejection $h - hP$ is nearest to $h$. For
# $h - y = hP + (h - hP - y)$; the second part is outside too, so the two are orthogonal and $\|h - y\|^2 = \|hP\|^2 +
# \|h - hP - y\|^2 \ge \|hP\|^2$.
#
# The next cell checks all of it on random bases; expect deviations of rounding size. Of states without a preferred
# direction a subspace of rank $k$ holds the share $k/d$ of the energy $\|h\|^2$: each of $d$ orthogonal axes holds as
# much as any other.

# %%
rng = np.random.default_rng(0)
d, k = 48, 12
h, eye = rng.normal(size=(2000, d)), np.eye(d)
violations, nearest = [], []
for _ in range(20):
    U, R = random_subspace(d, k, rng), random_subspace(k, k, rng)
    P, inside, outside = project(eye, U), project(h, U), reject(h, U)
    violations += [np.abs(P - P.T).max(), np.abs(P @ P - P).max(), abs(np.trace(P) - k),
                   np.abs(project(h, U @ R) - inside).max(), np.abs(outside @ U).max(),
                   np.abs((inside**2).sum(1) + (outside**2).sum(1) - (h**2).sum(1)).max(),
                   np.abs(np.linalg.norm(inside, axis=1) - np.linalg.norm(h @ U, axis=1)).max()]
    other = reject(h + 0.1 * rng.normal(size=h.shape), U)  # near h, and outside too
    nearest.append((np.linalg.norm(h - other, axis=1) - np.linalg.norm(inside, axis=1)).min())
share = float((inside**2).sum() / (h**2).sum())
wb.show("largest violation of (22) and (23)", max(violations), 0, 1e-10)
wb.show("share of the energy inside, k = 12 of d = 48", share, 0.25, 0.01)

# %% [markdown]
# ## What rejection does not do
#
# Let class means differ by $\delta$. After rejecting a unit vector $u$ they differ by
#
# $$ \delta - (\delta^\top u)\,u, \qquad \text{which is 0 only if } \delta \parallel u $$
#
# (THEORY (25)). But the probe's direction is $u \propto \Sigma^{-1}\delta$ (tutorial 7). Unless $\delta$ is an
# eigenvector of $\Sigma$, a difference remains, and a *fresh* probe finds it. Four ways to go on, all affine maps of
# the states:
# - reject the probe's direction, once;
# - **INLP**: again, and again: here three rounds, three directions;
# - reject the class means' own difference (`reject_span`): the means are then equal;
# - **LEACE** (THEORY (26)): equal means too, and of all affine maps that give them the one that moves the states
#   least.
#
# LEACE whitens, rejects, and goes back. With $W = \Sigma^{-1/2}$, $\Sigma$ the covariance of all states, and $P$ the
# projection onto the columns of $W \Sigma_{hz}$, $z$ the one-hot labels, what it takes from $h - \bar h$ is
#
# $$ E = W^{+} P\, W, \qquad \Sigma_{hz} - E\,\Sigma_{hz} = W^{+}(I - P)\,W \Sigma_{hz} = 0 $$
#
# so no class mean differs from another. And then no affine classifier beats a constant: its loss is convex, so the
# mean loss over a class is at least the loss at the class's mean, and the means are one point.
#
# Plant two classes of 4,000 states, $H(Y) = 1$, with variances from 1 to 30. The null of a code length is the code of
# the same labels dealt at random (THEORY (11)). Expect a fresh probe to need about 0.1 bits per state before, still far
# less than the null after rejecting the probe's direction, and after LEACE as much as the null, which is *more* than
# $H(Y)$: its cross-entropy is that of a constant, 1 bit, and the weights cost bits on top. Rejecting the probe's
# direction moves the states least of all: states vary little along it, which is why it separates well. That is no
# bargain, since the classes can still be separated.


# %%
def probed(h, y, steps=600):
    """Of a fresh probe of two classes: direction (d, 1), code length and its dealt-labels null, bits per state."""
    states, rng = standardise(h)[0], np.random.default_rng(0)
    probe = fit(new_probe(2, h.shape[1], dtype=h.dtype), states, y, rng, steps)
    code = sum(variational_bits(probe, states, y, rng)) / len(y)
    null = null_bits(new_probe(2, h.shape[1], dtype=h.dtype), states, y, rng, steps) / len(y)
    return probe_subspace(probe.posterior_mean(), 1), code, null


p = plant(4000, 12, 2, 1.5, np.random.default_rng(0), anisotropy=30)
u, before, null = probed(p.h, p.y)
erasers = {"probe's direction": Eraser(p.h.mean(axis=0), u, u), "INLP, 3 rounds": inlp(p.h, p.y, 3, rng),
           "class means": reject_span(p.h, p.y), "LEACE": leace(p.h, p.y)}
bits, moved, apart = {"nothing": before}, {"nothing": 0.0}, {}
for name, eraser in erasers.items():
    erased = eraser(p.h)
    bits[name] = probed(erased, p.y)[1]
    moved[name] = float(np.sqrt(((erased - p.h)**2).sum(axis=1).mean()))
    apart[name] = float(np.linalg.norm(erased[p.y == 1].mean(axis=0) - erased[p.y == 0].mean(axis=0)))
print(f"a fresh probe's code length, n {len(p.y)}, H(Y) {entropy_bits(p.y) / len(p.y):.3f}, after taking away")
for name, expected, within in (("nothing", 0.08, 0.02), ("probe's direction", 0.68, 0.04), ("LEACE", 1.03, 0.01)):
    wb.show(name, bits[name], expected, within, "bits per state")
wb.show("null, dealt labels", null, 1.03, 0.01, "bits per state")
print("root mean square change of a state")
for name, expected, within in (("probe's direction", 1.33, 0.1), ("class means", 1.8, 0.1), ("LEACE", 1.62, 0.1)):
    wb.show(name, moved[name], expected, within)

# %% [markdown]
# ## The penalty: equal strength is equal force
#
# Training does not reject. It adds $\lambda\,\Omega$ to the loss, $\Omega = \mathbb E\,\|cU\|$ with $c = h - \bar h$
# (THEORY (27)), and lets the model give way. By the chain rule, with $\|cU\| = \sqrt{cPc^\top}$,
#
# $$ \frac{\partial \|cU\|}{\partial h} = \frac{cP}{\|cU\|}, \qquad \|cP\| / \|cU\| = 1 $$
#
# for every $U$ and every state (THEORY (28)): each state is pushed with the same force, whether the subspace is the
# probe's or a random one, and however little lies inside. Equal $\lambda$ makes a random control fair in *force*. It
# does not in *effect*: that depends on how much lies inside, and on how strongly the translation loss resists.
#
# The squared norm pushes with $2cP$ (29), in proportion to what is inside; the norm of $u = c/r$, $r = \|c\|$, pushes
# with $(G - (Gu^\top)u)/r$, $G = uP/\|uU\|$ (30), at right angles to the state, so that shrinking the whole
# state does not lower the penalty.
#
# Take the pretrained model's states at layer 1, the layer penalised by default. The random direction is the one that
# the run *random* uses: drawn from the states' covariance (a random mixture of states), so it lies where they vary
# most. The run's checkpoint does not keep it, but the seed makes it again; the code length in the run's log shows
# whether it is the same. Expect force 1 for both, and several times as much inside the random direction.

# %%
PER_VARIETY, STEPS = (60, 60) if wb.SMOKE else (1500, 400)
model, tokenizer, corpus = wb.opened(wb.pretrained())
cores = decouplers(replace(wb.DECOUPLE, subspace="random-from-states", frozen=True), len(corpus.family), wb.MODEL)
(record,) = refresh(model, cores, finetuning_examples(corpus, tokenizer, "train"), tokenizer.pad, wb.FINETUNE, 0)
drawn = cores[1]
ARMS = ("plain", "decoupled", "random", "normalised")
runs = {"pretrained": wb.pretrained(), **{arm: wb.finetuned(arm) for arm in ARMS}}
states = {}
for name, run in runs.items():
    model, tokenizer, corpus = wb.opened(run)
    states[name] = gather_states(model, tokenizer, corpus, "train", PER_VARIETY, np.random.default_rng(0))
y = np.minimum(states["plain"].y, 1)  # the standard against the rest; the same tokens in every model
fresh, after, nulls = {}, {}, {}
for name, s in states.items():
    fresh[name], after[name], nulls[name] = probed(s.h[1], y, STEPS)

start, mean = states["pretrained"].h[1], states["pretrained"].h[1].mean(axis=0)
value, force = {}, {}
for name, U, expected, within in (("probe's", fresh["pretrained"], 1.23, 0.2), ("random", drawn.basis, 9.3, 1.5)):
    value[name], gradient = penalty(start, U, mean)
    force[name] = np.linalg.norm(gradient, axis=1) * len(start)
    wb.show(f"mean norm inside the {name} direction, pretrained", value[name], expected, within)
wb.show("largest distance of a force from 1, both", max(np.abs(f - 1).max() for f in force.values()), 0, 1e-5)
wb.show("inside the probe's direction, states not centred", penalty(start, fresh["pretrained"])[0], 1.27, 0.2)
squared = penalty(start, drawn.basis, mean, squared=True)[1] * len(start)
across = penalty(start, drawn.basis, mean, normalised=True)[1] * len(start)

# %% [markdown]
# ## What shrinks that should not
#
# By THEORY (1) every block and the output normalise a state before they read it. So the *length* of a state says
# little, and there is a cheap way to have less inside any subspace: shorter states. The push of (28) asks for a
# little of that, for $cP/\|cU\|$ has the part $\|cU\| / \|c\|$ along the state itself; and the translation loss
# hardly minds, since the later blocks can shrink along. The fourth run, *normalised*, is *decoupled* with states
# divided by their length $r$ before the norm is taken, THEORY (30): shrinking does not lower it. Its force is
# $\lambda / r$, and states begin about 50 long, so its $\lambda$ is 50 times as large: equal force at the start. As
# its states grow the force falls, to about a third at the end.
#
# Compare the runs, all from one pretrained model, on the same tokens, at layer 1. For each: the mean length of the
# whole state, $\mathbb E\,\|h\|$; the mean norm inside the direction of a *fresh* probe; the share of the energy,
# $\mathbb E\,\|cU\|^2 / \mathbb E\,\|c\|^2$, from which a common factor cancels; and the fresh probe's **selectivity**,
# the dealt-labels null less its code length: the bits that the states save.
#
# If decoupling takes the standard's subspace out of the states, then in *decoupled* norm **and share** inside the
# fresh direction are smaller than in *plain*, the selectivity is smaller, the whole state is as long as in plain, and
# *random* shows none of this but an emptied random direction. What really comes out:
# - the whole state of *decoupled* is a third as long as that of *plain*. So is that of *random*; that of *normalised*
#   is as long as plain's;
# - the norm inside the fresh direction is smaller by about the same factor, in both. The share falls less: 0.12 % of
#   the energy in plain, 0.06 % in decoupled, 0.17 % in random;
# - the direction that *random* penalised is empty, and had held some percent of the energy: equal force, another
#   effect;
# - *decoupled* emptied its own last direction too (the log has the penalty), but a fresh probe finds another;
# - the selectivity is 0.19 bits per state in plain, 0.21 in random, but 0.09 in decoupled and in normalised: at
#   layer 1 there was little to remove, and penalising the standard's direction removed more than half of it, with
#   short states or without. A random direction did not. One seed, seen through a linear probe.

# %%
length, inside, share_of = {}, {}, {}
for name, s in states.items():
    h = s.h[1]
    c = h - h.mean(axis=0)
    length[name] = float(np.linalg.norm(h, axis=1).mean())
    inside[name] = float(np.linalg.norm(c @ fresh[name], axis=1).mean())
    share_of[name] = [float((project(c, U)**2).sum() / (c**2).sum()) for U in (fresh[name], drawn.basis)]
log = {arm: [json.loads(line) for line in (runs[arm] / "log.jsonl").read_text(encoding="utf-8").splitlines()]
       for arm in ("decoupled", "random")}
own = {arm: float(np.mean([r["penalty"] for r in records if "penalty" in r][-10:])) for arm, records in log.items()}
for name, expected, within in (("plain", 153, 15), ("decoupled", 50, 8), ("random", 46, 8)):
    wb.show(f"mean length of a state, {name}", length[name], expected, within)
again = [length["normalised"]]
for seed in (2, 3):  # these runs serve in tutorial 10, too
    model, tokenizer, corpus = wb.opened(wb.finetuned("normalised", seed))
    other = gather_states(model, tokenizer, corpus, "train", PER_VARIETY, np.random.default_rng(0)).h[1]
    again.append(float(np.linalg.norm(other, axis=1).mean()))
wb.show("mean length of a state, normalised, seeds 1 to 3", again, 155, 12)
wb.show("norm inside the fresh direction, decoupled over plain", inside["decoupled"] / inside["plain"], 0.24, 0.06)
wb.show("norm inside its own last direction, decoupled", own["decoupled"], 0.16, 0.05)
for arm, expected in (("plain", 0.12), ("decoupled", 0.06), ("random", 0.15)):
    wb.show(f"share of energy in the fresh direction, {arm}", 100 * share_of[arm][0], expected, 0.04, "%")
wb.show("share of energy in the random direction, random", 100 * share_of["random"][1], 0.0005, 0.0005, "%")
print(f"a fresh probe, n {len(y)}, H(Y) {entropy_bits(y) / len(y):.3f} bits per state")
for name, expected in (("plain", 0.65), ("decoupled", 0.76), ("random", 0.65), ("normalised", 0.765)):
    wb.show(f"code length, {name}", after[name], expected, 0.04, "bits per state")
    wb.show(f"selectivity, {name}", nulls[name] - after[name], 0.847 - expected, 0.04, "bits per state")
wb.show("null, dealt labels, of all", list(nulls.values()), 0.847, 0.01, "bits per state")

# %% [markdown]
# ## Read with care
#
# Did the penalised states shrink? Not from where they began: the pretrained model's are about 53 long. *Plain* states
# **grew** almost threefold during fine-tuning; penalised ones did not. Either way, a curve of "the norm inside the
# standard's subspace, plain against decoupled" would show a clear fall, and a reader would take it for decoupling. It
# is mostly one factor for all directions, and *random*, which never looked for the standard, has it too.
#
# *Why* do they stay short? One candidate: shrinking lowers the penalty. Another is the optimiser: a force of constant
# length flips its sign whenever a state crosses $cU = 0$, and Adam, which divides by the gradient's size, then takes
# smaller steps in everything else. *Normalised* removes the first cause, and its states grow as plain's do, although
# its selectivity falls as in *decoupled*. That speaks for the first; but its force has fallen to a third meanwhile, so
# the optimiser is not ruled out. Whether a gain in chrF++ has to do with short states or with the standard's subspace
# is the next question: exercise 1 and tutorial 10.
#
# So beside any norm inside a subspace, report the length of the whole state, the share, and a fresh probe.

# %%
if figure := wb.new_figure(10, 3.4):
    left, middle, right = figure.subplots(1, 3)
    for name, marker in zip(bits, "osD^v"):
        left.plot(moved[name], bits[name], marker, label=name)
    left.axhline(entropy_bits(p.y) / len(p.y), color="black", linestyle=":")
    left.set(xlabel="root mean square change", ylabel="bits per state", title="planted: a fresh probe after")
    left.legend(fontsize=8)
    names, places = list(states), np.arange(len(states))
    middle.bar(names, [length[name] for name in names], color="tab:gray")
    middle.set(title="mean length of a state, layer 1")
    for shift, label in enumerate(("fresh probe's direction", "random run's direction")):
        right.bar(places + 0.4 * shift - 0.2, [share_of[name][shift] for name in names], 0.4, label=label)
    right.axhline(1 / len(mean), color="black", linestyle=":", label="1 / d")
    right.set_xticks(places, names)
    right.set(yscale="log", ylim=(1e-6, 5), title="share of the states' energy")
    right.legend(fontsize=7, loc="upper left")
    for axis in (middle, right):
        axis.tick_params(axis="x", labelsize=7)
    wb.save(figure, "08_shrinking")

# %% [markdown]
# ## What you have learned, as assertions

# %%
assert max(violations) < 1e-10, "a theorem of orthogonal projection does not hold"
assert min(nearest) > 0, "something outside the subspace lies nearer to h than its rejection"
assert bits["nothing"] < 0.3 and bits["probe's direction"] < 0.85, "rejecting the probe's direction hid the classes"
assert apart["probe's direction"] > 1, "the means should still differ"
assert max(apart["LEACE"], apart["class means"]) < 1e-10, "the class means are not equal"
assert min(bits["LEACE"], bits["class means"]) > null - 0.01, "not erased: the states save bits"
assert moved["probe's direction"] < moved["LEACE"] < min(moved["class means"], moved["INLP, 3 rounds"]), "least change"
for name, f in force.items():
    assert np.abs(f - 1).max() < 1e-5, f"the force along the {name} direction is not 1"
np.testing.assert_allclose(np.linalg.norm(squared, axis=1), 2 * np.linalg.norm((start - mean) @ drawn.basis, axis=1),
                           rtol=1e-3, atol=1e-3, err_msg="the squared norm pushes with twice what is inside")
along = np.abs((across * (start - mean)).sum(axis=1)) / np.linalg.norm(start - mean, axis=1)
assert along.max() < 1e-4 * np.linalg.norm(across, axis=1).max(), "shrinking a state lowers the normalised penalty"
logged = next(r["code_bits"] for r in log["random"] if "code_bits" in r)  # at the first refresh
assert abs(record["code_bits"] - logged) < 1e-3, "this is not the random run's direction"
if not wb.SMOKE:
    assert value["random"] > 5 * value["probe's"], "equal force should not mean equal effect here"
    assert max(length["decoupled"], length["random"]) < length["plain"] / 2, "the whole state did not stay short"
    assert min(again) > 0.8 * length["plain"], "where shrinking gains nothing, states should grow as in plain"
    for arm in ("decoupled", "random"):
        ratio = inside[arm] / inside["plain"] / (length[arm] / length["plain"])
        assert 0.6 < ratio < 1.6, f"{arm}: the fresh direction shrank by another factor than the whole state"
    assert share_of["random"][1] < share_of["plain"][1] / 100, "the random run did not empty its direction"
    assert own["decoupled"] < inside["decoupled"] / 2, "a fresh probe finds nothing but the old direction"
    saved = {arm: nulls[arm] - after[arm] for arm in ARMS}
    assert max(saved["decoupled"], saved["normalised"]) < 0.6 * saved["plain"], "the standard is as easy to distinguish"
    assert abs(saved["random"] - saved["plain"]) < 0.06, "a random direction took the standard with it"
print("tutorial 8: all assertions hold")

# %% [markdown]
# ## Exercises
# 1. Score the runs *plain*, *decoupled*, *random* and *normalised* on dev:
#    `wb.scores(wb.translated(wb.finetuned(arm)))` for each. Which of them have gained over plain, and by more than a
#    seed's luck?
# 2. After LEACE a probe may be trained on *other* states of the same kind, or may be a small network. What does the
#    theorem promise for each?
# 3. The fresh direction's share of the energy is about 0.001, far below $1/d \approx 0.0104$. Why should a probe's
#    direction hold *less* than a random one?
#
# Answers, one at a time: `python tutorials/hint.py 8.1`; in a notebook `wb.hint("8.1")`. Try first.
#
# ## Where to read next
# `tinydecouple/method/projection.py` and `erasure.py` and their tests, then `Decoupler.penalty` in
# `training/decoupler.py`, the one line under autograd. Then tutorial 9.
