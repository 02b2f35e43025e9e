//! Every operator of our own in every type beside its standard lowering in fp32 on the processor, and how fast it is.
//!
//! `cargo run --release -p ourvidz-runtime --example check_cuda_operators -- [DEVICE] [TOKENS]`
//!
//! TOKENS are those of the timed runs, 32,760 as in a WAN video of 81 frames; 0 times nothing. A layer's time is the
//! difference between a graph of many of them behind one another and a graph of one; attention to a cache is timed as
//! recorded steps of one token, and as prompts. On `cpu` it checks the loops that
//! say what the operators mean, for small widths.
#![allow(clippy::print_stdout)]

mod cached_attention;
#[path = "../../tests/common/mod.rs"]
mod common;
mod conversation;
mod kept_frames;
mod projections;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use common::{difference, noise as numbers};
use ourvidz_runtime::nn::{self, ClipKernels, Conv2d, Conv3d, Residual, RotaryTables};
use ourvidz_runtime::{
    DType, Device, Graph, Session, SessionOptions, Target, Tensor, TensorSet, Value, WeightCache, Weights,
    open_safetensors,
};
use safetensors::tensor::{Dtype, TensorView};

/// Rows of the comparison: no multiple of what a block holds.
const ROWS: usize = 131;
/// Layers behind one another in a timed graph.
const LINKS: usize = 17;
const EPS: f32 = 1e-6;
/// Of the clips.
const CHANNELS: usize = 96;

