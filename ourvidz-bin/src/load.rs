use ourvidz_core::Error as Refused;
use ourvidz_sdxl::{Error, SdxlPipeline};

use crate::cli::ModelOptions;
use crate::config::env_vars;
use crate::demo_model::DemoModel;
use crate::failure::Failure;
use crate::progress::Progress;

/// What `slot` holds; where it is empty, that is loaded first.
pub(crate) fn loaded<T>(
    slot: &mut Option<T>,
    load: impl FnOnce(&mut Progress) -> Result<T, Failure>,
) -> Result<&mut T, Failure> {
    let held = match slot.take() {
        Some(held) => held,
        None => {
            let mut progress = Progress::new();
            let held = load(&mut progress);
            progress.end();
            held?
        }
    };
    Ok(slot.insert(held))
}

/// Loads the checkpoint asked for, else the demo model, saying so.
pub(crate) fn load(options: &ModelOptions, progress: &mut Progress) -> Result<SdxlPipeline, Failure> {
    let path = match options.path(env_vars::SDXL_MODEL)? {
        Some(path) => path,
        None => DemoModel::Sdxl.folder()?,
    };
    let mut builder = SdxlPipeline::builder(path).device(options.device);
    if let Some(precision) = options.precision {
        builder = builder.precision(precision);
    }
    if let Some(variant) = &options.variant {
        builder = builder.variant(variant);
    }
    if let Some(name) = &options.scheduler {
        builder = builder.scheduler(name);
    }
    if let Some(folder) = &options.cache_dir {
        builder = builder.cache_folder(folder);
    }
    builder.load_with(|p| progress.load(p)).map_err(|error| match error {
        // The class that is refused is the flag's, not the checkpoint's.
        Error::Request(Refused::Invalid { field, rule, value })
            if field == "_class_name" && options.scheduler.is_some() =>
        {
            Refused::Invalid { field: "--scheduler".to_owned(), rule, value }.into()
        }
        error => error.into(),
    })
}
