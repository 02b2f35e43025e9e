use super::fields::{Fields, Found, whole};
use crate::Result;

/// Width and height of one field like `"1024*1024"`, `"1024x576"` or `"1024X576"`, in pixels.
pub(super) fn pair(found: Found<'_>) -> Result<(u32, u32)> {
    const RULE: &str = "must be WIDTHxHEIGHT or WIDTH*HEIGHT in pixels, like 1024x576";
    let mut sides = found.text()?.split(['x', 'X', '*', '\u{d7}']).map(|side| side.trim().parse::<u32>());
    match (sides.next(), sides.next(), sides.next()) {
        (Some(Ok(width)), Some(Ok(height)), None) => Ok((width, height)),
        _ => Err(found.breaks(RULE)),
    }
}

/// One side in pixels, written as a number or as text.
pub(super) fn side(found: Found<'_>) -> Result<u32> {
    whole(found.number()?)
        .and_then(|side| u32::try_from(side).ok())
        .ok_or_else(|| found.breaks("must be a whole number of pixels"))
}

/// The first of `config.resolution` and `config.size` that is present.
pub(super) fn named_pair<'a>(fields: &Fields<'a>) -> Result<Option<(Found<'a>, (u32, u32))>> {
    match fields.find(&["config.resolution", "config.size"]) {
        Some(found) => Ok(Some((found, pair(found)?))),
        None => Ok(None),
    }
}
