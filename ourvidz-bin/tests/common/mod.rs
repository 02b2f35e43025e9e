//! What the tests of the command share: a folder to run it in, and readers of what it writes.
#![allow(dead_code)]

pub(crate) mod job;
pub(crate) mod receiver;
pub(crate) mod wan;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use tempfile::TempDir;

/// Relative L2 error allowed in fp32 on the processor.
pub(crate) const FP32: f64 = 1e-4;

/// Shape and numbers of each tensor of a file.
pub(crate) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A tiny checkpoint with its golden.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/sdxl").join(name)
}

/// The same of WAN.
pub(crate) fn golden_wan(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/wan").join(name)
}

/// One of the models inside the program.
pub(crate) fn demo_model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name)
}

/// A folder of one test, in which the command runs and keeps its cache.
pub(crate) struct Place(TempDir);

/// What the command left when it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Result<Place> {
        Ok(Place(tempfile::tempdir()?))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs `ourvidz` here.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Ended> {
        Ended::of(self.command(arguments).output()?)
    }

    /// `ourvidz` in this folder, without what the caller's environment says about models, devices and servers.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        const SETTINGS: [&str; 7] = ["OURVIDZ_", "QWEN_", "UPSTASH_", "SUPABASE_", "REDIS_", "AWS_", "JOB_"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_ourvidz"));
        command.args(arguments).current_dir(self.0.path()).env("XDG_CACHE_HOME", self.path("cache"));
        command.env("XDG_CONFIG_HOME", self.path("config"));
        for (name, _) in std::env::vars_os() {
            if SETTINGS.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command
    }
}

impl Ended {
    pub(crate) fn of(output: Output) -> Result<Ended> {
        Ok(Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }

    pub(crate) fn succeeded(self) -> Result<Ended> {
        ensure!(self.code == Some(0), "{self:?}");
        Ok(self)
    }

    /// Ended with `code`, nothing on standard output and one line on standard error, which is returned.
    pub(crate) fn one_line(&self, code: i32) -> Result<&str> {
        ensure!(self.code == Some(code), "expected exit {code}: {self:?}");
        ensure!(self.stdout.is_empty(), "{self:?}");
        let line = self.stderr.strip_suffix('\n').with_context(|| format!("{self:?}"))?;
        ensure!(line.starts_with("error: ") && !line.contains('\n'), "{self:?}");
        Ok(line)
    }
}

/// Words of a command line.
pub(crate) fn words(line: &str) -> impl Iterator<Item = String> {
    line.split_whitespace().map(str::to_owned)
}

/// The f32 tensors of a file; tensors of whole numbers (token ids) are left out.
pub(crate) fn read_tensors(path: &Path) -> Result<Tensors> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let mut tensors = BTreeMap::new();
    for (name, view) in SafeTensors::deserialize(&bytes)?.tensors() {
        if view.dtype() == Dtype::I64 {
            continue;
        }
        ensure!(view.dtype() == Dtype::F32, "{name} has type {:?}", view.dtype());
        let values = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        tensors.insert(name, (view.shape().to_vec(), values));
    }
    Ok(tensors)
}

/// Writes one f32 tensor.
pub(crate) fn write_tensor(path: &Path, name: &str, shape: &[usize], values: &[f32]) -> Result<()> {
    let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, shape.to_vec(), &data)?;
    Ok(safetensors::serialize_to_file([(name, view)], None, path)?)
}

/// |found - expected| / |expected| over whole arrays; a reference of zeros must be met exactly.
pub(crate) fn relative_l2(found: &[f32], expected: &[f32]) -> Result<f64> {
    ensure!(found.len() == expected.len(), "{} values, expected {}", found.len(), expected.len());
    let square = |x: f64| x * x;
    let pairs = found.iter().zip(expected);
    let difference: f64 = pairs.map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let size: f64 = expected.iter().map(|b| square(f64::from(*b))).sum();
    ensure!(difference.is_finite(), "not finite");
    Ok(if size == 0.0 { difference } else { (difference / size).sqrt() })
}

/// A golden's `request.json`.
pub(crate) struct Request {
    pub(crate) json: Value,
    pub(crate) steps: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) num_images: usize,
}

impl Request {
    pub(crate) fn of(golden: &Path) -> Result<Request> {
        let json: Value = serde_json::from_str(&std::fs::read_to_string(golden.join("request.json"))?)?;
        let number = |name: &str| json[name].as_u64().map(|n| n as usize).with_context(|| name.to_owned());
        let steps = number("num_inference_steps")?;
        let (width, height, num_images) = (number("width")?, number("height")?, number("num_images")?);
        Ok(Request { steps, width, height, num_images, json })
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.json[name].as_str()
    }

    /// The flags of `generate image` that ask for the same.
    pub(crate) fn flags(&self) -> Vec<String> {
        let mut flags: Vec<String> = words("generate image").collect();
        for (flag, name) in [
            ("--steps", "num_inference_steps"),
            ("--guidance-scale", "guidance_scale"),
            ("--width", "width"),
            ("--height", "height"),
            ("--num-images", "num_images"),
        ] {
            flags.extend([flag.to_owned(), self.json[name].to_string()]);
        }
        for (flag, name) in [("--prompt", "prompt"), ("--negative-prompt", "negative_prompt")] {
            flags.extend(self.text(name).into_iter().flat_map(|text| [flag.to_owned(), text.to_owned()]));
        }
        flags
    }
}

/// Runs the request of `golden` on `checkpoint` from the golden's initial latents, with `-o x.png` and
/// `--dump dump.safetensors`, and compares the dump with the golden: the same names, whole arrays.
pub(crate) fn matches_golden(place: &Place, golden: &Path, checkpoint: &Path) -> Result<(Ended, Tensors)> {
    let expected = read_tensors(&golden.join("golden.safetensors"))?;
    let request = Request::of(golden)?;
    let (shape, values) = expected.get("initial_latents").context("initial_latents")?;
    write_tensor(&place.path("latents.safetensors"), "latents", shape, values)?;
    let mut arguments = request.flags();
    arguments.extend(["--model".into(), checkpoint.display().to_string()]);
    arguments.extend(words("--seed 7 --latents latents.safetensors --dump dump.safetensors --output x.png"));
    let ended = place.run(&arguments)?.succeeded()?;

    let dump = read_tensors(&place.path("dump.safetensors"))?;
    let embeds =
        ["prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"];
    let mut names: Vec<String> = embeds.iter().map(|name| name.to_string()).collect();
    names.extend((0..request.steps).flat_map(|i| [format!("noise_pred.{i}"), format!("latents.{i}")]));
    names.extend(["latents".into(), "image".into()]);
    names.sort();
    ensure!(dump.keys().eq(&names), "the dump holds {:?}", dump.keys());
    for (name, (shape, values)) in &dump {
        let (expected_shape, reference) = expected.get(name).with_context(|| name.clone())?;
        ensure!(shape == expected_shape, "{name}: shape {shape:?}, expected {expected_shape:?}");
        let error = relative_l2(values, reference).with_context(|| name.clone())?;
        ensure!(error <= FP32, "{name}: relative L2 {error:.2e}");
    }
    Ok((ended, dump))
}
