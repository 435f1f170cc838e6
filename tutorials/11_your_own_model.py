# %% [markdown]
# # 11. Your own model
#
# **Goal**: put the decoupler on a PyTorch model that knows nothing of this package, in about 20 lines; check it with
# a fresh probe; put the same lines on a Hugging Face model; and see what changes when the model is large.
#
# **Before**: tutorials 9 and 10; [training/hook.py](../tinydecouple/training/hook.py), which is short.
# **Time**: 75 seconds of computing; 25 minutes of reading. **Difficulty**: medium.
#
# To use the package from a project of your own, install it once: `pip install -e .` in this checkout. Then
# `from tinydecouple.training.hook import hold, states_of` works from any folder.

# %%
import importlib.util
import time

import numpy as np
import workbench as wb
from workbench import torch

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.evaluation.probe_report import read_states
from tinydecouple.method.codelength import control_labels, entropy_bits, variational_bits
from tinydecouple.method.planted import plant
from tinydecouple.method.probe import fit, new_probe
from tinydecouple.method.states import standardise
from tinydecouple.method.subspace import principal_angles
from tinydecouple.options import DecoupleOptions
from tinydecouple.text.family import generate, make_family
from tinydecouple.training.decoupler import Decoupler
from tinydecouple.training.hook import collect, hold, states_of

nn, F = torch.nn, torch.nn.functional
WIDTH, BLOCKS, STEPS, ROWS = (32, 2, 12, 16) if wb.SMOKE else (64, 3, 300, 64)
KEYS, SAMPLE, PROBE_STEPS = (40, 300, 20) if wb.SMOKE else (1500, 2048, 300)

# %% [markdown]
# ## A model and a corpus that are not ours
#
# The corpus: a standard and three dialects of the pseudo-language family. Half of a dialect's words come from the
# standard's, by regular sound changes. The model: PyTorch's own `TransformerEncoder` with a causal mask, predicting
# the next word. It has to infer the variety from the words so far, since there is no tag. Every sentence stands in a
# template, as in instruction tuning: `please say now : ...`.
#
# What a decoupler needs to know of your data is one tuple per batch, `(inputs, mask, y, keys)`:
# - `inputs`: what your model takes, here a dict as a Hugging Face tokeniser gives it;
# - `mask` (b, t) bool: the tokens whose states are looked at. **Not** padding, **not** the template;
# - `y` (b,) int: the variety of each row, 0 being the standard; `keys` (b,): which sentence it is, so that a probe
#   can keep a sentence's translations on one side of a split.

# %%
TEMPLATE = "please say now :".split()
texts = generate(make_family(np.random.default_rng(0), overlap=0.5, dialects=3, regions=3), KEYS + KEYS // 4,
                 np.random.default_rng(1))
NAMES = [name for name in next(iter(texts.values())) if name != "piv"]  # the standard first
train_keys, dev_keys = list(texts)[:KEYS], list(texts)[KEYS:]
PAD, END, UNKNOWN = 0, 1, 2
words = sorted({word for key in train_keys for name in NAMES for word in texts[key][name].split()})
ID = {word: i + 3 for i, word in enumerate(dict.fromkeys(TEMPLATE + words))}


def batches(keys, rng):
    """All sentences of the keys in all varieties, in random order, as (inputs, mask, y, keys)."""
    rows = [(key, y) for key in keys for y in range(len(NAMES))]
    order = rng.permutation(len(rows))
    for start in range(0, len(rows), ROWS):
        chosen = [rows[i] for i in order[start:start + ROWS]]
        said = [TEMPLATE + texts[key][NAMES[y]].split() for key, y in chosen]
        ids = [torch.tensor([ID.get(word, UNKNOWN) for word in row] + [END]) for row in said]
        ids = nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=PAD)  # (b, t)
        in_text = (ids > END) & (torch.arange(ids.shape[1]) >= len(TEMPLATE))
        inputs = {"input_ids": ids, "attention_mask": (ids != PAD).long()}
        yield inputs, in_text, torch.tensor([y for _, y in chosen]), [key for key, _ in chosen]


