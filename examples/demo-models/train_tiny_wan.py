"""Trains `tiny-wan`: a text-to-video model of WAN 2.1's kind that knows the world of world.py.

    python train_tiny_wan.py --out DIR --work DIR --minutes-vae 8 --minutes-cache 1.5 --minutes 12 --device cuda

Made with torch 2.11.0, diffusers 0.42.1, transformers 5.17.0, tokenizers 0.23. Phases: the tokenizer, the VAE, a cache
of latents, then the text encoder and the transformer together by flow matching; DIR/tiny-wan is a folder as diffusers
has it, in fp16. Minutes are of training, whatever the number of starts: every minute the state goes to
--work, from where the next start goes on. --session-minutes ends a start early, with a state and a folder saved.
--refine goes on from a tiny-wan that is there: scenes that are hard come yet more often, and all predictions are with
guidance; its VAE stays, or is trained further by --minutes-vae.
`torchrun --nproc-per-node N` trains the transformer in N processes, a GPU each, that share their weights' mean.
"""

import argparse
import math
import random
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import UMT5Config, UMT5EncoderModel

import tiny_wan_data as data
import tiny_wan_save as saving
import tiny_wan_text as text
import tiny_wan_transformer as passes
import tiny_wan_umt5 as umt5
import tiny_wan_vae as whole
import training
from training import Course, keep, log

Z = 6
VAE = {"base_dim": 8, "z_dim": Z, "dim_mult": [1, 2, 3, 3], "num_res_blocks": 1}
TRANSFORMER = {
    # A patch has 6 * 4 * 2 = 48 numbers, far fewer than the width of 192: of 96, outlines were lost.
    "patch_size": (1, 4, 2),
    "num_attention_heads": 6,
    "attention_head_dim": 32,
    "in_channels": Z,
    "out_channels": Z,
    "text_dim": 64,
    "freq_dim": 64,
    "ffn_dim": 384,
    "num_layers": 4,
}
TEXT_ENCODER = {"d_model": 64, "d_kv": 16, "num_heads": 4, "num_layers": 2, "d_ff": 128}
SHIFT = 4.0  # Of the noise levels trained; a run's own may be 3 to 5.
HARD = 0.5  # Of the scenes, as draw_scene has it; with --refine 1.
EMPTY, NEGATIVE = 0.10, 0.05  # Shares of captions replaced, for guidance.
GUIDED = 1.8  # The guidance at which --guided wants the velocity to be right: a run at 5 is then as one at 2.8 was before.
KL = 1.5e-4
# Shares of the VAE's steps. Of "spliced" clips the last latent frame is another clip's, as where a last frame is held.
# Latents that are "halved" or "turned" stand for the clip halved or turned (EQ-VAE, Kouzelis et al. 2025,
# arXiv:2502.09509): a transformer learns latents sooner that keep the order of the picture.
HOW = {"": 0.6, "spliced": 0.1, "halved": 0.2, "turned": 0.1}
AVERAGED = 8  # Steps from one moment of the average of the weights to the next.
TOGETHER = 32  # Steps after which processes of one training go on from the mean of their weights.
STILL_FRAMES = 9  # As ourvidz-wan/src/reference/hold.rs has them.


def session_over(args) -> bool:
    return time.monotonic() - training.STARTED > 60 * args.session_minutes


def train_vae(args, vae: AutoencoderKLWan, buckets, device) -> None:
    """All of the VAE; then, where --minutes-decoder says so, the decoder alone, which leaves latents as they are."""
    vae.to(device)
    path, decoder_path = args.work / "vae.pt", args.work / "decoder.pt"
    states = [torch.load(p, map_location=device) if p.exists() else {} for p in (path, decoder_path)]
    if args.vae and not states[0]:
        given = AutoencoderKLWan.from_pretrained(args.vae).float().to(device)
        states[0] = {"vae": given.state_dict()}
        if args.minutes_vae == 0:
            states[0] |= {"mean": given.config.latents_mean, "std": given.config.latents_std}
    done = "mean" in states[0], args.minutes_decoder == 0 or states[1].get("done", False)
    pools = [] if all(done) else [data.pixels(b, args.seed, device) for b in buckets]
    for state in states:
        if "vae" in state:
            vae.load_state_dict(state["vae"])
    if not done[0]:
        train_part(args, vae, list(vae.parameters()), "VAE", args.minutes_vae, path, states[0], buckets, pools)
        mean, std = statistics(vae, pools)
        log(f"VAE: means {mean}, deviations {std}")
        states[0] = {"vae": vae.state_dict(), "mean": mean, "std": std}
        keep(path, states[0])
    vae.register_to_config(latents_mean=states[0]["mean"], latents_std=states[0]["std"])
    if not done[1]:
        parameters = [*vae.post_quant_conv.parameters(), *vae.decoder.parameters()]
        train_part(args, vae, parameters, "decoder", args.minutes_decoder, decoder_path, states[1], buckets, pools)
        keep(decoder_path, {"vae": vae.state_dict(), "done": True})
    vae.requires_grad_(False).eval()
    if pools:
        del pools
        seen = data.SMOKE_VAE_BUCKETS if args.smoke else data.VAE_BUCKETS[:4]
        log("VAE on new clips: " + saving.vae_quality(vae, seen, args.seed, device))


