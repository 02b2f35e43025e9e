//! Claims and acknowledgements per second, beside the two usual ways to take jobs from a Redis list, and what a
//! longer backlog costs.
//!
//! `cargo bench -p ourvidz-queue --bench throughput [-- --quick]` starts a `redis-server` without persistence
//! of its own, prints a table and then the same figures as one line of JSON. Wall time is that of the whole
//! machine, server and clients; the server's CPU time says what one core of a server can do when its clients
//! run elsewhere.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ourvidz_queue::{
    ClaimId, Claimed, JobQueue, PendingCallback, QueueOptions, RedisQueue, Settled, Settlement, SqliteQueue,
    WorkerId,
};
use ourvidz_test_support::RealRedis;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};

const WORKERS: usize = 64;
const CONNECTIONS: usize = 8;

/// One measured way at one backlog.
struct Row {
    way: &'static str,
    backlog: usize,
    pairs: usize,
    wall: Duration,
    server_cpu: Option<Duration>,
}

impl Row {
    fn per_second(&self) -> f64 {
        self.pairs as f64 / self.wall.as_secs_f64()
    }

    fn per_core_second(&self) -> Option<f64> {
        self.server_cpu.map(|cpu| self.pairs as f64 / cpu.as_secs_f64())
    }

    fn json(&self) -> Value {
        json!({
            "way": self.way,
            "backlog": self.backlog,
            "pairs": self.pairs,
            "pairs_per_second": self.per_second().round(),
            "pairs_per_second_of_server_cpu": self.per_core_second().map(f64::round),
        })
    }
}

fn main() -> Result<()> {
    let quick = std::env::args().any(|word| word == "--quick");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(quick))
}

async fn run(quick: bool) -> Result<()> {
    let scale = if quick { 10 } else { 1 };
    let mut rows = Vec::new();
    println!(
        "{:<34}{:>10}{:>9}{:>12}{:>20}{:>20}",
        "way", "backlog", "pairs", "pairs/s", "server us/pair", "pairs/s per core"
    );
    let mut tell = |row: Row| {
        let cpu = row
            .server_cpu
            .map_or("-".to_owned(), |cpu| format!("{:.1}", cpu.as_secs_f64() * 1e6 / row.pairs as f64));
        let core = row.per_core_second().map_or("-".to_owned(), |pairs| format!("{pairs:.0}"));
        let (way, backlog, pairs) = (row.way, row.backlog, row.pairs);
        println!("{way:<34}{backlog:>10}{pairs:>9}{:>12.0}{cpu:>20}{core:>20}", row.per_second());
        rows.push(row);
    };
    let redis = RealRedis::start()?;
    let pairs = 20_000 / scale;
    for backlog in [1_000, 10_000, 100_000, 1_000_000 / scale] {
        tell(leased(&redis, "claim + settle", backlog, pairs, None).await?);
    }
    tell(leased(&redis, "claim + settle with a callback", 10_000, pairs, Some(CALLBACK)).await?);
    tell(lossy(&redis, 10_000, pairs).await?);
    tell(reliable(&redis, 10_000, pairs).await?);
    for backlog in [1_000, 10_000, 100_000 / scale] {
        tell(sqlite(backlog, 2_000 / scale).await?);
    }
    let rate = |way: &str| {
        let row = rows.iter().find(|row| row.way == way && row.backlog == 10_000);
        row.map(|row| (row.per_second(), row.per_core_second().unwrap_or(0.0)))
    };
    let (ours, floor, peer) = (rate("claim + settle"), rate(LOSSY), rate(RELIABLE));
    let ratio = |other: Option<(f64, f64)>| {
        ours.zip(other).map(|((wall, core), (other_wall, other_core))| {
            json!({"wall": wall / other_wall, "server_cpu": core / other_core})
        })
    };
    let report = json!({
        "workers": WORKERS,
        "connections": CONNECTIONS,
        "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
        "of_rpop_lpush": ratio(floor),
        "of_blmove_lrem": ratio(peer),
    });
    println!("{report}");
    Ok(())
}

