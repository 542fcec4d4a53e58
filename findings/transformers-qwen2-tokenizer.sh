#!/usr/bin/env bash
# A tokenizer of its own beside a config.json of model type qwen2, read by AutoTokenizer.
#
# Versions: Python 3.11, transformers 5.23.0, tokenizers 0.23.3.
# Expected: what save_pretrained wrote is read again as it was. tokenizer.json holds the whole
#   pre-tokenizer, and tokenizer_config.json names the plain class (TokenizersBackend).
# Seen: as soon as the model's config.json lies in the same folder, the class that is named is
#   passed over and Qwen2's pre-tokenizer takes the place of the one in tokenizer.json. No
#   word of warning; the ids decode to the same text; where the two split alike nothing shows.
#   Without config.json, or with another model type (gpt_neox), the tokenizer comes back as it
#   was. So a folder with weights, and a server of it, reads other tokens than the training.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv env
env/bin/pip install --quiet transformers==5.23.0 tokenizers==0.23.3
cat > tokens.py <<'P'
import json, warnings
from pathlib import Path
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, decoders
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging

said = []
logging.get_logger("transformers").warning = lambda *words, **more: said.append(words)
warnings.showwarning = lambda *words: said.append(words)
letters = {letter: place for place, letter in enumerate(
    [*sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġ+", "Ġ+Ġ", "<end>"])}
inner = Tokenizer(models.BPE(vocab=letters, merges=[("Ġ", "+"), ("Ġ+", "Ġ")]))
inner.pre_tokenizer = pre_tokenizers.Sequence([
    pre_tokenizers.Split(Regex(r" [+\-*/=] |\d|\s|\p{L}+"), "isolated"),
    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
inner.decoder = decoders.ByteLevel()
own = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>")
own.save_pretrained("saved")
text, config = "1 + 2", Path("saved/config.json")
assert json.loads(Path("saved/tokenizer_config.json").read_text())["tokenizer_class"] \
    == "TokenizersBackend"
seen = {}
for kind in (None, "gpt_neox", "qwen2"):
    config.unlink(missing_ok=True)
    if kind:
        config.write_text(json.dumps({"model_type": kind}))
    read = AutoTokenizer.from_pretrained("saved")
    seen[kind] = type(read).__name__, read.tokenize(text), read.decode(read(text).input_ids)
    print(kind, seen[kind])
assert own.tokenize(text) == seen[None][1] == seen["gpt_neox"][1] == ["1", "Ġ+Ġ", "2"]
assert seen["qwen2"] == ("Qwen2Tokenizer", ["1", "Ġ+", "Ġ", "2"], text), seen["qwen2"]
assert not said, said
P
env/bin/python tokens.py
