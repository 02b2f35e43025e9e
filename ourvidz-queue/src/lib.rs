//! The wire around jobs: which queue a job goes to, when it is tried again, how its callback is signed.
//!
//! ```
//! use ourvidz_core::job;
//! use ourvidz_queue::{QueueName, RetryPolicy, signature::CallbackSecret};
//!
//! let element = r#"["{\"id\": \"j1\", \"type\": \"video_fast\", \"user_id\": \"u1\", \"prompt\": \"a fox\"}"]"#;
//! let job = job::parse(element)?;
//! assert_eq!(QueueName::for_job_type(job.job_type).as_str(), "wan_queue");
//!
//! let wait = RetryPolicy::default().delay_after(1, 0.5); // 0.5: the caller's random number
//! assert_eq!(wait.map(|wait| wait.as_millis()), Some(500));
//!
//! let header = CallbackSecret::new("secret")?.header(br#"{"job_id":"j1"}"#);
//! assert!(header.starts_with("sha256="));
//! # Ok::<(), anyhow::Error>(())
//! ```
//!
//! In this crate: [`QueueName`], [`RetryPolicy`] and [`signature`]. Not in it: queues themselves (Redis,
//! Upstash REST, embedded), leases, dead letters, the outbox, delivery of callbacks, the worker loop. Job
//! payloads are read by `ourvidz_core::job`.
#![forbid(unsafe_code)]

pub mod callback;
mod claim;
mod clock;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod element;
mod error;
mod inspect;
mod lua;
mod memory;
mod options;
mod outbox;
mod queue;
mod queue_name;
mod redis;
mod retry;
pub mod signature;
mod sqlite;
mod upstash;
pub mod worker;

pub use claim::{ClaimId, WorkerId};
pub use clock::{Clock, ManualClock};
pub use error::{Error, Result};
pub use inspect::{Backend, Counts, DeadLetter, Delayed, InFlight, QueueAdmin};
pub use lua::LuaQueue;
pub use memory::MemoryQueue;
pub use options::{FairShare, PopSide, QueueOptions};
pub use outbox::{CallbackEntry, DueCallbacks, Outbox, PendingCallback};
pub use queue::{Beat, Claimed, DeadReason, Delivery, Empty, JobQueue, Settled, Settlement};
pub use queue_name::QueueName;
pub use self::redis::{RedisQueue, RedisServer, RedisSettings};
pub use retry::RetryPolicy;
pub use sqlite::SqliteQueue;
pub use upstash::{UpstashQueue, UpstashServer, UpstashSettings, UpstashTime};
