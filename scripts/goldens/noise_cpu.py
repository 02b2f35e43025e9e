"""Goldens of ourvidz-core's CPU noise: torch.randn with a seeded CPU generator.

    python scripts/goldens/noise_cpu.py          # needs torch, safetensors; made with torch 2.11

Writes ourvidz-core/tests/golden/noise_cpu.safetensors. Each tensor is named seed.length,length,...: the lengths
are consecutive calls on one generator, their numbers one after another. Long tensors are thinned, see thin().
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

OUT = Path(__file__).parents[2] / "ourvidz-core/tests/golden/noise_cpu.safetensors"
SEEDS = [0, 42, 2**32 + 7]
# 3, 5, 16, 2: an odd short call leaves a cached number that the call of 16 must not consume.
CALLS = [[1], [15], [16], [17], [100], [1000], [3, 5, 16, 2], [100, 33, 7], [65_536]]


def thin(x: torch.Tensor) -> torch.Tensor:
    """Whole up to 2000 elements; else the first 64, every 499th, the last 64."""
    return x if x.numel() <= 2000 else torch.cat([x[:64], x[::499], x[-64:]])


def main() -> None:
    tensors = {}
    for seed in SEEDS:
        for lengths in CALLS:
            generator = torch.Generator("cpu").manual_seed(seed)
            parts = [thin(torch.randn(length, generator=generator)) for length in lengths]
            tensors[f"{seed}.{','.join(map(str, lengths))}"] = torch.cat(parts)
    save_file(tensors, OUT, metadata={"torch": torch.__version__})


if __name__ == "__main__":
    main()
