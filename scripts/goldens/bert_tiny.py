"""Tiny random sentence encoders with what sentence-transformers computes from them: tests/golden/embed/{name}/.

    python scripts/goldens/bert_tiny.py       # transformers 5.17.0, sentence-transformers 6.2.0, tokenizers 0.23.3

In fp32 on a CPU with one thread, whatever the type of the files. Each folder holds a checkpoint as the model hub has
it, and `golden.safetensors`: for the texts of `texts.json`, `{i}.ids`, `{i}.hidden` (the last hidden state of text i
alone), and `embeddings` (unit vectors by `encode` of all texts at once, so that rows are padded).

    bert_mean     BertModel with pooler and position_ids, mean, normalised, fp32; prompts with a default
    bert_cls      saved from BertForMaskedLM: prefix `bert.` and a head; CLS, not normalised; bf16 shards; lower-cased
                  by sentence_bert_config.json; new form of 1_Pooling/config.json
    xlmr_mean     XLMRobertaModel: positions from pad_token_id + 1, a unigram tokenizer; no modules.json
    qwen3_last    Qwen3Model as Qwen3-Embedding has it: last token, end token appended by the tokenizer, left padding
                  in the reference; prompts `query` and `document`; fp32

`tokens.json.gz` of bert_mean and xlmr_mean: ids of 2,400 generated strings in many scripts.
"""

import gzip
import json
import shutil
import sys
from pathlib import Path

import sentence_transformers
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForMaskedLM, BertModel
from transformers import Qwen3Config, Qwen3Model, XLMRobertaConfig, XLMRobertaModel

import sdxl_common as common
from embed_sentences import OTHER, WRITTEN
from embed_strings import strings

