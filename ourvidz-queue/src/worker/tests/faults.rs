//! A backend that is away, and what the journal does then. Time is paused: back-offs cost nothing.

use std::path::Path;

use ourvidz_core::job::callback::ErrorCode;

use super::faulty::Fault;
use super::support::*;
use crate::worker::journal::Journal;
use crate::worker::*;
use crate::*;

fn journaling(folder: &Path) -> WorkerOptions {
    WorkerOptions { journal: Some(folder.to_owned()), ..options() }
}

fn files(folder: &Path) -> Vec<String> {
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Not sooner: under paused time the grace would be over before the handler returns.
async fn drain_at_settle(rig: &Rig) {
    rig.queue.called("settle", 1).await;
    rig.shutdown.drain();
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_was_lost_is_asked_for_again() {
    let rig = Rig::new();
    rig.push(JOB).await;
    rig.queue.fail("claim", Fault::LostReply);
    rig.queue.fail("claim", Fault::Hangs);
    assert_eq!(rig.once(|job, _| made(job)).await, Some(Outcome::Completed));
    assert_eq!((rig.queue.count("claim"), rig.counts().await.in_flight), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_worker() {
    let rig = Rig::new();
    rig.queue.fail("claim", Fault::Refused);
    let error = rig.worker(options(), |job, _| made(job)).run(&rig.shutdown).await.unwrap_err();
    assert!(matches!(error, Error::Refused { action: "claim", .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn beats_and_announcements_that_fail_do_not_keep_a_job_from_being_made() {
    let rig = Rig::new();
    rig.push(JOB).await;
    rig.queue.fail("beat", Fault::Unavailable);
    rig.queue.fail("announce", Fault::Unavailable);
    assert_eq!(rig.once(|job, _| made(job)).await, Some(Outcome::Completed));
    assert_eq!(rig.callbacks().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_settlement_whose_answer_was_lost_has_one_callback() {
    let rig = Rig::new();
    rig.push(JOB).await;
    rig.queue.fail("settle", Fault::LostReply);
    let folder = tempfile::tempdir().unwrap();
    let worker = rig.worker(journaling(folder.path()), |job, _| made(job));
    let handled = worker.run_once(&rig.shutdown).await.unwrap().unwrap();
    assert_eq!(handled.outcome, Outcome::Completed);
    assert_eq!((rig.queue.count("settle"), rig.counts().await.done, rig.callbacks().await.len()), (2, 1, 1));
    assert!(files(folder.path()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_claimed_while_a_settlement_waits_in_the_journal() {
    let rig = Rig::new();
    rig.push(JOB).await;
    rig.push(&job("j2")).await;
    let folder = tempfile::tempdir().unwrap();
    let queue = rig.queue.clone();
    let worker = rig.worker(journaling(folder.path()), move |job, control| {
        queue.set_down(control.job().job_id == "j1");
        made(job)
    });
    let mut events = worker.subscribe();
    let shutdown = rig.shutdown.clone();
    let running = tokio::spawn(async move { worker.run(&shutdown).await });
    rig.queue.called("settle", 5).await;
    let kept = files(folder.path());
    assert_eq!((kept.len(), rig.queue.count("claim")), (1, 1), "{kept:?}");
    assert!(kept[0].ends_with(".json"), "{kept:?}");
    rig.queue.set_down(false);
    rig.queue.called("settle", 7).await;
    let mut told = Vec::new();
    while told.len() < 4 {
        match events.recv().await.unwrap() {
            WorkerEvent::BackendLost => told.push("lost".to_owned()),
            WorkerEvent::BackendBack => told.push("back".to_owned()),
            WorkerEvent::Settled(job, outcome) => told.push(format!("{} {outcome:?}", job.job_id)),
            _ => {}
        }
    }
    assert_eq!(told, ["lost", "back", "j1 Completed", "j2 Completed"]);
    assert!(files(folder.path()).is_empty());
    rig.shutdown.drain();
    running.await.unwrap().unwrap();
    assert_eq!((rig.counts().await.done, rig.callbacks().await.len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_ends_without_its_backend_leaves_the_settlement_to_the_next() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let folder = tempfile::tempdir().unwrap();
    let queue = rig.queue.clone();
    let worker = rig.worker(journaling(folder.path()), move |job, _| {
        queue.set_down(true);
        made(job)
    });
    let (handled, ()) = tokio::join!(worker.run_once(&rig.shutdown), drain_at_settle(&rig));
    let outcome = handled.unwrap().unwrap().outcome;
    assert_eq!((outcome, files(folder.path()).len()), (Outcome::Journaled, 1));

    rig.queue.set_down(false);
    rig.queue.fail("settle", Fault::Unavailable);
    let worker = rig.worker(journaling(folder.path()), |job, _| made(job));
    assert_eq!(worker.run_once(&Shutdown::new()).await.unwrap(), None);
    assert_eq!((rig.counts().await.done, rig.callbacks().await.len()), (1, 1));
    assert!(files(folder.path()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_a_journal_a_worker_that_ends_says_what_was_lost() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let queue = rig.queue.clone();
    let worker = rig.worker(options(), move |job, _| {
        queue.set_down(true);
        made(job)
    });
    let (handled, ()) = tokio::join!(worker.run_once(&rig.shutdown), drain_at_settle(&rig));
    let error = handled.unwrap_err();
    assert!(matches!(error, Error::Unavailable { action: "settle", .. }), "{error:?}");
    assert_eq!(rig.counts().await.in_flight, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_settlement_stays_in_the_journal() {
    let rig = Rig::new();
    rig.push(JOB).await;
    rig.queue.fail("settle", Fault::Refused);
    let folder = tempfile::tempdir().unwrap();
    let worker = rig.worker(journaling(folder.path()), |job, _| made(job));
    let error = worker.run_once(&rig.shutdown).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert_eq!(files(folder.path()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn at_the_start_the_journal_is_replayed() {
    let rig = Rig::new();
    rig.push(JOB).await;
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::new(folder.path(), "sdxl_queue");
    // One the backend still holds, one it has forgotten, one of another queue, one of nobody.
    let (held, lost, others) = (ClaimId::new(), ClaimId::new(), ClaimId::new());
    rig.queue.claim(&held, &WorkerId::from_text("earlier")).await.unwrap();
    let dead_letter = Some(DeadReason { code: ErrorCode::Model.to_string(), message: "no model".to_owned() });
    journal.write(&held, &Settlement::Failed { callback: None, dead_letter }).unwrap();
    journal.write(&lost, &Settlement::Done { callback: None }).unwrap();
    Journal::new(folder.path(), "wan_queue").write(&others, &Settlement::GiveBack).unwrap();
    std::fs::write(folder.path().join("half.json"), "{\"queue\":").unwrap();

    let worker = rig.worker(journaling(folder.path()), |job, _| made(job));
    assert_eq!(worker.run_once(&rig.shutdown).await.unwrap(), None);
    assert_eq!(rig.dead_codes().await, ["MODEL"]);
    let mut kept = vec![format!("{others}.json"), "half.corrupt".to_owned()];
    kept.sort();
    assert_eq!(files(folder.path()), kept);
}

#[tokio::test(start_paused = true)]
async fn a_job_claimed_while_the_worker_was_told_to_end_is_given_back() {
    for fault in [Fault::Late, Fault::LostReply] {
        let rig = Rig::new();
        rig.queue.fail("claim", fault);
        rig.push(JOB).await;
        let worker = rig.worker(options(), |_, _| panic!("must not be called"));
        let (run, ()) = tokio::join!(worker.run(&rig.shutdown), async {
            rig.queue.called("claim", 1).await;
            rig.shutdown.drain();
            rig.queue.late.notify_one();
        });
        run.unwrap();
        let counts = rig.counts().await;
        assert_eq!((counts.waiting, counts.in_flight), (1, 0), "{fault:?}");
        match rig.queue.claim(&ClaimId::new(), &WorkerId::from_text("w2")).await.unwrap() {
            Claimed::Job(delivery) => assert_eq!(delivery.attempt, 1, "the attempt was refunded"),
            other => panic!("{other:?}"),
        }
    }
}
