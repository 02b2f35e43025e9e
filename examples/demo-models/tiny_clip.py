"""Tokenizers of CLIP's kind whose merges are learned from our captions: nearly every word of them is one token.

A module, not a command; transformers 5.17.0.
"""

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts/goldens"))
import sdxl_common

MOST_MERGES = 420


def learn_merges(texts: list[str]) -> list[str]:
    """Byte pairs by how often they stand beside each other in words of letters; words are lower case."""
    counts = Counter(word for text in texts for word in "".join(c if c.isalpha() else " " for c in text.lower()).split())
    words = {word: ([*word[:-1], word[-1] + "</w>"], times) for word, times in counts.items() if word.isascii()}
    merges = []
    while len(merges) < MOST_MERGES:
        pairs: Counter = Counter()
        for parts, times in words.values():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += times
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(" ".join(best))
        for parts, _ in words.values():
            i = 0
            while i + 1 < len(parts):
                if (parts[i], parts[i + 1]) == best:
                    parts[i : i + 2] = ["".join(best)]
                i += 1
    return merges


def write_tokenizers(folder: Path, texts: list[str]) -> int:
    """Writes `tokenizer` and `tokenizer_2`, which pad differently as the published ones do; the number of tokens."""
    merges = learn_merges(texts)
    sdxl_common.write_tokenizer_of(folder / "tokenizer", sdxl_common.EOS, merges)
    sdxl_common.write_tokenizer_of(folder / "tokenizer_2", "!", merges)
    return len(sdxl_common.vocabulary_of(merges))
