"""A pass of `UMT5EncoderModel` that can be recorded: no step of it waits for the device.

A module, not a command; torch 2.11.0, transformers 5.17.0. `check` compares it with transformers' own.
"""

import math

import torch
import torch.nn.functional as F


def buckets(model, places: int, device) -> torch.Tensor:
    """Number of the learned bias of every pair of positions: [places, places]."""
    place = torch.arange(places, device=device)
    attention = model.encoder.block[0].layer[0].SelfAttention
    return attention._relative_position_bucket(place[None] - place[:, None])


def forward(model, ids: torch.Tensor, lengths: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """ids: [B, places], lengths: [B], pairs: what `buckets` gives -> [B, places, D], zero behind the text."""
    inside = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
    mask = torch.zeros(inside.shape, device=ids.device).masked_fill(~inside, -math.inf)[:, None, None]
    x = look_up(model.shared.weight, ids)
    for block in model.encoder.block:
        attention, feed_forward = block.layer
        x = x + attend(attention.SelfAttention, attention.layer_norm(x), mask, pairs)
        x = x + feed_forward.DenseReluDense(feed_forward.layer_norm(x))
    return model.encoder.final_layer_norm(x) * inside[..., None]


def attend(module, x: torch.Tensor, mask: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    q, k, v = (part(x).unflatten(2, (module.n_heads, -1)).transpose(1, 2) for part in (module.q, module.k, module.v))
    bias = look_up(module.relative_attention_bias.weight, pairs).permute(2, 0, 1) + mask
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype), scale=1.0)
    return module.o(out.transpose(1, 2).flatten(2))


def look_up(table: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Rows of a table as a product, whose gradient needs no sorting."""
    chosen = rows[..., None] == torch.arange(len(table), device=table.device)
    with torch.autocast(table.device.type, enabled=False):
        return chosen.to(table.dtype) @ table


def compile_parts(backend: str) -> None:
    global forward
    forward = torch.compile(forward, backend=backend, dynamic=True)


@torch.no_grad()
def check(model) -> float:
    """How far `forward` is from transformers' own, relative; on the CPU in fp32."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, model.config.vocab_size, (3, 12), generator=generator)
    lengths = torch.tensor([1, 7, 12])
    inside = torch.arange(12) < lengths[:, None]
    theirs = model(ids, inside.long()).last_hidden_state * inside[..., None]
    ours = forward(model, ids, lengths, buckets(model, 12, "cpu"))
    worst = ((ours - theirs).norm() / theirs.norm()).item()
    if worst > 1e-4:
        raise ValueError(f"the pass of the text encoder differs from transformers' by {worst}")
    return worst
