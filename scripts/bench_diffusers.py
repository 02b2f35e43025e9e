"""Times diffusers on a checkpoint and writes what it computes, to stand beside OurVidz on the same machine.

    python scripts/bench_diffusers.py MODEL --device cuda --dtype fp16 --steps 10 --images 1 --out reference.safetensors
    ourvidz generate image --model MODEL --device cuda:0 --precision fp16 --steps 10 --prompt "a red fox in fresh snow" \
        --negative-prompt blurry --latents reference.latents.safetensors --dump ours.safetensors
    python scripts/compare_dumps.py ours.safetensors reference.safetensors

Needs torch 2.11.0, diffusers 0.42.1, transformers 5.17.0, safetensors. MODEL is a diffusers folder, for instance by
scripts/random_checkpoint.py. Initial noise is that of seed 3 on the processor and is written beside the output.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import save_file

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
REPEATS = 3

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model", type=Path)
parser.add_argument("--device", default="cuda")
parser.add_argument("--dtype", choices=DTYPES, default="fp16")
parser.add_argument("--steps", type=int, default=10)
parser.add_argument("--images", type=int, default=1)
parser.add_argument("--size", type=int, default=1024)
parser.add_argument("--out", type=Path, default=Path("reference.safetensors"))
arguments = parser.parse_args()

pipe = StableDiffusionXLPipeline.from_pretrained(arguments.model, torch_dtype=DTYPES[arguments.dtype]).to(arguments.device)
pipe.set_progress_bar_config(disable=True)
pipe.unet.to(memory_format=torch.channels_last)
pipe.vae.to(memory_format=torch.channels_last)
torch.backends.cudnn.benchmark = True

side = arguments.size // pipe.vae_scale_factor
shape = (arguments.images, pipe.unet.config.in_channels, side, side)
latents = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(3))
save_file({"latents": latents}, arguments.out.with_suffix(".latents.safetensors"))
request = {
    "prompt": "a red fox in fresh snow",
    "negative_prompt": "blurry",
    "num_inference_steps": arguments.steps,
    "guidance_scale": 7.5,
    "height": arguments.size,
    "width": arguments.size,
    "num_images_per_prompt": arguments.images,
}


def run(output_type, dump=None):
    """One run from the same noise; `dump` takes predictions after guidance and latents after each step."""
    plain = pipe.scheduler.step

    def step(model_output, *rest, **options):
        result = plain(model_output, *rest, **options)
        index = len(dump) // 2
        dump[f"noise_pred.{index}"] = model_output.float().cpu().contiguous()
        dump[f"latents.{index}"] = result[0].float().cpu().contiguous()
        return result

    pipe.scheduler.step = plain if dump is None else step
    images = pipe(**request, latents=latents.to(arguments.device, DTYPES[arguments.dtype]), output_type=output_type).images
    pipe.scheduler.step = plain
    return images


def median_ms(work):
    """Median of REPEATS after one run to warm up."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        work()
        if arguments.device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[1:])


dump = {}
picture = run("pt", dump)
dump["image"] = (picture.float().cpu() * 2 - 1).contiguous()
save_file(dump, arguments.out)
whole, denoised = median_ms(lambda: run("pt")), median_ms(lambda: run("latent"))
what = f"diffusers eager {arguments.dtype}, {arguments.images} images of {arguments.size}x{arguments.size}"
print(f"{what}: {arguments.steps} steps in all {whole:.1f} ms, a step {denoised / arguments.steps:.2f} ms")
