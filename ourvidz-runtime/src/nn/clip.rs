//! Clips: feature maps with frames. Written [1, C, F, H, W] and lying so where feature maps are [B, C, H, W]; where
//! those are [B, H, W, C], a clip is [F, H, W, C], and every operator on pictures takes its frames as a batch.

use crate::graph::{Attribute, Dim, Graph, Value, show};
use crate::{Error, Result, cuda};

/// A clip with what lies before it in time, which causal layers look at.
#[derive(Debug, Clone, Copy)]
pub struct CausalClip {
    /// The clip itself.
    pub(super) own: Value,
    /// The frames before it, then its own; without frames before it, its own.
    pub(super) all: Value,
    /// Frames before it.
    pub(super) before: usize,
    /// As many at the end of `all`, where an operator gave them.
    last: Option<Value>,
}

/// A clip that nothing precedes: causal layers see zeros.
pub fn after_nothing(x: Value) -> CausalClip {
    CausalClip { own: x, all: x, before: 0, last: None }
}

/// A clip that follows the frames of `before`: [1, C, `n`, H, W] and [1, C, F, H, W].
///
/// # Errors
/// [`Error::Shape`] where `before` has no fixed number of frames or another size.
pub fn after_frames(g: &mut Graph, before: Value, x: Value) -> Result<CausalClip> {
    let axis = time_axis(g);
    let n = g.fixed(before, axis as isize)?;
    let (mut shape, mut other) = (g.shape(x).to_vec(), g.shape(before).to_vec());
    let frames = shape[axis].clone();
    other[axis] = frames.clone();
    if other != shape {
        return Err(Error::shape("after_frames", format!("needs clips like {}", show(&shape)), show(&other)));
    }
    shape[axis] = match frames {
        Dim::Fixed(f) => Dim::Fixed(f + n as i64),
        Dim::Named(f) => Dim::from(format!("{f}+{n}").as_str()),
    };
    let out = (g.dtype_of(x), shape);
    if !g.channels_last() {
        let axis = vec![("axis", Attribute::Int(axis as i64))];
        let all = g.operator("", "Concat", &[Some(before), Some(x)], axis, out);
        return Ok(CausalClip { own: x, all, before: n, last: None });
    }
    // One operator for both: ONNX Runtime would cut the last frames off at the end of a run, and hold all until then.
    let outputs = [out, (g.dtype_of(x), g.shape(before).to_vec())];
    let inputs = [Some(x), Some(before)];
    let [all, last] = g.operator_with_outputs(cuda::DOMAIN, "AfterFrames", &inputs, vec![], outputs);
    Ok(CausalClip { own: x, all, before: n, last: Some(last) })
}

/// The last `n` frames, counted over those before the clip too; zeros where there are not as many.
///
/// # Errors
/// [`Error::Shape`] where nothing precedes the clip and its number of frames is not fixed.
pub fn last_frames(g: &mut Graph, clip: CausalClip, n: usize) -> Result<Value> {
    if let Some(last) = clip.last.filter(|_| clip.before == n) {
        return Ok(last);
    }
    let there = clip.before.max(g.fixed(clip.own, time_axis(g) as isize).unwrap_or(0));
    if there >= n {
        return Ok(cut_frames(g, clip.all, (-(n as i64), i64::MAX, 1), n.into()));
    }
    let frames = g.fixed(clip.all, time_axis(g) as isize)?;
    Ok(zeros_before(g, clip.all, n - frames, n.into()))
}

/// `n` frames of zeros of the size of x: [1, C, `n`, H, W].
pub fn zero_frames(g: &mut Graph, x: Value, n: usize) -> Value {
    let frames = Dim::from(format!("{n}+{}", g.shape(x)[time_axis(g)]).as_str());
    let padded = zeros_before(g, x, n, frames);
    cut_frames(g, padded, (0, n as i64, 1), n.into())
}

