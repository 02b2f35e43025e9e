//! Jobs that are told to stop, and workers that end.

use std::time::Duration;

use ourvidz_core::job::callback::ErrorCode;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::support::*;
use crate::worker::*;
use crate::*;

/// Runs a worker whose handler says that it has begun, then does as `rest` says.
fn begin<F>(
    rig: &Rig,
    options: WorkerOptions,
    rest: F,
) -> (JoinHandle<Result<Option<Handled>>>, mpsc::UnboundedReceiver<()>)
where
    F: FnMut(
            &ourvidz_core::job::Job,
            &JobControl,
        ) -> Result<ourvidz_core::job::callback::Callback, JobFailure>
        + Clone
        + Send
        + 'static,
{
    let (say, begun) = mpsc::unbounded_channel();
    let mut rest = rest;
    let worker = rig.worker(options, move |job, control| {
        say.send(()).unwrap();
        rest(job, control)
    });
    let shutdown = rig.shutdown.clone();
    (tokio::spawn(async move { worker.run_once(&shutdown).await }), begun)
}

async fn outcome(running: JoinHandle<Result<Option<Handled>>>) -> Outcome {
    running.await.unwrap().unwrap().unwrap().outcome
}

#[tokio::test]
async fn a_job_cancelled_before_it_began_is_not_begun() {
    let rig = Rig::new();
    rig.push(JOB).await;
    rig.queue.cancel("j1").await.unwrap();
    assert_eq!(rig.once(|_, _| panic!("must not be called")).await, Some(Outcome::Cancelled));
    let counts = rig.counts().await;
    assert_eq!((counts.failed, counts.dead), (1, 0));
    let callback = rig.callbacks().await.remove(0);
    assert_eq!(
        (&callback["status"], &callback["metadata"]["error_code"]),
        (&"failed".into(), &"CANCELLED".into())
    );
    assert_eq!(callback["error_message"], "the job was cancelled");
}

#[tokio::test]
async fn a_running_job_stops_within_one_step_of_its_cancellation() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let (go, gate) = gate();
    let (running, mut begun) = begin(&rig, options(), move |_, control| {
        control.step(1, 9)?;
        gate.lock().unwrap().recv().unwrap();
        control.step(2, 9)?; // what this step starts is the question
        let stop = until_stopped(control);
        assert_eq!(control.step(3, 9), Err(stop));
        Err(stop.into())
    });
    begun.recv().await.unwrap();
    rig.queue.called("cancelled", 1).await;
    rig.queue.cancel("j1").await.unwrap();
    go.send(()).unwrap();
    assert_eq!(outcome(running).await, Outcome::Cancelled);
    assert_eq!(rig.counts().await.dead, 0);
}

#[tokio::test]
async fn a_job_made_in_spite_of_its_cancellation_is_made() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let (go, gate) = gate();
    let (running, mut begun) = begin(&rig, options(), move |job, control| {
        gate.lock().unwrap().recv().unwrap();
        control.step(1, 1)?;
        assert_eq!(until_stopped(control), Stop::Cancelled);
        made(job)
    });
    begun.recv().await.unwrap();
    rig.queue.cancel("j1").await.unwrap();
    go.send(()).unwrap();
    assert_eq!(outcome(running).await, Outcome::Completed);
}

#[tokio::test]
async fn a_job_whose_lease_was_lost_is_not_settled() {
    let lease = Duration::from_millis(30);
    let rig = Rig::with(QueueOptions { lease, ..Default::default() });
    rig.push(JOB).await;
    let (running, mut begun) = begin(&rig, options(), |job, control| {
        assert_eq!(until_stopped(control), Stop::LeaseLost);
        made(job)
    });
    begun.recv().await.unwrap();
    let (claim, other) = (ClaimId::new(), WorkerId::from_text("w2"));
    // The heartbeat may renew between the two.
    let delivery = loop {
        rig.clock.advance(lease);
        match rig.queue.claim(&claim, &other).await.unwrap() {
            Claimed::Job(delivery) => break delivery,
            _ => tokio::task::yield_now().await,
        }
    };
    assert_eq!(delivery.attempt, 2);
    assert_eq!(
        rig.queue.settle(&claim, &Settlement::Done { callback: None }).await.unwrap(),
        Settled::Applied
    );
    assert_eq!(outcome(running).await, Outcome::LeaseLost);
    assert_eq!(rig.queue.count("settle"), 1, "the other worker's");
    assert_eq!(rig.counts().await.done, 1);
    assert!(rig.callbacks().await.iter().all(|callback| callback["status"] == "processing"));
}

#[tokio::test]
async fn a_lease_lost_unnoticed_is_noticed_when_the_job_is_settled() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let (queue, clock) = (rig.queue.clone(), rig.clock.clone());
    let outcome = rig.once(move |job, _| {
        clock.advance(31 * SECOND);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (claim, other) = (ClaimId::new(), WorkerId::from_text("w2"));
        let claimed = runtime.block_on(queue.claim(&claim, &other)).unwrap();
        assert!(matches!(claimed, Claimed::Job(Delivery { attempt: 2, .. })), "{claimed:?}");
        made(job)
    });
    assert_eq!(outcome.await, Some(Outcome::LeaseLost));
    assert_eq!((rig.counts().await.done, rig.counts().await.in_flight), (0, 1), "the other worker has it");
    assert!(rig.callbacks().await.iter().all(|callback| callback["status"] == "processing"));
}

