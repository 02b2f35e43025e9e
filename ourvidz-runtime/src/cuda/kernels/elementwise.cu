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

#ifdef PARTS
// y = x + part1 + ... + bias, the bias being a row.
extern "C" __global__ void bias_sum(
    const T* __restrict__ x, const float* __restrict__ bias, const T* __restrict__ part1,
    const T* __restrict__ part2, const T* __restrict__ part3, T* __restrict__ y, long long packs) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= packs) return;
    Floats b = ((const Floats*)bias)[i % COUNT];
    add(b.x, x, i);
#if PARTS > 0
    add(b.x, part1, i);
#endif
#if PARTS > 1
    add(b.x, part2, i);
#endif
#if PARTS > 2
    add(b.x, part3, i);
#endif
    Pack p;
#pragma unroll
    for (int k = 0; k < PACK; k++) p.x[k] = narrow(b.x[k]);
    ((Pack*)y)[i] = p;
}
#endif

// y = zeros for as many packs, then x.
extern "C" __global__ void after_zeros(
    const T* __restrict__ x, T* __restrict__ y, long long lead, long long packs) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= packs) return;
    Pack p = {};
    if (i >= lead) p = ((const Pack*)x)[i - lead];
    ((Pack*)y)[i] = p;
}

// all = before, then x; last = its last frames, as many as lie before. A thread has one pack of every frame and reads
// what lies before ahead of writing last, so both may be the same memory.
extern "C" __global__ void after_frames(
    const T* __restrict__ x, const T* before, T* __restrict__ all, T* last, long long lead, long long own,
    long long packs) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= packs) return;
    for (long long f = 0; f < lead; f++) ((Pack*)all)[f * packs + i] = ((const Pack*)before)[f * packs + i];
    for (long long f = 0; f < own; f++) ((Pack*)all)[(lead + f) * packs + i] = ((const Pack*)x)[f * packs + i];
    for (long long f = 0; f < lead; f++) {
        // Frame f of last is frame f + own of all; frames of before that are read here come later than those written.
        long long from = f + own - lead;
        const T* source = from < 0 ? before : x;
        if (from < 0) from += lead;
        ((Pack*)last)[f * packs + i] = ((const Pack*)source)[from * packs + i];
    }
}

#ifdef DOUBLE
// y [F, 2 H, 2 W, C] = x [F, H, W, C], each pixel four times.
extern "C" __global__ void double_frames(
    const T* __restrict__ x, T* __restrict__ y, long long width, long long packs) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= packs) return;
    long long pixel = i / COUNT, row = pixel / (2 * width), column = pixel % (2 * width);
    ((Pack*)y)[i] = ((const Pack*)x)[(row / 2 * width + column / 2) * COUNT + i % COUNT];
}
#endif

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
