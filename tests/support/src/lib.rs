//! Servers that tests start themselves: a mock Redis that runs real scripts, a real `redis-server`, a proxy
//! that loses replies.
//!
//! ```
//! use ourvidz_test_support::{Fault, MockRedis, Reply, RespClient};
//!
//! let mock = MockRedis::start();
//! let mut client = RespClient::connect(&mock.redis_url()).unwrap();
//! client.command(["LPUSH", "q", "job"]).unwrap();
//! mock.inject(Fault::lose_reply().on("RPOP").times(1));
//! assert!(client.command(["RPOP", "q"]).is_err());
//! assert_eq!(mock.command(["LLEN", "q"]), Reply::Int(0));
//! assert_eq!(mock.stats().count("RPOP"), 1);
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
mod faults;
mod mock;
mod proxy;
mod real;
mod reply;
mod resp;
mod stats;

pub use client::RespClient;
pub use faults::{Face, Fault};
pub use mock::{MockRedis, MockRedisBuilder};
pub use proxy::{FaultProxy, ProxyFaults, ProxyStats};
pub use real::{Aof, RealRedis, RealRedisBuilder};
pub use reply::{Reply, format_g};
pub use stats::Stats;
