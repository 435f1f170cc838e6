# %% [markdown]
# # 5. The variational probe
#
# **Goal**: derive the probe that finds the standard's subspace, check every formula of it on states whose answer is
# known, and read its posterior weight by weight. Then ask the states of the plain run where they carry the standard.
#
# **Before**: tutorials 1 to 4; the density of a Gaussian; THEORY (6), (7), (12) to (16).
# **Time**: 15 seconds of computing, 45 minutes of reading. **Difficulty**: hard.

# %%
import numpy as np
import workbench as wb

from tinydecouple.evaluation.probe_report import gather_states, held_out_accuracy
from tinydecouple.method import probe as vp
from tinydecouple.method.codelength import variational_bits
from tinydecouple.method.planted import plant
from tinydecouple.method.states import standardise

rng = np.random.default_rng(0)

# %% [markdown]
# ## Softmax regression, and what it does not say
#
# $h$ is a state of $d$ features, $y$ its class among $C$, $w_c$ the weights of a class; $x$ is $h$ with a last
# feature 1, so that the bias is a weight too. The logits $l$, the probabilities $p$, the cost of the true label, and
# its gradient, $Y$ being the one-hot label:
#
# $$ l_c = \sum_j w_{cj} x_j, \qquad p_c = e^{l_c} / \sum_{c'} e^{l_{c'}} $$
# $$ CE = -\log p_y = -l_y + \log \sum_{c'} e^{l_{c'}}, \qquad \partial CE / \partial l_c = -Y_c + p_c $$
#
# Minimising $CE$ gives one number per weight, a **point estimate**, and that number looks the same whether it rests on
# 100 states or on 100,000.
#
# Plant states with three kinds of features: 4 *useful* ones, in which 3 classes differ; 12 *useless* ones, noise; 4
# *silent* ones, always 0. Fit a point estimate (the package's probe, its KL weighted by 0) to 100 states. Expect
# weights on the noise more than half as large as those on the signal, for noise too helps to separate 100 states.
# Whoever has the weights only cannot know which to believe.

# %%
n = 1000 if wb.SMOKE else 4000
planted = plant(n, 4, 3, 2.0, rng)
h, y = np.hstack((planted.h, rng.normal(size=(n, 12)), np.zeros((n, 4)))), planted.y
useful, useless, silent = slice(0, 4), slice(4, 16), slice(16, 20)
weights = vp.fit(vp.new_probe(3, 20), h[:100], y[:100], rng, kl_weight=0).posterior_mean()
weights -= weights.mean(axis=0)  # softmax ignores what all classes share
share = np.abs(weights[:, useless]).max() / np.abs(weights[:, useful]).max()
wb.show("point estimate: largest weight on noise over largest on signal", share, 0.65, 0.3)

# %% [markdown]
# ## A Gaussian over each weight
#
# So keep a distribution: before the data the prior $p(w) = N(0, 1)$, after it the posterior $p(w \mid Y, H)$. Bayes'
# rule holds for every $w$, so it may be averaged over any distribution $q(w)$; add and take away $\log q$ (THEORY
# (6)):
#
# $$ \log p(Y \mid H) = \log p(Y \mid H, w) + \log p(w) - \log p(w \mid Y, H) \qquad \text{for every } w $$
# $$ = \mathbb E_q \log p(Y \mid H, w) - \mathbb E_q \log [q(w) / p(w)] + \mathbb E_q \log [q(w) / p(w \mid Y, H)] $$
#
# The last two terms are the KL divergences of $q$ from the prior and from the posterior, never negative. Drop the
# last, which cannot be computed (THEORY (7)):
#
# $$ -\log p(Y \mid H) \;\le\; L(q) = KL(q \,\|\, p) + \mathbb E_q\big[\textstyle\sum_i CE_i\big] $$
#
# $-L$ is the *evidence lower bound*. The left side does not depend on $q$, so whatever lowers $L$ brings $q$ nearer
# to the posterior. Our $q$ is a Gaussian for each weight on its own, $w_{cj} \sim N(\mu_{cj}, \sigma_{cj}^2)$.
#
# With six weights and 30 states the evidence can be had, as the mean likelihood over draws from the prior. Expect $L$
# above it by twenty nats before the fit and by one after: the true posterior is not six independent Gaussians
# (softmax sees only differences of two classes' weights, so these go together).

