//! Queues whose every operation is one Lua script that the server runs atomically: what Redis and Upstash share.

mod admin;
mod keys;
mod link;
mod outbox;
mod queue;
mod reply;
mod script;
#[cfg(test)]
mod tests;

pub(crate) use self::link::Link;
pub use self::queue::LuaQueue;

pub(crate) use self::link::{Failure, Patience, Step, failure_of_text};
pub(crate) use self::reply::Reply;
pub(crate) use self::script::{Header, Script, ScriptSet};
