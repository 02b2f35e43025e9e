"""Names, shapes and types of every tensor of the published WAN 2.1 checkpoints: tests/golden/wan_keys/.

    python scripts/goldens/wan_keys.py            # no weights; made with diffusers 0.42.1, transformers 5.17.0

    configs/{model}.json, configs/{model}.original.json     configurations of diffusers and of the original
    {model}.json.gz, {model}.original.json.gz               {name: [type, shape]} of either naming
    README.md                                               counts, and where the configurations come from

The lists come from diffusers and transformers on the meta device; the original names are proved by diffusers' own
functions, which turn them back into its own. What is known of the published files agrees (`PUBLISHED`).
"""

import gzip
import hashlib
import json
from pathlib import Path

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel, WanVACETransformer3DModel
from transformers import UMT5Config, UMT5EncoderModel

import wan_common as common

OUT = common.ROOT / "tests/golden/wan_keys"

TRANSFORMER = {
    "_class_name": "WanTransformer3DModel",
    "_diffusers_version": "0.33.0.dev0",
    "added_kv_proj_dim": None,
    "attention_head_dim": 128,
    "cross_attn_norm": True,
    "eps": 1e-06,
    "freq_dim": 256,
    "in_channels": 16,
    "out_channels": 16,
    "patch_size": [1, 2, 2],
    "qk_norm": "rms_norm_across_heads",
    "text_dim": 4096,
}
SMALL = {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30}
LARGE = {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40}
PICTURES = {"image_dim": 1280, "added_kv_proj_dim": 5120, "in_channels": 36}
VACE = {"_class_name": "WanVACETransformer3DModel", "vace_in_channels": 96}
MODELS = {
    "t2v_1.3b": TRANSFORMER | SMALL,
    "vace_1.3b": TRANSFORMER | SMALL | VACE | {"vace_layers": list(range(0, 30, 2))},
    "t2v_14b": TRANSFORMER | LARGE,
    "i2v_14b_480p": TRANSFORMER | LARGE | PICTURES,
    "flf2v_14b_720p": TRANSFORMER | LARGE | PICTURES | {"pos_embed_seq_len": 514, "rope_max_seq_len": 1024},
    "vace_14b": TRANSFORMER | LARGE | VACE | {"vace_layers": list(range(0, 40, 5))},
}
UMT5 = {
    "architectures": ["UMT5EncoderModel"],
    "classifier_dropout": 0.0,
    "d_ff": 10240,
    "d_kv": 64,
    "d_model": 4096,
    "decoder_start_token_id": 0,
    "dense_act_fn": "gelu_new",
    "dropout_rate": 0.1,
    "eos_token_id": 1,
    "feed_forward_proj": "gated-gelu",
    "initializer_factor": 1.0,
    "is_encoder_decoder": True,
    "is_gated_act": True,
    "layer_norm_epsilon": 1e-06,
    "model_type": "umt5",
    "num_decoder_layers": 24,
    "num_heads": 64,
    "num_layers": 24,
    "output_past": True,
    "pad_token_id": 0,
    "relative_attention_max_distance": 128,
    "relative_attention_num_buckets": 32,
    "scalable_attention": True,
    "tie_word_embeddings": False,
    "tokenizer_class": "T5Tokenizer",
    "use_cache": True,
    "vocab_size": 256384,
}
MODEL_INDEX = {
    "_class_name": "WanPipeline",
    "_diffusers_version": "0.33.0.dev0",
    "scheduler": ["diffusers", "UniPCMultistepScheduler"],
    "text_encoder": ["transformers", "UMT5EncoderModel"],
    "tokenizer": ["transformers", "T5TokenizerFast"],
    "transformer": ["diffusers", "WanTransformer3DModel"],
    "vae": ["diffusers", "AutoencoderKLWan"],
}

