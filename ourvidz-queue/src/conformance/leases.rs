//! What happens when a worker does not report.

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
    expired_lease_comes_back_next(harness).await?;
    second_expiry_is_delayed(harness).await?;
    worn_out_job_is_handed_out_to_be_failed(harness).await?;
    late_settlement_counts_until_taken_back(harness).await?;
    settlement_after_loss_changes_nothing(harness).await?;
    taken_back_claim_takes_nothing(harness).await?;
    beat_renews(harness).await?;
    beat_tells_of_cancelling(harness).await
}

/// A job whose lease ran out once comes back at the consumers' end, as attempt 2; the oldest lease first.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When it comes later, or counted otherwise.
pub async fn expired_lease_comes_back_next(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(hasty(LONG)).await?;
    let worker = WorkerId::new("dead");
    for id in ["j1", "j2", "j3"] {
        queue.push(&element(id)).await?;
    }
    let first = take(&*queue, &worker).await?;
    harness.advance(Duration::from_millis(20)).await;
    take(&*queue, &worker).await?;
    assert_eq!(first.attempt, 1);
    harness.advance(PAST).await;
    assert_eq!(where_jobs_are(&*queue).await?[..3], [1, 2, 0], "jobs are taken back by claims only");
    let held = queue.in_flight().await?;
    assert!(held.iter().all(|held| held.lease_left == Duration::ZERO), "{held:?}");
    let again = take(&*queue, &WorkerId::new("alive")).await?;
    assert_eq!((again.element, again.attempt, again.exhausted), (element("j1"), 2, None));
    assert_eq!(queue.waiting(9).await?, [element("j2"), element("j3")]);
    assert_eq!(where_jobs_are(&*queue).await?[..3], [2, 1, 0]);
    Ok(())
}

/// From the second time on, a job that was taken back waits before it is handed out again.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When it is handed out at once, or never.
pub async fn second_expiry_is_delayed(harness: &dyn Harness) -> Result<()> {
    let worker = WorkerId::new("dead");
    for delay in [LONG, SHORT] {
        let queue = harness.queue(hasty(delay)).await?;
        queue.push(&element("j1")).await?;
        for attempt in 1..=2 {
            assert_eq!(take(&*queue, &worker).await?.attempt, attempt);
            harness.advance(PAST).await;
        }
        let empty = take_nothing(&*queue).await?;
        assert_eq!(where_jobs_are(&*queue).await?[..3], [0, 0, 1]);
        assert!(empty.next_job_in.is_some_and(|next| next <= delay), "{empty:?}");
        let delayed = queue.delayed(9).await?;
        assert_eq!(delayed.first().map(|job| job.element.as_str()), Some(element("j1").as_str()));
        assert!(delayed.iter().all(|job| job.due_in <= delay), "{delayed:?}");
        if delay == LONG {
            assert!(empty.next_job_in > Some(LONG / 2), "{empty:?}");
            assert!(delayed.iter().all(|job| job.due_in > LONG / 2), "{delayed:?}");
        } else {
            queue.push(&element("j2")).await?;
            harness.advance(PAST).await;
            let third = take(&*queue, &worker).await?;
            assert_eq!((third.element, third.attempt, third.exhausted), (element("j1"), 3, None));
        }
    }
    Ok(())
}

