"""HF generate on a Qwen checkpoint in bf16 on CUDA, and its logits beside those of ourvidz-qwen.

    python scripts/bench_hf_qwen.py MODEL_FOLDER [DUMP.safetensors ...]

Prints tokens per second at batch 1 behind a prompt of 200, and for each dump of `examples/bench_qwen.rs` the relative
L2 error of its logits and how many of its greedy tokens are torch's.
"""

import sys
import time

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

folder, *dumps = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, device_map="cuda").eval()
ids = torch.tensor([[7919 * i % 150000 for i in range(200)]], device="cuda")


@torch.no_grad()
def generate(count: int) -> float:
    torch.cuda.synchronize()
    started = time.perf_counter()
    model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=count,
        min_new_tokens=count,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    torch.cuda.synchronize()
    return time.perf_counter() - started


generate(8)
first, many = generate(1), generate(65)
print(f"torch {torch.__version__}, HF generate: prompt and first token {first * 1e3:.1f} ms, {64 / (many - first):.1f} tok/s")
for dump in dumps:
    found = load_file(dump)
    tokens = found["token_ids"].cuda()
    with torch.no_grad():
        logits = model(tokens[None]).logits[0].float()
    error = ((found["logits"].cuda() - logits).norm() / logits.norm()).item()
    chosen = logits[199:-1].argmax(-1)
    same = (chosen == tokens[200:]).sum().item()
    print(f"{dump}: relative L2 of logits {error:.1e}, {same} of {len(tokens) - 200} greedy tokens are torch's")
