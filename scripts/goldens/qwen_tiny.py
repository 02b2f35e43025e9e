"""Tiny random Qwen checkpoints and what transformers makes of them: tests/golden/qwen/.

    python scripts/goldens/qwen_tiny.py           # torch 2.11.0, transformers 5.17.0, tokenizers 0.23

    {model}/                 config.json, weights, tokenizer, chat template
    {model}/golden.safetensors
        prompt_ids [T], prompt_logits [T, V], hidden_states [T, D]     one forward
        decoded_ids [32], decoded_logits [32, V]                       greedy, with transformers' cache
        int4_logits [T, V]                                             of weights rounded to four bits (qwen2_tied)
    {model}/text.json        the prompt and the text of the decoded tokens
    tokens.json.gz           2,000 texts and the ids of AutoTokenizer

The published vocabulary has 151,643 entries; this one is trained here, by the same pre-tokenizer, normaliser and kinds
of special tokens, on lines of many scripts.
"""

import gzip
import json
import random
import shutil
import unicodedata
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Regex
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

import wan_strings
from qwen_template import TEMPLATE

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/golden/qwen"
VOCABULARY = 500  # Without special tokens.
ROWS = 512
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PROMPT = "A red fox in the snow, 雪の中, лиса: golden hour!"
STEPS = 32
BLOCK = 32

SHAPE = dict(
    vocab_size=ROWS,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    rope_theta=1e6,
    rms_norm_eps=1e-6,
    bos_token_id=VOCABULARY,
    eos_token_id=VOCABULARY + 2,
)
MODELS = {
    "qwen2_tied": (Qwen2Config(**SHAPE, tie_word_embeddings=True), Qwen2ForCausalLM, torch.float32, "5GB"),
    "qwen2_untied": (Qwen2Config(**SHAPE, tie_word_embeddings=False), Qwen2ForCausalLM, torch.bfloat16, "100KB"),
    "qwen3": (
        Qwen3Config(**SHAPE | {"rope_theta": 1e4}, head_dim=32, tie_word_embeddings=True),
        Qwen3ForCausalLM,
        torch.bfloat16,
        "5GB",
    ),
}


def tokenizer_json() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(wan_strings.corpus() * 3, trainer)
    assert tokenizer.get_vocab_size() == VOCABULARY
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIALS])
    return tokenizer


def write_tokenizer(folder: Path) -> None:
    tokenizer_json().save(str(folder / "tokenizer.json"), pretty=False)
    added = {
        str(VOCABULARY + i): dict(content=text, lstrip=False, normalized=False, rstrip=False, single_word=False, special=True)
        for i, text in enumerate(SPECIALS)
    }
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": SPECIALS[1:],
        "bos_token": None,
        "chat_template": TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 256,
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def randomise(model: torch.nn.Module, dtype: torch.dtype) -> None:
    """Weights at which attention is neither flat nor one token; exact in the type of the file."""
    generator = torch.Generator().manual_seed(7)
    for name, value in model.named_parameters():
        numbers = torch.randn(value.shape, generator=generator)
        if name.endswith("norm.weight"):
            numbers = 1 + 0.2 * numbers
        elif name.endswith("bias"):
            numbers = 0.3 * numbers
        else:
            numbers = numbers * value.shape[-1] ** -0.5 * (2 if "q_proj" in name or "k_proj" in name else 1)
        value.data = numbers.to(dtype).float()


@torch.no_grad()
def rounded(model: torch.nn.Module) -> None:
    """Every matrix of a linear layer to four bits and back: a scale per 32 of a row, the largest magnitude at -8."""
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())  # The table itself stays.
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear):
            blocks = layer.weight.data.view(-1, BLOCK)
            largest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
            scale = largest / -8
            numbers = (blocks * (1 / scale) + 8.5).floor().clamp(0, 15)
            layer.weight.data = ((numbers - 8) * scale).view_as(layer.weight)


