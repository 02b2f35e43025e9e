/// Words of state.
const N: usize = 624;
const M: usize = 397;

/// torch computes blocks of this many elements; shorter tensors take another path.
const FILL: usize = 16;

/// `torch.randn` of a CPU generator.
#[derive(Clone, Debug)]
pub(super) struct TorchCpu {
    engine: Mt19937,
    /// The second number of a Box-Muller pair, kept for the next short tensor.
    cached: Option<f64>,
}

impl TorchCpu {
    pub(super) fn new(seed: u64) -> Self {
        Self { engine: Mt19937::new(seed as u32), cached: None }
    }

    pub(super) fn normal(&mut self, len: usize) -> Vec<f32> {
        if len < FILL {
            return (0..len).map(|_| self.scalar() as f32).collect();
        }
        let mut out: Vec<f32> = (0..len).map(|_| self.uniform()).collect();
        let (blocks, rest) = out.as_chunks_mut::<FILL>();
        blocks.iter_mut().for_each(fill);
        if !rest.is_empty() {
            // torch draws the last 16 elements anew, those of the last whole block among them.
            let mut block = [0.0; FILL];
            block.fill_with(|| self.uniform());
            fill(&mut block);
            out[len - FILL..].copy_from_slice(&block);
        }
        out
    }

    /// Uniform in [0, 1) with 24 bits.
    fn uniform(&mut self) -> f32 {
        (self.engine.next_u32() & 0xFF_FFFF) as f32 / 16_777_216.0
    }

    /// Uniform in [0, 1) with 53 bits.
    fn uniform_f64(&mut self) -> f64 {
        let high = u64::from(self.engine.next_u32());
        let bits = (high << 32) | u64::from(self.engine.next_u32());
        (bits & ((1 << 53) - 1)) as f64 / 9_007_199_254_740_992.0
    }

    /// One normal number of a tensor of fewer than 16, in float64 like torch.
    fn scalar(&mut self) -> f64 {
        if let Some(normal) = self.cached.take() {
            return normal;
        }
        let theta = std::f64::consts::TAU * self.uniform_f64();
        let radius = (-2.0 * (-self.uniform_f64()).ln_1p()).sqrt();
        self.cached = Some(radius * theta.sin());
        radius * theta.cos()
    }
}

/// Box-Muller over 16 uniform numbers in place: the first 8 give radii, the last 8 give angles.
fn fill(block: &mut [f32; FILL]) {
    let (radii, angles) = block.split_at_mut(FILL / 2);
    for (a, b) in radii.iter_mut().zip(angles) {
        // 1 - u lies in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * (1.0 - *a).ln()).sqrt();
        let (sin, cos) = (std::f32::consts::TAU * *b).sin_cos();
        (*a, *b) = (radius * cos, radius * sin);
    }
}

/// The Mersenne twister: Matsumoto and Nishimura, "Mersenne twister" (1998), seeded as in 2002.
#[derive(Clone, Debug)]
struct Mt19937 {
    state: [u32; N],
    next: usize,
}

impl Mt19937 {
    fn new(seed: u32) -> Self {
        let mut state = [seed; N];
        for i in 1..N {
            let previous = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(previous ^ (previous >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: N }
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == N {
            self.twist();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9D2C_5680;
        word ^= (word << 15) & 0xEFC6_0000;
        word ^ (word >> 18)
    }

    fn twist(&mut self) {
        for i in 0..N {
            let joined = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7FFF_FFFF);
            let matrix = if joined & 1 == 1 { 0x9908_B0DF } else { 0 };
            self.state[i] = self.state[(i + M) % N] ^ (joined >> 1) ^ matrix;
        }
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The C++ standard ([rand.predef]) requires this of `std::mt19937` with its default seed.
    #[test]
    fn ten_thousandth_word_of_the_default_seed() {
        let mut engine = Mt19937::new(5489);
        let last = (0..10_000).fold(0, |_, _| engine.next_u32());
        assert_eq!(last, 4_123_659_995);
    }
}
