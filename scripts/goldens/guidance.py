"""Goldens of ourvidz-core's guidance: classifier-free guidance and rescale_noise_cfg of diffusers.

    python scripts/goldens/guidance.py           # needs torch, diffusers, safetensors; made with diffusers 0.42.1

Writes ourvidz-core/tests/golden/guidance.safetensors.
"""

from pathlib import Path

import torch
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import rescale_noise_cfg
from safetensors.torch import save_file

OUT = Path(__file__).parents[2] / "ourvidz-core/tests/golden/guidance.safetensors"


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    unconditional = torch.randn(1, 4, 8, 8, generator=generator)
    conditional = 0.5 * torch.randn(1, 4, 8, 8, generator=generator) + 0.1
    tensors = {"unconditional": unconditional.flatten(), "conditional": conditional.flatten()}
    for scale in [1.0, 5.0, 7.5]:
        guided = unconditional + scale * (conditional - unconditional)
        tensors[f"guided.{scale}"] = guided.flatten()
        for rescale in [0.0, 0.7, 1.0]:
            rescaled = rescale_noise_cfg(guided, conditional, guidance_rescale=rescale)
            tensors[f"rescaled.{scale}.{rescale}"] = rescaled.flatten().contiguous()
    save_file(tensors, OUT)


if __name__ == "__main__":
    main()
