use super::activation::silu;
use super::feature_map::channels;
use crate::graph::{Attribute, Dim, Graph, Value};
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
        return portable(g, w, x, norm, c);
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
    let nchw = g.transpose(x, &[0, 3, 1, 2])?;
    let y = portable(g, w, nchw, norm, c)?;
    g.transpose(y, &[0, 2, 3, 1])
}

/// Group normalisation is instance normalisation of [B, G, C/G * H * W], then a scale and a shift per channel.
fn portable(g: &mut Graph, w: &Weights<'_>, x: Value, norm: GroupNorm, c: usize) -> Result<Value> {
    let compute = if g.dtype() == DType::Bf16 { DType::F32 } else { g.dtype() };
    let wide = g.cast(x, compute);
    let groups = norm.num_groups;
    let [b, _, h, width] = g.shape(wide) else {
        return Err(Error::shape("GroupNorm", "needs [B, C, H, W]", format!("{:?}", g.shape(wide))));
    };
    let rest = Dim::from(c / groups).times(&h.times(width));
    let grouped_shape = vec![b.clone(), groups.into(), rest];
    let grouped = g.reshape(wide, &[0, groups as i64, -1], grouped_shape)?;
    let (ones, zeros) = (vec![1.0; groups], vec![0.0; groups]);
    let (one, zero) = (g.constant_f32(&[groups], &ones), g.constant_f32(&[groups], &zeros));
    let (one, zero) = (g.cast(one, compute), g.cast(zero, compute));
    let out = (compute, g.shape(grouped).to_vec());
    let eps = vec![("epsilon", Attribute::Float(norm.eps))];
    let normed = g.operator("", "InstanceNormalization", &[Some(grouped), Some(one), Some(zero)], eps, out);
    let mut y = g.reshape_like(normed, wide);
    for (name, multiply) in [("weight", true), ("bias", false)] {
        let parameter = g.weight_as(w, name, &[c], compute, Layout::AsStored)?;
        let parameter = g.reshape(parameter, &[-1, 1, 1], vec![c.into(), 1.into(), 1.into()])?;
        y = if multiply { g.mul(y, parameter)? } else { g.add(y, parameter)? };
    }
    let y = g.cast(y, g.dtype());
    if norm.silu { silu(g, y) } else { Ok(y) }
}

/// x: [..., D] -> [..., D], normalised over the last axis. Reads `weight` `[D]` and `bias` `[D]`.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn layer_norm(g: &mut Graph, w: &Weights<'_>, x: Value, eps: f32) -> Result<Value> {
    let d = g.fixed(x, -1)?;
    let (gamma, beta) = (g.weight(w, "weight", &[d])?, g.weight(w, "bias", &[d])?);
    let out = (g.dtype_of(x), g.shape(x).to_vec());
    let attributes = vec![("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(eps))];
    Ok(g.operator("", "LayerNormalization", &[Some(x), Some(gamma), Some(beta)], attributes, out))
}
