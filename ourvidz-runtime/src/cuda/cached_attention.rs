mod prompt;

use std::ffi::c_void;

use ort::operator::KernelContext;

use self::prompt::Prompt;
use super::context::{Argument, Kernel, Source};
use super::definition::{Definition, DeviceRun, HostTensor, Input, Operand};
use super::rows::{TYPES, type_number};

const CODE: &str = include_str!("kernels/cached_attention.cu");

/// Warps of a block.
const WARPS: usize = 8;
/// Numbers of a pack, in every type.
const PACK: usize = 8;
/// Numbers of queries that a block has: as many as it has threads, times four.
const BLOCK_NUMBERS: usize = 32 * WARPS * 4;
/// Queries that a block has at most, for their sums are in registers.
const BLOCK_HEADS: usize = 8;
/// Blocks that should be there for one token: about one for each multiprocessor of a large GPU.
const ENOUGH_BLOCKS: usize = 128;
/// Threads of a block of the elementwise kernels.
const THREADS: usize = 256;

/// `CachedAttention`, packed `CachedAttentionPacked`: attention of L new tokens to what came before them.
///
/// Inputs: q [1, L, N * H], k and v [1, L, K * H], or packed all three side by side in one; past keys and values
/// [1, K, C, H]; `last`, the position of the newest token, i32 `[1]`; cos and sin [P, H / 2] with P at least C; on the
/// host i32 `[1]`, how many positions of the cache are looked at: at least `last` + 1, and C at most.
/// Outputs: y [1, L, N * H] and the keys and values [1, K, C, H], the new ones at positions `last` - L + 1 to `last`. Where an
/// output is its input's memory, only these are written. Attributes `num_heads` N and `kv_num_heads` K.
///
/// Queries and keys are turned as `rotary_halves` does, and the softmax is of q k / sqrt(H). Several tokens in 16 bits
/// go through products of matrices ([`prompt`]), which alone look at the host's number on the device.
pub(super) struct CachedAttention<const PACKED: bool>;

/// A node of either.
pub(super) struct Node {
    heads: usize,
    kv_heads: usize,
    /// Address of the counters of blocks that have ended, and how many they are.
    counters: Option<(usize, usize)>,
}

/// Sizes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    tokens: usize,
    heads: usize,
    kv_heads: usize,
    capacity: usize,
    /// Width of a head.
    width: usize,
    /// Numbers from one token's queries, or keys, to the next one's.
    strides: [usize; 2],
}

impl Node {
    fn sizes(&self, packed: bool, inputs: &[&[i64]]) -> Option<Sizes> {
        let (tokens, rest) = inputs.split_at_checked(if packed { 1 } else { 3 })?;
        let [keys, values, last, cos, sin, total] = rest else { return None };
        let (&[1, kv_heads, capacity, width], &[1, length, numbers]) = (*keys, *tokens.first()?) else {
            return None;
        };
        let size = |n: i64| usize::try_from(n).ok();
        let (n, k) = (self.heads, self.kv_heads);
        let width = size(width)?;
        let queries = if packed { n + 2 * k } else { n } * width;
        let kv = if packed { queries } else { k * width };
        let kv_fits = |x: &&[i64]| *x == [1, length, kv as i64];
        let fits = size(kv_heads)? == k
            && size(numbers)? == queries
            && tokens.iter().skip(1).all(kv_fits)
            && values == keys
            && *last == [1]
            && total == last
            && matches!(cos, [positions, half] if *positions >= capacity && 2 * half == width as i64)
            && sin == cos;
        let heads_fit = k > 0 && n.is_multiple_of(k);
        let sizes = Sizes {
            tokens: size(length)?,
            heads: n,
            kv_heads: k,
            capacity: size(capacity)?,
            width,
            strides: [queries, kv],
        };
        (fits && heads_fit && (1..=sizes.capacity).contains(&sizes.tokens)).then_some(sizes)
    }
}

