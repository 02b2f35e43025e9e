"""Trains tiny-qwen, a Qwen2 model of half a million parameters that makes detailed prompts of short ones.

    python train_tiny_qwen.py --out DIR --work DIR --minutes 6 --seed 0 [--device cuda] [--smoke]

torch 2.11.0, transformers 5.17.0, tokenizers 0.23. Writes DIR/tiny-qwen as published Qwen2.5 checkpoints are laid out.
Started again with the same --work it goes on where it was. The pairs are those of `prompt_pairs`; the system messages
are those that the enhancer sends.
"""

import argparse
import collections
import json
import math
import multiprocessing
import random
import re
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

import prompt_pairs
import world

TEMPLATES = Path(__file__).resolve().parents[2] / "ourvidz-qwen/src/enhance/templates"
SYSTEM = {target: (TEMPLATES / f"{target}.instruct.txt").read_text().strip() for target in ("image", "video")}
OTHERS = ["", "You are a helpful assistant.", "Rewrite the prompt with more detail.", "Describe the picture in detail."]
OTHERS += ["You write prompts for pictures. Keep what the user says, add light and style, and answer with the prompt."]
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PIECES, WORDS = 740, 157  # Tokens without a blank in front, and whole words with one.
POSITIONS = 1024
ADDITIONS = 0.3  # Weight in the loss of what no prompt determines: light, camera, composition and style.
SHAPE = dict(hidden_size=128, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2)
CHAT = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
TEMPERATURE, TOP_P, TOP_K, PENALTY, MOST_TOKENS = 0.7, 0.9, 40, 1.1, 150  # The enhancer's.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder tiny-qwen goes into it")
    parser.add_argument("--work", type=Path, required=True, help="checkpoints of the training")
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, help="pairs per step; 512 on cuda, 64 elsewhere")
    parser.add_argument("--pool", type=int, help="pairs to draw; 400,000 on cuda, 100,000 elsewhere")
    parser.add_argument("--processes", type=int, default=min(16, multiprocessing.cpu_count()))
    parser.add_argument("--smoke", action="store_true", help="few pairs, some steps, a short evaluation")
    args = parser.parse_args()
    cuda = args.device.startswith("cuda")
    args.batch = args.batch or (512 if cuda else 64)
    args.pool = args.pool or (400_000 if cuda else 100_000)
    if args.smoke:
        args.batch, args.pool, args.minutes = 16, 4_000, min(args.minutes, 0.5)
    folder = args.out / "tiny-qwen"
    folder.mkdir(parents=True, exist_ok=True)
    args.work.mkdir(parents=True, exist_ok=True)

    began = time.time()
    pairs = draw_pool(args.pool, args.seed, args.processes)
    write_tokenizer(folder, pairs[:20_000])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pool = Pool(tokenizer, pairs, args.seed)
    print(f"{len(pairs)} pairs, {len(tokenizer)} tokens, drawn in {time.time() - began:.0f} s", flush=True)
    model = train(args, tokenizer, pool)
    write_model(folder, model, tokenizer)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{folder}: {size / 2**20:.2f} MiB, {sum(p.numel() for p in model.parameters())} parameters", flush=True)
    evaluate(folder, args.device, args.seed, *((20, 10) if args.smoke else (200, 100)))


# Tokens


