mod request;
mod sink;

use std::ops::ControlFlow;
use std::path::Path;

use ourvidz_core::denoise::Step;
use ourvidz_runtime::Tensor;
use ourvidz_wan::{PromptEmbeds, Video};
use serde_json::json;

use super::check_file;
use crate::cli::VideoOptions;
use crate::failure::Failure;
use crate::load_wan::load_wan;
use crate::parameters::video_parameters;
use crate::progress::{Lap, Progress};
use crate::{output, tensors};
use sink::Sink;

/// `ourvidz generate video`
pub(crate) fn generate_video(options: &VideoOptions, json: bool) -> Result<(), Failure> {
    let request = request::request(options)?;
    let reference = request::reference(options)?;
    let target = sink::Target::of(options.save_file.as_deref(), request.num_frames)?;
    if let Some(dump) = &options.dump {
        check_file("--dump", dump)?;
    }
    let initial = options.latents.as_deref().map(|path| tensors::read(path, "latents"));
    let initial = initial.transpose().map_err(Failure::arguments)?;
    let given = initial.is_some();

    let mut progress = Progress::new();
    let mut lap = Lap::start();
    let mut wan = load_wan(&options.model, &mut progress)?;
    request::check_task(options.task.as_deref(), &wan)?;
    let geometry = wan.geometry(&request)?;
    let scheduler = wan.scheduler(&request)?.class_name();
    let loading = lap.next();
    let embeds = wan.encode_prompt(&request)?;
    let truncated = embeds.cut.is_some();
    if truncated {
        output::error("the prompt has more than 512 tokens: its end was left out");
    }
    let prepared = wan.prepare(&request, reference.as_ref())?;
    let encoding = lap.next();
    let mut dump = Vec::new();
    let mut steps = 0;
    let latents = wan.denoise(&request, &embeds, &prepared, initial, |step: Step<'_>| {
        steps += 1;
        progress.step(step.index + 1, step.num_inference_steps);
        if options.dump.is_some() {
            dump.push((format!("noise_pred.{}", step.index), step.noise_pred.to_vec()));
            dump.push((format!("latents.{}", step.index), step.latents.to_vec()));
        }
        ControlFlow::Continue(())
    })?;
    let denoising = lap.next();

    let frames = geometry.num_frames();
    let mut text = video_parameters(&request, frames, scheduler, prepared.method());
    if given {
        // With noise from a file the seed alone does not make the video again.
        text.push_str(", initial noise given");
    }
    let mut sink = Sink::create(&target, &request, &text)?;
    let mut decoded = Vec::new();
    let mut done = 0;
    let _whole = wan.decode_chunks(&latents, &prepared, |chunk| -> Result<_, Failure> {
        let mut part = Video::new(geometry.width(), geometry.height(), request.fps, 0);
        let shape = chunk.shape().to_vec();
        let values = chunk.into_f32();
        part.push_decoded(&values)?;
        sink.push(&part)?;
        done += part.num_frames();
        progress.frames(done, frames);
        if options.dump.is_some() {
            decoded.push(Tensor::f32(&shape, values)?);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let path = sink.finish()?;
    let decoding = lap.next();
    progress.end();
    if let Some(path) = &options.dump {
        write_dump(path, embeds, dump, latents, decoded)?;
    }
    let seed = request.seed.unwrap_or_default();
    let method = prepared.method().map(|method| method.as_str());
    if json {
        output::json(&json!({
            "file": path, "seed": seed, "initial_noise_given": given, "scheduler": scheduler,
            "device": wan.device().to_string(), "precision": wan.precision().to_string(),
            "vae_precision": wan.vae_precision().to_string(), "task": wan.task(), "frames": frames,
            "fps": request.fps, "width": geometry.width(), "height": geometry.height(), "steps": steps,
            "reference_method": method, "prompt_truncated": truncated,
            "loading_seconds": loading, "encoding_seconds": encoding, "denoising_seconds": denoising,
            "decoding_seconds": decoding,
        }));
        return Ok(());
    }
    let given = if given { ", initial noise given" } else { "" };
    output::line(&format!("{} (seed {seed}{given})", path.display()));
    let reference = method.map(|method| format!(", reference by {method}")).unwrap_or_default();
    output::error(&format!(
        "{frames} frames of {}x{}, {scheduler} on {} in {} (VAE {}){reference}: loading {loading:.2} s, encoding \
         {encoding:.3} s, {steps} steps {denoising:.3} s ({:.1} ms each), decoding {decoding:.3} s",
        geometry.width(),
        geometry.height(),
        wan.device(),
        wan.precision(),
        wan.vae_precision(),
        denoising * 1e3 / steps.max(1) as f64,
    ));
    Ok(())
}

fn write_dump(
    path: &Path,
    embeds: PromptEmbeds,
    steps: Vec<(String, Vec<f32>)>,
    latents: Tensor,
    decoded: Vec<Tensor>,
) -> Result<(), Failure> {
    let shape = latents.shape().to_vec();
    let mut all = vec![("prompt_embeds".to_owned(), embeds.prompt_embeds)];
    all.extend(embeds.negative_prompt_embeds.map(|negative| ("negative_prompt_embeds".to_owned(), negative)));
    for (name, values) in steps {
        // A single picture with VACE has a latent frame of its own before the video's.
        let mut shape = shape.clone();
        shape[2] = values.len() / (shape[1] * shape[3] * shape[4]);
        all.push((name, Tensor::f32(&shape, values)?));
    }
    all.push(("latents".to_owned(), latents));
    all.push(("video".to_owned(), frames_first(decoded)?));
    Ok(tensors::write(path, all)?)
}

/// Clips [1, 3, F, H, W] -> [F, 3, H, W]
fn frames_first(clips: Vec<Tensor>) -> Result<Tensor, Failure> {
    let (mut values, mut size) = (Vec::new(), [0; 2]);
    for clip in clips {
        let &[_, channels, frames, height, width] = clip.shape() else { continue };
        size = [height, width];
        let clip = clip.into_f32();
        for frame in 0..frames {
            for channel in 0..channels {
                let at = (channel * frames + frame) * height * width;
                values.extend_from_slice(&clip[at..at + height * width]);
            }
        }
    }
    let [height, width] = size;
    Ok(Tensor::f32(&[values.len() / (3 * height * width).max(1), 3, height, width], values)?)
}
