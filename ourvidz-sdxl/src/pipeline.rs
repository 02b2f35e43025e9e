use std::ops::ControlFlow;
use std::path::PathBuf;

use ourvidz_core::denoise::{Step, denoise};
use ourvidz_core::guidance::classifier_free_guidance;
use ourvidz_core::noise::Noise;
use ourvidz_core::request::TextToImage;
use ourvidz_core::scheduler::SchedulerConfig;
use ourvidz_runtime::{Device, Precision, Session, Tensor};

use crate::builder::SdxlPipelineBuilder;
use crate::config::{ClipTextConfig, UNetConfig, VaeConfig};
use crate::image::Image;
use crate::prompt_embeds::PromptEmbeds;
use crate::tokenizer::ClipTokenizer;
use crate::{Error, Result};

/// Stable Diffusion XL, loaded and ready. Synchronous; belongs to one thread.
#[derive(Debug)]
pub struct SdxlPipeline {
    pub(crate) text_encoder: Session,
    pub(crate) text_encoder_2: Session,
    pub(crate) unet: Session,
    pub(crate) vae_decoder: Session,
    pub(crate) text_encoder_config: ClipTextConfig,
    pub(crate) text_encoder_2_config: ClipTextConfig,
    pub(crate) unet_config: UNetConfig,
    pub(crate) vae_config: VaeConfig,
    pub(crate) tokenizer: ClipTokenizer,
    pub(crate) tokenizer_2: ClipTokenizer,
    pub(crate) force_zeros_for_empty_prompt: bool,
    pub(crate) scheduler: SchedulerConfig,
    pub(crate) scheduler_class: &'static str,
    pub(crate) device: Device,
    pub(crate) precision: Precision,
}

impl SdxlPipeline {
    /// Begins loading a checkpoint: a diffusers folder, one `.safetensors` file, or an exported folder.
    pub fn builder(path: impl Into<PathBuf>) -> SdxlPipelineBuilder {
        SdxlPipelineBuilder::new(path)
    }

    /// Makes images from a prompt.
    ///
    /// # Errors
    /// A request outside its rules, numbers that are not finite, or a failure of ONNX Runtime.
    pub fn text_to_image(&mut self, request: &TextToImage) -> Result<Vec<Image>> {
        self.text_to_image_with(request, |_| ControlFlow::Continue(()))
    }

