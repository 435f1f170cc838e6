# %% [markdown]
# # 7. The standard's subspace, and angles with a null
#
# **Goal**: get from a probe's weights to directions. See them, know how many there are and why, which are the
# standard's, and where they point when the states' cloud is not round. Measure angles so that "the angle rose" means
# something.
#
# **Before**: tutorials 4 to 6; THEORY sections 5 to 7.
# **Time**: 15 seconds of computing, 35 minutes of reading. **Difficulty**: medium; the last sections ask for
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
COLOURS = ("black", "tab:orange", "tab:blue", "tab:green", "tab:red")  # the standard, then the dialects


def weights_of(h, y, classes, rng, steps=STEPS):
    """Posterior mean weights (C, d) of a probe fitted to states (n, d)."""
    return fit(new_probe(classes, h.shape[1], dtype=h.dtype), h, y, rng, steps).posterior_mean()


def one(weights):
    """The leading direction (d, 1); of a one-vs-rest probe the only one."""
    return sub.probe_subspace(weights, 1)


def degrees(A, B):
    """The angle between two directions, as lines: 0 to 90 degrees."""
    return float(np.degrees(sub.principal_angles(A, B)[-1]))


def arrow(axis, direction, length, colour, label):
    """Draw a direction in the plane, (2,), from the origin."""
    x, y = length * direction / np.linalg.norm(direction)
    axis.quiver(0, 0, x, y, angles="xy", scale_units="xy", scale=1, color=colour, width=0.012, zorder=3, label=label)


# %% [markdown]
# ## Look first
#
# A probe with one class per variety has one row of weights per variety. Each row is a direction in the space of
# states: the logit of a class is a state's extent along that row. Take the two directions in which the five rows
# differ most (the section after the next) and look at the states in their plane (every second one is drawn): the
# states of the last layer, before fine-tuning and after. Each axis is a state's extent along one of the two directions.
#
# Expect the standard apart from the dialects in both pictures. Expect the dialects in one heap before, and side by
# side after: fine-tuning has taught the model to distinguish them. Two numbers say it, in *spreads*, the standard
# deviation within a variety: how far the standard's mean lies from that of all dialects (3.6 means 3.6 standard
# deviations), and how far a dialect's mean lies, on average, from that of all dialects.
#
# `python -m tinydecouple probe RUN` draws such a picture for any run: `states.png`, at the layer with the shortest
# code.

# %%
states = {}
for name, run in (("pretrained", wb.pretrained()), ("plain", wb.finetuned("plain")),
                  ("seed 2", wb.finetuned("plain", 2))):
    model, tokenizer, corpus = wb.opened(run)
    states[name] = gather_states(model, tokenizer, corpus, "train", 60 if wb.SMOKE else 800, np.random.default_rng(0))
y, keys, classes = states["plain"].y, states["plain"].keys, len(corpus.family)  # the same tokens in every model
binary = np.minimum(y, 1)  # 0: the standard, 1: a dialect
print(f"  n = {len(y)} states of layer 2: {(y == 0).sum()} of the standard, {(y > 0).sum()} of {classes - 1} dialects")
rng = np.random.default_rng(0)
planes, apart, among, plane_weights = {}, {}, {}, {}
for name in ("pretrained", "plain"):
    h = standardise(states[name].h[2])[0]
    plane_weights[name] = weights_of(h, y, classes, rng)
    planes[name] = h @ sub.probe_subspace(plane_weights[name], 2)  # (n, d) @ (d, 2)
    centres = np.array([planes[name][y == c].mean(axis=0) for c in range(classes)])
    spread = np.sqrt(np.mean((planes[name] - centres[y])**2))
    apart[name] = float(np.linalg.norm(centres[0] - planes[name][y > 0].mean(axis=0)) / spread)
    among[name] = float(np.linalg.norm(centres[1:] - centres[1:].mean(axis=0), axis=1).mean() / spread)
for name, standard, dialects in (("pretrained", 3.6, 0.4), ("plain", 5.2, 1.7)):
    wb.show(f"{name}: the standard from the dialects", apart[name], standard, 0.6, "spreads")
    wb.show(f"{name}: the dialects from their middle", among[name], dialects, 0.3, "spreads")
