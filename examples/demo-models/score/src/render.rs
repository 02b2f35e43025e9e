use crate::colour::background;
use crate::{Colour, Picture, Result, Shape};

/// A thing at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thing {
    /// What it is.
    pub shape: Shape,
    /// Its colour.
    pub colour: Colour,
    /// Of the centre, in halves of the width, from the middle of the frame to the right.
    pub x: f32,
    /// The same down, in halves of the height.
    pub y: f32,
    /// In halves of the shorter side.
    pub radius: f32,
    /// Radians, clockwise.
    pub angle: f32,
}

/// Things on a background.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// Names of the background's colours at the top and at the bottom; twice the same where it is plain.
    pub background: [String; 2],
    /// The later ones lie on the earlier ones.
    pub things: Vec<Thing>,
}

/// Draws a scene as `render` of world.py does.
///
/// # Errors
/// [`Error::Unknown`](crate::Error::Unknown) for a background that is none.
pub fn draw(scene: &Scene, width: usize, height: usize) -> Result<Picture> {
    let [top, bottom] = [background(&scene.background[0])?, background(&scene.background[1])?];
    let half = width.min(height) as f32 / 2.0;
    let mut rgb = Vec::with_capacity(3 * width * height);
    for row in 0..height {
        let down = (row as f32 + 0.5) / height as f32;
        let y = (row as f32 + 0.5 - height as f32 / 2.0) / half;
        let plain = [0, 1, 2].map(|c| f32::from(top[c]) * (1.0 - down) + f32::from(bottom[c]) * down);
        for column in 0..width {
            let x = (column as f32 + 0.5 - width as f32 / 2.0) / half;
            let mut pixel = plain;
            for thing in &scene.things {
                let (centre_x, centre_y) =
                    (thing.x * width as f32 / 2.0 / half, thing.y * height as f32 / 2.0 / half);
                let (u, v) = ((x - centre_x) / thing.radius, (y - centre_y) / thing.radius);
                let (sin, cos) = thing.angle.sin_cos();
                let distance = thing.shape.distance(u * cos + v * sin, v * cos - u * sin);
                let share = (0.5 - distance * thing.radius * half).clamp(0.0, 1.0);
                for (value, colour) in pixel.iter_mut().zip(thing.colour.rgb()) {
                    *value = *value * (1.0 - share) + f32::from(colour) * share;
                }
            }
            rgb.extend(pixel.map(|value| value.round() as u8));
        }
    }
    Ok(Picture::from_parts(width, height, rgb))
}