/// Frames `start`, `start + step`, ... before `end`; negative numbers count from the end.
pub(super) fn cut_frames(g: &mut Graph, x: Value, range: (i64, i64, i64), frames: Dim) -> Value {
    let axis = time_axis(g);
    let mut shape = g.shape(x).to_vec();
    shape[axis] = frames;
    let out = (g.dtype_of(x), shape);
    let (start, end, step) = range;
    let [starts, ends, axes, steps] =
        [start, end, axis as i64, step].map(|n| Some(g.constant_i64(&[1], &[n])));
    g.operator("", "Slice", &[Some(x), starts, ends, axes, steps], vec![], out)
}

fn zeros_before(g: &mut Graph, x: Value, n: usize, frames: Dim) -> Value {
    let axis = time_axis(g);
    let mut shape = g.shape(x).to_vec();
    if g.channels_last() {
        shape[axis] = frames;
        let (out, zeros) = ((g.dtype_of(x), shape), vec![("zeros", Attribute::Int(n as i64))]);
        return g.operator(cuda::DOMAIN, "AfterZeros", &[Some(x)], zeros, out);
    }
    let mut pads = vec![0; 2 * shape.len()];
    pads[axis] = n as i64;
    shape[axis] = frames;
    let out = (g.dtype_of(x), shape);
    let pads = g.constant_i64(&[pads.len()], &pads);
    g.operator("", "Pad", &[Some(x), Some(pads)], vec![], out)
}

/// The axis of frames.
pub(super) fn time_axis(g: &Graph) -> usize {
    if g.channels_last() { 0 } else { 2 }
}

/// Channels of a clip.
///
/// # Errors
/// [`Error::Shape`] where the size is not known.
pub fn clip_channels(g: &Graph, x: Value) -> Result<usize> {
    g.fixed(x, if g.channels_last() { -1 } else { 1 })
}

/// The first `n` channels: [1, C, F, H, W] -> [1, `n`, F, H, W].
///
/// # Errors
/// [`Error::Shape`] where there are fewer.
pub fn first_channels(g: &mut Graph, x: Value, n: usize) -> Result<Value> {
    let axis = if g.channels_last() { 3 } else { 1 };
    g.slice(x, axis, 0, n)
}

/// Declares a clip [1, C, F, H, W] as an input of the model and brings it into the target's order.
///
/// # Errors
/// None in practice; the five axes are there.
pub fn clip_input(g: &mut Graph, name: &str, channels: usize, sizes: [Dim; 3]) -> Result<Value> {
    let [frames, height, width] = sizes;
    let x = g.input(name, g.dtype(), vec![1.into(), channels.into(), frames, height, width]);
    if g.channels_last() { frames_first(g, x) } else { Ok(x) }
}

/// Makes a clip an output of the model, as [1, C, F, H, W].
///
/// # Errors
/// [`Error::Shape`] for what is not a clip.
pub fn clip_output(g: &mut Graph, name: &str, x: Value) -> Result<()> {
    let x = if g.channels_last() { channels_first(g, x)? } else { x };
    g.output(name, x);
    Ok(())
}

/// Declares `frames` frames of the size of `like` as an input, in the target's own order: what another run of a model
/// gave and the host never looks at.
pub fn clip_state(g: &mut Graph, name: &str, like: Value, frames: usize) -> Value {
    let mut shape = g.shape(like).to_vec();
    shape[time_axis(g)] = frames.into();
    g.input(name, g.dtype(), shape)
}

