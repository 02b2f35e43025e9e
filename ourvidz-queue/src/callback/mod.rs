//! Delivery of callbacks out of an [`Outbox`](crate::Outbox): signed, tried again on a schedule, never in the
//! way of a job.
//!
//! What an answer means (Standard Webhooks, and the receiver of the wire):
//!
//! | answer | what follows |
//! |---|---|
//! | 2xx | delivered |
//! | 410 | deliveries stop for the whole outbox until it is enabled; the callback keeps waiting |
//! | 400, 404, 405, 413, 414, 415, 422 | tried again: the receiver may be in the middle of a deployment; given up after 3 in a row |
//! | 401, 403 | tried again on the schedule; an error is logged once, until a delivery succeeds |
//! | 3xx | tried again on the schedule; redirects are never followed, they would take the secrets elsewhere |
//! | 429, 502, 503, 504 | tried again on the schedule, not before what `Retry-After` asks for (24 h at most) |
//! | any other, no answer | tried again on the schedule |
//!
//! After the [schedule](DeliverySchedule)'s last try a callback moves to the outbox's dead letters. One that
//! says that a job has begun is tried 3 times and then dropped: how the job ended is what counts.
//!
//! Deliveries are at least once. A callback sent twice has the same `webhook-id` and the same body.

mod decision;
mod deliverer;
mod delivery;
mod outcome;
mod pump;
mod schedule;
mod sender;
mod target;

pub use deliverer::{Deliverer, DeliveryOptions};
pub use delivery::DeliveryCounts;
pub use outcome::Outcome;
pub use schedule::DeliverySchedule;
pub use sender::CallbackSender;
pub use target::CallbackTarget;
