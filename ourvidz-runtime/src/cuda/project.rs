use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::c_void;
use std::ptr::null_mut;

use ort::memory::AllocatedBlock;
use ort::operator::KernelContext;

use super::context::{Argument, Source};
use super::definition::{Definition, DeviceRun, HostTensor, Input, Operand};
use super::matmul::{Batch, Operands, Plan, Product};
use super::rms_norm::{norm_rows, normalise};
use super::rows::{TYPES, pack, type_number};
use crate::DType;
use crate::weights::INT4_BLOCK;

const ONE_ROW: &str = include_str!("kernels/project.cu");
const ONE_ROW_INT4: &str = include_str!("kernels/project_int4.cu");
const NORM_OF_ROW: &str = include_str!("kernels/norm_of_row.cu");
const MANY_ROWS: &str = include_str!("kernels/project_many.cu");

/// Warps of a block.
const WARPS: usize = 8;
/// Warps that a GPU should have to choose from: twice as many as an H200 holds at a time (132 multiprocessors of 64), so
/// that the last of them leave little of it idle.
const ENOUGH_WARPS: usize = 16_896;
/// Warps that share the device's memory well, for products on tensor cores.
const ENOUGH_MATRIX_WARPS: usize = 3200;
/// Columns of four-bit numbers for which x fits a block's own memory.
const MOST_COLUMNS: usize = 22_000;
/// Packs of x that a thread may hold while it makes the norm of x for itself.
const MOST_HELD: usize = 4;

/// Products of a language model, made for one row of x: x [..., K] and matrices [N, K] -> [..., N].
///
/// - `Project`, `ProjectInt4`: one matrix, and where attributes `bias` and `residual` say so, `[N]` and [..., N] added.
/// - `SwiGlu`, `SwiGluInt4`: two matrices, `silu(x m0) * (x m1)`.
/// - `ProjectThree`, `ProjectThreeInt4`: three matrices, their products side by side, with three biases or none.
///
/// Behind all of these, where the attribute `norm` says so, the weight `[K]` of an RMS norm with `epsilon`: then x
/// stands for its norm, rounded to x's type.
///
/// With `INT4`, a matrix is bytes [N, K / 32, 16] and scales `[N * K / 32]` behind them.
pub(super) struct Projection<const PARTS: usize, const INT4: bool>;

/// A node of any of them.
pub(super) struct Node {
    bias: bool,
    residual: bool,
    /// Where there is one, what it adds to the mean of squares.
    norm: Option<f32>,
    plans: HashMap<Product, Plan>,
}

/// A matrix on either side: its shape counts the same.
struct Parts<'a, X> {
    x: &'a X,
    matrices: Vec<&'a X>,
    scales: Vec<&'a X>,
    biases: Vec<&'a X>,
    residual: Option<&'a X>,
    /// The weight of a norm, and what the norm adds to the mean of squares.
    norm: Option<(&'a X, f32)>,
}