@torch.no_grad()
def golden(folder: Path, model, tokenizer, int4: bool) -> None:
    ids = tokenizer(PROMPT, return_tensors="pt").input_ids
    out = model(ids, output_hidden_states=True)
    logits, cache, token = [], model(ids, use_cache=True).past_key_values, out.logits[0, -1].argmax()
    decoded = []
    for _ in range(STEPS):
        decoded.append(int(token))
        step = model(token.view(1, 1), past_key_values=cache, use_cache=True)
        logits.append(step.logits[0, -1])
        token = logits[-1].argmax()
    whole = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=STEPS, do_sample=False, repetition_penalty=1.0, eos_token_id=None, pad_token_id=0)
    assert whole[0, ids.shape[1] :].tolist() == decoded
    assert not set(decoded) & {VOCABULARY, VOCABULARY + 1, VOCABULARY + 2}, decoded
    tensors = {
        "prompt_ids": ids[0],
        "prompt_logits": out.logits[0],
        "hidden_states": out.hidden_states[-1][0],
        "decoded_ids": torch.tensor(decoded),
        "decoded_logits": torch.stack(logits),
    }
    if int4:
        rounded(model)
        tensors["int4_logits"] = model(ids).logits[0]
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "golden.safetensors")
    text = tokenizer.decode(decoded, skip_special_tokens=True)
    (folder / "text.json").write_text(json.dumps({"prompt": PROMPT, "text": text}, indent=2, ensure_ascii=False) + "\n")
    print(folder.name, ids.shape[1], "tokens;", repr(text))


def texts() -> list[str]:
    draw = random.Random(11)
    lines = wan_strings.texts()[:-1]
    spaces = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u3000", " \n ", "\n  x", "\u2028"]
    glue = ["'s", "'T", "'re", "'VE", "'m", "'ll", "'d", "’s", "123", "4567", "٣٤٥", "½", "!?", "...", "——", "_a", "</p>"]
    ranges = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x590, 0x700), (0x900, 0xE80), (0x1100, 0x1200)]
    ranges += [(0x1E00, 0x2000), (0x2000, 0x2400), (0x3040, 0x3100), (0x4E00, 0x9FFF), (0xAC00, 0xD7A4), (0x1F300, 0x1F700)]
    out = list(dict.fromkeys(lines))
    while len(out) < 2000:
        parts = []
        for _ in range(draw.randrange(1, 6)):
            kind = draw.randrange(6)
            if kind < 2:
                line = draw.choice(lines) or "x"
                start = draw.randrange(len(line))
                parts.append(line[start : start + draw.randrange(1, 14)])
            elif kind == 2:
                parts.append(draw.choice(spaces))
            elif kind == 3:
                parts.append(draw.choice(glue))
            elif kind == 4:
                low, high = draw.choice(ranges)
                parts.append("".join(chr(draw.randrange(low, high)) for _ in range(draw.randrange(1, 5))))
            else:
                parts.append(draw.choice(SPECIALS + ["<|im_start", "|im_end|>", "<|", unicodedata.normalize("NFD", "é한ñ")]))
        out.append("".join(parts))
    return out


def main() -> None:
    for name, (config, cls, dtype, shard) in MODELS.items():
        folder = OUT / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        model = cls(config).eval()
        randomise(model, dtype)
        model.to(dtype).save_pretrained(folder, max_shard_size=shard)
        write_tokenizer(folder)
        generation = {"bos_token_id": VOCABULARY, "do_sample": True, "eos_token_id": [VOCABULARY + 2, VOCABULARY]}
        generation |= {"pad_token_id": VOCABULARY, "repetition_penalty": 1.05, "temperature": 0.7, "top_k": 20, "top_p": 0.8}
        (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        # Read again: the change of type has rounded the rotary frequencies of the model that was written.
        model = cls.from_pretrained(folder, dtype=torch.float32).eval()
        golden(folder, model, tokenizer, name == "qwen2_tied")
    strings = texts()
    ids = [tokenizer(text).input_ids for text in strings]
    data = json.dumps({"texts": strings, "ids": ids}, ensure_ascii=False, separators=(",", ":")).encode()
    (OUT / "tokens.json.gz").write_bytes(gzip.compress(data, 9, mtime=0))
    print(type(tokenizer).__name__, len(strings), "texts,", sum(map(len, ids)), "tokens")


if __name__ == "__main__":
    main()
