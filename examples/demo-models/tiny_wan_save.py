"""Writes `tiny-wan` as diffusers lays a WAN model out, and measures its VAE.

A module, not a command; torch 2.11.0, diffusers 0.42.1, transformers 5.17.0.
"""

import copy
import json
import random
import shutil
from pathlib import Path

import torch
from diffusers import UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from transformers import AutoTokenizer, UMT5EncoderModel

import tiny_wan_data as data
import tiny_wan_text as text
from tiny_wan_text import wan_common

SCHEDULER = {
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "num_train_timesteps": 1000,
    "flow_shift": 5.0,
}


def write_tokenizer(folder: Path, pieces) -> None:
    wan_common.write_tokenizer(folder / "tokenizer", pieces)


def embedding_rows(folder: Path) -> int:
    """Rows of the text encoder's table: the tokens, up to a multiple of 16."""
    return -(-text.Tokenizer(folder / "tokenizer").reader.get_vocab_size() // 16) * 16


def save(folder: Path, pieces, encoder, transformer, vae) -> str:
    """Saves in half precision and says how large it is."""
    encoder, transformer, vae = (copy.deepcopy(m).cpu() for m in (encoder, transformer, vae))
    # The class of transformers 5 reads what is unknown as id 2, which no text has otherwise, instead of 3.
    encoder.shared.weight.data[2] = encoder.shared.weight.data[3]
    largest = max(p.abs().max().item() for m in (encoder, transformer, vae) for p in m.parameters())
    for model in (encoder, transformer, vae):
        for parameter in model.parameters():  # `half` would leave out what diffusers computes in fp32.
            parameter.data = parameter.data.half()
    shutil.rmtree(folder, ignore_errors=True)
    write_tokenizer(folder, pieces)
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    WanPipeline(tokenizer, encoder, vae, UniPCMultistepScheduler(**SCHEDULER), transformer).save_pretrained(folder)
    shutil.rmtree(folder / "tokenizer")
    write_tokenizer(folder, pieces)
    index = json.loads((folder / "model_index.json").read_text())
    index["tokenizer"] = ["transformers", "T5TokenizerFast"]
    wan_common.write_json(folder / "model_index.json", index)
    forget_origin(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{size / 2**20:.2f} MiB, the largest weight {largest:.2f}"


def save_vae(folder: Path, vae) -> None:
    """A VAE alone, in fp16."""
    vae.half().save_pretrained(folder)
    forget_origin(folder)


def forget_origin(folder: Path) -> None:
    """Takes out of configurations which folder a model was read from."""
    for path in folder.rglob("config.json"):
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)
        wan_common.write_json(path, config)


def load(folder: Path) -> tuple[UMT5EncoderModel, WanTransformer3DModel]:
    """Text encoder and transformer of a saved `tiny-wan`, in fp32 on the CPU."""
    encoder = UMT5EncoderModel.from_pretrained(folder / "text_encoder")
    return encoder.float(), WanTransformer3DModel.from_pretrained(folder / "transformer").float()


@torch.no_grad()
def vae_quality(vae, buckets, seed: int, device) -> str:
    """PSNR in dB of new clips, by diffusers' own passes with the weights as they are saved."""
    vae = copy.deepcopy(vae)
    for parameter in vae.parameters():
        parameter.data = parameter.data.half().float()
    rng, out = random.Random(f"{seed} held out"), []
    for bucket in buckets:
        errors, extreme = [], 0.0
        for _ in range(4):
            video = data.draw(bucket, min(4, data.at_once(bucket)), rng, device)[1].permute(0, 4, 1, 2, 3)
            decoded = vae.decode(vae.encode(video).latent_dist.mode()).sample
            errors.append((decoded - video).square().mean() / 4)
            extreme = max(extreme, (decoded.abs() >= 1).float().mean().item())
        psnr = -10 * torch.stack(errors).mean().log10().item()
        out.append(f"{bucket.name} {psnr:.1f} dB, {100 * extreme:.2f} % clipped")
    return "; ".join(out)
