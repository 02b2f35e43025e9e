//! Frames into an MP4, where the build has an encoder.

use std::path::Path;

use anyhow::Result;
use ourvidz_wan::TextToVideo;

#[cfg(feature = "video")]
use anyhow::Context;
#[cfg(feature = "video")]
use ourvidz_wan::{VideoEncoder, VideoSettings};

/// An MP4 under construction: at a path, or in a folder of its own until its bytes are taken.
#[derive(Debug)]
#[cfg(feature = "video")]
pub(crate) struct VideoFile {
    encoder: VideoEncoder,
    folder: Option<tempfile::TempDir>,
}

#[cfg(feature = "video")]
impl VideoFile {
    /// `comment` becomes the file's metadata.
    pub(crate) fn create(path: Option<&Path>, request: &TextToVideo, comment: &str) -> Result<VideoFile> {
        let mut settings = VideoSettings::new(request.width, request.height, request.fps);
        settings.comment = Some(comment.to_owned());
        let folder = if path.is_none() { Some(tempfile::tempdir()?) } else { None };
        let inside = folder.as_ref().map(|folder| folder.path().join(NAME));
        let path = path.or(inside.as_deref()).context("no path")?;
        Ok(VideoFile { encoder: VideoEncoder::create(path, &settings)?, folder })
    }

    /// Adds a frame: `3 * width * height` bytes.
    pub(crate) fn push(&mut self, rgb: &[u8]) -> Result<()> {
        Ok(self.encoder.push(rgb)?)
    }

    /// Ends the file.
    pub(crate) fn finish(self) -> Result<Option<tempfile::TempDir>> {
        self.encoder.finish()?;
        Ok(self.folder)
    }

    /// Ends a file that was given no path.
    pub(crate) fn into_bytes(self) -> Result<Vec<u8>> {
        let folder = self.finish()?.context("the file has a path")?;
        Ok(std::fs::read(folder.path().join(NAME))?)
    }
}

#[cfg(feature = "video")]
const NAME: &str = "video.mp4";

/// What a build without the feature `video` has instead: nothing can be made of it.
#[derive(Debug)]
#[cfg(not(feature = "video"))]
pub(crate) enum VideoFile {}

#[cfg(not(feature = "video"))]
impl VideoFile {
    pub(crate) fn create(_path: Option<&Path>, _request: &TextToVideo, _comment: &str) -> Result<VideoFile> {
        anyhow::bail!("this build writes no MP4: build with the feature `video`")
    }

    pub(crate) fn push(&mut self, _rgb: &[u8]) -> Result<()> {
        match *self {}
    }

    pub(crate) fn finish(self) -> Result<Option<tempfile::TempDir>> {
        match self {}
    }

    pub(crate) fn into_bytes(self) -> Result<Vec<u8>> {
        match self {}
    }
}
