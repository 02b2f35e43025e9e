use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Client, Cmd};
use tokio::sync::Mutex;
use url::Url;

use super::connection::{Connection, info_field};
use super::wait::Waiter;
use crate::lua::{Failure, Header, Link, Patience, Reply, Script, ScriptSet, Step};
use crate::{Claimed, Clock, Error, PopSide, Result};

/// How a Redis server is talked to.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// For opening a connection. Default 5 s.
    pub connect_timeout: Duration,
    /// For the reply to one command. Default 5 s.
    pub response_timeout: Duration,
    /// The time of leases and delays instead of the server's, for tests. Default `None`. Marks that the server
    /// forgets by itself (cancellations, settled claims, ids pushed once) go by its own clock.
    pub clock: Option<Clock>,
}

impl Default for RedisSettings {
    fn default() -> Self {
        let timeout = Duration::from_secs(5);
        Self { connect_timeout: timeout, response_timeout: timeout, clock: None }
    }
}

/// A Redis server, for any number of queues. Clones share the connection, which is opened again by itself when
/// it breaks.
///
/// A call that may be repeated is tried up to six times, within about 2 s when the server cannot be reached.
#[derive(Clone)]
pub struct RedisServer {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) settings: RedisSettings,
    /// Without credentials.
    address: String,
    connection: Mutex<Option<Connection>>,
    plain: ScriptSet,
    headed: ScriptSet,
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisServer").field("address", &self.shared.address).finish_non_exhaustive()
    }
}

impl RedisServer {
    /// Connects, and checks the password and the version.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for the URL, [`Error::Refused`] for the password or a server before 6.2,
    /// [`Error::Unavailable`] when there is no server.
    pub async fn connect(url: &str, settings: RedisSettings) -> Result<Self> {
        let address = without_credentials(url);
        let invalid = |_| Error::InvalidOption {
            name: "url",
            rule: "must be redis://host, rediss://host or unix:///path",
            value: address.clone(),
        };
        let client = Client::open(url).map_err(invalid)?;
        let shared = Shared {
            client,
            settings,
            address,
            connection: Mutex::default(),
            plain: ScriptSet::new(Header::None),
            headed: ScriptSet::new(Header::Lua),
        };
        let server = Self { shared: Arc::new(shared) };
        let connected = || async { server.connection().await.map(drop) };
        server.patience().run("connect to Redis", Step::Repeatable, connected).await?;
        Ok(server)
    }

    pub(super) fn patience(&self) -> Patience {
        Patience::for_timeout(self.shared.settings.response_timeout)
    }

    async fn connection(&self) -> Result<Connection, Failure> {
        let mut slot = self.shared.connection.lock().await;
        if let Some(connection) = slot.as_ref() {
            return Ok(connection.clone());
        }
        let RedisSettings { connect_timeout, response_timeout, .. } = self.shared.settings;
        let mut connection =
            Connection::open(&self.shared.client, connect_timeout, Some(response_timeout)).await?;
        connection.identify().await?;
        Ok(slot.insert(connection).clone())
    }

    /// A connection that failed is not used again: it may be dead, or lead to a server that is no longer the
    /// primary.
    async fn close(&self, number: u64) {
        let mut slot = self.shared.connection.lock().await;
        if slot.as_ref().is_some_and(|connection| connection.number == number) {
            *slot = None;
        }
    }

    async fn send(&self, connection: &mut Connection, command: &Cmd) -> Result<Reply, Failure> {
        let result = connection.send(command).await;
        if let Err(Failure::Unknown(_) | Failure::NotDone(_)) = &result {
            self.close(connection.number).await;
        }
        result
    }

    async fn try_script(&self, script: Script, keys: &[String], args: &[String]) -> Result<Reply, Failure> {
        let mut connection = self.connection().await?;
        let set = match connection.header {
            Header::Lua => &self.shared.headed,
            _ => &self.shared.plain,
        };
        let text = set.get(script);
        let command = |name: &str, what: &str| {
            let mut command = redis::cmd(name);
            command.arg(what).arg(keys.len()).arg(keys).arg(args);
            command
        };
        match self.send(&mut connection, &command("EVALSHA", &text.sha1)).await {
            // It did not run; EVAL runs it and keeps it.
            Err(Failure::NoScript(_)) => self.send(&mut connection, &command("EVAL", &text.text)).await,
            result => result,
        }
    }

