use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::supported::check;
use crate::Result;

/// `AutoencoderKL`: `vae/config.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct VaeConfig {
    /// Colours.
    pub in_channels: usize,
    /// Colours.
    pub out_channels: usize,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Width of each level, from the image inwards; each level but the last halves height and width.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks in each level of the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// Groups of every group normalisation.
    pub norm_num_groups: usize,
    /// Latents are divided by it before decoding.
    pub scaling_factor: f32,
    /// The decoder's activations leave fp16's range: decode in fp32. Absent in a file means true.
    pub force_upcast: bool,
    /// A 1 x 1 convolution ends the encoder.
    pub use_quant_conv: bool,
    /// A 1 x 1 convolution begins the decoder.
    pub use_post_quant_conv: bool,
    /// Mean of each latent channel, for checkpoints that normalise them.
    pub latents_mean: Option<Vec<f32>>,
    /// Standard deviation of each latent channel.
    pub latents_std: Option<Vec<f32>>,
    /// Everything else in the file.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Default for VaeConfig {
    /// The VAE of `stable-diffusion-xl-base-1.0`.
    fn default() -> VaeConfig {
        VaeConfig {
            in_channels: 3,
            out_channels: 3,
            latent_channels: 4,
            block_out_channels: vec![128, 256, 512, 512],
            layers_per_block: 2,
            norm_num_groups: 32,
            scaling_factor: 0.13025,
            force_upcast: true,
            use_quant_conv: true,
            use_post_quant_conv: true,
            latents_mean: None,
            latents_std: None,
            other: Map::new(),
        }
    }
}

impl VaeConfig {
    /// Pixels per latent, along each side.
    pub fn factor(&self) -> usize {
        1 << self.block_out_channels.len().saturating_sub(1)
    }

    /// A latent of channel `c` as the decoder takes it.
    pub(crate) fn unscale(&self, latent: f32, c: usize) -> f32 {
        let of = |list: &Option<Vec<f32>>| list.as_ref().and_then(|list| list.get(c)).copied();
        match (of(&self.latents_mean), of(&self.latents_std)) {
            (Some(mean), Some(std)) => latent * std / self.scaling_factor + mean,
            _ => latent / self.scaling_factor,
        }
    }

    /// Refuses what the graphs here do not build.
    pub(crate) fn check(&self) -> Result<()> {
        let plain: &[Value] = &[Value::Null];
        let allowed: &[(&str, &[Value])] = &[
            ("act_fn", &[json!("silu")]),
            ("shift_factor", &[Value::Null, json!(0.0)]),
            ("mid_block_add_attention", &[json!(true)]),
            ("patch_size", plain),
        ];
        check("vae/config.json", &self.other, allowed)?;
        for (field, block) in
            [("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")]
        {
            let blocks = self.other.get(field).and_then(Value::as_array);
            if let Some(other) = blocks.into_iter().flatten().find(|b| *b != block) {
                return Err(super::supported::invalid(
                    "vae/config.json",
                    field,
                    &format!("must hold {block} only"),
                    other,
                )
                .into());
            }
        }
        Ok(())
    }
}
