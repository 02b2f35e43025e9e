//! `ourvidz setup`: fetches ONNX Runtime's libraries into the user's data folder.
//!
//! The libraries come out of PyPI wheels, fetched by pip with the user's own index settings. Versions and
//! checksums are pinned in `wheels.json`. A folder that is there and whole is left alone.

mod install;
mod pip;
mod wheel;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use self::wheel::Pins;

/// Options of `ourvidz setup`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SetupOptions {
    /// Fetch ONNX Runtime for CUDA 13 and the NVIDIA libraries it needs (about 1.5 GB to fetch)
    #[arg(long)]
    pub(crate) cuda: bool,
    /// Folder to install into [default: `ourvidz` in the user's data folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// Fetches what `options` ask for, unless it is there already, and says on standard output what it did.
pub(crate) fn run(options: &SetupOptions) -> Result<()> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "setup knows Linux on x86-64 only; elsewhere install ONNX Runtime and set ORT_DYLIB_PATH"
    );
    let root = match &options.dir {
        Some(dir) => dir.clone(),
        None => dirs::data_dir()
            .context("no data folder: set XDG_DATA_HOME or HOME, or name one with --dir")?
            .join("ourvidz"),
    };
    let pins = Pins::bundled()?;
    let (wheels, kind) = if options.cuda { (&pins.cuda, "cuda") } else { (&pins.cpu, "cpu") };
    let target = root.join(format!("onnxruntime-{}-{kind}", pins.version));
    let mut out = std::io::stdout();

    let _lock = install::lock(&root)?;
    if install::is_whole(&target, wheels) {
        writeln!(out, "ONNX Runtime {} ({kind}) is already in {}", pins.version, target.display())?;
        return Ok(());
    }
    install::install(&target, wheels, pip::fetch)?;
    writeln!(
        out,
        "ONNX Runtime {} ({kind}) is now in {}, checksums verified",
        pins.version,
        target.display()
    )?;
    Ok(())
}
