use std::ffi::c_void;
use std::ptr::null_mut;

use super::{PACK, Sizes, count, elementwise, offset, pointer};
use crate::DType;
use crate::cuda::context::{Argument, Kernel, Source};
use crate::cuda::definition::{DeviceRun, Operand};
use crate::cuda::matmul::{Batch, Operands, Product};
use crate::cuda::rows::{TYPES, type_number};

const CODE: &str = include_str!("../kernels/cached_prompt.cu");

/// Bytes of scores and what is made of them at a time, about what a large GPU's cache holds; 16 tokens may need more.
const SCRATCH: usize = 64 << 20;
/// A chunk has a multiple of so many tokens, so that the queries of each begin at 256 bytes, as cuBLASLt expects.
const STEP: usize = 16;
/// Rows of scores are a multiple of 16 bytes, in which cuBLASLt reads, in 16 bits too.
const ALIGNED: usize = 8;

/// What memory begins at multiples of.
const ALLOCATED: usize = 256;

/// Whether several tokens go through products: tensor cores have to take the type.
pub(super) fn takes(run: &DeviceRun<'_>, s: Sizes) -> bool {
    let typed = match run.dtype {
        DType::F16 => true,
        DType::Bf16 => run.context.has_bf16_products(),
        _ => false,
    };
    s.tokens > 1 && typed
}

/// Attention of several tokens: scores and results are products of matrices, chunk by chunk of the tokens.
pub(super) struct Prompt<'a> {
    pub(super) sizes: Sizes,
    /// Where queries, keys and values of the first token are.
    pub(super) parts: [*mut c_void; 3],
    pub(super) last: &'a Operand,
    pub(super) tables: [&'a Operand; 2],
    /// Keys and values, with all that came before.
    pub(super) cache: &'a [Operand],
    pub(super) y: &'a Operand,
}

/// Tokens `from` to `to` and the keys that they are multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chunk {
    from: usize,
    to: usize,
    keys: usize,
}

impl Chunk {
    /// Numbers from one row of scores to the next.
    fn stride(&self) -> usize {
        self.keys.next_multiple_of(ALIGNED)
    }
}

/// Cuts the tokens, of which the last sees `total` keys.
fn chunks(s: Sizes, total: usize) -> Vec<Chunk> {
    let scores = total.next_multiple_of(ALIGNED) * (size_of::<f32>() + size_of::<u16>());
    let bytes = s.heads * (scores + (s.width + 1) * size_of::<f32>());
    let most = (SCRATCH / bytes / STEP * STEP).max(STEP);
    let each = s.tokens.div_ceil(s.tokens.div_ceil(most)).next_multiple_of(STEP);
    let chunk = |from: usize| {
        let to = (from + each).min(s.tokens);
        // More keys than the chunk sees, where that makes rows even: they are there already.
        Chunk { from, to, keys: (total - s.tokens + to).next_multiple_of(ALIGNED).min(total) }
    };
    (0..s.tokens).step_by(each).map(chunk).collect()
}

/// Where parts of so many bytes begin in one block, and the bytes of the block. The arena keeps every size that it was
/// ever asked for, so there are few sizes.
fn side_by_side<const N: usize>(parts: [usize; N]) -> ([usize; N], usize) {
    let mut end = 0;
    let places = parts.map(|bytes| {
        let place = end;
        end = (place + bytes).next_multiple_of(ALLOCATED);
        place
    });
    (places, end.next_power_of_two())
}

