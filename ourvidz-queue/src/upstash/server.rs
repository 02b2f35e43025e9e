use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use secrecy::SecretString;

use super::clock::Carried;
use super::http::Http;
use super::pace::Pace;
use crate::lua::{Failure, Header, Link, Patience, Reply, Script, ScriptSet, Step};
use crate::{Claimed, Clock, Error, PopSide, Result};

/// How Upstash is talked to.
#[derive(Debug, Clone)]
pub struct UpstashSettings {
    /// For opening a connection. Default 5 s.
    pub connect_timeout: Duration,
    /// For one request in all. Default 10 s.
    pub response_timeout: Duration,
    /// Pause between two looks for a job while jobs come. Default `None`: 2 s for `sdxl_queue`, 5 s for others.
    pub busy_interval: Option<Duration>,
    /// The same once no job has come for a minute. Default 10 s.
    pub idle_interval: Duration,
    /// Where the time comes from. Default [`UpstashTime::Carried`].
    pub time: UpstashTime,
}

/// Where the time of leases and delays comes from.
#[derive(Debug, Clone, Default)]
pub enum UpstashTime {
    /// `TIME` of the server, asked every 10 minutes and carried by this machine's monotonic clock in between:
    /// the service advises against reading the clock in scripts.
    #[default]
    Carried,
    /// `TIME` inside every script.
    InScripts,
    /// A clock of the caller, for tests.
    Clock(Clock),
}

impl Default for UpstashSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(10),
            busy_interval: None,
            idle_interval: Duration::from_secs(10),
            time: UpstashTime::default(),
        }
    }
}

/// An Upstash database, for any number of queues. Clones share the HTTP connections.
///
/// A call that may be repeated is tried up to six times after network errors, 429 and 5xx. A used-up quota is
/// [`Error::Unavailable`] at once; a request or record over the plan's size limit is [`Error::Refused`].
#[derive(Debug, Clone)]
pub struct UpstashServer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: Http,
    settings: UpstashSettings,
    carried: Carried,
    scripts: ScriptSet,
}

impl UpstashServer {
    /// Checks the URL and the token with two commands.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for the URL, [`Error::InvalidSecret`] and [`Error::Refused`] for the token,
    /// [`Error::Unavailable`] when the service cannot be reached.
    pub async fn connect(url: &str, token: SecretString, settings: UpstashSettings) -> Result<Self> {
        let http = Http::new(url, &token, settings.connect_timeout, settings.response_timeout)?;
        let carried = Carried::default();
        let scripts = ScriptSet::new(Header::KeyLocking);
        let server = Self { shared: Arc::new(Shared { http, settings, carried, scripts }) };
        let probe = || server.shared.http.probe();
        server.patience().run("connect to Upstash", Step::Repeatable, probe).await?;
        server.now().await?;
        Ok(server)
    }

    fn patience(&self) -> Patience {
        Patience::for_timeout(self.shared.settings.response_timeout)
    }

    async fn try_script(&self, script: Script, keys: &[String], args: &[String]) -> Result<Reply, Failure> {
        let text = self.shared.scripts.get(script);
        let words = |name: &str, what: &str| {
            let mut words = vec![name.to_owned(), what.to_owned(), keys.len().to_string()];
            words.extend_from_slice(keys);
            words.extend_from_slice(args);
            words
        };
        match self.shared.http.command(&words("EVALSHA", &text.sha1)).await {
            // It did not run; EVAL runs it and keeps it.
            Err(Failure::NoScript(_)) => self.shared.http.command(&words("EVAL", &text.text)).await,
            result => result,
        }
    }

    async fn read_time(&self) -> Result<()> {
        let asked = Instant::now();
        let reply = self.command("read the server's time", &["TIME"], Step::Repeatable).await?;
        let [seconds, micros] = reply.items()?;
        let ms = seconds.count::<u64>()? * 1000 + micros.count::<u64>()? / 1000;
        self.shared.carried.set(asked, Instant::now(), ms);
        Ok(())
    }

    async fn carried(&self) -> Result<u64> {
        let known = self.shared.carried.now_ms(Instant::now());
        match known {
            Some((now, false)) => return Ok(now),
            // The monotonic clock is off by little after a while; better than no time at all.
            Some((now, true)) if self.read_time().await.is_err() => return Ok(now),
            Some((_, true)) => {}
            None => self.read_time().await?,
        }
        Ok(self.shared.carried.now_ms(Instant::now()).map_or(0, |(now, _)| now))
    }
}

#[async_trait]
impl Link for UpstashServer {
    type Waiter = Pace;

    fn waiter(&self, name: &str) -> Pace {
        let UpstashSettings { busy_interval, idle_interval, .. } = self.shared.settings;
        Pace::new(name, busy_interval, idle_interval)
    }

    async fn now(&self) -> Result<String> {
        match &self.shared.settings.time {
            UpstashTime::InScripts => Ok(String::new()),
            UpstashTime::Clock(clock) => Ok(clock.now_ms().to_string()),
            UpstashTime::Carried => Ok(self.carried().await?.to_string()),
        }
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
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        self.patience().run(action, step, || self.shared.http.command(&words)).await
    }

    async fn wait(&self, waiter: &Pace, _: &str, _: PopSide, at_most: Duration) -> Result<()> {
        tokio::time::sleep(waiter.interval(rand::random()).min(at_most)).await;
        Ok(())
    }

    fn claimed(&self, waiter: &Pace, claimed: &Claimed) {
        waiter.claimed(claimed);
    }

    fn cancel_interval(&self) -> Duration {
        Duration::from_secs(2)
    }

    async fn warnings(&self) -> Result<Vec<String>> {
        let words = ["CONFIG", "GET", "maxmemory-policy"];
        let policy = match self.command("ask for a setting", &words, Step::Repeatable).await {
            Ok(reply) => reply.texts().ok().and_then(|pair| pair.into_iter().nth(1)),
            Err(Error::Refused { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(match policy.as_deref() {
            Some("noeviction") => Vec::new(),
            Some(policy) => {
                vec![format!("maxmemory-policy is {policy}: the server may drop jobs; jobs need noeviction")]
            }
            None => vec!["make sure that eviction is off for this database: it can drop jobs".to_owned()],
        })
    }
}
