// The TOP highest of each row, highest first. A block sorts 1024 numbers and keeps TOP of them; what blocks keep is
// sorted again until one block is left. A number and its place make one key, so of equal numbers the first comes first.
typedef unsigned long long u64;

__device__ inline u64 key_of(float x, unsigned place) {
    unsigned bits = __float_as_uint(x);
    bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (u64)bits << 32 | (0xffffffffu - place);
}

// x or, where there is none, keys [rows, count]; what is kept goes to kept [rows, chunks, TOP], at last to values and
// tokens [rows, TOP].
extern "C" __global__ void __launch_bounds__(512) top(
    const float* x, const u64* keys, u64* kept, float* values, float* tokens, long long count, long long chunks) {
    __shared__ u64 sorted[1024];
    long long row = blockIdx.x / chunks, chunk = blockIdx.x % chunks;
    for (int i = threadIdx.x; i < 1024; i += 512) {
        long long at = chunk * 1024 + i;
        sorted[i] = at >= count ? 0 : x ? key_of(x[row * count + at], (unsigned)at) : keys[row * count + at];
    }
    __syncthreads();
    for (int size = 2; size <= 1024; size *= 2)
        for (int distance = size / 2; distance > 0; distance /= 2) {
            int low = 2 * threadIdx.x - (threadIdx.x & (distance - 1)), high = low + distance;
            u64 a = sorted[low], b = sorted[high];
            if ((a < b) == ((low & size) == 0)) {
                sorted[low] = b;
                sorted[high] = a;
            }
            // Up to a distance of 32 a warp keeps to 64 numbers of its own, behind which comes 1 or the next size.
            bool alone = distance <= 32 && (distance > 1 || size <= 32);
            if (alone) __syncwarp();
            else __syncthreads();
        }
    if (threadIdx.x >= TOP) return;
    u64 key = sorted[threadIdx.x];
    if (chunks > 1) {
        kept[(row * chunks + chunk) * TOP + threadIdx.x] = key;
        return;
    }
    unsigned bits = (unsigned)(key >> 32);
    bits = bits & 0x80000000u ? bits & 0x7fffffffu : ~bits;
    values[row * TOP + threadIdx.x] = __uint_as_float(bits);
    tokens[row * TOP + threadIdx.x] = (float)(0xffffffffu - (unsigned)key);
}
