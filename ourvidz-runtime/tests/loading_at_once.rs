//! Threads that load models with operators of our own at the same time, in a process where none was loaded before.

mod common;

use std::sync::Barrier;

use anyhow::{Result, anyhow};
use ourvidz_runtime::{DType, Graph, Target, Tensor, TensorSet, nn, open_safetensors};
use safetensors::Dtype;

const THREADS: usize = 8;

#[test]
fn threads_may_load_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("layer.safetensors");
    let numbers = common::f32_bytes(&[0.5; 16]);
    common::write(
        &path,
        &[("weight", Dtype::F32, &[8, 2], numbers), ("bias", Dtype::F32, &[8], vec![0; 32])],
    )?;
    let tensors = TensorSet::new("layer", open_safetensors(&path)?);
    let graph = || -> Result<Graph> {
        let mut g = Graph::new("layer", Target::Cuda, DType::F32);
        let x = g.input("x", DType::F32, vec!["batch".into(), 2.into()]);
        let y = nn::geglu(&mut g, &tensors.root(), x, 4)?;
        g.output("y", y);
        Ok(g)
    };
    let graphs = (0..THREADS).map(|_| graph()).collect::<Result<Vec<_>>>()?;
    let barrier = Barrier::new(THREADS);
    let cache = folder.path().join("cache");
    let load = |graph: Graph| -> Result<Tensor> {
        barrier.wait();
        let mut session = common::load(graph, &cache)?;
        common::run(&mut session, &[("x", &Tensor::f32(&[1, 2], vec![1.0, 2.0])?)])
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = graphs.into_iter().map(|graph| scope.spawn(|| load(graph))).collect();
        threads.into_iter().try_for_each(|thread| {
            let y = thread.join().map_err(|_| anyhow!("a thread panicked"))??;
            anyhow::ensure!(y.shape() == [1, 4], "{:?}", y.shape());
            Ok(())
        })
    })
}
