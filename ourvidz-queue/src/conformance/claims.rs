//! Who gets which job.

use std::collections::BTreeSet;

use super::*;
use crate::PopSide;
use crate::element::Identity;

/// Every function of this module.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// As [`super::all`].
pub async fn all(harness: &dyn Harness) -> Result<()> {
    oldest_first(harness).await?;
    attempts_are_counted(harness).await?;
    repeated_claim_gives_the_same_delivery(harness).await?;
    spent_claim_takes_nothing(harness).await?;
    push_once_adds_once(harness).await?;
    twins_are_two_jobs(harness).await?;
    malformed_elements_are_handed_out(harness).await?;
    elements_come_back_byte_for_byte(harness).await?;
    two_queues_are_apart(harness).await?;
    concurrent_claims_share_the_jobs(harness).await
}

/// With either pop side, jobs are taken in the order they were pushed, and shown in that order.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When the order is another.
pub async fn oldest_first(harness: &dyn Harness) -> Result<()> {
    for pop_side in [PopSide::Right, PopSide::Left] {
        let queue = harness.queue(QueueOptions { pop_side, ..patient() }).await?;
        let elements: Vec<_> = (0..5).map(|n| element(&format!("j{n}"))).collect();
        for element in &elements {
            queue.push(element).await?;
        }
        assert_eq!(queue.waiting(100).await?, elements, "{pop_side:?}: shown in another order");
        assert_eq!(queue.waiting(2).await?, elements[..2], "{pop_side:?}: the limit was not kept");
        assert!(queue.waiting(0).await?.is_empty(), "{pop_side:?}: the limit was not kept");
        assert_eq!(where_jobs_are(&*queue).await?, [5, 0, 0, 0, 0, 0]);
        let worker = WorkerId::new("w");
        for expected in &elements {
            finish(&*queue, &worker, expected).await?;
        }
        take_nothing(&*queue).await?;
        assert_eq!(where_jobs_are(&*queue).await?, [0, 0, 0, 0, 5, 0]);
    }
    Ok(())
}

/// The first delivery is attempt 1 and is seen in flight under its claim and worker; ending the job forgets the
/// attempts.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When the attempt or the job in flight is another.
pub async fn attempts_are_counted(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    let worker = WorkerId::new("w");
    for _ in 0..2 {
        queue.push(&element("j1")).await?;
        for attempt in 1..=3 {
            let delivery = take(&*queue, &worker).await?;
            assert_eq!((delivery.attempt, &delivery.exhausted), (attempt, &None));
            let all = queue.in_flight().await?;
            let seen: Vec<_> = all
                .iter()
                .map(|held| (&held.claim, &held.worker, held.job_id.as_str(), held.attempt))
                .collect();
            assert_eq!(seen, [(&delivery.claim, &worker, "j1", attempt)]);
            assert!(all.iter().all(|held| held.lease_left <= LONG && held.lease_left > LONG / 2), "{all:?}");
            assert_eq!(where_jobs_are(&*queue).await?[..3], [0, 1, 0]);
            let settlement = if attempt < 3 { retry(Duration::ZERO) } else { done(None) };
            settle(&*queue, &delivery, &settlement).await?;
        }
    }
    assert_eq!(where_jobs_are(&*queue).await?, [0, 0, 0, 0, 2, 0]);
    Ok(())
}

/// Asking again with the id of a held claim gives the same delivery and counts nothing.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When the second answer differs, or a second job is taken.
pub async fn repeated_claim_gives_the_same_delivery(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    let worker = WorkerId::new("w");
    queue.push(&element("j1")).await?;
    queue.push(&element("j2")).await?;
    let first = take(&*queue, &worker).await?;
    for _ in 0..3 {
        assert_eq!(queue.claim(&first.claim, &worker).await?, Claimed::Job(first.clone()));
    }
    queue.pause().await?;
    assert_eq!(queue.claim(&first.claim, &worker).await?, Claimed::Job(first.clone()), "paused since");
    queue.resume().await?;
    assert_eq!(where_jobs_are(&*queue).await?[..3], [1, 1, 0]);
    settle(&*queue, &first, &retry(Duration::ZERO)).await?;
    let second = take(&*queue, &worker).await?;
    assert_eq!((second.element, second.attempt), (element("j1"), 2), "asking again was counted");
    Ok(())
}

