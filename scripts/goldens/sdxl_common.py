"""What the SDXL scripts share: CLIP's vocabulary, tokenizer folders, and the original (single-file) key names.

A module, not a command. The upper part needs Python's standard library alone; `check_single_file` needs torch,
diffusers 0.42.1 and transformers 5.17.0.
"""

import gzip
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VOCABULARY = ROOT / "ourvidz-sdxl/assets/bpe_simple_vocab_16e6.txt.gz"
CLIP_MERGES = 49152 - 256 - 2  # Used of the 262,144 in the file.
BOS, EOS = "<|startoftext|>", "<|endoftext|>"

UNET = "model.diffusion_model."
CLIP = "conditioner.embedders.0.transformer."
OPEN_CLIP = "conditioner.embedders.1.model."
VAE = "first_stage_model."


# The vocabulary


def byte_symbols() -> list[str]:
    """The printable character that stands for each byte, in the order of the token ids (not of the bytes)."""
    codes = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    rest = 256 - len(codes)
    return [chr(c) for c in codes] + [chr(256 + i) for i in range(rest)]


def clip_vocabulary(merges: int = CLIP_MERGES) -> tuple[dict[str, int], list[str]]:
    """Tokens by id and the merges, of CLIP or of its first `merges` merges."""
    lines = gzip.decompress(VOCABULARY.read_bytes()).decode().split("\n")[1 : merges + 1]
    return vocabulary_of(lines), lines


def vocabulary_of(lines: list[str]) -> dict[str, int]:
    """Tokens by id, of these merges."""
    symbols = byte_symbols()
    tokens = symbols + [s + "</w>" for s in symbols] + [line.replace(" ", "") for line in lines] + [BOS, EOS]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    assert len(vocabulary) == len(tokens) == 512 + len(lines) + 2
    return vocabulary


def write_json(path: Path, value) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_tokenizer(folder: Path, pad: str, merges: int = CLIP_MERGES) -> None:
    """A tokenizer folder as the published SDXL has it, without tokenizer.json; of the full vocabulary it is the same to
    the byte (pad `<|endoftext|>` in `tokenizer`, "!" in `tokenizer_2`)."""
    write_tokenizer_of(folder, pad, clip_vocabulary(merges)[1])


def write_tokenizer_of(folder: Path, pad: str, lines: list[str]) -> None:
    """The same with merges of one's own."""
    vocabulary = vocabulary_of(lines)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n")

    flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    special = {name: {"content": text} | flags for name, text in [("bos_token", BOS), ("eos_token", EOS)]}
    special |= {"pad_token": pad, "unk_token": special["eos_token"]}
    write_json(folder / "special_tokens_map.json", special)
    config = {name: value if name == "pad_token" else {"__type": "AddedToken"} | value for name, value in special.items()}
    config |= {
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": True,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": 77,
        "tokenizer_class": "CLIPTokenizer",
    }
    write_json(folder / "tokenizer_config.json", dict(sorted(config.items())))


# Original key names. Each function takes a state dict of diffusers names (values are anything with the few methods
# used: torch tensors, on any device) and gives one of original names.


def original_unet(state: dict, layers_per_block: int) -> dict:
    rows = layers_per_block + 1
    heads = {
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "add_embedding.linear_1": "label_emb.0.0",
        "add_embedding.linear_2": "label_emb.0.2",
        "conv_in": "input_blocks.0.0",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
    }
    resnet = {
        "norm1": "in_layers.0",
        "conv1": "in_layers.2",
        "time_emb_proj": "emb_layers.1",
        "norm2": "out_layers.0",
        "conv2": "out_layers.3",
        "conv_shortcut": "skip_connection",
    }

    def name(key: str) -> str:
        for old, new in heads.items():
            if key.startswith(old + "."):
                return new + key[len(old) :]
        part = key.split(".")
        if part[0] == "mid_block":
            kind, index, rest = part[1], int(part[2]), part[3:]
            block = f"middle_block.{1 if kind == 'attentions' else 2 * index}"
        else:
            level, kind, index, rest = int(part[1]), part[2], int(part[3]), part[4:]
            if part[0] == "down_blocks":
                if kind == "downsamplers":
                    return f"input_blocks.{(level + 1) * rows}.0.op.{rest[1]}"
                block = f"input_blocks.{1 + level * rows + index}.{int(kind == 'attentions')}"
            else:
                if kind == "upsamplers":
                    after = 2 if f"up_blocks.{level}.attentions.0.norm.weight" in state else 1
                    return f"output_blocks.{level * rows + layers_per_block}.{after}.conv.{rest[1]}"
                block = f"output_blocks.{level * rows + index}.{int(kind == 'attentions')}"
        if kind == "resnets":
            rest = [resnet[rest[0]], *rest[1:]]
        return ".".join([block, *rest])

    return {UNET + name(key): value for key, value in state.items()}


