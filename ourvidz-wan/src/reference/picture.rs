use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use ourvidz_runtime::Tensor;

use crate::Result;

/// Resizes a picture with Lanczos so that it covers `width` x `height`, and cuts the middle out.
pub fn cover(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let scale = f64::max(
        f64::from(width) / f64::from(image.width().max(1)),
        f64::from(height) / f64::from(image.height().max(1)),
    );
    let side = |n: u32, least: u32| ((f64::from(n) * scale).round() as u32).max(least);
    let (w, h) = (side(image.width(), width), side(image.height(), height));
    let whole = if (w, h) == image.dimensions() {
        image.clone()
    } else {
        imageops::resize(image, w, h, FilterType::Lanczos3)
    };
    imageops::crop_imm(&whole, (w - width) / 2, (h - height) / 2, width, height).to_image()
}

/// Pictures of one size as a clip: [1, 3, F, H, W], 0 to -1 and 255 to 1.
pub(super) fn clip(frames: &[&RgbImage]) -> Result<Tensor> {
    let (w, h) = frames.first().map_or((0, 0), |image| image.dimensions());
    let shape = [1, 3, frames.len(), h as usize, w as usize];
    let mut values = Vec::with_capacity(shape.iter().product());
    for channel in 0..3 {
        for frame in frames {
            values.extend(frame.pixels().map(|Rgb(pixel)| f32::from(pixel[channel]) / 127.5 - 1.0));
        }
    }
    Ok(Tensor::f32(&shape, values)?)
}

/// A picture set upon white, as large as it fits: [3, `height`, `width`] in [-1, 1]. Bilinear as torch's `interpolate`
/// without `align_corners`: what diffusers' `WanVACEPipeline` makes of its reference images.
pub(super) fn upon_white(image: &RgbImage, width: usize, height: usize) -> Vec<f32> {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let scale = f64::min(height as f64 / h as f64, width as f64 / w as f64);
    let (new_w, new_h) = (((w as f64 * scale) as usize).max(1), ((h as f64 * scale) as usize).max(1));
    let (top, left) = ((height - new_h) / 2, (width - new_w) / 2);
    let (rows, columns) = (samples(h, new_h), samples(w, new_w));
    let pixels = image.as_raw();
    let mut canvas = vec![1.0; 3 * height * width];
    for (channel, plane) in canvas.chunks_exact_mut(height * width).enumerate() {
        let at =
            |row: usize, column: usize| f32::from(pixels[(row * w + column) * 3 + channel]) / 127.5 - 1.0;
        for (y, &(y0, y1, fy)) in rows.iter().enumerate() {
            for (x, &(x0, x1, fx)) in columns.iter().enumerate() {
                let above = at(y0, x0) * (1.0 - fx) + at(y0, x1) * fx;
                let below = at(y1, x0) * (1.0 - fx) + at(y1, x1) * fx;
                plane[(top + y) * width + left + x] = above * (1.0 - fy) + below * fy;
            }
        }
    }
    canvas
}

/// For each of `to` places along an axis of `from`: the two neighbours, and the second one's share.
fn samples(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    let scale = from as f32 / to as f32;
    let place = |i: usize| {
        let centre = ((i as f32 + 0.5) * scale - 0.5).max(0.0);
        let first = (centre as usize).min(from - 1);
        (first, (first + 1).min(from - 1), centre - first as f32)
    };
    (0..to).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns carry their number in red, rows in green.
    fn numbered(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 7]))
    }

    #[test]
    fn what_fits_stays_and_what_is_wider_loses_its_sides() {
        let image = numbered(48, 32);
        assert_eq!(cover(&image, 48, 32), image);
        let cut = cover(&image, 20, 32);
        assert_eq!(cut.dimensions(), (20, 32));
        assert_eq!(cut.get_pixel(0, 5), &Rgb([14, 5, 7]));
        assert_eq!(cut.get_pixel(19, 31), &Rgb([33, 31, 7]));
    }

    #[test]
    fn small_pictures_are_enlarged_to_cover() {
        for (width, height) in [(40, 56), (1, 1), (3, 200), (500, 2)] {
            let flat = RgbImage::from_pixel(width, height, Rgb([200, 10, 30]));
            let covered = cover(&flat, 64, 48);
            assert_eq!(covered.dimensions(), (64, 48));
            assert!(covered.pixels().all(|pixel| *pixel == Rgb([200, 10, 30])), "no border, no black");
        }
    }
}