/// A claim that was settled, whichever way, takes no second job.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When a job is handed out.
pub async fn spent_claim_takes_nothing(harness: &dyn Harness) -> Result<()> {
    let [queue, other] = harness.pair(patient()).await?;
    let worker = WorkerId::new("w");
    let settlements = [
        done(None),
        Settlement::Failed { callback: None, dead_letter: None },
        Settlement::Failed { callback: None, dead_letter: Some(reason("INVALID_JOB")) },
        retry(LONG),
        retry(Duration::ZERO),
        Settlement::GiveBack,
        Settlement::Transfer { queue: other.name().to_owned() },
    ];
    for (number, settlement) in settlements.iter().enumerate() {
        queue.push(&element(&format!("j{number}"))).await?;
        let delivery = take(&*queue, &worker).await?;
        queue.push(&element(&format!("next{number}"))).await?;
        settle(&*queue, &delivery, settlement).await?;
        let before = queue.counts().await?;
        for worker in [&worker, &WorkerId::new("other")] {
            assert_eq!(queue.claim(&delivery.claim, worker).await?, Claimed::Spent, "after {settlement:?}");
        }
        assert_eq!(queue.counts().await?, before, "after {settlement:?}");
        while let Claimed::Job(next) = queue.claim(&ClaimId::new(), &worker).await? {
            settle(&*queue, &next, &done(None)).await?;
        }
    }
    if harness.manual_clock() {
        let queue = harness.queue(patient()).await?;
        for id in ["j1", "j2"] {
            queue.push(&element(id)).await?;
        }
        let delivery = take(&*queue, &worker).await?;
        settle(&*queue, &delivery, &retry(LONG)).await?;
        harness.advance(LONG / 2).await;
        let again = queue.claim(&delivery.claim, &worker).await?;
        assert_eq!(again, Claimed::Spent, "half an hour later, and its job is delayed");
        assert_eq!(where_jobs_are(&*queue).await?[..3], [1, 0, 1]);
    }
    Ok(())
}

/// `push_once` adds one element per id, also when the element was taken since.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When a second element is added, or another id is taken for the first.
pub async fn push_once_adds_once(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    let worker = WorkerId::new("w");
    assert!(queue.push_once("j1", &element("j1")).await?);
    assert!(!queue.push_once("j1", &element("j1")).await?);
    assert!(!queue.push_once("j1", "another element").await?);
    assert!(queue.push_once("j2", &element("j1")).await?, "the id counts, not the element");
    assert_eq!(queue.waiting(9).await?, [element("j1"), element("j1")]);
    finish(&*queue, &worker, &element("j1")).await?;
    assert!(!queue.push_once("j1", &element("j1")).await?, "the job is done, its id is known");
    queue.push(&element("j1")).await?;
    assert_eq!(where_jobs_are(&*queue).await?, [2, 0, 0, 0, 1, 0]);
    if harness.manual_clock() {
        harness.advance(Duration::from_secs(23 * 3600)).await;
        assert!(!queue.push_once("j1", &element("j1")).await?, "23 hours later");
        harness.advance(Duration::from_secs(2 * 3600)).await;
        assert!(queue.push_once("j1", &element("j1")).await?, "25 hours later");
    }
    Ok(())
}

/// Two elements of the same bytes are two jobs.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When one is taken for the other.
pub async fn twins_are_two_jobs(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    let worker = WorkerId::new("w");
    let twin = element("twin");
    for _ in 0..2 {
        queue.push(&twin).await?;
    }
    assert_eq!(where_jobs_are(&*queue).await?[..3], [2, 0, 0]);
    let (first, second) = (take(&*queue, &worker).await?, take(&*queue, &worker).await?);
    assert_eq!((&first.element, &second.element), (&twin, &twin));
    assert_eq!((first.exhausted, second.exhausted), (None, None));
    assert_eq!(where_jobs_are(&*queue).await?[..3], [0, 2, 0]);
    for claim in [&first.claim, &second.claim] {
        assert_eq!(queue.settle(claim, &retry(LONG)).await?, Settled::Applied);
    }
    assert_eq!(where_jobs_are(&*queue).await?[..3], [0, 0, 2]);
    assert_eq!(queue.remove("twin").await?, 2);
    Ok(())
}

