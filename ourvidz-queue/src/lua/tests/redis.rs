//! What concerns Redis's own protocol.

use std::time::Instant;

use ourvidz_test_support::{Aof, RealRedis, Reply, RespClient};

use super::*;
use crate::{Error, Settled, Settlement};

const LONG: Duration = Duration::from_secs(3600);

fn real(builder: ourvidz_test_support::RealRedisBuilder) -> Option<RealRedis> {
    if RealRedis::available().is_none() {
        eprintln!("NOT RUN: {}", RealRedis::missing());
        return None;
    }
    Some(builder.start().unwrap())
}

async fn connect(url: &str) -> Result<RedisQueue> {
    RedisQueue::connect(url, "sdxl_queue", options()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_ends_a_wait_at_once() {
    let mock = MockRedis::start();
    let queue = connect(&mock.redis_url()).await.unwrap();
    let mut fastest = Duration::MAX;
    for n in 0..5 {
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.wait(LONG).await }
        });
        mock.until(|stats| stats.blocked == 1).await;
        let pushed = Instant::now();
        mock.command(["LPUSH", "sdxl_queue", &element(&n.to_string())]);
        waiting.await.unwrap().unwrap();
        let delivery = take(&queue).await;
        fastest = fastest.min(pushed.elapsed());
        queue.settle(&delivery.claim, &Settlement::Done { callback: None }).await.unwrap();
    }
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_costs_two_commands_in_30_seconds() {
    let mock = MockRedis::builder().manual_clock(1_700_000_000_000).start();
    let queue = connect(&mock.redis_url()).await.unwrap();
    let idle = tokio::spawn(async move {
        loop {
            queue.claim(&ClaimId::new(), &WorkerId::new("w")).await.unwrap();
            queue.wait(LONG).await.unwrap();
        }
    });
    mock.until(|stats| stats.blocked == 1).await;
    mock.reset_stats();
    for round in 1..=4 {
        mock.advance(Duration::from_secs(30));
        mock.until(|stats| stats.count("BLMOVE") == round && stats.blocked == 1).await;
    }
    let stats = mock.stats();
    assert_eq!((stats.count("EVALSHA"), stats.total()), (4, 8), "{stats:?}");
    idle.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_with_jobs_does_not_spin() {
    let mock = MockRedis::start();
    let queue = connect(&mock.redis_url()).await.unwrap();
    queue.push(&element("j1")).await.unwrap();
    queue.pause().await.unwrap();
    let idle = async {
        loop {
            queue.claim(&ClaimId::new(), &WorkerId::new("w")).await.unwrap();
            queue.wait(LONG).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(1), idle).await.is_err());
    let waits = mock.stats().count("BLMOVE");
    assert!((2..=10).contains(&waits), "{waits} in a second");
    queue.resume().await.unwrap();
    queue.wait(LONG).await.unwrap();
    take(&queue).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_dropped_leaves_no_client_behind() {
    let mock = MockRedis::start();
    let queue = connect(&mock.redis_url()).await.unwrap();
    for _ in 0..3 {
        tokio::select! {
            _ = queue.wait(LONG) => panic!("nothing was pushed"),
            () = mock.until(|stats| stats.blocked == 1) => {}
        }
        mock.until(|stats| stats.blocked == 0 && stats.open_connections == 1).await;
    }
    queue.push(&element("j1")).await.unwrap();
    queue.wait(LONG).await.unwrap();
    assert_eq!(mock.command(["LLEN", "sdxl_queue"]), Reply::Int(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_when_the_server_goes() {
    let mock = MockRedis::start();
    let queue = connect(&mock.redis_url()).await.unwrap();
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.wait(LONG).await }
    });
    mock.until(|stats| stats.blocked == 1).await;
    mock.down();
    waiting.await.unwrap().unwrap();
    let error = queue.wait(LONG).await.unwrap_err();
    assert!(error.retryable(), "{error:?}");
    mock.up();
    queue.push(&element("j1")).await.unwrap();
    queue.wait(LONG).await.unwrap();
    take(&queue).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_and_addresses_are_said_without_secrets() {
    let mock = MockRedis::builder().password("right").start();
    connect(&mock.redis_url()).await.unwrap();
    for url in [mock.redis_url().replace("right", "hunter2"), mock.redis_url().replace(":right@", "")] {
        let error = connect(&url).await.unwrap_err();
        assert!(matches!(error, Error::Refused { action: "connect to Redis", .. }), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
    }
    let error = connect("http://:hunter2@host").await.unwrap_err();
    assert!(matches!(error, Error::InvalidOption { name: "url", .. }), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
    let queue = connect(&mock.redis_url()).await.unwrap();
    assert!(
        !format!("{queue:?}").contains("right@") && !format!("{queue:?}").contains("\"right\""),
        "{queue:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_to_a_server_without_it_is_an_error() {
    let mock = MockRedis::start();
    let url = mock.redis_url().replace("redis://", "rediss://");
    let settings = RedisSettings { connect_timeout: Duration::from_millis(200), ..RedisSettings::default() };
    let error = RedisServer::connect(&url, settings).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. } | Error::Refused { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_servers_are_refused() {
    let mock = MockRedis::builder().version("6.0.16").start();
    let error = connect(&mock.redis_url()).await.unwrap_err();
    let Error::Refused { source, .. } = error else { panic!("{error:?}") };
    assert_eq!(source.to_string(), "the server is Redis 6.0.16, and 6.2 or newer is needed");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_lose_jobs_are_warned_of() {
    let mock = MockRedis::start();
    assert_eq!(connect(&mock.redis_url()).await.unwrap().warnings().await.unwrap(), [""; 0]);
    let mock =
        MockRedis::builder().config("maxmemory-policy", "allkeys-lru").config("appendonly", "no").start();
    let warnings = connect(&mock.redis_url()).await.unwrap().warnings().await.unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("allkeys-lru") && warnings[1].contains("appendonly"), "{warnings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_refuses_a_script_as_a_whole() {
    let Some(server) = real(RealRedis::builder()) else { return };
    let queue = connect(&server.url()).await.unwrap();
    for id in ["j1", "j2"] {
        queue.push(&element(id)).await.unwrap();
    }
    let held = take(&queue).await;
    let mut client = RespClient::connect(&server.url()).unwrap();
    client.command(["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let failed = Settlement::Retry { after: LONG, reason: "r".into() };
    for error in [
        queue.claim(&ClaimId::new(), &WorkerId::new("w")).await.unwrap_err(),
        queue.settle(&held.claim, &failed).await.unwrap_err(),
        queue.push(&element("j3")).await.unwrap_err(),
    ] {
        assert!(error.retryable(), "{error:?}");
    }
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.in_flight, counts.delayed), (1, 1, 0), "views still answer");
    client.command(["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    assert_eq!(queue.settle(&held.claim, &failed).await.unwrap(), Settled::Applied);
    take(&queue).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_may_be_killed_in_between() {
    let Some(mut server) = real(RealRedis::builder().aof(Aof::Always).password("secret")) else { return };
    let queue = connect(&server.url()).await.unwrap();
    queue.push(&element("j1")).await.unwrap();
    let claim = take(&queue).await.claim;
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.wait(LONG).await }
    });
    let mut client = RespClient::connect(&server.url()).unwrap();
    loop {
        let info = client.command(["INFO", "clients"]).unwrap();
        if info.as_text().unwrap().contains("blocked_clients:1") {
            break;
        }
        tokio::task::yield_now().await;
    }
    server.restart().unwrap();
    waiting.await.unwrap().unwrap();
    let begun = Instant::now();
    let settled = loop {
        match queue.settle(&claim, &Settlement::Done { callback: None }).await {
            Ok(settled) => break settled,
            Err(error) => {
                assert!(error.retryable() && begun.elapsed() < Duration::from_secs(10), "{error:?}")
            }
        }
    };
    assert_eq!(settled, Settled::Applied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_a_server_too() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock");
    let Some(_server) = real(RealRedis::builder().args(["--unixsocket".as_ref(), socket.as_os_str()])) else {
        return;
    };
    let queue = connect(&format!("unix://{}", socket.display())).await.unwrap();
    queue.push(&element("j1")).await.unwrap();
    queue.wait(LONG).await.unwrap();
    take(&queue).await;
}