/// A job whose workers all died is handed out once more, only to be settled as failed.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When it is handed out to be run, without a reason, or counted past the last attempt.
pub async fn worn_out_job_is_handed_out_to_be_failed(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(QueueOptions { max_attempts: 2, ..hasty(LONG) }).await?;
    let worker = WorkerId::new("dead");
    queue.push(&element("j1")).await?;
    for attempt in 1..=2 {
        let delivery = take(&*queue, &worker).await?;
        assert_eq!((delivery.attempt, delivery.exhausted), (attempt, None));
        harness.advance(PAST).await;
    }
    let alive = WorkerId::new("alive");
    let delivery = take(&*queue, &alive).await?;
    let told = delivery.exhausted.clone().unwrap_or_default();
    assert!(told.contains(worker.as_str()), "the reason names no worker: {told:?}");
    assert_eq!(delivery.attempt, 2, "there is no attempt past the last");
    assert_eq!(queue.claim(&delivery.claim, &alive).await?, Claimed::Job(delivery.clone()));
    assert_eq!(queue.in_flight().await?.first().map(|held| held.attempt), Some(2));
    harness.advance(PAST).await;
    let delivery = take(&*queue, &alive).await?;
    assert_eq!((delivery.attempt, delivery.exhausted.as_ref()), (2, Some(&told)), "taken back once more");
    settle(&*queue, &delivery, &Settlement::GiveBack).await?;
    let delivery = take(&*queue, &alive).await?;
    assert_eq!((delivery.attempt, delivery.exhausted.as_ref()), (2, Some(&told)), "given back");
    let failed = Settlement::Failed {
        callback: Some(callback("j1", "failed")),
        dead_letter: Some(DeadReason { code: "WORKER_LOST".to_owned(), message: told.clone() }),
    };
    settle(&*queue, &delivery, &failed).await?;
    let letters = queue.dead(9).await?;
    assert_eq!(letters.len(), 1);
    for letter in letters {
        assert_eq!((letter.job_id.as_str(), letter.attempts, letter.reason.message), ("j1", 2, told.clone()));
    }
    assert_eq!(where_jobs_are(&*queue).await?, [0, 0, 0, 1, 0, 1]);
    assert_eq!(queue.retry_dead("j1").await?, 1);
    let delivery = take(&*queue, &alive).await?;
    assert_eq!((delivery.attempt, delivery.exhausted), (1, None), "a new life begins at attempt 1");
    Ok(())
}

/// A settlement or beat after the lease ran out counts, as long as nobody took the job back.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When it is refused.
pub async fn late_settlement_counts_until_taken_back(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(hasty(LONG)).await?;
    queue.push(&element("j1")).await?;
    let delivery = take(&*queue, &WorkerId::new("slow")).await?;
    harness.advance(PAST).await;
    assert_eq!(queue.beat(&delivery.claim, "j1").await?, Beat::Held);
    harness.advance(PAST).await;
    assert!(queue.announce(&delivery.claim, &callback("j1", "processing")).await?);
    settle(&*queue, &delivery, &done(Some(callback("j1", "completed")))).await?;
    take_nothing(&*queue).await?;
    assert_eq!(where_jobs_are(&*queue).await?, [0, 0, 0, 0, 1, 0]);
    Ok(())
}

/// Once the job was taken back, whatever the old claim says changes nothing.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When it does.
pub async fn settlement_after_loss_changes_nothing(harness: &dyn Harness) -> Result<()> {
    let [queue, other] = harness.pair(hasty(LONG)).await?;
    queue.push(&element("j1")).await?;
    let lost = take(&*queue, &WorkerId::new("slow")).await?;
    harness.advance(PAST).await;
    let held = take(&*queue, &WorkerId::new("alive")).await?;
    assert_eq!(held.element, lost.element);
    let before = (queue.counts().await?, other.counts().await?);
    let settlements = [
        done(Some(callback("j1", "completed"))),
        Settlement::Failed {
            callback: Some(callback("j1", "failed")),
            dead_letter: Some(reason("OUT_OF_MEMORY")),
        },
        retry(Duration::ZERO),
        Settlement::GiveBack,
        Settlement::Transfer { queue: other.name().to_owned() },
    ];
    for settlement in &settlements {
        for _ in 0..2 {
            assert_eq!(queue.settle(&lost.claim, settlement).await?, Settled::Lost, "{settlement:?}");
        }
    }
    assert_eq!(queue.beat(&lost.claim, "j1").await?, Beat::Lost);
    assert!(!queue.announce(&lost.claim, &callback("j1", "processing")).await?);
    assert_eq!((queue.counts().await?, other.counts().await?), before);
    assert_eq!(queue.settle(&ClaimId::new(), &done(None)).await?, Settled::Lost, "nobody's claim");
    assert_eq!(queue.beat(&ClaimId::new(), "j1").await?, Beat::Lost, "nobody's claim");
    settle(&*queue, &held, &done(None)).await?;
    assert_eq!(queue.settle(&lost.claim, &done(None)).await?, Settled::Lost, "the other has settled");
    assert_eq!(where_jobs_are(&*queue).await?, [0, 0, 0, 0, 1, 0]);
    Ok(())
}

