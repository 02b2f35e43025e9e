//! Signatures of callbacks: the receiver's own header, and the three of Standard Webhooks.
//!
//! Both are HMAC-SHA256 over the exact bytes sent: serialise a body once, sign those bytes, send those bytes.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{Error, Result};

/// The header a [`CallbackSecret`] signs: `sha256=` and 64 lower-case hexadecimal digits.
pub const CALLBACK_SIGNATURE: &str = "X-Callback-Signature";

/// The secret shared with the callback receiver (`JOB_CALLBACK_SECRET`), used as it is written.
pub struct CallbackSecret {
    key: Vec<u8>,
}

/// A Standard Webhooks secret: `whsec_` and base64 of 24 to 64 bytes.
pub struct WebhookSecret {
    key: Vec<u8>,
}

/// The three headers of Standard Webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookHeaders {
    /// `webhook-id`: the same for every delivery of one callback.
    pub id: String,
    /// `webhook-timestamp`: seconds since 1970, fresh for every delivery.
    pub timestamp: String,
    /// `webhook-signature`: `v1,` and base64; several, separated by spaces, while a secret is rotated.
    pub signature: String,
}

impl CallbackSecret {
    /// Takes the secret as written.
    ///
    /// # Errors
    /// [`Error::InvalidSecret`] if it is empty.
    pub fn new(secret: &str) -> Result<Self> {
        match secret {
            "" => Err(Error::InvalidSecret { name: "callback secret", rule: "must not be empty" }),
            _ => Ok(Self { key: secret.as_bytes().to_vec() }),
        }
    }

    /// The value of [`CALLBACK_SIGNATURE`] for these bytes.
    pub fn header(&self, body: &[u8]) -> String {
        let digits: String = sign(&self.key, &[body]).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256={digits}")
    }
}

impl WebhookSecret {
    /// Decodes a secret; the prefix `whsec_` may be left out.
    ///
    /// # Errors
    /// [`Error::InvalidSecret`] if it is not base64 or has fewer than 24 or more than 64 bytes.
    pub fn new(secret: &str) -> Result<Self> {
        let invalid = |rule| Error::InvalidSecret { name: "webhook secret", rule };
        let encoded = secret.trim();
        let key = STANDARD
            .decode(encoded.strip_prefix("whsec_").unwrap_or(encoded))
            .map_err(|_| invalid("must be whsec_ and base64"))?; // The cause would quote the secret.
        match key.len() {
            24..=64 => Ok(Self { key }),
            _ => Err(invalid("must be 24 to 64 bytes before base64")),
        }
    }

    /// The headers of one delivery, signed with this secret alone; see [`WebhookHeaders::signed`].
    ///
    /// # Errors
    /// [`Error::InvalidHeader`] if `id` is empty, holds a dot (which separates what is signed) or anything but
    /// visible ASCII.
    pub fn headers(&self, id: &str, timestamp: u64, body: &[u8]) -> Result<WebhookHeaders> {
        WebhookHeaders::signed(std::slice::from_ref(self), id, timestamp, body)
    }
}

impl WebhookHeaders {
    /// The headers of one delivery, with one signature per secret, in their order: while a secret is rotated,
    /// receivers that know the old one and receivers that know the new one both find theirs. `id` stays the
    /// same across retries, `timestamp` (seconds since 1970) is that of this delivery.
    ///
    /// # Errors
    /// [`Error::InvalidSecret`] if there is no secret; [`Error::InvalidHeader`] as
    /// [`WebhookSecret::headers`].
    pub fn signed(secrets: &[WebhookSecret], id: &str, timestamp: u64, body: &[u8]) -> Result<Self> {
        if secrets.is_empty() {
            return Err(Error::InvalidSecret { name: "webhook secrets", rule: "must be at least one" });
        }
        let rule = "must be visible ASCII without a dot";
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_graphic() && b != b'.') {
            return Err(Error::InvalidHeader { name: "webhook-id", rule, value: id.to_owned() });
        }
        let timestamp = timestamp.to_string();
        let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        let signatures: Vec<_> = secrets
            .iter()
            .map(|secret| format!("v1,{}", STANDARD.encode(sign(&secret.key, &parts))))
            .collect();
        Ok(Self { id: id.to_owned(), timestamp, signature: signatures.join(" ") })
    }

    /// Names and values as they go on the wire.
    pub fn pairs(&self) -> [(&'static str, &str); 3] {
        [
            ("webhook-id", &self.id),
            ("webhook-timestamp", &self.timestamp),
            ("webhook-signature", &self.signature),
        ]
    }
}

impl fmt::Debug for CallbackSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallbackSecret(hidden)")
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(hidden)")
    }
}

/// HMAC-SHA256 of the parts, one after the other.
fn sign(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // RFC 2104 replaces a key longer than a block by its hash; the fixed-size constructor cannot fail then.
    const BLOCK: usize = 64;
    let mut block = [0_u8; BLOCK];
    if key.len() > BLOCK {
        let hash = <Sha256 as sha2::Digest>::digest(key);
        block[..hash.len()].copy_from_slice(&hash);
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests;
