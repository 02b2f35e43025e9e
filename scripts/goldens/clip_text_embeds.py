"""Embeddings of texts by CLIP's projected text encoder: tests/golden/sdxl_text_embeds.safetensors and .json.

    python scripts/goldens/clip_text_embeds.py      # made with transformers 5.17.0, torch 2.11.0 on a CPU

`{name}` f32 [N, P]: `text_embeds` of CLIPTextModelWithProjection in fp32, scaled to length 1, by text_encoder_2 of the
tiny checkpoints in tests/golden/sdxl, for the texts of the .json file padded and cut to 77 tokens.
"""

import json

import torch
import transformers
from safetensors.torch import save_file
from transformers import CLIPTextModelWithProjection, CLIPTokenizer

import sdxl_common as common

NAMES = ["linear_eps", "conv_vpred", "linspace_bf16"]
TEXTS = [
    "a red fox in fresh snow, golden hour",
    "an arctic fox",
    "a city at night, neon, rain!",
    "",
    "Ein Schloss über den Wolken, 35mm",
    "雪の中を走る赤い狐",
    "a very long walk through the winter forest, " * 14,
]
OUT = common.ROOT / "tests/golden"


def main() -> None:
    torch.set_num_threads(1)
    tensors = {}
    for name in NAMES:
        folder = OUT / "sdxl" / name
        variant = "fp16" if (folder / "text_encoder_2/model.fp16.safetensors").exists() else None
        model = CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2", variant=variant, dtype=torch.float32)
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer_2")
        ids = tokenizer(TEXTS, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        with torch.no_grad():
            tensors[name] = torch.nn.functional.normalize(model.eval()(ids).text_embeds, dim=-1).contiguous()
    origin = f"scripts/goldens/clip_text_embeds.py: transformers {transformers.__version__}, torch {torch.__version__}"
    save_file(tensors, OUT / "sdxl_text_embeds.safetensors", metadata={"origin": origin})
    (OUT / "sdxl_text_embeds.safetensors").chmod(0o644)
    (OUT / "sdxl_text_embeds.json").write_text(json.dumps(TEXTS, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
