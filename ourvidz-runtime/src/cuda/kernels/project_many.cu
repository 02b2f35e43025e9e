// What a product of many rows needs beside cuBLASLt.

// y = silu(gate) * y
extern "C" __global__ void swiglu(const T* __restrict__ gate, T* __restrict__ y, long long packs) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= packs) return;
    Pack g = ((const Pack*)gate)[i], p = ((Pack*)y)[i];
#pragma unroll
    for (int k = 0; k < PACK; k++) p.x[k] = narrow(silu(widen(g.x[k])) * widen(p.x[k]));
    ((Pack*)y)[i] = p;
}

// Eight four-bit numbers, whose block of 32 has one scale, as numbers: what a thread reads and writes lies beside what
// its neighbours do.
extern "C" __global__ void dequantise(
    const unsigned* __restrict__ packed, const T* __restrict__ scales, T* __restrict__ y, long long words) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= words) return;
    unsigned word = __ldcs(packed + i);
    float scale = widen(scales[i / 4]);
#pragma unroll
    for (int j = 0; j < 8 / PACK; j++) {
        Pack p;
#pragma unroll
        for (int k = 0; k < PACK; k++) p.x[k] = narrow(((int)(word >> (4 * (j * PACK + k)) & 15u) - 8) * scale);
        ((Pack*)y)[i * (8 / PACK) + j] = p;
    }
}
