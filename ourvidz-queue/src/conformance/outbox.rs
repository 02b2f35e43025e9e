//! Callbacks are kept until somebody has delivered them.

use super::claims::odd_texts;
use super::*;
use crate::CallbackEntry;

/// Every function of this module.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// As [`super::all`].
pub async fn all(harness: &dyn Harness) -> Result<()> {
    announced_while_held_only(harness).await?;
    end_supersedes_beginning(harness).await?;
    taken_callbacks_are_hidden_and_counted(harness).await?;
    postponed_callbacks_come_back(harness).await?;
    buried_callbacks_can_be_retried(harness).await?;
    disabled_outbox_delivers_nothing(harness).await?;
    bodies_come_back_byte_for_byte(harness).await
}

/// That a job has begun is announced by the claim that holds it, and by no other.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When it is announced by a claim that holds nothing.
pub async fn announced_while_held_only(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    let worker = WorkerId::new("w");
    let begun = callback("j1", "processing");
    assert!(!queue.announce(&ClaimId::new(), &begun).await?);
    queue.push(&element("j1")).await?;
    let delivery = take(&*queue, &worker).await?;
    assert!(!queue.announce(&ClaimId::new(), &begun).await?);
    assert_eq!(queue.counts().await?.callbacks, 0);
    for _ in 0..2 {
        assert!(queue.announce(&delivery.claim, &begun).await?);
        assert_eq!(queue.counts().await?.callbacks, 1, "announcing again adds no second one");
    }
    settle(&*queue, &delivery, &retry(LONG)).await?;
    assert_eq!(queue.counts().await?.callbacks, 1, "the job has not ended");
    queue.delivered(&begun.id).await?;
    assert!(!queue.announce(&delivery.claim, &begun).await?);
    assert_eq!(queue.counts().await?.callbacks, 0);
    Ok(())
}

/// How the job ended enters in the settlement's step, and that it had begun leaves in the same.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When the callbacks of another job are touched, or one is missing.
pub async fn end_supersedes_beginning(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    let worker = WorkerId::new("w");
    for (id, ending) in [("j1", "completed"), ("j.2/\u{e9}", "failed"), ("j3", "none")] {
        queue.push(&element(id)).await?;
        let delivery = take(&*queue, &worker).await?;
        assert!(queue.announce(&delivery.claim, &callback(id, "processing")).await?);
        let end = callback(id, ending);
        let settlement = match ending {
            "completed" => done(Some(end)),
            "failed" => Settlement::Failed { callback: Some(end), dead_letter: None },
            _ => done(None),
        };
        settle(&*queue, &delivery, &settlement).await?;
        assert_eq!(queue.settle(&delivery.claim, &settlement).await?, Settled::Already);
    }
    let mut waiting = queue.waiting_callbacks(9).await?;
    waiting.sort_by(|a, b| a.callback.job_id.cmp(&b.callback.job_id));
    let waiting: Vec<_> = waiting.into_iter().map(|entry| entry.callback).collect();
    let expected =
        [callback("j.2/\u{e9}", "failed"), callback("j1", "completed"), callback("j3", "processing")];
    assert_eq!(waiting, expected);
    Ok(())
}