class LanguageModel(nn.Module):
    """Predicts the next word."""

    def __init__(self):
        super().__init__()
        self.embedding, self.position = nn.Embedding(len(ID) + 3, WIDTH), nn.Embedding(40, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, BLOCKS, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, len(ID) + 3)

    def forward(self, input_ids, attention_mask=None):
        t = input_ids.shape[1]
        causal = nn.Transformer.generate_square_subsequent_mask(t)  # padding is on the right: causal hides it, too
        h = self.embedding(input_ids) + self.position.weight[:t]  # (b, t) -> (b, t, d)
        return self.head(self.encoder(h, mask=causal, is_causal=True))


def loss_of(model, inputs, mask):
    """Nats per word of the text; works for a model that returns logits, and for one that returns an output."""
    out = model(**inputs)
    logits = getattr(out, "logits", out)[:, :-1]  # (b, t - 1, V), each predicts what comes next
    return F.cross_entropy(logits[mask[:, 1:]], inputs["input_ids"][:, 1:][mask[:, 1:]])


# %% [markdown]
# ## The 20 lines
#
# A training loop as you have one, and in it three things that are new:
#
# ```text
# now and then    states_of(model, [block], batches)  ──>  states, varieties  ──>  core.refresh: probe, basis
# every step      with hold(block) as held: loss      ──>  held.take(): the block's output of this forward pass
#                 loss + strength * core.penalty(states at the mask)  ──>  backward()
# ```
#
# - **`states_of`** runs the model on some batches and returns the states that a block puts out, with their varieties;
#   from these `core.refresh` fits its probe anew and takes the basis (tutorial 9);
# - **`hold`** keeps what the block puts out *during the forward pass of the step*, with its graph, so that a gradient
#   can flow back; it is a forward hook, a function that PyTorch calls whenever the block has run;
# - **`core.penalty`** is the number to add to the loss.
#
# `block` is the module whose output is penalised; `core` is a `Decoupler` (tutorial 9), and strength its $\lambda$.
# - **How strong?** Compare strength times penalty with your loss, here some 5 nats per word. The first steps may be
#   higher; after them it should stay below 2 % of the loss. The cell prints the first and the last value.
# - **How often a refresh?** One every 50 to 100 steps in runs as short as these (tutorial 9: 85; here 50). The paper
#   refreshes every 500 steps, the package's own runs 20 times each.


