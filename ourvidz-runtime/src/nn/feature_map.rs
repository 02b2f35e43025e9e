use crate::graph::{Attribute, Dim, Graph, Value, show};
use crate::{DType, Error, Result};

/// Channels of a feature map.
///
/// # Errors
/// [`Error::Shape`] where the size is not known.
pub fn channels(g: &Graph, x: Value) -> Result<usize> {
    g.fixed(x, if g.channels_last() { -1 } else { 1 })
}

/// Declares a feature map [B, C, H, W] as an input of the model and brings it into the target's order.
///
/// # Errors
/// [`Error::Shape`] where the shape has not four axes.
pub fn feature_map_input(g: &mut Graph, name: &str, shape: Vec<Dim>) -> Result<Value> {
    let x = g.input(name, g.dtype(), shape);
    if g.channels_last() { g.transpose(x, &[0, 2, 3, 1]) } else { Ok(x) }
}

/// Makes a feature map an output of the model, as [B, C, H, W].
///
/// # Errors
/// [`Error::Shape`] where the shape has not four axes.
pub fn feature_map_output(g: &mut Graph, name: &str, x: Value) -> Result<()> {
    let x = if g.channels_last() { g.transpose(x, &[0, 3, 1, 2])? } else { x };
    g.output(name, x);
    Ok(())
}

/// x: [B, C, H, W] -> [B, H*W, C]
///
/// # Errors
/// [`Error::Shape`] where the shape has not four axes.
pub fn to_tokens(g: &mut Graph, x: Value) -> Result<Value> {
    let [b, d1, d2, d3] = g.shape(x) else {
        return Err(Error::shape("to_tokens", "needs [B, C, H, W]", show(g.shape(x))));
    };
    let (b, c) = (b.clone(), channels(g, x)?);
    if g.channels_last() {
        let shape = vec![b, d1.times(d2), c.into()];
        return g.reshape(x, &[0, -1, c as i64], shape);
    }
    let shape = vec![b, c.into(), d2.times(d3)];
    let flat = g.reshape(x, &[0, c as i64, -1], shape)?; // [B, C, H*W]
    g.transpose(flat, &[0, 2, 1])
}

/// tokens: [B, H*W, C] -> [B, C, H, W], with batch, height and width of `like`, and its channels.
///
/// # Errors
/// [`Error::Shape`] where channels differ.
pub fn to_feature_map(g: &mut Graph, tokens: Value, like: Value) -> Result<Value> {
    let (found, expected) = (g.fixed(tokens, -1)?, channels(g, like)?);
    if found != expected {
        return Err(Error::shape("to_feature_map", format!("needs {expected} channels"), found.to_string()));
    }
    if g.channels_last() {
        return Ok(g.reshape_like(tokens, like));
    }
    let x = g.transpose(tokens, &[0, 2, 1])?; // [B, C, H*W]
    Ok(g.reshape_like(x, like))
}

/// Adds a vector per channel: x [B, C, H, W], v [B or 1, C] -> [B, C, H, W]
///
/// # Errors
/// [`Error::Shape`] where channels differ.
pub fn add_channels(g: &mut Graph, x: Value, v: Value) -> Result<Value> {
    let (c, batch) = (channels(g, x)?, g.shape(v).first().cloned());
    let batch = batch.unwrap_or(Dim::Fixed(1));
    let one = || Dim::Fixed(1);
    let (pattern, shape) = if g.channels_last() {
        ([0, 1, 1, c as i64], vec![batch, one(), one(), c.into()])
    } else {
        ([0, c as i64, 1, 1], vec![batch, c.into(), one(), one()])
    };
    let v = g.reshape(v, &pattern, shape)?;
    g.add(x, v)
}

/// Joins feature maps along their channels.
///
/// # Errors
/// [`Error::Shape`] where batch, height or width differ.
pub fn concat_channels(g: &mut Graph, a: Value, b: Value) -> Result<Value> {
    let axis = if g.channels_last() { 3 } else { 1 };
    g.concat(&[a, b], axis)
}

/// Nearest-neighbour resize of x [B, C, H, W] to the height and width of `like`.
///
/// # Errors
/// [`Error::Shape`] where either has not four axes.
pub fn resize_nearest_like(g: &mut Graph, x: Value, like: Value) -> Result<Value> {
    four_axes(g, x)?;
    four_axes(g, like)?;
    let (first, end) = if g.channels_last() { (1, 3) } else { (2, 4) };
    let attributes = vec![("start", Attribute::Int(first)), ("end", Attribute::Int(end))];
    let sizes = g.operator("", "Shape", &[Some(like)], attributes, (DType::I64, vec![2.into()]));
    let mut shape = g.shape(x).to_vec();
    let axes = first as usize..end as usize;
    shape[axes.clone()].clone_from_slice(&g.shape(like)[axes]);
    Ok(resize(g, x, [None, Some(sizes)], shape))
}

/// Nearest-neighbour resize of x [B, C, H, W] to [B, C, 2 H, 2 W].
///
/// # Errors
/// [`Error::Shape`] where x has not four axes.
pub fn resize_nearest_twice(g: &mut Graph, x: Value) -> Result<Value> {
    four_axes(g, x)?;
    let axes = if g.channels_last() { 1..3 } else { 2..4 };
    let mut shape = g.shape(x).to_vec();
    for axis in axes {
        shape[axis] = shape[axis].times(&Dim::Fixed(2));
    }
    let scales = g.constant_f32(&[2], &[2.0, 2.0]);
    Ok(resize(g, x, [Some(scales), None], shape))
}

fn four_axes(g: &Graph, x: Value) -> Result<()> {
    match g.shape(x).len() {
        4 => Ok(()),
        _ => Err(Error::shape("Resize", "needs [B, C, H, W]", show(g.shape(x)))),
    }
}

fn resize(g: &mut Graph, x: Value, to: [Option<Value>; 2], shape: Vec<Dim>) -> Value {
    // CUDA has no Resize for bfloat16; nearest neighbour is exact in any wider type.
    let compute = if g.dtype() == DType::Bf16 { DType::F32 } else { g.dtype() };
    let wide = g.cast(x, compute);
    let axes = if g.channels_last() { vec![1, 2] } else { vec![2, 3] };
    let text = |s: &str| Attribute::Text(s.to_owned());
    let attributes = vec![
        ("mode", text("nearest")),
        ("nearest_mode", text("floor")),
        ("coordinate_transformation_mode", text("asymmetric")),
        ("axes", Attribute::Ints(axes)),
    ];
    let y = g.operator("", "Resize", &[Some(wide), None, to[0], to[1]], attributes, (compute, shape));
    g.cast(y, g.dtype())
}
