// One row x [K] times matrices of four-bit numbers, sixteen rows of theirs to a warp, on tensor cores.
//
// A lane reads whole blocks of 32 numbers, which share a scale: lane 4 g + t those of rows g and g + 8, number t of four
// blocks that lie behind one another. A product of tensor cores sums over all four lanes of a row, whose blocks have
// scales of their own; so x stands in its right factor once for each of them, in a column of its own with zeros where
// the other lanes' numbers are, and a lane finds the sum of its block in the column 2 t.
//
// PARTS matrices side by side, or GATED: two of them, silu(x m0) * (x m1). SPLIT warps share rows; a block has WARPS.
// NORM: of the RMS norm of x with this weight [K], which every block makes for itself.
constexpr int BLOCKS = K / 32;
constexpr int AHEAD = 2;
constexpr int ROWS = GATED ? 8 : 16;

#if TYPE == 1
#define MMA "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
constexpr unsigned ONE = 0x64006400u; // Four bits below 1024 are a number that is so much more.
constexpr float EXCESS = 1032.0f;     // And numbers are stored 8 more than they are.
#else
#define MMA "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
constexpr unsigned ONE = 0x43004300u; // Below 128.
constexpr float EXCESS = 136.0f;
#endif

// Numbers that are read once and must not push x out of the cache.
__device__ inline uint4 once(const uint4* p) {
    uint4 v;
    asm("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
        : "l"(p));
    return v;
}

// Numbers i and i + 4 of eight, each with what ONE adds.
__device__ inline unsigned two(unsigned word, int i) {
    unsigned y;
    asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(y) : "r"(word >> (4 * i)), "r"(0x000f000fu), "r"(ONE));
    return y;
}

