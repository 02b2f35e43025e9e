use std::f32::consts::{PI, SQRT_2};
use std::str::FromStr;

use crate::error::unknown;
use crate::{Error, Result};

/// What a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shape {
    /// Of the radius 0.88, where a thing's radius is 1.
    Circle,
    /// Sides of 1.56.
    Square,
    /// Equal sides, corners 1 away from a centroid that lies 0.2 below the thing's centre.
    Triangle,
    /// Five points, the inner corners at 0.42.
    Star,
    /// Bars of 1.8 by 0.6.
    Cross,
    /// From the radius 0.46 to 0.9.
    Ring,
    /// Two circles on a square that stands on its corner.
    Heart,
    /// A circle of the radius 0.88 less one of 0.7 on its right.
    Crescent,
}

impl Shape {
    /// All of them, as world.py lists them.
    pub const ALL: [Shape; 8] = [
        Shape::Circle,
        Shape::Square,
        Shape::Triangle,
        Shape::Star,
        Shape::Cross,
        Shape::Ring,
        Shape::Heart,
        Shape::Crescent,
    ];

    /// As captions call it.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Circle => "circle",
            Shape::Square => "square",
            Shape::Triangle => "triangle",
            Shape::Star => "star",
            Shape::Cross => "cross",
            Shape::Ring => "ring",
            Shape::Heart => "heart",
            Shape::Crescent => "crescent",
        }
    }

    /// The angle in radians after which it looks the same; 0 where it always does.
    pub fn period(self) -> f32 {
        match self {
            Shape::Circle | Shape::Ring => 0.0,
            Shape::Square | Shape::Cross => PI / 2.0,
            Shape::Triangle => 2.0 * PI / 3.0,
            Shape::Star => 2.0 * PI / 5.0,
            Shape::Heart | Shape::Crescent => 2.0 * PI,
        }
    }

    /// Distance from the edge, negative inside, of the shape of radius 1; y goes down.
    pub(crate) fn distance(self, x: f32, y: f32) -> f32 {
        match self {
            Shape::Circle => x.hypot(y) - 0.88,
            Shape::Square => x.abs().max(y.abs()) - 0.78,
            Shape::Triangle => wedge(x, y - 0.2, 3.0, 0.5),
            Shape::Star => wedge(x, y, 5.0, 0.42),
            Shape::Cross => {
                let (x, y) = (x.abs(), y.abs());
                (x - 0.9).max(y - 0.3).min((x - 0.3).max(y - 0.9))
            }
            Shape::Ring => (x.hypot(y) - 0.68).abs() - 0.22,
            Shape::Heart => {
                let (x, y) = (x.abs(), y - 0.12);
                let lower = (x + y.abs() - 0.8) / SQRT_2;
                lower.min((x - 0.4).hypot(y + 0.4) - 0.4 * SQRT_2)
            }
            Shape::Crescent => {
                let x = x + 0.1;
                (x.hypot(y) - 0.88).max(0.7 - (x - 0.42).hypot(y))
            }
        }
    }
}

impl FromStr for Shape {
    type Err = Error;

    fn from_str(name: &str) -> Result<Shape> {
        let known = Shape::ALL.map(Shape::name);
        Shape::ALL
            .into_iter()
            .find(|shape| shape.name() == name)
            .ok_or_else(|| unknown("a shape", known, name))
    }
}

/// A star of `corners` points, with the inner corners at the radius `inner`; one point is at the top.
fn wedge(x: f32, y: f32, corners: f32, inner: f32) -> f32 {
    let step = PI / corners;
    let angle = x.atan2(-y).abs() % (2.0 * step);
    let angle = angle.min(2.0 * step - angle);
    let radius = x.hypot(y);
    let (px, py) = (radius * angle.cos(), radius * angle.sin());
    // The edge runs from (1, 0) to the inner corner.
    let (ex, ey) = (inner * step.cos() - 1.0, inner * step.sin());
    ((px - 1.0) * ey - py * ex) / ex.hypot(ey)
}