impl Prompt<'_> {
    /// # Safety
    /// The operands must have the shapes that [`sizes`](Prompt::sizes) says.
    pub(super) unsafe fn attend(&self, run: &DeviceRun<'_>) -> Result<(), String> {
        let (s, size) = (self.sizes, run.dtype.size());
        let total = run.numbers.first().and_then(|total| usize::try_from(*total).ok());
        let total = total.filter(|total| (s.tokens..=s.capacity).contains(total)).ok_or_else(|| {
            format!("{:?} positions are not {} to {}", run.numbers.first(), s.tokens, s.capacity)
        })?;
        let [keys, values] = self.cache else { return Err("needs a cache".into()) };
        let chunks = chunks(s, total);
        let tokens = chunks.iter().map(|chunk| chunk.to - chunk.from).max().unwrap_or(0);
        let (rows, stride) = (tokens * s.heads, total.next_multiple_of(ALIGNED));
        let (places, bytes) = side_by_side([
            s.tokens * s.heads * s.width * size,
            rows * stride * size_of::<f32>(),
            rows * stride * size,
            rows * s.width * size_of::<f32>(),
            rows * size_of::<f32>(),
        ]);
        // Taken from the arena and given back at once: what else runs on this stream runs behind this.
        let allocator = run.allocator()?;
        let mut block = allocator.alloc::<u8>(bytes).map_err(|e| e.to_string())?;
        let scratch: *mut c_void = block.as_mut_ptr().cast();
        // SAFETY: places are inside the block.
        let [queries, scores, weights, results, sums] = places.map(|place| unsafe { offset(scratch, place) });

        let turned = s.tokens * (s.heads + s.kv_heads) * (s.width / 2);
        let mut arguments: Vec<_> = self.parts.iter().map(|part| Argument::Pointer(*part)).collect();
        arguments.extend(s.strides.map(count));
        arguments.extend([self.last, self.tables[0], self.tables[1]].map(pointer));
        arguments.extend([Argument::Pointer(queries), pointer(keys), pointer(values)]);
        arguments.extend([s.tokens, s.capacity].map(count));
        // SAFETY: the arguments are those of the code; as promised by the caller.
        unsafe { elementwise(run, self.kernel(run, "turn")?, turned, arguments)? };

        let (weigh, spread) = (self.kernel(run, "weigh")?, self.kernel(run, "spread")?);
        for chunk in chunks {
            let (tokens, stride) = (chunk.to - chunk.from, chunk.stride());
            let products = products(run.dtype, s, chunk);
            // SAFETY: chunks are inside their tensors.
            let (x, y) = unsafe {
                let x = offset(queries, chunk.from * s.heads / s.kv_heads * s.width * size);
                (x, offset(self.y.pointer, chunk.from * s.heads * s.width * size))
            };
            // SAFETY: scratch is as large as the largest chunk needs, and the cache has all keys of the chunk.
            unsafe { multiply(run, products[0], [x, keys.pointer, scores])? };
            let mut arguments = Vec::from([scores, weights, sums, self.last.pointer].map(Argument::Pointer));
            let rows = tokens * s.heads / s.kv_heads;
            arguments.extend([s.tokens, chunk.from, chunk.keys, stride, rows].map(count));
            // Weights are powers of two.
            arguments.push(Argument::Number(std::f32::consts::LOG2_E / (s.width as f32).sqrt()));
            let grid = (tokens * s.heads, threads(stride));
            // SAFETY: the arguments are those of the code, for rows of the chunk's.
            unsafe { run.context.launch(weigh, grid, run.stream, &mut arguments)? };
            // SAFETY: as for the scores.
            unsafe { multiply(run, products[1], [weights, values.pointer, results])? };
            let mut arguments = Vec::from([results, sums, y].map(Argument::Pointer));
            arguments.push(count(tokens));
            // SAFETY: the arguments are those of the code, and y has the chunk's tokens.
            unsafe { elementwise(run, spread, tokens * s.heads * s.width / PACK, arguments)? };
        }
        Ok(())
    }

    fn kernel(&self, run: &DeviceRun<'_>, name: &str) -> Result<Kernel, String> {
        let s = self.sizes;
        let number = |n: usize| n as i64;
        let macros = [
            ("TYPE", type_number(run.dtype)),
            ("PACK", number(PACK)),
            ("D", number(s.width)),
            ("KV", number(s.kv_heads)),
            ("GROUP", number(s.heads / s.kv_heads)),
        ];
        run.context.kernel(&Source { name, code: &[TYPES, CODE], macros: &macros })
    }
}

/// Scores [K, rows, keys] = queries [K, rows, H] times keys, and results [K, rows, H] = weights [K, rows, keys] times
/// values. Both in f32: 16 bits of a score are too few, and results are divided behind the product.
fn products(dtype: DType, s: Sizes, chunk: Chunk) -> [Product; 2] {
    let group = s.heads / s.kv_heads;
    let (rows, stride) = ((chunk.to - chunk.from) * group, chunk.stride());
    let scores = Product {
        dtype,
        rows,
        input: s.width,
        out: chunk.keys,
        x_stride: s.width,
        stride,
        // Queries are those of all tokens.
        batch: Batch {
            count: s.kv_heads,
            matrix: s.capacity * s.width,
            x: s.tokens * group * s.width,
            y: rows * stride,
        },
        out_first: true,
        wide: true,
        gelu: false,
        bias: false,
        residual: false,
    };
    let results = Product {
        input: chunk.keys,
        out: s.width,
        x_stride: stride,
        stride: s.width,
        batch: Batch { x: rows * stride, y: rows * s.width, ..scores.batch },
        out_first: false,
        ..scores
    };
    [scores, results]
}

