//! How claims end, one worker and one job at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ourvidz_core::job::callback::{Callback, ErrorCode};
use serde_json::json;

use super::support::*;
use crate::worker::*;
use crate::*;

#[tokio::test]
async fn a_made_job_is_done_and_calls_back() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let seen = rig.queue.clone();
    let outcome = rig.once(move |job, _| {
        assert_eq!(seen.count("announce"), 1, "processing is announced before the handler is called");
        made(job)
    });
    assert_eq!(outcome.await, Some(Outcome::Completed));
    let counts = rig.counts().await;
    assert_eq!((counts.done, counts.in_flight, counts.waiting, counts.failed), (1, 0, 0, 0));
    let callbacks = rig.callbacks().await;
    assert_eq!(callbacks.len(), 1, "the end replaces the beginning: {callbacks:?}");
    assert_eq!(callbacks[0]["status"], "completed");
    assert_eq!(callbacks[0]["worker_id"], "w1");
    assert_eq!(callbacks[0]["metadata"]["seed"], 7);
    assert_eq!(rig.queue.waiting_callbacks(1).await.unwrap()[0].callback.id, "j1:completed");
    tokio::time::timeout(SECOND, rig.hint.next()).await.expect("the deliverer is told");
}

#[tokio::test]
async fn without_a_receiver_no_callback_is_written() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let worker = rig.worker(WorkerOptions { callbacks: None, ..options() }, |job, _| made(job));
    let handled = worker.run_once(&rig.shutdown).await.unwrap().unwrap();
    assert_eq!(handled.outcome, Outcome::Completed);
    assert_eq!((rig.counts().await.callbacks, rig.queue.count("announce")), (0, 0));
}

#[tokio::test]
async fn an_empty_queue_is_nothing_to_do() {
    let rig = Rig::new();
    assert_eq!(rig.once(|job, _| made(job)).await, None);
    assert_eq!((rig.queue.count("claim"), rig.queue.count("wait")), (1, 0));
}

#[tokio::test]
async fn what_is_not_a_job_fails_with_a_callback_where_it_has_an_id() {
    let rig = Rig::new();
    rig.push(r#"{"id":"j1","type":"sdxl_image_fast","prompt":"a fox"}"#).await;
    rig.push("no json").await;
    let invalid = Some(Outcome::Failed { code: ErrorCode::InvalidJob });
    assert_eq!(rig.once(|job, _| made(job)).await, invalid);
    assert_eq!(rig.once(|job, _| made(job)).await, invalid);
    assert_eq!(rig.dead_codes().await, ["INVALID_JOB", "INVALID_JOB"]);
    let callbacks = rig.callbacks().await;
    assert_eq!(callbacks.len(), 1);
    assert_eq!(callbacks[0]["job_id"], "j1");
    assert_eq!(callbacks[0]["metadata"]["field"], "user_id");
    assert_eq!(callbacks[0]["metadata"]["attempts"], 1);
}

#[tokio::test]
async fn a_job_of_another_family_moves_to_its_queue() {
    let rig = Rig::new();
    rig.push(&JOB.replace("sdxl_image_fast", "video_fast")).await;
    let outcome = rig.once(|job, _| made(job)).await;
    assert_eq!(outcome, Some(Outcome::Transferred { queue: "wan_queue".to_owned() }));
    let wan = rig.queue.queue.sibling("wan_queue");
    assert_eq!((wan.counts().await.unwrap().waiting, rig.counts().await.callbacks), (1, 0));
}

#[tokio::test]
async fn a_type_nobody_on_the_queue_makes_fails() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let job_types = vec![ourvidz_core::job::JobType::SdxlImageHigh];
    let worker = rig.worker(WorkerOptions { job_types, ..options() }, |job, _| made(job));
    let handled = worker.run_once(&rig.shutdown).await.unwrap().unwrap();
    assert_eq!(handled.outcome, Outcome::Failed { code: ErrorCode::UnsupportedJobType });
    let metadata = &rig.callbacks().await[0]["metadata"];
    assert_eq!((&metadata["field"], &metadata["retryable"]), (&json!("type"), &json!(false)));
}

