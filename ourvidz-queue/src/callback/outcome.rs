use std::time::{Duration, UNIX_EPOCH};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// What became of one delivery. The module's page says what follows from each.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// 2xx: the receiver has it.
    Accepted {
        /// The status.
        status: u16,
    },
    /// 410: the receiver wants no more callbacks.
    Gone,
    /// 401 or 403: the bearer key or a secret is wrong; it can be mended.
    Unauthorized {
        /// The status.
        status: u16,
    },
    /// 400, 404, 405, 413, 414, 415 or 422: sending the same again is of use only if the receiver changes.
    Refused {
        /// The status.
        status: u16,
    },
    /// Any other status, or none.
    Failed {
        /// The status; `None` when no answer came.
        status: Option<u16>,
        /// What the receiver asks for with 429, 502, 503 or 504; 24 h at most.
        retry_after: Option<Duration>,
        /// For people: the status with its name, or why there is none. Holds no secret and no address.
        reason: String,
    },
    /// The callback cannot be sent at all: its id cannot be a `webhook-id`.
    Invalid {
        /// For people.
        reason: String,
    },
}

const MAX_RETRY_AFTER: Duration = Duration::from_secs(86_400);

impl Outcome {
    /// The status of the answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Outcome::Accepted { status } | Outcome::Unauthorized { status } | Outcome::Refused { status } => {
                Some(*status)
            }
            Outcome::Gone => Some(410),
            Outcome::Failed { status, .. } => *status,
            Outcome::Invalid { .. } => None,
        }
    }

    /// What an answer means; `now_ms` is for a `Retry-After` that is a date.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, now_ms: u64) -> Self {
        let code = status.as_u16();
        match code {
            200..=299 => Outcome::Accepted { status: code },
            410 => Outcome::Gone,
            401 | 403 => Outcome::Unauthorized { status: code },
            400 | 404 | 405 | 413 | 414 | 415 | 422 => Outcome::Refused { status: code },
            429 | 502 | 503 | 504 => Outcome::Failed {
                status: Some(code),
                retry_after: retry_after(headers, now_ms),
                reason: status.to_string(),
            },
            300..=399 => Outcome::Failed {
                status: Some(code),
                retry_after: None,
                reason: format!("{status}: redirects are not followed"),
            },
            _ => Outcome::Failed { status: Some(code), retry_after: None, reason: status.to_string() },
        }
    }

    /// No answer came.
    pub(super) fn no_answer(reason: String) -> Self {
        Outcome::Failed { status: None, retry_after: None, reason }
    }
}

/// Seconds, or the time until an HTTP date; neither is no wish at all.
fn retry_after(headers: &HeaderMap, now_ms: u64) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only a number that is far over the limit does not fit.
        return Some(value.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs).min(MAX_RETRY_AFTER));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let now = UNIX_EPOCH + Duration::from_millis(now_ms);
    Some(date.duration_since(now).unwrap_or_default().min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use reqwest::header::HeaderValue;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const DATE_MS: u64 = 784_111_777_000;

    fn asked(status: u16, value: &'static str) -> Option<u64> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
        let now_ms = DATE_MS - 90_000;
        match Outcome::of(StatusCode::from_u16(status).unwrap(), &headers, now_ms) {
            Outcome::Failed { retry_after, .. } => retry_after.map(|asked| asked.as_secs()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let table = [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("86401", Some(86_400)),
            ("99999999999999999999999", Some(86_400)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(90)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(90)),
            ("Sun, 06 Nov 1994 08:40:00 GMT", Some(0)),
            ("Sat, 06 Nov 2094 08:40:00 GMT", Some(86_400)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("later", None),
        ];
        for (value, expected) in table {
            assert_eq!(asked(429, value), expected, "{value:?}");
        }
    }

    #[test]
    fn only_a_busy_receiver_may_ask_for_a_wait() {
        for status in [429, 502, 503, 504] {
            assert_eq!(asked(status, "7"), Some(7), "{status}");
        }
        for status in [301, 402, 408, 409, 500, 501] {
            assert_eq!(asked(status, "7"), None, "{status}");
        }
    }

    #[test]
    fn every_status_has_its_kind() {
        for code in 200..600_u16 {
            let outcome = Outcome::of(StatusCode::from_u16(code).unwrap(), &HeaderMap::new(), 0);
            assert_eq!(outcome.status(), Some(code));
            let kind = match outcome {
                Outcome::Accepted { .. } => "accepted",
                Outcome::Gone => "gone",
                Outcome::Unauthorized { .. } => "unauthorized",
                Outcome::Refused { .. } => "refused",
                Outcome::Failed { reason, .. } => {
                    assert_eq!(reason.contains("redirects are not followed"), code < 400, "{reason}");
                    "failed"
                }
                Outcome::Invalid { .. } => "invalid",
            };
            let expected = match code {
                200..=299 => "accepted",
                410 => "gone",
                401 | 403 => "unauthorized",
                400 | 404 | 405 | 413 | 414 | 415 | 422 => "refused",
                _ => "failed",
            };
            assert_eq!(kind, expected, "{code}");
        }
    }
}
