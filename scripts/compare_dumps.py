"""Relative L2 difference of every tensor that two dumps share: |a - b| / |b|.

    python scripts/compare_dumps.py OURS.safetensors REFERENCE.safetensors

Needs numpy and safetensors. Exits with 1 where a shared tensor has two shapes, or nothing is shared.
"""

import sys

import numpy as np
from safetensors.numpy import load_file

ours, reference = (load_file(path) for path in sys.argv[1:3])
shared = sorted(set(ours) & set(reference))
wrong = not shared
for name in shared:
    a, b = ours[name].astype(np.float64), reference[name].astype(np.float64)
    if a.shape != b.shape:
        print(f"{name}: shapes {a.shape} and {b.shape}")
        wrong = True
        continue
    size = np.linalg.norm(b)
    print(f"{name}: {np.linalg.norm(a - b) / size if size else np.linalg.norm(a):.2e}")
sys.exit(wrong)
