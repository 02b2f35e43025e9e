"""Writes ourvidz-qwen/tests/golden/chat.json: prompts by transformers' apply_chat_template.

The template is this project's own: ChatML with a default system message, in the manner of Qwen2.5's, and
with every construct that the renderer must agree on. Run from the repository's root:
python3 scripts/goldens/qwen_chat.py
"""

import json
from pathlib import Path

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from qwen_template import TEMPLATE

SYSTEM = {"role": "system", "content": "Answer in one line."}
USER = {"role": "user", "content": "A fox in <snow> & \"ice\"?\n  Two lines, trailing space "}
ASSISTANT = {"role": "assistant", "content": "  A red fox, golden hour.\n"}
AGAIN = {"role": "user", "content": "Στη νύχτα, 夜に 🌙 {{ not a variable }}"}

CASES = [
    ([USER], True),
    ([SYSTEM, USER], True),
    ([SYSTEM, USER, ASSISTANT, AGAIN], True),
    ([USER, ASSISTANT, AGAIN], True),
    ([USER, ASSISTANT], False),
    ([SYSTEM, USER, ASSISTANT], False),
    ([SYSTEM], False),
]

config = {
    "chat_template": TEMPLATE,
    "eos_token": {"content": "<|endoftext|>", "special": True},
    "bos_token": None,
}
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")), eos_token="<|endoftext|>"
)
tokenizer.chat_template = TEMPLATE
cases = [
    {
        "messages": messages,
        "add_generation_prompt": generate,
        "prompt": tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate),
    }
    for messages, generate in CASES
]
path = Path("ourvidz-qwen/tests/golden/chat.json")
path.parent.mkdir(parents=True, exist_ok=True)
golden = {"tokenizer_config": config, "cases": cases}
path.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
