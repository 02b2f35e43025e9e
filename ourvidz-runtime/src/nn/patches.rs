use super::linear::matmul_transposed;
use crate::graph::{Dim, Graph, Value, show};
use crate::{Error, Result, Weights};

/// Latents cut into patches.
#[derive(Debug, Clone, Copy)]
pub struct Patches {
    /// What was cut: [B, C, F, H, W].
    pub source: Value,
    /// [B, F / p_f, H / p_h, W / p_w, C * p_f * p_h * p_w]
    pub grid: Value,
    /// Frames, rows and columns of one patch.
    pub size: [usize; 3],
}

/// Cuts x [B, C, F, H, W] into patches of `size` frames, rows and columns. The sizes of x must be multiples of it.
///
/// # Errors
/// [`Error::Shape`] where x has not five axes with a fixed number of channels.
pub fn patches(g: &mut Graph, x: Value, size: [usize; 3]) -> Result<Patches> {
    let c = g.fixed(x, 1)?;
    let [b, _, frames, height, width] = g.shape(x) else {
        return Err(Error::shape("patches", "needs [B, C, F, H, W]", show(g.shape(x))));
    };
    let mut dims = vec![b.clone(), Dim::from(c)];
    let counts = [frames.clone(), height.clone(), width.clone()];
    // `Reshape` leaves one size open, so axes are cut one by one, each after it was brought to the end. Frames and
    // rows return to where they were when all three have been cut.
    let mut y = x;
    let mut rest: Vec<Dim> = counts.to_vec();
    for (count, p) in counts.iter().zip(size) {
        // [B, C, cut..., this, others...] -> [B, C, cut..., others..., this] -> [..., this / p, p]
        let rank = g.shape(y).len();
        let at = dims.len();
        let perm: Vec<usize> = (0..at).chain(at + 1..rank).chain([at]).collect();
        y = g.transpose(y, &perm)?;
        rest.remove(0);
        let cut = [divided(count, p), Dim::from(p)];
        let shape: Vec<Dim> = dims.iter().chain(&rest).chain(&cut).cloned().collect();
        let mut pattern = vec![0; shape.len() - 2];
        pattern.extend([-1, p as i64]);
        y = g.reshape(y, &pattern, shape)?;
        // Back in front of the axes that are still whole.
        let rank = g.shape(y).len();
        let perm: Vec<usize> = (0..at).chain([rank - 2, rank - 1]).chain(at..rank - 2).collect();
        y = g.transpose(y, &perm)?;
        dims.extend(cut);
    }
    // [B, C, F', p_f, H', p_h, W', p_w] -> [B, F', H', W', C, p_f, p_h, p_w]
    y = g.transpose(y, &[0, 2, 4, 6, 1, 3, 5, 7])?;
    let each = c * size.iter().product::<usize>();
    let shape = vec![dims[0].clone(), dims[2].clone(), dims[4].clone(), dims[6].clone(), each.into()];
    let grid = g.reshape(y, &[0, 0, 0, 0, each as i64], shape)?;
    Ok(Patches { source: x, grid, size })
}

/// A convolution whose kernel and stride are the patch: patches of x [B, C, F, H, W] -> tokens [B, L, `width`]; the axis
/// L is named `tokens`. Reads `weight` [width, C, p_f, p_h, p_w] and `bias`.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn patch_embedding(g: &mut Graph, w: &Weights<'_>, x: &Patches, width: usize) -> Result<Value> {
    let (c, each) = (g.fixed(x.source, 1)?, g.fixed(x.grid, -1)?);
    let [p_f, p_h, p_w] = x.size;
    let weight = g.weight(w, "weight", &[width, c, p_f, p_h, p_w])?;
    let weight = g.reshape(weight, &[width as i64, each as i64], vec![width.into(), each.into()])?;
    let batch = g.shape(x.grid)[0].clone();
    let tokens = g.reshape(x.grid, &[0, -1, each as i64], vec![batch, "tokens".into(), each.into()])?;
    let y = matmul_transposed(g, tokens, weight, width)?;
    let bias = g.weight(w, "bias", &[width])?;
    g.add(y, bias)
}

/// Puts patches together: tokens [B, L, p_f * p_h * p_w * C] -> [B, C, F, H, W], with the sizes of `like`.
///
/// # Errors
/// [`Error::Shape`] where the patch does not divide the tokens' width, or C is more than the channels of `like`.
pub fn unpatchify(g: &mut Graph, tokens: Value, like: &Patches) -> Result<Value> {
    let each = g.fixed(tokens, -1)?;
    let [p_f, p_h, p_w] = like.size;
    let c = each / like.size.iter().product::<usize>();
    let most = g.fixed(like.source, 1)?;
    if c * p_f * p_h * p_w != each || c > most {
        let rule = format!("needs at most {most} channels in whole patches of {:?}", like.size);
        return Err(Error::shape("unpatchify", rule, each.to_string()));
    }
    // Sizes that are known only when the graph runs come from values of the same shape.
    let narrow = |g: &mut Graph, x, axis, most, wanted| {
        if wanted == most { Ok(x) } else { g.slice(x, axis, 0, wanted) }
    };
    let grid = narrow(g, like.grid, 4, g.fixed(like.grid, -1)?, each)?;
    let y = g.reshape_like(tokens, grid); // [B, F', H', W', p_f * p_h * p_w * C]
    let mut shape = g.shape(y).to_vec();
    shape.truncate(4);
    shape.extend([p_f, p_h, p_w, c].map(Dim::from));
    let pattern = [0, 0, 0, 0, p_f as i64, p_h as i64, p_w as i64, c as i64];
    let y = g.reshape(y, &pattern, shape)?;
    let y = g.transpose(y, &[0, 7, 1, 4, 2, 5, 3, 6])?; // [B, C, F', p_f, H', p_h, W', p_w]
    let source = narrow(g, like.source, 1, most, c)?;
    Ok(g.reshape_like(y, source))
}

fn divided(count: &Dim, by: usize) -> Dim {
    match count {
        named if by == 1 => named.clone(),
        Dim::Fixed(n) => Dim::Fixed(n / by as i64),
        Dim::Named(name) => Dim::from(format!("{name}/{by}").as_str()),
    }
}
