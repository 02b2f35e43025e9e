//! Every layout holds what the diffusers folder holds; every original name has its place.

use std::fs::{self, File};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use ourvidz_runtime::DType;
use safetensors::tensor::{Dtype, TensorView as Stored};

use super::*;

const MODELS: [&str; 6] = ["t2v_1.3b", "vace_1.3b", "t2v_14b", "i2v_14b_480p", "flf2v_14b_720p", "vace_14b"];
const TRANSFORMER: &str = "repackaged/diffusion_models/wan2.1_t2v_1.3B_bf16.safetensors";
const TEXT: &str = "repackaged/text_encoders/umt5_xxl_bf16.safetensors";
const VAE: &str = "repackaged/vae/wan_2.1_vae.safetensors";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

fn layout(name: &str) -> PathBuf {
    golden("wan/layouts").join(name)
}

fn listed(list: &str) -> Result<Tensors> {
    let path = golden("wan_keys").join(format!("{list}.json.gz"));
    let shapes: BTreeMap<String, (String, Vec<usize>)> =
        serde_json::from_reader(GzDecoder::new(File::open(path)?))?;
    Ok(shapes
        .into_iter()
        .map(|(name, (_, shape))| (name, TensorView::without_data(DType::F32, shape)))
        .collect())
}

fn config_text(name: &str) -> Result<String> {
    Ok(fs::read_to_string(golden("wan_keys/configs").join(format!("{name}.json")))?)
}

fn same_shapes(list: &str, found: &Tensors, expected: &Tensors) -> Result<()> {
    for (name, view) in expected {
        let shape = found.get(name).map(|view| &view.shape);
        ensure!(shape == Some(&view.shape), "{list}: {name} {:?}, found {shape:?}", view.shape);
    }
    ensure!(found.len() == expected.len() && found.len() > 190, "{list}: {} tensors", found.len());
    Ok(())
}

#[test]
fn original_transformers_map_onto_the_names_of_diffusers() -> Result<()> {
    for model in MODELS {
        let (original, expected) = (listed(&format!("{model}.original"))?, listed(model)?);
        ensure!(original.keys().ne(expected.keys()), "{model}");
        let prefixed = original
            .iter()
            .map(|(name, view)| (format!("model.diffusion_model.{name}"), view.clone()))
            .collect();
        let config = WanTransformerConfig::from_json(&config_text(model)?)?;
        for tensors in [original, prefixed, expected.clone()] {
            let found = transformer_to_diffusers(tensors)?;
            same_shapes(model, &found, &expected)?;
            let detected = detect::transformer(&found)?;
            ensure!(detected == config, "{model}: {detected:?}, expected {config:?}");
        }
    }
    Ok(())
}

#[test]
fn the_original_umt5_and_vae_map_too() -> Result<()> {
    let expected = listed("umt5_xxl")?;
    for tensors in [listed("umt5_xxl.original")?, expected.clone()] {
        let found = umt5_to_transformers(tensors)?;
        same_shapes("umt5_xxl", &found, &expected)?;
        ensure!(detect::umt5(&found)? == Umt5Config::umt5_xxl());
    }
    let expected = listed("vae")?;
    for tensors in [listed("vae.original")?, expected.clone()] {
        let (found, config) = names::vae_with_config(tensors)?;
        same_shapes("vae", &found, &expected)?;
        let mut published = AutoencoderKLWanConfig::from_json(&config_text("vae")?)?;
        published.other.clear();
        ensure!(serde_json::to_value(&config)? == serde_json::to_value(&published)?, "{config:?}");
    }
    Ok(())
}

/// Blocks of which a tiny VAE has another number, so that levels begin elsewhere.
#[test]
fn levels_of_the_vae_follow_the_number_of_blocks() -> Result<()> {
    let view = || TensorView::without_data(DType::F32, vec![1]);
    let tensors = [
        "encoder.conv1.weight",
        "decoder.upsamples.2.resample.1.weight",
        "decoder.upsamples.3.shortcut.bias",
    ]
    .map(|name| (name.to_owned(), view()));
    let found = vae_to_diffusers(tensors.into(), 1)?;
    let expected = [
        "decoder.up_blocks.0.upsamplers.0.resample.1.weight",
        "decoder.up_blocks.1.resnets.0.conv_shortcut.bias",
        "encoder.conv_in.weight",
    ];
    ensure!(found.keys().eq(expected), "{:?}", found.keys());
    Ok(())
}

