"""PSNR of what `ourvidz` and diffusers draw with the same checkpoint, prompts and seeds, on the processor in fp32.

    python examples/demo-models/compare_with_diffusers.py --ourvidz target/release/ourvidz --model DIR [--steps 15]

DIR is a `tiny-sdxl` or a `tiny-wan`. torch 2.11.0, diffusers 0.42.1.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline, WanPipeline
from safetensors.torch import load_file

PICTURES = ["a red circle on a white background", "a green star above a yellow ring on beige", "an orange cross on navy"]
CLIPS = ["a red circle moving to the right on white", "a yellow heart growing on navy", "a green square turning on black"]

NEGATIVE = "blurry"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ourvidz", required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=15)
    options = parser.parse_args()
    video = not (options.model / "unet").is_dir()
    kind = WanPipeline if video else StableDiffusionXLPipeline
    pipe = kind.from_pretrained(options.model, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    with tempfile.TemporaryDirectory() as folder:
        for seed, prompt in enumerate(CLIPS if video else PICTURES, start=1):
            dump = Path(folder) / "dump.safetensors"
            ours = load_ours(options, prompt, seed, dump, video)
            theirs = draw(pipe, prompt, seed, options.steps, video)
            difference = ((ours.clamp(-1, 1) - theirs.clamp(-1, 1)) ** 2).mean().item()
            print(f"{10 * torch.log10(torch.tensor(4 / max(difference, 1e-12))):.1f} dB, seed {seed}: {prompt}")


def load_ours(options, prompt: str, seed: int, dump: Path, video: bool) -> torch.Tensor:
    # Where none is given, `ourvidz` takes WAN's own negative prompt and diffusers an empty one.
    common = ["--negative-prompt", NEGATIVE, "--model", options.model, "--prompt", prompt, "--seed", seed, "--rng", "torch-cpu", "--dump", dump]
    if video:
        steps = ["--size", "256*256", "--frame-num", 17, "--sample-steps", options.steps, "--sample-guide-scale", 6]
        command = ["generate", "video", *steps, "--save-file", dump.with_suffix(".mp4")]
    else:
        steps = ["--width", 256, "--height", 256, "--steps", options.steps, "--guidance-scale", 6]
        command = ["generate", "image", *steps, "--output", dump.with_suffix(".png")]
    subprocess.run([options.ourvidz, *map(str, [*command, *common])], check=True, capture_output=True)
    return load_file(dump)["video" if video else "image"].float()


@torch.no_grad()
def draw(pipe, prompt: str, seed: int, steps: int, video: bool) -> torch.Tensor:
    """In [-1, 1], shaped as `ourvidz` dumps it: [N, 3, H, W], of a clip its frames."""
    generator = torch.Generator().manual_seed(seed)
    shared = dict(negative_prompt=NEGATIVE, num_inference_steps=steps, guidance_scale=6.0, generator=generator, height=256, width=256)
    if video:
        frames = pipe(prompt, num_frames=17, output_type="pt", **shared).frames[0]
        return 2 * frames.float() - 1
    return 2 * pipe(prompt, output_type="pt", **shared).images.float() - 1


if __name__ == "__main__":
    main()
