use super::activation::silu;
use super::feature_map::channels;
use super::modulation::modulated_layer_norm;
use crate::graph::{Attribute, Dim, Graph, Target, Value, show};
use crate::weights::Layout;
use crate::{DType, Error, Result, Weights};

/// Parameters of a group normalisation.
#[derive(Debug, Clone, Copy)]
pub struct GroupNorm {
    /// Groups that the channels are split into.
    pub num_groups: usize,
    /// Added to the variance.
    pub eps: f32,
    /// Followed by SiLU.
    pub silu: bool,
}

/// x: [B, C, H, W] -> [B, C, H, W]. Reads `weight` `[C]` and `bias` `[C]`.
///
/// bfloat16 is normalised in f32.
///
/// # Errors
/// Missing or wrongly shaped weights; channels that the groups do not divide.
pub fn group_norm(g: &mut Graph, w: &Weights<'_>, x: Value, norm: GroupNorm) -> Result<Value> {
    let c = channels(g, x)?;
    if norm.num_groups == 0 || c % norm.num_groups != 0 {
        let rule = format!("{c} channels must be divisible by num_groups");
        return Err(Error::shape("GroupNorm", rule, norm.num_groups.to_string()));
    }
    if !g.channels_last() {
        return by_parts(g, w, x, norm, c);
    }
    // The kernel takes pairs of channels of one group.
    if (c / norm.num_groups).is_multiple_of(2) {
        let gamma = g.weight_as(w, "weight", &[c], DType::F32, Layout::AsStored)?;
        let beta = g.weight_as(w, "bias", &[c], DType::F32, Layout::AsStored)?;
        let attributes = vec![
            ("epsilon", Attribute::Float(norm.eps)),
            ("groups", Attribute::Int(norm.num_groups as i64)),
            ("activation", Attribute::Int(norm.silu.into())),
            ("channels_last", Attribute::Int(1)),
        ];
        let out = (g.dtype_of(x), g.shape(x).to_vec());
        let inputs = [Some(x), Some(gamma), Some(beta)];
        return Ok(g.operator("com.microsoft", "GroupNorm", &inputs, attributes, out));
    }
    by_parts(g, w, x, norm, c)
}

/// Group normalisation in standard operators. Computed in f32 on CUDA, where sums of squares would leave fp16's range,
/// and for bf16, which has too few digits and no `InstanceNormalization`.
fn by_parts(g: &mut Graph, w: &Weights<'_>, x: Value, norm: GroupNorm, c: usize) -> Result<Value> {
    let in_parts = g.target() == Target::Cuda || g.dtype() == DType::Bf16;
    let compute = if in_parts { DType::F32 } else { g.dtype() };
    let wide = g.cast(x, compute);
    let (groups, each) = (norm.num_groups, c / norm.num_groups);
    let [b, d1, d2, d3] = g.shape(wide) else {
        return Err(Error::shape("GroupNorm", "needs [B, C, H, W]", show(g.shape(wide))));
    };
    let b = b.clone();
    let normed = if g.channels_last() {
        let shape = vec![b, d1.times(d2), groups.into(), each.into()];
        let grouped = g.reshape(wide, &[0, -1, groups as i64, each as i64], shape)?; // [B, H*W, G, C/G]
        standardise(g, grouped, &[1, 3], norm.eps)?
    } else {
        let shape = vec![b, groups.into(), Dim::from(each).times(&d2.times(d3))];
        let grouped = g.reshape(wide, &[0, groups as i64, -1], shape)?; // [B, G, C/G*H*W]
        if in_parts {
            standardise(g, grouped, &[2], norm.eps)?
        } else {
            instance_norm(g, grouped, groups, norm.eps)
        }
    };
    let mut y = g.reshape_like(normed, wide);
    let sizes = if g.channels_last() { vec![c] } else { vec![c, 1, 1] };
    for (name, multiply) in [("weight", true), ("bias", false)] {
        let parameter = g.weight_as(w, name, &[c], compute, Layout::AsStored)?;
        let pattern: Vec<i64> = sizes.iter().map(|n| *n as i64).collect();
        let parameter = g.reshape(parameter, &pattern, sizes.iter().map(|n| (*n).into()).collect())?;
        y = if multiply { g.mul(y, parameter)? } else { g.add(y, parameter)? };
    }
    let y = g.cast(y, g.dtype());
    if norm.silu { silu(g, y) } else { Ok(y) }
}

/// x: [B, G, L] -> [B, G, L], each row normalised by itself.
fn instance_norm(g: &mut Graph, x: Value, groups: usize, eps: f32) -> Value {
    let (ones, zeros) = (vec![1.0; groups], vec![0.0; groups]);
    let (one, zero) = (g.constant_float(&[groups], &ones), g.constant_float(&[groups], &zeros));
    let out = (g.dtype_of(x), g.shape(x).to_vec());
    let eps = vec![("epsilon", Attribute::Float(eps))];
    g.operator("", "InstanceNormalization", &[Some(x), Some(one), Some(zero)], eps, out)
}

/// (x - mean) / sqrt(variance + eps) over `axes`; CUDA has no `InstanceNormalization` of today's version.
fn standardise(g: &mut Graph, x: Value, axes: &[usize], eps: f32) -> Result<Value> {
    let mean = mean(g, x, axes);
    let centred = g.sub(x, mean)?;
    let squared = g.mul(centred, centred)?;
    let variance = self::mean(g, squared, axes);
    let eps = g.constant_f32(&[], &[eps]);
    let shifted = g.add(variance, eps)?;
    let deviation = g.unary("Sqrt", shifted);
    // Not a quotient: ONNX Runtime would take the whole for a LayerNormalization and find no weights for it.
    let scale = g.unary("Reciprocal", deviation);
    g.mul(centred, scale)
}

fn mean(g: &mut Graph, x: Value, axes: &[usize]) -> Value {
    let mut shape = g.shape(x).to_vec();
    for axis in axes {
        shape[*axis] = Dim::Fixed(1);
    }
    let out = (g.dtype_of(x), shape);
    let axes: Vec<i64> = axes.iter().map(|axis| *axis as i64).collect();
    let axes = g.constant_i64(&[axes.len()], &axes);
    g.operator("", "ReduceMean", &[Some(x), Some(axes)], vec![("keepdims", Attribute::Int(1))], out)
}

/// x: [..., D] -> [..., D], normalised over the last axis. Reads `weight` `[D]` and `bias` `[D]`.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn layer_norm(g: &mut Graph, w: &Weights<'_>, x: Value, eps: f32) -> Result<Value> {
    let d = g.fixed(x, -1)?;
    let [scale, shift] = layer_norm_weights(g, w, d)?;
    modulated_layer_norm(g, x, scale, shift, eps)
}

/// Scale `[d]` and shift `[d]` of a layer normalisation, in the type that the target's kernels take. Reads `weight`
/// `[d]` and `bias` `[d]`.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn layer_norm_weights(g: &mut Graph, w: &Weights<'_>, d: usize) -> Result<[Value; 2]> {
    Ok([vector(g, w, "weight", d)?, vector(g, w, "bias", d)?])
}

/// A vector of parameters `[d]` by `name`.
pub(super) fn vector(g: &mut Graph, w: &Weights<'_>, name: &str, d: usize) -> Result<Value> {
    // Our kernels take them in f32.
    let dtype = if g.target() == Target::Cuda { DType::F32 } else { g.dtype() };
    g.weight_as(w, name, &[d], dtype, Layout::AsStored)
}
