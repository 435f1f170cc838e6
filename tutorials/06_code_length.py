# %% [markdown]
# # 6. Code length, and why accuracy is not enough
#
# **Goal**: read the probe's bound $L$ as the length of a message, know what to compare it with, and see how
# accuracy, and code lengths too, can mislead. Then measure, layer by layer, how many bits the standard costs in the
# states of two models.
#
# **Before**: tutorial 5; THEORY (7) to (11) and (16).
# **Time**: 20 seconds of computing, 40 minutes of reading. **Difficulty**: hard.

# %%
import numpy as np
import workbench as wb

from tinydecouple.evaluation.probe_report import gather_states
from tinydecouple.method import codelength as cl
from tinydecouple.method import probe as vp
from tinydecouple.method.planted import plant
from tinydecouple.method.states import standardise

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


# %% [markdown]
# ## A message
#
# A label of probability $p$ costs $-\log_2 p$ bits: that is how long its word is in the best code. Somebody who has
# the states $H$ wants the labels $Y$. You fit a probe to them, posterior $q$, and send (Hinton & van Camp 1993):
# 1. weights $w$ drawn from $q$, which cost $-\log p(w)$ under the prior, to any precision;
# 2. the labels, given $w$: $-\log p(Y \mid H, w)$, the cross-entropy.
#
# The receiver now has $H$, $Y$ and $w$, so can repeat your fit, seed and all, and find $q$. Which $w$ you drew was
# your free choice, worth $-\log q(w)$ bits: you could have hidden another message in it. Those **bits come back**.
# The expected cost is
#
# $$ \mathbb E_q[-\log p(w) - \log p(Y \mid H, w) + \log q(w)] = KL(q \,\|\, p) + \mathbb E_q[CE] = L(q) $$
#
# the bound of tutorial 5 (THEORY (8)). With natural logarithms it comes in nats; over $\ln 2$, in bits. Check it by
# sending: 1,000 draws of all weights of a probe fitted to 500 planted states. `variational_bits` draws logits
# instead; expect the same to a percent.

# %%
planted = plant(500 if wb.SMOKE else 8000, 16, 4, 2.0, rng)
h, y = planted.h[:500], planted.y[:500]
probe = fitted(h, y)
kl, expected = cl.variational_bits(probe, h, y, rng, samples=1000)
mu, sigma, sent = probe.parameters["mu"], np.exp(probe.parameters["log_sigma2"] / 2), []
for _ in range(1000):
    eps = rng.normal(size=mu.shape)
    w = mu + sigma * eps
    prices = w**2 / 2 - eps**2 / 2 - np.log(sigma)  # -log p(w) + log q(w)
    sent.append((prices.sum() + vp.cross_entropy(vp.with_one(h) @ w.T, y)[0].sum()) / np.log(2))
message = wb.show("mean message over L", np.mean(sent) / (kl + expected), 1, 0.01)

# %% [markdown]
# ## The posterior's mean is no code
#
# Published code often reports the cross-entropy at the mean weights, $CE(\mu)$. Cross-entropy is convex in the
# logits, these are linear in $w$; by Jensen's inequality $\mathbb E_q[CE(w)] \ge CE(\mu)$. By how much? Expand to
# second order, and take $\sigma$ from tutorial 5, where $1/\sigma^2$ is 1 and the curvature $H_{jj}$ of the
# cross-entropy:
#
# $$ \mathbb E_q[CE] - CE(\mu) \approx \tfrac12 \sum_j \sigma_j^2 H_{jj} = \tfrac12 \sum_j (1 - \sigma_j^2) $$
#
# **half a nat for every weight the data inform**. Expect that to hold within a tenth. And expect $CE(\mu)/n$ *below*
# $H(Y \mid h)$, by 0.1 bits give or take the luck of 500 states, though no code undercuts it in the mean: nobody can
# send exact weights at the cost of blurred ones.

