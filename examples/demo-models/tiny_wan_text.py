"""The tokenizer of `tiny-wan` and the captions it is trained with.

A module, not a command; tokenizers 0.23, transformers 5.17.0. The layout is that of umT5's published tokenizer, as
scripts/goldens/wan_common.py writes it for the tests; the pieces are the words of the captions and single characters.
"""

import json
import math
import random
import re
import string
import sys
from collections import Counter
from pathlib import Path

import torch

import world

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts/goldens"))
import wan_common  # noqa: E402

LENGTH = 64  # Positions of text that training looks at; what follows is padding.
PLAIN, RICH = 4, 2  # Captions of a scene.
RARE = -13.0  # Logarithm of a character's share where no word holds it.

# The default negative prompt of ourvidz-wan (pipeline/mod.rs) after `prompt_clean`, which makes wide commas narrow.
NEGATIVE = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，"
    "丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，"
    "杂乱的背景，三条腿，背景人很多，倒着走"
).replace("，", ",")


def draw_scene(rng: random.Random, frames: int, hard: float = 0.0) -> world.Scene:
    """A scene for a clip; some clips hold still, so that two things appear in them too. `hard` is how much more often
    those come that a transformer learns last, from 0 to 1."""
    while True:
        scene = world.draw_scene(rng, video=frames > 1 and rng.random() < 0.87)
        # Without `hard` no number is drawn: a seed gives the scenes and the tokenizer that it gave.
        if not hard or rng.random() >= hard * (1 - kept(scene)):
            return scene


def kept(scene: world.Scene) -> float:
    """Share of scenes like this one that a draw keeps where `hard` is 1: small things are hard, then corners, holes and
    turns."""
    thing = scene.things[0]
    if thing.radius < world.SIZES["small"][1] and scene.motion != "growing":
        return 1.0
    return 0.3 if thing.shape in ("circle", "square", "heart") and scene.motion != "turning" else 0.6


def loosen(text: str, rng: random.Random) -> str:
    """Now and then what people write instead: no article, capitals, small letters only."""
    chance = rng.random()
    if chance < 0.08:
        text = re.sub(r"\b[Aa]n? (?=\S)", "", text)
    elif chance < 0.12:
        text = text.title()
    elif chance < 0.18:
        text = text.lower()
    return text


def captions(scene: world.Scene, rng: random.Random) -> list[str]:
    plain = [loosen(world.caption(scene, rng), rng) for _ in range(PLAIN)]
    return plain + [world.rich_caption(scene, rng) for _ in range(RICH)]


def pieces(seed: int, scenes: int) -> list[tuple[str, float]]:
    """Every word of many captions with a blank before it, and every printable character, with logarithms of shares."""
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    for n in range(scenes):
        for text in captions(draw_scene(rng, 1 + n % 2), rng):
            for word in text.split():
                core = word.rstrip(",.")
                counts.update([wan_common.BLANK + core, *word[len(core) :]])
    total = sum(counts.values())
    scored = {piece: math.log(times / total) for piece, times in counts.items() if times > 1}
    for character in string.ascii_letters + string.digits + string.punctuation + wan_common.BLANK:
        scored.setdefault(character, RARE)
    rounded = [(piece, round(score, 6)) for piece, score in scored.items()]
    return sorted(rounded, key=lambda item: (-item[1], item[0]))


def pieces_of(folder: Path) -> list[tuple[str, float]]:
    """The pieces that a tokenizer was written with: those between the pieces of bytes and the extra ids."""
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    first = len(wan_common.SPECIALS + wan_common.USER_DEFINED) + 256
    return [(piece, score) for piece, score in vocabulary[first : -wan_common.EXTRA_IDS]]


class Tokenizer:
    """Reads tokenizer.json as ourvidz-wan does."""

    def __init__(self, folder: Path):
        import tokenizers

        self.reader = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))

    def __call__(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids [N, LENGTH], 0 after the end token, and lengths [N]."""
        ids = [encoding.ids for encoding in self.reader.encode_batch(texts)]
        longest = max(map(len, ids))
        if longest >= LENGTH:
            raise ValueError(f"a caption has {longest} tokens, there is room for {LENGTH - 1} and one of padding")
        rows = torch.zeros(len(ids), LENGTH, dtype=torch.long)
        for row, of in zip(rows, ids):
            row[: len(of)] = torch.tensor(of)
        return rows, torch.tensor([len(of) for of in ids])


def check_tokenizer(folder: Path, seed: int) -> str:
    """transformers' class gives the same ids as the file read alone, but that version 5 of it takes id 2 for what is
    unknown, where the file says 3. Says how long captions are."""
    from transformers import AutoTokenizer

    rng = random.Random(seed + 1)
    texts = [text for n in range(200) for text in captions(draw_scene(rng, 1 + n % 2), rng)] + ["", NEGATIVE]
    tokenizer, theirs = Tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    ids, lengths = tokenizer(texts)
    for text, row, length in zip(texts, ids.tolist(), lengths.tolist()):
        if [3 if i == 2 else i for i in theirs(text).input_ids] != row[:length]:
            raise ValueError(f"two readers of the tokenizer differ at {text!r}")
    unknown = (ids[:-1] == 3).sum().item()
    words = sum(len(text.split()) for text in texts[:-2])
    return (f"{tokenizer.reader.get_vocab_size()} tokens; {lengths[:-2].sum() / words:.2f} tokens a word, at most "
            f"{lengths.max()} a caption, {unknown} unknown; the negative prompt has {lengths[-1]}")