/// A claim that lost its job takes no second one: its worker would settle that as if it were the first.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When a job is handed out, or one is lost.
pub async fn taken_back_claim_takes_nothing(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(hasty(LONG)).await?;
    let (slow, alive) = (WorkerId::new("slow"), WorkerId::new("alive"));
    queue.push(&element("j1")).await?;
    let mut lost = Vec::new();
    for _ in 0..2 {
        lost.push(take(&*queue, &slow).await?);
        harness.advance(PAST).await;
    }
    take_nothing(&*queue).await?; // takes j1 back; it is delayed
    queue.push(&element("j2")).await?;
    for delivery in &lost {
        assert_eq!(queue.claim(&delivery.claim, &slow).await?, Claimed::Spent, "the claim lost its job");
        assert_eq!(queue.settle(&delivery.claim, &retry(LONG)).await?, Settled::Lost);
    }
    let second = take(&*queue, &alive).await?;
    assert_eq!(second.element, element("j2"));
    settle(&*queue, &second, &retry(LONG)).await?;
    assert_eq!(where_jobs_are(&*queue).await?, [0, 0, 2, 0, 0, 0]);

    queue.push(&element("j3")).await?;
    let third = take(&*queue, &slow).await?;
    assert_eq!(queue.release_worker(&slow).await?, 1);
    assert_eq!(queue.claim(&third.claim, &slow).await?, Claimed::Spent, "the worker was taken for dead");
    Ok(())
}

/// Beats keep a job for as long as they come.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When the lease is not extended by a whole one.
pub async fn beat_renews(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(hasty(LONG)).await?;
    queue.push(&element("j1")).await?;
    let delivery = take(&*queue, &WorkerId::new("w")).await?;
    harness.advance(PAST).await;
    // Late, but nobody has taken the job back; from here the lease is whole again.
    let began = harness.now_ms();
    assert_eq!(queue.beat(&delivery.claim, "j1").await?, Beat::Held);
    let taken = queue.claim(&ClaimId::new(), &WorkerId::new("thief")).await?;
    if harness.now_ms().saturating_sub(began) < SHORT.as_millis() as u64 {
        assert!(matches!(taken, Claimed::Empty(_)), "a renewed lease was taken back: {taken:?}");
    }
    if harness.manual_clock() {
        for _ in 0..5 {
            harness.advance(SHORT - Duration::from_millis(1)).await;
            take_nothing(&*queue).await?;
            assert_eq!(queue.beat(&delivery.claim, "j1").await?, Beat::Held);
        }
        harness.advance(SHORT).await;
        assert_eq!(take(&*queue, &WorkerId::new("thief")).await?.attempt, 2, "a lease lasts no longer");
    }
    assert_eq!(queue.lease(), SHORT);
    Ok(())
}

/// A beat tells that the job was cancelled, and renews the lease all the same.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When it does not.
pub async fn beat_tells_of_cancelling(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    let worker = WorkerId::new("w");
    queue.push(&element("j1")).await?;
    let delivery = take(&*queue, &worker).await?;
    assert_eq!(queue.beat(&delivery.claim, "j1").await?, Beat::Held);
    assert!(!queue.cancelled("j1").await?);
    queue.cancel("j1").await?;
    queue.cancel("j1").await?;
    assert!(queue.cancelled("j1").await? && !queue.cancelled("j2").await?);
    assert_eq!(queue.beat(&delivery.claim, "j1").await?, Beat::Cancelled);
    assert_eq!(queue.beat(&delivery.claim, "j1").await?, Beat::Cancelled);
    settle(&*queue, &delivery, &Settlement::Failed { callback: None, dead_letter: None }).await?;
    assert_eq!(queue.beat(&delivery.claim, "j1").await?, Beat::Lost);
    assert_eq!(where_jobs_are(&*queue).await?, [0, 0, 0, 0, 0, 1]);
    if harness.manual_clock() {
        harness.advance(Duration::from_secs(23 * 3600)).await;
        assert!(queue.cancelled("j1").await?, "23 hours later");
        harness.advance(Duration::from_secs(2 * 3600)).await;
        assert!(!queue.cancelled("j1").await?, "25 hours later");
    }
    Ok(())
}
