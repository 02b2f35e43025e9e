"""Names, shapes and types of every tensor of published Qwen checkpoints: tests/golden/qwen_keys/.

    python scripts/goldens/qwen_keys.py           # no weights; made with torch 2.11.0, transformers 5.17.0

    configs/{model}.json     configurations with the published values
    {model}.json.gz          {name: [type, shape]}

The lists come from transformers on the meta device; the counts of parameters are those of the model cards. A tied
matrix is in a file once. Embedding checkpoints hold the inner model, so their names have no `model.`.
"""

import gzip
import json
import math
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/golden/qwen_keys"

QWEN2 = {
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151643,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "max_position_embeddings": 32768,
    "model_type": "qwen2",
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "use_sliding_window": False,
}
LARGE = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "max_window_layers": 28,
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "sliding_window": 131072,
    "tie_word_embeddings": False,
    "vocab_size": 152064,
}
SMALL = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "max_window_layers": 24,
    "num_attention_heads": 14,
    "num_hidden_layers": 24,
    "num_key_value_heads": 2,
    "sliding_window": 32768,
    "tie_word_embeddings": True,
    "vocab_size": 151936,
}
EMBEDDING = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151643,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 1024,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "max_position_embeddings": 32768,
    "max_window_layers": 28,
    "model_type": "qwen3",
    "num_attention_heads": 16,
    "num_hidden_layers": 28,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 151669,
}
# Configuration, class, parameters of the model card.
MODELS = {
    "qwen2.5_7b": (QWEN2 | LARGE | {"max_position_embeddings": 131072}, AutoModelForCausalLM, 7_615_616_512),
    "qwen2.5_7b_instruct": (QWEN2 | LARGE | {"eos_token_id": 151645}, AutoModelForCausalLM, 7_615_616_512),
    "qwen2.5_0.5b": (QWEN2 | SMALL, AutoModelForCausalLM, 494_032_768),
    "qwen3_embedding_0.6b": (EMBEDDING, AutoModel, 595_776_512),
}


def main() -> None:
    (OUT / "configs").mkdir(parents=True, exist_ok=True)
    for name, (values, cls, parameters) in MODELS.items():
        path = OUT / "configs" / f"{name}.json"
        path.write_text(json.dumps(values, indent=2) + "\n")
        with torch.device("meta"):
            model = cls.from_config(AutoConfig.for_model(**values))
        shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
        if values["tie_word_embeddings"]:
            shapes.pop("lm_head.weight", None)
        assert sum(map(math.prod, shapes.values())) == parameters, name
        listed = {key: ["BF16", shape] for key, shape in sorted(shapes.items())}
        data = json.dumps(listed, separators=(",", ":")).encode()
        (OUT / f"{name}.json.gz").write_bytes(gzip.compress(data, 9, mtime=0))
        print(f"{name}: {len(listed)} tensors, {parameters} parameters")


if __name__ == "__main__":
    main()