# Wan-AI/Wan2.1-T2V-1.3B, revision 37ec512624d61f7aa208f7ea8140a131f93afc9a: as several public projects pin them.
PUBLISHED = {
    "config.json": "ab37994c43740513f94b3ba6233a784035a67b43c8cde83c8f31aa90468c67ce",
    "t2v_1.3b.original": (825, 5676070424),
    "umt5_xxl.original": (242, 11361920418),
    "vae.original": (194, 507609880),
}
LETTERS = {torch.float32: "F32", torch.bfloat16: "BF16"}


def original_config(name: str) -> dict:
    """config.json of WanModel: the fields the class does not leave out (patch size, widths of text, norms)."""
    c = MODELS[name]
    vace = "vace_layers" in c
    out = {
        "_class_name": "VaceWanModel" if vace else "WanModel",
        "_diffusers_version": "0.30.0",
        "dim": 128 * c["num_attention_heads"],
        "eps": c["eps"],
        "ffn_dim": c["ffn_dim"],
        "freq_dim": c["freq_dim"],
        "in_dim": c["in_channels"],
        "model_type": name.split("_")[0],
        "num_heads": c["num_attention_heads"],
        "num_layers": c["num_layers"],
        "out_dim": c["out_channels"],
        "text_len": 512,
    }
    return out | ({"vace_in_dim": 96, "vace_layers": c["vace_layers"]} if vace else {})


def safetensors_size(state: dict) -> int:
    """Bytes of a .safetensors file of fp32: names in order, header padded to a multiple of eight."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(state):
        end = offset + 4 * state[name].numel()
        header[name] = {"dtype": "F32", "shape": list(state[name].shape), "data_offsets": [offset, end]}
        offset = end
    return 8 + -(-len(json.dumps(header, separators=(",", ":"))) // 8) * 8 + offset


def check(name: str, state: dict, dtype: torch.dtype) -> None:
    count, size = PUBLISHED[name]
    data = sum(t.numel() for t in state.values()) * dtype.itemsize
    assert len(state) == count, (name, len(state))
    # A .safetensors file to the byte; torch's zip has some hundred bytes a tensor around the numbers.
    spare = size - (safetensors_size(state) if name.startswith("t2v") else data)
    assert 0 <= spare < (1 if name.startswith("t2v") else 1024 * count), (name, spare)
    print(f"  {name}: {count} tensors, {spare} bytes besides")


def write_list(name: str, state: dict, dtype: torch.dtype) -> str:
    listed = {key: [LETTERS[dtype], list(state[key].shape)] for key in sorted(state)}
    text = json.dumps(listed, separators=(",", ":"))
    (OUT / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    numbers = sum(t.numel() for t in state.values())
    return f"| `{name}.json.gz` | {len(state):,} | {numbers:,} | {LETTERS[dtype]} |"


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for path in OUT.glob("*.gz"):
        path.unlink()
    rows = []
    for name, config in MODELS.items():
        common.write_json(OUT / f"configs/{name}.json", dict(sorted(config.items())))
        common.write_json(OUT / f"configs/{name}.original.json", original_config(name))
        cls = WanVACETransformer3DModel if "vace_layers" in config else WanTransformer3DModel
        with init_empty_weights():
            state = cls.from_config(config).state_dict()
        common.check_original(state, None)
        original = common.original_transformer(state)
        if f"{name}.original" in PUBLISHED:
            check(f"{name}.original", original, torch.float32)
        rows += [write_list(name, state, torch.float32), write_list(f"{name}.original", original, torch.float32)]
    text = json.dumps(original_config("t2v_1.3b"), indent=2)
    digest = [hashlib.sha256((text + end).encode()).hexdigest() for end in ("", "\n")]
    assert PUBLISHED["config.json"] in digest, (len(text), digest)

    with init_empty_weights():
        vae = AutoencoderKLWan()
        encoder = UMT5EncoderModel(UMT5Config(**UMT5))
    state = vae.state_dict()
    common.check_original(None, state)
    original = common.original_vae(state, 2)
    check("vae.original", original, torch.float32)
    rows += [write_list("vae", state, torch.float32), write_list("vae.original", original, torch.float32)]
    config = {"_class_name": "AutoencoderKLWan", "_diffusers_version": "0.33.0.dev0"} | dict(vae.config)
    common.write_json(OUT / "configs/vae.json", {k: config[k] for k in sorted(VAE_FIELDS)})

    state = {k: v for k, v in encoder.state_dict().items() if k != "encoder.embed_tokens.weight"}
    original = common.original_umt5(state)
    assert len(original) == len(state)
    check("umt5_xxl.original", original, torch.bfloat16)
    rows += [write_list("umt5_xxl", state, torch.float32), write_list("umt5_xxl.original", original, torch.bfloat16)]
    common.write_json(OUT / "configs/umt5_xxl.json", UMT5)
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0
    )
    config = {"_class_name": "UniPCMultistepScheduler", "_diffusers_version": "0.33.0.dev0"} | dict(scheduler.config)
    common.write_json(OUT / "configs/scheduler_config.json", {k: config[k] for k in sorted(SCHEDULER_FIELDS)})
    common.write_json(OUT / "configs/model_index.json", MODEL_INDEX)
    (OUT / "README.md").write_text(README.replace("ROWS", "\n".join(rows)))
    print("\n".join(rows))


VAE_FIELDS = """_class_name _diffusers_version attn_scales base_dim dim_mult dropout latents_mean latents_std
num_res_blocks temperal_downsample z_dim""".split()
SCHEDULER_FIELDS = """_class_name _diffusers_version beta_end beta_schedule beta_start disable_corrector
dynamic_thresholding_ratio final_sigmas_type flow_shift lower_order_final num_train_timesteps predict_x0
prediction_type rescale_betas_zero_snr sample_max_value solver_order solver_p solver_type steps_offset thresholding
timestep_spacing trained_betas use_beta_sigmas use_exponential_sigmas use_flow_sigmas use_karras_sigmas""".split()

README = """# Tensors of the published WAN 2.1 checkpoints

