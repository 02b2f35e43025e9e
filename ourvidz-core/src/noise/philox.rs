use super::sfu_sine::sin_cos;

/// Threads per block of torch's distribution kernels.
pub(super) const BLOCK: u32 = 256;

/// Numbers that one thread takes from one call of curand: `curand_normal4`.
const UNROLL: usize = 4;

/// `torch.randn` of a CUDA generator.
#[derive(Clone, Debug)]
pub(super) struct TorchCuda {
    key: [u32; 2],
    max_blocks: u64,
    /// Philox counters used so far by every thread (torch's `philox_offset / 4`).
    counter: u64,
}

impl TorchCuda {
    pub(super) fn new(seed: u64, max_blocks: u64) -> Self {
        Self { key: halves(seed), max_blocks, counter: 0 }
    }

    /// Thread `t` of `n` writes elements `t`, `t + n`, `t + 2n`, `t + 3n` from its first counter, the next four
    /// from its second, and so on. A tensor of at most `n` elements takes one number of each thread's four.
    pub(super) fn normal(&mut self, len: usize) -> Vec<f32> {
        let mut out = vec![0.0; len];
        let blocks = (len as u64).div_ceil(u64::from(BLOCK)).min(self.max_blocks);
        let threads = (blocks * u64::from(BLOCK)) as usize;
        if threads == 0 {
            return out;
        }
        for chunk in out.chunks_mut(threads * UNROLL) {
            for thread in 0..threads.min(chunk.len()) {
                let [x, y] = halves(self.counter);
                let [z, w] = halves(thread as u64);
                let normals = curand_normal4(philox4x32_10([x, y, z, w], self.key));
                for (element, normal) in chunk.iter_mut().skip(thread).step_by(threads).zip(normals) {
                    *element = normal;
                }
            }
            self.counter = self.counter.wrapping_add(1);
        }
        out
    }
}

/// Philox4x32 with 10 rounds: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).
fn philox4x32_10(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
        }
        let [low_a, high_a] = halves(0xD251_1F53 * u64::from(counter[0]));
        let [low_b, high_b] = halves(0xCD9E_8D57 * u64::from(counter[2]));
        counter = [high_b ^ counter[1] ^ key[0], low_b, high_a ^ counter[3] ^ key[1], low_a];
    }
    counter
}

fn curand_normal4([x, y, z, w]: [u32; 4]) -> [f32; 4] {
    let [a, b] = box_muller(x, y);
    let [c, d] = box_muller(z, w);
    [a, b, c, d]
}

/// curand's transform of two uniform integers: sine first, then cosine.
fn box_muller(x: u32, y: u32) -> [f32; 2] {
    const INV_2_32: f32 = 1.0 / 4_294_967_296.0;
    const INV_2_32_TWO_PI: f32 = INV_2_32 * std::f32::consts::TAU;
    // float32 up to here, as on the card: near u = 1 the logarithm magnifies every rounding.
    let u = (x as f32).mul_add(INV_2_32, INV_2_32 / 2.0);
    let v = (y as f32).mul_add(INV_2_32_TWO_PI, INV_2_32_TWO_PI / 2.0);
    let radius = (-2.0 * u.ln()).sqrt();
    let (sin, cos) = sin_cos(v);
    [radius * sin, radius * cos]
}

/// Low half, high half.
fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers published with Random123 (`kat_vectors`, philox4x32 with 10 rounds).
    #[test]
    fn philox_known_answers() {
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox4x32_10(counter, key), expected, "counter {counter:x?}");
        }
    }

    /// `torch.randn(3, 4, device="cuda")` with seed 0, as printed in the documentation of the seed-compatible
    /// generator of the AUTOMATIC1111 web UI (`modules/rng_philox.py`).
    #[test]
    fn first_numbers_of_seed_0() {
        let expected = [
            -0.924_662_6,
            -0.425_344_15,
            -2.643_845_7,
            0.145_183_88,
            -0.120_866_47,
            -0.579_725_6,
            -0.622_851_2,
            -0.328_387_1,
            -1.074_542_3,
            -0.363_144_07,
            -1.671_050_7,
            2.265_505,
        ];
        for (index, (ours, theirs)) in TorchCuda::new(0, 1056).normal(12).iter().zip(expected).enumerate() {
            assert!((ours - theirs).abs() < 1e-5_f32, "element {index}: {ours}, expected {theirs}");
        }
    }

    /// With one block, 256 threads: elements 256 apart come from one counter of one thread.
    #[test]
    fn large_tensors_use_all_four_numbers_of_a_thread() {
        let seed = 0x0000_0001_0000_0007;
        let mut generator = TorchCuda::new(seed, 1);
        let first = generator.normal(1500);
        let second = generator.normal(3);
        let of = |counter, thread| curand_normal4(philox4x32_10([counter, 0, thread, 0], [7, 1]));
        for quarter in 0..4 {
            assert_eq!(first[5 + 256 * quarter], of(0, 5)[quarter]);
        }
        assert_eq!(first[1024 + 5], of(1, 5)[0]);
        assert_eq!(first[1499], of(1, 1499 - 1024 - 256)[1]);
        // 1500 elements took two counters of every thread.
        assert_eq!(second, [of(2, 0)[0], of(2, 1)[0], of(2, 2)[0]]);
    }
}