    /// Makes images from a prompt; `on_step` hears of every step and may break off.
    ///
    /// # Errors
    /// As [`text_to_image`](Self::text_to_image); [`ourvidz_core::Error::Cancelled`] after a break.
    pub fn text_to_image_with(
        &mut self,
        request: &TextToImage,
        on_step: impl FnMut(Step<'_>) -> ControlFlow<()>,
    ) -> Result<Vec<Image>> {
        let mut request = request.clone();
        request.validate()?;
        let seed = *request.seed.get_or_insert_with(random_seed);
        let embeds = self.encode_prompt(&request)?; // [1, L, 2048], [1, 1280]
        let latents = self.denoise(&request, &embeds, None, on_step)?; // [N, 4, H/8, W/8]
        let decoded = self.decode(&latents)?; // [N, 3, H, W]
        Ok(images(&decoded, seed))
    }

    /// Prompt and negative prompt through both text encoders. Without guidance (`guidance_scale` of 1 or less) the
    /// negative half is left out.
    ///
    /// # Errors
    /// As [`text_to_image`](Self::text_to_image).
    pub fn encode_prompt(&mut self, request: &TextToImage) -> Result<PromptEmbeds> {
        let negative_prompt = match (request.guidance_scale > 1.0, &request.negative_prompt) {
            (false, _) => None,
            (true, Some(negative)) => Some(negative.as_str()),
            (true, None) if self.force_zeros_for_empty_prompt => None,
            (true, None) => Some(""),
        };
        let texts: Vec<&str> =
            [Some(request.prompt.as_str()), negative_prompt].into_iter().flatten().collect();
        let mut encoded = self.encode_texts(&texts)?.into_iter();
        let Some((prompt_embeds, pooled_prompt_embeds)) = encoded.next() else {
            return Err(not_finite("prompt_embeds", 0));
        };
        let negative = match encoded.next() {
            Some(negative) => Some(negative),
            None if request.guidance_scale > 1.0 => {
                Some((zeros(&prompt_embeds)?, zeros(&pooled_prompt_embeds)?))
            }
            None => None,
        };
        Ok(PromptEmbeds { prompt_embeds, pooled_prompt_embeds, negative })
    }

    /// From noise to latents [N, 4, H/8, W/8], not yet divided by `scaling_factor`.
    ///
    /// `initial` [N, 4, H/8, W/8] replaces the seed's noise; it is multiplied by `init_noise_sigma` like it.
    ///
    /// # Errors
    /// As [`text_to_image`](Self::text_to_image); initial noise of another shape.
    pub fn denoise(
        &mut self,
        request: &TextToImage,
        embeds: &PromptEmbeds,
        initial: Option<Tensor>,
        on_step: impl FnMut(Step<'_>) -> ControlFlow<()>,
    ) -> Result<Tensor> {
        let (n, factor) = (request.num_images, self.vae_config.factor());
        let shape = [n, self.unet_config.in_channels, request.height / factor, request.width / factor];
        let count = shape.iter().product();
        let mut noise = Noise::batch(request.seed.unwrap_or_default(), n, request.noise_source);
        let mut latents = match initial {
            Some(initial) if initial.shape() == shape => initial.into_f32(),
            Some(initial) => return Err(wrong_latents(&shape, initial.shape())),
            None => noise.normal(count),
        };
        let mut scheduler = self.scheduler.build(request.num_inference_steps)?;
        let sigma = scheduler.init_noise_sigma();
        latents.iter_mut().for_each(|x| *x *= sigma);

        let guided = embeds.negative.is_some();
        let batch = if guided { 2 * n } else { n };
        let (text, text_embeds) = embeds.batch(n)?;
        let (height, width) = (request.height as f32, request.width as f32);
        let time_ids = Tensor::f32(&[batch, 6], [height, width, 0.0, 0.0, height, width].repeat(batch))?;
        let conditioning =
            [("encoder_hidden_states", &text), ("text_embeds", &text_embeds), ("time_ids", &time_ids)];
        let mut unet = self.unet.bind(&conditioning, &["out_sample"])?;
        let mut batch_shape = shape;
        batch_shape[0] = batch;
        let predict = |sample: &[f32], timestep: f32| -> Result<Vec<f32>> {
            let sample = Tensor::f32(&batch_shape, sample.repeat(batch / n))?;
            let timestep = Tensor::f32(&[1], vec![timestep])?;
            let mut outputs = unet.run(&[("sample", &sample), ("timestep", &timestep)])?;
            let noise_pred = outputs.remove(0).into_f32();
            if !guided {
                return Ok(noise_pred);
            }
            let (unconditional, conditional) = noise_pred.split_at(count);
            Ok(classifier_free_guidance(unconditional, conditional, request.guidance_scale))
        };
        denoise(scheduler.as_mut(), &mut latents, &mut noise, predict, on_step)?;
        Ok(Tensor::f32(&shape, latents)?)
    }

    /// Latents [N, 4, h, w] to pictures [N, 3, 8 h, 8 w], cut to -1 to 1. One at a time: memory stays that of one.
    ///
    /// # Errors
    /// [`ourvidz_core::Error::NonFinite`] where the VAE overflows; otherwise as [`text_to_image`](Self::text_to_image).
    pub fn decode(&mut self, latents: &Tensor) -> Result<Tensor> {
        let [n, c, h, w] = latents.shape()[..] else {
            return Err(wrong_latents(&[1, self.vae_config.latent_channels, 0, 0], latents.shape()));
        };
        let values = latents.clone().into_f32();
        let mut pictures = Vec::new();
        let mut shape = vec![];
        for one in values.chunks_exact(c * h * w) {
            let scaled = one.iter().enumerate().map(|(i, x)| self.vae_config.unscale(*x, i / (h * w)));
            let sample = Tensor::f32(&[1, c, h, w], scaled.collect())?;
            let mut outputs = self.vae_decoder.run(&[("latent_sample", &sample)], &["sample"])?;
            let picture = outputs.remove(0);
            shape = picture.shape().to_vec();
            pictures.extend(picture.into_f32());
        }
        if let Some(index) = pictures.iter().position(|x| !x.is_finite()) {
            return Err(not_finite("decoded image", index));
        }
        pictures.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0));
        if let Some(first) = shape.first_mut() {
            *first = n;
        }
        Ok(Tensor::f32(&shape, pictures)?)
    }

    /// Width and height in pixels that the model was trained on, e.g. 1024 and 1024: `sample_size` of the UNet times the
    /// VAE's factor, the default of diffusers' pipelines.
    pub fn default_size(&self) -> (usize, usize) {
        let (rows, columns) = self.unet_config.default_latents();
        let factor = self.vae_config.factor();
        (columns * factor, rows * factor)
    }

