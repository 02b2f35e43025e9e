//! Where queues, files and callbacks go: flags, the environment and `ourvidz.toml` made one.

mod callback;
pub(crate) mod env_vars;
mod file;
mod queue;
mod setting;
mod storage;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ourvidz_queue::QueueOptions;
use ourvidz_queue::worker::Deadlines;
use ourvidz_storage::HostRule;

use crate::cli::ServiceOptions;
use crate::wan_jobs::DEFAULT_FPS;
use env_vars::{DATA_DIR, Environment, SUPABASE_KEYS, SUPABASE_URL};
use file::ConfigFile;

pub(crate) use callback::CallbackSettings;
pub(crate) use file::Secret;
pub(crate) use queue::{QueueBackend, without_credentials};
pub(crate) use setting::Setting;
#[cfg(test)]
use setting::Source;
pub(crate) use storage::StorageSettings;

/// Everything a worker or a tool needs to know, checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The configuration file that was read.
    pub(crate) file: Option<PathBuf>,
    /// Local files: the embedded queue, the journal, stored pictures.
    pub(crate) data_dir: Setting<PathBuf>,
    pub(crate) queue: Setting<QueueBackend>,
    pub(crate) queue_options: QueueOptions,
    pub(crate) storage: StorageSettings,
    /// `None`: nobody is called.
    pub(crate) callback: Option<CallbackSettings>,
    pub(crate) reference: ReferenceSettings,
    pub(crate) worker: WorkerSettings,
    pub(crate) wan: WanSettings,
}

/// A Supabase project.
#[derive(Debug, Clone)]
pub(crate) struct Supabase {
    pub(crate) url: Setting<String>,
    pub(crate) service_key: Setting<Secret>,
}

/// What becomes of references.
#[derive(Debug, Clone)]
pub(crate) struct ReferenceSettings {
    pub(crate) on_error: Setting<OnReferenceError>,
    /// Hosts that may be private.
    pub(crate) allow_hosts: Vec<HostRule>,
}

/// `reference.on_error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnReferenceError {
    /// Generate without it, and say so.
    Degrade,
    /// Fail the job.
    Fail,
}

/// How a worker runs.
#[derive(Debug, Clone)]
pub(crate) struct WorkerSettings {
    pub(crate) grace: Setting<Duration>,
    pub(crate) stall: Setting<Duration>,
    pub(crate) deadlines: Deadlines,
}

/// What WAN jobs leave open.
#[derive(Debug, Clone)]
pub(crate) struct WanSettings {
    /// Frames per second of jobs that name no rate.
    pub(crate) default_fps: Setting<u32>,
}

/// Where files are kept when nothing else is said.
const DEFAULT_DATA_DIR: &str = "ourvidz-data";

impl Settings {
    /// Reads flags, environment and file.
    ///
    /// # Errors
    /// One that names the setting, the rule and the value; never a secret.
    pub(crate) fn read(options: &ServiceOptions) -> Result<Self> {
        Self::resolve(options, &Environment::read())
    }

    pub(crate) fn resolve(options: &ServiceOptions, environment: &Environment) -> Result<Self> {
        let asked = options.config.clone().or_else(|| environment.get(env_vars::CONFIG).map(PathBuf::from));
        let (path, file) = ConfigFile::find(asked.as_deref())?;
        let flag = options.data_dir.as_deref().and_then(|path| path.to_str());
        let in_file = file.data_dir.as_deref().and_then(|path| path.to_str());
        let data_dir = setting::text(("--data-dir", flag), environment, &[DATA_DIR], ("data_dir", in_file));
        let data_dir = match data_dir {
            Some(found) => Setting { value: PathBuf::from(found.value), from: found.from },
            None => Setting::default(PathBuf::from(DEFAULT_DATA_DIR)),
        };
        let supabase = supabase(environment, &file)?;
        let queue =
            QueueBackend::resolve(options.queue_url.as_deref(), environment, &file.queue, &data_dir.value)?;
        Ok(Self {
            queue,
            queue_options: queue::options(&file.queue)?,
            storage: StorageSettings::resolve(
                options.storage_url.as_deref(),
                environment,
                &file.storage,
                supabase.as_ref(),
                &data_dir.value,
            )?,
            callback: CallbackSettings::resolve(environment, &file.callback, supabase.as_ref())?,
            reference: reference(&file)?,
            worker: worker(&file)?,
            wan: wan(&file)?,
            data_dir,
            file: path,
        })
    }
}

