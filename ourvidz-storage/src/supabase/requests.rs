//! One request to Supabase Storage: its URL, its credentials and what its reply means.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::SupabaseConfig;
use super::answer::Answer;
use crate::{Error, Result, StorageKey, Timeouts, http};

/// Everything but the unreserved characters. The server decodes the whole path, so this is always right.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The server signs the path after `decodeURI`, which leaves encoded reserved characters encoded: they
/// would no longer be the name of the file.
const ENCODED_TO_SIGN: &AsciiSet = &ENCODED
    .remove(b';')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b',');

pub(super) struct Requests {
    client: Client,
    /// Ends in `/storage/v1`.
    base: String,
    service_key: SecretString,
    apikey: HeaderValue,
    bearer: HeaderValue,
    timeouts: Timeouts,
}

impl Requests {
    pub(super) fn new(config: &SupabaseConfig) -> Result<Self> {
        let url = &config.url;
        let broken = |field, rule, value: &str| Error::Setting { field, rule, value: value.to_owned() };
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
            return Err(broken("supabase.url", "must be https://<project>.supabase.co", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            let rule = "must have neither user nor query: the key is given apart";
            return Err(broken("supabase.url", rule, url.host_str().unwrap_or_default()));
        }
        let path = url.path().trim_end_matches('/').trim_end_matches("/storage/v1");
        let base = format!("{}{path}/storage/v1", url.origin().ascii_serialization());
        let secret = |text: &str| {
            let mut value = HeaderValue::from_str(text).ok().filter(|_| !text.is_empty());
            value.iter_mut().for_each(|value| value.set_sensitive(true));
            let rule = "must be a key of visible ASCII characters";
            value.ok_or_else(|| broken("supabase.service_key", rule, "(secret)"))
        };
        let key = config.service_key.expose_secret();
        Ok(Self {
            client: http::client(&config.timeouts)?,
            base,
            service_key: config.service_key.clone(),
            apikey: secret(key)?,
            bearer: secret(&format!("Bearer {key}"))?,
            timeouts: config.timeouts,
        })
    }

    /// `{base}/{route}/{bucket}/{path}`.
    pub(super) fn url_of(&self, route: &str, key: &StorageKey) -> String {
        self.encoded(route, key, ENCODED)
    }

    pub(super) fn url_to_sign(&self, key: &StorageKey) -> String {
        self.encoded("object/sign", key, ENCODED_TO_SIGN)
    }

    /// `{base}/{route}`.
    pub(super) fn url(&self, route: &str) -> String {
        format!("{}/{route}", self.base)
    }

    fn encoded(&self, route: &str, key: &StorageKey, set: &'static AsciiSet) -> String {
        let mut url = format!("{}/{route}/{}", self.base, utf8_percent_encode(key.bucket(), set));
        for segment in key.path().split('/') {
            url.push('/');
            url.extend(utf8_percent_encode(segment, set));
        }
        url
    }

    pub(super) fn request(&self, method: Method, url: impl reqwest::IntoUrl) -> RequestBuilder {
        self.client
            .request(method, url)
            .header("apikey", self.apikey.clone())
            .header(AUTHORIZATION, self.bearer.clone())
    }

    /// Sends, and reads the whole reply.
    pub(super) async fn send(
        &self,
        action: &'static str,
        key: &StorageKey,
        request: RequestBuilder,
    ) -> Result<Result<Reply, Answer>> {
        let exchange = async {
            let response = request.timeout(self.timeouts.request).send().await?;
            self.reply(response).await
        };
        exchange.await.map_err(|error| network(action, key, error))
    }

    /// As [`Requests::send`], for replies that may take longer than one timeout as long as they flow.
    pub(super) async fn download(
        &self,
        action: &'static str,
        key: &StorageKey,
        request: RequestBuilder,
    ) -> Result<Result<Reply, Answer>> {
        let exchange = async { self.reply(request.send().await?).await };
        exchange.await.map_err(|error| network(action, key, error))
    }

    async fn reply(&self, response: Response) -> reqwest::Result<Result<Reply, Answer>> {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await?;
        Ok(match status.is_success() {
            true => Ok(Reply { headers, body }),
            false => Err(Answer::read(status, &headers, &body).without(self.service_key.expose_secret())),
        })
    }

    pub(super) fn with_token(&self, route: &str, key: &StorageKey, token: &str) -> Result<Url> {
        let url = Url::parse_with_params(&self.url_of(route, key), [("token", token)]);
        url.map_err(|error| Error::Unexpected {
            action: "sign",
            key: key.clone(),
            expected: "a URL".to_owned(),
            found: error.to_string(),
        })
    }
}

/// A success.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) body: Bytes,
}

fn network(action: &'static str, key: &StorageKey, error: reqwest::Error) -> Error {
    // The URL says no more than the key, and that of a resumable upload is a right to write.
    Error::Network { action, key: key.clone(), source: Box::new(error.without_url()) }
}
