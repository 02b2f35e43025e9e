use std::io::{IsTerminal, Write};

use tracing_subscriber::EnvFilter;

/// One line on standard output: results.
pub(crate) fn line(text: &str) {
    // A closed pipe ends nothing: files are written all the same.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// Part of a line on standard output, shown at once.
pub(crate) fn piece(text: &str) {
    // A closed pipe ends nothing, as above.
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// One JSON value on standard output, indented.
pub(crate) fn json(value: &serde_json::Value) {
    line(&format!("{value:#}"));
}

/// One line on standard error: errors and remarks.
pub(crate) fn error(text: &str) {
    // Nowhere is left to report a closed standard error.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Logs go to standard error; `OURVIDZ_LOG` chooses, e.g. `info` or `ourvidz_runtime=debug`.
pub(crate) fn start_logging() {
    // ONNX Runtime warns about each node it leaves as it is.
    let filter = EnvFilter::try_from_env("OURVIDZ_LOG").unwrap_or_else(|_| EnvFilter::new("warn,ort=error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
