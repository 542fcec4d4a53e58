"""A run as a folder that other libraries load: adapters, tokenizer, generation rules, model card.

    README.md                                       the model card
    adapter_config.json, adapter_model.safetensors  `reasoning`
    verification/                                   the second adapter, where there is one
    tokenizer.json, tokenizer_config.json, …        with a chat template that writes the prompt
    generation_config.json                          greedy; stops at the tag or the end
    base/                                           the embedded base, as the run stands on it
    merged/                                         the base with one adapter in it, if asked for

Reasoning lies at the top, where PEFT and transformers look for an adapter; the base in a folder of
its own, to be loaded and shared alone. Its weights are what the 4 bits of a run stand for, so that
no 4-bit library is needed.
Without this package nothing routes; the card shows how the verification adapter goes on where
the reasoning adapter stops, as the run's `routing` has it: it reads all anew (`reread`), or takes
the keys and values that the other one has left.

Left out on purpose: GGUF and other formats (a merged model can be converted).
"""
from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from peft import PeftModel
from transformers import GenerationConfig

from nanoreason import paths
from nanoreason.environment import VERSION
from nanoreason.evaluation.summary import check_whole
from nanoreason.figures.tables import results_table
from nanoreason.files import RunError, write_json, write_text
from nanoreason.host import GivenError, check_type
from nanoreason.model.adapters import ROUTING_FILE
from nanoreason.model.base import BASES, load_tokenizer, unpacked_base
from nanoreason.model.tokens import prompt_text, tag_ids
from nanoreason.runs import Run, find_run
from nanoreason.stages import Stage
from nanoreason.training.resume import check_adapters

MAX_NEW_TOKENS = 640
MERGED = "merged"
SCORES = (("accuracy", "a2", "accuracy", "right answer after VERIFY"),
          ("verification", "svr", "self_verification_rate", "SVR, the model's own answers"))
FOUR_BITS = (''', quantization_config=BitsAndBytesConfig(
    load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)''')


