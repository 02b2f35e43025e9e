//! Products of a language model, of one row and of many, beside the standard lowering in fp32 on the processor.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use ourvidz_runtime::nn::{self, Matrices, Norm};
use ourvidz_runtime::{
    Attribute, DType, Device, Graph, Session, SessionOptions, Target, Tensor, TensorSet, Value, WeightCache,
    Weights, open_safetensors,
};

use super::{difference, numbers, store};

/// K, and rows of three matrices: Qwen2.5 7B's attention and half its MLP, what a block's threads share unevenly, what
/// they cannot hold, and widths without whole packs.
const SIZES: [(usize, [usize; 3]); 6] = [
    (64, [40, 24, 8]),
    (96, [33, 17, 5]),
    (3584, [3584, 512, 512]),
    (3584, [9472, 64, 64]),
    (9216, [72, 40, 24]),
    (90, [20, 4, 3]),
];
const EPS: f32 = 1e-6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Product {
    Project,
    Residual,
    SwiGlu,
    Three,
}

#[derive(Debug, Clone, Copy)]
struct Form {
    k: usize,
    outs: [usize; 3],
    product: Product,
    matrices: Matrices,
    norm: bool,
    rows: usize,
}

/// Prints a line for each product and type and gives those that are too far off.
pub(super) fn check(device: Device) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (k, outs) in SIZES.into_iter().filter(|(k, _)| device != Device::Cpu || *k < 1000) {
        // Of one row and of many; products of many rows of f32 are TF32 on CUDA, with as many digits as f16.
        for (dtype, allowed) in
            [(DType::F32, [1e-5, 2e-3]), (DType::F16, [2e-3; 2]), (DType::Bf16, [1.5e-2; 2])]
        {
            let folder = tempfile::tempdir()?;
            write(&folder.path().join("layer.safetensors"), (k, outs), dtype)?;
            for product in [Product::Project, Product::Residual, Product::SwiGlu, Product::Three] {
                let forms = [(1, false), (1, true), (5, false), (5, true)].map(|(rows, norm)| Form {
                    k,
                    outs,
                    product,
                    matrices: Matrices::Float,
                    norm,
                    rows,
                });
                // The same for both kinds of matrices, which hold the same numbers.
                let expected = forms
                    .map(|form| run(folder.path(), (Target::Portable, DType::F32, Device::Cpu), form, dtype));
                for matrices in [Matrices::Float, Matrices::Int4] {
                    if matrices == Matrices::Int4 && !k.is_multiple_of(32) {
                        continue;
                    }
                    let mut line = format!("{product:?} {matrices:?} {k} -> {outs:?} {dtype:4}");
                    let mut far = false;
                    for (form, expected) in forms.iter().zip(&expected) {
                        let (form, rows) = (Form { matrices, ..*form }, form.rows);
                        let error = match expected {
                            Ok(expected) => run(folder.path(), (Target::Cuda, dtype, device), form, dtype)
                                .and_then(|found| difference(&found, expected)),
                            Err(e) => Err(anyhow!("{e:#}")),
                        };
                        let norm = if form.norm { "normed " } else { "" };
                        line += &match &error {
                            Ok(error) => format!(", {rows} {norm}{error:.1e}"),
                            Err(error) => format!(", {rows} failed: {error:#}"),
                        };
                        // One row in f32 takes four bits from a float that is 2056 more: nine bits less of it are left.
                        let bits = if (dtype, matrices) == (DType::F32, Matrices::Int4) { 10.0 } else { 1.0 };
                        let most = allowed[usize::from(rows > 1)] * if rows > 1 { 1.0 } else { bits };
                        far |= !error.is_ok_and(|error| error <= most);
                    }
                    println!("{line}");
                    if far {
                        wrong.push(line);
                    }
                }
            }
        }
    }
    Ok(wrong)
}