fn supabase(environment: &Environment, file: &ConfigFile) -> Result<Option<Supabase>> {
    let url = setting::text(
        ("", None),
        environment,
        &[SUPABASE_URL],
        ("supabase.url", file.supabase.url.as_deref()),
    );
    let in_file = file.supabase.service_key.as_ref().map(Secret::expose);
    let key = setting::text(("", None), environment, &SUPABASE_KEYS, ("supabase.service_key", in_file));
    match (url, key) {
        (Some(url), Some(key)) => {
            let well_formed = url::Url::parse(&url.value).is_ok_and(|url| url.has_host());
            if !well_formed {
                bail!("{}: must be the project's address, e.g. https://abc.supabase.co", url.from);
            }
            let value = url.value.trim_end_matches('/').to_owned();
            let service_key = Setting { value: Secret::new(key.value), from: key.from };
            Ok(Some(Supabase { url: Setting { value, from: url.from }, service_key }))
        }
        (Some(url), None) => {
            bail!("{} is set, but no service key: set {} or {}", url.from, SUPABASE_KEYS[0], SUPABASE_KEYS[1])
        }
        (None, Some(key)) => bail!("{} is set, but not {SUPABASE_URL}", key.from),
        (None, None) => Ok(None),
    }
}

fn reference(file: &ConfigFile) -> Result<ReferenceSettings> {
    let on_error = match file.reference.on_error.as_deref() {
        None => None,
        Some("degrade") => Some(OnReferenceError::Degrade),
        Some("fail") => Some(OnReferenceError::Fail),
        Some(other) => bail!("reference.on_error: must be \"degrade\" or \"fail\", got {other:?}"),
    };
    let mut allow_hosts = Vec::new();
    for host in file.reference.allow_hosts.iter().flatten() {
        allow_hosts.push(host.parse::<HostRule>().context("reference.allow_hosts")?);
    }
    Ok(ReferenceSettings {
        on_error: Setting::of_file("reference.on_error", on_error, OnReferenceError::Degrade),
        allow_hosts,
    })
}

fn worker(file: &ConfigFile) -> Result<WorkerSettings> {
    let seconds = |key, value, default| {
        let value = queue::seconds(key, value)?;
        anyhow::Ok(Setting::of_file(key, value, Duration::from_secs(default)))
    };
    let deadline = |key, value, default: Duration| anyhow::Ok(queue::seconds(key, value)?.unwrap_or(default));
    let (section, default) = (&file.worker, Deadlines::default());
    Ok(WorkerSettings {
        grace: seconds("worker.grace_seconds", section.grace_seconds, 25)?,
        stall: seconds("worker.stall_seconds", section.stall_seconds, 300)?,
        deadlines: Deadlines {
            sdxl: deadline("worker.sdxl_deadline_seconds", section.sdxl_deadline_seconds, default.sdxl)?,
            wan_image: deadline(
                "worker.wan_image_deadline_seconds",
                section.wan_image_deadline_seconds,
                default.wan_image,
            )?,
            wan_video: deadline(
                "worker.wan_video_deadline_seconds",
                section.wan_video_deadline_seconds,
                default.wan_video,
            )?,
        },
    })
}

fn wan(file: &ConfigFile) -> Result<WanSettings> {
    let default_fps = match file.wan.default_fps {
        Some(fps) if !(8..=24).contains(&fps) => bail!("wan.default_fps: must be from 8 to 24, got {fps}"),
        other => other,
    };
    Ok(WanSettings { default_fps: Setting::of_file("wan.default_fps", default_fps, DEFAULT_FPS) })
}