impl<const PACKED: bool> Definition for CachedAttention<PACKED> {
    const NAME: &'static str = if PACKED { "CachedAttentionPacked" } else { "CachedAttention" };
    const INPUTS: &'static [Input] = {
        use Input::{HostInt, Int, Same};
        if PACKED {
            &[Same, Same, Same, Int, Same, Same, HostInt]
        } else {
            &[Same, Same, Same, Same, Same, Int, Same, Same, HostInt]
        }
    };
    const OUTPUTS: usize = 3;
    type Node = Node;

    fn node(attributes: &KernelContext<'_>) -> Node {
        let number = |name| attributes.get::<i64>(name).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        Node { heads: number("num_heads"), kv_heads: number("kv_num_heads"), counters: None }
    }

    /// The graph has the shapes.
    fn shape(_: Option<&Node>, _: &[&[i64]]) -> Option<Vec<i64>> {
        None
    }

    fn shapes(node: &Node, inputs: &[&[i64]]) -> Option<Vec<Vec<i64>>> {
        let sizes = node.sizes(PACKED, inputs)?;
        let y = vec![1, sizes.tokens as i64, (sizes.heads * sizes.width) as i64];
        let cache = inputs.get(if PACKED { 1 } else { 3 })?.to_vec();
        Some(vec![y, cache.clone(), cache])
    }

    fn on_host(node: &Node, inputs: &[HostTensor]) -> Result<Vec<Vec<f32>>, String> {
        let shapes: Vec<&[i64]> = inputs.iter().map(|x| &x.shape[..]).collect();
        let s = node.sizes(PACKED, &shapes).ok_or_else(|| format!("cannot take {shapes:?}"))?;
        let (tokens, rest) = inputs.split_at(if PACKED { 1 } else { 3 });
        let [keys, values, last, cos, sin, total] = rest else { return Err("needs more inputs".into()) };
        let last = last.data.first().map_or(-1, |last| *last as i64);
        let first = usize::try_from(last + 1 - s.tokens as i64).ok().filter(|n| n + s.tokens <= s.capacity);
        let first = first.ok_or_else(|| format!("position {last} is not one of {}", s.capacity))?;
        let total = total.data.first().map_or(0, |total| *total as usize);
        if total < first + s.tokens || total > s.capacity {
            return Err(format!("{total} positions are not {} to {}", first + s.tokens, s.capacity));
        }
        // Row `head` of a token's queries (0), keys (1) or values (2).
        let row = |part: usize, token: usize, head: usize| {
            let before = if PACKED { [0, s.heads, s.heads + s.kv_heads][part] } else { 0 };
            let at = token * s.strides[part.min(1)] + (before + head) * s.width;
            &tokens[if PACKED { 0 } else { part }].data[at..at + s.width]
        };
        let half = s.width / 2;
        let rotated = |x: &[f32], position: usize| -> Vec<f32> {
            let turn = |d: usize| {
                let (i, at) = (d % half, position * half + d % half);
                let (cos, sin) = (cos.data[at], sin.data[at]);
                if d < half { x[i] * cos - x[i + half] * sin } else { x[i] * sin + x[i + half] * cos }
            };
            (0..s.width).map(turn).collect()
        };
        let place = |head: usize, position: usize| (head * s.capacity + position) * s.width;
        let (mut keys, mut values) = (keys.data.clone(), values.data.clone());
        for token in 0..s.tokens {
            for head in 0..s.kv_heads {
                let at = place(head, first + token);
                keys[at..at + s.width].copy_from_slice(&rotated(row(1, token, head), first + token));
                values[at..at + s.width].copy_from_slice(row(2, token, head));
            }
        }
        let mut y = Vec::with_capacity(s.tokens * s.heads * s.width);
        for token in 0..s.tokens {
            for head in 0..s.heads {
                let query = rotated(row(0, token, head), first + token);
                let shared = head / (s.heads / s.kv_heads);
                let rows = || (0..=first + token).map(|position| place(shared, position));
                // Side by side, which the compiler turns into vectors: heads are whole packs.
                let dot = |at: usize| {
                    let mut sums = [0.0; PACK];
                    for (q, k) in query.chunks_exact(PACK).zip(keys[at..].chunks_exact(PACK)) {
                        (0..PACK).for_each(|i| sums[i] += q[i] * k[i]);
                    }
                    sums.iter().sum::<f32>()
                };
                let scores: Vec<f32> = rows().map(|at| dot(at) / (s.width as f32).sqrt()).collect();
                let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let weights: Vec<f32> = scores.iter().map(|score| (score - highest).exp()).collect();
                let all: f32 = weights.iter().sum();
                let mut sums = vec![0.0; s.width];
                for (at, w) in rows().zip(&weights) {
                    sums.iter_mut().zip(&values[at..]).for_each(|(sum, v)| *sum += v * w);
                }
                y.extend(sums.iter().map(|sum| sum / all));
            }
        }
        Ok(vec![y, keys, values])
    }

    fn on_device(node: &mut Node, run: &DeviceRun<'_>) -> Result<(), String> {
        let shapes: Vec<&[i64]> = run.inputs.iter().map(|x| &x.shape[..]).collect();
        let s = node.sizes(PACKED, &shapes).ok_or_else(|| format!("cannot take {shapes:?}"))?;
        let (tokens, rest) = run.inputs.split_at(if PACKED { 1 } else { 3 });
        let ([past @ .., last, cos, sin, _], [y, present @ ..]) = (rest, &run.outputs[..]) else {
            return Err("needs more inputs".into());
        };
        let plan = Plan::new(s)?;
        for (past, present) in
            past.iter().zip(present).filter(|(past, present)| past.pointer != present.pointer)
        {
            let packs = s.kv_heads * s.capacity * s.width / PACK;
            let arguments = [past, present].map(pointer).into_iter().chain([count(packs)]);
            // SAFETY: both tensors are of the cache's size, which is a multiple of a pack's.
            unsafe { elementwise(run, plan.kernel(run, "copy")?, packs, arguments.collect())? };
        }
        // Keys and values behind queries, where they are packed.
        let part = |i: usize| match (tokens, i) {
            ([_, k, _], 1) => k.pointer,
            ([_, _, v], 2) => v.pointer,
            (tokens, _) => {
                let before = if PACKED { [0, s.heads, s.heads + s.kv_heads][i] * s.width } else { 0 };
                // SAFETY: `sizes` has checked that all three are in a token's row.
                unsafe { offset(tokens[0].pointer, before * run.dtype.size()) }
            }
        };
        let parts = [part(0), part(1), part(2)];
        if prompt::takes(run, s) {
            let prompt = Prompt { sizes: s, parts, last, tables: [cos, sin], cache: present, y };
            // SAFETY: the shapes were checked above.
            return unsafe { prompt.attend(run) };
        }
        let [q, k, v] = parts.map(Argument::Pointer);
        if s.tokens > 1 {
            let numbers = s.tokens * s.kv_heads * s.width;
            let mut arguments: Vec<_> = parts[1..].iter().map(|x| Argument::Pointer(*x)).collect();
            arguments.extend([count(s.strides[1]), pointer(last)]);
            arguments.extend([cos, sin, &present[0], &present[1]].map(pointer));
            arguments.extend([s.tokens, s.capacity].map(count));
            // SAFETY: the arguments are those of the code, and the shapes were checked above.
            unsafe { elementwise(run, plan.kernel(run, "append")?, numbers, arguments)? };
        }
        let units = s.tokens * s.kv_heads * plan.parts;
        let rows = if plan.splits > 1 { units * plan.splits * plan.heads } else { 0 };
        let allocator = run.allocator()?;
        // Taken from the arena and given back at once, as everywhere: what follows on this stream runs behind.
        let mut sums = (rows > 0)
            .then(|| {
                allocator.alloc::<u8>(rows * (s.width + 2) * size_of::<f32>()).map_err(|e| e.to_string())
            })
            .transpose()?;
        let sums = sums.as_mut().map_or(std::ptr::null_mut(), |block| block.as_mut_ptr().cast());
        let counters = if rows > 0 { node.counters(run, &plan, units)? } else { std::ptr::null_mut() };
        let mut arguments = vec![q, k, v, count(s.strides[0]), pointer(last)];
        arguments.extend([cos, sin, &present[0], &present[1], y].map(pointer));
        // SAFETY: the sums of all rows are in front of their levels.
        let levels = unsafe { offset(sums, rows * s.width * size_of::<f32>()) };
        arguments.extend([sums, levels, counters].map(Argument::Pointer));
        arguments.extend([s.tokens, s.capacity, plan.splits].map(count));
        // Scores are powers of two.
        arguments.push(Argument::Number(std::f32::consts::LOG2_E / (s.width as f32).sqrt()));
        let kernel = plan.kernel(run, "attend")?;
        // SAFETY: the arguments are those of the code, and the shapes were checked above.
        unsafe { run.context.launch(kernel, (units * plan.splits, 32 * WARPS), run.stream, &mut arguments) }
    }
}

