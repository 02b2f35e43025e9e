"""Writes a full-size WAN 2.1 checkpoint of random numbers, for measuring.

    python scripts/random_checkpoint_wan.py [--model t2v_1.3b] [--dtype bf16] [--parts transformer,vae] OUT_FOLDER

Needs numpy alone. A diffusers folder; names and shapes are those of the published files (tests/golden/wan_keys), models
those of its configs/: t2v_1.3b, vace_1.3b, t2v_14b, i2v_14b_480p, flf2v_14b_720p, vace_14b. Numbers as in
random_checkpoint.py, gains of norms 1. The VAE is fp32 whatever the type, as published; the tokenizer is the tiny one
of the tests, whose ids are all in umT5's vocabulary. Without --parts all of transformer, vae and text_encoder: 15 GB.
"""

import argparse
import gzip
import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import random_checkpoint as base  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
KEYS = ROOT / "tests/golden/wan_keys"
TOKENIZER = ROOT / "tests/golden/wan/t2v_f32/tokenizer"


class Writer(base.Writer):
    def numbers(self, name: str, shape: list[int]):
        if name.endswith(".gamma"):
            yield base.encode(np.ones(math.prod(shape), np.float32), self.dtype)
        else:
            yield from super().numbers(name, shape)


def shapes_of(name: str) -> dict[str, list[int]]:
    listed = json.loads(gzip.decompress((KEYS / f"{name}.json.gz").read_bytes()))
    return {key: shape for key, (_, shape) in listed.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="t2v_1.3b")
    parser.add_argument("--dtype", choices=list(base.NAMES), default="bf16")
    parser.add_argument("--parts", default="transformer,vae,text_encoder")
    parser.add_argument("--std", type=float, default=0.02, help="of the embeddings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER")
    args = parser.parse_args()
    parts = {
        "transformer": (args.model, args.model, "diffusion_pytorch_model", args.dtype),
        "vae": ("vae", "vae", "diffusion_pytorch_model", "fp32"),
        "text_encoder": ("umt5_xxl", "umt5_xxl", "model", args.dtype),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(KEYS / "configs/model_index.json", args.out / "model_index.json")
    (args.out / "scheduler").mkdir(exist_ok=True)
    shutil.copyfile(KEYS / "configs/scheduler_config.json", args.out / "scheduler/scheduler_config.json")
    shutil.copytree(TOKENIZER, args.out / "tokenizer", dirs_exist_ok=True)
    for part in args.parts.split(","):
        keys, config, stem, dtype = parts[part]
        writer = Writer(dtype, args.std, args.seed)
        writer.file(args.out / part / f"{stem}.safetensors", shapes_of(keys))
        shutil.copyfile(KEYS / f"configs/{config}.json", args.out / part / "config.json")


if __name__ == "__main__":
    main()
