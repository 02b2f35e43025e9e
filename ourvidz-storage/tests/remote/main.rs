//! Supabase and S3 against servers in this process that behave as the real ones and fail on demand.
#![allow(clippy::unwrap_used)]

mod s3;
mod s3_faults;
mod s3_mock;
mod server;
mod supabase;
mod supabase_faults;
mod supabase_mock;
mod supabase_resumable;

use std::time::Duration;

use bytes::Bytes;
use ourvidz_storage::{RetryPolicy, StorageKey, Timeouts};

/// Tries enough, pauses too short to notice.
const QUICK: RetryPolicy = RetryPolicy {
    attempts: 4,
    base: Duration::from_millis(1),
    max: Duration::from_millis(4),
    max_retry_after: Duration::from_secs(2),
};

/// Long enough for a busy machine; only tests of silence make it shorter.
const PATIENT: Timeouts = Timeouts { connect: Duration::from_secs(20), request: Duration::from_secs(20) };

const SECRET: &str = "service-secret.is-not.repeated";

fn key(path: &str) -> StorageKey {
    StorageKey::new("workspace-temp", path).unwrap()
}

/// Bytes that differ by seed everywhere, and by place: each block of 256 begins with its number.
fn content(seed: u8, len: usize) -> Bytes {
    let mut block: Vec<u8> = (0..=255u8).map(|i| i.wrapping_mul(31).wrapping_add(seed)).collect();
    let mut bytes = Vec::with_capacity(len + block.len());
    for number in 0..len.div_ceil(block.len()) as u32 {
        block[..4].copy_from_slice(&number.to_le_bytes());
        block[4] = seed;
        bytes.extend_from_slice(&block);
    }
    bytes.truncate(len);
    bytes.into()
}

/// An error and everything below it, for a look whether a secret shows.
fn shown(error: &ourvidz_storage::Error) -> String {
    let mut text = format!("{error:?}");
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        text.push_str(&format!(" | {error}"));
        next = error.source();
    }
    text
}
