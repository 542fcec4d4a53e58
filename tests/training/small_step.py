"""One optimiser step of a tiny model, whole and in parts, for the tests of the loss."""
from __future__ import annotations

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from nanoreason.training.loss import group_counts, last_hidden
from nanoreason.training import attach_adapters, route, step_aware_loss

DEFAULT = {"understand": 1, "plan": 1, "execute": 1, "verify": 1, "transition": 0.1}
TAG = [7, 8]
VOCABULARY = 40


def tiny_model(routing="switch", vocabulary=VOCABULARY):
    torch.manual_seed(0)
    config = Qwen2Config(vocab_size=vocabulary, hidden_size=64, intermediate_size=96,
                         num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                         tie_word_embeddings=True, pad_token_id=0)
    model = attach_adapters(Qwen2ForCausalLM(config), 4, 8, 0.0, 0, routing)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.2, generator=generator)
    return model.train()


def step_rows():
    """32 rows of unequal length: ids, groups, prompt length. Rows 4 to 7 hold no PLAN,
    rows 8 to 11 never reach VERIFY; the wrong EXECUTE of every fifth has no label."""
    generator = torch.Generator().manual_seed(4)

    def words(low, high):
        count = int(torch.randint(low, high, (1,), generator=generator))
        return torch.randint(10, VOCABULARY, (count,), generator=generator).tolist()

    rows = []
    for index in range(32):
        prompt = words(2, 9)
        stages = [words(1, 6), [] if 4 <= index < 8 else words(1, 4), words(2, 14)]
        ids, groups = list(prompt), [-1] * len(prompt)
        for group, stage in enumerate(stages):
            ids, groups = ids + [5] + stage, groups + [4] + [group] * len(stage)
        if not 8 <= index < 12:
            verify = words(1, 8)
            ids, groups = ids + TAG + verify, groups + [4, 4] + [3] * len(verify)
        labels = [-100 if group == -1 or (group == 2 and index % 5 == 0) else token
                  for token, group in zip(ids, groups)]
        rows.append((ids, labels, groups, len(prompt)))
    return rows


def collate(rows):
    width = max(len(row[0]) for row in rows)

    def pad(part, value):
        return torch.tensor([row[part] + [value] * (width - len(row[part])) for row in rows])

    attention = torch.tensor([[1] * len(row[0]) + [0] * (width - len(row[0])) for row in rows])
    return pad(0, 0), attention, pad(1, -100), pad(2, -1), [row[3] for row in rows]


def backward(model, rows, counts, processes=1, normalise="stage", chunked=False):
    ids, attention, labels, groups, lengths = collate(rows)
    inner = getattr(model, "module", model)
    router = inner.router
    with router.full(route(ids, attention, lengths, TAG, router.routing)):
        if chunked:
            hidden = last_hidden(model, input_ids=ids, attention_mask=attention)
            loss = step_aware_loss(hidden, labels, groups, DEFAULT, normalise, counts=counts,
                                   head=inner.get_output_embeddings(), processes=processes,
                                   chunk=16)
        else:
            logits = model(input_ids=ids, attention_mask=attention, use_cache=False).logits
            loss = step_aware_loss(logits, labels, groups, DEFAULT, normalise, counts=counts,
                                   processes=processes)
        loss.total.backward()
    return loss


def gradients(model):
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])


def parts(rows, size):
    return [rows[start:start + size] for start in range(0, len(rows), size)]


def counts_of(batches):
    """N_s of a step: over its micro-batches, and over the processes where there are some."""
    counts = sum(group_counts(*collate(batch)[2:4]) for batch in batches)
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(counts)
    return counts


def difference(found, expected):
    assert found.shape == expected.shape and float(expected.norm()) > 0
    return float((found - expected).norm() / expected.norm())
