"""What the WAN scripts share: a tiny tokenizer of the umT5 kind, weights, JSON, and the original key names.

A module, not a command; torch 2.11.0, diffusers 0.42.1, transformers 5.17.0, tokenizers 0.23, ftfy 6.3.1.

The tokenizer has the shape of the published one (google/umt5-xxl): ids 0 `<pad>`, 1 `</s>`, 2 `<s>`, 3 `<unk>`, then a
piece defined by users, `[web]`, then 256 pieces of bytes, then pieces of text with scores, at last the `<extra_id_n>`
in falling order, which are not in the sentencepiece model. There is no map of characters; tokenizer.json replaces
runs of blanks by one and splits by the blank, its Unigram has no byte fallback, `unk_id` 3, and `</s>` is appended.
"""

import json
import math
import struct
from collections import Counter
from pathlib import Path

import torch

import wan_strings

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/golden/wan"
BLANK = "▁"
SPECIALS = ["<pad>", "</s>", "<s>", "<unk>"]
EXTRA_IDS = 10
PIECES = 900  # Of text, characters included.
USER_DEFINED = ["[web]", "[pdf]"]


def write_json(path: Path, value) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


# The tokenizer


def text_pieces(corpus: list[str] | None = None, count: int = PIECES) -> list[tuple[str, float]]:
    """Every character of the corpus and its most useful substrings, each with the logarithm of its share."""
    from diffusers.pipelines.wan.pipeline_wan import prompt_clean, whitespace_clean

    cleaned = [clean(text) for text in corpus or wan_strings.corpus() for clean in (prompt_clean, whitespace_clean)]
    words = Counter(BLANK + word for text in cleaned for word in text.split(" "))
    counts: Counter[str] = Counter()
    for word, times in words.items():
        for start in range(len(word)):
            for end in range(start + 1, min(len(word), start + 10) + 1):
                counts[word[start:end]] += times
    singles = sorted({c for word in words for c in word})
    # Useful is what is frequent and long; whole words of Latin script rank by frequency alone.
    longer = [piece for piece in counts if len(piece) > 1 and counts[piece] > 1 and BLANK not in piece[1:]]
    longer.sort(key=lambda piece: (-counts[piece] * (len(piece) - 1), piece))
    chosen = singles + longer[: count - len(singles)]
    total = sum(counts[piece] for piece in chosen)
    scored = [(piece, round(math.log(counts[piece] / total), 6)) for piece in chosen]
    return sorted(scored, key=lambda item: (-item[1], item[0]))


