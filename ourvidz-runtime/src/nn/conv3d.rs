use super::clip::{CausalClip, clip_channels, cut_frames, time_axis, with_first_axis, without_first_axis};
use super::clip_sum::ClipSum;
use super::conv::Conv2d;
use crate::graph::{Attribute, Dim, Graph, NHWC_DOMAIN, Value};
use crate::weights::Layout;
use crate::{DType, Error, Result, Weights};

/// Which operators convolve a clip that lies with its channels last. A clip that does not takes ONNX's `Conv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClipKernels {
    /// `NhwcConv` of ONNX Runtime once for each time step of the kernel, and a sum.
    #[default]
    Taps,
    /// ONNX Runtime's own form of `Conv` with channels last, with its five axes, where channels are multiples of 8.
    ChannelsLast3d,
    /// As `Taps`, each `Conv` between two transpositions: the same graph in operators that the processor has.
    Transposed,
}

/// Shape of a convolution in time and space that looks at no later frame.
#[derive(Debug, Clone, Copy)]
pub struct Conv3d {
    /// Channels that come out.
    pub out_channels: usize,
    /// Frames, rows and columns of the kernel; its last frame lies on the output's.
    pub kernel: [usize; 3],
    /// Step between outputs in time.
    pub time_stride: usize,
    /// Operators for clips with channels last.
    pub kernels: ClipKernels,
}

/// x: [1, C_in, F, H, W] -> [1, C_out, F', H, W]. Reads `weight` [C_out, C_in, kT, kH, kW] and `bias` `[C_out]`.
///
/// Rows and columns are padded with zeros to keep their number (odd kernels). In time, F' is (n + F - kT) / stride + 1
/// with the n frames before the clip; with nothing before it, kT - 1 frames of zeros are.
///
/// # Errors
/// Missing or wrongly shaped weights; with channels last, a clip of several frames that nothing precedes.
pub fn conv3d(g: &mut Graph, w: &Weights<'_>, clip: CausalClip, conv: Conv3d) -> Result<Value> {
    conv3d_sum(g, w, clip, conv)?.value(g)
}

/// As [`conv3d`], for a norm that adds it up.
///
/// # Errors
/// As [`conv3d`].
pub fn conv3d_sum(g: &mut Graph, w: &Weights<'_>, clip: CausalClip, conv: Conv3d) -> Result<ClipSum> {
    let [k_t, k_h, k_w] = conv.kernel;
    let weight_shape = [conv.out_channels, clip_channels(g, clip.own)?, k_t, k_h, k_w];
    let zeros = if clip.before == 0 { k_t - 1 } else { 0 };
    let frames = g.shape(clip.own)[time_axis(g)].clone();
    let past = ((zeros + clip.before) as i64, 0);
    let frames = frames.convolved(k_t as i64, conv.time_stride as i64, past);
    let (h, w_pad) = ((k_h / 2) as i64, (k_w / 2) as i64);
    let pads = [zeros as i64, h, w_pad, 0, h, w_pad];
    let strides = [conv.time_stride as i64, 1, 1];
    if !g.channels_last() {
        let weight = g.weight(w, "weight", &weight_shape)?;
        let bias = Some(g.weight(w, "bias", &[conv.out_channels])?);
        let mut shape = g.shape(clip.all).to_vec();
        (shape[1], shape[2]) = (conv.out_channels.into(), frames);
        let inputs = [Some(clip.all), Some(weight), bias];
        return Ok(convolve(g, "", &inputs, conv.kernel, strides, pads, shape).into());
    }
    // The bias is added behind: as an input of the convolution it is a slow pass of its own.
    let bias = Some(g.weight_as(w, "bias", &[conv.out_channels], DType::F32, Layout::AsStored)?);
    let mut shape = g.shape(clip.own).to_vec();
    (shape[0], shape[3]) = (frames.clone(), conv.out_channels.into());
    let wide = weight_shape[0].is_multiple_of(8) && weight_shape[1].is_multiple_of(8);
    if zeros == 0 && k_t > 1 && wide && conv.kernels == ClipKernels::ChannelsLast3d {
        let weight = g.weight(w, "weight", &weight_shape)?;
        let x = with_first_axis(g, clip.all);
        shape.insert(0, 1.into());
        let y = convolve(g, NHWC_DOMAIN, &[Some(x), Some(weight)], conv.kernel, strides, pads, shape);
        return Ok(ClipSum::new(vec![without_first_axis(g, y)], bias));
    }
    if zeros > 0 && frames != Dim::Fixed(1) {
        return Err(Error::shape("conv3d", "needs one frame where nothing precedes it", frames.to_string()));
    }
    let mut parts = Vec::new();
    // One frame after zeros meets the kernel's last time step alone.
    for step in zeros..k_t {
        let last = step + 1 == k_t;
        let x = match k_t - zeros {
            1 => clip.all,
            // The clip's own frames are those under the last step, where every frame has an output.
            _ if last && clip.before == k_t - 1 && conv.time_stride == 1 => clip.own,
            _ => {
                let end = if last { i64::MAX } else { step as i64 + 1 - k_t as i64 };
                cut_frames(g, clip.all, (step as i64, end, conv.time_stride as i64), frames.clone())
            }
        };
        let weight = match k_t {
            // As the checkpoint has it: such a kernel lies the same way in both orders.
            1 if k_h * k_w == 1 => {
                g.weight_viewed(w, "weight", &weight_shape, &[weight_shape[0], 1, 1, weight_shape[1]])?
            }
            _ => g.weight_tap(w, &weight_shape, step)?,
        };
        let plane = Plane { kernel: [k_h, k_w], stride: 1, pads: [h, w_pad, h, w_pad] };
        parts.push(convolve_frames(g, conv.kernels, [x, weight], plane, shape.clone())?);
    }
    Ok(ClipSum::new(parts, bias))
}