    async fn try_command(&self, words: &[&str], step: Step) -> Result<Reply, Failure> {
        let Some((name, args)) = words.split_first() else { return Ok(Reply::Nil) };
        let mut connection = self.connection().await?;
        if step == Step::Once {
            // A connection that broke while it was idle is found out before something is sent that must not be
            // sent twice.
            self.send(&mut connection, &redis::cmd("PING")).await.map_err(|failure| match failure {
                Failure::Unknown(source) => Failure::NotDone(source),
                other => other,
            })?;
        }
        self.send(&mut connection, redis::cmd(name).arg(args)).await
    }

    async fn info(&self, section: &str) -> Result<String> {
        match self.command("ask the server about itself", &["INFO", section], Step::Repeatable).await {
            Ok(reply) => reply.text(),
            Err(Error::Refused { .. }) => Ok(String::new()),
            Err(error) => Err(error),
        }
    }

    /// The value of a setting; `None` where the server does not tell.
    async fn config(&self, name: &str) -> Result<Option<String>> {
        match self.command("ask for a setting", &["CONFIG", "GET", name], Step::Repeatable).await {
            Ok(reply) => Ok(reply.texts().ok().and_then(|pair| pair.into_iter().nth(1))),
            Err(Error::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Link for RedisServer {
    type Waiter = Waiter;

    fn waiter(&self, _: &str) -> Waiter {
        Waiter::default()
    }

    async fn now(&self) -> Result<String> {
        Ok(self.shared.settings.clock.as_ref().map(|clock| clock.now_ms().to_string()).unwrap_or_default())
    }

    async fn script(
        &self,
        action: &'static str,
        script: Script,
        keys: &[String],
        args: &[String],
    ) -> Result<Reply> {
        self.patience().run(action, Step::Repeatable, || self.try_script(script, keys, args)).await
    }

    async fn command(&self, action: &'static str, words: &[&str], step: Step) -> Result<Reply> {
        self.patience().run(action, step, || self.try_command(words, step)).await
    }

    async fn wait(&self, waiter: &Waiter, list: &str, side: PopSide, at_most: Duration) -> Result<()> {
        waiter.wait(self, list, side, at_most).await
    }

    fn claimed(&self, waiter: &Waiter, claimed: &Claimed) {
        waiter.claimed(claimed);
    }

    fn cancel_interval(&self) -> Duration {
        Duration::from_millis(100)
    }

    async fn warnings(&self) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        let memory = self.info("memory").await?;
        let policy = match info_field(&memory, "maxmemory_policy") {
            Some(policy) => Some(policy.to_owned()),
            None => self.config("maxmemory-policy").await?,
        };
        match policy {
            None => warnings
                .push("the server does not say whether it evicts keys; jobs need noeviction".to_owned()),
            Some(policy) if policy != "noeviction" => {
                warnings.push(format!(
                    "maxmemory-policy is {policy}: the server may drop jobs; jobs need noeviction"
                ));
            }
            Some(_) => {}
        }
        let persistence = self.info("persistence").await?;
        if info_field(&persistence, "aof_enabled") != Some("1") {
            let snapshots = self.config("save").await?.is_some_and(|save| !save.is_empty());
            warnings.push(if snapshots {
                "appendonly is off: jobs since the last snapshot are lost when the server stops".to_owned()
            } else {
                "appendonly is off: jobs may be lost when the server stops".to_owned()
            });
        }
        if info_field(&self.info("server").await?, "redis_version").is_none() {
            warnings.push("the server does not tell its version; Redis 6.2 or newer is needed".to_owned());
        }
        Ok(warnings)
    }
}

/// The URL as it may be shown.
fn without_credentials(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else { return "text that is not a URL".to_owned() };
    let hidden = parsed.set_username("").and_then(|()| parsed.set_password(None));
    parsed.set_query(None);
    if hidden.is_err() && parsed.has_authority() && parsed.username() != "" {
        return format!("{}://…", parsed.scheme());
    }
    parsed.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_shown() {
        let shown = [
            ("redis://user:secret@host:6379/1", "redis://host:6379/1"),
            ("rediss://:secret@host", "rediss://host"),
            ("unix:///run/redis.sock?pass=secret&db=1", "unix:///run/redis.sock"),
            ("secret", "text that is not a URL"),
        ];
        for (url, expected) in shown {
            assert_eq!(without_credentials(url), expected);
        }
    }
}
