"""Where in a row the verification adapter takes over: the search for the tag.

Pure tensor work, no model. `route` reads whole sequences (training); `RouteState` reads
the same tokens in any number of pieces (cached decoding) and gives the same mask, because
`route` is a `RouteState` that is fed once. Under `reread` a text is two rows, each of one
adapter: `tokens.readings` cuts it.
"""
from __future__ import annotations

from contextlib import contextmanager, nullcontext

import torch
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import LoraVariant

from nanoreason.host import GivenError

ROUTINGS = ("switch", "stack", "single", "reread")


def check_routing(routing):
    """`routing` itself, or a ValueError that lists those that exist."""
    if routing not in ROUTINGS:
        raise GivenError(f"routing is {routing!r}; choose one of {', '.join(ROUTINGS)}")
    return routing


def route(input_ids, attention_mask, prompt_lengths, tag_ids, routing="switch"):
    """Where the verification adapter acts, for whole sequences.

    The first occurrence of the exact `tag_ids` in the completion counts; the prompt may
    name the tag without effect. Left and right padding are both understood.

    input_ids: (B, T) int64. attention_mask: (B, T), 1 = real token, or None (all real).
    prompt_lengths: (B,) or one int, real tokens of the prompt in each row.
    tag_ids: token ids of the tag as the encoder writes it.
    Returns a (B, T) bool mask on the device of `input_ids`: True from the tag's last
    token to the end of the row; all False under `single` and in rows without the tag. Under
    `reread` rows whose prompt ends with the tag are all True, others all False.
    """
    if attention_mask is None:
        attention_mask = torch.ones_like(input_ids)
    real = attention_mask.to(input_ids.device).bool()
    lengths = torch.as_tensor(prompt_lengths, device=input_ids.device).reshape(-1, 1)
    if len(lengths) not in (1, len(input_ids)):
        raise GivenError(f"prompt_lengths has {len(lengths)} entries for a batch of "
                         f"{len(input_ids)} rows; give one per row, or one int for all")
    order = real.cumsum(1)
    if lengths.is_floating_point() or bool(((lengths < 0) | (lengths > order[:, -1:])).any()):
        raise GivenError(f"prompt_lengths is {lengths.flatten().tolist()}; give whole numbers, "
                         f"from 0 to the rows' real tokens, {order[:, -1].tolist()}")
    if routing == "reread":
        tag = torch.as_tensor(tag_ids, device=input_ids.device)
        return _ends_with(tag, input_ids, real & (order <= lengths))[:, None].repeat(
            1, input_ids.shape[1])
    searched = real & (order > lengths)
    state = RouteState(len(input_ids), tag_ids, routing, device=input_ids.device)
    return state.feed(input_ids, searched)


def _ends_with(tag, tokens, inside):
    """(B,) bool, whether what stands inside ends with the tag. inside: (B, T) bool."""
    if tokens.shape[1] < len(tag):
        return torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    order = inside.to(torch.int8).argsort(dim=1, stable=True)[:, -len(tag):]
    ends = (tokens.gather(1, order) == tag) & inside.gather(1, order)
    return ends.all(1)


class RouteState:
    """What decoding has to remember of each row: whether the tag came, or its beginning.

    Feed every column that goes through the model, in order and once. Rows that leave or join
    begin a new state, which is fed what they hold.
    """

    def __init__(self, batch_size, tag_ids, routing="switch", device="cpu"):
        tag = torch.as_tensor(tag_ids, dtype=torch.int64, device=device).reshape(-1)
        if not len(tag) or (tag < 0).any():
            raise GivenError(f"tag_ids is {tag.tolist()}; give the tag's token ids, one or "
                             "more and none negative")
        self.routing = check_routing(routing)
        self.tag = tag
        self.length = 0  # columns fed so far, equal to the length of the cache
        self.seen = torch.zeros(batch_size, dtype=torch.bool, device=device)
        self.again = self.seen.clone()  # rows of `reread` that verification reads as a whole
        # The last searched tokens of each row, one fewer than the tag has; -1 = none yet.
        self._recent = torch.full((batch_size, len(tag) - 1), -1, device=device)

    def feed(self, tokens, searched=None):
        """Take new columns and return the (B, T) mask of where verification acts in them.

        tokens: (B, T) int64, T >= 1. searched: (B, T) bool, False for the prompt and for
        padding (None: all searched). A tag may begin in one call and end in a later one;
        columns that are not searched do not interrupt it.
        """
        if tokens.ndim != 2 or tokens.shape[0] != len(self.seen) or not tokens.shape[1]:
            raise GivenError(f"tokens have shape {tuple(tokens.shape)}; this state follows "
                             f"{len(self.seen)} rows and takes ({len(self.seen)}, T >= 1)")
        if searched is None:
            searched = torch.ones_like(tokens, dtype=torch.bool)
        if self.routing == "reread" and not self.length:  # the prompt decides, once
            self.again = _ends_with(self.tag, tokens, searched.cumsum(1) == 0)
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
        return self.again[:, None].expand_as(mask) if self.routing == "reread" else mask


