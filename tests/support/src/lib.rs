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
//!
//! # Which one
//!
//! | | |
//! |--|--|
//! | [`MockRedis`] | In this process, on a thread of its own. RESP2 and RESP3 at [`MockRedis::redis_url`], Upstash's REST at [`MockRedis::rest_url`], one keyspace behind both. |
//! | [`RealRedis`] | A `redis-server` or `valkey-server` of PATH on a free port: [`RealRedis::kill`], [`RealRedis::restart`], AOF. [`RealRedis::available`] is `None` without one. |
//! | [`FaultProxy`] | In front of any TCP server: swallowed replies, resets, delays, a black hole. |
//! | [`RespClient`] | Raw commands and replies, blocking. |
//!
//! # What goes wrong
//!
//! A [`Fault`] is one thing that goes wrong, narrowed by command, predicate, face, chance and number:
//! `Fault::lose_reply().on("EVALSHA").probability(0.02)`. [`MockRedis::down`] takes the server away and
//! [`MockRedis::up`] brings it back on the same ports with its keys and without its scripts. The same
//! [`MockRedisBuilder::seed`] and the same order of commands give the same faults.
//!
//! # Waiting without sleeping
//!
//! [`MockRedis::wait_until`] on a thread and [`MockRedis::until`] in async tests wait for [`Stats`]: for a
//! blocked client, a command, a connection. With [`MockRedisBuilder::manual_clock`] expiry, `TIME` and the
//! timeouts of blocking commands follow [`MockRedis::advance`]; with the machine's clock `advance` adds to it.
//!
//! # What the mock is not
//!
//! One database, no `WATCH`, streams, patterns of channels, bit operations or `BYLEX`. `SCAN` and its kin
//! give everything in one page. Hashes and sets come in the order of their bytes. Scripts have `cjson` and
//! Lua's own libraries, without `os`, `bit`, `struct` and `cmsgpack`; one that runs for 5 s is stopped. Its
//! replies are those of Redis 7.0.15, command by command in `tests/parity/commands.txt`; what
//! a version below 7 changes was not compared with a server.
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
