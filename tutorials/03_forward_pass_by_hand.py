# %% [markdown]
# # 3. The forward pass by hand
#
# **Goal**: follow one sentence through the transformer in NumPy, check each formula on trained weights against what
# PyTorch computes in training, and translate with it. At the end "hidden state" is a row of numbers that you could
# compute yourself, and you know why its length says little and its direction much.
#
# **Before**: tutorial 2; THEORY (1) to (5) beside you.
# **Time**: 10 seconds of computing, 25 minutes of reading. **Difficulty**: medium.

# %%
import copy

import numpy as np
import workbench as wb

from tinydecouple.model.decode import decode, longest_output
from tinydecouple.model.transformer_numpy import attention, forward, rms_norm, rotate, softmax
from tinydecouple.training.batches import IGNORE, collate, encode
from tinydecouple.training.train import batch_loss

# %% [markdown]
# ## The same numbers twice
#
# The model in one picture. At every position stands a row of $d$ = 96 numbers, the **residual stream**. It begins as
# the embedding of the piece at that position, and each block adds to it twice, first by attention, which reads other
# positions, then by a small network, which does not:
#
# ```text
#  piece ──> embedding ──┬────────────────────> + ──┬──────────────────> + ──> ... ──> norm ──> logits
#                        │                      │   │                    │
#                        └──> norm ─> attention ┘   └──> norm ─> network ┘
#            layer 0                                       layer 1                  last layer
#                        |<──────────────── block 1 ───────────────────>|
# ```
#
# What stands on the upper line is the **hidden state** $h$: at layer 0 the embedding, at layer $\ell$ what the stream
# holds after block $\ell$. The rows of `h[layer]` (t, d) are the $h$ of every later tutorial.
#
# `model/transformer_numpy.py` is the model in 66 lines. Open it now. Give it the weights of the pretrained run and 64
# sentences of dev, and compare every hidden state with PyTorch's. Expect agreement to about $10^{-6}$ in single
# precision (24 bits are $6 \cdot 10^{-8}$, and errors add up), to $10^{-13}$ or better in double. The second is the
# sharper check: formulas that differ a little differ there, too.

# %%
model, tokenizer, corpus = wb.opened(wb.pretrained())
heads, width = wb.MODEL.heads, wb.MODEL.width
examples = encode(corpus, tokenizer, "dev", "en", "msa", 64)
batch = collate(examples, tokenizer.pad)
single = {name: value.numpy() for name, value in model.state_dict().items()}
double = {name: value.astype(np.float64) for name, value in single.items()}
with wb.torch.no_grad():
    states_torch, loss = batch_loss(model, batch)
    states_double = copy.deepcopy(model).double()(wb.torch.from_numpy(batch.inputs))
states, logits = forward(batch.inputs, double, heads)
off_single, off_double = (max(np.abs(a - b.numpy()).max() / np.abs(a).max() for a, b in zip(got, wanted, strict=True))
                          for got, wanted in ((forward(batch.inputs, single, heads)[0], states_torch),
                                              (states, states_double)))
wb.show("NumPy against PyTorch, float32", off_single, 0, 1e-5)
wb.show("NumPy against PyTorch, float64", off_double, 0, 1e-12)

example = examples[0]  # from here on one sentence; h[layer] are its states
tokens = np.array([example.tokens[:-1]])  # (1, t)
h = [state[0] for state in forward(tokens, double, heads)[0]]
t = tokens.shape[1]
print(f"  {corpus.texts[corpus.keys('dev', 'en', 'msa')[0]]['en']}   t = {t}, d = {width}, {len(h)} layers")

# %% [markdown]
# ## The norm: direction, not length
#
# $$ \mathrm{norm}(h) = \gamma \odot h \Big/ \sqrt{\tfrac1d \textstyle\sum_j h_j^2 + \mathrm{eps}}, \qquad
#    \mathrm{norm}(10\,h) \approx \mathrm{norm}(h) $$
#
# Each state is divided by the root of its mean square, then each feature is multiplied by a learned number,
# $\gamma_j$. A factor such as 10 stands above and below the line and cancels. Only $\mathrm{eps}$, the smallest step
# of the number format at 1, breaks this ($10^{-7}$ in single, $2 \cdot 10^{-16}$ in double precision). So making the
# last states ten times as long must not change the logits. Keep that in mind: a model can make its states shorter or
# longer and produce the same output as before. In tutorial 8 a penalty on states will meet a model that does just
# this.

