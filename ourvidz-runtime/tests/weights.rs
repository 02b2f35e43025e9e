//! Checkpoints on disk: damaged files, shards, links, types that are no weights.

mod common;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use common::{Stored, close, f32_bytes, write};
use ourvidz_runtime::{
    DType, Error, Graph, Target, Tensor, TensorSet, nn, open_safetensors, open_safetensors_except,
    open_weights, read_safetensors_bytes,
};
use safetensors::Dtype;

const STEM: &str = "diffusion_pytorch_model";

/// `{name}.weight` [2, 3] and `{name}.bias` [2], told apart by `n`.
fn layer<'a>(names: [&'a str; 2], n: f32) -> [Stored<'a>; 2] {
    let weight = [n, 0.0, -1.0, 0.5, 2.0, n];
    [(names[0], Dtype::F32, &[2, 3], f32_bytes(&weight)), (names[1], Dtype::F32, &[2], f32_bytes(&[n, -n]))]
}

const A: [&str; 2] = ["a.weight", "a.bias"];
const B: [&str; 2] = ["b.weight", "b.bias"];

/// Runs layer `name` of a checkpoint on [1, 2, 3] and compares with `layer`'s numbers for `n`.
fn runs(set: &TensorSet, name: &str, n: f32) -> Result<()> {
    let mut g = Graph::new("model", Target::Portable, DType::F32);
    let x = g.input("x", DType::F32, vec![1.into(), 3.into()]);
    let y = nn::linear(&mut g, &set.root().at(name), x, 2)?;
    g.output("y", y);
    let cache = tempfile::tempdir()?;
    let mut session = common::load(g, cache.path())?;
    let x = Tensor::f32(&[1, 3], vec![1.0, 2.0, 3.0])?;
    let expected = Tensor::f32(&[1, 2], vec![n - 3.0 + n, 0.5 + 4.0 + 3.0 * n - n])?;
    close(name, &common::run(&mut session, &[("x", &x)])?, &expected, 0.0)
}

fn index(folder: &Path, map: &[(&str, &str)]) -> Result<()> {
    let map: serde_json::Map<_, _> = map.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    let json = serde_json::json!({"metadata": {"total_size": 64}, "weight_map": map});
    Ok(fs::write(folder.join(format!("{STEM}.safetensors.index.json")), json.to_string())?)
}

fn refused<T>(result: ourvidz_runtime::Result<T>) -> Result<Error> {
    result.err().context("must be refused")
}

/// Two files that an index joins; a graph may use both.
#[test]
fn shards_are_one_checkpoint() -> Result<()> {
    let folder = tempfile::tempdir()?;
    write(&folder.path().join("one.safetensors"), &layer(A, 4.0))?;
    write(&folder.path().join("two.safetensors"), &layer(B, 7.0))?;
    let (one, two) = ("one.safetensors", "two.safetensors");
    index(folder.path(), &[("a.weight", one), ("a.bias", one), ("b.weight", two), ("b.bias", two)])?;
    let set = TensorSet::new("unet", open_weights(folder.path(), STEM, None)?);
    ensure!(set.iter().map(|(name, _)| name).eq(["a.bias", "a.weight", "b.bias", "b.weight"]));
    runs(&set, "a", 4.0)?;
    runs(&set, "b", 7.0)?;
    Ok(set.finish()?)
}

#[test]
fn a_shard_that_is_not_there_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    write(&folder.path().join("one.safetensors"), &layer(A, 4.0))?;
    index(folder.path(), &[("a.weight", "one.safetensors"), ("b.weight", "two.safetensors")])?;
    let error = refused(open_weights(folder.path(), STEM, None))?;
    ensure!(matches!(&error, Error::Io { path, .. } if path.ends_with("two.safetensors")), "{error:?}");
    Ok(())
}

#[test]
fn a_tensor_that_its_shard_lacks_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    write(&folder.path().join("one.safetensors"), &layer(A, 4.0))?;
    index(folder.path(), &[("a.weight", "one.safetensors"), ("b.weight", "one.safetensors")])?;
    let error = refused(open_weights(folder.path(), STEM, None))?;
    let Error::NotFound { what, looked_for } = &error else { bail!("{error:?}") };
    ensure!(what.contains("tensor b.weight"), "{error}");
    ensure!(looked_for.iter().any(|path| path.ends_with("one.safetensors")), "{error}");
    Ok(())
}

