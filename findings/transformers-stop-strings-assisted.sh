#!/usr/bin/env bash
# transformers' stop strings under prompt lookup (`prompt_lookup_num_tokens`), of text that repeats.
#
# Versions: Python 3.11, torch 2.13.0 (CPU), transformers 5.24.0; a random Qwen2 model to which a
#   logits processor dictates the text, so that the text is known.
# Expected: prompt lookup is faster and writes what greedy decoding writes; so it ends where that
#   ends.
# Seen: a step of prompt lookup takes several tokens, and stop strings are compared with its last
#   token alone. One that ends inside of the step is passed: "Result" stops the second time instead
#   of the first, "[VERIFY]\n" not at all, and a criterion of one's own that looks at the last token
#   fares alike. End tokens and lengths are looked for inside the step and stop as they should.
#   Texts of steps repeat their lines, which is where prompt lookup is quick, and are cut at a tag;
#   behind it stands whatever the model writes on. What helps: a tag of one token as an
#   eos_token_id; else a criterion that searches all new text, and cutting off what follows.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv env
env/bin/pip install --quiet torch==2.13.0 transformers==5.24.0 numpy
cat > stops.py <<'P'
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

inner = Tokenizer(models.BPE())
inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
inner.decoder = decoders.ByteLevel()
inner.train_from_iterator([""], trainers.BpeTrainer(
    vocab_size=257, special_tokens=["<pad>"],
    initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))  # a token a letter
tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>")
model = Qwen2ForCausalLM(Qwen2Config(
    vocab_size=257, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
    num_attention_heads=2, num_key_value_heads=2, pad_token_id=0)).eval()

step = "1. 12 + 9 = 21\nResult: 21\n[VERIFY]\n"
text = tokenizer(step * 4).input_ids
prompt = torch.tensor([tokenizer(step).input_ids])


def dictate(ids, scores):
    scores = torch.full_like(scores, -100.0)
    scores[:, text[ids.shape[1]]] = 0.0
    return scores


def ends_with_tag(ids, scores):
    return torch.tensor([tokenizer.decode(ids[0]).endswith("[VERIFY]\n")])


def written(**rules):
    ids = model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False,
                         logits_processor=[dictate], tokenizer=tokenizer, **rules)
    return tokenizer.decode(ids[0, prompt.shape[1]:])


def compared(name, **rules):
    rules = {"max_new_tokens": 80} | rules
    plain, lookup = written(**rules), written(prompt_lookup_num_tokens=10, **rules)
    print(f"{name}: {len(plain)} letters, with prompt lookup {len(lookup)}")
    assert lookup.startswith(plain)
    return len(plain), len(lookup)


assert compared("stop string Result", stop_strings=["Result"]) == (21, 56)
assert compared("stop string [VERIFY] and a new line", stop_strings=["[VERIFY]\n"]) == (35, 80)
assert compared("own criterion", stopping_criteria=[ends_with_tag]) == (35, 80)
assert compared("end token ]", eos_token_id=tokenizer("]").input_ids[0]) == (34, 34)
assert compared("length", max_new_tokens=40) == (40, 40)
P
env/bin/python stops.py 2> log.txt || { cat log.txt; exit 1; }
