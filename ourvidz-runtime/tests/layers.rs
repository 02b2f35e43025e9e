//! Each layer by itself in fp32 on the processor, against torch: goldens of `scripts/goldens/layers.py`.

mod common;

use std::path::Path;

use anyhow::{Context, Result};
use common::{FP32, close};
use ourvidz_runtime::nn::{self, Activation, Attention, Conv2d, GroupNorm};
use ourvidz_runtime::{DType, Graph, Target, Tensor, TensorSet, Value, Weights, open_safetensors};
use safetensors::SafeTensors;

/// Adds a layer: graph, the case's weights, the case's inputs -> output.
type Layer<'a> = dyn Fn(&mut Graph, &Weights<'_>, &[Value]) -> ourvidz_runtime::Result<Value> + 'a;

#[test]
fn linear() -> Result<()> {
    case("linear", &["x"], FP32, &|g, w, x| nn::linear(g, w, x[0], 7))
}

/// Written with its matrix as [in, out], a linear layer is the same.
#[test]
fn linear_for_export() -> Result<()> {
    let graph = graph("linear").for_export();
    check(graph, golden()?, "linear", &["x"], FP32, &|g, w, x| nn::linear(g, w, x[0], 7))
}

/// The file holds [in, out], as OpenCLIP's projection does.
#[test]
fn linear_stored_transposed() -> Result<()> {
    let name = "linear_stored_transposed";
    for graph in [graph(name), graph(name).for_export()] {
        let mut tensors = open_safetensors(&path())?;
        let key = format!("{name}.weight");
        let view = tensors.get(&key).and_then(|view| view.transposed()).context("a matrix")?;
        tensors.insert(key, view);
        let set = TensorSet::new("layers", tensors);
        check(graph, set, name, &["x"], FP32, &|g, w, x| nn::linear_without_bias(g, w, x[0], 7))?;
    }
    Ok(())
}

#[test]
fn conv2d() -> Result<()> {
    let halving = |padding| Conv2d { out_channels: 5, kernel: 3, stride: 2, padding };
    for (name, conv) in [
        ("conv_same", Conv2d::same(5, 3)),
        ("conv_halving", halving((1, 1))),
        ("conv_halving_below", halving((0, 1))),
        ("conv_pointwise", Conv2d::same(5, 1)),
    ] {
        case(name, &["x"], FP32, &|g, w, x| nn::conv2d(g, w, x[0], conv))?;
    }
    Ok(())
}

#[test]
fn normalisation() -> Result<()> {
    let norm = |silu| GroupNorm { num_groups: 3, eps: 1e-2, silu };
    case("group_norm", &["x"], FP32, &|g, w, x| nn::group_norm(g, w, x[0], norm(false)))?;
    case("group_norm_silu", &["x"], FP32, &|g, w, x| nn::group_norm(g, w, x[0], norm(true)))?;
    case("layer_norm", &["x"], FP32, &|g, w, x| nn::layer_norm(g, w, x[0], 1e-2))
}

#[test]
fn attention() -> Result<()> {
    for (name, num_heads, causal) in [
        ("attention", 3, false),
        ("attention_one_head", 1, false),
        ("attention_causal", 4, true),
        ("attention_cross", 2, false),
    ] {
        let a = Attention { num_heads, causal };
        case(name, &["q", "k", "v"], FP32, &|g, _, x| nn::attention(g, x[0], x[1], x[2], a))?;
    }
    Ok(())
}

#[test]
fn activations() -> Result<()> {
    for name in ["gelu", "quick_gelu", "silu"] {
        let kind: Activation = name.parse()?;
        case(name, &["x"], FP32, &|g, _, x| nn::activation(g, kind, x[0]))?;
    }
    case("geglu", &["x"], FP32, &|g, w, x| nn::geglu(g, w, x[0], 8))
}

#[test]
fn embeddings() -> Result<()> {
    case("embedding", &["x"], 0.0, &|g, w, x| nn::embedding(g, w, x[0], 11, 6))?;
    case("sinusoidal_embedding", &["x"], FP32, &|g, _, x| nn::sinusoidal_embedding(g, x[0], 64))
}

/// Nearest neighbour only copies: no tolerance.
#[test]
fn resizing() -> Result<()> {
    for name in ["resize_odd", "resize_down", "resize_twice"] {
        case(name, &["x", "like"], 0.0, &|g, _, x| nn::resize_nearest_like(g, x[0], x[1]))?;
    }
    case("resize_twice", &["x"], 0.0, &|g, _, x| nn::resize_nearest_twice(g, x[0]))
}

#[test]
fn feature_maps() -> Result<()> {
    case("to_tokens", &["x"], 0.0, &|g, _, x| nn::to_tokens(g, x[0]))?;
    // There and back is where it began.
    case("concat_channels", &["x", "v"], 0.0, &|g, _, x| {
        let tokens = nn::to_tokens(g, x[0])?;
        let back = nn::to_feature_map(g, tokens, x[0])?;
        nn::concat_channels(g, back, x[1])
    })?;
    case("add_channels", &["x", "v"], FP32, &|g, _, x| nn::add_channels(g, x[0], x[1]))
}

fn case(name: &str, inputs: &[&str], tolerance: f64, layer: &Layer<'_>) -> Result<()> {
    check(graph(name), golden()?, name, inputs, tolerance, layer).with_context(|| name.to_owned())
}

/// Runs a model of one layer on the inputs of a case and compares its output `y`.
fn check(
    graph: Graph,
    tensors: TensorSet,
    name: &str,
    inputs: &[&str],
    tolerance: f64,
    layer: &Layer<'_>,
) -> Result<()> {
    let bytes = std::fs::read(path())?;
    let file = SafeTensors::deserialize(&bytes)?;
    let values: Vec<Tensor> =
        inputs.iter().map(|input| tensor(&file, &format!("{name}.{input}"))).collect::<Result<_>>()?;
    let mut g = graph;
    let declared: Vec<Value> = inputs
        .iter()
        .zip(&values)
        .map(|(input, value)| {
            g.input(input, value.dtype(), value.shape().iter().map(|n| (*n).into()).collect())
        })
        .collect();
    let y = layer(&mut g, &tensors.root().at(name), &declared)?;
    g.output("y", y);
    let cache = tempfile::tempdir()?;
    let mut session = common::load(g, cache.path())?;
    let pairs: Vec<_> = inputs.iter().copied().zip(&values).collect();
    let found = common::run(&mut session, &pairs)?;
    close(name, &found, &tensor(&file, &format!("{name}.y"))?, tolerance)
}

fn tensor(file: &SafeTensors<'_>, name: &str) -> Result<Tensor> {
    let view = file.tensor(name).with_context(|| name.to_owned())?;
    Ok(match view.dtype() {
        safetensors::Dtype::I64 => {
            let ids = view.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect();
            Tensor::i64(view.shape(), ids)?
        }
        _ => {
            let values = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            Tensor::f32(view.shape(), values)?
        }
    })
}

fn graph(name: &str) -> Graph {
    Graph::new(name, Target::Portable, DType::F32)
}

fn golden() -> Result<TensorSet> {
    Ok(TensorSet::new("layers", open_safetensors(&path())?))
}

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/layers.safetensors")
}
