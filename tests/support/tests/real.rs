//! A real server that dies and comes back, and the proxy in front of one.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use ourvidz_test_support::{Aof, FaultProxy, MockRedis, ProxyFaults, RealRedis, Reply, RespClient};

fn port(url: &str) -> u16 {
    url.rsplit_once(':').unwrap().1.parse().unwrap()
}

#[test]
fn what_is_on_disk_survives_a_kill() {
    if RealRedis::available().is_none() {
        return;
    }
    let mut real = RealRedis::builder().aof(Aof::Always).password("secret").start().unwrap();
    let url = real.url();
    let mut client = RespClient::connect(&url).unwrap();
    client.command(["SET", "a", "1"]).unwrap();
    real.kill().unwrap();
    assert!(client.command(["PING"]).is_err());
    assert!(RespClient::connect(&url).is_err());
    real.restart().unwrap();
    assert_eq!(real.url(), url);
    let mut client = RespClient::connect(&url).unwrap();
    assert_eq!(client.command(["GET", "a"]).unwrap(), Reply::bulk("1"));
    real.stop().unwrap();
    assert!(real.pid().is_none());
    assert!(RespClient::connect(&url).is_err());
}

#[test]
fn a_server_that_cannot_start_says_why() {
    if RealRedis::available().is_none() {
        return;
    }
    let error = RealRedis::builder().args(["--no-such-option", "x"]).start().unwrap_err().to_string();
    assert!(error.contains("no-such-option"), "{error}");
    let error = RealRedis::builder().binary("no-such-binary").start().unwrap_err().to_string();
    assert!(error.contains("no-such-binary"), "{error}");
    assert!(RealRedis::missing().contains("redis-server"));
}

#[test]
fn a_lost_reply_went_through_the_proxy() {
    let mock = MockRedis::start();
    let proxy = FaultProxy::start(port(&mock.redis_url()), 3).unwrap();
    let incr = || RespClient::connect(&proxy.redis_url()).unwrap().command(["INCR", "n"]);
    assert_eq!(incr().unwrap(), Reply::Int(1));
    proxy.inject(ProxyFaults { lose_reply: 1.0, ..ProxyFaults::default() });
    assert!(incr().is_err());
    proxy.inject(ProxyFaults { reset: 1.0, ..ProxyFaults::default() });
    assert!(incr().is_err());
    proxy.inject(ProxyFaults::default());
    assert_eq!(incr().unwrap(), Reply::Int(3));
    let stats = proxy.stats();
    assert_eq!((stats.connections, stats.lost_replies, stats.resets), (4, 1, 1));

    proxy.inject(ProxyFaults { lose_reply: 0.3, ..ProxyFaults::default() });
    let lost = (0..100).filter(|_| incr().is_err()).count();
    assert!((10..60).contains(&lost), "{lost} of 100");
    assert_eq!(mock.command(["GET", "n"]), Reply::bulk("103"));
}

#[test]
fn a_proxy_delays_holds_back_cuts_and_refuses() {
    let mock = MockRedis::start();
    let proxy = FaultProxy::start(port(&mock.redis_url()), 0).unwrap();
    let mut client = RespClient::connect(&proxy.redis_url()).unwrap();
    proxy.inject(ProxyFaults { delay: Duration::from_millis(20), ..ProxyFaults::default() });
    let start = Instant::now();
    client.command(["PING"]).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(40));

    proxy.inject(ProxyFaults { blackhole: true, ..ProxyFaults::default() });
    client.send(["INCR", "n"]).unwrap();
    // Behind the proxy nothing has arrived while a direct connection is served.
    RespClient::connect(&mock.redis_url()).unwrap().command(["PING"]).unwrap();
    assert_eq!(mock.stats().count("INCR"), 0);
    proxy.inject(ProxyFaults::default());
    assert_eq!(client.read().unwrap(), Reply::Int(1));

    proxy.cut_connections();
    assert!(client.command(["PING"]).is_err());
    proxy.inject(ProxyFaults { refuse: true, ..ProxyFaults::default() });
    let refused = RespClient::connect(&proxy.redis_url()).and_then(|mut client| client.command(["PING"]));
    assert!(refused.is_err());
}

#[test]
fn a_paused_server_answers_when_it_goes_on() {
    if RealRedis::available().is_none() {
        return;
    }
    let real = RealRedis::start().unwrap();
    let mut client = RespClient::connect(&real.url()).unwrap();
    real.pause().unwrap();
    client.send(["PING"]).unwrap();
    real.resume().unwrap();
    assert_eq!(client.read().unwrap(), Reply::Status("PONG".into()));
}
