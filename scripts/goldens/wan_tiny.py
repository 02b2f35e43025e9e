"""Tiny random WAN checkpoints with what diffusers computes from them: tests/golden/wan/{name}/, and tokens.json.

    python scripts/goldens/wan_tiny.py            # all; or the names of some (`tokens` for the texts alone)

Made with torch 2.11.0, diffusers 0.42.1, transformers 5.17.0, ftfy 6.3.1, safetensors 0.8.0 on a CPU with one thread,
in fp32 whatever the type of the files. Each folder holds a checkpoint in diffusers' layout (the tokenizer by hand),
`golden.safetensors` and `request.json`.

    t2v_f32       fp32; 2 heads of 12, 2 layers; latents of 4 channels with a mean and deviation of their own;
                  32x48, 9 frames; the published negative prompt. The only one with `debug.*`
    t2v_bf16      bf16; 1 head of 128 as published, 2 layers; VAE of the published build but for its width, with the
                  published mean and deviation; 48x32, 5 frames; no negative prompt. The other layouts come from it
    t2v_sharded   bf16, transformer and text encoder in shards; 4 heads of 16, no norm before cross attention, VAE of
                  one block a level that halves time in its first two levels; 32x32, 1 frame
    vace          WanVACETransformer3DModel (3 heads of 24, 3 layers, two of them controlled); 5 frames: the first
                  given, and a run with a reference picture. `modes.safetensors` has runs with the last frame, both, and
                  a reference picture at full strength
    i2v, flf2v    WanTransformer3DModel of 36 channels with picture tokens; one forward each, transformer alone
    oblong        text to video with patches of 4 rows and 2 columns; transformer alone

Tensors of a run have the scheduler's name before them: `unipc.noise_pred.0` (after guidance), `unipc.latents.0`, ...,
`unipc.latents`, `unipc.video` [F, 3, H, W] in [-1, 1], `unipc.timesteps`, `unipc.sigmas`.
"""

import shutil
import sys
from pathlib import Path

