mod denoise;
mod prepare;

use std::ops::ControlFlow;
use std::path::PathBuf;

use ourvidz_core::denoise::Step;
use ourvidz_core::request::TextToVideo;
use ourvidz_core::scheduler::{Scheduler, SchedulerConfig};
use ourvidz_runtime::{Device, Precision, Tensor};

use crate::builder::WanPipelineBuilder;
use crate::components::{Component, Components};
use crate::reference::{Ending, Prepared, Reference};
use crate::rope::check_positions;
use crate::{Error, PromptEmbeds, Result, Umt5Tokenizer, Video, VideoGeometry, prompt_clean};

/// Tokens of a prompt that the models were trained with.
const TEXT_TOKENS: usize = 512;

/// `sample_neg_prompt` of Wan-AI's own configuration: what the model was tuned to avoid.
pub const DEFAULT_NEGATIVE_PROMPT: &str = "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走";

/// Wan 2.1, loaded and ready. Synchronous; belongs to one thread.
#[derive(Debug)]
pub struct WanPipeline {
    pub(crate) components: Components,
    pub(crate) tokenizer: Umt5Tokenizer,
    pub(crate) scheduler: SchedulerConfig,
    /// Whether a model is freed when its part of a run is done.
    pub(crate) low_memory: bool,
    /// The last negative prompt and its states: most jobs share one.
    pub(crate) negative_embeds: Option<(String, Tensor)>,
}

impl WanPipeline {
    /// Begins loading a checkpoint: a diffusers folder, Wan-AI's own folder, or the transformer in one file.
    pub fn builder(path: impl Into<PathBuf>) -> WanPipelineBuilder {
        WanPipelineBuilder::new(path)
    }

    /// Makes a video from a prompt; with one frame, a picture.
    ///
    /// # Errors
    /// A request outside its rules, numbers that are not finite, or a failure of ONNX Runtime.
    pub fn text_to_video(&mut self, request: &TextToVideo) -> Result<Video> {
        self.video(request, None, |_| ControlFlow::Continue(()))
    }

