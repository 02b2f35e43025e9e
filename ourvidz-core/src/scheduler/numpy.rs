//! The few functions of numpy and torch that schedules are made with, with their order of rounding.

/// `numpy.linspace(start, stop, num)`: ends included, the last one exactly.
pub(super) fn linspace(start: f64, stop: f64, num: usize) -> Vec<f64> {
    if num < 2 {
        return vec![start; num];
    }
    let step = (stop - start) / (num - 1) as f64;
    let mut points: Vec<f64> = (0..num).map(|i| i as f64 * step + start).collect();
    points[num - 1] = stop;
    points
}

/// `torch.linspace(start, end, steps)` in float32: counted from whichever end is nearer, with fused
/// multiply-add as torch's vector code has it.
pub(super) fn linspace_f32(start: f32, end: f32, steps: usize) -> Vec<f32> {
    if steps < 2 {
        return vec![start; steps];
    }
    let step = (end - start) / (steps - 1) as f32;
    let point = |i: usize| match i < steps / 2 {
        true => step.mul_add(i as f32, start),
        false => (-step).mul_add((steps - 1 - i) as f32, end),
    };
    (0..steps).map(point).collect()
}

/// `numpy.interp(x, numpy.arange(len), values)`; the first or last value outside. `values` is not empty.
pub(super) fn interp(x: f64, values: &[f32]) -> f64 {
    let last = values.len() - 1;
    if x <= 0.0 {
        return f64::from(values[0]);
    }
    if x >= last as f64 {
        return f64::from(values[last]);
    }
    let low = x as usize;
    let (a, b) = (f64::from(values[low]), f64::from(values[low + 1]));
    (b - a) * (x - low as f64) + a
}

/// `torch.cumprod` in float32 on the CPU: the product is kept in float64, each result rounded.
pub(super) fn cumprod(factors: &[f32]) -> Vec<f32> {
    let product = |product: &mut f64, factor: &f32| {
        *product *= f64::from(*factor);
        Some(*product as f32)
    };
    factors.iter().scan(1.0, product).collect()
}

// Of a float32, rounded once from float64: torch's are that in 99 of 100 cases, and multistep solvers magnify the last
// bit a hundred times.

/// `torch.log`.
pub(super) fn ln(x: f32) -> f32 {
    f64::from(x).ln() as f32
}

/// `torch.exp`.
pub(super) fn exp(x: f32) -> f32 {
    f64::from(x).exp() as f32
}

/// `torch.expm1`.
pub(super) fn exp_m1(x: f32) -> f32 {
    f64::from(x).exp_m1() as f32
}
