//! CPU noise against `torch.randn`, goldens of `scripts/goldens/noise_cpu.py` (torch 2.11).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
mod golden;

use ourvidz_core::noise::{Noise, NoiseSource};

#[test]
fn equals_torch_on_the_cpu() {
    let golden = golden::Golden::read("noise_cpu");
    assert_eq!(golden.names().len(), 27);
    for name in golden.names() {
        let (seed, lengths) = name.split_once('.').unwrap();
        let mut noise = Noise::new(seed.parse().unwrap(), NoiseSource::TorchCpu);
        let calls = lengths.split(',').map(|length| noise.normal(length.parse().unwrap()));
        let ours: Vec<f32> = calls.flat_map(thin).collect();
        golden::assert_close(name, &ours, golden.tensor(name), 1e-6, 1.0);
    }
}

/// `thin` of the script.
fn thin(x: Vec<f32>) -> Vec<f32> {
    if x.len() <= 2000 {
        return x;
    }
    let strided = x.iter().step_by(499);
    x[..64].iter().chain(strided).chain(&x[x.len() - 64..]).copied().collect()
}
