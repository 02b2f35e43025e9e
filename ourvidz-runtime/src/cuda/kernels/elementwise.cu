// Rows of WIDTH numbers, a pack per thread.
constexpr int COUNT = WIDTH / PACK;

// y = x + h * gate, the gate being a row.
extern "C" __global__ void gated_residual(
    const T* __restrict__ x, const T* __restrict__ h, const float* __restrict__ gate, T* __restrict__ y,
    long long packs) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= packs) return;
    Pack a = ((const Pack*)x)[i], b = ((const Pack*)h)[i];
    Floats g = ((const Floats*)gate)[i % COUNT];
#pragma unroll
    for (int k = 0; k < PACK; k++) a.x[k] = narrow(widen(a.x[k]) + widen(b.x[k]) * g.x[k]);
    ((Pack*)y)[i] = a;
}

// y = a * GELU(b), rows of x being a and then b.
extern "C" __global__ void geglu(const T* __restrict__ x, T* __restrict__ y, long long packs) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= packs) return;
    long long row = i / COUNT;
    Pack a = ((const Pack*)x)[i + row * COUNT], b = ((const Pack*)x)[i + row * COUNT + COUNT];
#pragma unroll
    for (int k = 0; k < PACK; k++) {
        float gate = widen(b.x[k]);
        a.x[k] = narrow(widen(a.x[k]) * 0.5f * gate * (1.0f + erff(gate * 0.70710678f)));
    }
    ((Pack*)y)[i] = a;
}
