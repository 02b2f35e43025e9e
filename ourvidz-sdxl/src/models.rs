//! The graphs of a checkpoint's components.

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

/// Builds every graph, or nothing where the checkpoint holds finished ONNX files.
pub(crate) fn build(
    checkpoint: &Checkpoint,
    target: Target,
    precision: Precision,
    export: bool,
) -> Result<Option<Models>> {
    let Parts::Tensors { text_encoder: first, text_encoder_2: second, unet: unet_tensors, vae: vae_tensors } =
        &checkpoint.parts
    else {
        return Ok(None);
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
    Ok(Some(Models {
        text_encoder: text_encoder.finish(),
        text_encoder_2: text_encoder_2.finish(),
        unet: unet.finish(),
        vae_decoder: decoder.finish(),
        vae_encoder: encoder.finish(),
    }))
}

/// Activations of the SDXL VAE leave fp16's range: it runs in fp32 unless its configuration says that it need not.
pub(crate) fn vae_precision(checkpoint: &Checkpoint, precision: Precision) -> Precision {
    if checkpoint.vae.force_upcast { Precision::Fp32 } else { precision }
}