#[test]
fn names_of_nobody_stay_and_doubles_are_refused() -> Result<()> {
    let mut tensors = listed("t2v_1.3b.original")?;
    let view = TensorView::without_data(DType::F32, vec![7]);
    tensors.insert("blocks.3.self_attn.query.weight".into(), view.clone());
    tensors.insert("blocks.3.cross_attn.norm_q_img.weight".into(), view.clone());
    let found = transformer_to_diffusers(tensors.clone())?;
    ensure!(found.contains_key("blocks.3.self_attn.query.weight") && found.len() == 826);
    tensors.insert("model.diffusion_model.head.head.bias".into(), view);
    let error = transformer_to_diffusers(tensors).err().context("must be refused")?.to_string();
    ensure!(error.contains("head.head.bias, whose name is another's too"), "{error}");
    Ok(())
}

/// The numbers of a tensor in f32, row by row.
fn numbers(view: &TensorView) -> Result<Vec<f32>> {
    let file = fs::read(&view.file)?;
    let bytes = &file[view.offset as usize..][..view.len() as usize];
    let plain: Vec<f32> = match view.dtype {
        DType::Bf16 => bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|b| f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16))
            .collect(),
        _ => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
    };
    Ok(match (view.stored_transposed, &view.shape[..]) {
        (true, [rows, columns, ..]) => {
            (0..rows * columns).map(|i| plain[i % columns * rows + i / columns]).collect()
        }
        _ => plain,
    })
}

fn same_numbers(found: &TensorSet, expected: &TensorSet) -> Result<()> {
    let (component, other) = (found.component(), found.iter().count());
    ensure!(other == expected.iter().count() && other > 0, "{component}: {other} tensors");
    for ((name, view), (expected_name, expected)) in found.iter().zip(expected.iter()) {
        ensure!(name == expected_name && view.shape == expected.shape, "{component}: {name} {expected_name}");
        ensure!(numbers(view)? == numbers(expected)?, "{component}: {name}");
    }
    Ok(())
}

fn source(path: PathBuf) -> CheckpointSource {
    CheckpointSource { path, ..CheckpointSource::default() }
}

#[test]
fn every_layout_is_the_diffusers_folder() -> Result<()> {
    let expected = Checkpoint::open(&source(golden("wan/t2v_bf16")))?;
    ensure!(expected.scheduler.as_ref().is_some_and(|s| s["_class_name"] == "UniPCMultistepScheduler"));
    let alone = CheckpointSource {
        path: layout("original/diffusion_pytorch_model.safetensors"),
        text_encoder: Some(layout("original/models_t5_umt5-xxl-enc-bf16.pth")),
        vae: Some(layout(VAE)),
        ..CheckpointSource::default()
    };
    let mixed = CheckpointSource {
        text_encoder: Some(layout(TEXT)),
        vae: Some(layout("original/Wan2.1_VAE.pth")),
        ..source(golden("wan/t2v_bf16"))
    };
    for source in [source(layout("original")), source(layout(TRANSFORMER)), alone, mixed] {
        let found = Checkpoint::open(&source).with_context(|| format!("{source:?}"))?;
        same_numbers(&found.transformer, &expected.transformer)?;
        same_numbers(&found.text_encoder, &expected.text_encoder)?;
        same_numbers(&found.vae, &expected.vae)?;
        ensure!(found.transformer_config == expected.transformer_config, "{:?}", found.transformer_config);
        ensure!(found.text_encoder_config == expected.text_encoder_config, "{:?}", found.text_encoder_config);
        let vae = |config: &AutoencoderKLWanConfig| {
            let mut config = config.clone();
            config.other.clear();
            serde_json::to_value(&config)
        };
        ensure!(vae(&found.vae_config)? == vae(&expected.vae_config)?, "{:?}", found.vae_config);
        let text = "A cat and a dog, 雪の中 [web]";
        ensure!(found.tokenizer.encode(text, 512)? == expected.tokenizer.encode(text, 512)?);
    }
    Ok(())
}

#[test]
fn folders_with_shards_and_other_models_open() -> Result<()> {
    ensure!(Checkpoint::open(&source(golden("wan/t2v_sharded")))?.transformer.iter().count() > 50);
    ensure!(Checkpoint::open(&source(golden("wan/vace")))?.transformer_config.is_vace());
    Ok(())
}

/// A folder of links to a layout's files, but for those whose names hold `without`.
fn linked(from: &Path, to: &Path, without: &str) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_name().to_string_lossy().contains(without) {
            continue;
        }
        if entry.path().is_dir() {
            linked(&entry.path(), &target, without)?;
        } else {
            std::os::unix::fs::symlink(entry.path(), target)?;
        }
    }
    Ok(())
}

