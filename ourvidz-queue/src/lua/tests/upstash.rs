//! What concerns Upstash's REST.

use ourvidz_test_support::Fault;

use super::*;
use crate::Error;

async fn connect(mock: &MockRedis, token: &str) -> Result<UpstashQueue> {
    UpstashQueue::connect(&mock.rest_url(), SecretString::from(token), "sdxl_queue", options()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_refused_without_showing_them() {
    let mock = MockRedis::start();
    let error = connect(&mock, "hunter2").await.unwrap_err();
    assert!(matches!(error, Error::Refused { action: "connect to Upstash", .. }), "{error:?}");
    let shown = format!("{error:?} {:?}", connect(&mock, mock.rest_token()).await.unwrap());
    assert!(!shown.contains("hunter2") && !shown.contains(mock.rest_token()), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_fail_are_asked_again() {
    for status in [429, 500, 502, 503, 504] {
        let mock = MockRedis::start();
        let queue = queue(&mock, Face::Rest).await;
        queue.push(&element("j1")).await.unwrap();
        mock.inject(Fault::http_status(status).times(2));
        take(&*queue).await;
        assert_eq!(mock.stats().faults_fired, 2, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_quota_is_not_asked_again_at_once() {
    let mock = MockRedis::start();
    let queue = queue(&mock, Face::Rest).await;
    mock.inject(Fault::error("ERR max daily request limit exceeded. Limit: 10000, Usage: 10000."));
    mock.reset_stats();
    let error = queue.counts().await.unwrap_err();
    let Error::Unavailable { source, .. } = error else { panic!("{error:?}") };
    assert!(source.to_string().contains("max daily request limit"), "{source}");
    assert_eq!(mock.stats().http_requests, 1);
    mock.clear_faults();
    mock.inject(Fault::error("ERR max request size exceeded. Limit: 10485760 bytes"));
    assert!(!queue.counts().await.unwrap_err().retryable());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_one_request_that_carries_the_sync_token() {
    let mock = MockRedis::start();
    let queue = connect(&mock, mock.rest_token()).await.unwrap();
    let claim = || async { queue.claim(&ClaimId::new(), &WorkerId::new("w")).await.unwrap() };
    claim().await;
    mock.reset_stats();
    for _ in 0..5 {
        claim().await;
    }
    let stats = mock.stats();
    assert_eq!((stats.http_requests, stats.sync_token_latest), (5, 5), "{stats:?}");
}

#[tokio::test]
async fn an_idle_worker_costs_a_command_in_10_seconds() {
    let mock = MockRedis::start();
    let queue = connect(&mock, mock.rest_token()).await.unwrap();
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let mut waits = Vec::new();
    while begun.elapsed() < Duration::from_secs(660) {
        queue.wait(Duration::from_secs(3600)).await.unwrap();
        waits.push(begun.elapsed());
    }
    let first_minute = waits.iter().filter(|at| at.as_secs() < 60).count();
    assert!((25..=30).contains(&first_minute), "{first_minute}");
    let later = waits.len() - first_minute;
    assert!((50..=61).contains(&later), "{later} in ten minutes");
    let before = tokio::time::Instant::now();
    queue.wait(Duration::from_millis(300)).await.unwrap();
    assert!(before.elapsed() < Duration::from_millis(310), "a shorter wish is honoured");
}

#[tokio::test(flavor = "multi_thread")]
async fn time_is_carried_from_the_server() {
    let mock = MockRedis::builder().manual_clock(1_000_000_000_000).start();
    let queue = connect(&mock, mock.rest_token()).await.unwrap();
    queue.push(&element("j1")).await.unwrap();
    take(&queue).await;
    let claimed_ms = queue.in_flight().await.unwrap()[0].claimed_ms;
    assert!((1_000_000_000_000..1_000_000_030_000).contains(&claimed_ms), "{claimed_ms}");
    assert_eq!(mock.stats().count("TIME"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn eviction_is_warned_of() {
    let mock = MockRedis::start();
    assert_eq!(queue(&mock, Face::Rest).await.warnings().await.unwrap(), [""; 0]);
    let mock = MockRedis::builder().config("maxmemory-policy", "volatile-lru").start();
    let warnings = queue(&mock, Face::Rest).await.warnings().await.unwrap();
    assert!(warnings[0].contains("volatile-lru"), "{warnings:?}");
    mock.inject(Fault::error("ERR Command is not available: 'CONFIG'").on("CONFIG"));
    assert!(queue(&mock, Face::Rest).await.warnings().await.unwrap()[0].contains("eviction"));
}
