"""The tiny checkpoint t2v_bf16 in the other layouts people have: tests/golden/wan/layouts/.

    python scripts/goldens/wan_layouts.py            # after wan_tiny.py

Made with torch 2.11.0, diffusers 0.42.1, safetensors 0.8.0. Each holds the numbers of t2v_bf16, name by name.

    original/      as Wan-AI/Wan2.1-T2V-1.3B: config.json of WanModel, diffusion_pytorch_model.safetensors,
                   models_t5_umt5-xxl-enc-bf16.pth (a plain dict, bf16), Wan2.1_VAE.pth (fp32, an OrderedDict with
                   `_metadata`, as `state_dict()` gives it), google/umt5-xxl/
    repackaged/    as ComfyUI takes them: diffusion_models/ with the prefix `model.diffusion_model.`, text_encoders/ with
                   transformers' names and the sentencepiece model as a tensor of bytes, vae/ with the original names

The transformer without the prefix is original/'s file. What no file says is as published: heads of 128 and epsilon
1e-6 (repackaged), mean and deviation of the latents, their four times eight by eight pixels, umT5's distance of 128.
"""

import collections
import shutil

import torch
from diffusers.loaders import single_file_utils
from safetensors.torch import load_file, save_file

import wan_common as common

BASE = common.OUT / "t2v_bf16"
OUT = common.OUT / "layouts"
CONFIG = {
    "_class_name": "WanModel",
    "_diffusers_version": "0.30.0",
    "dim": 128,
    "eps": 1e-06,
    "ffn_dim": 48,
    "freq_dim": 32,
    "in_dim": 16,
    "model_type": "t2v",
    "num_heads": 1,
    "num_layers": 2,
    "out_dim": 16,
    "text_len": 512,
}


def torch_file_vae(state: dict) -> collections.OrderedDict:
    """fp32, with what a reader of torch's files must bear: a view with an offset, and one that is not contiguous."""
    out = collections.OrderedDict((k, v.float()) for k, v in state.items())
    bias = out["decoder.head.2.bias"]
    out["decoder.head.2.bias"] = torch.cat([torch.full((5,), 7.0), bias, torch.full((2,), 7.0)])[5:-2]
    weight = out["encoder.middle.1.proj.weight"]
    out["encoder.middle.1.proj.weight"] = weight.transpose(0, 1).contiguous().transpose(0, 1)
    assert not out["encoder.middle.1.proj.weight"].is_contiguous()
    assert out["decoder.head.2.bias"].storage_offset() == 5
    out._metadata = collections.OrderedDict([("", {"version": 1}), ("encoder", {"version": 1})])
    return out


def equal(read: dict, own: dict, what: str) -> None:
    assert read.keys() == own.keys(), (what, read.keys() ^ own.keys())
    assert all(torch.equal(read[k].float(), own[k].float()) for k in own), what


def main() -> None:
    transformer = load_file(BASE / "transformer/diffusion_pytorch_model.safetensors")
    vae = load_file(BASE / "vae/diffusion_pytorch_model.safetensors")
    encoder = load_file(BASE / "text_encoder/model.safetensors")
    encoder.pop("encoder.embed_tokens.weight", None)
    common.check_original(transformer, vae)
    names = common.original_transformer(transformer), common.original_vae(vae, 2), common.original_umt5(encoder)
    shutil.rmtree(OUT, ignore_errors=True)

    folder = OUT / "original"
    common.write_tokenizer(folder / "google/umt5-xxl")
    common.write_json(folder / "config.json", CONFIG)
    save_file(names[0], folder / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    torch.save(torch_file_vae(names[1]), folder / "Wan2.1_VAE.pth")
    torch.save(dict(names[2]), folder / "models_t5_umt5-xxl-enc-bf16.pth")

    folder = OUT / "repackaged"
    for part in ("diffusion_models", "text_encoders", "vae"):
        (folder / part).mkdir(parents=True)
    prefixed = {f"model.diffusion_model.{k}": v for k, v in names[0].items()}
    save_file(prefixed, folder / "diffusion_models/wan2.1_t2v_1.3B_bf16.safetensors", {"format": "pt"})
    pieces = torch.frombuffer(bytearray(common.spiece_model()), dtype=torch.uint8)
    save_file(encoder | {"spiece_model": pieces}, folder / "text_encoders/umt5_xxl_bf16.safetensors", {"format": "pt"})
    save_file(names[1], folder / "vae/wan_2.1_vae.safetensors", {"format": "pt"})

    # Read again, by diffusers' own functions.
    read = torch.load(OUT / "original/Wan2.1_VAE.pth", weights_only=True)
    equal(single_file_utils.convert_wan_vae_to_diffusers(read), vae, "vae, original")
    read = load_file(folder / "vae/wan_2.1_vae.safetensors")
    equal(single_file_utils.convert_wan_vae_to_diffusers(read), vae, "vae, repackaged")
    for path in (OUT / "original/diffusion_pytorch_model.safetensors", *folder.glob("diffusion_models/*")):
        equal(single_file_utils.convert_wan_transformer_to_diffusers(load_file(path)), transformer, str(path))
    read = torch.load(OUT / "original/models_t5_umt5-xxl-enc-bf16.pth", weights_only=True)
    assert all(torch.equal(read[k], names[2][k]) for k in names[2]) and len(read) == len(encoder)
    for path in sorted(OUT.rglob("*")):
        if path.is_file() and path.stat().st_size > 40_000:
            print(f"{path.relative_to(OUT)}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
