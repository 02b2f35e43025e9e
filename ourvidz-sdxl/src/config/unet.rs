use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::supported::{check, invalid};
use crate::Result;

/// A number for all blocks, or one for each.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// The same everywhere.
    One(usize),
    /// One per block, from the outside inwards.
    Many(Vec<usize>),
}

impl OneOrMany {
    /// The number for block `i`.
    pub fn at(&self, i: usize) -> Option<usize> {
        match self {
            OneOrMany::One(n) => Some(*n),
            OneOrMany::Many(list) => list.get(i).copied(),
        }
    }
}

/// `UNet2DConditionModel` with text and time conditioning: `unet/config.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct UNetConfig {
    /// Rows and columns of the latents that it was trained on; 128 where it is absent.
    pub sample_size: Option<OneOrMany>,
    /// Channels of the latents.
    pub in_channels: usize,
    /// Channels of the prediction.
    pub out_channels: usize,
    /// `DownBlock2D` or `CrossAttnDownBlock2D`, from the outside inwards.
    pub down_block_types: Vec<String>,
    /// `UpBlock2D` or `CrossAttnUpBlock2D`, from the inside outwards.
    pub up_block_types: Vec<String>,
    /// Width of each level.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks per level; the way up has one more.
    pub layers_per_block: OneOrMany,
    /// Width of `encoder_hidden_states`.
    pub cross_attention_dim: usize,
    /// Transformer blocks after each residual block of a level.
    pub transformer_layers_per_block: OneOrMany,
    /// The same on the way up, from the inside outwards, where it is not simply reversed.
    pub reverse_transformer_layers_per_block: Option<Vec<usize>>,
    /// Number of heads, in spite of its name, unless `num_attention_heads` is there.
    pub attention_head_dim: OneOrMany,
    /// Number of heads.
    pub num_attention_heads: Option<OneOrMany>,
    /// Enter and leave the transformer by linear layers instead of 1 x 1 convolutions.
    pub use_linear_projection: bool,
    /// Width of the features of one time id.
    pub addition_time_embed_dim: usize,
    /// Width of pooled text and six time ids together.
    pub projection_class_embeddings_input_dim: usize,
    /// Groups of every group normalisation.
    pub norm_num_groups: usize,
    /// Added to variances of residual blocks.
    pub norm_eps: f32,
    /// Padding of the convolutions that halve.
    pub downsample_padding: usize,
    /// Everything else in the file.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Default for UNetConfig {
    /// The defaults of diffusers' class.
    fn default() -> UNetConfig {
        let names = |list: &[&str]| list.iter().map(|s| s.to_string()).collect();
        UNetConfig {
            sample_size: None,
            in_channels: 4,
            out_channels: 4,
            down_block_types: names(&[
                "CrossAttnDownBlock2D",
                "CrossAttnDownBlock2D",
                "CrossAttnDownBlock2D",
                "DownBlock2D",
            ]),
            up_block_types: names(&[
                "UpBlock2D",
                "CrossAttnUpBlock2D",
                "CrossAttnUpBlock2D",
                "CrossAttnUpBlock2D",
            ]),
            block_out_channels: vec![320, 640, 1280, 1280],
            layers_per_block: OneOrMany::One(2),
            cross_attention_dim: 1280,
            transformer_layers_per_block: OneOrMany::One(1),
            reverse_transformer_layers_per_block: None,
            attention_head_dim: OneOrMany::One(8),
            num_attention_heads: None,
            use_linear_projection: false,
            addition_time_embed_dim: 256,
            projection_class_embeddings_input_dim: 2816,
            norm_num_groups: 32,
            norm_eps: 1e-5,
            downsample_padding: 1,
            other: Map::new(),
        }
    }
}

