// Attention of several new tokens to a cache of keys and values [KV, capacity, D], around two products of matrices:
// scores are queries times keys, results are weights times values. The GROUP queries of a token that share keys are
// neighbouring rows of one matrix: row token * GROUP + query of [KV, tokens * GROUP, D].
constexpr int HALF = D / 2, HEADS = KV * GROUP;
// Lower than every score, and so low below it that 2^x is 0.
constexpr float NOTHING = -1e30f;

struct __align__(4 * sizeof(T)) Quad { T x[4]; };

// Turns queries into rows, and keys into the cache with their values: a pair of numbers for each thread.
extern "C" __global__ void turn(
    const T* q, const T* k, const T* v, long long q_stride, long long kv_stride, const int* last, const T* cosines,
    const T* sines, T* queries, T* keys, T* values, long long tokens, long long capacity) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= tokens * (HEADS + KV) * HALF) return;
    int pair = i % HALF, row = i / HALF % (HEADS + KV);
    long long token = i / (HALF * (HEADS + KV)), position = last[0] + 1 - tokens + token;
    // A position that is not in the cache is not written either.
    if (position < 0 || position >= capacity) return;
    float c = widen(cosines[position * HALF + pair]), s = widen(sines[position * HALF + pair]);
    const T* from;
    T* to;
    if (row < HEADS) {
        from = q + token * q_stride + row * D;
        to = queries + ((row / GROUP * tokens + token) * GROUP + row % GROUP) * D;
    } else {
        int head = row - HEADS;
        from = k + token * kv_stride + head * D;
        long long at = (head * capacity + position) * D;
        to = keys + at;
        const T* value = v + token * kv_stride + head * D;
        values[at + pair] = value[pair];
        values[at + pair + HALF] = value[pair + HALF];
    }
    float a = widen(from[pair]), b = widen(from[pair + HALF]);
    to[pair] = narrow(a * c - b * s);
    to[pair + HALF] = narrow(a * s + b * c);
}

template <typename Join>
__device__ inline float of_block(float x, float* parts, Join join) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) x = join(x, __shfl_xor_sync(0xffffffffu, x, distance));
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
    x = parts[0];
    for (int warp = 1; warp < blockDim.x / 32; warp++) x = join(x, parts[warp]);
    return x;
}

// Scores of `rows` queries of each key head, those of tokens `first` and later, to their weights and the weights' sum:
// rows of `stride` numbers, a block's each. A query sees the keys up to its own token's, and no weight is behind them.
extern "C" __global__ void weigh(
    const float* scores, T* weights, float* sums, const int* last, long long tokens, long long first, long long seen,
    long long stride, long long rows, float scale) {
    __shared__ float highest_parts[32], sum_parts[32];
    long long row = blockIdx.x;
    long long position = last[0] + 1 - tokens + first + row % rows / GROUP;
    // Of a position without scores the sum stays 0, and the result is not a number.
    long long count = position >= 0 && position < seen ? position + 1 : 0;
    scores += row * stride;
    weights += row * stride;
    float highest = NOTHING;
    for (long long at = threadIdx.x * 4; at < count; at += blockDim.x * 4) {
        float4 four = *(const float4*)(scores + at);
        float x[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
        for (int e = 0; e < 4; e++)
            if (at + e < count) highest = fmaxf(highest, x[e]);
    }
    highest = of_block(highest, highest_parts, [](float a, float b) { return fmaxf(a, b); });
    float sum = 0.0f;
    for (long long at = threadIdx.x * 4; at < stride; at += blockDim.x * 4) {
        Quad quad = {};
        if (at < count) {
            float4 four = *(const float4*)(scores + at);
            float x[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
            for (int e = 0; e < 4; e++) {
                if (at + e >= count) continue;
                quad.x[e] = narrow(exp2f((x[e] - highest) * scale));
                // What the product multiplies is what the sum divides by.
                sum += widen(quad.x[e]);
            }
        }
        *(Quad*)(weights + at) = quad;
    }
    sum = of_block(sum, sum_parts, [](float a, float b) { return a + b; });
    if (threadIdx.x == 0) sums[row] = sum;
}

// Results [KV, tokens * GROUP, D], divided by their sums, to y [tokens, HEADS * D]: a pack for each thread.
extern "C" __global__ void spread(const float* results, const float* sums, T* y, long long tokens) {
    constexpr int COUNT = D / PACK;
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= tokens * HEADS * COUNT) return;
    int pack = i % COUNT, head = i / COUNT % HEADS;
    long long token = i / (COUNT * HEADS), row = (head / GROUP * tokens + token) * GROUP + head % GROUP;
    const float* from = results + row * D + pack * PACK;
    float sum = sums[row];
    Pack result;
#pragma unroll
    for (int e = 0; e < PACK; e += 4) {
        float4 four = *(const float4*)(from + e);
        result.x[e] = narrow(four.x / sum);
        result.x[e + 1] = narrow(four.y / sum);
        result.x[e + 2] = narrow(four.z / sum);
        result.x[e + 3] = narrow(four.w / sum);
    }
    ((Pack*)y)[i] = result;
}
