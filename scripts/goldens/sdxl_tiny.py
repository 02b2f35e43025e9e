"""Tiny random SDXL checkpoints with what diffusers computes from them: tests/golden/sdxl/{name}/.

    python scripts/goldens/sdxl_tiny.py            # all; or the names of some

Made with torch 2.11.0, diffusers 0.42.1, transformers 5.17.0, safetensors 0.8.0 on a CPU, in fp32 whatever the type of
the files. Each folder holds the checkpoint as `save_pretrained` writes it (tokenizers by hand, without tokenizer.json),
`golden.safetensors` and `request.json`.

    linear_eps      fp32; 3 levels, linear projection; epsilon, leading; no negative prompt: zeros
    conv_vpred      fp16 files of the variant fp16; conv projection; v-prediction, trailing, zero terminal SNR; no negative
                    prompt, yet none forced to zero: the empty prompt is encoded; two pictures
    linspace_bf16   bf16, UNet in shards, layers per block in a list; linspace, Karras; 72x64
    single_file     fp16, one model.safetensors of original key names, heads 64 wide; tokenizer folders beside it
"""

import json
import shutil
import sys
from pathlib import Path

import diffusers
import safetensors
import torch
import transformers
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

import sdxl_common as common

OUT = common.ROOT / "tests/golden/sdxl"
MERGES = 486  # 1,000 tokens in all.
VERSIONS = ", ".join(f"{m.__name__} {m.__version__}" for m in (diffusers, torch, transformers, safetensors))

UNET = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "addition_embed_type": "text_time",
    "layers_per_block": 1,
    "use_linear_projection": True,
}
VAE = {
    "sample_size": 64,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 1,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "scaling_factor": 0.13025,
    "force_upcast": True,
}
SCHEDULER = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "prediction_type": "epsilon",
    "interpolation_type": "linear",
    "use_karras_sigmas": False,
}
DOWN3 = ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]
UP3 = ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]

# text_encoder(_2): hidden width, width of the MLP, layers, heads; `projection`: width of the pooled embedding.
CONFIGURATIONS = {
    "linear_eps": {
        "dtype": torch.float32,
        "unet": {
            "block_out_channels": [8, 16, 24],
            "norm_num_groups": 8,
            "down_block_types": DOWN3,
            "up_block_types": UP3,
            "transformer_layers_per_block": [1, 2, 3],
            "attention_head_dim": [2, 4, 8],
            "addition_time_embed_dim": 8,
        },
        "vae": {"block_out_channels": [8, 8, 8, 12], "norm_num_groups": 4},
        "text_encoder": (16, 64, 3, 2),
        "text_encoder_2": (24, 96, 4, 3),
        "projection": 20,
        "legacy_eos": True,
        "scheduler": {},
        "force_zeros": True,
        "request": {"prompt": "a watercolor of a red fox in the snow, golden hour!", "negative_prompt": None},
    },
    "conv_vpred": {
        "dtype": torch.float16,
        "unet": {
            "block_out_channels": [16, 32],
            "norm_num_groups": 16,
            "down_block_types": DOWN3[:1] + DOWN3[2:],
            "up_block_types": UP3[:1] + UP3[2:],
            "transformer_layers_per_block": 1,
            "attention_head_dim": [4, 8],
            "use_linear_projection": False,
            "addition_time_embed_dim": 16,
        },
        "vae": {"block_out_channels": [8, 8, 12, 16], "norm_num_groups": 4, "layers_per_block": 2},
        "text_encoder": (32, 64, 2, 4),
        "text_encoder_2": (32, 128, 3, 2),
        "projection": 32,
        "scheduler": {
            "prediction_type": "v_prediction",
            "timestep_spacing": "trailing",
            "rescale_betas_zero_snr": True,
        },
        "force_zeros": False,
        "request": {
            "prompt": "Ein Schloß über den Wolken (très détaillé), 8k, it's night",
            "negative_prompt": None,
            "guidance_scale": 7.5,
            "num_images": 2,
        },
    },
    "linspace_bf16": {
        "dtype": torch.bfloat16,
        "unet": {
            "block_out_channels": [16, 24, 32],
            "norm_num_groups": 8,
            "down_block_types": DOWN3,
            "up_block_types": UP3,
            "layers_per_block": [1, 2, 1],
            "transformer_layers_per_block": [1, 1, 2],
            "attention_head_dim": [1, 2, 4],
            "addition_time_embed_dim": 8,
        },
        "vae": {"block_out_channels": [8, 8, 16, 16], "norm_num_groups": 8},
        "text_encoder": (24, 48, 2, 3),
        "text_encoder_2": (32, 128, 2, 4),
        "projection": 16,
        "scheduler": {"timestep_spacing": "linspace", "use_karras_sigmas": True},
        "force_zeros": True,
        "shards": "400KB",
        "request": {
            "prompt": "portrait of an astronaut, " * 3 + "oil on canvas",
            "negative_prompt": "blurry, low quality!!",
            "width": 72,
            "guidance_scale": 4.0,
        },
    },
    "single_file": {
        "dtype": torch.float16,
        "unet": {
            "block_out_channels": [32, 64],
            "norm_num_groups": 32,
            "down_block_types": DOWN3[:1] + DOWN3[2:],
            "up_block_types": UP3[:1] + UP3[2:],
            "transformer_layers_per_block": [1, 1],
            "attention_head_dim": [1, 1],
            "addition_time_embed_dim": 8,
        },
        "vae": {"block_out_channels": [32, 32, 64, 32], "norm_num_groups": 32},
        "text_encoder": (64, 128, 2, 1),
        "text_encoder_2": (128, 128, 2, 2),
        "projection": 128,  # As wide as the encoder, as published.
        "legacy_eos": True,
        "scheduler": {},
        "force_zeros": True,
        "single": True,
        "request": {"prompt": "two lighthouses at dusk, long exposure", "negative_prompt": "people, text"},
    },
}


