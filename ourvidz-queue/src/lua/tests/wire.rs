//! What producers and observers see and do.

use ourvidz_test_support::Reply;

use super::*;
use crate::{Beat, PopSide, Settlement};

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_lpush_is_a_job() {
    for face in FACES {
        let mock = MockRedis::start();
        let queue = queue(&mock, face).await;
        let job = element("j1");
        let envelopes = [
            job.clone(),
            serde_json::json!({ "data": job }).to_string(),
            serde_json::json!({"data": serde_json::from_str::<serde_json::Value>(&job).unwrap()}).to_string(),
            serde_json::json!([job]).to_string(),
            serde_json::json!(job).to_string(),
        ];
        for envelope in &envelopes {
            mock.command(["LPUSH", "sdxl_queue", envelope]);
        }
        assert_eq!(mock.command(["LLEN", "sdxl_queue"]), Reply::Int(5));
        for envelope in &envelopes {
            let delivery = take(&*queue).await;
            assert_eq!(&delivery.element, envelope);
            assert_eq!(queue.in_flight().await.unwrap()[0].job_id, "j1");
            queue.settle(&delivery.claim, &Settlement::Done { callback: None }).await.unwrap();
        }
        assert_eq!(mock.command(["EXISTS", "sdxl_queue"]), Reply::Int(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn producers_that_rpush_are_served_from_the_left() {
    for face in FACES {
        let mock = MockRedis::start();
        let options = QueueOptions { pop_side: PopSide::Left, ..options() };
        let names = ["sdxl_queue", "wan_queue"];
        let [queue, _] = Server::connect(&mock, face, Time::Carried).await.pair(names, options).unwrap();
        mock.command(["RPUSH", "sdxl_queue", "first", "second"]);
        queue.push("third").await.unwrap();
        assert_eq!(queue.waiting(9).await.unwrap(), ["first", "second", "third"]);
        assert_eq!(take(&*queue).await.element, "first");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_are_handed_out_and_kept() {
    for face in FACES {
        let mock = MockRedis::start();
        let queue = queue(&mock, face).await;
        mock.command([&b"LPUSH"[..], b"sdxl_queue", b"a\xff\0b"]);
        let delivery = take(&*queue).await;
        assert_eq!(delivery.element, "a\u{fffd}\0b");
        assert!(queue.in_flight().await.unwrap()[0].job_id.starts_with("sha1:"));
        queue.settle(&delivery.claim, &Settlement::GiveBack).await.unwrap();
        let kept = mock.command(["LRANGE", "sdxl_queue", "0", "-1"]);
        assert_eq!(kept, Reply::Array(vec![Reply::bulk(&b"a\xff\0b"[..])]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_spellings_of_a_cancellation_count() {
    for face in FACES {
        let mock = MockRedis::start();
        let queue = queue(&mock, face).await;
        queue.push(&element("j1")).await.unwrap();
        let claim = take(&*queue).await.claim;
        for key in ["sdxl_queue:cancel:j1", "{sdxl_queue}:cancel:j1"] {
            assert!(!queue.cancelled("j1").await.unwrap());
            assert_eq!(queue.beat(&claim, "j1").await.unwrap(), Beat::Held);
            mock.command(["SET", key, "1"]);
            assert!(queue.cancelled("j1").await.unwrap(), "{key}");
            assert_eq!(queue.beat(&claim, "j1").await.unwrap(), Beat::Cancelled, "{key}");
            mock.command(["DEL", key]);
        }
        queue.cancel("j1").await.unwrap();
        assert_eq!(mock.command(["TTL", "sdxl_queue:cancel:j1"]).as_int(), Some(86_400));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_delayed_jobs_keep_their_order() {
    let mock = MockRedis::start();
    let queue = queue(&mock, Face::Resp).await;
    let now = mock.now_ms();
    for n in 0..1000 {
        let (claim, due) = (format!("c{n:04}"), (now + n).to_string());
        mock.command(["HSET", "{sdxl_queue}:parked", &claim, &element(&n.to_string())]);
        mock.command(["ZADD", "{sdxl_queue}:delayed", &due, &claim]);
    }
    mock.advance(Duration::from_secs(2));
    assert_eq!(take(&*queue).await.element, element("0"));
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.delayed), (999, 0));
    let expected: Vec<_> = (1..1000).map(|n| element(&n.to_string())).collect();
    assert_eq!(queue.waiting(1000).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_keys_of_the_queue_are_written() {
    for face in FACES {
        let mock = MockRedis::builder().strict_keys().start();
        let queue = queue(&mock, face).await;
        for id in ["j1", "j2", "j3"] {
            queue.push_once(id, &element(id)).await.unwrap();
        }
        let first = take(&*queue).await;
        queue.settle(&first.claim, &Settlement::Transfer { queue: "wan_queue".into() }).await.unwrap();
        queue.settle(&take(&*queue).await.claim, &Settlement::Done { callback: None }).await.unwrap();
        take(&*queue).await;
        let keys = mock.command(["KEYS", "*"]);
        for key in keys.as_texts().unwrap() {
            assert!(key.starts_with("{sdxl_queue}:") || key == "wan_queue", "{key}");
        }
    }
}
