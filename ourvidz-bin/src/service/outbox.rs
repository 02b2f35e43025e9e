use anyhow::{Result, bail};
use ourvidz_queue::CallbackEntry;
use serde_json::{Value, json};

use super::connect::{backend, chosen};
use super::queue::show;
use super::table::short;
use crate::cli::{OutboxArguments, OutboxCommand};
use crate::config::Settings;
use crate::failure::Failure;
use crate::output;

/// How many dead callbacks `retry --all` looks at in one go.
const PAGE: usize = 1000;

/// `ourvidz outbox ...`.
pub(crate) fn outbox(arguments: &OutboxArguments, json: bool) -> Result<(), Failure> {
    let settings = Settings::read(&arguments.service).map_err(Failure::arguments)?;
    let names = chosen(arguments.queue.as_deref()).map_err(Failure::arguments)?;
    super::block_on(async {
        let mut rows = Vec::new();
        let mut values: Vec<Value> = Vec::new();
        let mut retried = 0;
        for name in names {
            let queue = backend(&settings, name).await?;
            match &arguments.command {
                OutboxCommand::Ls { limit } => {
                    if let Some(reason) = queue.disabled().await? {
                        output::error(&format!(
                            "{name}: deliveries are stopped: {reason}; `outbox retry --all` starts them"
                        ));
                    }
                    let waiting = queue.waiting_callbacks(*limit).await?;
                    let dead = queue.dead_callbacks(*limit).await?;
                    for (state, entry) in waiting
                        .iter()
                        .map(|entry| ("waits", entry))
                        .chain(dead.iter().map(|entry| ("dead", entry)))
                    {
                        rows.push(row(name.as_str(), state, entry));
                        let mut value = serde_json::to_value(entry)?;
                        value["queue"] = name.as_str().into();
                        value["state"] = state.into();
                        values.push(value);
                    }
                }
                OutboxCommand::Retry { id: Some(id), .. } => {
                    retried += usize::from(queue.retry_callback(id).await?);
                }
                OutboxCommand::Retry { id: None, .. } => {
                    queue.enable().await?;
                    for entry in queue.dead_callbacks(PAGE).await? {
                        retried += usize::from(queue.retry_callback(&entry.callback.id).await?);
                    }
                }
            }
        }
        match &arguments.command {
            OutboxCommand::Ls { .. } => {
                show(json, values, &["queue", "callback", "state", "attempts", "last error"], &rows);
            }
            OutboxCommand::Retry { id: Some(id), .. } if retried == 0 => bail!("there is no callback {id}"),
            OutboxCommand::Retry { .. } if json => output::json(&json!({ "retried": retried })),
            OutboxCommand::Retry { .. } => output::line(&format!("due now: {retried}")),
        }
        Ok(())
    })?;
    Ok(())
}

fn row(queue: &str, state: &str, entry: &CallbackEntry) -> Vec<String> {
    vec![
        queue.to_owned(),
        entry.callback.id.clone(),
        state.to_owned(),
        entry.attempts.to_string(),
        short(entry.last_error.as_deref().unwrap_or_default(), 80),
    ]
}
