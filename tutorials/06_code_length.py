# %% [markdown]
# # 6. Code length, and why accuracy is not enough
#
# **Goal**: read the probe's bound $L$ as the length of a message. Know what to compare a code length with, and see how
# accuracy, and code lengths too, can mislead. Then measure, layer by layer, how many bits the standard costs in the
# states of several models, one of which has learned nothing.
#
# **Before**: tutorial 5; THEORY (7) to (11) and (16).
# **Time**: 20 seconds of computing, 35 minutes of reading. **Difficulty**: hard.

# %%
from dataclasses import asdict

import numpy as np
import workbench as wb

from tinydecouple.evaluation.probe_report import gather_states
from tinydecouple.method import codelength as cl
from tinydecouple.method import probe as vp
from tinydecouple.method.planted import plant
from tinydecouple.method.states import standardise
from tinydecouple.model.transformer import Transformer

rng = np.random.default_rng(0)


def fitted(h: np.ndarray, y: np.ndarray) -> vp.VariationalProbe:
    """A probe fitted from the start."""
    return vp.fit(vp.new_probe(int(y.max()) + 1, h.shape[1], dtype=h.dtype), h, y, rng, 300 if wb.SMOKE else 800)


def code(h: np.ndarray, y: np.ndarray) -> float:
    """Variational code length of the labels, in bits per state."""
    return sum(cl.variational_bits(fitted(h, y), h, y, rng)) / len(y)


def null(h: np.ndarray, y: np.ndarray) -> float:
    """The same for labels dealt at random, the probe fitted alike: bits per state if states say nothing."""
    probe = vp.new_probe(int(y.max()) + 1, h.shape[1], dtype=h.dtype)
    return cl.null_bits(probe, h, y, rng, 300 if wb.SMOKE else 800) / len(y)


def accuracy(probe: vp.VariationalProbe, h: np.ndarray, y: np.ndarray) -> float:
    """Share of labels that the posterior's mean gets right, in percent."""
    return 100 * float(((vp.with_one(h) @ probe.parameters["mu"].T).argmax(axis=1) == y).mean())


def measured(what: str, y: np.ndarray) -> None:
    """Print what every code length belongs to: the number of labels, and their entropy."""
    print(f"{what}: n = {len(y)}, H(Y) = {cl.entropy_bits(y) / len(y):.3f} bits per state")


# %% [markdown]
# ## Two things to read beside every code length
#
# A label of probability $p$ costs $-\log_2 p$ bits: that is how long its word is in the best code. With $p = 1/8$ it
# is 3 bits long, with $p = 0.8$ it costs 0.32. So for $n$ labels of $C$ classes:
# - if nothing is known but $C$, they cost $n \log_2 C$, the uniform code;
# - if the classes' shares $\pi_c$ are known, they cost $nH(Y)$, with $H(Y) = -\sum_c \pi_c \log_2 \pi_c$, the
#   *entropy*. It is never larger (THEORY (9)).
#
# Whoever sees the states too may need less. How much less is what this tutorial measures. **A code length says
# something only beside $n$ and $H(Y)$**, so each cell below prints both.

# %% [markdown]
# ## A message
#
# Somebody has all states $X$ and wants the labels $Y$. You have both. ($H(\cdot)$ is only ever an entropy.) You fit a
# probe, posterior $q$, and send (Hinton & van Camp 1993):
# 1. weights $w$ that you draw from $q$ and round to a thousandth. They cost $-\log p(w)$ under the prior, and for the
#    rounding $\log 1000$, or 10 bits, per weight;
# 2. the labels, given $w$: $-\log p(Y \mid X, w)$, the cross-entropy.
#
# Then some **bits come back**. Let a second file, which you want to send anyway, choose $w$: if $q$ held four equally
# likely $w$, two bits of the file would choose one. The receiver has $X$, $Y$ and $w$, repeats your fit, seed and all,
# finds $q$, and sees which bits lead to $w$. So that piece of the file comes free: $-\log q(w)$, and again 10 bits per
# weight. Subtract its length. The rounding cancels, and on average the message costs
#
# $$ \mathbb E_q[-\log p(w) - \log p(Y \mid X, w) + \log q(w)] = KL(q \,\|\, p) + \mathbb E_q[CE] = L(q) $$
#
# in nats; over $\ln 2$, in bits. That is the bound of tutorial 5 (THEORY (8)), and its two parts are two parts of a
# message. The *price* is what the weights cost in the end: in the check below 1.58 bits per state sent less 1.31 back,
# 0.27. (Of these only the 0.27 does not depend on the rounding.) The *misfit*, 0.65, is what the labels still cost.
# Together 0.92.
#
# Check it by sending: 1,000 draws of all 68 weights of a probe fitted to 500 planted states of 4 classes. Expect the
# mean cost to be $L$, as `variational_bits` computes it, to a percent. The orange part of the figure's last bar is
# the KL: what is sent for the weights, less what comes back.

