//! The models of one checkpoint, loaded and unloaded one by one.

use std::path::PathBuf;

use ourvidz_runtime::nn::ClipKernels;
use ourvidz_runtime::{
    Device, Graph, LoadProgress, Model, Precision, Session, SessionOptions, Target, WeightCache,
};

use crate::checkpoint::Checkpoint;
use crate::graphs::{
    self, TextEncoder, Transformer, Umt5Config, VaeDecoder, VaeEncoder, VaeModels, VaeOptions,
};
use crate::{Result, WanTransformerConfig};

/// A model of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Component {
    /// umT5.
    TextEncoder,
    /// `WanTransformer3DModel` or `WanVACETransformer3DModel`.
    Transformer,
    /// Latents to frames.
    VaeDecoder,
    /// Frames to latents; references alone need it.
    VaeEncoder,
}

impl Component {
    /// All of them, in the order a run uses them.
    pub const ALL: [Component; 4] =
        [Component::TextEncoder, Component::VaeEncoder, Component::Transformer, Component::VaeDecoder];

    /// `text_encoder`, `transformer`, `vae_decoder`, `vae_encoder`.
    pub fn as_str(self) -> &'static str {
        match self {
            Component::TextEncoder => "text_encoder",
            Component::Transformer => "transformer",
            Component::VaeDecoder => "vae_decoder",
            Component::VaeEncoder => "vae_encoder",
        }
    }
}

/// Where and how sessions run.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) device: Device,
    pub(crate) precision: Precision,
    pub(crate) vae_precision: Precision,
    pub(crate) threads: Option<usize>,
    pub(crate) profile: Option<PathBuf>,
    pub(crate) cache: WeightCache,
}

/// Graphs of every model, and the sessions of those that are loaded. A model that is not is loaded when it is used.
#[derive(Debug)]
pub(crate) struct Components {
    pub(crate) settings: Settings,
    graphs: Graphs,
    text_encoder: Option<TextEncoder>,
    transformer: Option<Transformer>,
    vae_decoder: Option<VaeDecoder>,
    vae_encoder: Option<VaeEncoder>,
}

#[derive(Debug)]
struct Graphs {
    text_encoder: Model,
    text_encoder_config: Umt5Config,
    conditioning: Model,
    step: Model,
    transformer_config: WanTransformerConfig,
    vae: VaeModels,
}

impl Components {
    /// Builds every graph; loads nothing.
    pub(crate) fn build(checkpoint: &Checkpoint, settings: Settings) -> Result<Components> {
        // The processor's own attention keeps no scores; TensorRT reads standard operators only.
        let target = match settings.device {
            Device::Cpu => Target::Cpu,
            device => device.target(),
        };
        let dtype = settings.precision.dtype();
        let graph = |name: &str| Graph::new(name, target, dtype);
        let mut text_encoder = graph("text_encoder");
        graphs::text_encoder(&mut text_encoder, &checkpoint.text_encoder, &checkpoint.text_encoder_config)?;
        let (mut conditioning, mut step) = (graph("transformer_conditioning"), graph("transformer"));
        let transformer_config = checkpoint.transformer_config.clone();
        graphs::transformer(&mut conditioning, &mut step, &checkpoint.transformer, &transformer_config)?;
        // On CUDA the faster kernels (docs/PERFORMANCE.md); elsewhere the choice makes no difference.
        let kernels = ClipKernels::ChannelsLast3d;
        let options = VaeOptions { target, dtype: settings.vae_precision.dtype(), kernels };
        let vae = graphs::vae(&checkpoint.vae, &checkpoint.vae_config, options)?;
        let graphs = Graphs {
            text_encoder: text_encoder.finish(),
            text_encoder_config: checkpoint.text_encoder_config.clone(),
            conditioning: conditioning.finish(),
            step: step.finish(),
            transformer_config,
            vae,
        };
        Ok(Components {
            settings,
            graphs,
            text_encoder: None,
            transformer: None,
            vae_decoder: None,
            vae_encoder: None,
        })
    }

