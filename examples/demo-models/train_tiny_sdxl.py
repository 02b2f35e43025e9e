"""Trains `tiny-sdxl`: two CLIP text encoders, a UNet and a VAE of the real architectures, on pictures of `world.py`.

    python examples/demo-models/train_tiny_sdxl.py --out DIR --work DIR [--minutes-vae 4] [--minutes 10] [--seed 0]

torch 2.11.0, diffusers 0.42.1, transformers 5.17.0. Both budgets are wall-clock; started again with the same `--work`,
it goes on where it was. The folder `OUT/tiny-sdxl` is in diffusers' layout, fp16.
"""

import argparse
import copy
import json
import random
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

import tiny_clip
import world
from training import Phase

SIZES = [(256, 256), (512, 512), (256, 384), (384, 256)]  # Height and width of a bucket.
SHARES = [0.7, 0.1, 0.1, 0.1]
CLOSE_UP, CLOSE_UPS = 64, 0.8  # Side of the windows that the VAE sees, and how often it sees them.
# ourvidz-core/src/job/sdxl.rs: what jobs have where they name none.
NEGATIVE = (
    "blurry, low quality, distorted, deformed, bad anatomy, watermark, signature, text, logo, extra limbs, missing limbs"
)
WIDTH = 48  # Of a text encoder.


def new_vae() -> AutoencoderKL:
    levels = (16, 24, 32, 48)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=levels,
        layers_per_block=1,
        # Few groups: what a group's channels have in common, a colour's brightness, is lost in it.
        norm_num_groups=2,
        latent_channels=4,
        sample_size=256,
    )


def new_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=32,
        block_out_channels=(32, 64, 80),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        transformer_layers_per_block=(1, 1, 1),
        attention_head_dim=(2, 4, 5),
        norm_num_groups=16,
        cross_attention_dim=2 * WIDTH,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=16,
        projection_class_embeddings_input_dim=6 * 16 + WIDTH,
    )


def new_text_encoders(tokens: int) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    shared = dict(
        vocab_size=tokens, hidden_size=WIDTH, intermediate_size=3 * WIDTH, num_attention_heads=3, projection_dim=WIDTH,
        max_position_embeddings=77, bos_token_id=0, pad_token_id=1, eos_token_id=2,
    )  # fmt: skip
    # The last layer of the first encoder takes no part in SDXL; the second's makes the pooled vector.
    first = CLIPTextConfig(**shared, num_hidden_layers=2, hidden_act="quick_gelu")
    second = CLIPTextConfig(**shared, num_hidden_layers=3, hidden_act="gelu")
    return CLIPTextModel(first), CLIPTextModelWithProjection(second)


SCHEDULER = dict(
    beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000, steps_offset=1,
    timestep_spacing="leading", prediction_type="epsilon",
)  # fmt: skip


# The VAE


def draw_close_ups(options) -> torch.Tensor:
    rng, parts = random.Random(f"{options.seed} close ups"), []
    for _ in range(0, options.pictures, 512):
        scenes = [world.draw_close_up(rng, frames=1) for _ in range(512)]
        part = world.render(world.tensors(scenes, options.device), 1, CLOSE_UP, CLOSE_UP)[:, 0]
        parts.append(((part + 1) * 127.5).round().clamp(0, 255).to(torch.uint8))
    return torch.cat(parts)


def train_vae(vae, average, pools, options) -> None:
    def loss_of(pool, batch):
        def loss():
            rows = torch.randint(len(pool), (batch,), device=options.device)
            x = pool[rows].float() / 127.5 - 1
            posterior = vae.encode(x).latent_dist
            mean, deviation = posterior.mean.float(), posterior.std.float()
            # Noise of 5 % on top: the UNet's latents are never exact either.
            z = mean + (deviation + 0.05 * mean.detach().std()) * torch.randn_like(mean)
            y = vae.decode(z).sample.float()
            off = y - x
            edges = sum(torch.diff(off, dim=d).abs().mean() for d in (2, 3))
            spread = (mean**2 + deviation**2 - 1 - 2 * deviation.clamp(min=1e-6).log()).mean()
            return off.abs().mean() + 2 * (off**2).mean() + 0.3 * edges + 1e-4 * spread

        return loss

    losses = [loss_of(draw_close_ups(options), 4 * options.batch_vae), loss_of(pools[0], options.batch_vae)]
    file = options.work / "vae.pt"
    Phase([vae], [average], losses, [CLOSE_UPS, 1 - CLOSE_UPS], 2e-3, options.minutes_vae, file, options.device, options.eager).run("vae")


@torch.no_grad()
def encode(vae, pool, device) -> torch.Tensor:
    """Means of the latents, [N, 4, H/8, W/8]."""
    with torch.autocast("cuda", torch.bfloat16, enabled=device.startswith("cuda")):
        parts = [vae.encode(part.float() / 127.5 - 1).latent_dist.mean.float() for part in pool.split(64)]
    return torch.cat(parts)