/// Threads of a row of scores: each has a few fours of them.
fn threads(stride: usize) -> usize {
    (stride / 16).next_power_of_two().clamp(64, 256)
}

/// # Safety
/// x, matrix and y must be on the device with the sizes of the product.
unsafe fn multiply(
    run: &DeviceRun<'_>,
    product: Product,
    [x, matrix, y]: [*mut c_void; 3],
) -> Result<(), String> {
    // Not kept: prompts have many lengths, and cuBLASLt's choice, which takes longest, is known for each.
    let plan = run.context.matmuls()?.plan(product)?;
    let allocator = run.allocator()?;
    let mut workspace = match plan.workspace {
        0 => None,
        bytes => Some(allocator.alloc::<u8>(bytes).map_err(|e| e.to_string())?),
    };
    let workspace = workspace.as_mut().map_or(null_mut(), |block| block.as_mut_ptr().cast());
    let operands = Operands { x, matrix, bias: null_mut(), residual: y, y, workspace };
    // SAFETY: as promised by the caller.
    unsafe { plan.run(&operands, run.stream) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(tokens: usize, heads: usize, kv_heads: usize, width: usize) -> Sizes {
        Sizes { tokens, heads, kv_heads, capacity: 40_000, width, strides: [0, 0] }
    }

    /// Every token is in one chunk, sees its keys, and the queries of each begin where cuBLASLt may read.
    #[test]
    fn chunks_have_all_tokens() {
        for (heads, kv_heads, width) in [(28, 4, 128), (14, 2, 64), (11, 1, 8), (16, 1, 256)] {
            for (tokens, before) in [(2, 0), (33, 37), (200, 900), (1100, 0), (1100, 901), (32_768, 0)] {
                let (s, total) = (sizes(tokens, heads, kv_heads, width), tokens + before);
                let chunks = chunks(s, total);
                let mut next = 0;
                for chunk in &chunks {
                    assert_eq!(chunk.from, next);
                    assert!(chunk.to > chunk.from && chunk.to <= tokens);
                    assert!((before + chunk.to..=total).contains(&chunk.keys), "{chunk:?}");
                    assert!(chunk.keys == total || chunk.keys.is_multiple_of(ALIGNED), "{chunk:?}");
                    assert!((chunk.from * heads / kv_heads * width * 2).is_multiple_of(256));
                    let size = chunk.to - chunk.from;
                    assert!(size <= STEP || size * heads * (6 * chunk.stride() + 4 * width) <= SCRATCH);
                    next = chunk.to;
                }
                assert_eq!(next, tokens);
            }
        }
        assert_eq!(chunks(sizes(200, 28, 4, 128), 200).len(), 1);
        assert_eq!(chunks(sizes(1100, 28, 4, 128), 1100).len(), 4);
    }

    /// Parts do not overlap and begin where cuBLASLt may read; blocks of prompts nearly as long are as large.
    #[test]
    fn scratch_lies_side_by_side() {
        assert_eq!(side_by_side([1, 256, 300, 7]), ([0, 256, 512, 1024], 2048));
        assert_eq!(side_by_side([4096 - 256, 1]), ([0, 3840], 4096));
        assert_eq!(side_by_side([0, 0]).0, [0, 0]);
    }

    /// What the products read and write of each key head ends where the next one's begins, or before.
    #[test]
    fn products_stay_inside() {
        let s = sizes(1100, 28, 4, 128);
        for chunk in chunks(s, 1137) {
            let rows = (chunk.to - chunk.from) * 7;
            for product in products(DType::Bf16, s, chunk) {
                assert!((rows - 1) * product.x_stride + product.input <= product.batch.x);
                assert!((rows - 1) * product.stride + product.out <= product.batch.y);
                assert!(chunk.keys * s.width <= product.batch.matrix);
                assert!(product.x_stride.is_multiple_of(ALIGNED) && product.stride.is_multiple_of(ALIGNED));
            }
        }
    }
}
