//! `ourvidz generate image` on the tiny checkpoints: numbers, pictures and seeds.

mod common;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use common::{FP32, Place, Request, golden, matches_golden, read_tensors, relative_l2, words};

/// One fp32 folder, one picture, no negative prompt.
#[test]
fn linear_projection_epsilon() -> Result<()> {
    check("linear_eps", "")
}

/// fp16 variant files; two pictures get numbered names.
#[test]
fn conv_projection_v_prediction() -> Result<()> {
    check("conv_vpred", "")
}

/// bf16 files, a sharded UNet, a picture wider than high.
#[test]
fn linspace_karras_shards() -> Result<()> {
    check("linspace_bf16", "")
}

/// One file with the original names.
#[test]
fn single_file() -> Result<()> {
    check("single_file", "model.safetensors")
}

/// The dump is the golden's, the pictures are the dump's, and their text says how they were made.
fn check(name: &str, file: &str) -> Result<()> {
    let (place, golden) = (Place::new()?, golden(name));
    let request = Request::of(&golden)?;
    let (ended, dump) = matches_golden(&place, &golden, &golden.join(file))?;
    let (_, decoded) = dump.get("image").context("image")?;

    let names = match request.num_images {
        1 => vec!["x.png".to_owned()],
        n => (0..n).map(|i| format!("x-{i}.png")).collect(),
    };
    ensure!(place.path("x.png").exists() == (request.num_images == 1), "x.png beside the numbered ones");
    let plane = request.width * request.height;
    for ((name, decoded), seed) in names.iter().zip(decoded.chunks_exact(3 * plane)).zip(7..) {
        let picture = Picture::read(&place.path(name))?;
        ensure!((picture.width, picture.height) == (request.width, request.height), "{name}");
        let byte = |x: f32| ((x / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
        let rgb: Vec<u8> = (0..plane)
            .flat_map(|i| [decoded[i], decoded[plane + i], decoded[2 * plane + i]])
            .map(byte)
            .collect();
        ensure!(picture.rgb == rgb, "{name}: pixels differ from the dumped image");

        let text = picture.text("parameters")?;
        let size = format!("Size: {}x{}", request.width, request.height);
        let negative = request.text("negative_prompt").map(|text| format!("\nNegative prompt: {text}\n"));
        let prompt = request.text("prompt").context("prompt")?;
        let steps = format!("Steps: {},", request.steps);
        let parts =
            [prompt, &steps, &size, &format!("Seed: {seed},"), negative.as_deref().unwrap_or_default()];
        for part in parts {
            ensure!(text.contains(part), "{name}: {part:?} is not in {text:?}");
        }
        ensure!(
            ended.stdout.lines().any(|line| line == format!("{name} (seed {seed}, initial noise given)")),
            "{ended:?}"
        );
    }
    ensure!(ended.stdout.lines().count() == names.len(), "{ended:?}");
    Ok(())
}

struct Picture {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
    /// Keyword and text of every iTXt chunk.
    texts: Vec<(String, String)>,
}

impl Picture {
    fn read(path: &Path) -> Result<Picture> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let mut reader = png::Decoder::new(BufReader::new(file)).read_info()?;
        let mut rgb = vec![0; reader.output_buffer_size().context("too large")?];
        let frame = reader.next_frame(&mut rgb)?;
        ensure!((frame.color_type, frame.bit_depth) == (png::ColorType::Rgb, png::BitDepth::Eight));
        let chunks = &reader.info().utf8_text;
        let texts = chunks.iter().map(|chunk| Ok((chunk.keyword.clone(), chunk.get_text()?)));
        let texts = texts.collect::<Result<_>>()?;
        Ok(Picture { width: frame.width as usize, height: frame.height as usize, rgb, texts })
    }

    fn text(&self, keyword: &str) -> Result<&str> {
        let chunk = self.texts.iter().find(|(key, _)| key == keyword);
        Ok(&chunk.with_context(|| format!("no iTXt chunk {keyword}"))?.1)
    }
}

/// Runs one small request with `flags`; the bytes of its dump, which is named `dump`.
fn dump(place: &Place, dump: &str, flags: &str) -> Result<Vec<u8>> {
    let model = golden("linear_eps").display().to_string();
    let fixed = words("generate image --prompt fox --steps 2 --width 64 --height 72 --model");
    let flags = format!("--dump {dump} {flags}");
    place.run(fixed.chain([model]).chain(words(&flags)))?.succeeded()?;
    Ok(std::fs::read(place.path(dump))?)
}

#[test]
fn a_seed_gives_the_same_bytes_twice() -> Result<()> {
    let place = Place::new()?;
    let first = dump(&place, "a", "--seed 5 -o a.png")?;
    ensure!(first == dump(&place, "b", "--seed 5 -o b.png")?, "the dumps differ");
    ensure!(
        std::fs::read(place.path("a.png"))? == std::fs::read(place.path("b.png"))?,
        "the pictures differ"
    );
    ensure!(first != dump(&place, "c", "--seed 6")?, "another seed gives the same numbers");
    Ok(())
}

#[test]
fn the_noise_source_is_honoured() -> Result<()> {
    let place = Place::new()?;
    let default = dump(&place, "a", "--seed 5")?;
    ensure!(default == dump(&place, "b", "--seed 5 --rng torch-cuda")?, "torch-cuda is not the default");
    dump(&place, "c", "--seed 5 --rng torch-cpu")?;
    let latents = |file: &str| -> Result<Vec<f32>> {
        let mut tensors = read_tensors(&place.path(file))?;
        Ok(tensors.remove("latents").context("latents")?.1)
    };
    let difference = relative_l2(&latents("c")?, &latents("a")?)?;
    ensure!(difference > 0.1, "torch-cpu and torch-cuda differ by {difference:.1e} only");
    Ok(())
}

/// Picture i of a batch has the noise of seed + i.
#[test]
fn a_batch_counts_its_seeds() -> Result<()> {
    let place = Place::new()?;
    dump(&place, "batch", "--seed 5 --num-images 2")?;
    let mut batch = read_tensors(&place.path("batch"))?;
    for (i, seed) in ["5", "6"].into_iter().enumerate() {
        dump(&place, seed, &format!("--seed {seed}"))?;
        let mut alone = read_tensors(&place.path(seed))?;
        for name in ["latents", "image"] {
            let (shape, both) = batch.get(name).context(name)?;
            let (_, alone) = alone.remove(name).context(name)?;
            ensure!(shape[0] == 2 && both.len() == 2 * alone.len(), "{name}: {shape:?}");
            let error = relative_l2(&both[i * alone.len()..][..alone.len()], &alone)?;
            ensure!(error <= FP32, "{name} of picture {i} against seed {seed}: {error:.2e}");
        }
    }
    let (_, latents) = batch.remove("latents").context("latents")?;
    let (first, second) = latents.split_at(latents.len() / 2);
    ensure!(relative_l2(second, first)? > 0.1, "both pictures are the same");
    Ok(())
}

/// Without guidance there is no negative half, in the dump neither.
#[test]
fn without_guidance_there_is_no_negative_half() -> Result<()> {
    let place = Place::new()?;
    dump(&place, "a", "--seed 5 --guidance-scale 1 --negative-prompt dog")?;
    let names: Vec<String> = read_tensors(&place.path("a"))?.into_keys().collect();
    ensure!(names.contains(&"prompt_embeds".to_owned()), "{names:?}");
    ensure!(!names.iter().any(|name| name.starts_with("negative_")), "{names:?}");
    Ok(())
}

#[test]
fn without_a_model_the_bundled_one_runs_and_one_line_says_so() -> Result<()> {
    let place = Place::new()?;
    let ended = place.run(words("generate image --prompt fox --steps 1 --width 64 --height 64 -o x.png"))?;
    let ended = ended.succeeded()?;
    let about: Vec<&str> =
        ended.stderr.lines().filter(|line| line.contains("no model is configured")).collect();
    ensure!(about.len() == 1 && about[0].contains("demo"), "{ended:?}");
    let picture = Picture::read(&place.path("x.png"))?;
    ensure!((picture.width, picture.height) == (64, 64), "{} x {}", picture.width, picture.height);
    Ok(())
}

#[test]
fn json_says_what_was_written() -> Result<()> {
    let place = Place::new()?;
    let model = golden("linear_eps").display().to_string();
    let flags = "generate image --json --prompt fox --width 64 --height 64 --steps 2 --num-images 2 --seed 5 -o x.png --model";
    let ended = place.run(words(flags).chain([model]))?.succeeded()?;
    let said: serde_json::Value = serde_json::from_str(&ended.stdout)?;
    let images = said["images"].as_array().context("images")?;
    ensure!(images.len() == 2 && images[1]["path"] == "x-1.png" && images[1]["seed"] == 6, "{said:#}");
    ensure!(place.path("x-0.png").is_file() && said["steps"] == 2 && said["device"] == "cpu", "{said:#}");
    Ok(())
}
