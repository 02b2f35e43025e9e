//! Layers of video transformers in both lowerings on the processor, against the same sums written out.

mod common;

use anyhow::{Context, Result, ensure};
use common::{FP32, close, f32_bytes, noise, write};
use ourvidz_runtime::{DType, Error, Graph, Target, Tensor, TensorSet, Value, nn, open_safetensors};
use safetensors::tensor::Dtype;

const TARGETS: [Target; 2] = [Target::Portable, Target::Cuda];

fn tensor(shape: &[usize], seed: u64) -> Result<Tensor> {
    Ok(Tensor::f32(shape, noise(shape.iter().product(), seed))?)
}

/// Runs a layer on inputs whose sizes are not known while the graph is built, but for the listed axes.
fn run(
    target: Target,
    weights: &[(&str, &[usize], &[f32])],
    inputs: &[(&Tensor, &[usize])],
    layer: impl Fn(&mut Graph, &TensorSet, &[Value]) -> ourvidz_runtime::Result<Value>,
) -> Result<Tensor> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("layer.safetensors");
    let stored: Vec<_> =
        weights.iter().map(|(name, shape, values)| (*name, Dtype::F32, *shape, f32_bytes(values))).collect();
    write(&path, &stored)?;
    let set = TensorSet::new("layer", open_safetensors(&path)?);
    let mut g = Graph::new("layer", target, DType::F32);
    let mut declared = Vec::new();
    for (i, (input, fixed)) in inputs.iter().enumerate() {
        let dim = |(axis, n): (usize, &usize)| {
            let name = ["batch", "axis1", "axis2", "axis3", "axis4"][axis];
            if fixed.contains(&axis) { (*n).into() } else { name.into() }
        };
        let shape = input.shape().iter().enumerate().map(dim).collect();
        declared.push(g.input(&format!("x{i}"), DType::F32, shape));
    }
    let y = layer(&mut g, &set, &declared)?;
    g.output("y", y);
    set.finish()?;
    let mut session = common::load(g, folder.path())?;
    let names: Vec<String> = (0..inputs.len()).map(|i| format!("x{i}")).collect();
    let pairs: Vec<_> =
        names.iter().map(String::as_str).zip(inputs.iter().map(|(tensor, _)| *tensor)).collect();
    common::run(&mut session, &pairs)
}

/// Kernel and stride of two frames, two rows and three columns.
#[test]
fn patches_are_a_convolution() -> Result<()> {
    let (b, c, f, h, w, width) = (2, 3, 4, 6, 9, 5);
    let (p_f, p_h, p_w) = (2, 2, 3);
    let x = tensor(&[b, c, f, h, w], 1)?;
    let weight = noise(width * c * p_f * p_h * p_w, 2);
    let bias = noise(width, 3);
    let values = x.clone().into_f32();
    let mut expected = Vec::new();
    for (b, f, h, w) in grid([b, f / p_f, h / p_h, w / p_w], [1, p_f, p_h, p_w]) {
        for (kernel, bias) in weight.chunks(c * p_f * p_h * p_w).zip(&bias) {
            let mut sum = *bias;
            let cells = grid([c, p_f, p_h, p_w], [1; 4]);
            for ((c_i, i, j, k), weight) in cells.into_iter().zip(kernel) {
                sum += weight * values[(((b * 3 + c_i) * 4 + f + i) * 6 + h + j) * 9 + w + k];
            }
            expected.push(sum);
        }
    }
    let tokens = (f / p_f) * (h / p_h) * (w / p_w);
    let expected = Tensor::f32(&[b, tokens, width], expected)?;
    let shape = [width, c, p_f, p_h, p_w];
    let weights: [(&str, &[usize], &[f32]); 2] = [("weight", &shape, &weight), ("bias", &[width], &bias)];
    for target in TARGETS {
        let found = run(target, &weights, &[(&x, &[1])], |g, set, x| {
            let patches = nn::patches(g, x[0], [p_f, p_h, p_w])?;
            nn::patch_embedding(g, &set.root(), &patches, width)
        })?;
        close(&format!("{target:?}"), &found, &expected, FP32)?;
    }
    Ok(())
}

/// Tokens hold frames, rows, columns, then channels; fewer channels come back than went in.
#[test]
fn patches_are_put_together() -> Result<()> {
    let (b, c, f, h, w) = (2, 2, 4, 6, 9);
    let (p_f, p_h, p_w) = (2, 2, 3);
    let like = tensor(&[b, 3, f, h, w], 4)?;
    let expected = tensor(&[b, c, f, h, w], 5)?;
    let values = expected.clone().into_f32();
    let mut tokens = Vec::new();
    for (b, f, h, w) in grid([b, f / p_f, h / p_h, w / p_w], [1, p_f, p_h, p_w]) {
        for (i, j, k, c) in grid([p_f, p_h, p_w, c], [1; 4]) {
            tokens.push(values[(((b * 2 + c) * 4 + f + i) * 6 + h + j) * 9 + w + k]);
        }
    }
    let each = c * p_f * p_h * p_w;
    let tokens = Tensor::f32(&[b, tokens.len() / b / each, each], tokens)?;
    for target in TARGETS {
        let found = run(target, &[], &[(&tokens, &[2]), (&like, &[1])], |g, _, x| {
            let patches = nn::patches(g, x[1], [p_f, p_h, p_w])?;
            nn::unpatchify(g, x[0], &patches)
        })?;
        close(&format!("{target:?}"), &found, &expected, 0.0)?;
    }
    let more = tensor(&[b, 4, 4 * each], 6)?;
    let refused = run(Target::Portable, &[], &[(&more, &[2]), (&like, &[1])], |g, _, x| {
        let patches = nn::patches(g, x[1], [p_f, p_h, p_w])?;
        nn::unpatchify(g, x[0], &patches)
    });
    let error = refused.err().context("must be refused")?;
    let rule = "unpatchify: needs at most 3 channels in whole patches of [2, 2, 3], got 96";
    ensure!(error.to_string() == rule, "{error}");
    Ok(())
}

