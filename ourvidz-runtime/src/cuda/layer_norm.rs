use std::ptr::null_mut;

use ort::operator::KernelContext;

use super::context::{Argument, Kernel};
use super::definition::{Definition, DeviceRun, HostTensor, Input};
use super::rows::Rows;

const CODE: (&str, &str) = ("layer_norm", include_str!("kernels/layer_norm.cu"));

/// `LayerNorm`: x [..., D], scale `[D]`, shift `[D]` -> [..., D]. Attribute `epsilon`.
pub(super) struct LayerNorm;

/// `ResidualLayerNorm`: x [..., D], y [..., D], scale `[D]`, shift `[D]`, gate `[D]` or nothing -> x + y * gate
/// [..., D], and its normalisation [..., D]. Attribute `epsilon`.
pub(super) struct ResidualLayerNorm;

/// A node of either.
pub(super) struct Node {
    eps: f32,
    kernel: Option<(Kernel, Rows)>,
}

impl Node {
    fn new(attributes: &KernelContext<'_>) -> Node {
        Node { eps: attributes.get::<f32>("epsilon").unwrap_or_default(), kernel: None }
    }
}

impl Definition for LayerNorm {
    const NAME: &'static str = "LayerNorm";
    const INPUTS: &'static [Input] = &[Input::Same, Input::Float, Input::Float];
    type Node = Node;

    fn node(attributes: &KernelContext<'_>) -> Node {
        Node::new(attributes)
    }

    fn on_host(node: &Node, inputs: &[HostTensor]) -> Result<Vec<Vec<f32>>, String> {
        let [x, scale, shift] = inputs else { return Err("needs three inputs".into()) };
        Ok(vec![normalise(&x.data, scale, shift, node.eps)])
    }

    fn on_device(node: &mut Node, run: &DeviceRun<'_>) -> Result<(), String> {
        launch(node, run, 0, 1)
    }
}

impl Definition for ResidualLayerNorm {
    const NAME: &'static str = "ResidualLayerNorm";
    const INPUTS: &'static [Input] =
        &[Input::Same, Input::Same, Input::Float, Input::Float, Input::FloatOrNone];
    const OUTPUTS: usize = 2;
    type Node = Node;

    fn node(attributes: &KernelContext<'_>) -> Node {
        Node::new(attributes)
    }

    fn on_host(node: &Node, inputs: &[HostTensor]) -> Result<Vec<Vec<f32>>, String> {
        let [x, y, scale, shift, gate @ ..] = inputs else { return Err("needs four inputs".into()) };
        let d = x.width();
        let pairs = x.data.iter().zip(&y.data).enumerate();
        let gated = pairs.map(|(i, (x, y))| x + y * gate.first().map_or(1.0, |gate| gate.data[i % d]));
        let sum: Vec<f32> = gated.collect();
        let normed = normalise(&sum, scale, shift, node.eps);
        Ok(vec![sum, normed])
    }

    fn on_device(node: &mut Node, run: &DeviceRun<'_>) -> Result<(), String> {
        let [x, y, ..] = &run.inputs[..] else { return Err("needs four inputs".into()) };
        if x.shape != y.shape {
            return Err(format!("{:?} cannot be added to {:?}", y.shape, x.shape));
        }
        launch(node, run, 1 + i64::from(run.inputs.len() > 4), 2)
    }
}

/// Vectors begin at input `vectors`.
fn launch(node: &mut Node, run: &DeviceRun<'_>, residual: i64, vectors: usize) -> Result<(), String> {
    let d = run.inputs[0].width();
    if let Some(vector) = run.inputs[vectors..].iter().find(|vector| vector.shape != [d as i64]) {
        return Err(format!("a vector is {:?}, not [{d}]", vector.shape));
    }
    let (kernel, rows) = match node.kernel {
        Some((kernel, rows)) if rows.is_for(d) => (kernel, rows),
        _ => {
            let rows = Rows::new(run.dtype, d, d)?;
            let kernel = rows.kernel(run.context, run.dtype, CODE, &[("RESIDUAL", residual)])?;
            *node.kernel.insert((kernel, rows))
        }
    };
    let input = |i: usize| run.inputs.get(i).map_or(null_mut(), |x| x.pointer);
    let [first, second] = [0, 1].map(|i| run.outputs.get(i).map_or(null_mut(), |y| y.pointer));
    let (y, gate, sum, normed) = match residual {
        0 => (null_mut(), null_mut(), null_mut(), first),
        _ => (input(1), input(4), first, second),
    };
    let pointers = [input(0), y, gate, input(vectors), input(vectors + 1), sum, normed];
    let mut arguments: Vec<_> = pointers.into_iter().map(Argument::Pointer).collect();
    arguments.push(Argument::Number(node.eps));
    // SAFETY: the arguments are those of the code, and the shapes were checked above.
    unsafe { rows.launch(kernel, run, arguments) }
}

fn normalise(x: &[f32], scale: &HostTensor, shift: &HostTensor, eps: f32) -> Vec<f32> {
    let d = scale.width();
    let row = |row: &[f32]| {
        let mean = row.iter().sum::<f32>() / d as f32;
        let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / d as f32;
        let factor = 1.0 / (variance + eps).sqrt();
        let parameters = scale.data.iter().zip(&shift.data);
        let normed = row.iter().zip(parameters).map(|(x, (a, b))| (x - mean) * factor * a + b);
        normed.collect::<Vec<_>>()
    };
    x.chunks_exact(d.max(1)).flat_map(row).collect()
}