impl<'a, X> Parts<'a, X> {
    fn new(node: &Node, parts: usize, int4: bool, inputs: &'a [X]) -> Result<Parts<'a, X>, String> {
        let mut rest = inputs.iter();
        let missing = || "needs more inputs".to_owned();
        let x = rest.next().ok_or_else(missing)?;
        let (mut matrices, mut scales, mut biases) = (vec![], vec![], vec![]);
        for _ in 0..parts {
            matrices.push(rest.next().ok_or_else(missing)?);
            if int4 {
                scales.push(rest.next().ok_or_else(missing)?);
            }
        }
        for _ in 0..if node.bias { parts } else { 0 } {
            biases.push(rest.next().ok_or_else(missing)?);
        }
        let residual = if node.residual { Some(rest.next().ok_or_else(missing)?) } else { None };
        let norm = match node.norm {
            Some(eps) => Some((rest.next().ok_or_else(missing)?, eps)),
            None => None,
        };
        Ok(Parts { x, matrices, scales, biases, residual, norm })
    }

    /// Whether all have shapes that fit x and the result, whose shape is `y`.
    fn check(&self, shape: fn(&X) -> &[i64], y: &[i64]) -> Result<(), String> {
        let k = shape(self.x).last().copied().unwrap_or(1);
        let fits = |i: usize, m: &[i64]| {
            let n = m.first().copied().unwrap_or(0);
            columns(m) == k
                && self.biases.get(i).is_none_or(|b| shape(b) == [n])
                && self.scales.get(i).is_none_or(|s| shape(s) == [n * (k / INT4_BLOCK as i64)])
        };
        let matrices: Vec<&[i64]> = self.matrices.iter().map(|m| shape(m)).collect();
        let even = matrices.len() != 2 || matrices[0] == matrices[1];
        if !matrices.iter().enumerate().all(|(i, m)| fits(i, m)) || !even {
            return Err(format!(
                "matrices {matrices:?}, or what belongs to them, do not fit {:?}",
                shape(self.x)
            ));
        }
        if self.residual.is_some_and(|r| shape(r) != y) {
            return Err(format!("the residual is not {y:?}"));
        }
        if self.norm.is_some_and(|(weight, _)| shape(weight) != [k]) {
            return Err(format!("the norm's weight is not [{k}]"));
        }
        Ok(())
    }
}

/// Numbers in a row of a matrix of this shape.
fn columns(shape: &[i64]) -> i64 {
    match shape {
        [_, k] => *k,
        [_, blocks, _] => blocks * INT4_BLOCK as i64,
        _ => -1,
    }
}

impl<const PARTS: usize, const INT4: bool> Definition for Projection<PARTS, INT4> {
    const NAME: &'static str = match (PARTS, INT4) {
        (1, false) => "Project",
        (1, true) => "ProjectInt4",
        (2, false) => "SwiGlu",
        (2, true) => "SwiGluInt4",
        (_, false) => "ProjectThree",
        (_, true) => "ProjectThreeInt4",
    };
    const INPUTS: &'static [Input] = {
        use Input::{Bytes, Same, SameOrNone};
        match (PARTS, INT4) {
            (1, false) => &[Same, Same, SameOrNone, SameOrNone, SameOrNone],
            (1, true) => &[Same, Bytes, Same, SameOrNone, SameOrNone, SameOrNone],
            (2, false) => &[Same, Same, Same, SameOrNone],
            (2, true) => &[Same, Bytes, Same, Bytes, Same, SameOrNone],
            (_, false) => &[Same, Same, Same, Same, SameOrNone, SameOrNone, SameOrNone, SameOrNone],
            (_, true) => {
                &[Same, Bytes, Same, Bytes, Same, Bytes, Same, SameOrNone, SameOrNone, SameOrNone, SameOrNone]
            }
        }
    };
    type Node = Node;

    fn node(attributes: &KernelContext<'_>) -> Node {
        let flag = |name| attributes.get::<i64>(name) == Some(1);
        let norm = flag("norm").then(|| attributes.get::<f32>("epsilon").unwrap_or_default());
        Node { bias: flag("bias"), residual: flag("residual"), norm, plans: HashMap::new() }
    }

    fn shape(_: Option<&Node>, inputs: &[&[i64]]) -> Option<Vec<i64>> {
        let each = if INT4 { 2 } else { 1 };
        let rows = |part: usize| inputs.get(1 + part * each).and_then(|m| m.first()).copied();
        let mut shape = inputs.first()?.to_vec();
        *shape.last_mut()? = match PARTS {
            3 => rows(0)? + rows(1)? + rows(2)?,
            _ => rows(0)?,
        };
        Some(shape)
    }

    fn on_host(node: &Node, inputs: &[HostTensor]) -> Result<Vec<Vec<f32>>, String> {
        let parts = Parts::new(node, PARTS, INT4, inputs)?;
        let shapes: Vec<&[i64]> = inputs.iter().map(|input| &input.shape[..]).collect();
        let y = Self::shape(Some(node), &shapes).unwrap_or_default();
        parts.check(|input| &input.shape, &y)?;
        let k = parts.x.width();
        let normed = parts.norm.map(|(weight, eps)| normalise(&parts.x.data, weight, eps));
        let x = normed.as_ref().unwrap_or(&parts.x.data);
        let matrices: Vec<Vec<f32>> = (0..PARTS)
            .map(|i| match parts.scales.get(i) {
                Some(scales) => dequantised(&parts.matrices[i].data, &scales.data),
                None => parts.matrices[i].data.clone(),
            })
            .collect();
        let mut y = Vec::new();
        for row in x.chunks_exact(k.max(1)) {
            let products: Vec<Vec<f32>> = matrices
                .iter()
                .enumerate()
                .map(|(i, matrix)| {
                    let products =
                        matrix.chunks_exact(k).map(|m| m.iter().zip(row).map(|(m, x)| m * x).sum());
                    let bias = parts.biases.get(i).map(|b| &b.data[..]);
                    let bias = (0..).map(|n| bias.map_or(0.0, |bias| bias[n]));
                    products.zip(bias).map(|(y, b): (f32, f32)| y + b).collect()
                })
                .collect();
            match (PARTS, &products[..]) {
                (2, [gate, up]) => y.extend(gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u)),
                _ => y.extend(products.concat()),
            }
        }
        if let Some(residual) = parts.residual {
            y.iter_mut().zip(&residual.data).for_each(|(y, r)| *y += r);
        }
        Ok(vec![y])
    }

    fn on_device(node: &mut Node, run: &DeviceRun<'_>) -> Result<(), String> {
        let mut parts = Parts::new(node, PARTS, INT4, &run.inputs)?;
        parts.check(|input| &input.shape, &run.outputs[0].shape)?;
        let one = (parts.x.rows() == 1).then(|| OneRow::new::<PARTS, INT4>(run, &parts));
        let by_itself = parts.norm.filter(|_| one.as_ref().is_none_or(|one| !one.norms()));
        let (allocator, mut scratch, normed);
        if let Some((weight, eps)) = by_itself {
            let (x, numbers) = (parts.x, parts.x.rows() * parts.x.width());
            allocator = run.allocator()?;
            scratch = allocator.alloc::<u8>(numbers * run.dtype.size()).map_err(|e| e.to_string())?;
            normed = Operand { shape: x.shape.clone(), pointer: scratch.as_mut_ptr().cast() };
            // SAFETY: the shapes were checked above, and the memory is as large as x.
            unsafe { norm_rows(run, x, weight, eps, normed.pointer)? };
            (parts.x, parts.norm) = (&normed, None);
        }
        match one {
            // SAFETY: the shapes were checked above.
            Some(one) => unsafe { one.run(run, &parts) },
            None => many_rows::<PARTS>(&mut node.plans, run, &parts),
        }
    }
}

