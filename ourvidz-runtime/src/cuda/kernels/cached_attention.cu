// Attention of new tokens to a cache of keys and values [KV, capacity, D], behind whose end they are written.
//
// A block has HEADS queries that share keys, so that a key is read once for all of them. LANES threads hold a row of D
// numbers, a pack of 8 each; a block reads SLOTS rows at a time. Of a single token (ONE 1) the positions are cut into
// chunks for many blocks, because a few of them cannot keep memory busy; the last to end adds up what all have found.
// How long the cache is says the device's memory, so that a recorded launch fits every length: blocks without a chunk
// end at once.
constexpr int COUNT = D / PACK, HALF = D / 2;
constexpr int SLOTS = 32 / LANES * WARPS;
// Rows of a slot whose numbers are on their way together.
constexpr int AHEAD = 2;
// Four neighbouring numbers of the result are a thread's.
constexpr int QUADS = HEADS * D / 4;
static_assert(QUADS <= 32 * WARPS, "a thread has one quad");
// Lower than every score, and so low below it that 2^x is 0.
constexpr float NOTHING = -1e30f, MASKED = -3e30f;

struct __align__(4 * sizeof(T)) Quad { T x[4]; };

// Number d of a head turned by the angles of its position: numbers i and i + D / 2 are a pair.
__device__ inline float rotated(const T* x, const T* cosines, const T* sines, int d) {
    int i = d < HALF ? d : d - HALF;
    float a = widen(x[d]), c = widen(cosines[i]), s = widen(sines[i]);
    return d < HALF ? a * c - widen(x[d + HALF]) * s : a * c + widen(x[d - HALF]) * s;
}

// Where the cache goes on in other memory.
extern "C" __global__ void copy(const T* from, T* to, long long packs) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < packs) ((Pack*)to)[i] = ((const Pack*)from)[i];
}

// Keys and values of several tokens into the cache; a launch of its own, because every token needs those before it.
extern "C" __global__ void append(
    const T* k, const T* v, long long stride, const int* last, const T* cosines, const T* sines, T* keys, T* values,
    long long tokens, long long capacity) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= tokens * KV * D) return;
    int d = i % D, head = i / D % KV;
    long long token = i / (KV * D), position = last[0] + 1 - tokens + token;
    if (position < 0 || position >= capacity) return;
    const T* row = k + token * stride + head * D;
    long long at = (head * capacity + position) * D + d;
    keys[at] = narrow(rotated(row, cosines + position * HALF, sines + position * HALF, d));
    values[at] = v[token * stride + head * D + d];
}

extern "C" __global__ void __launch_bounds__(32 * WARPS) attend(
    const T* q, const T* k, const T* v, long long stride, const int* last, const T* cosines, const T* sines, T* keys,
    T* values, T* y, float* sums, float* levels, unsigned* counters, long long tokens, long long capacity,
    long long splits, float scale) {
    __shared__ __align__(16) float queries[HEADS][D];
    __shared__ __align__(16) float merged[WARPS][HEADS][D];
    __shared__ float merged_levels[WARPS][HEADS][2];
#if ONE
    __shared__ Pack newest[2][COUNT];
    __shared__ bool finished;
#endif

    int split = blockIdx.x % splits, unit = blockIdx.x / splits;
    int part = unit % PARTS, head = unit / PARTS % KV, token = unit / (PARTS * KV);
    int position = last[0] + 1 - (int)tokens + token;
    int first_head = head * (HEADS * PARTS) + part * HEADS;
    // A position that is not in the cache is not written either, and its result is not a number.
    if (position < 0 || position >= capacity) {
        T* rows = y + ((long long)token * (KV * PARTS * HEADS) + first_head) * D;
        if (split == 0)
            for (int i = threadIdx.x; i < HEADS * D; i += 32 * WARPS) rows[i] = narrow(__int_as_float(0x7fffffff));
        return;
    }
    int total = position + 1;
    // A block goes around in whole steps, so that none but the last meets rows behind its chunk, the newest among them.
    int chunk = (total + (int)splits - 1) / (int)splits;
    chunk = (chunk + AHEAD * SLOTS - 1) / (AHEAD * SLOTS) * (AHEAD * SLOTS);
    int active = (total + chunk - 1) / chunk;
    if (split >= active) return;
    int start = split * chunk, end = min(start + chunk, total);

    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, pack = lane % LANES;
    int slot = warp * (32 / LANES) + lane / LANES;
    const Pack* key_rows = (const Pack*)(keys + head * capacity * D);
    const Pack* value_rows = (const Pack*)(values + head * capacity * D);
    Pack k_packs[AHEAD], v_packs[AHEAD];
    // The newest row of a single token is not read from the cache, where another block may be writing it.
    auto load = [&](int base) {
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            int at = base + i * SLOTS + slot;
            k_packs[i] = v_packs[i] = Pack{};
            if (pack >= COUNT || at >= end || (ONE && at == position)) continue;
            k_packs[i] = key_rows[(long long)at * COUNT + pack];
            v_packs[i] = value_rows[(long long)at * COUNT + pack];
        }
    };
    // On their way while queries are turned.
    load(start);

    const T* cosine = cosines + (long long)position * HALF;
    const T* sine = sines + (long long)position * HALF;
    const T* query = q + token * stride + (long long)first_head * D;
    for (int i = threadIdx.x; i < HEADS * D; i += 32 * WARPS)
        queries[i / D][i % D] = rotated(query + i / D * D, cosine, sine, i % D) * scale;
