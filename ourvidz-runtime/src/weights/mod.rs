//! Tensors of a checkpoint, read by their own names.

mod convert;
mod file;
mod int4;
mod tensors;
mod torch;

pub(crate) use convert::{Conversion, Layout, cast as cast_bytes, copy_tensor};
pub use convert::{LoadProgress, WeightCache};
pub use file::{TensorView, open_safetensors, open_safetensors_except, open_weights, read_safetensors_bytes};
pub(crate) use int4::{BLOCK as INT4_BLOCK, Part as Int4Part};
pub use tensors::{TensorSet, Weights};
pub use torch::open_torch;
