//! Queues on a Redis server, over its own protocol.

mod connection;
mod server;
mod wait;

use crate::lua::LuaQueue;
use crate::{QueueOptions, Result};

pub use self::server::{RedisServer, RedisSettings};

/// A queue on a Redis server (6.2 or newer, or compatible).
///
/// Every operation is one Lua script. Waiting blocks on the server with `BLMOVE`, over a connection of its own,
/// so a new job is noticed at once and an idle worker costs two commands in 30 s.
pub type RedisQueue = LuaQueue<RedisServer>;

impl RedisQueue {
    /// Connects to `redis://[[user]:password@]host[:port][/db]`, `rediss://` for TLS, or `unix:///path` for a
    /// socket, and opens one queue.
    ///
    /// # Errors
    /// As [`RedisServer::connect`] and [`LuaQueue::on`].
    pub async fn connect(url: &str, name: impl Into<String> + Send, options: QueueOptions) -> Result<Self> {
        Self::on(RedisServer::connect(url, RedisSettings::default()).await?, name, options)
    }
}
