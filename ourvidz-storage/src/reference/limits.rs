use std::time::Duration;

/// How much one reference may cost. The defaults are those of the fields below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceLimits {
    /// Most bytes of the file, counted as they arrive: 20 MiB.
    pub max_bytes: usize,
    /// Most redirects followed: 3.
    pub max_redirects: u32,
    /// Longest time for one connection, with its name look-up and TLS handshake: 10 s.
    pub connect_timeout: Duration,
    /// Longest time from the call to the last byte, redirects included: 30 s.
    pub fetch_timeout: Duration,
    /// Longest time for decoding: 20 s. The thread of a decoder that takes longer is left to its end.
    pub decode_timeout: Duration,
    /// Most pixels of a side: 8192.
    pub max_side: u32,
    /// Most pixels: 50 million.
    pub max_pixels: u64,
    /// Most bytes of pixels held while decoding and converting to RGB: 256 MiB. Not counted are a decoder's
    /// tables and rows (WebP: up to two more copies) and 3 bytes a pixel for a quarter turn that EXIF asks.
    pub max_memory: u64,
}

impl Default for ReferenceLimits {
    fn default() -> Self {
        Self {
            max_bytes: 20 << 20,
            max_redirects: 3,
            connect_timeout: Duration::from_secs(10),
            fetch_timeout: Duration::from_secs(30),
            decode_timeout: Duration::from_secs(20),
            max_side: 8192,
            max_pixels: 50_000_000,
            max_memory: 256 << 20,
        }
    }
}
