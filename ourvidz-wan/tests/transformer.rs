//! One prediction of every tiny checkpoint against diffusers 0.42.1, in both lowerings on the processor; whole arrays of
//! `scripts/goldens/wan_tiny.py`.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ourvidz_runtime::{
    DType, Graph, Session, SessionOptions, Target, Tensor, TensorSet, WeightCache, open_weights,
};
use ourvidz_wan::graphs::{self, ConditioningInputs, Control, Transformer};
use ourvidz_wan::{RotaryTables, WanTransformerConfig};
use safetensors::{Dtype, SafeTensors};

/// Relative L2 error allowed per tensor.
const FP32: f64 = 1e-4;

/// The fused operators have kernels for f32 on the processor: both lowerings are run there.
const TARGETS: [Target; 2] = [Target::Portable, Target::Cuda];

type Goldens = BTreeMap<String, Tensor>;

#[test]
fn text_to_video() -> Result<()> {
    for name in ["t2v_f32", "t2v_bf16", "t2v_sharded", "oblong"] {
        let golden = goldens(name)?;
        for target in TARGETS {
            let mut model = load(name, target)?;
            let embeds = &golden["transformer.encoder_hidden_states"];
            for case in ["transformer.0", "transformer.1"] {
                let found = predict(&mut model, &golden, case, embeds, None, None)?;
                close(&format!("{name} {target:?} {case}"), &found, &golden[&format!("{case}.sample")])?;
            }
        }
    }
    Ok(())
}

#[test]
fn image_to_video() -> Result<()> {
    for name in ["i2v", "flf2v"] {
        let golden = goldens(name)?;
        let embeds = &golden["transformer.0.encoder_hidden_states"];
        let image = &golden["transformer.0.encoder_hidden_states_image"];
        for target in TARGETS {
            let found =
                predict(&mut load(name, target)?, &golden, "transformer.0", embeds, Some(image), None)?;
            close(&format!("{name} {target:?}"), &found, &golden["transformer.0.sample"])?;
        }
    }
    Ok(())
}

#[test]
fn vace() -> Result<()> {
    let golden = goldens("vace")?;
    let scale = golden["transformer.0.control_hidden_states_scale"].clone().into_f32();
    let control = &golden["transformer.0.control_hidden_states"];
    let embeds = &golden["transformer.0.encoder_hidden_states"];
    for target in TARGETS {
        let mut model = load("vace", target)?;
        let control = Some(Control { hidden_states: control, scale: &scale });
        let found = predict(&mut model, &golden, "transformer.0", embeds, None, control)?;
        close(&format!("vace {target:?}"), &found, &golden["transformer.0.sample"])?;
    }
    Ok(())
}

/// What the pipeline of diffusers predicted after guidance, from its own latents and prompts.
#[test]
fn guided_predictions_of_a_run() -> Result<()> {
    let golden = goldens("t2v_f32")?;
    for target in TARGETS {
        let mut model = load("t2v_f32", target)?;
        let latents = &golden["initial_latents"];
        let timestep = golden["unipc.timesteps"].clone().into_f32()[0];
        let mut both = Vec::new();
        // Both conditionings live at once on one transformer.
        let mut conditionings = Vec::new();
        for embeds in ["prompt_embeds", "negative_prompt_embeds"] {
            conditionings.push(model.condition(&inputs(&golden[embeds], latents)?)?);
        }
        for conditioning in &mut conditionings {
            both.push(model.predict(conditioning, latents, timestep)?.into_f32());
        }
        let guided = both[0].iter().zip(&both[1]).map(|(text, none)| none + 5.0 * (text - none)).collect();
        let guided = Tensor::f32(latents.shape(), guided)?;
        close(&format!("guided {target:?}"), &guided, &golden["unipc.noise_pred.0"])?;
    }
    Ok(())
}

