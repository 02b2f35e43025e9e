//! What people do to a queue.

use super::*;
use crate::Beat;

/// Every function of this module.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// As [`super::all`].
pub async fn all(harness: &dyn Harness) -> Result<()> {
    dead_letters_are_retried(harness).await?;
    removed_jobs_are_gone(harness).await?;
    paused_queue_hands_out_nothing(harness).await?;
    released_worker_loses_its_jobs_only(harness).await?;
    counts_are_everywhere(harness).await
}

/// All dead letters of one id become waiting again, attempts at 0; other jobs are not touched.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When one is missing, or attempts of a job that is not dead are forgotten.
pub async fn dead_letters_are_retried(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    let worker = WorkerId::new("w");
    for id in ["j1", "j2", "j1", "j3"] {
        queue.push(&element(id)).await?;
        let delivery = take(&*queue, &worker).await?;
        let failed = Settlement::Failed { callback: None, dead_letter: Some(reason("TIMEOUT")) };
        settle(&*queue, &delivery, &failed).await?;
    }
    assert_eq!(queue.retry_dead("j1").await?, 2);
    assert_eq!(queue.retry_dead("j1").await?, 0, "there are no dead ones left");
    assert_eq!(queue.retry_dead("unknown").await?, 0);
    assert_eq!(where_jobs_are(&*queue).await?, [2, 0, 0, 2, 0, 4]);
    let ids: Vec<_> = queue.dead(9).await?.into_iter().map(|letter| letter.job_id).collect();
    assert_eq!(ids, ["j3", "j2"]);
    let delivery = take(&*queue, &worker).await?;
    assert_eq!((&delivery.element, delivery.attempt), (&element("j1"), 1));
    settle(&*queue, &delivery, &done(None)).await?;
    finish(&*queue, &worker, &element("j1")).await?;

    queue.push(&element("j4")).await?;
    let delivery = take(&*queue, &worker).await?;
    settle(&*queue, &delivery, &retry(Duration::ZERO)).await?;
    assert_eq!(queue.retry_dead("j4").await?, 0);
    assert_eq!(take(&*queue, &worker).await?.attempt, 2, "a job that is not dead has lost its attempts");
    Ok(())
}

/// A removed job is gone from the waiting, delayed and dead ones, and its attempts with it; one in flight stays.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When something is left, or too much is gone.
pub async fn removed_jobs_are_gone(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    let worker = WorkerId::new("w");
    let enveloped = serde_json::json!([element("j1")]).to_string();
    queue.push(&element("j1")).await?;
    let delivery = take(&*queue, &worker).await?;
    let failed = Settlement::Failed { callback: None, dead_letter: Some(reason("TIMEOUT")) };
    settle(&*queue, &delivery, &failed).await?;
    queue.push(&element("j1")).await?;
    let delivery = take(&*queue, &worker).await?;
    settle(&*queue, &delivery, &retry(LONG)).await?;
    for element in [element("j0"), enveloped.clone(), element("j2"), enveloped] {
        queue.push(&element).await?;
    }
    assert_eq!(where_jobs_are(&*queue).await?[..4], [4, 0, 1, 1]);
    assert_eq!(queue.remove("unknown").await?, 0);
    assert_eq!(queue.remove("j1").await?, 4);
    assert_eq!(queue.remove("j1").await?, 0);
    assert_eq!(queue.waiting(9).await?, [element("j0"), element("j2")]);
    assert_eq!(where_jobs_are(&*queue).await?, [2, 0, 0, 0, 0, 1]);

    let held = take(&*queue, &worker).await?;
    assert_eq!(queue.remove("j0").await?, 0, "a job in flight is not touched");
    assert_eq!(queue.beat(&held.claim, "j0").await?, Beat::Held);
    settle(&*queue, &held, &done(None)).await?;
    finish(&*queue, &worker, &element("j2")).await?;
    queue.push(&element("j1")).await?;
    assert_eq!(take(&*queue, &worker).await?.attempt, 1, "the removed job's attempts were kept");
    Ok(())
}

