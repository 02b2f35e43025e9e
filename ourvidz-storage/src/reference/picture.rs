use std::fmt;
use std::io::Cursor;

use bytes::Bytes;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};

use super::isolated::isolated;
use super::jpeg;
use super::limits::ReferenceLimits;
use super::problem::{Failure, ReferenceProblem};
use super::rgb::into_rgb;
use crate::Result;
use crate::storage::sha256_hex;

/// A picture that a job names, as it was sent, its header checked against the limits.
#[derive(Clone)]
#[non_exhaustive]
pub struct Reference {
    /// What errors call it: no secret.
    pub name: String,
    /// The file.
    pub bytes: Bytes,
    /// Its format, by its content.
    pub format: ReferenceFormat,
    /// Columns of the picture that [`Reference::decode`] gives.
    pub width: u32,
    /// Rows of the picture that [`Reference::decode`] gives.
    pub height: u32,
    /// SHA-256 of `bytes`, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// The formats references may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReferenceFormat {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP.
    WebP,
}

impl ReferenceFormat {
    /// E.g. `image/png`.
    pub fn content_type(self) -> &'static str {
        self.image_format().to_mime_type()
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        match image::guess_format(bytes).ok()? {
            ImageFormat::Png => Some(Self::Png),
            ImageFormat::Jpeg => Some(Self::Jpeg),
            ImageFormat::WebP => Some(Self::WebP),
            _ => None,
        }
    }

    fn image_format(self) -> ImageFormat {
        match self {
            Self::Png => ImageFormat::Png,
            Self::Jpeg => ImageFormat::Jpeg,
            Self::WebP => ImageFormat::WebP,
        }
    }
}

impl Reference {
    /// Checks size, format and header of a file; its pixels are not decoded. `name` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Reference`](crate::Error::Reference).
    pub async fn from_bytes(name: &str, bytes: Bytes, limits: &ReferenceLimits) -> Result<Self> {
        Self::read(name, bytes, limits).await.map_err(|failure| failure.named(name))
    }

    pub(super) async fn read(name: &str, bytes: Bytes, limits: &ReferenceLimits) -> Result<Self, Failure> {
        if bytes.len() > limits.max_bytes {
            return Err(ReferenceProblem::TooLarge { limit: limits.max_bytes }.into());
        }
        let format = ReferenceFormat::of(&bytes).ok_or(ReferenceProblem::Format)?;
        let (name, own_limits) = (name.to_owned(), limits.clone());
        isolated(limits.decode_timeout, move || {
            let (decoder, orientation) = open(&bytes, format, &own_limits)?;
            let (mut width, mut height) = decoder.dimensions();
            if quarter_turn(orientation) {
                (width, height) = (height, width);
            }
            drop(decoder);
            let sha256 = sha256_hex(&bytes);
            Ok(Self { name, bytes, format, width, height, sha256 })
        })
        .await
    }

    /// Decodes to RGB of 8 bits, on a thread of its own: a decoder's panic is an error. An animation gives its
    /// first frame, EXIF orientation is applied, transparent pixels are laid over white, 16 bits are rounded to
    /// 8, and colour profiles are ignored.
    ///
    /// # Errors
    /// [`Error::Reference`](crate::Error::Reference).
    pub async fn decode(&self, limits: &ReferenceLimits) -> Result<RgbImage> {
        let (bytes, format, own_limits) = (self.bytes.clone(), self.format, limits.clone());
        let picture = isolated(limits.decode_timeout, move || {
            let (decoder, orientation) = open(&bytes, format, &own_limits)?;
            let picture = DynamicImage::from_decoder(decoder).map_err(|error| failure(error, &own_limits))?;
            let mut picture = DynamicImage::ImageRgb8(into_rgb(picture));
            picture.apply_orientation(orientation);
            Ok(picture.into_rgb8())
        });
        picture.await.map_err(|failure| failure.named(&self.name))
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, bytes, format, width, height, sha256 } = self;
        f.debug_struct("Reference")
            .field("name", name)
            .field("bytes", &bytes.len())
            .field("format", format)
            .field("width", width)
            .field("height", height)
            .field("sha256", sha256)
            .finish()
    }
}

/// Reads the header and checks it; the decoder has not reserved memory for pixels yet.
fn open(
    bytes: &Bytes,
    format: ReferenceFormat,
    limits: &ReferenceLimits,
) -> Result<(impl ImageDecoder, Orientation), Failure> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes.clone()), format.image_format());
    let mut strict = Limits::default();
    strict.max_alloc = Some(limits.max_memory);
    reader.limits(strict.clone());
    let mut decoder = reader.into_decoder().map_err(|error| failure(error, limits))?;

    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if width.max(height) > limits.max_side || pixels > limits.max_pixels || pixels == 0 {
        let &ReferenceLimits { max_side, max_pixels, .. } = limits;
        return Err(ReferenceProblem::TooManyPixels { width, height, max_side, max_pixels }.into());
    }
    let mut memory =
        decoder.total_bytes().saturating_add(super::rgb::extra_bytes(decoder.color_type(), pixels));
    if format == ReferenceFormat::Jpeg {
        memory = memory.saturating_add(jpeg::coefficient_bytes(bytes, pixels));
    }
    if memory > limits.max_memory {
        return Err(ReferenceProblem::Memory { limit: limits.max_memory }.into());
    }
    strict.max_image_width = Some(limits.max_side);
    strict.max_image_height = Some(limits.max_side);
    decoder.set_limits(strict).map_err(|error| failure(error, limits))?;
    // Broken metadata is no reason to refuse a picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((decoder, orientation))
}

fn failure(error: ImageError, limits: &ReferenceLimits) -> Failure {
    let problem = match &error {
        ImageError::Limits(_) => ReferenceProblem::Memory { limit: limits.max_memory },
        _ => ReferenceProblem::Undecodable,
    };
    Failure::of(problem, error)
}

fn quarter_turn(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate90FlipH | Rotate270 | Rotate270FlipH)
}
