//! Finished frames, and their way into a file.

#[cfg(feature = "video")]
mod encoder;

#[cfg(feature = "video")]
pub use encoder::{VideoEncoder, VideoSettings};

use image::RgbImage;

use crate::{Error, Result};

/// A finished video in memory: 8-bit RGB frames of one size.
#[derive(Clone, PartialEq, Eq)]
pub struct Video {
    width: usize,
    height: usize,
    fps: u32,
    seed: u64,
    /// [F, H, W, 3]
    rgb: Vec<u8>,
}

impl Video {
    /// No frames yet. `seed` is the one whose noise the video begins with.
    pub fn new(width: usize, height: usize, fps: u32, seed: u64) -> Self {
        Self { width, height, fps, seed, rgb: Vec::new() }
    }

    /// Adds decoded frames: x [3, f, H, W], -1 black and 1 full; what lies outside is cut off.
    ///
    /// # Errors
    /// [`Error::Input`] if `x` does not hold whole frames of this size.
    pub fn push_decoded(&mut self, x: &[f32]) -> Result<()> {
        let plane = self.width * self.height;
        let frames = x.len() / (3 * plane).max(1);
        if plane == 0 || x.len() != 3 * plane * frames {
            let rule = format!("whole frames of 3 x {} x {}", self.height, self.width);
            return Err(Error::Input { input: "frames", rule, value: format!("{} numbers", x.len()) });
        }
        let byte = |v: f32| ((v / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
        self.rgb.reserve(x.len());
        for frame in 0..frames {
            for pixel in 0..plane {
                let at = |channel: usize| x[(channel * frames + frame) * plane + pixel];
                self.rgb.extend([at(0), at(1), at(2)].map(byte));
            }
        }
        Ok(())
    }

    /// Frames so far.
    pub fn num_frames(&self) -> usize {
        self.rgb.len() / (3 * self.width * self.height).max(1)
    }

    /// Pixels across.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels down.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Frames per second.
    pub fn fps(&self) -> u32 {
        self.fps
    }

    /// The seed whose noise this video began with.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Frame `index` as `3 * width * height` bytes, row by row from the top; `None` past the end.
    pub fn frame_rgb(&self, index: usize) -> Option<&[u8]> {
        self.rgb.chunks_exact((3 * self.width * self.height).max(1)).nth(index)
    }

    /// Frame `index` as a picture; `None` past the end.
    pub fn frame(&self, index: usize) -> Option<RgbImage> {
        let rgb = self.frame_rgb(index)?.to_vec();
        RgbImage::from_raw(u32::try_from(self.width).ok()?, u32::try_from(self.height).ok()?, rgb)
    }

    /// Writes an MP4: H.264, yuv420p, faststart, at this video's rate, without metadata.
    ///
    /// # Errors
    /// [`Error::Encode`].
    #[cfg(feature = "video")]
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        let settings = VideoSettings::new(self.width, self.height, self.fps);
        let mut encoder = VideoEncoder::create(path.as_ref(), &settings)?;
        for frame in self.rgb.chunks_exact((3 * self.width * self.height).max(1)) {
            encoder.push(frame)?;
        }
        encoder.finish()
    }
}

/// Numbers only: frames are no text.
impl std::fmt::Debug for Video {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Video({} frames, {}x{}, {} fps)", self.num_frames(), self.width, self.height, self.fps)
    }
}

#[cfg(test)]
mod tests;