/// Frames whose channels hold two frames become two frames: [1, 2 C, F, H, W] -> [1, C, 2 F, H, W].
///
/// # Errors
/// [`Error::Shape`] for an odd number of channels.
pub fn interleave_frames(g: &mut Graph, x: Value) -> Result<Value> {
    let both = clip_channels(g, x)?;
    if !both.is_multiple_of(2) {
        return Err(Error::shape("interleave_frames", "needs an even number of channels", both.to_string()));
    }
    let c = both / 2;
    let shape = g.shape(x).to_vec();
    let (dim, n) = (Dim::from(c), c as i64);
    if g.channels_last() {
        let [f, h, w, _] = &shape[..] else { return Err(not_a_clip(&shape)) };
        let pair = vec![f.clone(), h.clone(), w.clone(), 2.into(), dim.clone()];
        let pair = g.reshape(x, &[0, 0, 0, 2, n], pair)?;
        let pair = g.transpose(pair, &[0, 3, 1, 2, 4])?; // [F, 2, H, W, C]
        let frames = f.times(&Dim::Fixed(2));
        let clip = vec![1.into(), frames, h.clone(), w.clone(), dim];
        let clip = g.reshape(pair, &[1, -1, 0, 0, 0], clip)?;
        return Ok(without_first_axis(g, clip));
    }
    let [_, _, f, h, w] = &shape[..] else { return Err(not_a_clip(&shape)) };
    let pair =
        g.reshape(x, &[2, n, 0, 0, 0], vec![2.into(), dim.clone(), f.clone(), h.clone(), w.clone()])?;
    let pair = g.transpose(pair, &[1, 2, 0, 3, 4])?; // [C, F, 2, H, W]
    let frames = f.times(&Dim::Fixed(2));
    g.reshape(pair, &[1, n, -1, 0, 0], vec![1.into(), dim, frames, h.clone(), w.clone()])
}

/// Nearest-neighbour resize of each frame: [1, C, F, H, W] -> [1, C, F, 2 H, 2 W].
///
/// # Errors
/// [`Error::Shape`] for what is not a clip.
pub fn resize_frames_twice(g: &mut Graph, x: Value) -> Result<Value> {
    let mut shape = g.shape(x).to_vec();
    let sides = if g.channels_last() { [1, 2] } else { [3, 4] };
    if shape.len() != sides[1] + if g.channels_last() { 2 } else { 1 } {
        return Err(not_a_clip(&shape));
    }
    // A scale for every axis: where `axes` names some, ONNX Runtime's passes on transpositions count them wrongly.
    let mut scales = vec![1.0; shape.len()];
    for side in sides {
        shape[side] = shape[side].times(&Dim::Fixed(2));
        scales[side] = 2.0;
    }
    if g.channels_last() {
        let out = (g.dtype_of(x), shape);
        return Ok(g.operator(cuda::DOMAIN, "DoubleFrames", &[Some(x)], vec![], out));
    }
    let text = |s: &str| Attribute::Text(s.to_owned());
    let attributes = vec![
        ("mode", text("nearest")),
        ("nearest_mode", text("floor")),
        ("coordinate_transformation_mode", text("asymmetric")),
    ];
    let scales = g.constant_f32(&[scales.len()], &scales);
    let out = (g.dtype_of(x), shape);
    Ok(g.operator("", "Resize", &[Some(x), None, Some(scales)], attributes, out))
}

/// [1, C, F, H, W] as it is -> [F, H, W, C]
pub(super) fn frames_first(g: &mut Graph, x: Value) -> Result<Value> {
    let x = g.transpose(x, &[0, 2, 3, 4, 1])?;
    Ok(without_first_axis(g, x))
}

/// [F, H, W, C] -> [1, C, F, H, W]
pub(super) fn channels_first(g: &mut Graph, x: Value) -> Result<Value> {
    let x = with_first_axis(g, x);
    g.transpose(x, &[0, 4, 1, 2, 3])
}

/// [F, H, W, C] -> [1, F, H, W, C]
pub(super) fn with_first_axis(g: &mut Graph, x: Value) -> Value {
    let mut shape = g.shape(x).to_vec();
    shape.insert(0, 1.into());
    first_axis(g, "Unsqueeze", x, shape)
}

/// [1, F, H, W, C] -> [F, H, W, C]
pub(super) fn without_first_axis(g: &mut Graph, x: Value) -> Value {
    let shape = g.shape(x)[1..].to_vec();
    first_axis(g, "Squeeze", x, shape)
}

fn first_axis(g: &mut Graph, op: &str, x: Value, shape: Vec<Dim>) -> Value {
    let dtype = g.dtype_of(x);
    let axes = g.constant_i64(&[1], &[0]);
    g.operator("", op, &[Some(x), Some(axes)], vec![], (dtype, shape))
}

pub(super) fn not_a_clip(shape: &[Dim]) -> Error {
    Error::shape("clip", "needs [1, C, F, H, W]", show(shape))
}
