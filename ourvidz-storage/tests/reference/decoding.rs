use std::time::{Duration, Instant};

use bytes::Bytes;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{
    DynamicImage, ExtendedColorType, ImageBuffer, ImageEncoder, ImageFormat, Luma, Rgb, RgbImage, Rgba,
    RgbaImage,
};
use ourvidz_storage::{Error, Reference, ReferenceLimits, ReferenceProblem};
use proptest::prelude::*;

use crate::pictures::{chunk, claiming, encode, gradient, oriented, png};
use crate::server::block_on;

const FORMATS: [ImageFormat; 3] = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP];

async fn decode(bytes: Bytes, limits: &ReferenceLimits) -> Result<RgbImage, Error> {
    let reference = Reference::from_bytes("a", bytes, limits).await?;
    let picture = reference.decode(limits).await?;
    assert_eq!(picture.dimensions(), (reference.width, reference.height));
    Ok(picture)
}

async fn problem(bytes: Bytes, limits: &ReferenceLimits) -> ReferenceProblem {
    match decode(bytes, limits).await {
        Err(error @ Error::Reference { .. }) => {
            assert!(!error.retryable());
            let Error::Reference { problem, .. } = error else { unreachable!() };
            problem
        }
        other => panic!("{other:?}"),
    }
}

/// A whole black PNG, the fastest way.
fn zeros(width: u32, height: u32) -> Bytes {
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::NoFilter);
    let pixels = vec![0; (width * height) as usize];
    encoder.write_image(&pixels, width, height, ExtendedColorType::L8).unwrap();
    bytes.into()
}

#[tokio::test]
async fn bombs_are_refused_by_their_header() {
    let limits = ReferenceLimits::default();
    let started = Instant::now();
    for (width, height, depth, color) in
        [(100_000, 100_000, 8, 6), (8193, 1, 8, 0), (1, 8193, 8, 0), (8192, 8192, 8, 2), (8000, 8000, 1, 0)]
    {
        match problem(claiming(width, height, depth, color), &limits).await {
            ReferenceProblem::TooManyPixels { width: w, height: h, .. } => {
                assert_eq!((w, h), (width, height))
            }
            other => panic!("{width}x{height}: {other}"),
        }
    }
    // 49 million pixels of 8 bytes.
    let memory = ReferenceProblem::Memory { limit: limits.max_memory };
    assert_eq!(problem(claiming(7000, 7000, 16, 6), &limits).await, memory);
    // Within the limits, and 49 MB of zeros that are not there.
    assert_eq!(problem(claiming(7000, 7000, 8, 0), &limits).await, ReferenceProblem::Undecodable);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_small_file_of_a_large_picture_is_refused() {
    let bytes = zeros(8000, 8000);
    assert!(bytes.len() < 1_000_000, "{}", bytes.len());
    let limits = ReferenceLimits::default();
    assert!(matches!(problem(bytes.clone(), &limits).await, ReferenceProblem::TooManyPixels { .. }));
    let more = ReferenceLimits { max_pixels: 64_000_000, max_memory: 255_999_999, ..limits };
    assert_eq!(problem(bytes, &more).await, ReferenceProblem::Memory { limit: 255_999_999 });
}

#[tokio::test]
async fn limits_are_met_exactly() {
    for format in FORMATS {
        let bytes = encode(gradient(40, 30), format);
        let limits = ReferenceLimits { max_side: 40, max_pixels: 1200, ..ReferenceLimits::default() };
        assert!(decode(bytes.clone(), &limits).await.is_ok());
        for less in [
            ReferenceLimits { max_side: 39, ..limits.clone() },
            ReferenceLimits { max_pixels: 1199, ..limits.clone() },
        ] {
            assert!(matches!(problem(bytes.clone(), &less).await, ReferenceProblem::TooManyPixels { .. }));
        }
        let less = ReferenceLimits { max_memory: 3599, ..limits.clone() };
        assert!(matches!(problem(bytes.clone(), &less).await, ReferenceProblem::Memory { limit: 3599 }));
        let less = ReferenceLimits { max_bytes: bytes.len() - 1, ..limits.clone() };
        assert!(matches!(problem(bytes.clone(), &less).await, ReferenceProblem::TooLarge { .. }));
    }
}

#[tokio::test]
async fn metadata_cannot_be_a_bomb() {
    // 16 MiB of zeros as a compressed text chunk; a picture whose text is ignored is fine, its unpacking is not.
    let plain = png();
    let (head, rest) = plain.split_at(33);
    let packed = zeros(4096, 4096);
    let data = &packed[33..];
    let mut text = b"key\0\0".to_vec();
    text.extend(&data[8..data.len() - 16]);
    let bytes: Bytes = [head, &chunk(b"zTXt", &text), &chunk(b"iCCP", &text), rest].concat().into();
    let limits = ReferenceLimits { max_memory: 1 << 20, ..ReferenceLimits::default() };
    assert_eq!(decode(bytes, &limits).await.unwrap(), gradient(24, 16));
}

#[tokio::test]
async fn every_pixel_type_becomes_rgb() {
    let limits = ReferenceLimits::default();
    let rgb = gradient(9, 5);
    let rgba = RgbaImage::from_fn(9, 5, |x, y| {
        let [r, g, b] = rgb.get_pixel(x, y).0;
        Rgba([r, g, b, if x == 0 { 0 } else { 255 }])
    });
    let over = RgbImage::from_fn(9, 5, |x, y| if x == 0 { Rgb([255; 3]) } else { *rgb.get_pixel(x, y) });
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        assert_eq!(decode(encode(rgba.clone(), format), &limits).await.unwrap(), over);
    }
    let wide = ImageBuffer::from_fn(9, 5, |x, y| Rgb(rgb.get_pixel(x, y).0.map(|c| u16::from(c) * 257)));
    let wide = encode(DynamicImage::ImageRgb16(wide), ImageFormat::Png);
    assert_eq!(decode(wide, &limits).await.unwrap(), rgb);
    let gray = ImageBuffer::from_fn(9, 5, |x, _| Luma([x as u8 * 20]));
    let decoded = decode(encode(gray, ImageFormat::Png), &limits).await.unwrap();
    assert!(decoded.enumerate_pixels().all(|(x, _, pixel)| pixel.0 == [x as u8 * 20; 3]));
}

