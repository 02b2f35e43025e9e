use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ourvidz_qwen::{Device, EnhanceStyle, GenerateOptions, Precision, PromptTarget, Sampling, WeightType};

/// Which language model runs, and where.
#[derive(Debug, Clone, Args)]
pub(crate) struct QwenModelOptions {
    /// Folder of Qwen 2, 2.5 or 3 [default: OURVIDZ_QWEN_MODEL, then QWEN_INSTRUCT_PATH and QWEN_BASE_PATH]
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// What the user calls the flag above.
    #[arg(skip = "--model")]
    pub(crate) flag: &'static str,
    /// cpu, cuda:N or tensorrt:N
    #[arg(long, env = "OURVIDZ_DEVICE", default_value = "cpu")]
    pub(crate) device: Device,
    /// fp32, fp16 or bf16 [default: fp32 on cpu, bf16 on CUDA]
    #[arg(long, env = "OURVIDZ_PRECISION")]
    pub(crate) precision: Option<Precision>,
    /// fp32, fp16, bf16, or int4: matrices in four bits [default: the precision]
    #[arg(long, env = "OURVIDZ_QWEN_WEIGHTS")]
    pub(crate) weights: Option<WeightType>,
    /// Tokens of prompt and answer together [default: 8192, or what the model was trained on]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) capacity: Option<usize>,
    /// Folder for converted weights [default: ourvidz/weights in the user's cache folder]
    #[arg(long, env = "OURVIDZ_CACHE_DIR", value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
}

/// How tokens are chosen; what is absent is the command's default.
#[derive(Debug, Clone, Args)]
pub(crate) struct SamplingOptions {
    /// Tokens of the answer at most
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) max_new_tokens: Option<usize>,
    /// 0 always takes the likeliest token
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) temperature: Option<f32>,
    /// Choose among so many tokens; 0 for all
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) top_k: Option<usize>,
    /// Choose among the likeliest tokens whose probabilities reach this sum
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) top_p: Option<f32>,
    /// Divides logits of tokens that occurred; 1 for none
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) repetition_penalty: Option<f32>,
    /// The same seed gives the same text [default: random, reported]
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
}

impl SamplingOptions {
    pub(crate) fn sampling(&self, default: Sampling) -> Sampling {
        Sampling {
            temperature: self.temperature.unwrap_or(default.temperature),
            top_k: self.top_k.map_or(default.top_k, |k| Some(k).filter(|k| *k > 0)),
            top_p: self.top_p.unwrap_or(default.top_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(default.repetition_penalty),
        }
    }

    /// Temperature 0 without a penalty named means none: the plain likeliest tokens.
    pub(crate) fn options(&self, default: GenerateOptions) -> GenerateOptions {
        let mut sampling = self.sampling(default.sampling);
        if self.temperature == Some(0.0) && self.repetition_penalty.is_none() {
            sampling.repetition_penalty = 1.0;
        }
        let max_new_tokens = self.max_new_tokens.unwrap_or(default.max_new_tokens);
        GenerateOptions { max_new_tokens, sampling, seed: self.seed, ..default }
    }
}

/// What a prompt is for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum For {
    Image,
    Video,
}

/// How the model is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Style {
    Instruct,
    Base,
}

impl From<For> for PromptTarget {
    fn from(target: For) -> PromptTarget {
        match target {
            For::Image => PromptTarget::Image,
            For::Video => PromptTarget::Video,
        }
    }
}

impl From<Style> for EnhanceStyle {
    fn from(style: Style) -> EnhanceStyle {
        match style {
            Style::Instruct => EnhanceStyle::Instruct,
            Style::Base => EnhanceStyle::Base,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct EnhanceOptions {
    #[command(flatten)]
    pub(crate) model: QwenModelOptions,
    #[command(flatten)]
    pub(crate) sampling: SamplingOptions,
    /// The prompt to be made a detailed one
    #[arg(long)]
    pub(crate) prompt: String,
    /// What it is for
    #[arg(long = "for", value_enum, default_value = "image")]
    pub(crate) target: For,
    /// Instructions instead of the built-in ones
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) system_prompt: String,
    /// How the model is asked [default: by the checkpoint]
    #[arg(long, value_enum)]
    pub(crate) style: Option<Style>,
    /// Seconds for all attempts
    #[arg(long, default_value = "60", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Attempts at most
    #[arg(long, default_value_t = 2, allow_negative_numbers = true)]
    pub(crate) attempts: usize,
}

#[derive(Debug, Args)]
pub(crate) struct ChatOptions {
    #[command(flatten)]
    pub(crate) model: QwenModelOptions,
    #[command(flatten)]
    pub(crate) sampling: SamplingOptions,
    /// Instructions for the model [default: those of the checkpoint's template]
    #[arg(long)]
    pub(crate) system_prompt: Option<String>,
    /// Whether a model that can think before it answers does (Qwen3) [default: as its template says]
    #[arg(long, value_name = "true|false")]
    pub(crate) enable_thinking: Option<bool>,
}

#[derive(Debug, Args)]
pub(crate) struct CompleteOptions {
    #[command(flatten)]
    pub(crate) model: QwenModelOptions,
    #[command(flatten)]
    pub(crate) sampling: SamplingOptions,
    /// The text to be continued, as it is, without a template
    #[arg(long)]
    pub(crate) prompt: String,
    /// A text that ends the answer; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
    /// Write `token_ids` (T numbers, i64) and `logits` (T x V, f32) of prompt and answer
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) dump: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|s| *s > 0.0);
    let duration = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
    duration.ok_or_else(|| "must be a number of seconds above 0".into())
}
