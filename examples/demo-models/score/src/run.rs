use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ourvidz_qwen::{EnhancePrompt, EnhancementSource, PromptTarget, QwenPipeline};
use ourvidz_sdxl::{SdxlPipeline, TextToImage};
use ourvidz_wan::{Reference, ReferenceFrames, RgbImage, TextToVideo, Video, WanPipeline};

use crate::judge::judge_motion;
use crate::{
    ClipEntry, Ends, EnhanceEntry, ImageEntry, Kind, Picture, ReferenceEntry, Result, Verdict, draw,
    judge_clip, judge_picture, judge_text, things,
};

/// Where the models are.
#[derive(Debug, Clone)]
pub struct Models {
    /// Holds `tiny-sdxl`, `tiny-wan` and `tiny-qwen`.
    pub folder: PathBuf,
    /// For converted weights.
    pub cache: PathBuf,
}

/// How they run, on the processor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Steps of a picture.
    pub image_steps: usize,
    /// Steps of a clip.
    pub clip_steps: usize,
    /// Frames of a clip.
    pub frames: usize,
    /// Width and height of a clip; pictures have the model's own size.
    pub clip_size: (usize, usize),
}

impl Default for Settings {
    /// 20 steps; clips of 17 frames of 256x256.
    fn default() -> Settings {
        Settings { image_steps: 20, clip_steps: 20, frames: 17, clip_size: (256, 256) }
    }
}

/// What came of one entry of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// The entry's prompt.
    pub prompt: String,
    /// The entry's seed.
    pub seed: u64,
    /// Whether training never had a thing of this shape and colour.
    pub held_out: bool,
    /// Whether it is right, and what was seen.
    pub verdict: Verdict,
    /// Seconds it took to make.
    pub seconds: f64,
}

/// How near a held frame is to its picture: root of the mean square over all channels, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Held {
    /// The held frame.
    pub held: f32,
    /// The picture through the VAE and back, by itself: as near as it can be.
    pub round_trip: f32,
    /// The frame at the other end.
    pub other_end: f32,
}

/// How much further than a still clip a held frame may be, of its distance: still clips of other lengths differ a little.
const MARGIN: f32 = 0.1;
/// The same beside that, of the range: a step of eight bits.
const STEPS: f32 = 1.0 / 255.0;

/// A thing that is held stays within so many halves of a side, and so near its size.
const NEAR: f32 = 0.1;
const AS_LARGE: f32 = 1.15;

impl Held {
    /// Whether the picture is held, and at its end of the clip.
    pub fn right(&self) -> bool {
        self.held <= self.round_trip * (1.0 + MARGIN) + STEPS && self.held < self.other_end
    }
}

impl Models {
    /// Loads tiny-sdxl.
    ///
    /// # Errors
    /// As the pipeline's builder.
    pub fn sdxl(&self) -> Result<SdxlPipeline> {
        Ok(SdxlPipeline::builder(self.folder.join("tiny-sdxl")).cache_folder(&self.cache).load()?)
    }

    /// Loads tiny-wan.
    ///
    /// # Errors
    /// As the pipeline's builder.
    pub fn wan(&self) -> Result<WanPipeline> {
        Ok(WanPipeline::builder(self.folder.join("tiny-wan")).cache_folder(&self.cache).load()?)
    }

    /// Loads tiny-qwen.
    ///
    /// # Errors
    /// As the pipeline's builder.
    pub fn qwen(&self) -> Result<QwenPipeline> {
        Ok(QwenPipeline::builder(self.folder.join("tiny-qwen")).cache_folder(&self.cache).load()?)
    }
}

impl ImageEntry {
    /// Draws and judges the picture.
    ///
    /// # Errors
    /// Of the pipeline; a wrong picture is none.
    pub fn score(&self, sdxl: &mut SdxlPipeline, settings: &Settings) -> Result<(Score, Picture)> {
        let started = Instant::now();
        let (width, height) = sdxl.default_size();
        let request = TextToImage {
            seed: Some(self.seed),
            num_inference_steps: settings.image_steps,
            width,
            height,
            ..TextToImage::new(&self.prompt)
        };
        let images = sdxl.text_to_image(&request)?;
        let seconds = started.elapsed().as_secs_f64();
        let rgb = images.first().map(|image| image.rgb().to_vec()).unwrap_or_default();
        let picture = Picture::from_parts(width, height, rgb);
        let verdict = judge_picture(&picture, &self.things, self.relation);
        let (prompt, seed, held_out) = (self.prompt.clone(), self.seed, self.held_out);
        Ok((Score { prompt, seed, held_out, verdict, seconds }, picture))
    }
}

impl ClipEntry {
    /// Draws and judges the clip.
    ///
    /// # Errors
    /// Of the pipeline; a wrong clip is none.
    pub fn score(&self, wan: &mut WanPipeline, settings: &Settings) -> Result<(Score, Vec<Picture>)> {
        let started = Instant::now();
        let frames = frames(&wan.text_to_video(&request(&self.prompt, self.seed, settings))?);
        let seconds = started.elapsed().as_secs_f64();
        let verdict = judge_clip(&frames, self);
        let (prompt, seed, held_out) = (self.prompt.clone(), self.seed, self.held_out);
        Ok((Score { prompt, seed, held_out, verdict, seconds }, frames))
    }
}

