use ourvidz_runtime::{Attribute, DType, Dim, Graph, Value, Weights};

use super::{Matrices, QwenConfig, linear};
use crate::Result;

/// x: [B, L, D] -> the output `logits` [B, P, V] in f32 at `logit_positions`, and the `top` highest of each.
pub(super) fn logits(
    g: &mut Graph,
    w: &Weights<'_>,
    x: Value,
    config: &QwenConfig,
    matrices: Matrices,
    top: Option<usize>,
) -> Result<()> {
    let positions = g.input("logit_positions", DType::I64, vec!["positions".into()]);
    let shape = vec!["batch".into(), "positions".into(), config.hidden_size.into()];
    let axis = vec![("axis", Attribute::Int(1))];
    let dtype = g.dtype();
    let x = g.operator("", "Gather", &[Some(x), Some(positions)], axis, (dtype, shape)); // [B, P, D]
    let logits = linear(g, w, x, config.vocab_size, matrices)?;
    let logits = g.cast(logits, DType::F32);
    g.output("logits", logits);
    let Some(top) = top else { return Ok(()) };
    let mut shape = g.shape(logits).to_vec();
    shape[2] = Dim::from(top);
    let count = g.constant_i64(&[1], &[top as i64]);
    let attributes = ["axis", "largest", "sorted"].into_iter().zip([-1, 1, 1].map(Attribute::Int)).collect();
    let outputs = [(DType::F32, shape.clone()), (DType::I64, shape)];
    let outputs = g.operator_with_outputs("", "TopK", &[Some(logits), Some(count)], attributes, outputs);
    g.output("top_logits", outputs[0]);
    g.output("top_tokens", outputs[1]);
    Ok(())
}