#[tokio::test]
async fn exif_orientation_is_applied() {
    // The left half is dark, the right half light: survives JPEG.
    let upright = RgbImage::from_fn(32, 16, |x, _| if x < 16 { Rgb([10; 3]) } else { Rgb([240; 3]) });
    let jpeg = encode(upright, ImageFormat::Jpeg);
    let dark = |picture: &RgbImage, x, y| picture.get_pixel(x, y).0[0] < 100;
    for (orientation, size, dark_at, light_at) in [
        (1, (32, 16), (2, 8), (29, 8)),
        (2, (32, 16), (29, 8), (2, 8)),
        (3, (32, 16), (29, 8), (2, 8)),
        (4, (32, 16), (2, 8), (29, 8)),
        (5, (16, 32), (8, 2), (8, 29)),
        (6, (16, 32), (8, 2), (8, 29)),
        (7, (16, 32), (8, 29), (8, 2)),
        (8, (16, 32), (8, 29), (8, 2)),
        (9, (32, 16), (2, 8), (29, 8)),
    ] {
        let picture = decode(oriented(&jpeg, orientation), &ReferenceLimits::default()).await.unwrap();
        assert_eq!(picture.dimensions(), size, "{orientation}");
        assert!(dark(&picture, dark_at.0, dark_at.1), "{orientation}");
        assert!(!dark(&picture, light_at.0, light_at.1), "{orientation}");
    }
}

#[tokio::test]
async fn an_animation_gives_its_first_frame() {
    // A second frame of another size and no data, which nobody looks at.
    let plain = png();
    let (head, rest) = plain.split_at(33);
    let control = [2_u32.to_be_bytes(), 0_u32.to_be_bytes()].concat();
    let mut frame = [0_u32, 24, 16, 0, 0].map(u32::to_be_bytes).concat();
    frame.extend([0, 1, 0, 10, 0, 0]);
    let bytes = [head, &chunk(b"acTL", &control), &chunk(b"fcTL", &frame), rest].concat();
    assert_eq!(decode(bytes.into(), &ReferenceLimits::default()).await.unwrap(), gradient(24, 16));
}

#[tokio::test]
async fn truncated_files_are_errors_or_pictures() {
    let limits = ReferenceLimits::default();
    for format in FORMATS {
        let whole = encode(gradient(24, 16), format);
        let mut broken = 0;
        for len in 0..whole.len() {
            broken += usize::from(decode(whole.slice(..len), &limits).await.is_err());
        }
        // JPEG's decoder fills in what is missing of the pixels; nothing is missing of a PNG but its end mark.
        assert!(broken > whole.len() / 3, "{format:?}: {broken} of {}", whole.len());
        assert!(decode(whole, &limits).await.is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn flipped_bytes_are_errors_or_pictures(
        format in 0..3_usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..8),
    ) {
        let mut bytes = encode(gradient(24, 16), FORMATS[format]).to_vec();
        for (index, flip) in flips {
            let at = index.index(bytes.len());
            bytes[at] ^= flip;
        }
        let limits = ReferenceLimits { max_side: 2048, max_pixels: 1 << 20, ..ReferenceLimits::default() };
        match block_on(decode(bytes.into(), &limits)) {
            Ok(picture) => prop_assert!(picture.width() <= 2048),
            Err(Error::Reference { problem, .. }) => prop_assert!(!problem.retryable()),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn any_bytes_after_a_signature_are_errors_or_pictures(
        signature in 0..3_usize,
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let signatures: [&[u8]; 3] = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x40\0\0\0WEBPVP8"];
        let bytes = [signatures[signature], &rest].concat();
        let result = block_on(decode(bytes.into(), &ReferenceLimits::default()));
        let is_expected = matches!(result, Ok(_) | Err(Error::Reference { .. }));
        prop_assert!(is_expected);
    }
}
