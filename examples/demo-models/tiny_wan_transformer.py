"""A pass of `WanTransformer3DModel` with little work for padding, and weights to begin from.

A module, not a command; torch 2.11.0, diffusers 0.42.1. Latents are tokens here, [B, L, C * p * q], of patches
of p rows and q columns. The pipeline gives the transformer 512 positions of text, all but the prompt's zero: they have one
key and one value, so that the share they get is that of one position whose logit is raised by the logarithm of how many
there are. `check` compares.
"""

import math

import torch
import torch.nn.functional as F

POSITIONS = 512


def tokens(latents: torch.Tensor, patch: tuple[int, int]) -> torch.Tensor:
    """latents: [B, C, F, H, W], patch: p, q -> [B, F * H/p * W/q, C * p * q]."""
    x = latents.unflatten(4, (-1, patch[1])).unflatten(3, (-1, patch[0]))  # [B, C, F, h, p, w, q]
    return x.permute(0, 2, 3, 5, 1, 4, 6).flatten(4).flatten(1, 3)


def untokens(x: torch.Tensor, patch: tuple[int, int], sizes: tuple[int, int, int]) -> torch.Tensor:
    """x: [B, F * H/p * W/q, C * p * q] of latents of `sizes` F, H, W -> [B, F, H, W, C]: what `tokens` took apart."""
    frames, height, width = sizes
    x = x.view(len(x), frames, height // patch[0], width // patch[1], -1, *patch)
    return x.permute(0, 1, 2, 5, 3, 6, 4).flatten(4, 5).flatten(2, 3)


def padding_bias(lengths: torch.Tensor, places: int) -> torch.Tensor:
    """lengths: [B] -> [B, 1, 1, places]: the first place after the text stands for all of the padding."""
    place = torch.arange(places, device=lengths.device)
    many = (POSITIONS - lengths).float().log()[:, None]
    lengths = lengths[:, None]
    bias = (many * (place == lengths)).masked_fill(place > lengths, -math.inf)
    return bias[:, None, None]


def rotary(model, frames: int, height: int, width: int, device) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines [1, L, 1, D/2] for latents of that size."""
    cos, sin = model.rope(torch.empty(1, 1, frames, height, width, device="meta"))
    return cos[..., 0::2].contiguous().to(device), sin[..., 1::2].contiguous().to(device)


def forward(model, x, timestep, text, bias, rope) -> torch.Tensor:
    """x: [B, L, C * p * q], timestep: [B], text: [B, places, D_text] -> velocity [B, L, C * p * q]."""
    embed = model.condition_embedder
    temb = embed.time_embedder(embed.timesteps_proj(timestep))
    modulation = embed.time_proj(F.silu(temb)).unflatten(1, (6, -1)).float()
    context = embed.text_embedder(text)
    x = F.linear(x, model.patch_embedding.weight.flatten(1), model.patch_embedding.bias).float()
    for layer in model.blocks:
        x = block(layer, x, context, bias.to(context.dtype), modulation, *rope)
    shift, scale = (model.scale_shift_table + temb.float()[:, None]).chunk(2, 1)
    x = model.proj_out(model.norm_out(x) * (1 + scale) + shift)
    channels = model.config.out_channels
    return x.unflatten(-1, (-1, channels)).transpose(-1, -2).flatten(-2)


def block(layer, x, context, bias, modulation, cos, sin) -> torch.Tensor:
    table = layer.scale_shift_table + modulation
    shift, scale, gate, shift_2, scale_2, gate_2 = table.chunk(6, 1)
    h = layer.norm1(x) * (1 + scale) + shift
    x = x + attention(layer.attn1, h, h, None, (cos, sin)) * gate
    x = x + attention(layer.attn2, layer.norm2(x), context, bias, None)
    return x + layer.ffn(layer.norm3(x) * (1 + scale_2) + shift_2) * gate_2


def attention(module, x, context, bias, rope) -> torch.Tensor:
    if context is x:
        q, k, v = together(x, module.to_q, module.to_k, module.to_v)
    else:
        q, (k, v) = module.to_q(x), together(context, module.to_k, module.to_v)
    q, k = rms_norm(q, module.norm_q), rms_norm(k, module.norm_k)
    q, k, v = (t.unflatten(2, (module.heads, -1)) for t in (q, k, v))
    if rope is not None:
        q, k = rotate(q, *rope), rotate(k, *rope)
    q, k, v = (t.transpose(1, 2).to(v.dtype) for t in (q, k, v))
    if bias is not None:
        bias = bias.expand(-1, module.heads, q.shape[2], -1)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    return module.to_out[0](out.transpose(1, 2).flatten(2))


def together(x: torch.Tensor, *layers) -> tuple[torch.Tensor, ...]:
    """What linear layers of one size make of x, as one product."""
    weight, bias = torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])
    return F.linear(x, weight, bias).chunk(len(layers), -1)


def rms_norm(x: torch.Tensor, module) -> torch.Tensor:
    return F.rms_norm(x.float(), x.shape[-1:], module.weight, module.eps)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    one, two = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([one * cos - two * sin, one * sin + two * cos], -1).flatten(-2)


def compile_parts(backend: str, often: int) -> None:
    """Compiles blocks for batches of `often` tokens a clip, and once for all other sizes, as that takes half a minute."""
    global block
    plain = block
    # Two functions, because torch keeps what it compiled by the function: one would take the other's.
    fixed = torch.compile(lambda *inputs: plain(*inputs), backend=backend, dynamic=False)
    others = torch.compile(lambda *inputs: plain(*inputs), backend=backend, dynamic=True)
    block = lambda layer, x, *rest: (fixed if x.shape[1] == often else others)(layer, x, *rest)


# Weights to begin from


@torch.no_grad()
def initialize(model) -> None:
    for layer in model.blocks:
        for module in layer.modules():
            if isinstance(module, torch.nn.Linear):
                torch.nn.init.xavier_uniform_(module.weight)
                torch.nn.init.zeros_(module.bias)
        layer.scale_shift_table.zero_()
        layer.scale_shift_table[:, [2, 5]] = 0.5
    model.condition_embedder.time_proj.weight.mul_(0.1)
    torch.nn.init.zeros_(model.condition_embedder.time_proj.bias)
    model.scale_shift_table.zero_()
    torch.nn.init.zeros_(model.proj_out.weight)
    torch.nn.init.zeros_(model.proj_out.bias)
    # A token does not know where it lies: rotary embeddings tell distances alone, and noise is alike everywhere. Heads
    # that look at one neighbour make an edge of the frame visible, where there is no neighbour.
    sides = [(axis, step) for axis in (2, 1, 0) for step in (-1, 1)]
    heads = model.config.num_attention_heads
    for n, (axis, step) in enumerate(sides):
        look_at(model, model.blocks[n // heads].attn1, n % heads, axis, step)


def look_at(model, module, head: int, axis: int, step: int) -> None:
    """Makes one head look at the token `step` further along an axis (0 frames, 1 rows, 2 columns)."""
    rope, width = model.rope, model.config.attention_head_dim
    q, k, at = torch.zeros(width // 2, 2), torch.zeros(width // 2, 2), 0
    for n, dim in enumerate((rope.t_dim, rope.h_dim, rope.w_dim)):
        for i in range(dim // 2):
            length = (3.0, 2.0)[i] if i < 2 else 0.2  # The quickest frequencies tell neighbours apart.
            angle = 10000.0 ** (-2 * i / dim) * (step if n == axis else 0)
            q[at], k[at] = length * torch.tensor([math.cos(angle), math.sin(angle)]), torch.tensor([length, 0.0])
            at += 1
    rows = slice(head * width, (head + 1) * width)
    for linear, vector, norm in ((module.to_q, q, module.norm_q), (module.to_k, k, module.norm_k)):
        linear.weight[rows] *= 0.3
        linear.bias[rows] = vector.flatten()
        norm.weight[rows] = 2.0


@torch.no_grad()
def check(model) -> float:
    """How far `forward` is from diffusers' own with 512 positions, relative; on the CPU in fp32."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    patch, channels = model.config.patch_size[1:], model.config.in_channels
    latents, lengths, places = draw(3, channels, 3, 4 * patch[0], 3 * patch[1]), torch.tensor([1, 5, 8]), 12
    text = draw(3, POSITIONS, model.config.text_dim) * (torch.arange(POSITIONS) < lengths[:, None])[..., None]
    timestep = torch.tensor([999.0, 500.0, 3.0])
    kept = model.proj_out.weight.clone()
    model.proj_out.weight.normal_(generator=generator)  # It may be zero before training.
    theirs = tokens(model(latents, timestep, text).sample, patch)
    rope = rotary(model, *latents.shape[2:], "cpu")
    bias = padding_bias(lengths, places)
    ours = forward(model, tokens(latents, patch), timestep, text[:, :places], bias, rope)
    model.proj_out.weight.copy_(kept)
    worst = ((ours - theirs).norm() / theirs.norm()).item()
    if worst > 1e-4:
        raise ValueError(f"the pass over tokens differs from diffusers' by {worst}")
    return worst
