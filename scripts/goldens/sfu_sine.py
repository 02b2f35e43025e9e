"""The table of ourvidz-core/src/noise/sfu_sine.rs: NVIDIA's approximate sine, as torch's CUDA noise uses it.

    python scripts/goldens/sfu_sine.py    # needs a CUDA card, cupy, numpy; prints the rows of the table

Samples `__sincosf` at 2^20 random angles. The angle times float32(1 / 2 pi) becomes a phase of 25 bits, rounded down;
a quarter wave is 64 segments, each a parabola. Half of the samples fit the parabolas, the other half check them: the
largest difference on an H200 is 1.3e-7, the instruction's own against the true sine 6.5e-7.
"""

import cupy
import numpy as np

SAMPLES = 1 << 20
kernel = cupy.RawKernel(
    r"""extern "C" __global__ void sample(const float* angle, float* sine, float* cosine, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) __sincosf(angle[i], &sine[i], &cosine[i]);
}""",
    "sample",
)
angle = (np.random.default_rng(0).random(SAMPLES) * 2 * np.pi).astype(np.float32)
on_card = cupy.asarray(angle)
sine, cosine = cupy.empty_like(on_card), cupy.empty_like(on_card)
kernel(((SAMPLES + 255) // 256,), (256,), (on_card, sine, cosine, np.int32(SAMPLES)))

phase = np.floor(angle.astype(np.float64) * float(np.float32(1 / (2 * np.pi))) * 2**25).astype(np.int64)


def parts(phase):
    """Sign, segment and place in it, 0 to 1."""
    quarter, rest = (phase >> 23) & 3, phase & (2**23 - 1)
    rest = np.where(quarter & 1, 2**23 - rest, rest)
    segment = np.minimum(rest >> 17, 63)
    return np.where(quarter & 2, -1.0, 1.0), segment, (rest - (segment << 17)) / 2**17


of_sine, of_cosine = parts(phase), parts(phase + 2**23)
value = np.concatenate([cupy.asnumpy(sine) * of_sine[0], cupy.asnumpy(cosine) * of_cosine[0]])
segment, place = (np.concatenate([of_sine[i], of_cosine[i]]) for i in (1, 2))
powers = np.stack([np.ones_like(place), place, place**2], 1)
fitted = np.arange(value.size) % 2 == 0
error = 0.0
for row in range(64):
    here = segment == row
    parabola = np.linalg.lstsq(powers[here & fitted], value[here & fitted], rcond=None)[0]
    error = max(error, np.abs(value[here & ~fitted] - powers[here & ~fitted] @ parabola).max())
    print("    [%.10f, %.11f, %.12f]," % tuple(parabola))
print(f"// largest difference {error:.2e}")
