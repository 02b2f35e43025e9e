use super::numpy::ln;

/// The clean samples that the model predicted in earlier steps of a run, for multistep solvers.
#[derive(Clone, Debug)]
pub(super) struct History {
    predictions: Vec<Vec<f32>>, // newest first
    order: usize,
    next: Option<usize>,
}

impl History {
    /// Remembers as many predictions as the solver's order.
    pub(super) fn new(order: usize) -> Self {
        Self { predictions: Vec::with_capacity(order), order, next: None }
    }

    /// Starts `step`. True where it follows the step before it; otherwise everything is forgotten.
    pub(super) fn follow(&mut self, step: usize) -> bool {
        let follows = self.next == Some(step);
        if !follows {
            self.predictions.clear();
        }
        self.next = Some(step + 1);
        follows
    }

    /// Adds the newest prediction.
    pub(super) fn push(&mut self, prediction: Vec<f32>) {
        self.predictions.truncate(self.order - 1);
        self.predictions.insert(0, prediction);
    }

    /// How many predictions there are, at most the order.
    pub(super) fn len(&self) -> usize {
        self.predictions.len()
    }

    /// The prediction of `age` steps ago; 0 is the newest.
    pub(super) fn get(&self, age: usize) -> &[f32] {
        &self.predictions[age]
    }
}

/// The clean sample that a model of flows means: `sample - sigma * model_output`.
pub(super) fn x0_of_flow(model_output: &[f32], sample: &[f32], sigma: f32) -> Vec<f32> {
    debug_assert_eq!(model_output.len(), sample.len());
    sample.iter().zip(model_output).map(|(x, output)| x - sigma * output).collect()
}

/// Half the logarithm of the signal-to-noise ratio at a noise level of flow matching: `ln((1 - sigma) / sigma)`.
pub(super) fn lambda(sigma: f32) -> f32 {
    ln(1.0 - sigma) - ln(sigma)
}
