//! Normal noise, number for number that of torch: a seed makes the same picture here as there.
//!
//! `torch.Generator` on CUDA is Philox4x32-10 with curand's Box-Muller transform; on the CPU it is mt19937. The
//! order in which numbers land in a tensor follows torch 2.11, files
//! `aten/src/ATen/native/cuda/DistributionTemplates.h` and `aten/src/ATen/native/cpu/DistributionTemplates.h`.

mod mt19937;
mod philox;
mod sfu_sine;
mod source;

use mt19937::TorchCpu;
use philox::TorchCuda;
pub use source::{DEFAULT_MULTIPROCESSORS, DEFAULT_THREADS_PER_MULTIPROCESSOR, NoiseSource};

/// A seeded stream of normal noise: `torch.Generator(device).manual_seed(seed)`.
#[derive(Clone, Debug)]
pub struct Noise(Generator);

#[derive(Clone, Debug)]
enum Generator {
    Cuda(TorchCuda),
    Cpu(Box<TorchCpu>),
    /// One stream per image of a batch.
    Batch(Vec<Noise>),
}

impl Noise {
    /// Starts the stream. On the CPU torch uses only the low 32 bits of `seed`, and so does this.
    pub fn new(seed: u64, source: NoiseSource) -> Self {
        Self(match source.max_blocks() {
            Some(max_blocks) => Generator::Cuda(TorchCuda::new(seed, max_blocks)),
            None => Generator::Cpu(Box::new(TorchCpu::new(seed))),
        })
    }

    /// One stream per image, image `i` seeded `seed + i`, as diffusers' list of generators: an image of a batch gets
    /// the numbers it would get alone. [`normal`](Noise::normal) then wants a multiple of `num_images`.
    pub fn batch(seed: u64, num_images: usize, source: NoiseSource) -> Self {
        let seeds = (0..num_images as u64).map(|i| seed.wrapping_add(i));
        Self(Generator::Batch(seeds.map(|seed| Self::new(seed, source)).collect()))
    }

    /// The next `torch.randn(len, generator=generator)`: float32, mean 0, standard deviation 1.
    ///
    /// One call of `2 * n` numbers is not two calls of `n`: torch lays each tensor out anew. Agrees with torch
    /// within 1e-6, on CUDA too, where torch takes the card's approximate sine and cosine.
    pub fn normal(&mut self, len: usize) -> Vec<f32> {
        match &mut self.0 {
            Generator::Cuda(generator) => generator.normal(len),
            Generator::Cpu(generator) => generator.normal(len),
            Generator::Batch(streams) => {
                let each = len / streams.len().max(1);
                streams.iter_mut().flat_map(|stream| stream.normal(each)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_a_batch_has_the_noise_it_has_alone() {
        let mut batch = Noise::batch(7, 3, NoiseSource::TorchCpu);
        for round in 0..2 {
            let together = batch.normal(60);
            for i in 0..3 {
                let mut alone = Noise::new(7 + i as u64, NoiseSource::TorchCpu);
                let expected = (0..=round).map(|_| alone.normal(20)).last();
                assert_eq!(Some(together[i * 20..][..20].to_vec()), expected);
            }
        }
    }
}
