"""Draws prompts with diffusers and a trained `tiny-sdxl` into one picture, to look at.

    python examples/demo-models/sample_tiny_sdxl.py --model DIR --out grid.png [--steps 15] [--guidance-scale 6]
"""

import argparse

import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image

PROMPTS = [
    "a red circle on a white background",
    "a blue star",
    "a small green triangle in the top left corner",
    "a large yellow heart on black",
    "a purple ring on a gradient from white to navy",
    "an orange cross on navy",
    "a pink crescent",
    "a cyan square on grey",
    "a red circle to the left of a blue square",
    "a green star above a yellow ring on beige",
    # Held out of training:
    "an orange circle",
    "a yellow star on navy",
    "a green heart on white",
    "a red ring on black",
    "a blue cross on beige",
    "a cyan square and a pink triangle",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--guidance-scale", type=float, default=6.0)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    pipe = StableDiffusionXLPipeline.from_pretrained(options.model, torch_dtype=torch.float32).to(options.device)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    pictures = pipe(
        PROMPTS, height=256, width=256, num_inference_steps=options.steps, guidance_scale=options.guidance_scale,
        generator=generator,
    ).images  # fmt: skip
    sheet = Image.new("RGB", (4 * 256, 4 * 256))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % 4 * 256, i // 4 * 256))
    sheet.save(options.out)


if __name__ == "__main__":
    main()