# %%
planted = plant(500 if wb.SMOKE else 8000, 16, 4, 2.0, rng)
h, y = planted.h[:500], planted.y[:500]
measured("planted states", y)
probe = fitted(h, y)
kl, misfit = cl.variational_bits(probe, h, y, rng, samples=1000)
mu, sigma, sent = probe.parameters["mu"], np.exp(probe.parameters["log_sigma2"] / 2), []
constant = np.log(2 * np.pi) / 2 + np.log(1000)  # of a Gaussian's -log density, of rounding to a thousandth
for _ in range(1000):
    eps = rng.normal(size=mu.shape)
    w = mu + sigma * eps
    sent.append([(w**2 / 2 + constant).sum(), vp.cross_entropy(vp.with_one(h) @ w.T, y)[0].sum(),
                 -(eps**2 / 2 + np.log(sigma) + constant).sum()])  # -log p(w), -log p(Y|X,w), log q(w)
for_weights, for_labels, back = np.mean(sent, axis=0) / np.log(2) / len(y)
wb.show("sent for the weights", for_weights, 1.58, 0.03, "bits per state")
wb.show("sent for the labels", for_labels, 0.65, 0.05, "bits per state")
wb.show("comes back", -back, 1.31, 0.05, "bits per state")
price = wb.show("price: weights, sent less back", for_weights + back, 0.27, 0.02, "bits per state")
net = wb.show("cost of the message", price + for_labels, 0.92, 0.05, "bits per state")
message = wb.show("cost of the message over L", net * len(y) / (kl + misfit), 1, 0.01)
if figure := wb.new_figure(7, 2.6):
    axis = figure.subplots()
    axis.barh("weights, sent", for_weights, color="tab:orange")
    axis.barh("labels, sent", for_labels, left=for_weights, color="tab:blue")
    axis.barh("comes back", -back, left=price, color="tab:green", alpha=0.6)
    axis.barh("cost: L/n", price, color="tab:orange")
    axis.barh("cost: L/n", for_labels, left=price, color="tab:blue")
    axis.text(price / 2, 3, f"KL\n{price:.2f}", ha="center", va="center")
    axis.text(price + for_labels / 2, 3, f"misfit\n{for_labels:.2f}", ha="center", va="center", color="white")
    axis.axvline(2, color="black", linestyle="--", linewidth=0.8)
    axis.text(1.98, 3, "uniform code, 2 bits", ha="right", va="center")
    axis.invert_yaxis()
    axis.set(xlabel="bits per state", title="a message of 500 labels, weights to a thousandth")
    wb.save(figure, "06_message")

