use crate::{Error, Result};

/// Declares an option that the configuration holds as text: its variants, their names, its parser.
macro_rules! option {
    ($name:ident, $field:literal, $($variant:ident = $text:literal),+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $name { $($variant),+ }

        impl $name {
            pub(super) fn parse(value: &str) -> Result<Self> {
                match value {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(invalid($field, one_of(&[$($text),+]), value)),
                }
            }
        }
    };
}

option!(
    BetaSchedule,
    "beta_schedule",
    Linear = "linear",
    ScaledLinear = "scaled_linear",
    SquaredcosCapV2 = "squaredcos_cap_v2"
);
option!(
    PredictionType,
    "prediction_type",
    Epsilon = "epsilon",
    VPrediction = "v_prediction",
    Sample = "sample"
);
option!(
    TimestepSpacing,
    "timestep_spacing",
    Linspace = "linspace",
    Leading = "leading",
    Trailing = "trailing"
);
option!(TimestepType, "timestep_type", Discrete = "discrete", Continuous = "continuous");
option!(InterpolationType, "interpolation_type", Linear = "linear", LogLinear = "log_linear");
option!(UniPcSolver, "solver_type", Bh1 = "bh1", Bh2 = "bh2");
option!(DpmSolver, "solver_type", Midpoint = "midpoint", Heun = "heun");
option!(FinalSigmasType, "final_sigmas_type", Zero = "zero", SigmaMin = "sigma_min");

/// The error for a value outside its rule.
pub(super) fn invalid(field: &str, rule: impl Into<String>, value: impl ToString) -> Error {
    Error::Invalid {
        field: field.into(),
        rule: rule.into(),
        value: value.to_string().chars().take(64).collect(),
    }
}

fn one_of(names: &[&str]) -> String {
    format!("must be one of {}", names.join(", "))
}
