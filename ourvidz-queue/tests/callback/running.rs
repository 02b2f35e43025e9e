use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use ourvidz_queue::callback::{CallbackSender, CallbackTarget, Deliverer, DeliveryOptions};
use ourvidz_queue::worker::CallbackHint;
use ourvidz_queue::{Error, Outbox};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::bench::{Bench, target};
use crate::receiver::{Receiver, Reply};
use crate::spy::{Reports, Spy};

/// A deliverer in its own task.
struct Running {
    hint: CallbackHint,
    deliverer: Arc<Deliverer>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(deliverer: Deliverer) -> Self {
        let (hint, deliverer) = (CallbackHint::new(), Arc::new(deliverer));
        let (stop, stopped) = oneshot::channel::<()>();
        let (told, working) = (hint.clone(), Arc::clone(&deliverer));
        let task = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            working.run(&told, shutdown).await;
        });
        Self { hint, deliverer, stop, task }
    }

    async fn stop(self) -> Result<()> {
        drop(self.stop);
        Ok(self.task.await?)
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_outbox_is_asked_every_five_minutes_only() -> Result<()> {
    let spy = Spy::new(&Bench::new()?.queue, Reports::Arrive);
    let sender = CallbackSender::new(CallbackTarget::new("https://example.com/"))?;
    let running = Running::start(Deliverer::new(spy.clone(), sender, DeliveryOptions::default())?);
    tokio::time::sleep(Duration::from_secs(3599)).await;
    assert_eq!(spy.calls(), 12);
    running.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_away_is_asked_less_and_less_often() -> Result<()> {
    let spy = Spy::new(&Bench::new()?.queue, Reports::Arrive);
    spy.failing_takes.store(usize::MAX, Ordering::SeqCst);
    let sender = CallbackSender::new(CallbackTarget::new("https://example.com/"))?;
    let running = Running::start(Deliverer::new(spy.clone(), sender, DeliveryOptions::default())?);
    for _ in 0..3600 {
        // What a worker says does not make it ask more often.
        running.hint.tell(Duration::ZERO);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // Waits of 30 s on average: about 120, and the first few.
    assert!((70..220).contains(&spy.calls()), "{}", spy.calls());
    spy.failing_takes.store(0, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(61)).await;
    let calls = spy.calls();
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(spy.calls(), calls, "it answers again, and nothing waits");
    running.stop().await
}

#[tokio::test]
async fn a_hint_starts_a_delivery_and_then_it_is_quiet() -> Result<()> {
    let bench = Bench::new()?;
    let receiver = Receiver::start(vec![], Reply::Status(200)).await?;
    let spy = Spy::new(&bench.queue, Reports::Arrive);
    let running = Running::start(bench.deliverer_of(spy.clone(), &receiver.url)?);
    for job in ["j1", "j2"] {
        bench.complete(job).await?;
        running.hint.tell(Duration::ZERO);
        receiver.wait_for(if job == "j1" { 1 } else { 2 }).await;
    }
    assert_eq!(spy.wait_told(2).await, ["delivered j1:completed", "delivered j2:completed"]);
    let calls = spy.calls();
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(290)).await;
    assert_eq!(spy.calls(), calls, "what was just hidden and delivered is not asked for");
    assert_eq!(running.deliverer.counts().delivered, 2);
    running.stop().await
}

#[tokio::test]
async fn a_failed_delivery_is_tried_again_without_a_hint() -> Result<()> {
    let bench = Bench::new()?;
    let receiver = Receiver::start(vec![Reply::Status(500)], Reply::Status(200)).await?;
    let spy = Spy::new(&bench.queue, Reports::Arrive);
    bench.complete("j1").await?;
    let running = Running::start(bench.deliverer_of(spy.clone(), &receiver.url)?);
    assert_eq!(spy.wait_told(1).await, ["postpone j1:completed"]);
    bench.clock.advance(Duration::from_millis(5500));
    // The wait of 5 s and a bit, in no time; the delivery itself needs real time.
    tokio::time::pause();
    spy.wait_taken(2).await;
    tokio::time::resume();
    assert_eq!(spy.wait_told(2).await[1], "delivered j1:completed");
    running.stop().await
}

#[tokio::test]
async fn four_are_sent_at_once_and_one_slow_job_does_not_hold_up_others() -> Result<()> {
    let bench = Bench::new()?;
    let gate = Arc::new(Semaphore::new(0));
    let receiver = Receiver::start(vec![], Reply::Gate(gate.clone())).await?;
    let spy = Spy::new(&bench.queue, Reports::Arrive);
    for job in 0..10 {
        bench.complete(&format!("j{job}")).await?;
    }
    let running = Running::start(bench.deliverer_of(spy.clone(), &receiver.url)?);
    receiver.wait_for(4).await;
    assert_eq!(*spy.taken.borrow(), 4, "no more are hidden than are sent");
    // Three stay where they are; the others go through the fourth place.
    for sent in 5..=10 {
        gate.add_permits(1);
        receiver.wait_for(sent).await;
    }
    gate.add_permits(4);
    spy.wait_told(10).await;
    assert_eq!(receiver.most_at_once(), 4);
    assert_eq!(running.deliverer.counts().delivered, 10);
    running.stop().await
}

#[tokio::test]
async fn the_end_of_a_job_waits_for_its_beginning() -> Result<()> {
    let bench = Bench::new()?;
    let gate = Arc::new(Semaphore::new(0));
    let receiver = Receiver::start(vec![Reply::Gate(gate.clone())], Reply::Status(200)).await?;
    let spy = Spy::new(&bench.queue, Reports::Arrive);
    let claim = bench.claim("j1").await?;
    bench.announce(&claim, "j1").await?;
    let running = Running::start(bench.deliverer_of(spy.clone(), &receiver.url)?);
    receiver.wait_for(1).await;
    bench.settle(&claim, "j1").await?;
    bench.complete("j2").await?;
    running.hint.tell(Duration::ZERO);
    // The other job is not held up; it was taken together with the end of the first.
    let got = receiver.wait_for(2).await;
    assert_eq!((*spy.taken.borrow(), got[1].id()), (3, "j2:completed"));
    gate.add_permits(1);
    let got = receiver.wait_for(3).await;
    assert_eq!((got[0].id(), got[2].id()), ("j1:processing", "j1:completed"));
    spy.wait_told(3).await;
    running.stop().await?;
    assert!(bench.waiting().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn what_is_taken_again_before_it_was_reported_is_not_sent_again() -> Result<()> {
    let bench = Bench::new()?;
    let receiver = Receiver::start(vec![], Reply::Status(200)).await?;
    let gate = Arc::new(Semaphore::new(0));
    let spy = Spy::new(&bench.queue, Reports::Gate(gate.clone()));
    bench.complete("j1").await?;
    let running = Running::start(bench.deliverer_of(spy.clone(), &receiver.url)?);
    spy.wait_told(1).await;
    // The outbox takes as long to answer as it hides what was taken.
    bench.clock.advance(running.deliverer.hide());
    running.hint.tell(Duration::ZERO);
    spy.wait_taken(2).await;
    bench.complete("j2").await?;
    running.hint.tell(Duration::ZERO);
    receiver.wait_for(2).await;
    gate.add_permits(3);
    running.stop().await?;
    let ids: Vec<_> = receiver.got().iter().map(|got| got.id().to_owned()).collect();
    assert_eq!(ids, ["j1:completed", "j2:completed"]);
    assert!(bench.waiting().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_shutdown_lets_what_is_under_way_finish() -> Result<()> {
    let bench = Bench::new()?;
    let gate = Arc::new(Semaphore::new(0));
    let receiver = Receiver::start(vec![], Reply::Gate(gate.clone())).await?;
    for job in 0..6 {
        bench.complete(&format!("j{job}")).await?;
    }
    let running = Running::start(bench.deliverer(&receiver.url)?);
    receiver.wait_for(4).await;
    let deliverer = running.deliverer.clone();
    let stopping = tokio::spawn(running.stop());
    tokio::task::yield_now().await;
    gate.add_permits(4);
    stopping.await??;
    assert_eq!(deliverer.counts().delivered, 4);
    assert_eq!((receiver.got().len(), bench.waiting().await?.len()), (4, 2));
    Ok(())
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() -> Result<()> {
    let bench = Bench::new()?;
    let receiver = Receiver::start(vec![], Reply::Silence).await?;
    bench.complete("j1").await?;
    let options = DeliveryOptions { grace: Duration::from_millis(20), ..DeliveryOptions::default() };
    let outbox = Arc::new(bench.queue.clone());
    let deliverer = Deliverer::new(outbox, bench.sender(&receiver.url)?, options)?;
    let hide = deliverer.hide();
    let running = Running::start(deliverer);
    receiver.wait_for(1).await;
    let began = Instant::now();
    running.stop().await?;
    assert!(began.elapsed() < Duration::from_secs(10));
    // It comes back by itself.
    bench.clock.advance(hide);
    let due = bench.queue.take_due(1, hide).await?;
    assert_eq!(due.entries[0].callback.id, "j1:completed");
    Ok(())
}

#[test]
fn unusable_options_are_refused() -> Result<()> {
    let bench = Bench::new()?;
    let usable = DeliveryOptions::default;
    let table = [
        ("delivery concurrency", DeliveryOptions { concurrency: 0, ..usable() }),
        ("delivery concurrency", DeliveryOptions { concurrency: 65, ..usable() }),
        ("delivery idle_poll", DeliveryOptions { idle_poll: Duration::ZERO, ..usable() }),
        ("delivery idle_poll", DeliveryOptions { idle_poll: Duration::from_secs(86_401), ..usable() }),
        ("delivery grace", DeliveryOptions { grace: Duration::from_secs(301), ..usable() }),
    ];
    for (field, options) in table {
        let sender = CallbackSender::new(target("https://example.com/")?)?;
        match Deliverer::new(Arc::new(bench.queue.clone()), sender, options) {
            Err(Error::InvalidOption { name, .. }) => assert_eq!(name, field),
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}