def export(run: str, folder: str | Path, base: str | None = None, merged: str | None = None
           ) -> Path:
    """Write a run's adapters and all that goes with them into a new folder; its path.

    base: what the adapters name as their base: a folder or a name of the hub, there also
    `name@revision`; None: of the embedded base its copy in the folder, by the path that is given
    here (an address of its own is needed before it is shared), else the run's base with the
    revision that it was trained on. merged: the adapter of which a merged model is written, too.

    Raises RunError for an unknown, unfinished or changed run, one whose rows or summary are not of
    its adapters, for a folder that holds something already, and for an adapter that the run does
    not have.
    """
    check_type((str, Path), "the path of a new folder", folder=folder)
    check_type((str, type(None)), "a folder, a name of the hub, or None", base=base)
    if base is not None and not base.partition("@")[0].strip():
        raise GivenError(f"base is {base!r}; give a folder, a name of the hub, or None")
    found, folder = find_run(run), Path(folder)
    check_adapters(found)
    check_whole(found)
    params = found.read_params("base", "quantisation", "data", "language", "traces")
    source = found.path("adapters")
    routing = json.loads((source / ROUTING_FILE).read_text(encoding="utf-8"))
    first, *others = routing["adapters"]
    if merged not in (None, *routing["adapters"]):
        raise RunError(f"merged is {merged!r}; run {run} has {', '.join(routing['adapters'])}")
    if folder.is_file() or folder.exists() and any(folder.iterdir()):
        raise RunError(f"{folder} holds something already: give a new folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise RunError(f"no folder can be made at {folder} ({error}): give another") from None
    tokenizer, own = load_tokenizer(params["base"]), params["base"] == "nano"
    if not tokenizer.chat_template:
        asked = prompt_text("{{ messages[-1]['content'] }}").rstrip("\n")
        tokenizer.chat_template = asked + "{{ '\\n' }}"  # Jinja drops a last line break
    tokenizer.save_pretrained(folder)
    rules = generation_rules(tokenizer)
    rules.save_pretrained(folder)
    if own:
        unpacked_base(params["base"], params["quantisation"]).save_pretrained(folder / "base")
        rules.save_pretrained(folder / "base")
    name, _, revision = (base or params["base"]).partition("@")
    if base is None and own:
        name = str(folder / "base")
    elif base is None:
        made_for = found.read_environment().get("base") or {}
        revision = made_for["version"] if made_for.get("source") == "hub" else revision
    for adapter, target in ((first, folder), *((other, folder / other) for other in others)):
        _copy_adapter(source / adapter, target, name, revision or None)
    if merged:
        model = unpacked_base(params["base"], params["quantisation"])
        model = PeftModel.from_pretrained(model, str(source / merged)).merge_and_unload()
        model.save_pretrained(folder / MERGED)
        if not own:  # beside nano's configuration AutoTokenizer would put another one in its place
            tokenizer.save_pretrained(folder / MERGED)
        rules.save_pretrained(folder / MERGED)
    write_text(folder / "README.md", str(card(found, params, name, routing, merged)))
    return folder


def generation_rules(tokenizer) -> GenerationConfig:
    """Greedy, and stopping at VERIFY's tag or at the end."""
    tag = tag_ids(tokenizer)
    one = [tag[0]] if len(tag) == 1 else []
    return GenerationConfig(
        do_sample=False, max_new_tokens=MAX_NEW_TOKENS, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=[tokenizer.eos_token_id, *one],
        stop_strings=None if one else [f"{Stage.VERIFY.tag}\n"])


def _copy_adapter(source: Path, target: Path, base: str, revision: str | None) -> None:
    target.mkdir(exist_ok=True)
    shutil.copyfile(source / "adapter_model.safetensors", target / "adapter_model.safetensors")
    config = json.loads((source / "adapter_config.json").read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base, "revision": revision}
    write_json(target / "adapter_config.json", config)


def card(run: Run, params: Mapping, base: str, routing: Mapping, merged: str | None) -> ModelCard:
    """The model card of a run: every number from its files."""
    summary = run.read_summary() if run.has("summary.json") else None
    licence = BASES.get(params["base"].partition("@")[0], {}).get("licence", "other")
    plain = licence in ("mit", "apache-2.0")
    data = ModelCardData(
        language=params["language"].split("+") if params["data"] == "procedural" else None,
        license=licence if plain else "other", license_name=None if plain else licence,
        base_model=None if params["base"] == "nano" and "/base" in base else base,
        library_name="peft", pipeline_tag="text-generation", model_name=run.name,
        tags=["nanoreason", "lora", "reasoning"], eval_results=_results(summary, params) or None)
    several = len(routing["adapters"]) > 1
    packed = params["quantisation"] != "none" and params["base"] != "nano"
    text = paths.asset("card.md").read_text(encoding="utf-8").format(
        metadata=data.to_yaml(), name=run.name, version=VERSION, routing=routing["routing"],
        base=params["base"], licence=licence, data=params["data"], traces=params["traces"],
        adapters=" and ".join(f"`{name}`" for name in routing["adapters"]),
        commit=run.read_environment().get("commit", "not recorded"),
        results=results_table(summary).markdown(False) if summary else "Not evaluated.",
        imports=" BitsAndBytesConfig," * packed, options=FOUR_BITS * packed,
        verify=_after_tag(routing["routing"]) if several else "",
        reads=" and reads it all anew" if routing["routing"] == "reread"
        else " with its keys and values",
        merged=f"\n`{MERGED}/` is the base with `{merged}` in its weights; its tokenizer is the "
               "one of this folder.\n" if merged else "")
    return ModelCard(text)


def _results(summary: Mapping | None, params: Mapping) -> list[EvalResult]:
    """The scores on `test` with their intervals, as the hub shows them."""
    test = ((summary or {}).get("splits") or {}).get("test") or {}
    return [EvalResult(
        task_type="text-generation", dataset_type=f"nanoreason/{params['data']}",
        dataset_name=f"{params['data']}, test", metric_type=kind, metric_name=words,
        metric_value=round(score["value"], 4),
        metric_args={"n": test["n"], "interval_95": [round(end, 4) for end in score["interval"]]})
        for part, name, kind, words in SCORES
        if (score := (test.get(part) or {}).get(name)) and score["value"] is not None]


def _after_tag(routing: str) -> str:
    """The lines of the snippet that let the verification adapter go on."""
    act = 'model.base_model.set_adapter(["default", "verification"])' if routing == "stack" \
        else 'model.set_adapter("verification")'
    before, given = ("", "out.sequences") if routing == "reread" else (
        "    rest = dict(out)  # keys and values, under the name that this transformers gives "
        "them\n", 'rest.pop("sequences"), **rest')
    return f'''if "{Stage.VERIFY.tag}\\n" in tokenizer.decode(out.sequences[0, length:]):
    model.load_adapter(place, "verification", subfolder="verification")
    {act}
    rules.eos_token_id, rules.stop_strings = tokenizer.eos_token_id, None  # to the end
{before}    out = model.generate({given}, generation_config=rules)
'''