Made by `scripts/goldens/wan_keys.py` on the meta device: no weights. Each list is `{name: [type, shape]}`, gzip JSON;
`.original` has the names of Wan-AI's own files (and of the single files repackaged from them), the other those of
diffusers and transformers.

| list | tensors | numbers | type |
|---|---|---|---|
ROWS

Where the configurations (`configs/`) come from:

- transformers: diffusers, `scripts/convert_wan_to_diffusers.py`, `get_transformer_config`.
- VAE: defaults of diffusers' `AutoencoderKLWan`.
- umT5-XXL: Wan 2.1, `wan/modules/t5.py`, `umt5_xxl`; the fields transformers adds are those of its `UMT5Config`.
- scheduler: diffusers, `scripts/convert_wan_to_diffusers.py`; `flow_shift` 3 for 480p, 5 for 720p.
- `*.original.json`: the arguments `WanModel` keeps in its configuration (`wan/modules/model.py`).

What was checked against published files (`Wan-AI/Wan2.1-T2V-1.3B`): SHA-256 of config.json; the number of tensors of
the three weight files; the size of the transformer's to the byte, and of the two .pth files but for torch's own bytes
(some hundred a tensor). The same files serve the other original checkpoints (VAE, umT5).

What is not checked: the types of the 14B and VACE files and of the diffusers layout, listed as fp32. A loader takes
whatever type a file has. A diffusers folder may have the embedding of umT5 under `encoder.embed_tokens.weight` as
well as, or instead of, `shared.weight`; they are one tensor. Repackaged files of umT5 carry the sentencepiece model as
`spiece_model` (bytes). diffusers ignores tensors named `norm_added_q` in files of image-to-video models.
"""

if __name__ == "__main__":
    main()
