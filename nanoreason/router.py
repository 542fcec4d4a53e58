"""The masks at work: hooks that let each adapter act on its own tokens only.

A hook on every `lora_A[name]` silences what it hands to `lora_B`, a map without bias, where
the route of the running forward says so: the low-rank output is exactly zero there, and the
mask touches `rank` numbers a token, not the width of the layer. Nothing of the base model or
of PEFT is changed. `routing` puts a Router
on a model; it is the noun behind `model.router.full(mask)` and its sisters.
"""
from __future__ import annotations

import functools
from contextlib import contextmanager, nullcontext

import torch
from peft.tuners.lora import LoraLayer

from .tags import check_routing

NAMES = ("reasoning", "verification")


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

    def install(self, model):
        """Register the hooks on every LoRA layer; returns how many layers there are."""
        layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
        for layer in layers:
            for name in self.names:
                # partial, not a closure: deepcopy of the model then copies the router too.
                before = functools.partial(self._shorten_input, name)
                layer.lora_A[name].register_forward_pre_hook(before)
                layer.lora_A[name].register_forward_hook(
                    functools.partial(self._silence, name))
                layer.lora_B[name].register_forward_hook(
                    functools.partial(self._drop_empty, name))
        return len(layers)

    @contextmanager
    def full(self, mask):
        """Route one forward of exactly the mask's shape. mask: (B, T) bool, see `route`."""
        if mask.ndim != 2 or mask.dtype != torch.bool:
            raise ValueError(f"mask is {mask.dtype} of shape {tuple(mask.shape)}; give the "
                             "(B, T) bool mask that route() or RouteState.feed() returns")
        if self.routing == "single" and mask.any():
            raise ValueError("the routing is 'single', but the mask lets verification act on "
                             f"{int(mask.sum())} tokens; call route(..., routing='single')")
        silent = {self.names[0]: mask if self.routing == "switch" else mask & False}
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
            raise ValueError(f"the state is for routing {state.routing!r}, the model for "
                             f"{self.routing!r}; use RouteState(..., routing=router.routing)")
        with self.full(state.feed(tokens, searched)):
            yield

    @contextmanager
    def only(self, name):
        """One adapter on every token of any forward; None: the base model alone."""
        if name is not None and name not in self.names:
            raise ValueError(f"no adapter {name!r}; attached are {self.names}")
        with self._restored((None, {other: other == name for other in self.names}, False)):
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
        if self._route is None:
            return nullcontext(), nullcontext()
        shape, acting, _ = self._route
        return nullcontext(), self._restored((shape, acting, True))

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

    def _shorten_input(self, name, module, inputs):
        if self._acting(name, inputs[0].shape) is False:
            return (inputs[0][:, :0], *inputs[1:])  # (B, 0, in)

    def _silence(self, name, module, inputs, output):
        acting = self._route[1][name]
        if isinstance(acting, bool):
            return None
        if acting.device != output.device:  # once per forward, then kept
            acting = self._route[1][name] = acting.to(output.device)
        return output.masked_fill(acting, 0)  # (B, T, rank)

    def _drop_empty(self, name, module, inputs, output):
        if self._route[1][name] is False:
            return output.sum()  # of no elements: 0, and still joined to the parameters
        return None