#[tokio::test]
async fn a_failed_attempt_is_tried_again_and_counted() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let outcome = rig.once(|_, _| Err(JobFailure::retry(ErrorCode::OutOfMemory, "too little memory"))).await;
    let Some(Outcome::Retrying { code: ErrorCode::OutOfMemory, after_ms }) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(after_ms <= 1000, "{after_ms}");
    assert_eq!((rig.counts().await.delayed, rig.counts().await.callbacks), (1, 1), "only processing");
    rig.clock.advance(SECOND);
    let outcome = rig.once(|job, control| {
        assert_eq!(control.job().attempt, 2);
        made(job)
    });
    assert_eq!(outcome.await, Some(Outcome::Completed));
}

#[tokio::test]
async fn the_failures_own_wait_counts_where_it_is_longer() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let outcome = rig.once(|_, _| {
        let failure = Failure::new(ErrorCode::Storage, "the store is busy");
        Err(JobFailure::Retry { failure, after: Some(Duration::from_secs(120)) })
    });
    let expected = Outcome::Retrying { code: ErrorCode::Storage, after_ms: 120_000 };
    assert_eq!(outcome.await, Some(expected));
}

#[tokio::test]
async fn the_last_attempt_fails_for_good() {
    let rig = Rig::new();
    rig.push(JOB).await;
    for _ in 0..2 {
        let outcome = rig.once(|_, _| Err(JobFailure::retry(ErrorCode::Storage, "the store is away"))).await;
        assert!(matches!(outcome, Some(Outcome::Retrying { .. })), "{outcome:?}");
        rig.clock.advance(2 * SECOND);
    }
    let outcome = rig.once(|_, _| Err(JobFailure::retry(ErrorCode::Storage, "the store is away"))).await;
    assert_eq!(outcome, Some(Outcome::Failed { code: ErrorCode::Storage }));
    assert_eq!(rig.dead_codes().await, ["STORAGE"]);
    let callbacks = rig.callbacks().await;
    assert_eq!((callbacks.len(), &callbacks[0]["error_message"]), (1, &json!("the store is away")));
    let metadata = &callbacks[0]["metadata"];
    assert_eq!((&metadata["attempts"], &metadata["retryable"]), (&json!(3), &json!(true)));
    let timestamp = metadata["timestamp"].as_str().unwrap();
    assert!(timestamp.starts_with("20") && timestamp.ends_with('Z'), "{timestamp}");
}

#[tokio::test]
async fn a_permanent_failure_is_not_tried_again() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let outcome = rig.once(|_, _| {
        let rule = "nothing of the kind".to_owned();
        Err(ourvidz_core::Error::ContentPolicy { rule }.into())
    });
    assert_eq!(outcome.await, Some(Outcome::Failed { code: ErrorCode::ContentPolicy }));
    assert_eq!(rig.dead_codes().await, ["CONTENT_POLICY"]);
    assert_eq!(rig.callbacks().await[0]["metadata"]["retryable"], false);
}

#[tokio::test]
async fn a_job_that_killed_its_workers_is_not_run_again() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let dying = WorkerId::from_text("dying");
    for _ in 0..3 {
        rig.clock.advance(60 * SECOND);
        let claimed = rig.queue.claim(&ClaimId::new(), &dying).await.unwrap();
        assert!(matches!(claimed, Claimed::Job(_)), "{claimed:?}");
        rig.queue.release_worker(&dying).await.unwrap();
    }
    rig.clock.advance(60 * SECOND);
    let outcome = rig.once(|_, _| panic!("must not be called")).await;
    assert_eq!(outcome, Some(Outcome::Failed { code: ErrorCode::Internal }));
    let callbacks = rig.callbacks().await;
    let message = "the job was not finished in 3 attempts: worker dying died or stalled";
    assert_eq!(callbacks[0]["error_message"], message);
    assert_eq!(rig.dead_codes().await, ["INTERNAL"]);
}

