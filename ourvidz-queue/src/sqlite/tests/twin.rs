//! Random operations on this queue and on the queue in memory answer alike and leave the same behind.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::{Backend, DeadReason, FairShare, MemoryQueue, PendingCallback, PopSide, Result, Settlement};

/// One random operation; what it answered.
async fn step(queue: &dyn Backend, seed: u64) -> Result<String> {
    let mut random = StdRng::seed_from_u64(seed);
    let job = format!("j{}", random.random_range(0..6));
    let user = random.random_range(0..3);
    let element = format!(r#"{{"id":"{job}","user_id":"u{user}","n":{}}}"#, random.random_range(0..1000));
    let claim = ClaimId::from_text(format!("c{:02}", random.random_range(0..12)));
    let worker = WorkerId::from_text(format!("w{}", random.random_range(0..3)));
    let status = ["processing", "completed", "failed"][random.random_range(0..3)];
    let callback = PendingCallback {
        id: PendingCallback::id_of(&job, status),
        job_id: job.clone(),
        body: format!("{status} {user}"),
    };
    let some = random.random_bool(0.5).then(|| callback.clone());
    let after = Duration::from_millis(random.random_range(0..3000));
    let settlement = match random.random_range(0..6) {
        0 => Settlement::Done { callback: some },
        1 => Settlement::Failed { callback: some, dead_letter: None },
        2 => {
            let reason = DeadReason { code: "INVALID_JOB".into(), message: job.clone() };
            Settlement::Failed { callback: some, dead_letter: Some(reason) }
        }
        3 => Settlement::Retry { after, reason: format!("lost {user}") },
        4 => Settlement::GiveBack,
        _ => Settlement::Transfer { queue: [NAME, "wan_queue"][random.random_range(0..2)].into() },
    };
    let limit = random.random_range(0..4);
    Ok(match random.random_range(0..40) {
        0..8 => format!("{:?}", queue.push(&element).await?),
        8..10 => format!("{:?}", queue.push_once(&job, &element).await?),
        10..20 => format!("{:?}", queue.claim(&claim, &worker).await?),
        20..26 => format!("{:?}", queue.settle(&claim, &settlement).await?),
        26 => format!("{:?}", queue.beat(&claim, &job).await?),
        27 => format!("{:?} {:?}", queue.cancelled(&job).await?, queue.cancel(&job).await?),
        28 => format!("{:?}", queue.retry_dead(&job).await?),
        29 => format!("{:?}", queue.remove(&job).await?),
        30 => format!("{:?}", queue.release_worker(&worker).await?),
        31 => format!("{:?}", queue.announce(&claim, &callback).await?),
        32..34 => format!("{:?}", queue.take_due(limit, after).await?),
        34 => format!("{:?}", queue.delivered(&callback.id).await?),
        35 => format!("{:?}", queue.postpone(&callback.id, after, "503").await?),
        36 => format!("{:?}", queue.bury(&callback.id, "410").await?),
        37 => format!("{:?}", queue.retry_callback(&callback.id).await?),
        38 if user == 0 => format!("{:?}", queue.pause().await?),
        38 => format!("{:?}", queue.resume().await?),
        _ if user == 0 => format!("{:?}", queue.disable("gone").await?),
        _ => format!("{:?}", queue.enable().await?),
    })
}

/// Everything that can be seen of a queue.
async fn view(queue: &dyn Backend) -> Result<String> {
    let jobs = (queue.counts().await?, queue.waiting(99).await?, queue.in_flight().await?);
    let more = (queue.delayed(99).await?, queue.dead(99).await?, queue.disabled().await?);
    let callbacks = (queue.waiting_callbacks(99).await?, queue.dead_callbacks(99).await?);
    Ok(format!("{jobs:?} {more:?} {callbacks:?}"))
}

#[tokio::test]
async fn both_do_the_same() {
    for walk in 0..4_u64 {
        let options = QueueOptions {
            pop_side: if walk.is_multiple_of(2) { PopSide::Right } else { PopSide::Left },
            lease: Duration::from_millis(1500),
            reaped_delay: Duration::from_millis(400),
            fair_share: (walk % 3 == 2).then_some(FairShare { window: 3 }),
            ..QueueOptions::default()
        };
        let clock = ManualClock::new(1_700_000_000_000);
        let (_folder, path) = folder();
        let file = open_at(&path, &clock, options.clone());
        let memory = MemoryQueue::with_clock(NAME, options, Clock::Manual(clock.clone())).unwrap();
        let (file_2, memory_2) = (file.sibling("wan_queue"), memory.sibling("wan_queue"));
        let mut random = StdRng::seed_from_u64(walk);
        for number in 0..250 {
            let seed: u64 = random.random();
            let (here, there): (&dyn Backend, &dyn Backend) =
                if seed.is_multiple_of(8) { (&file_2, &memory_2) } else { (&file, &memory) };
            let answers = (step(here, seed).await.unwrap(), step(there, seed).await.unwrap());
            assert_eq!(answers.0, answers.1, "walk {walk} step {number}");
            for (here, there) in [(&file, &memory), (&file_2, &memory_2)] {
                let views = (view(here).await.unwrap(), view(there).await.unwrap());
                assert_eq!(views.0, views.1, "walk {walk} step {number} after {}", answers.0);
            }
            if random.random_bool(0.3) {
                clock.advance(Duration::from_millis(random.random_range(0..1000)));
            }
            if random.random_bool(0.01) {
                clock.advance(Duration::from_secs([601, 86_401][random.random_range(0..2)]));
            }
        }
    }
}
