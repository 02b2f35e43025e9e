use serde::Deserialize;

use crate::{Error, Result};

const CLASS_NAME: &str = "WanTransformer3DModel";
const VACE_CLASS_NAME: &str = "WanVACETransformer3DModel";

/// Configuration of `WanTransformer3DModel` or `WanVACETransformer3DModel`, as in `transformer/config.json`.
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
    /// Length of the learned positions of the image states; only checkpoints for a first and a last frame have them.
    pub pos_embed_seq_len: Option<usize>,
    /// Blocks that a control hint is added after, in rising order from 0; `None` in a model without control.
    pub vace_layers: Option<Vec<usize>>,
    /// Channels of the control latents: two halves of a video's latents and 64 of its mask.
    pub vace_in_channels: usize,
}

impl WanTransformerConfig {
    /// Reads and checks the text of a `config.json`.
    pub fn from_json(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Class {
            _class_name: Option<String>,
        }
        let Class { _class_name: class } = serde_json::from_str(text)?;
        let mut config: Self = serde_json::from_str(text)?;
        match class {
            Some(found) if found == VACE_CLASS_NAME => {
                config.vace_layers.get_or_insert_with(|| (0..40).step_by(5).collect());
            }
            Some(found) if found == CLASS_NAME => config.vace_layers = None,
            Some(found) => return Err(Error::Class { found }),
            None => {}
        }
        config.check()?;
        Ok(config)
    }

    /// Width of the hidden states: heads times their width.
    pub fn inner_dim(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    /// Whether the transformer takes control latents (VACE).
    pub fn is_vace(&self) -> bool {
        self.vace_layers.is_some()
    }

    /// Checks what the graphs rely on.
    ///
    /// # Errors
    /// [`Error::Config`] with the field's name.
    pub(crate) fn check(&self) -> Result<()> {
        let positive = [
            ("num_attention_heads", self.num_attention_heads),
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("text_dim", self.text_dim),
            ("ffn_dim", self.ffn_dim),
            ("num_layers", self.num_layers),
            ("rope_max_seq_len", self.rope_max_seq_len),
            ("vace_in_channels", self.vace_in_channels),
        ];
        let refuse = |field, rule, value: String| Err(Error::Config { field, rule, value });
        for (field, value) in positive {
            if value == 0 {
                return refuse(field, "at least 1", value.to_string());
            }
        }
        if self.patch_size.contains(&0) {
            return refuse("patch_size", "three numbers from 1 up", format!("{:?}", self.patch_size));
        }
        if self.attention_head_dim < 6 || !self.attention_head_dim.is_multiple_of(2) {
            return refuse("attention_head_dim", "even and at least 6", self.attention_head_dim.to_string());
        }
        if self.freq_dim < 2 || !self.freq_dim.is_multiple_of(2) {
            return refuse("freq_dim", "even and at least 2", self.freq_dim.to_string());
        }
        if self.out_channels > self.in_channels {
            return refuse("out_channels", "at most in_channels", self.out_channels.to_string());
        }
        match self.qk_norm.as_deref() {
            // diffusers normalises without a look at the field.
            None | Some("rms_norm_across_heads") => {}
            Some(other) => return refuse("qk_norm", "rms_norm_across_heads", other.to_owned()),
        }
        self.check_pictures()?;
        match &self.vace_layers {
            Some(layers) if !self.has_layers(layers) => {
                let rule = "rising from 0, each below num_layers";
                refuse("vace_layers", rule, format!("{layers:?}"))
            }
            _ => Ok(()),
        }
    }

    fn check_pictures(&self) -> Result<()> {
        let show = |n: Option<usize>| n.map_or("null".to_owned(), |n| n.to_string());
        let refuse = |field, rule, value| Err(Error::Config { field, rule, value: show(value) });
        let added = self.added_kv_proj_dim;
        if self.image_dim.is_some() != added.is_some() || added.is_some_and(|n| n != self.inner_dim()) {
            let rule = "the width of the hidden states where image_dim is given, and null where it is not";
            return refuse("added_kv_proj_dim", rule, added);
        }
        if self.image_dim == Some(0) {
            return refuse("image_dim", "at least 1", self.image_dim);
        }
        match self.pos_embed_seq_len {
            Some(n) if n == 0 || !n.is_multiple_of(2) || self.image_dim.is_none() => {
                refuse("pos_embed_seq_len", "even, at least 2, and null without image_dim", Some(n))
            }
            _ => Ok(()),
        }
    }

    fn has_layers(&self, layers: &[usize]) -> bool {
        layers.first() == Some(&0)
            && layers.windows(2).all(|pair| pair[0] < pair[1])
            && layers.iter().all(|layer| *layer < self.num_layers)
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
            vace_layers: None,
            vace_in_channels: 96,
        }
    }
}
