//! Lost replies, servers that forget scripts, are busy, full, gone or back again.

use ourvidz_test_support::{Fault, Reply};

use super::*;
use crate::{Beat, Error, PendingCallback, Settled, Settlement};

fn callback(status: &str) -> PendingCallback {
    PendingCallback { id: PendingCallback::id_of("j1", status), job_id: "j1".into(), body: "{}".into() }
}

/// The life of one job; before each operation `before` may arrange what goes wrong with it.
async fn life_of_a_job(queue: &dyn Backend, mut before: impl FnMut()) {
    let (claim, worker) = (ClaimId::new(), WorkerId::new("w"));
    before();
    assert!(queue.push_once("j1", &element("j1")).await.unwrap());
    queue.push(&element("j2")).await.unwrap();
    before();
    let Claimed::Job(delivery) = queue.claim(&claim, &worker).await.unwrap() else { panic!("no job") };
    assert_eq!((delivery.element, delivery.attempt), (element("j1"), 1));
    before();
    assert_eq!(queue.beat(&claim, "j1").await.unwrap(), Beat::Held);
    before();
    assert!(queue.announce(&claim, &callback("processing")).await.unwrap());
    before();
    let done = Settlement::Done { callback: Some(callback("completed")) };
    let settled = queue.settle(&claim, &done).await.unwrap();
    assert!(matches!(settled, Settled::Applied | Settled::Already), "{settled:?}");
    before();
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.in_flight, counts.done, counts.callbacks), (1, 0, 1, 1));
    let callbacks = queue.waiting_callbacks(9).await.unwrap();
    assert_eq!(callbacks[0].callback, callback("completed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_replies_change_nothing() {
    for face in FACES {
        let mock = MockRedis::start();
        let queue = queue(&mock, face).await;
        let lose = || mock.inject(Fault::lose_reply().on("EVAL").on("EVALSHA").times(1));
        life_of_a_job(&*queue, lose).await;
        assert!(mock.stats().faults_fired >= 6, "{face:?}: {:?}", mock.stats());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forgotten_scripts_are_sent_again() {
    for face in FACES {
        let mock = MockRedis::start();
        let queue = queue(&mock, face).await;
        mock.inject(Fault::flush_scripts().on("EVALSHA"));
        life_of_a_job(&*queue, || {}).await;
        let stats = mock.stats();
        assert!(stats.count("EVAL") >= 6 && stats.count("EVAL") == stats.count("EVALSHA"), "{stats:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_later_is_asked_again() {
    for face in FACES {
        let mock = MockRedis::start();
        let queue = queue(&mock, face).await;
        let texts = [
            "LOADING Redis is loading the dataset in memory",
            "READONLY You can't write against a read only replica.",
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            "TRYAGAIN Multiple keys request during rehashing of slot",
        ];
        let mut texts = texts.iter().cycle();
        let refuse = || mock.inject(Fault::error(*texts.next().unwrap()).on("EVAL").on("EVALSHA").times(1));
        life_of_a_job(&*queue, refuse).await;
        assert!(mock.stats().faults_fired >= 6, "{face:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_whose_reply_is_lost_is_not_repeated() {
    for face in FACES {
        let mock = MockRedis::start();
        let queue = queue(&mock, face).await;
        mock.inject(Fault::lose_reply().on("LPUSH").times(1));
        let error = queue.push(&element("j1")).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { action: "push a job", .. }), "{error:?}");
        assert_eq!(mock.stats().count("LPUSH"), 1);
        assert_eq!(mock.command(["LLEN", "sdxl_queue"]), Reply::Int(1));
        mock.inject(Fault::error("LOADING Redis is loading").on("LPUSH").times(1));
        queue.push(&element("j2")).await.unwrap();
        assert_eq!(mock.command(["LLEN", "sdxl_queue"]), Reply::Int(2), "what was refused may be repeated");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_is_not_asked_again_at_once() {
    for face in FACES {
        let mock = MockRedis::start();
        let queue = queue(&mock, face).await;
        queue.push(&element("j1")).await.unwrap();
        mock.inject(Fault::error("OOM command not allowed when used memory > 'maxmemory'.").on("EVALSHA"));
        mock.reset_stats();
        let error = queue.claim(&ClaimId::new(), &WorkerId::new("w")).await.unwrap_err();
        assert!(error.retryable(), "{error:?}");
        assert_eq!(mock.stats().count("EVALSHA"), 1);
        mock.clear_faults();
        take(&*queue).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_not_repeated() {
    for face in FACES {
        let mock = MockRedis::start();
        let queue = queue(&mock, face).await;
        mock.command(["SET", "{sdxl_queue}:stats", "text"]);
        mock.reset_stats();
        let error = queue.counts().await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        assert_eq!(mock.stats().count("EVALSHA"), 1);
        mock.inject(
            Fault::error("NOPERM this user has no permissions to run the 'exists' command").on("EXISTS"),
        );
        let error = queue.cancelled("j1").await.unwrap_err();
        assert!(!error.retryable(), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_gone_is_found_again() {
    for face in FACES {
        let mock = MockRedis::start();
        let queue = queue(&mock, face).await;
        queue.push(&element("j1")).await.unwrap();
        let first = take(&*queue).await;
        mock.down();
        let begun = std::time::Instant::now();
        let error = queue.beat(&first.claim, "j1").await.unwrap_err();
        assert!(error.retryable(), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        mock.up();
        assert_eq!(queue.beat(&first.claim, "j1").await.unwrap(), Beat::Held);
        let settled = queue.settle(&first.claim, &Settlement::Done { callback: None }).await.unwrap();
        assert_eq!(settled, Settled::Applied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_absence_is_bridged() {
    for face in FACES {
        let mock = MockRedis::start();
        let queue = queue(&mock, face).await;
        queue.push(&element("j1")).await.unwrap();
        mock.down();
        mock.up();
        take(&*queue).await;
    }
}
