use std::path::PathBuf;

use clap::Args;
use ourvidz_qwen::{Device, Precision, Prompt};

#[derive(Debug, Args)]
pub(crate) struct EmbedOptions {
    /// Texts; without any, each line of standard input is one
    pub(crate) texts: Vec<String>,
    /// Folder of a BERT-like encoder (MiniLM, BGE, E5) or of Qwen3-Embedding
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// cpu, cuda:N or tensorrt:N
    #[arg(long, env = "OURVIDZ_DEVICE", default_value = "cpu")]
    pub(crate) device: Device,
    /// fp32, fp16 or bf16 [default: fp32 on cpu, fp16 on a GPU]
    #[arg(long, env = "OURVIDZ_PRECISION")]
    pub(crate) precision: Option<Precision>,
    /// Keep the first numbers of each embedding, scaled to length 1 again
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) dimensions: Option<usize>,
    /// One of the checkpoint's prompts, e.g. query [default: the checkpoint's default prompt]
    #[arg(long, value_name = "NAME", group = "before")]
    pub(crate) prompt_name: Option<String>,
    /// A task in the words of Qwen3-Embedding, for questions
    #[arg(long, value_name = "TASK", group = "before")]
    pub(crate) instruction: Option<String>,
    /// Put before each text as it is, e.g. "query: "; may be empty
    #[arg(long, value_name = "TEXT", group = "before")]
    pub(crate) prefix: Option<String>,
    /// Texts in one run of the model
    #[arg(long, default_value_t = 32, allow_negative_numbers = true)]
    pub(crate) batch_size: usize,
    /// Folder for converted weights [default: ourvidz/weights in the user's cache folder]
    #[arg(long, env = "OURVIDZ_CACHE_DIR", value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
}

impl EmbedOptions {
    pub(crate) fn prompt(&self) -> Prompt {
        let named = self.prompt_name.clone().map(Prompt::Named);
        let task = self.instruction.clone().map(Prompt::Instruction);
        named.or(task).or(self.prefix.clone().map(Prompt::Text)).unwrap_or_default()
    }
}
