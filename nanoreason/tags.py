"""Where in a row the verification adapter takes over: the search for the tag.

Pure tensor work, no model. `route` reads whole sequences (training); `RouteState` reads
the same tokens in any number of pieces (cached decoding) and gives the same mask, because
`route` is a `RouteState` that is fed once.
"""
from __future__ import annotations

import torch

ROUTINGS = ("switch", "stack", "single")


def check_routing(routing):
    """`routing` itself, or a ValueError that lists the three that exist."""
    if routing not in ROUTINGS:
        raise ValueError(f"routing is {routing!r}; choose one of {', '.join(ROUTINGS)}")
    return routing


def route(input_ids, attention_mask, prompt_lengths, tag_ids, routing="switch"):
    """Where the verification adapter acts, for whole sequences.

    The first occurrence of the exact `tag_ids` in the completion counts; the prompt may
    name the tag without effect. Left and right padding are both understood.

    input_ids: (B, T) int64. attention_mask: (B, T), 1 = real token, or None (all real).
    prompt_lengths: (B,) or one int, real tokens of the prompt in each row.
    tag_ids: token ids of the tag as the encoder writes it.
    Returns a (B, T) bool mask on the device of `input_ids`: True from the tag's last
    token to the end of the row; all False under `single` and in rows without the tag.
    """
    if attention_mask is None:
        attention_mask = torch.ones_like(input_ids)
    real = attention_mask.to(input_ids.device).bool()
    lengths = torch.as_tensor(prompt_lengths, device=input_ids.device).reshape(-1, 1)
    if len(lengths) not in (1, len(input_ids)):
        raise ValueError(f"prompt_lengths has {len(lengths)} entries for a batch of "
                         f"{len(input_ids)} rows; give one per row, or one int for all")
    searched = real & (real.cumsum(1) > lengths)
    state = RouteState(len(input_ids), tag_ids, routing, device=input_ids.device)
    return state.feed(input_ids, searched)


class RouteState:
    """What decoding has to remember of each row: whether the tag came, or its beginning.

    Feed every column that goes through the model, in order and once. The rows keep their
    places: use `keep` to drop finished ones, together with the rows of the cache.
    """

    def __init__(self, batch_size, tag_ids, routing="switch", device="cpu"):
        tag = torch.as_tensor(tag_ids, dtype=torch.int64, device=device).reshape(-1)
        if not len(tag) or (tag < 0).any():
            raise ValueError(f"tag_ids is {tag.tolist()}; give the tag's token ids, one or "
                             "more and none negative")
        self.routing = check_routing(routing)
        self.tag = tag
        self.length = 0  # columns fed so far, equal to the length of the cache
        self.seen = torch.zeros(batch_size, dtype=torch.bool, device=device)
        # The last searched tokens of each row, one fewer than the tag has; -1 = none yet.
        self._recent = torch.full((batch_size, len(tag) - 1), -1, device=device)

    def feed(self, tokens, searched=None):
        """Take new columns and return the (B, T) mask of where verification acts in them.

        tokens: (B, T) int64, T >= 1. searched: (B, T) bool, False for the prompt and for
        padding (None: all searched). A tag may begin in one call and end in a later one;
        columns that are not searched do not interrupt it.
        """
        if tokens.ndim != 2 or tokens.shape[0] != len(self.seen) or not tokens.shape[1]:
            raise ValueError(f"tokens have shape {tuple(tokens.shape)}; this state follows "
                             f"{len(self.seen)} rows and takes ({len(self.seen)}, T >= 1)")
        if searched is None:
            searched = torch.ones_like(tokens, dtype=torch.bool)
        self.length += tokens.shape[1]
        if self.routing == "single":
            return torch.zeros_like(tokens, dtype=torch.bool)
        earlier = len(self.tag) - 1
        row = torch.cat([self._recent, tokens.masked_fill(~searched, -1)], 1)
        # Searched tokens move together at the right, in their order, so that a tag is
        # found across padding too; each window of the tag's length ends at one of them.
        order = (row >= 0).to(torch.int8).argsort(dim=1, stable=True)
        packed = row.gather(1, order)
        hits = (packed.unfold(1, len(self.tag), 1) == self.tag).all(-1)  # (B, T)
        found = torch.zeros_like(row, dtype=torch.bool).scatter(1, order[:, earlier:], hits)
        mask = self.seen[:, None] | (found[:, earlier:].cumsum(1) > 0)
        self.seen = mask[:, -1]
        self._recent = packed[:, packed.shape[1] - earlier:]
        return mask

    def keep(self, rows):
        """Go on with these rows only (strictly increasing indices or a bool mask)."""
        rows = torch.arange(len(self.seen), device=self.seen.device)[rows]
        if (rows[1:] <= rows[:-1]).any():
            self.reorder(rows)
        self.seen, self._recent = self.seen[rows], self._recent[rows]

    def reorder(self, rows):
        """Refused: beam search moves rows between sequences."""
        raise NotImplementedError(
            f"rows {torch.as_tensor(rows).tolist()} reorder or repeat the batch; routed "
            "decoding keeps rows in place, so beam search is not supported: decode greedily "
            "or by sampling (num_beams=1)")
