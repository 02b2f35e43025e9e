"""Token ids of 2,394 strings in many scripts by a tokenizer of the umT5 kind: tests/golden/wan/tokens/.

    python scripts/goldens/wan_tokens.py      # made with transformers 5.17.0, tokenizers 0.23.3, ftfy 6.3.1

The strings are those of embed_strings.py. The tokenizer has the shape that wan_common.py describes, but pieces of all
these scripts, from every third string; their scores are numbers of 32 bits, as a sentencepiece model keeps them.
`tokens.json.gz`: each case has the text, `cleaned` (diffusers' `prompt_clean` with ftfy) where that is another, and the
`ids` of the cleaned text by transformers' `PreTrainedTokenizerFast`, which takes tokenizer.json as it is. The class
T5Tokenizer of transformers 5 does not: to it 2, umT5's `<s>`, is the id of what is unknown, and no blank is left before
a special token. Beside these two its ids are the same, which the script checks.
"""

import gzip
import json
import shutil

import ftfy
import numpy
import tokenizers
import transformers
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from transformers import PreTrainedTokenizerFast, T5Tokenizer

import wan_common as common
import wan_strings
from embed_strings import strings

OUT = common.OUT / "tokens"
PIECES = 4500
UNKNOWN = 3


def pieces(texts: list[str]) -> list[tuple[str, float]]:
    """No piece of text is one of the tokens before it."""
    known = {piece for piece, *_ in common.vocabulary([("", 0.0)])} - {""}
    found = common.text_pieces(wan_strings.corpus() + texts[::3], PIECES)
    return [(piece, float(numpy.float32(score))) for piece, score in found if piece not in known]


def main() -> None:
    texts = list(dict.fromkeys(strings()))
    shutil.rmtree(OUT, ignore_errors=True)
    common.write_tokenizer(OUT, pieces(texts))
    reader = PreTrainedTokenizerFast(tokenizer_file=str(OUT / "tokenizer.json"))
    rebuilt = T5Tokenizer.from_pretrained(OUT)
    cases, unknown = [], 0
    for text in texts:
        cleaned = prompt_clean(text)
        ids = reader(cleaned).input_ids
        if not any(token in cleaned for token in common.SPECIALS):
            assert rebuilt(cleaned).input_ids == [2 if i == UNKNOWN else i for i in ids], text
        unknown += UNKNOWN in ids
        cases.append({"text": text} | ({"cleaned": cleaned} if cleaned != text else {}) | {"ids": ids})
    versions = ", ".join(f"{m.__name__} {m.__version__}" for m in (transformers, tokenizers, ftfy))
    origin = f"scripts/goldens/wan_tokens.py: {versions}"
    data = json.dumps({"origin": origin, "cases": cases}, ensure_ascii=False, separators=(",", ":")).encode()
    (OUT / "tokens.json.gz").write_bytes(gzip.compress(data, 9, mtime=0))
    print(f"{len(cases)} texts, {sum(len(case['ids']) for case in cases)} tokens, {unknown} texts with what is unknown")


if __name__ == "__main__":
    main()