# %% [markdown]
# ## The posterior's mean is no code
#
# Published code often reports the cross-entropy at the mean weights, $CE(\mu)$. It is too low. Cross-entropy is convex
# in the logits, and these are linear in $w$; by Jensen's inequality $\mathbb E_q[CE(w)] \ge CE(\mu)$.
#
# By how much? Expand to second order in $w - \mu$. Let $A_j$ be the second derivative of the summed cross-entropy by
# weight $j$, its curvature. Tutorial 5 found $1/\sigma_j^2 = 1 + \sum_i x_{ij}^2\, \mathbb E[p(1-p)]$, and that sum is
# $A_j$, because $p(1-p)$ is the second derivative of $CE$ by a logit. So $\sigma_j^2 A_j = 1 - \sigma_j^2$, and
#
# $$ \mathbb E_q[CE] - CE(\mu) \approx \tfrac12 \sum_j \sigma_j^2 A_j = \tfrac12 \sum_j (1 - \sigma_j^2) $$
#
# **half a nat for every weight that the data inform**. Expect that to hold within a tenth: 68 weights times half a nat
# are 34 nats or 49 bits, over 500 states 0.10 bits. So of a misfit of 0.65 expect $CE(\mu)/n$ to be 0.55. But
# $H(Y \mid h)$, what the labels cost whoever knows the true weights, is 0.65, too, and no code costs less on average.
#
# What is wrong with 0.55? $\mu$ was fitted to these very labels, and to send it exactly costs more than the 0.27, which
# pays for weights known to $\pm\sigma$. Add up only numbers that belong to one code.

# %%
at_mean = vp.cross_entropy(vp.with_one(h) @ mu.T, y)[0].sum() / np.log(2)
jensen = (misfit - at_mean) / ((1 - sigma**2).sum() / 2 / np.log(2))
wb.show("CE at the mean", at_mean / 500, 0.55, 0.05, "bits per state")
wb.show("E_q[CE] less CE at the mean", (misfit - at_mean) / 500, 0.095, 0.015, "bits per state")
wb.show("H(Y|h)", planted.conditional_bits, 0.65, 0.01, "bits per state")
wb.show("E_q[CE] less CE at the mean, over half a nat per weight", jensen, 1, 0.1)
undercut = wb.show("CE at the mean, less H(Y|h)", at_mean / 500 - planted.conditional_bits, -0.1, 0.09,
                   "bits per state")

# %% [markdown]
# ## More states, fewer bits per state
#
# A weight is bought once and serves all labels. By THEORY (14) it costs $-\log \sigma$ and a constant. As $1/\sigma^2$
# is a sum over states, $\sigma$ falls like $1/\sqrt n$. So that is $\frac12 \log_2 n$ bits and a constant: 16 times the
# states, 2 bits more per weight. Divided by $n$ it vanishes, slowly. Here the linear model is true, so $L/n$ falls to
# $H(Y \mid h)$.
#
# So **a code length belongs to a number of states**: compare at equal $n$ only. Expect 0.27 bits above $H(Y \mid h)$
# at 500 states, 0.04 at 8,000.

# %%
sizes = [125, 250, 500] if wb.SMOKE else [500, 2000, 8000]
parts = {}
for n in sizes:
    measured("planted states", planted.y[:n])
    probe = fitted(planted.h[:n], planted.y[:n])
    logits = vp.with_one(planted.h[:n]) @ probe.parameters["mu"].T
    parts[n] = [bits / n for bits in (*cl.variational_bits(probe, planted.h[:n], planted.y[:n], rng),
                                      vp.cross_entropy(logits, planted.y[:n])[0].sum() / np.log(2))]
over = [parts[n][0] + parts[n][1] - planted.conditional_bits for n in sizes]
wb.show("L/n less H(Y|h) at 500 states", over[0], 0.27, 0.08, "bits per state")
wb.show("L/n less H(Y|h) at 8,000 states", over[-1], 0.04, 0.03, "bits per state")

# %% [markdown]
# ## A probe on nothing at all
#
# Divide a blind code by the one with states, and call it *compression*. But which blind code? Take 4,000 states of
# pure noise, and labels that are 1 four times in five. There is nothing to find. Expect an accuracy of 80 %, and:
# - against the uniform code $L$ seems to save a quarter, for nothing: the bias has learned the share;
# - against $nH(Y)$, which knows the share too, there is a *loss* of 5 %, the cost of useless weights. So
#   $\text{compression} = nH(Y) / L$ here and in the package;
# - a slip seen in published code divides bits by nats. That multiplies the compression by $1/\ln 2 = 1.44$: the noise
#   then seems to compress.

