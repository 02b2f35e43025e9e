use image::{ColorType, DynamicImage, RgbImage};

/// Bytes that [`into_rgb`] takes beside the decoded picture.
pub(super) fn extra_bytes(color: ColorType, pixels: u64) -> u64 {
    match color {
        ColorType::Rgb8 | ColorType::Rgba8 => 0,
        _ => 3 * pixels,
    }
}

/// RGB of 8 bits, transparent pixels laid over white.
pub(super) fn into_rgb(picture: DynamicImage) -> RgbImage {
    let (width, height) = (picture.width(), picture.height());
    match picture {
        DynamicImage::ImageRgba8(picture) => {
            let mut bytes = picture.into_raw();
            let pixels = bytes.len() / 4;
            // In place: a second buffer would not fit the memory limit.
            for at in 0..pixels {
                let alpha = bytes[4 * at + 3];
                for channel in 0..3 {
                    bytes[3 * at + channel] = over_white(bytes[4 * at + channel], alpha);
                }
            }
            bytes.truncate(3 * pixels);
            // The length is right, so the default is never taken.
            RgbImage::from_raw(width, height, bytes).unwrap_or_default()
        }
        DynamicImage::ImageLumaA8(picture) => RgbImage::from_fn(width, height, |x, y| {
            let [luma, alpha] = picture.get_pixel(x, y).0;
            [over_white(luma, alpha); 3].into()
        }),
        DynamicImage::ImageLumaA16(picture) => RgbImage::from_fn(width, height, |x, y| {
            let [luma, alpha] = picture.get_pixel(x, y).0;
            [over_white_16(luma, alpha); 3].into()
        }),
        DynamicImage::ImageRgba16(picture) => RgbImage::from_fn(width, height, |x, y| {
            let [red, green, blue, alpha] = picture.get_pixel(x, y).0;
            [red, green, blue].map(|channel| over_white_16(channel, alpha)).into()
        }),
        opaque => opaque.into_rgb8(),
    }
}

fn over_white(channel: u8, alpha: u8) -> u8 {
    let (channel, alpha) = (u32::from(channel), u32::from(alpha));
    ((channel * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

fn over_white_16(channel: u16, alpha: u16) -> u8 {
    let (channel, alpha) = (u64::from(channel), u64::from(alpha));
    // Of 65535 * 65535 to 255: divided by 65535 * 257, rounded.
    const SCALE: u64 = 65535 * 257;
    ((channel * alpha + 65535 * (65535 - alpha) + SCALE / 2) / SCALE) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayAlphaImage, ImageBuffer, LumaA, Rgba, RgbaImage};

    #[test]
    fn alpha_is_laid_over_white() {
        let rgba = RgbaImage::from_fn(256, 256, |x, y| Rgba([x as u8, 255 - x as u8, 7, y as u8]));
        let expected = RgbImage::from_fn(256, 256, |x, y| {
            let over = |channel: f64| {
                let alpha = f64::from(y) / 255.0;
                (channel * alpha + 255.0 * (1.0 - alpha)).round() as u8
            };
            [over(f64::from(x)), over(255.0 - f64::from(x)), over(7.0)].into()
        });
        assert_eq!(into_rgb(rgba.into()), expected);
        let gray = GrayAlphaImage::from_fn(256, 256, |x, y| LumaA([x as u8, y as u8]));
        let red_of = into_rgb(gray.into());
        assert!(red_of.pixels().zip(expected.pixels()).all(|(a, b)| a.0 == [b.0[0]; 3]));
    }

    #[test]
    fn sixteen_bits_are_rounded() {
        let wide = |x: u32| (x * 257 + 100) as u16;
        let rgba = ImageBuffer::from_fn(255, 2, |x, y| Rgba([wide(x), wide(x), 0, [0, 65535][y as usize]]));
        let rgb = into_rgb(DynamicImage::ImageRgba16(rgba));
        assert!((0..255).all(|x| rgb.get_pixel(x, 0).0 == [255; 3]));
        assert!((0..255).all(|x| rgb.get_pixel(x, 1).0 == [x as u8, x as u8, 0]));
        let gray = ImageBuffer::from_fn(255, 1, |x, _| LumaA([wide(x), 65535]));
        let rgb = into_rgb(DynamicImage::ImageLumaA16(gray));
        assert!((0..255).all(|x| rgb.get_pixel(x, 0).0 == [x as u8; 3]));
    }
}
