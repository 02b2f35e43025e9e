use std::f32::consts::PI;
use std::str::FromStr;

use crate::error::unknown;
use crate::{Colour, Error, Found, Picture, Result, Shape, things};

/// How a thing moves through a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Motion {
    /// Neither of the others.
    Still,
    /// By at least 0.4 halves of the width.
    Left,
    /// By at least 0.4 halves of the width.
    Right,
    /// By at least 0.4 halves of the height.
    Up,
    /// By at least 0.4 halves of the height.
    Down,
    /// To at least one and a half of its radius.
    Growing,
    /// By at least 45 degrees, either way.
    Turning,
}

impl Motion {
    /// All of them, as world.py lists them.
    pub const ALL: [Motion; 7] = [
        Motion::Still,
        Motion::Left,
        Motion::Right,
        Motion::Up,
        Motion::Down,
        Motion::Growing,
        Motion::Turning,
    ];

    /// As world.py calls it.
    pub fn name(self) -> &'static str {
        match self {
            Motion::Still => "still",
            Motion::Left => "left",
            Motion::Right => "right",
            Motion::Up => "up",
            Motion::Down => "down",
            Motion::Growing => "growing",
            Motion::Turning => "turning",
        }
    }
}

impl FromStr for Motion {
    type Err = Error;

    fn from_str(name: &str) -> Result<Motion> {
        let known = Motion::ALL.map(Motion::name);
        let found = Motion::ALL.into_iter().find(|motion| motion.name() == name);
        found.ok_or_else(|| unknown("a motion", known, name))
    }
}

/// The largest thing of each frame, and what it does from the first to the last.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// Frame by frame.
    pub things: Vec<Option<Found>>,
    /// The shape that it has most often.
    pub shape: Option<Shape>,
    /// The colour that it has most often.
    pub colour: Option<Colour>,
    /// How far it goes to the right, in halves of the width.
    pub dx: f32,
    /// How far it goes down, in halves of the height.
    pub dy: f32,
    /// Its last radius by its first.
    pub growth: f32,
    /// How far it turns clockwise, in radians.
    pub turn: f32,
    /// How far it strays from an even movement, at most, in halves of a side.
    pub stray: f32,
}

/// Things go at least this far, in halves of a side; a still one stays within [`STILL`].
const GOES: f32 = 0.4;
const STILL: f32 = 0.18;
/// A turning thing's place may go so far: a triangle's centroid is not what it turns around.
const TURNING: f32 = 0.3;
/// A growing thing has at last at least this radius for its first; one that does not stays within [`SAME_SIZE`].
const GROWS: f32 = 1.5;
const SAME_SIZE: f32 = 1.3;
/// A turning thing turns at least this far in radians; one that does not, less than [`SAME_ANGLE`].
const TURNS: f32 = PI / 4.0;
const SAME_ANGLE: f32 = PI / 6.0;
/// An even movement strays no further.
const EVEN: f32 = 0.25;

impl Track {
    /// What the thing does; `None` for several motions at once, or a jump.
    pub fn motion(&self) -> Option<Motion> {
        let (far, near) = (self.dx.abs().max(self.dy.abs()), self.dx.abs().min(self.dy.abs()));
        let same_size = (SAME_SIZE.recip()..=SAME_SIZE).contains(&self.growth);
        if self.things.is_empty() || self.stray > EVEN {
            None
        } else if far >= GOES {
            let sideways = self.dx.abs() > self.dy.abs();
            let motion = match (sideways, self.dx > 0.0, self.dy > 0.0) {
                (true, true, _) => Motion::Right,
                (true, false, _) => Motion::Left,
                (false, _, true) => Motion::Down,
                (false, _, false) => Motion::Up,
            };
            (2.0 * near <= far && self.growth < GROWS).then_some(motion)
        } else if self.growth >= GROWS {
            (far <= STILL).then_some(Motion::Growing)
        } else if self.turn.abs() >= TURNS {
            (same_size && far <= TURNING).then_some(Motion::Turning)
        } else {
            (same_size && far <= STILL && self.turn.abs() < SAME_ANGLE).then_some(Motion::Still)
        }
    }

    /// Share of the frames in which the thing has this colour.
    pub fn share_of_colour(&self, colour: Colour) -> f32 {
        self.share(|found| found.colour == colour)
    }

    /// Share of the frames in which the thing has this shape.
    pub fn share_of_shape(&self, shape: Shape) -> f32 {
        self.share(|found| found.shape == shape)
    }

    fn share(&self, right: impl Fn(&Found) -> bool) -> f32 {
        let count = self.things.iter().flatten().filter(|found| right(found)).count();
        count as f32 / self.things.len().max(1) as f32
    }
}

/// Follows the largest thing through a clip.
pub fn track(frames: &[Picture]) -> Track {
    let things: Vec<Option<Found>> = frames.iter().map(|frame| things(frame).into_iter().next()).collect();
    let shape = most_often(things.iter().flatten().map(|found| found.shape));
    let colour = most_often(things.iter().flatten().map(|found| found.colour));
    let of = |value: fn(&Found) -> f32| -> Vec<(f32, f32)> {
        let times = things.iter().zip(0u16..);
        times.filter_map(|(found, time)| Some((f32::from(time), value(found.as_ref()?)))).collect()
    };
    let last = things.len().saturating_sub(1) as f32;
    let (dx, stray_x) = line(&of(|found| found.x), last);
    let (dy, stray_y) = line(&of(|found| found.y), last);
    let radii = of(|found| found.radius);
    let ends = |values: &[(f32, f32)]| {
        let ends = values.first().zip(values.last());
        ends.map_or(1.0, |((_, first), (_, last))| last / first.max(1e-3))
    };
    let growth = ends(&radii);
    let turn = shape.map_or(0.0, |shape| turned(&things, shape));
    Track { shape, colour, dx, dy, growth, turn, stray: stray_x.max(stray_y), things }
}

/// How far the straight line through the values rises until `last`, and how far they are from it at most.
fn line(values: &[(f32, f32)], last: f32) -> (f32, f32) {
    let n = values.len().max(1) as f32;
    let (time, value) = values.iter().fold((0.0, 0.0), |(a, b), (t, v)| (a + t / n, b + v / n));
    let spread: f32 = values.iter().map(|(t, _)| (t - time).powi(2)).sum();
    let common: f32 = values.iter().map(|(t, v)| (t - time) * (v - value)).sum();
    let slope = if spread > 0.0 { common / spread } else { 0.0 };
    let away = values.iter().map(|(t, v)| (v - value - slope * (t - time)).abs());
    (slope * last, away.fold(0.0, f32::max))
}

/// The sum of turns from frame to frame, each by less than half a period.
fn turned(things: &[Option<Found>], shape: Shape) -> f32 {
    let period = shape.period();
    if period == 0.0 {
        return 0.0;
    }
    let angles: Vec<f32> =
        things.iter().flatten().filter(|found| found.shape == shape).map(|found| found.angle).collect();
    let turn = |pair: &[f32]| {
        let turn = (pair[1] - pair[0]).rem_euclid(period);
        if turn > period / 2.0 { turn - period } else { turn }
    };
    angles.windows(2).map(turn).sum()
}

fn most_often<T: Copy + PartialEq>(values: impl Iterator<Item = T> + Clone) -> Option<T> {
    values.clone().max_by_key(|value| values.clone().filter(|other| other == value).count())
}
