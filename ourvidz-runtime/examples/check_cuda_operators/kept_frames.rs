//! Frames that a clip follows, kept from run to run in the memory of those before: CUDA beside the processor.

use std::path::Path;

use anyhow::Result;
use ourvidz_runtime::nn::{self, ClipKernels, Conv3d};
use ourvidz_runtime::{
    DType, Device, Graph, KeepingRun, Renewed, RenewingRun, Session, SessionOptions, Target, Tensor,
    TensorSet, WeightCache, open_safetensors,
};

use super::{CHANNELS, difference, numbers, write_clip};

/// Frames that a convolution of three keeps.
const KEPT: usize = 2;
/// Frames of the runs behind the first: fewer than are kept, as many, and more.
const RUNS: [usize; 6] = [1, 1, 3, 1, 2, 4];

/// Prints a line for each type and gives those that are too far off.
pub(super) fn check(device: Device) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for kernels in [ClipKernels::Taps, ClipKernels::ChannelsLast3d] {
        for (dtype, allowed) in [(DType::F32, 1e-3), (DType::F16, 2e-3)] {
            let folder = tempfile::tempdir()?;
            write_clip(&folder.path().join("clip.safetensors"), dtype)?;
            let expected = clips(folder.path(), (Target::Portable, DType::F32, Device::Cpu), kernels, dtype)?;
            // The processor has no convolution with channels last.
            let kernels = if device == Device::Cpu { ClipKernels::Transposed } else { kernels };
            let found = clips(folder.path(), (Target::Cuda, dtype, device), kernels, dtype)?;
            let errors = found.iter().zip(&expected).map(|(found, expected)| difference(found, expected));
            let errors = errors.collect::<Result<Vec<_>>>()?;
            let listed: Vec<_> = errors.iter().map(|error| format!("{error:.1e}")).collect();
            let line = format!("kept frames, {kernels:?} {dtype:4} {}", listed.join(" "));
            println!("{line}");
            if errors.iter().any(|error| error.is_nan() || *error > allowed) {
                wrong.push(line);
            }
            if device == Device::Cpu {
                break;
            }
        }
    }
    Ok(wrong)
}

/// A convolution of what follows a frame, run by run.
fn clips(
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
