//! The commands over queues, stores and callbacks.

mod callbacks;
mod config_check;
mod connect;
mod outbox;
mod queue;
mod submit;
mod table;
mod worker;

pub(crate) use config_check::config_check;
pub(crate) use outbox::outbox;
pub(crate) use queue::queue;
pub(crate) use submit::{push, submit};
pub(crate) use worker::{work, worker};

/// Runs a command that talks to servers.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(future)
}
