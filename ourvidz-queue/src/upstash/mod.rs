//! Queues on Upstash, over its REST interface.

mod clock;
mod http;
mod pace;
mod server;

use secrecy::SecretString;

use crate::lua::LuaQueue;
use crate::{QueueOptions, Result};

pub use self::server::{UpstashServer, UpstashSettings, UpstashTime};

/// A queue on Upstash Redis, over REST.
///
/// Every operation is one Lua script, the same as [`RedisQueue`](crate::RedisQueue)'s. REST cannot block, so
/// waiting is a pause: 2 s for `sdxl_queue` and 5 s for other queues while jobs come, 10 s once there was none
/// for a minute, each lengthened at random by up to a fifth. Shorter when the caller wants less.
pub type UpstashQueue = LuaQueue<UpstashServer>;

impl UpstashQueue {
    /// Connects to a database's REST URL, e.g. `https://eu1-name.upstash.io`, and opens one queue.
    ///
    /// # Errors
    /// As [`UpstashServer::connect`] and [`LuaQueue::on`].
    pub async fn connect(
        url: &str,
        token: SecretString,
        name: impl Into<String> + Send,
        options: QueueOptions,
    ) -> Result<Self> {
        Self::on(UpstashServer::connect(url, token, UpstashSettings::default()).await?, name, options)
    }
}
