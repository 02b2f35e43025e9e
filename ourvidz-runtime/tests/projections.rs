//! Projections of a language model in the CUDA lowering, loops on the processor, beside the standard one.

mod common;

use anyhow::{Context, Result, ensure};
use common::{FP32, close, f32_bytes, noise, write};
use ourvidz_runtime::nn::{self, Matrices, Norm};
use ourvidz_runtime::{
    Attribute, DType, Error, Graph, Target, Tensor, TensorSet, Value, Weights, open_safetensors,
};
use safetensors::Dtype;

const WIDTH: usize = 64;
const OUTS: [usize; 3] = [40, 24, 8];
const EPS: f32 = 1e-2;

/// What products are made of, beside x.
#[derive(Debug, Clone, Copy)]
struct Form {
    matrices: Matrices,
    norm: bool,
    bias: bool,
}

type Layer = dyn Fn(&mut Graph, &Weights<'_>, [Value; 2], Form) -> ourvidz_runtime::Result<Value>;

fn project(g: &mut Graph, w: &Weights<'_>, [x, _]: [Value; 2], f: Form) -> ourvidz_runtime::Result<Value> {
    let place = w.at("norm");
    let norm = f.norm.then_some(Norm { weights: &place, eps: EPS });
    nn::project(g, &w.at("a"), x, norm, OUTS[0], f.bias, f.matrices)
}

/// With a norm, x is another operator's result.
fn residual(g: &mut Graph, w: &Weights<'_>, [x, y]: [Value; 2], f: Form) -> ourvidz_runtime::Result<Value> {
    let x = if f.norm { nn::rms_norm(g, &w.at("norm"), x, EPS)? } else { x };
    nn::project_residual(g, &w.at("a"), x, y, f.bias, f.matrices)
}

fn swiglu(g: &mut Graph, w: &Weights<'_>, [x, _]: [Value; 2], f: Form) -> ourvidz_runtime::Result<Value> {
    let place = w.at("norm");
    let norm = f.norm.then_some(Norm { weights: &place, eps: EPS });
    nn::swiglu(g, [&w.at("a"), &w.at("d")], x, norm, OUTS[0], f.matrices)
}

fn three(g: &mut Graph, w: &Weights<'_>, [x, _]: [Value; 2], f: Form) -> ourvidz_runtime::Result<Value> {
    let (place, places) = (w.at("norm"), [w.at("a"), w.at("b"), w.at("c")]);
    let norm = f.norm.then_some(Norm { weights: &place, eps: EPS });
    if g.target() == Target::Cuda {
        return nn::project_three(g, places.each_ref(), x, norm, OUTS, f.bias, f.matrices);
    }
    let mut products = Vec::new();
    for (w, out) in places.iter().zip(OUTS) {
        products.push(Some(nn::project(g, w, x, norm, out, f.bias, f.matrices)?));
    }
    let output = (DType::F32, vec!["rows".into(), OUTS.iter().sum::<usize>().into()]);
    Ok(g.operator("", "Concat", &products, vec![("axis", Attribute::Int(-1))], output))
}

/// x: [rows, D], residual [rows, 40] -> what a layer makes of them.
fn run(target: Target, rows: usize, form: Form, layer: &Layer) -> Result<Tensor> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("layer.safetensors");
    let stored = |name: &'static str, shape: &'static [usize], seed| {
        (name, Dtype::F32, shape, f32_bytes(&noise(shape.iter().product(), seed)))
    };
    let tensors = [
        stored("a.weight", &[OUTS[0], WIDTH], 1),
        stored("b.weight", &[OUTS[1], WIDTH], 2),
        stored("c.weight", &[OUTS[2], WIDTH], 3),
        stored("d.weight", &[OUTS[0], WIDTH], 4),
        stored("a.bias", &[OUTS[0]], 5),
        stored("b.bias", &[OUTS[1]], 6),
        stored("c.bias", &[OUTS[2]], 7),
        stored("norm.weight", &[WIDTH], 8),
    ];
    write(&path, &tensors)?;
    let set = TensorSet::new("layer", open_safetensors(&path)?);
    let mut g = Graph::new("layer", target, DType::F32);
    let x = g.input("x", DType::F32, vec!["rows".into(), WIDTH.into()]);
    let y = g.input("residual", DType::F32, vec!["rows".into(), OUTS[0].into()]);
    let found = layer(&mut g, &set.root(), [x, y], form)?;
    // Every input is used, so that it may be given.
    let unused = g.identity(y);
    g.output("unused", unused);
    g.output("y", found);
    let mut session = common::load(g, folder.path())?;
    // Far from a mean square of one, so that a norm left out is seen.
    let x = Tensor::f32(&[rows, WIDTH], noise(rows * WIDTH, 9).iter().map(|x| 0.2 * x).collect())?;
    let y = Tensor::f32(&[rows, OUTS[0]], noise(rows * OUTS[0], 10))?;
    common::run(&mut session, &[("x", &x), ("residual", &y)])
}

