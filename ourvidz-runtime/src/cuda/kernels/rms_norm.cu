// y = s / sqrt(mean(s^2) + eps) * weight over a row; then SiLU (SILU 1), or pairs of neighbours turned by the angle of
// the row's position (HEAD numbers per head, tables [positions, HEAD / 2]). s = x + part1 + ... + bias with as many
// parts as PARTS says and with BIAS 1; with SUM 1 it is written too. The weight is float, or as x with WEIGHT_AS_X 1.
#if WEIGHT_AS_X
typedef T Weight;
typedef Pack Weights;
__device__ inline float wide(T x) { return widen(x); }
#else
typedef float Weight;
typedef Floats Weights;
__device__ inline float wide(float x) { return x; }
#endif

extern "C" __global__ void __launch_bounds__(ROWS * THREADS) rms_norm(
    const T* __restrict__ x, const Weight* __restrict__ weight, const float* __restrict__ cosines,
    const float* __restrict__ sines, T* __restrict__ y, long long positions, float eps,
    const float* __restrict__ bias, const T* __restrict__ part1, const T* __restrict__ part2,
    const T* __restrict__ part3, T* __restrict__ sum, long long rows) {
    long long row = row_of_thread();
    bool inside = row < rows;
    long long start = row * COUNT;
    float v[EACH][PACK];
    float squares = 0.0f;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        Pack p = {};
        if (inside && has(i)) p = ((const Pack*)x)[start + pack_of_thread(i)];
#pragma unroll
        for (int k = 0; k < PACK; k++) v[i][k] = widen(p.x[k]);
    }
#if PARTS || BIAS
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        if (!inside || !has(i)) continue;
        long long at = start + pack_of_thread(i);
#if PARTS > 0
        add(v[i], part1, at);
#endif
#if PARTS > 1
        add(v[i], part2, at);
#endif
#if PARTS > 2
        add(v[i], part3, at);
#endif
#if BIAS
        Floats b = ((const Floats*)bias)[pack_of_thread(i)];
#pragma unroll
        for (int k = 0; k < PACK; k++) v[i][k] += b.x[k];
#endif
#if SUM
        Pack p;
#pragma unroll
        for (int k = 0; k < PACK; k++) {
            // The norm is of what is stored.
            p.x[k] = narrow(v[i][k]);
            v[i][k] = widen(p.x[k]);
        }
        ((Pack*)sum)[at] = p;
#endif
    }
#endif
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
        for (int k = 0; k < PACK; k++) squares += v[i][k] * v[i][k];
    // Few numbers for each thread: the weight is on its way while threads add up.
    Weights early = {};
    if constexpr (EACH == 1)
        if (inside && has(0)) early = ((const Weights*)weight)[pack_of_thread(0)];
    float factor = rsqrtf(sum_of_row(squares) / WIDTH + eps);
    if (!inside) return;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        if (!has(i)) continue;
        Weights w = EACH == 1 ? early : ((const Weights*)weight)[pack_of_thread(i)];
        Pack p;
#pragma unroll
        for (int k = 0; k < PACK; k++) v[i][k] *= factor * wide(w.x[k]);
#if HEAD
        struct __align__(PACK >= 8 ? 16 : 2 * PACK) Half { float x[PACK / 2]; };
        long long at = (row % positions) * (HEAD / 2) + pack_of_thread(i) * PACK % HEAD / 2;
        Half c = *(const Half*)(cosines + at), s = *(const Half*)(sines + at);
#pragma unroll
        for (int k = 0; k < PACK; k += 2) {
            p.x[k] = narrow(v[i][k] * c.x[k / 2] - v[i][k + 1] * s.x[k / 2]);
            p.x[k + 1] = narrow(v[i][k] * s.x[k / 2] + v[i][k + 1] * c.x[k / 2]);
        }
#else
#pragma unroll
        for (int k = 0; k < PACK; k++) p.x[k] = narrow(SILU ? silu(v[i][k]) : v[i][k]);
#endif
        ((Pack*)y)[start + pack_of_thread(i)] = p;
    }
}
