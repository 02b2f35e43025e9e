//! Every graph of stable-diffusion-xl-base-1.0 builds without weights, and reads every tensor of both layouts.
//!
//! Configurations are the published ones; names and shapes are derived by `scripts/goldens/sdxl_keys.py`.

mod common;

use std::collections::BTreeMap;
use std::fs::File;

use anyhow::{Context, Result, ensure};
use common::golden;
use flate2::read::GzDecoder;
use ourvidz_runtime::{DType, Error, Graph, Target, TensorSet, TensorView};
use ourvidz_sdxl::graphs::{self, ClipTextConfig, UNetConfig, VaeConfig};
use serde_json::{Value, from_value};

type Shapes = BTreeMap<String, Vec<usize>>;
type Views = BTreeMap<String, TensorView>;

const COMPONENTS: [&str; 4] = ["text_encoder", "text_encoder_2", "unet", "vae"];
const LOWERINGS: [(Target, DType); 3] =
    [(Target::Portable, DType::F32), (Target::Cuda, DType::F16), (Target::Cuda, DType::Bf16)];

/// A buffer of the single file that the published folders no longer have.
const POSITION_IDS: &str = "text_model.embeddings.position_ids";

#[test]
fn diffusers_layout_is_read_exactly() -> Result<()> {
    for component in COMPONENTS {
        let shapes = shapes(component)?;
        for (target, dtype) in LOWERINGS {
            build(component, views(&shapes), target, dtype)
                .with_context(|| format!("{component} {target:?} {dtype}"))?;
        }
    }
    Ok(())
}

#[test]
fn single_file_layout_is_read_exactly() -> Result<()> {
    for component in COMPONENTS {
        let tensors = from_single_file(component)?;
        for (target, dtype) in LOWERINGS {
            build(component, tensors.clone(), target, dtype)
                .with_context(|| format!("{component} {target:?} {dtype}"))?;
        }
    }
    Ok(())
}

#[test]
fn single_file_maps_onto_the_diffusers_names_and_shapes() -> Result<()> {
    for component in COMPONENTS {
        let mut found: Shapes =
            from_single_file(component)?.into_iter().map(|(name, view)| (name, view.shape)).collect();
        ensure!(found.remove(POSITION_IDS).is_some() == (component == "text_encoder"), "{component}");
        let expected = shapes(component)?;
        ensure!(expected.len() > 190, "{component} has {} tensors", expected.len());
        for (name, shape) in &expected {
            ensure!(found.get(name) == Some(shape), "{component}: {name} {shape:?} {:?}", found.get(name));
        }
        ensure!(found.len() == expected.len(), "{component}: {} tensors", found.len());
    }
    Ok(())
}

/// The checks above see through one tensor: without it, with one more, with another shape.
#[test]
fn a_missing_tensor_is_named() -> Result<()> {
    for (component, name, shape) in samples() {
        let mut shapes = shapes(component)?;
        ensure!(shapes.remove(name).as_deref() == Some(shape), "{name}");
        let error = refusal(component, &shapes)?;
        let Error::MissingTensor { component: part, tensor, expected } = &error else {
            anyhow::bail!("{error}");
        };
        ensure!((part.as_str(), tensor.as_str()) == (component, name), "{error}");
        ensure!(*expected == format!("{shape:?}"), "{error}");
    }
    Ok(())
}

#[test]
fn an_unread_tensor_is_named() -> Result<()> {
    for (component, name, _) in samples() {
        let mut shapes = shapes(component)?;
        let extra = format!("{name}.surplus");
        shapes.insert(extra.clone(), vec![3, 5]);
        let error = refusal(component, &shapes)?;
        let Error::UnreadTensors { component: part, count, first } = &error else {
            anyhow::bail!("{error}");
        };
        ensure!(part == component && *count == 1, "{error}");
        ensure!(*first == format!("{extra} [3, 5]"), "{error}");
    }
    Ok(())
}

#[test]
fn a_wrong_shape_is_named() -> Result<()> {
    for (component, name, shape) in samples() {
        let mut shapes = shapes(component)?;
        let mut other = shape.to_vec();
        other[0] += 1;
        shapes.insert(name.to_owned(), other.clone());
        let error = refusal(component, &shapes)?;
        let Error::WrongShape { component: part, tensor, expected, found } = &error else {
            anyhow::bail!("{error}");
        };
        ensure!((part.as_str(), tensor.as_str()) == (component, name), "{error}");
        ensure!((expected, found) == (&format!("{shape:?}"), &format!("{other:?}")), "{error}");
    }
    Ok(())
}