# %%
few, small = plant(30, 2, 2, 1.5, rng), vp.new_probe(2, 2)
prices = np.array([vp.cross_entropy(vp.with_one(few.h) @ w.T, few.y)[0].sum() for w in rng.normal(size=(20_000, 2, 3))])
evidence = np.log(len(prices)) - np.logaddexp.reduce(-prices)  # -log p(Y | H), in nats
before = np.log(2) * sum(variational_bits(small, few.h, few.y, rng, samples=1000))
vp.fit(small, few.h, few.y, rng, steps=1500)
after = np.log(2) * sum(variational_bits(small, few.h, few.y, rng, samples=1000))
wb.show("L less -log p(Y|H) after the fit", after - evidence, 1, 0.5, "nats")

# %% [markdown]
# ## The cost of a weight
#
# Put $w = \mu + \sigma\epsilon$ into the two densities, take the logarithms, and use $\mathbb E[\epsilon^2] = 1$ and
# $\mathbb E[w^2] = \mu^2 + \sigma^2$:
#
# $$ \log q(w) - \log p(w) = -\tfrac12 \epsilon^2 - \log \sigma + \tfrac12 w^2 $$
# $$ KL_w = \tfrac12 \left(\sigma^2 + \mu^2 - 1 - \log \sigma^2\right) $$
#
# summed over weights (THEORY (14)). A weight about which nothing is known, $\mu = 0$ and $\sigma = 1$, is free.
# Certainty costs $-\log \sigma$, size costs $\mu^2/2$. Expect 100,000 draws of the first line to average to the
# second, to a percent.

# %%
mu, log_sigma2, eps = rng.normal(size=(3, 5)), rng.normal(size=(3, 5)), rng.normal(size=(100_000, 3, 5))
drawn = -eps**2 / 2 - log_sigma2 / 2 + (mu + np.exp(log_sigma2 / 2) * eps)**2 / 2
kl_ratio = wb.show("KL, drawn over computed", drawn.sum(axis=(1, 2)).mean() / vp.weight_kl(mu, log_sigma2), 1, 0.01)

# %% [markdown]
# ## Draw logits, not weights
#
# $\mathbb E_q[CE]$ has no closed form; draw. A logit is a sum of independent Gaussians, so it is Gaussian itself
# (THEORY (12)):
#
# $$ l_c = m_c + \sqrt{v_c}\,\epsilon_c, \qquad m_c = \sum_j x_j \mu_{cj}, \qquad v_c = \sum_j x_j^2 \sigma_{cj}^2 $$
#
# This is *local reparameterisation*. Expect 20,000 draws of the weights to give logits of this mean and variance.
#
# Its gain is in the gradient. Let one state's gradient have variance $V$ over the noise, and those of two states
# covariance $K$. A batch of $n$ sums $n$ variances and $n(n-1)$ covariances, over $n^2$:
#
# $$ \mathrm{Var} = V / n + (1 - 1/n)\,K $$
#
# With weights drawn once for the batch all states err together: $K > 0$, and no batch is large enough. With logits
# drawn for each state, $K = 0$. Both are right on average, since $L$ is a sum over states and each term sees only its
# own logits' distribution. Expect that from 32 to 512 states the variance falls 16-fold with logits, and less than
# 3-fold with weights.

# %%
q = vp.new_probe(3, 20).parameters | {"mu": 0.3 * rng.normal(size=(3, 21))}
sigma, x = np.exp(q["log_sigma2"] / 2), vp.with_one(h)
drawn = np.array([x[0] @ (q["mu"] + sigma * rng.normal(size=sigma.shape)).T for _ in range(20_000)])
m, v = x[0] @ q["mu"].T, x[0]**2 @ sigma.T**2
mean_error = np.abs((drawn.mean(axis=0) - m) / np.sqrt(v)).max()
variance_ratio = wb.show("variance of logits, drawn over computed", (drawn.var(axis=0) / v).mean(), 1, 0.02)
variances = []
for size in (32, 128, 512):
    rows, both = rng.permutation(n)[:size], ([], [])
    for _ in range(100 if wb.SMOKE else 300):
        by_weights = x[rows] @ (q["mu"] + sigma * rng.normal(size=sigma.shape)).T
        by_logits = vp.forward(q, x[rows], vp.draw_noise(q, size, rng))[0]
        for found, logits in zip(both, (by_weights, by_logits)):
            found.append((vp.cross_entropy(logits, y[rows])[1] / size).T @ x[rows])  # gradient by mu, (C, d + 1)
    variances.append([np.var(found, axis=0).sum() for found in both])
