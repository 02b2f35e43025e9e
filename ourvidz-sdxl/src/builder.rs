use std::path::{Path, PathBuf};

use ourvidz_core::scheduler::SchedulerConfig;
use ourvidz_runtime::{Device, LoadProgress, Model, Precision, Session, SessionOptions, WeightCache};

use crate::checkpoint;
use crate::models::{self, Models, Source};
use crate::pipeline::SdxlPipeline;
use crate::{Error, Result};

/// How a checkpoint is loaded: [`SdxlPipeline::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct SdxlPipelineBuilder {
    path: PathBuf,
    device: Device,
    precision: Option<Precision>,
    variant: Option<String>,
    scheduler: Option<String>,
    threads: Option<usize>,
    cache: Option<PathBuf>,
    profile: Option<PathBuf>,
}

impl SdxlPipelineBuilder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> SdxlPipelineBuilder {
        SdxlPipelineBuilder {
            path: path.into(),
            device: Device::Cpu,
            precision: None,
            variant: None,
            scheduler: None,
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

    /// Type of weights and activations of the text encoders and the UNet. Default: fp32 on the processor, fp16 on a
    /// GPU. The VAE follows its `force_upcast`.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = Some(precision);
        self
    }

    /// Files of a diffusers folder, e.g. `fp16` for `diffusion_pytorch_model.fp16.safetensors`. Default: the plain
    /// files, and `fp16` where there are no others.
    pub fn variant(mut self, variant: impl Into<String>) -> Self {
        self.variant = Some(variant.into());
        self
    }

    /// A scheduler by the name of its class instead of the checkpoint's, with the checkpoint's parameters.
    pub fn scheduler(mut self, class_name: impl Into<String>) -> Self {
        self.scheduler = Some(class_name.into());
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

    /// Loads all models.
    ///
    /// # Errors
    /// The checkpoint, the device or the library is not there or does not fit; nothing stays loaded.
    pub fn load(self) -> Result<SdxlPipeline> {
        self.load_with(|_| ())
    }

    /// Loads all models, one after another, and reports what takes time.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(self, mut progress: impl FnMut(LoadProgress<'_>)) -> Result<SdxlPipeline> {
        let checkpoint = checkpoint::open(&self.path, self.variant.as_deref())?;
        let scheduler = self.scheduler_config(checkpoint.scheduler.clone())?;
        // A scheduler that cannot be built is found out before gigabytes are loaded.
        let scheduler_class = scheduler.build(1)?.class_name();
        let precision = self.precision.unwrap_or(self.device.default_precision());
        self.device.check_precision(precision)?;
        let options = SessionOptions {
            device: self.device,
            threads: self.threads,
            profile: self.profile.clone(),
            ..SessionOptions::default()
        };
        let cache = self.cache.map_or_else(WeightCache::user, WeightCache::new);
        let source = models::build(&checkpoint, self.device.target(), precision, false)?;
        let mut load = |name: &'static str, of: fn(&Models) -> &Model| -> Result<Session> {
            progress(LoadProgress { what: name, done: 0, total: 0 });
            Ok(match &source {
                Source::Built(models) => Session::load(of(models), &options, &cache, &mut progress)?,
                Source::Exported(folder) => {
                    Session::load_file(name, &folder.join(name).join("model.onnx"), &options)?
                }
            })
        };
        let text_encoder = load("text_encoder", |m| &m.text_encoder)?;
        let text_encoder_2 = load("text_encoder_2", |m| &m.text_encoder_2)?;
        let unet = load("unet", |m| &m.unet)?;
        let vae_decoder = load("vae_decoder", |m| &m.vae_decoder)?;
        let precision = match source {
            Source::Built(_) => precision,
            Source::Exported(_) => unet.input_precision("sample").unwrap_or(precision),
        };
        Ok(SdxlPipeline {
            text_encoder,
            text_encoder_2,
            unet,
            vae_decoder,
            text_encoder_config: checkpoint.text_encoder,
            text_encoder_2_config: checkpoint.text_encoder_2,
            unet_config: checkpoint.unet,
            vae_config: checkpoint.vae,
            tokenizer: checkpoint.tokenizer,
            tokenizer_2: checkpoint.tokenizer_2,
            force_zeros_for_empty_prompt: checkpoint.force_zeros_for_empty_prompt,
            scheduler,
            scheduler_class,
            device: self.device,
            precision,
        })
    }

    fn scheduler_config(&self, of_checkpoint: SchedulerConfig) -> Result<SchedulerConfig> {
        match &self.scheduler {
            Some(name) => Ok(of_checkpoint.with_class_name(name)?),
            None => Ok(of_checkpoint),
        }
    }
}

/// Writes a checkpoint's graphs as ONNX: `{out}/{component}/model.onnx` with `model.onnx_data` beside it, and the
/// configurations, tokenizers and scheduler that loading them again needs.
///
/// # Errors
/// The checkpoint does not fit or is itself exported; files cannot be written.
pub fn export(
    path: &Path,
    out: &Path,
    precision: Precision,
    mut progress: impl FnMut(LoadProgress<'_>),
) -> Result<()> {
    let checkpoint = checkpoint::open(path, None)?;
    let target = ourvidz_runtime::Target::Portable;
    let Source::Built(models) = models::build(&checkpoint, target, precision, true)? else {
        return Err(Error::Runtime(ourvidz_runtime::Error::Config {
            file: path.display().to_string(),
            field: "model".into(),
            rule: "must hold .safetensors weights".into(),
            value: "an exported folder".into(),
        }));
    };
    let all = [
        &models.text_encoder,
        &models.text_encoder_2,
        &models.unet,
        &models.vae_decoder,
        &models.vae_encoder,
    ];
    for model in all {
        model.export(&out.join(model.name()), &mut progress)?;
    }
    crate::export::write_configurations(&checkpoint, out)
}