if figure := wb.new_figure(9, 4.2):
    for axis, name, title in zip(figure.subplots(1, 2), planes, ("before fine-tuning", "after plain fine-tuning")):
        for c, colour in enumerate(COLOURS[:classes]):
            axis.plot(*planes[name][y == c][::2].T, ".", color=colour, markersize=2, alpha=0.5, label=corpus.family[c])
        axis.set(title=title, xlabel="first direction of the five-class probe", ylabel="second direction")
    axis.legend(markerscale=6)
    wb.save(figure, "07_states")

# %% [markdown]
# ## Why at most C - 1 directions
#
# Two classes need one direction, at right angles to the boundary that divides them. Three need two. In general: add one
# vector $a$ to *every* row $w_c$. Each logit of a state $h$ grows by the same number $h \cdot a$, and softmax does not
# see it:
#
# $$ e^{h \cdot (w_c + a)} \Big/ \sum_j e^{h \cdot (w_j + a)} = e^{h \cdot w_c} \Big/ \sum_j e^{h \cdot w_j} $$
#
# So only the rows' *differences* mean anything. Take the representative whose rows have mean zero, $\tilde W = W -
# \frac1C \mathbf 1 \mathbf 1^\top W$ (THEORY (17)). One of its rows is minus the sum of the others. So $C$ rows span
# at most $C - 1$ directions: that is the *rank*.
#
# Try four classes, and add the same large vector to every row. Expect the nats of every label unchanged up to
# rounding, and rank 3.

# %%
four = plant(2000, 16, 4, 2.0, rng)  # 2,000 states of 4 classes in 16 features, as in tutorial 5
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
# Singular value decomposition of $\tilde W$ gives orthonormal directions $u_1, u_2, \dots$, in the order of how much
# the rows differ along them; how much is the *singular value*, $\mathrm{sv}_i$. The basis is the first $k$ of them,
# $U = (u_1, \dots, u_k)$ (THEORY (18)). What it means depends on the probe's labels.
# - **The standard against the rest** (*one-vs-rest*), $C = 2$, the paper's wording and the package's default. One
#   direction, $k = 1$: the difference of the two rows.
# - **One class per variety**, $C = 5$ here. Now $u_1$ is where the rows differ *most*, whichever rows: it may separate
#   Rabat from Baghdad. The standard's own direction is its row against the mean of the others, `standard_row`.
#
# Guess first, from the pictures above. In which of the two models is $u_1$ the standard's own direction? In which is
# $\mathrm{sv}_1$ well above $\mathrm{sv}_2$? And how near does the one-vs-rest direction come to the standard's
# row in each?

# %%
leading, to_own, singular = {}, {}, {}
for name in ("pretrained", "plain"):
    many = plane_weights[name]
    against_rest = weights_of(standardise(states[name].h[2])[0], binary, 2, rng)
    own, strength = sub.standard_row(many), np.linalg.svd(many - many.mean(axis=0), compute_uv=False)
    leading[name], to_own[name] = degrees(one(many), own), degrees(one(against_rest), own)
    singular[name] = float(strength[0] / strength[1])
wb.show("leading direction of five to the standard's row, pretrained", leading["pretrained"], 6, 4, "degrees")
wb.show("first singular value over the second, pretrained", singular["pretrained"], 2, 0.5)
wb.show("first singular value over the second, plain", singular["plain"], 1.15, 0.15)
wb.show("one-vs-rest direction to the standard's row, pretrained", to_own["pretrained"], 16, 8, "degrees")
wb.show("one-vs-rest direction to the standard's row, plain", to_own["plain"], 24, 7, "degrees")