# %%
n = 1000 if wb.SMOKE else 4000
noise, unequal = rng.normal(size=(n, 16)), (rng.random(n) < 0.8).astype(int)
measured("noise", unequal)
probe = fitted(noise, unequal)
bits = sum(cl.variational_bits(probe, noise, unequal, rng))
hit = wb.show("noise: accuracy", accuracy(probe, noise, unequal), 80, 2, "%")
wb.show("noise: uniform code over L", cl.uniform_bits(n, 2) / bits, 1.33, 0.07)
nothing = wb.show("noise: n H(Y) over L", cl.compression(bits, unequal), 0.95, 0.02)
slip = wb.show("noise: n H(Y) in bits over L in nats", cl.compression(bits * np.log(2), unequal), 1.37, 0.03)

# %% [markdown]
# ## Labels dealt at random
#
# Now many features and few states: 150 states of noise with 96 features, and fair coins for labels. Points in $d$
# dimensions can be split in every way by a plane if there are no more than $d + 1$ of them, and in most ways up to
# $2(d + 1)$ (Cover 1965). Here $2 \cdot 97 = 194$ is more than 150. So a probe can memorise coins.
#
# Expect an accuracy above 90 % on the states fitted, 50 % on fresh ones, and a code length of more than twice the one
# bit that a coin costs. Accuracy on fresh states sees through this as well. But accuracy on fresh states does not say
# how *much* had to be learned, and it hardly moves where a constant is right four times in five.

# %%
wide, coins = rng.normal(size=(150, 96)), rng.integers(2, size=150)
measured("coins", coins)
probe = fitted(wide, coins)
memorised = wb.show("coins: accuracy on the states fitted", accuracy(probe, wide, coins), 93, 5, "%")
fresh = accuracy(probe, rng.normal(size=(5000, 96)), rng.integers(2, size=5000))
wb.show("coins: accuracy on fresh states", fresh, 50, 3, "%")
coin_bits = wb.show("coins: L/n", sum(cl.variational_bits(probe, wide, coins, rng)) / 150, 2.3, 0.3, "bits per state")

# %% [markdown]
# ## The null, and selectivity
#
# The coins cost about 2.3 bits per state, though $H(Y)$ is 1. So a code above $H(Y)$ does not show that the states
# say nothing. It may only show that weights are dear. What would labels cost if the states could not help? Deal the
# *same* labels out at random over the states, and fit again: that is the **null** (Hewitt & Liang 2019). What the
# states save is
#
# $$ \text{selectivity} = L(\text{dealt labels}) - L(\text{labels}) $$
#
# (THEORY (11)), in bits. `null_bits` computes the first term. **From here on every code length stands beside its
# dealt-labels null.**
#
# Coins are such labels already, so there is nothing to save. Deal them six times. Expect the six nulls around the
# coins' own code, and a selectivity of about 0. Expect them to differ among themselves by a few tenths of a bit, for
# 150 states leave much to luck; with thousands they differ in the third digit.

# %%
dealt_coins = [null(wide, coins) for _ in range(6)]
wb.show("coins: six nulls, dealt labels", dealt_coins, 2.45, 0.45, "bits per state")
coin_saved = wb.show("coins: selectivity, by their mean", cl.selectivity_bits(coin_bits, np.mean(dealt_coins)), 0, 0.3,
                     "bits per state")

# %% [markdown]
# ## The group prior's constant
#
# (For those who use the group prior of tutorial 5; the others may skip to the next section.)
#
# Its prior of a scale, the log-uniform $p(z) \propto 1/|z|$, is no density: it does not integrate to 1. Cut it to
# $e^{-a} \le |z| \le e^{a}$ and it is one, $p(z) = 1 / (4a|z|)$. The KL of a scale from it is, with $z = \mu +
# \sigma\epsilon$ and forgetting the sliver of $q$ outside the cut,
#
# $$ \mathbb E_q[\log q - \log p] = -\tfrac12 \log(2 \pi e \sigma^2) + \log 4a + \mathbb E \log |z| $$
#
# Expect it to exceed THEORY (16) by $\log 4a - 2.05$ nats for *every* $\mu$ and $\sigma$ (for pure noise $\mathbb E
# \log|z| = \log \sigma - 0.635$): 1.63 nats at $a = 10$, and without bound as $a$ grows. With 96 features that is 226
# bits, or any other number. So compare such lengths with each other, at the same $d$, and never with $nH(Y)$.

