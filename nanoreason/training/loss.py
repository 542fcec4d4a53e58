"""The step-aware loss: cross-entropy weighed by the stage that a token belongs to.

Let l_t be the cross-entropy of token t (nats), s its group (the four stages and the tags
between them, TRANSITION), w_s the group's weight, c_s its dynamic multiplier and N_s the
supervised tokens of the group in the whole optimiser step.

    stage:  L = sum_s c_s w_s (1/N_s) sum_{t in s} l_t  /  sum_{s: N_s > 0} c_s w_s
    token:  L = sum_t c w l_t  /  sum_s c_s w_s N_s

Both are sums over groups, k_s * sum_{t in s} l_t, with coefficients k_s that need the
counts only. So the counts of the whole step (all micro-batches, all processes) are taken
first, and the shares of the micro-batches add up to the loss of the one large batch.

The logits of a batch are never held in float32: supervised positions only, a chunk at a
time, recomputed in backward. Given hidden states and the output head, as the trainer gives
them, `step_aware_loss` never makes the (B, T, V) logits at all.
"""
from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.utils.checkpoint import checkpoint

from nanoreason.host import GivenError, check_number
from nanoreason.model.tokens import IGNORE
from nanoreason.stages import GROUPS

UNSUPERVISED = -100  # the label of a token that carries no loss
NORMALISATIONS = ("stage", "token")
CHUNK_LOGITS = 256 * 151_936  # logits in one chunk (float32: 156 MB); 256 tokens of Qwen2.5


@dataclass(frozen=True)
class StepLoss:
    """The loss of one micro-batch and the parts that it was made of.

    total: scalar with gradient, nats per token; this micro-batch's share, times processes.
    sums: (5,) float32, nats summed over the supervised tokens of each group, no gradient.
    correct: (5,) int64, tokens whose most likely prediction was right.
    counts: (5,) int64, supervised tokens of this micro-batch.
    objections: (2,) int64, the lines of VERIFY that object, and those of them whose word the
    model found likeliest; zeros where no `word` is given.
    The last four add up over micro-batches and processes; `combine` makes the total of
    the step from sums and counts.
    """

    total: torch.Tensor
    sums: torch.Tensor
    correct: torch.Tensor
    counts: torch.Tensor
    objections: torch.Tensor


def check_weights(weights):
    """The five weights as floats in the order of GROUPS.

    weights: a mapping with exactly the names of GROUPS, or five numbers in their order.
    Raises ValueError, naming the value, if one is negative or not finite, or all are zero.
    """
    if isinstance(weights, Mapping):
        if set(weights) != set(GROUPS):
            raise GivenError(f"weights name {sorted(weights)}; give exactly {list(GROUPS)}")
        weights = [weights[name] for name in GROUPS]
    values = [float(value) for value in weights]
    if len(values) != len(GROUPS):
        raise GivenError(f"{len(values)} weights {values}; give {len(GROUPS)}, for {GROUPS}")
    for name, value in zip(GROUPS, values):
        if not math.isfinite(value) or value < 0:
            raise GivenError(f"{name}_weight is {value}; a weight is a finite number, 0 or more")
    if not any(values):
        raise GivenError(f"all weights are zero ({dict(zip(GROUPS, values))}), so nothing "
                         "would be learned; set at least one above 0")
    return values


def group_counts(labels, groups):
    """Supervised tokens of each group: (5,) int64 on the labels' device.

    labels, groups: (B, T) as `step_aware_loss` takes them. Summed over all micro-batches
    and processes of an optimiser step this is its `counts`.
    """
    return _count(groups[:, 1:][_supervised(labels, groups)])


def coefficients(counts, weights, normalise="stage", multipliers=None):
    """(5,) float64 k_s on the CPU, such that the loss is sum_s k_s * (nats of group s).

    A group without tokens has k_s = 0. If no group with tokens has a weight, all are 0.
    """
    if normalise not in NORMALISATIONS:
        raise GivenError(f"normalise is {normalise!r}; choose one of {NORMALISATIONS}")
    weight = torch.tensor(check_weights(weights), dtype=torch.float64)
    if multipliers is not None:
        factor = torch.as_tensor(multipliers, dtype=torch.float64).cpu()
        if factor.shape != weight.shape or not bool((factor.isfinite() & (factor > 0)).all()):
            raise GivenError(f"multipliers are {factor.tolist()}; give {len(GROUPS)} finite "
                             "numbers above 0")
        weight = weight * factor
    count = counts.detach().to("cpu", torch.float64)
    weight = weight * (count > 0)
    share = weight / count.clamp(min=1) if normalise == "stage" else weight
    whole = weight.sum() if normalise == "stage" else (weight * count).sum()
    return share / whole if whole > 0 else share