#[test]
fn pairs_are_rotated() -> Result<()> {
    let (b, l, n, half) = (2, 5, 3, 4);
    let x = tensor(&[b, l, n * 2 * half], 7)?;
    let angles = noise(l * half, 8);
    let table = |f: fn(f32) -> f32| Tensor::f32(&[l, half], angles.iter().map(|a| f(3.0 * a)).collect());
    let (cos, sin) = (table(f32::cos)?, table(f32::sin)?);
    let mut expected = Vec::new();
    for (i, pair) in x.clone().into_f32().as_chunks::<2>().0.iter().enumerate() {
        let angle = 3.0 * angles[(i / (n * half) % l) * half + i % half];
        let (cos, sin) = (angle.cos(), angle.sin());
        expected.extend([pair[0] * cos - pair[1] * sin, pair[0] * sin + pair[1] * cos]);
    }
    let expected = Tensor::f32(x.shape(), expected)?;
    let inputs: [(&Tensor, &[usize]); 3] = [(&x, &[1, 2]), (&cos, &[0, 1]), (&sin, &[0, 1])];
    for target in TARGETS {
        let found = run(target, &[], &inputs, |g, _, x| nn::rotary_embedding(g, x[0], x[1], x[2], n))?;
        close(&format!("{target:?}"), &found, &expected, FP32)?;
    }
    let refused =
        run(Target::Portable, &[], &inputs, |g, _, x| nn::rotary_embedding(g, x[0], x[1], x[2], n + 1));
    let error = refused.err().context("must be refused")?;
    ensure!(
        matches!(error.downcast_ref(), Some(Error::Shape { op, .. }) if op == "RotaryEmbedding"),
        "{error}"
    );
    Ok(())
}

#[test]
fn norms_and_gates() -> Result<()> {
    let (l, d, eps) = (7, 12, 1e-3f32);
    let (x, y) = (tensor(&[2, l, d], 9)?, tensor(&[2, l, d], 10)?);
    let [scale, shift] = [tensor(&[d], 11)?, tensor(&[d], 12)?];
    let (scales, shifts) = (scale.clone().into_f32(), shift.clone().into_f32());
    let rows = x.clone().into_f32();
    let per_row = |f: &dyn Fn(&[f32], usize) -> f32| {
        let row = |row: &[f32]| (0..d).map(|i| f(row, i)).collect::<Vec<_>>();
        Tensor::f32(&[2, l, d], rows.chunks(d).flat_map(row).collect())
    };
    let mean = |row: &[f32], f: &dyn Fn(f32) -> f32| row.iter().map(|x| f(*x)).sum::<f32>() / d as f32;
    let rms = per_row(&|row, i| row[i] / (mean(row, &|x| x * x) + eps).sqrt() * scales[i])?;
    let layer = per_row(&|row, i| {
        let centre = mean(row, &|x| x);
        let variance = mean(row, &|x| (x - centre) * (x - centre));
        (row[i] - centre) / (variance + eps).sqrt() * scales[i] + shifts[i]
    })?;
    let gated: Vec<f32> =
        y.clone().into_f32().iter().zip(&rows).enumerate().map(|(i, (y, x))| x + y * scales[i % d]).collect();
    let gated = Tensor::f32(&[2, l, d], gated)?;
    for target in TARGETS {
        let weights: [(&str, &[usize], &[f32]); 1] = [("weight", &[d], &scales)];
        let found =
            run(target, &weights, &[(&x, &[2])], |g, set, x| nn::rms_norm(g, &set.root(), x[0], eps))?;
        close(&format!("rms {target:?}"), &found, &rms, FP32)?;
        let vectors: [(&Tensor, &[usize]); 3] = [(&x, &[0, 1, 2]), (&scale, &[0]), (&shift, &[0])];
        let found = run(target, &[], &vectors, |g, _, x| nn::modulated_layer_norm(g, x[0], x[1], x[2], eps))?;
        close(&format!("layer norm {target:?}"), &found, &layer, FP32)?;
        let vectors: [(&Tensor, &[usize]); 3] = [(&x, &[2]), (&y, &[2]), (&scale, &[0])];
        let found = run(target, &[], &vectors, |g, _, x| nn::gated_residual(g, x[0], x[1], x[2]))?;
        close(&format!("gate {target:?}"), &found, &gated, FP32)?;
    }
    Ok(())
}

/// Multiples of `steps`, the last axis fastest.
fn grid(counts: [usize; 4], steps: [usize; 4]) -> Vec<(usize, usize, usize, usize)> {
    let mut cells = Vec::new();
    for a in 0..counts[0] {
        for b in 0..counts[1] {
            for c in 0..counts[2] {
                cells
                    .extend((0..counts[3]).map(|d| (a * steps[0], b * steps[1], c * steps[2], d * steps[3])));
            }
        }
    }
    cells
}
