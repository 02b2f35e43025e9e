use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, LOCATION};
use reqwest::{Client, Response, StatusCode, redirect};
use tokio::time::timeout;
use url::{Host, Url};

use super::limits::ReferenceLimits;
use super::picture::Reference;
use super::problem::{Failure, ReferenceProblem};
use super::resolve::{Guard, Lookup, NoAddress, SystemLookup};
use super::rules::ReferenceRules;
use super::source::{Source, shown};
use crate::{Error, Result, Storage, StorageKey};

/// Fetches the pictures that jobs name, from public hosts and from storage.
///
/// ```no_run
/// # use ourvidz_storage::{ReferenceFetcher, ReferenceLimits};
/// # async fn example() -> ourvidz_storage::Result<()> {
/// let fetcher = ReferenceFetcher::builder().build()?;
/// let reference = fetcher.fetch("https://pictures.example.com/cat.png").await?;
/// let picture = reference.decode(&ReferenceLimits::default()).await?;
/// assert_eq!(picture.dimensions(), (reference.width, reference.height));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ReferenceFetcher {
    client: Client,
    guard: Guard,
    limits: ReferenceLimits,
    storage: Option<Arc<dyn Storage>>,
}

/// Options of a [`ReferenceFetcher`].
#[derive(Debug, Default)]
pub struct ReferenceFetcherBuilder {
    rules: ReferenceRules,
    limits: ReferenceLimits,
    storage: Option<Arc<dyn Storage>>,
    lookup: Option<Arc<dyn Lookup>>,
}

impl ReferenceFetcherBuilder {
    /// Which hosts are permitted. Default: every public one.
    pub fn rules(self, rules: ReferenceRules) -> Self {
        Self { rules, ..self }
    }

    /// How much a reference may cost.
    pub fn limits(self, limits: ReferenceLimits) -> Self {
        Self { limits, ..self }
    }

    /// Where references that are paths, `bucket/key`, are read. Default: they are refused.
    pub fn storage(self, storage: Arc<dyn Storage>) -> Self {
        Self { storage: Some(storage), ..self }
    }

    /// Another resolver than [`SystemLookup`].
    pub fn lookup(self, lookup: Arc<dyn Lookup>) -> Self {
        Self { lookup: Some(lookup), ..self }
    }

