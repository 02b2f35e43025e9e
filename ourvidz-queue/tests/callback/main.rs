//! Delivery of callbacks against receivers in this process.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bench;
mod delivering;
mod logs;
mod receiver;
mod running;
mod sending;
mod spy;
