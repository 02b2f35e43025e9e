use std::ops::ControlFlow;

use ourvidz_core::denoise::{Run, Step, denoise_from};
use ourvidz_core::guidance::classifier_free_guidance;
use ourvidz_core::noise::Noise;
use ourvidz_core::request::TextToVideo;
use ourvidz_core::scheduler::Scheduler;
use ourvidz_runtime::Tensor;

use super::WanPipeline;
use crate::components::Component;
use crate::graphs::{ConditioningInputs, Control};
use crate::reference::{Kind, LatentShape, Prepared};
use crate::{Error, PromptEmbeds, Result};

impl WanPipeline {
    /// From noise to normalised latents [1, C, F', H/8, W/8].
    ///
    /// `initial` replaces the seed's noise and has the latents' shape; with a single picture and VACE, one latent frame
    /// more, before the video's.
    ///
    /// # Errors
    /// As [`text_to_video`](Self::text_to_video); initial noise of another shape, `prepared` of another size.
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
        prepared.check(&shape)?;
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
        let mut left = scheduler.timesteps().len().saturating_sub(start);
        let predict = |sample: &[f32], timestep: f32| -> Result<Vec<f32>> {
            let sample = Tensor::f32(&shape, sample.to_vec())?;
            left = left.saturating_sub(1);
            // The decoder needs the memory that the last prediction worked with.
            transformer.release_after_runs(left == 0 && unconditional.is_none())?;
            let with_prompt = transformer.predict(&mut conditional, &sample, timestep)?.into_f32();
            let Some(unconditional) = &mut unconditional else { return Ok(with_prompt) };
            transformer.release_after_runs(left == 0)?;
            let without = transformer.predict(unconditional, &sample, timestep)?.into_f32();
            Ok(classifier_free_guidance(&without, &with_prompt, request.guidance_scale))
        };
        let mut write = |scheduler: &dyn Scheduler, step: usize, latents: &mut [f32]| {
            if let Kind::Hold(hold) = &prepared.kind {
                hold.write_noised(scheduler, step, latents, &noise, latent_shape);
            }
        };
        let run = Run { start, hold: Some(&mut write) };
        let denoised = denoise_from(scheduler.as_mut(), &mut latents, &mut generator, run, predict, on_step);
        self.done_with(Component::Transformer);
        denoised?;
        if let Kind::Hold(hold) = &prepared.kind {
            hold.write(&mut latents, latent_shape);
        }
        without_prefix(latents, latent_shape, prepared.prefix, [height, width])
    }
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