impl Node {
    /// A counter for each unit, 0 before and behind each launch.
    fn counters(&mut self, run: &DeviceRun<'_>, plan: &Plan, units: usize) -> Result<*mut c_void, String> {
        if let Some((address, count)) = self.counters
            && count >= units
        {
            return Ok(address as *mut c_void);
        }
        let allocator = run.allocator()?;
        let mut block = allocator.alloc::<u8>(units * size_of::<u32>()).map_err(|e| e.to_string())?;
        let place: *mut c_void = block.as_mut_ptr().cast();
        // It is the node's: the session's arena takes it back with all its memory, when the node is gone too.
        std::mem::forget(block);
        let mut arguments = vec![Argument::Pointer(place), count(units)];
        // Where this is recorded, it is repeated, which costs time and changes nothing.
        // SAFETY: the arguments are those of the code.
        unsafe { run.context.launch(plan.kernel(run, "zero")?, (1, THREADS), run.stream, &mut arguments)? };
        self.counters = Some((place as usize, units));
        Ok(place)
    }
}

/// How a run is cut into blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    sizes: Sizes,
    /// Queries of a block.
    heads: usize,
    /// Blocks that the queries of one key need.
    parts: usize,
    /// Chunks of the cache at most.
    splits: usize,
}

impl Plan {
    fn new(sizes: Sizes) -> Result<Plan, String> {
        let (width, group) = (sizes.width, sizes.heads / sizes.kv_heads);
        if !fits(width) {
            return Err(format!("heads of {width} numbers are not supported"));
        }
        let most = BLOCK_HEADS.min(BLOCK_NUMBERS / width);
        let heads = (1..=most).rev().find(|heads| group.is_multiple_of(*heads)).unwrap_or(1);
        let units = sizes.kv_heads * group / heads;
        // Of many tokens each is a block's, and nothing is added up.
        let splits = if sizes.tokens == 1 { (ENOUGH_BLOCKS / units).max(1) } else { 1 };
        Ok(Plan { sizes, heads, parts: group / heads, splits })
    }