# %%
at_mean = vp.cross_entropy(vp.with_one(h) @ mu.T, y)[0].sum() / np.log(2)
jensen = (expected - at_mean) / ((1 - sigma**2).sum() / 2 / np.log(2))
wb.show("E_q[CE] less CE at the mean, over half a nat per weight", jensen, 1, 0.1)
undercut = wb.show("CE at the mean, less H(Y|h)", at_mean / 500 - planted.conditional_bits, -0.1, 0.09,
                   "bits per state")

# %% [markdown]
# ## More states, fewer bits per state
#
# Here the linear model is true, so $L/n$ falls to $H(Y \mid h)$. Above it is the cost of the weights, by (14) $-\log
# \sigma$ and a constant; and as $\sigma$ falls like $1/\sqrt n$, a weight costs $\frac12 \log_2 n$ bits and a
# constant: 16 times the states, 2 bits more per weight. Divided by $n$ this vanishes, slowly. So **a code length
# belongs to a number of states**: compare at equal $n$ only. Expect 0.27 bits above $H(Y \mid h)$ at 500 states, 0.04
# at 8,000.

# %%
sizes = [125, 250, 500] if wb.SMOKE else [500, 2000, 8000]
parts = {}
for n in sizes:
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
# Labels sent blindly cost $n \log_2 C$ (the uniform code); if the shares $\pi_c$ of the classes are known, less
# (THEORY (9)):
#
# $$ nH(Y) = -n \sum_c \pi_c \log_2 \pi_c \;\le\; n \log_2 C, \qquad \text{compression} = nH(Y) / L $$
#
# Take 4,000 states of pure noise, and labels that are 1 four times in five. Expect an accuracy of 80 %, and $L$ a
# quarter *below* the uniform code, for nothing: the bias has learned the share. Against $nH(Y)$, which knows it too,
# there is a loss of 5 %, the cost of useless weights. A slip seen in published code, nats divided into bits,
# multiplies by $1/\ln 2 = 1.44$, and nothing becomes a finding.

# %%
n = 1000 if wb.SMOKE else 4000
noise, unequal = rng.normal(size=(n, 16)), (rng.random(n) < 0.8).astype(int)
probe = fitted(noise, unequal)
bits = sum(cl.variational_bits(probe, noise, unequal, rng))
hit = wb.show("noise: accuracy", accuracy(probe, noise, unequal), 80, 2, "%")
wb.show("noise: uniform code over L", cl.uniform_bits(n, 2) / bits, 1.33, 0.07)
nothing = wb.show("noise: n H(Y) over L", cl.compression(bits, unequal), 0.95, 0.02)
slip = wb.show("noise: n H(Y) in bits over L in nats", cl.compression(bits * np.log(2), unequal), 1.37, 0.03)

# %% [markdown]
# ## Labels dealt at random
#
# Many features, few states: 150 states of noise with 96 features, and fair coins for labels. Points in $d$ dimensions
# can be split in every way by a plane if there are no more than $d + 1$ of them, and in most ways up to $2(d + 1)$
# (Cover 1965). So expect an accuracy above 90 % on the states fitted, 50 % on fresh ones, and a code length of more
# than twice the one bit that a coin costs. Held-out accuracy sees through this as well; but it does not say how
# *much* had to be learned, and is blind where a constant is right four times in five.
#
# Hence the **control**: deal the same labels out at random, and fit again (THEORY (11)). $\text{selectivity} =
# L(\text{dealt}) - L$ is what the states have saved, not the probe. **The dealt-labels code,
# not $nH(Y)$, is the null**: a code above $nH(Y)$ may still save a great deal.

# %%
wide, coins = rng.normal(size=(150, 96)), rng.integers(2, size=150)
probe = fitted(wide, coins)
memorised = wb.show("coins: accuracy on the states fitted", accuracy(probe, wide, coins), 93, 5, "%")
fresh = accuracy(probe, rng.normal(size=(5000, 96)), rng.integers(2, size=5000))
coin_bits = wb.show("coins: L/n", sum(cl.variational_bits(probe, wide, coins, rng)) / 150, 2.3, 0.3, "bits per state")

