use std::ops::ControlFlow;

use anyhow::Context;
use ourvidz_core::job::callback::ErrorCode;
use ourvidz_queue::worker::{JobControl, JobFailure};
use ourvidz_runtime::Tensor;
use ourvidz_sdxl::Image;
use ourvidz_wan::{Error, Prepared, TextToVideo, Video, WanPipeline};

use crate::parameters::{SOFTWARE, video_parameters};
use crate::video_file::VideoFile;

/// Whether this build writes MP4 files.
pub(super) const VIDEO: bool = cfg!(feature = "video");

/// A finished file in memory.
pub(super) struct Encoded {
    /// PNG of one frame, MP4 of more.
    pub(super) bytes: Vec<u8>,
    /// Frames in it.
    pub(super) frames: usize,
    /// The frame in the middle.
    pub(super) middle: Image,
}

/// What a file says of its making.
pub(super) struct Text<'a> {
    pub(super) request: &'a TextToVideo,
    pub(super) scheduler: &'a str,
    pub(super) prepared: &'a Prepared,
}

/// Decodes latents and encodes the frames as they come.
pub(super) fn encode(
    wan: &mut WanPipeline,
    latents: &Tensor,
    text: &Text<'_>,
    control: &JobControl,
) -> Result<Encoded, JobFailure> {
    let geometry = wan.geometry(text.request).map_err(super::failure)?;
    let (count, seed) = (geometry.num_frames(), text.request.seed.unwrap_or_default());
    let parameters = video_parameters(text.request, count, text.scheduler, text.prepared.method());
    let mut sink = match count {
        1 => None,
        _ => Some(VideoFile::create(None, text.request, &parameters).map_err(not_encoded)?),
    };
    let (mut frames, mut middle) = (0, None);
    let decoded = wan.decode_chunks(latents, text.prepared, |chunk| {
        let mut part = Video::new(geometry.width(), geometry.height(), text.request.fps, seed);
        part.push_decoded(&chunk.into_f32()).map_err(Broken::Model)?;
        for index in 0..part.num_frames() {
            let rgb = part.frame_rgb(index).unwrap_or_default();
            if let Some(sink) = &mut sink {
                sink.push(rgb).map_err(Broken::File)?;
            }
            if frames == count / 2 {
                middle = Image::from_rgb(geometry.width(), geometry.height(), rgb.to_vec(), seed);
            }
            frames += 1;
        }
        // The watchdog hears that the job lives.
        Ok(match control.stage(ourvidz_queue::worker::Stage::Decoding) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        })
    });
    if let Some(stop) = control.stop_reason() {
        return Err(stop.into());
    }
    let _whole = decoded.map_err(|broken| match broken {
        Broken::Model(error) => super::failure(error),
        Broken::File(error) => not_encoded(error),
    })?;
    let middle = middle.context("no frame was decoded").map_err(not_encoded)?;
    let bytes = match sink {
        Some(sink) => sink.into_bytes().map_err(not_encoded)?,
        None => middle
            .to_png(&[("parameters", &parameters), SOFTWARE])
            .map_err(|error| not_encoded(error.into()))?,
    };
    Ok(Encoded { bytes, frames, middle })
}

/// Why decoding ended early.
enum Broken {
    Model(Error),
    File(anyhow::Error),
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Broken::Model(error)
    }
}

fn not_encoded(error: anyhow::Error) -> JobFailure {
    JobFailure::retry(ErrorCode::Internal, "the file could not be encoded").with_source(error)
}
