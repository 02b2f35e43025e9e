use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use ourvidz_queue::{FairShare, PopSide, QueueOptions};

use super::env_vars::{Environment, QUEUE_URL, REDIS_URL, UPSTASH_TOKEN, UPSTASH_URL};
use super::file::{QueueSection, Secret};
use super::setting::{Setting, Source, text};

/// Which backend keeps the queues.
#[derive(Debug, Clone)]
pub(crate) enum QueueBackend {
    /// RESP: `redis://`, `rediss://`, `redis+unix://`.
    Redis { url: Secret },
    /// Upstash's REST.
    Upstash { url: String, token: Secret },
    /// A file on this machine.
    Sqlite { path: PathBuf },
}

/// File of the embedded queue in the data folder.
const FILE: &str = "queue.sqlite";

impl QueueBackend {
    /// Flag `--queue-url`, `OURVIDZ_QUEUE_URL`, `queue.url`, the seeds' `UPSTASH_REDIS_REST_URL` or `REDIS_URL`,
    /// else the embedded queue.
    pub(super) fn resolve(
        flag: Option<&str>,
        environment: &Environment,
        file: &QueueSection,
        data_dir: &Path,
    ) -> Result<Setting<Self>> {
        let token = match environment.get(UPSTASH_TOKEN) {
            Some(token) => Some(Secret::new(token)),
            None => file.token.clone(),
        };
        let file_url = file.url.as_ref().map(Secret::expose);
        if let Some(url) = text(("--queue-url", flag), environment, &[QUEUE_URL], ("queue.url", file_url)) {
            return Ok(Setting { value: Self::parse(&url.value, token, &url.from)?, from: url.from });
        }
        let upstash = environment.get(UPSTASH_URL);
        let redis = environment.get(REDIS_URL);
        match (upstash, redis) {
            (Some(rest), Some(resp)) if host(rest) != host(resp) => bail!(
                "{UPSTASH_URL} and {REDIS_URL} name two servers; say which one holds the queues with {QUEUE_URL} or \
                 queue.url"
            ),
            // The same server by both protocols: RESP can wait without polling.
            (_, Some(url)) => {
                let from = Source::Variable(REDIS_URL);
                Ok(Setting { value: Self::parse(url, token, &from)?, from })
            }
            (Some(url), None) => {
                let from = Source::Variable(UPSTASH_URL);
                Ok(Setting { value: Self::parse(url, token, &from)?, from })
            }
            (None, None) => Ok(Setting::default(Self::Sqlite { path: data_dir.join(FILE) })),
        }
    }

    fn parse(url: &str, token: Option<Secret>, from: &Source) -> Result<Self> {
        let scheme = url.split_once(':').map(|(scheme, _)| scheme).unwrap_or_default();
        match scheme {
            "redis" | "rediss" | "redis+unix" | "unix" | "valkey" | "valkeys" => {
                Ok(Self::Redis { url: Secret::new(url) })
            }
            "https" | "http" => match token {
                Some(token) => Ok(Self::Upstash { url: url.to_owned(), token }),
                None => {
                    bail!("{from}: an Upstash REST address needs a token; set {UPSTASH_TOKEN} or queue.token")
                }
            },
            "sqlite" => {
                let path = url.trim_start_matches("sqlite:");
                let path = path.strip_prefix("//").unwrap_or(path);
                if path.is_empty() {
                    bail!("{from}: sqlite: needs a path, e.g. sqlite:queue.sqlite");
                }
                Ok(Self::Sqlite { path: PathBuf::from(path) })
            }
            _ => bail!(
                "{from}: must begin with redis://, rediss://, redis+unix://, https:// (Upstash REST) or sqlite:, got \
                 {scheme:?}"
            ),
        }
    }

    /// For people and logs, without credentials.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Redis { url } => format!("Redis at {}", without_credentials(url.expose())),
            Self::Upstash { url, .. } => format!("Upstash REST at {}", without_credentials(url)),
            Self::Sqlite { path } => format!("embedded, {}", path.display()),
        }
    }
}

fn host(url: &str) -> Option<String> {
    url::Url::parse(url).ok()?.host_str().map(str::to_lowercase)
}

/// Scheme, host, port and path of an address.
pub(crate) fn without_credentials(url: &str) -> String {
    let Ok(mut parsed) = url::Url::parse(url) else { return "(an address that cannot be read)".to_owned() };
    let secret = parsed.password().is_some() || !parsed.username().is_empty();
    // Both fail only for addresses that cannot hold credentials.
    let _ = parsed.set_password(None);
    let _ = parsed.set_username(if secret { "***" } else { "" });
    parsed.set_query(None);
    parsed.to_string()
}

/// Options of every queue.
pub(super) fn options(file: &QueueSection) -> Result<QueueOptions> {
    let defaults = QueueOptions::default();
    let pop_side = match file.pop_side.as_deref() {
        None | Some("right") => PopSide::Right,
        Some("left") => PopSide::Left,
        Some(other) => bail!("queue.pop_side: must be \"right\" or \"left\", got {other:?}"),
    };
    let window = file.fair_share_window.unwrap_or(FairShare::default().window);
    let options = QueueOptions {
        pop_side,
        lease: seconds("queue.lease_seconds", file.lease_seconds)?.unwrap_or(defaults.lease),
        max_attempts: file.max_attempts.unwrap_or(defaults.max_attempts),
        fair_share: file.fair_share.unwrap_or(false).then_some(FairShare { window }),
        ..defaults
    };
    match options.validate() {
        Ok(()) => Ok(options),
        Err(error) => bail!("queue.{error}"),
    }
}

/// A number of seconds from 0 to a week.
pub(super) fn seconds(key: &str, value: Option<f64>) -> Result<Option<Duration>> {
    match value {
        None => Ok(None),
        Some(value) if (0.0..=604_800.0).contains(&value) => Ok(Some(Duration::from_secs_f64(value))),
        Some(value) => bail!("{key}: must be 0 to 604800 seconds, got {value}"),
    }
}
