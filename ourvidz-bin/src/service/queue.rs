use std::sync::Arc;

use anyhow::{Result, bail};
use ourvidz_queue::{Backend, QueueName, WorkerId};
use serde_json::{Value, json};

use super::connect::{backend, chosen};
use super::table::{short, span, table};
use crate::cli::{QueueArguments, QueueCommand};
use crate::config::Settings;
use crate::failure::Failure;
use crate::output;

/// How much of an element a table shows.
const SHOWN: usize = 90;

/// `ourvidz queue ...`.
pub(crate) fn queue(arguments: &QueueArguments, json: bool) -> Result<(), Failure> {
    let settings = Settings::read(&arguments.service).map_err(Failure::arguments)?;
    let names = chosen(arguments.queue.as_deref()).map_err(Failure::arguments)?;
    super::block_on(async {
        let mut queues = Vec::new();
        for name in names {
            queues.push((name, backend(&settings, name).await?));
        }
        match &arguments.command {
            QueueCommand::Ls => ls(&queues, json).await,
            QueueCommand::Peek { limit } => peek(&queues, *limit, json).await,
            QueueCommand::Inflight => in_flight(&queues, json).await,
            QueueCommand::Dead { limit } => dead(&queues, *limit, json).await,
            command => change(&queues, command, json).await,
        }
    })?;
    Ok(())
}

type Queues = [(QueueName, Arc<dyn Backend>)];

async fn ls(queues: &Queues, json: bool) -> Result<()> {
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for (name, queue) in queues {
        let counts = queue.counts().await?;
        let mut value = serde_json::to_value(counts)?;
        value["queue"] = name.as_str().into();
        values.push(value);
        let numbers = [
            counts.waiting,
            counts.in_flight,
            counts.delayed,
            counts.dead,
            counts.done,
            counts.failed,
            counts.callbacks,
            counts.dead_callbacks,
        ];
        let state = if counts.paused { "paused" } else { "" };
        let cells = std::iter::once(name.to_string()).chain(numbers.iter().map(u64::to_string));
        rows.push(cells.chain([state.to_owned()]).collect());
    }
    let headers = [
        "queue",
        "waiting",
        "in flight",
        "delayed",
        "dead",
        "done",
        "failed",
        "callbacks",
        "dead callbacks",
        "",
    ];
    show(json, values, &headers, &rows);
    Ok(())
}

async fn peek(queues: &Queues, limit: usize, json: bool) -> Result<()> {
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for (name, queue) in queues {
        for element in queue.waiting(limit).await? {
            rows.push(vec![name.to_string(), "now".into(), short(&element, SHOWN)]);
            values.push(json!({"queue": name.as_str(), "due_in_ms": 0, "element": element}));
        }
        for job in queue.delayed(limit).await? {
            let due = u64::try_from(job.due_in.as_millis()).unwrap_or(u64::MAX);
            rows.push(vec![name.to_string(), format!("in {}", span(due)), short(&job.element, SHOWN)]);
            values.push(json!({"queue": name.as_str(), "due_in_ms": due, "element": job.element}));
        }
    }
    show(json, values, &["queue", "due", "element"], &rows);
    Ok(())
}

async fn in_flight(queues: &Queues, json: bool) -> Result<()> {
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for (name, queue) in queues {
        for job in queue.in_flight().await? {
            let left = u64::try_from(job.lease_left.as_millis()).unwrap_or(u64::MAX);
            rows.push(vec![
                name.to_string(),
                job.job_id.clone(),
                job.worker.to_string(),
                job.attempt.to_string(),
                span(left),
            ]);
            let mut value = serde_json::to_value(&job)?;
            value["queue"] = name.as_str().into();
            values.push(value);
        }
    }
    show(json, values, &["queue", "job", "worker", "attempt", "lease left"], &rows);
    Ok(())
}

async fn dead(queues: &Queues, limit: usize, json: bool) -> Result<()> {
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for (name, queue) in queues {
        for letter in queue.dead(limit).await? {
            rows.push(vec![
                name.to_string(),
                letter.job_id.clone(),
                letter.attempts.to_string(),
                letter.reason.code.clone(),
                short(&letter.reason.message, SHOWN),
            ]);
            let mut value = serde_json::to_value(&letter)?;
            value["queue"] = name.as_str().into();
            values.push(value);
        }
    }
    show(json, values, &["queue", "job", "attempts", "code", "reason"], &rows);
    Ok(())
}

/// What changes something says how much it changed; an id nobody knows is a failure.
async fn change(queues: &Queues, command: &QueueCommand, json: bool) -> Result<()> {
    let mut count = 0;
    for (_, queue) in queues {
        count += match command {
            QueueCommand::Retry { id } => queue.retry_dead(id).await?,
            QueueCommand::Drop { id } => queue.remove(id).await?,
            QueueCommand::Cancel { id } => queue.cancel(id).await.map(|()| 1)?,
            QueueCommand::Release { worker } => {
                queue.release_worker(&WorkerId::from_text(worker.as_str())).await?
            }
            QueueCommand::Pause => queue.pause().await.map(|()| 1)?,
            QueueCommand::Resume => queue.resume().await.map(|()| 1)?,
            QueueCommand::Ls
            | QueueCommand::Peek { .. }
            | QueueCommand::Inflight
            | QueueCommand::Dead { .. } => 0,
        };
    }
    let (done, none) = match command {
        QueueCommand::Retry { id } => (format!("queued again: {count} of {id}"), format!("{id} is not dead")),
        QueueCommand::Drop { id } => (
            format!("removed: {count} of {id}"),
            format!("{id} neither waits nor is dead; `queue cancel` stops a job in flight"),
        ),
        QueueCommand::Cancel { id } => (format!("{id} is withdrawn"), String::new()),
        QueueCommand::Release { worker } => {
            (format!("taken back from {worker}: {count}"), format!("{worker} holds nothing"))
        }
        QueueCommand::Pause => ("paused".to_owned(), String::new()),
        _ => ("resumed".to_owned(), String::new()),
    };
    if count == 0 {
        bail!(none);
    }
    if json {
        output::json(&json!({ "changed": count }));
    } else {
        output::line(&done);
    }
    Ok(())
}

pub(super) fn show(json: bool, values: Vec<Value>, headers: &[&str], rows: &[Vec<String>]) {
    if json {
        output::json(&Value::Array(values));
    } else {
        output::line(&table(headers, rows));
    }
}
