#!/usr/bin/env bash
# A wrapper round `model.forward` that asks for `past_key_values`, under generate.
#
# Versions: Python 3.11, torch 2.13.0, transformers 5.23.0 and 5.24.0, a random Qwen2 model.
# Expected: 5.24 renames the argument to `cache` and takes the old name until 5.40, with a
#   warning; so code with the old name goes on working.
# Seen: that holds for who calls forward. For who stands in its place it does not: generate
#   passes `cache=` and the wrapper's `past_key_values` is None in every step, silently where
#   it passes **others on. The text stays right, what the wrapper did with the cache is gone.
#   What helps: the name that stands in the signature of the class's forward.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv env
env/bin/pip install --quiet torch==2.13.0 transformers==5.23.0 numpy
cat > wrapped.py <<'P'
import inspect, torch, transformers
from transformers import Qwen2Config, Qwen2ForCausalLM
torch.manual_seed(0)
model = Qwen2ForCausalLM(Qwen2Config(
    vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
    num_attention_heads=2, num_key_value_heads=2)).eval()
forward, seen = model.forward, []

def wrapped(input_ids, past_key_values=None, **others):
    seen.append(None if past_key_values is None else past_key_values.get_seq_length())
    given = {} if past_key_values is None else {"past_key_values": past_key_values}
    return forward(input_ids, **given, **others)

ids = torch.tensor([[1, 2, 3]])
rules = dict(do_sample=False, max_new_tokens=3, attention_mask=torch.ones_like(ids))
plain = model.generate(ids, **rules)
model.forward = wrapped
same = bool((model.generate(ids, **rules) == plain).all())
names = inspect.signature(Qwen2ForCausalLM.forward).parameters
print(transformers.__version__, "cache" in names, seen, "same text:", same)
P
env/bin/python wrapped.py 2> /dev/null | tee old.txt
env/bin/pip install --quiet transformers==5.24.0
env/bin/python wrapped.py 2> /dev/null | tee new.txt
grep -q "^5.23.0 False \[0, 3, 4\] same text: True" old.txt
grep -q "^5.24.0 True \[None, None, None\] same text: True" new.txt