    /// Makes a video from a prompt; `on_step` hears of every step and may break off.
    ///
    /// # Errors
    /// As [`text_to_video`](Self::text_to_video); [`ourvidz_core::Error::Cancelled`] after a break.
    pub fn text_to_video_with(
        &mut self,
        request: &TextToVideo,
        on_step: impl FnMut(Step<'_>) -> ControlFlow<()>,
    ) -> Result<Video> {
        self.video(request, None, on_step)
    }

    /// Makes a video from a prompt and pictures; `on_step` hears of every step and may break off.
    ///
    /// # Errors
    /// As [`text_to_video_with`](Self::text_to_video_with), and of [`prepare`](Self::prepare).
    pub fn reference_to_video(
        &mut self,
        request: &TextToVideo,
        reference: &Reference,
        on_step: impl FnMut(Step<'_>) -> ControlFlow<()>,
    ) -> Result<Video> {
        self.video(request, Some(reference), on_step)
    }

    fn video(
        &mut self,
        request: &TextToVideo,
        reference: Option<&Reference>,
        on_step: impl FnMut(Step<'_>) -> ControlFlow<()>,
    ) -> Result<Video> {
        let mut request = request.clone();
        let seed = *request.seed.get_or_insert_with(random_seed);
        self.geometry(&request)?;
        let embeds = self.encode_prompt(&request)?; // [1, 512, D]
        let prepared = self.prepare(&request, reference)?;
        let latents = self.denoise(&request, &embeds, &prepared, None, on_step)?; // [1, 16, F', H/8, W/8]
        let mut video = Video::new(request.width, request.height, request.fps, seed);
        let _whole = self.decode_chunks(&latents, &prepared, |frames| {
            video.push_decoded(&frames.into_f32())?;
            Ok::<_, Error>(ControlFlow::Continue(()))
        })?;
        Ok(video)
    }

    /// Checks a request, and gives the sizes of what it makes.
    ///
    /// # Errors
    /// [`ourvidz_core::Error::Invalid`], [`Error::Size`] or [`Error::TooLong`] with what the model can do.
    pub fn geometry(&self, request: &TextToVideo) -> Result<VideoGeometry> {
        request.validate()?;
        let config = self.components.transformer_config();
        let geometry = VideoGeometry::new(request.num_frames, request.height, request.width, config)?;
        check_positions(config, geometry.grid())?;
        Ok(geometry)
    }

    /// The scheduler that a request runs with.
    ///
    /// # Errors
    /// [`ourvidz_core::Error::Invalid`] for a scheduler, shift or number of steps that cannot be.
    pub fn scheduler(&self, request: &TextToVideo) -> Result<Box<dyn Scheduler>> {
        let mut config = self.scheduler.clone();
        if let Some(name) = &request.scheduler {
            config = config.with_class_name(name).map_err(|error| renamed(error, "scheduler"))?;
        }
        if let Some(shift) = request.shift {
            config = config.with_flow_shift(shift).map_err(|error| renamed(error, "shift"))?;
        }
        Ok(config.build(request.num_inference_steps)?)
    }

    /// Prompt and negative prompt through the text encoder. Without guidance (`guidance_scale` of 1 or less) the
    /// negative prompt is left out.
    ///
    /// # Errors
    /// As [`text_to_video`](Self::text_to_video).
    pub fn encode_prompt(&mut self, request: &TextToVideo) -> Result<PromptEmbeds> {
        let (prompt_embeds, cut) = self.encode(&request.prompt)?;
        let mut negative_prompt_embeds = None;
        if let Some(text) = negative_prompt(request) {
            if self.negative_embeds.as_ref().is_none_or(|(known, _)| known != text) {
                let (states, _) = self.encode(text)?;
                self.negative_embeds = Some((text.to_owned(), states));
            }
            negative_prompt_embeds = self.negative_embeds.as_ref().map(|(_, states)| states.clone());
        }
        self.done_with(Component::TextEncoder);
        Ok(PromptEmbeds { prompt_embeds, negative_prompt_embeds, cut })
    }

    /// Frames in [-1, 1], part by part: `latents` [1, C, F', H/8, W/8] give [1, 3, 1, H, W] first, then chunks
    /// [1, 3, F, H, W]. `frames` may end the decoding with `ControlFlow::Break`, which is then the result.
    ///
    /// Where `prepared` holds a last frame, the last four frames pass into the picture as the VAE decodes it by itself,
    /// which is the last frame exactly. `Prepared::default()` adds nothing.
    ///
    /// # Errors
    /// [`ourvidz_core::Error::NonFinite`] where the VAE overflows; [`Error::Input`] where `prepared` is of another size;
    /// otherwise as [`text_to_video`](Self::text_to_video), and what `frames` gives.
    pub fn decode_chunks<E: From<Error>>(
        &mut self,
        latents: &Tensor,
        prepared: &Prepared,
        frames: impl FnMut(Tensor) -> Result<ControlFlow<()>, E>,
    ) -> Result<ControlFlow<()>, E> {
        let decoded = self.decode_parts(latents, prepared, frames);
        self.done_with(Component::VaeDecoder);
        decoded
    }

    fn decode_parts<E: From<Error>>(
        &mut self,
        latents: &Tensor,
        prepared: &Prepared,
        mut frames: impl FnMut(Tensor) -> Result<ControlFlow<()>, E>,
    ) -> Result<ControlFlow<()>, E> {
        prepared.check(latents.shape())?;
        let precision = self.components.settings.vae_precision;
        let decoder = self.components.vae_decoder(&mut |_| ())?;
        let ending = prepared.ending().map(|still| Ending::decode(decoder, still)).transpose()?;
        let latent_frames = latents.shape().get(2).copied().unwrap_or_default();
        let mut behind = latent_frames.saturating_sub(1) * decoder.frames_of_latent() + 1;
        decoder.decode_chunks(latents, |chunk| {
            let shape = chunk.shape().to_vec();
            let mut values = chunk.into_f32();
            let count = shape.get(2).copied().unwrap_or_default();
            behind = behind.saturating_sub(count);
            if let Some(ending) = &ending {
                ending.pass_into(&mut values, count, behind);
            }
            if let Some(index) = values.iter().position(|x| !x.is_finite()) {
                let tensor = format!("decoded video (vae_precision {precision})");
                return Err(Error::from(ourvidz_core::Error::NonFinite { tensor, index }).into());
            }
            frames(Tensor::f32(&shape, values).map_err(Error::from)?)
        })
    }

    /// Frees what a model holds of the device's memory. It is loaded again when it is next used.
    pub fn unload(&mut self, component: Component) {
        self.components.unload(component);
    }

    /// Whether a model is in memory.
    pub fn is_loaded(&self, component: Component) -> bool {
        self.components.is_loaded(component)
    }

    /// Where the models run.
    pub fn device(&self) -> Device {
        self.components.settings.device
    }

    /// Type of the transformer's weights and activations.
    pub fn precision(&self) -> Precision {
        self.components.settings.precision
    }

    /// Type of the VAE's weights and activations.
    pub fn vae_precision(&self) -> Precision {
        self.components.settings.vae_precision
    }

    /// The model as Wan-AI names its tasks: `t2v-1.3B`, `vace-14B`; a transformer of another width than the published
    /// ones has its width for a size, e.g. `t2v-d24`.
    pub fn task(&self) -> String {
        let kind = if self.is_vace() { "vace" } else { "t2v" };
        match self.components.transformer_config().inner_dim() {
            1536 => format!("{kind}-1.3B"),
            5120 => format!("{kind}-14B"),
            width => format!("{kind}-d{width}"),
        }
    }

    /// Whether the checkpoint takes control latents (VACE).
    pub fn is_vace(&self) -> bool {
        self.components.transformer_config().is_vace()
    }

    /// A part of a run is over.
    fn done_with(&mut self, component: Component) {
        if self.low_memory {
            self.unload(component);
        }
    }

    /// [C, F, H, W] of the video's latents.
    fn latents_shape(&self, geometry: &VideoGeometry) -> [usize; 4] {
        let [_, frames, height, width] = geometry.latents_shape();
        [self.components.transformer_config().in_channels, frames, height, width]
    }

    /// [1, 512, D], and what did not fit.
    fn encode(&mut self, text: &str) -> Result<(Tensor, Option<String>)> {
        let tokens = self.tokenizer.encode(&prompt_clean(text), TEXT_TOKENS)?;
        let states = self.components.text_encoder(&mut |_| ())?.encode_padded(&tokens.ids, TEXT_TOKENS)?;
        Ok((states, tokens.cut))
    }
}

/// The negative prompt that takes part in a run: the request's, else the model's own; `None` without guidance
/// (`guidance_scale` of 1 or less).
pub fn negative_prompt(request: &TextToVideo) -> Option<&str> {
    let text = request.negative_prompt.as_deref().unwrap_or(DEFAULT_NEGATIVE_PROMPT);
    (request.guidance_scale > 1.0).then_some(text)
}

/// A seed of 32 bits, for requests that name none.
pub fn random_seed() -> u64 {
    rand::random::<u32>().into()
}

/// A field of the scheduler's configuration under the request's name for it.
fn renamed(error: ourvidz_core::Error, name: &str) -> Error {
    match error {
        ourvidz_core::Error::Invalid { rule, value, .. } => {
            ourvidz_core::Error::Invalid { field: name.into(), rule, value }.into()
        }
        other => other.into(),
    }
}
