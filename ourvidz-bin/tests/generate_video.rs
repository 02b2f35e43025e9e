//! `ourvidz generate video` on the tiny checkpoints: the dump is diffusers', and what cannot be is refused in one line.

mod common;

use anyhow::{Context, Result, ensure};
use common::{FP32, Place, golden_wan, read_tensors, relative_l2, words, write_tensor};
use serde_json::Value;

/// Three checkpoints, each scheduler once; options in both spellings.
#[test]
fn dumps_are_those_of_diffusers() -> Result<()> {
    check("t2v_f32", "unipc", "--size 48*32 --frame_num 9")?;
    check("t2v_bf16", "dpm++", "--size 32x48 --frame-num 5 --sample_solver dpm++")?;
    check("t2v_sharded", "euler", "--size 32*32 --frame_num 3 --sample-solver flow_euler")
}

fn check(name: &str, prefix: &str, flags: &str) -> Result<()> {
    let (place, folder) = (Place::new()?, golden_wan(name));
    let golden = read_tensors(&folder.join("golden.safetensors"))?;
    let request: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("request.json"))?)?;
    let (shape, values) = golden.get("initial_latents").context("initial_latents")?;
    write_tensor(&place.path("noise.safetensors"), "latents", shape, values)?;
    let text = |field: &str| request[field].as_str().unwrap_or_default().to_owned();
    let line = format!(
        "generate video --json --sample_steps 4 --sample_guide_scale 5 --latents noise.safetensors --dump \
         dump.safetensors --save_file frames {flags}"
    );
    let model = folder.display().to_string();
    let texts =
        ["--model", &model, "--prompt", &text("prompt"), "--negative-prompt", &text("negative_prompt")]
            .map(str::to_owned);
    let ended = place.run(words(&line).chain(texts))?.succeeded()?;
    let report: Value = serde_json::from_str(&ended.stdout)?;
    let dump = read_tensors(&place.path("dump.safetensors"))?;
    let mut expected = vec!["prompt_embeds".to_owned(), "negative_prompt_embeds".to_owned()];
    for name in ["noise_pred", "latents"] {
        expected.extend((0..4).map(|i| format!("{name}.{i}")));
    }
    expected.extend(["latents".to_owned(), "video".to_owned()]);
    ensure!(dump.len() == expected.len(), "{:?}", dump.keys());
    for tensor in expected {
        let (found_shape, found) = dump.get(&tensor).with_context(|| tensor.clone())?;
        let of_run = format!("{prefix}.{tensor}");
        let (shape, values) = golden.get(&of_run).or(golden.get(&tensor)).context(of_run)?;
        ensure!(found_shape == shape, "{tensor}: {found_shape:?}, expected {shape:?}");
        let error = relative_l2(found, values)?;
        ensure!(error <= FP32, "{name} {tensor}: relative L2 {error:.2e}");
    }
    let frames = dump["video"].0[0];
    ensure!(report["frames"] == frames && report["steps"] == 4, "{report:#}");
    ensure!(report["initial_noise_given"] == true && report["reference_method"].is_null(), "{report:#}");
    for i in 0..frames {
        let path = place.path("frames").join(format!("frame-{i:04}.png"));
        let picture = image::open(&path).with_context(|| path.display().to_string())?;
        ensure!(
            (picture.width() as usize, picture.height() as usize) == (dump["video"].0[3], dump["video"].0[2])
        );
    }
    ensure!(!place.path("frames").join(format!("frame-{frames:04}.png")).exists(), "a frame too many");
    Ok(())
}

#[test]
fn an_mp4_whose_ends_are_held() -> Result<()> {
    let place = Place::new()?;
    let picture = image::RgbImage::from_pixel(31, 77, image::Rgb([200, 30, 90]));
    picture.save(place.path("red.png"))?;
    let line = "generate video --sample_steps 3 --frame_num 7 --size 64*48 --fps 9 --seed 5 --first_frame red.png \
                --last_frame red.png --save_file out.mp4 --prompt";
    let model = golden_wan("t2v_f32").display().to_string();
    let rest = ["a red fox".to_owned(), "--model".to_owned(), model];
    let ended = place.run(words(line).chain(rest))?.succeeded()?;
    ensure!(
        ended.stderr.contains("reference by latent_hold") && ended.stdout.contains("seed 5"),
        "{ended:?}"
    );
    let mut decoder = video_rs::Decoder::new(place.path("out.mp4").as_path())?;
    let fps = decoder.frame_rate();
    let frames = decoder.decode_iter().map_while(Result::ok).count();
    ensure!((frames, fps.round()) == (5, 9.0), "{frames} frames at {fps}: 7 is rounded down to 5");
    let bytes = std::fs::read(place.path("out.mp4"))?;
    let text = String::from_utf8_lossy(&bytes);
    for part in ["a red fox", "Steps: 3", "Frames: 5", "Reference: latent_hold", "Seed: 5"] {
        ensure!(text.contains(part), "{part:?} is not in the metadata");
    }
    Ok(())
}