    pub(crate) fn transformer_config(&self) -> &WanTransformerConfig {
        &self.graphs.transformer_config
    }

    pub(crate) fn is_loaded(&self, component: Component) -> bool {
        match component {
            Component::TextEncoder => self.text_encoder.is_some(),
            Component::Transformer => self.transformer.is_some(),
            Component::VaeDecoder => self.vae_decoder.is_some(),
            Component::VaeEncoder => self.vae_encoder.is_some(),
        }
    }

    /// Frees what the model holds of the device's memory.
    pub(crate) fn unload(&mut self, component: Component) {
        match component {
            Component::TextEncoder => self.text_encoder = None,
            Component::Transformer => self.transformer = None,
            Component::VaeDecoder => self.vae_decoder = None,
            Component::VaeEncoder => self.vae_encoder = None,
        }
    }

    /// Loads one model unless it is loaded.
    pub(crate) fn load(
        &mut self,
        component: Component,
        progress: &mut dyn FnMut(LoadProgress<'_>),
    ) -> Result<()> {
        match component {
            Component::TextEncoder => self.text_encoder(progress).map(drop),
            Component::Transformer => self.transformer(progress).map(drop),
            Component::VaeDecoder => self.vae_decoder(progress).map(drop),
            Component::VaeEncoder => self.vae_encoder(progress).map(drop),
        }
    }

    pub(crate) fn text_encoder(
        &mut self,
        progress: &mut dyn FnMut(LoadProgress<'_>),
    ) -> Result<&mut TextEncoder> {
        let (graphs, settings) = (&self.graphs, &self.settings);
        loaded(&mut self.text_encoder, || {
            let options = settings.session();
            let session = Session::load(&graphs.text_encoder, &options, &settings.cache, progress)?;
            Ok(TextEncoder::new(session, graphs.text_encoder_config.clone()))
        })
    }

    pub(crate) fn transformer(
        &mut self,
        progress: &mut dyn FnMut(LoadProgress<'_>),
    ) -> Result<&mut Transformer> {
        let (graphs, settings) = (&self.graphs, &self.settings);
        loaded(&mut self.transformer, || {
            let (models, config) = ((&graphs.conditioning, &graphs.step), graphs.transformer_config.clone());
            Transformer::load(models, config, &settings.session(), &settings.cache, progress)
        })
    }

    pub(crate) fn vae_decoder(
        &mut self,
        progress: &mut dyn FnMut(LoadProgress<'_>),
    ) -> Result<&mut VaeDecoder> {
        let (graphs, settings) = (&self.graphs, &self.settings);
        loaded(&mut self.vae_decoder, || {
            VaeDecoder::load(&graphs.vae, &settings.session(), &settings.cache, progress)
        })
    }

    pub(crate) fn vae_encoder(
        &mut self,
        progress: &mut dyn FnMut(LoadProgress<'_>),
    ) -> Result<&mut VaeEncoder> {
        let (graphs, settings) = (&self.graphs, &self.settings);
        loaded(&mut self.vae_encoder, || {
            VaeEncoder::load(&graphs.vae, &settings.session(), &settings.cache, progress)
        })
    }
}

/// What is in `slot`, loaded first where nothing is.
fn loaded<T>(slot: &mut Option<T>, load: impl FnOnce() -> Result<T>) -> Result<&mut T> {
    let value = match slot.take() {
        Some(value) => value,
        None => load()?,
    };
    Ok(slot.insert(value))
}

impl Settings {
    fn session(&self) -> SessionOptions {
        SessionOptions {
            device: self.device,
            threads: self.threads,
            profile: self.profile.clone(),
            // Videos have many shapes, and their activations are large.
            without_memory_plan: true,
            ..SessionOptions::default()
        }
    }
}
