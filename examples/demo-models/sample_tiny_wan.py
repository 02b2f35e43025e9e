"""Draws a few prompts with a trained `tiny-wan` by diffusers' WanPipeline, to look at.

    python sample_tiny_wan.py --model DIR/tiny-wan --out grid.png --score

A row for each prompt, with five frames of its clip. With --score: how large a part of each frame is nearest to the
colour that was asked for, and how far the middle of that part moves, in parts of the side. torch 2.11.0, diffusers
0.42.1.
"""

import argparse
import math
from pathlib import Path

import torch
from diffusers import WanPipeline
from PIL import Image

import tiny_wan_text as text
import world

PROMPTS = [  # With the colour of the shape and of the background.
    ("a red circle moving to the right on a white background", "red", "white"),
    ("a blue star moving up on beige", "blue", "beige"),
    ("a video of a green square turning on a black background", "green", "black"),
    ("a yellow heart growing on navy", "yellow", "navy"),
    ("a small purple triangle in the top left corner on a grey background", "purple", "grey"),
    ("a large pink ring on a plain white background", "pink", "white"),
    ("an orange crescent falling on a black background", "orange", "black"),
    ("a cyan cross moving left on a gradient from white to grey, high quality", "cyan", "white"),
    # Combinations that training never has.
    *(
        (f"a {colour} {shape} moving to the left on a white background", colour, "white")
        for shape, colour in sorted(world.HELD_OUT)[:3]
    ),
]


def score(video: torch.Tensor, colour: str) -> str:
    """video: [F, H, W, 3] in [0, 1] -> the colour's share and middle in the first and the last frame."""
    table = torch.tensor([*world.COLOURS.values(), *world.BACKGROUNDS.values()]) / 255
    out = []
    for frame in (video[0], video[-1]):
        nearest = torch.cdist(frame.flatten(0, 1), table).argmin(-1).view(frame.shape[:2])
        found = (nearest == list(world.COLOURS).index(colour)).float()
        rows, columns = (torch.linspace(-1, 1, n) for n in found.shape)
        total = found.sum().clamp_min(1)
        out.append((found.mean().item(), (found.sum(0) @ columns / total).item(), (found.sum(1) @ rows / total).item()))
    (share, x, y), (last, x_last, y_last) = out
    return f"{100 * share:4.1f} % at ({x:+.2f}, {y:+.2f}) -> {100 * last:4.1f} % at ({x_last:+.2f}, {y_last:+.2f})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", default="256*256", help="width*height")
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--guidance", type=float, default=6.0)
    parser.add_argument("--negative", choices=["empty", "published"], default="published")
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--score", action="store_true")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pipe = WanPipeline.from_pretrained(args.model, dtype=torch.float32).to(device)
    pipe.set_progress_bar_config(disable=True)
    width, height = map(int, args.size.split("*"))
    rows = []
    for prompt, colour, background in PROMPTS[: args.prompts]:
        video = pipe(
            prompt,
            negative_prompt=text.NEGATIVE if args.negative == "published" else "",
            height=height,
            width=width,
            num_frames=args.frames,
            num_inference_steps=args.steps,
            guidance_scale=args.guidance,
            generator=torch.Generator().manual_seed(args.seed),
            output_type="pt",
        ).frames[0]
        video = video.permute(0, 2, 3, 1).float().cpu()
        chosen = [round(k * (len(video) - 1) / 4) for k in range(5)] if len(video) > 1 else [0]
        rows.append(torch.cat([video[k] for k in chosen], 1))
        if args.score:
            corner = video[:, : height // 32, : width // 32].mean((0, 1, 2)) * 255
            off = math.dist(corner.tolist(), world.BACKGROUNDS[background])
            print(f"{prompt}\n    {score(video, colour)}; top left corner {off:.0f} from {background}", flush=True)
    grid = (torch.cat(rows) * 255).round().clamp(0, 255).byte().numpy()
    Image.fromarray(grid).save(args.out)


if __name__ == "__main__":
    main()