#if ONE
    if (end == total)
        for (int d = threadIdx.x; d < D; d += 32 * WARPS) {
            // Scores are of what is stored.
            T key = narrow(rotated(k + head * D, cosine, sine, d)), value = v[head * D + d];
            newest[0][d / PACK].x[d % PACK] = key;
            newest[1][d / PACK].x[d % PACK] = value;
            if (part == 0) {
                long long at = (head * capacity + position) * D + d;
                keys[at] = key;
                values[at] = value;
            }
        }
#endif
    __syncthreads();
    float own[HEADS][PACK];
    float most[HEADS], weight[HEADS], sum[HEADS][PACK];
#pragma unroll
    for (int h = 0; h < HEADS; h++) {
        most[h] = NOTHING;
        weight[h] = 0.0f;
#pragma unroll
        for (int e = 0; e < PACK; e += 4) {
            float4 four = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            if (pack < COUNT) four = *(const float4*)&queries[h][pack * PACK + e];
            own[h][e] = four.x, own[h][e + 1] = four.y, own[h][e + 2] = four.z, own[h][e + 3] = four.w;
        }
#pragma unroll
        for (int e = 0; e < PACK; e++) sum[h][e] = 0.0f;
    }
    // All threads go around as often: they exchange numbers.
    for (int base = start; base < end; base += AHEAD * SLOTS) {
        float scores[AHEAD][HEADS];
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            int at = base + i * SLOTS + slot;
#if ONE
            if (at == position && end == total && pack < COUNT) {
                k_packs[i] = newest[0][pack];
                v_packs[i] = newest[1][pack];
            }
#endif
            float wide[PACK];
#pragma unroll
            for (int e = 0; e < PACK; e++) wide[e] = widen(k_packs[i].x[e]);
#pragma unroll
            for (int h = 0; h < HEADS; h++) {
                float score = 0.0f;
#pragma unroll
                for (int e = 0; e < PACK; e++) score += own[h][e] * wide[e];
#pragma unroll
                for (int distance = LANES / 2; distance > 0; distance /= 2)
                    score += __shfl_xor_sync(0xffffffffu, score, distance);
                scores[i][h] = at < end ? score : MASKED;
            }
        }
#pragma unroll
        for (int h = 0; h < HEADS; h++) {
            float highest = most[h];
#pragma unroll
            for (int i = 0; i < AHEAD; i++) highest = fmaxf(highest, scores[i][h]);
            float factor = exp2f(most[h] - highest);
            most[h] = highest;
            weight[h] *= factor;
#pragma unroll
            for (int e = 0; e < PACK; e++) sum[h][e] *= factor;
#pragma unroll
            for (int i = 0; i < AHEAD; i++) {
                float p = exp2f(scores[i][h] - highest);
                weight[h] += p;
#pragma unroll
                for (int e = 0; e < PACK; e++) sum[h][e] += p * widen(v_packs[i].x[e]);
            }
        }
        load(base + AHEAD * SLOTS);
    }

    // Slots of a warp.
#pragma unroll
    for (int distance = LANES; distance < 32; distance *= 2)
