use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{EnhancerOptions, ModelOptions, WanOptions};
use ourvidz_sdxl::NoiseSource;

/// Where queues, files and callbacks go. The environment and `ourvidz.toml` say the same: docs/CONFIG.md.
#[derive(Debug, Default, Args)]
pub(crate) struct ServiceOptions {
    /// Configuration file [default: ourvidz.toml here, then in the user's configuration folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// redis://, rediss://, https:// (Upstash REST) or sqlite:PATH [default: queue.sqlite in the data folder]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) queue_url: Option<String>,
    /// A folder, s3://BUCKET or supabase: [default: the Supabase project, else the data folder]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) storage_url: Option<String>,
    /// Local files: the embedded queue, the journal, stored pictures [default: ourvidz-data]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SubmitOptions {
    /// The job as a producer would queue it, JSON; - reads standard input
    pub(crate) job: PathBuf,
    /// Give the job a fresh id, so that one file can be submitted again
    #[arg(long)]
    pub(crate) new_id: bool,
    #[command(flatten)]
    pub(crate) service: ServiceOptions,
}

#[derive(Debug, Args)]
pub(crate) struct QueueArguments {
    #[command(subcommand)]
    pub(crate) command: QueueCommand,
    /// One queue only: sdxl_queue or wan_queue [default: both]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) queue: Option<String>,
    #[command(flatten)]
    pub(crate) service: ServiceOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// How many jobs are where
    Ls,
    /// The jobs that are next, and those that wait for another attempt
    Peek {
        /// At most so many of each
        #[arg(long, default_value_t = 10)]
        limit: usize,
    },
    /// The jobs that are being worked on
    Inflight,
    /// The jobs that were given up, the newest first
    Dead {
        /// At most so many
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Queue a dead job again
    Retry {
        /// The job's id
        id: String,
    },
    /// Remove a job that waits or is dead
    Drop {
        /// The job's id
        id: String,
    },
    /// Withdraw a job: a worker that runs it stops within a step
    Cancel {
        /// The job's id
        id: String,
    },
    /// Take back at once what a dead worker held
    Release {
        /// The worker's id, as `inflight` shows it
        worker: String,
    },
    /// Hand out no further job
    Pause,
    /// Hand out jobs again
    Resume,
}

#[derive(Debug, Args)]
pub(crate) struct OutboxArguments {
    #[command(subcommand)]
    pub(crate) command: OutboxCommand,
    /// One queue only: sdxl_queue or wan_queue [default: both]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) queue: Option<String>,
    #[command(flatten)]
    pub(crate) service: ServiceOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OutboxCommand {
    /// The callbacks that wait, and those that were given up
    Ls {
        /// At most so many of each
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Deliver again, now: one callback, or all that were given up
    Retry {
        /// The callback's id, e.g. j1:completed
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// Every callback that was given up; also starts deliveries that a receiver's 410 stopped
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArguments {
    #[command(subcommand)]
    pub(crate) family: WorkerFamily,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerFamily {
    /// Work on Stable Diffusion XL jobs
    Sdxl(Box<WorkerOptions>),
    /// Work on WAN jobs: videos and pictures
    Wan(Box<WanWorkerOptions>),
}

#[derive(Debug, Args)]
pub(crate) struct WorkerOptions {
    /// Take one job if there is one, then end
    #[arg(long)]
    pub(crate) once: bool,
    /// This worker's name in logs and callbacks; a random suffix is added [default: sdxl or wan]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) service: ServiceOptions,
    #[command(flatten)]
    pub(crate) model: ModelOptions,
    /// Whose random numbers a seed stands for: torch-cuda or torch-cpu
    #[arg(long, default_value = "torch-cuda")]
    pub(crate) rng: NoiseSource,
}

#[derive(Debug, Args)]
pub(crate) struct WanWorkerOptions {
    #[command(flatten)]
    pub(crate) worker: WorkerOptions,
    #[command(flatten)]
    pub(crate) wan: WanOptions,
    #[command(flatten)]
    pub(crate) enhancer: EnhancerOptions,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show what is configured and by whom, try it, and say what to do about what is wrong
    Check {
        /// Try nothing: no connection is made
        #[arg(long)]
        offline: bool,
        #[command(flatten)]
        service: ServiceOptions,
    },
}