falls = np.divide(variances[0], variances[-1])
wb.show("weights drawn: variance at 32 states over 512", falls[0], 1.3, 1)
wb.show("logits drawn: variance at 32 states over 512", falls[1], 14, 5)

# %% [markdown]
# ## Backwards
#
# Training minimises $\mathcal L = L/N$ on batches: the mean $CE$ of $n$ states, and the KL over $N$, the size of the
# whole sample. Let $g = (p - Y)/n$ be the gradient at the logits. $m$ is linear in $\mu$. For $v$ we need $\partial
# l_c / \partial v_c = \epsilon_c / (2\sqrt{v_c})$, so $e = g \odot \epsilon/(2\sqrt v)$ arrives there; and $\partial
# \sigma^2 / \partial \log \sigma^2 = \sigma^2$. With the gradients of (14) (THEORY (13)):
#
# $$ \partial \mathcal L / \partial \mu = g^\top x + \mu / N $$
# $$ \partial \mathcal L / \partial \log \sigma^2 = (e^\top x^2) \odot \sigma^2 + (\sigma^2 - 1) / 2N $$
#
# Check every entry, for both priors, in float64 and with the noise held fixed, against $(f(\theta + s) - f(\theta -
# s)) / 2s$. Two traps. A softmax sums to 1 for any input, so a check through its `.sum()` expects 0, and a backward
# pass that returns zeros passes; the loss picks the label's entry and is not blind. And differences bless a wrong
# *forward* pass; hence a value known in advance: $\ln C$ for weights of 0. Expect relative errors below $10^{-6}$.

# %%
worst, step = 0.0, 1e-5
for prior in vp.PRIORS:
    at = {name: rng.normal(size=value.shape) for name, value in vp.new_probe(3, 5, prior).parameters.items()}
    batch = vp.with_one(rng.normal(size=(7, 5))), rng.integers(3, size=7), vp.draw_noise(at, 7, rng), 40
    gradients = vp.loss_and_gradients(at, *batch)[1]
    for name, index in [(key, index) for key, value in at.items() for index in np.ndindex(value.shape)]:
        moved = np.zeros_like(at[name])
        moved[index] = step
        up, down = (vp.loss_and_gradients(at | {name: at[name] + s * moved}, *batch)[0] for s in (1, -1))
        expected = (up - down) / (2 * step)
        worst = max(worst, abs(gradients[name][index] - expected) / (abs(expected) + 1e-3))
wb.show("largest relative error of a gradient", worst, 0, 1e-6)
nothing = {"mu": np.zeros((3, 6)), "log_sigma2": np.full((3, 6), -60.0)}
at_zero = vp.loss_and_gradients(nothing, *batch, kl_weight=0)[0]

# %% [markdown]
# ## Fit it
#
# Draw noise, take the gradient, take a step of Adam with a falling rate: `vp.fit` is this loop, in batches. Expect
# $L/n$ to fall to a little above $H(Y \mid h)$, known here, which no code undercuts; tutorial 6 is about the
# difference.

# %%
probe, losses, steps = vp.new_probe(3, 20), [], 400 if wb.SMOKE else 800
for step in range(steps):
    noise = vp.draw_noise(probe.parameters, n, rng)
    loss, gradients = vp.loss_and_gradients(probe.parameters, x, y, noise, n)
    vp.adam_step(probe, gradients, 0.06 * 0.5 * (1 + np.cos(np.pi * step / steps)))
    losses.append(loss / np.log(2))
