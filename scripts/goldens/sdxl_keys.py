"""Names and shapes of every tensor of stable-diffusion-xl-base-1.0, both layouts: tests/golden/sdxl_base_keys/.

    python scripts/goldens/sdxl_keys.py            # no weights; made with diffusers 0.42.1, transformers 5.17.0

    {component}/config.json, scheduler/scheduler_config.json, model_index.json     as published
    unet, vae, text_encoder, text_encoder_2 .json.gz    {name: shape} of the diffusers layout
    single_file.json.gz                                 {name: shape} of sd_xl_base_1.0.safetensors

The lists come from diffusers and transformers on the meta device. Text encoders have the published prefix
`text_model.` (CLIPTextModel of transformers 5.17 has none of its own, but reads both), and no `position_ids`: they were
saved by a transformers that no longer kept that buffer, while the single file, older, has it (int64, [1, 77]) and
`logit_scale` (a scalar, []). The single file's names are proved by converting them back with diffusers' own functions:
names, shapes and types come out exactly as in the diffusers layout. What is known of the published files agrees: the
small ones have their SHA-256, the weights' of the diffusers layout, in fp32 and fp16, their size to the byte (names are
part of a file's header), and the single file is larger than its tensors and header by its metadata alone.
"""

import gzip
import hashlib
import json
import tempfile
from pathlib import Path

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

import sdxl_common as common

OUT = common.ROOT / "tests/golden/sdxl_base_keys"

CONFIGS = {
    "model_index.json": {
        "_class_name": "StableDiffusionXLPipeline",
        "_diffusers_version": "0.19.0.dev0",
        "force_zeros_for_empty_prompt": True,
        "add_watermarker": None,
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    },
    "scheduler/scheduler_config.json": {
        "_class_name": "EulerDiscreteScheduler",
        "_diffusers_version": "0.19.0.dev0",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "clip_sample": False,
        "interpolation_type": "linear",
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "sample_max_value": 1.0,
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "timestep_spacing": "leading",
        "trained_betas": None,
        "use_karras_sigmas": False,
    },
    "text_encoder/config.json": {
        "architectures": ["CLIPTextModel"],
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "dropout": 0.0,
        "eos_token_id": 2,
        "hidden_act": "quick_gelu",
        "hidden_size": 768,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 77,
        "model_type": "clip_text_model",
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "pad_token_id": 1,
        "projection_dim": 768,
        "torch_dtype": "float16",
        "transformers_version": "4.32.0.dev0",
        "vocab_size": 49408,
    },
    "text_encoder_2/config.json": {
        "architectures": ["CLIPTextModelWithProjection"],
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "dropout": 0.0,
        "eos_token_id": 2,
        "hidden_act": "gelu",
        "hidden_size": 1280,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "intermediate_size": 5120,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 77,
        "model_type": "clip_text_model",
        "num_attention_heads": 20,
        "num_hidden_layers": 32,
        "pad_token_id": 1,
        "projection_dim": 1280,
        "torch_dtype": "float16",
        "transformers_version": "4.32.0.dev0",
        "vocab_size": 49408,
    },
    "unet/config.json": {
        "_class_name": "UNet2DConditionModel",
        "_diffusers_version": "0.19.0.dev0",
        "act_fn": "silu",
        "addition_embed_type": "text_time",
        "addition_embed_type_num_heads": 64,
        "addition_time_embed_dim": 256,
        "attention_head_dim": [5, 10, 20],
        "block_out_channels": [320, 640, 1280],
        "center_input_sample": False,
        "class_embed_type": None,
        "class_embeddings_concat": False,
        "conv_in_kernel": 3,
        "conv_out_kernel": 3,
        "cross_attention_dim": 2048,
        "cross_attention_norm": None,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "downsample_padding": 1,
        "dual_cross_attention": False,
        "encoder_hid_dim": None,
        "encoder_hid_dim_type": None,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": 4,
        "layers_per_block": 2,
        "mid_block_only_cross_attention": None,
        "mid_block_scale_factor": 1,
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "norm_eps": 1e-05,
        "norm_num_groups": 32,
        "num_attention_heads": None,
        "num_class_embeds": None,
        "only_cross_attention": False,
        "out_channels": 4,
        "projection_class_embeddings_input_dim": 2816,
        "resnet_out_scale_factor": 1.0,
        "resnet_skip_time_act": False,
        "resnet_time_scale_shift": "default",
        "sample_size": 128,
        "time_cond_proj_dim": None,
        "time_embedding_act_fn": None,
        "time_embedding_dim": None,
        "time_embedding_type": "positional",
        "timestep_post_act": None,
        "transformer_layers_per_block": [1, 2, 10],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "upcast_attention": None,
        "use_linear_projection": True,
    },
    "vae/config.json": {
        "_class_name": "AutoencoderKL",
        "_diffusers_version": "0.20.0.dev0",
        "_name_or_path": "../sdxl-vae/",
        "act_fn": "silu",
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "force_upcast": True,
        "in_channels": 3,
        "latent_channels": 4,
        "layers_per_block": 2,
        "norm_num_groups": 32,
        "out_channels": 3,
        "sample_size": 1024,
        "scaling_factor": 0.13025,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
    },
}


