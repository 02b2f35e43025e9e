use std::fmt;
use std::time::Duration;

use secrecy::SecretString;
use url::{Host, Url};

use crate::signature::{CallbackSecret, WebhookSecret};
use crate::{Error, Result};

/// Where callbacks go, and what proves who sends them. Checked by
/// [`CallbackSender::new`](super::CallbackSender::new).
///
/// The address is the operator's, not a user's, so private addresses are allowed.
pub struct CallbackTarget {
    /// `https`, without user name and password. `http` only to a loopback address, or with `allow_http`.
    pub url: String,
    /// Sent as `Authorization: Bearer`. Visible ASCII. Default none.
    pub bearer: Option<SecretString>,
    /// Signs [`CALLBACK_SIGNATURE`](crate::signature::CALLBACK_SIGNATURE). Default none.
    pub callback_secret: Option<CallbackSecret>,
    /// Sign the headers of Standard Webhooks, all of them while one is rotated; without any, those headers are
    /// not sent. Default none.
    pub webhook_secrets: Vec<WebhookSecret>,
    /// For one delivery, from the connection to the answer's head. 1 ms to 5 min. Default 30 s.
    pub timeout: Duration,
    /// Whether secrets and results may travel unencrypted to another machine. Default no.
    pub allow_http: bool,
}

const MAX_TIMEOUT: Duration = Duration::from_secs(300);

impl CallbackTarget {
    /// This address, no secrets.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            bearer: None,
            callback_secret: None,
            webhook_secrets: Vec::new(),
            timeout: Duration::from_secs(30),
            allow_http: false,
        }
    }

    /// The edge function `job-callback` of a Supabase project, `{project_url}/functions/v1/job-callback`, with
    /// the service key as bearer key.
    pub fn supabase(project_url: &str, service_key: SecretString) -> Self {
        let url = format!("{}/functions/v1/job-callback", project_url.trim_end_matches('/'));
        Self { bearer: Some(service_key), ..Self::new(url) }
    }

    /// The address, if it and the time limit keep the rules above.
    pub(super) fn endpoint(&self) -> Result<Url> {
        let invalid =
            |rule| Err(Error::InvalidOption { name: "callback URL", rule, value: shown(&self.url) });
        let Ok(url) = Url::parse(&self.url) else { return invalid("must be an absolute URL") };
        if !url.username().is_empty() || url.password().is_some() {
            return invalid("must hold no user name and no password");
        }
        match (url.scheme(), url.host()) {
            ("https", Some(_)) => {}
            ("http", Some(host)) if self.allow_http || is_loopback(&host) => {}
            ("http", _) => return invalid("must be https, unless the host is loopback or http is allowed"),
            _ => return invalid("must be https"),
        }
        if self.timeout < Duration::from_millis(1) || self.timeout > MAX_TIMEOUT {
            let value = format!("{:?}", self.timeout);
            return Err(Error::InvalidOption {
                name: "callback timeout",
                rule: "must be 1 ms to 5 min",
                value,
            });
        }
        Ok(url)
    }
}

impl fmt::Debug for CallbackTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |is_set: bool| if is_set { "hidden" } else { "none" };
        f.debug_struct("CallbackTarget")
            .field("url", &shown(&self.url))
            .field("bearer", &hidden(self.bearer.is_some()))
            .field("callback_secret", &hidden(self.callback_secret.is_some()))
            .field("webhook_secrets", &self.webhook_secrets.len())
            .field("timeout", &self.timeout)
            .field("allow_http", &self.allow_http)
            .finish()
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => name.trim_end_matches('.') == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// The address without what may be secret in it, whether it is a URL or not: what stands before an `@`, and
/// the query.
fn shown(url: &str) -> String {
    let rest = match url.rsplit_once('@') {
        Some((_, rest)) => format!("(hidden)@{rest}"),
        None => url.to_owned(),
    };
    rest.split(['?', '#']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