# %% [markdown]
# Before fine-tuning the standard stands alone: $u_1$ is nearly its own direction, and $\mathrm{sv}_1$ twice the next.
# Afterwards all five varieties lie apart, and the first two singular values are close. Then $u_1$ alone means little:
# over three seeds and four samples it lay anywhere from 9° to 88° from the standard's row. The one-vs-rest direction
# stays near the standard's row in both models. (Is 24° near? Refits of one probe on other samples differ by 17° at this
# layer, as the section on angles will show.)
#
# ## A picture: the probe does not point from mean to mean
#
# Two classes of states in the plane, each a cloud that is three times as tall as wide: its covariance is $\Sigma =
# \mathrm{diag}(1, 9)$. Their means differ by $\delta = (3, 3)$, up and to the right alike.
#
# Guess first: where should a probe look? To the right three units of difference stand against noise of 1. Upwards
# they stand against noise of 3, and say little. So it should turn away from $\delta$, towards the narrow side of the
# clouds. Expect its direction near $\Sigma^{-1}\delta \propto (1, \frac19)$, which divides each part of $\delta$ by
# its variance: 39° from $\delta$.
#
# The direction of most variance knows no labels: it takes both clouds as one. So the difference of the means counts as
# variance, too: $1.5^2$ is added to all four entries of $\mathrm{diag}(1, 9)$. Expect it steep, 75° from the first
# feature and 30° from $\delta$.

# %%
toy = np.random.default_rng(0)
side = toy.integers(2, size=4000)
cloud = toy.normal(size=(4000, 2)) * (1, 3) + np.where(side == 0, 1.5, -1.5)[:, None]
toy_probe = one(weights_of(standardise(cloud)[0], side, 2, toy, 600))[:, 0]
toy_limit = np.array([1, 1 / 9])
toy_most = sub.principal_components(cloud, 1)[:, 0]
wb.show("probe to Sigma^-1 delta", degrees(toy_probe[:, None], toy_limit[:, None]), 0, 2, "degrees")
wb.show("probe to delta", degrees(toy_probe[:, None], np.ones((2, 1))), 39, 2, "degrees")
wb.show("most variance to delta", degrees(toy_most[:, None], np.ones((2, 1))), 30, 3, "degrees")
if figure := wb.new_figure(5.4, 4.4):
    axis = figure.subplots()
    for c, colour in ((1, "tab:cyan"), (0, "gray")):
        axis.plot(*cloud[side == c][::2].T, ".", color=colour, markersize=2, alpha=0.5)
    for line, colour, label in ((np.ones(2), "tab:blue", "delta"), (toy_limit, "tab:red", "Sigma^-1 delta"),
                                (toy_probe, "tab:orange", "the probe's direction"),
                                (toy_most, "tab:green", "most variance")):
        arrow(axis, line, 8 if colour == "tab:red" else 6, colour, label)
    axis.set(title="planted: Sigma = diag(1, 9)", xlabel="first feature", ylabel="second feature")
    axis.set_aspect("equal", adjustable="datalim")
    axis.legend(loc="lower right")
    wb.save(figure, "07_planted")

# %% [markdown]
# ## The same, as a formula
#
# Two Gaussian classes with means $\bar h_0, \bar h_1$ and one covariance $\Sigma$. In $\log p(h \mid c) = -\frac12 (h
# - \bar h_c)^\top \Sigma^{-1} (h - \bar h_c) + \dots$ the square $h^\top \Sigma^{-1} h$ is common to both classes. It
# drops out of the difference (THEORY (19)), and what is left is linear:
#
# $$ \log \frac{p(1 \mid h)}{p(0 \mid h)} = h^\top \Sigma^{-1} (\bar h_1 - \bar h_0) + \text{const} $$
#
# So the probe tends to $\Sigma^{-1}\delta$, not to $\delta = \bar h_1 - \bar h_0$. They agree only if $\delta$ is an
# eigenvector of $\Sigma$, for every $\delta$ only if $\Sigma$ is round.
#
# Plant two classes in 16 features, once with a round $\Sigma$, once with variances from 1 to 30. `plant` returns
# `differences`, along $\delta$, and `discriminant`, along $\Sigma^{-1}\delta$; `anisotropy` is the largest variance
# over the smallest. With a round $\Sigma$ expect all of them to coincide. Otherwise expect the probe within a few
# degrees of $\Sigma^{-1}\delta$ and the difference of class means within a few degrees of $\delta$: tens of degrees
# apart.