#[tokio::test]
async fn a_panic_costs_an_attempt_and_the_handler() {
    let rig = Rig::new();
    rig.push(JOB).await;
    rig.push(&job("j2")).await;
    let makes = Arc::new(AtomicU32::new(0));
    let counted = makes.clone();
    let handler = |job: &ourvidz_core::job::Job, control: &JobControl| match control.job().job_id.as_str() {
        "j1" => panic!("secret internals"),
        _ => made(job),
    };
    let worker = Worker::builder(rig.queue.clone(), WorkerId::from_text("w1")).options(options());
    let worker = worker
        .start(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::io::Error>(Fake::new(handler))
        })
        .unwrap();
    let mut events = worker.subscribe();
    let running = tokio::spawn({
        let shutdown = rig.shutdown.clone();
        async move { worker.run(&shutdown).await }
    });
    let mut outcomes = Vec::new();
    while outcomes.len() < 2 {
        if let WorkerEvent::Settled(job, outcome) = events.recv().await.unwrap() {
            outcomes.push((job.job_id.clone(), outcome));
        }
    }
    rig.shutdown.drain();
    running.await.unwrap().unwrap();
    assert!(matches!(outcomes[0], (_, Outcome::Retrying { code: ErrorCode::Internal, .. })), "{outcomes:?}");
    assert_eq!(outcomes[1], ("j2".to_owned(), Outcome::Completed));
    assert_eq!(makes.load(Ordering::SeqCst), 2);
    let delayed = rig.queue.delayed(9).await.unwrap();
    assert_eq!(delayed.len(), 1);
}

#[tokio::test]
async fn a_panic_in_the_last_attempt_tells_nothing_of_the_inside() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let retry = RetryPolicy { max_attempts: 1, ..Default::default() };
    let worker = rig.worker(WorkerOptions { retry, ..options() }, |_, _| panic!("secret internals"));
    let handled = worker.run_once(&rig.shutdown).await.unwrap().unwrap();
    assert_eq!(handled.outcome, Outcome::Failed { code: ErrorCode::Internal });
    let callback = rig.callbacks().await.remove(0);
    assert_eq!(callback["error_message"], "the worker met a defect");
    assert!(!callback.to_string().contains("secret"));
}

#[tokio::test]
async fn another_jobs_callback_is_a_defect() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let outcome = rig.once(|job, _| Ok(Callback { job_id: "j9".to_owned(), ..made(job)? })).await;
    assert!(matches!(outcome, Some(Outcome::Retrying { code: ErrorCode::Internal, .. })), "{outcome:?}");
    rig.clock.advance(SECOND);
    let outcome = rig.once(|job, _| Ok(Callback::processing(job))).await;
    assert!(matches!(outcome, Some(Outcome::Retrying { code: ErrorCode::Internal, .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_handler_that_cannot_be_made_takes_no_job() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let make = || Err::<Fake<fn(&ourvidz_core::job::Job, &JobControl) -> _>, _>("no such model");
    let worker = Worker::builder(rig.queue.clone(), WorkerId::from_text("w1")).start(make).unwrap();
    let error = worker.run(&rig.shutdown).await.unwrap_err();
    assert!(
        matches!(&error, Error::Handler { source } if source.to_string() == "no such model"),
        "{error:?}"
    );
    assert_eq!((rig.queue.count("claim"), rig.counts().await.waiting), (0, 1));
}

#[tokio::test]
async fn progress_is_told_in_order() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let worker = rig.worker(options(), |job, control| {
        control.stage(Stage::Loading)?;
        for step in 1..=3 {
            control.step(step, 3)?;
        }
        control.stage(Stage::Storing)?;
        made(job)
    });
    let mut events = worker.subscribe();
    worker.run_once(&rig.shutdown).await.unwrap();
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        told.push(match event {
            WorkerEvent::Ready => "ready".to_owned(),
            WorkerEvent::Claimed(job) => format!("claimed {} attempt {}", job.job_id, job.attempt),
            WorkerEvent::Started(_, job_type) => format!("started {job_type}"),
            WorkerEvent::Stage(_, stage) => format!("{stage:?}"),
            WorkerEvent::Step { step, steps, .. } => format!("{step}/{steps}"),
            WorkerEvent::Settled(_, outcome) => format!("{outcome:?}"),
            other => panic!("{other:?}"),
        });
    }
    let expected = "ready,claimed j1 attempt 1,started sdxl_image_fast,Loading,1/3,2/3,3/3,Storing,Completed";
    assert_eq!(told.join(","), expected);
}
