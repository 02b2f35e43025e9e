// y = (s - mean(s)) / sqrt(variance(s) + eps) * scale + shift over a row; with RESIDUAL 1 s = x + h, with RESIDUAL 2
// s = x + h * gate, and s is written too.
extern "C" __global__ void layer_norm(
    const T* __restrict__ x, const T* __restrict__ h, const float* __restrict__ gate, const float* __restrict__ scale,
    const float* __restrict__ shift, T* __restrict__ sum, T* __restrict__ y, float eps, long long rows) {
    long long row = row_of_thread();
    bool inside = row < rows;
    long long start = row * COUNT;
    float v[EACH][PACK];
    float total = 0.0f;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        Pack p = {};
        if (inside && has(i)) p = ((const Pack*)x)[start + pack_of_thread(i)];
#pragma unroll
        for (int k = 0; k < PACK; k++) v[i][k] = widen(p.x[k]);
    }
#if RESIDUAL
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        if (!inside || !has(i)) continue;
        Pack p = ((const Pack*)h)[start + pack_of_thread(i)];
#if RESIDUAL == 2
        Floats g = ((const Floats*)gate)[pack_of_thread(i)];
#endif
#pragma unroll
        for (int k = 0; k < PACK; k++) {
#if RESIDUAL == 2
            float s = v[i][k] + widen(p.x[k]) * g.x[k];
#else
            float s = v[i][k] + widen(p.x[k]);
#endif
            // The norm is of what is stored.
            p.x[k] = narrow(s);
            v[i][k] = widen(p.x[k]);
        }
        ((Pack*)sum)[start + pack_of_thread(i)] = p;
    }
#endif
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
        for (int k = 0; k < PACK; k++) total += v[i][k];
    float mean = sum_of_row(total) / WIDTH;
    float squares = 0.0f;
#pragma unroll
    for (int i = 0; i < EACH; i++)
        if (has(i))
#pragma unroll
            for (int k = 0; k < PACK; k++) squares += (v[i][k] - mean) * (v[i][k] - mean);
    float factor = rsqrtf(sum_of_row(squares) / WIDTH + eps);
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        if (!inside || !has(i)) continue;
        Floats a = ((const Floats*)scale)[pack_of_thread(i)];
        Floats b = ((const Floats*)shift)[pack_of_thread(i)];
        Pack p;
#pragma unroll
        for (int k = 0; k < PACK; k++) p.x[k] = narrow((v[i][k] - mean) * factor * a.x[k] + b.x[k]);
        ((Pack*)y)[start + pack_of_thread(i)] = p;
    }
}