/// The same inputs and matrices, rounded to `rounded`, whatever computes.
fn run(
    folder: &Path,
    (target, dtype, device): (Target, DType, Device),
    form: Form,
    rounded: DType,
) -> Result<Tensor> {
    let set = TensorSet::new("layer", open_safetensors(&folder.join("layer.safetensors"))?);
    let mut g = Graph::new("layer", target, dtype);
    let x = g.input("x", dtype, vec!["rows".into(), form.k.into()]);
    let y = layer(&mut g, &set.root(), x, form)?;
    g.output("y", y);
    let options = SessionOptions { device, ..SessionOptions::default() };
    let cache = WeightCache::new(folder.join("cache"));
    let mut session = Session::load(&g.finish(), &options, &cache, &mut |_| ())?;
    // Far from a mean square of one, so that a norm left out is seen.
    let x = numbers(form.rows * form.k, 1).iter().map(|x| 4.0 * x).collect();
    let x = Tensor::f32(&[form.rows, form.k], x)?.to_dtype(rounded)?;
    let out = form.outs[0];
    let residual = Tensor::f32(&[form.rows, out], numbers(form.rows * out, 2))?.to_dtype(rounded)?;
    let mut inputs = vec![("x", &x)];
    if form.product == Product::Residual {
        inputs.push(("residual", &residual));
    }
    // What a node keeps from run to run must not matter.
    let (found, again) = (session.run(&inputs, &["y"])?, session.run(&inputs, &["y"])?);
    ensure!(found == again, "{form:?} {dtype}: another run gives other numbers");
    Ok(found.into_iter().next().unwrap_or(x))
}

fn layer(g: &mut Graph, w: &Weights<'_>, x: Value, form: Form) -> ourvidz_runtime::Result<Value> {
    let Form { outs, product, matrices, .. } = form;
    let (place, places) = (w.at("norm"), [w.at("a"), w.at("b"), w.at("c")]);
    let norm = form.norm.then_some(Norm { weights: &place, eps: EPS });
    let [a, b, c] = &places;
    match product {
        Product::Project => nn::project(g, a, x, norm, outs[0], true, matrices),
        Product::Residual => {
            let residual = g.input("residual", g.dtype(), vec!["rows".into(), outs[0].into()]);
            let x = if form.norm { nn::rms_norm(g, &place, x, EPS)? } else { x };
            nn::project_residual(g, a, x, residual, !form.norm, matrices)
        }
        Product::SwiGlu => nn::swiglu(g, [a, &w.at("d")], x, norm, outs[0], matrices),
        Product::Three if g.target() == Target::Cuda => {
            nn::project_three(g, [a, b, c], x, norm, outs, true, matrices)
        }
        Product::Three => {
            let mut parts = Vec::new();
            for (w, out) in places.iter().zip(outs) {
                parts.push(Some(nn::project(g, w, x, norm, out, true, matrices)?));
            }
            let output = (g.dtype(), vec!["rows".into(), outs.iter().sum::<usize>().into()]);
            Ok(g.operator("", "Concat", &parts, vec![("axis", Attribute::Int(-1))], output))
        }
    }
}

fn write(path: &Path, (k, outs): (usize, [usize; 3]), dtype: DType) -> Result<()> {
    let mut tensors = vec![("norm.weight".to_owned(), dtype, vec![k], numbers(k, 11))];
    // What four bits and a scale of any type hold, so that all forms of a matrix are the same numbers.
    let step = (-(5.2 + (k as f32).log2()) / 2.0).round().exp2();
    let names = [("a", outs[0]), ("b", outs[1]), ("c", outs[2]), ("d", outs[0])];
    for (seed, (name, out)) in (20u64..).step_by(2).zip(names) {
        let number = |(i, x): (usize, f32)| step * if i % 32 == 0 { -8.0 } else { (8.0 * x).floor() };
        let weight = numbers(out * k, seed).into_iter().enumerate().map(number).collect();
        tensors.push((format!("{name}.weight"), dtype, vec![out, k], weight));
        tensors.push((format!("{name}.bias"), dtype, vec![out], numbers(out, seed + 1)));
    }
    store(path, tensors)
}
