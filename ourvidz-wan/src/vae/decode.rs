use std::ops::ControlFlow;

use ourvidz_runtime::{LoadProgress, SessionOptions, Tensor, WeightCache};

use super::chunks::{self, Pair};
use super::{AutoencoderKLWanConfig, VaeModels};
use crate::{Error, Result};

/// The decoder, ready to run: normalised latents to frames.
#[derive(Debug)]
pub struct VaeDecoder {
    pair: Pair,
    config: AutoencoderKLWanConfig,
    chunk: usize,
}

impl VaeDecoder {
    /// Loads both graphs of the decoder.
    ///
    /// # Errors
    /// As [`Session::load`](ourvidz_runtime::Session::load).
    pub fn load(
        models: &VaeModels,
        options: &SessionOptions,
        cache: &WeightCache,
        progress: &mut dyn FnMut(LoadProgress<'_>),
    ) -> Result<VaeDecoder> {
        let graphs = [&models.decoder_first, &models.decoder_next];
        let pair = Pair::load(graphs, ["latents", "video"], options, cache, progress)?;
        Ok(VaeDecoder { pair, config: models.config.clone(), chunk: 1 })
    }

    /// Latent frames of one run behind the first; default 1. More take more memory, and no less time on a large GPU
    /// (docs/PERFORMANCE.md). Where frames are large, a run takes fewer than asked for.
    #[must_use]
    pub fn with_chunk(mut self, latent_frames: usize) -> VaeDecoder {
        self.chunk = latent_frames.max(1);
        self
    }

    /// Frames in [-1, 1], part by part: `latents` [1, z, f, h, w], normalised as the transformer has them, give
    /// [1, 3, 1, 8 h, 8 w] first, then chunks [1, 3, F, 8 h, 8 w], 4 (f - 1) + 1 frames in all.
    ///
    /// `frames` may end the decoding with `ControlFlow::Break`, which is then the result.
    ///
    /// # Errors
    /// [`Error::Input`] for latents of another shape; ONNX Runtime fails; what `frames` gives.
    pub fn decode_chunks<E: From<Error>>(
        &mut self,
        latents: &Tensor,
        mut frames: impl FnMut(Tensor) -> Result<ControlFlow<()>, E>,
    ) -> Result<ControlFlow<()>, E> {
        let z = self.config.z_dim;
        let [count, h, w] = chunks::sizes("latents", latents, z)?;
        let latents = self.denormalised(latents.clone().into_f32(), count * h * w);
        let most = chunks::most_frames(self.chunk, self.elements(h * w));
        let following = chunks::split(count - 1, most).into_iter().map(|r| r.start + 1..r.end + 1);
        for range in std::iter::once(0..1).chain(following) {
            let part = chunks::cut(&latents, count, h * w, &range);
            let part = Tensor::f32(&[1, z, range.len(), h, w], part).map_err(Error::from)?;
            let video = self.pair.run(&part, range.start == 0, range.end == count)?;
            let shape = video.shape().to_vec();
            let video = Tensor::f32(&shape, video.into_f32()).map_err(Error::from)?;
            if frames(video)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The whole video at once: `latents` [1, z, f, h, w] -> [1, 3, 4 (f - 1) + 1, 8 h, 8 w] in [-1, 1].
    ///
    /// # Errors
    /// As [`VaeDecoder::decode_chunks`].
    pub fn decode(&mut self, latents: &Tensor) -> Result<Tensor> {
        let mut parts = Vec::new();
        let _whole = self.decode_chunks(latents, |frames| {
            parts.push(frames);
            Ok::<_, Error>(ControlFlow::Continue(()))
        })?;
        chunks::join(parts, self.config.out_channels)
    }

    /// Frames that a latent frame stands for, but the first.
    pub fn frames_of_latent(&self) -> usize {
        self.config.temporal_compression()
    }

    fn denormalised(&self, mut latents: Vec<f32>, area: usize) -> Vec<f32> {
        let statistics = self.config.latents_mean.iter().zip(&self.config.latents_std);
        for (channel, (mean, std)) in latents.chunks_exact_mut(area).zip(statistics) {
            channel.iter_mut().for_each(|x| *x = *x * std + mean);
        }
        latents
    }

    /// Elements of the largest tensor for one latent frame of `area` latents.
    fn elements(&self, area: usize) -> usize {
        let dims = self.config.decoder_dims();
        let pixels = area.saturating_mul(self.config.spatial_compression().pow(2));
        // Frames of the level before the last are resized before a convolution makes them narrower.
        let widest = dims.iter().rev().take(2).copied().max().unwrap_or(1);
        pixels.saturating_mul(self.config.temporal_compression() * widest)
    }
}
