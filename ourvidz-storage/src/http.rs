use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;

use crate::{Error, Result};

/// Limits of a remote store's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection, TLS included. Default 10 s.
    pub connect: Duration,
    /// For one request with its reply; of a download, for each piece instead. Default 60 s.
    pub request: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), request: Duration::from_secs(60) }
    }
}

/// A client that follows no redirect, because it would take the credentials elsewhere, and that reads no
/// proxy from the environment.
pub(crate) fn client(timeouts: &Timeouts) -> Result<Client> {
    let client = Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(timeouts.connect)
        .read_timeout(timeouts.request)
        .user_agent(concat!("ourvidz/", env!("CARGO_PKG_VERSION")))
        .build();
    client.map_err(|error| Error::Setting {
        field: "storage TLS",
        rule: "must be usable by the HTTP client",
        value: error.to_string(),
    })
}
