//! What becomes of a job.

use super::*;
use crate::PopSide;

/// Every function of this module.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// As [`super::all`].
pub async fn all(harness: &dyn Harness) -> Result<()> {
    repeated_settlement_changes_nothing(harness).await?;
    retry_waits_and_comes_back(harness).await?;
    retries_end(harness).await?;
    give_back_refunds_and_is_next(harness).await?;
    transfer_begins_anew_in_the_other_queue(harness).await?;
    failed_with_and_without_dead_letter(harness).await
}

/// The second settlement of a claim answers `Already`, whatever it says, and changes nothing.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When it answers otherwise, or something changes.
pub async fn repeated_settlement_changes_nothing(harness: &dyn Harness) -> Result<()> {
    let [queue, other] = harness.pair(patient()).await?;
    let worker = WorkerId::new("w");
    let settlements = [
        done(Some(callback("j1", "completed"))),
        Settlement::Failed {
            callback: Some(callback("j1", "failed")),
            dead_letter: Some(reason("OUT_OF_MEMORY")),
        },
        Settlement::Failed { callback: None, dead_letter: None },
        retry(LONG),
        Settlement::GiveBack,
        Settlement::Transfer { queue: other.name().to_owned() },
    ];
    for first in &settlements {
        queue.push(&element("j1")).await?;
        let delivery = take(&*queue, &worker).await?;
        settle(&*queue, &delivery, first).await?;
        let before = (queue.counts().await?, other.counts().await?, queue.waiting_callbacks(9).await?);
        for second in std::iter::once(first).chain(&settlements) {
            let settled = queue.settle(&delivery.claim, second).await?;
            assert_eq!(settled, Settled::Already, "{first:?}, then {second:?}");
        }
        let after = (queue.counts().await?, other.counts().await?, queue.waiting_callbacks(9).await?);
        assert_eq!(after, before, "{first:?} was applied twice");
        queue.remove("j1").await?;
    }
    Ok(())
}

/// A job to be retried is delayed, the soonest first in line, and comes back counted once more.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When it comes back early, late, in another order or counted otherwise.
pub async fn retry_waits_and_comes_back(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    let worker = WorkerId::new("w");
    let waits = [("far", LONG), ("late", Duration::from_millis(150)), ("soon", Duration::from_millis(100))];
    for (id, after) in waits {
        queue.push(&element(id)).await?;
        let delivery = take(&*queue, &worker).await?;
        settle(&*queue, &delivery, &retry(after)).await?;
    }
    let far = queue.delayed(9).await?.pop();
    assert_eq!(far.as_ref().map(|job| job.element.as_str()), Some(element("far").as_str()));
    assert!(far.is_some_and(|job| job.due_in <= LONG && job.due_in > LONG / 2));
    assert_eq!(queue.delayed(1).await?.len(), 1, "the limit was not kept");
    assert_eq!(where_jobs_are(&*queue).await?[..3], [0, 0, 3], "delayed jobs are moved by claims only");
    harness.advance(PAST).await;
    queue.push(&element("new")).await?;
    for (id, attempt) in [("soon", 2), ("late", 2), ("new", 1)] {
        let delivery = take(&*queue, &worker).await?;
        assert_eq!((delivery.element, delivery.attempt), (element(id), attempt));
    }
    let empty = take_nothing(&*queue).await?;
    assert!(empty.next_job_in.is_some_and(|next| next <= LONG && next > LONG / 2), "{empty:?}");
    Ok(())
}

/// After the last attempt a retried job is handed out as exhausted, with the reason of the last retry.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When it is handed out to be run.
pub async fn retries_end(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(QueueOptions { max_attempts: 2, ..patient() }).await?;
    let worker = WorkerId::new("w");
    queue.push(&element("j1")).await?;
    for attempt in 1..=2 {
        let delivery = take(&*queue, &worker).await?;
        assert_eq!((delivery.attempt, &delivery.exhausted), (attempt, &None));
        let reason = format!("reason {attempt} \"\\\u{e9}\u{2028}");
        settle(&*queue, &delivery, &Settlement::Retry { after: Duration::ZERO, reason }).await?;
    }
    let delivery = take(&*queue, &worker).await?;
    assert_eq!(delivery.attempt, 2);
    assert_eq!(delivery.exhausted.as_deref(), Some("reason 2 \"\\\u{e9}\u{2028}"));
    Ok(())
}

