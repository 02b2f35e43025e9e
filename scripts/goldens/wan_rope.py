"""Writes ourvidz-wan/tests/golden/wan_rope.safetensors: tables of diffusers' WanRotaryPosEmbed.

Run from the repository's root: python3 scripts/goldens/wan_rope.py
"""

from pathlib import Path

import torch
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed
from safetensors.torch import save_file

# Name, width of a head, patch, latent frames, rows, columns.
CASES = [
    ("published", 128, (1, 2, 2), (3, 8, 12)),
    ("uneven", 40, (1, 2, 2), (5, 6, 4)),
    ("long", 12, (1, 2, 2), (21, 2, 104)),
    ("patch", 24, (2, 1, 4), (4, 3, 8)),
]

tensors = {}
for name, head_dim, patch, latents in CASES:
    embed = WanRotaryPosEmbed(head_dim, patch, 1024)
    cos, sin = embed(torch.zeros(1, 16, *latents))  # [1, L, 1, D]
    tensors[f"{name}.cos"] = cos[0, :, 0].contiguous()
    tensors[f"{name}.sin"] = sin[0, :, 0].contiguous()

path = Path("ourvidz-wan/tests/golden/wan_rope.safetensors")
path.parent.mkdir(parents=True, exist_ok=True)
save_file(tensors, path)
