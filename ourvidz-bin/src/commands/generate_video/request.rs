use std::path::Path;

use anyhow::{Context, anyhow};
use ourvidz_wan::{Reference, ReferenceFrames, RgbImage, TextToVideo, WanPipeline};

use crate::cli::VideoOptions;
use crate::config::env_vars;
use crate::failure::Failure;

/// Sizes without `--size` and `--frame-num`: the model's, and what the demo model makes in seconds.
const SIZE: (usize, usize, usize) = (832, 480, 81);
const DEMO_SIZE: (usize, usize, usize) = (256, 256, 17);

/// The options as a request, checked.
pub(super) fn request(options: &VideoOptions) -> Result<TextToVideo, Failure> {
    let configured = options.model.model.path(env_vars::WAN_MODEL)?.is_some();
    let (width, height, frames) = if configured { SIZE } else { DEMO_SIZE };
    let (width, height) = match &options.size {
        Some(size) => parse_size(size)?,
        None => (width, height),
    };
    let picture = options.task.as_deref().is_some_and(|task| task.starts_with("t2i"));
    let num_frames = match (options.frame_num, picture) {
        (Some(frames), true) if frames != 1 => {
            return Err(refuse("--frame-num: must be 1 for a t2i task", frames));
        }
        (Some(frames), _) => frames,
        (None, true) => 1,
        (None, false) => frames,
    };
    let request = TextToVideo {
        negative_prompt: options.negative_prompt.clone(),
        num_inference_steps: options.sample_steps,
        guidance_scale: options.sample_guide_scale,
        width,
        height,
        num_frames,
        fps: options.fps,
        scheduler: options.sample_solver.clone(),
        shift: options.sample_shift,
        seed: Some(seed(options.seed)?),
        noise_source: options.rng,
        ..TextToVideo::new(&options.prompt)
    };
    request.validate()?;
    // 4n + 1, rounded down; what is reported is what is made.
    Ok(TextToVideo { num_frames: (num_frames - 1) / 4 * 4 + 1, ..request })
}

/// The pictures that the video begins from or keeps.
pub(super) fn reference(options: &VideoOptions) -> Result<Option<Reference>, Failure> {
    let read = |flag: &str, path: &Path| -> Result<RgbImage, Failure> {
        let read =
            || anyhow::Ok(image::ImageReader::open(path)?.with_guessed_format()?.decode()?.into_rgb8());
        read().with_context(|| format!("{flag}: {}", path.display())).map_err(Failure::arguments)
    };
    let first = options.first_frame.as_deref().map(|path| read("--first-frame", path)).transpose()?;
    let last = options.last_frame.as_deref().map(|path| read("--last-frame", path)).transpose()?;
    let image = options.image.as_deref().map(|path| read("--image", path)).transpose()?;
    let frames = match (image, first, last) {
        (Some(image), ..) => ReferenceFrames::Single(image),
        (None, Some(start), Some(end)) => ReferenceFrames::Both { start, end },
        (None, Some(start), None) => ReferenceFrames::Start(start),
        (None, None, Some(end)) => ReferenceFrames::End(end),
        (None, None, None) => return Ok(None),
    };
    Ok(Some(Reference { frames, denoise_strength: options.denoise_strength }))
}

/// A task names a model: another checkpoint would make something else under its name.
pub(super) fn check_task(task: Option<&str>, wan: &WanPipeline) -> Result<(), Failure> {
    let Some(task) = task else { return Ok(()) };
    let known = ["t2v-1.3B", "t2v-14B", "t2i-14B", "vace-1.3B", "vace-14B"];
    if ["i2v-14B", "flf2v-14B"].contains(&task) {
        let rule =
            "--task: image-to-video models have no pipeline here; take a VACE or text-to-video checkpoint";
        return Err(refuse(rule, task));
    }
    if !known.contains(&task) {
        return Err(refuse(&format!("--task: must be one of {}", known.join(", ")), task));
    }
    let model = wan.task();
    let size = |task: &str| task.rsplit('-').next().map(str::to_owned);
    let published = size(&model).is_some_and(|size| size.ends_with('B'));
    let fits = task.starts_with("vace") == wan.is_vace() && (!published || size(task) == size(&model));
    if fits { Ok(()) } else { Err(refuse(&format!("--task: the checkpoint is a {model}"), task)) }
}

fn parse_size(text: &str) -> Result<(usize, usize), Failure> {
    let mut sides = text.split(['*', 'x', 'X']).map(|side| side.trim().parse::<usize>());
    match (sides.next(), sides.next(), sides.next()) {
        (Some(Ok(width)), Some(Ok(height)), None) => Ok((width, height)),
        _ => Err(refuse("--size: must be WIDTH*HEIGHT in pixels, e.g. 832*480", text)),
    }
}

fn seed(asked: Option<i128>) -> Result<u64, Failure> {
    match asked {
        None | Some(-1) => Ok(ourvidz_wan::random_seed()),
        Some(seed) => u64::try_from(seed).map_err(|_| {
            refuse("--seed: must be from 0 to 18446744073709551615, or -1 for a random one", seed)
        }),
    }
}

fn refuse(rule: &str, value: impl std::fmt::Display) -> Failure {
    Failure::arguments(anyhow!("{rule}, got {value}"))
}