/// How the products of one row are computed.
struct OneRow {
    on_tensor_cores: bool,
    gated: bool,
    int4: bool,
    /// Rows of each matrix.
    sizes: Vec<usize>,
    /// What a warp, or `split` of them, makes at a time: so many there are.
    units: usize,
    split: usize,
    /// Of a block.
    warps: usize,
    pack: usize,
    k: usize,
}

impl OneRow {
    fn new<const PARTS: usize, const INT4: bool>(run: &DeviceRun<'_>, parts: &Parts<'_, Operand>) -> OneRow {
        let k = parts.x.width();
        let gated = PARTS == 2;
        let sizes: Vec<usize> = parts.matrices.iter().map(|m| m.shape[0] as usize).collect();
        let rows = if gated { sizes[0] } else { sizes.iter().sum() };
        let pack = pack(run.dtype, if INT4 { [k, 8] } else { [k, k] });
        let on_tensor_cores =
            INT4 && run.dtype != DType::F32 && k <= MOST_COLUMNS && run.context.has_bf16_products();
        let (units, split, warps) = if on_tensor_cores {
            let units = rows.div_ceil(if gated { 8 } else { 16 });
            let split = (ENOUGH_MATRIX_WARPS / units.max(1)).next_power_of_two().min(16);
            (units, split, split.max(WARPS))
        } else {
            // A warp has four rows of four-bit numbers at a time, so that what it makes of x serves them all.
            let units = match (INT4, gated) {
                (true, true) => rows.div_ceil(2),
                (true, false) => rows.div_ceil(4),
                _ => rows,
            };
            let split = match ENOUGH_WARPS / units.max(1) {
                0 | 1 => 1,
                2 | 3 => 2,
                _ => 4,
            };
            (units, split, WARPS)
        };
        OneRow { on_tensor_cores, gated, int4: INT4, sizes, units, split, warps, pack, k }
    }