/// Each frame by itself: x [1, C_in, F, H, W] -> [1, C_out, F, H', W']. Reads `weight` [C_out, C_in, k, k] and `bias`
/// `[C_out]`.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn conv_frames(
    g: &mut Graph,
    w: &Weights<'_>,
    x: Value,
    conv: Conv2d,
    kernels: ClipKernels,
) -> Result<Value> {
    conv_frames_sum(g, w, x, conv, kernels)?.value(g)
}

/// As [`conv_frames`], for a norm that adds it up.
///
/// # Errors
/// As [`conv_frames`].
pub fn conv_frames_sum(
    g: &mut Graph,
    w: &Weights<'_>,
    x: Value,
    conv: Conv2d,
    kernels: ClipKernels,
) -> Result<ClipSum> {
    let Conv2d { out_channels, kernel, stride, padding } = conv;
    let input = clip_channels(g, x)?;
    let stored = [out_channels, input, kernel, kernel];
    let mut shape = g.shape(x).to_vec();
    let (before, after) = (padding.0 as i64, padding.1 as i64);
    let side = |dim: &Dim| dim.convolved(kernel as i64, stride as i64, (before, after));
    if g.channels_last() {
        let weight = match kernels {
            ClipKernels::Transposed => {
                let weight = g.weight(w, "weight", &stored)?;
                g.transpose(weight, &[0, 2, 3, 1])?
            }
            _ => g.weight_as(w, "weight", &stored, g.dtype(), Layout::ChannelsLast)?,
        };
        let bias = g.weight_as(w, "bias", &[out_channels], DType::F32, Layout::AsStored)?;
        (shape[1], shape[2], shape[3]) = (side(&shape[1]), side(&shape[2]), out_channels.into());
        let plane = Plane { kernel: [kernel; 2], stride, pads: [before, before, after, after] };
        let y = convolve_frames(g, kernels, [x, weight], plane, shape)?;
        return Ok(ClipSum::new(vec![y], Some(bias)));
    }
    let weight = g.weight_viewed(w, "weight", &stored, &[out_channels, input, 1, kernel, kernel])?;
    let bias = g.weight(w, "bias", &[out_channels])?;
    (shape[1], shape[3], shape[4]) = (out_channels.into(), side(&shape[3]), side(&shape[4]));
    let (stride, pads) = (stride as i64, [0, before, before, 0, after, after]);
    let inputs = [Some(x), Some(weight), Some(bias)];
    Ok(convolve(g, "", &inputs, [1, kernel, kernel], [1, stride, stride], pads, shape).into())
}

/// A convolution of pictures.
struct Plane {
    kernel: [usize; 2],
    stride: usize,
    /// Top, left, bottom, right.
    pads: [i64; 4],
}

/// x [F, H, W, C_in], weight [C_out, kH, kW, C_in] -> `shape`
fn convolve_frames(
    g: &mut Graph,
    kernels: ClipKernels,
    inputs: [Value; 2],
    plane: Plane,
    shape: Vec<Dim>,
) -> Result<Value> {
    let (kernel, stride) = (plane.kernel.map(|n| n as i64).to_vec(), plane.stride as i64);
    let attributes = vec![
        ("kernel_shape", Attribute::Ints(kernel)),
        ("strides", Attribute::Ints(vec![stride, stride])),
        ("pads", Attribute::Ints(plane.pads.to_vec())),
    ];
    if kernels != ClipKernels::Transposed {
        let inputs = inputs.map(Some);
        return Ok(g.operator("com.microsoft", "NhwcConv", &inputs, attributes, (g.dtype(), shape)));
    }
    let [x, weight] = inputs.map(|x| g.transpose(x, &[0, 3, 1, 2]));
    let first = [Some(x?), Some(weight?)];
    let planes = [0, 3, 1, 2].map(|axis: usize| shape[axis].clone()).to_vec();
    let y = g.operator("", "Conv", &first, attributes, (g.dtype(), planes));
    g.transpose(y, &[0, 2, 3, 1])
}

fn convolve(
    g: &mut Graph,
    domain: &str,
    inputs: &[Option<Value>],
    kernel: [usize; 3],
    strides: [i64; 3],
    pads: [i64; 6],
    shape: Vec<Dim>,
) -> Value {
    let attributes = vec![
        ("kernel_shape", Attribute::Ints(kernel.map(|n| n as i64).to_vec())),
        ("strides", Attribute::Ints(strides.to_vec())),
        ("pads", Attribute::Ints(pads.to_vec())),
    ];
    g.operator(domain, "Conv", inputs, attributes, (g.dtype(), shape))
}