    fn kernel(&self, run: &DeviceRun<'_>, name: &str) -> Result<Kernel, String> {
        let number = |n: usize| n as i64;
        let macros = [
            ("TYPE", type_number(run.dtype)),
            ("PACK", number(PACK)),
            ("D", number(self.sizes.width)),
            ("KV", number(self.sizes.kv_heads)),
            ("HEADS", number(self.heads)),
            ("PARTS", number(self.parts)),
            ("LANES", number((self.sizes.width / PACK).next_power_of_two())),
            ("WARPS", number(WARPS)),
            ("ONE", (self.sizes.tokens == 1).into()),
        ];
        run.context.kernel(&Source { name, code: &[TYPES, CODE], macros: &macros })
    }
}

/// Whether the operator takes heads of this width: whole packs, and a row for a warp at most.
pub(crate) fn fits(width: usize) -> bool {
    width > 0 && width.is_multiple_of(PACK) && width <= 32 * PACK
}

fn pointer(operand: &Operand) -> Argument {
    Argument::Pointer(operand.pointer)
}

fn count(n: usize) -> Argument {
    Argument::Count(n as i64)
}

/// # Safety
/// The place must be inside the same memory, or the pointer null and `bytes` 0.
unsafe fn offset(pointer: *mut c_void, bytes: usize) -> *mut c_void {
    // SAFETY: as promised by the caller.
    unsafe { pointer.cast::<u8>().add(bytes).cast() }
}

/// # Safety
/// As [`Context::launch`](super::context::Context::launch).
unsafe fn elementwise(
    run: &DeviceRun<'_>,
    kernel: Kernel,
    threads: usize,
    mut arguments: Vec<Argument>,
) -> Result<(), String> {
    // SAFETY: as promised by the caller.
    unsafe { run.context.launch(kernel, (threads.div_ceil(THREADS), THREADS), run.stream, &mut arguments) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(heads: usize, kv_heads: usize, width: usize, tokens: usize) -> Result<Plan, String> {
        Plan::new(Sizes { tokens, heads, kv_heads, capacity: 2048, width, strides: [0, 0] })
    }

    /// Queries of a key share a block where its registers and memory suffice.
    #[test]
    fn blocks_have_all_queries() -> Result<(), String> {
        for (heads, kv_heads, width, expected) in [
            (28, 4, 128, (7, 1, 32)),
            (14, 2, 64, (7, 1, 64)),
            (16, 8, 128, (2, 1, 16)),
            (32, 2, 128, (8, 2, 32)),
            (16, 2, 256, (4, 2, 32)),
            (11, 1, 64, (1, 11, 11)),
            (4, 2, 8, (2, 1, 64)),
        ] {
            let Plan { heads: of_block, parts, splits, .. } = plan(heads, kv_heads, width, 1)?;
            assert_eq!((of_block, parts, splits), expected, "{heads} {kv_heads} {width}");
            assert!(of_block * width <= BLOCK_NUMBERS);
            assert_eq!(of_block * parts * kv_heads, heads);
            assert_eq!(plan(heads, kv_heads, width, 5)?.splits, 1);
        }
        for width in [0, 4, 12, 264] {
            assert!(plan(4, 2, width, 1).is_err(), "{width}");
        }
        Ok(())
    }
}
