use crate::cli::ExportOptions;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;

/// `ourvidz export`
pub(crate) fn export(options: &ExportOptions, json: bool) -> Result<(), Failure> {
    let mut progress = Progress::new();
    ourvidz_sdxl::export(&options.model, &options.out, options.precision, |p| progress.load(p))?;
    progress.end();
    if json {
        output::json(&serde_json::json!({ "folder": options.out }));
    } else {
        output::line(&options.out.display().to_string());
    }
    Ok(())
}
