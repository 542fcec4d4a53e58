#!/usr/bin/env bash
# peft's hotswap_adapter where another adapter's name holds the name of the one that is swapped.
#
# Versions: Python 3.11, peft 0.21.2, torch 2.13.0 (CPU), transformers 5.24.0; one linear map.
# Expected: `hotswap_adapter(model, path, adapter_name="check")` puts the file's weights into
#   `check` and leaves all other adapters of the model as they are.
# Seen: every weight of `check_units`, another adapter, is nought afterwards, without a word: what
#   the file has no weights for is set to nought, and what belongs to `check` is found by its name
#   standing anywhere in a parameter's. `plan` is left alone. A model with that adapter answers like
#   its base, and what is saved from it is lost. What helps: names of which none is part of another,
#   or delete_adapter and load_adapter in place of the swap.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv env
env/bin/pip install --quiet peft==0.21.2 torch==2.13.0 transformers==5.24.0
cat > swap.py <<'P'
import torch
from peft import LoraConfig, get_peft_model
from peft.utils.hotswap import hotswap_adapter

torch.manual_seed(0)
config = LoraConfig(target_modules=["0"], r=2, init_lora_weights=False)
model = get_peft_model(torch.nn.Sequential(torch.nn.Linear(8, 8)), config, adapter_name="check")
model.add_adapter("check_units", config)
model.add_adapter("plan", config)
model.save_pretrained("saved")


def weights(name):
    return [value.detach().clone() for key, value in model.named_parameters()
            if f".{name}." in key]


names = ("check", "check_units", "plan")
before = {name: weights(name) for name in names}
hotswap_adapter(model, "saved/check", adapter_name="check", torch_device="cpu")
after = {name: weights(name) for name in names}
same = {name: all(map(torch.equal, before[name], after[name])) for name in names}
print("as before the swap of check:", same)
print("largest weight of check_units:", max(float(v.abs().max()) for v in after["check_units"]))
assert same == {"check": True, "check_units": False, "plan": True}
assert before["check_units"] and not any(value.any() for value in after["check_units"])
P
env/bin/python swap.py 2> log.txt || { cat log.txt; exit 1; }