const LOSSY: &str = "RPOP + LPUSH done (loses jobs)";
const RELIABLE: &str = "BLMOVE + LREM (no leases)";
const CALLBACK: &str = r#"{"job_id":"%","status":"completed","error_message":null,"assets":[{"type":"image","url":"user-1/%/0.png","thumbnail_url":"user-1/%/0.thumb.webp","metadata":{"width":1024,"height":1024,"format":"png","batch_size":1,"steps":25,"guidance_scale":7.5,"seed":1234567,"file_size_bytes":1456789,"asset_index":0}}],"metadata":{"job_type":"sdxl_image_high","seed":1234567,"generation_time":8.2}}"#;

/// An element as producers push it.
fn element(index: usize) -> String {
    json!({
        "id": format!("5b1c7d3e-0000-4000-8000-{index:012}"),
        "type": "sdxl_image_high",
        "user_id": format!("user-{}", index % 97),
        "prompt": "a lighthouse on a cliff in heavy rain, long exposure, 35 mm, muted colours",
        "config": {"num_images": 1, "resolution": "1024x1024", "seed": index},
        "metadata": {"guidance_scale": 7.5, "num_inference_steps": 25},
    })
    .to_string()
}

async fn connections(redis: &RealRedis) -> Result<Vec<MultiplexedConnection>> {
    let client = redis::Client::open(redis.url())?;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(client.get_multiplexed_async_connection().await?);
    }
    Ok(connections)
}

/// An empty server with `count` elements on the list.
async fn fill(connection: &mut MultiplexedConnection, list: &str, count: usize) -> Result<()> {
    redis::cmd("FLUSHALL").query_async::<()>(connection).await?;
    let indices: Vec<usize> = (0..count).collect();
    for chunk in indices.chunks(1000) {
        let mut push = redis::cmd("LPUSH");
        push.arg(list);
        for &index in chunk {
            push.arg(element(index));
        }
        push.query_async::<()>(connection).await?;
    }
    Ok(())
}

async fn server_cpu(connection: &mut MultiplexedConnection) -> Result<Duration> {
    let info: String = redis::cmd("INFO").arg("cpu").query_async(connection).await?;
    let field = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse::<f64>().ok()).context("the server's CPU time")
    };
    Ok(Duration::from_secs_f64(field("used_cpu_user")? + field("used_cpu_sys")?))
}

/// Has `WORKERS` tasks make `pairs` pairs together; a tenth as many first, unmeasured.
async fn measure<F, R>(
    connection: &mut MultiplexedConnection,
    way: &'static str,
    backlog: usize,
    pairs: usize,
    worker: F,
) -> Result<Row>
where
    F: Fn(usize, Arc<AtomicUsize>) -> R,
    R: Future<Output = Result<()>> + Send + 'static,
{
    together(pairs / 10, WORKERS, &worker).await?;
    let cpu = server_cpu(connection).await?;
    let wall = together(pairs, WORKERS, &worker).await?;
    let server_cpu = Some(server_cpu(connection).await? - cpu);
    Ok(Row { way, backlog, pairs, wall, server_cpu })
}

async fn together<F, R>(pairs: usize, workers: usize, worker: &F) -> Result<Duration>
where
    F: Fn(usize, Arc<AtomicUsize>) -> R,
    R: Future<Output = Result<()>> + Send + 'static,
{
    let left = Arc::new(AtomicUsize::new(pairs));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..workers).map(|index| tokio::spawn(worker(index, left.clone()))).collect();
    for task in tasks {
        task.await??;
    }
    Ok(begun.elapsed())
}