/// What is no job is handed out like one, known by the hash of its bytes.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When an element is dropped, changed or known by another name.
pub async fn malformed_elements_are_handed_out(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    let worker = WorkerId::new("w");
    let elements =
        ["", "abc", "{", "[]", "[1,2]", "{}", "null", "7", r#"{"id":7}"#, r#"{"id":""}"#, "\"", "\0"];
    for element in elements {
        queue.push(element).await?;
    }
    for element in elements {
        let delivery = take(&*queue, &worker).await?;
        assert_eq!((delivery.element.as_str(), delivery.attempt), (element, 1));
        let held = queue.in_flight().await?;
        let key = held.iter().map(|held| held.job_id.as_str()).next().unwrap_or_default();
        assert_eq!(key, Identity::of(element).key, "{element:?}");
        assert!(key.starts_with("sha1:"), "{element:?} is known as {key}");
        let failed = Settlement::Failed { callback: None, dead_letter: Some(reason("INVALID_JOB")) };
        settle(&*queue, &delivery, &failed).await?;
        let letters = queue.dead(1).await?;
        assert_eq!(letters.first().map(|letter| letter.element.as_str()), Some(element));
        assert_eq!(queue.retry_dead(key).await?, 1, "{element:?}");
        assert_eq!(queue.remove(key).await?, 1, "{element:?}");
    }
    assert_eq!(where_jobs_are(&*queue).await?, [0, 0, 0, 0, 0, elements.len() as u64]);
    Ok(())
}

/// Elements come back byte for byte from every place they pass through, and their ids are read alike.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When a byte differs.
pub async fn elements_come_back_byte_for_byte(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    let worker = WorkerId::new("w");
    for (number, text) in odd_texts().into_iter().enumerate() {
        let id = format!("j{number}");
        let plain = serde_json::json!({"prompt": text, "id": id}).to_string();
        let wrapped = serde_json::json!([plain]).to_string();
        let spaced = serde_json::json!({"data": plain}).to_string().replace("{\"data\":", "{ \"data\" :\t");
        for element in [plain, wrapped, spaced, text] {
            queue.push(&element).await?;
            assert_eq!(queue.waiting(9).await?, [element.as_str()]);
            let delivery = take(&*queue, &worker).await?;
            assert_eq!(delivery.element, element, "delivered");
            let key = Identity::of(&element).key;
            assert_eq!(queue.in_flight().await?.first().map(|held| &held.job_id), Some(&key));
            settle(&*queue, &delivery, &retry(Duration::ZERO)).await?;
            assert_eq!(queue.delayed(9).await?.first().map(|job| &job.element), Some(&element), "delayed");
            let delivery = take(&*queue, &worker).await?;
            assert_eq!((&delivery.element, delivery.attempt), (&element, 2), "delivered again");
            let dead_letter = Some(DeadReason { code: "X".to_owned(), message: element.clone() });
            settle(&*queue, &delivery, &Settlement::Failed { callback: None, dead_letter }).await?;
            let letters = queue.dead(9).await?;
            let letter = letters.first().map(|letter| (&letter.element, &letter.reason.message));
            assert_eq!(letter, Some((&element, &element)), "dead");
            assert_eq!(queue.retry_dead(&key).await?, 1);
            finish(&*queue, &worker, &element).await?;
        }
    }
    Ok(())
}

/// What happens to one queue does not show in another of the same backend.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When it does.
pub async fn two_queues_are_apart(harness: &dyn Harness) -> Result<()> {
    let [one, two] = harness.pair(patient()).await?;
    assert_ne!(one.name(), two.name());
    let worker = WorkerId::new("w");
    one.push(&element("j1")).await?;
    assert!(one.push_once("j2", &element("j2")).await?);
    take_nothing(&*two).await?;
    assert!(two.push_once("j2", &element("j2")).await?, "pushed to the other queue only");
    one.cancel("j2").await?;
    one.pause().await?;
    one.disable("gone").await?;
    assert!(!two.counts().await?.paused);
    assert_eq!(two.disabled().await?, None);
    let delivery = take(&*two, &worker).await?;
    assert_eq!(one.settle(&delivery.claim, &done(None)).await?, Settled::Lost, "a claim of the other queue");
    settle(&*two, &delivery, &done(Some(callback("j2", "completed")))).await?;
    assert_eq!(two.take_due(9, LONG).await?.entries.len(), 1);
    let counts = one.counts().await?;
    assert_eq!((counts.waiting, counts.done, counts.callbacks), (2, 0, 0));
    Ok(())
}

/// 200 jobs, 8 tasks that claim until nothing is left: every job is handed out once.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When a job is handed out twice or not at all.
pub async fn concurrent_claims_share_the_jobs(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    for number in 0..200 {
        queue.push(&element(&format!("j{number}"))).await?;
    }
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let queue = Arc::clone(&queue);
        tasks.spawn(async move {
            let worker = WorkerId::new(&format!("w{task}"));
            let mut taken = Vec::new();
            while let Claimed::Job(delivery) = queue.claim(&ClaimId::new(), &worker).await? {
                assert_eq!(delivery.attempt, 1);
                settle(&*queue, &delivery, &done(None)).await?;
                taken.push(delivery.element);
            }
            Ok::<_, crate::Error>(taken)
        });
    }
    let mut taken = Vec::new();
    for task in tasks.join_all().await {
        taken.extend(task?);
    }
    assert_eq!(taken.len(), 200, "jobs were handed out twice, or not at all");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>().len(), 200, "a job was handed out twice");
    assert_eq!(where_jobs_are(&*queue).await?, [0, 0, 0, 0, 200, 0]);
    Ok(())
}

/// Texts that quoting, escaping, encodings and sizes spoil.
pub(super) fn odd_texts() -> Vec<String> {
    [
        r#"quotes " ' ` and \ / \\ \n \u0000 \ud83e"#,
        "control \u{1}\u{8}\t\n\r\u{b}\u{c}\u{1f}\u{7f} and a NUL \0 within",
        "emoji \u{1f98a}\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}, separators \u{2028}\u{2029}, mark \u{feff}\u{fffd}",
        "accents e\u{301} \u{e9}, right to left \u{5d0}\u{5d1}, \u{10ffff}",
        "%00 %s {} $1 ?1 :x -- ; DROP KEYS[1] ARGV ]] ]==] --[[ \r\n*1\r\n$4\r\nPING\r\n",
        "  blanks around  ",
        "1e400 0.1 12345678901234567890 -0",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([format!("100 kB {}", "0123456789 \"\u{e9}\\".repeat(7000))])
    .collect()
}