#[test]
fn a_batch_of_two_is_two_of_one() -> Result<()> {
    let golden = goldens("t2v_sharded")?;
    let latents = [&golden["transformer.1.hidden_states"], &golden["transformer.1.hidden_states"]];
    let shifted =
        Tensor::f32(latents[1].shape(), latents[1].clone().into_f32().iter().map(|x| 0.5 - x).collect())?;
    let latents = [latents[0], &shifted];
    let embeds = [&golden["prompt_embeds"], &golden["negative_prompt_embeds"]];
    for target in TARGETS {
        let mut model = load("t2v_sharded", target)?;
        let mut alone = Vec::new();
        for (latents, embeds) in latents.iter().zip(embeds) {
            let mut conditioning = model.condition(&inputs(embeds, latents)?)?;
            alone.extend(model.predict(&mut conditioning, latents, 421.0)?.into_f32());
        }
        let (latents, embeds) = (joined(latents)?, joined(embeds)?);
        let mut conditioning = model.condition(&inputs(&embeds, &latents)?)?;
        let found = model.predict(&mut conditioning, &latents, 421.0)?;
        close(&format!("batch {target:?}"), &found, &Tensor::f32(latents.shape(), alone)?)?;
    }
    Ok(())
}

/// A conditioning serves every step: later predictions do not see earlier ones.
#[test]
fn predictions_repeat() -> Result<()> {
    let golden = goldens("t2v_f32")?;
    let latents = &golden["transformer.0.hidden_states"];
    for target in TARGETS {
        let mut model = load("t2v_f32", target)?;
        let mut conditioning = model.condition(&inputs(&golden["prompt_embeds"], latents)?)?;
        let first = model.predict(&mut conditioning, latents, 900.0)?;
        let other = model.predict(&mut conditioning, latents, 100.0)?;
        ensure!(first != other, "the timestep is not seen");
        ensure!(model.predict(&mut conditioning, latents, 900.0)? == first, "not the same numbers");
    }
    Ok(())
}

/// Every dumped value inside of the graphs.
#[test]
fn values_inside() -> Result<()> {
    let golden = goldens("t2v_f32")?;
    for target in TARGETS {
        let (config, tensors) = checkpoint("t2v_f32")?;
        let [mut conditioning, mut step] = new_graphs(target);
        let mut seen = Vec::new();
        graphs::transformer_tapped(
            &mut conditioning,
            &mut step,
            &tensors,
            &config,
            &mut |g, name, value| {
                g.output(&format!("debug.{name}"), value);
                seen.push(format!("debug.{name}"));
            },
        )?;
        let cache = tempfile::tempdir()?;
        let load = |graph: Graph| {
            let cache = WeightCache::new(cache.path());
            Session::load(&graph.finish(), &SessionOptions::default(), &cache, &mut |_| ())
        };
        let (mut conditioning, mut step) = (load(conditioning)?, load(step)?);
        let text = [("encoder_hidden_states", &golden["transformer.encoder_hidden_states"])];
        let names: Vec<String> = conditioning.outputs().map(str::to_owned).collect();
        let mut found: Goldens = names.iter().cloned().zip(conditioning.run(&text, &refs(&names))?).collect();

        let latents = &golden["transformer.1.hidden_states"];
        let tables = RotaryTables::new(&config, [3, 2, 5])?;
        let half = |table: &[f32]| Tensor::f32(&[30, 6], table.iter().step_by(2).copied().collect());
        let (cos, sin) = (half(&tables.cos)?, half(&tables.sin)?);
        let timestep = &golden["transformer.1.timestep"];
        let mut inputs =
            vec![("hidden_states", latents), ("timestep", timestep), ("cos", &cos), ("sin", &sin)];
        let of_prompt = found.clone();
        let kept = of_prompt.iter().filter(|(name, _)| name.starts_with("blocks."));
        inputs.extend(kept.map(|(name, tensor)| (name.as_str(), tensor)));
        let names: Vec<String> = step.outputs().map(str::to_owned).collect();
        found.extend(names.iter().cloned().zip(step.run(&inputs, &refs(&names))?));

        // The product and the sum are one operator in a graph for CUDA.
        let [before, after] = ["before", "after"].map(|when| &found[&format!("debug.block.0.attn2.{when}")]);
        let pairs = after.clone().into_f32().into_iter().zip(before.clone().into_f32());
        let added = Tensor::f32(after.shape(), pairs.map(|(after, before)| after - before).collect())?;
        found.insert("debug.block.0.attn2".into(), added);

        let mut compared = 0;
        for (name, expected) in golden.iter().filter(|(name, _)| name.starts_with("debug.")) {
            match name.as_str() {
                // Part of the modulated norm here; tables are inputs, with a test of their own.
                "debug.block.0.norm1" | "debug.rope.cos" | "debug.rope.sin" => continue,
                // [1, D, F, H, W] there, [1, L, D] here.
                "debug.patch_embedding" => {
                    let array = expected.clone().into_array()?.into_shape_with_order(vec![1, 24, 30])?;
                    let expected = Tensor::from_array(&array.permuted_axes(vec![0, 2, 1]));
                    close(name, found.get(name).context(name.clone())?, &expected)?;
                }
                _ => close(name, found.get(name).context(name.clone())?, expected)?,
            }
            compared += 1;
        }
        ensure!(compared == 10, "{compared} values, seen {seen:?}");
    }
    Ok(())
}

