use std::path::Path;
use std::time::{Duration, Instant};

use ourvidz_core::job::callback::CallbackFormat;
use ourvidz_queue::QueueName;
use ourvidz_storage::Layout;
use serde::Serialize;

use super::connect::backend;
use super::table::table;
use crate::cli::{ConfigArguments, ConfigCommand, ServiceOptions};
use crate::config::{CallbackSettings, OnReferenceError, QueueBackend, Settings, without_credentials};
use crate::failure::Failure;
use crate::output;

/// One line of the report.
#[derive(Debug, Serialize)]
struct Finding {
    state: State,
    what: &'static str,
    value: String,
    /// Who set it.
    from: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Wrong,
}

/// How long one server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// `ourvidz config check`: exit 1 if something is wrong.
pub(crate) fn config_check(arguments: &ConfigArguments, json: bool) -> Result<(), Failure> {
    let ConfigCommand::Check { offline, service } = &arguments.command;
    let findings = check(service, *offline)?;
    let wrong = findings.iter().filter(|finding| finding.state == State::Wrong).count();
    if json {
        output::json(&serde_json::to_value(&findings)?);
    } else {
        print(&findings);
    }
    match wrong {
        0 => Ok(()),
        _ => Err(Failure::Reported),
    }
}

fn check(options: &ServiceOptions, offline: bool) -> Result<Vec<Finding>, Failure> {
    let settings = match Settings::read(options) {
        Ok(settings) => settings,
        Err(error) => {
            return Ok(vec![wrong(
                "configuration",
                format!("{error:#}"),
                "",
                "correct the setting that is named",
            )]);
        }
    };
    let mut findings = shown(&settings);
    if !offline {
        super::block_on(async {
            queue(&settings, &mut findings).await;
            storage(&settings, &mut findings).await;
            if let Some(callback) = &settings.callback {
                receiver(callback, &mut findings).await;
            }
            Ok(())
        })?;
    }
    Ok(findings)
}

/// What is configured.
fn shown(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &settings.file {
        Some(path) => findings.push(file(path)),
        None => findings.push(ok("configuration file", "none".to_owned(), "default")),
    }
    let from = &settings.queue.from;
    findings.push(ok("queues", settings.queue.value.describe(), from));
    if let QueueBackend::Redis { url } = &settings.queue.value {
        let local = ["localhost", "127.0.0.1", "[::1]"].iter().any(|host| url.expose().contains(host));
        if url.expose().starts_with("redis://") && !local {
            let value = "the password and the prompts travel unencrypted".to_owned();
            findings.push(warning("queues", value, from, "use rediss:// if the server speaks TLS"));
        }
    }
    let layout = match settings.storage.layout.value {
        Layout::WorkspaceTemp => "bucket workspace-temp",
        Layout::PerType => "one bucket per job type",
    };
    let stored = format!("{}, {layout}", settings.storage.described);
    findings.push(ok("files", stored, &settings.storage.store.from));
    match &settings.callback {
        Some(callback) => findings.extend(callback_shown(callback)),
        None => findings.push(ok("callbacks", "nobody is called".to_owned(), "default")),
    }
    let on_error = match settings.reference.on_error.value {
        OnReferenceError::Degrade => "generate without it, and say so",
        OnReferenceError::Fail => "fail the job",
    };
    let from = &settings.reference.on_error.from;
    findings.push(ok("reference that cannot be had", on_error.to_owned(), from));
    if !settings.reference.allow_hosts.is_empty() {
        let hosts = settings.reference.allow_hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let key = "reference.allow_hosts in the configuration file";
        findings.push(ok("private hosts of references", hosts.join(", "), key));
    }
    findings
}

fn callback_shown(callback: &CallbackSettings) -> Vec<Finding> {
    let mut proofs = Vec::new();
    if callback.bearer.is_some() {
        proofs.push("service key");
    }
    if callback.secret.is_some() {
        proofs.push("X-Callback-Signature");
    }
    if callback.webhook_secret.is_some() {
        proofs.push("Standard Webhooks signature");
    }
    let shape = match callback.format.value {
        CallbackFormat::Assets => "assets as objects",
        CallbackFormat::Urls => "assets as addresses",
    };
    let begun = if callback.processing.value { "" } else { ", no processing callback" };
    let with = if proofs.is_empty() { "nothing".to_owned() } else { proofs.join(", ") };
    let value = format!("{} with {with}; {shape}{begun}", without_credentials(&callback.url.value));
    let mut findings = vec![ok("callbacks", value, &callback.url.from)];
    if callback.secret.is_none() && callback.webhook_secret.is_none() {
        findings.push(warning(
            "callbacks",
            "the receiver cannot tell them from forged ones".to_owned(),
            "default",
            "set JOB_CALLBACK_SECRET (the receiver's), or OURVIDZ_WEBHOOK_SECRET (whsec_...)",
        ));
    }
    findings
}