import diffusers
import ftfy
import safetensors
import tokenizers
import torch
import transformers
from diffusers import (
    AutoencoderKLWan,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from safetensors.torch import save_file
from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

import wan_common as common
import wan_strings
import wan_tiny_parts as parts

VERSIONS = ", ".join(f"{m.__name__} {m.__version__}" for m in (diffusers, torch, transformers, safetensors))
SCHEDULER = {
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "num_train_timesteps": 1000,
    "flow_shift": 3.0,
}

CONFIGURATIONS = {
    "t2v_f32": {
        "dtype": torch.float32,
        "transformer": {
            "num_attention_heads": 2,
            "attention_head_dim": 12,
            "in_channels": 4,
            "out_channels": 4,
            "freq_dim": 16,
            "ffn_dim": 40,
            "num_layers": 2,
            "cross_attn_norm": True,
            "eps": 1e-6,
        },
        "vae": {"base_dim": 3, "z_dim": 4, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2},
        "text_encoder": {"d_model": 24, "d_kv": 8, "num_heads": 3, "num_layers": 2, "d_ff": 40},
        "vae_size": (16, 32),
        "request": {
            "prompt": "A cat and a dog baking a cake together in a kitchen.",
            "negative_prompt": wan_strings.NEGATIVE,
            "height": 32,
            "width": 48,
            "num_frames": 9,
        },
    },
    "t2v_bf16": {
        "dtype": torch.bfloat16,
        "transformer": {
            "num_attention_heads": 1,
            "attention_head_dim": 128,
            "in_channels": 16,
            "out_channels": 16,
            "freq_dim": 32,
            "ffn_dim": 48,
            "num_layers": 2,
            "cross_attn_norm": True,
            "eps": 1e-6,
        },
        "vae": {"base_dim": 3, "z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2},
        "published_latents": True,
        "text_encoder": {"d_model": 32, "d_kv": 16, "num_heads": 2, "num_layers": 3, "d_ff": 48},
        "vae_size": (16, 24),
        "request": {
            "prompt": "  Ein Schloß über den Wolken,\n sehr schön &amp; größer als alle Häuser ",
            "negative_prompt": None,
            "height": 48,
            "width": 32,
            "num_frames": 5,
        },
    },
    "t2v_sharded": {
        "dtype": torch.bfloat16,
        "transformer": {
            "num_attention_heads": 4,
            "attention_head_dim": 16,
            "in_channels": 8,
            "out_channels": 8,
            "freq_dim": 24,
            "ffn_dim": 96,
            "num_layers": 3,
            "cross_attn_norm": False,
            "eps": 1e-5,
        },
        "vae": {
            "base_dim": 5,
            "z_dim": 8,
            "dim_mult": [1, 1, 2, 4],
            "num_res_blocks": 1,
            "temperal_downsample": [True, True, False],
        },
        "text_encoder": {
            "d_model": 40,
            "d_kv": 8,
            "num_heads": 4,
            "num_layers": 2,
            "d_ff": 64,
            "relative_attention_num_buckets": 16,
            "relative_attention_max_distance": 64,
        },
        "shards": ("180KB", "60KB"),
        "vae_size": (24, 16),
        "request": {
            "prompt": "“一只红狐狸” in the snow — 雪の中を走る赤い狐，slow motion!",
            "negative_prompt": "blurry, low quality, distorted, watermark, text",
            "height": 32,
            "width": 32,
            "num_frames": 1,
        },
    },
}


OBLONG = {
    "patch_size": (1, 4, 2),
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 6,
    "out_channels": 6,
    "text_dim": 20,
    "freq_dim": 16,
    "ffn_dim": 40,
    "num_layers": 2,
    "cross_attn_norm": True,
    "eps": 1e-6,
}


def text_encoder(settings: dict) -> UMT5EncoderModel:
    config = UMT5Config(
        vocab_size=common.vocab_size(),
        feed_forward_proj="gated-gelu",
        is_encoder_decoder=True,
        tokenizer_class="T5Tokenizer",
        **settings,
    )
    return UMT5EncoderModel(config)


def vae_of(settings: dict, published: bool, generator: torch.Generator) -> AutoencoderKLWan:
    if not published:
        z = settings["z_dim"]
        mean = (1.2 * torch.randn(z, generator=generator)).tolist()
        std = (0.5 + 1.5 * torch.rand(z, generator=generator)).tolist()
        settings = settings | {"latents_mean": [round(x, 4) for x in mean], "latents_std": [round(x, 4) for x in std]}
    return AutoencoderKLWan(**settings)


def calibrate(transformer, vae, context_width: int, generator: torch.Generator, call) -> None:
    """Outputs of a useful size: velocities with a deviation near one, pictures within [-1, 1] but for a few pixels."""
    sample = torch.randn(1, transformer.config.in_channels, 2, 4, 4, generator=generator)
    context = torch.randn(1, 512, context_width, generator=generator)
    transformer.proj_out.weight.data *= 0.7 / call(sample, torch.tensor([500]), context).std()
    if vae is not None:
        conv = vae.decoder.conv_out
        conv.weight.data *= 1e-3
        latents = parts.denormalize(vae, torch.randn(1, vae.config.z_dim, 2, 4, 4, generator=generator))
        conv.weight.data *= 0.35 / (vae.decode(latents).sample - conv.bias.data.view(1, 3, 1, 1, 1)).std()


def build(c: dict, folder: Path) -> WanPipeline:
    generator = torch.Generator().manual_seed(0)
    encoder = text_encoder(c["text_encoder"])
    transformer = WanTransformer3DModel(text_dim=c["text_encoder"]["d_model"], **c["transformer"])
    vae = vae_of(c["vae"], c.get("published_latents", False), generator)
    for model in (encoder, transformer, vae):
        model.eval().requires_grad_(False)
        common.randomize(model, generator)
    calibrate(transformer, vae, transformer.config.text_dim, generator, lambda *a: transformer(*a).sample)
    for model in (encoder, transformer, vae):
        model.to(c["dtype"])
    scheduler = UniPCMultistepScheduler(**SCHEDULER)
    tokenizer = T5Tokenizer.from_pretrained(folder / "tokenizer")
    return WanPipeline(tokenizer, encoder, vae, scheduler, transformer)


def golden(pipe: WanPipeline, c: dict, request: dict, debug: bool) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    frames, height, width = (request[k] for k in ("num_frames", "height", "width"))
    shape = (1, pipe.transformer.config.in_channels, (frames - 1) // 4 + 1, height // 8, width // 8)
    tensors = {"initial_latents": torch.randn(shape, generator=generator)}
    tensors |= parts.text(pipe, request)
    schedulers = {
        "unipc": pipe.scheduler,
        "dpm++": DPMSolverMultistepScheduler.from_config(pipe.scheduler.config),
        "euler": FlowMatchEulerDiscreteScheduler(shift=3.0),
    }
    for name, scheduler in schedulers.items():
        run = {k: request[k] for k in request if k != "schedulers"}
        tensors |= parts.prefixed(name, parts.run(pipe, scheduler, run, tensors["initial_latents"]))
    tensors |= parts.vae_round(pipe.vae, c["vae_size"], generator)
    tensors |= parts.transformer_alone(pipe.transformer, generator, debug)
    return tensors


def make(name: str) -> None:
    c, folder = CONFIGURATIONS[name], common.OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    common.write_tokenizer(folder / "tokenizer")
    pipe = build(c, folder)
    parts.save(pipe, folder, c.get("shards"))
    again = WanPipeline.from_pretrained(folder, dtype=torch.float32)
    again.set_progress_bar_config(disable=True)
    parts.same_weights(pipe, again, ("text_encoder", "transformer", "vae"))
    request = c["request"] | {"num_inference_steps": 4, "guidance_scale": 5.0, "max_sequence_length": 512}
    tensors = golden(again, c, request, name == "t2v_f32")
    parts.save_golden(tensors, folder, request, f"scripts/goldens/wan_tiny.py, fp32 on CPU: {VERSIONS}")


def oblong() -> None:
    folder = common.OUT / "oblong"
    shutil.rmtree(folder, ignore_errors=True)
    generator = torch.Generator().manual_seed(9)
    model = WanTransformer3DModel(**OBLONG).eval().requires_grad_(False)
    common.randomize(model, generator)
    calibrate(model, None, model.config.text_dim, generator, lambda *a: model(*a).sample)
    common.round_to(model, torch.bfloat16)
    tensors = parts.transformer_alone(model, generator, False)
    model.to(torch.bfloat16).save_pretrained(folder / "transformer")
    parts.save_golden(tensors, folder, {}, f"scripts/goldens/wan_tiny.py, fp32 on CPU: {VERSIONS}")


def tokens() -> None:
    """Ids as tokenizer.json gives them; where the class T5Tokenizer of transformers 5 gives others, those as well."""
    folder = common.OUT / "t2v_f32/tokenizer"
    common.write_tokenizer(folder)
    reader, rebuilt = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")), T5Tokenizer.from_pretrained(folder)
    cases = []
    for text in wan_strings.texts():
        cleaned = prompt_clean(text)
        case = {"text": text, "cleaned": cleaned, "ids": reader.encode(cleaned).ids}
        without = parts.clean_without_ftfy(text)
        if without != cleaned:
            case["cleaned_without_ftfy"] = without
        if (other := rebuilt(cleaned).input_ids) != case["ids"]:
            case["ids_of_transformers_5"] = other
        cases.append(case)
    reader.enable_truncation(16)
    cut = [{"cleaned": c["cleaned"], "max_length": 16, "ids": reader.encode(c["cleaned"]).ids} for c in cases[:12]]
    assert len(cases[-1]["ids"]) > 512
    origin = f"scripts/goldens/wan_tiny.py: tokenizers {tokenizers.__version__}, ftfy {ftfy.__version__}, {VERSIONS}"
    common.write_json(common.OUT / "tokens.json", {"cases": cases, "truncated": cut, "origin": origin})
    differ = sum("ids_of_transformers_5" in case for case in cases)
    changed = sum("cleaned_without_ftfy" in case for case in cases)
    print(f"tokens: {len(cases)} texts, {differ} with other ids in transformers 5, {changed} changed by ftfy")


def main() -> None:
    torch.use_deterministic_algorithms(True)
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    for logging in (transformers.utils.logging, diffusers.utils.logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    import wan_tiny_vace as more

    todo = {name: lambda name=name: make(name) for name in CONFIGURATIONS}
    todo |= {"vace": more.vace, "i2v": more.i2v, "flf2v": more.flf2v, "oblong": oblong, "tokens": tokens}
    for name in sys.argv[1:] or todo:
        print(name)
        todo[name]()
        if name != "tokens":
            size = sum(p.stat().st_size for p in (common.OUT / name).rglob("*") if p.is_file())
            print(f"  {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
