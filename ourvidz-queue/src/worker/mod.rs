//! The worker loop: takes jobs from one queue, has a [`JobHandler`] make them, and ends every one of them.
//!
//! ```
//! use std::sync::Arc;
//! use ourvidz_core::job::{Job, callback::{Callback, ErrorCode}};
//! use ourvidz_queue::worker::{JobControl, JobFailure, JobHandler, Outcome, Shutdown, Worker};
//! use ourvidz_queue::{Backend, JobQueue, MemoryQueue, QueueOptions, WorkerId};
//!
//! struct NoModel;
//! impl JobHandler for NoModel {
//!     fn handle(&mut self, _: &Job, control: &JobControl) -> Result<Callback, JobFailure> {
//!         control.step(1, 25)?; // says when to stop
//!         Err(JobFailure::permanent(ErrorCode::Model, "no model is installed"))
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let queue: Arc<dyn Backend> = Arc::new(MemoryQueue::new("sdxl_queue", QueueOptions::default())?);
//! queue.push(r#"{"id": "j1", "type": "sdxl_image_fast", "user_id": "u1", "prompt": "a fox"}"#).await?;
//! let worker = Worker::builder(queue, WorkerId::new("sdxl")).start(|| Ok::<_, std::io::Error>(NoModel))?;
//! let handled = worker.run_once(&Shutdown::new()).await?;
//! assert_eq!(handled.map(|handled| handled.outcome), Some(Outcome::Failed { code: ErrorCode::Model }));
//! # Ok(()) }
//! ```
//!
//! # Threads
//!
//! The loop is a future and runs where it is awaited. The handler has a thread of its own, on which it is made;
//! no job is claimed before it is. A third thread, with a small runtime of its own, renews the lease, asks
//! whether the job was cancelled, and watches deadline and progress, however busy the other two are. It uses
//! the queue handle that [`WorkerBuilder::heartbeat_queue`] makes on it.
//!
//! # How a claimed job ends
//!
//! | what happened | settlement | callback |
//! |---|---|---|
//! | made | done | `completed` |
//! | failed, another attempt is left | retry after back-off | |
//! | failed for good, or no attempt is left | failed, dead letter | `failed` |
//! | not a job | failed, dead letter | `failed`, if it has an id |
//! | cancelled | failed | `failed`, `CANCELLED` |
//! | of another family | transferred | |
//! | the worker ends | given back, the attempt not counted | |
//! | the lease was lost | none: it is another worker's | |
//!
//! A settlement the backend does not take is written to the journal and tried until it is taken; no job is
//! claimed until then.

mod call;
mod control;
mod ending;
mod event;
mod handler;
mod hands;
mod heart;
mod hint;
mod journal;
mod options;
mod process;
mod run;
mod settle;
mod shutdown;
mod start;
mod watch;

#[cfg(test)]
mod tests;

pub use control::JobControl;
pub use event::{JobRef, Outcome, Stage, WorkerEvent};
pub use handler::{Failure, JobFailure, JobHandler, Stop};
pub use hint::CallbackHint;
pub use options::{Deadlines, WorkerOptions};
pub use shutdown::Shutdown;
pub use start::{Handled, Worker, WorkerBuilder};
