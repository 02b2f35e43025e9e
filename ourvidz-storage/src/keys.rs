use std::fmt;

use crate::{Error, Result};

/// Longest path, in bytes; the limit of S3.
pub const MAX_PATH_LEN: usize = 1024;

/// Longest bucket or path segment, in bytes; the limit of common file systems.
pub const MAX_SEGMENT_LEN: usize = 255;

/// Names that begin like this are unfinished files of [`LocalStorage`](crate::LocalStorage).
pub(crate) const UNFINISHED: &str = ".tmp-";

/// Bucket and path of one file, checked. The same key names the same file in every store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StorageKey {
    bucket: String,
    path: String,
}

/// Which bucket a job's files go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// Bucket `workspace-temp` for every job.
    #[default]
    WorkspaceTemp,
    /// The job type is the bucket.
    PerType,
}

/// The keys of one job's files: `{user_id}/{job_id}/{index}.{extension}` and
/// `{user_id}/{job_id}/{index}.thumb.webp`, index from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssetKeys<'a> {
    /// Where the bucket comes from.
    pub layout: Layout,
    /// The job's type, e.g. `sdxl_image_fast`; only [`Layout::PerType`] reads it.
    pub job_type: &'a str,
    /// Whose job it is; one path segment.
    pub user_id: &'a str,
    /// The job's id; one path segment.
    pub job_id: &'a str,
}

impl StorageKey {
    /// Checks both parts. A bucket is one segment of letters, digits, `-`, `_`, `.`. A path is segments joined
    /// by `/`, of letters, digits and `!-_.*'() &$=@;:+,?` (what Supabase Storage and S3 both take). No
    /// segment is empty, `.`, `..`, longer than [`MAX_SEGMENT_LEN`] or begins with `.tmp-`.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] with the rule that is broken.
    pub fn new(bucket: impl Into<String>, path: impl Into<String>) -> Result<Self> {
        let (bucket, path) = (bucket.into(), path.into());
        if let Some(rule) = bucket_rule(&bucket) {
            return Err(Error::InvalidKey { key: bucket, rule });
        }
        if let Some(rule) = path_rule(&path) {
            return Err(Error::InvalidKey { key: path, rule });
        }
        Ok(Self { bucket, path })
    }

    /// The bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The path inside the bucket, without a leading `/`: what callbacks report by default.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// `bucket/path`.
impl fmt::Display for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket, self.path)
    }
}

impl AssetKeys<'_> {
    /// The key of file `index`, e.g. `asset(0, "png")`.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if a part is not one safe segment.
    pub fn asset(&self, index: u32, extension: &str) -> Result<StorageKey> {
        let Self { layout, job_type, user_id, job_id } = *self;
        for part in [user_id, job_id, extension] {
            if let Some(rule) = bucket_rule(part) {
                return Err(Error::InvalidKey { key: part.to_owned(), rule });
            }
        }
        let bucket = match layout {
            Layout::WorkspaceTemp => "workspace-temp",
            Layout::PerType => job_type,
        };
        StorageKey::new(bucket, format!("{user_id}/{job_id}/{index}.{extension}"))
    }

    /// The key of the thumbnail of file `index`.
    ///
    /// # Errors
    /// As [`AssetKeys::asset`].
    pub fn thumbnail(&self, index: u32) -> Result<StorageKey> {
        self.asset(index, "thumb.webp")
    }
}

fn bucket_rule(bucket: &str) -> Option<&'static str> {
    if !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Some("must be letters, digits, '-', '_' and '.'");
    }
    segment_rule(bucket)
}

fn path_rule(path: &str) -> Option<&'static str> {
    if path.len() > MAX_PATH_LEN {
        return Some("must have at most 1024 bytes");
    }
    if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/!-_.*'() &$=@;:+,?".contains(&b)) {
        return Some("must be letters, digits and !-_.*'() &$=@;:+,?");
    }
    path.split('/').find_map(segment_rule)
}

fn segment_rule(segment: &str) -> Option<&'static str> {
    match segment {
        "" => Some("must not have an empty segment, nor begin or end with '/'"),
        "." | ".." => Some("must not have a segment '.' or '..'"),
        _ if segment.len() > MAX_SEGMENT_LEN => Some("must not have a segment of more than 255 bytes"),
        _ if segment.starts_with(UNFINISHED) => Some("'.tmp-' begins the names of unfinished files"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_that_leave_their_bucket_are_refused() {
        let long = "a".repeat(256);
        let longer = "a/".repeat(512) + "a";
        let refused = [
            ("", "a"),
            ("..", "a"),
            (".", "a"),
            ("a/b", "a"),
            ("a\\b", "a"),
            (".tmp-1", "a"),
            ("b", ""),
            ("b", "/a"),
            ("b", "a/"),
            ("b", "a//b"),
            ("b", "../a"),
            ("b", "a/../b"),
            ("b", "a/.."),
            ("b", "./a"),
            ("b", "a\\..\\b"),
            ("b", "a\0b"),
            ("b", "a\nb"),
            ("b", "a/%2e%2e/b"),
            ("b", "C:\\a"),
            ("b", "é"),
            ("b", "u/.tmp-1"),
            ("b", &long),
            ("b", &longer),
        ];
        for (bucket, path) in refused {
            let error = StorageKey::new(bucket, path).unwrap_err();
            assert!(matches!(error, Error::InvalidKey { .. }), "{bucket:?} {path:?}");
            assert!(!error.retryable());
        }
        for path in ["0.png", "u/j/0.thumb.webp", "user-library/a b (1)/x=1&y,z.png", "...a/..b", "a..b"] {
            let key = StorageKey::new("workspace-temp", path).unwrap();
            assert_eq!((key.path(), key.to_string()), (path, format!("workspace-temp/{path}")));
        }
    }

    #[test]
    fn asset_keys_follow_the_layout() {
        let keys =
            |layout| AssetKeys { layout, job_type: "video_high", user_id: "user123", job_id: "job456" };
        let newest = keys(Layout::default());
        assert_eq!(newest.asset(0, "png").unwrap().to_string(), "workspace-temp/user123/job456/0.png");
        assert_eq!(newest.asset(5, "png").unwrap().path(), "user123/job456/5.png");
        assert_eq!(newest.thumbnail(2).unwrap().path(), "user123/job456/2.thumb.webp");
        assert_eq!(
            keys(Layout::PerType).asset(0, "mp4").unwrap().to_string(),
            "video_high/user123/job456/0.mp4"
        );
        let other = AssetKeys { user_id: "someone/else", ..newest };
        assert!(matches!(other.asset(0, "png"), Err(Error::InvalidKey { .. })));
        let other = AssetKeys { job_id: "..", ..newest };
        assert!(matches!(other.thumbnail(0), Err(Error::InvalidKey { .. })));
    }

    proptest! {
        #[test]
        fn an_accepted_path_stays_below_its_root(path in "[a./\\\\ ~\0-]{0,12}") {
            if let Ok(key) = StorageKey::new("bucket", path) {
                let joined = std::path::Path::new("/files").join(key.bucket()).join(key.path());
                let inside = joined.strip_prefix("/files/bucket").unwrap();
                prop_assert!(inside.components().all(|c| matches!(c, std::path::Component::Normal(_))));
            }
        }
    }
}