def combine(sums, counts, weights, normalise="stage", multipliers=None):
    """The loss of a whole step (nats per token, a float) from its logged parts.

    sums, counts: (5,), added over all micro-batches and processes of the step.
    """
    sums = torch.as_tensor(sums, dtype=torch.float64).cpu()
    return float((coefficients(torch.as_tensor(counts), weights, normalise, multipliers)
                  * sums).sum())


def step_aware_loss(predictions, labels, groups, weights, normalise="stage", *, head=None,
                    multipliers=None, counts=None, processes=1, chunk=None, word=()):
    """The loss of one micro-batch, from its logits, or from hidden states and the head.

    predictions: (B, T, V) logits, any float type; or, with `head`, the (B, T, H) hidden
        states that it takes, see `last_hidden`. Position t predicts token t + 1, as models
        return them: the shift is made here.
    labels: (B, T) int64, the token at each position, -100 = not supervised. groups: (B, T)
        int64, index into GROUPS of the token at each position, -1 = none. A token counts if
        it has both, and a predecessor.
    weights: see `check_weights`. normalise: "stage" or "token".
    head: maps (n, H) to (n, V) logits and is all that stands between them,
        `model.get_output_embeddings()`; trainable parameters of it get gradients. Nothing of
        size B * T * V is made then.
    multipliers: (5,), a factor of each weight (c_s above), None: all 1. counts: (5,), the
        supervised tokens of each group in the whole optimiser step (N_s above): `group_counts`
        summed over its micro-batches and processes; None: this batch is the step. processes:
        how many share the step; the total is so many times this micro-batch's share, because
        DDP averages gradients.
    chunk: supervised positions whose float32 logits exist at one time; None: as many as
        make CHUNK_LOGITS logits. Where one chunk holds them all, nothing is recomputed.
    word: token ids of what ends a line of VERIFY whose two numbers differ.
    Returns a StepLoss. Its total is 0, with zero gradients, where no token has weight.
    Raises ValueError for shapes, weights, groups or counts that cannot be.
    """
    shape = predictions.shape
    if len(shape) != 3 or labels.shape != shape[:2] or groups.shape != labels.shape:
        raise GivenError(
            f"shapes {tuple(shape)}, labels {tuple(labels.shape)}, groups "
            f"{tuple(groups.shape)}; expected (B, T, features), (B, T), (B, T)")
    check_number(int, 1, processes=processes)
    check_number(int | None, 1, chunk=chunk)
    if processes > 1 and counts is None:
        raise GivenError(f"processes is {processes} but counts is None; give the "
                         "group_counts of all processes, summed")
    rows, columns = _supervised(labels, groups).nonzero(as_tuple=True)
    target = labels[rows, columns + 1]  # (n,)
    group = groups[rows, columns + 1]  # (n,)
    local = _count(group)
    whole = local if counts is None else torch.as_tensor(counts).to(local.device)
    if whole.shape != local.shape or bool((whole < local).any()):
        raise GivenError(f"counts {whole.tolist()} are no {len(GROUPS)} numbers or below this "
                         f"micro-batch's own {local.tolist()}; count the whole optimiser step")
    share = coefficients(whole, weights, normalise, multipliers) * processes
    picked = predictions[rows, columns]  # (n, H), or (n, V) without a head
    sums, correct = picked[:0].float().sum(), torch.zeros_like(local)
    objects = _ends(labels, word)[rows, columns + 1] & (group == GROUPS.index("verify"))
    objections = torch.zeros_like(local[:2])
    chunk = chunk or _positions(head, picked)
    for start in range(0, len(target), chunk):
        part = slice(start, start + chunk)
        nats, hits = (_chunk_nats(head, picked, target) if chunk >= len(target) else
                      checkpoint(_chunk_nats, head, picked[part], target[part],
                                 use_reentrant=False, preserve_rng_state=False))
        member = _membership(group[part])
        # where, not a product: an infinite loss in one group must not reach the others.
        sums = sums + torch.where(member, nats[:, None], 0.0).sum(0)  # (5,)
        correct = correct + (member & hits[:, None]).sum(0)
        objections = objections + torch.stack([objects[part].sum(), (objects[part] & hits).sum()])
    sums = sums.expand(len(GROUPS))
    total = (sums * share.to(sums)).sum()
    return StepLoss(total, sums.detach().clone(), correct, local, objections)


def last_hidden(model, **inputs):
    """Run a causal model (plain, PEFT or DDP) up to its head: (B, T, H) hidden states.

    The model's own forward is called, so that DDP and PEFT see it, but it makes the logits
    of one position only. The states are what the head takes, after the final norm.
    """
    inputs = {"use_cache": False, **inputs, "logits_to_keep": 1}
    kept = []
    inner = getattr(model, "module", model)  # the model inside DDP
    inner = inner.get_base_model() if hasattr(inner, "get_base_model") else inner
    hook = inner.get_decoder().register_forward_hook(
        lambda module, arguments, output: kept.append(output.last_hidden_state))
    try:
        model(**inputs)
    finally:
        hook.remove()
    return kept[0]


