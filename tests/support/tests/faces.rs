//! Both faces of the mock: what they answer, what goes wrong on demand, what is counted.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ourvidz_test_support::{Face, Fault, MockRedis, Reply, RespClient};
use serde_json::{Value, json};

/// Status, sync token and body of one request; `None` when the connection was closed without an answer.
fn request(mock: &MockRedis, head: &str, headers: &str, body: &[u8]) -> Option<(u16, String, Value)> {
    let mut stream = TcpStream::connect(mock.rest_url().trim_start_matches("http://")).ok()?;
    let token = mock.rest_token();
    let length = body.len();
    let head = format!(
        "{head} HTTP/1.1\r\nhost: mock\r\nconnection: close\r\ncontent-length: {length}\r\n\
         authorization: Bearer {token}\r\n{headers}\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let answer = String::from_utf8(bytes).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let token = head.lines().find_map(|line| line.strip_prefix("upstash-sync-token: ")).unwrap_or_default();
    Some((status, token.to_owned(), serde_json::from_str(body).unwrap()))
}

fn post(mock: &MockRedis, path: &str, body: &Value) -> (u16, Value) {
    let (status, _, value) = request(mock, &format!("POST {path}"), "", body.to_string().as_bytes()).unwrap();
    (status, value)
}

fn ask(mock: &MockRedis, words: &Value) -> (u16, Value) {
    post(mock, "/", words)
}

#[test]
fn rest_answers_as_upstash_does() {
    let mock = MockRedis::start();
    assert_eq!(ask(&mock, &json!(["SET", "a", 5])), (200, json!({"result": "OK"})));
    assert_eq!(ask(&mock, &json!(["INCR", "a"])), (200, json!({"result": 6})));
    assert_eq!(ask(&mock, &json!(["GET", "nosuch"])), (200, json!({"result": null})));
    assert_eq!(ask(&mock, &json!(["ZADD", "z", "1.5", "m"])), (200, json!({"result": 1})));
    assert_eq!(ask(&mock, &json!(["ZSCORE", "z", "m"])), (200, json!({"result": "1.5"})));
    assert_eq!(ask(&mock, &json!(["HSET", "h", "f", "v"])), (200, json!({"result": 1})));
    assert_eq!(ask(&mock, &json!(["HGETALL", "h"])), (200, json!({"result": ["f", "v"]})));
    assert_eq!(
        ask(&mock, &json!(["EVAL", "return {1, 'x', false}", 0])),
        (200, json!({"result": [1, "x", null]}))
    );
    let (status, error) = ask(&mock, &json!(["LPUSH", "a", "x"]));
    assert_eq!(status, 400);
    assert!(error["error"].as_str().unwrap().starts_with("WRONGTYPE "), "{error}");
    for words in [json!(["BLPOP", "q", 1]), json!(["BLMOVE", "q", "q", "LEFT", "LEFT", 1]), json!(["MULTI"])]
    {
        let (status, error) = ask(&mock, &words);
        assert_eq!(status, 400, "{words}");
        assert!(error["error"].as_str().unwrap().contains("not available"), "{error}");
    }
    for body in [json!({}), json!([]), json!([["GET", "a"]]), json!("GET")] {
        assert_eq!(ask(&mock, &body).0, 400, "{body}");
    }
    // The same keyspace as RESP's.
    assert_eq!(mock.command(["GET", "a"]), Reply::bulk("6"));
}

#[test]
fn paths_are_words_and_the_body_is_the_last_one() {
    let mock = MockRedis::start();
    let job = br#"{"id": "j",  "prompt": "a/b"}"#;
    let answer = request(&mock, "POST /lpush/q%3A1", "", job).unwrap();
    assert_eq!((answer.0, answer.2), (200, json!({"result": 1})));
    assert_eq!(mock.command(["LINDEX", "q:1", "0"]), Reply::bulk(job.as_slice()));
    let answer = request(&mock, "GET /rpop/q:1", "", b"").unwrap();
    assert_eq!(answer.2["result"].as_str().unwrap().as_bytes(), job);
    request(&mock, "POST /set/k?EX=100", "", b"v").unwrap();
    assert_eq!(mock.command(["TTL", "k"]), Reply::Int(100));
}

#[test]
fn pipelines_and_transactions() {
    let mock = MockRedis::start();
    let commands = json!([["SET", "a", "1"], ["LPUSH", "a", "x"], ["INCR", "a"]]);
    for path in ["/pipeline", "/multi-exec"] {
        let (status, results) = post(&mock, path, &commands);
        assert_eq!(status, 200, "{path}");
        assert_eq!(results[0], json!({"result": "OK"}));
        assert!(results[1]["error"].as_str().unwrap().starts_with("WRONGTYPE"));
        assert_eq!(results[2], json!({"result": 2}));
    }
    let spoiled = json!([["SET", "a", "9"], ["NOSUCH"]]);
    let (status, error) = post(&mock, "/multi-exec", &spoiled);
    assert_eq!(status, 400);
    assert!(error["error"].as_str().unwrap().starts_with("EXECABORT"), "{error}");
    assert_eq!(mock.command(["GET", "a"]), Reply::bulk("2"));
    let (status, results) = post(&mock, "/pipeline", &spoiled);
    assert_eq!((status, &results[0]), (200, &json!({"result": "OK"})));
}

#[test]
fn tokens_methods_and_encodings() {
    let mock = MockRedis::start();
    assert_eq!(request(&mock, "DELETE /get/a", "", b"").unwrap().0, 405);
    let mut stream = TcpStream::connect(mock.rest_url().trim_start_matches("http://")).unwrap();
    stream
        .write_all(b"GET /get/a HTTP/1.1\r\nhost: x\r\nauthorization: Bearer no\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");

    mock.command([b"SET".as_slice(), b"bin", b"\x00\xff"]);
    let get = |headers| request(&mock, "GET /get/bin", headers, b"").unwrap().2;
    assert_eq!(get(""), json!({"result": "\u{0}\u{fffd}"}));
    assert_eq!(get("upstash-encoding: base64\r\n"), json!({"result": "AP8="}));
}

#[test]
fn the_sync_token_follows_writes() {
    let mock = MockRedis::start();
    let token = |head, headers: &str| request(&mock, head, headers, b"").unwrap().1;
    let first = token("GET /set/a/1", "");
    let same = token("GET /get/a", &format!("upstash-sync-token: {first}\r\n"));
    assert_eq!(first, same);
    let second = token("GET /set/a/2", &format!("upstash-sync-token: {first}\r\n"));
    assert_ne!(first, second);
    token("GET /get/a", &format!("upstash-sync-token: {first}\r\n"));
    let stats = mock.stats();
    assert_eq!((stats.sync_token_absent, stats.sync_token_latest, stats.sync_token_stale), (1, 2, 1));
    assert_eq!((stats.http_requests, stats.count("get"), stats.connections), (4, 2, 0));
}

#[test]
fn key_locking_refuses_other_keys() {
    let locking = "#!lua flags=allow-key-locking\nreturn redis.call('GET', ARGV[1])";
    let mock = MockRedis::start();
    mock.command(["MSET", "a", "1", "b", "2"]);
    assert_eq!(ask(&mock, &json!(["EVAL", locking, 1, "a", "a"])), (200, json!({"result": "1"})));
    let (status, error) = ask(&mock, &json!(["EVAL", locking, 1, "a", "b"]));
    assert_eq!(status, 400);
    assert!(error["error"].as_str().unwrap().contains("undeclared key 'b'"), "{error}");
    // Without the flag the script may; over RESP the flag is unknown.
    let plain = "return redis.call('GET', ARGV[1])";
    assert_eq!(ask(&mock, &json!(["EVAL", plain, 1, "a", "b"])).0, 200);
    assert!(mock.command(["EVAL", locking, "1", "a", "a"]).is_error());

    let strict = MockRedis::builder().strict_keys().start();
    assert_eq!(strict.command(["EVAL", plain, "1", "a", "a"]), Reply::Nil);
    assert!(strict.command(["EVAL", plain, "1", "a", "b"]).is_error());
}

#[test]
fn a_lost_reply_was_executed_and_a_dropped_command_was_not() {
    let mock = MockRedis::start();
    mock.inject(Fault::lose_reply().on("INCR").times(1));
    mock.inject(Fault::drop_before().on("DECR").times(2));
    let command = |name| RespClient::connect(&mock.redis_url()).unwrap().command([name, "n"]);
    assert!(command("INCR").is_err());
    assert!(command("DECR").is_err());
    assert!(request(&mock, "GET /decr/n", "", b"").is_none());
    assert_eq!(command("INCR").unwrap(), Reply::Int(2));
    mock.inject(Fault::lose_reply().over(Face::Rest).matching(|words| words[1] == b"n").times(1));
    assert!(request(&mock, "GET /incr/n", "", b"").is_none());
    assert_eq!(mock.command(["GET", "n"]), Reply::bulk("3"));
    assert_eq!(mock.stats().faults_fired, 4);
    assert_eq!(mock.stats().count("INCR"), 3);
}

#[test]
fn errors_delays_statuses_and_lost_scripts() {
    let mock = MockRedis::start();
    let mut client = RespClient::connect(&mock.redis_url()).unwrap();
    mock.inject(Fault::error("LOADING Redis is loading the dataset in memory").times(1));
    assert_eq!(
        client.command(["INCR", "n"]).unwrap(),
        Reply::Error("LOADING Redis is loading the dataset in memory".into())
    );
    mock.inject(Fault::http_status(502).times(1));
    assert_eq!(client.command(["INCR", "n"]).unwrap(), Reply::Int(1));
    assert_eq!(request(&mock, "GET /incr/n", "", b"").unwrap().0, 502);
    assert_eq!(request(&mock, "GET /incr/n", "", b"").unwrap().2, json!({"result": 2}));

    let sha = client.command(["SCRIPT", "LOAD", "return 1"]).unwrap();
    let sha = sha.as_text().unwrap();
    mock.inject(Fault::flush_scripts().on("EVALSHA").after(1).times(1));
    assert_eq!(client.command(["EVALSHA", sha, "0"]).unwrap(), Reply::Int(1));
    let gone = client.command(["EVALSHA", sha, "0"]).unwrap();
    assert_eq!(gone, Reply::Error("NOSCRIPT No matching script. Please use EVAL.".into()));

    mock.inject(Fault::delay(Duration::from_millis(30)).on("PING").times(1));
    let start = Instant::now();
    client.command(["PING"]).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[test]
fn a_server_goes_and_comes_back_with_its_keys() {
    let mock = MockRedis::start();
    let mut client = RespClient::connect(&mock.redis_url()).unwrap();
    client.command(["SET", "a", "1"]).unwrap();
    let sha = client.command(["SCRIPT", "LOAD", "return 1"]).unwrap();
    mock.down();
    assert!(client.command(["PING"]).is_err());
    assert!(RespClient::connect(&mock.redis_url()).is_err());
    assert!(request(&mock, "GET /get/a", "", b"").is_none());
    assert_eq!(mock.stats().open_connections, 0);
    mock.up();
    let mut client = RespClient::connect(&mock.redis_url()).unwrap();
    assert_eq!(client.command(["GET", "a"]).unwrap(), Reply::bulk("1"));
    assert!(client.command(["EVALSHA", sha.as_text().unwrap(), "0"]).unwrap().is_error());
    assert_eq!(mock.stats().connections, 2);
}

#[test]
fn keys_expire_by_the_clock_and_stand_still_in_scripts() {
    let mock = MockRedis::builder().manual_clock(1_700_000_000_000).start();
    mock.command(["SET", "a", "1", "PX", "1500"]);
    mock.advance(Duration::from_millis(1499));
    assert_eq!(mock.command(["PTTL", "a"]), Reply::Int(1));
    mock.advance(Duration::from_millis(1));
    assert_eq!(mock.command(["EXISTS", "a"]), Reply::Int(0));
    assert_eq!(mock.command(["DBSIZE"]), Reply::Int(0));
    assert_eq!(mock.command(["TIME"]).as_texts().unwrap(), ["1700000001", "500000"]);
    assert_eq!(mock.now_ms(), 1_700_000_001_500);

    let real_time = MockRedis::start();
    let script = "local a = redis.call('TIME') for i = 1, 100000 do end local b = redis.call('TIME') \
                  return tostring(a[1] == b[1] and a[2] == b[2])";
    assert_eq!(real_time.command(["EVAL", script, "0"]), Reply::bulk("true"));
}

#[test]
fn passwords_versions_and_protocols() {
    let mock = MockRedis::builder()
        .password("secret")
        .version("6.2.14")
        .config("maxmemory-policy", "allkeys-lru")
        .start();
    let bare = mock.redis_url().replace(":secret@", "");
    let mut client = RespClient::connect(&bare).unwrap();
    assert_eq!(client.command(["PING"]).unwrap(), Reply::Error("NOAUTH Authentication required.".into()));
    assert!(RespClient::connect(&bare.replace("127", ":wrong@127")).is_err());
    assert!(client.command(["HELLO", "3", "AUTH", "default", "wrong"]).unwrap().is_error());
    let hello = client.command(["HELLO", "3", "AUTH", "default", "secret"]).unwrap();
    assert!(matches!(hello, Reply::Map(_)), "{hello:?}");
    client.command(["HSET", "h", "f", "v"]).unwrap();
    assert_eq!(
        client.command(["HGETALL", "h"]).unwrap(),
        Reply::Map(vec![(Reply::bulk("f"), Reply::bulk("v"))])
    );

    let mut client = RespClient::connect(&mock.redis_url()).unwrap();
    let info = client.command(["INFO"]).unwrap();
    assert!(info.as_text().unwrap().contains("redis_version:6.2.14\r\n"));
    let policy = client.command(["CONFIG", "GET", "maxmemory-policy"]).unwrap();
    assert_eq!(policy.as_texts().unwrap(), ["maxmemory-policy", "allkeys-lru"]);
    let flags = client.command(["EVAL", "#!lua\nreturn 1", "0"]).unwrap();
    let Reply::Error(text) = flags else { unreachable!("{flags:?}") };
    assert!(text.starts_with("ERR Error compiling script (new function): user_script:1: "), "{text}");
    let Reply::Error(text) = client.command(["EVAL", "return redis.call('GET', 'h')", "0"]).unwrap() else {
        unreachable!()
    };
    assert!(text.starts_with("ERR Error running script (call to f_"), "{text}");
    assert!(text.contains("@user_script:1: WRONGTYPE "), "{text}");
}

#[test]
fn requests_may_come_in_pieces_and_many_at_once() {
    let mock = MockRedis::start();
    let mut client = RespClient::connect(&mock.redis_url()).unwrap();
    for byte in b"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n" {
        client.send_raw(&[*byte]).unwrap();
    }
    assert_eq!(client.read().unwrap(), Reply::bulk("hi"));
    (0..500).for_each(|_| client.send(["INCR", "n"]).unwrap());
    let replies: Vec<Reply> = (0..500).map(|_| client.read().unwrap()).collect();
    assert_eq!(replies.last(), Some(&Reply::Int(500)));
    client.send_raw(b"*1\r\nx").unwrap();
    client.send_raw(b"\r\n").unwrap();
    assert!(client.read().unwrap().is_error());
    assert!(client.read().is_err());
}
