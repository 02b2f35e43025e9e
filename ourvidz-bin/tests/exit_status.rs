//! Exit statuses: 2 and one line for what cannot be, 1 for what was tried, 0 for help.

mod common;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use common::{Place, golden, words, write_tensor};
use safetensors::SafeTensors;

/// A valid request; what a test adds comes in place of the same flag here.
fn request(model: &Path, flags: &str) -> Vec<String> {
    let flags: Vec<String> = words(flags).collect();
    let mut arguments: Vec<String> = words("generate image").collect();
    let model = model.display().to_string();
    for (flag, value) in
        [("--model", &*model), ("--prompt", "fox"), ("--steps", "1"), ("--width", "64"), ("--height", "64")]
    {
        if !flags.iter().any(|given| given == flag) {
            arguments.extend([flag.to_owned(), value.to_owned()]);
        }
    }
    arguments.extend(flags);
    arguments
}

/// Refused with exit 2 and one line that holds every one of `parts`; nothing is written.
fn refused(place: &Place, flags: &str, parts: &[&str]) -> Result<()> {
    let ended = place.run(request(&golden("linear_eps"), flags))?;
    let line = ended.one_line(2).with_context(|| flags.to_owned())?;
    for part in parts {
        ensure!(line.contains(part), "{flags}: {part:?} is not in {line:?}");
    }
    ensure!(!place.path("image.png").exists(), "{flags}: a picture was written");
    Ok(())
}

#[test]
fn values_outside_their_rule() -> Result<()> {
    let place = Place::new()?;
    for (flags, parts) in [
        ("--width 100", &["width", "multiple of 8", "100"][..]),
        ("--height 8192", &["height", "4096", "8192"]),
        ("--steps 0", &["steps", "1 to 1000", "got 0"]),
        ("--num-images 7", &["num_images", "1 to 6", "got 7"]),
        ("--guidance-scale 101", &["guidance_scale", "0 to 100", "101"]),
        ("--seed fox", &["--seed", "fox"]),
        ("--device gpu", &["--device", "cpu, cuda:N or tensorrt:N", "gpu"]),
        ("--precision fp16", &["precision", "must be fp32 on cpu", "fp16"]),
        ("--precision int8", &["--precision", "int8"]),
        ("--rng torch", &["--rng", "torch-cpu", "torch-cuda"]),
        ("--scheduler Nonsense", &["--scheduler", "EulerDiscreteScheduler", "Nonsense"]),
    ] {
        refused(&place, flags, parts)?;
    }
    Ok(())
}

#[test]
fn flags_that_are_missing_or_unknown() -> Result<()> {
    let place = Place::new()?;
    refused(&place, "--colour red", &["--colour"])?;
    for (line, part) in [
        ("generate image", "--prompt"),
        ("generate image --prompt", "--prompt"),
        ("generate film --prompt fox", "film"),
        ("run-job", "JOB"),
        ("export --out onnx", "--model"),
        ("", "subcommand"),
        ("generate", "subcommand"),
    ] {
        let ended = place.run(words(line))?;
        let refusal = ended.one_line(2).with_context(|| line.to_owned())?;
        ensure!(refusal.contains(part), "{line}: {refusal}");
    }
    Ok(())
}

/// Before the model is loaded: nobody waits for a picture that has nowhere to go.
#[test]
fn files_and_folders_that_are_not_there() -> Result<()> {
    let place = Place::new()?;
    refused(&place, "--model nowhere", &["--model", "nowhere"])?;
    refused(&place, "--output nowhere/x.png", &["--output", "nowhere"])?;
    refused(&place, "--dump nowhere/x.safetensors", &["--dump", "nowhere"])?;
    std::fs::create_dir(place.path("folder"))?;
    refused(&place, "--output folder", &["--output", "folder"])?;
    refused(&place, "--dump folder", &["--dump", "folder"])?;
    refused(&place, "--variant fp8", &["text_encoder", "model.fp8.safetensors"])?;
    let ended = place.run(words("run-job nowhere.json"))?;
    ensure!(ended.one_line(2)?.contains("nowhere.json"), "{ended:?}");
    let ended = place.run(words("export --model nowhere --out onnx"))?;
    ensure!(ended.one_line(2)?.contains("nowhere"), "{ended:?}");
    Ok(())
}