/// A name of a single file that belongs nowhere is named before anything is built.
#[test]
fn an_unknown_name_of_a_single_file_is_named() -> Result<()> {
    let mut tensors = views(&shapes("single_file")?);
    let extra = "model.diffusion_model.input_blocks.4.9.weight";
    tensors.insert(extra.into(), TensorView::without_data(DType::F16, vec![7]));
    let message = map_single_file(tensors).err().context("must be refused")?.to_string();
    ensure!(message == format!("checkpoint: 1 tensors were never read, first {extra} [7]"), "{message}");
    Ok(())
}

/// The Portable target keeps to standard ONNX; the CUDA target does not.
#[test]
fn operators_keep_to_the_target() -> Result<()> {
    for component in COMPONENTS {
        let tensors = views(&shapes(component)?);
        let domains = |target, dtype| -> Result<Vec<String>> {
            let operators = build(component, tensors.clone(), target, dtype)?;
            Ok(operators.iter().filter_map(|op| op.split_once(':')).map(|(d, _)| d.to_owned()).collect())
        };
        let portable = domains(Target::Portable, DType::F32)?;
        ensure!(!portable.is_empty() && portable.iter().all(String::is_empty), "{component}");
        let cuda = domains(Target::Cuda, DType::F16)?;
        ensure!(cuda.iter().any(|domain| domain == "com.microsoft"), "{component}");
        ensure!(cuda.iter().all(|d| ["", "com.microsoft", "ourvidz"].contains(&d.as_str())), "{component}");
    }
    Ok(())
}

/// One tensor of each component, deep inside, with its published shape.
fn samples() -> [(&'static str, &'static str, &'static [usize]); 5] {
    [
        ("text_encoder", "text_model.encoder.layers.11.mlp.fc2.weight", &[768, 3072]),
        ("text_encoder_2", "text_projection.weight", &[1280, 1280]),
        ("unet", "up_blocks.0.attentions.2.transformer_blocks.9.ff.net.0.proj.bias", &[10240]),
        ("vae", "decoder.up_blocks.2.resnets.0.conv_shortcut.weight", &[256, 512, 1, 1]),
        ("vae", "encoder.mid_block.attentions.0.to_q.weight", &[512, 512]),
    ]
}

fn refusal(component: &str, shapes: &Shapes) -> Result<Error> {
    match build(component, views(shapes), Target::Portable, DType::F32) {
        Err(error) => match error.downcast::<ourvidz_sdxl::Error>()? {
            ourvidz_sdxl::Error::Runtime(error) => Ok(error),
            other => Err(other.into()),
        },
        Ok(_) => anyhow::bail!("{component} was built"),
    }
}

/// Builds the graphs of a component and gives their operators; fails on what is missing or unread.
fn build(component: &str, tensors: Views, target: Target, dtype: DType) -> Result<Vec<String>> {
    let tensors = TensorSet::new(component, tensors);
    let mut g = Graph::new(component, target, dtype);
    let mut operators = Vec::new();
    match component {
        "unet" => graphs::unet(&mut g, &tensors, &from_value(config(component)?)?)?,
        "vae" => {
            let mut encoder = Graph::new("vae_encoder", target, dtype);
            graphs::vae(&mut g, &mut encoder, &tensors, &from_value(config(component)?)?)?;
            operators.extend(encoder.finish().operators());
        }
        _ => graphs::text_encoder(&mut g, &tensors, &from_value::<ClipTextConfig>(config(component)?)?)?,
    }
    operators.extend(g.finish().operators());
    Ok(operators)
}

fn from_single_file(component: &str) -> Result<Views> {
    let named = map_single_file(views(&shapes("single_file")?))?;
    Ok(match component {
        "text_encoder" => named.text_encoder,
        "text_encoder_2" => named.text_encoder_2,
        "unet" => named.unet,
        _ => named.vae,
    })
}

fn map_single_file(tensors: Views) -> Result<graphs::Named> {
    let unet: UNetConfig = from_value(config("unet")?)?;
    let vae: VaeConfig = from_value(config("vae")?)?;
    Ok(graphs::original_to_diffusers(tensors, &unet, &vae)?)
}

fn config(component: &str) -> Result<Value> {
    let path = golden("sdxl_base_keys").join(component).join("config.json");
    Ok(serde_json::from_reader(File::open(path)?)?)
}

fn shapes(list: &str) -> Result<Shapes> {
    let path = golden("sdxl_base_keys").join(format!("{list}.json.gz"));
    Ok(serde_json::from_reader(GzDecoder::new(File::open(path)?))?)
}

/// As fp16 files, which is how they are published.
fn views(shapes: &Shapes) -> Views {
    let view = |shape: &Vec<usize>| TensorView::without_data(DType::F16, shape.clone());
    shapes.iter().map(|(name, shape)| (name.clone(), view(shape))).collect()
}
