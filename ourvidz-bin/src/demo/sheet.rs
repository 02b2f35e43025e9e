use std::convert::Infallible;

use anyhow::Result;
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::FONT_7X13;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::{DrawTarget, Drawable, OriginDimensions, Pixel, Point, RgbColor, Size};
use embedded_graphics::text::{Baseline, Text};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

/// A picture and what stands below it.
pub(super) struct Tile {
    pub(super) picture: RgbImage,
    pub(super) caption: String,
}

const COLUMNS: u32 = 4;
/// Pixels of a picture's longer side, and around it.
const SIDE: u32 = 256;
const MARGIN: u32 = 16;
/// Pixels of a letter and a line, lines below a picture.
const LETTER: u32 = 7;
const LINE: u32 = 15;
const LINES: u32 = 7;

/// Pictures in rows, each with its caption.
pub(super) fn draw(tiles: &[Tile]) -> Result<RgbImage> {
    let rows = (tiles.len() as u32).div_ceil(COLUMNS);
    let (across, down) = (SIDE + MARGIN, SIDE + MARGIN + LINES * LINE);
    let mut sheet =
        RgbImage::from_pixel(COLUMNS * across + MARGIN, rows * down + MARGIN, Rgb([255, 255, 255]));
    for (tile, index) in tiles.iter().zip(0..) {
        let (left, top) = (MARGIN + index % COLUMNS * across, MARGIN + index / COLUMNS * down);
        let (width, height) = tile.picture.dimensions();
        let scale = f64::from(SIDE) / f64::from(width.max(height).max(1));
        let side = |pixels: u32| ((f64::from(pixels) * scale).round() as u32).max(1);
        let (width, height) = (side(width), side(height));
        let picture = imageops::resize(&tile.picture, width, height, FilterType::Lanczos3);
        let (x, y) = (left + (SIDE - width) / 2, top + (SIDE - height) / 2);
        imageops::replace(&mut sheet, &picture, x.into(), y.into());
        let style = MonoTextStyle::new(&FONT_7X13, Rgb888::new(30, 30, 30));
        let mut canvas = Canvas(&mut sheet);
        for (line, number) in wrapped(&tile.caption, (SIDE / LETTER) as usize).iter().zip(0..LINES) {
            let at = Point::new(left as i32, (top + SIDE + 6 + number * LINE) as i32);
            // Nothing can go wrong.
            let Ok(_) = Text::with_baseline(line, at, style, Baseline::Top).draw(&mut canvas);
        }
    }
    Ok(sheet)
}

/// Words in lines of at most `width` letters; a longer word has a line of its own, and is cut by the edge.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A picture as the font draws on it.
struct Canvas<'a>(&'a mut RgbImage);

impl OriginDimensions for Canvas<'_> {
    fn size(&self) -> Size {
        Size::new(self.0.width(), self.0.height())
    }
}

impl DrawTarget for Canvas<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(point, colour) in pixels {
            let place = u32::try_from(point.x).ok().zip(u32::try_from(point.y).ok());
            let pixel = place.and_then(|(x, y)| self.0.get_pixel_mut_checked(x, y));
            if let Some(pixel) = pixel {
                *pixel = Rgb([colour.r(), colour.g(), colour.b()]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_are_wrapped_and_drawn() -> Result<()> {
        assert_eq!(wrapped("a red circle on white", 9), ["a red", "circle on", "white"]);
        let tile = |caption: &str| Tile {
            picture: RgbImage::from_pixel(832, 480, Rgb([0, 90, 200])),
            caption: caption.to_owned(),
        };
        let five = ["", "a", "b", "c", "a red circle"].map(tile);
        let sheet = draw(&five)?;
        assert_eq!(sheet.dimensions(), (4 * 272 + 16, 2 * (272 + 7 * 15) + 16));
        let dark = |top: u32| {
            let letters = (0..SIDE).flat_map(|x| (0..LINE).map(move |y| (MARGIN + x, top + SIDE + 6 + y)));
            letters.filter(|&(x, y)| sheet.get_pixel(x, y).0 == [30, 30, 30]).count()
        };
        assert_eq!(dark(MARGIN), 0, "no caption, no letters");
        assert!(dark(MARGIN + SIDE + MARGIN + LINES * LINE) > 100, "letters");
        Ok(())
    }
}
