//! Jobs through queues: `ourvidz submit`, `worker`, `queue`, `outbox`, on the embedded queue and the mock Redis.

mod common;

use anyhow::{Context, Result, ensure};
use common::job::{fox, set};
use common::receiver::Receiver;
use common::{Ended, Place, golden, words};
use hmac::{Hmac, KeyInit, Mac};
use ourvidz_test_support::MockRedis;
use serde_json::{Value, json};
use sha2::Sha256;

const ID: &str = "3f2b8a54-6f0e-4a3c-9d53-0c5b6f1f8a10";
const USER: &str = "8d6f1f62-27a6-4a0e-b9b5-1f4f1b7f5c11";

/// `ourvidz worker sdxl --once` on the tiny checkpoint; the line it reports, as JSON.
fn work_once(place: &Place, variables: &[(&str, &str)]) -> Result<Value> {
    let model = golden("linear_eps").display().to_string();
    let mut command = place.command(words("worker sdxl --once --json --model").chain([model]));
    let ended = Ended::of(command.envs(variables.iter().copied()).output()?)?.succeeded()?;
    serde_json::from_str(ended.stdout.trim()).with_context(|| format!("{ended:?}"))
}

fn json_of(place: &Place, variables: &[(&str, &str)], line: &str) -> Result<Value> {
    let mut command = place.command(words(line).chain(["--json".to_owned()]));
    let ended = Ended::of(command.envs(variables.iter().copied()).output()?)?.succeeded()?;
    serde_json::from_str(&ended.stdout).with_context(|| format!("{ended:?}"))
}

fn count(counts: &Value, queue: usize, name: &str) -> Result<u64> {
    counts[queue][name].as_u64().with_context(|| format!("{name}: {counts:#}"))
}

/// Submitted, shown, made, stored; submitted again only under another id.
#[test]
fn the_embedded_queue_needs_no_configuration() -> Result<()> {
    let place = Place::new()?;
    std::fs::write(place.path("job.json"), fox()?.to_string())?;
    let submitted = json_of(&place, &[], "submit job.json")?;
    ensure!(submitted == json!({"id": ID, "queue": "sdxl_queue", "adjusted": []}), "{submitted:#}");
    let again = place.run(words("submit job.json"))?;
    ensure!(again.one_line(1)?.contains("--new-id"), "{again:?}");
    let counts = json_of(&place, &[], "queue ls")?;
    ensure!(count(&counts, 0, "waiting")? == 1 && count(&counts, 1, "waiting")? == 0, "{counts:#}");
    let peeked = json_of(&place, &[], "queue peek --limit 3")?;
    ensure!(peeked[0]["element"].as_str() == Some(fox()?.to_string().as_str()), "{peeked:#}");

    let worked = work_once(&place, &[])?;
    ensure!(worked == json!({"outcome": "completed", "job_id": ID, "attempt": 1}), "{worked:#}");
    for name in ["0.png", "0.thumb.webp"] {
        let file = place.path("ourvidz-data/workspace-temp").join(USER).join(ID).join(name);
        ensure!(file.metadata().with_context(|| file.display().to_string())?.len() > 0, "{name}");
    }
    let counts = json_of(&place, &[], "queue ls")?;
    ensure!(count(&counts, 0, "done")? == 1 && count(&counts, 0, "in_flight")? == 0, "{counts:#}");
    let idle = work_once(&place, &[])?;
    ensure!(idle == json!({"outcome": "nothing_waiting"}), "{idle:#}");

    let other = json_of(&place, &[], "submit --new-id job.json")?;
    let other = other["id"].as_str().context("id")?;
    ensure!(other != ID);
    let dropped = json_of(&place, &[], &format!("queue drop {other}"))?;
    ensure!(dropped == json!({"changed": 1}), "{dropped:#}");
    ensure!(place.run(words(&format!("queue drop {other}")))?.one_line(1)?.contains(other));
    Ok(())
}

#[test]
fn a_job_that_breaks_a_rule_is_not_queued() -> Result<()> {
    let (place, mut job) = (Place::new()?, fox()?);
    set(&mut job, "/config/width", json!(100));
    std::fs::write(place.path("job.json"), job.to_string())?;
    let refused = place.run(words("submit job.json"))?;
    ensure!(refused.one_line(2)?.contains("config.width"), "{refused:?}");
    let counts = json_of(&place, &[], "queue ls")?;
    ensure!(count(&counts, 0, "waiting")? == 0, "{counts:#}");
    Ok(())
}