# %%
above = []
for m, s in ((1, 0.1), (0.05, 0.5), (2, 1)):
    z = np.abs(m + s * rng.normal(size=200_000))
    proper = np.log(z).mean() - np.log(2 * np.pi * np.e * s**2) / 2 + np.log(4 * 10)
    above.append(proper - vp.scale_kl(vp.log_alpha(np.array([m]), np.array([2 * np.log(s)])))[0])
wb.show("KL from a proper prior (a = 10) less (16), three scales", above, 1.63, 0.03, "nats")

# %% [markdown]
# ## A second code, and whose tokens predict whose
#
# The *prequential* code is a valid code whatever the prior is. Send a first block $B_1$ of $n_1$ labels uniformly. Both
# sides fit a probe to all that has been sent, and use it for the next block, which is as large as all before (THEORY
# (10)):
#
# $$ L_{preq} = n_1 \log_2 C - \sum_i \sum_{j \in B_{i+1}} \log_2 \bar p\,(y_j \mid h_j;\ B_1, \dots, B_i) $$
#
# where $\bar p$ averages over the posterior. One trap: tokens of one sentence are alike and carry one label. If a
# sentence is torn between blocks, its first part gives away the label of the rest. The probe need only recognise the
# *sentence*.
#
# Take layer 1 of the plain run. `prequential_bits` shuffles the *keys* of sentences and ends a block only between two.
# If every state gets its own key, every sentence is torn over all the blocks. Expect 0.86 bits for dealt labels, 0.76
# with whole sentences, 0.65 with a key for every state. So 0.10 bits seem to be saved, then 0.21: twice as much. It is
# still a code, but of something you did not ask.

# %%
few = gather_states(*wb.opened(wb.finetuned("plain")), "train", 60 if wb.SMOKE else 800, rng)
h, y, n = standardise(few.h[1])[0], np.minimum(few.y, 1), len(few.y)
steps, draws = (100, 1) if wb.SMOKE else (300, 3)
measured("plain, layer 1", y)
whole, cut, chance = (np.mean([cl.prequential_bits(h, labels, keys, 2, rng, steps=steps) for _ in range(draws)]) / n
                      for labels, keys in ((y, few.keys), (y, np.arange(n)), (cl.control_labels(y, rng), few.keys)))
wb.show("prequential, sentences whole", whole, 0.76, 0.07, "bits per state")
wb.show("prequential, every state its own key", cut, 0.65, 0.05, "bits per state")
wb.show("prequential, dealt labels", chance, 0.86, 0.03, "bits per state")

# %% [markdown]
# ## Layer by layer, and a model that has learned nothing
#
# Now 15,000 states of each of several models, the standard against the dialects: *plain*, *pretrained*, and *random*,
# a model of the same shape with fresh random weights, which has never seen a word. Layer 0 is the embedding, layer 2
# the last.
#
# Why a random model? It too gives every piece a vector of its own, so a probe can learn which pieces are a dialect's.
# And its attention mixes earlier symbols into a state, the tag among them, though nothing has taught it to. What a
# probe finds there lies in the *text* and in the *architecture*, not in anything the model has learned. So the random
# model is the second null of a probing result: **a finding about training is what exceeds it.** (Tutorial 8's *random*
# is something else: a trained model.) To see what the attention lets through, a fourth model, *one tag*, is the random
# one with the same vector for every tag. All earlier symbols still reach a state, but the tag says nothing.
#
# The null changes with $n$ and $H(Y)$: 0.79 bits here, 0.85 in tutorial 8, 0.98 and 1.22 in tutorial 9.
#
# Before you run the cell: which layer of which model will have the shortest code? How far below its null is the random
# model, and is it by the tag?

