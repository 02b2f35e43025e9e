//! The client crate that the queue uses works with the mock.
#![allow(clippy::unwrap_used, missing_docs)]

use ourvidz_test_support::{Fault, MockRedis};
use redis::{AsyncCommands, Script};

#[tokio::test(flavor = "current_thread")]
async fn commands_scripts_and_transactions() {
    let mock = MockRedis::builder().password("secret").start();
    for protocol in ["", "?protocol=resp3"] {
        let client = redis::Client::open(format!("{}/{protocol}", mock.redis_url())).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let _: () = connection.lpush("q", "a").await.unwrap();
        let script = Script::new("return redis.call('RPOP', KEYS[1])");
        // The first call finds no script and loads it.
        mock.command(["SCRIPT", "FLUSH"]);
        let job: String = script.key("q").invoke_async(&mut connection).await.unwrap();
        assert_eq!(job, "a");
        let (set, score): (bool, f64) = redis::pipe()
            .atomic()
            .zadd("z", "m", 1.5)
            .zscore("z", "m")
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!((set, score), (protocol.is_empty(), 1.5));
    }
    assert_eq!(mock.stats().connections, 2);
}

#[tokio::test(flavor = "current_thread")]
async fn a_blocked_client_is_seen_and_woken() {
    let mock = MockRedis::start();
    let client = redis::Client::open(mock.redis_url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let waiting = tokio::spawn(async move {
        let popped: Option<(String, String)> = connection.blpop("q", 0.0).await.unwrap();
        popped
    });
    mock.until(|stats| stats.blocked == 1).await;
    mock.command(["RPUSH", "q", "job"]);
    assert_eq!(waiting.await.unwrap(), Some(("q".into(), "job".into())));
}

#[tokio::test(flavor = "current_thread")]
async fn a_lost_reply_is_an_error_and_a_new_connection_works() {
    let mock = MockRedis::start();
    let client = redis::Client::open(mock.redis_url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    mock.inject(Fault::lose_reply().on("INCRBY").times(1));
    let lost: redis::RedisResult<i64> = connection.incr("n", 1).await;
    assert!(lost.unwrap_err().is_io_error());
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let count: i64 = connection.incr("n", 1).await.unwrap();
    assert_eq!(count, 1 + 1);
}
