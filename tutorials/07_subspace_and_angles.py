# %% [markdown]
# # 7. The standard's subspace, and angles with a null
#
# **Goal**: get from a probe's weights to a basis, know how many directions there are, which are the standard's and
# where they point when the states' covariance is not isotropic, and measure angles so that "the angle rose" means
# something.
#
# **Before**: tutorials 4 to 6; THEORY sections 5 to 7.
# **Time**: 15 seconds of computing, 40 minutes of reading. **Difficulty**: medium; the last section asks for
# judgement.

# %%
import numpy as np
import workbench as wb

from tinydecouple.evaluation.probe_report import gather_states
from tinydecouple.method import subspace as sub
from tinydecouple.method.planted import plant
from tinydecouple.method.probe import cross_entropy, fit, new_probe
from tinydecouple.method.states import standardise

STEPS = 60 if wb.SMOKE else 300


def weights_of(h, y, classes, rng, steps=STEPS):
    """Posterior mean weights (C, d) of a probe fitted to states (n, d)."""
    return fit(new_probe(classes, h.shape[1], dtype=h.dtype), h, y, rng, steps).posterior_mean()


def one(weights):
    """The leading direction (d, 1); of a one-vs-rest probe the only one."""
    return sub.probe_subspace(weights, 1)


def degrees(A, B):
    """Largest principal angle."""
    return float(np.degrees(sub.principal_angles(A, B)[-1]))


# %% [markdown]
# ## At most C - 1 directions
#
# A probe with $C$ classes has one row of weights $w_c$ per class and predicts with softmax. Add one vector $a$ to every
# row: each logit of a state $h$ grows by the same number $h \cdot a$, and that cancels,
#
# $$ e^{h \cdot (w_c + a)} \Big/ \sum_j e^{h \cdot (w_j + a)} = e^{h \cdot w_c} \Big/ \sum_j e^{h \cdot w_j} $$
#
# So only the rows' differences mean anything. Take the representative whose rows have mean zero, $\tilde W = W -
# \frac1C \mathbf 1 \mathbf 1^\top W$ (THEORY (17)). One of its rows is minus the sum of the others, so its rank is at
# most $C - 1$. Expect the nats of every label unchanged up to rounding, and rank 3 of four classes.

# %%
rng = np.random.default_rng(0)
four = plant(2000, 16, 4, 2.0, rng)
h = standardise(four.h)[0]
W = weights_of(h, four.y, 4, rng)
shifted = W + 10 * rng.normal(size=16)  # the same vector on every row
change = np.abs(cross_entropy(h @ W.T, four.y)[0] - cross_entropy(h @ shifted.T, four.y)[0]).max()
rank = np.linalg.matrix_rank(shifted - shifted.mean(axis=0))
wb.show("largest change of a label's nats", change, 0, 1e-9, "nats")
wb.show("rank of the centred rows, four classes", rank, 3, 0)

# %% [markdown]
# ## Which of them are the standard's?
#
# Singular value decomposition writes $\tilde W = S \Lambda V^\top$; the basis $U = (v_1, \dots, v_k)$ is the best
# rank-$k$ approximation of the rows (THEORY (18)). What it means depends on the probe's labels.
#
# **The standard against the rest**, $C = 2$, the paper's wording. The centred rows are $\pm\frac12(w_0 - w_1)$: one
# direction, $k = 1$, and SVD has nothing to do. **One class per variety**, $C = 5$ here. Now $v_1$ is where the rows
# differ *most*, whichever rows: it may separate Rabat from Baghdad. If the rows are equally long at equal angles, all
# singular values are equal and $v_1$ is arbitrary. The standard's own direction is its row against the mean of the
# others, `standard_row`.
#
# Take layer 2, where the standard is easy to distinguish (tutorial 6). The pretrained model hardly knows the dialects:
# expect the leading direction of five classes to be the standard's, with a singular value well above the next. In the
# plain run, which had to learn five varieties, expect the two largest singular values close together: over three seeds
# and four samples $v_1$ lay anywhere from 9° to 88° from the standard's row. The one-vs-rest direction lies near that
# row in both, since both ask for what sets the standard apart.

# %%
states = {}
for name, run in (("pretrained", wb.pretrained()), ("plain", wb.finetuned("plain")),
                  ("seed 2", wb.finetuned("plain", 2))):
    model, tokenizer, corpus = wb.opened(run)
    states[name] = gather_states(model, tokenizer, corpus, "train", 60 if wb.SMOKE else 800, np.random.default_rng(0))