def original_vae(state: dict, levels: int) -> dict:
    attention = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
    result = {}
    for key, value in state.items():
        part = key.split(".")
        if len(part) > 2 and part[1] == "mid_block":
            if part[2] == "attentions":
                inner, tail = ".".join(part[4:-1]), part[-1]
                name = f"{part[0]}.mid.attn_1.{attention[inner]}.{tail}"
                if value.ndim == 2:
                    value = value[:, :, None, None]
            else:
                name = ".".join([part[0], "mid", f"block_{int(part[3]) + 1}", *part[4:]])
        elif len(part) > 2 and part[1] in ("down_blocks", "up_blocks"):
            down = part[1] == "down_blocks"
            level = int(part[2]) if down else levels - 1 - int(part[2])
            word = "down" if down else "up"
            inner = ["block", part[4]] if part[3] == "resnets" else [f"{word}sample"]
            name = ".".join([part[0], word, str(level), *inner, *part[5:]])
        else:
            name = key.replace("conv_norm_out", "norm_out")
        result[VAE + name.replace("conv_shortcut", "nin_shortcut")] = value
    return result


def original_clip(state: dict, position_ids=None) -> dict:
    """`state` with or without the prefix `text_model.`."""
    named = {CLIP + "text_model." + k.removeprefix("text_model."): v for k, v in state.items()}
    if position_ids is not None:
        named[CLIP + "text_model.embeddings.position_ids"] = position_ids
    return named


def original_open_clip(state: dict, cat, logit_scale=None) -> dict:
    """`cat` joins three tensors along the first axis (torch.cat)."""
    tops = {
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
        "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
        "text_model.final_layer_norm.weight": "ln_final.weight",
        "text_model.final_layer_norm.bias": "ln_final.bias",
    }
    inner = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    inner["self_attn.out_proj"] = "attn.out_proj"
    result = {}
    for key, value in state.items():
        if key in tops:
            result[OPEN_CLIP + tops[key]] = value
        elif key == "text_projection.weight":
            result[OPEN_CLIP + "text_projection"] = value.T.contiguous()
        else:
            part = key.split(".")
            block = f"{OPEN_CLIP}transformer.resblocks.{part[3]}."
            module, tail = ".".join(part[4:-1]), part[-1]
            if module in inner:
                result[f"{block}{inner[module]}.{tail}"] = value
            elif module == "self_attn.q_proj":
                three = [state[key.replace("q_proj", p)] for p in ("q_proj", "k_proj", "v_proj")]
                result[f"{block}attn.in_proj_{tail}"] = cat(three)
    if logit_scale is not None:
        result[OPEN_CLIP + "logit_scale"] = logit_scale
    return result


# The proof


def check_single_file(single: dict, unet, vae, text_encoder, text_encoder_2) -> None:
    """Converts original names back with diffusers' own functions; every tensor must equal the models' own.

    On the meta device names, shapes and types are compared.
    """
    import torch
    from diffusers.loaders.single_file_utils import (
        convert_ldm_clip_checkpoint,
        convert_ldm_unet_checkpoint,
        convert_ldm_vae_checkpoint,
        convert_open_clip_checkpoint,
    )

    bare = lambda state: {k.removeprefix("text_model."): v for k, v in state.items()}
    for model, back in [
        (unet, convert_ldm_unet_checkpoint(single, unet.config)),
        (vae, convert_ldm_vae_checkpoint(single, vae.config)),
        (text_encoder, convert_ldm_clip_checkpoint(single)),
        (text_encoder_2, convert_open_clip_checkpoint(text_encoder_2, single, prefix=OPEN_CLIP)),
    ]:
        want, back = bare(model.state_dict()), bare(back)
        back.pop("embeddings.position_ids", None)
        assert want.keys() == back.keys(), want.keys() ^ back.keys()
        for key, tensor in want.items():
            assert tensor.shape == back[key].shape and tensor.dtype == back[key].dtype, key
            assert tensor.is_meta or torch.equal(tensor, back[key]), key
