//! Sessions: operators of one's own, inputs that stay bound, devices that are not there.

mod common;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use common::{close, run};
use ort::value::TensorElementType;
use ourvidz_runtime::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
};
use ourvidz_runtime::{
    DType, Device, Error, Graph, Precision, Session, SessionOptions, Target, Tensor, WeightCache, library,
};

const DOMAIN: &str = "ourvidz.test";

struct AddOne;

struct AddOneKernel;

impl Operator for AddOne {
    type Kernel<'attr> = AddOneKernel;

    fn name(&self) -> &str {
        "AddOne"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [OperatorInput::required(TensorElementType::Float32)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, _: &KernelContext<'attr>) -> ort::Result<AddOneKernel> {
        Ok(AddOneKernel)
    }
}

impl Kernel for AddOneKernel {
    fn compute(&mut self, ctx: &ComputeContext) -> ort::Result<()> {
        let missing = || ort::Error::new("a missing value");
        let x = ctx.input(0)?.ok_or_else(missing)?;
        let (shape, x) = x.try_extract_tensor::<f32>()?;
        let mut y = ctx.output(0, shape.to_vec())?.ok_or_else(missing)?;
        let (_, y) = y.try_extract_tensor_mut::<f32>()?;
        y.iter_mut().zip(x).for_each(|(y, x)| *y = x + 1.0);
        Ok(())
    }
}

/// y = `AddOne`(2 x)
fn graph_with_an_operator() -> Result<Graph> {
    let mut g = Graph::new("model", Target::Portable, DType::F32);
    let x = g.input("x", DType::F32, vec!["n".into()]);
    let twice = g.add(x, x)?;
    let y = g.operator(DOMAIN, "AddOne", &[Some(twice)], vec![], (DType::F32, vec!["n".into()]));
    g.output("y", y);
    Ok(g)
}

/// y = a + b, both [2].
fn sum() -> Result<Session> {
    let mut g = Graph::new("sum", Target::Portable, DType::F32);
    let [a, b] = ["a", "b"].map(|name| g.input(name, DType::F32, vec![2.into()]));
    let y = g.add(a, b)?;
    g.output("y", y);
    load(g, &SessionOptions::default())
}

fn load(graph: Graph, options: &SessionOptions) -> Result<Session> {
    // Nothing is converted: the folder is never made.
    let cache = WeightCache::new(Path::new("unused"));
    Ok(Session::load(&graph.finish(), options, &cache, &mut |_| ())?)
}

fn vector(values: &[f32]) -> Result<Tensor> {
    Ok(Tensor::f32(&[values.len()], values.to_vec())?)
}

#[test]
fn an_operator_of_a_registered_domain_runs() -> Result<()> {
    library::load(Device::Cpu)?;
    #[expect(clippy::arc_with_non_send_sync, reason = "the type that a session keeps")]
    let domain = Arc::new(OperatorDomain::new(DOMAIN)?.add(AddOne)?);
    let options = SessionOptions { operators: vec![domain], ..SessionOptions::default() };
    // Two sessions share one domain.
    for values in [[1.0, -2.5, 8.0], [0.0, 0.25, -1.0]] {
        let mut session = load(graph_with_an_operator()?, &options)?;
        let expected = vector(&values.map(|x| 2.0 * x + 1.0))?;
        close("y", &run(&mut session, &[("x", &vector(&values)?)])?, &expected, 0.0)?;
    }
    Ok(())
}

/// Registration is the session's own: another session does not know the operator.
#[test]
fn an_operator_that_was_not_registered_is_named() -> Result<()> {
    let error = load(graph_with_an_operator()?, &SessionOptions::default()).err();
    // What failed, then ONNX Runtime's reason, as a chain of causes.
    let message = format!("{:#}", error.context("must be refused")?);
    ensure!(message.contains("loading model on cpu") && message.contains("AddOne"), "{message}");
    ensure!(message.contains(DOMAIN), "{message}");
    Ok(())
}

#[test]
fn bound_inputs_stay_until_they_are_replaced() -> Result<()> {
    let mut session = sum()?;
    let (a, b) = (vector(&[1.0, 2.0])?, vector(&[10.0, 20.0])?);
    let mut bound = session.bind(&[("a", &a), ("b", &b)], &["y"])?;
    drop((a, b)); // the binding keeps what it needs
    let changed = vector(&[3.0, 4.0])?;
    let other = vector(&[-1.0, -1.0])?;
    type Run<'a> = (&'a [(&'a str, &'a Tensor)], [f32; 2]);
    let runs: [Run<'_>; 5] = [
        (&[], [11.0, 22.0]),
        (&[("a", &changed)], [13.0, 24.0]),
        (&[], [13.0, 24.0]),
        (&[("b", &other)], [2.0, 3.0]),
        (&[("a", &other), ("b", &changed)], [2.0, 3.0]),
    ];
    for (inputs, expected) in runs {
        close("y", &bound.run(inputs)?.remove(0), &vector(&expected)?, 0.0)?;
    }
    drop(bound);
    // The session is as before.
    let (a, b) = (vector(&[0.5, 0.5])?, vector(&[1.0, 2.0])?);
    close("y", &run(&mut session, &[("a", &a), ("b", &b)])?, &vector(&[1.5, 2.5])?, 0.0)
}

