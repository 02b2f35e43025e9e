use super::feature_map::channels;
use crate::graph::{Attribute, Graph, Value, show};
use crate::weights::Layout;
use crate::{DType, Error, Result, Weights, cuda};

/// Shape of a two-dimensional convolution with a square kernel.
#[derive(Debug, Clone, Copy)]
pub struct Conv2d {
    /// Channels that come out.
    pub out_channels: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Step between outputs.
    pub stride: usize,
    /// Zeros added at top and left, and at bottom and right.
    pub padding: (usize, usize),
}

impl Conv2d {
    /// Stride 1 and the padding that keeps height and width (odd kernels).
    pub fn same(out_channels: usize, kernel: usize) -> Conv2d {
        Conv2d { out_channels, kernel, stride: 1, padding: (kernel / 2, kernel / 2) }
    }
}

/// x: [B, C_in, H, W] -> [B, C_out, H', W']. Reads `weight` [C_out, C_in, k, k] and `bias` `[C_out]`.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn conv2d(g: &mut Graph, w: &Weights<'_>, x: Value, conv: Conv2d) -> Result<Value> {
    let Conv2d { out_channels, kernel, stride, padding } = conv;
    let last = g.channels_last();
    let weight_shape = [out_channels, channels(g, x)?, kernel, kernel];
    let layout = if last { Layout::ChannelsLast } else { Layout::AsStored };
    let weight = g.weight_as(w, "weight", &weight_shape, g.dtype(), layout)?;
    // Our own pass adds the bias on CUDA: as an input of the convolution it is a slow one.
    let bias_type = if last { DType::F32 } else { g.dtype() };
    let bias = g.weight_as(w, "bias", &[out_channels], bias_type, Layout::AsStored)?;
    let [b, d1, d2, d3] = g.shape(x) else {
        return Err(Error::shape("Conv", "needs [B, C, H, W]", show(g.shape(x))));
    };
    let (height, width) = if last { (d1, d2) } else { (d2, d3) };
    let (k, s, pads) = (kernel as i64, stride as i64, (padding.0 as i64, padding.1 as i64));
    let (height, width) = (height.convolved(k, s, pads), width.convolved(k, s, pads));
    let (b, c) = (b.clone(), out_channels.into());
    let shape = if last { vec![b, height, width, c] } else { vec![b, c, height, width] };
    let attributes = vec![
        ("kernel_shape", Attribute::Ints(vec![k, k])),
        ("strides", Attribute::Ints(vec![s, s])),
        ("pads", Attribute::Ints(vec![pads.0, pads.0, pads.1, pads.1])),
    ];
    let out = (g.dtype_of(x), shape);
    if !last {
        return Ok(g.operator("", "Conv", &[Some(x), Some(weight), Some(bias)], attributes, out));
    }
    let y = g.operator("com.microsoft", "NhwcConv", &[Some(x), Some(weight)], attributes, out.clone());
    Ok(g.operator(cuda::DOMAIN, "BiasSum", &[Some(y), Some(bias)], vec![], out))
}