# %% [markdown]
# ## The group prior's constant
#
# The log-uniform prior is no density. Cut it to $e^{-a} \le |z| \le e^{a}$ and it is one, $p(z) = 1 / (4a|z|)$. The
# KL of a scale from it is, with $z = \mu + \sigma\epsilon$ and forgetting the sliver of $q$ outside the cut,
#
# $$ \mathbb E_q[\log q - \log p] = -\tfrac12 \log(2 \pi e \sigma^2) + \log 4a + \mathbb E \log |z| $$
#
# Expect it to exceed (16) by $\log 4a - 2.05$ nats for *every* $\mu$ and $\sigma$ (for pure noise $\mathbb E \log|z|
# = \log \sigma - 0.635$): 1.63 nats at $a = 10$, and without bound as $a$ grows. With 96 features that is 226 bits or
# any other number. So compare such lengths with each other, same $d$, and never with $nH(Y)$.

# %%
above = []
for m, s in ((1, 0.1), (0.05, 0.5), (2, 1)):
    z = np.abs(m + s * rng.normal(size=200_000))
    proper = np.log(z).mean() - np.log(2 * np.pi * np.e * s**2) / 2 + np.log(4 * 10)
    above.append(proper - vp.scale_kl(vp.log_alpha(np.array([m]), np.array([2 * np.log(s)])))[0])
wb.show("KL from a proper prior (a = 10) less (16), three scales", above, 1.63, 0.03, "nats")

# %% [markdown]
# ## Prequential code, and whose tokens predict whose
#
# In the other code no prior need be believed: send a block of labels uniformly; both sides fit a probe to all that
# has been sent, and use it for the next block, which is as large as all before (THEORY (10)):
#
# $$ L_{preq} = n_1 \log_2 C - \sum_i \sum_{j \in B_{i+1}} \log_2 \bar p\,(y_j \mid h_j;\ B_1, \dots, B_i) $$
#
# where $\bar p$ averages over the posterior. Tokens of one sentence are alike and carry one label. If a block ends
# within a sentence, its first half gives away the label of its second; the probe need only recognise the *sentence*.
# Take layer 1 of the plain run and give each state a key of its own. Expect dealt labels near 0.84 bits, whole
# sentences 0.02 to 0.12 below that, and states with keys of their own 0.1 lower still: the selectivity about doubles.
# It is still a code; but of something you did not ask.

# %%
few = gather_states(*wb.opened(wb.finetuned("plain")), "train", 60 if wb.SMOKE else 800, rng)
h, y, n = standardise(few.h[1])[0], np.minimum(few.y, 1), len(few.y)
entropy = cl.entropy_bits(y) / n
steps, draws = (100, 1) if wb.SMOKE else (300, 3)
print(f"  n = {n} states, H(Y) = {entropy:.3f} bits per state")
whole, cut, chance = (np.mean([cl.prequential_bits(h, labels, keys, 2, rng, steps=steps) for _ in range(draws)]) / n
                      for labels, keys in ((y, few.keys), (y, np.arange(n)), (cl.control_labels(y, rng), few.keys)))
wb.show("prequential, sentences whole", whole, 0.76, 0.07, "bits per state")
wb.show("prequential, every state its own key", cut, 0.66, 0.05, "bits per state")
wb.show("prequential, dealt labels", chance, 0.84, 0.03, "bits per state")

# %% [markdown]
# ## Layer by layer
#
# Now 15,000 states of each of two models, pretrained and plain, the standard against the dialects. Expect the dealt
# labels at 0.79 bits, that is $H(Y)$ and 0.07 for useless weights; the last layer far below, in the plain model near
# 0: its states are about to choose words, and fine-tuning has taught it four dialects' words. Read each layer by its
# selectivity, what it saves of the 0.79. And one surprise: the
# embedding, layer 0, costs *less* than layer 1. A dialect's own word gives it away by itself; block 1 mixes that with
# the context, and though no information need be lost, a *linear* probe reads less of it. Code length measures what
# this probe can use (exercise 1).