# %%
final = double["final_norm.weight"]
stretched = np.abs(rms_norm(10 * h[-1], final) - rms_norm(h[-1], final)).max()
wb.show("largest change of norm(h) when h is made 10 times as long", stretched, 0, 1e-12)

# %% [markdown]
# ## Rotation: only the distance counts
#
# Attention by itself does not know the order of words. So each pair of features of a query at position $t$ is turned
# by $t\omega$, of a key at $s$ by $s\omega$. Write a pair as a complex number; the dot product of two pairs is
# $\mathrm{Re}(\bar q\,k)$, turning is multiplying by $e^{i t \omega}$, and
#
# $$ \mathrm{Re}\left(\overline{q\,e^{it\omega}}\; k\,e^{is\omega}\right)
#    = \mathrm{Re}\left(\bar q\, k\; e^{i(s - t)\omega}\right) $$
#
# which is (4): $t$ and $s$ appear as $s - t$ alone. Put *one* query and *one* key at every position and take all dot
# products: every diagonal, where $s - t$ is the same, should hold one number, and different diagonals different ones.

# %%
rng = np.random.default_rng(0)
q, k = rng.normal(size=(2, width // heads))
meet = rotate(np.tile(q, (12, 1))) @ rotate(np.tile(k, (12, 1))).T  # (12, d/a) @ (d/a, 12)
along = max(np.ptp(np.diagonal(meet, s)) for s in range(-11, 12))
across = np.ptp([meet[0, s] for s in range(12)])
wb.show("spread along a diagonal", along, 0, 1e-12)

# %% [markdown]
# ## Causal attention
#
# $$ A = \mathrm{softmax}\!\left(Q K^\top / \sqrt{d/a} + M\right) V, \qquad M_{ts} = -\infty \text{ for } s > t $$
#
# Read it from the inside. Each position makes a *query* (what do I look for?), a *key* (what am I?) and a *value*
# (what do I hand on?), rows of $Q$, $K$ and $V$. The dot product of query and key is a score; softmax turns the
# scores of one query into weights that are positive and sum to 1; and the position takes the weighted mean of the
# values. The mask $M$ takes away the future, as $e^{-\infty} = 0$. This is done in $a$ heads side by side, each with
# $d/a$ features of its own. The root keeps the scores' spread near 1: a sum of $d/a$ products of independent numbers
# of unit variance has standard deviation $\sqrt{d/a}$.
#
# Here is (2) for the last block; expect it to give what `attention` gives. **The figure** shows the weights, the mean
# of the heads: a row is the position that reads, a column what it reads, and the darker, the more. Grey is the
# future, which nobody reads. The lines divide source and target; the rectangle below on the left is the target
# reading the source. Do not expect a clean alignment of words there: block 1 has mixed the positions before.
#
# Then change the *last* token. The state at $t$ reads only states at $s \le t$ of the layer below, so by induction
# over layers nothing before it may change. Expect exactly 0: this is why one pass trains all positions at once, and
# why decoding can keep what it has computed.

# %%
last = f"blocks.{wb.MODEL.blocks - 1}."
block = {name.removeprefix(last): value for name, value in double.items() if name.startswith(last)}
x = rms_norm(h[-2], block["attention_norm.weight"])
Q, K, V = (part.reshape(t, heads, -1).swapaxes(0, 1) for part in np.split(x @ block["query_key_value.weight"].T, 3, -1))
scores = rotate(Q) @ rotate(K).swapaxes(1, 2) / np.sqrt(width // heads)  # (a, t, d/a) @ (a, d/a, t) -> (a, t, t)
weights = softmax(np.where(np.tri(t, dtype=bool), scores, -np.inf))
by_hand = (weights @ V).swapaxes(0, 1).reshape(t, width) @ block["attention_out.weight"].T
off_attention = np.abs(by_hand - attention(x[None], block, heads)[0]).max()
wb.show("(2) by hand less attention()", off_attention, 0, 1e-12)
if figure := wb.new_figure(6.4, 5.4):
    axis = figure.subplots()
    pieces = [tokenizer.pieces.id_to_piece(i) for i in example.tokens[:-1]]
    names = [f"…{piece}" if piece[0].isalpha() else piece.removeprefix("▁") for piece in pieces]  # … goes on a word
    if not wb.shapes_arabic():  # its letters would stand apart and in the wrong order
        names[example.boundary + 1:] = [f"target {i}" for i in range(1, t - example.boundary)]
    shown = np.ma.masked_where(np.triu(np.ones((t, t)), 1) == 1, weights.mean(axis=0))
    axis.set_facecolor("lightgray")
    figure.colorbar(axis.imshow(shown, cmap="Blues", vmin=0), label="weight")
    for draw in (axis.axhline, axis.axvline):
        draw(example.boundary - 0.5, color="black", linewidth=1)
    axis.set_xticks(range(t), names, rotation=60, fontsize=10, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(t), names, fontsize=10)
    axis.set(title="attention of the last block, mean of the heads", xlabel="what is read", ylabel="who reads")
    wb.save(figure, "03_attention")

changed = np.array([[*example.tokens[:-2], tokenizer.tag("msa")]])
moved = [np.abs(a - b[0]).max(axis=-1) for a, b in zip(h, forward(changed, double, heads)[0])]  # (t,) per layer
before, at_it = max(m[:-1].max() for m in moved), moved[-1][-1]
wb.show("change of earlier states when the last token changes", before, 0, 1e-12)

# %% [markdown]
# ## The residual stream
#
# $$ h \leftarrow h + A(\mathrm{norm}(h))\,W_{o}^\top, \qquad
#    h \leftarrow h + \mathrm{relu}(\mathrm{norm}(h)\,W_1^\top)\,W_2^\top $$
#
# Blocks only *add*: the last state is the embedding plus what each block wrote, and a direction stays until something
# is written against it. Positions meet in the first term alone. Take it away ($W_o = 0$ in every block) and a state
# depends on its own token only: expect a change of the first piece to leave the last state exactly as it was.
#
# How long are states? One may think that the embedding is the bulk and that blocks refine it. Expect otherwise: a
# length near 1 at layer 0, some forty times that after block 1. A block norms its input, so it does not notice how
# short that is, and writes on a scale of its own. So a length at one layer says nothing beside a length at another;
# what can be compared between layers is a share of the whole.

# %%
deaf = {name: 0 * value if name.endswith("attention_out.weight") else value for name, value in double.items()}
other = np.array([[tokens[0, 0], tokens[0, 2], *tokens[0, 2:]]])
heard, unheard = (np.abs(forward(tokens, w, heads)[0][-1][0, -1] - forward(other, w, heads)[0][-1][0, -1]).max()
                  for w in (double, deaf))
wb.show("without attention: change of the last state by the first piece", unheard, 0, 1e-12)
real = batch.inputs != tokenizer.pad
lengths = [float(np.linalg.norm(state, axis=-1)[real].mean()) for state in states]
for layer, (expected, spread) in enumerate(((1.27, 0.2), (56, 12), (58, 15))):
    wb.show(f"mean length of a state, layer {layer}", lengths[layer], expected, spread)

# %% [markdown]
# ## Logits and loss
#
# The logits are $\mathrm{norm}(h_{last})\,W_E^\top$, where the rows of $W_E$ are the embeddings: each piece's logit
# is the dot product of the state with that piece's embedding. One matrix both reads and writes ("tied"). The loss is
#
# $$ L_{MT} = \frac1T \sum_t -\log p(\text{piece}_{t+1} \mid \text{pieces} \le t), \qquad
#    p = \mathrm{softmax}(\mathrm{logits}) $$
#
# over the $T$ positions that predict a piece of the target. By hand it must equal `batch_loss`, which training
# minimises. A model that knows nothing has a loss of $\ln 4000 = 8.3$ nats; expect this one near 0.7, as if it had to
# choose between two pieces ($e^{0.7} = 2$).

# %%
predicted = batch.labels != IGNORE  # (b, t)
p = softmax(logits[predicted])[np.arange(predicted.sum()), batch.labels[predicted]]  # (T,)
loss_by_hand = -np.log(p).mean()
wb.show("loss, English to the standard, dev", loss_by_hand, 0.7, 0.3, "nats per token")
wb.show("the same less batch_loss", loss_by_hand - loss.item(), 0, 1e-5, "nats per token")

# %% [markdown]
# ## Translating, and the cache
#
# Greedy decoding takes the likeliest piece, appends it and asks again, until `</s>`. Done plainly, the whole prefix
# goes through the model each time. With $n$ positions in the prompt and $m$ questions asked, that is
#
# $$ n + (n + 1) + \dots + (n + m - 1) = mn + \frac{m(m-1)}{2} \quad \text{positions, against} \quad n + m - 1 $$
#
# if the keys and values of earlier positions are kept (the *cache*). Causality makes that exact: nothing appended
# changes them. In its matrices a position costs $12 d^2$ multiplications per block: $3 d^2$ for $Q, K, V$, $d^2$ for
# $W_o$, $8 d^2$ after it. `model.decode` keeps a cache; count its positions at the embedding. Over 16 sentences
# expect some 16 per sentence instead of 97, and the same translations, all of them: a single one may survive a wrong
# cache.


# %%
def greedy_by_hand(prompt: list[int]) -> tuple[list[int], list[int]]:
    """The output, and how many positions went through the model for each question."""
    output: list[int] = []
    asked: list[int] = []
    while len(asked) < longest_output(len(prompt)):
        asked.append(len(prompt) + len(output))
        piece = int(forward(np.array([prompt + output]), single, heads)[1][0, -1].argmax())
        if piece == tokenizer.end:
            break
        output.append(piece)
    return output, asked


prompts = [e.tokens[:e.boundary + 1] for e in examples[:16]]
outputs, asked = zip(*map(greedy_by_hand, prompts))
seen: list[int] = []
hook = model.embedding.register_forward_hook(lambda module, inputs, result: seen.append(inputs[0].numel()))
cached = [decode(model, [prompt], tokenizer.end)[0] for prompt in prompts]
hook.remove()
print(f"  by hand {tokenizer.decode([outputs[0]])[0]}   with a cache {tokenizer.decode([cached[0]])[0]}")
wb.show("positions per sentence, by hand", sum(map(sum, asked)) / len(prompts), 97, 20)
wb.show("positions per sentence, with the cache", sum(seen) / len(prompts), 16, 2)

# %% [markdown]
# ## What you have learned, as assertions

# %%
assert off_single < 1e-5 and off_double < 1e-12, "the two forward passes are not the same function"
assert stretched < 1e-12, "the norm should forget a state's length"
assert along < 1e-12 < across, "positions should enter by their distance, and they should enter"
assert off_attention < 1e-12 and np.allclose(weights.sum(axis=-1), 1) and (np.triu(weights, 1) == 0).all()
assert before < 1e-12 < at_it, "a token should change no earlier state, and its own"
assert unheard < 1e-12 < heard, "positions should meet in attention, and only there"
assert abs(loss_by_hand - loss.item()) < 1e-5, "training minimises something else"
assert cached == list(outputs), "the cache changed the translation"
sizes = [(len(prompt), len(questions)) for prompt, questions in zip(prompts, asked)]
assert sum(map(sum, asked)) == sum(m * n + m * (m - 1) // 2 for n, m in sizes), "more or fewer positions than computed"
assert sum(seen) == sum(n + m - 1 for n, m in sizes), "the cache is not used"
if not wb.SMOKE:
    assert lengths[1] > 10 * lengths[0], "block 1 should write far more than the embedding brought"
    assert loss_by_hand < 2 < np.log(tokenizer.size), "the model has learned little"
print("tutorial 3: all assertions hold")

# %% [markdown]
# ## Exercises
# 1. Make the last states $10^{-6}$ times as long instead of ten times. Does norm(h) stay the same? At which length
#    does $\mathrm{eps}$ begin to matter, for $d = 96$, in double and in single precision?
# 2. Suppose rotation were left out. Two neighbouring words of the source change places. Which states of the *last*
#    position stay what they were, at layer 1 and at layer 2, and why?
# 3. `decode` puts prompts of one length together. What would go wrong with prompts of several lengths, padded on the
#    right, and a cache?
#
# **To write and check.** `rms_norm`, and, for an hour of your own, the whole of `attention`: `python
# tutorials/check.py T3.1 my_answers.py --new` (then T3.2) puts a stub into a file of yours; without `--new` it is
# checked.
#
# Answers, one at a time: `python tutorials/hint.py 3.1`; in a notebook `wb.hint("3.1")`. Try first.
#
# ## Where to read next
# `tinydecouple/model/transformer.py` beside `transformer_numpy.py`, then `model/decode.py`, where beam search has to
# move the cache along with its hypotheses. Then tutorial 4.
