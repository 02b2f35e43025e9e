//! Layers in the CUDA lowering, whose operators of our own are loops on the processor, beside the standard one.

mod common;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use common::{FP32, close, f32_bytes, noise, write};
use ourvidz_runtime::nn::{self, Residual, RotaryTables};
use ourvidz_runtime::{DType, Error, Graph, Target, Tensor, TensorSet, TensorView, Value, open_safetensors};
use safetensors::Dtype;

const BATCH: usize = 2;
const TOKENS: usize = 5;
const WIDTH: usize = 12;
const INNER: usize = 20;

/// What layers take: tokens [B, L, D], two more of them, a vector `[D]` and tables [L, 2].
struct Inputs {
    x: Value,
    y: Value,
    vector: Value,
    tables: RotaryTables,
}

type Layer = dyn Fn(&mut Graph, &TensorSet, &Inputs) -> ourvidz_runtime::Result<Value>;

/// Runs a layer in a target; `input_first` has the matrices lie as [in, out] in the file.
fn run(target: Target, input_first: bool, layer: &Layer) -> Result<Tensor> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("layer.safetensors");
    let stored = |name: &'static str, shape: &'static [usize], seed| {
        (name, Dtype::F32, shape, f32_bytes(&noise(shape.iter().product(), seed)))
    };
    let tensors = [
        stored("a.weight", &[WIDTH, WIDTH], 1),
        stored("a.bias", &[WIDTH], 2),
        stored("b.weight", &[2 * INNER, WIDTH], 3),
        stored("b.bias", &[2 * INNER], 4),
        stored("norm.weight", &[WIDTH], 5),
        stored("norm.bias", &[WIDTH], 6),
    ];
    write(&path, &tensors)?;
    let mut views: BTreeMap<String, TensorView> = open_safetensors(&path)?;
    for view in views.values_mut().filter(|view| input_first && view.shape.len() == 2) {
        view.stored_transposed = true;
    }
    let set = TensorSet::new("layer", views);
    let mut g = Graph::new("layer", target, DType::F32);
    let tokens =
        |g: &mut Graph, name| g.input(name, DType::F32, vec!["batch".into(), "tokens".into(), WIDTH.into()]);
    let (x, y) = (tokens(&mut g, "x"), tokens(&mut g, "y"));
    let vector = g.input("vector", DType::F32, vec![WIDTH.into()]);
    let [cos, sin] = ["cos", "sin"].map(|name| g.input(name, DType::F32, vec!["tokens".into(), 2.into()]));
    let tables = RotaryTables { cos, sin, num_heads: 3 };
    let found = layer(&mut g, &set, &Inputs { x, y, vector, tables })?;
    // Every input is used, so that it may be given.
    for input in [x, y, vector, cos, sin] {
        let unused = g.identity(input);
        g.output(&format!("unused.{input:?}"), unused);
    }
    g.output("found", found);
    let mut session = common::load(g, folder.path())?;
    let tensor = |shape: &[usize], seed| Tensor::f32(shape, noise(shape.iter().product(), seed));
    let (x, y) = (tensor(&[BATCH, TOKENS, WIDTH], 7)?, tensor(&[BATCH, TOKENS, WIDTH], 8)?);
    let vector = tensor(&[WIDTH], 9)?;
    let (cos, sin) = (tensor(&[TOKENS, 2], 10)?, tensor(&[TOKENS, 2], 11)?);
    let inputs = [("x", &x), ("y", &y), ("vector", &vector), ("cos", &cos), ("sin", &sin)];
    Ok(session.run(&inputs, &["found"])?.remove(0))
}

#[test]
fn both_lowerings_are_the_same() -> Result<()> {
    let layers: [(&str, &Layer); 8] = [
        ("linear", &|g, set, i| nn::linear(g, &set.root().at("a"), i.x, WIDTH)),
        ("gelu", &|g, set, i| nn::linear_gelu_tanh(g, &set.root().at("b"), i.x, 2 * INNER)),
        ("residual", &|g, set, i| nn::linear_residual(g, &set.root().at("a"), i.x, i.y)),
        ("geglu", &|g, set, i| nn::geglu(g, &set.root().at("b"), i.x, INNER)),
        ("layer norm", &|g, set, i| nn::layer_norm(g, &set.root().at("norm"), i.x, 1e-3)),
        ("rms norm, rotary", &|g, set, i| {
            nn::rms_norm_rotary(g, &set.root().at("norm"), i.x, 1e-3, &i.tables)
        }),
        ("tokens", &|g, _, i| {
            let mut residual = Residual::new(i.x).add_gated(g, i.y, i.vector)?;
            let normed = residual.layer_norm(g, i.vector, i.vector, 1e-3)?;
            residual.add_gated(g, normed, i.vector)?.value(g)
        }),
        ("tokens, again", &|g, _, i| {
            // Nothing is pending the second time.
            let mut residual = Residual::new(i.x).add_gated(g, i.y, i.vector)?.add_gated(g, i.x, i.vector)?;
            let tokens = residual.value(g)?;
            let normed = residual.layer_norm(g, i.vector, i.vector, 1e-3)?;
            g.add(tokens, normed)
        }),
    ];
    for (name, layer) in layers {
        let expected = run(Target::Portable, false, layer)?;
        close(name, &run(Target::Cuda, false, layer)?, &expected, FP32)?;
        let swapped = run(Target::Portable, true, layer)?;
        close(&format!("{name}, [in, out]"), &run(Target::Cuda, true, layer)?, &swapped, FP32)?;
        let products = ["linear", "gelu", "residual", "geglu"].contains(&name);
        ensure!((swapped != expected) == products, "{name}: the order of the matrix is not seen");
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    for target in [Target::Portable, Target::Cuda] {
        let refusals: [(&str, &Layer); 3] = [
            ("residual", &|g, _, i| {
                let y = g.input("narrow", DType::F32, vec!["batch".into(), 3.into()]);
                nn::gated_residual(g, i.x, y, i.vector)
            }),
            ("linear_residual", &|g, set, i| {
                let y = g.input("other", DType::F32, vec!["others".into(), WIDTH.into()]);
                nn::linear_residual(g, &set.root().at("a"), i.x, y)
            }),
            ("RotaryEmbedding", &|g, set, i| {
                let tables = RotaryTables { num_heads: 4, ..i.tables };
                nn::rms_norm_rotary(g, &set.root().at("norm"), i.x, 1e-3, &tables)
            }),
        ];
        for (op, layer) in refusals {
            let error = run(target, false, layer).err().with_context(|| format!("{op} must be refused"))?;
            let named = matches!(error.downcast_ref(), Some(Error::Shape { op: found, .. }) if found == op);
            ensure!(named, "{target:?} {op}: {error}");
        }
    }
    Ok(())
}