/// Whether one of the pairs is still to be made.
fn another(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

async fn leased(
    redis: &RealRedis,
    way: &'static str,
    backlog: usize,
    pairs: usize,
    callback: Option<&'static str>,
) -> Result<Row> {
    let mut connection = connections(redis).await?.swap_remove(0);
    // The backlog stays about as long as it says.
    fill(&mut connection, "sdxl_queue", backlog + pairs + pairs / 10).await?;
    let mut queues = Vec::new();
    for _ in 0..CONNECTIONS {
        queues.push(RedisQueue::connect(&redis.url(), "sdxl_queue", QueueOptions::default()).await?);
    }
    let worker = |index: usize, left: Arc<AtomicUsize>| {
        pair_after_pair(queues[index % CONNECTIONS].clone(), index, left, callback)
    };
    measure(&mut connection, way, backlog, pairs, worker).await
}

async fn pair_after_pair(
    queue: impl JobQueue,
    index: usize,
    left: Arc<AtomicUsize>,
    callback: Option<&'static str>,
) -> Result<()> {
    let worker = WorkerId::new("bench");
    let mut made = 0;
    while another(&left) {
        let claim = ClaimId::new();
        let Claimed::Job(_) = queue.claim(&claim, &worker).await? else { anyhow::bail!("no job is waiting") };
        made += 1;
        let job_id = format!("job-{index}-{made}");
        let callback = callback.map(|body| PendingCallback {
            id: PendingCallback::id_of(&job_id, "completed"),
            body: body.replace('%', &job_id),
            job_id,
        });
        let settled = queue.settle(&claim, &Settlement::Done { callback }).await?;
        anyhow::ensure!(settled == Settled::Applied, "{settled:?}");
    }
    Ok(())
}

async fn lossy(redis: &RealRedis, backlog: usize, pairs: usize) -> Result<Row> {
    let connections = connections(redis).await?;
    let mut control = connections[0].clone();
    fill(&mut control, "sdxl_queue", backlog + pairs + pairs / 10).await?;
    let worker = |index: usize, left: Arc<AtomicUsize>| {
        let mut connection = connections[index % CONNECTIONS].clone();
        async move {
            while another(&left) {
                let taken: Vec<u8> =
                    redis::cmd("RPOP").arg("sdxl_queue").query_async(&mut connection).await?;
                redis::cmd("LPUSH").arg("done").arg(taken).query_async::<()>(&mut connection).await?;
            }
            Ok(())
        }
    };
    let row = measure(&mut control, LOSSY, backlog, pairs, worker).await?;
    let done: usize = redis::cmd("LLEN").arg("done").query_async(&mut control).await?;
    anyhow::ensure!(done == pairs + pairs / 10, "{done} were done");
    Ok(row)
}

async fn reliable(redis: &RealRedis, backlog: usize, pairs: usize) -> Result<Row> {
    let connections = connections(redis).await?;
    let mut control = connections[0].clone();
    fill(&mut control, "sdxl_queue", backlog + pairs + pairs / 10).await?;
    let worker = |index: usize, left: Arc<AtomicUsize>| {
        let mut connection = connections[index % CONNECTIONS].clone();
        async move {
            let processing = format!("processing:{index}");
            while another(&left) {
                let mut take = redis::cmd("BLMOVE");
                take.arg("sdxl_queue").arg(&processing).arg("RIGHT").arg("LEFT").arg(1);
                let taken: Vec<u8> = take.query_async(&mut connection).await?;
                let mut end = redis::cmd("LREM");
                end.arg(&processing).arg(1).arg(taken).query_async::<()>(&mut connection).await?;
            }
            Ok(())
        }
    };
    let row = measure(&mut control, RELIABLE, backlog, pairs, worker).await?;
    let left: usize = redis::cmd("LLEN").arg("sdxl_queue").query_async(&mut control).await?;
    anyhow::ensure!(left == backlog, "{left} are left");
    Ok(row)
}

async fn sqlite(backlog: usize, pairs: usize) -> Result<Row> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("queue.db");
    let queue = SqliteQueue::open(&path, "sdxl_queue", QueueOptions::default())?;
    queue.push(&element(0)).await?;
    fill_file(&path, backlog + pairs + pairs / 10)?;
    let worker = |index: usize, left: Arc<AtomicUsize>| pair_after_pair(queue.clone(), index, left, None);
    together(pairs / 10, WORKERS, &worker).await?;
    let wall = together(pairs, WORKERS, &worker).await?;
    Ok(Row { way: "SQLite file: claim + settle", backlog, pairs, wall, server_cpu: None })
}

/// Every push of the queue is synced to the disk; a backlog is written in one transaction.
fn fill_file(path: &Path, count: usize) -> Result<()> {
    let mut file = rusqlite::Connection::open(path)?;
    file.busy_timeout(Duration::from_secs(5))?;
    let transaction = file.transaction()?;
    let mut insert = transaction.prepare(
        "INSERT INTO jobs (queue, state, rank, key, user, element) VALUES ('sdxl_queue', 0, ?1, ?2, ?3, ?4)",
    )?;
    for index in 1..count {
        let (rank, user) = (i64::try_from(index)?, format!("user-{}", index % 97));
        insert.execute((-1_000_000 - rank, format!("job-{index}"), user, element(index)))?;
    }
    drop(insert);
    Ok(transaction.commit()?)
}
