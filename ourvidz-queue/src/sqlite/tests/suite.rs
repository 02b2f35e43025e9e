//! The suite of the traits, and the plans of the statements a claim runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::conformance::{self, Harness};
use crate::{Backend, Result};

struct Files {
    folder: TempDir,
    made: AtomicUsize,
    clock: ManualClock,
}

#[async_trait]
impl Harness for Files {
    async fn pair(&self, options: QueueOptions) -> Result<[Arc<dyn Backend>; 2]> {
        let path = self.folder.path().join(self.made.fetch_add(1, Ordering::Relaxed).to_string());
        let queue = open_at(&path, &self.clock, options);
        let other = queue.sibling("wan_queue");
        Ok([Arc::new(queue), Arc::new(other)])
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    fn now_ms(&self) -> u64 {
        Clock::Manual(self.clock.clone()).now_ms()
    }

    fn manual_clock(&self) -> bool {
        true
    }
}

fn files() -> Files {
    let clock = ManualClock::new(1_700_000_000_000);
    Files { folder: quick_folder(), made: AtomicUsize::new(0), clock }
}

#[tokio::test]
async fn conformance() {
    conformance::all(&files()).await.unwrap();
}

#[tokio::test]
async fn no_statement_of_a_claim_grows_with_the_backlog() {
    let (_folder, path) = folder();
    let queue = open(&path);
    let plans = queue.store.run("explain", |connection| {
        let statements = [
            "SELECT id FROM jobs WHERE queue = ?1 AND state = 0 ORDER BY rank DESC LIMIT 1",
            "SELECT id FROM jobs WHERE queue = ?1 AND state = 0 ORDER BY rank LIMIT 1",
            "SELECT id, user FROM jobs WHERE queue = ?1 AND state = 0 ORDER BY rank DESC LIMIT ?2",
            "SELECT coalesce(min(rank), 0) - 1 FROM jobs WHERE queue = ?1 AND state = 0",
            "SELECT coalesce(max(rank), 0) + 1 FROM jobs WHERE queue = ?1 AND state = 0",
            "SELECT id FROM jobs WHERE queue = ?1 AND claim = ?2 AND state = 1",
            "SELECT id FROM jobs WHERE queue = ?1 AND state = 1 AND rank <= ?2 ORDER BY rank DESC, claim DESC",
            "SELECT min(rank) FROM jobs WHERE queue = ?1 AND state = 2",
            "SELECT min(due_ms) FROM callbacks WHERE queue = ?1 AND dead = 0",
            "SELECT id FROM callbacks WHERE queue = ?1 AND dead = 0 AND due_ms <= ?3
                ORDER BY due_ms, id LIMIT ?2",
            "SELECT id FROM remembered WHERE until_ms <= ?1 LIMIT 100",
            "SELECT coalesce(max(at_ms), 0) FROM served WHERE queue = ?1",
        ];
        let mut plans = Vec::new();
        for sql in statements {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next()? {
                plans.push((sql, row.get::<_, String>(3)?));
            }
        }
        Ok(plans)
    });
    let plans = plans.await.unwrap();
    assert!(plans.len() >= 12);
    for (sql, plan) in plans {
        assert!(plan.starts_with("SEARCH") && plan.contains("INDEX"), "{sql}: {plan}");
    }
}

#[tokio::test]
async fn walks_meet_the_model() {
    for seed in 0..8 {
        conformance::random_walk(&files(), seed, 150).await.unwrap();
    }
}