def train_part(args, vae, parameters, name: str, minutes: float, path: Path, state: dict, buckets, pools) -> None:
    device = parameters[0].device
    vae.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    inner = whole.inner(vae, parameters)
    optimizers = training.optimizers_of(parameters, inner, (args.lr_vae, args.lr_vae_muon), 0.0, args.graphs)
    for optimizer, kept in zip(optimizers, state.get("optimizers", [])):
        optimizer.load_state_dict(kept)
    before = state.get("steps", 0)
    generator = torch.Generator(device).manual_seed(args.seed + before)
    torch.manual_seed(args.seed + before)  # Of the noise.
    choice = random.Random(args.seed + before)
    steps = vae_steps(vae, parameters, optimizers, recorded=args.graphs)
    course = Course(name, minutes, state.get("spent", 0.0))
    while not course.over:
        (n,) = choice.choices(range(len(buckets)), [b.weight for b in buckets])
        rows = torch.randint(len(pools[n]), (buckets[n].batch,), generator=generator, device=device)
        video = pools[n][rows]
        flips = [axis for axis in (2, 3) if choice.random() < 0.5]
        video = (video.flip(flips) if flips else video).float() / 127.5 - 1
        training.set_rates(optimizers, (args.lr_vae, args.lr_vae_muon), course.rate(0.03))
        (how,) = choice.choices(list(HOW), list(HOW.values()))
        loss = steps(n, "" if how == "spliced" and video.shape[1] == 1 else how)(video)
        course.note(buckets[n].name, loss)
        over = session_over(args)
        if course.due(over):
            keep(path, {"vae": vae.state_dict(), "optimizers": [o.state_dict() for o in optimizers],
                        "spent": course.spent(), "steps": before + course.steps})
            if over:
                log(f"the session is over; start again to go on with the {name}")
                sys.exit(0)
    course.means()  # Nothing is made of weights that have gone wrong.


def vae_steps(vae, parameters, optimizers, recorded: bool):
    """A step for a bucket, in one of the ways of HOW, as a function of its clips; recorded where it first comes up."""
    made = {}

    def get(bucket: int, how: str):
        def one(video: torch.Tensor) -> torch.Tensor:
            loss = vae_loss(vae, video, how)
            training.step(optimizers, parameters, loss)
            return loss

        if (bucket, how) not in made:
            made[bucket, how] = training.Recorded(one) if recorded else one
        return made[bucket, how]

    return get


def vae_loss(vae, video: torch.Tensor, how: str) -> torch.Tensor:
    """`how` of HOW. Spliced, the last latent frame is that of another clip's last picture standing still: the decoder
    learns that a latent frame shows what is in it, whatever came before."""
    with torch.autocast(video.device.type, torch.bfloat16, enabled=video.is_cuda):
        mean, logvar = whole.encode(vae, video)
        if how in ("halved", "turned"):
            change = halved if how == "halved" else lambda x: x.rot90(1, (2, 3))
            mean, logvar, video = change(mean), change(logvar), change(video)
        if how == "spliced":
            picture = video[:, -1:].roll(1, 0)
            still = whole.encode(vae, picture.expand(-1, STILL_FRAMES, -1, -1, -1))
            mean, logvar = (torch.cat([x[:, :-1], y[:, -1:]], 1) for x, y in zip((mean, logvar), still))
            video = torch.cat([video[:, :-4], picture.expand(-1, 4, -1, -1, -1)], 1)
        mean, logvar = mean.float(), logvar.float().clamp(-12, 4)
        latents = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
        out = whole.decode(vae, whole.disturbed(latents)).float()
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    return whole.pixel_loss(out - video) + KL * kl