/// What producers push today, over RESP: a job, an element that is none, a job of the other family, a job that
/// was withdrawn. Callbacks are signed and complete.
#[test]
fn elements_of_todays_producers_and_their_callbacks() -> Result<()> {
    let (place, mock, receiver) = (Place::new()?, MockRedis::start(), Receiver::start()?);
    let url = format!("{}/functions/v1/job-callback", receiver.address);
    std::fs::write(
        place.path("ourvidz.toml"),
        format!("[callback]\nurl = \"{url}\"\nsecret = \"hush-secret\"\n[queue]\nmax_attempts = 2\n"),
    )?;
    let redis = mock.redis_url();
    let variables = [("REDIS_URL", redis.as_str())];
    let mut image = fox()?;
    set(&mut image, "/type", json!("image_fast"));
    set(&mut image, "/id", json!("wan-job"));
    set(&mut image, "/config/size", json!("480*832"));
    let mut withdrawn = fox()?;
    set(&mut withdrawn, "/id", json!("withdrawn"));
    let wrapped = json!([fox()?.to_string()]).to_string();
    let broken = json!({"id": "broken", "type": "sdxl_image_fast", "user_id": "u"}).to_string();
    for element in [&wrapped, &broken, &image.to_string(), &withdrawn.to_string()] {
        mock.command(["LPUSH", "sdxl_queue", element]);
    }
    mock.command(["SET", "sdxl_queue:cancel:withdrawn", "1"]);

    ensure!(work_once(&place, &variables)?["outcome"] == "completed");
    for status in ["processing", "completed"] {
        let callback = receiver.next()?;
        ensure!(callback.line == "POST /functions/v1/job-callback HTTP/1.1", "{callback:?}");
        let body = callback.json()?;
        ensure!(body["job_id"] == ID && body["status"] == status, "{body:#}");
        ensure!(body["worker_id"].as_str().is_some_and(|id| id.starts_with("sdxl-")), "{body:#}");
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(b"hush-secret")?;
        mac.update(&callback.body);
        let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        ensure!(callback.header("x-callback-signature")? == format!("sha256={digits}"));
    }

    let failed = work_once(&place, &variables)?;
    ensure!(failed["outcome"] == "failed" && failed["code"] == "INVALID_JOB", "{failed:#}");
    let body = receiver.next()?.json()?;
    ensure!(body["job_id"] == "broken" && body["status"] == "failed", "{body:#}");
    ensure!(body["metadata"]["error_code"] == "INVALID_JOB", "{body:#}");
    let dead = json_of(&place, &variables, "queue dead")?;
    ensure!(dead[0]["job_id"] == "broken" && dead[0]["element"] == broken, "{dead:#}");

    let moved = work_once(&place, &variables)?;
    ensure!(moved["outcome"] == "transferred" && moved["queue"] == "wan_queue", "{moved:#}");
    ensure!(mock.command(["LLEN", "wan_queue"]).as_int() == Some(1));

    ensure!(work_once(&place, &variables)?["outcome"] == "cancelled");
    let body = receiver.next()?.json()?;
    ensure!(body["job_id"] == "withdrawn" && body["metadata"]["error_code"] == "CANCELLED", "{body:#}");
    ensure!(receiver.is_empty(), "another callback came");
    ensure!(json_of(&place, &variables, "outbox ls")? == json!([]));

    let retried = json_of(&place, &variables, "queue retry broken")?;
    ensure!(retried == json!({"changed": 1}), "{retried:#}");
    ensure!(mock.command(["LLEN", "sdxl_queue"]).as_int() == Some(1));
    Ok(())
}

/// The seeds' variables: Upstash over REST. A receiver that is down blocks nothing; its callback waits.
#[test]
fn upstash_and_a_receiver_that_is_down() -> Result<()> {
    let (place, mock) = (Place::new()?, MockRedis::start());
    let (rest, token) = (mock.rest_url(), mock.rest_token().to_owned());
    let variables = [
        ("UPSTASH_REDIS_REST_URL", rest.as_str()),
        ("UPSTASH_REDIS_REST_TOKEN", &token),
        ("OURVIDZ_CALLBACK_URL", "http://127.0.0.1:1/callback"),
    ];
    mock.command(["LPUSH", "sdxl_queue", &fox()?.to_string()]);
    let model = golden("linear_eps").display().to_string();
    let mut worker = place.command(words("worker sdxl --once --model").chain([model]));
    let ended = Ended::of(worker.envs(variables).output()?)?.succeeded()?;
    ensure!(ended.stdout.contains("attempt 1: completed"), "{ended:?}");
    ensure!(!ended.stderr.contains(&token), "{ended:?}");
    let waiting = json_of(&place, &variables, "outbox ls")?;
    ensure!(waiting[0]["id"] == format!("{ID}:completed") && waiting[0]["state"] == "waits", "{waiting:#}");
    ensure!(waiting[0]["attempts"].as_u64().is_some_and(|tries| tries >= 1), "{waiting:#}");
    let due = json_of(&place, &variables, &format!("outbox retry {ID}:completed"))?;
    ensure!(due == json!({"retried": 1}), "{due:#}");
    Ok(())
}

#[test]
fn what_config_check_shows_is_free_of_secrets() -> Result<()> {
    let (place, mock) = (Place::new()?, MockRedis::builder().password("hush").start());
    let variables = [("OURVIDZ_QUEUE_URL", mock.redis_url()), ("JOB_CALLBACK_SECRET", "hush-too".to_owned())];
    let ended =
        Ended::of(place.command(words("config check")).envs(variables.clone()).output()?)?.succeeded()?;
    ensure!(ended.stdout.contains("Redis at redis://***@127.0.0.1"), "{ended:?}");
    ensure!(ended.stdout.contains("was written, read and deleted"), "{ended:?}");
    ensure!(!ended.stdout.contains("hush") && !ended.stderr.contains("hush"), "{ended:?}");
    mock.down();
    let ended = Ended::of(place.command(words("config check")).envs(variables).output()?)?;
    ensure!(
        ended.code == Some(1) && ended.stdout.contains("WRONG") && ended.stdout.contains("fix:"),
        "{ended:?}"
    );
    ensure!(!ended.stdout.contains("hush") && !ended.stderr.contains("hush"), "{ended:?}");
    Ok(())
}
