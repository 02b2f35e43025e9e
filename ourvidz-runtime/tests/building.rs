//! What building refuses, and the words of devices and precisions. No session is made.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use ourvidz_runtime::nn::{self, Attention, Conv2d, GroupNorm};
use ourvidz_runtime::{
    DType, Device, Dim, Error, Graph, Precision, Target, Tensor, TensorSet, TensorView, Value,
};

#[test]
fn shape_errors_name_the_operator_and_the_shapes() -> Result<()> {
    let table: [(&str, Refused, &str); 10] = [
        ("add", &|g, a, b| g.add(a, b), "Add: needs shapes that broadcast, got [2, 3] and [4, n]"),
        ("mul", &|g, a, b| g.mul(a, b), "Mul: needs shapes that broadcast, got [2, 3] and [4, n]"),
        (
            "matmul",
            &|g, a, b| g.matmul(a, b),
            "MatMul: needs [..., M, K] x [..., K, N], got [2, 3] and [4, n]",
        ),
        ("transpose", &|g, a, _| g.transpose(a, &[0, 2, 1]), "Transpose: needs 3 axes, got [2, 3]"),
        (
            "reshape",
            &|g, a, _| g.reshape(a, &[4, 2], vec![4.into(), 2.into()]),
            "Reshape: [4, 2] must give [4, 2], got [2, 3]",
        ),
        (
            "concat",
            &|g, a, b| g.concat(&[a, b], 1),
            "Concat: needs shapes like [2, 3] except on axis 1, got [4, n]",
        ),
        ("slice", &|g, a, _| g.slice(a, 1, 1, 4), "Slice: 1..4 must lie in axis 1, got [2, 3]"),
        (
            "attention",
            &|g, a, _| nn::attention(g, a, a, a, Attention { num_heads: 2, causal: false }),
            "Attention: width 3 must be divisible by the number of heads, got 2",
        ),
        (
            "sinusoidal_embedding",
            &|g, a, _| nn::sinusoidal_embedding(g, a, 8),
            "sinusoidal_embedding: needs an even width and f32 numbers [..., 1], got 8, [2, 3]",
        ),
        ("fixed", &|g, a, b| g.fixed(b, -1).map(|_| a), "fixed: axis -1 must have a fixed size, got [4, n]"),
    ];
    for (name, refused, expected) in table {
        let mut g = Graph::new("model", Target::Portable, DType::F32);
        let a = g.input("a", DType::F32, vec![2.into(), 3.into()]);
        let b = g.input("b", DType::F32, vec![4.into(), "n".into()]);
        let error = refused(&mut g, a, b).err().with_context(|| format!("{name} was built"))?;
        ensure!(matches!(error, Error::Shape { .. }), "{name}: {error:?}");
        ensure!(error.to_string() == expected, "{name}: {error}");
    }
    Ok(())
}

type Refused<'a> = &'a dyn Fn(&mut Graph, Value, Value) -> ourvidz_runtime::Result<Value>;

#[test]
fn layers_refuse_weights_that_do_not_fit() -> Result<()> {
    let shapes: [(&str, &[usize]); 4] =
        [("a.weight", &[7, 5]), ("a.bias", &[6]), ("c.weight", &[8, 4, 3, 3]), ("c.bias", &[8])];
    let views = shapes
        .iter()
        .map(|(name, shape)| ((*name).to_owned(), TensorView::without_data(DType::F32, shape.to_vec())));
    let set = TensorSet::new("part", views.collect::<BTreeMap<_, _>>());
    let w = set.root();
    let mut g = Graph::new("model", Target::Portable, DType::F32);
    let x = g.input("x", DType::F32, vec!["batch".into(), 5.into()]);
    let map = g.input("map", DType::F32, vec![1.into(), 6.into(), 8.into(), 8.into()]);
    let message = |error: Option<Error>| error.map(|e| e.to_string()).context("was built");

    let found = message(nn::linear(&mut g, &w.at("a"), x, 9).err())?;
    ensure!(found == "part: tensor a.weight has shape [7, 5], expected [9, 5]", "{found}");
    let found = message(nn::linear(&mut g, &w.at("a"), x, 7).err())?;
    ensure!(found == "part: tensor a.bias has shape [6], expected [7]", "{found}");
    let found = message(nn::linear(&mut g, &w.at("b"), x, 7).err())?;
    ensure!(found == "part: tensor b.weight is missing (expected shape [7, 5])", "{found}");
    let found = message(nn::conv2d(&mut g, &w.at("c"), map, Conv2d::same(8, 3)).err())?;
    ensure!(found == "part: tensor c.weight has shape [8, 4, 3, 3], expected [8, 6, 3, 3]", "{found}");
    let norm = GroupNorm { num_groups: 4, eps: 1e-5, silu: false };
    let found = message(nn::group_norm(&mut g, &w.at("c"), map, norm).err())?;
    ensure!(found == "GroupNorm: 6 channels must be divisible by num_groups, got 4", "{found}");
    let found = message(set.finish().err())?;
    ensure!(found == "part: 3 tensors were never read, first a.bias [6], c.bias [8], c.weight [8, 4, 3, 3]");
    Ok(())
}

