use std::str::FromStr;

use ourvidz_runtime::{Error as Runtime, Graph, Value};

use crate::Result;

/// How the hidden states of a text's tokens become one vector, by the names of `1_Pooling/config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean (`mean`).
    Mean,
    /// The first token's (`cls`).
    Cls,
    /// The last token's (`lasttoken`).
    LastToken,
    /// Their sum by the root of their count (`mean_sqrt_len_tokens`): the direction of the mean.
    MeanSqrtLen,
    /// Their mean with the weights 1, 2, 3, ... (`weightedmean`).
    WeightedMean,
}

impl Pooling {
    /// What each of `count` tokens counts for.
    pub(super) fn weight(self, token: usize, count: usize) -> f32 {
        let n = count as f32;
        let only = |chosen: usize| if token == chosen { 1.0 } else { 0.0 };
        match self {
            Pooling::Mean => 1.0 / n,
            Pooling::Cls => only(0),
            Pooling::LastToken => only(count.saturating_sub(1)),
            Pooling::MeanSqrtLen => 1.0 / n.sqrt(),
            Pooling::WeightedMean => (token + 1) as f32 / (n * (n + 1.0) / 2.0),
        }
    }
}

impl FromStr for Pooling {
    type Err = Runtime;

    fn from_str(name: &str) -> Result<Self, Runtime> {
        Ok(match name {
            "mean" => Pooling::Mean,
            "cls" => Pooling::Cls,
            "lasttoken" => Pooling::LastToken,
            "mean_sqrt_len_tokens" => Pooling::MeanSqrtLen,
            "weightedmean" => Pooling::WeightedMean,
            _ => {
                return Err(Runtime::Config {
                    file: "1_Pooling/config.json".into(),
                    field: "pooling_mode".into(),
                    rule: "must be mean, cls, lasttoken, mean_sqrt_len_tokens or weightedmean".into(),
                    value: name.into(),
                });
            }
        })
    }
}

/// Adds the output `sentence_embedding` [B, D]: the sum of the `last_hidden_state` [B, L, D] of each row's tokens with
/// the input `pooling_weights` [B, 1, L]. Every way of pooling is such a sum.
pub(super) fn pool(g: &mut Graph, hidden: Value) -> Result<()> {
    let shape = vec!["batch".into(), 1.into(), "length".into()];
    let weights = g.input("pooling_weights", g.dtype(), shape);
    let sum = g.matmul(weights, hidden)?; // [B, 1, D]
    let mut shape = g.shape(sum).to_vec();
    shape.remove(1);
    let axes = g.constant_i64(&[1], &[1]);
    let out = (g.dtype(), shape);
    let flat = g.operator("", "Squeeze", &[Some(sum), Some(axes)], vec![], out);
    g.output("sentence_embedding", flat);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_of_sentence_transformers() {
        let all = |pooling: Pooling| (0..4).map(|i| pooling.weight(i, 4)).collect::<Vec<_>>();
        assert_eq!(all(Pooling::Mean), [0.25; 4]);
        assert_eq!(all(Pooling::Cls), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(all(Pooling::LastToken), [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(all(Pooling::MeanSqrtLen), [0.5; 4]);
        assert_eq!(all(Pooling::WeightedMean), [0.1, 0.2, 0.3, 0.4]);
    }
}
