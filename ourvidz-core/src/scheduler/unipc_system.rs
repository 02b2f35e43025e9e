use super::history::lambda;
use super::numpy::exp_m1;
use super::options::UniPcSolver;

/// The highest order, of the corrector: as many unknowns.
const MAX: usize = 3;

/// One update of UniPC (arXiv 2302.04867) between two noise levels, as weights of
/// `sample * keep - m0 * zeroth - scale * sum(rhos * differences)`.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) keep: f32,
    pub(super) zeroth: f32,
    pub(super) scale: f32,
    /// Distance of each earlier prediction from the newest, in steps of this one; the last is 1, the step's end.
    rks: Vec<f32>,
    /// Right side of the system for `rhos`.
    b: Vec<f32>,
}

impl Update {
    /// From level `from` to `to`, with the levels of older predictions, newest first: one less than the order.
    pub(super) fn new(solver: UniPcSolver, to: f32, from: f32, older: &[f32]) -> Self {
        let alpha = 1.0 - to;
        let start = lambda(from);
        let h = lambda(to) - start;
        let rks: Vec<f32> = older.iter().map(|&sigma| (lambda(sigma) - start) / h).chain([1.0]).collect();

        let hh = -h;
        let h_phi_1 = exp_m1(hh);
        let b_h = match solver {
            UniPcSolver::Bh1 => hh,
            UniPcSolver::Bh2 => h_phi_1,
        };
        let mut h_phi_k = h_phi_1 / hh - 1.0;
        let mut factorial = 1.0;
        let mut b = Vec::with_capacity(rks.len());
        for i in 1..=rks.len() {
            b.push(h_phi_k * factorial / b_h);
            factorial *= (i + 1) as f32;
            h_phi_k = h_phi_k / hh - 1.0 / factorial;
        }
        Self { keep: to / from, zeroth: alpha * h_phi_1, scale: alpha * b_h, rks, b }
    }

    /// Distances of the older predictions, newest first.
    pub(super) fn distances(&self) -> &[f32] {
        &self.rks[..self.rks.len() - 1]
    }

    /// Weights of the older predictions' differences, for the predictor.
    pub(super) fn predictor_rhos(&self) -> Vec<f32> {
        match self.distances().len() {
            0 => Vec::new(),
            1 => vec![0.5],
            unknowns => self.solve(unknowns),
        }
    }

    /// The same for the corrector, and the weight of the new prediction's difference.
    pub(super) fn corrector_rhos(&self) -> (Vec<f32>, f32) {
        match self.rks.len() {
            1 => (Vec::new(), 0.5),
            unknowns => {
                let mut rhos = self.solve(unknowns);
                let newest = rhos.remove(unknowns - 1);
                (rhos, newest)
            }
        }
    }

    /// Solves `sum_k rks[k]^i * rho[k] = b[i]` for the first `n` (at most 3) by elimination with row pivots, as LAPACK
    /// does in float32.
    fn solve(&self, n: usize) -> Vec<f32> {
        let mut rows = [[0.0_f32; MAX + 1]; MAX];
        for (i, row) in rows.iter_mut().enumerate().take(n) {
            for (cell, rk) in row.iter_mut().zip(&self.rks[..n]) {
                *cell = rk.powi(i as i32);
            }
            row[MAX] = self.b[i];
        }
        for column in 0..n {
            let larger = |&a: &usize, &b: &usize| rows[a][column].abs().total_cmp(&rows[b][column].abs());
            let pivot = (column..n).rev().max_by(larger).unwrap_or(column);
            rows.swap(column, pivot);
            let top = rows[column];
            for row in &mut rows[column + 1..n] {
                let factor = row[column] / top[column];
                for (cell, above) in row.iter_mut().zip(top).skip(column) {
                    *cell -= factor * above;
                }
            }
        }
        let mut rhos = vec![0.0; n];
        for i in (0..n).rev() {
            let known: f32 = (i + 1..n).map(|k| rows[i][k] * rhos[k]).sum();
            rhos[i] = (rows[i][MAX] - known) / rows[i][i];
        }
        rhos
    }
}
