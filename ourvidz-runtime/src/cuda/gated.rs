use ort::operator::KernelContext;

use super::context::Argument;
use super::definition::{Definition, DeviceRun, HostTensor, Input};
use super::rows::elementwise;

const CODE: &str = include_str!("kernels/elementwise.cu");

/// `GatedResidual`: x [..., D], y [..., D], gate `[D]` -> x + y * gate [..., D].
pub(super) struct GatedResidual;

/// `Geglu`: x [..., 2 D] -> [..., D]: the first half of a row times the exact GELU of the second.
pub(super) struct Geglu;

impl Definition for GatedResidual {
    const NAME: &'static str = "GatedResidual";
    const INPUTS: &'static [Input] = &[Input::Same, Input::Same, Input::Float];
    type Node = ();

    fn node(_: &KernelContext<'_>) {}

    fn on_host((): &(), inputs: &[HostTensor]) -> Result<Vec<Vec<f32>>, String> {
        let [x, y, gate] = inputs else { return Err("needs three inputs".into()) };
        let (d, pairs) = (gate.width(), x.data.iter().zip(&y.data));
        Ok(vec![pairs.enumerate().map(|(i, (x, y))| x + y * gate.data[i % d]).collect()])
    }

    fn on_device((): &mut (), run: &DeviceRun<'_>) -> Result<(), String> {
        let ([x, y, gate], [sum]) = (&run.inputs[..], &run.outputs[..]) else {
            return Err("needs three inputs".into());
        };
        if x.shape != y.shape || gate.shape != x.shape[x.shape.len() - 1..] {
            return Err(format!("{:?} times {:?} cannot be added to {:?}", y.shape, gate.shape, x.shape));
        }
        let arguments = [x, y, gate, sum].map(|operand| Argument::Pointer(operand.pointer)).into();
        // SAFETY: the arguments are those of the code, and the shapes were checked above.
        unsafe { elementwise(run, ("gated_residual", CODE), &[], arguments) }
    }
}

impl Definition for Geglu {
    const NAME: &'static str = "Geglu";
    const INPUTS: &'static [Input] = &[Input::Same];
    type Node = ();

    fn node(_: &KernelContext<'_>) {}

    fn shape(_: Option<&()>, inputs: &[&[i64]]) -> Option<Vec<i64>> {
        let [x @ .., both] = *inputs.first()? else { return None };
        Some(x.iter().copied().chain([if *both < 0 { -1 } else { both / 2 }]).collect())
    }

    fn on_host((): &(), inputs: &[HostTensor]) -> Result<Vec<Vec<f32>>, String> {
        let [x] = inputs else { return Err("needs one input".into()) };
        let row = |row: &[f32]| {
            let (hidden, gate) = row.split_at(row.len() / 2);
            hidden.iter().zip(gate).map(|(x, g)| x * gelu(*g)).collect::<Vec<_>>()
        };
        Ok(vec![x.data.chunks_exact(x.width().max(1)).flat_map(row).collect()])
    }

    fn on_device((): &mut (), run: &DeviceRun<'_>) -> Result<(), String> {
        let ([x], [y]) = (&run.inputs[..], &run.outputs[..]) else { return Err("needs one input".into()) };
        if x.width() != 2 * y.width() {
            return Err(format!("{:?} has an odd width", x.shape));
        }
        let arguments = [x, y].map(|operand| Argument::Pointer(operand.pointer)).into();
        // SAFETY: the arguments are those of the code, and the widths were checked above.
        unsafe { elementwise(run, ("geglu", CODE), &[], arguments) }
    }
}

/// x * Phi(x)
fn gelu(x: f32) -> f32 {
    let x = f64::from(x);
    (0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))) as f32
}

/// exp(-x^2) * 2 / sqrt(pi) * (x + 2 x^3 / 3 + 4 x^5 / 15 + ...): a series without cancellation.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        n += 2.0;
        term *= 2.0 * x * x / n;
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}
