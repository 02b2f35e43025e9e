// Rows of WIDTH numbers, each held by THREADS threads in registers; a block holds ROWS of them.
constexpr int COUNT = WIDTH / PACK;
constexpr int EACH = (COUNT + THREADS - 1) / THREADS;

__device__ inline long long row_of_thread() { return (long long)blockIdx.x * ROWS + threadIdx.x / THREADS; }

// The i-th pack of this thread.
__device__ inline int pack_of_thread(int i) { return threadIdx.x % THREADS + i * THREADS; }

// Whether the thread has an i-th pack: known when compiled, for widths that the threads divide.
__device__ inline bool has(int i) { return COUNT % THREADS == 0 || pack_of_thread(i) < COUNT; }

// Every thread of a row gets the sum over the row. All threads of the block must call it.
__device__ inline float sum_of_row(float x) {
#pragma unroll
    for (int distance = (THREADS < 32 ? THREADS : 32) / 2; distance > 0; distance /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, distance);
#if THREADS > 32
    __shared__ float parts[ROWS][THREADS / 32];
    int row = threadIdx.x / THREADS, thread = threadIdx.x % THREADS;
    __syncthreads(); // an earlier sum may still be read
    if (thread % 32 == 0) parts[row][thread / 32] = x;
    __syncthreads();
    x = 0.0f;
#pragma unroll
    for (int i = 0; i < THREADS / 32; i++) x += parts[row][i];
#endif
    return x;
}