def _positions(head, picked):
    """How many positions a chunk of CHUNK_LOGITS logits has, at least one."""
    with torch.no_grad():
        return max(1, CHUNK_LOGITS // _logits(head, picked[:1]).shape[-1])


def _supervised(labels, groups):
    """(B, T - 1) bool: whether the token after each position carries loss."""
    lowest, highest = groups.aminmax()
    if int(lowest) < IGNORE or int(highest) >= len(GROUPS):
        raise GivenError(f"groups hold {int(lowest)} to {int(highest)}; give 0 to "
                         f"{len(GROUPS) - 1} in the order {GROUPS}, or {IGNORE} for none")
    return (labels[:, 1:] != UNSUPERVISED) & (groups[:, 1:] != IGNORE)


def _ends(labels, word):
    """(B, T) bool: where a sequence of tokens ends; nowhere for an empty one."""
    found, size = torch.zeros_like(labels, dtype=torch.bool), len(word)
    if 0 < size <= labels.shape[1]:
        wanted = torch.tensor(word, device=labels.device)
        found[:, size - 1:] = (labels.unfold(1, size, 1) == wanted).all(-1)
    return found


def _membership(group):
    """(n, 5) bool, one True a row. A sum over it is the same every time, on any device."""
    return group[:, None] == torch.arange(len(GROUPS), device=group.device)


def _count(group):
    return _membership(group).sum(0)


def _logits(head, picked):
    if head is None:
        return picked
    weight = getattr(head, "weight", None)
    if weight is not None and weight.is_floating_point():
        picked = picked.to(weight.dtype)  # autocast ends with the model's own forward
    return head(picked)


def _chunk_nats(head, picked, target):
    """Cross-entropy (nats) and whether the best guess is right, both (n,)."""
    logits = _logits(head, picked).float()  # (n, V)
    nats = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    return nats, logits.detach().argmax(-1) == target


MODES = ("none", "dwa")
WINDOW = 20  # optimiser steps
TEMPERATURE = 2.0
LOWEST, HIGHEST = 0.5, 2.0


class DynamicWeights:
    """c_s of every optimiser step, from the losses of the 40 steps before it.

    r_s = mean loss of group s over the last 20 steps / the mean over the 20 before;
    c_s = 5 * softmax(r / 2)_s, clipped to [0.5, 2]; 1 before step 40 (steps count from 0).

    The mean over a window is that of the steps' means (nats per token), over the steps in
    which the group had tokens and a finite loss. A group that had none in one of the two
    windows, or a mean of 0 in the earlier one, has r_s = 1: nothing is known of its pace.

    Read `multipliers` before a step, call `update` once after it with the sums and counts
    of the whole step (all processes, so that all keep the same weights). Mode "none"
    always gives 1. `state_dict` belongs into the checkpoint; it is plain JSON.
    """

    def __init__(self, mode="dwa"):
        if mode not in MODES:
            raise GivenError(f"dynamic is {mode!r}; choose one of {MODES}")
        self.mode = mode
        self._history = deque(maxlen=2 * WINDOW)  # per step: 5 x (nats per token or None)

    def update(self, sums, counts):
        """Record one optimiser step. sums: (5,) nats, counts: (5,) supervised tokens."""
        means = [float(total) / int(count) if count else None
                 for total, count in zip(sums, counts, strict=True)]
        if len(means) != len(GROUPS):
            raise GivenError(f"{len(means)} sums; give {len(GROUPS)}, for {GROUPS}")
        self._history.append([mean if mean is not None and math.isfinite(mean) else None
                              for mean in means])

    @property
    def multipliers(self):
        """Five floats in the order of GROUPS, for the step that comes next."""
        if self.mode == "none" or len(self._history) < 2 * WINDOW:
            return (1.0,) * len(GROUPS)
        steps = list(self._history)
        ratios = [_ratio(_mean(steps[WINDOW:], group), _mean(steps[:WINDOW], group))
                  for group in range(len(GROUPS))]
        highest = max(ratios)
        powers = [math.exp((ratio - highest) / TEMPERATURE) for ratio in ratios]
        return tuple(min(max(len(GROUPS) * power / sum(powers), LOWEST), HIGHEST)
                     for power in powers)

    def state_dict(self):
        """{"history": the last 40 steps, oldest first, None where nothing was}."""
        return {"history": [list(step) for step in self._history]}

    def load_state_dict(self, state):
        """Go on where `state_dict` stopped."""
        self._history = deque((list(step) for step in state["history"]), maxlen=2 * WINDOW)


def _mean(steps, group):
    values = [step[group] for step in steps if step[group] is not None]
    return sum(values) / len(values) if values else None


def _ratio(last, earlier):
    return 1.0 if last is None or not earlier else last / earlier
