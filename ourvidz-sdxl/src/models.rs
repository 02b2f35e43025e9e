//! The graphs of a checkpoint's components.

use std::path::PathBuf;

use ourvidz_runtime::{Graph, Model, Precision, Target};

use crate::checkpoint::{Checkpoint, Parts};
use crate::{Result, text_encoder, unet, vae};

/// One graph per component; names are those of the folders they are exported to.
#[derive(Debug)]
pub(crate) struct Models {
    pub(crate) text_encoder: Model,
    pub(crate) text_encoder_2: Model,
    pub(crate) unet: Model,
    pub(crate) vae_decoder: Model,
    pub(crate) vae_encoder: Model,
}

/// What sessions are made of.
#[derive(Debug)]
pub(crate) enum Source {
    /// Graphs built here.
    Built(Box<Models>),
    /// A folder with `{component}/model.onnx`.
    Exported(PathBuf),
}

/// Builds every graph, or points at the checkpoint's finished ONNX files.
pub(crate) fn build(
    checkpoint: &Checkpoint,
    target: Target,
    precision: Precision,
    export: bool,
) -> Result<Source> {
    let (first, second, unet_tensors, vae_tensors) = match &checkpoint.parts {
        Parts::Exported(folder) => return Ok(Source::Exported(folder.clone())),
        Parts::Tensors { text_encoder, text_encoder_2, unet, vae } => {
            (text_encoder, text_encoder_2, unet, vae)
        }
    };
    let graph = |name: &str, precision: Precision| {
        let graph = Graph::new(name, target, precision.dtype());
        if export { graph.for_export() } else { graph }
    };
    let mut text_encoder = graph("text_encoder", precision);
    text_encoder::build(&mut text_encoder, first, &checkpoint.text_encoder)?;
    let mut text_encoder_2 = graph("text_encoder_2", precision);
    text_encoder::build(&mut text_encoder_2, second, &checkpoint.text_encoder_2)?;
    let mut unet = graph("unet", precision);
    unet::build(&mut unet, unet_tensors, &checkpoint.unet)?;
    let vae_precision = vae_precision(checkpoint, precision);
    let (mut decoder, mut encoder) =
        (graph("vae_decoder", vae_precision), graph("vae_encoder", vae_precision));
    vae::build(&mut decoder, &mut encoder, vae_tensors, &checkpoint.vae)?;
    Ok(Source::Built(Box::new(Models {
        text_encoder: text_encoder.finish(),
        text_encoder_2: text_encoder_2.finish(),
        unet: unet.finish(),
        vae_decoder: decoder.finish(),
        vae_encoder: encoder.finish(),
    })))
}

/// Activations of the SDXL VAE leave fp16's range: it runs in fp32 unless its configuration says that it need not.
pub(crate) fn vae_precision(checkpoint: &Checkpoint, precision: Precision) -> Precision {
    if checkpoint.vae.force_upcast { Precision::Fp32 } else { precision }
}