OUT = common.ROOT / "tests/golden/embed"
ORIGIN = (
    f"scripts/goldens/bert_tiny.py: transformers {transformers.__version__}, "
    f"sentence-transformers {sentence_transformers.__version__}, tokenizers {tokenizers.__version__}"
)
TEXTS = [WRITTEN[0], "ok", " ".join(WRITTEN[3:12]), OTHER[0], OTHER[13], "", WRITTEN[60], OTHER[9], "?"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def wordpiece(folder: Path, lower: bool) -> int:
    """A WordPiece vocabulary of 900, trained on this repository's sentences."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=900, limit_alphabet=350, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(WRITTEN + OTHER + strings()[::7], trainer)
    cls, sep = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=[("[CLS]", cls), ("[SEP]", sep)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "BertTokenizer", "do_lower_case": lower, "tokenize_chinese_chars": True, "strip_accents": None,
        "model_max_length": 48, "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]",
    }
    write(folder / "tokenizer_config.json", config)
    return tokenizer.get_vocab_size()


def unigram(folder: Path) -> int:
    """A unigram vocabulary of 700 in the order of XLM-RoBERTa: <s> <pad> </s> <unk> ... <mask>."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(tokenizers.Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=700, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(WRITTEN + OTHER, trainer)
    tokenizer.add_special_tokens(["<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64,
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>", "cls_token": "<s>", "mask_token": "<mask>",
    }
    write(folder / "tokenizer_config.json", config)
    return tokenizer.get_vocab_size()


def byte_level(folder: Path) -> int:
    """A byte-level vocabulary of 900; <|endoftext|> is appended as in Qwen3-Embedding."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(WRITTEN + OTHER, trainer)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    end = tokenizer.token_to_id("<|endoftext|>")
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="$A <|endoftext|>", pair="$A <|endoftext|> $B:1 <|endoftext|>:1", special_tokens=[("<|endoftext|>", end)]
            ),
        ]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 131072, "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>", "padding_side": "left",
    }
    write(folder / "tokenizer_config.json", config)
    return tokenizer.get_vocab_size()


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def modules(folder: Path, pooling: dict, normalize: bool) -> None:
    kinds = ["Transformer", "Pooling"] + ["Normalize"] * normalize
    paths = ["", "1_Pooling", "2_Normalize"]
    listed = [
        {"idx": i, "name": str(i), "path": paths[i], "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    write(folder / "modules.json", listed)
    write(folder / "1_Pooling/config.json", pooling)


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Numbers that no part of a model can ignore: norms are not 1, biases not 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        scale, shift = (0.2, 1.0) if "norm" in name.lower() and name.endswith("weight") else (0.12, 0.0)
        parameter.data = torch.randn(parameter.shape, generator=generator) * scale + shift


def bert_mean(folder: Path) -> None:
    vocab = wordpiece(folder, lower=True)
    config = BertConfig(
        vocab_size=vocab, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, max_position_embeddings=48
    )
    model = BertModel(config)
    randomise(model, 1)
    save(folder, model, extra={"embeddings.position_ids": torch.arange(48)[None]})
    modules(folder, {"word_embedding_dimension": 24, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, True)
    write(folder / "sentence_bert_config.json", {"max_seq_length": 40, "do_lower_case": False})
    prompts = {"query": "query: ", "passage": "passage: "}
    write(folder / "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": "passage"})


def bert_cls(folder: Path) -> None:
    vocab = wordpiece(folder, lower=False)
    config = BertConfig(
        vocab_size=vocab, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=64, layer_norm_eps=1e-5, type_vocab_size=3,
    )
    model = BertForMaskedLM(config)
    randomise(model, 2)
    save(folder, model.bfloat16(), shard="60KB")
    modules(folder, {"embedding_dimension": 32, "pooling_mode": "cls", "include_prompt": True}, False)
    write(folder / "sentence_bert_config.json", {"max_seq_length": 48, "do_lower_case": True})


def xlmr_mean(folder: Path) -> None:
    vocab = unigram(folder)
    config = XLMRobertaConfig(
        vocab_size=vocab + 3, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40,
        max_position_embeddings=66, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1,
    )
    model = XLMRobertaModel(config, add_pooling_layer=False)
    randomise(model, 3)
    save(folder, model)


def qwen3_last(folder: Path) -> None:
    vocab = byte_level(folder)
    config = Qwen3Config(
        vocab_size=vocab + 5, hidden_size=40, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=16, max_position_embeddings=256, tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
    )
    model = Qwen3Model(config)
    randomise(model, 4)
    save(folder, model)
    modules(folder, {"word_embedding_dimension": 40, "pooling_mode_lasttoken": True, "include_prompt": True}, True)
    prompts = {"query": "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:", "document": ""}
    write(folder / "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": None, "similarity_fn_name": "cosine"})


def save(folder: Path, model: torch.nn.Module, extra: dict | None = None, shard: str | None = None) -> None:
    model.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    if extra:
        path = folder / "model.safetensors"
        save_file(load_file(path) | extra, path, metadata={"format": "pt"})


def golden(folder: Path, name: str) -> None:
    model = SentenceTransformer(str(folder), device="cpu").float().eval()
    tokenizer = model.tokenizer
    encoder = model[0].model if hasattr(model[0], "model") else model[0].auto_model
    tensors = {}
    with torch.no_grad():
        for i, text in enumerate(TEXTS):
            features = tokenizer([text], truncation=True, max_length=model.max_seq_length, return_tensors="pt")
            tensors[f"{i}.ids"] = features["input_ids"][0]
            inputs = {k: features[k] for k in ("input_ids", "attention_mask") if k in features}
            tensors[f"{i}.hidden"] = encoder(**inputs).last_hidden_state[0].clone()

        def encode(**settings: object) -> torch.Tensor:
            return model.encode(TEXTS, normalize_embeddings=True, convert_to_tensor=True, batch_size=4, **settings).float().clone()

        tensors["embeddings"] = encode()
        tensors["embeddings.no_prompt"] = encode(prompt="")
        tensors["embeddings.first_8"] = encode(prompt="", truncate_dim=8)
        if "query" in model.prompts and model.prompts["query"]:
            tensors["embeddings.query"] = encode(prompt_name="query")
    save_file(tensors, folder / "golden.safetensors", metadata={"origin": ORIGIN})
    write(folder / "texts.json", TEXTS)
    if name in ("bert_mean", "xlmr_mean"):
        texts = strings()
        cases = [{"text": text, "ids": tokenizer(text).input_ids} for text in texts]
        lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
        text = f'{{"origin":{json.dumps(ORIGIN)},"cases":[\n{lines}\n]}}\n'
        (folder / "tokens.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def main() -> None:
    torch.set_num_threads(1)
    makers = [bert_mean, bert_cls, xlmr_mean, qwen3_last]
    wanted = sys.argv[1:] or [maker.__name__ for maker in makers]
    for maker in makers:
        if maker.__name__ in wanted:
            folder = OUT / maker.__name__
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            maker(folder)
            golden(folder, maker.__name__)
            for path in folder.rglob("*"):
                path.chmod(0o755 if path.is_dir() else 0o644)


if __name__ == "__main__":
    main()