#[test]
fn initial_latents_that_do_not_fit() -> Result<()> {
    let place = Place::new()?;
    write_tensor(&place.path("shape"), "latents", &[1, 4, 8, 9], &[0.0; 4 * 8 * 9])?;
    refused(&place, "--latents shape", &["latents", "[1, 4, 8, 8]", "[1, 4, 8, 9]"])?;
    write_tensor(&place.path("count"), "latents", &[2, 4, 8, 8], &[0.0; 2 * 4 * 8 * 8])?;
    refused(&place, "--latents count", &["latents", "[1, 4, 8, 8]", "[2, 4, 8, 8]"])?;
    write_tensor(&place.path("name"), "noise", &[1, 4, 8, 8], &[0.0; 4 * 8 * 8])?;
    refused(&place, "--latents name", &["name", "tensor latents"])?;
    std::fs::write(place.path("text"), "no tensors")?;
    refused(&place, "--latents text", &["text"])?;
    refused(&place, "--latents nowhere", &["nowhere"])
}

/// The device that was asked for or none: exit 1, for another machine may have it.
#[test]
fn a_device_that_is_not_there() -> Result<()> {
    if Path::new("/dev/nvidia0").exists() {
        return Ok(());
    }
    let place = Place::new()?;
    let ended = place.run(request(&golden("linear_eps"), "--device cuda:0"))?;
    let line = ended.one_line(1)?;
    ensure!(line.contains("cuda:0"), "{line}");
    ensure!(!place.path("image.png").exists(), "a picture was written");
    Ok(())
}

#[test]
fn damaged_checkpoints_name_what_is_wrong() -> Result<()> {
    const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
    const TENSOR: &str = "conv_in.weight";
    let place = Place::new()?;

    copy(&golden("linear_eps"), &place.path("lacking"))?;
    let bytes = std::fs::read(golden("linear_eps").join(UNET))?;
    let mut tensors = SafeTensors::deserialize(&bytes)?.tensors();
    let count = tensors.len();
    tensors.retain(|(name, _)| name != TENSOR);
    ensure!(tensors.len() == count - 1, "{TENSOR} is not in the checkpoint");
    safetensors::serialize_to_file(tensors, None, &place.path("lacking").join(UNET))?;
    let ended = place.run(request(&place.path("lacking"), ""))?;
    let line = ended.one_line(1)?;
    ensure!(line.contains("unet") && line.contains(TENSOR) && line.contains("missing"), "{line}");

    copy(&golden("linear_eps"), &place.path("cut"))?;
    std::fs::write(place.path("cut").join(UNET), &bytes[..bytes.len() / 2])?;
    let ended = place.run(request(&place.path("cut"), ""))?;
    let line = ended.one_line(1)?;
    ensure!(line.contains(UNET), "{line}");

    copy(&golden("linear_eps"), &place.path("without"))?;
    std::fs::remove_file(place.path("without").join(UNET))?;
    let ended = place.run(request(&place.path("without"), ""))?;
    let line = ended.one_line(2)?;
    ensure!(line.contains(UNET), "{line}");
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[test]
fn help_and_version() -> Result<()> {
    let place = Place::new()?;
    for (line, part) in [
        ("--help", "run-job"),
        ("--version", env!("CARGO_PKG_VERSION")),
        ("generate image --help", "--num-images"),
        ("run-job --help", "--data-dir"),
        ("export --help", "--out"),
    ] {
        let ended = place.run(words(line))?.succeeded()?;
        ensure!(ended.stdout.contains(part) && ended.stderr.is_empty(), "{line}: {ended:?}");
    }
    Ok(())
}
