use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use prost::Message;

use super::proto::*;
use super::{Attribute, Graph, NHWC_DOMAIN, Node, Value, ValueInfo, opset};
use crate::weights::{Conversion, Layout, LoadProgress, WeightCache, copy_tensor};
use crate::{Error, Result, TensorView};

/// Where an initializer's bytes come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Small constants, inside the model.
    Inline(Vec<u8>),
    /// As the checkpoint stores it.
    Stored(TensorView),
    /// Converted once, into the cache.
    Converted(Conversion),
}

/// A finished graph, ready to be loaded into a session or exported.
#[derive(Debug)]
pub struct Model {
    graph: Graph,
}

/// Bytes of a `ModelProto` and the folder that its external data is relative to.
pub(crate) struct Prepared {
    pub(crate) bytes: Vec<u8>,
    pub(crate) folder: Option<PathBuf>,
}

impl Graph {
    /// Ends building.
    pub fn finish(self) -> Model {
        Model { graph: self }
    }
}

impl Model {
    /// The name given to [`Graph::new`].
    pub fn name(&self) -> &str {
        &self.graph.name
    }

    /// Operators in the graph as `domain:Operator`, `domain` being empty for standard ONNX.
    pub fn operators(&self) -> impl Iterator<Item = String> {
        self.graph.nodes.iter().map(|node| format!("{}:{}", node.domain, node.op))
    }

    /// Whether an operator is of `domain`.
    pub(crate) fn uses(&self, domain: &str) -> bool {
        self.graph.nodes.iter().any(|node| node.domain == domain)
    }

    /// Which operators the graph may use.
    pub fn target(&self) -> super::Target {
        self.graph.target
    }

    /// Bytes of weights that the model refers to.
    pub fn weight_bytes(&self) -> u64 {
        self.graph.initializers.iter().map(|(value, _)| byte_len(&self.graph.values[value.0])).sum()
    }

    /// Converts what must be converted and gives the bytes for a session.
    pub(crate) fn prepare(
        &self,
        cache: &WeightCache,
        progress: &mut dyn FnMut(LoadProgress<'_>),
    ) -> Result<Prepared> {
        let wanted: Vec<_> = self
            .graph
            .initializers
            .iter()
            .filter_map(|(_, source)| match source {
                Source::Converted(conversion) => Some(conversion.clone()),
                _ => None,
            })
            .collect();
        let converted = match wanted.is_empty() {
            true => None,
            false => Some(cache.file_for(&self.graph.name, &wanted, progress)?),
        };
        let mut files: Vec<&Path> = self
            .graph
            .initializers
            .iter()
            .filter_map(|(_, source)| match source {
                Source::Stored(view) => Some(&*view.file),
                _ => None,
            })
            .collect();
        files.extend(converted.as_ref().map(|(path, _)| path.as_path()));
        let folder = common_folder(&files);
        let mut offsets = converted.iter().flat_map(|(_, offsets)| offsets.iter().copied());
        let mut initializers = Vec::new();
        for (value, source) in &self.graph.initializers {
            let place = match (source, &converted) {
                (Source::Stored(view), _) => Some((&*view.file, view.offset)),
                (Source::Converted(_), Some((path, _))) => {
                    offsets.next().map(|offset| (path.as_path(), offset))
                }
                _ => None,
            };
            let info = &self.graph.values[value.0];
            initializers.push(match (source, place) {
                (Source::Inline(bytes), _) => inline(info, bytes),
                (_, Some((file, offset))) => {
                    let relative = folder.as_deref().and_then(|folder| file.strip_prefix(folder).ok());
                    external(info, relative.unwrap_or(file), offset)
                }
                (_, None) => return Err(Error::NotFound { what: info.name.clone(), looked_for: vec![] }),
            });
        }
        Ok(Prepared { bytes: self.encode(initializers), folder })
    }

    /// Writes `model.onnx` and `model.onnx_data` into `folder`.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn export(&self, folder: &Path, progress: &mut dyn FnMut(LoadProgress<'_>)) -> Result<()> {
        fs::create_dir_all(folder).map_err(Error::io(folder, "making the folder"))?;
        let data = folder.join("model.onnx_data");
        let file = File::create(&data).map_err(Error::io(&data, "making"))?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let (what, total) = (format!("exporting {}", self.graph.name), self.weight_bytes());
        let mut at = 0u64;
        let mut initializers = Vec::new();
        for (value, source) in &self.graph.initializers {
            let info = &self.graph.values[value.0];
            let conversion = match source {
                Source::Inline(bytes) => {
                    initializers.push(inline(info, bytes));
                    continue;
                }
                Source::Stored(view) => Conversion {
                    name: info.name.clone(),
                    view: view.clone(),
                    dtype: view.dtype,
                    layout: Layout::AsStored,
                },
                Source::Converted(conversion) => conversion.clone(),
            };
            // The format recommends pages; readers that map a tensor by itself need them.
            let padding = at.next_multiple_of(4096) - at;
            out.write_all(&vec![0; padding as usize]).map_err(Error::io(&data, "writing"))?;
            at += padding;
            copy_tensor(&conversion, &data, &mut out)?;
            initializers.push(external(info, Path::new("model.onnx_data"), at));
            at += byte_len(info);
            progress(LoadProgress { what: &what, done: at, total });
        }
        out.flush().map_err(Error::io(&data, "writing"))?;
        let model = folder.join("model.onnx");
        fs::write(&model, self.encode(initializers)).map_err(Error::io(&model, "writing"))
    }

