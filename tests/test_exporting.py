"""An exported run: other libraries load it, offline, and write what `solve` writes."""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from bitsandbytes.nn import Linear4bit
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

import nanoreason
from hub_stub import hub
from nanoreason import paths
from nanoreason.exporting import card, generation_rules
from nanoreason.host import GivenError
from nanoreason.model.base import load_tokenizer
from nanoreason.model.tokens import prompt_ids
from nanoreason.runs import Run, RunError, find_run
from nanoreason.stages import Stage

RUN, TAG = "nano-reference", f"{Stage.VERIFY.tag}\n"
QUESTION = "Mia has 12 apples. She picks 9 more apples. How many apples are there now?"
ADAPTER = {"adapter_config.json", "adapter_model.safetensors"}
TOKENIZER = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
BASE = {"config.json", "model.safetensors", "generation_config.json"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return nanoreason.export(RUN, tmp_path_factory.mktemp("export") / "it", merged="reasoning")


@pytest.fixture(scope="module")
def solved():
    return nanoreason.solve(QUESTION).text


def generate(model, folder, sequence=None, cache={}, **rules):
    """The new sequence and its cache: after the question, or after a sequence with its cache.

    cache: by its name, which depends on the version of transformers.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if sequence is None:
        sequence = tokenizer.apply_chat_template(
            [{"role": "user", "content": QUESTION}], add_generation_prompt=True,
            return_tensors="pt", return_dict=True)["input_ids"]
    config = GenerationConfig.from_pretrained(folder)
    config.update(return_dict_in_generate=True, **rules)
    out = dict(model.eval().generate(sequence, generation_config=config, **cache))
    return out.pop("sequences"), out, tokenizer


def written(sequence, tokenizer):
    return tokenizer.decode(sequence[0], skip_special_tokens=True).split("Solution:\n")[1]


def test_the_folder_holds_these_files(folder):
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {"README.md", "generation_config.json", *ADAPTER, *TOKENIZER,
                     *(f"verification/{name}" for name in ADAPTER),
                     *(f"base/{name}" for name in BASE),
                     *(f"merged/{name}" for name in BASE)}


def test_the_snippet_of_the_card_writes_what_solve_writes(folder, solved, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    code = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    exec(code[0], {})
    assert capsys.readouterr().out.strip() == solved
    few = code[0].replace("out = ", "rules.max_new_tokens = 5\nout = ", 1)  # ends before its tag
    exec(few, {})
    assert capsys.readouterr().out.strip() == nanoreason.solve(
        QUESTION, max_new_tokens=5).text.strip()
    exec(code[1], {})
    assert capsys.readouterr().out.startswith("Answer: 21\n")


def test_the_snippet_of_a_base_in_four_bits_writes_what_solve_writes(
        folder, solved, tmp_path, capsys, monkeypatch):
    """The embedded base as a folder of its own, packed anew when it is loaded."""
    base, copy = tmp_path / "base", tmp_path / "runs" / "packed"
    shutil.copytree(folder / "base", base)
    for name in TOKENIZER:
        shutil.copy(folder / name, base)
    shutil.copytree(paths.RESULTS / RUN, copy)
    params = yaml.safe_load((copy / "params.yaml").read_text()) | {"base": str(base)}
    (copy / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.setattr(paths, "RUNS", copy.parent)
    monkeypatch.chdir(nanoreason.export("packed", tmp_path / "packed"))
    capsys.readouterr()
    exec(re.findall(r"```python\n(.*?)```", open("README.md").read(), re.DOTALL)[0], names := {})
    assert capsys.readouterr().out.strip() == solved
    assert any(isinstance(module, Linear4bit) for module in names["model"].modules())


def test_plain_transformers_writes_the_same_adapter_after_adapter(folder, solved):
    model = AutoModelForCausalLM.from_pretrained(folder)
    sequence, _, tokenizer = generate(model, folder)
    assert written(sequence, tokenizer) == solved.partition(TAG)[0] + TAG
    model.load_adapter(folder / "verification", adapter_name="verification")
    model.set_adapter("verification")
    whole, _, _ = generate(model, folder, sequence, eos_token_id=tokenizer.eos_token_id)
    assert written(whole, tokenizer).rstrip("\n") == solved


def test_the_merged_model_is_the_base_with_that_adapter(folder, solved):
    merged = AutoModelForCausalLM.from_pretrained(folder / "merged")
    assert not (folder / "merged" / "tokenizer.json").exists()  # it would be replaced
    sequence, _, tokenizer = generate(merged, folder)
    assert written(sequence, tokenizer) == solved.partition(TAG)[0] + TAG
    with torch.no_grad():
        logits = [model(sequence).logits for model in
                  (merged, AutoModelForCausalLM.from_pretrained(folder))]
    assert torch.allclose(*logits, atol=1e-3)


@pytest.mark.parametrize("question", [QUESTION, "  {{ 7 * 7 }} 'x' \"y\"\n\nHow many? ", "số 5",
                                      "What is 12 + 7 = 19 - 3?"])
def test_the_chat_template_writes_the_prompt_of_training(folder, question):
    ids = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=False)
    assert ids == prompt_ids(load_tokenizer("nano"), question)


def test_the_rules_stop_at_the_tag_or_the_end():
    tokenizer = load_tokenizer("nano")
    ids = generation_rules(tokenizer).eos_token_id
    assert tokenizer.convert_ids_to_tokens(ids) == ["<|endoftext|>", TAG]

    class InPieces:  # a tokenizer that cuts the tag into several tokens
        eos_token_id = pad_token_id = 0

        def __call__(self, text, **_):
            return type("Encoding", (), {"input_ids": list(map(ord, text))})
    rules = generation_rules(InPieces())
    assert (rules.eos_token_id, rules.stop_strings) == ([0], [TAG])


def test_the_cards_numbers_intervals_and_licence_come_from_the_run(folder):
    read, summary = ModelCard.load(folder / "README.md"), find_run(RUN).read_summary()
    test = summary["splits"]["test"]
    assert (read.data.license, read.data.library_name, read.data.language) == (
        "mit", "peft", ["en"])
    shown = {result.metric_type: result for result in read.data.eval_results}
    for name, score in (("accuracy", test["accuracy"]["a2"]),
                        ("self_verification_rate", test["verification"]["svr"])):
        assert shown[name].metric_value == pytest.approx(score["value"], abs=1e-4)
        assert shown[name].metric_args["interval_95"] == pytest.approx(score["interval"], abs=1e-4)
    assert "97.9 % (979/1000) [96.8–98.6]" in read.text and "36000 traces" in read.text
    other = {"base": "Qwen/Qwen2.5-3B-Instruct", "data": "gsm8k", "traces": 1,
             "quantisation": "nf4"}
    scratch = Run(paths.RESULTS / "smollm2-gsm8k")
    data = card(scratch, other, other["base"], {"routing": "stack", "adapters": ["reasoning", "x"]},
                None)
    assert (data.data.license, data.data.license_name) == ("other", "qwen-research")
    assert data.data.base_model == other["base"] and 'set_adapter(["default", ' in data.text
    anew = card(scratch, other, other["base"], {
        "routing": "reread", "adapters": ["reasoning", "verification"]}, None).text
    assert "**rest" in data.text and "**rest" not in anew
    assert 'set_adapter("verification")' in anew and "reads it all anew" in anew


def test_what_is_pushed_is_exactly_this_folder_and_its_card_is_validated(folder):
    script = ("import sys\nfrom huggingface_hub import HfApi, ModelCard\n"
              "ModelCard.load(sys.argv[1] + '/README.md').validate()\n"
              "api = HfApi(token='hf_none')\napi.create_repo('me/it')\n"
              "api.upload_folder(repo_id='me/it', folder_path=sys.argv[1])")
    with hub() as (address, files, cards):
        environment = os.environ | {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0",
                                    "HF_HUB_DISABLE_XET": "1"}
        done = subprocess.run([sys.executable, "-c", script, str(folder)], env=environment,
                              capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert files == {str(path.relative_to(folder)): path.read_bytes()
                     for path in folder.rglob("*") if path.is_file()}
    content = (folder / "README.md").read_text(encoding="utf-8")
    assert {one["content"] for one in cards} == {content} and len(cards) > 1
    assert yaml.safe_load(content.split("---")[1])["model-index"][0]["name"] == RUN


@pytest.mark.parametrize("given, sentence", [
    ({"run": "nan-reference"}, "nano-reference"),
    ({"run": "nano-gsm8k"}, "has no adapters"),
    ({"merged": "both"}, "reasoning, verification")])
def test_what_cannot_be_exported_is_refused(tmp_path, given, sentence):
    with pytest.raises(RunError, match=sentence):
        nanoreason.export(**{"run": RUN, "folder": tmp_path / "new"} | given)


def test_no_base_and_no_folder_are_refused_before_anything_is_written(tmp_path):
    (tmp_path / "file").write_text("")
    for given, sentence in (({"base": ""}, "base is ''; give a folder"), ({"base": 5}, "base is 5"),
                            ({"base": "@main"}, "base is '@main'"), ({"folder": 5}, "folder is 5"),
                            ({"folder": tmp_path / "file" / "new"}, "no folder can be made at"),
                            ({"folder": "a\0b"}, "no folder can be made at")):
        with pytest.raises((GivenError, RunError), match=sentence):
            nanoreason.export(**{"run": RUN, "folder": tmp_path / "new"} | given)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_scores_of_other_rows_are_on_no_card(tmp_path, monkeypatch):
    shutil.copytree(paths.RESULTS / RUN, tmp_path / "runs" / "copy")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    Run(tmp_path / "runs" / "copy").write_summary(find_run(RUN).read_summary() | {"n_rows": 7})
    with pytest.raises(RunError, match="summary.json of run copy is of 7 rows"):
        nanoreason.export("copy", tmp_path / "new")


def test_a_folder_that_holds_something_is_left_alone(folder):
    before = sorted(folder.rglob("*"))
    for place in (folder, folder / "README.md"):
        with pytest.raises(RunError, match="holds something already"):
            nanoreason.export(RUN, place)
    assert sorted(folder.rglob("*")) == before


def test_another_base_is_named_with_its_revision(tmp_path, monkeypatch):
    named = nanoreason.export(RUN, tmp_path / "named", base="me/nano@abc")
    copy = tmp_path / "runs" / "hub"
    shutil.copytree(paths.RESULTS / RUN, copy)
    environment = json.loads((copy / "environment.json").read_text())
    environment["base"] |= {"source": "hub", "version": "def"}
    (copy / "environment.json").write_text(json.dumps(environment))
    params = yaml.safe_load((copy / "params.yaml").read_text()) | {"base": "me/other"}
    (copy / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setattr("nanoreason.exporting.load_tokenizer", lambda base: load_tokenizer("nano"))
    hubs = nanoreason.export("hub", tmp_path / "hubs")
    for place, base in ((named, ("me/nano", "abc")), (hubs, ("me/other", "def"))):
        for part in (place, place / "verification"):
            config = json.loads((part / "adapter_config.json").read_text())
            assert (config["base_model_name_or_path"], config["revision"]) == base
    assert (named / "base").is_dir() and not (hubs / "base").exists()
