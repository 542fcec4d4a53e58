#!/usr/bin/env bash
# transformers, a second adapter of one base, and what its load report says of the first.
#
# Versions: Python 3.11, transformers 5.23.0, peft 0.21.2, torch 2.13.0 (CPU), safetensors.
# Expected: `load_adapter` of a second, whole adapter loads without a word, or names
#   keys of that adapter alone.
# Seen: its load report lists every weight of the FIRST adapter as MISSING, "newly initialized
#   because missing from the checkpoint. Consider training on your downstream task"; none of them
#   has changed, and both adapters are as they were saved.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet transformers==5.23.0 peft==0.21.2 torch==2.13.0
HF_HUB_OFFLINE=1 "$folder/env/bin/python" - "$folder" 2> "$folder/log" <<'PYTHON'
import sys
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

folder = sys.argv[1]
torch.manual_seed(0)
base = Qwen2ForCausalLM(Qwen2Config(
    vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
    num_attention_heads=2, num_key_value_heads=2))
base.save_pretrained(f"{folder}/base")
config = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], init_lora_weights=False)
model = get_peft_model(base, config, adapter_name="one")
model.add_adapter("two", config)
model.save_pretrained(f"{folder}/adapters")

model = AutoModelForCausalLM.from_pretrained(f"{folder}/base")
model.load_adapter(f"{folder}/adapters/one", adapter_name="one")
before = {name: value.clone() for name, value in model.state_dict().items() if ".one." in name}
print("=== second", file=sys.stderr, flush=True)
model.load_adapter(f"{folder}/adapters/two", adapter_name="two")
after = model.state_dict()
assert before and all(torch.equal(value, after[name]) for name, value in before.items())
print("weights of the first adapter that changed: 0 of", len(before))
PYTHON
sed -n '/=== second/,$p' "$folder/log" | tee "$folder/report"
grep -Eq 'lora_A\.one\.weight +\| +.*MISSING' "$folder/report"
grep -q "newly initialized" "$folder/report"
if grep -Eq 'lora_[AB]\.two\.weight' "$folder/report"; then exit 1; fi
