//! `ourvidz demo`: every job through queue, worker, storage and callback, and what the files show.

mod common;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use common::{Place, words};
use ourvidz_demo_score::{Motion, Picture, Relation, Wanted, judge_picture, track};
use serde_json::Value;

fn wanted(colour: &str, shape: &str) -> Result<Wanted> {
    Ok(Wanted { shape: shape.parse()?, colour: colour.parse()? })
}

fn picture(path: &Path) -> Result<Picture> {
    let picture = image::open(path).with_context(|| path.display().to_string())?.into_rgb8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    Picture::new(width, height, picture.into_raw()).context("pixels")
}

#[test]
fn the_demo_shows_what_its_prompts_say() -> Result<()> {
    let place = Place::new()?;
    // The demo's queue and files are its own, whatever is configured.
    let mut command = place.command(words("demo --json -o out"));
    command.env("REDIS_URL", "redis://127.0.0.1:1").env("OURVIDZ_SDXL_MODEL", "nowhere");
    let ended = common::Ended::of(command.output()?)?.succeeded()?;
    // Without tiny-wan there is no clip, and the demo says so.
    let wan = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny-wan").is_dir();
    ensure!(wan == ended.stderr.is_empty() && (wan || ended.stderr.contains("tiny-wan")), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout)?;
    let sheet = image::open(report["contact_sheet"].as_str().context("contact_sheet")?)?;
    ensure!(sheet.width() > 1000 && sheet.height() > 600, "{}x{}", sheet.width(), sheet.height());
    let jobs = report["jobs"].as_array().context("jobs")?;
    ensure!(jobs.len() == if wan { 8 } else { 7 }, "{report:#}");
    let file = |index: usize| jobs[index]["file"].as_str().context("file").map(Path::new);

    let pictures = [
        (vec![wanted("red", "circle")?], Relation::Any),
        (vec![wanted("blue", "star")?], Relation::Any),
        (vec![wanted("green", "triangle")?], Relation::Any),
        (vec![wanted("purple", "heart")?], Relation::Any),
        (vec![wanted("cyan", "ring")?, wanted("orange", "square")?], Relation::Left),
        (vec![wanted("yellow", "crescent")?, wanted("pink", "cross")?], Relation::Above),
    ];
    for (index, (things, relation)) in pictures.iter().enumerate() {
        let verdict = judge_picture(&picture(file(index)?)?, things, *relation);
        ensure!(verdict.right, "{}: {}", jobs[index]["prompt"], verdict.seen);
    }
    let last = jobs.len() - 1;
    let enhanced = jobs[last]["enhanced_prompt"].as_str().context("enhanced_prompt")?;
    ensure!(enhanced.contains("yellow heart") && enhanced.len() > 30, "{enhanced:?}");
    let verdict = judge_picture(&picture(file(last)?)?, &[wanted("yellow", "heart")?], Relation::Any);
    ensure!(verdict.right, "{}", verdict.seen);
    if !wan {
        return Ok(());
    }

    let frames = frames_of(file(6)?)?;
    ensure!(frames.len() == 17 && frames[0].width() == 832 && frames[0].height() == 480, "{report:#}");
    let track = track(&frames);
    ensure!(track.motion() == Some(Motion::Right), "{track:?}");
    let circle = wanted("red", "circle")?;
    ensure!(track.colour == Some(circle.colour) && track.shape == Some(circle.shape), "{track:?}");
    Ok(())
}

fn frames_of(path: &Path) -> Result<Vec<Picture>> {
    let mut decoder = video_rs::Decoder::new(path).with_context(|| path.display().to_string())?;
    let (width, height) = decoder.size();
    let frames = decoder.decode_iter().map_while(Result::ok);
    let picture = |rgb: Vec<u8>| Picture::new(width as usize, height as usize, rgb).context("a frame");
    frames.map(|(_, frame)| picture(frame.into_raw_vec_and_offset().0)).collect()
}
