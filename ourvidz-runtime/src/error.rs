use std::path::PathBuf;

/// What can go wrong between a checkpoint on disk and a session that runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor that the model needs is not in the checkpoint.
    #[error("{component}: tensor {tensor} is missing (expected shape {expected})")]
    MissingTensor {
        /// Part of the model, e.g. `unet`.
        component: String,
        /// Full name in the checkpoint.
        tensor: String,
        /// Shape the configuration asks for.
        expected: String,
    },
    /// A tensor is there with another shape than the configuration says.
    #[error("{component}: tensor {tensor} has shape {found}, expected {expected}")]
    WrongShape {
        /// Part of the model.
        component: String,
        /// Full name in the checkpoint.
        tensor: String,
        /// Shape the configuration asks for.
        expected: String,
        /// Shape in the file.
        found: String,
    },
    /// The graph was built and tensors of the checkpoint were never read: the configuration does not fit.
    #[error("{component}: {count} tensors were never read, first {first}")]
    UnreadTensors {
        /// Part of the model.
        component: String,
        /// How many.
        count: usize,
        /// The first few, as `name [shape]`.
        first: String,
    },
    /// A tensor has a data type that cannot be used as a weight.
    #[error("{path}: tensor {tensor} has data type {dtype}, which is not one of F32, F16, BF16")]
    TensorType {
        /// The file.
        path: PathBuf,
        /// Full name in the checkpoint.
        tensor: String,
        /// The type found.
        dtype: String,
    },
    /// Shapes do not fit while a graph is built.
    #[error("{op}: {rule}, got {found}")]
    Shape {
        /// The operator or layer.
        op: String,
        /// What it needs.
        rule: String,
        /// What it was given.
        found: String,
    },
    /// A configuration file holds something this version cannot build.
    #[error("{file}: {field} {rule}, got {value}")]
    Config {
        /// Which file, e.g. `unet/config.json`.
        file: String,
        /// The field's name.
        field: String,
        /// The rule.
        rule: String,
        /// The value found.
        value: String,
    },
    /// A file of the checkpoint is not where it should be.
    #[error("{what} not found; looked for {}", looked_for.join(", "))]
    NotFound {
        /// What was wanted, e.g. `unet weights`.
        what: String,
        /// Every path that was tried.
        looked_for: Vec<String>,
    },
    /// A file could not be read or written.
    #[error("{path}: {what}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        what: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A `.safetensors` file is damaged.
    #[error("{path} is not a whole safetensors file")]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: safetensors::SafeTensorError,
    },
    /// A file of torch is damaged, in another format than the zip of tensors that `torch.save` writes, or holds more
    /// than tensors.
    #[error("{path} is not a plain torch checkpoint: it {rule}, got {found}")]
    Torch {
        /// The file.
        path: PathBuf,
        /// What such a file keeps to.
        rule: &'static str,
        /// What was found.
        found: String,
    },
    /// A JSON file is damaged.
    #[error("{path} is not valid JSON")]
    Json {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
    /// ONNX Runtime's shared library was not found.
    #[error("ONNX Runtime's library was not found (looked in {}); run `ourvidz setup{flag}` or set ORT_DYLIB_PATH", looked_in.join(", "))]
    LibraryNotFound {
        /// Every path that was tried.
        looked_in: Vec<String>,
        /// ` --cuda` where the device needs the CUDA build.
        flag: &'static str,
    },
    /// ONNX Runtime's shared library is there and could not be loaded.
    #[error("{path} could not be loaded: {reason}")]
    LibraryLoad {
        /// The file.
        path: PathBuf,
        /// The loader's words.
        reason: String,
    },
    /// The device asked for is not there. Nothing else is used in its place.
    #[error("device {device} is not available: {reason}")]
    DeviceUnavailable {
        /// As asked for, e.g. `cuda:0`.
        device: String,
        /// Why.
        reason: String,
    },
    /// A device or precision that cannot be parsed or combined.
    #[error("{field}: {rule}, got {value}")]
    Invalid {
        /// `device` or `precision`, or the name of an input.
        field: String,
        /// The rule.
        rule: String,
        /// The value found.
        value: String,
    },
    /// ONNX Runtime refused a model or a run.
    #[error("{what}")]
    Session {
        /// What was being done, e.g. `loading unet on cuda:0`.
        what: String,
        /// ONNX Runtime's error.
        source: ort::Error,
    },
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>, what: &str) -> impl FnOnce(std::io::Error) -> Error {
        let (path, what) = (path.into(), what.to_owned());
        move |source| Error::Io { path, what, source }
    }

    pub(crate) fn session<R>(what: impl Into<String>) -> impl FnOnce(ort::Error<R>) -> Error {
        let what = what.into();
        // A builder's error carries the builder; only the message and the code matter here.
        move |e| Error::Session { what, source: ort::Error::new_with_code(e.code(), e.message()) }
    }

    /// A copy between host and device failed.
    pub(crate) fn copy(what: impl Into<String>) -> impl FnOnce(String) -> Error {
        let what = what.into();
        move |reason| Error::Session { what, source: ort::Error::new(reason) }
    }

    pub(crate) fn shape(op: &str, rule: impl Into<String>, found: impl Into<String>) -> Error {
        Error::Shape { op: op.to_owned(), rule: rule.into(), found: found.into() }
    }
}

/// Result of this crate.
pub type Result<T, E = Error> = core::result::Result<T, E>;