    /// Whether every block makes the norm of x for itself: where it puts x in order anyway, and its threads can hold x.
    /// For other products a norm by itself takes less time (docs/PERFORMANCE.md).
    fn norms(&self) -> bool {
        self.on_tensor_cores && self.k / self.pack <= MOST_HELD * 32 * self.warps
    }

    /// # Safety
    /// The operands' shapes must fit one another, and a norm be one that a block makes for itself.
    unsafe fn run(&self, run: &DeviceRun<'_>, parts: &Parts<'_, Operand>) -> Result<(), String> {
        let number = |n: usize| n as i64;
        let macros = [
            ("TYPE", type_number(run.dtype)),
            ("PACK", number(self.pack)),
            ("K", number(self.k)),
            ("GATED", self.gated.into()),
            ("INT4", self.int4.into()),
            ("SPLIT", number(self.split)),
            ("WARPS", number(self.warps)),
            ("NORM", parts.norm.is_some().into()),
        ];
        let source = match self.on_tensor_cores {
            true => {
                Source { name: "project_int4", code: &[TYPES, NORM_OF_ROW, ONE_ROW_INT4], macros: &macros }
            }
            false => Source { name: "project", code: &[TYPES, ONE_ROW], macros: &macros },
        };
        let kernel = run.context.kernel(&source)?;
        let pointer = |x: Option<&Operand>| Argument::Pointer(x.map_or(null_mut(), |x| x.pointer));
        let mut arguments = vec![pointer(Some(parts.x))];
        for group in [&parts.matrices, &parts.scales, &parts.biases] {
            arguments.extend((0..3).map(|i| pointer(group.get(i).copied())));
        }
        arguments.push(pointer(parts.residual));
        arguments.push(pointer(run.outputs.first()));
        arguments.extend((0..3).map(|i| Argument::Count(self.sizes.get(i).map_or(0, |n| *n as i64))));
        if self.on_tensor_cores {
            arguments.push(pointer(parts.norm.map(|(weight, _)| weight)));
            arguments.push(Argument::Number(parts.norm.map_or(0.0, |(_, eps)| eps)));
        }
        let blocks = (self.units * self.split).div_ceil(self.warps);
        // SAFETY: the arguments are those of the code; as promised by the caller.
        unsafe { run.context.launch(kernel, (blocks, 32 * self.warps), run.stream, &mut arguments) }
    }
}

