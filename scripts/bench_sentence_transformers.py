"""Speed of sentence-transformers, measured as examples/bench_embed.rs measures.

    python scripts/bench_sentence_transformers.py MODEL TEXTS.txt [--rounds 5] [--threads 2]
"""

import argparse
import json
import statistics
import time

import torch
from sentence_transformers import SentenceTransformer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("texts")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    texts = open(options.texts, encoding="utf-8").read().splitlines()
    start = time.perf_counter()
    model = SentenceTransformer(options.model, device=options.device)
    loading = time.perf_counter() - start

    def encode(part: list[str]) -> None:
        model.encode(part, batch_size=32, normalize_embeddings=True, show_progress_bar=False)

    short = texts[:90]
    encode(short)
    single, batched = [], []
    for _ in range(options.rounds):
        start = time.perf_counter()
        for text in short:
            encode([text])
        single.append((time.perf_counter() - start) * 1e3 / len(short))
        start = time.perf_counter()
        for i in range(0, len(texts), 32):
            encode(texts[i : i + 32])
        batched.append(len(texts) / (time.perf_counter() - start))
    figures = {"single_ms": statistics.median(single), "batch_32_texts_per_s": statistics.median(batched)}
    print(json.dumps({"loading_s": round(loading, 3)} | {k: round(v, 3) for k, v in figures.items()}))


if __name__ == "__main__":
    main()
