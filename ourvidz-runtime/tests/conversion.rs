//! Weights in another type or layout than the graph's: exact, and made once.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use common::{f32_bytes, u16_bytes, write};
use ourvidz_runtime::{
    DType, Graph, Session, SessionOptions, Target, Tensor, TensorSet, WeightCache, nn, open_safetensors,
};
use safetensors::Dtype;

/// A model whose output `y` is the weight `w` in the graph's type. Says whether anything was converted.
fn weight(file: &Path, cache: &Path, dtype: DType, n: usize) -> Result<(Tensor, bool)> {
    let set = TensorSet::new("model", open_safetensors(file)?);
    let mut g = Graph::new("model", Target::Portable, dtype);
    let w = g.weight(&set.root(), "w", &[n])?;
    let y = g.identity(w);
    g.output("y", y);
    set.finish()?;
    let mut converted = false;
    let mut progress = |step: ourvidz_runtime::LoadProgress<'_>| converted |= step.what == "converting model";
    let options = SessionOptions::default();
    let mut session = Session::load(&g.finish(), &options, &WeightCache::new(cache), &mut progress)?;
    Ok((common::run(&mut session, &[])?, converted))
}

/// f32 bits of every half that is a number, by the definition of the format.
fn expected_f16(bits: u16) -> f32 {
    let (sign, exponent) = (if bits >> 15 == 1 { -1.0 } else { 1.0 }, i32::from(bits >> 10 & 31));
    let fraction = f32::from(bits & 1023);
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 => sign * f32::INFINITY,
        _ => sign * (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

#[test]
fn halves_become_f32_exactly() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    type Kind = (Dtype, u16, fn(u16) -> f32);
    let kinds: [Kind; 2] = [
        (Dtype::F16, 0x7c00, expected_f16),
        (Dtype::BF16, 0x7f80, |bits| f32::from_bits(u32::from(bits) << 16)),
    ];
    for (dtype, infinity, expected) in kinds {
        let bits: Vec<u16> = (0..=u16::MAX).filter(|bits| bits & 0x7fff <= infinity).collect();
        ensure!(bits.len() > 60_000);
        write(&path, &[("w", dtype, &[bits.len()], u16_bytes(&bits))])?;
        let (found, converted) = weight(&path, &folder.path().join("cache"), DType::F32, bits.len())?;
        ensure!(converted && found.dtype() == DType::F32, "{dtype:?}");
        for (bits, found) in bits.iter().zip(found.into_f32()) {
            let expected = expected(*bits);
            ensure!(found.to_bits() == expected.to_bits(), "{dtype:?} {bits:#06x}: {found} {expected}");
        }
    }
    Ok(())
}

/// To the nearest, ties to even; what is too large is infinite and what is too small zero.
#[test]
fn f32_becomes_halves_rounded_to_even() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let two = |n: i32| 2f32.powi(n);
    // Value, as f16, as bf16.
    let table = [
        (1.0, 1.0, 1.0),
        (1.0 + two(-11), 1.0, 1.0),
        (1.0 + 3.0 * two(-11), 1.0 + two(-9), 1.0),
        (1.0 + two(-8), 1.0 + two(-8), 1.0),
        (-1.0 - 3.0 * two(-8), -1.0 - 3.0 * two(-8), -1.0 - two(-6)),
        (65504.0, 65504.0, 65536.0),
        (65520.0, f32::INFINITY, 65536.0),
        (two(-24), two(-24), two(-24)),
        (two(-26), 0.0, two(-26)),
        (-0.0, -0.0, -0.0),
    ];
    write(&path, &[("w", Dtype::F32, &[table.len()], f32_bytes(&table.map(|row| row.0)))])?;
    for (dtype, expected) in [(DType::F16, table.map(|row| row.1)), (DType::Bf16, table.map(|row| row.2))] {
        let (found, _) = weight(&path, &folder.path().join("cache"), dtype, table.len())?;
        ensure!(found.dtype() == dtype);
        let found: Vec<u32> = found.into_f32().into_iter().map(f32::to_bits).collect();
        ensure!(found == expected.map(f32::to_bits), "{dtype}: {found:x?}");
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}

#[test]
fn the_cache_is_used_again_until_the_source_changes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (path, cache) = (folder.path().join("model.safetensors"), folder.path().join("cache"));
    // 1, 2 and 3 as bfloat16.
    let mut bits = [0x3f80, 0x4000, 0x4040];
    write(&path, &[("w", Dtype::BF16, &[3], u16_bytes(&bits))])?;
    let load = || weight(&path, &cache, DType::F32, 3);
    let check = |(found, converted): (Tensor, bool), expected: [f32; 3], anew: bool| -> Result<()> {
        ensure!(converted == anew, "converted: {converted}");
        ensure!(found.into_f32() == expected, "expected {expected:?}");
        Ok(())
    };
    check(load()?, [1.0, 2.0, 3.0], true)?;
    let [file] = &files(&cache)?[..] else { anyhow::bail!("one whole file, nothing beside it") };
    // A time that no second writing could have.
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(file)?.set_modified(long_ago)?;
    check(load()?, [1.0, 2.0, 3.0], false)?;
    ensure!(fs::metadata(file)?.modified()? == long_ago, "written again");

    // A cut file is not trusted.
    let whole = fs::metadata(file)?.len();
    fs::File::options().write(true).open(file)?.set_len(whole - 1)?;
    check(load()?, [1.0, 2.0, 3.0], true)?;
    ensure!(fs::metadata(file)?.len() == whole && files(&cache)?.len() == 1);

    // The same size, another time.
    bits[0] = 0x4080;
    let before = fs::metadata(&path)?.modified()?;
    write(&path, &[("w", Dtype::BF16, &[3], u16_bytes(&bits))])?;
    fs::File::options().write(true).open(&path)?.set_modified(before + Duration::from_secs(1))?;
    check(load()?, [4.0, 2.0, 3.0], true)?;
    check(load()?, [4.0, 2.0, 3.0], false)
}

