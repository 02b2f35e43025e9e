// One row x [K] times matrices of K columns, row by row of theirs: what a language model does for one token. Memory is
// what it waits for, so every warp keeps several packs of its rows on their way, and x comes from the first cache.
//
// PARTS 1 to 3: matrices side by side. GATED: two of them, silu(x m0) * (x m1). INT4: four bits a number. SPLIT warps
// share a row; a block has WARPS.
#define RESULTS (INT4 ? 4 : GATED ? 2 : 1)
#define AHEAD (INT4 || GATED ? 4 : 8)
// Rows of the result that a warp makes.
#define MADE (GATED ? RESULTS / 2 : RESULTS)

#if INT4
typedef unsigned Word; // eight numbers; a scale is shared by four words
constexpr int NUMBERS = 8;
#else
typedef Pack Word;
constexpr int NUMBERS = PACK;
#endif
constexpr int WORDS = K / NUMBERS;
constexpr int STEP = 32 * SPLIT;

// Numbers that are read once and must not push x out of the cache.
template <class W> __device__ inline W once(const W* p) {
    if constexpr (sizeof(W) == 16) {
        uint4 v;
#if __CUDA_ARCH__ >= 800
        asm("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
            : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
            : "l"(p));
#else
        v = __ldcs((const uint4*)p);
#endif
        return *(W*)&v;
    } else if constexpr (sizeof(W) == 4) {
        unsigned v;
#if __CUDA_ARCH__ >= 800
        asm("ld.global.nc.L1::no_allocate.L2::256B.u32 %0, [%1];" : "=r"(v) : "l"(p));
#else
        v = __ldcs((const unsigned*)p);
#endif
        return *(W*)&v;
    } else {
        return *p;
    }
}

struct Row {
    const Word* words;
    const T* scales;
};

__device__ inline Row row_of(const void* matrix, const T* scales, long long row) {
    return {(const Word*)matrix + row * WORDS, INT4 ? scales + row * (K / 32) : nullptr};
}

// bits & mask | one, in one instruction.
__device__ inline float number(unsigned bits, unsigned mask, unsigned one) {
    unsigned y;
    asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(y) : "r"(bits), "r"(mask), "r"(one));
    return __uint_as_float(y);
}

// What `dot` has too much by `excess`.
__device__ inline float excess(const float (&x)[NUMBERS]) {
    float sum = 0.0f;
#if INT4
#pragma unroll
    for (int e = 0; e < 8; e += 2) sum += 2056.0f * x[e] + 136.0f * x[e + 1];
#endif
    return sum;
}

__device__ inline float dot(const Row& row, int at, const Word& word, const float (&x)[NUMBERS], float excess) {
    float sum = 0.0f;
#if INT4
    // Four bits below 2048 or below 128 are a float that is so much more; and numbers are stored 8 more than they are.
    unsigned pairs[4] = {word << 12, word << 4, word >> 4, word >> 12};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        sum += number(pairs[i], 0x0000f000u, 0x45000000u) * x[2 * i];
        sum += number(pairs[i], 0x000f0000u, 0x43000000u) * x[2 * i + 1];
    }
    return widen(row.scales[at / 4]) * (sum - excess);
#else
#pragma unroll
    for (int k = 0; k < PACK; k++) sum += widen(word.x[k]) * x[k];
    return sum;
#endif
}

extern "C" __global__ void __launch_bounds__(32 * WARPS, INT4 ? 3 : 4) project(
    const T* __restrict__ x, const void* m0, const void* m1, const void* m2, const T* s0, const T* s1, const T* s2,
    const T* b0, const T* b1, const T* b2, const T* residual, T* __restrict__ y, long long n0, long long n1,
    long long n2) {
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, share = warp % SPLIT;
    long long unit = (long long)blockIdx.x * (WARPS / SPLIT) + warp / SPLIT;
    long long count = GATED ? n0 : n0 + n1 + n2;
    long long first = unit * MADE;
    float sums[RESULTS] = {};
    Row rows[RESULTS];
    if (first < count) {
#pragma unroll
        for (int r = 0; r < RESULTS; r++) {
            long long row = first + (GATED ? r / 2 : r);
            row = row < count ? row : first;
            if (GATED) rows[r] = r % 2 == 0 ? row_of(m0, s0, row) : row_of(m1, s1, row);
            else if (row < n0) rows[r] = row_of(m0, s0, row);
            else if (row < n0 + n1) rows[r] = row_of(m1, s1, row - n0);
            else rows[r] = row_of(m2, s2, row - n0 - n1);
        }
        for (int start = share * 32 + lane; start < WORDS; start += STEP * AHEAD) {
            Word words[AHEAD][RESULTS];
#pragma unroll
            for (int i = 0; i < AHEAD; i++)
#pragma unroll
                for (int r = 0; r < RESULTS; r++)
                    if (start + i * STEP < WORDS) words[i][r] = once(rows[r].words + start + i * STEP);
#pragma unroll
            for (int i = 0; i < AHEAD; i++) {
                int at = start + i * STEP;
                if (at >= WORDS) continue;
                float wide[NUMBERS];
#pragma unroll
                for (int j = 0; j < NUMBERS / PACK; j++) {
                    Pack p = ((const Pack*)x)[at * (NUMBERS / PACK) + j];
#pragma unroll
                    for (int k = 0; k < PACK; k++) wide[j * PACK + k] = widen(p.x[k]);
                }
                float over = excess(wide);
#pragma unroll
                for (int r = 0; r < RESULTS; r++) sums[r] += dot(rows[r], at, words[i][r], wide, over);
            }
        }
    }
#pragma unroll
    for (int r = 0; r < RESULTS; r++)
#pragma unroll
        for (int distance = 16; distance > 0; distance /= 2)
            sums[r] += __shfl_xor_sync(0xffffffffu, sums[r], distance);
#if SPLIT > 1
    __shared__ float parts[WARPS][RESULTS];
    if (lane == 0)
        for (int r = 0; r < RESULTS; r++) parts[warp][r] = sums[r];
    __syncthreads();
    if (share != 0) return;
    for (int i = 1; i < SPLIT; i++)
        for (int r = 0; r < RESULTS; r++) sums[r] += parts[warp + i][r];
#endif
    if (lane != 0 || first >= count) return;
#if GATED
    for (int r = 0; r < MADE && first + r < count; r++)
        y[first + r] = narrow(silu(sums[2 * r]) * sums[2 * r + 1]);
#else
    for (int r = 0; r < RESULTS && first + r < count; r++) {
        long long row = first + r;
        float sum = sums[r];
        if (b0) sum += widen(row < n0 ? b0[row] : row < n0 + n1 ? b1[row - n0] : b2[row - n0 - n1]);
        if (residual) sum += widen(residual[row]);
        y[row] = narrow(sum);
    }
#endif
}
