use std::ptr::null_mut;

use ort::operator::KernelContext;

use super::context::Argument;
use super::definition::{Definition, DeviceRun, HostTensor, Input};
use super::rows::{by_packs, elementwise};

const CODE: &str = include_str!("kernels/elementwise.cu");

/// `BiasSum`: x [..., C], bias `[C]`, up to three parts [..., C] -> the sum of all [..., C].
pub(super) struct BiasSum;

/// `AfterFrames`: x [F, H, W, C], frames before it [n, H, W, C] -> both [n + F, H, W, C], their last [n, H, W, C]. The
/// second output may lie where the second input does.
pub(super) struct AfterFrames;

/// `AfterZeros`: x [F, H, W, C] -> [n + F, H, W, C] with as many frames of zeros before it as the attribute `zeros` says.
pub(super) struct AfterZeros;

/// `DoubleFrames`: x [F, H, W, C] -> [F, 2 H, 2 W, C], each pixel four times.
pub(super) struct DoubleFrames;

impl Definition for BiasSum {
    const NAME: &'static str = "BiasSum";
    const INPUTS: &'static [Input] =
        &[Input::Same, Input::Float, Input::SameOrNone, Input::SameOrNone, Input::SameOrNone];
    type Node = ();

    fn node(_: &KernelContext<'_>) {}

    fn on_host((): &(), inputs: &[HostTensor]) -> Result<Vec<Vec<f32>>, String> {
        let [x, rest @ ..] = inputs else { return Err("needs two inputs".into()) };
        Ok(vec![sum(x, rest)?])
    }

    fn on_device((): &mut (), run: &DeviceRun<'_>) -> Result<(), String> {
        let ([x, bias, parts @ ..], [y]) = (&run.inputs[..], &run.outputs[..]) else {
            return Err("needs two inputs".into());
        };
        if bias.shape != [x.width() as i64] || parts.iter().any(|part| part.shape != x.shape) {
            return Err(format!("bias {:?} and parts do not fit {:?}", bias.shape, x.shape));
        }
        let part = |i: usize| parts.get(i).map_or(null_mut(), |part| part.pointer);
        let pointers = [x.pointer, bias.pointer, part(0), part(1), part(2), y.pointer];
        let arguments = pointers.map(Argument::Pointer).into();
        // SAFETY: the arguments are those of the code, and the shapes were checked above.
        unsafe { elementwise(run, ("bias_sum", CODE), &[("PARTS", parts.len() as i64)], arguments) }
    }
}

impl Definition for AfterZeros {
    const NAME: &'static str = "AfterZeros";
    const INPUTS: &'static [Input] = &[Input::Same];
    /// Frames of zeros.
    type Node = i64;

    fn node(attributes: &KernelContext<'_>) -> i64 {
        attributes.get::<i64>("zeros").unwrap_or(0)
    }

    fn shape(node: Option<&i64>, inputs: &[&[i64]]) -> Option<Vec<i64>> {
        let [frames, rest @ ..] = *inputs.first()? else { return None };
        Some([&[*frames + node?][..], rest].concat())
    }

    fn on_host(zeros: &i64, inputs: &[HostTensor]) -> Result<Vec<Vec<f32>>, String> {
        let [x] = inputs else { return Err("needs an input".into()) };
        let frame: i64 = x.shape.iter().skip(1).product();
        Ok(vec![[vec![0.0; (frame * zeros) as usize], x.data.clone()].concat()])
    }

    fn on_device(_: &mut i64, run: &DeviceRun<'_>) -> Result<(), String> {
        let ([x], [y]) = (&run.inputs[..], &run.outputs[..]) else { return Err("needs an input".into()) };
        let lead = (y.rows() - x.rows()) * run.packs();
        let pointers = [x, y].map(|operand| Argument::Pointer(operand.pointer));
        let arguments = pointers.into_iter().chain([Argument::Count(lead as i64)]).collect();
        // SAFETY: the arguments are those of the code; y is as long as both, which `shape` checks.
        unsafe { elementwise(run, ("after_zeros", CODE), &[], arguments) }
    }
}

impl Definition for AfterFrames {
    const NAME: &'static str = "AfterFrames";
    const INPUTS: &'static [Input] = &[Input::Same, Input::Same];
    const OUTPUTS: usize = 2;
    type Node = ();

