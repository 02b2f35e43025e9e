use std::net::IpAddr;

use url::{Host, Url};

use super::address::is_public;
use super::host_rule::HostRule;

/// Which hosts references may come from. The default is every public host, over https on port 443.
#[derive(Debug, Clone, Default)]
pub struct ReferenceRules {
    /// Whether plain http on port 80 is taken from every permitted host.
    pub allow_http: bool,
    /// Ports besides those of the schemes, for every permitted host.
    pub ports: Vec<u16>,
    /// Hosts that may have private addresses. A host on this list is reached on its entry's port only, and one
    /// with the entry `http://` without TLS. A network also opens the names that resolve into it.
    pub private: Vec<HostRule>,
    /// If not empty: the only hosts, besides those of `private`. They still need public addresses. A network
    /// here is for addresses in URLs; it admits no names.
    pub only: Vec<HostRule>,
}

const PUBLIC_ADDRESS: &str = "the host must have a public address";

impl ReferenceRules {
    /// Everything about a URL that is known before its name is resolved. It is asked at every hop.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(super) fn check(&self, url: &Url) -> Result<(), &'static str> {
        let host = url.host().ok_or("a URL must name a host")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL must not hold a user name or password");
        }
        let private = self.private.iter().filter(|rule| rule.matches(&host));
        let listed: Vec<&HostRule> =
            private.clone().chain(self.only.iter().filter(|rule| rule.matches(&host))).collect();
        if !self.only.is_empty() && listed.is_empty() {
            return Err("the host is not on the list of permitted hosts");
        }
        if private.count() == 0 {
            check_public(&host)?;
        }
        self.check_port(url, &listed)
    }

    fn check_port(&self, url: &Url, listed: &[&HostRule]) -> Result<(), &'static str> {
        let (by_tls, usual) = match url.scheme() {
            "https" => (true, 443),
            "http" => (false, 80),
            _ => return Err("a URL must be https"),
        };
        let port = url.port().unwrap_or(usual);
        let rules: Vec<_> =
            listed.iter().filter(|rule| by_tls || self.allow_http || rule.allows_http()).collect();
        if !by_tls && !self.allow_http && rules.is_empty() {
            return Err("a URL must be https");
        }
        let is_usual = port == usual || self.ports.contains(&port);
        let permitted = match rules.is_empty() {
            true => is_usual,
            false => rules.iter().any(|rule| rule.port().map_or(is_usual, |own| own == port)),
        };
        if permitted { Ok(()) } else { Err("the port is not permitted for this host") }
    }

    /// Whether `name` may be reached at `address`.
    pub(super) fn permits(&self, name: &str, address: IpAddr) -> bool {
        let (name, literal) = (Host::Domain(name), address_host(address));
        is_public(address) || self.private.iter().any(|rule| rule.matches(&name) || rule.matches(&literal))
    }
}

/// `IpAddr` as the host of a URL.
pub(super) fn address_host(address: IpAddr) -> Host<&'static str> {
    match address {
        IpAddr::V4(address) => Host::Ipv4(address),
        IpAddr::V6(address) => Host::Ipv6(address),
    }
}

fn check_public(host: &Host<&str>) -> Result<(), &'static str> {
    let public = match host {
        Host::Ipv4(address) => is_public(IpAddr::V4(*address)),
        Host::Ipv6(address) => is_public(IpAddr::V6(*address)),
        Host::Domain(name) => return check_name(name),
    };
    if public { Ok(()) } else { Err(PUBLIC_ADDRESS) }
}

/// Refuses the names that only private networks resolve, whatever they would resolve to.
fn check_name(name: &str) -> Result<(), &'static str> {
    const PRIVATE: [&str; 10] = [
        "localhost",
        "local",
        "internal",
        "localdomain",
        "lan",
        "intranet",
        "corp",
        "home",
        "private",
        "arpa",
    ];
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.rsplit_once('.') {
        None => Err("the host must be a public name, with a dot"),
        Some((_, last)) if PRIVATE.contains(&last) => Err("the host must be a public name"),
        Some(_) => Ok(()),
    }
}
