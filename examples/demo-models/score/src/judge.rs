use crate::{ClipEntry, Found, Motion, Picture, Relation, Wanted, things, track};

/// Whether a picture or clip shows what it should, and what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether everything is right.
    pub right: bool,
    /// What was seen.
    pub seen: String,
}

/// A drawing has at least this much in common with its shape.
const DRAWN: f32 = 0.78;
/// What is smaller than this share of the largest thing is a speck.
const COUNTS: f32 = 0.2;
/// Share of a clip's frames in which colour and shape must be right.
const MOST: f32 = 0.75;
/// Two things stand to one another as they should when they are so far apart, in halves of a side.
const APART: f32 = 0.3;

/// Whether a picture shows the things that are wanted, all of them and no other, and how they stand to one another.
pub fn judge_picture(picture: &Picture, wanted: &[Wanted], relation: Relation) -> Verdict {
    let all = things(picture);
    let largest = all.first().map_or(0.0, |found| found.area);
    let found: Vec<&Found> = all.iter().filter(|found| found.area >= COUNTS * largest).collect();
    let seen = match found.len() {
        0 => "nothing".to_owned(),
        _ => found.iter().map(|found| describe(found)).collect::<Vec<_>>().join(", "),
    };
    let fits = |found: &Found, wanted: &Wanted| {
        found.overlap >= DRAWN && (found.shape, found.colour) == (wanted.shape, wanted.colour)
    };
    let stand = |first: &Found, second: &Found| match relation {
        Relation::Any => true,
        Relation::Left => second.x - first.x >= APART,
        Relation::Above => second.y - first.y >= APART,
    };
    let right = match (&found[..], wanted) {
        ([found], [wanted]) => fits(found, wanted),
        ([a, b], [first, second]) => {
            let either = |a: &Found, b: &Found| fits(a, first) && fits(b, second) && stand(a, b);
            either(a, b) || either(b, a)
        }
        _ => false,
    };
    Verdict { right, seen }
}

/// Whether a clip shows the thing that is wanted, and that it moves as it should.
pub fn judge_clip(frames: &[Picture], entry: &ClipEntry) -> Verdict {
    judge_motion(frames, &entry.thing, entry.motion)
}

pub(crate) fn judge_motion(frames: &[Picture], wanted: &Wanted, motion: Motion) -> Verdict {
    let track = track(frames);
    let colour = track.share_of_colour(wanted.colour) >= MOST;
    let shape = track.share_of_shape(wanted.shape) >= MOST;
    let found = track.motion();
    let overlaps = track.things.iter().flatten().map(|found| found.overlap);
    let drawn = overlaps.filter(|overlap| *overlap >= DRAWN).count() as f32 / frames.len().max(1) as f32;
    let seen = match (track.colour, track.shape) {
        (Some(colour), Some(shape)) => format!(
            "{} {} {} (dx {:+.2}, dy {:+.2}, growth {:.2}, turn {:+.0} degrees, stray {:.2}; drawn in {:.0} %)",
            colour.name(),
            shape.name(),
            found.map_or("?", Motion::name),
            track.dx,
            track.dy,
            track.growth,
            track.turn.to_degrees(),
            track.stray,
            100.0 * drawn,
        ),
        _ => "nothing".to_owned(),
    };
    Verdict { right: colour && shape && drawn >= MOST && found == Some(motion), seen }
}

pub(crate) fn describe(found: &Found) -> String {
    let Found { shape, colour, x, y, overlap, .. } = found;
    format!("{} {} at {x:+.2} {y:+.2} ({:.0} %)", colour.name(), shape.name(), 100.0 * overlap)
}
