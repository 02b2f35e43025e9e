//! WAN jobs on the tiny checkpoint: every type through the embedded queue to local storage, and what is in the files.

mod common;

use anyhow::{Context, Result, ensure};
use common::job::set;
use common::wan::{frames_of, job, run, run_job, stored};
use common::{Place, golden_wan, words};
use serde_json::{Value, json};

/// Every type: pictures and videos, fast and high, enhanced or not.
const TYPES: [(&str, bool); 8] = [
    ("image_fast", false),
    ("image_high", false),
    ("video_fast", true),
    ("video_high", true),
    ("image7b_fast_enhanced", false),
    ("image7b_high_enhanced", false),
    ("video7b_fast_enhanced", true),
    ("video7b_high_enhanced", true),
];

#[test]
fn every_type_goes_through_the_queue() -> Result<()> {
    let place = Place::new()?;
    for (job_type, _) in TYPES {
        std::fs::write(place.path("job.json"), job(job_type).to_string())?;
        place.run(words("submit job.json"))?.succeeded()?;
    }
    let model = golden_wan("t2v_f32").display().to_string();
    for (job_type, video) in TYPES {
        let worked =
            place.run(words("worker wan --once --json --model").chain([model.clone()]))?.succeeded()?;
        let worked: Value = serde_json::from_str(worked.stdout.trim())?;
        let id = format!("job-{job_type}");
        ensure!(worked == json!({"outcome": "completed", "job_id": id, "attempt": 1}), "{worked:#}");
        let root = place.path("ourvidz-data");
        let thumbnail = image::open(stored(&root, &id, "0.thumb.webp"))?;
        ensure!(thumbnail.width().max(thumbnail.height()) == 256, "{id}");
        if video {
            let (frames, fps) = frames_of(&stored(&root, &id, "0.mp4"))?;
            ensure!((frames.len(), fps.round()) == (5, 12.0), "{id}: {} frames at {fps}", frames.len());
            ensure!(frames[0].len() == 480 * 832 * 3, "{id}: {} bytes", frames[0].len());
        } else {
            let picture = image::open(stored(&root, &id, "0.png"))?;
            ensure!((picture.width(), picture.height()) == (480, 832), "{id}");
        }
    }
    Ok(())
}

/// The MP4 shows what the frames of `generate video` do, but for the encoder; the body says what was done.
#[test]
fn a_video_job_is_the_request_it_names() -> Result<()> {
    let place = Place::new()?;
    let body = run_job(&place, "t2v_f32", &job("video_fast"))?;
    let metadata = &body["metadata"];
    let expected = json!({
        "job_type": "video_fast", "content_type": "video", "seed": 7, "frame_num": 5, "fps": 12, "width": 480,
        "height": 832, "steps": 10, "guidance_scale": 3.5, "sample_shift": 4.0, "wan_task": "t2v-d24",
        "scheduler": "DPMSolverMultistepScheduler", "precision": "fp32", "vae_precision": "fp32", "device": "cpu",
        "negative_prompt_used": true, "enhancement_source": "none", "reference_mode": "none",
        "reference_applied": false, "prompt_truncated": false,
    });
    for (key, value) in expected.as_object().context("object")? {
        ensure!(&metadata[key] == value, "{key}: {metadata:#}");
    }
    let asset = &body["assets"][0];
    ensure!(asset["type"] == "video" && asset["metadata"]["format"] == "mp4", "{body:#}");
    ensure!(asset["metadata"]["frames"] == 5 && asset["metadata"]["duration_seconds"] == json!(5.0 / 12.0));

    let model = golden_wan("t2v_f32").display().to_string();
    let line = "generate video --size 480*832 --sample_steps 10 --frame_num 5 --fps 12 --seed 7 \
                --sample_guide_scale 3.5 --sample_solver dpm++ --sample_shift 4 --save_file frames --model";
    let prompt = ["--prompt".to_owned(), "a red fox in fresh snow".to_owned()];
    place.run(words(line).chain([model]).chain(prompt))?.succeeded()?;
    let file = stored(&place.path("data"), "job-video_fast", "0.mp4");
    let bytes = std::fs::read(&file)?;
    for part in ["a red fox in fresh snow", "Steps: 10", "Seed: 7", "Frames: 5"] {
        ensure!(String::from_utf8_lossy(&bytes).contains(part), "{part:?} is not in the file's metadata");
    }
    let (frames, _) = frames_of(&file)?;
    for (i, frame) in frames.iter().enumerate() {
        let path = place.path("frames").join(format!("frame-{i:04}.png"));
        let png = image::open(&path).with_context(|| path.display().to_string())?.into_rgb8().into_raw();
        // The random model draws noise, of which the encoder keeps what is coarse.
        let (found, expected) = (coarse(frame), coarse(&png));
        let differences = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let mean = differences.sum::<f64>() / found.len() as f64;
        let spread = expected.iter().map(|x| (x - 127.5).abs()).sum::<f64>() / expected.len() as f64;
        ensure!(
            mean < 2.0 && spread > 5.0,
            "frame {i} differs by {mean:.2} of 255, and they spread by {spread:.1}"
        );
    }
    Ok(())
}

#[test]
fn what_cannot_be_made_fails_with_its_field() -> Result<()> {
    let place = Place::new()?;
    let cases = [
        ("/config/sample_solver", json!("euler_a"), "config.sample_solver"),
        ("/config/sample_shift", json!(1e7), "shift"),
        ("/config/sample_shift", json!(-1), "config.sample_shift"),
    ];
    for (pointer, value, field) in cases {
        let mut job = job("image_fast");
        set(&mut job, pointer, value);
        let ended = run(&place, "t2v_f32", &job)?;
        ensure!(ended.code == Some(1), "{ended:?}");
        let body: Value = serde_json::from_str(&ended.stdout)?;
        ensure!(body["status"] == "failed" && body["metadata"]["error_code"] == "INVALID_JOB", "{body:#}");
        ensure!(body["metadata"]["field"] == field, "{body:#}");
        ensure!(body["metadata"]["retryable"] == false, "{body:#}");
    }
    Ok(())
}

/// Means of 16 x 16 pixels of a frame [832, 480, 3].
fn coarse(frame: &[u8]) -> Vec<f64> {
    let mut means = vec![0.0; 52 * 30 * 3];
    for (i, value) in frame.iter().enumerate() {
        let (row, column, channel) = (i / 3 / 480, i / 3 % 480, i % 3);
        means[(row / 16 * 30 + column / 16) * 3 + channel] += f64::from(*value) / 256.0;
    }
    means
}