/// Layers of one kind behind one another: x [1, L, D] -> [1, L, D].
struct Layer {
    name: &'static str,
    width: usize,
    /// Of the matrices: names and sizes [out, in]; each has a bias.
    matrices: Vec<(&'static str, usize, usize)>,
    /// Numbers that a token's row reads and writes, and its multiplications and additions.
    work: (usize, usize),
    build: fn(&mut Graph, &Weights<'_>, Value, &Inputs, usize) -> ourvidz_runtime::Result<Value>,
}

/// What a layer takes beside tokens: vectors [D] and tables [L, H / 2] in f32.
struct Inputs {
    gate: Value,
    scale: Value,
    shift: Value,
    tables: RotaryTables,
}

fn layers() -> Vec<Layer> {
    let mut layers = Vec::new();
    for d in [1536, 5120, 320, 24] {
        let new =
            |name, passes, build| Layer { name, width: d, matrices: vec![], work: (passes * d, 0), build };
        layers.push(new("LayerNorm", 2, |g, w, x, _, links| {
            (0..links).try_fold(x, |x, i| nn::layer_norm(g, &w.at("norm").at(i), x, EPS))
        }));
        layers.push(new("ResidualLayerNorm", 4, |g, _, x, inputs, links| {
            let (mut residual, mut y) = (Residual::new(x), x);
            for _ in 0..links {
                residual = residual.add_gated(g, y, inputs.gate)?;
                y = residual.layer_norm(g, inputs.scale, inputs.shift, EPS)?;
            }
            let tokens = residual.value(g)?;
            nn::gated_residual(g, tokens, y, inputs.gate)
        }));
        layers.push(new("GatedResidual", 3, |g, _, x, inputs, links| {
            (0..links).try_fold(x, |y, _| nn::gated_residual(g, x, y, inputs.gate))
        }));
        layers.push(new("RmsNorm", 2, |g, w, x, _, links| {
            (0..links).try_fold(x, |x, i| nn::rms_norm(g, &w.at("norm").at(i), x, EPS))
        }));
        layers.push(new("RmsNormRotary", 2, |g, w, x, inputs, links| {
            let norm = |x, i| nn::rms_norm_rotary(g, &w.at("norm").at(i), x, EPS, &inputs.tables);
            (0..links).try_fold(x, norm)
        }));
    }
    for (d, inner) in [(1536, 8960), (24, 40)] {
        let new = |name, matrices, flops, build| Layer { name, width: d, matrices, work: (0, flops), build };
        layers.push(new("Linear", vec![("a", d, d)], 2 * d * d, |g, w, x, _, links| {
            let d = g.fixed(x, -1)?;
            (0..links).try_fold(x, |x, i| nn::linear(g, &w.at("a").at(i), x, d))
        }));
        layers.push(new("Linear, residual", vec![("a", d, d)], 2 * d * d, |g, w, x, _, links| {
            (0..links).try_fold(x, |x, i| nn::linear_residual(g, &w.at("a").at(i), x, x))
        }));
        let pair = vec![("a", inner, d), ("b", d, inner)];
        layers.push(new("Linear, GELU, Linear", pair, 4 * d * inner, |g, w, x, _, links| {
            let d = g.fixed(x, -1)?;
            let inner = if d == 24 { 40 } else { 8960 };
            (0..links).try_fold(x, |x, i| {
                let y = nn::linear_gelu_tanh(g, &w.at("a").at(i), x, inner)?;
                nn::linear(g, &w.at("b").at(i), y, d)
            })
        }));
        let pair = vec![("a", 8 * d, d), ("b", d, 4 * d)];
        layers.push(new("Linear, Geglu, Linear", pair, 24 * d * d, |g, w, x, _, links| {
            let d = g.fixed(x, -1)?;
            (0..links).try_fold(x, |x, i| {
                let y = nn::geglu(g, &w.at("a").at(i), x, 4 * d)?;
                nn::linear(g, &w.at("b").at(i), y, d)
            })
        }));
    }
    layers
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |i: usize, default: &str| arguments.get(i).cloned().unwrap_or_else(|| default.to_owned());
    let device: Device = argument(0, "cuda:0").parse()?;
    let tokens: usize = argument(1, "32760").parse()?;
    let mut wrong = Vec::new();
    for layer in layers().into_iter().filter(|layer| device != Device::Cpu || layer.width < 1000) {
        // Products of f32 are TF32 on CUDA, with as many digits as f16.
        for (dtype, allowed) in [(DType::F32, 1e-3), (DType::F16, 2e-3), (DType::Bf16, 1.5e-2)] {
            let folder = tempfile::tempdir()?;
            write(&folder.path().join("layer.safetensors"), &layer, dtype)?;
            let run = |target, dtype, device, rows, links| Run {
                layer: &layer,
                target,
                dtype,
                device,
                rows,
                links,
            };
            let expected =
                run(Target::Portable, DType::F32, Device::Cpu, ROWS, 1).once(folder.path(), dtype)?;
            let found = run(Target::Cuda, dtype, device, ROWS, 1).once(folder.path(), dtype)?;
            let error = difference(&found, &expected)?;
            let mut line = format!("{:22} {:5} {dtype:4} {error:.1e}", layer.name, layer.width);
            let timed = tokens > 0 && [1536, 320].contains(&layer.width);
            if timed && device != Device::Cpu && dtype != DType::F32 {
                let [one, many] = [1, LINKS]
                    .map(|links| run(Target::Cuda, dtype, device, tokens, links).time(folder.path()));
                let seconds = (many? - one?) / (LINKS - 1) as f64;
                let (numbers, flops) = layer.work;
                line += &match flops {
                    0 => format!(
                        ", {:.3} ms, {:.2} TB/s",
                        seconds * 1e3,
                        (tokens * numbers * dtype.size()) as f64 / seconds / 1e12
                    ),
                    _ => format!(
                        ", {:.3} ms, {:.0} TFLOP/s",
                        seconds * 1e3,
                        (tokens * flops) as f64 / seconds / 1e12
                    ),
                };
            }
            println!("{line}");
            if error.is_nan() || error > allowed {
                wrong.push(line);
            }
        }
    }
    wrong.extend(compare_clips(device, "clips", clip)?);
    wrong.extend(compare_clips(device, "kept frames", kept_frames::clips)?);
    wrong.extend(cached_attention::check(device, tokens > 0)?);
    wrong.extend(projections::check(device)?);
    ensure!(wrong.is_empty(), "too far from the standard lowering:\n{}", wrong.join("\n"));
    Ok(())
}

/// Clips of a checkpoint in a folder, on a target, in a type and on a device; inputs are rounded to the last type.
type Clips = fn(&Path, (Target, DType, Device), ClipKernels, DType) -> Result<Vec<Tensor>>;

/// Prints a line for each kind of kernels and type and gives those that are too far off.
fn compare_clips(device: Device, name: &str, run: Clips) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for kernels in [ClipKernels::Taps, ClipKernels::ChannelsLast3d] {
        for (dtype, allowed) in [(DType::F32, 1e-3), (DType::F16, 2e-3)] {
            let folder = tempfile::tempdir()?;
            write_clip(&folder.path().join("clip.safetensors"), dtype)?;
            let expected = run(folder.path(), (Target::Portable, DType::F32, Device::Cpu), kernels, dtype)?;
            // The processor has no convolution with channels last.
            let kernels = if device == Device::Cpu { ClipKernels::Transposed } else { kernels };
            let found = run(folder.path(), (Target::Cuda, dtype, device), kernels, dtype)?;
            let errors = found.iter().zip(&expected).map(|(found, expected)| difference(found, expected));
            let errors = errors.collect::<Result<Vec<_>>>()?;
            let listed: Vec<_> = errors.iter().map(|error| format!("{error:.1e}")).collect();
            let line = format!("{name}, {kernels:?} {dtype:4} {}", listed.join(" "));
            println!("{line}");
            if errors.iter().any(|error| error.is_nan() || *error > allowed) {
                wrong.push(line);
            }
            if device == Device::Cpu {
                break;
            }
        }
    }
    Ok(wrong)
}

/// What a VAE does to clips: frames behind others, convolutions that norms add up, residuals, frames doubled.
fn clip(
    folder: &Path,
    (target, dtype, device): (Target, DType, Device),
    kernels: ClipKernels,
    rounded: DType,
) -> Result<Vec<Tensor>> {
    let set = TensorSet::new("clip", open_safetensors(&folder.join("clip.safetensors"))?);
    let w = set.root();
    let mut g = Graph::new("clip", target, dtype);
    let sizes = [3.into(), 10.into(), 14.into()];
    let x = nn::clip_input(&mut g, "x", CHANNELS, sizes)?;
    let before = nn::zero_frames(&mut g, x, 2);
    let all = nn::after_frames(&mut g, before, x)?;
    let mut conv = Conv3d { out_channels: CHANNELS, kernel: [3; 3], time_stride: 1, kernels };
    let sum = nn::conv3d_sum(&mut g, &w.at("a"), all, conv)?;
    let h = sum.norm_silu(&mut g, &w.at("norm"), &[CHANNELS])?;
    conv.kernel = [1; 3];
    let sum = nn::conv3d_sum(&mut g, &w.at("b"), nn::after_nothing(h), conv)?;
    let sum = sum.plus(&mut g, nn::ClipSum::from(x))?;
    let (value, normed) = sum.value_and_norm_silu(&mut g, &w.at("norm.again"), &[CHANNELS])?;
    let doubled = nn::resize_frames_twice(&mut g, value)?;
    let conv = Conv2d { out_channels: CHANNELS, kernel: 3, stride: 2, padding: (0, 1) };
    let halved = nn::conv_frames_sum(&mut g, &w.at("c"), doubled, conv, kernels)?;
    let y = halved.plus(&mut g, normed.into())?.value(&mut g)?;
    nn::clip_output(&mut g, "y", y)?;
    set.finish()?;
    let options = SessionOptions { device, ..SessionOptions::default() };
    let cache = WeightCache::new(folder.join("cache"));
    let mut session = Session::load(&g.finish(), &options, &cache, &mut |_| ())?;
    let shape = [1, CHANNELS, 3, 10, 14];
    let x = Tensor::f32(&shape, numbers(shape.iter().product(), 31))?.to_dtype(rounded)?;
    Ok(session.run(&[("x", &x)], &["y"])?)
}

fn write_clip(path: &Path, dtype: DType) -> Result<()> {
    let c = CHANNELS;
    let matrix = |name: &str, shape: Vec<usize>, seed| {
        let size = (3.0 / shape[1..].iter().product::<usize>() as f32).sqrt();
        let weight = numbers(shape.iter().product(), seed).iter().map(|x| x * size).collect();
        let bias = (format!("{name}.bias"), dtype, vec![c], numbers(c, seed + 1));
        [(format!("{name}.weight"), dtype, shape, weight), bias]
    };
    let norm = |name: &str, seed| (format!("{name}.gamma"), DType::F32, vec![c], numbers(c, seed));
    let mut tensors = vec![norm("norm", 41), norm("norm.again", 42)];
    tensors.extend(matrix("a", vec![c, c, 3, 3, 3], 43));
    tensors.extend(matrix("b", vec![c, c, 1, 1, 1], 45));
    tensors.extend(matrix("c", vec![c, c, 3, 3], 47));
    store(path, tensors)
}

struct Run<'a> {
    layer: &'a Layer,
    target: Target,
    dtype: DType,
    device: Device,
    rows: usize,
    links: usize,
}

