use super::Scheduler;
use super::class_name::DPMSOLVER;
use super::config::SchedulerConfig;
use super::flow::{self, FlowSchedule};
use super::history::{History, lambda, x0_of_flow};
use super::numpy::exp;
use super::options::{DpmSolver, FinalSigmasType, invalid};
use super::prediction::add_noise;
use crate::Result;
use crate::noise::Noise;

/// DPM-Solver++ (arXiv 2211.01095) for flow matching, first to third order, without noise. Third order has one
/// formula, whatever `solver_type` says.
#[derive(Clone, Debug)]
pub struct DPMSolverMultistepScheduler {
    schedule: FlowSchedule,
    solver: DpmSolver,
    solver_order: usize,
    euler_at_final: bool,
    lower_order_second: bool,
    history: History,
}

impl DPMSolverMultistepScheduler {
    pub(super) fn new(config: &SchedulerConfig, num_inference_steps: usize) -> Result<Self> {
        if !matches!(config.algorithm_type.as_str(), "dpmsolver++" | "deis") {
            let rule = "must be dpmsolver++: others are not supported for flow matching";
            return Err(invalid("algorithm_type", rule, &config.algorithm_type));
        }
        flow::refuse(&[("use_lu_lambdas", config.use_lu_lambdas)])?;
        let solver = match config.solver_type.as_deref() {
            None | Some("bh1" | "bh2" | "logrho") => DpmSolver::Midpoint,
            Some(name) => DpmSolver::parse(name)?,
        };
        let schedule = flow::dpmsolver(config, num_inference_steps)?;
        let lower_order_final = config.lower_order_final && num_inference_steps < 15;
        let zero = FinalSigmasType::parse(&config.final_sigmas_type)? == FinalSigmasType::Zero;
        Ok(Self {
            schedule,
            solver,
            solver_order: config.solver_order,
            euler_at_final: config.euler_at_final || lower_order_final || zero,
            lower_order_second: lower_order_final,
            history: History::new(config.solver_order),
        })
    }

    /// Order of `step`, when `known` predictions are there, its own included.
    fn order(&self, step: usize, known: usize) -> usize {
        match self.schedule.timesteps.len() - step {
            1 if self.euler_at_final => 1,
            2 if self.lower_order_second => self.solver_order.min(known).min(2),
            _ => self.solver_order.min(known),
        }
    }

    /// Noise levels after, before, and one and two steps before `step`, as `lambda` and its differences.
    fn spans(&self, step: usize) -> Spans {
        let at = |age: usize| lambda(self.schedule.sigmas[step + 1 - age]);
        let h = at(0) - at(1);
        let r0 = if step >= 1 { (at(1) - at(2)) / h } else { 0.0 };
        let r1 = if step >= 2 { (at(2) - at(3)) / h } else { 0.0 };
        Spans { h, r0, r1 }
    }
}

/// Length of a step in `lambda`, and of the two before it relative to it.
struct Spans {
    h: f32,
    r0: f32,
    r1: f32,
}

impl Scheduler for DPMSolverMultistepScheduler {
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
        let (sigma, next) = (self.schedule.sigmas[step], self.schedule.sigmas[step + 1]);
        self.history.follow(step);
        self.history.push(x0_of_flow(model_output, sample, sigma));

        let Spans { h, r0, r1 } = self.spans(step);
        let (keep, alpha) = (next / sigma, 1.0 - next);
        let decay = exp(-h) - 1.0;
        let zeroth = alpha * decay;
        match self.order(step, self.history.len()) {
            1 => {
                for (x, &m0) in sample.iter_mut().zip(self.history.get(0)) {
                    *x = keep * *x - zeroth * m0;
                }
            }
            2 => {
                let first = match self.solver {
                    DpmSolver::Midpoint => -(0.5 * zeroth),
                    DpmSolver::Heun => alpha * (decay / h + 1.0),
                };
                let predictions = self.history.get(0).iter().zip(self.history.get(1));
                for (x, (&m0, &m1)) in sample.iter_mut().zip(predictions) {
                    let d1 = (1.0 / r0) * (m0 - m1);
                    *x = keep * *x - zeroth * m0 + first * d1;
                }
            }
            _ => {
                let first = alpha * (decay / h + 1.0);
                let second = alpha * ((decay + h) / (h * h) - 0.5);
                let older = self.history.get(1).iter().zip(self.history.get(2));
                for ((x, &m0), (&m1, &m2)) in sample.iter_mut().zip(self.history.get(0)).zip(older) {
                    let (d1_0, d1_1) = ((1.0 / r0) * (m0 - m1), (1.0 / r1) * (m1 - m2));
                    let d1 = d1_0 + (r0 / (r0 + r1)) * (d1_0 - d1_1);
                    let d2 = (1.0 / (r0 + r1)) * (d1_0 - d1_1);
                    *x = keep * *x - zeroth * m0 + first * d1 - second * d2;
                }
            }
        }
    }

    fn class_name(&self) -> &'static str {
        DPMSOLVER
    }
}