def vocabulary(pieces: list[tuple[str, float]] | None = None) -> list[tuple[str, float, int]]:
    """Pieces, scores and sentencepiece's kinds (1 text, 2 unknown, 3 control, 4 defined by users, 6 byte).

    The `pieces` of text with their scores are those of the strings of tests where none are given.
    """
    out = [(piece, 0.0, 2 if piece == "<unk>" else 3) for piece in SPECIALS]
    out += [(piece, 0.0, 4) for piece in USER_DEFINED]
    out += [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
    return out + [(piece, score, 1) for piece, score in pieces or text_pieces()]


def extra_ids() -> list[str]:
    return [f"<extra_id_{i}>" for i in range(EXTRA_IDS - 1, -1, -1)]


def vocab_size(pieces: list[tuple[str, float]] | None = None) -> int:
    """Rows of the embedding: more than tokens, as published (256,384 for 256,300)."""
    return -(-(len(vocabulary(pieces)) + EXTRA_IDS) // 16) * 16 + 16


def spiece_model(pieces: list[tuple[str, float]] | None = None) -> bytes:
    """The fields of sentencepiece_model.proto that matter, by their numbers; protobuf itself is not needed."""
    listed = vocabulary(pieces)
    fields = ({1: piece.encode(), 2: score, 3: kind} for piece, score, kind in listed)
    out = b"".join(field(1, b"".join(field(*item) for item in piece.items())) for piece in fields)
    # Unigram, how many pieces, byte fallback, ids of <unk>, <s>, </s> and <pad>.
    trainer = {3: 1, 4: len(listed), 35: 1, 40: 3, 41: 2, 42: 1, 43: 0}
    out += field(2, b"".join(field(number, value) for number, value in trainer.items()))
    # A blank before the text, runs of blanks made one, blanks shown.
    return out + field(3, field(1, b"identity") + b"".join(field(number, 1) for number in (3, 4, 5)))


def field(number: int, value: bytes | float | int) -> bytes:
    """One field of a protobuf message: bytes, a float of 32 bits, or a whole number."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3) + varint(value)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytearray([value]))


def write_tokenizer(folder: Path, text: list[tuple[str, float]] | None = None) -> None:
    pieces = [(piece, score) for piece, score, _ in vocabulary(text)] + [(piece, 0.0) for piece in extra_ids()]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = SPECIALS + extra_ids()
    ids = {piece: i for i, (piece, _) in enumerate(pieces)}
    blank = {"type": "Metaspace", "replacement": BLANK, "prepend_scheme": "always", "split": True}
    first, end = {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": ids[t], "content": t} | flags for t in added],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}],
        },
        "pre_tokenizer": blank,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [first, end],
            "pair": [first, end, {"Sequence": {"id": "B", "type_id": 0}}, end],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}},
        },
        "decoder": blank,
        "model": {"type": "Unigram", "unk_id": 3, "vocab": pieces, "byte_fallback": False},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")) + "\n")
    (folder / "spiece.model").write_bytes(spiece_model(text))
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    extra = sorted(extra_ids())
    write_json(folder / "special_tokens_map.json", {"additional_special_tokens": extra} | names)
    config = {
        "added_tokens_decoder": {str(ids[t]): {"content": t} | flags for t in sorted(added, key=ids.get)},
        "additional_special_tokens": extra,
        "clean_up_tokenization_spaces": True,
        "extra_ids": EXTRA_IDS,
        "model_max_length": 1000000000000000019884624838656,
        "sp_model_kwargs": {},
        "tokenizer_class": "T5Tokenizer",
    }
    write_json(folder / "tokenizer_config.json", dict(sorted((config | names).items())))


# Weights


def randomize(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Weights that keep the variance from layer to layer; norms, biases and tables of modulation near their customary
    values but none exactly. Cross attention tells tokens apart: its queries are three times as long."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        last = name.rsplit(".", 1)[-1]
        if name in ("shared.weight", "encoder.embed_tokens.weight"):
            parameter.data = noise
        elif last in ("scale_shift_table", "pos_embed") or "relative_attention_bias" in name:
            parameter.data = 0.5 * noise
        elif last == "gamma" or (parameter.ndim == 1 and last == "weight"):
            parameter.data = (3.0 if "attn2.norm_q" in name else 1.0) * (1.0 + 0.1 * noise)
        elif parameter.ndim == 1:
            parameter.data = 0.1 * noise
        else:
            scale = parameter[0].numel() ** -0.5
            if "SelfAttention.q" in name:  # umT5 does not divide by the root of the head's width.
                scale *= model.config.d_kv**-0.5
            parameter.data = scale * noise


def round_to(model: torch.nn.Module, dtype: torch.dtype) -> None:
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype).float()


# Original key names. Each function takes a state dict of diffusers' or transformers' names and gives the original's.

TRANSFORMER = [
    ("condition_embedder.time_embedder.linear_1", "time_embedding.0"),
    ("condition_embedder.time_embedder.linear_2", "time_embedding.2"),
    ("condition_embedder.text_embedder.linear_1", "text_embedding.0"),
    ("condition_embedder.text_embedder.linear_2", "text_embedding.2"),
    ("condition_embedder.time_proj", "time_projection.1"),
    ("condition_embedder.image_embedder.norm1", "img_emb.proj.0"),
    ("condition_embedder.image_embedder.ff.net.0.proj", "img_emb.proj.1"),
    ("condition_embedder.image_embedder.ff.net.2", "img_emb.proj.3"),
    ("condition_embedder.image_embedder.norm2", "img_emb.proj.4"),
    ("condition_embedder.image_embedder.pos_embed", "img_emb.emb_pos"),
]
BLOCK = {
    "attn1.to_out.0": "self_attn.o",
    "attn1.to_": "self_attn.",
    "attn1.norm_": "self_attn.norm_",
    "attn2.add_k_proj": "cross_attn.k_img",
    "attn2.add_v_proj": "cross_attn.v_img",
    "attn2.norm_added_k": "cross_attn.norm_k_img",
    "attn2.to_out.0": "cross_attn.o",
    "attn2.to_": "cross_attn.",
    "attn2.norm_": "cross_attn.norm_",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
    "norm2": "norm3",  # The original has them in the order norm1, norm3, norm2.
    "norm3": "norm2",
    "scale_shift_table": "modulation",
    "proj_in": "before_proj",
    "proj_out": "after_proj",
}


def original_transformer(state: dict) -> dict:
    def name(key: str) -> str:
        part = key.split(".")
        if part[0] in ("blocks", "vace_blocks"):
            rest = ".".join(part[2:])
            old = next(old for old in BLOCK if rest.startswith(old))
            return f"{part[0]}.{part[1]}.{BLOCK[old]}{rest[len(old) :]}"
        for new, old in [*TRANSFORMER, ("scale_shift_table", "head.modulation"), ("proj_out", "head.head")]:
            if key == new or key.startswith(new + "."):
                return old + key[len(new) :]
        return key  # The patch embeddings have one name.

    return {name(key): tensor for key, tensor in state.items()}


RESIDUAL = {
    "norm1": "residual.0",
    "conv1": "residual.2",
    "norm2": "residual.3",
    "conv2": "residual.6",
    "conv_shortcut": "shortcut",
}


def original_vae(state: dict, num_res_blocks: int) -> dict:
    """Names of Wan2.1_VAE.pth: levels are flat, so the place of a block depends on the number of blocks of a level."""

    def residual(rest: list[str]) -> str:
        return ".".join([RESIDUAL[rest[0]], *rest[1:]])

    def name(key: str) -> str:
        part = key.split(".")
        if part[0] == "quant_conv":
            return f"conv1.{part[1]}"
        if part[0] == "post_quant_conv":
            return f"conv2.{part[1]}"
        side, kind, rest = part[0], part[1], part[2:]
        if kind == "conv_in":
            return f"{side}.conv1.{rest[0]}"
        if kind in ("norm_out", "conv_out"):
            return f"{side}.head.{0 if kind == 'norm_out' else 2}.{rest[0]}"
        if kind == "mid_block":
            if rest[0] == "attentions":
                return f"{side}.middle.1." + ".".join(rest[2:])
            return f"{side}.middle.{2 * int(rest[1])}.{residual(rest[2:])}"
        if kind == "down_blocks":
            tail = residual(rest[1:]) if rest[1] in RESIDUAL else ".".join(rest[1:])
            return f"encoder.downsamples.{rest[0]}.{tail}"
        level, index = int(rest[0]), int(rest[2])
        place = level * (num_res_blocks + 2)
        if rest[1] == "upsamplers":
            return f"decoder.upsamples.{place + num_res_blocks + 1}." + ".".join(rest[3:])
        return f"decoder.upsamples.{place + index}.{residual(rest[3:])}"

    return {name(key): tensor for key, tensor in state.items()}


UMT5 = {
    "layer.0.SelfAttention.relative_attention_bias": "pos_embedding.embedding",
    "layer.0.SelfAttention": "attn",
    "layer.0.layer_norm": "norm1",
    "layer.1.DenseReluDense.wi_0": "ffn.gate.0",
    "layer.1.DenseReluDense.wi_1": "ffn.fc1",
    "layer.1.DenseReluDense.wo": "ffn.fc2",
    "layer.1.layer_norm": "norm2",
}


def original_umt5(state: dict) -> dict:
    """Names of models_t5_umt5-xxl-enc-bf16.pth."""
    out = {"token_embedding.weight": state["shared.weight"], "norm.weight": state["encoder.final_layer_norm.weight"]}
    for key, tensor in state.items():
        if key.startswith("encoder.block."):
            index, rest = key.removeprefix("encoder.block.").split(".", 1)
            old = next(old for old in UMT5 if rest.startswith(old))
            out[f"blocks.{index}.{UMT5[old]}{rest[len(old) :]}"] = tensor
    return out


def check_original(transformer: dict, vae: dict) -> None:
    """diffusers' own functions turn the original names back into its own, name by name."""
    from diffusers.loaders import single_file_utils as sf

    if transformer is not None:
        back = sf.convert_wan_transformer_to_diffusers(original_transformer(transformer))
        # The function does not know the name of the two frames' position embedding.
        back = {k.replace("img_emb.emb_pos", "condition_embedder.image_embedder.pos_embed"): v for k, v in back.items()}
        assert back.keys() == transformer.keys(), back.keys() ^ transformer.keys()
        assert all(back[k].shape == v.shape for k, v in transformer.items())
    if vae is not None:
        back = sf.convert_wan_vae_to_diffusers(original_vae(vae, 2))
        assert back.keys() == vae.keys(), back.keys() ^ vae.keys()
        assert all(back[k].shape == v.shape for k, v in vae.items())
