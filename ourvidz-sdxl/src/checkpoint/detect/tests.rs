//! What shapes tell, against the published configurations: names and shapes of `scripts/goldens/sdxl_keys.py`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use ourvidz_runtime::{DType, TensorView};
use serde::Serialize;

use super::*;
use crate::config::read_json;

#[test]
fn configurations_are_those_published_with_sdxl_base() -> Result<()> {
    let tensors = single_file()?;
    let mut published: UNetConfig = read_json(&keys("unet/config.json"))?;
    published.other.clear(); // fields that choose nothing here
    same("unet", &unet(&tensors)?, &published)?;
    let mut published: VaeConfig = read_json(&keys("vae/config.json"))?;
    published.other.clear();
    same("vae", &vae(&tensors), &published)?;
    let published: ClipTextConfig = read_json(&keys("text_encoder/config.json"))?;
    same("text_encoder", &vit_l(&tensors), &published)?;
    let published: ClipTextConfig = read_json(&keys("text_encoder_2/config.json"))?;
    same("text_encoder_2", &vit_big_g(&tensors), &published)
}

/// Guards the comparison above: fields that are skipped or defaulted on both sides would agree.
#[test]
fn what_is_detected_has_the_published_numbers() -> Result<()> {
    let config = unet(&single_file()?)?;
    ensure!(config.block_out_channels == [320, 640, 1280]);
    ensure!(config.down_block_types == ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]);
    ensure!(config.up_block_types == ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]);
    ensure!([1, 2].map(|i| config.transformer_layers_per_block.at(i)) == [Some(2), Some(10)]);
    ensure!([0, 1, 2].map(|i| config.attention_head_dim.at(i)) == [Some(5), Some(10), Some(20)]);
    ensure!(config.layers_per_block.at(0) == Some(2));
    ensure!(config.cross_attention_dim == 2048 && config.use_linear_projection);
    ensure!(config.addition_time_embed_dim == 256);
    ensure!(config.projection_class_embeddings_input_dim == 2816);
    Ok(())
}

/// Another model of the family differs where its shapes do.
#[test]
fn shapes_decide() -> Result<()> {
    let mut tensors = single_file()?;
    // Inpainting models take nine channels; a projection by convolution has four axes.
    let mut reshape = |name: &str, shape: &[usize]| -> Result<()> {
        tensors.get_mut(name).with_context(|| name.to_owned())?.shape = shape.to_vec();
        Ok(())
    };
    reshape("model.diffusion_model.input_blocks.0.0.weight", &[320, 9, 3, 3])?;
    for block in [4, 5] {
        reshape(&format!("model.diffusion_model.input_blocks.{block}.1.proj_in.weight"), &[640, 640, 1, 1])?;
    }
    for block in [7, 8] {
        let name = format!("model.diffusion_model.input_blocks.{block}.1.proj_in.weight");
        reshape(&name, &[1280, 1280, 1, 1])?;
    }
    tensors.retain(|name, _| !name.contains("input_blocks.7.1.transformer_blocks.9."));
    tensors.retain(|name, _| !name.contains("embedders.0.transformer.text_model.encoder.layers.11."));
    let config = unet(&tensors)?;
    ensure!(config.in_channels == 9 && config.out_channels == 4, "{config:?}");
    ensure!(!config.use_linear_projection, "{config:?}");
    ensure!(config.transformer_layers_per_block.at(2) == Some(9), "{config:?}");
    ensure!(vit_l(&tensors).num_hidden_layers == 11);
    Ok(())
}

#[test]
fn a_file_of_another_model_is_refused_by_the_tensor_it_lacks() -> Result<()> {
    let mut tensors = single_file()?;
    tensors.retain(|name, _| !name.contains("label_emb"));
    let message = unet(&tensors).err().context("must be refused")?.to_string();
    ensure!(message.contains("model.diffusion_model.label_emb.0.0.weight"), "{message}");
    Ok(())
}

#[test]
fn the_scheduler_is_the_published_one_unless_marked() -> Result<()> {
    let mut tensors = single_file()?;
    let published: Value = read_json(&keys("scheduler/scheduler_config.json"))?;
    let detected = scheduler(&tensors)?;
    let differing = |detected: &Value| -> Result<Vec<String>> {
        let fields = detected.as_object().context("an object")?;
        // The published file leaves one field to its default.
        let expected = |name: &str| match name {
            "rescale_betas_zero_snr" => json!(false),
            _ => published[name].clone(),
        };
        Ok(fields.iter().filter(|(name, value)| **value != expected(name)).map(|(n, _)| n.clone()).collect())
    };
    ensure!(differing(&detected)?.is_empty(), "{detected}");

    tensors.insert("v_pred".into(), TensorView::without_data(DType::F16, vec![0]));
    let detected = scheduler(&tensors)?;
    ensure!(differing(&detected)? == ["prediction_type"], "{detected}");
    ensure!(detected["prediction_type"] == "v_prediction", "{detected}");
    tensors.insert("ztsnr".into(), TensorView::without_data(DType::F16, vec![0]));
    let detected = scheduler(&tensors)?;
    ensure!(detected["rescale_betas_zero_snr"] == true, "{detected}");
    ensure!(detected["timestep_spacing"] == "trailing", "{detected}");
    Ok(())
}

fn same(name: &str, found: &impl Serialize, expected: &impl Serialize) -> Result<()> {
    let (found, expected) = (serde_json::to_value(found)?, serde_json::to_value(expected)?);
    let fields = expected.as_object().context("an object")?;
    ensure!(found.as_object().map(|fields| fields.len()) == Some(fields.len()), "{name}: {found}");
    for (field, value) in fields {
        ensure!(found[field] == *value, "{name}: {field} is {}, expected {value}", found[field]);
    }
    Ok(())
}

fn single_file() -> Result<Tensors> {
    let list: BTreeMap<String, Vec<usize>> =
        serde_json::from_reader(GzDecoder::new(File::open(keys("single_file.json.gz"))?))?;
    let view = |shape| TensorView::without_data(DType::F16, shape);
    Ok(list.into_iter().map(|(name, shape)| (name, view(shape))).collect())
}

fn keys(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/sdxl_base_keys").join(name)
}