fn many_rows<const PARTS: usize>(
    plans: &mut HashMap<Product, Plan>,
    run: &DeviceRun<'_>,
    parts: &Parts<'_, Operand>,
) -> Result<(), String> {
    let (x, y, size) = (parts.x, &run.outputs[0], run.dtype.size());
    let (rows, k, stride) = (x.rows(), x.width(), y.width());
    let allocator = run.allocator()?;
    let scratch = |bytes: usize| -> Result<Option<AllocatedBlock<'_>>, String> {
        let block = (bytes > 0).then(|| allocator.alloc::<u8>(bytes).map_err(|e| e.to_string()));
        block.transpose()
    };
    let place = |block: &mut Option<AllocatedBlock<'_>>| -> *mut c_void {
        block.as_mut().map_or(null_mut(), |block| block.as_mut_ptr().cast())
    };
    let gated = PARTS == 2;
    let mut gate = scratch(if gated { rows * stride * size } else { 0 })?;
    let gate = place(&mut gate);
    let mut column = 0;
    for (part, matrix) in parts.matrices.iter().enumerate() {
        let out = matrix.shape[0] as usize;
        let product = Product {
            dtype: run.dtype,
            rows,
            input: k,
            out,
            x_stride: k,
            stride,
            batch: Batch::ONE,
            out_first: true,
            wide: false,
            gelu: false,
            bias: !parts.biases.is_empty(),
            residual: parts.residual.is_some(),
        };
        // Taken from the arena and given back at once: what else runs on this stream runs behind this product.
        let mut wide = scratch(if parts.scales.is_empty() { 0 } else { out * k * size })?;
        let mut weights = matrix.pointer;
        if let Some(scales) = parts.scales.get(part) {
            weights = place(&mut wide);
            let pointers = [matrix.pointer, scales.pointer, weights];
            // SAFETY: a matrix of these sizes fits the memory that was taken for it.
            unsafe { elementwise(run, "dequantise", &pointers, out * k / 8, [8, 8])? };
        }
        let plan = match plans.entry(product) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(run.context.matmuls()?.plan(product)?),
        };
        let mut workspace = scratch(plan.workspace)?;
        let target = match (gated, part) {
            (true, 0) => gate,
            // SAFETY: the part begins inside y's first row.
            _ => unsafe { y.pointer.cast::<u8>().add(if gated { 0 } else { column * size }).cast() },
        };
        let operands = Operands {
            x: x.pointer,
            matrix: weights,
            bias: parts.biases.get(part).map_or(null_mut(), |b| b.pointer),
            residual: parts.residual.map_or(target, |r| r.pointer),
            y: target,
            workspace: place(&mut workspace),
        };
        // SAFETY: shapes were checked; ONNX Runtime keeps the operands until the stream has passed this node.
        unsafe { plan.run(&operands, run.stream)? };
        column += out;
    }
    if gated {
        let numbers = rows * stride;
        // SAFETY: both tensors have as many numbers.
        unsafe { elementwise(run, "swiglu", &[gate, y.pointer], numbers, [stride, stride])? };
    }
    Ok(())
}

/// Runs a kernel of `MANY_ROWS` on `count` numbers, or on `count` words of eight of them.
///
/// # Safety
/// The pointers must be those of the code.
unsafe fn elementwise(
    run: &DeviceRun<'_>,
    name: &str,
    pointers: &[*mut c_void],
    count: usize,
    widths: [usize; 2],
) -> Result<(), String> {
    let pack = pack(run.dtype, widths);
    let macros = [("TYPE", type_number(run.dtype)), ("PACK", pack as i64)];
    let kernel = run.context.kernel(&Source { name, code: &[TYPES, MANY_ROWS], macros: &macros })?;
    let count = if name == "swiglu" { count / pack } else { count };
    let mut arguments: Vec<_> = pointers.iter().map(|p| Argument::Pointer(*p)).collect();
    arguments.push(Argument::Count(count as i64));
    // SAFETY: as promised by the caller.
    unsafe { run.context.launch(kernel, (count.div_ceil(256), 256), run.stream, &mut arguments) }
}

fn dequantised(packed: &[f32], scales: &[f32]) -> Vec<f32> {
    let numbers = packed.iter().flat_map(|byte| [*byte as u8 & 15, *byte as u8 >> 4]);
    numbers.enumerate().map(|(i, n)| (f32::from(n) - 8.0) * scales[i / INT4_BLOCK]).collect()
}