def halved(x: torch.Tensor) -> torch.Tensor:
    """x: [B, F, H, W, C] -> [B, F, H / 2, W / 2, C], means of four neighbours."""
    return x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean((3, 5))


@torch.no_grad()
def statistics(vae, pools) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel of latents, every pool the same weight."""
    means, squares = [], []
    for pool in pools:
        for video in pool[:64].split(4):
            latents = whole.encode(vae, video.float() / 127.5 - 1)[0].flatten(0, 3).double()
            means.append(latents.mean(0))
            squares.append(latents.square().mean(0))
    mean, square = torch.stack(means).mean(0), torch.stack(squares).mean(0)
    std = (square - mean.square()).sqrt()
    std = std.clamp(min=0.05 * std.max().item())  # A channel that says nothing stays small.
    return [round(v, 4) for v in mean.tolist()], [round(v, 4) for v in std.tolist()]


def count(model) -> int:
    return sum(p.numel() for p in model.parameters())


def models(args, folder: Path):
    """Text encoder, transformer and VAE as they begin, on the CPU."""
    torch.manual_seed(args.seed)
    vae = AutoencoderKLWan(**VAE, latents_mean=[0.0] * Z, latents_std=[1.0] * Z)
    vae.quant_conv.bias.data[Z:] = -5.0  # It begins with little noise of its own.
    log(f"VAE: {count(vae)} parameters, passes agree to {whole.check(vae):.1e}")
    if args.refine:
        encoder, transformer = saving.load(args.refine)
    else:
        rows = saving.embedding_rows(folder)
        config = UMT5Config(vocab_size=rows, feed_forward_proj="gated-gelu", is_encoder_decoder=True, dropout_rate=0.0,
                            tokenizer_class="T5Tokenizer", **TEXT_ENCODER)
        encoder, transformer = UMT5EncoderModel(config), WanTransformer3DModel(**TRANSFORMER)
        passes.initialize(transformer)
    log(f"text encoder: {count(encoder)} parameters, passes agree to {umt5.check(encoder):.1e}")
    log(f"transformer: {count(transformer)} parameters, passes agree to {passes.check(transformer):.1e}")
    return encoder, transformer, vae


def train_transformer(args, ranks, encoder, transformer, cache, tokenizer, device) -> None:
    encoder.to(device).train()
    transformer.to(device).train()
    parameters = [*encoder.parameters(), *transformer.parameters()]
    inner = [p for p in transformer.blocks.parameters() if p.ndim == 2]
    optimizers = training.optimizers_of(parameters, inner, (args.lr, args.lr_muon), 0.01, args.graphs)
    weights = [p.detach() for p in parameters]
    average = [p.clone() for p in weights]
    path = args.work / "transformer.pt"
    state = torch.load(path, map_location=device) if path.exists() else {"spent": 0.0, "steps": 0}
    if "average" in state:
        encoder.load_state_dict(state["encoder"])
        transformer.load_state_dict(state["transformer"])
        for optimizer, kept in zip(optimizers, state["optimizers"]):
            optimizer.load_state_dict(kept)
        average = state["average"]
    own = args.seed + state["steps"] + 1_000_003 * ranks.rank
    generator = torch.Generator(device).manual_seed(own)
    torch.manual_seed(own)  # Of the noise and its levels.
    choice = random.Random(args.seed + state["steps"])  # All processes take a bucket together: none waits for another.
    # Of a bucket that the cache had no time for, nothing is taken.
    chances = [b.weight if filled else 0.0 for b, filled in zip(cache.buckets, cache.filled)]
    replaced = [(row[None].to(device), length.to(device)) for row, length in zip(*tokenizer(["", text.NEGATIVE]))]
    steps = [transformer_steps(encoder, transformer, cache, optimizers, parameters, args.graphs, guided)
             for guided in (False, True)]
    before, course = state["steps"], Course("transformer", args.minutes, state["spent"])
    share = ranks.first(course.share())
    while share < 1:
        (n,) = choice.choices(range(len(cache.buckets)), chances)
        guided = share >= 1 - args.guided
        batch = draw_batch(cache, n, replaced, generator, guided)
        training.set_rates(optimizers, (args.lr, args.lr_muon), course.rate(0.04))
        course.note(cache.buckets[n].name + (" guided" if guided else ""), steps[guided][n](*batch))
        done = before + course.steps
        if done % TOGETHER == 0:
            ranks.mean(weights)
        if done % AVERAGED == 0:
            share = ranks.first(math.inf if session_over(args) else course.share())
            kept = min(0.9998, (1 + done) / (10 + done)) ** AVERAGED
            torch._foreach_lerp_(average, weights, 1 - kept)
        if course.due(share == math.inf):
            keep(path, {"encoder": encoder.state_dict(), "transformer": transformer.state_dict(),
                        "optimizers": [o.state_dict() for o in optimizers], "average": average, "spent": course.spent(),
                        "steps": before + course.steps})
    course.means()  # Nothing is saved of weights that have gone wrong.
    for parameter, value in zip(parameters, average):
        parameter.data.copy_(value)
    log(f"transformer: {before + course.steps} steps, {'over' if course.over else 'start again to go on'}")
    encoder.eval(), transformer.eval()


def transformer_steps(encoder, transformer, cache, optimizers, parameters, recorded: bool, guided: bool) -> list:
    """A step for each bucket, as a function of a batch; recorded where it first comes up."""
    pairs = umt5.buckets(encoder, text.LENGTH, cache.device)

    def of(bucket):
        rope = passes.rotary(transformer, *bucket.latents, cache.device)

        def one(latents, ids, lengths) -> torch.Tensor:
            loss = flow_loss(encoder, transformer, latents, ids, lengths, rope, pairs, guided)
            training.step(optimizers, parameters, loss)
            return loss

        return training.Recorded(one) if recorded else one

    return [of(bucket) for bucket in cache.buckets]


def draw_batch(cache, n: int, replaced, generator, guided: bool):
    """Latents as tokens, ids of one caption each, and lengths; with `guided`, the second half is the first once more,
    each caption replaced."""
    draw = lambda high, size: torch.randint(high, size, generator=generator, device=cache.device)
    size = (cache.buckets[n].batch,)
    rows = draw(cache.filled[n], size)
    caption = draw(text.PLAIN + text.RICH, size)
    latents, ids, lengths = cache.latents[n][rows], cache.ids[n][rows, caption], cache.lengths[n][rows, caption]
    ids, lengths = ids.long(), lengths.long()
    chance = torch.rand(size, generator=generator, device=cache.device)
    if guided:
        latents, first = twice(latents), torch.arange(size[0], device=cache.device) < size[0] // 2
        chance = (chance * (EMPTY + NEGATIVE)).masked_fill(first, 1.0)
    for (row, length), (low, high) in zip(replaced, ((0, EMPTY), (EMPTY, EMPTY + NEGATIVE))):
        hit = (chance >= low) & (chance < high)
        ids, lengths = torch.where(hit[:, None], row, ids), torch.where(hit, length, lengths)
    return latents.float(), ids, lengths


def twice(x: torch.Tensor) -> torch.Tensor:
    """x: [2 * N, ...] -> its first half, two times."""
    half = x[: len(x) // 2]
    return torch.cat([half, half])


def flow_loss(encoder, transformer, latents, ids, lengths, rope, pairs, guided: bool) -> torch.Tensor:
    """Of the velocity; with `guided`, of what guidance makes of the batch's two halves, and of the half without."""
    many, device = len(latents), latents.device
    normal, even = torch.randn(many, device=device), torch.rand(many, device=device)
    middle = torch.rand(many, device=device) < 0.7
    sigma = torch.where(middle, torch.sigmoid(1.2 * normal), even)
    sigma = SHIFT * sigma / (1 + (SHIFT - 1) * sigma)
    noise = torch.randn_like(latents)
    if guided:
        sigma, noise = twice(sigma), twice(noise)
    level = sigma[:, None, None]
    noisy = (1 - level) * latents + level * noise
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        embeds = umt5.forward(encoder, ids, lengths, pairs)
        bias = passes.padding_bias(lengths, text.LENGTH)
        velocity = passes.forward(transformer, noisy, 1000 * sigma, embeds, bias, rope)
    velocity, target = velocity.float(), noise - latents
    if not guided:
        return F.mse_loss(velocity, target)
    (told, untold), target = velocity.chunk(2), target[: many // 2]
    return 0.5 * (F.mse_loss(untold + GUIDED * (told - untold), target) + F.mse_loss(untold, target))


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True, help="tiny-wan is made in here")
    parser.add_argument("--work", type=Path, required=True, help="states and the cache, kept between starts")
    parser.add_argument("--vae", type=Path, help="a trained AutoencoderKLWan to begin with; without minutes it stays so")
    parser.add_argument("--minutes-vae", type=float, help="[default: 8; with --refine 0]")
    parser.add_argument("--few", action="store_true", help="few windows in each of the VAE's steps, as a processor manages")
    parser.add_argument("--minutes-decoder", type=float, default=0, help="behind those of the VAE, its decoder alone")
    parser.add_argument("--minutes-cache", type=float, default=2)
    parser.add_argument("--minutes", type=float, default=12, help="of the transformer; 0: the VAE alone is made")
    parser.add_argument("--guided", type=float, default=0.4, metavar="SHARE",
                        help="share of the transformer's time, the last of it, that trains predictions with guidance")
    parser.add_argument("--session-minutes", type=float, default=math.inf, help="end this start after so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr-vae", type=float, default=1.5e-3)
    parser.add_argument("--lr-vae-muon", type=float, default=5e-3)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--lr-muon", type=float, default=3e-3)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--compile", nargs="?", const="inductor", metavar="BACKEND", help="torch.compile parts")
    parser.add_argument("--graphs", action="store_true", help="record steps as CUDA graphs")
    parser.add_argument("--buckets", help="names of the sizes to train with, as 256x256x17, with commas between")
    parser.add_argument("--large", type=float, metavar="SHARE", help="share of the steps with frames larger than the smallest")
    parser.add_argument("--refine", type=Path, metavar="MODEL", help="a tiny-wan to go on from")
    parser.add_argument("--smoke", action="store_true", help="tiny clips and few, to try the script")
    return parser.parse_args()