# %%
def finetune(model, block, core, strength, steps=STEPS, refreshes=6, seed=0):
    """Train on the corpus with strength * penalty added; returns the log of the refreshes, and seconds per step."""
    rng, optimizer, log = np.random.default_rng(seed), torch.optim.AdamW(model.parameters(), 2e-3), []
    stream, started, pushes = iter(()), time.perf_counter(), []
    every = -(-steps // refreshes)  # rounded up
    for step in wb.progress(range(steps), "training"):
        if step % every == 0:  # a refresh
            h, y, _ = states_of(model, [block], batches(rng.choice(train_keys, 150), rng), rng, limit=SAMPLE)
            log.append(core.refresh(h[0], np.minimum(y, 1), rng))  # the standard against the dialects
        batch = next(stream, None)
        if batch is None:
            stream = batches(train_keys, rng)
            batch = next(stream)
        inputs, mask, _, _ = batch
        with hold(block) as held:
            loss = loss_of(model, inputs, mask)
        (h,) = held.take()  # (b, t, d)
        if strength:
            push = strength * core.penalty(h[mask])  # (n, d) -> scalar
            pushes.append(push.item())
            loss = loss + push
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if pushes:
        print(f"strength times penalty: {pushes[0]:.2f} nats at first, {pushes[-1]:.3f} at the end")
    return log, (time.perf_counter() - started) / steps


def new_model():
    torch.manual_seed(0)
    return LanguageModel()


STRENGTH = 0.3
ARMS = {"plain": (0.0, {}), "decoupled": (STRENGTH, {}),  # what differs from the defaults: strength, options
        "random": (STRENGTH, {"subspace": "random-from-states", "frozen": True})}
models, cores, logs, pace = {}, {}, {}, {}
for arm, (strength, differs) in ARMS.items():
    models[arm] = new_model()
    options = DecoupleOptions(probe_states=SAMPLE, probe_steps=20 if wb.SMOKE else 150, refreshes=6, **differs)
    cores[arm] = Decoupler(options, classes=2, width=WIDTH)
    logs[arm], pace[arm] = finetune(models[arm], models[arm].encoder.layers[1], cores[arm], strength)
    print(f"{arm}: {1000 * pace[arm]:.0f} ms per step, refreshes included")

# %% [markdown]
# ## The check afterwards
#
# The code length in the log is that of the decoupler's own probe, at training time. The check is a *fresh* probe on
# sentences that were not trained on (tutorial 9), beside $H(Y)$ and the code of the same labels dealt at random: what
# states without information would cost. `collect` writes the states to a file, and
# `python -m tinydecouple probe --states FILE` prints the full table for it, on any machine.
#
# Expect, in bits per state at the second block, the one that was penalised:
# - after *plain*: fewer than H(Y);
# - after *decoupled*: clearly more, nearly what dealt labels cost;
# - after *random*, the control of tutorials 8 to 10, a penalty of the same strength along one direction that leans to
#   where the states of the untrained model vary most: little more than after plain.
#
# And at the *last* block? It comes after the penalty, and the next word depends on the variety. Guess; and guess how
# far the losses on dev differ.
#
# One control more, which every probe of every model owes: a model of **random weights**. Its states hold the words
# that it read, and words give a variety away; so it saves some bits, too, though it has learned nothing. Only what a
# trained model saves beyond that is its own. Here expect 0.05 bits below the dealt labels, as at the embedding in
# tutorial 6 (0.04): there is no tag here that attention could carry.


# %%
def fresh_probe(h, y):
    """Bits per state: the code of y by a fresh probe, the code of y dealt at random, H(Y)."""
    h, rng = standardise(h)[0], np.random.default_rng(0)
    codes = [sum(variational_bits(fit(new_probe(2, h.shape[1], dtype=h.dtype), h, labels, rng, PROBE_STEPS), h, labels,
                                  rng)) / len(y) for labels in (y, control_labels(y, rng))]
    return {"code": codes[0], "dealt": codes[1], "H(Y)": entropy_bits(y) / len(y), "n": len(y)}


checked, dev_loss = {}, {}
(wb.RUNS / "own").mkdir(parents=True, exist_ok=True)
for arm, model in wb.progress({**models, "untrained": new_model()}.items(), "probing"):
    file = wb.RUNS / "own" / f"{arm}.npz"
    blocks = list(model.encoder.layers)
    collect(model, blocks, batches(dev_keys, np.random.default_rng(2)), file, NAMES, np.random.default_rng(3), SAMPLE)
    states = read_states(file, "std")
    checked[arm] = {block: fresh_probe(states.h[block], np.minimum(states.y, 1)) for block in (1, BLOCKS - 1)}
    with torch.no_grad():
        losses = [loss_of(model, inputs, mask).item() for inputs, mask, _, _ in
                  batches(dev_keys, np.random.default_rng(4))]
    dev_loss[arm] = float(np.mean(losses))
print(f"python -m tinydecouple probe --states {wb.RUNS / 'own' / 'plain.npz'} --standard std")
wb.show("states", checked["plain"][1]["n"], 2040, 8)
wb.show("H(Y) of standard against dialects", checked["plain"][1]["H(Y)"], 0.81, 0.02, "bits per state")
wb.show("dealt labels, three arms", [checked[arm][1]["dealt"] for arm in ARMS], 1.06, 0.03, "bits per state")
for arm, second, last in (("plain", 0.73, 0.21), ("decoupled", 0.97, 0.21), ("random", 0.75, 0.25)):
    wb.show(f"{arm}: fresh probe, second block", checked[arm][1]["code"], second, 0.08, "bits per state")
    wb.show(f"{arm}: fresh probe, last block", checked[arm][BLOCKS - 1]["code"], last, 0.08, "bits per state")
    wb.show(f"{arm}: loss on dev", dev_loss[arm], 4.96, 0.15, "nats per word")
untrained = checked["untrained"][1]
wb.show("untrained: fresh probe, second block", untrained["code"], 1, 0.05, "bits per state")
saved = untrained["dealt"] - untrained["code"]
wb.show("untrained: saved of what dealt labels cost", saved, 0.05, 0.05, "bits per state")

# %% [markdown]
# The last block encodes the variety again, and the losses on dev hardly differ. At the second block only *decoupled*
# hides the standard from a linear probe.
#
# How far may one trust three numbers? One set of initial weights carries no interval; and the model, its unit (words,
# not characters) and its batch (64 rows) were settled on while looking at these numbers. Try another seed in
# `new_model`.
#
# ## The same 20 lines on a Hugging Face model
#
# After `pip install transformers` nothing is new: the model takes `**inputs`, the block is `model.model.layers[i]`,
# and `finetune` is the function above. (GPT-2 calls its blocks `model.transformer.h[i]`; `print(model)` shows yours.)
# Here it is a Llama of random weights, so nothing is downloaded; without `transformers` the cell is skipped.


# %%
def tiny_llama():
    from transformers import LlamaConfig, LlamaForCausalLM
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=len(ID) + 3, hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=64, pad_token_id=PAD, eos_token_id=END))


