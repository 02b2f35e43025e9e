//! Random operations on a Lua queue and on the one in memory: every answer and every view is the same.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::*;
use crate::{DeadReason, FairShare, ManualClock, MemoryQueue, PendingCallback, PopSide, Settlement};

const START_MS: u64 = 1_700_000_000_000;
const WORKERS: [&str; 2] = ["w1", "w2"];

/// Everything that can be seen of a queue.
async fn view(queue: &dyn Backend) -> String {
    let held: Vec<_> = queue.in_flight().await.unwrap();
    format!(
        "{:?}\n{:?}\n{held:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        queue.counts().await.unwrap(),
        queue.waiting(1000).await.unwrap(),
        queue.delayed(1000).await.unwrap(),
        queue.dead(1000).await.unwrap(),
        queue.waiting_callbacks(1000).await.unwrap(),
        queue.dead_callbacks(1000).await.unwrap(),
        queue.disabled().await.unwrap(),
    )
}

fn any_element(random: &mut StdRng) -> String {
    let id = format!("j{}", random.random_range(0..6));
    let user = ["u1", "u2", "u3"].choose(random).unwrap();
    let job = serde_json::json!({"id": id, "user_id": user, "prompt": "ein \"Fuchs\" \u{e9}\u{2028}/"});
    match random.random_range(0..8) {
        0 => serde_json::json!([job.to_string()]).to_string(),
        1 => serde_json::json!({"data": job}).to_string(),
        2 => serde_json::json!({"data": job.to_string()}).to_string(),
        3 => serde_json::json!(job.to_string()).to_string(),
        4 => ["", "[]", "{\"id\":1}", "not JSON", "[[[[[[[[[{}]]]]]]]]]"].choose(random).unwrap().to_string(),
        _ => job.to_string(),
    }
}

fn any_settlement(random: &mut StdRng, job: &str, other: &str) -> Settlement {
    let callback = |status| {
        let id = PendingCallback::id_of(job, status);
        Some(PendingCallback { id, job_id: job.to_owned(), body: format!("{{\"{status}\":\"\\u00e9\"}}") })
    };
    match random.random_range(0..8) {
        0 | 1 => Settlement::Done { callback: callback("completed") },
        2 => Settlement::Failed {
            callback: callback("failed"),
            dead_letter: Some(DeadReason { code: "X".into(), message: "\"warum\" \u{e9}\n".into() }),
        },
        3 => Settlement::Failed { callback: None, dead_letter: None },
        4 | 5 => {
            let after = Duration::from_millis(random.random_range(0..300));
            Settlement::Retry { after, reason: format!("reason {}", random.random_range(0..9)) }
        }
        6 => Settlement::GiveBack,
        _ => Settlement::Transfer { queue: other.to_owned() },
    }
}

