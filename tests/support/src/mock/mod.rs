//! A Redis server inside the test's process.

mod blocking;
mod builder;
mod clock;
mod commands;
mod pubsub;
mod resp_face;
mod rest_face;
mod rest_words;
mod script;
mod server;
mod session;
mod shared;
mod sorted;
mod store;
mod table;

pub use builder::MockRedisBuilder;
pub use server::MockRedis;
