use std::fs;
use std::path::Path;

use ourvidz_runtime::Error;
use serde_json::{Value, json};

use crate::Result;
use crate::checkpoint::Checkpoint;

/// What an exported folder needs beside the models: `config.json` of each component, the scheduler, the tokenizers.
pub(crate) fn write_configurations(checkpoint: &Checkpoint, out: &Path) -> Result<()> {
    let value = |config: &dyn erased::Json| config.json();
    write(out, "text_encoder/config.json", &value(&checkpoint.text_encoder))?;
    write(out, "text_encoder_2/config.json", &value(&checkpoint.text_encoder_2))?;
    write(out, "unet/config.json", &value(&checkpoint.unet))?;
    write(out, "vae_decoder/config.json", &value(&checkpoint.vae))?;
    write(out, "vae_encoder/config.json", &value(&checkpoint.vae))?;
    write(out, "scheduler/scheduler_config.json", &value(&checkpoint.scheduler))?;
    checkpoint.tokenizer.save(&out.join("tokenizer"))?;
    checkpoint.tokenizer_2.save(&out.join("tokenizer_2"))?;
    let index = json!({
        "_class_name": "StableDiffusionXLPipeline",
        "force_zeros_for_empty_prompt": checkpoint.force_zeros_for_empty_prompt,
    });
    write(out, "model_index.json", &index)
}

fn write(out: &Path, name: &str, value: &Value) -> Result<()> {
    let path = out.join(name);
    let failed = |source| Error::Io { path: path.clone(), what: "writing".into(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(&path, format!("{value:#}\n")).map_err(failed)?;
    Ok(())
}

/// Serialisation of plain configuration structs, which cannot fail.
mod erased {
    use serde::Serialize;
    use serde_json::Value;

    pub(super) trait Json {
        fn json(&self) -> Value;
    }

    impl<T: Serialize> Json for T {
        fn json(&self) -> Value {
            serde_json::to_value(self).unwrap_or_default()
        }
    }
}
