use super::Scheduler;
use super::class_name::UNIPC;
use super::config::SchedulerConfig;
use super::flow::{self, FlowSchedule};
use super::history::{History, x0_of_flow};
use super::options::{FinalSigmasType, UniPcSolver, invalid};
use super::prediction::add_noise;
use super::unipc_system::Update;
use crate::Result;
use crate::noise::Noise;

/// UniPC (arXiv 2302.04867) for flow matching: a predictor of first to third order, and a corrector that moves the
/// latents once more when the next prediction is known. Draws no noise.
///
/// With `bh1` and a last level of zero diffusers computes infinity times nothing; here that step is what `bh2` makes
/// of it, the predicted clean sample.
#[derive(Clone, Debug)]
pub struct UniPCMultistepScheduler {
    schedule: FlowSchedule,
    solver: UniPcSolver,
    solver_order: usize,
    lower_order_final: bool,
    disable_corrector: Vec<i64>,
    history: History,
    last: Option<Last>,
}

/// The step taken last: where it started, and its order.
#[derive(Clone, Debug)]
struct Last {
    sample: Vec<f32>,
    order: usize,
}

impl UniPCMultistepScheduler {
    pub(super) fn new(config: &SchedulerConfig, num_inference_steps: usize) -> Result<Self> {
        if !config.predict_x0 {
            return Err(invalid("predict_x0", "must be true for flow matching", false));
        }
        if let Some(solver_p) = &config.solver_p {
            return Err(invalid("solver_p", "must be null: it is not supported", solver_p));
        }
        flow::refuse_terminal(config)?;
        let solver = match config.solver_type.as_deref() {
            None | Some("midpoint" | "heun" | "logrho") => UniPcSolver::Bh2,
            Some(name) => UniPcSolver::parse(name)?,
        };
        let schedule = flow::unipc(config, num_inference_steps)?;
        // The order that the last step would have; only first order reaches zero, and at most second stands still.
        let highest = match FinalSigmasType::parse(&config.final_sigmas_type)? {
            FinalSigmasType::Zero => 1,
            FinalSigmasType::SigmaMin => 2,
        };
        if !config.lower_order_final && config.solver_order.min(num_inference_steps) > highest {
            let rule = format!(
                "must be true for solver_order {} and final_sigmas_type {}",
                config.solver_order, config.final_sigmas_type
            );
            return Err(invalid("lower_order_final", rule, false));
        }
        Ok(Self {
            schedule,
            solver,
            solver_order: config.solver_order,
            lower_order_final: config.lower_order_final,
            disable_corrector: config.disable_corrector.clone(),
            history: History::new(config.solver_order),
            last: None,
        })
    }

    /// The update of `order` that ends at level `end` (an index of `sigmas`), starting one before it.
    fn update(&self, end: usize, order: usize) -> Update {
        let sigmas = &self.schedule.sigmas;
        let older: Vec<f32> = (1..order).map(|age| sigmas[end - 1 - age]).collect();
        Update::new(self.solver, sigmas[end], sigmas[end - 1], &older)
    }

    /// Takes the last step again, now with what the model predicts at its end.
    fn correct(&self, last: &Last, prediction: &[f32], step: usize, sample: &mut [f32]) {
        let update = self.update(step, last.order);
        let (rhos, newest) = update.corrector_rhos();
        let differences = self.differences(&rhos, &update);
        let known = last.sample.iter().zip(self.history.get(0)).zip(prediction.iter().zip(differences));
        for (value, ((x, m0), (prediction, difference))) in sample.iter_mut().zip(known) {
            let difference = difference + newest * (prediction - m0);
            *value = update.keep * x - update.zeroth * m0 - update.scale * difference;
        }
    }

    fn predict(&self, order: usize, step: usize, sample: &mut [f32]) {
        let update = self.update(step + 1, order);
        for (value, m0) in sample.iter_mut().zip(self.history.get(0)) {
            *value = update.keep * *value - update.zeroth * m0;
        }
        // First order has nothing to add, and at level zero `scale` of bh1 is infinite.
        if order > 1 {
            let differences = self.differences(&update.predictor_rhos(), &update);
            for (value, difference) in sample.iter_mut().zip(differences) {
                *value -= update.scale * difference;
            }
        }
    }

    /// Older predictions' differences from the newest, each per distance, weighted and added.
    fn differences(&self, rhos: &[f32], update: &Update) -> Vec<f32> {
        let newest = self.history.get(0);
        let mut sum = vec![0.0; newest.len()];
        for (age, (rho, rk)) in rhos.iter().zip(update.distances()).enumerate() {
            for (sum, (m, m0)) in sum.iter_mut().zip(self.history.get(age + 1).iter().zip(newest)) {
                *sum += rho * ((m - m0) / rk);
            }
        }
        sum
    }
}

impl Scheduler for UniPCMultistepScheduler {
    fn timesteps(&self) -> &[f32] {
        &self.schedule.timesteps
    }

    fn sigmas(&self) -> &[f32] {
        &self.schedule.sigmas
    }

    fn init_noise_sigma(&self) -> f32 {
        1.0
    }

    fn scale_model_input(&self, _sample: &mut [f32], _step: usize) {}

    fn add_noise(&self, sample: &mut [f32], noise: &[f32], step: usize) {
        let sigma = self.schedule.sigmas[step];
        add_noise(sample, noise, 1.0 - sigma, sigma);
    }

    fn step(&mut self, model_output: &[f32], step: usize, sample: &mut [f32], _noise: &mut Noise) {
        let prediction = x0_of_flow(model_output, sample, self.schedule.sigmas[step]);
        let last = self.last.take();
        if self.history.follow(step)
            && let Some(last) = &last
            && !self.disable_corrector.contains(&(step as i64 - 1))
        {
            self.correct(last, &prediction, step, sample);
        }
        self.history.push(prediction);

        let mut order = self.solver_order.min(self.history.len());
        if self.lower_order_final {
            order = order.min(self.schedule.timesteps.len() - step);
        }
        self.last = Some(Last { sample: sample.to_vec(), order });
        self.predict(order, step, sample);
    }

    fn class_name(&self) -> &'static str {
        UNIPC
    }
}
