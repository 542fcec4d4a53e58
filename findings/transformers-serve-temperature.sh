#!/usr/bin/env bash
# `transformers serve` and a temperature above 0.
#
# Versions: Python 3.11, torch 2.13.0, transformers 5.23.0 with the packages of its extra
#   `serving` (fastapi 0.165.0, openai 3.57.0, uvicorn 0.54.0), a random Qwen2 model.
# Expected of an OpenAI-compatible server: temperature 2 draws, and other seeds draw other texts.
# Seen: the request is taken (200) and answered greedily, whatever temperature and seed: only a
#   temperature of 0 sets `do_sample`, none above 0 does, and a saved model's generation
#   config says no. With do_sample true in generation_config.json it draws. So best of n, votes
#   and sampled evaluations against this server are n times one text, silently.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); server=; trap 'kill $server 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv env
env/bin/pip install --quiet torch==2.13.0 transformers==5.23.0 numpy accelerate==1.15.0 \
    fastapi==0.165.0 openai==3.57.0 uvicorn==0.54.0
cat > make.py <<'P'
import json, shutil, torch
from pathlib import Path
from tokenizers import Tokenizer, models, pre_tokenizers, decoders
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
torch.manual_seed(0)
letters = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
inner = Tokenizer(models.BPE(vocab=letters, merges=[]))
inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
inner.decoder = decoders.ByteLevel()
PreTrainedTokenizerFast(tokenizer_object=inner).save_pretrained("plain")
Qwen2ForCausalLM(Qwen2Config(
    vocab_size=256, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
    num_attention_heads=2, num_key_value_heads=2)).save_pretrained("plain")
shutil.copytree("plain", "draws")
path = Path("draws/generation_config.json")
path.write_text(json.dumps(json.loads(path.read_text()) | {"do_sample": True}))
Path("home/hub").mkdir(parents=True)
P
env/bin/python make.py
port=$(env/bin/python -c "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])")
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 env/bin/transformers serve --host 127.0.0.1 \
    --port "$port" >log 2>&1 & server=$!
cat > ask.py <<'P'
import json, socket, sys, time, urllib.request
for _ in range(600):
    try:
        socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1).close()
        break
    except OSError:
        time.sleep(0.2)

def ask(model, temperature, seed):
    body = json.dumps({"model": model, "prompt": "abc", "max_tokens": 24, "seed": seed,
                       "temperature": temperature}).encode()
    with urllib.request.urlopen(urllib.request.Request(
            f"http://127.0.0.1:{sys.argv[1]}/v1/completions", body,
            {"Content-Type": "application/json"}), timeout=120) as answer:
        return json.load(answer)["choices"][0]["text"]

greedy = ask("plain", 0.0, 1)
drawn = {name: {ask(name, 2.0, seed) for seed in range(4)} for name in ("plain", "draws")}
print({name: len(texts) for name, texts in drawn.items()}, "different texts of 4")
assert drawn["plain"] == {greedy}
assert len(drawn["draws"]) == 4
P
env/bin/python ask.py "$port" || { cat log; exit 1; }