if importlib.util.find_spec("transformers"):
    llama = tiny_llama()
    before = llama.model.layers[0].mlp.down_proj.weight.detach().clone()
    llama_core = Decoupler(DecoupleOptions(probe_steps=20, refreshes=2), 2, llama.config.hidden_size)
    llama_log, _ = finetune(llama, llama.model.layers[0], llama_core, STRENGTH, steps=6, refreshes=2)
    print(f"Llama: {len(llama_log)} refreshes, the last one's code length "
          f"{llama_log[-1]['code_bits']:.2f} bits per state")
    assert len(llama_log) == 2 and llama_core.basis.shape == (WIDTH, 1)
    assert not torch.equal(before, llama.model.layers[0].mlp.down_proj.weight)
else:
    print("transformers is not installed; the Hugging Face cell is skipped")

# %% [markdown]
# ## What changes at scale: which tokens
#
# Template and prompt are the same in every variety, so before the text begins a causal model *cannot* know the
# variety: those states carry no information, and they are many (here 4 of about 10 tokens, with a system prompt
# most). Included, they raise the code length towards that of dealt labels, pull the direction towards what
# distinguishes template from text, and the penalty is spent on them. The other way round, a tag or an instruction
# that *names* the variety gives it away for free. Leave both out: `mask` marks the text in the variety, and nothing
# else.
#
# Expect the plain model's second block to look as if it knew less, once the template is counted.

# %%
everything = [(inputs, inputs["attention_mask"].bool(), y, keys)
              for inputs, _, y, keys in batches(dev_keys, np.random.default_rng(2))]
h, y, _ = states_of(models["plain"], [models["plain"].encoder.layers[1]], everything, np.random.default_rng(3), SAMPLE)
all_tokens = fresh_probe(h[0], np.minimum(y, 1))
wb.show("fresh probe, text only", checked["plain"][1]["code"], 0.73, 0.08, "bits per state")
wb.show("fresh probe, template and end symbol included", all_tokens["code"], 0.85, 0.06, "bits per state")

# %% [markdown]
# ## n against d, and the cost of a refresh
#
# A probe of width d has about $Cd$ weights, and the code pays for each. Plant two classes in noise that is alike in
# all directions, four standard deviations apart along one axis: they overlap by 2 %. What does a refresh of 150 Adam
# steps find, as d grows and n stays?
#
# Guess two things for n = 8192 and d = 4096. Does the code cost less than H(Y) = 1 bit? And how far is the probe's
# direction from the planted axis? Compare with the difference of class means, `subspace="class-means"`, which needs no
# fit.
#
# What a refresh costs, in CPU seconds on one core:
#
# | d | n | seconds per refresh, without and with dealt labels |
# |--:|--:|--:|
# | 768 | 8192 | 0.5, 1.0 |
# | 2048 | 8192 | 1.0, 2.3 |
# | 4096 | 8192 | 2.1, 3.8 |
#
# (2-core AMD EPYC, OMP_NUM_THREADS=1, C = 2, 150 probe steps; the machine was busy with other work, and the wall clock
# showed 2 to 3 times as much.) The cost grows with d and little with n, since a probe
# step takes one batch. The forward passes that gather n states come on top.