def randomize(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Weights that keep the variance from layer to layer; norms near one and biases near zero, but neither exactly."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("embedding.weight"):
            parameter.data = 0.5 * noise
        elif parameter.ndim > 1:
            parameter.data = noise / parameter[0].numel() ** 0.5
        else:
            parameter.data = 0.1 * noise + (1.0 if name.endswith("weight") else 0.0)


def build(configuration: dict, tokenizers: list[Path]) -> StableDiffusionXLPipeline:
    c = configuration
    generator = torch.Generator().manual_seed(0)
    eos = 512 + MERGES + 1
    encoders = []
    for cls, key, act in [
        (CLIPTextModel, "text_encoder", "quick_gelu"),
        (CLIPTextModelWithProjection, "text_encoder_2", "gelu"),
    ]:
        width, mlp, layers, heads = c[key]
        config = CLIPTextConfig(
            vocab_size=eos + 1,
            hidden_size=width,
            intermediate_size=mlp,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            hidden_act=act,
            projection_dim=c["projection"] if key == "text_encoder_2" else width,
            bos_token_id=0 if c.get("legacy_eos") else eos - 1,
            eos_token_id=2 if c.get("legacy_eos") else eos,
        )
        encoders.append(cls(config))
    settings = UNET | c["unet"] | {"cross_attention_dim": c["text_encoder"][0] + c["text_encoder_2"][0]}
    added_width = c["projection"] + 6 * settings["addition_time_embed_dim"]
    unet = UNet2DConditionModel(**settings, projection_class_embeddings_input_dim=added_width)
    vae = AutoencoderKL(**(VAE | c["vae"]))
    for model in [*encoders, unet, vae]:
        model.eval().requires_grad_(False)
        randomize(model, generator)

    # Outputs of a useful size: noise with a deviation near one after guidance, pictures within [-1, 1] but for a few pixels.
    sample = torch.randn(1, 4, 8, 8, generator=generator)
    context = torch.randn(1, 77, unet.config.cross_attention_dim, generator=generator)
    added = {"text_embeds": torch.randn(1, c["projection"], generator=generator), "time_ids": torch.tensor([[64.0] * 6])}
    out = unet(sample, 500, context, added_cond_kwargs=added).sample
    unet.conv_out.weight.data *= 0.25 / out.std()
    picture = vae.decode(sample / vae.config.scaling_factor).sample
    vae.decoder.conv_out.weight.data *= 0.35 / picture.std()

    for model in [*encoders, unet, vae]:
        if c.get("single"):  # Few digits, so that git can compress the largest of the files to less than half.
            for parameter in model.parameters():
                parameter.data = parameter.to(torch.float8_e4m3fn).float()
        model.to(c["dtype"])
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=encoders[0],
        text_encoder_2=encoders[1],
        tokenizer=CLIPTokenizer.from_pretrained(tokenizers[0]),
        tokenizer_2=CLIPTokenizer.from_pretrained(tokenizers[1]),
        unet=unet,
        scheduler=EulerDiscreteScheduler(**(SCHEDULER | c["scheduler"])),
        force_zeros_for_empty_prompt=c["force_zeros"],
        add_watermarker=False,
    )


