//! The suite of the traits.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use ourvidz_test_support::RealRedis;

use super::*;
use crate::ManualClock;
use crate::conformance::{self, Harness};

/// A mock whose clock stands, and whose server holds scripts to the keys they declare.
struct Mock {
    mock: MockRedis,
    server: Server,
    /// Given to the scripts; without one they read the server's.
    clock: Option<ManualClock>,
    made: AtomicUsize,
}

const START_MS: u64 = 1_700_000_000_000;

impl Mock {
    async fn new(face: Face, given: bool, version: &str) -> Self {
        let builder = MockRedis::builder().strict_keys().version(version).manual_clock(START_MS as i64);
        let clock = given.then(|| ManualClock::new(START_MS));
        let mock = builder.start();
        let time = clock.clone().map_or(Time::Server, |clock| Time::Clock(Clock::Manual(clock)));
        let server = Server::connect(&mock, face, time).await;
        Self { mock, server, clock, made: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl Harness for Mock {
    async fn pair(&self, options: QueueOptions) -> Result<[Arc<dyn Backend>; 2]> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let names = [format!("one{number}"), format!("two{number}")];
        self.server.pair([&names[0], &names[1]], options)
    }

    async fn advance(&self, by: Duration) {
        if let Some(clock) = &self.clock {
            clock.advance(by);
        }
        self.mock.advance(by);
    }

    fn now_ms(&self) -> u64 {
        self.mock.now_ms() as u64
    }

    fn manual_clock(&self) -> bool {
        true
    }
}

/// A real server, whose time passes by sleeping.
struct Real {
    /// Ends on drop.
    _server: RealRedis,
    queues: RedisServer,
    made: AtomicUsize,
}

#[async_trait]
impl Harness for Real {
    async fn pair(&self, options: QueueOptions) -> Result<[Arc<dyn Backend>; 2]> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let queue = RedisQueue::on(self.queues.clone(), format!("one{number}"), options)?;
        let other = queue.sibling(format!("two{number}"))?;
        Ok([Arc::new(queue), Arc::new(other)])
    }

    async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }
}

async fn everything(mock: &Mock) {
    conformance::all(mock).await.unwrap();
    // Short: the scripts of the mock run unoptimised. Longer walks are those of the real server and of `equality`.
    conformance::random_walk(mock, 1, 60).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_with_the_time_in_scripts() {
    everything(&Mock::new(Face::Resp, false, "7.2.4").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_with_a_given_time() {
    everything(&Mock::new(Face::Resp, true, "7.0.15").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_before_7() {
    everything(&Mock::new(Face::Resp, false, "6.2.14").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstash_with_the_time_in_scripts() {
    everything(&Mock::new(Face::Rest, false, "7.0.15").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstash_with_a_given_time() {
    everything(&Mock::new(Face::Rest, true, "7.0.15").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server() {
    let Ok(server) = RealRedis::start() else {
        assert!(RealRedis::available().is_none(), "there is a server, and it does not start");
        eprintln!("NOT RUN: {}", RealRedis::missing());
        return;
    };
    let queues = redis(&server.url(), None).await;
    let real = Real { _server: server, queues, made: AtomicUsize::new(0) };
    conformance::all(&real).await.unwrap();
    conformance::random_walk(&real, 1, 400).await.unwrap();
}