fn file(path: &Path) -> Finding {
    let shown = path.display().to_string();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).map(|metadata| metadata.permissions().mode()).unwrap_or(0);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let secrets = ["token", "service_key", "secret", "@"].iter().any(|word| text.contains(word));
        if secrets && mode & 0o077 != 0 {
            let fix = format!("chmod 600 {shown}");
            return warning(
                "configuration file",
                format!("{shown} holds secrets and others may read it"),
                "",
                &fix,
            );
        }
    }
    ok("configuration file", shown, "")
}

async fn queue(settings: &Settings, findings: &mut Vec<Finding>) {
    let begun = Instant::now();
    let asked = tokio::time::timeout(PATIENCE, async {
        let queue = backend(settings, QueueName::Sdxl).await?;
        let counts = queue.counts().await?;
        anyhow::Ok((counts, queue.warnings().await?))
    });
    match asked.await {
        Ok(Ok((counts, warnings))) => {
            let value = format!(
                "answers in {} ms; {} waiting in sdxl_queue",
                begun.elapsed().as_millis(),
                counts.waiting
            );
            findings.push(ok("queues", value, ""));
            for text in warnings {
                findings.push(warning("queues", text, "", "see docs/QUEUES.md"));
            }
        }
        Ok(Err(error)) => findings.push(wrong(
            "queues",
            format!("{error:#}"),
            "",
            "check the address, the token or password, and that this machine reaches the server",
        )),
        Err(_) => {
            findings.push(wrong("queues", "no answer in 10 s".to_owned(), "", "check address and firewall"))
        }
    }
}

async fn storage(settings: &Settings, findings: &mut Vec<Finding>) {
    let bucket = match settings.storage.layout.value {
        Layout::WorkspaceTemp => "workspace-temp",
        Layout::PerType => "sdxl_image_fast",
    };
    let probed = async {
        let store = ourvidz_storage::open(settings.storage.store.value.clone())?;
        ourvidz_storage::probe(&*store, bucket).await
    };
    match tokio::time::timeout(PATIENCE * 3, probed).await {
        Ok(Ok(took)) => {
            let value = format!(
                "a file was written, read and deleted in {} ms",
                (took.put + took.get + took.delete).as_millis()
            );
            findings.push(ok("files", value, ""));
        }
        Ok(Err(error)) => {
            let error = anyhow::Error::from(error);
            let fix = format!(
                "check that bucket {bucket} exists and takes image/png, and that the key may write there"
            );
            findings.push(wrong("files", format!("{error:#}"), "", &fix));
        }
        Err(_) => {
            findings.push(wrong("files", "no answer in 30 s".to_owned(), "", "check address and firewall"))
        }
    }
}

/// Whether the receiver's host takes connections; nothing is posted.
async fn receiver(callback: &CallbackSettings, findings: &mut Vec<Finding>) {
    let Ok(url) = url::Url::parse(&callback.url.value) else { return };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let connect = tokio::net::TcpStream::connect((host, port));
    let fix = "check the address; finished jobs keep their callbacks for 75 hours until it answers";
    match tokio::time::timeout(PATIENCE, connect).await {
        Ok(Ok(_)) => findings.push(ok("callbacks", format!("{host} takes connections"), "")),
        Ok(Err(error)) => findings.push(wrong("callbacks", format!("{host}: {error}"), "", fix)),
        Err(_) => findings.push(wrong("callbacks", format!("{host}: no answer in 10 s"), "", fix)),
    }
}

fn print(findings: &[Finding]) {
    let rows: Vec<Vec<String>> = findings
        .iter()
        .map(|finding| {
            let state = match finding.state {
                State::Ok => "ok",
                State::Warning => "warning",
                State::Wrong => "WRONG",
            };
            let from = if finding.from.is_empty() { String::new() } else { format!("({})", finding.from) };
            vec![
                state.to_owned(),
                finding.what.to_owned(),
                format!("{} {from}", finding.value).trim().to_owned(),
            ]
        })
        .collect();
    let text = table(&["", "", ""], &rows);
    let lines = text.lines().skip(1).zip(findings);
    for (line, finding) in lines {
        output::line(line);
        if let Some(fix) = &finding.fix {
            output::line(&format!("         fix: {fix}"));
        }
    }
}

fn ok(what: &'static str, value: String, from: impl ToString) -> Finding {
    Finding { state: State::Ok, what, value, from: from.to_string(), fix: None }
}

fn warning(what: &'static str, value: String, from: impl ToString, fix: &str) -> Finding {
    Finding { state: State::Warning, what, value, from: from.to_string(), fix: Some(fix.to_owned()) }
}

fn wrong(what: &'static str, value: String, from: impl ToString, fix: &str) -> Finding {
    Finding { state: State::Wrong, what, value, from: from.to_string(), fix: Some(fix.to_owned()) }
}
