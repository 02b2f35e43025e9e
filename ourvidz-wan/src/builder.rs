use std::path::PathBuf;

use ourvidz_core::scheduler::SchedulerConfig;
use ourvidz_runtime::{Device, LoadProgress, Precision, WeightCache};

use crate::checkpoint::{Checkpoint, CheckpointSource};
use crate::components::{Component, Components, Settings};
use crate::{Error, Result, WanPipeline};

/// How a checkpoint is loaded: [`WanPipeline::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct WanPipelineBuilder {
    source: CheckpointSource,
    device: Device,
    precision: Option<Precision>,
    vae_precision: Option<Precision>,
    scheduler: Option<String>,
    low_memory: bool,
    threads: Option<usize>,
    cache: Option<PathBuf>,
    profile: Option<PathBuf>,
}

impl WanPipelineBuilder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> WanPipelineBuilder {
        WanPipelineBuilder {
            source: CheckpointSource { path: path.into(), ..CheckpointSource::default() },
            device: Device::Cpu,
            precision: None,
            vae_precision: None,
            scheduler: None,
            low_memory: false,
            threads: None,
            cache: None,
            profile: None,
        }
    }

    /// Where to run. Default: the processor.
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Type of weights and activations of the text encoder and the transformer. Default: fp32 on the processor, bf16 on
    /// a GPU: umT5 leaves fp16's range.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = Some(precision);
        self
    }

    /// The same for the VAE, fp32 or fp16. Default: fp32 on the processor, fp16 on a GPU; frames that are not finite
    /// are an error that names this option.
    pub fn vae_precision(mut self, precision: Precision) -> Self {
        self.vae_precision = Some(precision);
        self
    }

    /// Files of a diffusers folder, e.g. `bf16` for `diffusion_pytorch_model.bf16.safetensors`.
    pub fn variant(mut self, variant: impl Into<String>) -> Self {
        self.source.variant = Some(variant.into());
        self
    }

    /// File of umT5, `.safetensors` or `.pth`, instead of the checkpoint's own.
    pub fn text_encoder(mut self, file: impl Into<PathBuf>) -> Self {
        self.source.text_encoder = Some(file.into());
        self
    }

    /// File of the VAE, `.safetensors` or `.pth`, instead of the checkpoint's own.
    pub fn vae(mut self, file: impl Into<PathBuf>) -> Self {
        self.source.vae = Some(file.into());
        self
    }

    /// Folder with `tokenizer.json` or `spiece.model`, instead of the checkpoint's own.
    pub fn tokenizer(mut self, folder: impl Into<PathBuf>) -> Self {
        self.source.tokenizer = Some(folder.into());
        self
    }

    /// A scheduler by the name of its class, or `unipc`, `dpm++`, `flow_euler`, for requests that name none. Default:
    /// the checkpoint's own, and the one of Wan2.1-T2V-1.3B where it has none.
    pub fn scheduler(mut self, class_name: impl Into<String>) -> Self {
        self.scheduler = Some(class_name.into());
        self
    }

    /// Hold one model at a time: each is freed when its part of a run is done, and loaded again for the next run, from
    /// the file cache in seconds. Default: all stay loaded.
    pub fn low_memory(mut self, low_memory: bool) -> Self {
        self.low_memory = low_memory;
        self
    }

    /// Threads on the processor. Default: one per core.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Folder for converted weights. Default: the user's cache folder ([`WeightCache::user`]).
    pub fn cache_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }

    /// Folder for a trace of every node's time, one file per model, written when the pipeline is dropped.
    pub fn profile(mut self, folder: impl Into<PathBuf>) -> Self {
        self.profile = Some(folder.into());
        self
    }

    /// Loads text encoder, transformer and the VAE's decoder; its encoder is loaded by the first reference. With
    /// [`low_memory`](Self::low_memory) one after the other, to try them.
    ///
    /// # Errors
    /// The checkpoint, the device or the library is not there or does not fit; nothing stays loaded.
    pub fn load(self) -> Result<WanPipeline> {
        self.load_with(|_| ())
    }

    /// As [`load`](Self::load), and reports what takes time.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(self, mut progress: impl FnMut(LoadProgress<'_>)) -> Result<WanPipeline> {
        let settings = self.settings()?;
        let checkpoint = Checkpoint::open(&self.source)?;
        refuse_pictures(&checkpoint)?;
        let scheduler = scheduler_config(&checkpoint, self.scheduler.as_deref())?;
        // A scheduler that cannot be built is found out before gigabytes are loaded.
        scheduler.build(2)?;
        let tokenizer = checkpoint.tokenizer.clone();
        let mut components = Components::build(&checkpoint, settings)?;
        for component in [Component::TextEncoder, Component::Transformer, Component::VaeDecoder] {
            progress(LoadProgress { what: component.as_str(), done: 0, total: 0 });
            components.load(component, &mut progress)?;
            if self.low_memory {
                // A file that does not fit is found out now.
                components.unload(component);
            }
        }
        let low_memory = self.low_memory;
        Ok(WanPipeline { components, tokenizer, scheduler, low_memory, negative_embeds: None })
    }

    fn settings(&self) -> Result<Settings> {
        let gpu = self.device != Device::Cpu;
        let precision = self.precision.unwrap_or(if gpu { Precision::Bf16 } else { Precision::Fp32 });
        let vae_precision = self.vae_precision.unwrap_or(if gpu { Precision::Fp16 } else { Precision::Fp32 });
        self.device.check_precision(precision)?;
        self.device.check_precision(vae_precision)?;
        Ok(Settings {
            device: self.device,
            precision,
            vae_precision,
            threads: self.threads,
            profile: self.profile.clone(),
            cache: self.cache.clone().map_or_else(WeightCache::user, WeightCache::new),
        })
    }
}

/// Checkpoints that begin from pictures need an image encoder, which no pipeline here has.
fn refuse_pictures(checkpoint: &Checkpoint) -> Result<()> {
    let config = &checkpoint.transformer_config;
    if config.image_dim.is_some() || config.in_channels != config.out_channels {
        return Err(Error::Config {
            field: "in_channels",
            rule: "out_channels, as in text-to-video and VACE models: image-to-video models have no pipeline here",
            value: config.in_channels.to_string(),
        });
    }
    if config.in_channels != checkpoint.vae_config.z_dim {
        return Err(Error::Config {
            field: "in_channels",
            rule: "z_dim of the VAE",
            value: config.in_channels.to_string(),
        });
    }
    Ok(())
}

fn scheduler_config(checkpoint: &Checkpoint, class_name: Option<&str>) -> Result<SchedulerConfig> {
    let config = match &checkpoint.scheduler {
        Some(json) => SchedulerConfig::from_json(&json.to_string())?,
        None => SchedulerConfig::wan_2_1(),
    };
    Ok(match class_name {
        Some(name) => config.with_class_name(name)?,
        None => config,
    })
}