    fn node(_: &KernelContext<'_>) {}

    /// The outputs differ; the graph has their shapes.
    fn shape(_: Option<&()>, _: &[&[i64]]) -> Option<Vec<i64>> {
        None
    }

    fn shapes((): &(), inputs: &[&[i64]]) -> Option<Vec<Vec<i64>>> {
        let [[own, frame @ ..], before @ [lead, like @ ..]] = inputs else { return None };
        let all = [&[own + lead][..], frame].concat();
        (frame == like).then(|| vec![all, before.to_vec()])
    }

    fn on_host((): &(), inputs: &[HostTensor]) -> Result<Vec<Vec<f32>>, String> {
        let [x, before] = inputs else { return Err("needs two inputs".into()) };
        let all = [&before.data[..], &x.data].concat();
        let last = all[x.data.len()..].to_vec();
        Ok(vec![all, last])
    }

    fn on_device((): &mut (), run: &DeviceRun<'_>) -> Result<(), String> {
        let ([x, before], [all, last]) = (&run.inputs[..], &run.outputs[..]) else {
            return Err("needs two inputs and two outputs".into());
        };
        let pointers = [x, before, all, last].map(|operand| Argument::Pointer(operand.pointer));
        let counts = [before, x].map(|operand| Argument::Count(operand.shape[0]));
        let arguments = pointers.into_iter().chain(counts).collect();
        let frame = run.packs() * all.rows() / all.shape[0].max(1) as usize;
        // SAFETY: the arguments are those of the code; `shapes` gives the outputs their sizes.
        unsafe { by_packs(run, ("after_frames", CODE), &[], arguments, frame) }
    }
}

impl Definition for DoubleFrames {
    const NAME: &'static str = "DoubleFrames";
    const INPUTS: &'static [Input] = &[Input::Same];
    type Node = ();

    fn node(_: &KernelContext<'_>) {}

    fn shape(_: Option<&()>, inputs: &[&[i64]]) -> Option<Vec<i64>> {
        let &[f, h, w, c] = *inputs.first()? else { return None };
        let twice = |n: i64| if n < 0 { -1 } else { 2 * n };
        Some(vec![f, twice(h), twice(w), c])
    }

    fn on_host((): &(), inputs: &[HostTensor]) -> Result<Vec<Vec<f32>>, String> {
        let [x] = inputs else { return Err("needs an input".into()) };
        let (row, c) = (x.shape[2] as usize * x.width(), x.width());
        let mut y = Vec::with_capacity(4 * x.data.len());
        for row in x.data.chunks_exact(row.max(1)) {
            let doubled: Vec<f32> = row.chunks_exact(c).flat_map(|pixel| [pixel, pixel].concat()).collect();
            y.extend_from_slice(&doubled);
            y.extend_from_slice(&doubled);
        }
        Ok(vec![y])
    }

    fn on_device((): &mut (), run: &DeviceRun<'_>) -> Result<(), String> {
        let ([x], [y]) = (&run.inputs[..], &run.outputs[..]) else { return Err("needs an input".into()) };
        let arguments =
            vec![Argument::Pointer(x.pointer), Argument::Pointer(y.pointer), Argument::Count(x.shape[2])];
        // SAFETY: the arguments are those of the code, and `shape` gives y its size.
        unsafe { elementwise(run, ("double_frames", CODE), &[("DOUBLE", 1)], arguments) }
    }
}

/// x [..., C] plus a bias `[C]` and parts like x, where they are given.
pub(super) fn sum(x: &HostTensor, rest: &[HostTensor]) -> Result<Vec<f32>, String> {
    let mut sum = x.data.clone();
    let Some((bias, parts)) = rest.split_first() else { return Ok(sum) };
    if bias.shape != [x.width() as i64] || parts.iter().any(|part| part.shape != x.shape) {
        return Err(format!("bias {:?} and parts do not fit {:?}", bias.shape, x.shape));
    }
    for (i, sum) in sum.iter_mut().enumerate() {
        *sum += bias.data[i % x.width()] + parts.iter().map(|part| part.data[i]).sum::<f32>();
    }
    Ok(sum)
}