/// Output shapes follow inputs, by name where a size is not known.
#[test]
fn shapes_are_computed_while_building() -> Result<()> {
    let conv = |name: &str| ((format!("{name}.weight"), vec![8, 4, 3, 3]), (format!("{name}.bias"), vec![8]));
    let (weight, bias) = conv("c");
    let views =
        [weight, bias].into_iter().map(|(name, shape)| (name, TensorView::without_data(DType::F32, shape)));
    let set = TensorSet::new("part", views.collect());
    let mut g = Graph::new("model", Target::Portable, DType::F32);
    let shape: Vec<Dim> = vec!["batch".into(), 4.into(), "h".into(), 9.into()];
    let x = g.input("x", DType::F32, shape);
    let halve = Conv2d { out_channels: 8, kernel: 3, stride: 2, padding: (1, 1) };
    let y = nn::conv2d(&mut g, &set.root().at("c"), x, halve)?;
    ensure!(show(&g, y) == "batch 8 ceil(h/2) 5", "{}", show(&g, y));
    let tokens = nn::to_tokens(&mut g, y)?;
    ensure!(show(&g, tokens) == "batch ceil(h/2)*5 8", "{}", show(&g, tokens));
    let larger = nn::resize_nearest_like(&mut g, y, x)?;
    ensure!(show(&g, larger) == "batch 8 h 9", "{}", show(&g, larger));
    Ok(())
}

fn show(g: &Graph, value: Value) -> String {
    g.shape(value).iter().map(Dim::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn devices_by_name() -> Result<()> {
    for (text, device) in [
        ("cpu", Device::Cpu),
        ("cuda", Device::Cuda(0)),
        ("cuda:0", Device::Cuda(0)),
        ("cuda:3", Device::Cuda(3)),
        ("tensorrt", Device::TensorRt(0)),
        ("tensorrt:1", Device::TensorRt(1)),
    ] {
        ensure!(text.parse::<Device>()? == device, "{text}");
        ensure!(device.to_string().parse::<Device>()? == device, "{device}");
    }
    for text in
        ["", "gpu", "CPU", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "cuda:0:1", "cuda: 1", "tensorrt:1.5"]
    {
        let error = text.parse::<Device>().err().with_context(|| format!("{text:?} was read"))?;
        ensure!(error.to_string() == format!("device: must be cpu, cuda:N or tensorrt:N, got {text}"));
    }
    Ok(())
}

#[test]
fn precisions_by_name() -> Result<()> {
    for (text, precision, dtype) in [
        ("fp32", Precision::Fp32, DType::F32),
        ("fp16", Precision::Fp16, DType::F16),
        ("bf16", Precision::Bf16, DType::Bf16),
    ] {
        let found: Precision = text.parse()?;
        ensure!(found == precision && found.dtype() == dtype && found.to_string() == text, "{text}");
        ensure!(Device::Cuda(0).check_precision(precision).is_ok(), "{text}");
        ensure!(Device::Cpu.check_precision(precision).is_ok() == (precision == Precision::Fp32), "{text}");
    }
    for text in ["", "FP16", "f16", "float32", "int8"] {
        let error = text.parse::<Precision>().err().with_context(|| format!("{text:?} was read"))?;
        ensure!(error.to_string() == format!("precision: must be fp32, fp16 or bf16, got {text}"));
    }
    ensure!(Device::default() == Device::Cpu && Device::Cpu.default_precision() == Precision::Fp32);
    ensure!(Device::Cuda(1).default_precision() == Precision::Fp16);
    ensure!(Device::Cuda(1).target() == Target::Cuda && Device::Cpu.target() == Target::Portable);
    ensure!(Device::TensorRt(0).target() == Target::Portable);
    Ok(())
}

#[test]
fn tensors_hold_what_their_shape_says() -> Result<()> {
    let message = Tensor::f32(&[2, 3], vec![0.0; 5]).err().context("must be refused")?.to_string();
    ensure!(message == "Tensor: [2, 3] must have as many elements, got 5", "{message}");
    let whole = Tensor::f32(&[3], vec![1.0, -2.0, 3e9])?;
    ensure!(whole.to_dtype(DType::I64)? == Tensor::i64(&[3], vec![1, -2, 3_000_000_000])?);
    let error = whole.to_dtype(DType::I32).err().context("3e9 has no 32 bits")?;
    ensure!(error.to_string().contains("must hold 32-bit integers"), "{error}");
    for value in [0.5, f32::NAN, f32::INFINITY] {
        let fraction = Tensor::f32(&[1], vec![value])?;
        ensure!(fraction.to_dtype(DType::I64).is_err(), "{value} became an integer");
    }
    Ok(())
}