    /// Where the models run.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Type of the UNet's weights and activations.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The scheduler's class, e.g. `EulerDiscreteScheduler`.
    pub fn scheduler_class(&self) -> &'static str {
        self.scheduler_class
    }

    /// Texts through both encoders: ([1, L, D], [1, P]) each, all with the same number of windows.
    fn encode_texts(&mut self, texts: &[&str]) -> Result<Vec<(Tensor, Tensor)>> {
        let windows = |tokenizer: &ClipTokenizer, config: &ClipTextConfig| -> Result<Vec<Vec<Vec<i64>>>> {
            let length = config.max_position_embeddings;
            texts.iter().map(|text| tokenizer.windows(text, length)).collect()
        };
        let first = windows(&self.tokenizer, &self.text_encoder_config)?;
        let second = windows(&self.tokenizer_2, &self.text_encoder_2_config)?;
        let most = first.iter().chain(&second).map(Vec::len).max().unwrap_or(1);
        let mut encoded = Vec::new();
        for (mut one, mut two) in first.into_iter().zip(second) {
            one.resize_with(most, || {
                self.tokenizer.window(&[], self.text_encoder_config.max_position_embeddings)
            });
            two.resize_with(most, || {
                self.tokenizer_2.window(&[], self.text_encoder_2_config.max_position_embeddings)
            });
            let (a, _) = run_encoder(&mut self.text_encoder, &self.text_encoder_config, one, None)?;
            let (b, pooled) =
                run_encoder(&mut self.text_encoder_2, &self.text_encoder_2_config, two, Some("text_embeds"))?;
            encoded.push((side_by_side(&a, &b)?, pooled.ok_or_else(|| not_finite("text_embeds", 0))?));
        }
        Ok(encoded)
    }
}

/// Windows [n, 77] to the second-to-last hidden states [n, 77, D], and the first row of `pooled` [1, P].
fn run_encoder(
    session: &mut Session,
    config: &ClipTextConfig,
    windows: Vec<Vec<i64>>,
    pooled: Option<&str>,
) -> Result<(Tensor, Option<Tensor>)> {
    let shape = [windows.len(), config.max_position_embeddings];
    let ids = Tensor::i64(&shape, windows.concat())?;
    let penultimate = format!("hidden_states.{}", config.num_hidden_layers.saturating_sub(1));
    let names: Vec<&str> = [Some(penultimate.as_str()), pooled].into_iter().flatten().collect();
    let mut outputs = session.run(&[("input_ids", &ids)], &names)?.into_iter();
    let Some(hidden) = outputs.next() else { return Err(not_finite("hidden_states", 0)) };
    let first_row = outputs.next().map(|all| {
        let width = all.shape().last().copied().unwrap_or_default();
        let mut values = all.into_f32();
        values.truncate(width);
        Tensor::f32(&[1, width], values)
    });
    Ok((hidden, first_row.transpose()?))
}

/// a [n, L, D1] and b [n, L, D2] -> [1, n * L, D1 + D2]
fn side_by_side(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let width = |t: &Tensor| t.shape().last().copied().unwrap_or(1).max(1);
    let (da, db) = (width(a), width(b));
    let (a, b) = (a.clone().into_f32(), b.clone().into_f32());
    let tokens = a.len() / da;
    let joined: Vec<f32> =
        a.chunks_exact(da).zip(b.chunks_exact(db)).flat_map(|(a, b)| a.iter().chain(b).copied()).collect();
    if let Some(index) = joined.iter().position(|x| !x.is_finite()) {
        return Err(not_finite("prompt_embeds", index));
    }
    Ok(Tensor::f32(&[1, tokens, da + db], joined)?)
}

/// A seed of 32 bits, for requests that name none.
pub fn random_seed() -> u64 {
    rand::random::<u32>().into()
}

/// Pictures from decoded values [N, 3, H, W]; the first has `seed`, the next `seed + 1`, and so on.
pub fn images(decoded: &Tensor, seed: u64) -> Vec<Image> {
    let [_, c, h, w] = decoded.shape()[..] else { return vec![] };
    let values = decoded.clone().into_f32();
    let each = values.chunks_exact(c * h * w).zip(seed..);
    each.map(|(picture, seed)| Image::from_decoded(picture, h, w, seed)).collect()
}

fn zeros(like: &Tensor) -> Result<Tensor> {
    Ok(Tensor::f32(like.shape(), vec![0.0; like.shape().iter().product()])?)
}

fn not_finite(tensor: &str, index: usize) -> Error {
    ourvidz_core::Error::NonFinite { tensor: tensor.into(), index }.into()
}

fn wrong_latents(expected: &[usize], found: &[usize]) -> Error {
    let rule = format!("must have shape {expected:?}");
    ourvidz_core::Error::Invalid { field: "latents".into(), rule, value: format!("{found:?}") }.into()
}
