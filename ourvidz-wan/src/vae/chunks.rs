//! Runs one pair of graphs over a video: the first frame, then chunks of equal length.

use std::ops::Range;

use ourvidz_runtime::{
    Device, DeviceTensor, KeepingRun, LoadProgress, Model, Renewed, RenewingRun, Session, SessionOptions,
    Tensor, WeightCache,
};

use crate::{Error, Result};

/// Elements that one tensor may have where kernels count in 32 bits.
const MOST_ELEMENTS: usize = i32::MAX as usize;

/// The two sessions of a pair, and the frames that one run keeps for the next.
#[derive(Debug)]
pub(super) struct Pair {
    first: Session,
    next: Session,
    input: &'static str,
    output: &'static str,
    /// Names in the one graph and in the other: what a run gives and what the next one takes.
    caches: Vec<(String, String)>,
    kept: Vec<DeviceTensor>,
    /// Whether a chunk's frames may be kept where the ones before were.
    in_place: bool,
}

impl Pair {
    pub(super) fn load(
        models: [&Model; 2],
        names: [&'static str; 2],
        options: &SessionOptions,
        cache: &WeightCache,
        progress: &mut dyn FnMut(LoadProgress<'_>),
    ) -> Result<Pair> {
        let [first, next] = models;
        let mut first = Session::load(first, options, cache, progress)?;
        // It runs once for a video; what it worked with would lie idle beside the other's runs.
        first.release_after_runs(true)?;
        let next = Session::load(next, options, cache, progress)?;
        let count = next.inputs().filter(|name| name.starts_with("cache.")).count();
        let caches = (0..count).map(|i| (format!("next_cache.{i}"), format!("cache.{i}"))).collect();
        let [input, output] = names;
        // The graphs read what was kept ahead of writing it. TensorRT goes through a graph in an order of its own.
        let in_place = !matches!(options.device, Device::TensorRt(_));
        Ok(Pair { first, next, input, output, caches, kept: Vec::new(), in_place })
    }

    /// One chunk: the first frame of a video where `begins`, else what follows the chunk before. Keeps nothing where
    /// it is the last, and gives back the device's memory: it is larger than the weights of all models but umT5.
    pub(super) fn run(&mut self, x: &Tensor, begins: bool, is_last: bool) -> Result<Tensor> {
        // Taken out first: frames of a run that fails must not meet another video.
        let mut kept = std::mem::take(&mut self.kept);
        let (inputs, outputs) = (&[(self.input, x)], &[self.output]);
        self.next.release_after_runs(is_last)?;
        if !begins && self.in_place {
            // The last chunk too: without a place for them, its last frames would take new memory.
            let names = self.caches.iter().zip(&mut kept);
            let mut state: Vec<_> =
                names.map(|((output, input), tensor)| Renewed { input, output, tensor }).collect();
            let run = RenewingRun { inputs, outputs, state: &mut state };
            let mut results = self.next.run_renewing(run)?;
            self.kept = if is_last { Vec::new() } else { kept };
            return Ok(results.remove(0));
        }
        let names = self.caches.iter().map(|(_, name)| name.as_str());
        let kept: Vec<_> = if begins { Vec::new() } else { names.zip(&kept).collect() };
        let keep: Vec<_> = match is_last {
            true => Vec::new(),
            false => self.caches.iter().map(|(name, _)| name.as_str()).collect(),
        };
        let session = if begins { &mut self.first } else { &mut self.next };
        let run = KeepingRun { inputs, kept: &kept, outputs, keep: &keep };
        let (mut results, next) = session.run_keeping(run)?;
        self.kept = next;
        Ok(results.remove(0))
    }
}

/// Chunks of at most `most` of `count`, as equal as they can be: a kernel is planned anew for each length.
pub(super) fn split(count: usize, most: usize) -> Vec<Range<usize>> {
    let chunks = count.div_ceil(most.max(1));
    (0..chunks).map(|i| count * i / chunks..count * (i + 1) / chunks).collect()
}

/// Latent frames that one run may hold so that no tensor outgrows the kernels: `each` elements per latent frame.
pub(super) fn most_frames(wanted: usize, each: usize) -> usize {
    wanted.min(MOST_ELEMENTS / each.max(1)).max(1)
}

/// The sizes of x [1, `channels`, F, H, W], every one from 1 up.
pub(super) fn sizes(input: &'static str, x: &Tensor, channels: usize) -> Result<[usize; 3]> {
    match *x.shape() {
        [1, c, f, h, w] if c == channels && f * h * w > 0 => Ok([f, h, w]),
        _ => {
            let rule = format!("[1, {channels}, F, H, W]");
            Err(Error::Input { input, rule, value: format!("{:?}", x.shape()) })
        }
    }
}

/// Frames of x: [C, F, `area`] -> [C, `frames`, `area`]
pub(super) fn cut(x: &[f32], of: usize, area: usize, frames: &Range<usize>) -> Vec<f32> {
    x.chunks_exact(of * area).flat_map(|c| &c[frames.start * area..frames.end * area]).copied().collect()
}

/// Joins clips [1, C, F_i, H, W] along their frames.
pub(super) fn join(parts: Vec<Tensor>, channels: usize) -> Result<Tensor> {
    let [h, w] = parts.first().map_or([0, 0], |part| [part.shape()[3], part.shape()[4]]);
    let frames: Vec<usize> = parts.iter().map(|part| part.shape()[2] * h * w).collect();
    let parts: Vec<Vec<f32>> = parts.into_iter().map(Tensor::into_f32).collect();
    let total: usize = frames.iter().sum();
    let mut all = Vec::with_capacity(total * channels);
    for c in 0..channels {
        for (part, n) in parts.iter().zip(&frames) {
            all.extend_from_slice(&part[c * n..(c + 1) * n]);
        }
    }
    Ok(Tensor::f32(&[1, channels, total / (h * w).max(1), h, w], all)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_as_equal_as_they_can_be() {
        assert_eq!(split(20, 4), [0..4, 4..8, 8..12, 12..16, 16..20]);
        assert_eq!(split(6, 5), [0..3, 3..6]);
        assert_eq!(split(5, 2), [0..1, 1..3, 3..5]);
        assert_eq!(split(3, 9), [Range { start: 0, end: 3 }]);
        assert_eq!(split(2, 0), [0..1, 1..2]);
        assert!(split(0, 4).is_empty());
    }

    #[test]
    fn a_chunk_keeps_within_32_bits() {
        assert_eq!(most_frames(4, 1 << 20), 4);
        assert_eq!(most_frames(4, 1 << 30), 1);
        assert_eq!(most_frames(0, 1), 1);
        assert_eq!(most_frames(4, usize::MAX), 1);
    }
}