#[test]
fn both_lowerings_are_the_same() -> Result<()> {
    let layers: [(&str, &Layer); 4] =
        [("project", &project), ("residual", &residual), ("swiglu", &swiglu), ("three", &three)];
    for (name, layer) in layers {
        for rows in [1, 5] {
            for matrices in [Matrices::Float, Matrices::Int4] {
                let mut all: Vec<Tensor> = Vec::new();
                for (norm, bias) in [(false, false), (true, false), (false, true), (true, true)] {
                    let form = Form { matrices, norm, bias };
                    let expected = run(Target::Portable, rows, form, layer)?;
                    let found = run(Target::Cuda, rows, form, layer)?;
                    close(&format!("{name}, {rows} rows, {form:?}"), &found, &expected, FP32)?;
                    // Each form is one of its own, but that SwiGLU has no bias.
                    let same = all.iter().filter(|other| **other == found).count();
                    ensure!(same == usize::from(name == "swiglu" && bias), "{name} {form:?}: {same}");
                    all.push(found);
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_residual_of_another_shape_is_refused() -> Result<()> {
    let form = Form { matrices: Matrices::Float, norm: false, bias: false };
    for target in [Target::Portable, Target::Cuda] {
        let layer: &Layer = &|g, w, [x, _], f| {
            let other = g.input("other", DType::F32, vec!["others".into(), OUTS[0].into()]);
            nn::project_residual(g, &w.at("a"), x, other, f.bias, f.matrices)
        };
        let error = run(target, 1, form, layer).err().context("it must be refused")?;
        let named =
            matches!(error.downcast_ref(), Some(Error::Shape { op, .. }) if *op == "project_residual");
        ensure!(named, "{target:?}: {error}");
    }
    Ok(())
}

/// An operator that is given a norm or a residual of another size says so when it runs.
#[test]
fn inputs_that_do_not_fit_are_named() -> Result<()> {
    let form = Form { matrices: Matrices::Float, norm: false, bias: false };
    for (flag, name, size, rule) in [
        ("norm", "norm", 63, "the norm's weight is not [64]"),
        ("residual", "residual", 40, "the residual is not [5, 40]"),
    ] {
        let layer: &Layer = &move |g, w, [x, _], _| {
            let matrix = g.weight(&w.at("a"), "weight", &[OUTS[0], WIDTH])?;
            let extra = g.constant_f32(&[size], &vec![1.0; size]);
            let output = (DType::F32, vec!["rows".into(), OUTS[0].into()]);
            let flags = vec![(flag, Attribute::Int(1))];
            Ok(g.operator("ourvidz", "Project", &[Some(x), Some(matrix), Some(extra)], flags, output))
        };
        let error = run(Target::Cuda, 5, form, layer).err().with_context(|| format!("{name} was taken"))?;
        ensure!(format!("{error:#}").contains(rule), "{error:#}");
    }
    Ok(())
}
