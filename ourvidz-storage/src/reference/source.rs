use url::{Host, Url};

use super::problem::ReferenceProblem;
use crate::{Error, StorageKey};

/// Longest reference, in bytes. Signed URLs have about 600.
const MAX_LEN: usize = 8192;

/// What a reference names.
#[derive(Debug)]
pub(super) enum Source {
    Url(Url),
    Stored(StorageKey),
}

impl Source {
    /// Reads a reference as its user wrote it. A URL is not checked against the rules here.
    ///
    /// # Errors
    /// [`ReferenceProblem::Refused`].
    pub(super) fn parse(reference: &str) -> Result<Self, ReferenceProblem> {
        let parsed = match scheme_and_rest(reference) {
            _ if reference.is_empty() => Err("must not be empty"),
            _ if reference.len() > MAX_LEN => Err("must have at most 8192 bytes"),
            _ if reference.contains(|c: char| c.is_control() || c == '\\') => {
                Err("must not hold control characters or backslashes")
            }
            Some((scheme, rest)) => parse_url(reference, scheme, rest).map(Self::Url),
            None => parse_path(reference).map(Self::Stored),
        };
        parsed.map_err(|rule| ReferenceProblem::Refused { rule })
    }
}

/// What may be shown of a reference: scheme and host of a URL, as written, without user, port, path and query;
/// a path without what follows `?` or `#`. Signed URLs are secrets.
pub(super) fn shown(reference: &str) -> String {
    let cut = |text: &str, len: usize| text.chars().take(len).collect::<String>();
    match scheme_and_rest(reference) {
        Some((scheme, rest)) if rest.starts_with("//") => {
            let authority = authority(rest);
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            let end = match host.starts_with('[') {
                true => host.find(']').map(|at| at + 1),
                false => host.find(':'),
            };
            format!("{}://{}", cut(scheme, 16), cut(&host[..end.unwrap_or(host.len())], 255))
        }
        Some((scheme, _)) => format!("{}:", cut(scheme, 16)),
        None => cut(reference.split(['?', '#']).next().unwrap_or_default(), 255),
    }
}

fn scheme_and_rest(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    // `user@host:...` and the like are neither scheme nor bucket; they are shown up to the colon only.
    (is_scheme || !scheme.contains(['/', '?', '#'])).then_some((scheme, rest))
}

/// Of `//authority/...`.
fn authority(rest: &str) -> &str {
    rest.trim_start_matches('/').split(['/', '?', '#', '\\']).next().unwrap_or_default()
}

/// Stricter than the URL parser, which mends much: what looks like another host to a reader is refused.
fn parse_url(reference: &str, scheme: &str, rest: &str) -> Result<Url, &'static str> {
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return Err("must be an https URL or a path in storage, bucket/key");
    }
    if !rest.starts_with("//") || rest.starts_with("///") {
        return Err("a URL must begin with https:// and a host");
    }
    let authority = authority(rest);
    if authority.contains('@') {
        return Err("a URL must not hold a user name or password");
    }
    if authority.contains('%') {
        return Err("the host must not be percent-encoded");
    }
    if rest[2 + authority.len()..].starts_with('#') {
        return Err("the host must not be followed by '#'");
    }
    let mut url = Url::parse(reference).map_err(|_| "is not a URL")?;
    if let Some(Host::Ipv4(address)) = url.host() {
        let written = authority.split(':').next().unwrap_or_default();
        if written != address.to_string() {
            return Err("an address must be written as four decimal numbers");
        }
    }
    // A fragment is never sent.
    url.set_fragment(None);
    Ok(url)
}

fn parse_path(reference: &str) -> Result<StorageKey, &'static str> {
    let path = reference.strip_prefix('/').unwrap_or(reference);
    let (bucket, key) = path.split_once('/').ok_or("a path in storage must be bucket/key")?;
    StorageKey::new(bucket, key).map_err(|error| match error {
        Error::InvalidKey { rule, .. } => rule,
        _ => "is not a path in storage",
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_name_bucket_and_key() {
        for (text, bucket, path) in [
            ("user-library/u1/cat.png", "user-library", "u1/cat.png"),
            ("/user-library/u1/cat.png", "user-library", "u1/cat.png"),
            ("reference_images/u1/a b (1):2.webp", "reference_images", "u1/a b (1):2.webp"),
        ] {
            let Source::Stored(key) = Source::parse(text).unwrap() else { unreachable!("{text}") };
            assert_eq!((key.bucket(), key.path()), (bucket, path));
        }
    }

    #[test]
    fn a_fragment_is_dropped() {
        let Source::Url(url) = Source::parse("https://a.example/b.png?c#d").unwrap() else { unreachable!() };
        assert_eq!(url.as_str(), "https://a.example/b.png?c");
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        for (text, expected) in [
            ("https://a.example/secret.png?token=secret#secret", "https://a.example"),
            ("https://user:secret@a.example/x", "https://a.example"),
            ("https://user:sec/ret@a.example/x", "https://user"),
            ("https://a.example:8443?token=secret", "https://a.example"),
            ("HTTPS://[::1]:80/secret", "HTTPS://[::1]"),
            ("https:\\\\a.example\\secret", "https:"),
            ("data:image/png;base64,secret", "data:"),
            ("user@host:secret/x", "user@host:"),
            ("user-library/u1/cat.png?token=secret", "user-library/u1/cat.png"),
            ("a\nb", "a\nb"),
            ("", ""),
        ] {
            assert_eq!(shown(text), expected);
        }
    }
}
