use std::path::{Path, PathBuf};

use ourvidz_runtime::{Error as Runtime, read_safetensors_bytes};

use super::files::{self, PIECES};
use super::{CheckpointSource, Parts, detect, names, tokenizer};
use crate::Result;
use crate::tokenizer::Umt5Tokenizer;

/// The transformer in one file, the other parts in files beside it: in its folder, or in folders beside that one
/// (`diffusion_models`, `text_encoders`, `vae`).
pub(super) fn open(source: &CheckpointSource) -> Result<Parts> {
    let transformer = names::transformer_to_diffusers(files::open(&source.path, "transformer")?)?;
    let config = detect::transformer(&transformer)?;
    let path = match &source.text_encoder {
        Some(path) => path.clone(),
        None => beside(&source.path, "text encoder", &["text_encoders", "text_encoder", "clip"], "umt5")?,
    };
    let text_encoder = names::umt5_to_transformers(files::open(&path, "text_encoder")?)?;
    let umt5 = detect::umt5(&text_encoder)?;
    let vae = match &source.vae {
        Some(path) => path.clone(),
        None => beside(&source.path, "VAE", &["vae"], "vae")?,
    };
    Ok(Parts {
        transformer: (transformer, config),
        text_encoder: (text_encoder, umt5),
        vae: names::vae_with_config(files::open(&vae, "vae")?)?,
        tokenizer: find_tokenizer(source, &path)?,
        scheduler: None,
    })
}

/// The one file whose name holds `word`, in the transformer's folder or in one of `folders` beside that. Files in
/// 8 bits are passed over where there are others.
fn beside(transformer: &Path, what: &str, folders: &[&str], word: &str) -> Result<PathBuf> {
    let own = transformer.parent().unwrap_or(Path::new("")).to_path_buf();
    let outer = own.parent().map(Path::to_path_buf);
    let mut places = vec![own];
    places.extend(outer.iter().flat_map(|outer| folders.iter().map(|name| outer.join(name))));
    let mut found: Vec<PathBuf> =
        places.iter().flat_map(|place| candidates(place, word, transformer)).collect();
    if found.iter().any(|path| !is_quantised(path)) {
        found.retain(|path| !is_quantised(path));
    }
    found.sort_unstable();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => {
            let looked_for =
                places.iter().map(|p| p.join(format!("*{word}*.safetensors")).display().to_string());
            let what = format!("{what} (give its path, or put it beside the transformer)");
            Err(Runtime::NotFound { what, looked_for: looked_for.collect() }.into())
        }
        several => Err(Runtime::Config {
            file: transformer.display().to_string(),
            field: what.into(),
            rule: "must be one file beside the transformer, or be given by its path".into(),
            value: several.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "),
        }
        .into()),
    }
}

fn candidates(place: &Path, word: &str, except: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    let fits = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        let weights = [".safetensors", ".pth"].iter().any(|ending| name.ends_with(ending));
        weights && name.contains(word) && path != except && path.is_file()
    };
    entries.map(|entry| entry.path()).filter(fits).collect()
}

fn is_quantised(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    ["fp8", "int8", "nf4"].iter().any(|word| name.contains(word))
}

/// The folder asked for; else the sentencepiece model in the text encoder's file; else a tokenizer beside the files.
fn find_tokenizer(source: &CheckpointSource, text_encoder: &Path) -> Result<Umt5Tokenizer> {
    let own = source.path.parent().unwrap_or(Path::new(""));
    if source.tokenizer.is_some() {
        return tokenizer(source, own);
    }
    if text_encoder.extension().is_some_and(|ending| ending == "safetensors")
        && let Some(bytes) = read_safetensors_bytes(text_encoder, PIECES)?
    {
        let origin = format!("{} ({PIECES})", text_encoder.display());
        return Umt5Tokenizer::from_sentencepiece(&bytes, &origin);
    }
    let folders = [text_encoder.parent().unwrap_or(Path::new("")), own];
    let places =
        folders.iter().flat_map(|f| [f.join("google/umt5-xxl"), f.join("tokenizer"), f.to_path_buf()]);
    let places: Vec<PathBuf> = places.collect();
    let has =
        |place: &&PathBuf| ["tokenizer.json", "spiece.model"].iter().any(|name| place.join(name).is_file());
    match places.iter().find(has) {
        Some(place) => Umt5Tokenizer::from_folder(place),
        None => {
            let looked_for = places.iter().map(|p| p.join("tokenizer.json").display().to_string()).collect();
            Err(Runtime::NotFound { what: "tokenizer of umT5 (tokenizer.json)".into(), looked_for }.into())
        }
    }
}
