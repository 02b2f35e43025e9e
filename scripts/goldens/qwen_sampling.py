"""Writes ourvidz-qwen/tests/golden/sampling.json: logits by transformers' processors, whole arrays.

Run from the repository's root: python3 scripts/goldens/qwen_sampling.py
"""

import json
from pathlib import Path

import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

VOCABULARY = 48

# Temperature, top-k, top-p, repetition penalty; None: the step is left out.
CASES = [
    (0.7, None, None, None),
    (1.8, None, None, None),
    (None, 5, None, None),
    (None, 1, None, None),
    (None, 100, None, None),
    (None, None, 0.8, None),
    (None, None, 0.05, None),
    (None, None, 0.999, None),
    (None, None, None, 1.05),
    (None, None, None, 0.8),
    (0.7, 20, 0.8, 1.05),
    (1.3, 10, 0.5, 1.3),
]


def processors(temperature, top_k, top_p, penalty):
    steps = LogitsProcessorList()
    if penalty is not None:
        steps.append(RepetitionPenaltyLogitsProcessor(penalty))
    if temperature is not None:
        steps.append(TemperatureLogitsWarper(temperature))
    if top_k is not None:
        steps.append(TopKLogitsWarper(top_k))
    if top_p is not None:
        steps.append(TopPLogitsWarper(top_p))
    return steps


generator = torch.Generator().manual_seed(5)
cases = []
for case in CASES:
    logits = torch.randn(1, VOCABULARY, generator=generator) * 3
    if case[1] == 5:  # equal logits at the border of top-k
        logits[0, 7] = logits[0].sort(descending=True).values[4]
    previous = torch.randint(0, VOCABULARY, (1, 12), generator=generator)
    previous[0, 1] = previous[0, 0]  # a token that occurred twice is penalised once
    processed = processors(*case)(previous, logits.clone())
    cases.append(
        {
            **dict(zip(("temperature", "top_k", "top_p", "repetition_penalty"), case)),
            "previous": previous[0].tolist(),
            "logits": logits[0].tolist(),
            "processed": [None if x == float("-inf") else x for x in processed[0].tolist()],
        }
    )
path = Path("ourvidz-qwen/tests/golden/sampling.json")
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
