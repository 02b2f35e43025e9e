"""Clips of the demo world: pixels for the VAE, and a cache of latents with captions for the transformer.

A module, not a command; torch 2.11.0.
"""

import random
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

import tiny_wan_text as text
import tiny_wan_transformer as passes
import tiny_wan_vae as whole
import world

CHUNK = 30_000_000  # Pixels drawn or encoded at once.


@dataclass(frozen=True)
class Bucket:
    """Clips of one size: how many are kept, how many a step takes, and how often."""

    height: int
    width: int
    frames: int
    clips: int
    batch: int
    weight: float
    close_up: bool = False  # Windows of frames, for the VAE.

    @property
    def name(self) -> str:
        return f"{self.height}x{self.width}x{self.frames}"

    @property
    def latents(self) -> tuple[int, int, int]:
        return (self.frames - 1) // 4 + 1, self.height // 8, self.width // 8


VAE_BUCKETS = [
    Bucket(64, 64, 17, 12000, 16, 0.68, close_up=True),
    Bucket(64, 64, 1, 20000, 256, 0.12, close_up=True),
    Bucket(256, 256, 17, 600, 3, 0.12),
    Bucket(256, 256, 1, 1500, 32, 0.04),
    Bucket(480, 832, 17, 64, 1, 0.03),
    Bucket(256, 256, 81, 48, 1, 0.01),
]
# What two cores manage, some four steps a second: as many steps as a GPU's in some ten times its time, on few windows each.
FEW_VAE_BUCKETS = [
    Bucket(64, 64, 9, 6000, 2, 0.50, close_up=True),
    Bucket(64, 64, 5, 6000, 4, 0.14, close_up=True),
    Bucket(64, 64, 17, 2000, 1, 0.14, close_up=True),
    Bucket(64, 64, 1, 12000, 12, 0.12, close_up=True),
    Bucket(128, 128, 9, 300, 1, 0.06),
    Bucket(256, 256, 1, 800, 1, 0.04),
]
# About 20,000 tokens of 4x2 latents a step: small steps, and many of them. Batches have two halves. An H200 takes 6 ms for
# a step of the first size, 7 for 480x832x17, 23 for 480x832x81. A step shows more clips where they are small: a training
# begins with those, and goes on with larger ones by --refine and --large.
BUCKETS = [
    Bucket(256, 256, 17, 40000, 32, 0.79),
    Bucket(480, 832, 17, 1000, 6, 0.04),
    Bucket(832, 480, 17, 1000, 6, 0.04),
    Bucket(256, 256, 1, 16000, 80, 0.06),
    Bucket(480, 832, 1, 2400, 26, 0.02),
    Bucket(832, 480, 1, 2400, 26, 0.02),
    Bucket(256, 256, 81, 1200, 8, 0.03),
    Bucket(480, 832, 81, 80, 2, 0.003),
    Bucket(832, 480, 81, 80, 2, 0.003),
]
SMOKE_VAE_BUCKETS = [Bucket(64, 64, 5, 24, 4, 0.7), Bucket(64, 96, 1, 24, 8, 0.3)]
SMOKE_BUCKETS = [Bucket(64, 64, 5, 48, 16, 0.6), Bucket(64, 96, 5, 24, 8, 0.2), Bucket(64, 64, 1, 48, 32, 0.2)]


def with_large(buckets: list[Bucket], share: float) -> list[Bucket]:
    """The same sizes, where frames larger than the smallest have this share of the steps, and of the clips as much more."""
    smallest = min(b.height * b.width for b in buckets)
    large = [b.height * b.width > smallest for b in buckets]
    before = sum(b.weight for b, is_large in zip(buckets, large) if is_large) / sum(b.weight for b in buckets)
    if not 0 < before < 1:
        raise ValueError("a share of large frames needs frames of two sizes")
    if not 0 < share < 1:
        raise ValueError(f"a share of large frames is more than 0 and less than 1, got {share}")
    factors = [share / before if is_large else (1 - share) / (1 - before) for is_large in large]
    return [replace(b, weight=b.weight * f, clips=max(1, round(b.clips * f))) for b, f in zip(buckets, factors)]


def draw(
    bucket: Bucket, count: int, rng: random.Random, device, hard: float = 0.0
) -> tuple[list[world.Scene], torch.Tensor]:
    """Scenes, and their clips [B, F, H, W, 3] in [-1, 1] with the 256 levels of a picture file."""
    if bucket.close_up:
        scenes = [world.draw_close_up(rng, bucket.frames) for _ in range(count)]
    else:
        scenes = [text.draw_scene(rng, bucket.frames, hard) for _ in range(count)]
    video = world.render(world.tensors(scenes, device), bucket.frames, bucket.height, bucket.width)
    video = video.permute(0, 1, 3, 4, 2).contiguous()
    return scenes, video.add_(1).mul_(127.5).round_().div_(127.5).sub_(1)