#pragma unroll
        for (int h = 0; h < HEADS; h++) {
            float highest = fmaxf(most[h], __shfl_xor_sync(0xffffffffu, most[h], distance));
            float factor = exp2f(most[h] - highest);
            most[h] = highest;
            weight[h] *= factor;
            weight[h] += __shfl_xor_sync(0xffffffffu, weight[h], distance);
#pragma unroll
            for (int e = 0; e < PACK; e++) {
                sum[h][e] *= factor;
                sum[h][e] += __shfl_xor_sync(0xffffffffu, sum[h][e], distance);
            }
        }
    // Warps of the block.
    if (lane < COUNT) {
#pragma unroll
        for (int h = 0; h < HEADS; h++) {
#pragma unroll
            for (int e = 0; e < PACK; e += 4)
                *(float4*)&merged[warp][h][lane * PACK + e] =
                    make_float4(sum[h][e], sum[h][e + 1], sum[h][e + 2], sum[h][e + 3]);
            if (lane == 0) {
                merged_levels[warp][h][0] = most[h];
                merged_levels[warp][h][1] = weight[h];
            }
        }
    }
    __syncthreads();
    int h = threadIdx.x * 4 / D, d = threadIdx.x * 4 % D;
    float highest = NOTHING, all = 0.0f, quad[4] = {};
    if (threadIdx.x < QUADS) {
        for (int w = 0; w < WARPS; w++) highest = fmaxf(highest, merged_levels[w][h][0]);
        for (int w = 0; w < WARPS; w++) {
            float factor = exp2f(merged_levels[w][h][0] - highest);
            all += merged_levels[w][h][1] * factor;
            for (int e = 0; e < 4; e++) quad[e] += merged[w][h][d + e] * factor;
        }
    }
#if ONE
    if (active > 1) {
        // Chunks of the cache: sums [units, splits, HEADS, D], levels [units, splits, HEADS, 2].
        long long row = ((long long)unit * splits + split) * HEADS + h;
        if (threadIdx.x < QUADS) {
            *(float4*)(sums + row * D + d) = make_float4(quad[0], quad[1], quad[2], quad[3]);
            if (d == 0) *(float2*)(levels + row * 2) = make_float2(highest, all);
        }
        // What the block wrote is behind the barrier, and with this thread's fence it is seen by the block that sees its
        // count. The last count makes the counter 0 again, for the next launch.
        __syncthreads();
        if (threadIdx.x == 0) {
            __threadfence();
            finished = atomicInc(counters + unit, active - 1) == active - 1;
            __threadfence();
        }
        __syncthreads();
        if (!finished) return;
        highest = NOTHING;
        all = 0.0f;
        for (int e = 0; e < 4; e++) quad[e] = 0.0f;
        constexpr int TOGETHER = 8;
        for (int from = 0; from < active && threadIdx.x < QUADS; from += TOGETHER) {
            float2 level[TOGETHER];
            float4 found[TOGETHER];
#pragma unroll
            for (int i = 0; i < TOGETHER; i++) {
                level[i] = make_float2(MASKED, 0.0f);
                found[i] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
                if (from + i >= active) continue;
                long long row = ((long long)unit * splits + from + i) * HEADS + h;
                // Not by the first cache, which does not know of other blocks' writes.
                level[i] = __ldcg((const float2*)(levels + row * 2));
                found[i] = __ldcg((const float4*)(sums + row * D + d));
            }
            float before = highest;
#pragma unroll
            for (int i = 0; i < TOGETHER; i++) highest = fmaxf(highest, level[i].x);
            float factor = exp2f(before - highest);
            all *= factor;
#pragma unroll
            for (int e = 0; e < 4; e++) quad[e] *= factor;
#pragma unroll
            for (int i = 0; i < TOGETHER; i++) {
                factor = exp2f(level[i].x - highest);
                all += level[i].y * factor;
                quad[0] += found[i].x * factor;
                quad[1] += found[i].y * factor;
                quad[2] += found[i].z * factor;
                quad[3] += found[i].w * factor;
            }
        }
    }
#endif
    if (threadIdx.x >= QUADS) return;
    Quad result;
    for (int e = 0; e < 4; e++) result.x[e] = narrow(quad[e] / all);
    *(Quad*)(y + ((long long)token * (KV * PARTS * HEADS) + first_head + h) * D + d) = result;
}

extern "C" __global__ void zero(unsigned* counters, long long count) {
    for (long long i = threadIdx.x; i < count; i += blockDim.x) counters[i] = 0;
}
