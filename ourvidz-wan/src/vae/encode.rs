use ourvidz_runtime::{LoadProgress, SessionOptions, Tensor, WeightCache};

use super::chunks::{self, Pair};
use super::{AutoencoderKLWanConfig, VaeModels};
use crate::{Error, Result};

/// The encoder, ready to run: frames to normalised latents.
#[derive(Debug)]
pub struct VaeEncoder {
    pair: Pair,
    config: AutoencoderKLWanConfig,
    chunk: usize,
}

impl VaeEncoder {
    /// Loads both graphs of the encoder.
    ///
    /// # Errors
    /// As [`Session::load`](ourvidz_runtime::Session::load).
    pub fn load(
        models: &VaeModels,
        options: &SessionOptions,
        cache: &WeightCache,
        progress: &mut dyn FnMut(LoadProgress<'_>),
    ) -> Result<VaeEncoder> {
        let graphs = [&models.encoder_first, &models.encoder_next];
        let pair = Pair::load(graphs, ["video", "latents"], options, cache, progress)?;
        Ok(VaeEncoder { pair, config: models.config.clone(), chunk: 1 })
    }

    /// Latent frames of one run behind the first; default 1. More take more memory, and no less time on a large GPU
    /// (docs/PERFORMANCE.md). Where frames are large, a run takes fewer than asked for.
    #[must_use]
    pub fn with_chunk(mut self, latent_frames: usize) -> VaeEncoder {
        self.chunk = latent_frames.max(1);
        self
    }

    /// Normalised mean latents, as the transformer has them: `video` [1, 3, F, H, W] in [-1, 1]
    /// -> [1, z, (F - 1) / 4 + 1, H/8, W/8].
    ///
    /// # Errors
    /// [`Error::Input`] where F is not 4n + 1 or a side is not a multiple of 8; ONNX Runtime fails.
    pub fn encode(&mut self, video: &Tensor) -> Result<Tensor> {
        let colours = self.config.in_channels;
        let [frames, h, w] = chunks::sizes("video", video, colours)?;
        let (time, side) = (self.config.temporal_compression(), self.config.spatial_compression());
        if !(frames - 1).is_multiple_of(time) {
            let rule = format!("of {time} n + 1 frames");
            return Err(Error::Input { input: "video", rule, value: frames.to_string() });
        }
        if !h.is_multiple_of(side) || !w.is_multiple_of(side) {
            let rule = format!("of sides that are multiples of {side}");
            return Err(Error::Input { input: "video", rule, value: format!("{w}x{h}") });
        }
        let each = (h * w).saturating_mul(time * self.config.encoder_dims().get(1).copied().unwrap_or(1));
        let following = chunks::split((frames - 1) / time, chunks::most_frames(self.chunk, each));
        let following = following.into_iter().map(|r| 1 + r.start * time..1 + r.end * time);
        let video = video.clone().into_f32();
        let mut parts = Vec::new();
        for range in std::iter::once(0..1).chain(following) {
            let part = chunks::cut(&video, frames, h * w, &range);
            let part = Tensor::f32(&[1, colours, range.len(), h, w], part)?;
            parts.push(self.pair.run(&part, range.start == 0, range.end == frames)?);
        }
        let latents = chunks::join(parts, self.config.z_dim)?;
        let shape = latents.shape().to_vec();
        Ok(Tensor::f32(&shape, self.normalised(latents.into_f32()))?)
    }

    fn normalised(&self, mut latents: Vec<f32>) -> Vec<f32> {
        let area = latents.len() / self.config.z_dim;
        let statistics = self.config.latents_mean.iter().zip(&self.config.latents_std);
        for (channel, (mean, std)) in latents.chunks_exact_mut(area).zip(statistics) {
            channel.iter_mut().for_each(|x| *x = (*x - mean) / std);
        }
        latents
    }
}