/// Results of earlier runs are the caller's, not views of memory that the next run overwrites.
#[test]
fn results_outlive_the_next_run() -> Result<()> {
    let mut session = sum()?;
    let (a, b) = (vector(&[1.0, 2.0])?, vector(&[10.0, 20.0])?);
    let mut bound = session.bind(&[("a", &a), ("b", &b)], &["y"])?;
    let first = bound.run(&[])?.remove(0);
    let second = bound.run(&[("a", &b)])?.remove(0);
    close("first", &first, &vector(&[11.0, 22.0])?, 0.0)?;
    close("second", &second, &vector(&[20.0, 40.0])?, 0.0)
}

#[test]
fn an_unknown_input_is_refused_with_the_known_ones() -> Result<()> {
    let mut session = sum()?;
    let a = vector(&[1.0, 2.0])?;
    let message = session.run(&[("a", &a), ("c", &a)], &["y"]).err().context("must be refused")?.to_string();
    ensure!(message == "input of sum: must be one of a, b, got c", "{message}");
    let error = session.run(&[("a", &a)], &["y"]).err().context("b is missing")?;
    ensure!(matches!(error, Error::Session { .. }), "{error}");
    let error = session.run(&[("a", &a), ("b", &vector(&[1.0])?)], &["y"]).err();
    ensure!(matches!(error, Some(Error::Session { .. })), "a wrong shape: {error:?}");
    let error = session.run(&[("a", &a), ("b", &a)], &["z"]).err();
    ensure!(matches!(error, Some(Error::Session { .. })), "an unknown output: {error:?}");
    Ok(())
}

/// Inputs take the model's type where nothing is lost.
#[test]
fn inputs_are_converted_to_the_model_s_type() -> Result<()> {
    let mut session = sum()?;
    let (a, b) = (Tensor::i64(&[2], vec![3, -4])?, vector(&[0.5, 0.5])?);
    close("y", &run(&mut session, &[("a", &a), ("b", &b)])?, &vector(&[3.5, -3.5])?, 0.0)?;
    ensure!(session.input_precision("a") == Some(Precision::Fp32));
    ensure!(session.inputs().collect::<Vec<_>>() == ["a", "b"]);
    ensure!(session.outputs().collect::<Vec<_>>() == ["y"]);
    Ok(())
}

/// No machine has that many GPUs, and most that run this test have none.
#[test]
fn a_device_that_is_not_there_is_an_error() -> Result<()> {
    let no_gpu = !Path::new("/dev/nvidiactl").exists();
    let first = [Device::Cuda(0), Device::TensorRt(0)].into_iter().filter(|_| no_gpu);
    for device in first.chain([Device::Cuda(4096), Device::TensorRt(4096)]) {
        let mut g = Graph::new("model", device.target(), DType::F32);
        let x = g.input("x", DType::F32, vec![2.into()]);
        let y = g.add(x, x)?;
        g.output("y", y);
        let options = SessionOptions { device, ..SessionOptions::default() };
        let Err(error) = load(g, &options) else { bail!("{device} ran something") };
        match error.downcast_ref::<Error>() {
            Some(Error::DeviceUnavailable { device: found, reason }) => {
                ensure!(*found == device.to_string() && !reason.is_empty(), "{error}");
            }
            _ => bail!("{device}: {error:?}"),
        }
    }
    Ok(())
}
