use std::str::FromStr;

use ourvidz_runtime::Error as Runtime;
use ourvidz_runtime::nn::Activation;
use serde::Deserialize;

use crate::Result;

const FILE: &str = "config.json";

/// Configuration of `BertModel` and `XLMRobertaModel`, as in `config.json`.
///
/// Fields that this crate does not know are ignored; a field that the file does not name has the value of
/// bert-base-uncased.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct BertConfig {
    /// `bert`, `roberta` or `xlm-roberta`; the latter two count positions from `pad_token_id + 1`.
    pub model_type: String,
    /// Rows of the token table.
    pub vocab_size: usize,
    /// Width D of hidden states.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads N, each D / N wide.
    pub num_attention_heads: usize,
    /// Width of the feed-forward layers.
    pub intermediate_size: usize,
    /// `gelu`.
    pub hidden_act: String,
    /// Rows of the position table.
    pub max_position_embeddings: usize,
    /// Rows of the table of segments, of which the first is used.
    pub type_vocab_size: usize,
    /// Added to variances.
    pub layer_norm_eps: f32,
    /// Padding token, whose position comes before all others in `xlm-roberta`.
    pub pad_token_id: usize,
    /// `absolute`.
    pub position_embedding_type: Option<String>,
    /// False: tokens see those behind them.
    pub is_decoder: bool,
}

impl Default for BertConfig {
    fn default() -> BertConfig {
        BertConfig {
            model_type: "bert".into(),
            vocab_size: 30_522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".into(),
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            pad_token_id: 0,
            position_embedding_type: None,
            is_decoder: false,
        }
    }
}

impl BertConfig {
    /// Reads and checks the text of a `config.json`.
    ///
    /// # Errors
    /// Text that is not JSON, and a field that holds what no such model has, by its name.
    pub fn from_json(text: &str) -> Result<BertConfig> {
        let config: BertConfig =
            serde_json::from_str(text).map_err(|source| Runtime::Json { path: FILE.into(), source })?;
        config.check()?;
        Ok(config)
    }

    /// Number of the first token's position.
    pub fn first_position(&self) -> usize {
        if self.model_type == "bert" { 0 } else { self.pad_token_id + 1 }
    }

    /// Tokens that there are positions for.
    pub fn max_length(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.first_position())
    }

    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |field: &str, rule: &str, value: String| {
            Err(Runtime::Config { file: FILE.into(), field: field.into(), rule: rule.into(), value }.into())
        };
        let positive = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("type_vocab_size", self.type_vocab_size),
        ];
        if let Some((field, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return refuse(field, "must be at least 1", "0".into());
        }
        if !matches!(self.model_type.as_str(), "bert" | "roberta" | "xlm-roberta") {
            return refuse("model_type", "must be bert, roberta or xlm-roberta", self.model_type.clone());
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let rule = format!("must divide hidden_size ({})", self.hidden_size);
            return refuse("num_attention_heads", &rule, self.num_attention_heads.to_string());
        }
        if self.max_length() == 0 {
            let rule = "must leave room for a token";
            return refuse("max_position_embeddings", rule, self.max_position_embeddings.to_string());
        }
        if self.layer_norm_eps.is_nan() || self.layer_norm_eps <= 0.0 {
            return refuse("layer_norm_eps", "must be above 0", self.layer_norm_eps.to_string());
        }
        match &self.position_embedding_type {
            Some(kind) if kind != "absolute" => {
                return refuse("position_embedding_type", "must be absolute", kind.clone());
            }
            _ => (),
        }
        if self.is_decoder {
            return refuse("is_decoder", "must be false", "true".into());
        }
        if Activation::from_str(&self.hidden_act)? != Activation::Gelu {
            return refuse("hidden_act", "must be gelu", self.hidden_act.clone());
        }
        Ok(())
    }
}