#[test]
fn inputs_that_do_not_fit_are_refused() -> Result<()> {
    let golden = goldens("t2v_f32")?;
    let (embeds, latents) = (&golden["prompt_embeds"], &golden["transformer.0.hidden_states"]);
    let mut model = load("t2v_f32", Target::Portable)?;
    let mut refusal = |inputs: ConditioningInputs<'_>| -> Result<String> {
        let error = model.condition(&inputs).err().context("must be refused")?;
        ensure!(!error.retryable(), "{error}");
        Ok(error.to_string())
    };
    let fitting = inputs(embeds, latents)?;
    let narrow = Tensor::f32(&[1, 3, 5], vec![0.0; 15])?;
    let found = refusal(ConditioningInputs { prompt_embeds: &narrow, ..fitting })?;
    ensure!(found == "prompt_embeds must be [B, S, 24], got [1, 3, 5]", "{found}");
    let found = refusal(ConditioningInputs { latents: [1, 7, 4], ..fitting })?;
    ensure!(found == "latents must be multiples of [1, 2, 2], got [1, 7, 4]", "{found}");
    let found = refusal(ConditioningInputs { image_embeds: Some(embeds), ..fitting })?;
    ensure!(found == "image_embeds must be absent, got [1, 512, 24]", "{found}");
    let control = Some(Control { hidden_states: latents, scale: &[1.0] });
    let found = refusal(ConditioningInputs { control, ..fitting })?;
    ensure!(found == "control must be absent, got control", "{found}");
    let mut conditioning = model.condition(&fitting)?;
    let other = &golden["transformer.1.hidden_states"];
    let error = model.predict(&mut conditioning, other, 1.0).err().context("must be refused")?.to_string();
    ensure!(error == "latents must be [1, 4, 1, 6, 4], got [1, 4, 3, 4, 10]", "{error}");

    let golden = goldens("vace")?;
    let latents = &golden["transformer.0.hidden_states"];
    let fitting = inputs(&golden["prompt_embeds"], latents)?;
    let mut model = load("vace", Target::Portable)?;
    let error = model.condition(&fitting).err().context("must be refused")?.to_string();
    ensure!(error == "control must be given to a VACE model, got nothing", "{error}");
    let control =
        Some(Control { hidden_states: &golden["transformer.0.control_hidden_states"], scale: &[1.0] });
    let error =
        model.condition(&ConditioningInputs { control, ..fitting }).err().context("must be refused")?;
    ensure!(error.to_string() == "control_hidden_states_scale must be 2 numbers, got [1]", "{error}");
    Ok(())
}

