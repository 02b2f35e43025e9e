//! Checkpoints in, ONNX Runtime sessions out.
//!
//! ```no_run
//! use std::path::Path;
//! use ourvidz_runtime::{DType, Graph, Session, SessionOptions, Target, TensorSet, WeightCache, nn, open_safetensors};
//!
//! fn main() -> Result<(), ourvidz_runtime::Error> {
//!     let weights = TensorSet::new("classifier", open_safetensors(Path::new("classifier.safetensors"))?);
//!     let mut g = Graph::new("classifier", Target::Portable, DType::F32);
//!     let x = g.input("x", DType::F32, vec!["batch".into(), 64.into()]);
//!     let y = nn::linear(&mut g, &weights.root().at("head"), x, 10)?; // [batch, 10]
//!     g.output("y", y);
//!     weights.finish()?; // a tensor that nothing read is an error
//!     let session = Session::load(&g.finish(), &SessionOptions::default(), &WeightCache::user(), &mut |_| ())?;
//!     Ok(println!("{:?}", session.outputs().collect::<Vec<_>>()))
//! }
//! ```
//!
//! A graph is built in Rust from the checkpoint's own tensors, ends in ONNX bytes, and ONNX Runtime maps the weights
//! where they lie. [`graph`], [`nn`] and [`weights`] know nothing of ONNX Runtime; [`Session`] and [`Device`] know
//! nothing of layers.

mod cuda;
mod device;
mod dtype;
mod embedding;
mod error;
pub mod graph;
pub mod library;
pub mod nn;
mod session;
mod tensor;
pub mod weights;

pub use device::Device;
pub use dtype::{DType, Precision};
pub use embedding::Embedding;
pub use error::{Error, Result};
pub use graph::{Attribute, Dim, Graph, Model, Target, Value};
pub use ort::operator;
pub use session::{
    Binding, Bound, Buffers, DeviceTensor, KeepingRun, Renewed, RenewingRun, Session, SessionOptions,
};
pub use tensor::Tensor;
pub use weights::{
    LoadProgress, TensorSet, TensorView, WeightCache, Weights, open_safetensors, open_safetensors_except,
    open_torch, open_weights, read_safetensors_bytes,
};