# Of revision 462165984030d82259a11f4367a4eed129e94a7b.
PUBLISHED_SHA256 = {
    "model_index.json": "6d7b93508390ab91ac5bfbe4aeb4dc2d83f7bb1b05fb069d714b5b0c75f70d44",
    "scheduler/scheduler_config.json": "af3e45a949aff8b8341ab8b811429ec03fee857a700a1d9477363e4fff9666e2",
    "text_encoder/config.json": "39b8b2e4b1949e36969caa425b6c81c68bace99198dd9078ce05d16ad401fe7f",
    "text_encoder_2/config.json": "a892d1c3a69a7e9247a24de2bc1d5891e3109a54696e53be20093af671072c34",
    "tokenizer/merges.txt": "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a",
    "tokenizer/special_tokens_map.json": "c4864a9376a8401918425bed71fc14fc0e81f9b59ec45c1cf96cccb2df508eac",
    "tokenizer/tokenizer_config.json": "19d7b034cb0cc3ce9766c2231373ab8aa8991fc72e2c8f76558bfaae3de0d563",
    "tokenizer/vocab.json": "e089ad92ba36837a0d31433e555c8f45fe601ab5c221d4f607ded32d9f7a4349",
    "tokenizer_2/merges.txt": "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a",
    "tokenizer_2/special_tokens_map.json": "f118ab3a983206e4f32583448de6bd6aae4ee21869135cef1f5848a753cdaab6",
    "tokenizer_2/tokenizer_config.json": "c9d23941f76a41cbd50eda9290f57be7828f0a7a677939e9ef181f7e12bd1bdf",
    "tokenizer_2/vocab.json": "e089ad92ba36837a0d31433e555c8f45fe601ab5c221d4f607ded32d9f7a4349",
    "unet/config.json": "30ebc70750223e59006f7f2b4e1e6c102570aa19a9c4ae3e1fbe7591332dbae6",
    "vae/config.json": "0b331c8ac22ded5f9997a144a575c1d113d6169aff262c353f39015bd24a6264",
}
# Bytes in fp32 and in fp16.
PUBLISHED_SIZES = {
    "unet": (10270077736, 5135149760),
    "vae": (334643268, 167335342),
    "text_encoder": (492265168, 246144152),
    "text_encoder_2": (2778702264, 1389382176),
}
PUBLISHED_SINGLE = 6938078334  # With a title, a description and a thumbnail in its metadata.


def write_list(path: Path, state: dict[str, torch.Tensor]) -> None:
    text = json.dumps({name: list(state[name].shape) for name in sorted(state)}, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{path.name}: {len(state)} tensors, {sum(t.numel() for t in state.values()):,} numbers")


def file_size(state: dict[str, torch.Tensor], dtype: str, metadata: dict | None) -> int:
    """Bytes of a .safetensors file: integers before floats, then by name; the header padded to a multiple of eight."""
    width = lambda t: 8 if t.dtype == torch.int64 else {"F16": 2, "F32": 4}[dtype]
    header, offset = ({"__metadata__": metadata} if metadata else {}), 0
    for name in sorted(state, key=lambda name: (-width(state[name]), name)):
        tensor = state[name]
        end = offset + tensor.numel() * width(tensor)
        kind = "I64" if tensor.dtype == torch.int64 else dtype
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    return 8 + -(-len(json.dumps(header, separators=(",", ":"))) // 8) * 8 + offset


def check_published_files() -> None:
    with tempfile.TemporaryDirectory() as folder:
        common.write_tokenizer(Path(folder) / "tokenizer", common.EOS)
        common.write_tokenizer(Path(folder) / "tokenizer_2", "!")
        for name, digest in PUBLISHED_SHA256.items():
            path = (Path(folder) if name.startswith("tokenizer") else OUT) / name
            assert hashlib.sha256(path.read_bytes()).hexdigest() == digest, name


def main() -> None:
    for name, config in CONFIGS.items():
        common.write_json(OUT / name, config)
    check_published_files()
    text = lambda name: CLIPTextConfig(**CONFIGS[f"{name}/config.json"])
    with init_empty_weights(include_buffers=True):
        unet = UNet2DConditionModel.from_config(CONFIGS["unet/config.json"])
        vae = AutoencoderKL.from_config(CONFIGS["vae/config.json"])
        clip = CLIPTextModel(text("text_encoder"))
        open_clip = CLIPTextModelWithProjection(text("text_encoder_2"))
    prefixed = {"text_model." + k.removeprefix("text_model."): v for k, v in clip.state_dict().items()}
    lists = {"unet": unet.state_dict(), "vae": vae.state_dict(), "text_encoder": prefixed}
    lists["text_encoder_2"] = open_clip.state_dict()
    for name, state in lists.items():
        sizes = tuple(file_size(state, dtype, {"format": "pt"}) for dtype in ("F32", "F16"))
        assert sizes == PUBLISHED_SIZES[name], (name, sizes)

    single = common.original_unet(unet.state_dict(), 2) | common.original_vae(vae.state_dict(), 4)
    single |= common.original_clip(prefixed, torch.empty(1, 77, dtype=torch.int64, device="meta"))
    single |= common.original_open_clip(open_clip.state_dict(), torch.cat, torch.empty((), device="meta"))
    common.check_single_file(single, unet, vae, clip, open_clip)
    metadata = PUBLISHED_SINGLE - file_size(single, "F16", None)
    assert len(single) == 2515 and 0 < metadata < 100_000, (len(single), metadata)

    for name, state in (lists | {"single_file": single}).items():
        write_list(OUT / f"{name}.json.gz", state)


if __name__ == "__main__":
    main()
