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
#[cfg(feature = "demo-models")]
pub(crate) use submit::push;
pub(crate) use submit::submit;
#[cfg(feature = "demo-models")]
pub(crate) use worker::work;
pub(crate) use worker::worker;

/// Runs a command that talks to servers.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(future)
}