# %%
model, tokenizer, corpus = wb.opened(wb.pretrained())
sizes_of = {**asdict(wb.MODEL), "vocabulary": tokenizer.size}
untrained, one_tag = (Transformer(**sizes_of, generator=wb.torch.Generator().manual_seed(1)).eval() for _ in range(2))
vectors = one_tag.embedding.weight.data  # (vocabulary, d)
vectors[list(tokenizer.tags.values())] = vectors[tokenizer.tag("msa")].clone()
models = {"one tag": (one_tag, tokenizer, corpus), "random": (untrained, tokenizer, corpus),
          "pretrained": (model, tokenizer, corpus), "plain": wb.opened(wb.finetuned("plain"))}
lengths, dealt, labelled = {}, {}, {}
for name, opened in models.items():
    states = gather_states(*opened, "train", 60 if wb.SMOKE else 3000, np.random.default_rng(0))  # the same tokens
    labelled[name] = np.minimum(states.y, 1)
    measured(name, labelled[name])
    real = [standardise(states.h[layer])[0] for layer in (0, 1, 2)]
    lengths[name] = [code(layer, labelled[name]) for layer in real]
    dealt[name] = [null(layer, labelled[name]) for layer in real]
entropy = cl.entropy_bits(labelled["plain"]) / len(labelled["plain"])
for name, expected in (("one tag", (0.75, 0.75, 0.755)), ("random", (0.75, 0.75, 0.57)),
                       ("pretrained", (0.59, 0.62, 0.2)), ("plain", (0.48, 0.6, 0.03))):
    for layer, about in enumerate(expected):
        wb.show(f"{name}, layer {layer}", lengths[name][layer], about, 0.03 if about > 0.1 else 0.02, "bits per state")
wb.show("dealt labels, layers and models", [bits for name in dealt for bits in dealt[name]], 0.79, 0.015,
        "bits per state")
compressed = wb.show("random: best n H(Y) over L", entropy / min(lengths["random"]), 1.27, 0.07)
if figure := wb.new_figure(10, 3.6):
    left, right = figure.subplots(1, 2)
    places, (weights, given, mean) = [f"{size:,}" for size in sizes], zip(*parts.values())
    left.bar(places, given, 0.6, color="tab:blue", label="misfit, E_q[CE]")
    left.bar(places, weights, 0.6, bottom=given, color="tab:orange", label="price, KL")
    left.plot(places, mean, "kv", label="CE at the mean (no code)")
    left.axhline(planted.conditional_bits, color="black", linestyle="--", label="H(Y|h)")
    left.set(xlabel="states n", ylabel="bits per state", title="planted: weights are bought once", ylim=(0, 1.5))
    left.legend(loc="upper right", ncols=2)
    right.axhline(np.mean(dealt["plain"]), color="tab:red", linestyle=":", label="null: dealt labels")
    right.axhline(entropy, color="black", linestyle="--", label="H(Y)")
    for name, style in (("one tag", "s--"), ("random", "o-"), ("pretrained", "o-"), ("plain", "o-")):
        colour = {"pretrained": "tab:green", "plain": "tab:orange"}.get(name, "tab:gray")
        right.plot([0, 1, 2], lengths[name], style, color=colour, label=name)
    right.set(xlabel="layer", ylabel="bits per state", title="standard against dialects", ylim=(0, 1.15),
              xticks=(0, 1, 2))
    right.legend(loc="upper right", ncols=2)
    wb.save(figure, "06_code_length")

