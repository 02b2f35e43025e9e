use std::ffi::c_void;
use std::ptr::null_mut;

use ort::operator::KernelContext;

use super::clip::sum;
use super::context::{Argument, Kernel};
use super::definition::{Definition, DeviceRun, HostTensor, Input, Operand};
use super::rows::Rows;

const CODE: (&str, &str) = ("rms_norm", include_str!("kernels/rms_norm.cu"));

/// `RmsNorm`: x [..., D], weight `[D]`, bias `[D]` or nothing, up to three parts [..., D] -> [..., D]: the norm of the
/// sum of x, the bias and the parts. Attributes `epsilon`; `silu` 1 for SiLU behind it.
pub(super) struct RmsNorm;

/// `SumRmsNorm`: as `RmsNorm`, and before the norm the sum itself -> [..., D], [..., D].
pub(super) struct SumRmsNorm;

/// `RmsNormRotary`: x [B, L, N * H], weight `[N * H]`, cos and sin [L, H / 2] -> [B, L, N * H]: `RmsNorm`, then numbers
/// 2i and 2i + 1 of each head turned by the token's i-th angle. Attribute `epsilon`.
pub(super) struct RmsNormRotary;

/// A node of any of them.
pub(super) struct Node {
    eps: f32,
    silu: bool,
    kernel: Option<(Kernel, Rows)>,
}

const SUMMED: &[Input] =
    &[Input::Same, Input::Float, Input::FloatOrNone, Input::SameOrNone, Input::SameOrNone, Input::SameOrNone];

impl Node {
    fn new(attributes: &KernelContext<'_>) -> Node {
        let silu = attributes.get::<i64>("silu") == Some(1);
        Node { eps: attributes.get::<f32>("epsilon").unwrap_or_default(), silu, kernel: None }
    }

    /// The sum and its norm.
    fn on_host(&self, inputs: &[HostTensor]) -> Result<[Vec<f32>; 2], String> {
        let [x, weight, rest @ ..] = inputs else { return Err("needs two inputs".into()) };
        let sum = sum(x, rest)?;
        let mut y = normalise(&sum, weight, self.eps);
        if self.silu {
            y.iter_mut().for_each(|y| *y /= 1.0 + (-*y).exp());
        }
        Ok([sum, y])
    }
}

impl Definition for RmsNorm {
    const NAME: &'static str = "RmsNorm";
    const INPUTS: &'static [Input] = SUMMED;
    type Node = Node;

    fn node(attributes: &KernelContext<'_>) -> Node {
        Node::new(attributes)
    }

    fn on_host(node: &Node, inputs: &[HostTensor]) -> Result<Vec<Vec<f32>>, String> {
        node.on_host(inputs).map(|[_, y]| vec![y])
    }

    fn on_device(node: &mut Node, run: &DeviceRun<'_>) -> Result<(), String> {
        launch_sum(node, run)
    }
}

impl Definition for SumRmsNorm {
    const NAME: &'static str = "SumRmsNorm";
    const INPUTS: &'static [Input] = SUMMED;
    const OUTPUTS: usize = 2;
    type Node = Node;

    fn node(attributes: &KernelContext<'_>) -> Node {
        Node::new(attributes)
    }

    fn on_host(node: &Node, inputs: &[HostTensor]) -> Result<Vec<Vec<f32>>, String> {
        node.on_host(inputs).map(Vec::from)
    }

    fn on_device(node: &mut Node, run: &DeviceRun<'_>) -> Result<(), String> {
        launch_sum(node, run)
    }
}

impl Definition for RmsNormRotary {
    const NAME: &'static str = "RmsNormRotary";
    const INPUTS: &'static [Input] = &[Input::Same, Input::Float, Input::Float, Input::Float];
    type Node = Node;

    fn node(attributes: &KernelContext<'_>) -> Node {
        Node::new(attributes)
    }

