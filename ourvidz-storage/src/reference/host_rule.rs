use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use url::Host;

use crate::Error;

/// A host or several, with a scheme and a port: `host`, `host:port`, `*.suffix` (not the suffix itself), an
/// address (`10.0.0.5:9000`, `[fd00::5]:9000`) or a network (`10.0.0.0/8`). `http://` before it permits http.
/// Without a port it is that of the scheme.
///
/// ```
/// # use ourvidz_storage::HostRule;
/// # fn main() -> Result<(), ourvidz_storage::Error> {
/// let minio: HostRule = "http://minio:9000".parse()?;
/// let offices: HostRule = "*.pictures.example".parse()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRule {
    http: bool,
    host: Pattern,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Name(String),
    Below(String),
    Network(IpNet),
}

impl HostRule {
    pub(super) fn matches(&self, host: &Host<&str>) -> bool {
        match (&self.host, host) {
            (Pattern::Name(own), Host::Domain(name)) => undotted(name) == own,
            (Pattern::Below(suffix), Host::Domain(name)) => {
                let above = undotted(name).strip_suffix(suffix.as_str());
                above.is_some_and(|above| above.len() > 1 && above.ends_with('.'))
            }
            (Pattern::Network(net), Host::Ipv4(address)) => net.contains(&IpAddr::V4(*address)),
            (Pattern::Network(net), Host::Ipv6(address)) => net.contains(&IpAddr::V6(*address)),
            _ => false,
        }
    }

    pub(super) fn allows_http(&self) -> bool {
        self.http
    }

    pub(super) fn port(&self) -> Option<u16> {
        self.port
    }
}

/// # Errors
/// [`Error::Setting`].
impl FromStr for HostRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).ok_or_else(|| Error::Setting {
            field: "reference host",
            rule: "must be [http://]host[:port], *.suffix, an address or a network such as 10.0.0.0/8",
            value: text.to_owned(),
        })
    }
}

/// As [`HostRule::from_str`] reads it.
impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.http {
            f.write_str("http://")?;
        }
        match &self.host {
            Pattern::Name(name) => f.write_str(name)?,
            Pattern::Below(suffix) => write!(f, "*.{suffix}")?,
            Pattern::Network(net) if self.port.is_some() && net.addr().is_ipv6() => {
                write!(f, "[{}]", net.addr())?
            }
            Pattern::Network(net) if self.port.is_some() => write!(f, "{}", net.addr())?,
            Pattern::Network(net) => write!(f, "{net}")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

fn parse(text: &str) -> Option<HostRule> {
    let (http, rest) = match text.strip_prefix("http://") {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix("https://").unwrap_or(text)),
    };
    if let Some(net) = network(rest) {
        return Some(HostRule { http, host: Pattern::Network(net), port: None });
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !rest.ends_with(']') => (host, Some(port.parse().ok().filter(|p| *p != 0)?)),
        _ => (rest, None),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match (bare, host.strip_prefix("*.")) {
        (Some(address), _) => Pattern::Network(network(address).filter(|net| net.addr().is_ipv6())?),
        (None, Some(suffix)) => Pattern::Below(name(suffix)?),
        (None, None) => match network(host).filter(|net| net.addr().is_ipv4()) {
            Some(net) => Pattern::Network(net),
            None => Pattern::Name(name(host)?),
        },
    };
    Some(HostRule { http, host, port })
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse().ok().map(|address: IpAddr| address.into()))
}

/// A name as the URL parser spells it: lower case, Punycode.
fn name(text: &str) -> Option<String> {
    match Host::parse(text).ok()? {
        Host::Domain(name) if !undotted(&name).is_empty() && !name.contains('*') => {
            Some(undotted(&name).to_owned())
        }
        _ => None,
    }
}

fn undotted(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use url::Url;

    #[test]
    fn rules_match_what_they_say() {
        let cases: [(&str, &[&str], &[&str]); 7] = [
            ("minio", &["minio", "MINIO", "minio."], &["minio.example", "xminio", "1.2.3.4"]),
            ("*.a.example", &["b.a.example", "c.b.a.example."], &["a.example", "xa.example", ".a.example"]),
            ("10.0.0.0/8", &["10.1.2.3"], &["11.1.2.3", "[::ffff:10.1.2.3]", "ten.example"]),
            ("10.0.0.5:9000", &["10.0.0.5"], &["10.0.0.6"]),
            ("[fd00::5]:9000", &["[fd00::5]"], &["[fd00::6]"]),
            ("fd00::/8", &["[fd00::5]"], &["[fe80::5]"]),
            ("http://bücher.example", &["xn--bcher-kva.example", "BÜCHER.example"], &["bucher.example"]),
        ];
        for (rule, inside, outside) in cases {
            let parsed: HostRule = rule.parse().unwrap();
            assert_eq!(parsed.to_string().parse::<HostRule>().unwrap(), parsed, "{parsed}");
            let matches = |host: &&str| {
                let url = Url::parse(&format!("http://{host}/")).unwrap();
                parsed.matches(&url.host().unwrap())
            };
            assert!(inside.iter().all(matches), "{rule}");
            assert!(!outside.iter().any(matches), "{rule}");
        }
        assert_eq!("minio:9000".parse::<HostRule>().unwrap().port(), Some(9000));
        assert!("http://minio:9000".parse::<HostRule>().unwrap().allows_http());
        assert!(!"https://minio".parse::<HostRule>().unwrap().allows_http());
    }

    #[test]
    fn what_is_no_host_is_no_rule() {
        let texts = [
            "",
            "*",
            "*.",
            "a*b",
            "*.*",
            ".",
            "a b",
            "a/b",
            "u@a",
            "a:",
            "a:0",
            "a:65536",
            "a:b",
            "10.0.0.0/33",
            "2130706433",
            "[10.0.0.1]",
            "[fd00::1",
            "ftp://a",
            "a?b",
            "a#b",
        ];
        for text in texts {
            let error = text.parse::<HostRule>().unwrap_err();
            assert!(error.to_string().starts_with("reference host must be"), "{text}");
            assert!(!error.retryable());
        }
    }
}