fn predict(
    model: &mut Transformer,
    golden: &Goldens,
    case: &str,
    embeds: &Tensor,
    image_embeds: Option<&Tensor>,
    control: Option<Control<'_>>,
) -> Result<Tensor> {
    let latents = &golden[&format!("{case}.hidden_states")];
    let timestep = golden[&format!("{case}.timestep")].clone().into_f32()[0];
    let inputs = ConditioningInputs { image_embeds, control, ..inputs(embeds, latents)? };
    let mut conditioning = model.condition(&inputs)?;
    Ok(model.predict(&mut conditioning, latents, timestep)?)
}

fn inputs<'a>(embeds: &'a Tensor, latents: &Tensor) -> Result<ConditioningInputs<'a>> {
    let &[_, _, frames, height, width] = latents.shape() else { anyhow::bail!("{:?}", latents.shape()) };
    let latents = [frames, height, width];
    Ok(ConditioningInputs { prompt_embeds: embeds, image_embeds: None, control: None, latents })
}

/// Two tensors behind one another along their first axis.
fn joined([a, b]: [&Tensor; 2]) -> Result<Tensor> {
    let mut shape = a.shape().to_vec();
    shape[0] += b.shape()[0];
    Ok(Tensor::f32(&shape, [a.clone().into_f32(), b.clone().into_f32()].concat())?)
}

fn load(name: &str, target: Target) -> Result<Transformer> {
    let (config, tensors) = checkpoint(name)?;
    let [mut conditioning, mut step] = new_graphs(target);
    graphs::transformer(&mut conditioning, &mut step, &tensors, &config)?;
    let (conditioning, step) = (conditioning.finish(), step.finish());
    let fused = step.operators().any(|operator| operator.starts_with("com.microsoft:"));
    ensure!(fused == (target == Target::Cuda), "operators of {target:?}");
    let cache = tempfile::tempdir()?;
    let cache = WeightCache::new(cache.path());
    let options = SessionOptions::default();
    Ok(Transformer::load((&conditioning, &step), config, &options, &cache, &mut |_| ())?)
}

fn new_graphs(target: Target) -> [Graph; 2] {
    ["transformer_conditioning", "transformer"].map(|name| Graph::new(name, target, DType::F32))
}

fn checkpoint(name: &str) -> Result<(WanTransformerConfig, TensorSet)> {
    let folder = golden(name).join("transformer");
    let config = WanTransformerConfig::from_json(&std::fs::read_to_string(folder.join("config.json"))?)?;
    let tensors = open_weights(&folder, "diffusion_pytorch_model", None)?;
    Ok((config, TensorSet::new("transformer", tensors)))
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/wan").join(name)
}

/// f32 and i64 tensors of a golden file, the latter as f32.
fn goldens(name: &str) -> Result<Goldens> {
    let bytes = std::fs::read(golden(name).join("golden.safetensors"))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in SafeTensors::deserialize(&bytes)?.tensors() {
        let values = match view.dtype() {
            Dtype::F32 => view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::I64 => {
                view.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as f32).collect()
            }
            _ => continue,
        };
        tensors.insert(name, Tensor::f32(view.shape(), values)?);
    }
    Ok(tensors)
}

fn refs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// Shape and relative L2 error of whole arrays.
fn close(name: &str, found: &Tensor, expected: &Tensor) -> Result<()> {
    ensure!(
        found.shape() == expected.shape(),
        "{name}: {:?}, expected {:?}",
        found.shape(),
        expected.shape()
    );
    let (found, expected) = (found.clone().into_f32(), expected.clone().into_f32());
    ensure!(!expected.is_empty(), "{name}: nothing to compare");
    let square = |x: f64| x * x;
    let difference: f64 = found.iter().zip(&expected).map(|(a, b)| square(f64::from(a - b))).sum();
    let size: f64 = expected.iter().map(|b| square(f64::from(*b))).sum();
    let error = (difference / size).sqrt();
    println!("{name}: {error:.1e}");
    ensure!(error <= FP32, "{name}: relative error {error:.2e}, allowed {FP32:e}");
    Ok(())
}
