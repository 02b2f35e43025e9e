use crate::graph::{Graph, Value, show};
use crate::{DType, Error, Result, Weights};

/// Looks up rows: ids [...] -> [..., D]. Reads `weight` [V, D].
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn embedding(g: &mut Graph, w: &Weights<'_>, ids: Value, rows: usize, width: usize) -> Result<Value> {
    let table = g.weight(w, "weight", &[rows, width])?;
    g.gather(table, ids)
}

/// Sinusoidal features of numbers: x [..., 1] in f32 -> [..., `width`] in f32; the first half cosines, then sines.
///
/// `get_timestep_embedding` of diffusers with `flip_sin_to_cos=True`, `downscale_freq_shift=0`, period 10,000.
///
/// # Errors
/// [`Error::Shape`] for an odd width or an x whose last axis is not 1.
pub fn sinusoidal_embedding(g: &mut Graph, x: Value, width: usize) -> Result<Value> {
    if !width.is_multiple_of(2) || g.fixed(x, -1)? != 1 || g.dtype_of(x) != DType::F32 {
        let rule = "needs an even width and f32 numbers [..., 1]";
        return Err(Error::shape("sinusoidal_embedding", rule, format!("{width}, {}", show(g.shape(x)))));
    }
    let half = width / 2;
    let frequencies: Vec<f32> =
        (0..half).map(|i| (-(10000f32.ln()) * i as f32 / half as f32).exp()).collect();
    let frequencies = g.constant_f32(&[half], &frequencies);
    let angles = g.mul(x, frequencies)?; // [..., width / 2]
    let (cos, sin) = (g.cos(angles), g.sin(angles));
    let axis = g.shape(angles).len() - 1;
    g.concat(&[cos, sin], axis)
}
