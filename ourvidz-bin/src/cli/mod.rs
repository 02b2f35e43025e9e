use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use ourvidz_sdxl::{Device, NoiseSource, Precision};

use crate::failure::Failure;
use crate::setup::SetupOptions;

mod embed;
mod qwen;
mod service;
mod video;

pub(crate) use embed::EmbedOptions;
pub(crate) use qwen::{ChatOptions, CompleteOptions, EnhanceOptions, QwenModelOptions, Style};
pub(crate) use service::{
    ConfigArguments, ConfigCommand, OutboxArguments, OutboxCommand, QueueArguments, QueueCommand,
    ServiceOptions, SubmitOptions, WanWorkerOptions, WorkerArguments, WorkerFamily, WorkerOptions,
};
pub(crate) use video::{EnhancerOptions, VideoOptions, WanModelOptions, WanOptions};

/// Images and video from prompts, on ONNX Runtime, without Python.
#[derive(Debug, Parser)]
#[command(name = "ourvidz", version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Answer in JSON, one value on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make something from a prompt
    Generate {
        #[command(subcommand)]
        what: Generate,
    },
    /// Make a short prompt a detailed one
    Enhance(EnhanceOptions),
    /// Talk with a language model, line by line
    Chat(ChatOptions),
    /// Continue a text with a language model
    Complete(CompleteOptions),
    /// Turn texts into unit vectors, one line of numbers each
    Embed(EmbedOptions),
    /// Run one job from a file: generate, store, print the callback's body
    RunJob(RunJobOptions),
    /// Make what the demo models can, by the way that jobs go: pictures, an enhanced prompt, and a clip with tiny-wan
    #[cfg(feature = "demo-models")]
    Demo(DemoOptions),
    /// Put a job into its queue
    Submit(SubmitOptions),
    /// Work on queued jobs until told to stop
    Worker(WorkerArguments),
    /// Look into the queues and change what they hold
    Queue(QueueArguments),
    /// Look into the callbacks that wait for delivery
    Outbox(OutboxArguments),
    /// Look into the configuration
    Config(ConfigArguments),
    /// Write a checkpoint's graphs as ONNX files
    Export(ExportOptions),
    /// Fetch ONNX Runtime's libraries into the user's data folder
    Setup(SetupOptions),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    /// One or more images with Stable Diffusion XL
    Image(Box<ImageOptions>),
    /// A video, or one picture, with Wan 2.1
    Video(Box<VideoOptions>),
}

/// Which model runs, and where.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelOptions {
    /// Checkpoint: a folder, or one .safetensors file [default: OURVIDZ_SDXL_MODEL for images, OURVIDZ_WAN_MODEL for
    /// WAN, else the bundled demo model]
    #[arg(long, value_name = "PATH")]
    pub(crate) model: Option<PathBuf>,
    /// cpu, cuda:N or tensorrt:N
    #[arg(long, env = "OURVIDZ_DEVICE", default_value = "cpu")]
    pub(crate) device: Device,
    /// fp32, fp16 or bf16 [default: fp32 on cpu; on a GPU fp16, and bf16 for WAN]
    #[arg(long, env = "OURVIDZ_PRECISION")]
    pub(crate) precision: Option<Precision>,
    /// Files of a diffusers folder, e.g. fp16
    #[arg(long)]
    pub(crate) variant: Option<String>,
    /// Scheduler class instead of the checkpoint's, e.g. EulerAncestralDiscreteScheduler
    #[arg(long, value_name = "NAME")]
    pub(crate) scheduler: Option<String>,
    /// Folder for converted weights [default: ourvidz/weights in the user's cache folder]
    #[arg(long, env = "OURVIDZ_CACHE_DIR", value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
}

impl ModelOptions {
    /// The checkpoint's path: the flag's, else that of the environment variable.
    pub(crate) fn path(&self, variable: &str) -> Result<Option<PathBuf>, Failure> {
        let set = std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
        let (path, name) = match (&self.model, set) {
            (Some(path), _) => (path.clone(), "--model"),
            (None, Some(path)) => (path, variable),
            (None, None) => return Ok(None),
        };
        if path.exists() {
            return Ok(Some(path));
        }
        Err(Failure::arguments(anyhow::anyhow!("{name}: nothing is at {}", path.display())))
    }
}

#[derive(Debug, Args)]
pub(crate) struct ImageOptions {
    #[command(flatten)]
    pub(crate) model: ModelOptions,
    /// What to draw
    #[arg(long)]
    pub(crate) prompt: String,
    /// What not to draw [default: as the checkpoint says]
    #[arg(long)]
    pub(crate) negative_prompt: Option<String>,
    /// Steps of the scheduler, 1 to 1000
    #[arg(long, default_value_t = 25, visible_alias = "num-inference-steps", allow_negative_numbers = true)]
    pub(crate) steps: usize,
    /// How strongly the prompt steers; 1 or less runs without guidance
    #[arg(long, default_value_t = 7.5, allow_negative_numbers = true)]
    pub(crate) guidance_scale: f32,
    /// Pixels, a multiple of 8 [default: the model's own size, 1024 for SDXL]
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) width: Option<usize>,
    /// Pixels, a multiple of 8 [default: the model's own size, 1024 for SDXL]
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) height: Option<usize>,
    /// Images in one run, 1 to 6
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    pub(crate) num_images: usize,
    /// Seed of the first image; image i uses seed + i [default: random]
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    /// Whose random numbers the seed stands for: torch-cuda or torch-cpu
    #[arg(long, default_value = "torch-cuda")]
    pub(crate) rng: NoiseSource,
    /// Initial noise: tensor `latents` [N, 4, H/8, W/8], before scaling by init_noise_sigma
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) latents: Option<PathBuf>,
    /// Write embeddings, every step and the image as f32 tensors
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) dump: Option<PathBuf>,
    /// PNG to write; several images get -0, -1, ... before the extension
    #[arg(short, long, default_value = "image.png", value_name = "OUT.png")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RunJobOptions {
    /// The job as it stands in the queue, JSON
    pub(crate) job: PathBuf,
    /// Where files are stored, under {bucket}/{user_id}/{job_id}/
    #[arg(long, env = "OURVIDZ_DATA_DIR", default_value = "ourvidz-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    #[command(flatten)]
    pub(crate) model: ModelOptions,
    #[command(flatten)]
    pub(crate) wan: WanOptions,
    #[command(flatten)]
    pub(crate) enhancer: EnhancerOptions,
    /// Whose random numbers a seed stands for: torch-cuda or torch-cpu
    #[arg(long, default_value = "torch-cuda")]
    pub(crate) rng: NoiseSource,
}

/// Queue, storage and callbacks of the demo are its own, whatever the environment says.
#[cfg(feature = "demo-models")]
#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// Where its queue and files are kept
    #[arg(short, long, default_value = "demo-output", value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ExportOptions {
    /// Checkpoint: a diffusers folder or one .safetensors file
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Folder to write: unet/model.onnx, vae_decoder/model.onnx, ...
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// fp32, fp16 or bf16; the VAE is written in fp32 where its configuration says force_upcast
    #[arg(long, default_value = "fp32")]
    pub(crate) precision: Precision,
}
