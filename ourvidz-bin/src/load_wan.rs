use ourvidz_core::Error as Refused;
use ourvidz_wan::{Error, WanPipeline};

use crate::cli::WanModelOptions;
use crate::config::env_vars;
use crate::demo_model::DemoModel;
use crate::failure::Failure;
use crate::progress::Progress;

/// Loads the WAN checkpoint asked for, else the demo model, saying so.
pub(crate) fn load_wan(options: &WanModelOptions, progress: &mut Progress) -> Result<WanPipeline, Failure> {
    let (model, wan) = (&options.model, &options.wan);
    let path = match model.path(env_vars::WAN_MODEL)? {
        Some(path) => path,
        None => DemoModel::Wan.folder()?,
    };
    let mut builder = WanPipeline::builder(path).device(model.device).low_memory(wan.low_memory);
    if let Some(precision) = model.precision {
        builder = builder.precision(precision);
    }
    if let Some(precision) = wan.vae_precision {
        builder = builder.vae_precision(precision);
    }
    if let Some(variant) = &model.variant {
        builder = builder.variant(variant);
    }
    if let Some(name) = &model.scheduler {
        builder = builder.scheduler(name);
    }
    if let Some(folder) = &model.cache_dir {
        builder = builder.cache_folder(folder);
    }
    if let Some(file) = &wan.text_encoder {
        builder = builder.text_encoder(file);
    }
    if let Some(file) = &wan.vae {
        builder = builder.vae(file);
    }
    if let Some(folder) = &wan.tokenizer {
        builder = builder.tokenizer(folder);
    }
    builder.load_with(|p| progress.load(p)).map_err(|error| match error {
        // The class that is refused is the flag's, not the checkpoint's.
        Error::Request(Refused::Invalid { field, rule, value })
            if field == "_class_name" && model.scheduler.is_some() =>
        {
            Refused::Invalid { field: "--scheduler".to_owned(), rule, value }.into()
        }
        error => error.into(),
    })
}