def main() -> None:
    args, ranks = arguments(), training.Ranks()
    device = torch.device(args.device)
    if args.refine:
        args.vae, args.guided = args.vae or args.refine / "vae", 1.0
    if args.minutes_vae is None:
        args.minutes_vae = 0 if args.refine else 8
    if ranks.count > 1 and args.minutes_vae + args.minutes_decoder > 0:
        raise SystemExit("several processes train the transformer alone: --minutes-vae 0 --vae FOLDER")
    if ranks.rank > 0:
        args.work = args.out = args.work / f"rank{ranks.rank}"
    args.work.mkdir(parents=True, exist_ok=True)
    folder = args.out / "tiny-wan"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(args.seed)
    if args.refine:  # Its text encoder knows its tokens by their numbers.
        pieces = text.pieces_of(args.refine / "tokenizer")
    else:
        pieces = text.pieces(args.seed, 500 if args.smoke else 5000)
    saving.write_tokenizer(folder, pieces)
    log("tokenizer: " + text.check_tokenizer(folder / "tokenizer", args.seed))
    tokenizer = text.Tokenizer(folder / "tokenizer")
    encoder, transformer, vae = models(args, folder)
    # What cannot be saved shows before training, not after.
    log("a rehearsal of saving: " + saving.save(args.work / "rehearsal", pieces, encoder, transformer, vae))
    of_vae = data.SMOKE_VAE_BUCKETS if args.smoke else data.FEW_VAE_BUCKETS if args.few else data.VAE_BUCKETS
    train_vae(args, vae, of_vae, device)
    if args.minutes == 0:
        saving.save_vae(folder / "vae", vae)
        log(f"saved: {folder / 'vae'}")
        return
    buckets = data.SMOKE_BUCKETS if args.smoke else data.BUCKETS
    if args.buckets:
        buckets = [b for b in buckets if b.name in args.buckets.split(",")]
    if args.large is not None:
        buckets = data.with_large(buckets, args.large)
    cache = data.Cache(buckets, Z, transformer.config.patch_size[1:], device)
    if args.compile:
        passes.compile_parts(args.compile, cache.commonest())
        umt5.compile_parts(args.compile)
    stored = args.work / "cache.pt"
    if stored.exists():
        cache.load(stored)
        log("cache read")
    else:
        seed, hard = args.seed + 1_000_003 * ranks.rank, 1.0 if args.refine else HARD
        cache.fill(vae, tokenizer, seed, 60 * args.minutes_cache, log, hard)
        cache.save(stored)
        log("cache saved")
    train_transformer(args, ranks, encoder, transformer, cache, tokenizer, device)
    if ranks.rank == 0:
        log("saved: " + saving.save(folder, pieces, encoder, transformer, vae))


if __name__ == "__main__":
    main()
