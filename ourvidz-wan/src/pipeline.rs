use std::ops::ControlFlow;
use std::path::PathBuf;

use ourvidz_core::denoise::{Run, Step, denoise_from, start_of_strength};
use ourvidz_core::guidance::classifier_free_guidance;
use ourvidz_core::noise::Noise;
use ourvidz_core::request::TextToVideo;
use ourvidz_core::scheduler::{Scheduler, SchedulerConfig};
use ourvidz_runtime::{Device, Precision, Tensor};

use crate::builder::WanPipelineBuilder;
use crate::components::{Component, Components};
use crate::graphs::{ConditioningInputs, Control};
use crate::reference::{Hold, Kind, LatentShape, Prepared, Reference, ReferenceFrames, cover};
use crate::rope::check_positions;
use crate::{Error, PromptEmbeds, Result, Umt5Tokenizer, Video, VideoGeometry, prompt_clean, reference};

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
        let _whole = self.decode_chunks(&latents, |frames| {
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
        if request.guidance_scale > 1.0 {
            let text = request.negative_prompt.as_deref().unwrap_or(DEFAULT_NEGATIVE_PROMPT);
            if self.negative_embeds.as_ref().is_none_or(|(known, _)| known != text) {
                let (states, _) = self.encode(text)?;
                self.negative_embeds = Some((text.to_owned(), states));
            }
            negative_prompt_embeds = self.negative_embeds.as_ref().map(|(_, states)| states.clone());
        }
        Ok(PromptEmbeds { prompt_embeds, negative_prompt_embeds, cut })
    }

    /// Brings reference pictures into the form that the checkpoint takes: control latents for VACE; for text-to-video,
    /// latents that the run begins from or that are held.
    ///
    /// # Errors
    /// [`Error::Input`] for a first or last frame of a single picture, or a strength outside 0 to 1.
    pub fn prepare(&mut self, request: &TextToVideo, reference: Option<&Reference>) -> Result<Prepared> {
        let geometry = self.geometry(request)?;
        if let Some(reference) = reference {
            check(reference, &geometry)?;
        }
        let vace = self.components.transformer_config().is_vace();
        let Some(reference) = reference else {
            if !vace {
                return Ok(Prepared::default());
            }
            let encoder = self.components.vae_encoder(&mut |_| ())?;
            let hidden_states = reference::control(encoder, None, &geometry)?;
            return Ok(Prepared { kind: Kind::Control { hidden_states, reference: false }, prefix: 0 });
        };
        let shape = self.latents_shape(&geometry);
        let encoder = self.components.vae_encoder(&mut |_| ())?;
        let fit = |image| cover(image, geometry.width() as u32, geometry.height() as u32);
        if vace {
            let frames = match &reference.frames {
                ReferenceFrames::Single(image) => ReferenceFrames::Single(image.clone()),
                ReferenceFrames::Start(image) => ReferenceFrames::Start(fit(image)),
                ReferenceFrames::End(image) => ReferenceFrames::End(fit(image)),
                ReferenceFrames::Both { start, end } => {
                    ReferenceFrames::Both { start: fit(start), end: fit(end) }
                }
            };
            let hidden_states = reference::control(encoder, Some(&frames), &geometry)?;
            let prefix = usize::from(matches!(frames, ReferenceFrames::Single(_)));
            return Ok(Prepared { kind: Kind::Control { hidden_states, reference: true }, prefix });
        }
        let first = |encoder: &mut _, image| reference::first_frame(encoder, &fit(image));
        let last = |encoder: &mut _, image| reference::still(encoder, &fit(image)).map(|[.., last]| last);
        let kind = match &reference.frames {
            ReferenceFrames::Single(image) => {
                let latents = reference::still_video(encoder, &fit(image), shape)?;
                let start = start_of_strength(request.num_inference_steps, reference.denoise_strength)?;
                Kind::Init { latents, start }
            }
            ReferenceFrames::Start(image) => {
                Kind::Hold(Hold { first: Some(first(encoder, image)?), last: None })
            }
            ReferenceFrames::End(image) => {
                Kind::Hold(Hold { first: None, last: Some(last(encoder, image)?) })
            }
            ReferenceFrames::Both { start, end } => {
                let (first, last) = (first(encoder, start)?, last(encoder, end)?);
                Kind::Hold(Hold { first: Some(first), last: Some(last) })
            }
        };
        Ok(Prepared { kind, prefix: 0 })
    }

    /// From noise to normalised latents [1, C, F', H/8, W/8].
    ///
    /// `initial` replaces the seed's noise and has the latents' shape; with a single picture and VACE, one latent frame
    /// more, before the video's.
    ///
    /// # Errors
    /// As [`text_to_video`](Self::text_to_video); initial noise of another shape.
    pub fn denoise(
        &mut self,
        request: &TextToVideo,
        embeds: &PromptEmbeds,
        prepared: &Prepared,
        initial: Option<Tensor>,
        on_step: impl FnMut(Step<'_>) -> ControlFlow<()>,
    ) -> Result<Tensor> {
        let [channels, frames, height, width] = self.latents_shape(&self.geometry(request)?);
        let frames = frames + prepared.prefix;
        let shape = [1, channels, frames, height, width];
        let latent_shape = LatentShape { channels, frames, area: height * width };
        let mut generator = Noise::new(request.seed.unwrap_or_default(), request.noise_source);
        let noise = match initial {
            Some(initial) if initial.shape() == shape => initial.into_f32(),
            Some(initial) => {
                let (rule, value) = (format!("{shape:?}"), format!("{:?}", initial.shape()));
                return Err(Error::Input { input: "latents", rule, value });
            }
            None => generator.normal(shape.iter().product()),
        };
        let mut scheduler = self.scheduler(request)?;
        let start = prepared.first_step();
        let mut latents = match &prepared.kind {
            Kind::Init { latents, .. } => {
                let mut latents = latents.clone().into_f32();
                if start < scheduler.timesteps().len() {
                    scheduler.add_noise(&mut latents, &noise, start);
                }
                latents
            }
            _ => noise.iter().map(|x| x * scheduler.init_noise_sigma()).collect(),
        };

        let (control, layers) = match &prepared.kind {
            Kind::Control { hidden_states, .. } => {
                let layers = self.components.transformer_config().vace_layers.as_ref().map_or(0, Vec::len);
                (Some(hidden_states), layers)
            }
            _ => (None, 0),
        };
        let scale = vec![1.0; layers];
        let transformer = self.components.transformer(&mut |_| ())?;
        let mut condition = |prompt_embeds: &Tensor| {
            transformer.condition(&ConditioningInputs {
                prompt_embeds,
                image_embeds: None,
                control: control.map(|hidden_states| Control { hidden_states, scale: &scale }),
                latents: [frames, height, width],
            })
        };
        let mut conditional = condition(&embeds.prompt_embeds)?;
        let mut unconditional = embeds.negative_prompt_embeds.as_ref().map(condition).transpose()?;
        let predict = |sample: &[f32], timestep: f32| -> Result<Vec<f32>> {
            let sample = Tensor::f32(&shape, sample.to_vec())?;
            let with_prompt = transformer.predict(&mut conditional, &sample, timestep)?.into_f32();
            let Some(unconditional) = &mut unconditional else { return Ok(with_prompt) };
            let without = transformer.predict(unconditional, &sample, timestep)?.into_f32();
            Ok(classifier_free_guidance(&without, &with_prompt, request.guidance_scale))
        };
        let mut write = |scheduler: &dyn Scheduler, step: usize, latents: &mut [f32]| {
            if let Kind::Hold(hold) = &prepared.kind {
                hold.write_noised(scheduler, step, latents, &noise, latent_shape);
            }
        };
        let run = Run { start, hold: Some(&mut write) };
        denoise_from(scheduler.as_mut(), &mut latents, &mut generator, run, predict, on_step)?;
        if let Kind::Hold(hold) = &prepared.kind {
            hold.write(&mut latents, latent_shape);
        }
        without_prefix(latents, latent_shape, prepared.prefix, [height, width])
    }

    /// Frames in [-1, 1], part by part: `latents` [1, C, F', H/8, W/8] give [1, 3, 1, H, W] first, then chunks
    /// [1, 3, F, H, W]. `frames` may end the decoding with `ControlFlow::Break`, which is then the result.
    ///
    /// # Errors
    /// [`ourvidz_core::Error::NonFinite`] where the VAE overflows; otherwise as
    /// [`text_to_video`](Self::text_to_video), and what `frames` gives.
    pub fn decode_chunks<E: From<Error>>(
        &mut self,
        latents: &Tensor,
        mut frames: impl FnMut(Tensor) -> Result<ControlFlow<()>, E>,
    ) -> Result<ControlFlow<()>, E> {
        let precision = self.components.settings.vae_precision;
        let decoder = self.components.vae_decoder(&mut |_| ())?;
        decoder.decode_chunks(latents, |chunk| {
            let shape = chunk.shape().to_vec();
            let values = chunk.into_f32();
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

/// A seed of 32 bits, for requests that name none.
pub fn random_seed() -> u64 {
    rand::random::<u32>().into()
}

fn check(reference: &Reference, geometry: &VideoGeometry) -> Result<()> {
    let single = matches!(reference.frames, ReferenceFrames::Single(_));
    if geometry.num_frames() == 1 && !single {
        let rule = "a single picture for one frame: a held frame would be the whole of it".to_owned();
        return Err(Error::Input { input: "reference", rule, value: format!("{:?}", reference.frames) });
    }
    if !(0.0..=1.0).contains(&reference.denoise_strength) {
        let value = reference.denoise_strength.to_string();
        return Err(Error::Input { input: "denoise_strength", rule: "from 0 to 1".into(), value });
    }
    Ok(())
}

/// [C, prefix + F, H, W] -> [1, C, F, H, W]
fn without_prefix(
    latents: Vec<f32>,
    shape: LatentShape,
    prefix: usize,
    [height, width]: [usize; 2],
) -> Result<Tensor> {
    let planes = latents.chunks_exact(shape.frames * shape.area);
    let own: Vec<f32> = planes.flat_map(|plane| &plane[prefix * shape.area..]).copied().collect();
    Ok(Tensor::f32(&[1, shape.channels, shape.frames - prefix, height, width], own)?)
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