excess = wb.show("L/n less H(Y|h)", losses[-1] - planted.conditional_bits, 0.06, 0.03, "bits per state")

# %% [markdown]
# ## What the posterior says
#
# Where does $\sigma$ come to rest? For Gaussian noise $\mathbb E[\epsilon f(\epsilon)] = \mathbb E[f'(\epsilon)]$
# (integrate by parts), and $\partial p_c / \partial \epsilon_c = \sqrt{v_c}\, p_c (1 - p_c)$. So the gradient by
# $\log \sigma^2$, in expectation and times $N$, is 0 where
#
# $$ \tfrac12 \sigma_{cj}^2 \sum_i x_{ij}^2\,\mathbb E[p_{ic}(1 - p_{ic})] + \tfrac12 (\sigma_{cj}^2 - 1) = 0 $$
# $$ 1 / \sigma_{cj}^2 = 1 + \sum_i x_{ij}^2\, \mathbb E[p_{ic}(1 - p_{ic})] $$
#
# The prior's precision is 1; each state adds its own, more where the feature is large and the class in doubt. So
# - a *silent* feature keeps $\mu = 0$ and $\sigma = 1$: the prior, untouched, at no cost;
# - a *useless* feature has $\mu$ near 0 but a **small** $\sigma$, no larger than a useful one's: the data say that
#   its weight is about 0, which is knowledge, and costs bits;
# - a *useful* feature has $|\mu|$ many $\sigma$ from 0.
#
# Expect $\sigma = 1$ for silent features, about 0.07 for the noise, and the equation to hold to some percent, Adam's
# noise.

# %%
mu, sigma, doubt = probe.parameters["mu"], np.exp(probe.parameters["log_sigma2"] / 2), np.zeros((n, 3))
for _ in range(20):
    p = np.exp(vp.forward(probe.parameters, x, vp.draw_noise(probe.parameters, n, rng))[0])
    p /= p.sum(axis=1, keepdims=True)
    doubt += p * (1 - p) / 20
off_by = np.abs(sigma * np.sqrt(1 + doubt.T @ x**2) - 1).mean()
wb.show("sigma of silent features", sigma[:, silent].mean(), 1, 0.01)
wb.show("sigma of useless features", sigma[:, useless].mean(), 0.073, 0.01)
wb.show("sigma over the equation's, mean deviation from 1", off_by, 0.01, 0.02)

# %% [markdown]
# ## A prior that switches features off
#
# Under $N(0, 1)$ the knowledge that a feature is useless costs bits in each of its weights. The group prior gives a
# feature one scale for all classes, with a log-uniform prior (THEORY (15)):
#
# $$ w_{cj} = z_j v_{cj}, \qquad z_j \sim N(\mu_{zj}, \sigma_{zj}^2), \qquad p(z) \propto 1/|z| $$
# $$ KL(z_j) = f(\alpha_j), \qquad \alpha_j = \sigma_{zj}^2 / \mu_{zj}^2 $$
#
# Everything above holds with $x = h \odot z$, a $z$ drawn for each state; the gradient by $z$ is that by $x$, times
# $h$ (checked above). $dz/|z|$ does not change if $z$ is scaled, so the KL of $z_j$ depends on $\alpha_j$ alone; it
# falls to 0, but for a constant, as $\alpha_j$ grows (THEORY (16)): a scale that is all noise is free. And where $z_j
# \approx 0$ hides the feature, $v_{cj}$ may go back to *its* prior. So a feature that gains less than its weights
# cost is best switched off, $\log \alpha_j > 3$. Expect that of all useless features but one or two, and of no useful
# one.