/// One random operation on a queue, as text. Equal seeds make equal operations.
async fn step(
    queue: &dyn Backend,
    other: &str,
    random: &mut StdRng,
    claims: &mut Vec<ClaimId>,
    n: usize,
) -> String {
    let job = format!("j{}", random.random_range(0..6));
    let worker = WorkerId::from_text(*WORKERS.choose(random).unwrap());
    let claim = claims.choose(random).cloned().unwrap_or_else(|| ClaimId::from_text("never"));
    let id = PendingCallback::id_of(&job, ["processing", "completed", "failed"].choose(random).unwrap());
    let time = Duration::from_millis(random.random_range(0..200));
    let settlement = any_settlement(random, &job, other);
    let element = any_element(random);
    match random.random_range(0..100) {
        0..15 => format!("push {:?}", queue.push(&element).await),
        15..18 => format!("push_once {job} {:?}", queue.push_once(&job, &element).await),
        18..43 => {
            let fresh = ClaimId::from_text(format!("c{n:05}"));
            claims.push(fresh.clone());
            format!("claim {:?}", queue.claim(&fresh, &worker).await)
        }
        43..46 => format!("claim again {:?}", queue.claim(&claim, &worker).await),
        46..66 => format!("settle {settlement:?} {:?}", queue.settle(&claim, &settlement).await),
        66..71 => format!("beat {:?}", queue.beat(&claim, &job).await),
        71..73 => format!("announce {:?}", {
            let callback = PendingCallback {
                id: PendingCallback::id_of(&job, "processing"),
                job_id: job,
                body: "b".into(),
            };
            queue.announce(&claim, &callback).await
        }),
        73..77 => format!("take_due {:?}", queue.take_due(3, time).await),
        77..79 => format!("delivered {:?}", queue.delivered(&id).await),
        79..81 => format!("postpone {:?}", queue.postpone(&id, time, "e\u{e9}").await),
        81..83 => format!("bury {:?}", queue.bury(&id, "gone").await),
        83..85 => format!("retry_callback {:?}", queue.retry_callback(&id).await),
        85..87 => format!("retry_dead {:?}", queue.retry_dead(&job).await),
        87..89 => format!("remove {:?}", queue.remove(&job).await),
        89..91 => format!("release {:?}", queue.release_worker(&worker).await),
        91..93 => format!("cancel {:?} {:?}", queue.cancel(&job).await, queue.cancelled(&job).await),
        93..95 => format!("pause {:?}", queue.pause().await),
        95..98 => format!("resume {:?}", queue.resume().await),
        98 => format!("disable {:?}", queue.disable("gone").await),
        _ => format!("enable {:?}", queue.enable().await),
    }
}

async fn same_as_in_memory(face: Face, seed: u64, steps: usize) {
    let mut plan = StdRng::seed_from_u64(seed);
    let options = QueueOptions {
        lease: Duration::from_millis(150),
        reaped_delay: Duration::from_millis(80),
        pop_side: if seed.is_multiple_of(2) { PopSide::Right } else { PopSide::Left },
        fair_share: seed.is_multiple_of(3).then_some(FairShare { window: 4 }),
        ..QueueOptions::default()
    };
    let clock = ManualClock::new(START_MS);
    let mock = MockRedis::builder().strict_keys().manual_clock(START_MS as i64).start();
    let names = ["one", "two"];
    let time = Time::Clock(Clock::Manual(clock.clone()));
    let lua = Server::connect(&mock, face, time).await.pair(names, options.clone()).unwrap();
    let one = MemoryQueue::with_clock("one", options, Clock::Manual(clock.clone())).unwrap();
    let memory = [Arc::new(one.clone()) as Arc<dyn Backend>, Arc::new(one.sibling("two"))];
    let (mut lua_claims, mut memory_claims) = (Vec::new(), Vec::new());
    for n in 0..steps {
        let pass = Duration::from_millis(plan.random_range(0..40));
        clock.advance(pass);
        mock.advance(pass);
        let (at, choice) = (usize::from(plan.random_bool(0.3)), plan.random());
        let other = names[1 - at];
        let mut random = StdRng::seed_from_u64(choice);
        let got = step(&*lua[at], other, &mut random, &mut lua_claims, n).await;
        let mut random = StdRng::seed_from_u64(choice);
        let expected = step(&*memory[at], other, &mut random, &mut memory_claims, n).await;
        assert_eq!(got, expected, "{face:?}, seed {seed}, step {n}");
        if n % 7 == 0 {
            for at in 0..2 {
                let (got, expected) = (view(&*lua[at]).await, view(&*memory[at]).await);
                assert_eq!(got, expected, "{face:?}, seed {seed}, after step {n} ({})", names[at]);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_as_in_memory() {
    for seed in 0..6 {
        same_as_in_memory(Face::Resp, seed, 250).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upstash_is_as_in_memory() {
    for seed in 6..9 {
        same_as_in_memory(Face::Rest, seed, 150).await;
    }
}
