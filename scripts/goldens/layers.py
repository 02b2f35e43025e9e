"""Layers by themselves, numbers of torch: ourvidz-runtime/tests/golden/layers.safetensors.

    python scripts/goldens/layers.py               # made with torch 2.11.0, diffusers 0.42.1, fp32 on CPU

A case `name` has its input `name.x` (further ones by their own letters), the weights its layer reads (`name.weight`,
`name.bias`) and the result `name.y`. The test builds each layer on this file as its checkpoint.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import get_timestep_embedding
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parents[2] / "ourvidz-runtime/tests/golden/layers.safetensors"


def main() -> None:
    torch.manual_seed(0)
    cases: dict[str, torch.Tensor] = {}

    def case(name: str, y: torch.Tensor, **inputs: torch.Tensor) -> None:
        cases.update({f"{name}.{key}": value.contiguous().clone() for key, value in (inputs | {"y": y}).items()})

    rand = torch.randn

    x, w, b = rand(2, 3, 5), rand(7, 5), rand(7)
    case("linear", F.linear(x, w, b), x=x, weight=w, bias=b)
    case("linear_stored_transposed", F.linear(x, w), x=x, weight=w.T)

    x, b = rand(2, 4, 7, 6), rand(5)
    for name, kernel, stride, (before, after) in [
        ("conv_same", 3, 1, (1, 1)),
        ("conv_halving", 3, 2, (1, 1)),
        ("conv_halving_below", 3, 2, (0, 1)),
        ("conv_pointwise", 1, 1, (0, 0)),
    ]:
        w = rand(5, 4, kernel, kernel)
        y = F.conv2d(F.pad(x, (before, after, before, after)), w, b, stride)
        case(name, y, x=x, weight=w, bias=b)

    x, w, b = rand(2, 6, 5, 4) * 3 + 1, rand(6), rand(6)
    y = F.group_norm(x, 3, w, b, 1e-2)
    case("group_norm", y, x=x, weight=w, bias=b)
    case("group_norm_silu", F.silu(y), x=x, weight=w, bias=b)
    x, w, b = rand(2, 3, 8) * 3 + 1, rand(8), rand(8)
    case("layer_norm", F.layer_norm(x, (8,), w, b, 1e-2), x=x, weight=w, bias=b)

    for name, heads, length, causal in [
        ("attention", 3, 6, False),
        ("attention_one_head", 1, 6, False),
        ("attention_causal", 4, 6, True),
        ("attention_cross", 2, 9, False),
    ]:
        q, k, v = rand(2, 6, 12), rand(2, length, 12), rand(2, length, 12)
        split = lambda t: t.unflatten(-1, (heads, -1)).transpose(1, 2)
        y = F.scaled_dot_product_attention(split(q), split(k), split(v), is_causal=causal)
        case(name, y.transpose(1, 2).flatten(2), q=q, k=k, v=v)

    x, w, b = rand(2, 5, 6), rand(16, 6), rand(16)
    hidden, gate = F.linear(x, w, b).chunk(2, -1)
    case("geglu", hidden * F.gelu(gate), x=x, weight=w, bias=b)

    x = torch.linspace(-12, 12, 97)
    case("gelu", F.gelu(x), x=x)
    case("quick_gelu", x * torch.sigmoid(1.702 * x), x=x)
    case("silu", F.silu(x), x=x)

    x = torch.tensor([0.0, 1.0, 17.25, 500.5, 999.0, 1024.0])
    y = get_timestep_embedding(x, 64, flip_sin_to_cos=True, downscale_freq_shift=0)
    case("sinusoidal_embedding", y, x=x[:, None])

    x = rand(2, 3, 4, 5)
    for name, size in [("resize_odd", (7, 9)), ("resize_down", (3, 4)), ("resize_twice", (8, 10))]:
        case(name, F.interpolate(x, size=size, mode="nearest"), x=x, like=rand(2, 1, *size))

    x, w = torch.tensor([[3, 0, 10], [7, 7, 1]]), rand(11, 6)
    case("embedding", F.embedding(x, w), x=x, weight=w)

    x, v, other = rand(2, 3, 4, 5), rand(2, 3), rand(2, 2, 4, 5)
    case("to_tokens", x.flatten(2).transpose(1, 2), x=x)
    case("add_channels", x + v[:, :, None, None], x=x, v=v)
    case("concat_channels", torch.cat([x, other], 1), x=x, v=other)

    OUT.parent.mkdir(parents=True, exist_ok=True)
    save_file(cases, OUT, {"origin": f"scripts/goldens/layers.py: torch {torch.__version__}, fp32 on CPU"})
    print(f"{len(cases)} tensors, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