# %%
found = {}
for anisotropy in (1, 30):
    p = plant(20_000, 16, 2, 1.5, np.random.default_rng(0), anisotropy)
    probe, means = one(weights_of(standardise(p.h)[0], p.y, 2, rng, 600)), sub.class_mean_span(p.h, p.y, 1)
    found[anisotropy] = {"probe to discriminant": degrees(probe, p.discriminant),
                         "probe to differences": degrees(probe, p.differences),
                         "class means to differences": degrees(means, p.differences),
                         "most variance to discriminant": degrees(sub.principal_components(p.h, 1), p.discriminant)}
wb.show("round: probe to differences", found[1]["probe to differences"], 2, 3, "degrees")
for name, about, within in (("probe to discriminant", 3, 3), ("probe to differences", 36, 5),
                            ("class means to differences", 2, 2)):
    wb.show(f"anisotropic: {name}", found[30][name], about, within, "degrees")

# %% [markdown]
# ## And in the model's states
#
# Layer 2 of the plain run, the standard against the dialects. Take the plane that holds $\delta$ and the probe's
# direction, and look. Guess first: does the probe point along $\delta$ here, along $\Sigma^{-1}\delta$, or elsewhere?

# %%
real = standardise(states["plain"].h[2])[0]
delta = sub.class_mean_span(real, binary, 1)
across = one(weights_of(real, binary, 2, rng))
limit = np.linalg.pinv(np.cov(np.concatenate([real[binary == c] - real[binary == c].mean(axis=0)
                                              for c in (0, 1)]).T)) @ delta  # Sigma within the classes
wb.show("plain, layer 2: probe to delta", degrees(across, delta), 50, 6, "degrees")
wb.show("plain, layer 2: probe to Sigma^-1 delta", degrees(across, limit), 55, 8, "degrees")
wb.show("plain, layer 2: delta to Sigma^-1 delta", degrees(delta, limit), 72, 6, "degrees")
if figure := wb.new_figure(5.4, 4.4):
    axis = figure.subplots()
    Q = np.linalg.qr(np.hstack((delta, across)))[0]  # (d, 2): along delta, and the rest of the probe's direction
    Q *= np.sign((Q * np.hstack((delta, across))).sum(axis=0))  # both towards the standard
    for c, colour, label in ((1, "tab:cyan", "dialects"), (0, "gray", "standard")):
        axis.plot(*(real[binary == c] @ Q).T, ".", color=colour, markersize=2, alpha=0.5, label=label)
    arrow(axis, Q.T @ delta[:, 0], 6, "tab:blue", "delta")
    arrow(axis, Q.T @ across[:, 0], 6, "tab:orange", "the probe's direction")
    axis.set(title="plain, layer 2", xlabel="along delta", ylabel="the rest of the probe's direction")
    axis.set_aspect("equal", adjustable="datalim")
    axis.legend(loc="lower left", markerscale=4)
    wb.save(figure, "07_cloud")

# %% [markdown]
# It is the picture of the toy: two long clouds, and the probe points across them, some 50° from $\delta$. But in all 96
# features it does not reach $\Sigma^{-1}\delta$ itself. That direction divides by variances close to zero, and the
# prior $N(0, 1)$ holds such large weights back. The probe is 50° and 55° from them, and they 72° apart: not in one
# plane.
#
# ## Angles between subspaces
#
# For two directions the angle is clear. For two subspaces with orthonormal bases $Q_A$ (d, $k_A$) and $Q_B$ (d,
# $k_B$) take a unit vector in each, $Q_A f_A$ and $Q_B f_B$: $f_A$ and $f_B$ are vectors of coefficients, of length 1.
# Their angle has the cosine $f_A^\top Q_A^\top Q_B\, f_B$. The largest cosine is the largest singular value of
# $Q_A^\top Q_B$. The next pair is sought orthogonal to the first, and so on. These are the *principal angles* (THEORY
# (20)): $\cos \theta_i = \mathrm{sv}_i(Q_A^\top Q_B)$, the $i$-th singular value.
#
# **Sines near zero.** $\cos\theta \approx 1 - \theta^2/2$, and in double precision $1 - 10^{-18}$ is 1. The sine, the
# length of a $Q_B$ unit vector's part outside $Q_A$, is about $\theta$: nothing is lost. So below 45° it is used.
# Expect an angle of $10^{-9}$ to be 0 by the cosine and right by the sine.
#
# **By chance.** Two random directions have $\mathbb E\,|\cos\theta| \approx \sqrt{2/(\pi d)}$. At $d = 96$, this
# model's width, expect a mean angle of 85.3°. In high dimensions nearly everything is nearly orthogonal: **a large
# angle is the ordinary case**, a small one is a finding. For subspaces the mean of $\cos^2\theta_i$, the *overlap*
# (THEORY (21)), is $\max(k_A, k_B)/d$ by chance, for $\mathbb E[Q_B Q_B^\top] = \frac{k_B}{d} I$.