#[tokio::test]
async fn past_its_deadline_a_job_is_stopped_and_tried_again() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let deadlines = Deadlines { sdxl: Duration::from_millis(5), ..Default::default() };
    let (running, _begun) = begin(&rig, WorkerOptions { deadlines, ..options() }, |_, control| {
        assert_eq!(until_stopped(control), Stop::Deadline);
        Err(ourvidz_core::Error::Cancelled { step: 1, num_inference_steps: 9 }.into())
    });
    let outcome = outcome(running).await;
    assert!(matches!(outcome, Outcome::Retrying { code: ErrorCode::Timeout, .. }), "{outcome:?}");
}

#[tokio::test]
async fn the_last_attempt_past_its_deadline_fails() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let deadlines = Deadlines { sdxl: Duration::from_millis(5), ..Default::default() };
    let retry = RetryPolicy { max_attempts: 1, ..Default::default() };
    let (running, _begun) = begin(&rig, WorkerOptions { deadlines, retry, ..options() }, |_, control| {
        Err(until_stopped(control).into())
    });
    assert_eq!(outcome(running).await, Outcome::Failed { code: ErrorCode::Timeout });
    let callback = rig.callbacks().await.remove(0);
    assert_eq!(callback["error_message"], "the job took longer than 0.005 s");
}

#[tokio::test]
async fn a_job_that_stands_still_ends_the_worker() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let (hold, held) = gate();
    let stall_timeout = Duration::from_millis(5);
    let (running, _begun) = begin(&rig, WorkerOptions { stall_timeout, ..options() }, move |job, _| {
        let _until_the_test_ends = held.lock().unwrap().recv();
        made(job)
    });
    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::Stalled { job_id, idle } if job_id == "j1" && *idle >= stall_timeout));
    assert_eq!(
        (rig.queue.count("settle"), rig.counts().await.in_flight),
        (0, 1),
        "the lease is left to run out"
    );
    drop(hold);
}

#[tokio::test]
async fn a_job_may_finish_within_the_grace() {
    let rig = Rig::new();
    rig.push(JOB).await;
    rig.push(&job("j2")).await;
    let shutdown = rig.shutdown.clone();
    let worker = rig.worker(options(), move |job, _| {
        shutdown.drain();
        made(job)
    });
    worker.run(&rig.shutdown).await.unwrap();
    let counts = rig.counts().await;
    assert_eq!((counts.done, counts.waiting, counts.in_flight), (1, 1, 0), "the second job is not begun");
}

#[tokio::test]
async fn a_job_that_outlasts_the_grace_is_given_back() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let (running, mut begun) =
        begin(&rig, WorkerOptions { grace: Duration::ZERO, ..options() }, |_, control| {
            Err(until_stopped(control).into())
        });
    begun.recv().await.unwrap();
    rig.shutdown.drain();
    assert_eq!(outcome(running).await, Outcome::GivenBack);
    assert_eq!(rig.counts().await.waiting, 1);
    attempt_is(&rig, 1).await;
}

#[tokio::test]
async fn a_second_signal_ends_the_grace() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let (running, mut begun) = begin(&rig, options(), |_, control| Err(until_stopped(control).into()));
    begun.recv().await.unwrap();
    rig.shutdown.drain();
    rig.shutdown.now();
    assert_eq!(outcome(running).await, Outcome::GivenBack);
    attempt_is(&rig, 1).await;
}

#[tokio::test]
async fn a_handler_that_does_not_return_is_left_behind() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let (hold, held) = gate();
    let hasty = WorkerOptions { drain_wait: Duration::from_millis(5), ..options() };
    let (running, mut begun) = begin(&rig, hasty, move |job, _| {
        let _until_the_test_ends = held.lock().unwrap().recv();
        made(job)
    });
    begun.recv().await.unwrap();
    rig.shutdown.now();
    assert_eq!(outcome(running).await, Outcome::GivenBack);
    attempt_is(&rig, 1).await;
    drop(hold);
}

#[tokio::test]
async fn a_job_whose_worker_was_dropped_stops() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let (say, mut said) = mpsc::unbounded_channel();
    let (running, mut begun) = begin(&rig, options(), move |_, control| {
        let stop = until_stopped(control);
        say.send(stop).unwrap();
        Err(stop.into())
    });
    begun.recv().await.unwrap();
    running.abort();
    assert_eq!(said.recv().await, Some(Stop::LeaseLost));
    assert_eq!((rig.queue.count("settle"), rig.counts().await.in_flight), (0, 1));
}

async fn attempt_is(rig: &Rig, expected: u32) {
    match rig.queue.claim(&ClaimId::new(), &WorkerId::from_text("w2")).await.unwrap() {
        Claimed::Job(delivery) => assert_eq!(delivery.attempt, expected),
        other => panic!("{other:?}"),
    }
}
