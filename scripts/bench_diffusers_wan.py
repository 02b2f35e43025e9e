"""Times diffusers on a WAN checkpoint as `bench_wan_job` times OurVidz, to stand beside it on the same machine.

    python scripts/bench_diffusers_wan.py MODEL --device cuda --dtype bf16 --frames 81 --steps 25 --runs 2 [--compile]
    cargo run --release -p ourvidz-wan --example bench_wan_job -- MODEL cuda:0 81 25 2

Needs torch 2.11.0, diffusers 0.42.1, transformers 5.17.0. MODEL is a diffusers folder, for instance by
scripts/random_checkpoint_wan.py. The request is a `video_fast` job's: guidance 6.5, shift 5, UniPC, 480x832. The VAE has
the type of the rest: fp32 takes eager torch more than twice as long. --compile is `torch.compile` of the transformer.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from diffusers import UniPCMultistepScheduler, WanPipeline

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model", type=Path)
parser.add_argument("--device", default="cuda")
parser.add_argument("--dtype", choices=DTYPES, default="bf16")
parser.add_argument("--frames", type=int, default=81)
parser.add_argument("--steps", type=int, default=25)
parser.add_argument("--runs", type=int, default=2)
parser.add_argument("--width", type=int, default=480)
parser.add_argument("--height", type=int, default=832)
parser.add_argument("--compile", action="store_true")
arguments = parser.parse_args()

torch.backends.cudnn.benchmark = True
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
pipe = WanPipeline.from_pretrained(arguments.model, torch_dtype=DTYPES[arguments.dtype])
pipe.scheduler = UniPCMultistepScheduler.from_config(pipe.scheduler.config, flow_shift=5.0)
pipe.to(arguments.device).set_progress_bar_config(disable=True)
if arguments.compile:
    pipe.transformer.compile()
cuda = arguments.device.startswith("cuda")


def now() -> float:
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter()


request = {
    "prompt": "a red fox trots through fresh snow, handheld camera, golden hour",
    "negative_prompt": "blurry, low quality",
    "num_frames": arguments.frames,
    "num_inference_steps": arguments.steps,
    "guidance_scale": 6.5,
    "width": arguments.width,
    "height": arguments.height,
}
marks: list[float] = []


def note(pipe, index, timestep, tensors):
    marks.append(now())
    return tensors


for run in range(arguments.runs):
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    marks.clear()
    begun = now()
    generator = torch.Generator("cpu").manual_seed(42)
    frames = pipe(**request, generator=generator, output_type="pt", callback_on_step_end=note).frames
    ended = now()
    steps = [1e3 * (b - a) for a, b in zip(marks, marks[1:])]
    peak = f", peak {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB of tensors" if cuda else ""
    print(
        f"run {run}: {frames.shape[1]} frames in {ended - begun:.2f} s: encoding and first step {marks[0] - begun:.2f} s, "
        f"a step {statistics.median(steps):.1f} ms, decoding {ended - marks[-1]:.2f} s{peak}",
        flush=True,
    )