# %%
tiny = 1e-9
A, B = np.array([[1.0, 0.0]]).T, np.array([[np.cos(tiny), np.sin(tiny)]]).T
by_cosine, by_sine = float(np.arccos(A.T @ B)[0, 0]), float(sub.principal_angles(A, B)[0])
wb.show("an angle of 1e-9 by its cosine", by_cosine, 0, 0)
wb.show("an angle of 1e-9 by its sine, over 1e-9", by_sine / tiny, 1, 1e-6)
lines = [degrees(*(sub.random_subspace(96, 1, rng) for _ in "AB")) for _ in range(300 if wb.SMOKE else 2000)]
overlap = np.mean([sub.subspace_overlap(*(sub.random_subspace(96, k, rng) for k in (2, 6))) for _ in range(300)])
wb.show("mean angle of two random directions, d = 96", np.mean(lines), 85.3, 0.4, "degrees")
wb.show("angle that 95 % of random directions exceed", np.percentile(lines, 5), 78.5, 1, "degrees")
wb.show("overlap of random subspaces of rank 2 and 6, times 96 / 6", overlap * 96 / 6, 1, 0.1)

# %% [markdown]
# ## One rule for reading an angle
#
# You have a direction before and a direction after. The angle between them is large. What has turned? Compare it with
# three others:
# 1. **The null**, `angle_null`. Refit the same probe on other samples (sentences drawn with replacement) of the states
#    of *one* model. Nothing has turned there. What does not exceed it is noise of the probe.
# 2. **Another seed**: two runs that differ only in the order of batches. What does not exceed it is luck of the run.
# 3. **The states' own turn**: the angle between one token's centred state before and after, the median over tokens.
#    A turn no larger than that is everything's turn.
#
# And keep chance in mind: near 85° the two directions are simply unrelated, and "how far" says no more.
#
# The rule needs one feature to mean the same before and after. It does where one model **starts from the other**:
# feature 17 of one is feature 17 of the other, changed by training. Between models trained apart any rotation of the
# features does as well, and no angle between their directions means anything.

# %% [markdown]
# ## Did the standard's direction turn during fine-tuning?
#
# Compare the one-vs-rest direction of the pretrained model with that of the plain run, at layers 1 and 2, and read it
# by the rule. Remember that at layer 1 the standard is hard to distinguish (tutorial 6). What does that do to the
# null? Write down a guess before you run the cell, which prints the reading.

# %%
null, turned, seeds, state_turn = {}, {}, {}, {}
for layer in (1, 2):
    at = {name: standardise(s.h[layer])[0] for name, s in states.items()}
    U = {name: one(weights_of(h, binary, 2, rng)) for name, h in at.items()}
    null[layer] = np.degrees([sub.angle_null(at[name], binary, keys, 2, one, 3 if wb.SMOKE else 6, rng, steps=STEPS)
                              for name in ("pretrained", "plain")])  # of both models
    turned[layer], seeds[layer] = degrees(U["pretrained"], U["plain"]), degrees(U["plain"], U["seed 2"])
    unit = {name: h / np.linalg.norm(h, axis=1, keepdims=True) for name, h in at.items()}
    state_turn[layer] = np.degrees(np.median(np.arccos((unit["pretrained"] * unit["plain"]).sum(axis=1))))