/// An index cannot lead out of its folder, not even to files that are there.
#[test]
fn an_index_names_files_beside_it_only() -> Result<()> {
    let outer = tempfile::tempdir()?;
    let folder = outer.path().join("unet");
    write(&folder.join("sub/one.safetensors"), &layer(A, 4.0))?;
    write(&outer.path().join("one.safetensors"), &layer(A, 4.0))?;
    let absolute = outer.path().join("one.safetensors").display().to_string();
    for file in ["../one.safetensors", "sub/one.safetensors", &absolute, "..", "."] {
        index(&folder, &[("a.weight", file)])?;
        let error = refused(open_weights(&folder, STEM, None))?;
        let Error::Config { field, value, .. } = &error else { bail!("{file}: {error:?}") };
        ensure!(field == "weight_map" && value == file, "{error}");
    }
    Ok(())
}

/// What a shard holds beyond the index is not overlooked; what another shard holds is not mixed up.
#[test]
fn the_index_decides_and_the_rest_is_unread() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let [weight, bias] = layer(B, 7.0);
    write(&folder.path().join("one.safetensors"), &[&layer(A, 4.0)[..], &[weight, bias]].concat())?;
    write(&folder.path().join("two.safetensors"), &[&layer(A, 5.0)[..], &layer(["c", "d"], 1.0)].concat())?;
    let (one, two) = ("one.safetensors", "two.safetensors");
    index(folder.path(), &[("a.weight", one), ("a.bias", one), ("c", two), ("d", two)])?;
    let set = TensorSet::new("unet", open_weights(folder.path(), STEM, None)?);
    runs(&set, "a", 4.0)?;
    for name in ["c", "d"] {
        set.skip(name);
    }
    let error = refused(set.finish())?;
    let expected = "unet: 2 tensors were never read, first b.bias [2], b.weight [2, 3]";
    ensure!(error.to_string() == expected, "{error}");
    Ok(())
}

#[test]
fn plain_files_win_over_variants_unless_asked() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = |dot: &str| folder.path().join(format!("{STEM}{dot}.safetensors"));
    let open = |variant| open_weights(folder.path(), STEM, variant).map(|t| TensorSet::new("unet", t));
    let error = refused(open(None))?;
    let Error::NotFound { looked_for, .. } = &error else { bail!("{error:?}") };
    ensure!(looked_for.len() == 4, "{error}");
    write(&file(".fp16"), &layer(A, 1.0))?;
    runs(&open(None)?, "a", 1.0)?;
    write(&file(""), &layer(A, 2.0))?;
    runs(&open(None)?, "a", 2.0)?;
    runs(&open(Some("fp16"))?, "a", 1.0)?;
    ensure!(matches!(refused(open(Some("ema")))?, Error::NotFound { .. }));
    Ok(())
}

/// Cut anywhere, or with a header that lies, a file is refused before anything reads its data.
#[test]
fn a_damaged_file_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    write(&path, &layer(A, 4.0))?;
    let whole = fs::read(&path)?;
    ensure!(open_safetensors(&path)?.len() == 2);
    let header = 8 + u64::from_le_bytes(*whole.first_chunk().context("a header")?) as usize;
    let cut = [0, 4, 8, 20, header - 1, header, header + 5, whole.len() - 1];
    let mut damaged: Vec<Vec<u8>> = cut.iter().map(|n| whole[..*n].to_vec()).collect();
    let replaced = |was: &str, is: &str| -> Result<Vec<u8>> {
        ensure!(was.len() == is.len());
        let at = whole.windows(was.len()).position(|part| part == was.as_bytes()).context("in the header")?;
        let mut bytes = whole.clone();
        bytes[at..at + was.len()].copy_from_slice(is.as_bytes());
        Ok(bytes)
    };
    damaged.push(replaced("[2,3]", "[2,4]")?);
    damaged.push(replaced("\"F32\"", "\"F3!\"")?);
    damaged.push([&u64::MAX.to_le_bytes(), &whole[8..]].concat());
    for bytes in damaged {
        fs::write(&path, &bytes)?;
        let error = refused(open_safetensors(&path))?;
        ensure!(matches!(error, Error::Safetensors { .. }), "{} bytes: {error:?}", bytes.len());
    }
    Ok(())
}

