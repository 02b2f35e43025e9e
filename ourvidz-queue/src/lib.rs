//! Jobs that cannot be lost: leased queues, an outbox of signed callbacks, the worker loop over both.
//!
//! ```
//! use ourvidz_queue::{ClaimId, Claimed, JobQueue, MemoryQueue, QueueOptions, Settled, Settlement, WorkerId};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! let queue = MemoryQueue::new("sdxl_queue", QueueOptions::default())?;
//! queue.push(r#"{"id": "j1", "type": "sdxl_image_fast", "user_id": "u1", "prompt": "a fox"}"#).await?;
//! let claim = ClaimId::new(); // made by the client: asking again after a lost reply is safe
//! let Claimed::Job(job) = queue.claim(&claim, &WorkerId::new("sdxl")).await? else { unreachable!() };
//! assert_eq!(job.attempt, 1);
//! assert_eq!(queue.settle(&claim, &Settlement::Done { callback: None }).await?, Settled::Applied);
//! # Ok(())
//! # }
//! ```
//!
//! | | |
//! |--|--|
//! | [`JobQueue`], [`QueueAdmin`], [`Outbox`] | what every backend does; the `conformance` feature has its tests |
//! | [`RedisQueue`], [`UpstashQueue`], [`SqliteQueue`], [`MemoryQueue`] | the backends |
//! | [`worker`] | claim, handle, settle; heartbeat, watchdog, drain, journal |
//! | [`callback`] | delivery from the outbox until it is accepted |
//! | [`signature`], [`RetryPolicy`], [`QueueName`] | how a callback is signed, when a job is tried again, which queue is its |
//!
//! What is promised, and the keys in Redis: `docs/QUEUES.md`. Job payloads are read by `ourvidz_core::job`.
//! Not in this crate: pipelines, ONNX Runtime, Redis Cluster.
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

pub use self::redis::{RedisQueue, RedisServer, RedisSettings};
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
pub use retry::RetryPolicy;
pub use sqlite::SqliteQueue;
pub use upstash::{UpstashQueue, UpstashServer, UpstashSettings, UpstashTime};
