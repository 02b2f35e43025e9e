use std::sync::Arc;

use anyhow::{Context, Result, bail};
use ourvidz_queue::{Backend, QueueName, RedisQueue, SqliteQueue, UpstashQueue};
use secrecy::SecretString;

use crate::config::{QueueBackend, Settings};

/// One queue of the configured backend.
pub(super) async fn backend(settings: &Settings, queue: QueueName) -> Result<Arc<dyn Backend>> {
    queue_of(settings, queue).await.with_context(|| settings.queue.value.describe())
}

/// As [`backend`], with the queue crate's own error.
pub(super) async fn queue_of(
    settings: &Settings,
    queue: QueueName,
) -> ourvidz_queue::Result<Arc<dyn Backend>> {
    let name = queue.as_str();
    let options = settings.queue_options.clone();
    Ok(match &settings.queue.value {
        QueueBackend::Redis { url } => Arc::new(RedisQueue::connect(url.expose(), name, options).await?),
        QueueBackend::Upstash { url, token } => {
            let token = SecretString::from(token.expose());
            Arc::new(UpstashQueue::connect(url, token, name, options).await?)
        }
        QueueBackend::Sqlite { path } => Arc::new(SqliteQueue::open(path, name, options)?),
    })
}

/// The queues a command is about.
pub(super) fn chosen(name: Option<&str>) -> Result<Vec<QueueName>> {
    match name {
        None => Ok(QueueName::ALL.to_vec()),
        Some(name) => match QueueName::from_name(name) {
            Some(queue) => Ok(vec![queue]),
            None => bail!("--queue: must be sdxl_queue or wan_queue, got {name:?}"),
        },
    }
}