y, keys, classes = states["plain"].y, states["plain"].keys, len(corpus.family)  # the same tokens in every model
binary = np.minimum(y, 1)
leading, to_own, gap = {}, {}, {}
for name in ("pretrained", "plain"):
    h = standardise(states[name].h[2])[0]
    many, against_rest = weights_of(h, y, classes, rng), weights_of(h, binary, 2, rng)
    own, strength = sub.standard_row(many), np.linalg.svd(many - many.mean(axis=0), compute_uv=False)
    leading[name], to_own[name] = degrees(one(many), own), degrees(one(against_rest), own)
    gap[name] = float(strength[0] / strength[1])
wb.show("leading direction of five to the standard's row, pretrained", leading["pretrained"], 6, 4, "degrees")
wb.show("first singular value over the second, pretrained", gap["pretrained"], 2, 0.5)
wb.show("first singular value over the second, plain", gap["plain"], 1.1, 0.1)
wb.show("one-vs-rest direction to the standard's row, pretrained", to_own["pretrained"], 14, 8, "degrees")
wb.show("one-vs-rest direction to the standard's row, plain", to_own["plain"], 22, 7, "degrees")

# %% [markdown]
# ## Where a probe's directions tend
#
# Two Gaussian classes with means $m_0, m_1$ and one covariance $\Sigma$: in $\log p(h \mid c) = -\frac12 (h -
# m_c)^\top \Sigma^{-1} (h - m_c) + \dots$ the square $h^\top \Sigma^{-1} h$ is common to both and drops out of the
# difference (THEORY (19)),
#
# $$ \log \frac{p(1 \mid h)}{p(0 \mid h)} = h^\top \Sigma^{-1} (m_1 - m_0) + \text{const} $$
#
# So the probe tends to $\Sigma^{-1}(m_1 - m_0)$, not to $m_1 - m_0$. With $\Sigma = \mathrm{diag}(1, 9)$ and $m_1 -
# m_0 = (1, 1)$ it points along $(1, \frac19)$, 39° away, where the noise is small. Rejecting that direction leaves
# $\sin 39° = 63$ % of the length of the means' difference.
#
# Plant both, `discriminant` being $\Sigma^{-1}(m_1 - m_0)$ and `differences` $m_1 - m_0$. With a round $\Sigma$ they
# are one. With variances from 1 to 30 expect probe and class means each within a few degrees of *its own* limit, tens
# of degrees from the other's. The first principal component knows no label: it follows the noise.

# %%
found = {}
for anisotropy in (1, 30):
    p = plant(20_000, 16, 2, 1.5, np.random.default_rng(0), anisotropy)
    probe, means = one(weights_of(standardise(p.h)[0], p.y, 2, rng, 600)), sub.class_mean_span(p.h, p.y, 1)
    found[anisotropy] = {"probe to discriminant": degrees(probe, p.discriminant),
                         "probe to differences": degrees(probe, p.differences),
                         "class means to differences": degrees(means, p.differences),
                         "most variance to discriminant": degrees(sub.principal_components(p.h, 1), p.discriminant)}
for name, expected, within in (("probe to discriminant", 3, 3), ("probe to differences", 36, 5),
                               ("class means to differences", 2, 2)):
    wb.show(f"anisotropic: {name}", found[30][name], expected, within, "degrees")

# %% [markdown]
# ## Angles between subspaces
#
# $Q_A$ (d, p) and $Q_B$ (d, q) are orthonormal. Unit vectors $Q_A x$ and $Q_B z$ make an angle of cosine $x^\top
# Q_A^\top Q_B\, z$. Its maximum over unit $x, z$ is the largest singular value of $Q_A^\top Q_B$; the next pair is
# sought orthogonal to the first, and so on: principal angles (THEORY (20)), $\cos \theta_i = \sigma_i(Q_A^\top Q_B)$.
#
# **Sines near zero.** $\cos\theta \approx 1 - \theta^2/2$, and in double precision $1 - 10^{-18}$ is 1. The sine, the
# length of what $Q_A$ leaves of a unit vector of $Q_B$, is about $\theta$: nothing is lost. So below 45° it is used.
#
# **By chance.** The mean of $\cos^2\theta_i$ is the overlap (THEORY (21)). For a random $Q_B$, $\mathbb E[Q_B
# Q_B^\top] = \frac qd I$, so $\mathbb E\,\|Q_A^\top Q_B\|_F^2 = \frac{pq}{d}$ and the overlap is $\max(p, q)/d$. Two
# random directions have $\mathbb E\,|\cos\theta| \approx \sqrt{2/(\pi d)}$: at $d = 96$, this model's width, expect a
# mean angle of 85.3°. In high dimensions nearly everything is nearly orthogonal: a large angle is the ordinary case.

