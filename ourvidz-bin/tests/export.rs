//! `ourvidz export`, and its folder as a model.

mod common;

use anyhow::{Result, ensure};
use common::{Place, golden, matches_golden};

/// Components with their data, tokenizers, the scheduler; the folder alone gives the golden's numbers.
#[test]
fn an_exported_folder_is_a_model() -> Result<()> {
    let (place, golden) = (Place::new()?, golden("conv_vpred"));
    let model = golden.display().to_string();
    let ended = place.run(["export", "--model", &model, "--out", "onnx"])?.succeeded()?;
    ensure!(ended.stdout == "onnx\n", "{ended:?}");

    let mut files = vec!["model_index.json".to_owned(), "scheduler/scheduler_config.json".to_owned()];
    for component in ["text_encoder", "text_encoder_2", "unet", "vae_decoder", "vae_encoder"] {
        files.extend(
            ["config.json", "model.onnx", "model.onnx_data"].map(|file| format!("{component}/{file}")),
        );
    }
    files.extend(["tokenizer", "tokenizer_2"].map(|folder| format!("{folder}/tokenizer.json")));
    let absent: Vec<&String> = files.iter().filter(|file| !place.path("onnx").join(file).is_file()).collect();
    ensure!(absent.is_empty(), "not written: {absent:?}");

    matches_golden(&place, &golden, &place.path("onnx"))?;
    Ok(())
}

/// There are no weights to read in it.
#[test]
fn an_exported_folder_is_no_source_of_an_export() -> Result<()> {
    let place = Place::new()?;
    let model = golden("optimum_export").display().to_string();
    let ended = place.run(["export", "--model", &model, "--out", "onnx"])?;
    let line = ended.one_line(1)?;
    ensure!(line.contains("must hold .safetensors weights"), "{line}");
    Ok(())
}