# %%
sparse = vp.fit(vp.new_probe(3, 20, "group-normal-jeffreys"), h, y, rng, steps=600 if wb.SMOKE else 1500)
off = sparse.switched_off()
wb.show("useless features switched off, of 12", off[useless].sum(), 11, 1)
if figure := wb.new_figure(11, 3.3):
    left, middle, right = figure.subplots(1, 3)
    for label, values in zip(("weights drawn once", "logits drawn for each state"), zip(*variances)):
        left.semilogy(("32", "128", "512"), values, "o-", label=label)
    left.set(xlabel="states in the batch", ylabel="variance of the gradient by mu", title="local reparameterisation")
    middle.semilogx(losses, color="tab:gray", linewidth=0.8, label="loss")
    middle.axhline(planted.conditional_bits, color="black", linestyle="--", label="H(Y|h)")
    middle.set(xlabel="step", ylabel="bits per state", title="fitting, normal prior")
    for kind, where in (("useful", useful), ("useless", useless), ("silent", silent)):
        right.errorbar(np.arange(20)[where], mu[0, :-1][where], sigma[0, :-1][where], fmt="o", label=kind, capsize=2)
    right.set(xlabel="feature", ylabel="weight of class 0, mu ± sigma", title="posterior, normal prior")
    for axes in (left, middle, right):
        axes.legend(fontsize="small")
    wb.save(figure, "05_probe")

# %% [markdown]
# ## The states of the plain run
#
# Now target pieces of the plain run, the standard (class 0) against the four dialects. They are *standardised*,
# centred and divided by one number, since what $N(0, 1)$ means depends on the scale of $h$. A fifth of the
# *sentences* is held out, five times. Always answering "dialect" is right four times in five. Expect the probe three
# points above that at layer 1, and without error at layer 2, the last: from that state the next piece is chosen, and
# by then attention has brought it the tag of the variety.

# %%
states = gather_states(*wb.opened(wb.finetuned("plain")), "train", 60 if wb.SMOKE else 3000, rng)
labels, keys, gain = np.minimum(states.y, 1), np.unique(states.keys), {}
for layer in (1, 2):
    real = standardise(states.h[layer])[0]
    tests = [np.isin(states.keys, rng.permutation(keys)[:len(keys) // 5]) for _ in range(1 if wb.SMOKE else 5)]
    gain[layer] = 100 * np.mean([held_out_accuracy(real, labels, test, rng) - labels[test].mean() for test in tests])
wb.show("layer 1, held-out accuracy less the constant's", gain[1], 2.8, 1.5, "points")
wb.show("layer 2, held-out accuracy less the constant's", gain[2], 20, 2.5, "points")

# %% [markdown]
# ## What you have learned, as assertions

# %%
assert before > after > evidence, "L must lie above the evidence, and fall in the fit"
assert abs(kl_ratio - 1) < 0.02, "the KL of Gaussians is not (14)"
assert mean_error < 0.04 and abs(variance_ratio - 1) < 0.04, "logits are not distributed as weights make them"
assert falls[1] > 9 > 4 > falls[0], "noise drawn for each state averages out, weights drawn once do not"
assert worst < 1e-6 and abs(at_zero - np.log(3)) < 1e-6, "a gradient or the forward pass is wrong"
assert 0 < excess < (0.3 if wb.SMOKE else 0.1), "L/n lies above H(Y|h), and near it"
assert sigma[:, silent].min() > 0.99 and sigma[:, useless].max() < 0.25, "sigma does not say what is known"
assert off_by < 0.1, "sigma does not rest where its gradient is 0"
assert not off[useful].any() and off[useless].sum() >= 8 and off[silent].all(), "the wrong features are off"
if not wb.SMOKE:
    assert gain[1] < 6 < 15 < gain[2], "a linear probe should find far less of the standard at layer 1 than at layer 2"
print("tutorial 5: all assertions hold")

# %% [markdown]
# ## Exercises
# 1. How many states until a useless feature of variance 1 has $\sigma < 0.1$, with two equally likely classes? Use
#    the equation for $1/\sigma^2$, then check with a fit.
# 2. Multiply the planted states by 10 and fit again with 1,500 steps. What happens to $L/n$, and why by so much?
# 3. Set `log_sigma2` of a new probe to 0, the prior's own value, and fit for 20 steps, then for 600. Why does the
#    package start at -3?
#
# Answers, one at a time: `python tutorials/hint.py 5.1`; in a notebook `wb.hint("5.1")`. Try first.
#
# ## Where to read next
# `tinydecouple/method/probe.py`, all of it: you have derived nearly every line. `tests/method/test_probe.py` holds
# its gradients against autograd. Then tutorial 6.