/// Taking hides a callback for a while and counts the delivery; unreported ones come back.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When a hidden one is taken, one does not come back, or the limit is not kept.
pub async fn taken_callbacks_are_hidden_and_counted(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    assert_eq!(queue.take_due(9, LONG).await?, crate::DueCallbacks::default());
    for id in ["j1", "j2", "j3"] {
        end_with_callback(&*queue, id).await?;
        harness.advance(Duration::from_millis(5)).await;
    }
    assert_eq!(take_nothing(&*queue).await?.callback_in, Some(Duration::ZERO));
    let none = queue.take_due(0, LONG).await?;
    assert_eq!((none.entries.len(), none.next_in), (0, Some(Duration::ZERO)), "the limit was not kept");
    let first = queue.take_due(2, LONG).await?;
    assert_eq!(ids(&first.entries), ["j1:completed", "j2:completed"], "the soonest first");
    assert!(first.entries.iter().all(|entry| entry.attempts == 1), "{first:?}");
    assert_eq!(first.next_in, Some(Duration::ZERO), "the third is due");
    let second = queue.take_due(9, SHORT).await?;
    assert_eq!(ids(&second.entries), ["j3:completed"]);
    assert!(second.next_in.is_some_and(|next| next <= SHORT), "{second:?}");
    assert_eq!(queue.counts().await?.callbacks, 3, "taken callbacks wait until they are delivered");
    harness.advance(PAST).await;
    let third = queue.take_due(9, LONG).await?;
    assert_eq!(ids(&third.entries), ["j3:completed"], "nobody reported on it");
    assert!(third.entries.iter().all(|entry| entry.attempts == 2), "{third:?}");
    assert!(third.next_in.is_some_and(|next| next <= LONG && next > LONG / 2), "{third:?}");
    let callback_in = take_nothing(&*queue).await?.callback_in;
    assert!(callback_in.is_some_and(|next| next <= LONG && next > LONG / 2), "{callback_in:?}");
    let waiting = queue.waiting_callbacks(9).await?;
    assert_eq!(ids(&waiting), ["j1:completed", "j2:completed", "j3:completed"], "the soonest first");
    assert_eq!(ids(&queue.waiting_callbacks(1).await?), ["j1:completed"], "the limit was not kept");
    for entry in &waiting {
        for _ in 0..2 {
            queue.delivered(&entry.callback.id).await?;
        }
    }
    let counts = queue.counts().await?;
    assert_eq!((counts.callbacks, counts.dead_callbacks), (0, 0));
    assert_eq!(queue.take_due(9, LONG).await?, crate::DueCallbacks::default());
    Ok(())
}

/// A postponed callback comes back after its wait, with what its delivery met.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When it comes early, late or changed.
pub async fn postponed_callbacks_come_back(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    end_with_callback(&*queue, "j1").await?;
    queue.take_due(9, LONG).await?;
    queue.postpone("j1:completed", LONG, "503 \"\u{e9}\u{2028}\"").await?;
    queue.postpone("unknown", Duration::ZERO, "503").await?;
    assert!(queue.take_due(9, LONG).await?.entries.is_empty(), "postponed by an hour");
    let waiting = queue.waiting_callbacks(9).await?;
    let seen: Vec<_> = waiting.iter().map(|entry| (entry.attempts, entry.last_error.as_deref())).collect();
    assert_eq!(seen, [(1, Some("503 \"\u{e9}\u{2028}\""))]);
    assert!(waiting.iter().all(|entry| entry.due_ms > entry.created_ms + 1_800_000), "{waiting:?}");
    queue.postpone("j1:completed", SHORT, "timed out").await?;
    harness.advance(PAST).await;
    let due = queue.take_due(9, LONG).await?.entries;
    let seen: Vec<_> = due.iter().map(|entry| (entry.attempts, entry.last_error.as_deref())).collect();
    assert_eq!(seen, [(2, Some("timed out"))]);
    assert!(due.iter().all(|entry| entry.callback == callback("j1", "completed")));
    queue.delivered("j1:completed").await?;
    queue.postpone("j1:completed", Duration::ZERO, "late news").await?;
    assert_eq!(queue.counts().await?.callbacks, 0, "a delivered callback came back");
    Ok(())
}

