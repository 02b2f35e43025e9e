use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Context;
use ourvidz_runtime::Tensor;
use ourvidz_sdxl::{PromptEmbeds, TextToImage};
use serde_json::json;

use super::check_file;
use crate::cli::ImageOptions;
use crate::failure::Failure;
use crate::load::load;
use crate::parameters::{SOFTWARE, parameters};
use crate::progress::{Lap, Progress};
use crate::{output, tensors};

/// `ourvidz generate image`
pub(crate) fn generate_image(options: &ImageOptions, json: bool) -> Result<(), Failure> {
    let seed = options.seed.unwrap_or_else(ourvidz_sdxl::random_seed);
    let new = TextToImage::new(&options.prompt);
    let mut request = TextToImage {
        negative_prompt: options.negative_prompt.clone(),
        num_inference_steps: options.steps,
        guidance_scale: options.guidance_scale,
        width: options.width.unwrap_or(new.width),
        height: options.height.unwrap_or(new.height),
        num_images: options.num_images,
        seed: Some(seed),
        noise_source: options.rng,
        ..new
    };
    request.validate()?;
    check_file("--output", &options.output)?;
    if let Some(dump) = &options.dump {
        check_file("--dump", dump)?;
    }
    let initial = options.latents.as_deref().map(|path| tensors::read(path, "latents"));
    let initial = initial.transpose().map_err(Failure::arguments)?;

    let mut progress = Progress::new();
    let mut lap = Lap::start();
    let mut sdxl = load(&options.model, &mut progress)?;
    let (width, height) = sdxl.default_size();
    request.width = options.width.unwrap_or(width);
    request.height = options.height.unwrap_or(height);
    request.validate()?;
    let loading = lap.next();
    let embeds = sdxl.encode_prompt(&request)?;
    let encoding = lap.next();
    let mut dump = Vec::new();
    let latents = sdxl.denoise(&request, &embeds, initial, |step| {
        progress.step(step.index + 1, step.num_inference_steps);
        if options.dump.is_some() {
            dump.push((format!("noise_pred.{}", step.index), step.noise_pred.to_vec()));
            dump.push((format!("latents.{}", step.index), step.latents.to_vec()));
        }
        ControlFlow::Continue(())
    })?;
    let denoising = lap.next();
    let decoded = sdxl.decode(&latents)?;
    let decoding = lap.next();
    progress.end();

    if let Some(path) = &options.dump {
        write_dump(path, embeds, dump, latents, decoded.clone())?;
    }
    let scheduler = sdxl.scheduler_class();
    let images = ourvidz_sdxl::images(&decoded, seed);
    let mut written = Vec::new();
    for (i, image) in images.iter().enumerate() {
        let path = numbered(&options.output, i, images.len());
        // With noise from a file the seed alone does not make the picture again.
        let given = if options.latents.is_some() { ", initial noise given" } else { "" };
        let text = format!("{}{given}", parameters(&request, scheduler, image.seed()));
        let png = image.to_png(&[("parameters", &text), SOFTWARE])?;
        std::fs::write(&path, png).with_context(|| path.display().to_string())?;
        if json {
            let noise_given = options.latents.is_some();
            written.push(json!({"path": path, "seed": image.seed(), "initial_noise_given": noise_given}));
        } else {
            output::line(&format!("{} (seed {}{given})", path.display(), image.seed()));
        }
    }
    if json {
        output::json(&json!({
            "images": written, "scheduler": scheduler, "device": sdxl.device().to_string(),
            "precision": sdxl.precision().to_string(), "steps": request.num_inference_steps,
            "loading_seconds": loading, "encoding_seconds": encoding, "denoising_seconds": denoising,
            "decoding_seconds": decoding,
        }));
        return Ok(());
    }
    output::error(&format!(
        "{} on {} in {}: loading {loading:.2} s, encoding {encoding:.3} s, {} steps {denoising:.3} s \
         ({:.1} ms each), decoding {decoding:.3} s",
        scheduler,
        sdxl.device(),
        sdxl.precision(),
        request.num_inference_steps,
        denoising * 1e3 / request.num_inference_steps as f64,
    ));
    Ok(())
}

fn write_dump(
    path: &Path,
    embeds: PromptEmbeds,
    steps: Vec<(String, Vec<f32>)>,
    latents: Tensor,
    image: Tensor,
) -> Result<(), Failure> {
    let shape = latents.shape().to_vec();
    let mut tensors = vec![
        ("prompt_embeds".to_owned(), embeds.prompt_embeds),
        ("pooled_prompt_embeds".to_owned(), embeds.pooled_prompt_embeds),
    ];
    if let Some((negative, pooled)) = embeds.negative {
        tensors.push(("negative_prompt_embeds".to_owned(), negative));
        tensors.push(("negative_pooled_prompt_embeds".to_owned(), pooled));
    }
    for (name, values) in steps {
        tensors.push((name, Tensor::f32(&shape, values)?));
    }
    tensors.push(("latents".to_owned(), latents));
    tensors.push(("image".to_owned(), image));
    Ok(tensors::write(path, tensors)?)
}

fn numbered(output: &Path, i: usize, count: usize) -> PathBuf {
    if count == 1 {
        return output.to_owned();
    }
    let stem = output.file_stem().unwrap_or_default().to_string_lossy();
    let extension = output.extension().unwrap_or("png".as_ref()).to_string_lossy();
    output.with_file_name(format!("{stem}-{i}.{extension}"))
}