    fn on_host(node: &Node, inputs: &[HostTensor]) -> Result<Vec<Vec<f32>>, String> {
        let [x, weight, cos, sin] = inputs else { return Err("needs four inputs".into()) };
        check(&x.shape, &cos.shape, &sin.shape)?;
        let (pairs, half) = (x.width() / 2, cos.width());
        let mut y = normalise(&x.data, weight, node.eps);
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
        launch(node, run, Some((cos, sin, 2 * cos.width())))
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

fn launch_sum(node: &mut Node, run: &DeviceRun<'_>) -> Result<(), String> {
    let (x, rest) = (&run.inputs[0], run.inputs.get(2..).unwrap_or_default());
    if let [bias, parts @ ..] = rest
        && (bias.shape != [x.width() as i64] || parts.iter().any(|part| part.shape != x.shape))
    {
        return Err(format!("bias {:?} and parts do not fit {:?}", bias.shape, x.shape));
    }
    launch(node, run, None)
}

/// `tables`: cos and sin and the width of a head.
fn launch(
    node: &mut Node,
    run: &DeviceRun<'_>,
    tables: Option<(&Operand, &Operand, usize)>,
) -> Result<(), String> {
    let d = run.inputs[0].width();
    if run.inputs.get(1).is_none_or(|weight| weight.shape != [d as i64]) {
        return Err(format!("the weight is not [{d}]"));
    }
    let rest = if tables.is_some() { &[] } else { run.inputs.get(2..).unwrap_or_default() };
    let head = tables.map_or(0, |(_, _, head)| head);
    let (kernel, rows) = match node.kernel {
        Some((kernel, rows)) if rows.is_for(d) => (kernel, rows),
        _ => {
            let rows = Rows::new(run.dtype, d, if head == 0 { d } else { head })?;
            let flags = [
                ("HEAD", head as i64),
                ("SILU", node.silu.into()),
                ("BIAS", i64::from(!rest.is_empty())),
                ("PARTS", rest.len().saturating_sub(1) as i64),
                ("SUM", i64::from(run.outputs.len() > 1)),
            ];
            *node.kernel.insert((rows.kernel(run.context, run.dtype, CODE, &flags)?, rows))
        }
    };
    let pointer = |x: Option<&Operand>| Argument::Pointer(x.map_or(null_mut(), |x| x.pointer));
    let (sum, y) = match &run.outputs[..] {
        [sum, y] => (Some(sum), Some(y)),
        outputs => (None, outputs.first()),
    };
    let arguments = vec![
        pointer(run.inputs.first()),
        pointer(run.inputs.get(1)),
        pointer(tables.map(|(cos, _, _)| cos)),
        pointer(tables.map(|(_, sin, _)| sin)),
        pointer(y),
        Argument::Count(tables.map_or(1, |(cos, _, _)| cos.shape[0])),
        Argument::Number(node.eps),
        pointer(rest.first()),
        pointer(rest.get(1)),
        pointer(rest.get(2)),
        pointer(rest.get(3)),
        pointer(sum),
    ];
    // SAFETY: the arguments are those of the code, and the shapes were checked above.
    unsafe { rows.launch(kernel, run, arguments) }
}

/// The norm of x [..., D] by itself, for an operator that goes on with it; y has room for as many numbers. The weight
/// `[D]` is of x's type.
///
/// # Safety
/// The operands' shapes must fit one another and the run's first output, which has as many rows as x.
pub(super) unsafe fn norm_rows(
    run: &DeviceRun<'_>,
    x: &Operand,
    weight: &Operand,
    eps: f32,
    y: *mut c_void,
) -> Result<(), String> {
    let d = x.width();
    let rows = if x.rows() == 1 { Rows::of_one(run.dtype, d) } else { Rows::new(run.dtype, d, d) }?;
    let flags = [("HEAD", 0), ("SILU", 0), ("BIAS", 0), ("PARTS", 0), ("SUM", 0), ("WEIGHT_AS_X", 1)];
    let kernel = rows.kernel(run.context, run.dtype, CODE, &flags)?;
    let none = || Argument::Pointer(null_mut());
    let arguments = vec![
        Argument::Pointer(x.pointer),
        Argument::Pointer(weight.pointer),
        none(),
        none(),
        Argument::Pointer(y),
        Argument::Count(1),
        Argument::Number(eps),
        none(),
        none(),
        none(),
        none(),
        none(),
    ];
    // SAFETY: the arguments are those of the code; as promised by the caller.
    unsafe { rows.launch(kernel, run, arguments) }
}

/// Rows of x, each normalised by itself.
pub(super) fn normalise(x: &[f32], weight: &HostTensor, eps: f32) -> Vec<f32> {
    let d = weight.width();
    let row = |row: &[f32]| {
        let factor = 1.0 / (row.iter().map(|x| x * x).sum::<f32>() / d as f32 + eps).sqrt();
        row.iter().zip(&weight.data).map(|(x, w)| x * factor * w).collect::<Vec<_>>()
    };
    x.chunks_exact(d.max(1)).flat_map(row).collect()
}
