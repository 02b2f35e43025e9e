"""Trains the decoder of `tiny-wan` further, on latents as its transformer leaves them.

    python train_tiny_wan_decoder.py --model OUT/tiny-wan --out DIR --clips 450 --minutes 26

Made with torch 2.11.0, diffusers 0.42.1, transformers 5.17.0. The latents of a clip get noise, and the transformer takes
it away as a run's last steps do: they then have a run's errors, and the clip that they stand for is known. The decoder
learns to make that clip of them, and of latents without errors. DIR/vae is the VAE; its encoder is the one it was.
"""

import argparse
import random
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from transformers import UMT5EncoderModel

import tiny_wan_data as data
import tiny_wan_save as saving
import tiny_wan_text as text
import tiny_wan_transformer as passes
import tiny_wan_umt5 as umt5
import tiny_wan_vae as whole
import training

STEPS, GUIDANCE = 20, 5.0  # Of the runs whose last steps are taken.
LAST = (2, 3, 4, 6)  # How many of them; noise levels of 0.36 to 0.68 where they begin.
SIDE, MARGIN = 12, 2  # Latents of a window's side, and those at its edges whose pixels do not count.
PLAIN = 0.3  # Share of the windows whose latents are the encoder's, without errors.
WINDOWS = 2  # Of a step.


class Clips:
    """Pixels [N, F, H, W, 3] in bytes, the encoder's latents and a transformer's [N, T, h, w, Z], not normalized."""

    def __init__(self):
        self.pixels, self.plain, self.drawn = [], [], []

    @torch.no_grad()
    def draw(self, vae, models, bucket: data.Bucket, rng: random.Random) -> None:
        encoder, transformer, tokenizer = models
        mean, std = torch.tensor(vae.config.latents_mean), torch.tensor(vae.config.latents_std)
        scenes, video = data.draw(bucket, bucket.batch, rng, "cpu")
        plain = whole.encode(vae, video)[0]
        patch = transformer.config.patch_size[1]
        latents = passes.tokens(((plain - mean) / std).permute(0, 4, 1, 2, 3), patch)
        captions = [rng.choice(text.captions(scene, rng)) for scene in scenes]
        negative = rng.choice(["", text.NEGATIVE])
        drawn = last_steps(encoder, transformer, tokenizer, latents, captions, negative, bucket, rng.choice(LAST))
        self.pixels.append(video.add(1).mul(127.5).round().to(torch.uint8))
        self.plain.append(plain.half())
        self.drawn.append((passes.untokens(drawn, patch, bucket.latents) * std + mean).half())

    def window(self, rng: random.Random) -> tuple[torch.Tensor, torch.Tensor, list[slice]]:
        """Latents [1, T, SIDE, SIDE, Z] and pixels [1, F, 8 * SIDE, 8 * SIDE, 3] in [-1, 1], and which pixels count."""
        row = rng.randrange(len(self.pixels))
        clip = rng.randrange(len(self.pixels[row]))
        pixels, plain = self.pixels[row][clip], self.plain[row][clip]
        latents = plain if rng.random() < PLAIN else self.drawn[row][clip]
        frames = min(rng.choice((1, 3, 5)), len(latents))
        sides = latents.shape[1:3]
        # Of three places the one where most is to be seen.
        places = [[rng.randrange(side - SIDE + 1) for side in sides] for _ in range(3)]
        cut = lambda x, y, x_0, f, by: x[:f, by * y : by * (y + SIDE), by * x_0 : by * (x_0 + SIDE)]
        of = lambda place: cut(pixels, *place, 4 * frames - 3, 8)
        y, x = max(places, key=lambda place: of(place)[::4, ::4, ::4].float().std().item())
        counts = [slice(8 * MARGIN * (at > 0), 8 * (SIDE - MARGIN * (at < side - SIDE))) for at, side in zip((y, x), sides)]
        return cut(latents, y, x, frames, 1).float()[None], of((y, x)).float()[None] / 127.5 - 1, counts


