"""Passes of `AutoencoderKLWan` over whole clips, quick enough to train with.

A module, not a command; torch 2.11.0, diffusers 0.42.1. diffusers goes through a clip in chunks, with a cache of
features between them. The same numbers come out of causal convolutions over the whole clip, as `check` shows. Tensors
are [B, F, H, W, C], and a convolution in three dimensions is one in two over three frames side by side.
"""

import torch
import torch.nn.functional as F


# Share of a channel's deviation that is added to latents as noise when the VAE learns to decode them: where there are
# outlines, a transformer leaves errors of 0.1 to 0.3. Noise of one size for all would be outdone by larger latents.
NOISE = 0.2


def inner(vae, parameters: list[torch.Tensor]) -> list[torch.Tensor]:
    """The convolutions among the parameters, but the first and the last layers, which are not like the others: their
    numbers are pixels and latents."""
    ends = [net for part in (vae.encoder, vae.decoder) for net in (part.conv_in, part.conv_out)]
    apart = {id(p) for net in ends for p in net.parameters()}
    return [p for p in parameters if p.ndim >= 4 and p.numel() > len(p) and id(p) not in apart]


def disturbed(latents: torch.Tensor, share: float = NOISE) -> torch.Tensor:
    """latents: [B, T, h, w, Z], with noise of a share of each channel's deviation."""
    return latents + share * latents.detach().std((0, 1, 2, 3)) * torch.randn_like(latents)


def pixel_loss(off: torch.Tensor) -> torch.Tensor:
    """off: [B, F, H, W, 3], what is decoded less what should be."""
    edges = off.diff(dim=2).abs().mean() + off.diff(dim=3).abs().mean()
    return off.abs().mean() + 0.5 * edges + 2.0 * off.square().mean()


