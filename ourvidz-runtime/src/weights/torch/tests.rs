//! Files that torch wrote, files that only look so, and files that were made to do harm.
#![allow(clippy::unwrap_used)]

use std::io::{Cursor, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::pickle::interpret;
use super::*;
use crate::DType;

/// `{"w": tensor}` with a storage of `numel` f32, by hand.
fn pickle(numel: u16, offset: u8, size: &[u8], stride: &[u8]) -> Vec<u8> {
    let mut out = b"\x80\x02}q\x00X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    out.extend(b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuM");
    out.extend(numel.to_le_bytes());
    out.extend(b"tQK");
    out.push(offset);
    for numbers in [size, stride] {
        out.push(b'(');
        out.extend(numbers.iter().flat_map(|n| [b'K', *n]));
        out.push(b't');
    }
    out.extend(b"\x89ccollections\nOrderedDict\n)RtRs.");
    out
}

fn stored() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Stored)
}

fn archive(entries: &[(&str, &[u8], SimpleFileOptions)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes, options) in entries {
        zip.start_file(*name, *options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// An archive of one pickle and a record of six numbers.
fn checkpoint(pickle: &[u8]) -> Vec<u8> {
    archive(&[("a/data.pkl", pickle, stored()), ("a/data/0", &record(), stored())])
}

fn record() -> Vec<u8> {
    (0..6).flat_map(|n| (n as f32).to_le_bytes()).collect()
}

fn open(bytes: &[u8]) -> Result<Result<BTreeMap<String, TensorView>, Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.pth");
    std::fs::write(&path, bytes)?;
    Ok(open_torch(&path))
}

/// The rule that a file breaks, and what was found.
fn broken(bytes: &[u8]) -> Result<String> {
    let error = open(bytes)?.err().context("must be refused")?;
    ensure!(matches!(error, Error::Torch { .. }), "{error:?}");
    let text = error.to_string();
    Ok(text.split_once("checkpoint: it ").context("a rule")?.1.to_owned())
}

/// The same for a pickle by itself.
fn refused(pickle: &[u8]) -> Result<String> {
    let Refusal { rule, found } = interpret(pickle).err().context("must be refused")?;
    Ok(format!("{rule}, got {found}"))
}

#[test]
fn a_tensor_lies_in_its_record() -> Result<()> {
    let bytes = checkpoint(&pickle(6, 0, &[2, 3], &[3, 1]));
    let view = open(&bytes)??.remove("w").context("w")?;
    ensure!((view.dtype, view.shape.as_slice()) == (DType::F32, &[2, 3][..]), "{view:?}");
    ensure!(!view.stored_transposed);
    let at = view.offset as usize;
    ensure!(bytes[at..at + 24] == record());
    Ok(())
}

#[test]
fn views_begin_where_they_say_and_matrices_may_be_swapped() -> Result<()> {
    let bytes = checkpoint(&pickle(6, 2, &[2, 2], &[2, 1]));
    let part = &open(&bytes)??["w"];
    ensure!(part.shape == [2, 2] && bytes[part.offset as usize..][..16] == record()[8..], "{part:?}");
    for (size, stride) in
        [(&[2, 3][..], &[1, 2][..]), (&[2, 3, 1, 1], &[1, 2, 1, 1]), (&[2, 3, 1], &[1, 2, 9])]
    {
        let swapped = &open(&checkpoint(&pickle(6, 0, size, stride)))??["w"];
        ensure!(swapped.stored_transposed && swapped.shape.len() == size.len(), "{swapped:?}");
        ensure!(swapped.as_stored().shape == [3, 2], "{swapped:?}");
    }
    // An axis of one element may have any stride; a tensor without elements has no order.
    for (size, stride) in [(&[1, 6][..], &[77, 1][..]), (&[6, 1], &[1, 0]), (&[0, 3], &[1, 1]), (&[], &[])] {
        ensure!(!open(&checkpoint(&pickle(6, 0, size, stride)))??["w"].stored_transposed, "{size:?}");
    }
    Ok(())
}

#[test]
fn tensors_keep_within_their_storages() -> Result<()> {
    for (pickle, rule) in [
        (pickle(6, 1, &[2, 3], &[3, 1]), "within their storages"),
        (pickle(6, 0, &[7], &[1]), "within their storages"),
        (pickle(6, 0, &[255; 40], &[1; 40]), "within their storages"),
        (pickle(7, 0, &[2, 3], &[3, 1]), "as long as their storages"),
        (pickle(5, 0, &[2, 2], &[2, 1]), "as long as their storages"),
        (pickle(6, 0, &[2, 3], &[3, 2]), "contiguous tensors"),
        (pickle(6, 0, &[2, 3], &[0, 1]), "contiguous tensors"),
        (pickle(6, 0, &[1, 2, 3], &[6, 1, 2]), "contiguous tensors"),
        (pickle(6, 0, &[2, 3], &[3]), "storages by a class"),
        (pickle(6, 0, &[1; 65], &[1; 65]), "storages by a class"),
    ] {
        let rule = if rule == "storages by a class" { "sizes and strides" } else { rule };
        let found = broken(&checkpoint(&pickle))?;
        ensure!(found.contains(rule), "{found}");
    }
    let missing =
        archive(&[("a/data.pkl", &pickle(6, 0, &[6], &[1]), stored()), ("a/data/1", &record(), stored())]);
    let found = broken(&missing)?;
    ensure!(found.contains("data/0 is missing"), "{found}");
    Ok(())
}

/// A pickle that would run something is refused by the name of what it would run.
#[test]
fn nothing_is_called() -> Result<()> {
    for (pickle, name) in [
        (&b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R."[..], "os.system"),
        (b"\x80\x02cposix\nsystem\n.", "posix.system"),
        (b"\x80\x02cbuiltins\neval\n.", "builtins.eval"),
        (b"\x80\x02ctorch\nload\n.", "torch.load"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v3\n.", "torch._utils._rebuild_tensor_v3"),
        (b"\x80\x02ccollections\nCounter\n.", "collections.Counter"),
        (b"\x80\x02ctorch\nFloatStorage2\n.", "torch.FloatStorage2"),
    ] {
        let found = broken(&checkpoint(pickle))?;
        ensure!(found == format!("must name nothing but dicts and tensors, got {name}"), "{found}");
    }
    // INST, OBJ, NEWOBJ, STACK_GLOBAL, EXT1, PERSID, NEWOBJ_EX, FRAME: ways to the same that torch does not take.
    for op in [b'i', b'o', 0x81, 0x93, 0x82, b'P', 0x92, 0x95] {
        let found = broken(&checkpoint(&[0x80, 2, op, 0, 0, b'.']))?;
        ensure!(found.contains(&format!("opcode {op:#04x}")), "{found}");
    }
    for pickle in
        [&b"ctorch\nFloatStorage\n)R."[..], b"ccollections\nOrderedDict\n(K\x01tR.", b"K\x01)R.", b")}b."]
    {
        broken(&checkpoint(pickle))?;
    }
    Ok(())
}

#[test]
fn pickles_that_are_no_checkpoints() -> Result<()> {
    let deep = [&b"\x80\x02N"[..], &b"\x85".repeat(300_000), b"."].concat();
    let marks = b"(".repeat(1 << 19);
    let many = b")".repeat(1 << 19);
    let memo = [
        &b"}"[..],
        &(0..300_000u32).flat_map(|n| [&b"r"[..], &n.to_le_bytes()].concat()).collect::<Vec<_>>(),
    ]
    .concat();
    let own = b"\x80\x02]q\x00h\x00a.";
    let values = "at most 262,144 values";
    for (pickle, rule) in [
        (&b""[..], "whole pickle"),
        (b"\x80", "whole pickle"),
        (b"\x80\x02", "whole pickle"),
        (b"\x80\x04}.", "protocol 2, got protocol 4"),
        (b"X\xff\xff\xff\xffabc", "whole pickle"),
        (b"X\x01\x00\x00\x00\xff.", "UTF-8"),
        (b"ctorch\nFloat", "whole pickle"),
        (b"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01.", "64 bits"),
        (b".", "own stack"),
        (b"(.", "own stack"),
        (b"t.", "own stack"),
        (b"K\x01(\x85.", "own stack"),
        (b"\x86.", "own stack"),
        (b"(q\x00.", "own stack"),
        (b"h\x07.", "memo 7"),
        (b"j\xff\xff\xff\xff.", "memo 4294967295"),
        (b"K\x01K\x01K\x01s.", "lists and dicts"),
        (b"}(K\x01u.", "pairs of a dict"),
        (b"}K\x01a.", "append to lists"),
        (b"K\x01.", "a dict of names and tensors, got 1"),
        (b"}K\x01K\x02s.", "a name that is 1"),
        (b"}X\x01\x00\x00\x00eK\x02s.", "e, which is 2"),
        (own, "a dict of names and tensors, got a list of 1"),
        (&deep, "at most 262,144 values"),
        (&marks, values),
        (&many, values),
        (&memo, values),
    ] {
        let found = refused(pickle)?;
        ensure!(found.contains(rule), "{found}, expected {rule}");
    }
    // As deep as is allowed: nothing recurses, not even the end.
    let deep = [&b"\x80\x02N"[..], &b"\x85".repeat(100_000), b"."].concat();
    ensure!(refused(&deep)?.contains("a tuple of 1"));
    let twice = pickle(6, 0, &[6], &[1]);
    let item = &twice[5..twice.len() - 1];
    let found = broken(&checkpoint(&[&twice[..5], item, item, b"."].concat()))?;
    ensure!(found == "must hold every name once, got w", "{found}");
    Ok(())
}

#[test]
fn what_is_found_is_shown_short_and_plain() -> Result<()> {
    let name = [&b"\x80\x02c"[..], &b"\x1b[2J".repeat(100_000), b"\nx\n."].concat();
    let found = broken(&checkpoint(&name))?;
    ensure!(found.len() < 400 && !found.contains('\x1b'), "{found:?}");
    Ok(())
}

#[test]
fn types_without_a_use_are_named() -> Result<()> {
    let of = |class: &str| -> Result<Error> {
        let text = pickle(6, 0, &[6], &[1]);
        let at = text.windows(12).position(|w| w == b"FloatStorage").context("class")?;
        let changed = [&text[..at], class.as_bytes(), &text[at + 12..]].concat();
        open(&checkpoint(&changed))?.err().context("must be refused")
    };
    let error = of("DoubleStorage")?;
    ensure!(
        matches!(&error, Error::TensorType { tensor, dtype, .. } if tensor == "w" && dtype == "DoubleStorage")
    );
    // Two bytes each instead of four.
    ensure!(of("HalfStorage")?.to_string().contains("as long as their storages"));
    Ok(())
}

#[test]
fn archives_are_those_of_torch() -> Result<()> {
    let good = pickle(6, 0, &[6], &[1]);
    let deflated = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let (pkl, rec) = (("a/data.pkl", &good[..], stored()), ("a/data/0", &record()[..], stored()));
    for (bytes, rule) in [
        (archive(&[pkl, ("a/data/0", &[0; 24], deflated)]), "uncompressed and unencrypted, got a/data/0"),
        (archive(&[("a/data.pkl", &good, deflated), rec]), "uncompressed and unencrypted, got a/data.pkl"),
        (archive(&[rec]), "one data.pkl"),
        (archive(&[("data.pkl", &good, stored()), rec]), "one data.pkl"),
        (archive(&[pkl, ("b/data.pkl", &good, stored()), rec]), "one data.pkl"),
        (archive(&[pkl, rec, ("a/byteorder", b"big", stored())]), "little-endian, got big"),
        (archive(&[("a/data.pkl", &vec![0; (16 << 20) + 1], stored()), rec]), "at most 16 MiB"),
        (archive(&[]), "got a file that begins"),
        ([&b"#!/bin/sh\n"[..], &archive(&[pkl, rec])].concat(), "got a file that begins"),
        ([&b"PK\x03\x04 and more before it"[..], &archive(&[pkl, rec])].concat(), "bytes before it"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec(), "torch 1.6 or later"),
        (b"".to_vec(), "got a file that begins []"),
        (b"PK\x03\x04".to_vec(), "whole zip archive"),
        (b"{\"__metadata__\":{}}".to_vec(), "got a file that begins"),
    ] {
        let found = broken(&bytes)?;
        ensure!(found.contains(rule), "{found}, expected {rule}");
    }
    // Zip64 fields, and alignment as torch pads its entries.
    let wide = stored().large_file(true);
    let big = archive(&[("a/data.pkl", &good, wide), ("a/data/0", &record(), wide.with_alignment(64))]);
    let view = open(&big)??.remove("w").context("w")?;
    ensure!(view.offset % 64 == 0 && big[view.offset as usize..][..24] == record());
    Ok(())
}

#[test]
fn entries_do_not_overlap_and_are_whole() -> Result<()> {
    let good = pickle(6, 0, &[6], &[1]);
    let bytes = archive(&[
        ("a/data.pkl", &good, stored()),
        ("a/data/0", &record(), stored()),
        ("a/data/1", &record(), stored()),
    ]);
    // In the directory, the second record begins where the first does: same header, same data.
    let positions: Vec<usize> =
        bytes.windows(4).enumerate().filter(|(_, w)| *w == b"PK\x01\x02").map(|(i, _)| i).collect();
    let mut overlapping = bytes.clone();
    let header: Vec<u8> = bytes[positions[1] + 42..positions[1] + 46].to_vec();
    overlapping[positions[2] + 42..positions[2] + 46].copy_from_slice(&header);
    let found = broken(&overlapping)?;
    ensure!(found.contains("overlap, got a/data/0 and a/data/1"), "{found}");
    // Sizes that the directory makes larger than the file, and larger than what comes before the next entry.
    for size in [u32::MAX - 1, bytes.len() as u32, 40] {
        let mut longer = bytes.clone();
        for at in [20, 24] {
            longer[positions[1] + at..positions[1] + at + 4].copy_from_slice(&size.to_le_bytes());
        }
        broken(&longer)?;
    }
    // Cut anywhere.
    for n in (0..bytes.len()).step_by(7) {
        ensure!(open(&bytes[..n])?.is_err(), "{n}");
    }
    Ok(())
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/wan/layouts").join(name)
}

/// The numbers of a view, row by row, as the tensor means them.
fn bytes_of(view: &TensorView) -> Result<Vec<u8>> {
    let file = std::fs::read(&view.file)?;
    let bytes = file[view.offset as usize..][..view.len() as usize].to_vec();
    let [rows, columns] = match (view.stored_transposed, view.shape.as_slice()) {
        (true, [rows, columns, ..]) => [*rows, *columns],
        _ => return Ok(bytes),
    };
    let size = view.dtype.size();
    let cell = |r: usize, c: usize| &bytes[(c * rows + r) * size..][..size];
    Ok((0..rows).flat_map(|r| (0..columns).flat_map(move |c| cell(r, c).to_vec())).collect())
}

/// torch's own file against a `.safetensors` of the same numbers, with a view into a storage and a swapped matrix.
#[test]
fn a_file_of_torch_holds_the_same_as_safetensors() -> Result<()> {
    let found = open_torch(&golden("original/Wan2.1_VAE.pth"))?;
    let expected = crate::open_safetensors(&golden("repackaged/vae/wan_2.1_vae.safetensors"))?;
    ensure!(found.keys().eq(expected.keys()) && found.len() == 194, "{} tensors", found.len());
    let mut swapped = Vec::new();
    for (name, view) in &found {
        let other = &expected[name];
        let numbers = crate::weights::cast_bytes(&bytes_of(other)?, other.dtype, DType::F32);
        ensure!(view.shape == other.shape && bytes_of(view)? == numbers, "{name}");
        if view.stored_transposed {
            swapped.push(name.as_str());
        }
    }
    ensure!(swapped == ["encoder.middle.1.proj.weight"], "{swapped:?}");
    let encoder = open_torch(&golden("original/models_t5_umt5-xxl-enc-bf16.pth"))?;
    ensure!(encoder.len() == 32 && encoder.values().all(|view| view.dtype == DType::Bf16));
    Ok(())
}

/// Every tensor that a damaged file still gives lies within it.
fn harmless(bytes: &[u8]) -> Result<()> {
    for view in open(bytes)?.into_iter().flat_map(BTreeMap::into_values) {
        ensure!(view.offset + view.len() <= bytes.len() as u64, "{view:?}");
    }
    Ok(())
}

/// A pickle of torch's, taken out of its archive.
fn real_pickle() -> Vec<u8> {
    let file = File::open(golden("original/models_t5_umt5-xxl-enc-bf16.pth")).unwrap();
    let size = file.metadata().unwrap().len();
    archive::read(file, size).unwrap().pickle
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_of_a_file(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = checkpoint(&pickle(6, 0, &[2, 3], &[3, 1]));
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        harmless(&bytes).unwrap();
    }

    /// Without the checksum in the way: the pickle is packed again after the change.
    #[test]
    fn flipped_bytes_of_a_pickle(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = pickle(6, 0, &[2, 3], &[3, 1]);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        harmless(&checkpoint(&bytes)).unwrap();
    }

    #[test]
    fn flipped_bytes_of_a_real_pickle(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = real_pickle();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        drop(interpret(&bytes));
    }

    /// Opcodes in any order.
    #[test]
    fn random_programs(ops in prop::collection::vec(prop::sample::select(OPS), 0..60)) {
        drop(interpret(&[&b"\x80\x02"[..], &ops.concat(), b"."].concat()));
    }
}

const OPS: &[&[u8]] = &[
    b"(",
    b")",
    b"]",
    b"}",
    b"t",
    b"\x85",
    b"\x86",
    b"\x87",
    b"a",
    b"e",
    b"s",
    b"u",
    b"b",
    b"R",
    b"Q",
    b"N",
    b"\x88",
    b"q\x00",
    b"q\x01",
    b"h\x00",
    b"h\x01",
    b"r\x00\x00\x00\x00",
    b"K\x00",
    b"K\x05",
    b"J\xff\xff\xff\xff",
    b"\x8a\x01\xff",
    b"\x8a\x00",
    b"X\x07\x00\x00\x00storage",
    b"X\x01\x00\x00\x000",
    b"U\x01w",
    b"ctorch\nFloatStorage\n",
    b"G\x00\x00\x00\x00\x00\x00\x00\x00",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch._utils\n_rebuild_parameter\n",
    b"ccollections\nOrderedDict\n",
];
