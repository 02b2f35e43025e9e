use ourvidz_runtime::Error as Runtime;
use serde::Deserialize;

use crate::Result;

const FILE: &str = "text_encoder/config.json";

/// Configuration of `UMT5EncoderModel`, as in `text_encoder/config.json`.
///
/// A field that the file does not name has the value of umT5-XXL, which is the text encoder of every Wan 2.1.
/// Fields that this crate does not know are ignored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Umt5Config {
    /// `umt5`. T5 has the same fields and shares one position bias among its layers.
    pub model_type: String,
    /// Rows of the token table; some more than there are tokens.
    pub vocab_size: usize,
    /// Width D of hidden states.
    pub d_model: usize,
    /// Width of an attention head.
    pub d_kv: usize,
    /// Width of the feed-forward layers.
    pub d_ff: usize,
    /// Attention heads N; their widths together need not be D.
    pub num_heads: usize,
    /// Layers.
    pub num_layers: usize,
    /// Buckets that distances between tokens fall into: half for tokens before, half for tokens after.
    pub relative_attention_num_buckets: usize,
    /// From this distance on, all tokens are in the last bucket of their side.
    pub relative_attention_max_distance: usize,
    /// Added to mean squares.
    pub layer_norm_epsilon: f32,
    /// `gated-gelu`.
    pub feed_forward_proj: String,
}

impl Umt5Config {
    /// Reads and checks the text of a `config.json`.
    ///
    /// # Errors
    /// Text that is not JSON, and a field that holds what no umT5 has, by its name.
    pub fn from_json(text: &str) -> Result<Umt5Config> {
        let config: Umt5Config =
            serde_json::from_str(text).map_err(|source| Runtime::Json { path: FILE.into(), source })?;
        config.check()?;
        Ok(config)
    }

    /// The text encoder of Wan 2.1: 5.7 billion parameters.
    pub fn umt5_xxl() -> Umt5Config {
        Umt5Config {
            model_type: "umt5".into(),
            vocab_size: 256_384,
            d_model: 4096,
            d_kv: 64,
            d_ff: 10_240,
            num_heads: 64,
            num_layers: 24,
            relative_attention_num_buckets: 32,
            relative_attention_max_distance: 128,
            layer_norm_epsilon: 1e-6,
            feed_forward_proj: "gated-gelu".into(),
        }
    }

    /// Width of queries, keys and values: heads times their width.
    pub(crate) fn inner_dim(&self) -> usize {
        self.num_heads * self.d_kv
    }

    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |field: &str, rule: &str, value: String| {
            Err(Runtime::Config { file: FILE.into(), field: field.into(), rule: rule.into(), value }.into())
        };
        let positive = [
            ("vocab_size", self.vocab_size),
            ("d_model", self.d_model),
            ("d_kv", self.d_kv),
            ("d_ff", self.d_ff),
            ("num_heads", self.num_heads),
            ("num_layers", self.num_layers),
        ];
        if let Some((field, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return refuse(field, "must be at least 1", "0".into());
        }
        let buckets = self.relative_attention_num_buckets;
        if buckets < 4 || !buckets.is_multiple_of(4) {
            let rule = "must be a multiple of 4 and at least 4";
            return refuse("relative_attention_num_buckets", rule, buckets.to_string());
        }
        if self.relative_attention_max_distance <= buckets / 4 {
            let rule = "must be more than a quarter of relative_attention_num_buckets";
            let value = self.relative_attention_max_distance.to_string();
            return refuse("relative_attention_max_distance", rule, value);
        }
        if self.layer_norm_epsilon.is_nan() || self.layer_norm_epsilon <= 0.0 {
            return refuse("layer_norm_epsilon", "must be above 0", self.layer_norm_epsilon.to_string());
        }
        if self.model_type != "umt5" {
            return refuse("model_type", "must be umt5", self.model_type.clone());
        }
        if self.feed_forward_proj != "gated-gelu" {
            return refuse("feed_forward_proj", "must be gated-gelu", self.feed_forward_proj.clone());
        }
        Ok(())
    }
}

impl Default for Umt5Config {
    fn default() -> Umt5Config {
        Umt5Config::umt5_xxl()
    }
}
