// Numbers in memory are T, in registers float. TYPE: 0 float, 1 half, 2 bfloat16. PACK numbers are read at once.
typedef unsigned short u16;

#if TYPE == 0
typedef float T;
__device__ inline float widen(T x) { return x; }
__device__ inline T narrow(float x) { return x; }
#else
typedef u16 T;
#if TYPE == 1
__device__ inline float widen(T x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
    return y;
}
__device__ inline T narrow(float x) {
    T y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}
#else
__device__ inline float widen(T x) { return __uint_as_float((unsigned)x << 16); }
__device__ inline T narrow(float x) {
    T y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}
#endif
#endif

struct __align__(PACK * sizeof(T)) Pack { T x[PACK]; };
struct __align__(PACK >= 4 ? 16 : 4 * PACK) Floats { float x[PACK]; };

__device__ inline void add(float (&to)[PACK], const T* from, long long pack) {
    Pack p = ((const Pack*)from)[pack];
#pragma unroll
    for (int k = 0; k < PACK; k++) to[k] += widen(p.x[k]);
}

__device__ inline float silu(float x) { return x / (1.0f + __expf(-x)); }