for layer, scale, luck, everything, turn in ((1, (29, 5), (54, 8), (48.5, 3), (84, 8)),
                                             (2, (17, 4), (36, 6), (51.5, 2), (81, 9))):
    wb.show(f"layer {layer}: the null, median", np.median(null[layer]), *scale, "degrees")
    wb.show(f"layer {layer}: two seeds of plain", seeds[layer], *luck, "degrees")
    wb.show(f"layer {layer}: a token's state, pretrained to plain, median", state_turn[layer], *everything, "degrees")
    wb.show(f"layer {layer}: the standard's direction, pretrained to plain", turned[layer], *turn, "degrees")
    scales = {"the null": np.max(null[layer]), "two seeds": seeds[layer], "the states' turn": state_turn[layer]}
    above = [name for name, scale in scales.items() if turned[layer] > scale]
    print(f"    above {', '.join(above) or 'none of the three'}")
if figure := wb.new_figure(9, 3.6):
    axis = figure.subplots()
    rows = ("null: refits on other samples", "two seeds of plain", "a token's state, pretrained to plain",
            "the standard's direction,\npretrained to plain", "two random directions")
    for layer, colour, shift in ((1, "tab:orange", -0.13), (2, "tab:blue", 0.13)):
        axis.plot(np.ravel(null[layer]), np.full(null[layer].size, shift), "|", color=colour, markersize=11)
        for row, value in enumerate((seeds[layer], state_turn[layer], turned[layer]), 1):
            axis.plot(value, row + shift, "o", color=colour, markersize=9, label=f"layer {layer}" if row == 1 else None)
    axis.plot(np.percentile(lines, (5, 95)), (4, 4), color="tab:gray", linewidth=7, solid_capstyle="butt",
              label="two random directions,\n5th to 95th percentile of the angle")
    axis.set(xlabel="angle (degrees)", xlim=(0, 90), ylim=(4.5, -0.5), title="read the fourth row against the others")
    axis.set_yticks(range(5), rows)
    axis.grid(axis="x", alpha=0.3)
    axis.legend(loc="lower left")
    wb.save(figure, "07_angles")

# %% [markdown]
# At both layers the turn is above all three, and nearly or quite as large as between unrelated directions (the bar). So
# little is left of the pretrained direction. At layer 1 the direction is poorly determined: the null is 29° there
# against 17° at layer 2, two seeds differ by 56° against 36°. The turn by itself does not show that.
#
# ## "The angle between dialects and the standard rises"
#
# A paper may report another angle: within one model, between the standard's direction and each dialect's. It cannot
# take any value, since the centred rows sum to zero. Multiply $\sum_c \tilde w_c = 0$ by $\tilde w_0 / \|\tilde w_0\|$:
#
# $$ \sum_{c > 0} \|\tilde w_c\| \cos(\tilde w_0, \tilde w_c) = -\|\tilde w_0\| $$
#
# So if all dialects' rows are $\rho$ times as long as the standard's (a ratio here, no correlation), their mean cosine
# is $-1/((C-1)\,\rho)$. As a line, which knows no sign, the angle is $\arccos \frac{1}{4\rho}$ at five classes, and is
# known from the *lengths* alone:
# - all rows equally long, $\rho = 1$: 75.5°, whatever the states are;
# - the dialects' rows short, because the probe hardly separates one dialect from another: each is mostly "not the
#   standard", and the angle is smaller. $\rho = 0.45$ gives 56°.
#
# Look at the first picture. Which case is which? Guess both angles, before fine-tuning and after, and whether $\rho$
# alone gives the same numbers.

# %%
angle, identity, from_lengths, ratio = {}, {}, {}, {}
for name in ("pretrained", "plain"):
    rows = plane_weights[name] - plane_weights[name].mean(axis=0)
    lengths = np.linalg.norm(rows, axis=1)
    identity[name] = float((rows[1:] @ rows[0]).sum() / lengths[0]**2)
    ratio[name] = float(lengths[1:].mean() / lengths[0])
    from_lengths[name] = float(np.degrees(np.arccos(min(1, 1 / ((classes - 1) * ratio[name])))))
    each = [degrees(sub.standard_row(rows), sub.standard_row(rows, c)) for c in range(1, classes)]
    angle[name] = float(np.mean(each))