def last_steps(encoder, transformer, tokenizer, latents, captions, negative, bucket, many: int) -> torch.Tensor:
    """latents: [B, L, D], normalized -> the same behind noise and the `many` last steps of a run with guidance."""
    ids, lengths = tokenizer(captions + [negative] * len(captions))
    embeds = umt5.forward(encoder, ids, lengths, umt5.buckets(encoder, text.LENGTH, "cpu"))
    bias, rope = passes.padding_bias(lengths, text.LENGTH), passes.rotary(transformer, *bucket.latents, "cpu")
    scheduler = UniPCMultistepScheduler(**saving.SCHEDULER)
    scheduler.set_timesteps(STEPS)
    scheduler.set_begin_index(STEPS - many)
    sigma = scheduler.sigmas[STEPS - many]
    x = (1 - sigma) * latents + sigma * torch.randn_like(latents)
    for timestep in scheduler.timesteps[STEPS - many :]:
        velocity = passes.forward(transformer, torch.cat([x, x]), timestep.expand(2 * len(x)), embeds, bias, rope)
        told, untold = velocity.chunk(2)
        x = scheduler.step(untold + GUIDANCE * (told - untold), timestep, x, return_dict=False)[0]
    return x


def load(folder: Path):
    encoder = UMT5EncoderModel.from_pretrained(folder / "text_encoder").float().eval()
    transformer = WanTransformer3DModel.from_pretrained(folder / "transformer").float().eval()
    return encoder, transformer, text.Tokenizer(folder / "tokenizer")


def loss_of(vae, latents: torch.Tensor, pixels: torch.Tensor, counts: list[slice]) -> torch.Tensor:
    off = whole.decode(vae, latents + whole.NOISE * torch.randn_like(latents)) - pixels
    return whole.pixel_loss(off[:, :, counts[0], counts[1]])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, nargs="+", required=True, help="a tiny-wan; of several, all leave latents")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=450)
    parser.add_argument("--minutes", type=float, default=26)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--lr-muon", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng, begun = random.Random(f"{args.seed} decoder"), time.monotonic()
    vae = AutoencoderKLWan.from_pretrained(args.model[0] / "vae").float()
    models, clips = [load(folder) for folder in args.model], Clips()
    kinds = [data.Bucket(256, 256, 17, 0, 8, 0.9), data.Bucket(480, 832, 17, 0, 1, 0.1)]
    stored = args.out / "clips.pt"
    if stored.exists():
        clips.pixels, clips.plain, clips.drawn = torch.load(stored)
    while sum(map(len, clips.pixels)) < args.clips:
        (kind,) = rng.choices(kinds, [kind.weight for kind in kinds])
        clips.draw(vae, rng.choice(models), kind, rng)
    training.keep(stored, (clips.pixels, clips.plain, clips.drawn))
    print(f"{sum(map(len, clips.pixels))} clips in {time.monotonic() - begun:.0f} s", flush=True)

    vae.requires_grad_(False)
    parameters = [*vae.post_quant_conv.parameters(), *vae.decoder.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    highest = args.lr, args.lr_muon
    optimizers = training.optimizers_of(parameters, whole.inner(vae, parameters), highest, 0.0, recorded=False)
    budget, steps, told, losses = training.Budget(args.minutes), 0, time.monotonic(), []
    while budget.share() < 1:
        training.set_rates(optimizers, highest, training.learning_rate(1.0, budget.share()))
        loss = torch.stack([loss_of(vae, *clips.window(rng)) for _ in range(WINDOWS)]).mean()
        training.step(optimizers, parameters, loss)
        losses.append(loss.item())
        steps += 1
        if time.monotonic() - told > 30:
            told = time.monotonic()
            print(f"{budget.spent():.0f} s, step {steps}: {sum(losses) / len(losses):.4f}", flush=True)
            losses.clear()
            training.keep(args.out / "vae.pt", vae.state_dict())
    vae.eval().requires_grad_(False)
    print("VAE on new clips: " + saving.vae_quality(vae, data.VAE_BUCKETS[:4], args.seed, "cpu"))
    vae.half().save_pretrained(args.out / "vae")


if __name__ == "__main__":
    main()