NAMES = ("reasoning", "verification")


def routing_of(model) -> str | None:
    """Of a model with adapters; None for a base without."""
    return getattr(getattr(model, "router", None), "routing", None)


class Router:
    """Holds the route of the running forward; the hooks on the adapters read it here.

    An adapter that acts nowhere in a batch gets an empty input instead of the tokens: it
    costs nothing, and its gradients are zeros, not None, so that DDP works with
    `find_unused_parameters=False`. (An adapter that is attached but not active, or only
    loaded, would need True.) A forward without a route is refused, because there is no
    right default.
    """

    def __init__(self, names=NAMES, routing="switch"):
        self.names = tuple(names)
        self.routing = check_routing(routing)
        # (shape or None, {name: True = everywhere, False = nowhere, or (B, T, 1) bool
        # where the adapter is silent}, whether set by a checkpoint's recomputation)
        self._route = None
        self._shared = None  # (layer, its input, the same after dropout) for the next adapter

    def install(self, model):
        """Route every LoRA layer of a model; returns how many layers there are."""
        layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
        for layer in layers:
            for name in self.names:
                layer.lora_variant[name] = _Routed(self)
        return len(layers)

    @contextmanager
    def full(self, mask):
        """Route one forward of exactly the mask's shape. mask: (B, T) bool, see `route`."""
        if mask.ndim != 2 or mask.dtype != torch.bool:
            raise GivenError(f"mask is {mask.dtype} of shape {tuple(mask.shape)}; give the "
                             "(B, T) bool mask that route() or RouteState.feed() returns")
        if self.routing == "single" and mask.any():
            raise GivenError("the routing is 'single', but the mask lets verification act on "
                             f"{int(mask.sum())} tokens; call route(..., routing='single')")
        silent = {self.names[0]: mask & False if self.routing == "stack" else mask}
        silent.update({name: ~mask for name in self.names[1:]})
        acting = {}
        for name, where in silent.items():
            constant = True if not where.any() else False if where.all() else None
            acting[name] = where[..., None] if constant is None else constant
        with self._restored((tuple(mask.shape), acting, False)):
            yield

    @contextmanager
    def cached(self, state, tokens, cache, searched=None):
        """Route one step of cached decoding: `state` is fed `tokens` and remembers them.

        cache: the `past_key_values` that the forward will be given; None or an empty one
        at the start. A cache that holds other columns than the state has seen is refused
        (RuntimeError): what a prefilled cache holds is not known to the route.
        """
        held = 0 if cache is None else cache.get_seq_length()
        if held != state.length:
            raise RuntimeError(f"the cache holds {held} positions, but the route was fed "
                               f"{state.length}; start the state and the cache together")
        if state.routing != self.routing:
            raise GivenError(f"the state is for routing {state.routing!r}, the model for "
                             f"{self.routing!r}; use RouteState(..., routing=router.routing)")
        with self.full(state.feed(tokens, searched)):
            yield

    @contextmanager
    def only(self, *names):
        """These adapters on every token of any forward; none: the base model alone."""
        if not set(names) <= set(self.names):
            raise GivenError(f"no adapter {names}; attached are {self.names}")
        with self._restored((None, {name: name in names for name in self.names}, False)):
            yield

    def enable_checkpointing(self, model):
        """Gradient checkpointing that recomputes each layer under the route it had.

        Plain `gradient_checkpointing_enable()` would use the route of the *latest*
        forward for all of them; the hooks refuse it in backward.
        """
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={
            "use_reentrant": False, "context_fn": self.checkpoint_contexts})

    def checkpoint_contexts(self):
        """The `context_fn` of `torch.utils.checkpoint`: restores the route later on."""
        return nullcontext(), self._restored(self._route and (*self._route[:2], True))

    @contextmanager
    def _restored(self, new):
        previous, self._route = self._route, new
        try:
            yield
        finally:
            self._route = previous

    def _acting(self, name, shape):
        if self._route is None:
            raise RuntimeError(
                "the model has routed adapters but no route is set: run the forward inside "
                "router.full(mask), router.cached(...) or router.only(name). generate() of "
                "transformers sets none, and its beam search moves rows: decode step by step")
        expected, acting, restored = self._route
        # A graph task id other than -1 means that backward is running this forward.
        if not restored and torch._C._current_graph_task_id() != -1:
            raise RuntimeError("gradient checkpointing recomputes this layer without its "
                               "route; switch it on with router.enable_checkpointing(model)")
        if expected is not None and tuple(shape[:-1]) != expected:
            raise RuntimeError(f"the route is for (rows, columns) {expected}, this forward has "
                               f"{tuple(shape[:-1])}; one mask per forward, one row per row")
        return acting[name]

    def add(self, layer, name, x, result):
        """A layer's result with the share that one adapter adds on its own tokens.

        x: (B, T, in), the layer's input. result: (B, T, out).
        """
        acting = self._acting(name, x.shape)
        if acting is False:
            if not torch.is_grad_enabled():
                return result
            # Of no elements: 0, and still joined to the adapter's parameters.
            none = x.new_zeros(0, x.shape[-1])  # no slice, which would keep all of x
            return result + layer.lora_B[name](layer.lora_A[name](none)).sum()
        low = layer.lora_A[name](self._dropped(layer, name, x))  # (B, T, rank)
        if acting is not True:
            if acting.device != low.device:  # once per forward, then kept
                acting = self._route[1][name] = acting.to(low.device)
            low = low.masked_fill(acting, 0)
        weight, scale = layer.lora_B[name].weight, layer.scaling[name]
        autocast = torch.is_autocast_enabled(x.device.type)
        if low.dtype == weight.dtype == result.dtype and not autocast:
            # One pass over the layer's width in place of three: map, scale, add.
            flat = torch.addmm(result.flatten(0, -2), low.flatten(0, -2), weight.t(),
                               alpha=scale)
            return flat.view(result.shape)
        return result + layer.lora_B[name](low * scale).to(result.dtype)

    def add_all(self, layer, plain, x):
        """The layer's result, with what `add` gives for every adapter, in one product for all.

        plain: the map without adapters, (B, T, in) to (B, T, out).

        Their low-rank maps stand side by side, so that a layer of a small model makes half as
        many small products, and rounds in another order. For adapters of one scale, of the
        layer's own type, that all act somewhere; others take their turns.
        """
        result = plain(x)
        acting = [self._acting(name, x.shape) for name in self.names]
        ups = [layer.lora_B[name].weight for name in self.names]
        types = {x.dtype, result.dtype, *(weight.dtype for weight in ups)}
        if (any(where is True or where is False for where in acting) or len(types) > 1
                or len({layer.scaling[name] for name in self.names}) > 1
                or torch.is_autocast_enabled(x.device.type)):
            # Once: `_dropped` shares by identity.
            x = x.to(layer.lora_A[self.names[0]].weight.dtype)
            for name in self.names:
                result = self.add(layer, name, x, result)
            return result
        together = self._route[1].get(self.names)  # once per forward, then kept
        if together is None:
            together = self._route[1][self.names] = torch.stack(acting, -2).to(x.device)
        down = torch.cat([layer.lora_A[name].weight for name in self.names])
        low = torch.nn.functional.linear(layer.lora_dropout[self.names[0]](x), down)
        low = low.unflatten(-1, (len(self.names), -1)).masked_fill(together, 0)
        flat = torch.addmm(result.flatten(0, -2), low.flatten(0, -3).flatten(1),
                           torch.cat(ups, 1).t(), alpha=layer.scaling[self.names[0]])
        return flat.view(result.shape)

    def _dropped(self, layer, name, x):
        """The layer's input after the adapter's dropout; the next adapter gets the same.

        Under `switch` no token has two adapters, so that a draw of its own for each would
        have the same distribution. It would take a tenth of the time of a small model on a
        CPU, and as much memory as most activations.
        """
        shared, self._shared = self._shared, None
        same = shared is not None and shared[0] is layer and shared[1] is x
        dropped = shared[2] if same else layer.lora_dropout[name](x)
        later = self.names[self.names.index(name) + 1:]
        if any(self._route[1][other] is not False for other in later):
            self._shared = (layer, x, dropped)
        return dropped


class _Routed(LoraVariant):
    """What PEFT calls for one adapter of one layer."""

    def __init__(self, router):
        self.router = router

    def forward(self, module, active_adapter, x, result, **kwargs):
        return self.router.add(module, active_adapter, x, result)

    def merge_safe(self, module, active_adapter, orig_weight):
        """Refused: a merged adapter would act on every token."""
        raise RuntimeError(f"adapter {active_adapter!r} acts on some tokens only and cannot be "
                           "merged into the base; load it alone with PeftModel.from_pretrained")

    merge_unsafe = unmerge = merge_safe