def encode(vae, video: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """video: [B, F, H, W, 3], F one more than a multiple of 4 -> mean and logarithm of the variance [B, T, h, w, Z]."""
    net = vae.encoder
    x = conv(video, net.conv_in)
    for layer in net.down_blocks:
        x = downsample(x, layer) if hasattr(layer, "resample") else residual(x, layer)
    x = conv(norm_silu(middle(x, net.mid_block), net.norm_out.gamma), net.conv_out)
    return conv(x, vae.quant_conv).chunk(2, -1)


def decode(vae, latents: torch.Tensor) -> torch.Tensor:
    """latents: [B, T, h, w, Z] -> [B, F, H, W, 3], not clamped."""
    net = vae.decoder
    x = middle(conv(conv(latents, vae.post_quant_conv), net.conv_in), net.mid_block)
    for block in net.up_blocks:
        for layer in block.resnets:
            x = residual(x, layer)
        if block.upsamplers is not None:
            x = upsample(x, block.upsamplers[0])
    return conv(norm_silu(x, net.norm_out.gamma), net.conv_out)


def conv(x: torch.Tensor, module) -> torch.Tensor:
    weight, frames = module.weight, x.shape[1]
    if weight.shape[2:] == (1, 1, 1):
        return F.linear(x, weight.flatten(1), module.bias)
    past = F.pad(x, (0, 0) * 3 + (2, 0))
    taps = torch.cat([past[:, k : k + frames] for k in range(3)], -1)
    weight = weight.transpose(1, 2).flatten(1, 2)
    # Tensor cores take channels in eights.
    inputs, outputs = -weight.shape[1] % 8, -weight.shape[0] % 8
    if inputs or outputs:
        taps, weight = F.pad(taps, (0, inputs)), F.pad(weight, (0, 0, 0, 0, 0, inputs, 0, outputs))
    out = conv2d(taps, weight, F.pad(module.bias, (0, outputs)), padding=1)
    return out[..., : out.shape[-1] - outputs] if outputs else out


def conv2d(x: torch.Tensor, weight, bias, **how) -> torch.Tensor:
    """Of every frame; [B, F, H, W, C] as it lies is the layout `channels_last`."""
    frames = x.flatten(0, 1).permute(0, 3, 1, 2)
    return F.conv2d(frames, weight, bias, **how).permute(0, 2, 3, 1).unflatten(0, x.shape[:2])


def norm_silu(x: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    return F.silu(norm(x, gamma))


def norm(x: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    length = x.float().square().sum(-1, keepdim=True).clamp_min(1e-10).rsqrt()
    return x * (length * x.shape[-1] ** 0.5).to(x.dtype) * gamma.flatten().to(x.dtype)


def residual(x: torch.Tensor, block) -> torch.Tensor:
    h = conv(norm_silu(x, block.norm1.gamma), block.conv1)
    h = conv(norm_silu(h, block.norm2.gamma), block.conv2)
    return h + (conv(x, block.conv_shortcut) if hasattr(block.conv_shortcut, "weight") else x)


def middle(x: torch.Tensor, block) -> torch.Tensor:
    x = residual(x, block.resnets[0])
    attention = block.attentions[0]
    flat = norm(x, attention.norm.gamma).flatten(2, 3).flatten(0, 1)[:, None]  # [B*F, 1, H*W, C]
    q, k, v = F.linear(flat, attention.to_qkv.weight.flatten(1), attention.to_qkv.bias).chunk(3, -1)
    out = F.scaled_dot_product_attention(q, k, v)
    out = F.linear(out, attention.proj.weight.flatten(1), attention.proj.bias)
    return residual(x + out.view(x.shape), block.resnets[1])


def downsample(x: torch.Tensor, layer) -> torch.Tensor:
    pad, two = F.pad(x, (0, 0, 0, 1, 0, 1)), layer.resample[1]
    x = conv2d(pad, two.weight, two.bias, stride=2)
    if layer.mode == "downsample3d" and x.shape[1] > 1:
        taps = torch.cat([x[:, :-2:2], x[:, 1:-1:2], x[:, 2::2]], -1)
        x = torch.cat([x[:, :1], over_time(taps, layer.time_conv).to(x.dtype)], 1)
    return x


def upsample(x: torch.Tensor, layer) -> torch.Tensor:
    if layer.mode == "upsample3d" and x.shape[1] > 1:
        # The first frame stays one and is not seen by those that follow.
        rest = x[:, 1:]
        past, frames = F.pad(rest, (0, 0) * 3 + (2, 0)), rest.shape[1]
        pairs = over_time(torch.cat([past[:, k : k + frames] for k in range(3)], -1), layer.time_conv)
        pairs = pairs.unflatten(-1, (2, x.shape[-1])).permute(0, 1, 4, 2, 3, 5).flatten(1, 2)
        x = torch.cat([x[:, :1], pairs.to(x.dtype)], 1)
    x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    two = layer.resample[1]
    return conv2d(x, two.weight, two.bias, padding=1)


def over_time(taps: torch.Tensor, module) -> torch.Tensor:
    return F.linear(taps, module.weight.flatten(2).transpose(1, 2).flatten(1), module.bias)


def compile_parts(backend: str) -> None:
    global norm, norm_silu
    norm, norm_silu = (torch.compile(f, backend=backend, dynamic=True) for f in (norm, norm_silu))


@torch.no_grad()
def check(vae) -> float:
    """How far these passes are from diffusers' own, relative; on the CPU in fp32."""
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for frames in (1, 9):
        video = torch.rand(2, 3, frames, 32, 48, generator=generator) * 2 - 1
        theirs = vae.encode(video).latent_dist
        mean, logvar = encode(vae, video.permute(0, 2, 3, 4, 1))
        decoded = decode(vae, theirs.mean.permute(0, 2, 3, 4, 1)).clamp(-1, 1)
        pairs = [(mean, theirs.mean), (logvar.clamp(-30, 20), theirs.logvar), (decoded, vae.decode(theirs.mean).sample)]
        for ours, other in pairs:
            worst = max(worst, ((ours.permute(0, 4, 1, 2, 3) - other).norm() / other.norm()).item())
    if worst > 1e-4:
        raise ValueError(f"the passes over whole clips differ from diffusers' by {worst}")
    return worst