    /// Makes the client. It uses no proxy, whatever the environment says, and keeps no connection open.
    ///
    /// # Errors
    /// [`Error::Reference`] if TLS cannot be set up: the system has no root certificates.
    pub fn build(self) -> Result<ReferenceFetcher> {
        let lookup = self.lookup.unwrap_or_else(|| Arc::new(SystemLookup));
        let guard = Guard { rules: Arc::new(self.rules), lookup };
        let client = Client::builder()
            .user_agent(concat!("ourvidz/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(guard.clone()))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .http1_only()
            .connect_timeout(self.limits.connect_timeout)
            // A connection that is kept would be used again without a look-up.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| Failure::of(ReferenceProblem::Protocol, error).named("client"))?;
        Ok(ReferenceFetcher { client, guard, limits: self.limits, storage: self.storage })
    }
}

impl ReferenceFetcher {
    /// Options, with their defaults.
    pub fn builder() -> ReferenceFetcherBuilder {
        ReferenceFetcherBuilder::default()
    }

    /// The limits it was built with.
    pub fn limits(&self) -> &ReferenceLimits {
        &self.limits
    }

    /// Fetches `reference`, an https URL or a path in storage (`bucket/key`, with or without a leading `/`), and
    /// checks its header. Nothing is retried.
    ///
    /// # Errors
    /// [`Error::Reference`]; [`Error::retryable`] says whether to try again.
    pub async fn fetch(&self, reference: &str) -> Result<Reference> {
        let name = shown(reference);
        let limit = self.limits.fetch_timeout;
        let bytes = match timeout(limit, self.bytes(reference)).await {
            Ok(bytes) => bytes,
            Err(_) => Err(ReferenceProblem::TimedOut { limit }.into()),
        };
        let read = match bytes {
            Ok(bytes) => Reference::read(&name, bytes, &self.limits).await,
            Err(failure) => Err(failure),
        };
        read.map_err(|failure| {
            tracing::debug!(reference = name, problem = %failure.problem, "a reference was not fetched");
            failure.named(&name)
        })
    }

    /// Checks all that can be known without connecting: the rules, and that the host's name has a permitted
    /// address now. [`ReferenceFetcher::fetch`] checks it all again.
    ///
    /// # Errors
    /// As [`ReferenceFetcher::fetch`].
    pub async fn check(&self, reference: &str) -> Result<()> {
        let checked = async {
            match self.source(reference)? {
                Source::Stored(_) => Ok(()),
                Source::Url(url) => match url.host() {
                    Some(Host::Domain(name)) => match self.guard.addresses(name).await {
                        Ok(_) => Ok(()),
                        Err(none) => Err(Failure::from(no_address(&none, 0))),
                    },
                    _ => Ok(()),
                },
            }
        };
        let limit = self.limits.connect_timeout;
        let checked = timeout(limit, checked).await;
        checked
            .unwrap_or_else(|_| Err(ReferenceProblem::TimedOut { limit }.into()))
            .map_err(|failure| failure.named(&shown(reference)))
    }

    fn source(&self, reference: &str) -> Result<Source, ReferenceProblem> {
        let source = Source::parse(reference)?;
        match &source {
            Source::Url(url) => self.check_hop(url, 0)?,
            Source::Stored(_) if self.storage.is_none() => return Err(ReferenceProblem::NoStorage),
            Source::Stored(_) => {}
        }
        Ok(source)
    }

    async fn bytes(&self, reference: &str) -> Result<Bytes, Failure> {
        match self.source(reference)? {
            Source::Url(url) => self.download(url).await,
            Source::Stored(key) => self.stored(&key).await,
        }
    }

    async fn stored(&self, key: &StorageKey) -> Result<Bytes, Failure> {
        let storage = self.storage.as_ref().ok_or(ReferenceProblem::NoStorage)?;
        storage.get(key).await.map_err(|error| match error {
            Error::NotFound { .. } => ReferenceProblem::NotStored.into(),
            error => Failure::of(ReferenceProblem::Storage { retryable: error.retryable() }, error),
        })
    }

    async fn download(&self, mut url: Url) -> Result<Bytes, Failure> {
        for redirects in 0..=self.limits.max_redirects {
            self.check_hop(&url, redirects)?;
            let request = self.client.get(url.clone());
            let request = request.header(ACCEPT, "image/png, image/jpeg, image/webp");
            let response = request.header(ACCEPT_ENCODING, "identity").send().await;
            let response = response.map_err(|error| self.broken(error, redirects))?;
            match next_hop(&url, &response)? {
                Some(next) => url = next,
                None => return self.body(response).await,
            }
        }
        Err(ReferenceProblem::TooManyRedirects { limit: self.limits.max_redirects }.into())
    }

    fn check_hop(&self, url: &Url, redirects: u32) -> Result<(), ReferenceProblem> {
        self.guard.rules.check(url).map_err(|rule| refused(rule, redirects))
    }

    async fn body(&self, mut response: Response) -> Result<Bytes, Failure> {
        let limit = self.limits.max_bytes;
        if response.status() != StatusCode::OK {
            return Err(ReferenceProblem::Status { status: response.status().as_u16() }.into());
        }
        if response.headers().get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(ReferenceProblem::ContentEncoding.into());
        }
        if response.content_length().is_some_and(|announced| announced > limit as u64) {
            return Err(ReferenceProblem::TooLarge { limit }.into());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(error, 0))? {
            if chunk.len() > limit - body.len() {
                return Err(ReferenceProblem::TooLarge { limit }.into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// The client's error holds the URL and, in its sources, the address; it goes to the log without the URL
    /// and is not kept as a source.
    fn broken(&self, error: reqwest::Error, redirects: u32) -> Failure {
        let error = error.without_url();
        tracing::debug!(?error, "a reference's connection failed");
        let problem = if let Some(none) = in_sources::<NoAddress>(&error, |_| true) {
            no_address(none, redirects)
        } else if error.is_timeout() {
            ReferenceProblem::TimedOut { limit: self.limits.connect_timeout }
        } else if in_sources::<io::Error>(&error, |io| io.kind() == io::ErrorKind::InvalidData).is_some() {
            // How TLS reports what the other side sent.
            ReferenceProblem::Protocol
        } else {
            ReferenceProblem::Connection
        };
        problem.into()
    }
}

fn refused(rule: &'static str, redirects: u32) -> ReferenceProblem {
    match redirects {
        0 => ReferenceProblem::Refused { rule },
        _ => ReferenceProblem::RedirectRefused { rule },
    }
}

fn no_address(none: &NoAddress, redirects: u32) -> ReferenceProblem {
    match none {
        NoAddress::Unresolved => ReferenceProblem::Unresolved,
        NoAddress::Refused => refused("the host must have a public address", redirects),
    }
}

/// Where a redirect leads, if the response is one.
fn next_hop(url: &Url, response: &Response) -> Result<Option<Url>, ReferenceProblem> {
    let status = response.status().as_u16();
    let location = match (status, response.headers().get(LOCATION)) {
        (301 | 302 | 303 | 307 | 308, Some(location)) => location,
        _ => return Ok(None),
    };
    let next = location.to_str().ok().and_then(|location| url.join(location).ok());
    let mut next = next.ok_or(refused("the place it leads to is not a URL", 1))?;
    if url.scheme() == "https" && next.scheme() != "https" {
        return Err(refused("https must not lead to another scheme", 1));
    }
    next.set_fragment(None);
    Ok(Some(next))
}

fn in_sources<'a, E: StdError + 'static>(
    error: &'a (dyn StdError + 'static),
    wanted: impl Fn(&E) -> bool,
) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>().filter(|found| wanted(found)) {
            return Some(found);
        }
        // An I/O error names the source of what it wraps, not what it wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = wrapped.map(|wrapped| wrapped as _).or_else(|| error.source());
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn redirect(from: &str, to: &str) -> Result<Option<Url>, ReferenceProblem> {
        let response = axum::http::Response::builder().status(302).header(LOCATION, to).body("").unwrap();
        next_hop(&Url::parse(from).unwrap(), &Response::from(response))
    }

    #[test]
    fn https_leads_to_https_only() {
        for to in ["http://a.example/b", "ftp://a.example/b", "data:image/png,x", "file:///etc/passwd"] {
            let problem = redirect("https://a.example/a", to).unwrap_err();
            assert!(problem.to_string().contains("https must not lead"), "{to}");
        }
        for (to, expected) in [
            ("//b.example/b?c", "https://b.example/b?c"),
            ("/b#c", "https://a.example/b"),
            ("b", "https://a.example/x/b"),
            ("https://b.example", "https://b.example/"),
        ] {
            assert_eq!(redirect("https://a.example/x/a", to).unwrap().unwrap().as_str(), expected);
        }
        let upgraded = redirect("http://a.example/", "https://a.example/").unwrap().unwrap();
        assert_eq!(upgraded.scheme(), "https");
    }
}