/// A job given back is the next, and its attempt does not count, however often.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When it waits behind another, or is counted.
pub async fn give_back_refunds_and_is_next(harness: &dyn Harness) -> Result<()> {
    for pop_side in [PopSide::Right, PopSide::Left] {
        let queue = harness.queue(QueueOptions { pop_side, ..patient() }).await?;
        let worker = WorkerId::new("w");
        queue.push(&element("j1")).await?;
        queue.push(&element("j2")).await?;
        for _ in 0..5 {
            let delivery = take(&*queue, &worker).await?;
            assert_eq!((&delivery.element, delivery.attempt), (&element("j1"), 1));
            settle(&*queue, &delivery, &Settlement::GiveBack).await?;
            assert_eq!(queue.waiting(9).await?, [element("j1"), element("j2")]);
        }
        let delivery = take(&*queue, &worker).await?;
        settle(&*queue, &delivery, &retry(Duration::ZERO)).await?;
        for _ in 0..5 {
            let delivery = take(&*queue, &worker).await?;
            assert_eq!((&delivery.element, delivery.attempt), (&element("j1"), 2));
            settle(&*queue, &delivery, &Settlement::GiveBack).await?;
        }
        assert_eq!(where_jobs_are(&*queue).await?, [2, 0, 0, 0, 0, 0]);
    }
    Ok(())
}

/// A transferred job stands last in the other queue, with no attempts, and is gone from the first.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When it is lost, doubled, or keeps its attempts.
pub async fn transfer_begins_anew_in_the_other_queue(harness: &dyn Harness) -> Result<()> {
    for pop_side in [PopSide::Right, PopSide::Left] {
        let [queue, other] = harness.pair(QueueOptions { pop_side, ..patient() }).await?;
        let worker = WorkerId::new("w");
        other.push(&element("first")).await?;
        queue.push(&element("j1")).await?;
        let delivery = take(&*queue, &worker).await?;
        settle(&*queue, &delivery, &retry(Duration::ZERO)).await?;
        let delivery = take(&*queue, &worker).await?;
        assert_eq!(delivery.attempt, 2);
        settle(&*queue, &delivery, &Settlement::Transfer { queue: other.name().to_owned() }).await?;
        assert_eq!(where_jobs_are(&*queue).await?, [0; 6], "neither done nor failed");
        assert_eq!(other.waiting(9).await?, [element("first"), element("j1")]);
        finish(&*other, &worker, &element("first")).await?;
        let delivery = take(&*other, &worker).await?;
        assert_eq!((delivery.element, delivery.attempt), (element("j1"), 1));
        queue.push(&element("j1")).await?;
        assert_eq!(take(&*queue, &worker).await?.attempt, 1, "the first queue has kept the attempts");
    }
    Ok(())
}

/// A failed job is kept as a dead letter if a reason is given, the newest letter first.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When a letter is missing, too many or different.
pub async fn failed_with_and_without_dead_letter(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    let worker = WorkerId::new("w");
    for (id, kept) in [("kept1", true), ("dropped", false), ("kept2", true)] {
        queue.push(&element(id)).await?;
        let delivery = take(&*queue, &worker).await?;
        let dead_letter =
            kept.then(|| DeadReason { code: "INVALID_JOB".to_owned(), message: format!("{id}: \"\u{e9}\"") });
        let callback = Some(callback(id, "failed"));
        settle(&*queue, &delivery, &Settlement::Failed { callback, dead_letter }).await?;
    }
    assert_eq!(where_jobs_are(&*queue).await?, [0, 0, 0, 2, 0, 3]);
    let letters = queue.dead(9).await?;
    let ids: Vec<_> = letters.iter().map(|letter| letter.job_id.as_str()).collect();
    assert_eq!(ids, ["kept2", "kept1"]);
    for letter in &letters {
        assert_eq!((&letter.element, letter.attempts), (&element(&letter.job_id), 1));
        assert_eq!(letter.reason.code, "INVALID_JOB");
        assert_eq!(letter.reason.message, format!("{}: \"\u{e9}\"", letter.job_id));
    }
    assert!(letters.windows(2).all(|pair| pair[0].at_ms >= pair[1].at_ms), "{letters:?}");
    assert_eq!(queue.dead(1).await?, letters[..1], "the limit was not kept");
    assert_eq!(queue.counts().await?.callbacks, 3);
    Ok(())
}
