"""Writes a full-size Qwen checkpoint of random numbers, for measuring.

    python scripts/random_checkpoint_qwen.py [--model qwen2.5_7b_instruct] [--dtype bf16] OUT_FOLDER

Needs numpy alone. Names and shapes are those of the published files (tests/golden/qwen_keys), models those of its
configs/: qwen2.5_7b, qwen2.5_7b_instruct, qwen2.5_0.5b, qwen3_embedding_0.6b. Numbers as in random_checkpoint.py, the
token table with a deviation of --std. The tokenizer is the tiny one of the tests, whose ids are all in the vocabulary.
"""

import argparse
import gzip
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import random_checkpoint as base  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
KEYS = ROOT / "tests/golden/qwen_keys"
TOKENIZER = ROOT / "tests/golden/qwen/qwen2_tied"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="qwen2.5_7b_instruct")
    parser.add_argument("--dtype", choices=list(base.NAMES), default="bf16")
    parser.add_argument("--std", type=float, default=0.02, help="of the token table")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER")
    args = parser.parse_args()
    listed = json.loads(gzip.decompress((KEYS / f"{args.model}.json.gz").read_bytes()))
    args.out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(KEYS / "configs" / f"{args.model}.json", args.out / "config.json")
    for name in ["tokenizer.json", "tokenizer_config.json"]:
        shutil.copyfile(TOKENIZER / name, args.out / name)
    writer = base.Writer(args.dtype, args.std, args.seed)
    shapes = {name: shape for name, (_, shape) in listed.items()}
    writer.file(args.out / "model.safetensors", shapes)


if __name__ == "__main__":
    main()