# %% [markdown]
# ## Reading it
#
# - Dealt labels cost 0.79 bits, that is $H(Y)$ and 0.07 for useless weights. Read each layer by its selectivity, what
#   it saves of the 0.79.
# - The random model saves too: 0.04 bits at the embedding, 0.22 at its last layer, where it "compresses" $nH(Y)$ by
#   1.27. Nothing was learned there. With one vector for all tags the 0.22 are 0.04 again: it was the tag that
#   got through. (Why not at layer 1 already, this does not tell.)
# - The pretrained model saves 0.6 bits at layer 2; a model without training already saves 0.22. Only the excess, 0.4,
#   is evidence of learning.
# - The trained models save far more at the last layer, and plain nearly everything: its states are about to choose
#   words, and fine-tuning has taught it four dialects' words.
# - One surprise: in the trained models layer 0 costs *less* than layer 1. A dialect's own word gives it away by
#   itself. Block 1 mixes that with the context, and though no information need be lost, a *linear* probe reads less of
#   it. Code length measures what this probe can use (exercise 1).
#
# The same for any model: write states `h` (layers, n, d), labels `y`, `names` of the classes and `keys` of the
# sentences with `np.savez`, once from your model and once from one with fresh weights, and run `python -m tinydecouple
# probe --states FILE.npz` on both. Each table has the null beside the code; the second table is the control of the
# first.
#
# ## What you have learned, as assertions

# %%
assert abs(message - 1) < 0.02, "L is not the length of the message"
assert 0.8 < jensen < 1.2 and undercut < 0, "the mean's cross-entropy should look too good, by half a nat per weight"
assert over[0] > over[1] > over[2] > 0, "L/n falls with n, and stays above H(Y|h)"
a_weight = (parts[sizes[-1]][0] * sizes[-1] - parts[sizes[0]][0] * sizes[0]) / mu.size  # KL, bits
assert abs(a_weight / (np.log2(sizes[-1] / sizes[0]) / 2) - 1) < 0.3, "a weight costs half a bit per doubling"
assert hit > 75 and nothing < 1 < slip, "noise must not compress, except by a mistake of units"
assert memorised > 85 and 45 < fresh < 55 and coin_bits > 1.5, "coins can be memorised, at a cost above their own"
assert abs(coin_saved) < 0.5, "the states of coins should save nothing"
assert np.ptp(above) < 0.04, "the constant of the group prior is not constant"
if not wb.SMOKE:
    assert cut < whole - 0.03 and whole < chance, "cutting sentences should shorten the code, for no good reason"
    saved = {name: [cl.selectivity_bits(*pair) for pair in zip(lengths[name], dealt[name])] for name in models}
    assert min(saved["pretrained"] + saved["plain"]) > 0.1, "at every layer the states save bits that dealt labels cost"
    assert compressed > 1, "a random model should seem to compress"
    assert saved["one tag"][2] < 0.1 < saved["random"][2] - 0.05, "attention should carry the tag, also untrained"
    assert saved["plain"][2] > 3 * max(saved["random"]), "fine-tuning has taught the last layer the variety"
    assert lengths["plain"][2] < lengths["pretrained"][2] < min(lengths["pretrained"][:2]), "the last layer knows best"
    assert min(dealt["plain"]) > entropy, "dealt labels cost more than their entropy"
print("tutorial 6: all assertions hold")

# %% [markdown]
# ## Exercises
#
# **Write and check.** Write `entropy_bits(y)`: $nH(Y)$ of labels `y` (n,), in bits. `python tutorials/check.py A2.2
# my_answers.py --new` puts a stub into a file of yours; without `--new` it is checked. For more: A2.6,
# `block_ends(keys, classes)`, where the blocks of the prequential code end without cutting a sentence, and A2.7, the
# code itself. What each is to return stands in [A2.md](assignments/A2.md).
#
# **Think and try.**
# 1. Is layer 1 expensive because the variety lies in directions of small variance, where $N(0, 1)$ makes weights cost?
#    Whiten its states (`np.linalg.eigh` of their covariance) and measure again.
# 2. `control_labels` deals a label to each *state*; true labels are the same throughout a sentence. Deal them by
#    sentence. Is this control cheaper?
# 3. At 2,000 states layer 1 costs more than $H(Y)$, at 15,000 less. Is the variety there, or not?
#
# Answers, one at a time: `python tutorials/hint.py 6.1`; in a notebook `wb.hint("6.1")`. Try first.
#
# ## Where to read next
# `tinydecouple/method/codelength.py` and `tests/method/test_codelength.py`; `python -m tinydecouple probe RUN` prints
# the table of these numbers for any run. Then tutorial 7.