impl Run<'_> {
    /// The result for inputs rounded to `rounded`.
    fn once(&self, folder: &Path, rounded: DType) -> Result<Tensor> {
        let (mut session, inputs) = (self.session(folder)?, self.inputs(rounded)?);
        let inputs: Vec<_> = inputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
        Ok(session.run(&inputs, &["y"])?.remove(0))
    }

    /// Seconds of a run, the median of seven behind two.
    fn time(&self, folder: &Path) -> Result<f64> {
        let (mut session, inputs) = (self.session(folder)?, self.inputs(self.dtype)?);
        let inputs: Vec<_> = inputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let mut bound = session.bound(&inputs, &["small"])?;
        let mut times = Vec::new();
        for repeat in 0..9 {
            let start = Instant::now();
            session.run_bound(&mut bound, &[])?;
            if repeat > 1 {
                times.push(start.elapsed().as_secs_f64());
            }
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }

    fn session(&self, folder: &Path) -> Result<Session> {
        // Every link has the same numbers, under names of its own.
        let mut views = BTreeMap::new();
        for (name, view) in open_safetensors(&folder.join("layer.safetensors"))? {
            let (layer, tensor) = name.split_once('.').unwrap_or((&name, ""));
            for i in 0..self.links {
                views.insert(format!("{layer}.{i}.{tensor}"), view.clone());
            }
        }
        let set = TensorSet::new("layer", views);
        let mut g = Graph::new("layer", self.target, self.dtype);
        let d = self.layer.width;
        let x = g.input("x", self.dtype, vec![1.into(), "tokens".into(), d.into()]);
        let [gate, scale, shift] =
            ["gate", "scale", "shift"].map(|name| g.input(name, DType::F32, vec![d.into()]));
        let half = head(d) / 2;
        let [cos, sin] =
            ["cos", "sin"].map(|name| g.input(name, DType::F32, vec!["tokens".into(), half.into()]));
        let tables = RotaryTables { cos, sin, num_heads: d / head(d) };
        let inputs = Inputs { gate, scale, shift, tables };
        let y = (self.layer.build)(&mut g, &set.root(), x, &inputs, self.links)?;
        // Timed runs bring one row to the host.
        let start = g.constant_i64(&[1], &[0]);
        let end = g.constant_i64(&[1], &[1]);
        let axis = g.constant_i64(&[1], &[1]);
        let out = (self.dtype, vec![1.into(), 1.into(), d.into()]);
        let small = g.operator("", "Slice", &[Some(y), Some(start), Some(end), Some(axis)], vec![], out);
        g.output("small", small);
        g.output("y", y);
        let options = SessionOptions { device: self.device, ..SessionOptions::default() };
        Ok(Session::load(&g.finish(), &options, &WeightCache::new(folder.join("cache")), &mut |_| ())?)
    }

    fn inputs(&self, rounded: DType) -> Result<Vec<(&'static str, Tensor)>> {
        let (l, d) = (self.rows, self.layer.width);
        let half = head(d) / 2;
        let angles = numbers(l * half, 5);
        let table = |f: fn(f32) -> f32| Tensor::f32(&[l, half], angles.iter().map(|x| f(3.0 * x)).collect());
        Ok(vec![
            ("x", Tensor::f32(&[1, l, d], numbers(l * d, 1))?.to_dtype(rounded)?),
            ("gate", Tensor::f32(&[d], numbers(d, 2))?),
            ("scale", Tensor::f32(&[d], numbers(d, 3))?),
            ("shift", Tensor::f32(&[d], numbers(d, 4))?),
            ("cos", table(f32::cos)?),
            ("sin", table(f32::sin)?),
        ])
    }
}

