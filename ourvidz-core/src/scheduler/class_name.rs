//! Names of schedulers, and which of them may take another's place.

use super::config::SchedulerConfig;
use super::options::invalid;
use crate::Result;

pub(super) const EULER: &str = "EulerDiscreteScheduler";
pub(super) const ANCESTRAL: &str = "EulerAncestralDiscreteScheduler";
pub(super) const UNIPC: &str = "UniPCMultistepScheduler";
pub(super) const DPMSOLVER: &str = "DPMSolverMultistepScheduler";
pub(super) const FLOW_EULER: &str = "FlowMatchEulerDiscreteScheduler";

/// The class that a configuration's `_class_name` means.
pub(super) fn class_from(name: &str) -> Result<&'static str> {
    match plain(name).as_str() {
        "eulerdiscretescheduler" | "eulerdiscrete" | "euler" => Ok(EULER),
        "eulerancestraldiscretescheduler" | "eulerancestraldiscrete" | "eulerancestral" | "eulera" => {
            Ok(ANCESTRAL)
        }
        "unipcmultistepscheduler" | "unipcmultistep" | "unipc" => Ok(UNIPC),
        "dpmsolvermultistepscheduler"
        | "dpmsolvermultistep"
        | "dpmsolver"
        | "dpmsolverpp"
        | "dpmpp"
        | "dpm" => Ok(DPMSOLVER),
        "flowmatcheulerdiscretescheduler" | "flowmatcheulerdiscrete" | "flowmatcheuler" | "floweuler" => {
            Ok(FLOW_EULER)
        }
        _ => {
            let rule = format!("must be one of {EULER}, {ANCESTRAL}, {UNIPC}, {DPMSOLVER}, {FLOW_EULER}");
            Err(invalid("_class_name", rule, name))
        }
    }
}

impl SchedulerConfig {
    /// Whether the model predicts a flow (WAN) rather than the noise of a beta schedule (SDXL): the class is
    /// `FlowMatchEulerDiscreteScheduler`, or `use_flow_sigmas` is set, or `prediction_type` is `flow_prediction`.
    pub fn is_flow(&self) -> bool {
        self.use_flow_sigmas
            || self.prediction_type == "flow_prediction"
            || class_from(&self.class_name).is_ok_and(|class| class == FLOW_EULER)
    }

    /// The same noise schedule sampled by another class: diffusers' `OtherScheduler.from_config(config)`.
    ///
    /// Accepts the class's name or a short one, in any case and punctuation. For a noise schedule of betas (SDXL):
    /// `euler`, `euler_a`, `euler_ancestral`. For flow matching (WAN, [`is_flow`](Self::is_flow)): `unipc`, `dpm++`,
    /// `dpmsolver++`, `dpmpp`, `flow_euler`, and there `euler` is `FlowMatchEulerDiscreteScheduler`. A class of the
    /// other family is refused. Unlike in diffusers the shift comes along: `flow_shift` and `shift` are one number
    /// under two names.
    pub fn with_class_name(mut self, name: &str) -> Result<Self> {
        let flow = self.is_flow();
        let class = match class_from(name) {
            Ok(EULER) if flow && plain(name) == "euler" => Ok(FLOW_EULER),
            Ok(class) if flow != matches!(class, EULER | ANCESTRAL) => Ok(class),
            _ if flow => {
                let rule = format!("must be {UNIPC}, {DPMSOLVER} or {FLOW_EULER}");
                Err(invalid("_class_name", rule, name))
            }
            _ => Err(invalid("_class_name", format!("must be {EULER} or {ANCESTRAL}"), name)),
        }?;
        if flow {
            let shift = self.shift_of_class();
            (self.shift, self.flow_shift) = (shift, shift);
            self.use_flow_sigmas = true;
            self.prediction_type = "flow_prediction".into();
        }
        self.class_name = class.into();
        Ok(self)
    }

    /// The same scheduler with another shift of its noise levels, for flow matching: above 1 more steps are spent
    /// where there is much noise. WAN 2.1 takes 3 for 480p and 5 for 720p.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) for `flow_shift` that is not a finite number above 0, or where
    /// [`is_flow`](Self::is_flow) is false.
    pub fn with_flow_shift(mut self, flow_shift: f64) -> Result<Self> {
        if !self.is_flow() {
            let rule = format!("applies to flow matching only, and {} here is not", self.class_name);
            return Err(invalid("flow_shift", rule, flow_shift));
        }
        check_shift("flow_shift", flow_shift)?;
        (self.shift, self.flow_shift) = (flow_shift, flow_shift);
        Ok(self)
    }

    /// The shift under the name that the configuration's class has for it.
    fn shift_of_class(&self) -> f64 {
        match class_from(&self.class_name) {
            Ok(FLOW_EULER) => self.shift,
            _ => self.flow_shift,
        }
    }
}

pub(super) fn check_shift(field: &str, shift: f64) -> Result<()> {
    if shift.is_finite() && shift > 0.0 {
        return Ok(());
    }
    Err(invalid(field, "must be a finite number above 0", shift))
}

fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}
