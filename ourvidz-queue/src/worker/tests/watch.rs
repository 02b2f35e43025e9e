//! The heartbeat's watch over one job, under paused time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::faulty::{Fault, Faulty};
use super::support::*;
use crate::worker::watch::{Watched, watch};
use crate::worker::*;
use crate::*;

const STALL: Duration = Duration::from_secs(300);

/// A claimed job and its watch.
struct Watching {
    rig: Rig,
    control: JobControl,
    ended: oneshot::Sender<()>,
    stalled: oneshot::Receiver<Duration>,
}

async fn watching(deadline: Duration, cancel_interval: Duration) -> Watching {
    let mut rig = Rig::new();
    let mut queue = Faulty::new(rig.queue.queue.clone());
    queue.cancel_interval = cancel_interval;
    rig.queue = Arc::new(queue);
    rig.push(JOB).await;
    let claim = ClaimId::new();
    rig.queue.claim(&claim, &WorkerId::from_text("w1")).await.unwrap();
    let job = JobRef { job_id: "j1".to_owned(), attempt: 1, claim };
    let control = JobControl::new(Arc::new(job), broadcast::Sender::new(100));
    let (ended, is_ended) = oneshot::channel();
    let (tell, stalled) = oneshot::channel();
    let watched = Watched { control: control.clone(), deadline, ended: is_ended, stalled: tell };
    let queue = rig.queue.clone();
    tokio::spawn(async move { watch(queue.as_ref(), watched, STALL).await });
    Watching { rig, control, ended, stalled }
}

/// A job that steps every 10 s.
async fn step_for(control: &JobControl, seconds: u64) -> Result<(), Stop> {
    for step in 0..seconds / 10 {
        sleep(10 * SECOND).await;
        control.step(step as usize, 9)?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_renewed_three_times_before_it_runs_out() {
    let w = watching(Duration::MAX, Duration::MAX).await;
    step_for(&w.control, 900).await.unwrap();
    let beats = w.rig.queue.count("beat");
    assert!((90..=113).contains(&beats), "{beats} beats in 30 leases of 30 s");
    drop(w.ended);
    tokio::task::yield_now().await;
    sleep(60 * SECOND).await;
    assert!(w.rig.queue.count("beat") <= beats + 1, "none after the end");
}

#[tokio::test(start_paused = true)]
async fn a_beat_that_fails_is_repeated_soon_and_the_job_goes_on() {
    let w = watching(Duration::MAX, Duration::MAX).await;
    w.rig.queue.fail("beat", Fault::Unavailable);
    w.rig.queue.fail("beat", Fault::Hangs);
    w.rig.queue.called("beat", 2).await;
    let began = Instant::now();
    w.rig.queue.called("beat", 3).await;
    assert!(began.elapsed() <= Duration::from_millis(12_500), "{:?}", began.elapsed());
    assert_eq!(w.control.stop_reason(), None);
}

#[tokio::test(start_paused = true)]
async fn a_beat_tells_of_a_cancellation() {
    let w = watching(Duration::MAX, Duration::MAX).await;
    w.rig.queue.cancel("j1").await.unwrap();
    assert_eq!(w.control.stopped().await, Stop::Cancelled);
    assert_eq!(w.rig.queue.count("cancelled"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_stops_the_job_and_outweighs_other_reasons() {
    let w = watching(Duration::MAX, Duration::MAX).await;
    w.control.stop(Stop::Draining);
    w.control.stop(Stop::Cancelled);
    assert_eq!(w.control.stop_reason(), Some(Stop::Draining), "the first reason stays");
    w.rig.queue.release_worker(&WorkerId::from_text("w1")).await.unwrap();
    w.rig.queue.called("beat", 1).await;
    while w.control.stop_reason() != Some(Stop::LeaseLost) {
        tokio::task::yield_now().await;
    }
    sleep(100 * SECOND).await;
    assert_eq!(w.rig.queue.count("beat"), 1, "nothing is left to renew");
}

#[tokio::test(start_paused = true)]
async fn cancellation_is_asked_for_as_often_as_the_backend_allows() {
    let w = watching(Duration::MAX, 25 * SECOND).await;
    step_for(&w.control, 300).await.unwrap();
    let asked = w.rig.queue.count("cancelled");
    assert!((9..=10).contains(&asked), "{asked} times in 300 s, a step every 10 s");
}

#[tokio::test(start_paused = true)]
async fn a_question_that_fails_is_asked_at_the_next_step() {
    let w = watching(Duration::MAX, Duration::ZERO).await;
    w.rig.queue.fail("cancelled", Fault::Unavailable);
    w.rig.queue.cancel("j1").await.unwrap();
    w.control.step(1, 3).unwrap();
    w.rig.queue.called("cancelled", 1).await;
    w.control.step(2, 3).unwrap();
    w.rig.queue.called("cancelled", 2).await;
    assert_eq!(timeout(SECOND, w.control.stopped()).await, Ok(Stop::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_stops_a_job_however_busy_it_is() {
    let w = watching(605 * SECOND, Duration::MAX).await;
    let began = Instant::now();
    assert_eq!(step_for(&w.control, 3600).await, Err(Stop::Deadline));
    assert_eq!(began.elapsed(), 610 * SECOND, "the first step past it");
}

#[tokio::test(start_paused = true)]
async fn a_job_without_progress_is_reported_and_its_lease_left_to_run_out() {
    let w = watching(Duration::MAX, Duration::MAX).await;
    step_for(&w.control, 100).await.unwrap();
    assert_eq!(w.stalled.await, Ok(STALL));
    let beats = w.rig.queue.count("beat");
    sleep(600 * SECOND).await;
    assert_eq!((w.rig.queue.count("beat"), w.control.stop_reason()), (beats, Some(Stop::LeaseLost)));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_does_not_obey_is_reported() {
    let mut w = watching(100 * SECOND, Duration::MAX).await;
    let began = Instant::now();
    let stubborn = async {
        loop {
            sleep(10 * SECOND).await;
            let _reason = w.control.step(1, 9);
        }
    };
    let idle = tokio::select! {
        idle = &mut w.stalled => idle,
        () = stubborn => unreachable!(),
    };
    assert_eq!((idle, began.elapsed()), (Ok(STALL), 400 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn once_the_handler_has_returned_only_the_lease_matters() {
    let w = watching(100 * SECOND, Duration::ZERO).await;
    assert_eq!(w.control.finish(), None);
    let Watching { rig, control, ended, stalled } = w;
    assert!(timeout(3600 * SECOND, stalled).await.is_err(), "not stalled");
    assert_eq!((control.stop_reason(), rig.queue.count("cancelled")), (None, 0));
    assert!(rig.queue.count("beat") >= 360);
    drop(ended);
}
