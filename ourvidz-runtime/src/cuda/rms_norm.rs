use std::ptr::null_mut;

use ort::operator::KernelContext;

use super::context::{Argument, Kernel};
use super::definition::{Definition, DeviceRun, HostTensor, Input};
use super::rows::Rows;

const CODE: (&str, &str) = ("rms_norm", include_str!("kernels/rms_norm.cu"));

/// `RmsNorm`: x [..., D], weight `[D]` -> [..., D]. Attributes `epsilon`; `silu` 1 for SiLU behind it.
pub(super) struct RmsNorm;

/// `RmsNormRotary`: x [B, L, N * H], weight `[N * H]`, cos and sin [L, H / 2] -> [B, L, N * H]: `RmsNorm`, then numbers
/// 2i and 2i + 1 of each head turned by the token's i-th angle. Attribute `epsilon`.
pub(super) struct RmsNormRotary;

/// A node of either.
pub(super) struct Node {
    eps: f32,
    silu: bool,
    kernel: Option<(Kernel, Rows)>,
}

impl Node {
    fn new(attributes: &KernelContext<'_>) -> Node {
        let silu = attributes.get::<i64>("silu") == Some(1);
        Node { eps: attributes.get::<f32>("epsilon").unwrap_or_default(), silu, kernel: None }
    }
}

impl Definition for RmsNorm {
    const NAME: &'static str = "RmsNorm";
    const INPUTS: &'static [Input] = &[Input::Same, Input::Float];
    type Node = Node;

    fn node(attributes: &KernelContext<'_>) -> Node {
        Node::new(attributes)
    }

    fn width(inputs: &[&[i64]]) -> i64 {
        inputs[0].last().copied().unwrap_or(-1)
    }

    fn on_host(node: &Node, inputs: &[HostTensor]) -> Result<Vec<Vec<f32>>, String> {
        let [x, weight] = inputs else { return Err("needs two inputs".into()) };
        let mut y = normalise(x, weight, node.eps);
        if node.silu {
            y.iter_mut().for_each(|y| *y /= 1.0 + (-*y).exp());
        }
        Ok(vec![y])
    }

    fn on_device(node: &mut Node, run: &DeviceRun<'_>) -> Result<(), String> {
        launch(node, run, 0)
    }
}

impl Definition for RmsNormRotary {
    const NAME: &'static str = "RmsNormRotary";
    const INPUTS: &'static [Input] = &[Input::Same, Input::Float, Input::Float, Input::Float];
    type Node = Node;

    fn node(attributes: &KernelContext<'_>) -> Node {
        Node::new(attributes)
    }

    fn width(inputs: &[&[i64]]) -> i64 {
        inputs[0].last().copied().unwrap_or(-1)
    }

    fn on_host(node: &Node, inputs: &[HostTensor]) -> Result<Vec<Vec<f32>>, String> {
        let [x, weight, cos, sin] = inputs else { return Err("needs four inputs".into()) };
        check(&x.shape, &cos.shape, &sin.shape)?;
        let (pairs, half) = (x.width() / 2, cos.width());
        let mut y = normalise(x, weight, node.eps);
        for (i, pair) in y.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let (token, number) = (i / pairs, i % half);
            let at = token % (cos.data.len() / half) * half + number;
            let (cos, sin, [a, b]) = (cos.data[at], sin.data[at], *pair);
            *pair = [a * cos - b * sin, a * sin + b * cos];
        }
        Ok(vec![y])
    }

    fn on_device(node: &mut Node, run: &DeviceRun<'_>) -> Result<(), String> {
        let [x, _, cos, sin] = &run.inputs[..] else { return Err("needs four inputs".into()) };
        check(&x.shape, &cos.shape, &sin.shape)?;
        launch(node, run, 2 * cos.width())
    }
}

fn check(x: &[i64], cos: &[i64], sin: &[i64]) -> Result<(), String> {
    match (x, cos) {
        ([_, l, d], [positions, half])
            if l == positions && *half > 0 && d % (2 * half) == 0 && cos == sin =>
        {
            Ok(())
        }
        _ => Err(format!("tables {cos:?} and {sin:?} do not fit {x:?}")),
    }
}

fn launch(node: &mut Node, run: &DeviceRun<'_>, head: usize) -> Result<(), String> {
    let d = run.inputs[0].width();
    if run.inputs.get(1).is_none_or(|weight| weight.shape != [d as i64]) {
        return Err(format!("the weight is not [{d}]"));
    }
    let (kernel, rows) = match node.kernel {
        Some((kernel, rows)) if rows.is_for(d) => (kernel, rows),
        _ => {
            let rows = Rows::new(run.dtype, d, if head == 0 { d } else { head })?;
            let flags = [("HEAD", head as i64), ("SILU", node.silu.into())];
            *node.kernel.insert((rows.kernel(run.context, run.dtype, CODE, &flags)?, rows))
        }
    };
    let input = |i: usize| run.inputs.get(i).map_or(null_mut(), |x| x.pointer);
    let pointers = [input(0), input(1), input(2), input(3), run.outputs[0].pointer];
    let mut arguments: Vec<_> = pointers.into_iter().map(Argument::Pointer).collect();
    let positions = run.inputs.get(2).map_or(1, |cos| cos.shape[0]);
    arguments.extend([Argument::Count(positions), Argument::Number(node.eps)]);
    // SAFETY: the arguments are those of the code, and the shapes were checked above.
    unsafe { rows.launch(kernel, run, arguments) }
}

fn normalise(x: &HostTensor, weight: &HostTensor, eps: f32) -> Vec<f32> {
    let d = weight.width();
    let row = |row: &[f32]| {
        let factor = 1.0 / (row.iter().map(|x| x * x).sum::<f32>() / d as f32 + eps).sqrt();
        row.iter().zip(&weight.data).map(|(x, w)| x * factor * w).collect::<Vec<_>>()
    };
    x.data.chunks_exact(d.max(1)).flat_map(row).collect()
}