/// Width of a head, as in WAN where it divides.
fn head(width: usize) -> usize {
    [128, 64, 12].into_iter().find(|head| width.is_multiple_of(*head)).unwrap_or(width)
}

/// Matrices and biases in `dtype`, vectors of norms in f32.
fn write(path: &Path, layer: &Layer, dtype: DType) -> Result<()> {
    let mut tensors = Vec::new();
    for (seed, name) in [(11, "norm.weight"), (12, "norm.bias")] {
        tensors.push((name.to_owned(), DType::F32, vec![layer.width], numbers(layer.width, seed)));
    }
    for (seed, (name, out, input)) in (20u64..).step_by(2).zip(&layer.matrices) {
        let size = (3.0 / *input as f32).sqrt();
        let weight = numbers(out * input, seed).iter().map(|x| x * size).collect();
        tensors.push((format!("{name}.weight"), dtype, vec![*out, *input], weight));
        tensors.push((format!("{name}.bias"), dtype, vec![*out], numbers(*out, seed + 1)));
    }
    store(path, tensors)
}

type Numbers = (String, DType, Vec<usize>, Vec<f32>);

fn store(path: &Path, tensors: Vec<Numbers>) -> Result<()> {
    let bytes = tensors.into_iter().map(|(name, dtype, shape, values)| {
        let (kind, bytes): (_, Vec<u8>) = match dtype {
            DType::F16 => {
                (Dtype::F16, values.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect())
            }
            DType::Bf16 => {
                (Dtype::BF16, values.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect())
            }
            _ => (Dtype::F32, values.iter().flat_map(|x| x.to_le_bytes()).collect()),
        };
        (name, kind, shape, bytes)
    });
    let stored: Vec<_> = bytes.collect();
    let views = stored
        .iter()
        .map(|(name, kind, shape, bytes)| Ok((name, TensorView::new(*kind, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(safetensors::serialize_to_file(views, None, path)?)
}
