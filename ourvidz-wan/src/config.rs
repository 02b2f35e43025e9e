use serde::Deserialize;

use crate::{Error, Result};

const CLASS_NAME: &str = "WanTransformer3DModel";

/// Configuration of `WanTransformer3DModel`, as in `transformer/config.json`.
///
/// A field that the file does not name has diffusers' default, which is the 14B text-to-video model.
/// Fields that this crate does not know are ignored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct WanTransformerConfig {
    /// Latent frames, rows and columns of one token.
    pub patch_size: [usize; 3],
    /// Attention heads per layer.
    pub num_attention_heads: usize,
    /// Width of one head; even, and at least 6.
    pub attention_head_dim: usize,
    /// Channels of the latents that go in; more than 16 where an image or mask is concatenated.
    pub in_channels: usize,
    /// Channels of the prediction.
    pub out_channels: usize,
    /// Width of the text encoder's states.
    pub text_dim: usize,
    /// Width of the sinusoidal timestep embedding.
    pub freq_dim: usize,
    /// Inner width of the feed-forward layers.
    pub ffn_dim: usize,
    /// Transformer blocks.
    pub num_layers: usize,
    /// Whether the states are normalised before cross-attention.
    pub cross_attn_norm: bool,
    /// Norm of queries and keys; `rms_norm_across_heads` in every published checkpoint.
    pub qk_norm: Option<String>,
    /// Epsilon of the norms.
    pub eps: f64,
    /// Width of the image encoder's states; only image-to-video checkpoints have one.
    pub image_dim: Option<usize>,
    /// Width of the added key and value projections for image states.
    pub added_kv_proj_dim: Option<usize>,
    /// Rotary positions along each axis.
    pub rope_max_seq_len: usize,
    /// Length of the learned positions of the image states.
    pub pos_embed_seq_len: Option<usize>,
}

impl WanTransformerConfig {
    /// Reads and checks the text of a `config.json`.
    pub fn from_json(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Class {
            _class_name: Option<String>,
        }
        if let Class { _class_name: Some(found) } = serde_json::from_str(text)?
            && found != CLASS_NAME
        {
            return Err(Error::Class { found });
        }
        let config: Self = serde_json::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    /// Width of the hidden states: heads times their width.
    pub fn inner_dim(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    fn check(&self) -> Result<()> {
        let positive = [
            ("num_attention_heads", self.num_attention_heads),
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("text_dim", self.text_dim),
            ("ffn_dim", self.ffn_dim),
            ("num_layers", self.num_layers),
            ("rope_max_seq_len", self.rope_max_seq_len),
        ];
        for (field, value) in positive {
            if value == 0 {
                return Err(Error::Config { field, rule: "at least 1", value: value.to_string() });
            }
        }
        if self.patch_size.contains(&0) {
            let value = format!("{:?}", self.patch_size);
            return Err(Error::Config { field: "patch_size", rule: "three numbers from 1 up", value });
        }
        if self.attention_head_dim < 6 || !self.attention_head_dim.is_multiple_of(2) {
            let value = self.attention_head_dim.to_string();
            return Err(Error::Config { field: "attention_head_dim", rule: "even and at least 6", value });
        }
        Ok(())
    }
}

impl Default for WanTransformerConfig {
    fn default() -> Self {
        Self {
            patch_size: [1, 2, 2],
            num_attention_heads: 40,
            attention_head_dim: 128,
            in_channels: 16,
            out_channels: 16,
            text_dim: 4096,
            freq_dim: 256,
            ffn_dim: 13_824,
            num_layers: 40,
            cross_attn_norm: true,
            qk_norm: Some("rms_norm_across_heads".into()),
            eps: 1e-6,
            image_dim: None,
            added_kv_proj_dim: None,
            rope_max_seq_len: 1024,
            pos_embed_seq_len: None,
        }
    }
}
