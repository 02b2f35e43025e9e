"""Writes ourvidz-qwen/tests/golden/chat.json: prompts by transformers' apply_chat_template.

The templates are this project's own (qwen_template.py). Run from the repository's root:
python3 scripts/goldens/qwen_chat.py
"""

import json
from pathlib import Path

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from qwen_template import TEMPLATE, THINKING

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
THOUGHT = {"role": "assistant", "content": "<think>\nA fox,\nthen.\n</think>\n\nA red fox."}
EMPTY = {"role": "assistant", "content": "<think>\n\n</think>\n\nA fox."}
OBSERVED = {"role": "user", "content": "<observed>\tsnow</observed>"}
THINKING_CASES = [
    ([USER], True),
    ([SYSTEM, USER], True),
    ([USER, THOUGHT, AGAIN], True),
    ([SYSTEM, USER, EMPTY, AGAIN, ASSISTANT, USER], True),
    ([USER, THOUGHT, OBSERVED], True),
    ([USER, THOUGHT], False),
    ([USER, ASSISTANT], False),
    ([SYSTEM, USER, EMPTY], False),
]
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")), eos_token="<|endoftext|>"
)


def rendered(template, messages, generate, thinking) -> dict:
    tokenizer.chat_template = template
    asked = {} if thinking is None else {"enable_thinking": thinking}
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate, **asked)
    return {"messages": messages, "add_generation_prompt": generate, **asked, "prompt": prompt}


config = {
    "chat_template": TEMPLATE,
    "eos_token": {"content": "<|endoftext|>", "special": True},
    "bos_token": None,
}
golden = {
    "tokenizer_config": config,
    "cases": [rendered(TEMPLATE, *case, None) for case in CASES],
    "thinking_template": THINKING,
    "thinking_cases": [rendered(THINKING, *case, on) for on in (None, True, False) for case in THINKING_CASES],
}
path = Path("ourvidz-qwen/tests/golden/chat.json")
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