/// While a queue is paused nothing is handed out, and running jobs go on to their end.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When a job is handed out, or a running one is disturbed.
pub async fn paused_queue_hands_out_nothing(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    let worker = WorkerId::new("w");
    for id in ["j1", "j2"] {
        queue.push(&element(id)).await?;
    }
    let running = take(&*queue, &worker).await?;
    assert!(!queue.counts().await?.paused);
    for _ in 0..2 {
        queue.pause().await?;
        assert!(queue.counts().await?.paused);
    }
    assert!(take_nothing(&*queue).await?.paused, "the answer does not say that the queue is paused");
    queue.push(&element("j3")).await?;
    take_nothing(&*queue).await?;
    assert_eq!(queue.beat(&running.claim, "j1").await?, Beat::Held);
    assert!(queue.announce(&running.claim, &callback("j1", "processing")).await?);
    settle(&*queue, &running, &done(Some(callback("j1", "completed")))).await?;
    assert_eq!(queue.take_due(9, LONG).await?.entries.len(), 1, "callbacks go on");
    assert_eq!(where_jobs_are(&*queue).await?, [2, 0, 0, 0, 1, 0]);
    for _ in 0..2 {
        queue.resume().await?;
        assert!(!queue.counts().await?.paused);
    }
    finish(&*queue, &worker, &element("j2")).await?;
    finish(&*queue, &worker, &element("j3")).await?;
    assert!(!take_nothing(&*queue).await?.paused);
    Ok(())
}

/// What a worker held comes back at once, counted; what others hold stays.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When another worker's job comes back, or the attempt does not count.
pub async fn released_worker_loses_its_jobs_only(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    let (dead, alive) = (WorkerId::new("w"), WorkerId::new("w"));
    for id in ["j1", "j2", "j3", "j4"] {
        queue.push(&element(id)).await?;
    }
    let (one, two, three) =
        (take(&*queue, &dead).await?, take(&*queue, &alive).await?, take(&*queue, &dead).await?);
    assert_eq!(queue.release_worker(&WorkerId::new("w")).await?, 0);
    assert_eq!(queue.release_worker(&dead).await?, 2);
    assert_eq!(queue.release_worker(&dead).await?, 0);
    assert_eq!(where_jobs_are(&*queue).await?[..3], [3, 1, 0]);
    assert_eq!(queue.waiting(9).await?.last(), Some(&element("j4")), "jobs that come back are next");
    for lost in [&one, &three] {
        assert_eq!(queue.settle(&lost.claim, &done(None)).await?, Settled::Lost);
    }
    settle(&*queue, &two, &done(None)).await?;
    for _ in 0..2 {
        let again = take(&*queue, &dead).await?;
        assert!([&one.element, &three.element].contains(&&again.element));
        assert_eq!((again.attempt, again.exhausted), (2, None));
    }
    // The second time they are delayed, as if their leases had run out.
    assert_eq!(queue.release_worker(&dead).await?, 2);
    assert_eq!(where_jobs_are(&*queue).await?[..3], [1, 0, 2]);
    Ok(())
}

/// Every count counts its own thing, and nothing else.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When one does not.
pub async fn counts_are_everywhere(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    let worker = WorkerId::new("w");
    assert_eq!(queue.counts().await?, crate::Counts::default());
    let endings = [
        Settlement::Failed { callback: None, dead_letter: Some(reason("A")) },
        Settlement::Failed { callback: Some(callback("1", "failed")), dead_letter: Some(reason("B")) },
        Settlement::Failed { callback: Some(callback("2", "failed")), dead_letter: None },
        done(None),
        done(Some(callback("4", "completed"))),
        done(Some(callback("5", "completed"))),
        done(Some(callback("6", "completed"))),
        retry(LONG),
        retry(LONG),
    ];
    for (number, ending) in endings.iter().enumerate() {
        queue.push(&element(&number.to_string())).await?;
        let delivery = take(&*queue, &worker).await?;
        settle(&*queue, &delivery, ending).await?;
    }
    for id in ["a", "b", "c", "d", "e"] {
        queue.push(&element(id)).await?;
    }
    take(&*queue, &worker).await?;
    queue.bury("4:completed", "410 Gone").await?;
    queue.pause().await?;
    let expected = crate::Counts {
        waiting: 4,
        in_flight: 1,
        delayed: 2,
        dead: 2,
        done: 4,
        failed: 3,
        callbacks: 4,
        dead_callbacks: 1,
        paused: true,
    };
    assert_eq!(queue.counts().await?, expected);
    queue.warnings().await?;
    Ok(())
}
