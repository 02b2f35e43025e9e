#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::io::Write as _;

use tempfile::TempDir;
use zip::write::SimpleFileOptions;

use super::super::wheel::Pins;
use super::*;

/// A wheel file with two members, and the pin that describes it.
fn tiny_wheel(folder: &Path) -> (PathBuf, Wheel) {
    let path = folder.join("tiny-1.0-py3-none-any.whl");
    let mut archive = zip::ZipWriter::new(File::create(&path).unwrap());
    for (name, contents) in [("tiny/capi/libtiny.so.1.0", "library"), ("tiny/other.py", "python")] {
        archive.start_file(name, SimpleFileOptions::default()).unwrap();
        archive.write_all(contents.as_bytes()).unwrap();
    }
    archive.finish().unwrap();
    let wheel = Wheel {
        name: "tiny".into(),
        version: "1.0".into(),
        bytes: fs::metadata(&path).unwrap().len(),
        sha256: wheel::sha256(&path).unwrap(),
        files: [("tiny/capi/libtiny.so.1.0".into(), "nvidia/libtiny.so".into())].into(),
    };
    (path, wheel)
}

fn copy_to(source: &Path, folder: &Path) -> Result<PathBuf> {
    let path = folder.join("tiny-1.0-py3-none-any.whl");
    fs::copy(source, &path)?;
    Ok(path)
}

#[test]
fn sha256_is_the_published_one_of_abc() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("abc");
    fs::write(&path, "abc").unwrap();
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // FIPS 180-2, B.1
    assert_eq!(wheel::sha256(&path).unwrap(), expected);
}

#[test]
fn only_wanted_members_are_installed_under_their_new_names() {
    let folder = TempDir::new().unwrap();
    let (source, wheel) = tiny_wheel(folder.path());
    let target = folder.path().join("data/tiny");
    install(&target, std::slice::from_ref(&wheel), |_, into| copy_to(&source, into)).unwrap();
    assert_eq!(fs::read_to_string(target.join("nvidia/libtiny.so")).unwrap(), "library");
    let mut entries: Vec<_> =
        fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    entries.sort();
    assert_eq!(entries, ["installed.json", "nvidia"]);
    assert_eq!(fs::read_dir(folder.path().join("data")).unwrap().count(), 1, "work folder is left behind");
    assert!(is_whole(&target, &[wheel]));
}

#[test]
fn a_changed_file_or_another_pin_makes_the_folder_not_whole() {
    let folder = TempDir::new().unwrap();
    let (source, wheel) = tiny_wheel(folder.path());
    let target = folder.path().join("tiny");
    assert!(!is_whole(&target, std::slice::from_ref(&wheel)));
    install(&target, std::slice::from_ref(&wheel), |_, into| copy_to(&source, into)).unwrap();
    let newer = Wheel { version: "1.1".into(), ..wheel.clone() };
    assert!(!is_whole(&target, &[newer]));
    fs::write(target.join("nvidia/libtiny.so"), "LIBRARY").unwrap();
    assert!(!is_whole(&target, std::slice::from_ref(&wheel)));
    install(&target, std::slice::from_ref(&wheel), |_, into| copy_to(&source, into)).unwrap();
    assert!(is_whole(&target, &[wheel]));
}

#[test]
fn a_wheel_with_another_checksum_is_refused_and_nothing_is_installed() {
    let folder = TempDir::new().unwrap();
    let (source, wheel) = tiny_wheel(folder.path());
    let target = folder.path().join("tiny");
    let pinned = Wheel { sha256: "0".repeat(64), ..wheel.clone() };
    let error = install(&target, &[pinned], |_, into| copy_to(&source, into)).unwrap_err().to_string();
    assert!(error.contains(&wheel.sha256) && error.contains(&"0".repeat(64)), "{error}");
    assert!(!target.exists());
}

#[test]
fn a_missing_member_is_named() {
    let folder = TempDir::new().unwrap();
    let (source, mut wheel) = tiny_wheel(folder.path());
    wheel.files.insert("tiny/libgone.so".into(), "libgone.so".into());
    let target = folder.path().join("tiny");
    let error = install(&target, &[wheel], |_, into| copy_to(&source, into)).unwrap_err().to_string();
    assert!(error.contains("tiny/libgone.so"), "{error}");
    assert!(!target.exists());
}

#[test]
fn what_an_interrupted_setup_fetched_is_not_fetched_again() {
    let folder = TempDir::new().unwrap();
    let (source, wheel) = tiny_wheel(folder.path());
    let second = Wheel { name: "second".into(), ..wheel.clone() };
    let target = folder.path().join("tiny");
    let fetched = Cell::new(0);
    let fetch = |wheel: &Wheel, into: &Path| {
        fetched.set(fetched.get() + 1);
        if wheel.name == "second" && fetched.get() == 2 {
            anyhow::bail!("the line broke");
        }
        copy_to(&source, into)
    };
    let wheels = [wheel, second];
    install(&target, &wheels, fetch).unwrap_err();
    install(&target, &wheels, fetch).unwrap();
    assert_eq!(fetched.get(), 3, "first wheel once, second twice");
}

#[test]
fn bundled_pins_are_complete() {
    let pins = Pins::bundled().unwrap();
    for wheel in pins.cpu.iter().chain(&pins.cuda) {
        assert_eq!(wheel.sha256.len(), 64, "{}", wheel.name);
        assert!(!wheel.files.is_empty(), "{}", wheel.name);
    }
    assert!(destinations(&pins.cpu).any(|path| path == "libonnxruntime.so"));
    assert!(destinations(&pins.cuda).any(|path| path == "libonnxruntime_providers_cuda.so"));
    let mut paths: Vec<_> = destinations(&pins.cuda).collect();
    paths.sort_unstable();
    let count = paths.len();
    paths.dedup();
    assert_eq!(paths.len(), count, "two members share one destination");
}
