"""Embeddings of 200 sentences by sentence-transformers: ourvidz-qwen/tests/golden/minilm.safetensors and .txt.

    scripts/fetch-test-models
    python scripts/goldens/minilm.py FOLDER      # of the model; made with sentence-transformers 6.2.0, torch 2.11.0

Tensor `embeddings` f16 [200, 384] in the order of the lines of minilm.txt: unit vectors by `encode` with its defaults,
in fp32 on a CPU.
"""

import sys

import sentence_transformers
import torch
from safetensors.torch import save_file

import sdxl_common as common
from embed_sentences import sentences

OUT = common.ROOT / "ourvidz-qwen/tests/golden"


def main() -> None:
    torch.set_num_threads(1)
    texts = sentences()
    model = sentence_transformers.SentenceTransformer(sys.argv[1], device="cpu")
    embeddings = torch.from_numpy(model.encode(texts))
    assert embeddings.shape == (200, 384) and embeddings.dtype == torch.float32
    versions = f"sentence-transformers {sentence_transformers.__version__}, torch {torch.__version__}"
    metadata = {"origin": f"scripts/goldens/minilm.py: {versions}"}
    save_file({"embeddings": embeddings.half()}, OUT / "minilm.safetensors", metadata=metadata)
    (OUT / "minilm.txt").write_text("\n".join(texts) + "\n")
    print((embeddings - embeddings.half().float()).abs().max())


if __name__ == "__main__":
    main()
