//! Checkpoints that `torch.save` wrote: a zip of stored entries, one of them a pickle that says what the others are.
//!
//! The pickle is interpreted with a list of what it may contain, and nothing in it is ever called.

mod archive;
mod pickle;
mod place;
mod stack;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use crate::{Error, Result, TensorView};

/// What is wrong with a file, before its path is known.
#[derive(Debug)]
struct Refusal {
    rule: &'static str,
    found: String,
}

/// What a file says is shown without control characters and cut: a name in it may be as long as the file.
fn refuse<T>(rule: &'static str, found: impl Into<String>) -> Result<T, Refusal> {
    let found: String = found.into();
    let shown = found.chars().map(|c| if c.is_control() { '?' } else { c }).take(200);
    Err(Refusal { rule, found: shown.collect() })
}

/// Names and places of all tensors of one `.pth` or `.pt` file, as [`open_safetensors`](crate::open_safetensors)
/// gives them: no number is read, and none is copied.
///
/// The file is a dict of names and tensors (`state_dict()`), written by torch 1.6 or later in its zip format with
/// pickle protocol 2, which is its default. Views into a storage are found where they begin; of views that are not
/// contiguous, only matrices with their axes swapped are read.
///
/// # Errors
/// [`Error::Io`]; [`Error::Torch`] for a file that is damaged, older, compressed, or whose pickle names anything
/// else than dicts, lists, tuples, numbers, text and tensors; [`Error::TensorType`] for element types other than
/// F32, F16, BF16, I64, I32 and BOOL.
pub fn open_torch(path: &Path) -> Result<BTreeMap<String, TensorView>> {
    let real = path.canonicalize().map_err(Error::io(path, "opening"))?;
    let file = File::open(&real).map_err(Error::io(path, "opening"))?;
    let refused = |Refusal { rule, found }| Error::Torch { path: path.to_owned(), rule, found };
    let size = file.metadata().map_err(Error::io(path, "reading the size"))?.len();
    let archive = archive::read(file, size).map_err(|failure| match failure {
        archive::Failure::Refused(refusal) => refused(refusal),
        archive::Failure::Io(source) => Error::io(path, "reading")(source),
    })?;
    let tensors = pickle::interpret(&archive.pickle).map_err(refused)?;
    let file = real.into();
    let mut views = BTreeMap::new();
    for (name, tensor) in tensors {
        let Some(dtype) = tensor.storage.dtype else {
            let dtype = tensor.storage.class.into();
            return Err(Error::TensorType { path: path.to_owned(), tensor: name, dtype });
        };
        let place = place::of(&name, &tensor, dtype, &archive.records).map_err(refused)?;
        let view = TensorView {
            file: std::sync::Arc::clone(&file),
            offset: place.offset,
            dtype,
            shape: tensor.size,
            stored_transposed: place.transposed,
        };
        if views.insert(name.clone(), view).is_some() {
            return Err(refused(Refusal { rule: "must hold every name once", found: name }));
        }
    }
    Ok(views)
}
