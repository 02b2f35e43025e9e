//! Inputs and results that stay on the device: several bindings of one session, one session's results in another.

mod common;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use ourvidz_runtime::{DType, Device, Error, Graph, Session, SessionOptions, Target, Tensor, WeightCache};

/// y = a + b, both [n].
fn sum() -> Result<Session> {
    let mut g = Graph::new("sum", Target::Portable, DType::F32);
    let [a, b] = ["a", "b"].map(|name| g.input(name, DType::F32, vec!["n".into()]));
    let y = g.add(a, b)?;
    g.output("y", y);
    let cache = WeightCache::new(Path::new("unused"));
    let options = SessionOptions { device: Device::Cpu, ..SessionOptions::default() };
    Ok(Session::load(&g.finish(), &options, &cache, &mut |_| ())?)
}

fn numbers(values: &[f32]) -> Result<Tensor> {
    Ok(Tensor::f32(&[values.len()], values.to_vec())?)
}

#[test]
fn bindings_live_beside_one_another() -> Result<()> {
    let mut sum = sum()?;
    let mut first = sum.bound(&[("a", &numbers(&[1.0, 2.0])?)], &["y"])?;
    let mut second = sum.bound(&[("a", &numbers(&[10.0, 20.0, 30.0])?)], &["y"])?;
    for _ in 0..2 {
        let y = sum.run_bound(&mut first, &[("b", &numbers(&[0.5, 0.5])?)])?;
        ensure!(y == [numbers(&[1.5, 2.5])?], "{y:?}");
        let y = sum.run_bound(&mut second, &[("b", &numbers(&[1.0, 1.0, 1.0])?)])?;
        ensure!(y == [numbers(&[11.0, 21.0, 31.0])?], "{y:?}");
    }
    sum.set(&mut first, "a", &numbers(&[7.0])?)?;
    let y = sum.run_bound(&mut first, &[("b", &numbers(&[1.0])?)])?;
    ensure!(y == [numbers(&[8.0])?], "{y:?}");
    Ok(())
}

/// A result is an input of another run and of another session, and later runs do not write into it.
#[test]
fn results_stay_where_they_are() -> Result<()> {
    let (mut sum, mut other) = (sum()?, self::sum()?);
    let [one, two] = [numbers(&[1.0, 1.0])?, numbers(&[2.0, 2.0])?];
    let three = sum.run_on_device(&[("a", &one), ("b", &two)], &[], &["y"])?.remove(0);
    ensure!(three.shape() == [2], "{:?}", three.shape());
    let six = sum.run_on_device(&[], &[("a", &three), ("b", &three)], &["y"])?.remove(0);
    let mut bound = other.bound(&[], &["y"])?;
    other.set_on_device(&mut bound, "a", &three)?;
    other.set_on_device(&mut bound, "b", &six)?;
    // Held by the binding, not by their names here.
    drop((three, six));
    let y = other.run_bound(&mut bound, &[])?;
    ensure!(y == [numbers(&[9.0, 9.0])?], "{y:?}");
    Ok(())
}

#[test]
fn bindings_belong_to_their_session() -> Result<()> {
    let (sum, mut other) = (sum()?, self::sum()?);
    let one = numbers(&[1.0])?;
    let mut bound = other.bound(&[("a", &one), ("b", &one)], &["y"])?;
    let value = other.run_on_device(&[("a", &one), ("b", &one)], &[], &["y"])?.remove(0);
    let mut sum = sum;
    for refused in [
        sum.run_bound(&mut bound, &[]).err(),
        sum.set(&mut bound, "a", &one).err(),
        sum.set_on_device(&mut bound, "a", &value).err(),
    ] {
        let error = refused.context("must be refused")?;
        ensure!(matches!(&error, Error::Invalid { field, .. } if field == "binding of sum"), "{error}");
    }
    let error = other.set_on_device(&mut bound, "c", &value).err().context("must be refused")?;
    ensure!(error.to_string() == "input of sum: must be one of a, b, got c", "{error}");
    Ok(())
}
