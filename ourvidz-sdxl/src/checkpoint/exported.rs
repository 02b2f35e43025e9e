use std::path::Path;

use super::{Checkpoint, Parts, diffusers};
use crate::Result;

/// A folder with `{component}/model.onnx`, by `ourvidz export` or by optimum.
pub(super) fn open(folder: &Path) -> Result<Checkpoint> {
    diffusers::read(folder, "vae_decoder", Parts::Exported(folder.to_owned()))
}