# %%
tiny = 1e-9
A, B = np.array([[1.0, 0.0]]).T, np.array([[np.cos(tiny), np.sin(tiny)]]).T
by_cosine, by_sine = float(np.arccos(A.T @ B)[0, 0]), float(sub.principal_angles(A, B)[0])
lines = [degrees(*(sub.random_subspace(96, 1, rng) for _ in "AB")) for _ in range(300 if wb.SMOKE else 2000)]
overlap = np.mean([sub.subspace_overlap(*(sub.random_subspace(96, k, rng) for k in (2, 6))) for _ in range(300)])
wb.show("mean angle of two random directions, d = 96", np.mean(lines), 85.3, 0.4, "degrees")

# %% [markdown]
# ## Did the standard's direction turn during fine-tuning?
#
# Compare the one-vs-rest direction of the pretrained model with that of the plain run. That means something only
# because one **starts from the other**: feature 17 of one is feature 17 of the other, changed by training. Between
# models trained apart, any rotation of the features does as well. And the angle needs scales to be read against:
# 1. **The null**, `angle_null`: refit the same probe on other samples (sentences drawn with replacement) of the
#    states of *one* model. Nothing has turned there; that is what noise alone gives. (Both models' are pooled here.)
# 2. **Seeds**: the angle between two plain runs that differ only in the order of batches.
# 3. **The states**: the angle between one token's centred state in one model and in the other. If everything turns,
#    so does the standard's direction.
#
# Expect at layer 2 a null of some 17°, two seeds about 35° apart, and a turn of 76° to 85°, near the 85.3° of
# random directions; little is left of the pretrained direction. Expect at layer 1, where the standard is harder to
# distinguish, a null and a distance between seeds nearly twice as wide. The turn there is almost as
# large as at layer 2; by itself it would not show that one direction is better determined than the other.

# %%
null, turned, seeds = {}, {}, {}
for layer in (1, 2):
    at = {name: standardise(s.h[layer])[0] for name, s in states.items()}
    U = {name: one(weights_of(h, binary, 2, rng)) for name, h in at.items()}
    null[layer] = np.degrees([sub.angle_null(at[name], binary, keys, 2, one, 3 if wb.SMOKE else 6, rng, steps=STEPS)
                              for name in ("pretrained", "plain")])
    turned[layer], seeds[layer] = degrees(U["pretrained"], U["plain"]), degrees(U["plain"], U["seed 2"])
unit = {name: h / np.linalg.norm(h, axis=1, keepdims=True) for name, h in at.items()}  # of layer 2
state_turn = np.degrees(np.median(np.arccos((unit["pretrained"] * unit["plain"]).sum(axis=1))))
for layer, scale, turn, luck in ((1, (29, 5), (84, 8), (54, 8)), (2, (17, 4), (81, 9), (35, 6))):
    wb.show(f"layer {layer}: null, median", np.median(null[layer]), *scale, "degrees")
    wb.show(f"layer {layer}: pretrained to plain", turned[layer], *turn, "degrees")
    wb.show(f"layer {layer}: two seeds of plain", seeds[layer], *luck, "degrees")
wb.show("layer 2: a token's state, pretrained to plain, median", state_turn, 51.5, 2, "degrees")

# %% [markdown]
# ## "The angle between dialects and the standard rises"
#
# That is an angle within one model, between the standard's row and each dialect's, and it is not free: multiply
# $\sum_c \tilde w_c = 0$ by $\tilde w_0 / \|\tilde w_0\|$.
#
# $$ \sum_{c > 0} \|\tilde w_c\| \cos(\tilde w_0, \tilde w_c) = -\|\tilde w_0\| $$
#
# So if the dialects' rows are $\rho$ times as long as the standard's, their mean cosine is $-1/((C-1)\,\rho)$. If all
# rows are equally long, the angle is 75.5° at five classes whatever the states are (as a principal angle, which knows
# no sign). If the dialects' rows are short, because the probe separates the standard from them but hardly one dialect
# from another, each is mostly "not the standard" and the angle is smaller. The pretrained model has hardly seen the
# dialects: expect about 57° before fine-tuning and 75° after (two other seeds of plain gave 71° to 74°), and nearly the
# same numbers from $\rho$ alone.

# %%
angle, identity, from_lengths = {}, {}, {}
for name in ("pretrained", "plain"):
    rows = weights_of(standardise(states[name].h[2])[0], y, classes, rng)
    rows = rows - rows.mean(axis=0)
    lengths = np.linalg.norm(rows, axis=1)
    identity[name] = float((rows[1:] @ rows[0]).sum() / lengths[0]**2)
    ratio = lengths[1:].mean() / lengths[0]
    from_lengths[name] = float(np.degrees(np.arccos(min(1, 1 / ((classes - 1) * ratio)))))
    each = [degrees(sub.standard_row(rows), sub.standard_row(rows, c)) for c in range(1, classes)]
    angle[name] = float(np.mean(each))
