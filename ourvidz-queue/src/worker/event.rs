use std::sync::Arc;

use ourvidz_core::job::JobType;
use ourvidz_core::job::callback::ErrorCode;
use serde::Serialize;

use super::Stop;
use crate::ClaimId;

/// What a worker does, as it happens. Receivers that lag lose the oldest events.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerEvent {
    /// The handler is made; jobs are claimed from now on.
    Ready,
    /// Nothing is waiting.
    Idle {
        /// Whether the queue is paused.
        paused: bool,
    },
    /// The backend cannot be reached; sent once, until [`WorkerEvent::BackendBack`].
    BackendLost,
    /// The backend answers again.
    BackendBack,
    /// A job was claimed.
    Claimed(Arc<JobRef>),
    /// The handler is about to be called.
    Started(Arc<JobRef>, JobType),
    /// A part of the work begins.
    Stage(Arc<JobRef>, Stage),
    /// Denoising steps are done.
    Step {
        /// Which job.
        job: Arc<JobRef>,
        /// Steps done, from 1.
        step: usize,
        /// Steps in all.
        steps: usize,
    },
    /// The handler was told to stop.
    Stopping(Arc<JobRef>, Stop),
    /// The claim has ended.
    Settled(Arc<JobRef>, Outcome),
}

/// Which job, in which attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobRef {
    /// The producer's id, or `sha1:` and a hash of the element where none can be read.
    pub job_id: String,
    /// From 1.
    pub attempt: u32,
    /// The claim that holds it.
    pub claim: ClaimId,
}

/// The parts of making a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// References are fetched.
    Fetching,
    /// A model is loaded.
    Loading,
    /// The prompt is rewritten.
    Enhancing,
    /// Text and references become tensors.
    Encoding,
    /// The model runs; steps follow.
    Denoising,
    /// Latents become pictures, pictures become files.
    Decoding,
    /// Files are stored.
    Storing,
}

/// What became of a claimed job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// Done.
    Completed,
    /// The attempt failed; there will be another.
    Retrying {
        /// Why.
        code: ErrorCode,
        /// When, in milliseconds from now.
        after_ms: u64,
    },
    /// Failed for good, and on the dead-letter list.
    Failed {
        /// Why.
        code: ErrorCode,
    },
    /// The producer withdrew it.
    Cancelled,
    /// Waiting again, the attempt not counted, because the worker ends.
    GivenBack,
    /// Moved to the queue of its type.
    Transferred {
        /// That queue.
        queue: String,
    },
    /// It belongs to another worker by now; nothing was settled here.
    LeaseLost,
    /// The worker ended before the backend took the settlement; the journal holds it.
    Journaled,
}
