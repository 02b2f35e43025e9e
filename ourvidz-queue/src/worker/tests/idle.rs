//! Workers without a job. Time is paused.

use std::time::Duration;

use tokio::time::Instant;

use super::faulty::Fault;
use super::support::*;
use crate::worker::*;
use crate::*;

fn start(rig: &Rig) -> tokio::task::JoinHandle<Result<()>> {
    let worker = rig.worker(options(), |job, _| made(job));
    let shutdown = rig.shutdown.clone();
    tokio::spawn(async move { worker.run(&shutdown).await })
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_ends_out_of_its_wait() {
    let rig = Rig::new();
    let running = start(&rig);
    rig.queue.called("wait", 1).await;
    let asked = Instant::now();
    rig.shutdown.drain();
    running.await.unwrap().unwrap();
    assert!(asked.elapsed() < 10 * SECOND, "the rest of the wait: {:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_asks_every_ten_seconds_and_at_once_after_a_push() {
    let rig = Rig::new();
    let running = start(&rig);
    rig.queue.called("wait", 1).await;
    let began = Instant::now();
    rig.queue.called("wait", 3).await;
    assert_eq!(began.elapsed(), 20 * SECOND);
    rig.push(JOB).await;
    rig.queue.called("settle", 1).await;
    rig.shutdown.drain();
    running.await.unwrap().unwrap();
    assert_eq!(rig.counts().await.done, 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_waits_no_longer_than_for_the_next_job() {
    let rig = Rig::new();
    let claim = ClaimId::new();
    rig.push(JOB).await;
    rig.queue.claim(&claim, &WorkerId::from_text("w2")).await.unwrap();
    let retry = Settlement::Retry { after: 4 * SECOND, reason: String::new() };
    rig.queue.settle(&claim, &retry).await.unwrap();
    let running = start(&rig);
    rig.queue.called("wait", 1).await;
    let began = Instant::now();
    rig.clock.advance(4 * SECOND);
    rig.queue.called("settle", 2).await;
    assert_eq!(began.elapsed(), 4 * SECOND);
    rig.shutdown.drain();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_paused_queue_is_asked_every_second() {
    let rig = Rig::new();
    rig.push(JOB).await;
    rig.queue.pause().await.unwrap();
    let running = start(&rig);
    rig.queue.called("claim", 1).await;
    let began = Instant::now();
    rig.queue.called("claim", 4).await;
    assert_eq!((began.elapsed(), rig.queue.count("wait")), (3 * SECOND, 0));
    rig.queue.resume().await.unwrap();
    rig.queue.called("settle", 1).await;
    rig.shutdown.drain();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_deliverer_learns_when_the_next_callback_is_due() {
    let rig = Rig::new();
    let (claim, id) = (ClaimId::new(), "j1:completed".to_owned());
    rig.push(JOB).await;
    rig.queue.claim(&claim, &WorkerId::from_text("w2")).await.unwrap();
    let callback = Some(PendingCallback { id, job_id: "j1".to_owned(), body: "{}".to_owned() });
    rig.queue.settle(&claim, &Settlement::Done { callback }).await.unwrap();
    rig.queue.postpone("j1:completed", 7 * SECOND, "busy").await.unwrap();
    let running = start(&rig);
    rig.queue.called("wait", 1).await;
    let began = Instant::now();
    rig.hint.next().await;
    assert_eq!(began.elapsed(), 7 * SECOND);
    rig.shutdown.drain();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_away_is_waited_for() {
    let rig = Rig::new();
    rig.push(JOB).await;
    rig.queue.set_down(true);
    let worker = rig.worker(options(), |job, _| made(job));
    let mut events = worker.subscribe();
    let shutdown = rig.shutdown.clone();
    let running = tokio::spawn(async move { worker.run(&shutdown).await });
    let began = Instant::now();
    rig.queue.called("claim", 12).await;
    let (least, most) = (Duration::from_millis(1), (1 + 2 + 4 + 8) * SECOND / 2 + 7 * 15 * SECOND);
    assert!(began.elapsed() > least && began.elapsed() < most, "{:?}", began.elapsed());
    rig.queue.set_down(false);
    rig.queue.called("settle", 1).await;
    rig.shutdown.drain();
    running.await.unwrap().unwrap();
    let mut changes = 0;
    while let Ok(event) = events.try_recv() {
        changes += usize::from(matches!(event, WorkerEvent::BackendLost | WorkerEvent::BackendBack));
    }
    assert_eq!(changes, 2, "each change is told once");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_fails_does_not_make_a_busy_loop() {
    let rig = Rig::new();
    for _ in 0..5 {
        rig.queue.fail("wait", Fault::Unavailable);
    }
    let running = start(&rig);
    rig.queue.called("wait", 1).await;
    let began = Instant::now();
    rig.queue.called("wait", 6).await;
    assert_eq!(began.elapsed(), 5 * SECOND);
    rig.shutdown.drain();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_worker_whose_heartbeat_is_refused_takes_no_job() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let builder = Worker::builder(rig.queue.clone(), WorkerId::from_text("w1")).heartbeat_queue(|| async {
        Err(Error::Refused { action: "log in", source: "wrong password".into() })
    });
    let worker = builder.start(|| Ok::<_, std::io::Error>(Fake::new(|job: &_, _: &_| made(job)))).unwrap();
    let error = worker.run(&rig.shutdown).await.unwrap_err();
    assert!(matches!(error, Error::Refused { action: "log in", .. }), "{error:?}");
    assert_eq!(rig.queue.count("claim"), 0);
}

#[tokio::test]
async fn the_heartbeat_has_a_queue_handle_of_its_own() {
    let rig = Rig::new();
    let own = Rig::new();
    own.push(JOB).await;
    own.queue.cancel("j1").await.unwrap();
    rig.push(JOB).await;
    let handle = own.queue.clone();
    let builder = Worker::builder(rig.queue.clone(), WorkerId::from_text("w1")).heartbeat_queue(move || {
        assert_eq!(std::thread::current().name(), Some("ourvidz-heartbeat"));
        let handle: std::sync::Arc<dyn Backend> = handle.clone();
        async move { Ok(handle) }
    });
    let make = || {
        Ok::<_, std::io::Error>(Fake::new(|_: &_, control: &JobControl| {
            control.step(1, 2)?;
            Err(until_stopped(control).into())
        }))
    };
    let handled = builder.start(make).unwrap().run_once(&rig.shutdown).await.unwrap().unwrap();
    assert_eq!(handled.outcome, Outcome::Cancelled);
    assert_eq!((rig.queue.count("cancelled"), own.queue.count("cancelled")), (0, 1));
}

#[tokio::test]
async fn a_worker_told_to_end_before_it_is_ready_ends() {
    let rig = Rig::new();
    rig.push(JOB).await;
    rig.shutdown.drain();
    rig.worker(options(), |job, _| made(job)).run(&rig.shutdown).await.unwrap();
    assert_eq!(rig.queue.count("claim"), 0);
}
