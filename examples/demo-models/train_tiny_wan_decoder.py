"""Trains the decoder of `tiny-wan` further, on latents as its transformer leaves them.

    python train_tiny_wan_decoder.py --model OUT/tiny-wan --out DIR --clips 450 --minutes 26 --device cpu

Made with torch 2.11.0, diffusers 0.42.1, transformers 5.17.0. The latents of a clip get noise, and the transformer takes
it away as a run's last steps do: they then have a run's errors, and the clip that they stand for is known. The decoder
learns to make that clip of them, and of latents without errors. DIR/vae is the VAE; its encoder is the one it was. The clips
and, every minute, a state stay in DIR, from where the next start goes on.
"""

import argparse
import random
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler

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
FRAMES = (1, 3, 5)  # Of the latents in a window, from the first.
NOISE = 0.05  # As `disturbed` has it; errors of a run are there already.
PLAIN = 0.3  # Share of the windows whose latents are the encoder's, without errors.


class Clips:
    """Pixels [N, F, H, W, 3] in bytes, the encoder's latents and a transformer's [N, T, h, w, Z], not normalized."""

    def __init__(self):
        self.pixels, self.plain, self.drawn = [], [], []

    @torch.no_grad()
    def draw(self, vae, models, bucket: data.Bucket, rng: random.Random, device) -> None:
        encoder, transformer, tokenizer = models
        mean, std = data.scale_of(vae, device)
        scenes, video = data.draw(bucket, bucket.batch, rng, device)
        plain = whole.encode(vae, video)[0]
        patch = transformer.config.patch_size[1:]
        latents = data.normalized_tokens(vae, plain, patch)
        captions = [rng.choice(text.captions(scene, rng)) for scene in scenes]
        negative = rng.choice(["", text.NEGATIVE])
        drawn = last_steps(encoder, transformer, tokenizer, latents, captions, negative, bucket, rng.choice(LAST))
        self.pixels.append(video.add(1).mul(127.5).round().to(torch.uint8).cpu())
        self.plain.append(plain.half().cpu())
        self.drawn.append((passes.untokens(drawn, patch, bucket.latents) * std + mean).half().cpu())

    def window(self, frames: int, rng: random.Random) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Latents [frames, SIDE, SIDE, Z], pixels [F, 8 * SIDE, 8 * SIDE, 3] in bytes, and 1 at those that count, else 0
        [1, 8 * SIDE, 8 * SIDE, 1]."""
        row = rng.randrange(len(self.pixels))
        clip = rng.randrange(len(self.pixels[row]))
        pixels, plain = self.pixels[row][clip], self.plain[row][clip]
        latents = plain if rng.random() < PLAIN else self.drawn[row][clip]
        sides = latents.shape[1:3]
        # Of three places the one where most is to be seen.
        places = [[rng.randrange(side - SIDE + 1) for side in sides] for _ in range(3)]
        cut = lambda x, y, x_0, f, by: x[:f, by * y : by * (y + SIDE), by * x_0 : by * (x_0 + SIDE)]
        of = lambda place: cut(pixels, *place, 4 * frames - 3, 8)
        y, x = max(places, key=lambda place: of(place)[::4, ::4, ::4].float().std().item())
        ends = [(8 * MARGIN * (at > 0), 8 * (SIDE - MARGIN * (at < side - SIDE))) for at, side in zip((y, x), sides)]
        along = torch.arange(8 * SIDE)
        rows, columns = ((along >= first) & (along < last) for first, last in ends)
        return cut(latents, y, x, frames, 1), of((y, x)), (rows[:, None] & columns)[None, :, :, None]

    def windows(self, count: int, rng: random.Random, device) -> list[torch.Tensor]:
        """As many windows of one length as a batch."""
        frames = rng.choice(FRAMES)
        parts = zip(*[self.window(frames, rng) for _ in range(count)])
        return [torch.stack(part).to(device).float() for part in parts]


def last_steps(encoder, transformer, tokenizer, latents, captions, negative, bucket, many: int) -> torch.Tensor:
    """latents: [B, L, D], normalized -> the same behind noise and the `many` last steps of a run with guidance."""
    ids, lengths = tokenizer(captions + [negative] * len(captions))
    device = latents.device
    ids, lengths = ids.to(device), lengths.to(device)
    embeds = umt5.forward(encoder, ids, lengths, umt5.buckets(encoder, text.LENGTH, device))
    bias, rope = passes.padding_bias(lengths, text.LENGTH), passes.rotary(transformer, *bucket.latents, device)
    scheduler = UniPCMultistepScheduler(**saving.SCHEDULER)
    scheduler.set_timesteps(STEPS)
    scheduler.set_begin_index(STEPS - many)
    sigma = scheduler.sigmas[STEPS - many]
    x = (1 - sigma) * latents + sigma * torch.randn_like(latents)
    for timestep in scheduler.timesteps[STEPS - many :]:
        velocity = passes.forward(transformer, torch.cat([x, x]), timestep.to(device).expand(2 * len(x)), embeds, bias, rope)
        told, untold = velocity.chunk(2)
        x = scheduler.step(untold + GUIDANCE * (told - untold), timestep, x, return_dict=False)[0]
    return x


def load(folder: Path, device):
    encoder, transformer = (model.eval().to(device) for model in saving.load(folder))
    return encoder, transformer, text.Tokenizer(folder / "tokenizer")


def loss_of(vae, latents: torch.Tensor, pixels: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Of what `Clips.windows` gives."""
    with torch.autocast(latents.device.type, torch.bfloat16, enabled=latents.is_cuda):
        out = whole.decode(vae, whole.disturbed(latents, NOISE))
    return whole.pixel_loss((out.float() - (pixels / 127.5 - 1)) * counts)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, nargs="+", required=True, help="a tiny-wan; of several, all leave latents")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=450)
    parser.add_argument("--minutes", type=float, default=26)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--lr-muon", type=float, default=3e-4)
    parser.add_argument("--windows", type=int, default=2, help="of a step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    cuda = args.device.startswith("cuda")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(args.seed)
    rng = random.Random(f"{args.seed} decoder")
    vae = AutoencoderKLWan.from_pretrained(args.model[0] / "vae").float().to(args.device)
    models, clips = [load(folder, args.device) for folder in args.model], Clips()
    more = 4 if cuda else 1
    kinds = [data.Bucket(256, 256, 17, 0, 8 * more, 0.5), data.Bucket(480, 832, 17, 0, more, 0.5)]
    stored = args.out / "clips.pt"
    if stored.exists():
        clips.pixels, clips.plain, clips.drawn = torch.load(stored)
    while sum(map(len, clips.pixels)) < args.clips:
        (kind,) = rng.choices(kinds, [kind.weight for kind in kinds])
        clips.draw(vae, rng.choice(models), kind, rng, args.device)
    training.keep(stored, (clips.pixels, clips.plain, clips.drawn))
    training.log(f"{sum(map(len, clips.pixels))} clips")

    path = args.out / "vae.pt"
    state = torch.load(path, map_location=args.device) if path.exists() else {}
    before = state.get("steps", 0)
    if state:
        vae.load_state_dict(state["vae"])
        torch.manual_seed(args.seed + before)
        rng = random.Random(f"{args.seed} decoder {before}")
    vae.requires_grad_(False)
    parameters = [*vae.post_quant_conv.parameters(), *vae.decoder.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    highest = args.lr, args.lr_muon
    optimizers = training.optimizers_of(parameters, whole.inner(vae, parameters), highest, 0.0, recorded=cuda)
    for optimizer, kept in zip(optimizers, state.get("optimizers", [])):
        optimizer.load_state_dict(kept)

    def one(*windows: torch.Tensor) -> torch.Tensor:
        loss = loss_of(vae, *windows)
        training.step(optimizers, parameters, loss)
        return loss

    # Of every length a recording of its own.
    recorded = {frames: training.Recorded(one) if cuda else one for frames in FRAMES}
    course = training.Course("decoder", args.minutes, state.get("spent", 0.0))
    while not course.over:
        training.set_rates(optimizers, highest, training.learning_rate(1.0, course.share()))
        windows = clips.windows(args.windows, rng, args.device)
        frames = windows[0].shape[1]
        course.note(f"{frames} frames", recorded[frames](*windows))
        if course.due():
            training.keep(path, {"vae": vae.state_dict(), "optimizers": [o.state_dict() for o in optimizers],
                                 "spent": course.spent(), "steps": before + course.steps})
    course.means()  # No VAE is saved of weights that have gone wrong.
    training.log(f"decoder: {before + course.steps} steps")
    vae.eval().requires_grad_(False)
    training.log("VAE on new clips: " + saving.vae_quality(vae, data.VAE_BUCKETS[:4], args.seed, args.device))
    saving.save_vae(args.out / "vae", vae)


if __name__ == "__main__":
    main()
