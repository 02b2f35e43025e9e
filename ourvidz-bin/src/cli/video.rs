use std::path::PathBuf;

use clap::Args;
use ourvidz_qwen::WeightType;
use ourvidz_wan::{NoiseSource, Precision};

use super::{ModelOptions, QwenModelOptions};

/// Which WAN model runs, and where.
#[derive(Debug, Clone, Args)]
pub(crate) struct WanModelOptions {
    #[command(flatten)]
    pub(crate) model: ModelOptions,
    #[command(flatten)]
    pub(crate) wan: WanOptions,
}

/// What only WAN models have.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WanOptions {
    /// WAN: fp32 or fp16 for the VAE [default: fp32 on cpu, fp16 on a GPU]
    #[arg(long, env = "OURVIDZ_VAE_PRECISION")]
    pub(crate) vae_precision: Option<Precision>,
    /// WAN: file of umT5, .safetensors or .pth [default: the checkpoint's own]
    #[arg(long, value_name = "FILE")]
    pub(crate) text_encoder: Option<PathBuf>,
    /// WAN: file of the VAE, .safetensors or .pth [default: the checkpoint's own]
    #[arg(long, value_name = "FILE")]
    pub(crate) vae: Option<PathBuf>,
    /// WAN: folder with tokenizer.json or spiece.model [default: the checkpoint's own]
    #[arg(long, value_name = "DIR")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// WAN: hold one model at a time in the device's memory, and load each again for the next run
    #[arg(long, env = "OURVIDZ_LOW_MEMORY")]
    pub(crate) low_memory: bool,
}

/// Which language model rewrites the prompts of enhanced jobs.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct EnhancerOptions {
    /// Folder of Qwen for enhanced jobs [default: OURVIDZ_QWEN_MODEL, then QWEN_INSTRUCT_PATH and QWEN_BASE_PATH;
    /// without any, prompts stay as they are, but for the demo model's, which the demo language model rewrites]
    #[arg(long, value_name = "DIR")]
    pub(crate) qwen_model: Option<PathBuf>,
    /// Its weights: fp32, fp16, bf16 or int4 [default: fp32 on cpu, bf16 on CUDA]
    #[arg(long, env = "OURVIDZ_QWEN_WEIGHTS")]
    pub(crate) qwen_weights: Option<WeightType>,
}

impl EnhancerOptions {
    /// On the device that the video model runs on.
    pub(crate) fn on(&self, model: &ModelOptions) -> QwenModelOptions {
        QwenModelOptions {
            model: self.qwen_model.clone(),
            flag: "--qwen-model",
            device: model.device,
            precision: None,
            weights: self.qwen_weights,
            capacity: None,
            cache_dir: model.cache_dir.clone(),
        }
    }
}

/// Options have the names of Wan2.1's `generate.py`, with dashes or underscores.
#[derive(Debug, Args)]
pub(crate) struct VideoOptions {
    #[command(flatten)]
    pub(crate) model: WanModelOptions,
    /// What to show
    #[arg(long)]
    pub(crate) prompt: String,
    /// What not to show [default: the model's own]
    #[arg(long, alias = "negative_prompt")]
    pub(crate) negative_prompt: Option<String>,
    /// t2v-1.3B, t2v-14B, t2i-14B, vace-1.3B or vace-14B: checked against the checkpoint; t2i makes one frame
    #[arg(long)]
    pub(crate) task: Option<String>,
    /// Pixels, WIDTH*HEIGHT or WIDTHxHEIGHT, multiples of 16 [default: 832*480; 256*256 with the demo model]
    #[arg(long)]
    pub(crate) size: Option<String>,
    /// Frames, 4n + 1; another number is rounded down [default: 81; 1 for t2i; 17 with the demo model]
    #[arg(long, alias = "frame_num", allow_negative_numbers = true)]
    pub(crate) frame_num: Option<usize>,
    /// Frames per second, 1 to 240
    #[arg(long, default_value_t = 16, allow_negative_numbers = true)]
    pub(crate) fps: u32,
    /// Steps of the scheduler, 1 to 1000
    #[arg(
        long,
        alias = "sample_steps",
        visible_alias = "num-inference-steps",
        default_value_t = 50,
        allow_negative_numbers = true
    )]
    pub(crate) sample_steps: usize,
    /// How strongly the prompt steers; 1 or less runs without guidance
    #[arg(
        long,
        alias = "sample_guide_scale",
        visible_alias = "guidance-scale",
        default_value_t = 5.0,
        allow_negative_numbers = true
    )]
    pub(crate) sample_guide_scale: f32,
    /// unipc, dpm++, flow_euler or a class name [default: the checkpoint's scheduler]
    #[arg(long, alias = "sample_solver")]
    pub(crate) sample_solver: Option<String>,
    /// Shift of the noise levels, above 0 [default: the checkpoint's]
    #[arg(long, alias = "sample_shift", allow_negative_numbers = true)]
    pub(crate) sample_shift: Option<f64>,
    /// Seed of the noise; -1 is random [default: random]
    #[arg(long, alias = "base_seed", alias = "base-seed", allow_negative_numbers = true)]
    pub(crate) seed: Option<i128>,
    /// Picture that the video begins from
    #[arg(long, value_name = "FILE", conflicts_with_all = ["first_frame", "last_frame"])]
    pub(crate) image: Option<PathBuf>,
    /// Picture held as the first frame
    #[arg(long, alias = "first_frame", value_name = "FILE")]
    pub(crate) first_frame: Option<PathBuf>,
    /// Picture held as the last frame
    #[arg(long, alias = "last_frame", value_name = "FILE")]
    pub(crate) last_frame: Option<PathBuf>,
    /// With --image: how far the video may leave it, 0 to 1
    #[arg(long, alias = "denoise_strength", default_value_t = 0.5, allow_negative_numbers = true)]
    pub(crate) denoise_strength: f64,
    /// Whose random numbers the seed stands for: torch-cuda or torch-cpu
    #[arg(long, default_value = "torch-cuda")]
    pub(crate) rng: NoiseSource,
    /// Initial noise: tensor `latents` [1, C, F', H/8, W/8]
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) latents: Option<PathBuf>,
    /// Write embeddings, every step and the video as f32 tensors
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) dump: Option<PathBuf>,
    /// An .mp4, a .png for one frame, or a folder for frames as PNG [default: video.mp4; image.png for one frame]
    #[arg(short = 'o', long, alias = "save_file", visible_alias = "output", value_name = "OUT")]
    pub(crate) save_file: Option<PathBuf>,
}
