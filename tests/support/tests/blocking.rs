//! Clients that wait: the mock and, where there is one, a real server do the same.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use ourvidz_test_support::{MockRedis, RealRedis, Reply, RespClient};

/// Runs the check against the mock and, when there is a binary, against a real server.
fn both(check: impl Fn(&str)) {
    let mock = MockRedis::start();
    check(&mock.redis_url());
    if RealRedis::available().is_some() {
        let real = RealRedis::start().unwrap();
        check(&real.url());
    }
}

/// Waits until that many clients are blocked.
fn wait_for_blocked(client: &mut RespClient, count: usize) {
    let field = format!("blocked_clients:{count}\r\n");
    let end = Instant::now() + Duration::from_secs(10);
    while !client.command(["INFO", "clients"]).unwrap().as_text().unwrap().contains(&field) {
        assert!(Instant::now() < end, "never {count} blocked clients");
        thread::yield_now();
    }
}

fn text(text: &str) -> Reply {
    Reply::bulk(text)
}

#[test]
fn a_push_serves_the_one_who_waits_longest() {
    both(|url| {
        let mut other = RespClient::connect(url).unwrap();
        let mut waiting: Vec<RespClient> = (1..=3)
            .map(|count| {
                let mut client = RespClient::connect(url).unwrap();
                client.send(["BRPOP", "q", "other", "0"]).unwrap();
                wait_for_blocked(&mut other, count);
                client
            })
            .collect();
        other.command(["LPUSH", "q", "a", "b"]).unwrap();
        assert_eq!(waiting[0].read().unwrap(), Reply::Array(vec![text("q"), text("a")]));
        assert_eq!(waiting[1].read().unwrap(), Reply::Array(vec![text("q"), text("b")]));
        other.command(["EVAL", "return redis.call('LPUSH', KEYS[1], 'c')", "1", "other"]).unwrap();
        assert_eq!(waiting[2].read().unwrap(), Reply::Array(vec![text("other"), text("c")]));
        assert_eq!(other.command(["EXISTS", "q", "other"]).unwrap(), Reply::Int(0));
    });
}

#[test]
fn a_wake_up_that_changes_nothing_wakes_everybody() {
    both(|url| {
        let mut other = RespClient::connect(url).unwrap();
        let mut waiting: Vec<RespClient> = (1..=3)
            .map(|count| {
                let mut client = RespClient::connect(url).unwrap();
                client.send(["BLMOVE", "wake", "wake", "RIGHT", "RIGHT", "10"]).unwrap();
                wait_for_blocked(&mut other, count);
                client
            })
            .collect();
        other.command(["RPUSH", "wake", "token"]).unwrap();
        for client in &mut waiting {
            assert_eq!(client.read().unwrap(), text("token"));
        }
        assert_eq!(other.command(["LRANGE", "wake", "0", "-1"]).unwrap(), Reply::Array(vec![text("token")]));
    });
}

#[test]
fn a_move_can_serve_the_next_one() {
    both(|url| {
        let mut other = RespClient::connect(url).unwrap();
        let mut second = RespClient::connect(url).unwrap();
        second.send(["BLPOP", "b", "0"]).unwrap();
        wait_for_blocked(&mut other, 1);
        let mut first = RespClient::connect(url).unwrap();
        first.send(["BLMOVE", "a", "b", "LEFT", "LEFT", "0"]).unwrap();
        wait_for_blocked(&mut other, 2);
        other.command(["RPUSH", "a", "x"]).unwrap();
        assert_eq!(first.read().unwrap(), text("x"));
        assert_eq!(second.read().unwrap(), Reply::Array(vec![text("b"), text("x")]));
    });
}

#[test]
fn a_key_of_another_type_does_not_end_the_wait() {
    both(|url| {
        let mut other = RespClient::connect(url).unwrap();
        let mut waiting = RespClient::connect(url).unwrap();
        waiting.send(["BLPOP", "k", "0"]).unwrap();
        wait_for_blocked(&mut other, 1);
        other.command(["SET", "k", "text"]).unwrap();
        other.command(["DEL", "k"]).unwrap();
        other.command(["RPUSH", "k", "x"]).unwrap();
        assert_eq!(waiting.read().unwrap(), Reply::Array(vec![text("k"), text("x")]));
    });
}

#[test]
fn a_client_that_left_takes_nothing() {
    both(|url| {
        let mut other = RespClient::connect(url).unwrap();
        let mut gone = RespClient::connect(url).unwrap();
        gone.send(["BLPOP", "q", "0"]).unwrap();
        wait_for_blocked(&mut other, 1);
        drop(gone);
        wait_for_blocked(&mut other, 0);
        other.command(["RPUSH", "q", "x"]).unwrap();
        assert_eq!(other.command(["LLEN", "q"]).unwrap(), Reply::Int(1));
    });
}

#[test]
fn commands_behind_a_blocking_one_wait_for_it() {
    both(|url| {
        let mut other = RespClient::connect(url).unwrap();
        let mut client = RespClient::connect(url).unwrap();
        client.send(["BLPOP", "q", "0"]).unwrap();
        client.send(["PING"]).unwrap();
        wait_for_blocked(&mut other, 1);
        other.command(["RPUSH", "q", "x"]).unwrap();
        assert_eq!(client.read().unwrap(), Reply::Array(vec![text("q"), text("x")]));
        assert_eq!(client.read().unwrap(), Reply::Status("PONG".into()));
    });
}

#[test]
fn a_manual_clock_ends_the_wait() {
    let mock = MockRedis::builder().manual_clock(1_700_000_000_000).start();
    let mut client = RespClient::connect(&mock.redis_url()).unwrap();
    client.send(["BLMOVE", "a", "b", "LEFT", "LEFT", "30"]).unwrap();
    assert!(mock.wait_until(|stats| stats.blocked == 1));
    mock.advance(Duration::from_secs(29));
    assert_eq!(mock.stats().blocked, 1);
    mock.advance(Duration::from_secs(1));
    assert!(client.read().unwrap().is_nil());
    assert_eq!(mock.stats().blocked, 0);
}

#[test]
fn one_push_among_many_who_wait_serves_one_of_them() {
    let mock = MockRedis::start();
    let barrier = Barrier::new(9);
    let served: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = RespClient::connect(&mock.redis_url()).unwrap();
                    barrier.wait();
                    usize::from(!client.command(["BLPOP", "q", "0.3"]).unwrap().is_nil())
                })
            })
            .collect();
        barrier.wait();
        assert!(mock.wait_until(|stats| stats.blocked == 8));
        mock.command(["RPUSH", "q", "x"]);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(served, 1);
}

#[test]
fn messages_reach_subscribers() {
    both(|url| {
        let mut listener = RespClient::connect(url).unwrap();
        listener.command(["HELLO", "3"]).unwrap();
        let push = |words: [Reply; 3]| Reply::Push(words.to_vec());
        assert_eq!(
            listener.command(["SUBSCRIBE", "c"]).unwrap(),
            push([text("subscribe"), text("c"), Reply::Int(1)])
        );
        let mut other = RespClient::connect(url).unwrap();
        assert_eq!(other.command(["PUBLISH", "c", "hi"]).unwrap(), Reply::Int(1));
        assert_eq!(listener.read().unwrap(), push([text("message"), text("c"), text("hi")]));
        listener.command(["UNSUBSCRIBE", "c"]).unwrap();
        assert_eq!(other.command(["PUBLISH", "c", "hi"]).unwrap(), Reply::Int(0));
    });
}
