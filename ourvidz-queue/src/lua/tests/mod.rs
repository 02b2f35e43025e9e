#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]
//! Both kinds of queue against the mock's two faces and a real server.

mod equality;
mod faults;
mod redis;
mod suite;
mod upstash;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use ourvidz_test_support::{Face, MockRedis};
use secrecy::SecretString;

use crate::{
    Backend, ClaimId, Claimed, Clock, Delivery, JobQueue, QueueAdmin, QueueOptions, RedisQueue, RedisServer,
    RedisSettings, Result, UpstashQueue, UpstashServer, UpstashSettings, UpstashTime, WorkerId,
};

const FACES: [Face; 2] = [Face::Resp, Face::Rest];

/// Where the time comes from.
#[derive(Clone)]
enum Time {
    Server,
    Carried,
    Clock(Clock),
}

async fn redis(url: &str, clock: Option<Clock>) -> RedisServer {
    RedisServer::connect(url, RedisSettings { clock, ..RedisSettings::default() }).await.unwrap()
}

async fn upstash(mock: &MockRedis, time: UpstashTime) -> UpstashServer {
    let short = Duration::from_millis(20);
    let settings = UpstashSettings {
        time,
        busy_interval: Some(short),
        idle_interval: short,
        ..UpstashSettings::default()
    };
    UpstashServer::connect(&mock.rest_url(), SecretString::from(mock.rest_token()), settings).await.unwrap()
}

/// One face of a mock, connected.
enum Server {
    Redis(RedisServer),
    Upstash(UpstashServer),
}

impl Server {
    async fn connect(mock: &MockRedis, face: Face, time: Time) -> Self {
        match (face, time) {
            (Face::Resp, Time::Clock(clock)) => Server::Redis(redis(&mock.redis_url(), Some(clock)).await),
            (Face::Resp, _) => Server::Redis(redis(&mock.redis_url(), None).await),
            (Face::Rest, Time::Server) => Server::Upstash(upstash(mock, UpstashTime::InScripts).await),
            (Face::Rest, Time::Carried) => Server::Upstash(upstash(mock, UpstashTime::Carried).await),
            (Face::Rest, Time::Clock(clock)) => {
                Server::Upstash(upstash(mock, UpstashTime::Clock(clock)).await)
            }
        }
    }

    fn pair(&self, names: [&str; 2], options: QueueOptions) -> Result<[Arc<dyn Backend>; 2]> {
        match self {
            Server::Redis(server) => {
                let queue = RedisQueue::on(server.clone(), names[0], options)?;
                let other = queue.sibling(names[1])?;
                Ok([Arc::new(queue), Arc::new(other)])
            }
            Server::Upstash(server) => {
                let queue = UpstashQueue::on(server.clone(), names[0], options)?;
                let other = queue.sibling(names[1])?;
                Ok([Arc::new(queue), Arc::new(other)])
            }
        }
    }
}

/// `sdxl_queue`, on the server's clock.
async fn queue(mock: &MockRedis, face: Face) -> Arc<dyn Backend> {
    let server = Server::connect(mock, face, Time::Server).await;
    let [queue, _] = server.pair(["sdxl_queue", "wan_queue"], options()).unwrap();
    queue
}

/// Leases that do not run out.
fn options() -> QueueOptions {
    QueueOptions { lease: Duration::from_secs(3600), ..QueueOptions::default() }
}

fn element(id: &str) -> String {
    serde_json::json!({"id": id, "type": "video_fast", "user_id": "u1", "prompt": "a fox"}).to_string()
}

async fn take(queue: &dyn Backend) -> Delivery {
    match queue.claim(&ClaimId::new(), &WorkerId::new("w")).await.unwrap() {
        Claimed::Job(delivery) => delivery,
        other => panic!("a job was waiting, the claim answered {other:?}"),
    }
}
