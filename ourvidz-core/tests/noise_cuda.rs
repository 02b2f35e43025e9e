//! CUDA noise against `torch.randn(device="cuda")`, goldens of `scripts/goldens/noise_cuda.py` (metadata says on
//! which card).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
mod golden;

use ourvidz_core::noise::{Noise, NoiseSource};

#[test]
fn equals_torch_on_cuda() {
    let golden = golden::Golden::read("noise_cuda");
    assert_eq!(golden.names().len(), 27);
    let source = NoiseSource::TorchCudaCard {
        multiprocessors: golden.metadata("multiprocessors").parse().unwrap(),
        threads_per_multiprocessor: golden.metadata("threads_per_multiprocessor").parse().unwrap(),
    };
    for name in golden.names() {
        let (seed, lengths) = name.split_once('.').unwrap();
        let mut noise = Noise::new(seed.parse().unwrap(), source);
        let calls = lengths.split(',').map(|length| noise.normal(length.parse().unwrap()));
        let ours: Vec<f32> = calls.flat_map(thin).collect();
        golden::assert_close(name, &ours, golden.tensor(name), 1e-6, 1.0);
    }
}

/// `thin` of the script.
fn thin(x: Vec<f32>) -> Vec<f32> {
    if x.len() <= 20_000 {
        return x;
    }
    let strided = x.iter().step_by(4999);
    x[..64].iter().chain(strided).chain(&x[x.len() - 64..]).copied().collect()
}