__device__ inline void multiply(float (&c)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1) {
    asm(MMA " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

struct Row {
    const uint4* blocks;
    const T* scales;
};

struct Ahead {
    uint4 words[2];
    T scales[2];
};

extern "C" __global__ void __launch_bounds__(32 * WARPS, 32 / WARPS) project_int4(
    const T* __restrict__ x, const uint4* m0, const uint4* m1, const uint4* m2, const T* s0, const T* s1, const T* s2,
    const T* b0, const T* b1, const T* b2, const T* residual, T* __restrict__ y, long long n0, long long n1,
    long long n2, const T* __restrict__ norm, float eps) {
    // x block by block, the eight numbers of a word in the order in which `two` gives its numbers: 0 4 1 5 2 6 3 7.
    __shared__ uint4 ordered[BLOCKS * 4];
    __shared__ float sums_of_x[BLOCKS];
    __shared__ float parts[SPLIT > 1 ? WARPS : 1][16];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, share = warp % SPLIT, g = lane / 4, t = lane % 4;
    long long unit = (long long)blockIdx.x * (WARPS / SPLIT) + warp / SPLIT;
    long long count = GATED ? n0 : n0 + n1 + n2, first = unit * ROWS;

    Row rows[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        long long row = first + g + (GATED ? 0 : 8 * r);
        row = row < count ? row : count - 1;
        const uint4* m = m0;
        const T* s = s0;
        if (GATED) {
            if (r == 1) m = m1, s = s1;
        } else if (row >= n0 + n1) {
            m = m2, s = s2, row -= n0 + n1;
        } else if (row >= n0) {
            m = m1, s = s1, row -= n0;
        }
        rows[r] = {m + row * BLOCKS, s + row * BLOCKS};
    }
    auto fetch = [&](Ahead& to, int block) {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            to.words[r] = block < BLOCKS ? once(rows[r].blocks + block) : make_uint4(0, 0, 0, 0);
            to.scales[r] = block < BLOCKS ? rows[r].scales[block] : T(0);
        }
    };
    // The first numbers are on their way while x is normalised and put in order. Loads could be delayed to behind the
    // norm's barrier, and would take registers meanwhile.
#if NORM
    if (first < count)
        for (int i = 0; i < AHEAD; i++)
            for (int r = 0; r < 2; r++) {
                int block = 4 * (share + i * SPLIT) + t;
                if (block < BLOCKS) prefetch(rows[r].blocks + block), prefetch(rows[r].scales + block);
            }
    Pack held[HELD];
    norm_of_row(held, x, norm, eps);
#endif
    Ahead ahead[AHEAD];
#pragma unroll
    for (int i = 0; i < AHEAD; i++) fetch(ahead[i], 4 * (share + i * SPLIT) + t);

    auto order = [&](int i, const uint4& v) {
        uint4 o;
        o.x = __byte_perm(v.x, v.z, 0x5410);
        o.y = __byte_perm(v.x, v.z, 0x7632);
        o.z = __byte_perm(v.y, v.w, 0x5410);
        o.w = __byte_perm(v.y, v.w, 0x7632);
        ordered[i] = o;
        unsigned words[4] = {v.x, v.y, v.z, v.w};
        float sum = 0.0f;
#pragma unroll
        for (int k = 0; k < 4; k++) sum += widen((T)(words[k] & 0xffffu)) + widen((T)(words[k] >> 16));
        unsigned four = 0xfu << (lane & 28); // They have a block.
        sum += __shfl_xor_sync(four, sum, 1);
        sum += __shfl_xor_sync(four, sum, 2);
        if (i % 4 == 0) sums_of_x[i / 4] = sum * EXCESS;
    };
#if NORM
#pragma unroll
    for (int i = 0; i < HELD; i++)
        if (held_pack(i) < BLOCKS * 4) order(held_pack(i), *(const uint4*)&held[i]);
#else
    for (int i = threadIdx.x; i < BLOCKS * 4; i += 32 * WARPS) order(i, ((const uint4*)x)[i]);
#endif
    __syncthreads();

    float sums[2] = {};
    bool mine = g == 2 * t;
    for (int start = share; 4 * start < BLOCKS; start += AHEAD * SPLIT) {
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            int block = 4 * (start + i * SPLIT) + t;
            Ahead now = ahead[i];
            fetch(ahead[i], block + 4 * AHEAD * SPLIT);
            if (4 * (start + i * SPLIT) >= BLOCKS) continue;
            float even[4] = {}, odd[4] = {};
            unsigned upper[4] = {now.words[0].x, now.words[0].y, now.words[0].z, now.words[0].w};
            unsigned lower[4] = {now.words[1].x, now.words[1].y, now.words[1].z, now.words[1].w};
            bool there = block < BLOCKS;
#pragma unroll
            for (int w = 0; w < 4; w++) {
                uint4 o = make_uint4(0, 0, 0, 0);
                if (mine && there) o = ordered[4 * block + w];
                multiply(even, two(upper[w], 0), two(lower[w], 0), two(upper[w], 1), two(lower[w], 1), o.x, o.y);
                multiply(odd, two(upper[w], 2), two(lower[w], 2), two(upper[w], 3), two(lower[w], 3), o.z, o.w);
            }
            float over = there ? sums_of_x[block] : 0.0f;
            sums[0] += widen(now.scales[0]) * (even[0] + odd[0] - over);
            sums[1] += widen(now.scales[1]) * (even[2] + odd[2] - over);
        }
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        sums[r] += __shfl_xor_sync(0xffffffffu, sums[r], 1);
        sums[r] += __shfl_xor_sync(0xffffffffu, sums[r], 2);
    }
#if SPLIT > 1
    if (t == 0) parts[warp][g] = sums[0], parts[warp][g + 8] = sums[1];
    __syncthreads();
    if (share != 0) return;
    for (int i = 1; i < SPLIT; i++) sums[0] += parts[warp + i][g], sums[1] += parts[warp + i][g + 8];
#endif
    if (t != 0) return;
#if GATED
    if (first + g < count) y[first + g] = narrow(silu(sums[0]) * sums[1]);
#else
#pragma unroll
    for (int r = 0; r < 2; r++) {
        long long row = first + g + 8 * r;
        if (row >= count) continue;
        float sum = sums[r];
        if (b0) sum += widen(row < n0 ? b0[row] : row < n0 + n1 ? b1[row - n0] : b2[row - n0 - n1]);
        if (residual) sum += widen(residual[row]);
        y[row] = narrow(sum);
    }
#endif
}
