//! References that jobs name: which are refused, how they are fetched, what is decoded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod addresses;
mod corpus;
mod decoding;
mod downloads;
mod pictures;
mod redirects;
mod server;
mod storage;
mod texts;
