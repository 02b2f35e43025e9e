use std::process::ExitCode;

use clap::error::ErrorKind;

/// Why the command ends, and with which exit status.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit 2: what was asked for cannot be.
    Arguments(anyhow::Error),
    /// Exit 1: it was tried and failed.
    Failed(anyhow::Error),
    /// Exit 1: the callback's body on standard output has said why.
    Reported,
}

impl Failure {
    pub(crate) fn arguments(error: impl Into<anyhow::Error>) -> Failure {
        Failure::Arguments(error.into())
    }

    /// What went wrong, without the exit status.
    pub(crate) fn into_error(self) -> anyhow::Error {
        match self {
            Failure::Arguments(error) | Failure::Failed(error) => error,
            Failure::Reported => anyhow::anyhow!("failed"),
        }
    }

    /// One line on standard error.
    pub(crate) fn report(self) -> ExitCode {
        let (code, error) = match self {
            Failure::Arguments(error) => (2, error),
            Failure::Failed(error) => (1, error),
            Failure::Reported => return ExitCode::from(1),
        };
        let line = format!("{error:#}").split('\n').map(str::trim).collect::<Vec<_>>().join(" ");
        crate::output::error(&format!("error: {line}"));
        ExitCode::from(code)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    /// Errors of the argument parser and of a request's rules are the caller's; the rest happened here.
    fn from(error: E) -> Failure {
        let error = error.into();
        if let Some(parse) = error.downcast_ref::<clap::Error>() {
            // Of this kind the text is the whole help.
            if parse.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
                return Failure::Arguments(anyhow::anyhow!("a subcommand is required; see --help"));
            }
            let text = parse.to_string();
            let first = text.split("\n\n").next().unwrap_or_default();
            let first = first.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
            return Failure::Arguments(anyhow::anyhow!("{first}; see --help"));
        }
        if let Some(qwen) = error.downcast_ref::<ourvidz_qwen::Error>() {
            let asked = qwen.is_request();
            return if asked { Failure::Arguments(error) } else { Failure::Failed(error) };
        }
        let (sdxl, wan) =
            (error.downcast_ref::<ourvidz_sdxl::Error>(), error.downcast_ref::<ourvidz_wan::Error>());
        let asked = match (sdxl, wan) {
            (Some(ourvidz_sdxl::Error::Request(e)), _) | (_, Some(ourvidz_wan::Error::Request(e))) => Some(e),
            _ => error.downcast_ref::<ourvidz_core::Error>(),
        };
        let runtime = match (sdxl, wan) {
            (Some(ourvidz_sdxl::Error::Runtime(e)), _) | (_, Some(ourvidz_wan::Error::Runtime(e))) => Some(e),
            _ => error.downcast_ref::<ourvidz_runtime::Error>(),
        };
        use ourvidz_wan::Error as Wan;
        if let Some(
            Wan::Input { .. } | Wan::Size { .. } | Wan::NoFrames | Wan::TooLong { .. } | Wan::Config { .. },
        ) = wan
        {
            return Failure::Arguments(error);
        }
        use ourvidz_core::Error as Core;
        use ourvidz_runtime::Error as Runtime;
        match (asked, runtime) {
            (Some(Core::Invalid { .. } | Core::Missing { .. }), _)
            | (_, Some(Runtime::Invalid { .. } | Runtime::NotFound { .. })) => Failure::Arguments(error),
            _ => Failure::Failed(error),
        }
    }
}
