use ourvidz_runtime::nn::Norm;
use ourvidz_runtime::{Attribute, DType, Graph, Target, Value, Weights, nn};

use super::{Matrices, QwenConfig};
use crate::Result;

/// x: [B, L, D] -> the output `logits` [B, P, V] in f32 of the norm of x at `logit_positions`, and on CUDA the highest
/// of each.
pub(super) fn logits(
    g: &mut Graph,
    w: &Weights<'_>,
    x: Value,
    norm: Norm<'_, '_>,
    config: &QwenConfig,
    matrices: Matrices,
) -> Result<()> {
    let positions = g.input("logit_positions", DType::I64, vec!["positions".into()]);
    let shape = vec!["batch".into(), "positions".into(), config.hidden_size.into()];
    let axis = vec![("axis", Attribute::Int(1))];
    let dtype = g.dtype();
    let x = g.operator("", "Gather", &[Some(x), Some(positions)], axis, (dtype, shape)); // [B, P, D]
    let logits = nn::project(g, w, x, Some(norm), config.vocab_size, false, matrices)?;
    let logits = g.cast(logits, DType::F32);
    g.output("logits", logits);
    if g.target() == Target::Cuda {
        let [values, tokens] = nn::top_logits(g, logits);
        g.output("top_logits", values);
        g.output("top_tokens", tokens);
    }
    Ok(())
}
