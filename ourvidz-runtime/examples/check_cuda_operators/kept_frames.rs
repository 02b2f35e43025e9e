//! Frames that a clip follows, kept from run to run in the memory of those before: CUDA beside the processor.

use std::path::Path;

use anyhow::Result;
use ourvidz_runtime::nn::{self, ClipKernels, Conv3d};
use ourvidz_runtime::{
    DType, Device, Graph, KeepingRun, Renewed, RenewingRun, Session, SessionOptions, Target, Tensor,
    TensorSet, WeightCache, open_safetensors,
};

use super::{CHANNELS, numbers};

/// Frames that a convolution of three keeps.
const KEPT: usize = 2;
/// Frames of the runs behind the first: fewer than are kept, as many, and more.
const RUNS: [usize; 6] = [1, 1, 3, 1, 2, 4];

/// A convolution of what follows a frame, run by run.
pub(super) fn clips(
    folder: &Path,
    (target, dtype, device): (Target, DType, Device),
    kernels: ClipKernels,
    rounded: DType,
) -> Result<Vec<Tensor>> {
    let options = SessionOptions { device, ..SessionOptions::default() };
    let cache = WeightCache::new(folder.join("cache"));
    let clip = |frames: usize, seed| {
        let shape = [1, CHANNELS, frames, 10, 14];
        Tensor::f32(&shape, numbers(shape.iter().product(), seed))?.to_dtype(rounded)
    };

    let mut g = Graph::new("begins", target, dtype);
    let x = nn::clip_input(&mut g, "x", CHANNELS, [1.into(), 10.into(), 14.into()])?;
    let last = nn::last_frames(&mut g, nn::after_nothing(x), KEPT)?;
    g.output("last", last);
    let mut begins = Session::load(&g.finish(), &options, &cache, &mut |_| ())?;
    let x = clip(1, 51)?;
    let run = KeepingRun { inputs: &[("x", &x)], keep: &["last"], ..KeepingRun::default() };
    let mut kept = begins.run_keeping(run)?.1.remove(0);

    let set = TensorSet::new("clip", open_safetensors(&folder.join("clip.safetensors"))?);
    let mut g = Graph::new("follows", target, dtype);
    let x = nn::clip_input(&mut g, "x", CHANNELS, ["frames".into(), 10.into(), 14.into()])?;
    let before = nn::clip_state(&mut g, "before", x, KEPT);
    let all = nn::after_frames(&mut g, before, x)?;
    let last = nn::last_frames(&mut g, all, KEPT)?;
    g.output("last", last);
    let conv = Conv3d { out_channels: CHANNELS, kernel: [3; 3], time_stride: 1, kernels };
    let y = nn::conv3d(&mut g, &set.root().at("a"), all, conv)?;
    nn::clip_output(&mut g, "y", y)?;
    let mut follows = Session::load(&g.finish(), &options, &cache, &mut |_| ())?;
    let runs = RUNS.iter().zip(52..).map(|(frames, seed)| {
        let x = clip(*frames, seed)?;
        let state = &mut [Renewed { input: "before", output: "last", tensor: &mut kept }];
        let run = RenewingRun { inputs: &[("x", &x)], outputs: &["y"], state };
        Ok(follows.run_renewing(run)?.remove(0))
    });
    runs.collect()
}