impl UNetConfig {
    /// The UNet of `stable-diffusion-xl-base-1.0`.
    pub fn sdxl_base() -> UNetConfig {
        let names = |list: &[&str]| list.iter().map(|s| s.to_string()).collect();
        UNetConfig {
            sample_size: Some(OneOrMany::One(128)),
            down_block_types: names(&["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]),
            up_block_types: names(&["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]),
            block_out_channels: vec![320, 640, 1280],
            cross_attention_dim: 2048,
            transformer_layers_per_block: OneOrMany::Many(vec![1, 2, 10]),
            attention_head_dim: OneOrMany::Many(vec![5, 10, 20]),
            use_linear_projection: true,
            ..UNetConfig::default()
        }
    }

    /// Rows and columns of the latents of a picture whose size nobody names.
    pub(crate) fn default_latents(&self) -> (usize, usize) {
        let side = |i| self.sample_size.as_ref().and_then(|size| size.at(i)).unwrap_or(128);
        (side(0), side(1))
    }

    /// Levels.
    pub(crate) fn levels(&self) -> usize {
        self.block_out_channels.len()
    }

    /// Width of the time embedding.
    pub(crate) fn time_embed_dim(&self) -> usize {
        self.block_out_channels.first().map_or(0, |c| 4 * c)
    }

    /// Refuses what the graph here does not build.
    pub(crate) fn check(&self) -> Result<()> {
        const FILE: &str = "unet/config.json";
        let null = Value::Null;
        let allowed: &[(&str, &[Value])] = &[
            ("act_fn", &[json!("silu")]),
            ("addition_embed_type", &[json!("text_time")]),
            ("attention_type", &[json!("default")]),
            ("center_input_sample", &[json!(false)]),
            ("class_embed_type", std::slice::from_ref(&null)),
            ("conv_in_kernel", &[json!(3)]),
            ("conv_out_kernel", &[json!(3)]),
            ("cross_attention_norm", std::slice::from_ref(&null)),
            ("dual_cross_attention", &[json!(false)]),
            ("encoder_hid_dim", std::slice::from_ref(&null)),
            ("encoder_hid_dim_type", std::slice::from_ref(&null)),
            ("flip_sin_to_cos", &[json!(true)]),
            ("freq_shift", &[json!(0), json!(0.0)]),
            ("mid_block_only_cross_attention", &[null.clone(), json!(false)]),
            ("mid_block_scale_factor", &[json!(1), json!(1.0)]),
            ("mid_block_type", &[json!("UNetMidBlock2DCrossAttn")]),
            ("num_class_embeds", std::slice::from_ref(&null)),
            ("only_cross_attention", &[json!(false)]),
            ("resnet_out_scale_factor", &[json!(1), json!(1.0)]),
            ("resnet_skip_time_act", &[json!(false)]),
            ("resnet_time_scale_shift", &[json!("default")]),
            ("time_cond_proj_dim", std::slice::from_ref(&null)),
            ("time_embedding_act_fn", std::slice::from_ref(&null)),
            ("time_embedding_dim", std::slice::from_ref(&null)),
            ("time_embedding_type", &[json!("positional")]),
            ("timestep_post_act", std::slice::from_ref(&null)),
            ("upcast_attention", &[null.clone(), json!(false)]),
        ];
        check(FILE, &self.other, allowed)?;
        if !self.other.is_empty() && !self.other.contains_key("addition_embed_type") {
            return Err(invalid(FILE, "addition_embed_type", "must be \"text_time\"", "nothing").into());
        }
        let down = ["DownBlock2D", "CrossAttnDownBlock2D"];
        let up = ["UpBlock2D", "CrossAttnUpBlock2D"];
        for (field, list, known) in
            [("down_block_types", &self.down_block_types, down), ("up_block_types", &self.up_block_types, up)]
        {
            if let Some(other) = list.iter().find(|name| !known.contains(&name.as_str())) {
                return Err(
                    invalid(FILE, field, &format!("must hold {} or {}", known[0], known[1]), other).into()
                );
            }
            if list.len() != self.levels() || list.is_empty() {
                let rule = format!("must have as many entries as block_out_channels ({})", self.levels());
                return Err(invalid(FILE, field, &rule, list.len()).into());
            }
        }
        let per_block = [
            ("layers_per_block", Some(&self.layers_per_block)),
            ("transformer_layers_per_block", Some(&self.transformer_layers_per_block)),
            ("attention_head_dim", Some(&self.attention_head_dim)),
            ("num_attention_heads", self.num_attention_heads.as_ref()),
        ];
        for (field, list) in per_block {
            if list.is_some_and(|list| list.at(self.levels() - 1).is_none()) {
                let rule = format!("must be one number or {}", self.levels());
                return Err(invalid(FILE, field, &rule, json!(list)).into());
            }
        }
        Ok(())
    }
}
