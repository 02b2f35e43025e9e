use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, Value};

use crate::lua::{Failure, Header, Reply, failure_of_text};

/// One connection, and what its server is.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) inner: MultiplexedConnection,
    pub(super) header: Header,
    /// Tells connections apart, so that an error of an old one does not close its successor.
    pub(super) number: u64,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The oldest version that has `BLMOVE` and `EXISTS` counts as used here.
const OLDEST: (u32, u32) = (6, 2);

impl Connection {
    /// `response: None` is for commands that block.
    pub(super) async fn open(
        client: &Client,
        connect: Duration,
        response: Option<Duration>,
    ) -> Result<Self, Failure> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(connect)).set_response_timeout(response);
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let inner = connecting.await.map_err(|error| failure(error, Failure::NotDone))?;
        Ok(Self { inner, header: Header::None, number: NEXT.fetch_add(1, Ordering::Relaxed) })
    }

    /// Asks the server what it is. One that does not tell is taken for an old one.
    pub(super) async fn identify(&mut self) -> Result<(), Failure> {
        let mut ask = redis::cmd("INFO");
        ask.arg("server");
        let info = match ask.query_async(&mut self.inner).await.map(reply) {
            Ok(Reply::Text(text)) => String::from_utf8_lossy(&text).into_owned(),
            Ok(_) => return Ok(()),
            // Not allowed, or not known here.
            Err(error) if matches!(error.code(), Some("NOPERM" | "ERR")) => return Ok(()),
            Err(error) => return Err(failure(error, Failure::NotDone)),
        };
        let Some(version) = info_field(&info, "redis_version") else { return Ok(()) };
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        let version_number = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if version_number < OLDEST {
            return Err(Failure::Refused(
                format!("the server is Redis {version}, and 6.2 or newer is needed").into(),
            ));
        }
        let is_redis =
            !["valkey_version", "dragonfly_version"].iter().any(|key| info_field(&info, key).is_some());
        if version_number.0 >= 7 && is_redis {
            self.header = Header::Lua;
        }
        Ok(())
    }

    pub(super) async fn send(&mut self, command: &Cmd) -> Result<Reply, Failure> {
        match command.query_async(&mut self.inner).await {
            Ok(value) => Ok(reply(value)),
            Err(error) => Err(failure(error, Failure::Unknown)),
        }
    }
}

/// The value of `name:value` in the text of `INFO`.
pub(super) fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = info.lines().filter_map(|line| line.trim_end().split_once(':'));
    lines.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// `transport` says what an error of the connection means at this point.
pub(super) fn failure(
    error: RedisError,
    transport: fn(Box<dyn std::error::Error + Send + Sync>) -> Failure,
) -> Failure {
    match (error.kind(), error.code()) {
        (_, Some(code)) => {
            let text = format!("{code} {}", error.detail().unwrap_or_default());
            failure_of_text(&text, Box::new(error))
        }
        (ErrorKind::AuthenticationFailed, None) => {
            // The reply to AUTH is quoted; a server that is loading has not looked at the password.
            let text = error.detail().unwrap_or_default().to_owned();
            failure_of_text(&text, Box::new(error))
        }
        (ErrorKind::InvalidClientConfig | ErrorKind::RESP3NotSupported, None) => {
            Failure::Refused(Box::new(error))
        }
        _ => transport(Box::new(error)),
    }
}

pub(super) fn reply(value: Value) -> Reply {
    match value {
        Value::Nil => Reply::Nil,
        Value::Int(number) => Reply::Int(number),
        Value::Boolean(yes) => Reply::Int(i64::from(yes)),
        Value::BulkString(bytes) => Reply::Text(bytes),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Reply::Text(text.into_bytes()),
        Value::Okay => Reply::Text(b"OK".to_vec()),
        Value::Double(number) => Reply::Text(number.to_string().into_bytes()),
        Value::Array(items) | Value::Set(items) => Reply::List(items.into_iter().map(reply).collect()),
        Value::Map(pairs) => {
            Reply::List(pairs.into_iter().flat_map(|(key, value)| [reply(key), reply(value)]).collect())
        }
        other => Reply::Text(format!("{other:?}").into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_info() {
        let info = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n";
        assert_eq!(info_field(info, "redis_version"), Some("7.0.15"));
        assert_eq!(info_field(info, "redis"), None);
    }
}
