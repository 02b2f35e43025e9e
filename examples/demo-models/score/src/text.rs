use crate::{Colour, EnhanceEntry, Kind, Motion, Shape, Verdict};

/// Whether an enhanced prompt names the things that are wanted, each with its colour, and no other shape; of a video
/// also the motion, and no other; and says more than the prompt did.
pub fn judge_text(enhanced: &str, entry: &EnhanceEntry) -> Verdict {
    let words = words(enhanced);
    let mut named = Vec::new();
    for (index, word) in words.iter().enumerate() {
        if let Ok(shape) = word.parse::<Shape>() {
            named.push((index.checked_sub(1).and_then(|before| words[before].parse::<Colour>().ok()), shape));
        }
    }
    let right_colours = named.iter().all(|(colour, shape)| {
        entry.things.iter().any(|wanted| wanted.shape == *shape && Some(wanted.colour) == *colour)
    });
    let all = entry.things.iter().all(|wanted| named.contains(&(Some(wanted.colour), wanted.shape)));
    let motions = motions(&words);
    let moves = match entry.target {
        Kind::Video if entry.motion != Motion::Still => motions == [entry.motion],
        _ => motions.iter().all(|motion| *motion == Motion::Still),
    };
    let richer = words.len() > self::words(&entry.prompt).len();
    Verdict { right: right_colours && all && moves && richer, seen: enhanced.to_owned() }
}

fn words(text: &str) -> Vec<String> {
    let letters = text.split(|c: char| !c.is_alphabetic());
    letters.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// The motions that are said, each once. Left and right count only behind a word of motion: things also stand there.
fn motions(words: &[String]) -> Vec<Motion> {
    let mut found = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let behind = || words[index + 1..].iter().take(3);
        let motion = match word.as_str() {
            "moving" | "sliding" => behind().find_map(|word| match word.as_str() {
                "left" => Some(Motion::Left),
                "right" => Some(Motion::Right),
                "up" | "upwards" => Some(Motion::Up),
                "down" | "downwards" => Some(Motion::Down),
                _ => None,
            }),
            "rising" => Some(Motion::Up),
            "falling" => Some(Motion::Down),
            "growing" => Some(Motion::Growing),
            "turning" | "rotating" => Some(Motion::Turning),
            "rest" => Some(Motion::Still),
            "standing" if behind().next().is_some_and(|next| next == "still") => Some(Motion::Still),
            _ => None,
        };
        if let Some(motion) = motion.filter(|motion| !found.contains(motion)) {
            found.push(motion);
        }
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Wanted;

    fn entry(prompt: &str, things: &[(&str, &str)], target: Kind, motion: Motion) -> EnhanceEntry {
        let wanted = |(colour, shape): &(&str, &str)| Wanted {
            shape: shape.parse().unwrap(),
            colour: colour.parse().unwrap(),
        };
        let things = things.iter().map(wanted).collect();
        EnhanceEntry { prompt: prompt.to_owned(), seed: 0, held_out: false, target, things, motion }
    }

    #[test]
    fn what_the_prompt_says_must_stay() {
        let still = |things| entry("red star", things, Kind::Image, Motion::Still);
        let star = still(&[("red", "star")]);
        let right = |text: &str, entry: &EnhanceEntry| judge_text(text, entry).right;
        assert!(right("A large red star on the left on a white background, calm daylight.", &star));
        assert!(!right("A large blue star on a white background.", &star), "colour");
        assert!(!right("A large red heart on a white background.", &star), "shape");
        assert!(!right("A red star and a blue circle on white.", &star), "one more");
        assert!(!right("A red star moving left on a white background.", &star), "a picture does not move");
        assert!(!right("Red star.", &star), "no richer");
        assert!(
            !right("A red sky, a star on white background, soft light.", &star),
            "colour of something else"
        );
        let two = still(&[("red", "star"), ("blue", "circle")]);
        assert!(right("A blue circle to the right of a red star on navy, bright studio light.", &two));
        assert!(!right("A red circle to the right of a blue star on navy, bright light.", &two), "swapped");
    }

    #[test]
    fn what_a_video_says_of_motion_must_stay() {
        let moving = |motion| entry("a cyan ring", &[("cyan", "ring")], Kind::Video, motion);
        let right = |text: &str, motion| judge_text(text, &moving(motion)).right;
        assert!(right("A cyan ring sliding to the left on black, a steady camera.", Motion::Left));
        assert!(right("A cyan ring falling on a grey background, soft even light.", Motion::Down));
        assert!(!right("A cyan ring moving to the right on black, a steady camera.", Motion::Left));
        assert!(!right("A cyan ring on the left on a black background, a steady camera.", Motion::Left));
        assert!(!right("A cyan ring growing and turning on a black background.", Motion::Growing));
        assert!(right("A cyan ring on the left on black, the camera holds still.", Motion::Still));
        assert!(!right("A cyan ring growing on black, the camera holds still.", Motion::Still));
    }
}