def draw_pool(count: int, seed: int, processes: int) -> list[prompt_pairs.Pair]:
    parts = 16  # However many processes: the same pairs.
    jobs = [(seed * parts + part, count // parts) for part in range(parts)]
    with multiprocessing.get_context("fork").Pool(processes) as workers:
        return [pair for part in workers.starmap(draw_part, jobs) for pair in part]


def draw_part(seed: int, count: int) -> list[prompt_pairs.Pair]:
    rng = random.Random(seed)
    return [prompt_pairs.draw_pair(rng) for _ in range(count)]


def build_tokenizer(pairs: list[prompt_pairs.Pair]) -> Tokenizer:
    """Byte-level BPE in Qwen2's form. Its first merges know no blanks, so that a word has the same tokens at the start
    of a prompt and within one; its last ones put the blank before the words that answers are made of."""
    known, other = collections.Counter(), collections.Counter()
    for pair in pairs:
        texts = [pair.short, pair.detailed] if pair.facts else [pair.detailed.split(", ", 1)[-1]]
        for text in texts:
            known.update(re.findall(r"[^\W\d_]+", text))
        other.update(re.findall(r"[^\W\d_]+", pair.short))
    for name in [*world.SHAPES, *world.COLOURS, *world.BACKGROUNDS]:
        for word in (name, name.capitalize(), name.upper()):
            known[word] += len(pairs) // 20  # Whole, however rarely they are typed so.
    for text in [*SYSTEM.values(), *OTHERS, "system user assistant"]:
        known.update({word: len(pairs) // 80 for word in set(re.findall(r"[^\W\d_]+", text))})
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\s+"), "removed"), level])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=PIECES, initial_alphabet=alphabet, show_progress=False)
    counts = known + other
    tokenizer.train_from_iterator((" ".join([word] * count) for word, count in sorted(counts.items())), trainer)
    state = json.loads(tokenizer.to_str())
    vocabulary, blank = state["model"]["vocab"], level.pre_tokenize_str(" ")[0][0]
    spoken = [word for word, _ in sorted(known.items(), key=lambda item: (-item[1], item[0])) if word in vocabulary]
    spoken = [word for word in spoken if len(word) > 1 or word.lower() == "a"]
    for word in spoken[:WORDS]:
        vocabulary[blank + word] = len(vocabulary)
        state["model"]["merges"].append([blank, word])
    tokenizer = Tokenizer.from_str(json.dumps(state))
    split = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIALS])
    return tokenizer


def write_tokenizer(folder: Path, pairs: list[prompt_pairs.Pair]) -> None:
    tokenizer = build_tokenizer(pairs)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    flags = dict(lstrip=False, normalized=False, rstrip=False, single_word=False, special=True)
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {str(tokenizer.token_to_id(text)): {"content": text, **flags} for text in SPECIALS},
        "additional_special_tokens": SPECIALS[1:],
        "bos_token": None,
        "chat_template": CHAT,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": POSITIONS,
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def before(system: str) -> str:
    """What stands before the short prompt."""
    return (f"<|im_start|>system\n{system}<|im_end|>\n" if system else "") + "<|im_start|>user\n"


def after(short: str) -> str:
    return f"{short}<|im_end|>\n<|im_start|>assistant\n"


class Pool:
    """Tokens of all pairs, in groups of one system message each: what stands before a short prompt is the same for the
    whole batch, and is computed once."""

    def __init__(self, tokenizer, pairs: list[prompt_pairs.Pair], seed: int):
        rng = random.Random(seed)
        asked = tokenizer([after(pair.short) for pair in pairs]).input_ids
        answered = tokenizer([pair.detailed + "<|im_end|>" for pair in pairs]).input_ids
        ends = {token for text, token in tokenizer.get_vocab().items() if text.startswith(",")}
        groups = collections.defaultdict(list)
        for pair, a, b in zip(pairs, asked, answered):
            system = rng.choice(OTHERS) if rng.random() < 0.1 else SYSTEM[pair.target]
            groups[system].append((torch.tensor(a + b, dtype=torch.int16), len(a), len(a) + first(b, ends)))
            if len(groups[system]) == 1:  # Put together from parts, the tokens are those of the whole.
                start, text = before(system), after(pair.short) + pair.detailed + "<|im_end|>"
                assert tokenizer(start).input_ids + a + b == tokenizer(start + text).input_ids
        self.groups = [(torch.tensor(tokenizer(before(s)).input_ids), rows) for s, rows in sorted(groups.items())]
        self.pad = tokenizer.convert_tokens_to_ids(SPECIALS[0])

    def batches(self, size: int, rng: random.Random):
        """Without end: prefix [P], tokens [B, T], the places of the answers' tokens as rows and columns [2, N], and
        their weights [N]."""
        while True:
            batches = []
            for prefix, rows in self.groups:
                order = rng.sample(range(len(rows)), len(rows))
                for start in range(0, len(order), size * 16):  # Rows of about one length together.
                    window = sorted(order[start : start + size * 16], key=lambda i: len(rows[i][0]))
                    batches += [(prefix, rows, window[k : k + size]) for k in range(0, len(window), size)]
            rng.shuffle(batches)
            for prefix, rows, chosen in batches:
                tokens = torch.nn.utils.rnn.pad_sequence([rows[i][0] for i in chosen], True, self.pad).long()
                asked, named = (torch.tensor([rows[i][k] for i in chosen])[:, None] for k in (1, 2))
                place = torch.arange(tokens.shape[1])
                answer = ((place >= asked) & (tokens != self.pad)).nonzero().T.contiguous()
                yield prefix, tokens, answer, torch.where(answer[1] < named[answer[0], 0], 1.0, ADDITIONS)


def first(tokens: list[int], ends: set[int]) -> int:
    """Tokens up to the comma after which the additions begin: there are three more."""
    return [i for i, token in enumerate(tokens) if token in ends][-4]


# Training


def new_model(tokenizer) -> Qwen2ForCausalLM:
    eos, end = (tokenizer.convert_tokens_to_ids(SPECIALS[i]) for i in (2, 0))
    return Qwen2ForCausalLM(
        Qwen2Config(
            **SHAPE,
            vocab_size=len(tokenizer),
            max_position_embeddings=POSITIONS,
            rope_theta=1e6,
            rms_norm_eps=1e-6,
            bos_token_id=end,
            eos_token_id=eos,
            tie_word_embeddings=True,
        )
    )


def hidden_of(model, prefix: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """prefix: [P], tokens: [B, T] -> [B, T, D], the last hidden states of `tokens`."""
    cache = DynamicCache()
    model.model(prefix[None], past_key_values=cache, use_cache=True)
    shared = DynamicCache()
    for i, layer in enumerate(cache.layers):
        keys, values = (x.expand(len(tokens), -1, -1, -1) for x in (layer.keys, layer.values))
        shared.update(keys, values, i)
    return model.model(tokens, past_key_values=shared, use_cache=True).last_hidden_state


def loss_of(model, prefix, tokens, answer, weights, penalty: torch.Tensor) -> torch.Tensor:
    """Cross entropy of the answers, after the repetition penalty [B, 1] that the sampler applies: the words that are
    to be copied are those that it pushes away."""
    row, column = answer
    logits = model.lm_head(hidden_of(model, prefix, tokens)[row, column - 1]).float()
    place = torch.arange(tokens.shape[1], device=tokens.device)
    first = torch.full((len(tokens), logits.shape[-1]), tokens.shape[1], device=tokens.device)
    first = first.scatter_reduce(1, tokens, place.expand_as(tokens), "amin")
    first[:, prefix] = -1
    seen = first[row] < column[:, None]
    factor = torch.where(logits < 0, penalty[row], 1 / penalty[row])
    logits = torch.where(seen, logits * factor, logits)
    losses = torch.nn.functional.cross_entropy(logits, tokens[row, column], reduction="none")
    return (losses * weights).sum() / weights.sum()


def train(args, tokenizer, pool: Pool) -> Qwen2ForCausalLM:
    torch.manual_seed(args.seed)
    torch.set_float32_matmul_precision("high")
    cuda = args.device.startswith("cuda")
    model = new_model(tokenizer).to(args.device).train()
    matrices = [p for p in model.parameters() if p.ndim == 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), fused=cuda)
    total, spent, step = args.minutes * 60, 0.0, 0
    saved = args.work / "tiny-qwen.pt"
    if saved.exists():
        state = torch.load(saved, map_location=args.device, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        spent, step = state["spent"], state["step"]
        print(f"goes on at step {step}, {spent:.0f} s of {total:.0f}", flush=True)
    check_prefix(model, pool, args.device)
    batches = pool.batches(args.batch, random.Random(f"{args.seed} {step}"))
    highest = 3e-3
    begin = last = printed = time.time()
    losses = []
    while spent < total:
        done = spent / total
        rate = highest * min(1.0, done / 0.03 + step / 400 + 0.01) * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        prefix, tokens, answer, weights = (x.to(args.device, non_blocking=True) for x in next(batches))
        penalty = torch.tensor([1.0, 1.05, 1.1, 1.1], device=args.device)
        penalty = penalty[torch.randint(4, (len(tokens), 1), device=args.device)]
        with torch.autocast(args.device.split(":")[0], torch.bfloat16, enabled=cuda):
            loss = loss_of(model, prefix, tokens, answer, weights, penalty)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.detach())
        step += 1
        if step % 10 == 0 and cuda:
            torch.cuda.synchronize()
        now = time.time()
        spent, last = spent + now - last, now
        if now - printed > 10:
            mean = torch.stack(losses).mean().item()
            print(f"{spent:5.0f} s, step {step}, loss {mean:.4f}, rate {rate:.1e}", flush=True)
            losses, printed = [], now
        if now - begin > 60 or spent >= total:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "spent": spent, "step": step}
            torch.save(state, saved.with_suffix(".new"))
            saved.with_suffix(".new").rename(saved)
            begin = now
    return model.eval()


@torch.no_grad()
def check_prefix(model, pool: Pool, device) -> None:
    """The prefix, computed once, gives what whole rows give."""
    prefix, tokens, _, _ = (x.to(device) for x in next(pool.batches(4, random.Random(0))))
    whole = torch.cat([prefix.expand(len(tokens), -1), tokens], 1)
    expected = model(whole).logits[:, len(prefix) :]
    error = (model.lm_head(hidden_of(model, prefix, tokens)) - expected).norm() / expected.norm()
    assert error < 2e-2, f"the prefix's cache differs by {error:.1e}"  # TF32 rounds to 1e-3.


def write_model(folder: Path, model: Qwen2ForCausalLM, tokenizer) -> None:
    """As published: half precision, `rope_theta` in the first level of config.json, the head left out as tied."""
    weights = {k: v.detach().half().cpu().contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    end, eos = (tokenizer.convert_tokens_to_ids(SPECIALS[i]) for i in (0, 2))
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": end,
        "eos_token_id": eos,
        "hidden_act": "silu",
        **SHAPE,
        "initializer_range": 0.02,
        "max_position_embeddings": POSITIONS,
        "max_window_layers": SHAPE["num_hidden_layers"],
        "model_type": "qwen2",
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "sliding_window": POSITIONS,
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": len(tokenizer),
    }
    generation = {"bos_token_id": end, "do_sample": True, "eos_token_id": [eos, end], "pad_token_id": end}
    generation |= {"repetition_penalty": PENALTY, "temperature": TEMPERATURE, "top_k": TOP_K, "top_p": TOP_P}
    (folder / "model.safetensors").chmod(0o644)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")


# Evaluation, of the folder as it was written


@torch.no_grad()
def sample(model, prompts: torch.Tensor, eos: int, generator: torch.Generator) -> list[list[int]]:
    """prompts: [B, T] -> the answers' tokens, chosen as `ourvidz_qwen::Sampling` does for the enhancer."""
    tokens, cache, step = prompts, DynamicCache(), prompts
    running = torch.ones(len(prompts), dtype=torch.bool, device=prompts.device)
    for _ in range(MOST_TOKENS):
        logits = model(step, past_key_values=cache, use_cache=True).logits[:, -1].float()
        found = logits.gather(1, tokens)
        logits = logits.scatter(1, tokens, torch.where(found < 0, found * PENALTY, found / PENALTY)) / TEMPERATURE
        logits = logits.masked_fill(logits < logits.topk(TOP_K).values[:, -1:], -torch.inf)
        ordered, index = logits.sort()
        out = ordered.softmax(-1).cumsum(-1) <= 1 - TOP_P
        out[:, -1] = False
        logits = logits.scatter(1, index, ordered.masked_fill(out, -torch.inf))
        step = torch.multinomial(logits.softmax(-1).cpu(), 1, generator=generator).to(tokens.device)
        step = torch.where(running[:, None], step, eos)
        tokens = torch.cat([tokens, step], 1)
        running &= step[:, 0] != eos
        if not running.any():
            break
    answers = tokens[:, prompts.shape[1] :].tolist()
    return [answer[: answer.index(eos)] if eos in answer else answer for answer in answers]


def answer_all(model, tokenizer, systems: list[str], shorts: list[str], device, seed: int) -> list[str]:
    """One answer per prompt; prompts of one length go together, so that none needs padding."""
    ids = [tokenizer(before(system) + after(short)).input_ids for system, short in zip(systems, shorts)]
    groups = collections.defaultdict(list)
    for i, row in enumerate(ids):
        groups[len(row)].append(i)
    eos, generator = tokenizer.convert_tokens_to_ids(SPECIALS[2]), torch.Generator().manual_seed(seed)
    answers = [""] * len(ids)
    for rows in groups.values():
        found = sample(model, torch.tensor([ids[i] for i in rows], device=device), eos, generator)
        for i, tokens in zip(rows, found):
            answers[i] = tokenizer.decode(tokens, skip_special_tokens=True)
    return answers


def judge(pair: prompt_pairs.Pair, answer: str) -> dict[str, bool]:
    """What an answer keeps. Any shape or colour that was not asked for, anywhere in it, counts against it."""
    words = re.findall(r"\w+", answer.lower())
    facts, expected = prompt_pairs.read(answer), pair.facts
    kept = {
        "shapes": [word for word in words if word in world.SHAPES] == [thing[2] for thing in expected.things],
        "colours": [word for word in words if word in world.COLOURS] == [thing[1] for thing in expected.things],
        "form": facts is not None and answer.endswith(" style."),
    }
    for name in ("things", "relation", "place", "motion"):
        kept[name] = facts is not None and getattr(facts, name) == getattr(expected, name)
    kept["background"] = facts is not None and expected.background in (None, facts.background)
    kept["shapes, colours and motion"] = kept["shapes"] and kept["colours"] and kept["motion"]
    kept["everything"] = all(kept.values())
    return kept


def evaluate(folder: Path, device: str, seed: int, seen: int, held_out: int) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device).eval()
    rng = random.Random(f"evaluation {seed}")
    for name, count, flag in (("seen", seen, False), ("held out", held_out, True)):
        pairs = []
        while len(pairs) < count:
            pair = prompt_pairs.draw_pair(rng, flag)
            if pair.facts:
                pairs.append(pair)
        systems = [SYSTEM[pair.target] for pair in pairs]
        answers = answer_all(model, tokenizer, systems, [pair.short for pair in pairs], device, seed)
        kept = [judge(pair, answer) for pair, answer in zip(pairs, answers)]
        shares = ", ".join(f"{key} {100 * sum(k[key] for k in kept) / count:.1f}" for key in kept[0])
        print(f"{name}, {count} prompts, % kept: {shares}", flush=True)
        wrong = [i for i in range(count) if not kept[i]["everything"]]
        for i in wrong[:6]:
            print(f"  wrong: {pairs[i].short!r} -> {answers[i]!r}", flush=True)
    pairs = [prompt_pairs.stranger(rng, "image") for _ in range(held_out)]
    answers = answer_all(model, tokenizer, [SYSTEM["image"]] * held_out, [pair.short for pair in pairs], device, seed)
    whole = [answer.startswith(pair.detailed.rsplit(", ", 4)[0]) for pair, answer in zip(pairs, answers)]
    print(f"another world, {held_out} prompts, % with all their words: {100 * sum(whole) / held_out:.1f}", flush=True)
    shorts = ["a red circle", "blue star on white", "GREEN HEART", "a small yellow square above a pink ring"]
    moving = ["a green heart moving left", "an orange cross rotating on navy"]
    foreign = ["a fox in snow", "two astronauts playing chess on the moon"]
    systems = [SYSTEM["image"]] * 4 + [SYSTEM["video"]] * 2 + [SYSTEM["image"]] * 2
    answers = answer_all(model, tokenizer, systems, shorts + moving + foreign, device, seed)
    for short, answer in zip(shorts + moving + foreign, answers):
        print(f"  {short!r} -> {answer!r}", flush=True)


if __name__ == "__main__":
    main()
