//! A model that hands state on from run to run.

mod common;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use common::load;
use ourvidz_runtime::nn::{self, ClipKernels, Conv3d};
use ourvidz_runtime::{
    DType, Error, Graph, KeepingRun, Renewed, RenewingRun, Session, Target, Tensor, TensorSet, TensorView,
};

/// total = state + x; the next state is the total, twice under two names.
fn sums() -> Result<Session> {
    let mut g = Graph::new("sums", Target::Portable, DType::F32);
    let [x, state] = ["x", "state"].map(|name| g.input(name, DType::F32, vec!["n".into()]));
    let total = g.add(x, state)?;
    g.output("next_state", total);
    let half = g.constant_f32(&[], &[0.5]);
    let half = g.mul(total, half)?;
    g.output("half", half);
    load(g, Path::new("unused"))
}

#[test]
fn state_goes_from_run_to_run() -> Result<()> {
    let mut session = sums()?;
    let numbers = |values: &[f32]| Tensor::f32(&[values.len()], values.to_vec());
    let (x, zeros) = (numbers(&[1.0, 2.0])?, numbers(&[0.0, 0.0])?);
    let begin = KeepingRun {
        inputs: &[("x", &x), ("state", &zeros)],
        outputs: &["half"],
        keep: &["next_state"],
        ..KeepingRun::default()
    };
    let (half, first) = session.run_keeping(begin)?;
    ensure!(half == [numbers(&[0.5, 1.0])?], "{half:?}");
    ensure!(first.len() == 1 && first[0].shape() == [2], "{first:?}");
    let go_on = KeepingRun { inputs: &[("x", &x)], kept: &[("state", &first[0])], ..begin };
    let (half, second) = session.run_keeping(go_on)?;
    ensure!(half == [numbers(&[1.0, 2.0])?], "{half:?}");
    // The first run's state is still what it was, and the second's is another.
    let (half, _) = session.run_keeping(go_on)?;
    ensure!(half == [numbers(&[1.0, 2.0])?], "{half:?}");
    let last = KeepingRun { kept: &[("state", &second[0])], keep: &[], ..go_on };
    let (half, kept) = session.run_keeping(last)?;
    ensure!(half == [numbers(&[1.5, 3.0])?] && kept.is_empty(), "{half:?}");
    Ok(())
}

#[test]
fn state_is_written_where_it_was_read() -> Result<()> {
    let mut session = sums()?;
    let numbers = |values: &[f32]| Tensor::f32(&[values.len()], values.to_vec());
    let (x, zeros) = (numbers(&[1.0, 2.0])?, numbers(&[0.0, 0.0])?);
    let begin = KeepingRun {
        inputs: &[("x", &x), ("state", &zeros)],
        keep: &["next_state"],
        ..KeepingRun::default()
    };
    let mut state = session.run_keeping(begin)?.1.remove(0);
    for step in [2.0, 3.0, 4.0] {
        let tensor = &mut state;
        let renewed = &mut [Renewed { input: "state", output: "next_state", tensor }];
        let run = RenewingRun { inputs: &[("x", &x)], outputs: &["half"], state: renewed };
        let half = session.run_renewing(run)?;
        ensure!(half == [numbers(&[0.5 * step, step])?], "{half:?}");
    }
    let go_on =
        KeepingRun { inputs: &[("x", &x)], kept: &[("state", &state)], outputs: &["half"], keep: &[] };
    let (half, _) = session.run_keeping(go_on)?;
    ensure!(half == [numbers(&[2.5, 5.0])?], "{half:?}");
    for (input, output) in [("state", "other"), ("other", "next_state")] {
        let renewed = &mut [Renewed { input, output, tensor: &mut state }];
        let run = RenewingRun { inputs: &[("x", &x)], outputs: &["half"], state: renewed };
        ensure!(session.run_renewing(run).is_err(), "{input} {output}");
    }
    Ok(())
}

#[test]
fn names_that_are_not_there_are_refused() -> Result<()> {
    let mut session = sums()?;
    let x = Tensor::f32(&[1], vec![1.0])?;
    let inputs = [("x", &x), ("other", &x)];
    let run = KeepingRun { inputs: &inputs, outputs: &["half"], ..KeepingRun::default() };
    let error = session.run_keeping(run).err().context("an input too many")?;
    ensure!(error.to_string() == "input of sums: must be one of x, state, got other", "{error}");
    let run = KeepingRun { inputs: &inputs[..1], keep: &["other"], ..KeepingRun::default() };
    let error = session.run_keeping(run).err().context("an output too many")?;
    ensure!(matches!(error, Error::Session { .. }), "{error}");
    Ok(())
}

/// With channels last, a chunk that nothing precedes is one frame; other clips, sizes and channels are refused too.
#[test]
fn clips_that_do_not_fit_are_refused() -> Result<()> {
    let view = |shape: &[usize]| TensorView::without_data(DType::F32, shape.to_vec());
    let views = [("weight".into(), view(&[2, 3, 3, 3, 3])), ("bias".into(), view(&[2]))].into();
    let set = TensorSet::new("conv", views);
    let mut g = Graph::new("conv", Target::Cuda, DType::F16);
    let sizes = |frames: i32| [frames.into(), "height".into(), "width".into()];
    let two = nn::clip_input(&mut g, "two", 3, sizes(2))?;
    let kernels = ClipKernels::Taps;
    let conv = Conv3d { out_channels: 2, kernel: [3, 3, 3], time_stride: 1, kernels };
    let alone = nn::after_nothing(two);
    let error = nn::conv3d(&mut g, &set.root(), alone, conv).err().context("two frames")?;
    ensure!(error.to_string() == "conv3d: needs one frame where nothing precedes it, got 2", "{error}");

    let other = nn::clip_input(&mut g, "other", 4, sizes(2))?;
    ensure!(nn::after_frames(&mut g, other, two).is_err());
    ensure!(nn::first_channels(&mut g, two, 4).is_err());
    ensure!(nn::interleave_frames(&mut g, two).is_err());
    let kept = nn::clip_state(&mut g, "kept", two, 2);
    let clip = nn::after_frames(&mut g, kept, two)?;
    let y = nn::conv3d(&mut g, &set.root(), clip, conv)?;
    ensure!(g.fixed(y, 0)? == 2 && nn::clip_channels(&g, y)? == 2);
    Ok(())
}
