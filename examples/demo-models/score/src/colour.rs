use std::str::FromStr;
use std::sync::OnceLock;

use crate::error::unknown;
use crate::{Error, Result};

/// A colour that things have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Colour(u8);

/// Names and values of `COLOURS` in world.py.
const COLOURS: [(&str, [u8; 3]); 8] = [
    ("red", [220, 40, 40]),
    ("orange", [245, 140, 20]),
    ("yellow", [245, 220, 40]),
    ("green", [40, 170, 70]),
    ("cyan", [40, 200, 215]),
    ("blue", [45, 85, 220]),
    ("purple", [135, 60, 190]),
    ("pink", [245, 110, 180]),
];

/// Names and values of `BACKGROUNDS` in world.py.
const BACKGROUNDS: [(&str, [u8; 3]); 5] = [
    ("white", [244, 244, 240]),
    ("grey", [150, 150, 150]),
    ("black", [24, 24, 26]),
    ("beige", [228, 212, 180]),
    ("navy", [22, 30, 66]),
];

/// A gradient's colours between two backgrounds, beside the two.
const BETWEEN: usize = 3;

impl Colour {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Colour> {
        (0..COLOURS.len()).map(|index| Colour(index as u8))
    }

    /// As captions call it.
    pub fn name(self) -> &'static str {
        COLOURS[usize::from(self.0)].0
    }

    /// Red, green and blue.
    pub fn rgb(self) -> [u8; 3] {
        COLOURS[usize::from(self.0)].1
    }
}

impl FromStr for Colour {
    type Err = Error;

    fn from_str(name: &str) -> Result<Colour> {
        let known = COLOURS.map(|(name, _)| name);
        Colour::all().find(|colour| colour.name() == name).ok_or_else(|| unknown("a colour", known, name))
    }
}

/// A background by its name.
pub(crate) fn background(name: &str) -> Result<[u8; 3]> {
    let known = BACKGROUNDS.map(|(name, _)| name);
    let found = BACKGROUNDS.iter().find(|(known, _)| *known == name);
    found.map(|(_, rgb)| *rgb).ok_or_else(|| unknown("a background", known, name))
}

/// The thing's colour that a pixel is nearest to; `None` where a background is nearer.
pub(crate) fn nearest(rgb: [u8; 3]) -> Option<Colour> {
    // Six bits of each channel.
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let palette = palette();
        let side = |bits: usize| (bits * 4 + 2) as f32;
        let cells = (0..1usize << 18).map(|i| [i >> 12, (i >> 6) & 63, i & 63].map(side));
        let nearest = |rgb| {
            let found = lab(rgb);
            let by = |(_, a): &&(u8, [f32; 3]), (_, b): &&(u8, [f32; 3])| {
                distance(found, *a).total_cmp(&distance(found, *b))
            };
            palette.iter().min_by(by).map_or(NONE, |(index, _)| *index)
        };
        cells.map(nearest).collect()
    });
    let [r, g, b] = rgb.map(|channel| usize::from(channel >> 2));
    let index = table[(r << 12) | (g << 6) | b];
    (index != NONE).then_some(Colour(index))
}

/// No colour of a thing.
const NONE: u8 = u8::MAX;

/// Every colour in CIELAB: of things with their index, of backgrounds and gradients with [`NONE`].
fn palette() -> Vec<(u8, [f32; 3])> {
    let things = COLOURS.iter().zip(0..).map(|((_, rgb), index)| (index, lab(rgb.map(f32::from))));
    let mut palette: Vec<_> = things.collect();
    for (i, (_, top)) in BACKGROUNDS.iter().enumerate() {
        for (_, bottom) in &BACKGROUNDS[i..] {
            for step in 0..=BETWEEN + 1 {
                let share = step as f32 / (BETWEEN + 1) as f32;
                let channel = |c: usize| f32::from(top[c]) * (1.0 - share) + f32::from(bottom[c]) * share;
                palette.push((NONE, lab([channel(0), channel(1), channel(2)])));
            }
        }
    }
    palette
}

/// sRGB from 0 to 255 as CIELAB under D65.
fn lab(rgb: [f32; 3]) -> [f32; 3] {
    let [r, g, b] = rgb.map(|channel| {
        let c = channel / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    });
    let x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047;
    let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    let z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883;
    let [x, y, z] = [x, y, z].map(|t| if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a soft VAE makes of a colour.
    #[test]
    fn colours_that_are_off_by_fifteen_keep_their_name() {
        for colour in Colour::all() {
            for sign in [[1, 1, 1], [-1, -1, -1], [1, -1, 1], [-1, 1, -1], [1, 1, -1], [-1, -1, 1]] {
                let off = |(c, s): (u8, i32)| (i32::from(c) + 15 * s).clamp(0, 255) as u8;
                let rgb: Vec<u8> = colour.rgb().into_iter().zip(sign).map(off).collect();
                assert_eq!(nearest([rgb[0], rgb[1], rgb[2]]), Some(colour), "{colour:?} {rgb:?}");
            }
        }
    }

    #[test]
    fn backgrounds_and_gradients_are_no_things() {
        for (_, top) in BACKGROUNDS {
            for (_, bottom) in BACKGROUNDS {
                for share in 0..=20 {
                    let mix =
                        |c: usize| (i32::from(top[c]) * (20 - share) + i32::from(bottom[c]) * share) / 20;
                    let rgb = [mix(0) as u8, mix(1) as u8, mix(2) as u8];
                    assert_eq!(nearest(rgb), None, "{rgb:?}");
                    let off = rgb.map(|channel| channel.saturating_add(10));
                    assert_eq!(nearest(off), None, "{off:?}");
                }
            }
        }
    }
}
