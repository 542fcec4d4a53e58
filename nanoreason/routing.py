"""Two LoRA adapters of one base model, and which of them acts on which token.

`reasoning` writes UNDERSTAND, PLAN and EXECUTE; `verification` takes over where the
`[VERIFY]` tag is complete. Both sit in the same forward pass: a hook on every `lora_B`
silences an adapter's low-rank output on the tokens that are not its own. A token's keys
and values are therefore always computed under its own route, and one full forward is the
same function as cached decoding with the switch made when the tag appears.

    mask = route(input_ids, attention_mask, prompt_lengths, tag_ids)     # training
    with model.router.full(mask):
        logits = model(input_ids=input_ids, attention_mask=attention_mask).logits

    state = RouteState(batch_size, tag_ids)                              # decoding
    with model.router.cached(state, prompt_ids, None, searched=no_columns):
        output = model(prompt_ids, attention_mask=..., use_cache=True)
    with model.router.cached(state, tokens, output.past_key_values):     # tokens: (B, 1)
        output = model(tokens, past_key_values=output.past_key_values, ...)

Routings: `switch` (one adapter a token), `stack` (reasoning everywhere, verification
added from the tag on), `single` (reasoning alone, the ablation).

Left out on purpose: beam search and `generate()` of transformers (rows move, and the
memory of a row's tag with them), `torch.compile`, merged adapters.
"""
from __future__ import annotations

import functools
import json
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer

from .tags import ROUTINGS, RouteState, check_routing, route

NAMES = ("reasoning", "verification")
ROUTING_FILE = "routing.json"
__all__ = ["NAMES", "ROUTINGS", "RouteState", "Router", "adapter_parameters",
           "attach_adapters", "load_adapters", "route", "save_adapters"]


def attach_adapters(model, rank=8, alpha=16, dropout=0.0, seed=0, routing="switch",
                    names=NAMES):
    """Put float32 LoRA adapters on all linear maps of the blocks and install the router.

    The output head stays as it is. The base may be quantised (bitsandbytes). Under
    `single` only the first name is attached. Each adapter starts from its own seed, so
    `reasoning` starts from the same weights under every routing; `lora_B` starts at zero.

    model: a transformers causal language model. rank: rows of `lora_A`. alpha: the
    low-rank output is scaled by alpha / rank. dropout: probability on the adapters' input.
    Returns the PeftModel, both adapters active and trainable, its Router as `.router`.
    Raises ValueError for an impossible argument and for a model that has adapters already.
    """
    check_routing(routing)
    if isinstance(model, PeftModel):
        raise ValueError(f"the model already has the adapters {list(model.peft_config)}; "
                         "attach to the base model")
    if rank < 1 or len(names) != 2:
        raise ValueError(f"rank is {rank} and names are {names}; give a rank of 1 or more "
                         "and two names")
    names = tuple(names[:1]) if routing == "single" else tuple(names)
    # Only the CPU's generator: the adapters are drawn there, and torch.manual_seed would
    # also change the generators of all GPUs.
    random_state = torch.get_rng_state()
    try:
        for index, name in enumerate(names):
            torch.default_generator.manual_seed(seed * len(NAMES) + index)
            config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout,
                                target_modules="all-linear", task_type="CAUSAL_LM")
            if index == 0:
                model = get_peft_model(model, config, adapter_name=name)
            else:
                model.add_adapter(name, config)
    finally:
        torch.set_rng_state(random_state)
    return _install(model, names, routing, trainable=True)


def save_adapters(model, folder, base_name=None):
    """Write `folder/<adapter>/` for each adapter, and the routing beside them.

    Each adapter's folder loads with plain `PeftModel.from_pretrained`, without this
    package: `reasoning` alone is the model before the tag. base_name: what the adapter
    configurations name as their base model, for example a hub id (None: as loaded).
    """
    router = model.router
    for name in router.names:
        if base_name is not None:
            model.peft_config[name].base_model_name_or_path = base_name
    # The adapters never touch the embeddings; "auto" would ask the hub about them.
    model.save_pretrained(folder, selected_adapters=list(router.names),
                          save_embedding_layers=False)
    content = {"routing": router.routing, "adapters": list(router.names)}
    (Path(folder) / ROUTING_FILE).write_text(json.dumps(content, indent=2) + "\n")


def load_adapters(model, folder, routing=None, trainable=False):
    """Put the adapters of `folder` (see `save_adapters`) on a base model.

    routing: None takes the one they were trained with. trainable: whether to go on
    training. Returns a PeftModel with its Router as `.router`.
    Raises FileNotFoundError if the folder holds no routing file.
    """
    path = Path(folder) / ROUTING_FILE
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; give a folder that save_adapters wrote")
    content = json.loads(path.read_text())
    routing, names = check_routing(routing or content["routing"]), content["adapters"]
    if len(names) < 2 and routing != "single":
        raise ValueError(f"{folder} holds {names} alone; routing {routing!r} needs two "
                         "adapters, use 'single'")
    for index, name in enumerate(names[:1] if routing == "single" else names):
        source = str(Path(folder) / name)
        if index == 0:
            model = PeftModel.from_pretrained(model, source, adapter_name=name,
                                              is_trainable=trainable)
        else:
            model.load_adapter(source, adapter_name=name, is_trainable=trainable)
    return _install(model, tuple(model.peft_config), routing, trainable)


def adapter_parameters(model, name):
    """[(parameter name, parameter)] of one adapter, for freezing it or its update norm."""
    return [(key, parameter) for key, parameter in model.named_parameters()
            if f".lora_A.{name}." in key or f".lora_B.{name}." in key]


def _install(model, names, routing, trainable):
    # PeftModel.set_adapter takes one name only; the tuner below it takes several.
    model.base_model.set_adapter(list(names), inference_mode=not trainable)
    head = model.get_base_model().get_output_embeddings()
    if isinstance(head, LoraLayer):
        raise ValueError("an adapter sits on the output head, which belongs to no block; "
                         "remove it from target_modules")
    for name in names:
        wrong = [key for key, parameter in adapter_parameters(model, name)
                 if parameter.dtype != torch.float32]
        if wrong:
            raise ValueError(f"{wrong[0]} is not float32; load with autocast_adapter_dtype")
    model.router = Router(names, routing)
    if not model.router.install(model):
        raise ValueError("the model has no LoRA layer; its blocks hold no linear map")
    return model


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
                after = functools.partial(self._silence_output, name)
                layer.lora_A[name].register_forward_pre_hook(before)
                layer.lora_B[name].register_forward_hook(after)
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

    def _silence_output(self, name, module, inputs, output):
        acting = self._route[1][name]
        if acting is False:
            return output.sum()  # of no elements: 0, and still joined to the parameters
        if acting is not True:
            if acting.device != output.device:  # once per forward, then kept
                acting = self._route[1][name] = acting.to(output.device)
            return output.masked_fill(acting, 0)
