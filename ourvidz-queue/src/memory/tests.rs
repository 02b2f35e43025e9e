#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use proptest::collection::vec;
use proptest::prelude::*;

use super::MemoryQueue;
use crate::conformance::{self, Harness, Step};
use crate::{Backend, Clock, ManualClock, QueueOptions, Result};

struct Memory(ManualClock);

#[async_trait]
impl Harness for Memory {
    async fn pair(&self, options: QueueOptions) -> Result<[Arc<dyn Backend>; 2]> {
        let one = MemoryQueue::with_clock("one", options, Clock::Manual(self.0.clone()))?;
        let two = one.sibling("two");
        Ok([Arc::new(one), Arc::new(two)])
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    fn now_ms(&self) -> u64 {
        Clock::Manual(self.0.clone()).now_ms()
    }

    fn manual_clock(&self) -> bool {
        true
    }
}

fn memory() -> Memory {
    Memory(ManualClock::new(1_700_000_000_000))
}

#[tokio::test(flavor = "multi_thread")]
async fn does_what_the_traits_say() {
    conformance::all(&memory()).await.unwrap();
}

#[tokio::test]
async fn long_walks_meet_the_model() {
    for seed in 0..8 {
        conformance::random_walk(&memory(), seed, 12_500).await.unwrap();
    }
}

proptest! {
    // What fails is shrunk to the fewest steps; nothing is written to the source tree.
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn short_walks_meet_the_model(options: u32, steps in vec(any::<[u16; 3]>().prop_map(Step::from_numbers), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let walked = runtime.block_on(conformance::follow(&memory(), options, &steps));
        prop_assert!(walked.is_ok(), "{}", walked.unwrap_err());
    }
}
