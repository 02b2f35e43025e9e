use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ptr::null_mut;

use ort::operator::KernelContext;

use super::definition::{Definition, DeviceRun, HostTensor, Input};
use super::matmul::{Batch, Operands, Plan, Product};

/// `Linear`: x [..., K], matrix [N, K], bias `[N]`, residual [..., N] or nothing -> [..., N].
///
/// Attributes: `out_first` 0 says that the matrix lies as [K, N]; `gelu_tanh` 1 applies GELU by its tanh approximation
/// behind the bias, before the residual is added.
pub(super) struct Linear;

/// A node of `Linear`.
pub(super) struct Node {
    out_first: bool,
    gelu: bool,
    /// By rows of x.
    plans: HashMap<usize, Plan>,
}

impl Definition for Linear {
    const NAME: &'static str = "Linear";
    const INPUTS: &'static [Input] = &[Input::Same, Input::Same, Input::Same, Input::SameOrNone];
    type Node = Node;

    fn node(attributes: &KernelContext<'_>) -> Node {
        Node {
            out_first: attributes.get::<i64>("out_first") != Some(0),
            gelu: attributes.get::<i64>("gelu_tanh") == Some(1),
            plans: HashMap::new(),
        }
    }

    fn shape(_: Option<&Node>, inputs: &[&[i64]]) -> Option<Vec<i64>> {
        let ([x @ .., _], [n]) = (*inputs.first()?, *inputs.get(2)?) else { return None };
        Some(x.iter().copied().chain([*n]).collect())
    }

    fn on_host(node: &Node, inputs: &[HostTensor]) -> Result<Vec<Vec<f32>>, String> {
        let [x, matrix, bias, residual @ ..] = inputs else { return Err("needs three inputs".into()) };
        let (k, n) = (x.width(), bias.width());
        let lies = if node.out_first { [n as i64, k as i64] } else { [k as i64, n as i64] };
        if matrix.shape != lies {
            return Err(format!("the matrix is {:?}, not {lies:?}", matrix.shape));
        }
        let mut y = Vec::with_capacity(x.data.len() / k.max(1) * n);
        for row in x.data.chunks_exact(k) {
            for (out, bias) in bias.data.iter().enumerate() {
                let product: f32 = match node.out_first {
                    true => matrix.data[out * k..][..k].iter().zip(row).map(|(w, x)| w * x).sum(),
                    false => matrix.data[out..].iter().step_by(n).zip(row).map(|(w, x)| w * x).sum(),
                };
                let sum = product + bias;
                y.push(if node.gelu { gelu_tanh(sum) } else { sum });
            }
        }
        if let [residual] = residual {
            y.iter_mut().zip(&residual.data).for_each(|(y, r)| *y += r);
        }
        Ok(vec![y])
    }

    fn on_device(node: &mut Node, run: &DeviceRun<'_>) -> Result<(), String> {
        let ([x, matrix, bias, residual @ ..], [y]) = (&run.inputs[..], &run.outputs[..]) else {
            return Err("needs three inputs".into());
        };
        let product = Product {
            dtype: run.dtype,
            rows: x.rows(),
            input: x.width(),
            out: bias.width(),
            x_stride: x.width(),
            stride: bias.width(),
            batch: Batch::ONE,
            out_first: node.out_first,
            wide: false,
            gelu: node.gelu,
            bias: true,
            residual: !residual.is_empty(),
        };
        let (k, n) = (product.input as i64, product.out as i64);
        let lies = if node.out_first { [n, k] } else { [k, n] };
        if matrix.shape != lies || residual.iter().any(|r| r.shape != y.shape) {
            return Err(format!("the matrix {:?} or the residual does not fit {lies:?}", matrix.shape));
        }
        let plan = match node.plans.entry(product.rows) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(run.context.matmuls()?.plan(product)?),
        };
        // Taken from the arena and given back at once: what else runs on this stream runs behind this product.
        let allocator = run.allocator()?;
        let mut scratch = match plan.workspace {
            0 => None,
            bytes => Some(allocator.alloc::<u8>(bytes).map_err(|e| e.to_string())?),
        };
        let operands = Operands {
            x: x.pointer,
            matrix: matrix.pointer,
            bias: bias.pointer,
            residual: residual.first().map_or(y.pointer, |r| r.pointer),
            y: y.pointer,
            workspace: scratch.as_mut().map_or(null_mut(), |block| block.as_mut_ptr().cast()),
        };
        // SAFETY: shapes were checked above; ONNX Runtime keeps the operands until the stream has passed this node.
        unsafe { plan.run(&operands, run.stream) }
    }
}

/// x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))
fn gelu_tanh(x: f32) -> f32 {
    let inner = (2.0 / std::f32::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
    0.5 * x * (1.0 + inner.tanh())
}
