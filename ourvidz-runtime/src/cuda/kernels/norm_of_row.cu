// RMS norm of one row x [K] by a block of WARPS, for what reads the row next: the packs that a thread holds.
constexpr int HELD = (K / PACK + 32 * WARPS - 1) / (32 * WARPS);

__device__ inline int held_pack(int i) { return threadIdx.x + i * 32 * WARPS; }

// Brings what lies at p near, and never waits.
__device__ inline void prefetch(const void* p) { asm volatile("prefetch.global.L2 [%0];" : : "l"(p)); }

// The packs `held_pack` of the row, those behind its end zero; rounded, as an operator of its own would store them. All
// threads of the block must call it.
__device__ inline void norm_of_row(Pack (&held)[HELD], const T* x, const T* weight, float eps) {
    Pack weights[HELD] = {};
    float squares = 0.0f;
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        held[i] = Pack{};
        if (held_pack(i) < K / PACK) {
            held[i] = ((const Pack*)x)[held_pack(i)];
            weights[i] = ((const Pack*)weight)[held_pack(i)];
        }
    }
#pragma unroll
    for (int i = 0; i < HELD; i++)
#pragma unroll
        for (int k = 0; k < PACK; k++) squares += widen(held[i].x[k]) * widen(held[i].x[k]);
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) squares += __shfl_xor_sync(0xffffffffu, squares, distance);
    __shared__ float of_warps[WARPS];
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = squares;
    __syncthreads();
    squares = 0.0f;
#pragma unroll
    for (int i = 0; i < WARPS; i++) squares += of_warps[i];
    float factor = rsqrtf(squares / K + eps);
#pragma unroll
    for (int i = 0; i < HELD; i++)
#pragma unroll
        for (int k = 0; k < PACK; k++)
            held[i].x[k] = narrow(widen(held[i].x[k]) * (factor * widen(weights[i].x[k])));
}
