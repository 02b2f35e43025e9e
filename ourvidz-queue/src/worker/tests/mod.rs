#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ends;
mod faults;
mod faulty;
mod idle;
mod journal;
mod stops;
mod support;
mod watch;