@torch.no_grad()
def check_vae(vae, pool) -> None:
    x = pool[:32].float() / 127.5 - 1
    y = vae.decode(vae.encode(x).latent_dist.mean).sample.clamp(-1, 1)
    print(f"vae: PSNR of 32 pictures {10 * torch.log10(4 / ((y - x) ** 2).mean()).item():.1f} dB", flush=True)


# The UNet and the text encoders


def train_unet(modules, averages, latents, tokens, empty, options) -> None:
    unet, first, second = modules
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = (1 - betas).cumprod(0).float().to(options.device)
    ratio = kept / (1 - kept)
    weight = ratio.clamp(max=5) / ratio  # Of the loss on the noise: min-SNR, gamma 5.

    def loss_of(pool, captions, size, batch):
        height, width = size
        time_ids = torch.tensor([[height, width, 0, 0, height, width]], device=options.device).float()
        # Drawn on the processor once: a recorded step may not wait for the device.
        negative = empty.to(options.device)

        def loss():
            rows = torch.randint(len(pool), (batch,), device=options.device)
            x = pool[rows].float().contiguous(memory_format=torch.channels_last)
            which = torch.randint(captions.shape[1], (batch,), device=options.device)
            ids = captions[rows, which].long()  # [B, 2, 77]
            dice = torch.rand(batch, 1, 1, device=options.device)
            ids = torch.where(dice < 0.05, negative, ids)
            one = first(ids[:, 0], output_hidden_states=True)
            two = second(ids[:, 1], output_hidden_states=True)
            embeds = torch.cat([one.hidden_states[-2], two.hidden_states[-2]], dim=-1)
            pooled = two.text_embeds
            dropped = dice > 0.9  # As an empty negative prompt: zeros.
            embeds, pooled = embeds * ~dropped, pooled * ~dropped[:, 0]
            # A little of the noise is the same everywhere: without it, brightness leaks through the last timestep.
            noise = torch.randn_like(x) + 0.05 * torch.randn(batch, 4, 1, 1, device=options.device)
            t = torch.randint(1000, (batch,), device=options.device)
            a = kept[t][:, None, None, None]
            added = {"text_embeds": pooled, "time_ids": time_ids.expand(batch, -1)}
            noisy = a.sqrt() * x + (1 - a).sqrt() * noise
            predicted = unet(noisy, t, encoder_hidden_states=embeds, added_cond_kwargs=added).sample.float()
            return (((predicted - noise) ** 2).mean((1, 2, 3)) * weight[t]).mean()

        return loss

    batches = [options.batch, max(1, options.batch // 4)] + [max(1, options.batch // 2)] * 2
    losses = [loss_of(*args) for args in zip(latents, tokens, SIZES, batches)]
    file = options.work / "unet.pt"
    Phase(modules, averages, losses, SHARES, 1.5e-3, options.minutes, file, options.device, options.eager).run("unet")


# The data


def draw_pools(options) -> tuple[list[torch.Tensor], list[list[list[str]]]]:
    """Pictures as bytes [N, 3, H, W] and their captions, by bucket; captions are of the scene, drawn in several ways."""
    counts = [max(4, int(options.pictures * (s if h * w < 2**18 else s / 2))) for s, (h, w) in zip(SHARES, SIZES)]
    # Processes fork before the device is in use.
    with ProcessPoolExecutor(options.processes, get_context("fork")) as processes:
        seeds = [[f"{options.seed} {size} {i}" for i in range(0, n, 1000)] for n, size in zip(counts, SIZES)]
        drawn = [[pair for part in processes.map(draw_captioned, many) for pair in part] for many in seeds]
    pools, captions = [], []
    for bucket, count, (height, width) in zip(drawn, counts, SIZES):
        scenes = [scene for scene, _ in bucket[:count]]
        captions.append([texts for _, texts in bucket[:count]])
        parts = []
        for i in range(0, count, 256):
            part = world.render(world.tensors(scenes[i : i + 256], options.device), 1, height, width)[:, 0]
            parts.append(((part + 1) * 127.5).round().clamp(0, 255).to(torch.uint8))
        pools.append(torch.cat(parts))
    return pools, captions


def draw_captioned(seed: str) -> list[tuple[world.Scene, list[str]]]:
    """A thousand scenes with three plain captions and a rich one each."""
    rng, drawn = random.Random(seed), []
    for _ in range(1000):
        scene = world.draw_scene(rng, video=False)
        drawn.append((scene, [world.caption(scene, rng) for _ in range(3)] + [world.rich_caption(scene, rng)]))
    return drawn


def tokenise(folder: Path, texts: list[str], device) -> torch.Tensor:
    """[N, 2, 77], of both tokenizers."""
    first, second = (CLIPTokenizer.from_pretrained(folder / name) for name in ("tokenizer", "tokenizer_2"))
    parts = []
    for i in range(0, len(texts), 20000):
        part = first(texts[i : i + 20000], padding="max_length", max_length=77, truncation=True)
        parts.append(torch.tensor(part.input_ids, dtype=torch.int16))
    ids = torch.cat(parts)
    # The two differ in what they pad with alone; the first pads with the token that ends a text.
    padding = (ids == first.eos_token_id).cumsum(1) > 1
    return torch.stack([ids, ids.masked_fill(padding, second.pad_token_id)], dim=1).to(device)


# The folder


def save(folder: Path, vae, unet, first, second) -> None:
    tokenizers = [CLIPTokenizer.from_pretrained(folder / name) for name in ("tokenizer", "tokenizer_2")]
    half = [copy.deepcopy(m).to("cpu", torch.float16).eval() for m in (vae, unet, first, second)]
    pipe = StableDiffusionXLPipeline(
        vae=half[0], unet=half[1], text_encoder=half[2], text_encoder_2=half[3], tokenizer=tokenizers[0],
        tokenizer_2=tokenizers[1], scheduler=EulerDiscreteScheduler(**SCHEDULER), add_watermarker=False,
    )  # fmt: skip
    kept = {name: {f.name: f.read_bytes() for f in (folder / name).iterdir()} for name in ("tokenizer", "tokenizer_2")}
    pipe.save_pretrained(folder)
    for name, files in kept.items():  # As written by us, without what transformers adds.
        for file in (folder / name).iterdir():
            file.unlink()
        for file, data in files.items():
            (folder / name / file).write_bytes(data)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    print(f"{folder}: {size / 2**20:.2f} MiB", flush=True)


def begin_from(folder: Path, modules) -> None:
    classes = (UNet2DConditionModel, CLIPTextModel, CLIPTextModelWithProjection)
    for module, kind, name in zip(modules, classes, ("unet", "text_encoder", "text_encoder_2")):
        module.load_state_dict(kind.from_pretrained(folder / name, dtype=torch.float32).state_dict())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes-vae", type=float, default=4)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--eager", action="store_true", help="no CUDA graphs")
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=8, help="that draw captions")
    parser.add_argument("--start-from", type=Path, help="a tiny-sdxl whose UNet and text encoders to begin with")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--batch-vae", type=int, default=32)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    folder = options.out / "tiny-sdxl"
    start = time.monotonic()
    lap = lambda what: print(f"{what} at {time.monotonic() - start:.0f} s", flush=True)

    pools, captions = draw_pools(options)
    torch.manual_seed(options.seed)
    lap(f"{sum(len(pool) for pool in pools)} pictures")
    texts = [text for bucket in captions for many in bucket for text in many]
    if options.start_from:
        for name in ("tokenizer", "tokenizer_2"):
            shutil.copytree(options.start_from / name, folder / name, dirs_exist_ok=True)
        count = len(CLIPTokenizer.from_pretrained(folder / "tokenizer"))
    else:
        count = tiny_clip.write_tokenizers(folder, texts[:20000] + [NEGATIVE])
    tokens = [
        tokenise(folder, [text for many in bucket for text in many], options.device).view(len(bucket), -1, 2, 77)
        for bucket in captions
    ]
    empty = tokenise(folder, [NEGATIVE], options.device)
    lap(f"{count} tokens; captions")

    vae = new_vae().to(options.device)
    average = copy.deepcopy(vae).requires_grad_(False)
    train_vae(vae, average, pools, options)
    check_vae(average, pools[0])
    latents = [encode(average, pool, options.device) for pool in pools]
    deviation = latents[0].std().item()
    average.register_to_config(scaling_factor=1 / deviation, force_upcast=False)
    latents = [(part / deviation).to(torch.bfloat16) for part in latents]
    lap(f"latents of deviation {deviation:.4f}")

    modules = [new_unet(), *new_text_encoders(count)]
    if options.start_from:
        begin_from(options.start_from, modules)
    modules = [m.to(options.device) for m in modules]
    modules[0].to(memory_format=torch.channels_last)
    print([f"{type(m).__name__} {sum(p.numel() for p in m.parameters()):,}" for m in (vae, *modules)], flush=True)
    averages = [copy.deepcopy(m).requires_grad_(False) for m in modules]
    train_unet(modules, averages, latents, tokens, empty, options)
    save(folder, average, *averages)
    numbers = {"seed": options.seed, "minutes_vae": options.minutes_vae, "minutes": options.minutes}
    (options.work / "done.json").write_text(json.dumps(numbers))
    lap("done")


if __name__ == "__main__":
    main()
