"""Writes a full-size SDXL checkpoint of random numbers, for measuring.

    python scripts/random_checkpoint.py --layout single --dtype fp16 OUT.safetensors
    python scripts/random_checkpoint.py --layout diffusers --dtype fp16 OUT_FOLDER [--variant fp16]

Needs numpy alone. Names and shapes are those of stable-diffusion-xl-base-1.0 (tests/golden/sdxl_base_keys). Weights are
normal with a deviation of 1 / sqrt(fan-in), embeddings of --std, norms 1 and biases 0, so that values stay finite
from end to end. Numbers repeat: every tensor starts somewhere in one seeded block of 4 Mi of them (--seed), which keeps
memory below 300 MB (600 MB in fp32) and lets the disk set the pace. The folder layout has tokenizers with CLIP's whole vocabulary.
"""

import argparse
import gzip
import json
import math
import shutil
import struct
import sys
import time
import zlib
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent / "goldens"))
import sdxl_common as common  # noqa: E402

KEYS = common.ROOT / "tests/golden/sdxl_base_keys"
NAMES = {"fp16": "F16", "fp32": "F32", "bf16": "BF16"}
BLOCK = 1 << 22
COMPONENTS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
}


def encode(values: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "bf16":
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return values.astype(np.float16 if dtype == "fp16" else np.float32)


def deviation(name: str, shape: list[int], std: float) -> float:
    if any("embedding" in part for part in name.split(".")[-2:]):
        return std
    return 1 / math.sqrt(math.prod(shape[1:]))


class Writer:
    def __init__(self, dtype: str, std: float, seed: int):
        self.dtype, self.std = dtype, std
        self.width = 4 if dtype == "fp32" else 2
        block = np.random.default_rng(seed).standard_normal(BLOCK, dtype=np.float32)
        self.block = np.clip(block, -4, 4)
        self.encoded: dict[float, np.ndarray] = {}  # The block by deviation; there are some twenty.

    def numbers(self, name: str, shape: list[int]):
        count = math.prod(shape)
        if len(shape) < 2:
            value = 1.0 if name.endswith((".weight", ".logit_scale")) else 0.0
            yield encode(np.full(count, value, np.float32), self.dtype)
            return
        scale = deviation(name, shape, self.std)
        if scale not in self.encoded:
            self.encoded[scale] = encode(self.block * np.float32(scale), self.dtype)
        block, start = self.encoded[scale], zlib.crc32(name.encode()) % BLOCK
        while count > 0:
            piece = block[start : start + count]
            yield piece
            count -= len(piece)
            start = 0

    def file(self, path: Path, shapes: dict[str, list[int]]) -> None:
        integer = lambda name: name.endswith("position_ids")
        header, offset = {"__metadata__": {"format": "pt", "title": "random numbers, not a model"}}, 0
        order = sorted(shapes, key=lambda name: (not integer(name), name))
        for name in order:
            end = offset + math.prod(shapes[name]) * (8 if integer(name) else self.width)
            kind = "I64" if integer(name) else NAMES[self.dtype]
            header[name] = {"dtype": kind, "shape": shapes[name], "data_offsets": [offset, end]}
            offset = end
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        path.parent.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        with open(path, "wb", buffering=0) as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for name in order:
                if integer(name):
                    file.write(np.arange(math.prod(shapes[name]), dtype=np.int64).tobytes())
                    continue
                for piece in self.numbers(name, shapes[name]):
                    file.write(piece.data)
        assert path.stat().st_size == 8 + len(text) + offset
        print(f"{path}: {offset / 1e9:.2f} GB in {time.monotonic() - started:.1f} s")


def shapes_of(name: str) -> dict[str, list[int]]:
    return json.loads(gzip.decompress((KEYS / f"{name}.json.gz").read_bytes()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--layout", choices=["diffusers", "single"], required=True)
    parser.add_argument("--dtype", choices=list(NAMES), default="fp16")
    parser.add_argument("--std", type=float, default=0.02, help="of the embeddings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variant", help="of the file names, as in diffusion_pytorch_model.fp16.safetensors")
    parser.add_argument("out", type=Path, metavar="OUT")
    args = parser.parse_args()
    writer = Writer(args.dtype, args.std, args.seed)
    if args.layout == "single":
        return writer.file(args.out, shapes_of("single_file"))
    for path in KEYS.rglob("*.json"):
        target = args.out / path.relative_to(KEYS)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    common.write_tokenizer(args.out / "tokenizer", common.EOS)
    common.write_tokenizer(args.out / "tokenizer_2", "!")
    suffix = f".{args.variant}" if args.variant else ""
    for component, stem in COMPONENTS.items():
        writer.file(args.out / component / f"{stem}{suffix}.safetensors", shapes_of(component))


if __name__ == "__main__":
    main()
