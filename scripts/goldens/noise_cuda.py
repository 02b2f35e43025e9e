"""Goldens of ourvidz-core's CUDA noise: torch.randn with a seeded CUDA generator.

    python scripts/goldens/noise_cuda.py [OUT]   # needs a CUDA card, torch, safetensors

Writes noise_cuda.safetensors (default: ourvidz-core/tests/golden/). Each tensor is named
seed.length,length,...: the lengths are consecutive calls on one generator, their numbers one after another. Long
tensors are thinned, see thin(). The metadata holds the card: numbers of large tensors depend on it.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

OUT = Path(__file__).parents[2] / "ourvidz-core/tests/golden/noise_cuda.safetensors"
SEEDS = [0, 42, 2**32 + 7]
CALLS = [[1], [15], [100], [1000], [16_384], [65_536], [300_000], [2_096_640], [100, 300_000]]


def thin(x: torch.Tensor) -> torch.Tensor:
    """Whole up to 20 000 elements; else the first 64, every 4999th, the last 64."""
    return x if x.numel() <= 20_000 else torch.cat([x[:64], x[::4999], x[-64:]])


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    tensors = {}
    for seed in SEEDS:
        for lengths in CALLS:
            generator = torch.Generator("cuda").manual_seed(seed)
            parts = [thin(torch.randn(n, generator=generator, device="cuda").cpu()) for n in lengths]
            tensors[f"{seed}.{','.join(map(str, lengths))}"] = torch.cat(parts)
    card = torch.cuda.get_device_properties(0)
    metadata = {
        "torch": torch.__version__,
        "card": card.name,
        "multiprocessors": str(card.multi_processor_count),
        "threads_per_multiprocessor": str(card.max_threads_per_multi_processor),
    }
    save_file(tensors, out, metadata=metadata)
    print(out, metadata)


if __name__ == "__main__":
    main()