/// A callback that was given up is kept, the oldest first, and can be made due again.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When it is lost, delivered on its own, or keeps its attempts.
pub async fn buried_callbacks_can_be_retried(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    for id in ["j1", "j2", "j3"] {
        end_with_callback(&*queue, id).await?;
    }
    queue.take_due(9, LONG).await?;
    for id in ["j2:completed", "j1:completed"] {
        for _ in 0..2 {
            queue.bury(id, "404").await?;
        }
        harness.advance(Duration::from_millis(5)).await;
    }
    queue.bury("unknown", "404").await?;
    let counts = queue.counts().await?;
    assert_eq!((counts.callbacks, counts.dead_callbacks), (1, 2));
    let dead = queue.dead_callbacks(9).await?;
    assert_eq!(ids(&dead), ["j2:completed", "j1:completed"]);
    assert!(dead.iter().all(|entry| entry.attempts == 1 && entry.last_error.as_deref() == Some("404")));
    assert_eq!(ids(&queue.dead_callbacks(1).await?), ["j2:completed"], "the limit was not kept");
    assert!(queue.take_due(9, LONG).await?.entries.is_empty());

    assert!(!queue.retry_callback("unknown").await?);
    assert!(queue.retry_callback("j1:completed").await?, "a dead one");
    assert!(queue.retry_callback("j3:completed").await?, "a waiting one");
    let mut due = queue.take_due(9, LONG).await?.entries;
    due.sort_by(|a, b| a.callback.id.cmp(&b.callback.id));
    assert_eq!(ids(&due), ["j1:completed", "j3:completed"]);
    assert!(due.iter().all(|entry| entry.attempts == 1), "attempts began at 0: {due:?}");
    assert_eq!(due.first().map(|entry| entry.callback.clone()), Some(callback("j1", "completed")));
    let counts = queue.counts().await?;
    assert_eq!((counts.callbacks, counts.dead_callbacks), (2, 1));
    Ok(())
}

/// While deliveries are stopped nothing is due, and callbacks go on to be kept.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When one is taken or lost.
pub async fn disabled_outbox_delivers_nothing(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    end_with_callback(&*queue, "j1").await?;
    assert_eq!(queue.disabled().await?, None);
    queue.disable("first").await?;
    queue.disable("410 Gone \u{e9}").await?;
    assert_eq!(queue.disabled().await?.as_deref(), Some("410 Gone \u{e9}"));
    end_with_callback(&*queue, "j2").await?;
    assert_eq!(queue.take_due(9, LONG).await?, crate::DueCallbacks::default());
    assert_eq!(take_nothing(&*queue).await?.callback_in, None);
    assert_eq!(queue.waiting_callbacks(9).await?.len(), 2);
    for _ in 0..2 {
        queue.enable().await?;
        assert_eq!(queue.disabled().await?, None);
    }
    let due = queue.take_due(9, LONG).await?.entries;
    assert_eq!(due.len(), 2);
    assert!(due.iter().all(|entry| entry.attempts == 1), "deliveries that were not begun were counted");
    Ok(())
}

/// Bodies and ids come back byte for byte, from every list.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When a byte differs.
pub async fn bodies_come_back_byte_for_byte(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    let worker = WorkerId::new("w");
    for text in odd_texts().into_iter().chain([String::new()]) {
        let job_id = text.chars().take(40).collect::<String>();
        let make = |status| PendingCallback { body: text.clone(), ..callback(&job_id, status) };
        queue.push(&element("j1")).await?;
        let delivery = take(&*queue, &worker).await?;
        let (begun, ended) = (make("processing"), make("completed"));
        assert!(queue.announce(&delivery.claim, &begun).await?);
        let due = queue.take_due(9, LONG).await?.entries;
        assert_eq!(due.first().map(|entry| &entry.callback), Some(&begun), "taken");
        settle(&*queue, &delivery, &done(Some(ended.clone()))).await?;
        let waiting = queue.waiting_callbacks(9).await?;
        let waiting: Vec<_> = waiting.iter().map(|entry| &entry.callback).collect();
        assert_eq!(waiting, [&ended], "waiting");
        queue.bury(&ended.id, &text).await?;
        let dead = queue.dead_callbacks(9).await?;
        let dead: Vec<_> = dead.iter().map(|entry| (&entry.callback, entry.last_error.as_deref())).collect();
        assert_eq!(dead, [(&ended, Some(text.as_str()))], "dead");
        assert!(queue.retry_callback(&ended.id).await?);
        let due = queue.take_due(9, LONG).await?.entries;
        assert_eq!(due.first().map(|entry| &entry.callback), Some(&ended), "taken again");
        queue.delivered(&ended.id).await?;
    }
    Ok(())
}

fn ids(entries: &[CallbackEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.callback.id.as_str()).collect()
}

async fn end_with_callback(queue: &dyn Backend, job_id: &str) -> Result<()> {
    queue.push(&element(job_id)).await?;
    let delivery = take(queue, &WorkerId::new("w")).await?;
    settle(queue, &delivery, &done(Some(callback(job_id, "completed")))).await
}