impl ReferenceEntry {
    /// Draws the given frames and the clip, and measures how near the frames at the ends are to them.
    ///
    /// # Errors
    /// Of the pipeline; a frame that is not held is none.
    pub fn score(&self, wan: &mut WanPipeline, settings: &Settings) -> Result<(Score, Vec<Picture>)> {
        let started = Instant::now();
        let request = request(&self.prompt, self.seed, settings);
        let (width, height) = settings.clip_size;
        let (first, last) = (draw(&self.first(), width, height)?, draw(&self.last(), width, height)?);
        let given = match self.ends {
            Ends::Start => ReferenceFrames::Start(image(&first)),
            Ends::End => ReferenceFrames::End(image(&last)),
            Ends::Both => ReferenceFrames::Both { start: image(&first), end: image(&last) },
        };
        let reference = Reference { frames: given, denoise_strength: 0.5 };
        let clip = frames(&wan.reference_to_video(&request, &reference, |_| ControlFlow::Continue(()))?);
        let seconds = started.elapsed().as_secs_f64();
        let (mut right, mut seen) = (true, Vec::new());
        let ends =
            [(Ends::Start, &first, clip.first(), clip.last()), (Ends::End, &last, clip.last(), clip.first())];
        for (end, picture, here, there) in ends {
            if self.ends != end && self.ends != Ends::Both {
                continue;
            }
            let (Some(here), Some(there)) = (here, there) else { continue };
            let held = Held {
                held: difference(here, picture),
                round_trip: round_trip(wan, &request, picture, end)?,
                other_end: difference(there, picture),
            };
            right &= held.right() && shows(here, picture);
            let Held { held, round_trip, other_end } = held;
            let name = if end == Ends::Start { "first" } else { "last" };
            seen.push(format!("{name} {held:.4} (round trip {round_trip:.4}, other end {other_end:.4})"));
        }
        // What the clip does between its ends is told, and not judged: the prompt's score is that of the other list.
        seen.push(judge_motion(&clip, &self.thing, self.motion).seen);
        let verdict = Verdict { right: right && seen.len() > 1, seen: seen.join("; ") };
        let (prompt, seed, held_out) = (self.prompt.clone(), self.seed, self.held_out);
        Ok((Score { prompt, seed, held_out, verdict, seconds }, clip))
    }
}

impl EnhanceEntry {
    /// Enhances and judges the prompt.
    ///
    /// # Errors
    /// Of the pipeline; a wrong prompt is none.
    pub fn score(&self, qwen: &mut QwenPipeline) -> Result<Score> {
        let target = match self.target {
            Kind::Image => PromptTarget::Image,
            Kind::Video => PromptTarget::Video,
        };
        let request = EnhancePrompt { target, seed: Some(self.seed), ..EnhancePrompt::new(&self.prompt) };
        let enhanced = qwen.enhance_prompt(&request)?;
        let mut verdict = judge_text(&enhanced.prompt, self);
        verdict.right &= enhanced.source != EnhancementSource::Original;
        let (prompt, seed, held_out) = (self.prompt.clone(), self.seed, self.held_out);
        Ok(Score { prompt, seed, held_out, verdict, seconds: enhanced.seconds })
    }
}

/// What the prompt lists of this repository are, and where its models lie: `(prompts, models)`.
pub fn folders() -> (PathBuf, PathBuf) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    (here.join("prompts"), here.join("../../../ourvidz-bin/models"))
}

fn request(prompt: &str, seed: u64, settings: &Settings) -> TextToVideo {
    let (width, height) = settings.clip_size;
    TextToVideo {
        seed: Some(seed),
        num_inference_steps: settings.clip_steps,
        num_frames: settings.frames,
        width,
        height,
        ..TextToVideo::new(prompt)
    }
}

/// How far a picture is from its own way through the VAE: for the first frame by itself, for the last as a still clip.
fn round_trip(wan: &mut WanPipeline, request: &TextToVideo, picture: &Picture, end: Ends) -> Result<f32> {
    let reference = Reference { frames: ReferenceFrames::Single(image(picture)), denoise_strength: 0.0 };
    let num_frames = if end == Ends::Start { 1 } else { 5 };
    let request = TextToVideo { num_frames, ..request.clone() };
    let still = frames(&wan.reference_to_video(&request, &reference, |_| ControlFlow::Continue(()))?);
    Ok(still.last().map_or(1.0, |frame| difference(frame, picture)))
}

fn frames(video: &Video) -> Vec<Picture> {
    let of =
        |index| Some(Picture::from_parts(video.width(), video.height(), video.frame_rgb(index)?.to_vec()));
    (0..video.num_frames()).filter_map(of).collect()
}

fn image(picture: &Picture) -> RgbImage {
    let at = |x: u32, y: u32| image::Rgb(picture.at(x as usize, y as usize));
    RgbImage::from_fn(picture.width() as u32, picture.height() as u32, at)
}

/// Whether the thing of a picture is there, of the same shape and colour, in the same place and as large.
fn shows(frame: &Picture, picture: &Picture) -> bool {
    let largest = |picture: &Picture| things(picture).into_iter().next();
    let Some((found, given)) = largest(frame).zip(largest(picture)) else { return false };
    (found.shape, found.colour) == (given.shape, given.colour)
        && (found.x - given.x).hypot(found.y - given.y) <= NEAR
        && (AS_LARGE.recip()..=AS_LARGE).contains(&(found.radius / given.radius))
}

fn difference(a: &Picture, b: &Picture) -> f32 {
    let each = a.rgb().iter().zip(b.rgb()).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
    ((each.sum::<f64>() / a.rgb().len().max(1) as f64).sqrt() / 255.0) as f32
}