#[test]
fn integers_are_no_weights() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let zeros = vec![0; 48];
    write(&path, &[("a.weight", Dtype::I64, &[2, 3], zeros.clone())])?;
    let set = TensorSet::new("unet", open_safetensors(&path)?);
    let mut g = Graph::new("model", Target::Portable, DType::F32);
    let x = g.input("x", DType::F32, vec![1.into(), 3.into()]);
    let error = refused(nn::linear_without_bias(&mut g, &set.root().at("a"), x, 2))?;
    ensure!(
        matches!(&error, Error::TensorType { tensor, dtype, .. } if tensor == "a.weight" && dtype == "I64"),
        "{error:?}"
    );
    // Types that no model here knows are refused with the file.
    write(&path, &[("a.weight", Dtype::F64, &[2, 3], zeros)])?;
    let error = refused(open_safetensors(&path))?;
    ensure!(matches!(&error, Error::TensorType { tensor, .. } if tensor == "a.weight"), "{error:?}");
    Ok(())
}

/// Repackaged files carry a tokenizer as a tensor of bytes.
#[test]
fn bytes_that_are_no_weights_are_read_by_themselves() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let pieces = ("pieces", Dtype::U8, &[5][..], b"bytes".to_vec());
    write(&path, &[&layer(A, 4.0)[..], &[pieces]].concat())?;
    let error = refused(open_safetensors(&path))?;
    ensure!(matches!(&error, Error::TensorType { tensor, .. } if tensor == "pieces"), "{error:?}");
    let set = TensorSet::new("model", open_safetensors_except(&path, &["pieces"])?);
    ensure!(set.iter().count() == 2);
    runs(&set, "a", 4.0)?;
    ensure!(read_safetensors_bytes(&path, "pieces")?.as_deref() == Some(&b"bytes"[..]));
    ensure!(read_safetensors_bytes(&path, "absent")?.is_none());
    let whole = fs::read(&path)?;
    fs::write(&path, &whole[..whole.len() - 1])?;
    let error = refused(read_safetensors_bytes(&path, "pieces"))?;
    ensure!(matches!(error, Error::Safetensors { .. }), "{error:?}");
    Ok(())
}

/// The cache of Hugging Face: `snapshots/{revision}/...` are links to `blobs/{hash}`. ONNX Runtime refuses links.
#[test]
#[cfg(unix)]
fn links_are_followed() -> Result<()> {
    use std::os::unix::fs::symlink;
    let cache = tempfile::tempdir()?;
    let unet = cache.path().join("snapshots/462165984030d82259a11f4367a4eed129e94a7b/unet");
    fs::create_dir_all(&unet)?;
    write(&cache.path().join("blobs/83e012a8"), &layer(A, 4.0))?;
    write(&cache.path().join("blobs/31e35c80"), &layer(B, 7.0))?;
    for (hash, name) in [("83e012a8", "one.safetensors"), ("31e35c80", "two.safetensors")] {
        symlink(Path::new("../../../blobs").join(hash), unet.join(name))?;
    }
    let (one, two) = ("one.safetensors", "two.safetensors");
    index(&unet, &[("a.weight", one), ("a.bias", one), ("b.weight", two), ("b.bias", two)])?;
    let set = TensorSet::new("unet", open_weights(&unet, STEM, None)?);
    runs(&set, "a", 4.0)?;
    runs(&set, "b", 7.0)?;
    // The folder itself may be reached through a link too.
    symlink(cache.path().join("snapshots"), cache.path().join("latest"))?;
    let path = cache.path().join("latest/462165984030d82259a11f4367a4eed129e94a7b/unet");
    runs(&TensorSet::new("unet", open_weights(&path, STEM, None)?), "b", 7.0)
}