# %%
lengths, dealt = {}, {}
for run, path in (("pretrained", wb.pretrained()), ("plain", wb.finetuned("plain"))):
    states = gather_states(*wb.opened(path), "train", 60 if wb.SMOKE else 3000, rng)
    labels = np.minimum(states.y, 1)
    print(f"  {run}: n = {len(labels)} states, H(Y) = {cl.entropy_bits(labels) / len(labels):.3f} bits per state")
    real = [standardise(states.h[layer])[0] for layer in (0, 1, 2)]
    lengths[run] = [code(layer, labels) for layer in real]
    dealt[run] = [null(layer, labels) for layer in real]
wb.show("plain, layer 0", lengths["plain"][0], 0.49, 0.03, "bits per state")
wb.show("plain, layer 1", lengths["plain"][1], 0.61, 0.04, "bits per state")
wb.show("plain, layer 2", lengths["plain"][2], 0.03, 0.02, "bits per state")
wb.show("pretrained, layer 2", lengths["pretrained"][2], 0.23, 0.03, "bits per state")
wb.show("dealt labels, three layers of plain", dealt["plain"], 0.79, 0.01, "bits per state")
if figure := wb.new_figure(10, 3.5):
    left, right = figure.subplots(1, 2)
    places, (weights, given, mean) = [f"{size:,}" for size in sizes], zip(*parts.values())
    left.bar(places, given, color="tab:blue", label="E_q[CE]")
    left.bar(places, weights, bottom=given, color="tab:orange", label="KL")
    left.plot(places, mean, "kv", label="CE at the mean")
    left.axhline(planted.conditional_bits, color="black", linestyle="--", label="H(Y|h)")
    left.set(xlabel="states", ylabel="bits per state", title="planted states")
    for run, colour in (("pretrained", "tab:gray"), ("plain", "tab:orange")):
        right.plot(list("012"), lengths[run], "o-", color=colour, label=run)
        right.plot(list("012"), dealt[run], "x:", color=colour, label=f"{run}, dealt labels")
    right.axhline(entropy, color="black", linestyle="--", label="H(Y)")
    right.set(xlabel="layer", ylabel="bits per state", title="standard against dialects", ylim=(0, None))
    for axes in (left, right):
        axes.legend(fontsize="small", loc="lower left")
    wb.save(figure, "06_code_length")

# %% [markdown]
# ## What you have learned, as assertions

# %%
assert abs(message - 1) < 0.02, "L is not the length of the message"
assert 0.8 < jensen < 1.2 and undercut < 0, "the mean's cross-entropy should look too good, by half a nat per weight"
assert over[0] > over[1] > over[2] > 0, "L/n falls with n, and stays above H(Y|h)"
a_weight = (parts[sizes[-1]][0] * sizes[-1] - parts[sizes[0]][0] * sizes[0]) / mu.size  # KL, bits
assert abs(a_weight / (np.log2(sizes[-1] / sizes[0]) / 2) - 1) < 0.3, "a weight costs half a bit per doubling"
assert hit > 75 and nothing < 1 < slip, "noise must not compress, except by a mistake of units"
assert memorised > 85 and 45 < fresh < 55 and coin_bits > 1.5, "coins can be memorised, at a cost above their own"
assert np.ptp(above) < 0.04, "the constant of the group prior is not constant"
if not wb.SMOKE:
    assert cut < whole - 0.03 and whole < chance, "cutting sentences should shorten the code, for no good reason"
    saved = [cl.selectivity_bits(*pair) for run in lengths for pair in zip(lengths[run], dealt[run])]
    assert min(saved) > 0.1, "at every layer the states save bits that dealt labels cost"
    assert lengths["plain"][2] < lengths["pretrained"][2] < min(lengths["pretrained"][:2]), "the last layer knows best"
    assert min(dealt["plain"]) > entropy, "dealt labels cost more than their entropy"
print("tutorial 6: all assertions hold")

# %% [markdown]
# ## Exercises
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
