//! Buffers that a run reads and writes in place.

use anyhow::{Context, Result, ensure};
use ourvidz_runtime::{DType, Graph, Session, SessionOptions, Target, Tensor, WeightCache};

/// `sum` [2] grows by x [2] with each run, in one buffer.
fn session() -> Result<Session> {
    let mut g = Graph::new("sums", Target::Portable, DType::F32);
    let x = g.input("x", DType::F32, vec![2.into()]);
    let sum = g.input("sum", DType::F32, vec![2.into()]);
    let next = g.add(sum, x)?;
    g.output("next", next);
    let options = SessionOptions { threads: Some(1), ..SessionOptions::default() };
    Ok(Session::load(&g.finish(), &options, &WeightCache::user(), &mut |_| ())?)
}

#[test]
fn a_buffer_is_read_and_written_by_one_run_and_the_next() -> Result<()> {
    let mut session = session()?;
    let mut buffers = session.buffers()?;
    for name in ["x", "sum"] {
        buffers.add(name, DType::F32, &[2])?;
    }
    ensure!(buffers.read("sum")?.into_f32() == [0.0, 0.0]);
    let mut bound = session.unbound()?;
    session.set_buffer(&mut bound, "x", &buffers, "x")?;
    session.set_buffer(&mut bound, "sum", &buffers, "sum")?;
    session.set_output(&mut bound, "next", &mut buffers, "sum")?;
    for (x, expected) in [([1.0, 2.0], [1.0, 2.0]), ([0.5, -4.0], [1.5, -2.0]), ([0.5, -4.0], [2.0, -6.0])] {
        buffers.write("x", &Tensor::f32(&[2], x.to_vec())?)?;
        session.run_in_place(&mut bound, Some(1))?;
        ensure!(buffers.read("sum")?.into_f32() == expected);
    }
    // Another binding may use the same buffers, and give its results to the host.
    let mut other = session.bound(&[], &["next"])?;
    session.set_buffer(&mut other, "x", &buffers, "x")?;
    session.set_buffer(&mut other, "sum", &buffers, "sum")?;
    ensure!(session.run_bound(&mut other, &[])?.remove(0).into_f32() == [2.5, -10.0]);
    ensure!(buffers.read("sum")?.into_f32() == [2.0, -6.0]);
    Ok(())
}

#[test]
fn what_does_not_fit_is_named() -> Result<()> {
    let session = session()?;
    let mut buffers = session.buffers()?;
    buffers.add("x", DType::F32, &[2])?;
    let message = |result: ourvidz_runtime::Result<()>| -> Result<String> {
        Ok(result.err().context("must be refused")?.to_string())
    };
    let wide = Tensor::f32(&[3], vec![0.0; 3])?;
    let found = message(buffers.write("x", &wide))?;
    ensure!(found.starts_with("x: must be") && found.ends_with("got F32 [3]"), "{found}");
    let whole = Tensor::i64(&[2], vec![0; 2])?;
    ensure!(message(buffers.write("x", &whole))?.ends_with("got I64 [2]"));
    let found = message(buffers.write("y", &wide))?;
    ensure!(found == "buffer: must be one of x, got y", "{found}");
    let mut bound = session.unbound()?;
    let found = message(session.set_buffer(&mut bound, "z", &buffers, "x"))?;
    ensure!(found == "input of sums: must be one of x, sum, got z", "{found}");
    let another = self::session()?;
    let found = message(another.set_buffer(&mut bound, "x", &buffers, "x"))?;
    ensure!(found.contains("binding of this session"), "{found}");
    Ok(())
}