for name, expected in (("pretrained", 57), ("plain", 75)):
    wb.show(f"standard to dialects, {name}", angle[name], expected, 2.5, "degrees")
    wb.show(f"the same, from the rows' lengths, {name}", from_lengths[name], expected, 2.5, "degrees")

if figure := wb.new_figure(9, 3.4):
    axis, bins = figure.subplots(), np.arange(0, 91, 3)
    for values, colour, text in ((null[1], "tab:orange", "null, layer 1"), (null[2], "tab:blue", "null, layer 2"),
                                 (lines, "tab:gray", "random directions")):
        axis.hist(np.ravel(values), bins, density=True, alpha=0.5, color=colour, label=text)
    for layer, colour in ((1, "tab:orange"), (2, "tab:blue")):
        axis.axvline(turned[layer], color=colour, label=f"pretrained to plain, layer {layer}")
        axis.axvline(seeds[layer], color=colour, linestyle=":", label=f"two seeds, layer {layer}")
    axis.set(xlabel="angle (degrees)", yticks=[], xlim=(0, 90), title="the standard's direction: angles and their null")
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    wb.save(figure, "07_angles")

# %% [markdown]
# ## What one may say, and may not
#
# May: the direction that separates the standard from the dialects turned by more than the probe's noise, and by more
# than two runs differ by luck, at both layers. And the angles between the dialects' directions and the standard's
# rose. May not:
# - "the standard moved": the direction is $\Sigma^{-1}\delta$, $\delta$ the difference of means. It turns as well if
#   only $\Sigma$ changes, and here the states of *all* tokens turned by about 50°;
# - "the dialects moved away from the standard": the rise says that the dialects' rows grew beside the standard's,
#   that is, that the dialects can now be distinguished from *each other*;
# - "it turned more at layer 2": 76° to 89° there and 77° to 88° at layer 1 over seeds, nearly what unrelated directions
#   have;
# - "the angle rises, *so* translation gets better": both happen during training, as does everything else.
#
# ## What you have learned, as assertions

# %%
assert change < 1e-9 and rank == 3, "softmax does not ignore what all rows share; were the rows centred?"
assert max(found[1]["probe to differences"], found[30]["probe to discriminant"]) < 8, "the probe misses its limit"
assert found[30]["probe to differences"] > 25, "the probe should not tend to the differences of means"
assert found[30]["class means to differences"] < 8, "class means should"
assert found[30]["most variance to discriminant"] > 45, "the most variance is not the most difference"
assert by_cosine == 0 and abs(by_sine / tiny - 1) < 1e-6, "small angles are lost; was the sine used?"
assert abs(overlap * 96 / 6 - 1) < 0.15, "overlap by chance should be max(p, q) / d"
assert max(abs(value + 1) for value in identity.values()) < 1e-3, "rows that add up to zero fix their mean cosine"
if not wb.SMOKE:
    assert leading["pretrained"] < 15 and gap["pretrained"] > 1.5, "pretrained, the standard should stand out"
    assert gap["plain"] < 1.3 and to_own["plain"] < 30, "plain's rows are no longer alike in strength"
    for layer in (1, 2):
        assert turned[layer] > max(null[layer].max(), seeds[layer]), f"at layer {layer} the turn is lost in the null"
    assert np.median(null[1]) > 1.4 * np.median(null[2]), "a weaker direction should wobble more"
    assert seeds[1] > 1.4 * seeds[2], "at layer 1 seeds should disagree"
    assert angle["plain"] > angle["pretrained"] + 5, "the angles to the dialects did not rise"
    assert max(abs(angle[name] - from_lengths[name]) for name in angle) < 5, "lengths do not explain the angles"
print("tutorial 7: all assertions hold")

# %% [markdown]
# ## Exercises
# 1. With two classes, what does the identity say of the angle between the two rows? Can it rise?
# 2. Refit the null with a quarter of the states. How does its median change, and what does that mean for papers that
#    report an angle without saying how many tokens the probe saw?
# 3. Rotate the plain run's states by a random orthogonal matrix $R$ (`h @ R`). Which of these change: code length,
#    accuracy, the null, the angle to the pretrained run's direction?
#
# Answers, one at a time: `python tutorials/hint.py 7.1`; in a notebook `wb.hint("7.1")`. Try first.
#
# ## Where to read next
# `tinydecouple/method/subspace.py`, then `evaluation/probe_report.py`, whose table prints angles beside their null
# (`python -m tinydecouple probe RUN`). Then tutorial 8.