/// By the number of frames and by the task, under the default name; its parameters are inside.
#[test]
fn one_frame_is_a_picture() -> Result<()> {
    let place = Place::new()?;
    let model = golden_wan("t2v_f32").display().to_string();
    let mut pictures = Vec::new();
    for flags in ["--frame_num 1", "--task t2i-14B", "--task t2i-14B --save_file named.png"] {
        let line =
            format!("generate video --json --sample_steps 2 --size 48*32 --seed 5 {flags} --prompt fox");
        let ended = place.run(words(&line).chain(["--model".to_owned(), model.clone()]))?.succeeded()?;
        let report: Value = serde_json::from_str(&ended.stdout)?;
        ensure!(report["frames"] == 1 && report["width"] == 48 && report["height"] == 32, "{report:#}");
        let path = place.path(if flags.contains("named") { "named.png" } else { "image.png" });
        let bytes = std::fs::read(&path)?;
        let text = String::from_utf8_lossy(&bytes);
        for part in ["parameters", "fox", "Steps: 2", "Seed: 5"] {
            ensure!(text.contains(part), "{flags}: {part:?} is not in the picture");
        }
        let picture = image::load_from_memory(&bytes)?.into_rgb8();
        ensure!(picture.dimensions() == (48, 32), "{flags}: {:?}", picture.dimensions());
        pictures.push(picture);
        std::fs::remove_file(path)?;
    }
    ensure!(pictures.windows(2).all(|pair| pair[0] == pair[1]), "a seed gives different pictures");
    ensure!(!place.path("video.mp4").exists(), "a video was written");
    Ok(())
}

#[test]
fn a_video_begins_from_a_picture_or_ends_with_it() -> Result<()> {
    let place = Place::new()?;
    let picture = image::RgbImage::from_fn(90, 70, |x, y| image::Rgb([(x * 2) as u8, (y * 3) as u8, 120]));
    picture.save(place.path("fox.png"))?;
    let model = golden_wan("t2v_f32").display().to_string();
    // Half of the schedule is run from a single picture.
    for (flags, method, steps) in [
        ("--image fox.png", "latent_init", 2),
        ("--last_frame fox.png", "latent_hold", 4),
        ("--first-frame fox.png", "latent_hold", 4),
    ] {
        let line = format!(
            "generate video --json --sample_steps 4 --frame_num 5 --size 32*48 --seed 5 {flags} --save_file frames \
             --prompt fox"
        );
        let ended = place.run(words(&line).chain(["--model".to_owned(), model.clone()]))?.succeeded()?;
        let report: Value = serde_json::from_str(&ended.stdout)?;
        ensure!(report["reference_method"] == method && report["frames"] == 5, "{flags}: {report:#}");
        ensure!(report["steps"] == steps, "{flags}: {report:#}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_is_refused_in_one_line() -> Result<()> {
    let place = Place::new()?;
    let model = golden_wan("t2v_f32").display().to_string();
    std::fs::write(place.path("text.png"), "no picture")?;
    for (flags, parts) in [
        ("--size 100*64", &["width", "multiple of 16", "100"][..]),
        ("--size wide", &["--size", "832*480", "wide"]),
        ("--frame_num 0", &["num_frames", "1 to 1025", "0"]),
        ("--task t2i-14B --frame_num 5", &["--frame-num", "t2i", "5"]),
        ("--task i2v-14B", &["--task", "VACE", "i2v-14B"]),
        ("--task s2v", &["--task", "t2v-1.3B", "s2v"]),
        ("--task vace-1.3B", &["--task", "t2v-d24", "vace-1.3B"]),
        ("--sample_steps 0", &["num_inference_steps", "1 to 1000"]),
        ("--sample_solver ddim", &["scheduler", "UniPCMultistepScheduler", "ddim"]),
        ("--sample_shift -1", &["shift", "above 0", "-1"]),
        ("--seed -2", &["--seed", "-1", "-2"]),
        ("--image a.png --first_frame b.png", &["--image", "--first-frame"]),
        ("--first_frame none.png", &["--first-frame", "none.png"]),
        ("--first_frame text.png", &["--first-frame", "text.png"]),
        ("--frame_num 1 --first_frame", &["--first-frame"]),
        ("--save_file x.avi", &["--save-file", ".mp4", "x.avi"]),
        ("--save_file x.png", &["--save-file", "one frame", "x.png"]),
        ("--save_file none/x.mp4", &["--save-file", "none"]),
        ("--vae-precision bf16", &["precision", "bf16"]),
        ("--precision bf16", &["precision", "must be fp32 on cpu"]),
        ("--vae none.pth", &["vae", "none.pth"]),
        ("--device cuda:0", &["cuda"]),
    ] {
        let mut arguments: Vec<String> = words("generate video --prompt fox --model").collect();
        arguments.push(model.clone());
        arguments.extend(words(flags));
        if !flags.contains("--size") {
            arguments.extend(words("--size 32*32"));
        }
        if !flags.contains("--frame_num") {
            arguments.extend(words("--frame_num 5"));
        }
        let ended = place.run(arguments)?;
        let code = if flags.contains("cuda") { 1 } else { 2 };
        let line = ended.one_line(code).with_context(|| flags.to_owned())?;
        for part in parts {
            ensure!(line.contains(part), "{flags}: {part:?} is not in {line:?}");
        }
    }
    ensure!(!place.path("video.mp4").exists(), "a video was written");
    Ok(())
}
