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

// Four-bit numbers of a block of 32 with one scale, as numbers.
extern "C" __global__ void dequantise(
    const uint4* __restrict__ packed, const T* __restrict__ scales, T* __restrict__ y, long long blocks) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= blocks) return;
    uint4 v = packed[i];
    unsigned words[4] = {v.x, v.y, v.z, v.w};
    float scale = widen(scales[i]);
#pragma unroll
    for (int w = 0; w < 4; w++)
#pragma unroll
        for (int j = 0; j < 8 / PACK; j++) {
            Pack p;
#pragma unroll
            for (int k = 0; k < PACK; k++)
                p.x[k] = narrow(((int)(words[w] >> (4 * (j * PACK + k)) & 15u) - 8) * scale);
            ((Pack*)y)[i * (32 / PACK) + w * (8 / PACK) + j] = p;
        }
}