for name, rho, about in (("pretrained", 0.45, 56), ("plain", 1, 75)):
    wb.show(f"rho: length of the dialects' rows over the standard's, {name}", ratio[name], rho, 0.1)
    wb.show(f"standard to dialects, {name}", angle[name], about, 2.5, "degrees")
    wb.show(f"the same, from the rows' lengths, {name}", from_lengths[name], about, 2.5, "degrees")

# %% [markdown]
# Before fine-tuning the dialects lie in one heap, their rows are short, and the angle is small. Afterwards all rows
# are about equally long (two other seeds of plain gave 71° to 74°). The lengths alone give nearly the same numbers.
#
# ## What one may say, and may not
#
# May: the direction that separates the standard from the dialects turned by more than the probe's noise, by more than
# two runs differ by luck, and by more than the states as a whole, at both layers. And the angles between the dialects'
# directions and the standard's rose. May not:
# - "the standard moved": the probe's direction is not where the standard's states lie. It depends on $\delta$ and on
#   $\Sigma$, and lies about 50° from $\delta$ and from $\Sigma^{-1}\delta$. So it turns also if only $\Sigma$ changes;
# - "the dialects moved away from the standard": the rise says that the dialects' rows grew beside the standard's, that
#   is, that the dialects can now be distinguished from *each other*;
# - "it turned more at one layer than at the other": at both it is nearly what unrelated directions have;
# - "the angle rises, *so* translation gets better": both happen during training, as does everything else.
#
# ## What you have learned, as assertions

# %%
assert change < 1e-9 and rank == 3, "softmax does not ignore what all rows share; were the rows centred?"
assert degrees(toy_probe[:, None], toy_limit[:, None]) < 5 < 30 < degrees(toy_probe[:, None], np.ones((2, 1))), \
    "in the plane the probe should point along Sigma^-1 delta"
assert max(found[1]["probe to differences"], found[30]["probe to discriminant"]) < 8, "the probe misses its limit"
assert found[30]["probe to differences"] > 25, "the probe should not tend to the differences of means"
assert found[30]["class means to differences"] < 8, "class means should"
assert found[30]["most variance to discriminant"] > 45, "the most variance is not the most difference"
assert by_cosine == 0 and abs(by_sine / tiny - 1) < 1e-6, "small angles are lost; was the sine used?"
assert abs(overlap * 96 / 6 - 1) < 0.15, "overlap by chance should be max(k_A, k_B) / d"
assert max(abs(value + 1) for value in identity.values()) < 1e-3, "rows that add up to zero fix their mean cosine"
if not wb.SMOKE:
    assert among["plain"] > 2 * among["pretrained"], "fine-tuning should have set the dialects apart"
    assert leading["pretrained"] < 15 and singular["pretrained"] > 1.5, "pretrained, the standard should stand out"
    assert singular["plain"] < 1.3 and to_own["plain"] < 32, "plain's rows are no longer alike in strength"
    for layer in (1, 2):
        scales = null[layer].max(), seeds[layer], state_turn[layer]
        assert turned[layer] > max(scales), f"at layer {layer} the turn is lost in {scales}"
    assert np.median(null[1]) > 1.4 * np.median(null[2]), "a weaker direction should wobble more"
    assert seeds[1] > 1.4 * seeds[2], "at layer 1 seeds should disagree"
    assert angle["plain"] > angle["pretrained"] + 5, "the angles to the dialects did not rise"
    assert max(abs(angle[name] - from_lengths[name]) for name in angle) < 5, "lengths do not explain the angles"
print("tutorial 7: all assertions hold")

# %% [markdown]
# ## Exercises
#
# **Write and check.** Write `principal_angles(A, B)`: the principal angles between the column spaces of `A` (d, p)
# and `B` (d, q), in radians, rising, right also near 0; p and q may exceed the ranks.
# `python tutorials/check.py A3.4 my_answers.py --new` puts a stub into a file of yours; without `--new` it is
# checked. If you want to begin with less: A3.3, `probe_subspace(weights, k)`, the centred rows and their SVD. What
# each is to return stands in [A3.md](assignments/A3.md).
#
# **Think and try.**
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