#[test]
fn a_component_that_is_not_there_is_named() -> Result<()> {
    let file = "diffusion_models/wan2.1_t2v_1.3B_bf16.safetensors";
    for (layout_name, inner, without, named) in [
        ("original", "", "Wan2.1_VAE", "Wan2.1_VAE.pth"),
        ("original", "", "models_t5", "models_t5_umt5-xxl-enc-bf16.pth"),
        ("original", "", "google", "google/umt5-xxl/tokenizer.json"),
        ("original", "", "diffusion_pytorch_model", "diffusion_pytorch_model.safetensors"),
        ("original", "", "config.json", "model_index.json"),
        ("repackaged", file, "vae", "*vae*.safetensors"),
        ("repackaged", file, "umt5", "*umt5*.safetensors"),
    ] {
        let folder = tempfile::tempdir()?;
        linked(&layout(layout_name), folder.path(), without)?;
        let error = Checkpoint::open(&source(folder.path().join(inner))).err().context("must be refused")?;
        let crate::Error::Runtime(Runtime::NotFound { looked_for, .. }) = &error else {
            anyhow::bail!("{error:?}")
        };
        ensure!(looked_for.iter().any(|path| path.ends_with(named)), "{error}");
    }
    for (without, named) in [
        ("vae", "vae/"),
        ("text_encoder", "text_encoder/"),
        ("tokenizer", "tokenizer/"),
        ("scheduler", "scheduler/"),
    ] {
        let folder = tempfile::tempdir()?;
        linked(&golden("wan/t2v_bf16"), folder.path(), without)?;
        let error = Checkpoint::open(&source(folder.path().into())).err().context("must be refused")?;
        ensure!(error.to_string().contains(named) && error.to_string().contains("not found"), "{error}");
    }
    Ok(())
}

#[test]
fn files_in_8_bits_are_refused_with_what_to_do() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let quantised = folder.path().join("umt5_xxl_fp8_e4m3fn_scaled.safetensors");
    let tensor = Stored::new(Dtype::F8_E4M3, vec![2, 2], &[0; 4])?;
    safetensors::serialize_to_file([("shared.weight", tensor)], None, &quantised)?;
    let own = CheckpointSource { text_encoder: Some(quantised.clone()), ..source(layout(TRANSFORMER)) };
    let error = Checkpoint::open(&own).err().context("must be refused")?.to_string();
    ensure!(
        error.contains("umt5_xxl_fp8") && error.contains("take the bf16 or fp16 file of the text_encoder"),
        "{error}"
    );
    // Beside one in 16 bits, it is passed over.
    linked(&layout("repackaged"), folder.path(), "none")?;
    fs::rename(&quantised, folder.path().join("text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors"))?;
    let path = folder.path().join("diffusion_models/wan2.1_t2v_1.3B_bf16.safetensors");
    Checkpoint::open(&source(path.clone()))?;
    // Two that could be meant are not chosen from.
    std::os::unix::fs::symlink(layout(VAE), folder.path().join("vae/other_vae.safetensors"))?;
    let error = Checkpoint::open(&source(path)).err().context("must be refused")?.to_string();
    ensure!(error.contains("other_vae.safetensors") && error.contains("wan_2.1_vae.safetensors"), "{error}");
    Ok(())
}

#[test]
fn a_configuration_that_contradicts_the_shapes_is_refused() -> Result<()> {
    for (was, is, message) in [
        ("\"num_heads\": 1", "\"num_heads\": 3", "num_heads must divide the width 128, got 3"),
        ("\"WanModel\"", "\"WanModel22\"", "_class_name must be WanModel or VaceWanModel, got WanModel22"),
        ("\"num_heads\"", "\"heads\"", "is not valid JSON"),
    ] {
        let folder = tempfile::tempdir()?;
        linked(&layout("original"), folder.path(), "config.json")?;
        let text = fs::read_to_string(layout("original/config.json"))?;
        ensure!(text.contains(was));
        fs::write(folder.path().join("config.json"), text.replace(was, is))?;
        let error =
            Checkpoint::open(&source(folder.path().into())).err().context("must be refused")?.to_string();
        ensure!(error.contains(message), "{error}");
    }
    Ok(())
}

/// The graphs read every tensor of a file of torch, its swapped kernel too, on either target.
#[test]
fn graphs_are_built_from_the_original_folder() -> Result<()> {
    use ourvidz_runtime::nn::ClipKernels;
    use ourvidz_runtime::{Graph, Target};
    for (target, dtype, precise) in
        [(Target::Portable, DType::F32, DType::F32), (Target::Cuda, DType::Bf16, DType::F16)]
    {
        let c = Checkpoint::open(&source(layout("original")))?;
        let graph = |name: &str| Graph::new(name, target, dtype);
        crate::text_encoder::build(&mut graph("text_encoder"), &c.text_encoder, &c.text_encoder_config)?;
        let (mut conditioning, mut step) = (graph("conditioning"), graph("step"));
        crate::transformer::build(&mut conditioning, &mut step, &c.transformer, &c.transformer_config)?;
        for kernels in [ClipKernels::Taps, ClipKernels::ChannelsLast3d] {
            let options = crate::vae::VaeOptions { target, dtype: precise, kernels };
            crate::vae::build(&c.vae, &c.vae_config, options)?;
        }
    }
    Ok(())
}
