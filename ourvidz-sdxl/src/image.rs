use std::path::Path;

use image::imageops::FilterType;

use crate::{Error, Result};

/// A finished picture: 8-bit RGB, row by row from the top.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
    seed: u64,
}

impl Image {
    /// One picture from decoded values: x [3, H, W], -1 black and 1 full; what lies outside is cut off.
    pub(crate) fn from_decoded(x: &[f32], height: usize, width: usize, seed: u64) -> Image {
        let plane = height * width;
        let byte = |v: f32| ((v / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
        let rgb = (0..plane).flat_map(|i| [x[i], x[plane + i], x[2 * plane + i]].map(byte)).collect();
        Image { width, height, rgb, seed }
    }

    /// A picture of `3 * width * height` bytes, row by row from the top; `None` for another number of bytes.
    pub fn from_rgb(width: usize, height: usize, rgb: Vec<u8>, seed: u64) -> Option<Image> {
        (rgb.len() == 3 * width * height).then_some(Image { width, height, rgb, seed })
    }

    /// Pixels across.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels down.
    pub fn height(&self) -> usize {
        self.height
    }

    /// `3 * width * height` bytes.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The seed whose noise this picture began with.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// PNG bytes, with `text` as `iTXt` chunks (keyword, text): generation parameters, provenance.
    ///
    /// # Errors
    /// [`Error::Encode`], for instance for a keyword of more than 79 bytes.
    pub fn to_png(&self, text: &[(&str, &str)]) -> Result<Vec<u8>> {
        let failed = |e: png::EncodingError| Error::Encode { format: "png", reason: e.to_string() };
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        for (keyword, value) in text {
            encoder.add_itxt_chunk(keyword.to_string(), value.to_string()).map_err(failed)?;
        }
        let mut writer = encoder.write_header().map_err(failed)?;
        writer.write_image_data(&self.rgb).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(bytes)
    }

    /// A WebP (lossy, quality 85) whose longer side has at most `longest` pixels, scaled with Lanczos; never enlarged.
    ///
    /// # Errors
    /// [`Error::Encode`]
    pub fn to_webp_thumbnail(&self, longest: usize) -> Result<Vec<u8>> {
        let failed = |reason: &str| Error::Encode { format: "webp", reason: reason.into() };
        let (width, height) = (self.width as u32, self.height as u32);
        let full =
            image::RgbImage::from_raw(width, height, self.rgb.clone()).ok_or_else(|| failed("wrong size"))?;
        let scale = (longest as f64 / self.width.max(self.height) as f64).min(1.0);
        let side = |n: u32| ((f64::from(n) * scale).round() as u32).max(1);
        let small = image::imageops::resize(&full, side(width), side(height), FilterType::Lanczos3);
        let encoder = webp::Encoder::from_rgb(&small, small.width(), small.height());
        let encoded = encoder.encode_simple(false, 85.0).map_err(|e| failed(&format!("{e:?}")))?;
        Ok(encoded.to_vec())
    }

    /// Writes a PNG.
    ///
    /// # Errors
    /// [`Error::Encode`], [`Error::Write`]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = self.to_png(&[])?;
        std::fs::write(path, bytes).map_err(|source| Error::Write { path: path.into(), source })
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({}x{}, seed {})", self.width, self.height, self.seed)
    }
}