def at_once(bucket: Bucket) -> int:
    return max(1, CHUNK // (bucket.frames * bucket.height * bucket.width))


def pixels(bucket: Bucket, seed: int, device) -> torch.Tensor:
    """All clips of a bucket in bytes [N, F, H, W, 3]."""
    rng, out = random.Random(f"{seed} {bucket.name}"), []
    for start in range(0, bucket.clips, at_once(bucket)):
        video = draw(bucket, min(at_once(bucket), bucket.clips - start), rng, device)[1]
        out.append(video.add_(1).mul_(127.5).round_().to(torch.uint8))
    return torch.cat(out)


def scale_of(vae, device) -> tuple[torch.Tensor, torch.Tensor]:
    """Means and deviations of the latents' channels [Z]."""
    mean, std = (torch.tensor(v, device=device) for v in (vae.config.latents_mean, vae.config.latents_std))
    return mean, std


def normalized_tokens(vae, latents: torch.Tensor, patch: tuple[int, int]) -> torch.Tensor:
    """latents: [B, T, h, w, Z], of the encoder -> what the transformer learns [B, L, Z * p * q]."""
    mean, std = scale_of(vae, latents.device)
    return passes.tokens(((latents - mean) / std).permute(0, 4, 1, 2, 3), patch)


class Cache:
    """Latents as tokens [N, L, C * p * q] in half precision, normalized, and captions of every clip."""

    def __init__(self, buckets: list[Bucket], z: int, patch: tuple[int, int], device):
        self.buckets, self.device, self.patch = buckets, device, patch
        self.filled = [0] * len(buckets)
        self.latents, self.ids, self.lengths = [], [], []
        for b in buckets:
            frames, height, width = b.latents
            numbers = patch[0] * patch[1]
            size = b.clips, frames * height * width // numbers, z * numbers
            self.latents.append(torch.empty(size, dtype=torch.float16, device=device))
            many = text.PLAIN + text.RICH
            self.ids.append(torch.empty(b.clips, many, text.LENGTH, dtype=torch.int16, device=device))
            self.lengths.append(torch.empty(b.clips, many, dtype=torch.int16, device=device))

    def commonest(self) -> int:
        """The number of tokens of a clip that most steps have."""
        weights: dict[int, float] = {}
        for bucket, latents in zip(self.buckets, self.latents):
            weights[latents.shape[1]] = weights.get(latents.shape[1], 0.0) + bucket.weight
        return max(weights, key=weights.__getitem__)

    @torch.no_grad()
    def fill(self, vae, tokenizer, seed: int, seconds: float, log, hard: float = 0.0) -> None:
        """Encodes clips of all buckets alike until there are enough or the time is over; every bucket gets some. `hard`
        as draw_scene has it."""
        rng, begun, told = random.Random(f"{seed} cache"), time.monotonic(), 0.0
        while True:
            share = [filled / b.clips for filled, b in zip(self.filled, self.buckets)]
            n = min(range(len(share)), key=share.__getitem__)
            spent = time.monotonic() - begun
            if share[n] == 1 or (share[n] > 0 and spent > seconds):
                break
            bucket, start = self.buckets[n], self.filled[n]
            count = min(at_once(bucket), bucket.clips - start)
            scenes, video = draw(bucket, count, rng, self.device, hard)
            with torch.autocast(video.device.type, torch.bfloat16, enabled=video.is_cuda):
                latents = whole.encode(vae, video)[0].float()
            rows = slice(start, start + count)
            self.latents[n][rows] = normalized_tokens(vae, latents, self.patch).half()
            ids, lengths = tokenizer([caption for scene in scenes for caption in text.captions(scene, rng)])
            self.ids[n][rows] = ids.view(count, -1, text.LENGTH).to(self.device, torch.int16)
            self.lengths[n][rows] = lengths.view(count, -1).to(self.device, torch.int16)
            self.filled[n] += count
            if spent - told > 10:
                told = spent
                log(f"cache {spent:.0f} s, {100 * min(share):.0f} %")
        log(f"cache {time.monotonic() - begun:.0f} s: {dict(zip((b.name for b in self.buckets), self.filled))}")

    def save(self, path: Path) -> None:
        rows = zip(self.latents, self.ids, self.lengths, self.filled)
        torch.save([[part[:count].cpu() for part in parts] for *parts, count in rows], path)

    def load(self, path: Path) -> None:
        for n, (latents, ids, lengths) in enumerate(torch.load(path)):
            self.filled[n] = len(latents)
            self.latents[n], self.ids[n], self.lengths[n] = (t.to(self.device) for t in (latents, ids, lengths))
