use serde::{Deserialize, Serialize};

/// A CLIP text encoder: `text_encoder/config.json` and `text_encoder_2/config.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClipTextConfig {
    /// Rows of the token table.
    pub vocab_size: usize,
    /// Width D of hidden states.
    pub hidden_size: usize,
    /// Width of the feed-forward layers.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Tokens in a window, 77.
    #[serde(default = "default_positions")]
    pub max_position_embeddings: usize,
    /// `quick_gelu` or `gelu`.
    #[serde(default = "default_act")]
    pub hidden_act: String,
    /// Added to variances.
    #[serde(default = "default_eps")]
    pub layer_norm_eps: f32,
    /// Width of the projected pooled output.
    #[serde(default = "default_projection")]
    pub projection_dim: usize,
    /// The token whose hidden state is the pooled output; 2 in old files means the token with the highest id.
    #[serde(default = "default_eos")]
    pub eos_token_id: i64,
    /// `["CLIPTextModelWithProjection"]` where a projection follows.
    #[serde(default)]
    pub architectures: Vec<String>,
}

impl ClipTextConfig {
    /// Text encoder of `stable-diffusion-xl-base-1.0` (CLIP ViT-L/14).
    pub fn vit_l() -> ClipTextConfig {
        ClipTextConfig {
            vocab_size: 49408,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            max_position_embeddings: 77,
            hidden_act: "quick_gelu".into(),
            layer_norm_eps: 1e-5,
            projection_dim: 768,
            eos_token_id: 2,
            architectures: vec!["CLIPTextModel".into()],
        }
    }

    /// Text encoder 2 of `stable-diffusion-xl-base-1.0` (OpenCLIP ViT-bigG/14).
    pub fn vit_big_g() -> ClipTextConfig {
        ClipTextConfig {
            hidden_size: 1280,
            intermediate_size: 5120,
            num_hidden_layers: 32,
            num_attention_heads: 20,
            hidden_act: "gelu".into(),
            projection_dim: 1280,
            architectures: vec!["CLIPTextModelWithProjection".into()],
            ..ClipTextConfig::vit_l()
        }
    }

    /// True where the pooled output is projected.
    pub fn has_projection(&self) -> bool {
        self.architectures.iter().any(|name| name == "CLIPTextModelWithProjection")
    }
}

fn default_positions() -> usize {
    77
}

fn default_act() -> String {
    "quick_gelu".into()
}

fn default_eps() -> f32 {
    1e-5
}

fn default_projection() -> usize {
    512
}

fn default_eos() -> i64 {
    49407
}
