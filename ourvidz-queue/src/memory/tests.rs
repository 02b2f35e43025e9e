use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::MemoryQueue;
use crate::conformance::{self, Harness};
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
