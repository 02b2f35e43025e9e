use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use ourvidz_sdxl::Image;
use ourvidz_wan::{TextToVideo, Video};

use super::check_file;
use crate::failure::Failure;
use crate::parameters::SOFTWARE;
use crate::video_file::VideoFile;

/// Where frames go.
pub(super) enum Target {
    Mp4(PathBuf),
    Png(PathBuf),
    Folder(PathBuf),
}

/// Takes frames as they are decoded.
pub(super) enum Sink {
    Mp4 { path: PathBuf, file: VideoFile },
    Png { path: PathBuf, text: String },
    Folder { path: PathBuf, text: String, frames: usize },
}

impl Target {
    /// By the path's ending, found out before minutes of work.
    pub(super) fn of(path: Option<&Path>, frames: usize) -> Result<Target, Failure> {
        let default = if frames == 1 { "image.png" } else { "video.mp4" };
        let path = path.unwrap_or(default.as_ref()).to_owned();
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let refuse =
            |rule: &str| Err(Failure::arguments(anyhow!("--save-file: {rule}, got {}", path.display())));
        match ending.as_deref() {
            Some("mp4") if !cfg!(feature = "video") => {
                refuse("this build writes no MP4 (feature `video`): name a folder for frames as PNG")
            }
            Some("mp4") => check_file("--save-file", &path).map(|()| Target::Mp4(path)),
            Some("png") if frames > 1 => refuse("a PNG holds one frame: name an .mp4 or a folder"),
            Some("png") => check_file("--save-file", &path).map(|()| Target::Png(path)),
            None => Ok(Target::Folder(path)),
            Some(_) => refuse("must end in .mp4 or .png, or be a folder"),
        }
    }
}

impl Sink {
    /// `text` goes into every file.
    pub(super) fn create(target: &Target, request: &TextToVideo, text: &str) -> Result<Sink, Failure> {
        let text = text.to_owned();
        Ok(match target {
            Target::Mp4(path) => {
                let file = VideoFile::create(Some(path), request, &text)?;
                Sink::Mp4 { path: path.clone(), file }
            }
            Target::Png(path) => Sink::Png { path: path.clone(), text },
            Target::Folder(path) => {
                std::fs::create_dir_all(path).with_context(|| path.display().to_string())?;
                Sink::Folder { path: path.clone(), text, frames: 0 }
            }
        })
    }

    pub(super) fn push(&mut self, part: &Video) -> Result<(), Failure> {
        for index in 0..part.num_frames() {
            let rgb = part.frame_rgb(index).unwrap_or_default();
            let png = |path: &Path, text: &str| -> Result<(), Failure> {
                let image = Image::from_rgb(part.width(), part.height(), rgb.to_vec(), part.seed());
                let bytes =
                    image.context("a frame of another size")?.to_png(&[("parameters", text), SOFTWARE])?;
                Ok(std::fs::write(path, bytes).with_context(|| path.display().to_string())?)
            };
            match self {
                Sink::Mp4 { file, .. } => file.push(rgb)?,
                Sink::Png { path, text } => png(path, text)?,
                Sink::Folder { path, text, frames } => {
                    png(&path.join(format!("frame-{frames:04}.png")), text)?;
                    *frames += 1;
                }
            }
        }
        Ok(())
    }

    /// The path that holds the frames now.
    pub(super) fn finish(self) -> Result<PathBuf, Failure> {
        match self {
            Sink::Mp4 { path, file } => {
                file.finish()?;
                Ok(path)
            }
            Sink::Png { path, .. } | Sink::Folder { path, .. } => Ok(path),
        }
    }
}