def check_tokenizers(pipe: StableDiffusionXLPipeline) -> None:
    """The files are read as meant: ids of characters, merges and specials, padding, and a pad "!" within a text."""
    vocabulary, _ = common.clip_vocabulary(MERGES)
    bos, eos = vocabulary[common.BOS], vocabulary[common.EOS]
    for tokenizer, pad, bang in [(pipe.tokenizer, eos, vocabulary["!</w>"]), (pipe.tokenizer_2, 0, vocabulary["!"])]:
        assert tokenizer.get_vocab() == vocabulary
        ids = tokenizer("The q!", padding="max_length", max_length=8).input_ids
        assert ids == [bos, vocabulary["the</w>"], vocabulary["q</w>"], bang, eos] + [pad] * 3, ids


def golden(pipe: StableDiffusionXLPipeline, request: dict) -> dict[str, torch.Tensor]:
    """Runs the pipeline itself and keeps what passes through it."""
    generator = torch.Generator().manual_seed(1)
    count, steps = request["num_images"], request["num_inference_steps"]
    size = (count, 4, request["height"] // 8, request["width"] // 8)
    tensors = {"initial_latents": torch.randn(size, generator=generator)}
    for key, tokenizer in [("token_ids", pipe.tokenizer), ("token_ids_2", pipe.tokenizer_2)]:
        for prefix, text in [("", request["prompt"]), ("negative_", request["negative_prompt"])]:
            if text is not None:
                ids = tokenizer(text, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
                tensors[prefix + key] = ids.input_ids

    names = ["prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"]
    embeds = pipe.encode_prompt(request["prompt"], negative_prompt=request["negative_prompt"])
    tensors |= dict(zip(names, embeds))

    step = pipe.scheduler.step

    def kept_step(model_output, *args, **kwargs):
        tensors[f"noise_pred.{len([k for k in tensors if k.startswith('noise_pred')])}"] = model_output.clone()
        return step(model_output, *args, **kwargs)

    def kept_latents(_pipe, i, _t, kwargs):
        tensors[f"latents.{i}"] = kwargs["latents"].clone()
        return {}

    pipe.scheduler.step = kept_step
    run = dict(
        prompt=request["prompt"],
        negative_prompt=request["negative_prompt"],
        height=request["height"],
        width=request["width"],
        num_inference_steps=steps,
        guidance_scale=request["guidance_scale"],
        num_images_per_prompt=count,
    )
    initial = tensors["initial_latents"].clone()
    latents = pipe(**run, latents=initial, output_type="latent", callback_on_step_end=kept_latents).images
    pipe.scheduler.step = step
    tensors["latents"] = latents.clone()
    raw = pipe.vae.decode(latents / pipe.vae.config.scaling_factor, return_dict=False)[0]
    tensors["image"] = raw.clamp(-1, 1)
    pictures = pipe(**run, latents=tensors["initial_latents"].clone(), output_type="pt").images
    assert torch.equal(pictures, (raw * 0.5 + 0.5).clamp(0, 1))
    assert torch.equal(tensors["latents"], tensors[f"latents.{steps - 1}"]) and f"noise_pred.{steps - 1}" in tensors

    tensors["vae_image"] = torch.rand(1, 3, 64, 64, generator=generator) * 2 - 1
    tensors["vae_moments"] = pipe.vae.encode(tensors["vae_image"]).latent_dist.parameters
    for name, tensor in tensors.items():
        assert tensor.isfinite().all(), name
        tensors[name] = tensor.contiguous()
    clipped = (raw.abs() > 1).float().mean().item()
    spread = [round(tensors[f"noise_pred.{i}"].std().item(), 3) for i in range(steps)]
    print(f"  noise_pred {spread}, picture {raw.std().item():.3f}, {100 * clipped:.1f} % clipped")
    print(f"  prompt_embeds {tensors['prompt_embeds'].std().item():.3f}, vae_moments {tensors['vae_moments'].std():.3f}")
    return tensors


def published_prefix(path: Path) -> None:
    """Gives CLIPTextModel's file the names of the published checkpoints, with the prefix `text_model.`."""
    tensors = load_file(path)
    save_file({"text_model." + k.removeprefix("text_model."): v for k, v in tensors.items()}, path, {"format": "pt"})


def save_single(pipe: StableDiffusionXLPipeline, path: Path) -> None:
    single = common.original_unet(pipe.unet.state_dict(), pipe.unet.config.layers_per_block)
    single |= common.original_vae(pipe.vae.state_dict(), len(pipe.vae.config.block_out_channels))
    single |= common.original_clip(pipe.text_encoder.state_dict(), torch.arange(77)[None])
    single |= common.original_open_clip(pipe.text_encoder_2.state_dict(), torch.cat, torch.tensor(4.6055).half())
    common.check_single_file(single, pipe.unet, pipe.vae, pipe.text_encoder, pipe.text_encoder_2)
    save_file({k: v.contiguous() for k, v in single.items()}, path, {"modelspec.title": "tiny random SDXL"})


def make(name: str) -> None:
    c, folder = CONFIGURATIONS[name], OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    tokenizers = [folder / "tokenizer", folder / "tokenizer_2"]
    common.write_tokenizer(tokenizers[0], common.EOS, MERGES)
    common.write_tokenizer(tokenizers[1], "!", MERGES)
    pipe = build(c, tokenizers)
    pipe.set_progress_bar_config(disable=True)
    check_tokenizers(pipe)

    if c.get("single"):
        save_single(pipe, folder / "model.safetensors")
        # For a reader who wants to know what the file holds; a loader has no such help.
        models = ("unet", "vae", "text_encoder", "text_encoder_2", "scheduler")
        common.write_json(folder / "configs.json", {k: config_of(getattr(pipe, k)) for k in models})
    else:
        variant = "fp16" if c["dtype"] == torch.float16 else None
        pipe.save_pretrained(folder, variant=variant)
        if "shards" in c:
            shutil.rmtree(folder / "unet")
            pipe.unet.save_pretrained(folder / "unet", max_shard_size=c["shards"])
            assert len(list((folder / "unet").glob("*-of-*"))) >= 2
        for path, pad in zip(tokenizers, (common.EOS, "!")):
            shutil.rmtree(path)
            common.write_tokenizer(path, pad, MERGES)
        if name != "linear_eps":
            published_prefix(next((folder / "text_encoder").glob("*.safetensors")))
        # What was saved is what the golden comes from.
        again = StableDiffusionXLPipeline.from_pretrained(folder, variant=variant, dtype=c["dtype"])
        for key in ("unet", "vae", "text_encoder", "text_encoder_2"):
            read, saved = getattr(again, key).state_dict(), getattr(pipe, key).state_dict()
            assert read.keys() == saved.keys() and all(torch.equal(read[k], saved[k]) for k in saved), key
        check_tokenizers(again)
        for path in folder.rglob("config.json"):
            config = json.loads(path.read_text())
            config.pop("_name_or_path", None)
            common.write_json(path, config)

    pipe.to(torch.float32)
    request = {"num_inference_steps": 4, "guidance_scale": 5.0, "width": 64, "height": 64, "num_images": 1} | c["request"]
    tensors = golden(pipe, request)
    save_file(tensors, folder / "golden.safetensors")
    origin = f"scripts/goldens/sdxl_tiny.py, fp32 on CPU: {VERSIONS}"
    common.write_json(folder / "request.json", request | {"origin": origin})


def config_of(model) -> dict:
    config = model.config
    config = config.to_diff_dict() if hasattr(config, "to_diff_dict") else dict(config)
    return {k: str(v) if k == "dtype" else v for k, v in config.items() if k[0] != "_" and k != "transformers_version"}


def main() -> None:
    torch.use_deterministic_algorithms(True)
    torch.set_grad_enabled(False)
    for logging in (transformers.utils.logging, diffusers.utils.logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    for name in sys.argv[1:] or CONFIGURATIONS:
        print(name)
        make(name)
        size = sum(p.stat().st_size for p in (OUT / name).rglob("*") if p.is_file())
        print(f"  {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