/// Nothing is copied where the checkpoint has the graph's type.
#[test]
fn the_same_type_needs_no_cache() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (path, cache) = (folder.path().join("model.safetensors"), folder.path().join("cache"));
    write(&path, &[("w", Dtype::F32, &[3], f32_bytes(&[1.0, -2.5, 1e-30]))])?;
    let (found, converted) = weight(&path, &cache, DType::F32, 3)?;
    ensure!(found.into_f32() == [1.0, -2.5, 1e-30] && !converted && !cache.exists());
    Ok(())
}

/// An exported file holds matrices as [in, out]; in a session they stay as the checkpoint has them.
#[test]
fn exported_matrices_are_transposed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let matrix = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    write(&path, &[("weight", Dtype::F32, &[3, 2], f32_bytes(&matrix))])?;
    let set = TensorSet::new("model", open_safetensors(&path)?);
    let layer = |mut g: Graph| -> Result<Graph> {
        let x = g.input("x", DType::F32, vec![1.into(), 2.into()]);
        let y = nn::linear_without_bias(&mut g, &set.root(), x, 3)?;
        g.output("y", y);
        Ok(g)
    };
    let graph = || Graph::new("model", Target::Portable, DType::F32);
    ensure!(exported(layer(graph().for_export())?, folder.path(), 6)? == [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
    ensure!(exported(layer(graph())?, folder.path(), 6)? == matrix);
    Ok(())
}

/// The first `n` numbers of an exported model's data.
fn exported(g: Graph, folder: &Path, n: usize) -> Result<Vec<f32>> {
    let out = folder.join("out");
    g.finish().export(&out, &mut |_| ())?;
    let bytes = fs::read(out.join("model.onnx_data"))?;
    let numbers = bytes.get(..4 * n).context("too short")?.as_chunks::<4>().0;
    Ok(numbers.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

/// Checkpoints that convert at the same time into one cache do not write into each other's files.
#[test]
fn threads_share_a_cache() -> Result<()> {
    const N: usize = 300_000;
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("cache");
    let file = |i: u16| folder.path().join(format!("model-{}.safetensors", i / 2));
    for i in (0..12).step_by(2) {
        write(&file(i), &[("w", Dtype::BF16, &[N], u16_bytes(&[0x3f80 + i; N]))])?;
    }
    // Two threads for each file.
    let load = |i: u16| -> Result<()> {
        let (found, _) = weight(&file(i), &cache, DType::F32, N)?;
        let expected = f32::from_bits(u32::from(0x3f80 + i / 2 * 2) << 16);
        let wrong = found.into_f32().iter().filter(|x| **x != expected).count();
        ensure!(wrong == 0, "file {i}: {wrong} numbers of another file");
        Ok(())
    };
    let load = &load;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..12).map(|i| scope.spawn(move || load(i))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    ensure!(files(&cache)?.len() == 6, "six whole files, nothing beside them: {:?}", files(&cache)?);
    Ok(())
}