# %%
def planted_refresh(d, n, subspace="probe", steps=20 if wb.SMOKE else 150):
    """CPU seconds, record, and angle to the planted axis in degrees, of one refresh on n states of width d."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    h = rng.standard_normal((n, d), dtype=np.float32)
    h[:, 0] += 4 * y
    core = Decoupler(DecoupleOptions(probe_steps=steps, subspace=subspace), 2, d)
    started = time.process_time()
    record = core.refresh(h, y, rng)
    seconds = time.process_time() - started
    return seconds, record, float(np.degrees(principal_angles(core.basis, np.eye(d, 1, dtype=np.float32))[-1]))


sizes = [(32, 100), (64, 200)] if wb.SMOKE else [(768, 2048), (768, 8192), (2048, 8192), (4096, 8192)]
turned = {}
for (d, n), angle, code, dealt in zip(sizes, (60, 29, 52, 77), (1.82, 0.72, 1.73, 3.26), (3.57, 1.96, 3.54, 5.1)):
    seconds, record, turned[d, n] = planted_refresh(d, n)
    print(f"d = {d}, n = {n}: {seconds:.1f} s of CPU, dealt labels included")
    wb.show(f"d = {d}, n = {n}: angle to the planted axis", turned[d, n], angle, 5, "degrees")
    wb.show(f"d = {d}, n = {n}: code length", record["code_bits"], code, 0.2, "bits per state")
    wb.show(f"d = {d}, n = {n}: dealt labels", record["null_bits"], dealt, 0.3, "bits per state")
means_angle = planted_refresh(*sizes[-1], "class-means", steps=1)[2]
wb.show(f"d = {sizes[-1][0]}, class means: angle to the planted axis", means_angle, 19.5, 2, "degrees")

# %% [markdown]
# The classes hardly overlap, and still the code costs more than 1 bit at d = 4096: most of it is the weights'. So
# never read a code length at large d without its dealt-labels code (`null_bits` in the log), which is larger still.
# The angle to the planted axis grows with d at the same n, to 77 degrees. The difference of class means stays near the
# axis.
#
# What to do? For an angle under 30 degrees the probe needed about 10 states per feature here (8192 at d = 768). With
# fewer, gather more states, or take class means. But noise that is alike in all directions is the best case for class
# means. In real states their difference is not the direction that separates best (tutorial 7): compare both.
#
# **The rest is reference; skip it** (to the assertions) unless you use several GPUs, gradient checkpointing, mixed
# precision, LoRA or `torch.compile`.

# %% [markdown]
# ## Several GPUs
#
# Each GPU has a process of its own, called a *rank*. Under `DistributedDataParallel` (DDP: every rank holds the whole
# model and takes a part of the batch) all ranks must penalise the same basis. A probe fitted on each rank's own states
# would give each another. So rank 0 refits and the rest copy:
# - `core.state()` is a dict of tensors and numbers, and `core.restore` takes it.
# - Give `states_of` the inner module, `ddp.module`: a forward pass of `ddp` itself may wait for the other ranks.
# - Under FSDP, where every rank holds only a part of the parameters, every rank has to run that forward pass; rank 0
#   then refits.
# - `hold` is used as before, on a block of `ddp.module`, and `loss_of` calls `ddp`.
#
# The penalty is a mean over a rank's own tokens, and DDP averages the gradients: on a rank with few tokens each counts
# more.


# %%
def refresh_on_rank_0(core, states, rng):
    """Rank 0 refits on states() -> (h, y); every rank ends with the same probe and basis."""
    distributed = torch.distributed
    box = [None]
    if distributed.get_rank() == 0:
        core.refresh(*states(), rng)
        box = [core.state()]
    distributed.broadcast_object_list(box, src=0)
    core.restore(box[0])


if torch.distributed.is_available() and torch.distributed.is_gloo_available():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    p = plant(500, WIDTH, 2, 2.0, np.random.default_rng(0))  # 500 states of two Gaussian classes, as in tutorial 5
    one, other = (Decoupler(DecoupleOptions(probe_steps=20), 2, WIDTH) for _ in range(2))
    refresh_on_rank_0(one, lambda: (p.h, p.y), np.random.default_rng(1))
    other.refresh(p.h, p.y, np.random.default_rng(1))
    torch.distributed.destroy_process_group()
    assert np.array_equal(one.basis, other.basis), "broadcasting changed the basis"

# %% [markdown]
# ## Gradient checkpointing, mixed precision, LoRA, torch.compile
#
# **Gradient checkpointing.** What is computed inside a block is not kept, but computed again in the backward pass.
# `hold(model.model.layers[i])` works in both of PyTorch's modes, since the block's output leaves the checkpoint. In
# the older, *reentrant* mode the first forward pass runs without a graph. A module *inside* a block, such as
# `model.model.layers[i].mlp`, then has no gradient: the penalty would show in the log and do nothing, so `take`
# raises. Turn checkpointing on with `gradient_checkpointing_enable({"use_reentrant": False})`.
#
# **Mixed precision.** Under *autocast*, which lets PyTorch compute parts of the forward pass in 16 bits, a block may
# return bfloat16. `penalty` and `states_of` widen it to float32 in PyTorch before NumPy sees it, and the gradient
# comes back in the block's dtype. In float16 a *scaler* multiplies the loss so that small gradients are not rounded
# to 0. Add the penalty *before* `scaler.scale(loss)`: each state's gradient is $\lambda / n$ long, which float16
# rounds to 0 for n above some ten thousand if it is not scaled. A state above 65,504 is infinite in float16, and
# `states_of` says so. Expect the penalty of bfloat16 states within a percent of float32's.
#
# **LoRA.** The model is frozen, and only *adapters* train: small matrices that are added to its weights. The penalty
# at block $i$ can move only adapters at block $i$ or before it. With all of them after it the held tensor has no
# gradient, and `take` raises instead of doing nothing. The model has less freedom to give way, so expect to need a
# larger strength for the same effect. Gradient checkpointing with frozen embeddings needs
# `model.enable_input_require_grads()`.
#
# **torch.compile**, which turns a model into faster code, compiles the hook with it. So enter `hold` once, before the
# first compiled call, around the whole loop, and `take` once per step. Call `held.clear()` after passes that are no
# step (the refresh, the loss on dev). The penalty itself is NumPy and stays outside of what is compiled. On a GPU the
# states at the mask travel to the host and their gradient back, once per step.

# %%
core, model = cores["decoupled"], models["decoupled"]
inputs, mask, _, _ = next(batches(dev_keys, np.random.default_rng(0)))
with torch.no_grad(), hold(model.encoder.layers[1]) as held:
    model(**inputs)
    (h,) = held.take()
    full, half = (core.penalty(h.to(dtype)[mask]).item() for dtype in (torch.float32, torch.bfloat16))
wb.show("penalty of bfloat16 states over that of float32", half / full, 1, 0.01)

frozen = new_model().requires_grad_(False)
frozen.encoder.layers[2 if BLOCKS > 2 else 1].requires_grad_(True)  # as adapters after the held block would be
refused = ""
with hold(frozen.encoder.layers[0]) as held:
    frozen(**inputs)
    try:
        held.take()
    except TinyDecoupleError as error:
        refused = str(error)
print("refused:", refused)

# %% [markdown]
# ## What you have learned, as assertions

# %%
assert "has no gradient" in refused, "a penalty without effect was let through"
assert abs(half / full - 1) < 0.02, "bfloat16 states cost something else"
assert all(len(log) == 6 for log in logs.values()), "a refresh was left out"
assert all(not block._forward_hooks for model in models.values() for block in model.encoder.layers), "a hook stayed"
if not wb.SMOKE:
    plain, decoupled, random = (checked[arm][1] for arm in ARMS)
    assert decoupled["code"] > plain["code"] + 0.1, "the penalty has not made the standard harder to distinguish"
    assert decoupled["code"] > random["code"] + 0.05, "here the probe's direction does no more than a random one"
    assert plain["code"] < plain["dealt"] - 0.2, "there was nothing to take away"
    assert checked["decoupled"][BLOCKS - 1]["code"] < 0.5, "the last block does not make the variety anew"
    assert all_tokens["code"] > plain["code"], "the template does not dilute"
    assert 0 < saved < (plain["dealt"] - plain["code"]) / 2, "what did training add?"
    assert turned[768, 2048] > turned[768, 8192] < turned[2048, 8192] < turned[4096, 8192], "n against d"
print("tutorial 11: all assertions hold")

# %% [markdown]
# ## Exercises
# 1. Hold the *last* block instead, at the same strength. What do you expect of the loss, and why?
# 2. `finetune` refreshes 6 times. What would `refreshes=1` do to the probe, which then sees the untrained model only?
# 3. Your model is an encoder-decoder, and its encoder runs twice per step (two views of a sentence). What does `take`
#    return, and how do you write the penalty?
#
# **To write and check.** `states_at`, a forward hook of your own, on a model that returns no states: `python
# tutorials/check.py T11.1 my_answers.py --new` puts a stub into a file of yours; without `--new` it is checked.
#
# Answers, one at a time: `python tutorials/hint.py 11.1`; in a notebook `wb.hint("11.1")`. Try first.
#
# ## Where to read next
# `tinydecouple/training/hook.py`, then `tinydecouple/training/decoupler.py`; for the table over a file of states,
# `tinydecouple/evaluation/probe_report.py`.
