"""Speed of sentence-transformers, measured as examples/bench_embed.rs measures.

    python scripts/bench_sentence_transformers.py MODEL TEXTS.txt [--rounds 5] [--threads 2]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

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
        single.append(timed(len(short), lambda: [encode([text]) for text in short]))
        batched.append(timed(len(texts), lambda: [encode(texts[i : i + 32]) for i in range(0, len(texts), 32)]))
    figures = {"loading_s": round(loading, 3)}
    for name, rounds in (("single", single), ("batch_32", batched)):
        wall, cpu = (round(statistics.median(values), 3) for values in zip(*rounds))
        figures[name] = {"ms": wall, "cpu_ms": cpu}
    print(json.dumps(figures))


def timed(texts: int, work: Callable) -> tuple[float, float]:
    """Milliseconds per text by the clock and of the processor."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - start) * 1e3 / texts, (time.process_time() - cpu) * 1e3 / texts


if __name__ == "__main__":
    main()
