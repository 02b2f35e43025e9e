use std::fs;
use std::path::Path;

use ourvidz_runtime::Error;
use serde::Serialize;
use serde_json::json;

use crate::Result;
use crate::checkpoint::Checkpoint;

/// What an exported folder needs beside the models: `config.json` of each component, the scheduler, the tokenizers.
pub(crate) fn write_configurations(checkpoint: &Checkpoint, out: &Path) -> Result<()> {
    write(out, "text_encoder/config.json", &checkpoint.text_encoder)?;
    write(out, "text_encoder_2/config.json", &checkpoint.text_encoder_2)?;
    write(out, "unet/config.json", &checkpoint.unet)?;
    write(out, "vae_decoder/config.json", &checkpoint.vae)?;
    write(out, "vae_encoder/config.json", &checkpoint.vae)?;
    write(out, "scheduler/scheduler_config.json", &checkpoint.scheduler)?;
    checkpoint.tokenizer.save(&out.join("tokenizer"))?;
    checkpoint.tokenizer_2.save(&out.join("tokenizer_2"))?;
    let index = json!({
        "_class_name": "StableDiffusionXLPipeline",
        "force_zeros_for_empty_prompt": checkpoint.force_zeros_for_empty_prompt,
    });
    write(out, "model_index.json", &index)
}

fn write(out: &Path, name: &str, value: &impl Serialize) -> Result<()> {
    let path = out.join(name);
    let failed = |source| Error::Io { path: path.clone(), what: "writing".into(), source };
    let json =
        serde_json::to_string_pretty(value).map_err(|source| Error::Json { path: path.clone(), source })?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(&path, json + "\n").map_err(failed)?;
    Ok(())
}