    fn encode(&self, initializer: Vec<TensorProto>) -> Vec<u8> {
        let graph = &self.graph;
        let name = |value: &Value| graph.values[value.0].name.clone();
        let node = |(i, node): (usize, &Node)| NodeProto {
            input: node.inputs.iter().map(|v| v.as_ref().map(name).unwrap_or_default()).collect(),
            output: node.outputs.iter().map(name).collect(),
            name: Some(format!("{}_{i}", node.op)),
            op_type: Some(node.op.clone()),
            attribute: node.attributes.iter().map(|(name, a)| attribute(name, a)).collect(),
            domain: Some(node.domain.clone()),
        };
        let mut domains: Vec<&str> = graph.nodes.iter().map(|node| node.domain.as_str()).collect();
        domains.push("");
        domains.sort_unstable();
        domains.dedup();
        // The internal domain repeats the standard operators with channels last, version by version.
        let standard = |domain: &str| domain.is_empty() || domain == NHWC_DOMAIN;
        let version = |domain: &str| if standard(domain) { opset(graph.dtype) } else { 1 };
        ModelProto {
            ir_version: Some(10),
            producer_name: Some("ourvidz".into()),
            producer_version: Some(env!("CARGO_PKG_VERSION").into()),
            graph: Some(GraphProto {
                node: graph.nodes.iter().enumerate().map(node).collect(),
                name: Some(graph.name.clone()),
                initializer,
                input: graph.inputs.iter().map(|v| value_info(&graph.values[v.0])).collect(),
                output: graph.outputs.iter().map(|v| value_info(&graph.values[v.0])).collect(),
            }),
            opset_import: domains
                .into_iter()
                .map(|d| OperatorSetIdProto { domain: Some(d.into()), version: Some(version(d)) })
                .collect(),
        }
        .encode_to_vec()
    }
}

fn byte_len(info: &ValueInfo) -> u64 {
    let count: i64 = info.shape.iter().filter_map(super::Dim::fixed).product();
    count as u64 * info.dtype.size() as u64
}

fn tensor(info: &ValueInfo) -> TensorProto {
    TensorProto {
        dims: info.shape.iter().filter_map(super::Dim::fixed).collect(),
        data_type: Some(info.dtype.onnx()),
        name: Some(info.name.clone()),
        ..TensorProto::default()
    }
}

fn inline(info: &ValueInfo, bytes: &[u8]) -> TensorProto {
    TensorProto { raw_data: Some(bytes.to_vec()), ..tensor(info) }
}

fn external(info: &ValueInfo, location: &Path, offset: u64) -> TensorProto {
    let entry =
        |key: &str, value: String| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
    let external_data = vec![
        entry("location", location.display().to_string()),
        entry("offset", offset.to_string()),
        entry("length", byte_len(info).to_string()),
    ];
    TensorProto { external_data, data_location: Some(1), ..tensor(info) }
}

fn attribute(name: &str, a: &Attribute) -> AttributeProto {
    let base = AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() };
    match a {
        Attribute::Float(f) => AttributeProto { f: Some(*f), r#type: Some(1), ..base },
        Attribute::Int(i) => AttributeProto { i: Some(*i), r#type: Some(2), ..base },
        Attribute::Text(s) => AttributeProto { s: Some(s.clone().into_bytes()), r#type: Some(3), ..base },
        Attribute::Ints(ints) => AttributeProto { ints: ints.clone(), r#type: Some(7), ..base },
    }
}

fn value_info(info: &ValueInfo) -> ValueInfoProto {
    let dim = |dim: &super::Dim| match dim {
        super::Dim::Fixed(n) => DimensionProto { dim_value: Some(*n), dim_param: None },
        super::Dim::Named(name) => DimensionProto { dim_value: None, dim_param: Some(name.to_string()) },
    };
    let shape = TensorShapeProto { dim: info.shape.iter().map(dim).collect() };
    let tensor_type = TensorTypeProto { elem_type: Some(info.dtype.onnx()), shape: Some(shape) };
    ValueInfoProto {
        name: Some(info.name.clone()),
        r#type: Some(TypeProto { tensor_type: Some(tensor_type) }),
    }
}

/// The deepest folder that all files lie in: external data may not leave the model's folder.
fn common_folder(files: &[&Path]) -> Option<PathBuf> {
    let mut folder = files.first()?.parent()?.to_path_buf();
    for file in files {
        while !file.starts_with(&folder) {
            folder = folder.parent()?.to_path_buf();
        }
    }
    Some(folder)
}
