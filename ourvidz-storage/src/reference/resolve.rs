use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::rules::ReferenceRules;

/// Resolves names for references. What it answers is checked, and only what was checked is connected to.
#[async_trait]
pub trait Lookup: Send + Sync + std::fmt::Debug {
    /// The addresses of `host`.
    ///
    /// # Errors
    /// The name server's.
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// The resolver of the HTTP client: one look-up for each connection, of which the permitted addresses remain.
/// The client does not ask it for hosts that are addresses; [`ReferenceRules::check`] does.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    pub(super) rules: Arc<ReferenceRules>,
    pub(super) lookup: Arc<dyn Lookup>,
}

/// Why there is no address to connect to. Found again in the sources of the client's error.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAddress {
    #[error("the name was not resolved")]
    Unresolved,
    #[error("every address of the name is refused")]
    Refused,
}

impl Guard {
    pub(super) async fn addresses(&self, host: &str) -> Result<Vec<SocketAddr>, NoAddress> {
        let found = match self.lookup.lookup(host).await {
            Ok(found) if !found.is_empty() => found,
            Ok(_) => return Err(NoAddress::Unresolved),
            Err(error) => {
                tracing::debug!(host, %error, "a reference's host was not resolved");
                return Err(NoAddress::Unresolved);
            }
        };
        let (permitted, refused): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|address| self.rules.permits(host, *address));
        if !refused.is_empty() {
            tracing::debug!(host, ?refused, "a reference's host has addresses that are not connected to");
        }
        match permitted.is_empty() {
            true => Err(NoAddress::Refused),
            // The client puts the URL's port in the place of 0.
            false => Ok(permitted.into_iter().map(|address| SocketAddr::new(address, 0)).collect()),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let addresses = guard.addresses(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
