use ourvidz_runtime::Error as Runtime;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::Result;

const FILE: &str = "config.json";

/// Configuration of `Qwen2ForCausalLM` and `Qwen3ForCausalLM`, as in `config.json`.
///
/// Fields that this crate does not know are ignored; fields that would change the model in a way that it does not
/// build are refused by name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct QwenConfig {
    /// `qwen2` (also of Qwen 2.5) or `qwen3`.
    pub model_type: String,
    /// Rows V of the token table; some more than there are tokens.
    pub vocab_size: usize,
    /// Width D of hidden states.
    pub hidden_size: usize,
    /// Width of the feed-forward layers.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads N of queries.
    pub num_attention_heads: usize,
    /// Heads of keys and values; divides `num_attention_heads`.
    pub num_key_value_heads: usize,
    /// Width H of a head. Absent: D / N.
    #[serde(default)]
    pub head_dim: Option<usize>,
    /// Positions that the model was trained on, prompt and answer together.
    #[serde(default = "max_position_embeddings")]
    pub max_position_embeddings: usize,
    /// Added to mean squares.
    #[serde(default = "rms_norm_eps")]
    pub rms_norm_eps: f32,
    /// Base of the rotary angles. Newer files have it in `rope_parameters`.
    #[serde(default)]
    pub rope_theta: Option<f64>,
    /// The rotary embedding in files of transformers 5.
    #[serde(default)]
    pub rope_parameters: Option<Json>,
    /// A scaling of rotary angles; only `default` is built.
    #[serde(default)]
    pub rope_scaling: Option<Json>,
    /// The matrix of the logits is the token table.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// `silu`.
    #[serde(default = "silu")]
    pub hidden_act: String,
    /// Biases of the projections in Qwen 3, which no published model has. Qwen 2 always has those of q, k and v.
    #[serde(default)]
    pub attention_bias: bool,
    /// A window that tokens see no further than; not built.
    #[serde(default)]
    pub use_sliding_window: bool,
    /// What each layer attends to; only `full_attention` is built.
    #[serde(default)]
    pub layer_types: Option<Vec<String>>,
    /// Weights that are stored quantised; not built.
    #[serde(default)]
    pub quantization_config: Option<Json>,
}

fn max_position_embeddings() -> usize {
    32_768
}

fn rms_norm_eps() -> f32 {
    1e-6
}

fn silu() -> String {
    "silu".into()
}

impl QwenConfig {
    /// Reads and checks the text of a `config.json`.
    ///
    /// # Errors
    /// Text that is not JSON, and a field that asks for what this crate does not build, by its name.
    pub fn from_json(text: &str) -> Result<QwenConfig> {
        let config: QwenConfig =
            serde_json::from_str(text).map_err(|source| Runtime::Json { path: FILE.into(), source })?;
        config.check()?;
        Ok(config)
    }

    /// Width H of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// Base of the rotary angles: 10,000 where no field names it.
    pub fn rope_theta(&self) -> f64 {
        let newer = self.rope_parameters.as_ref().and_then(|p| p.get("rope_theta")).and_then(Json::as_f64);
        self.rope_theta.or(newer).unwrap_or(10_000.0)
    }

    /// True where queries, keys and values have biases.
    pub(crate) fn qkv_bias(&self) -> bool {
        self.model_type == "qwen2"
    }

    /// True where queries and keys are normalised head by head.
    pub(crate) fn qk_norm(&self) -> bool {
        self.model_type == "qwen3"
    }

    pub(crate) fn check(&self) -> Result<()> {
        if !matches!(self.model_type.as_str(), "qwen2" | "qwen3") {
            return refuse("model_type", "must be qwen2 or qwen3", &self.model_type);
        }
        let positive = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("max_position_embeddings", self.max_position_embeddings),
            ("head_dim", self.head_dim()),
        ];
        if let Some((field, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return refuse(field, "must be at least 1", "0");
        }
        if self.head_dim.is_none() && !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return refuse("hidden_size", "must be a multiple of num_attention_heads", self.hidden_size);
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            let rule = "must divide num_attention_heads";
            return refuse("num_key_value_heads", rule, self.num_key_value_heads);
        }
        // Rotary positions take pairs; the fused kernels take heads in steps of 16 numbers.
        if !self.head_dim().is_multiple_of(16) {
            return refuse("head_dim", "must be a multiple of 16", self.head_dim());
        }
        if self.rms_norm_eps.is_nan() || self.rms_norm_eps <= 0.0 {
            return refuse("rms_norm_eps", "must be above 0", self.rms_norm_eps);
        }
        if !self.rope_theta().is_finite() || self.rope_theta() <= 1.0 {
            return refuse("rope_theta", "must be above 1", self.rope_theta());
        }
        if self.hidden_act != "silu" {
            return refuse("hidden_act", "must be silu", &self.hidden_act);
        }
        if self.use_sliding_window {
            return refuse("use_sliding_window", "must be false: windows are not supported", true);
        }
        if self.attention_bias && self.model_type == "qwen3" {
            return refuse("attention_bias", "must be false", true);
        }
        let windowed = self.layer_types.iter().flatten().find(|kind| *kind != "full_attention");
        if let Some(kind) = windowed {
            return refuse("layer_types", "must all be full_attention", kind);
        }
        let of_field = |field, kind: &Option<Json>| match rope_type(kind) {
            Some(kind) if kind != "default" => {
                refuse(field, "must have rope_type default: scaled positions are not supported", kind)
            }
            _ => Ok(()),
        };
        of_field("rope_scaling", &self.rope_scaling)?;
        of_field("rope_parameters", &self.rope_parameters)?;
        match &self.quantization_config {
            Some(found) if !found.is_null() => {
                refuse("quantization_config", "must be absent: weights are quantised here, at load", found)
            }
            _ => Ok(()),
        }
    }
}

fn rope_type(parameters: &Option<Json>) -> Option<&str> {
    let parameters = parameters.as_ref()?;
    parameters.get("rope_type").or_else(|| parameters.get("type")).and_then(Json::as_str)
}

fn refuse(field: &str, rule: &str, value: impl std::fmt::Display) -> Result<()> {
    let (field, rule, value) = (field.into(), rule.into(), value.to_string());
    Err(Runtime::Config { file: FILE.into(), field, rule, value }.into())
}
