use std::time::Duration;

use anyhow::{Context, Result};
use ourvidz_queue::callback::DeliveryCounts;
use ourvidz_queue::{JobQueue, Outbox};

use crate::bench::{Bench, START_MS, callback, verify};
use crate::receiver::{Receiver, Reply};
use crate::spy::{Reports, Spy};

const MILLISECOND: Duration = Duration::from_millis(1);
const SCHEDULE: [u64; 9] = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];

#[tokio::test]
async fn the_whole_schedule_is_walked_and_then_it_is_buried() -> Result<()> {
    let bench = Bench::new()?;
    let receiver = Receiver::start(vec![], Reply::Status(500)).await?;
    let deliverer = bench.deliverer(&receiver.url)?;
    bench.complete("j1").await?;

    let mut sent_at = vec![START_MS];
    let mut next_in = deliverer.deliver_due().await?;
    for seconds in SCHEDULE {
        let wait = next_in.context("nothing waits")?;
        let base = Duration::from_secs(seconds);
        assert!(wait >= base && wait <= base.mul_f64(1.1), "{wait:?} after {base:?}");
        assert_eq!(receiver.got().len(), sent_at.len());
        // One millisecond before, nothing is sent.
        bench.clock.advance(wait - MILLISECOND);
        assert_eq!(deliverer.deliver_due().await?, Some(MILLISECOND));
        assert_eq!(receiver.got().len(), sent_at.len());
        bench.clock.advance(MILLISECOND);
        sent_at.push(sent_at[sent_at.len() - 1] + u64::try_from(wait.as_millis())?);
        next_in = deliverer.deliver_due().await?;
    }
    assert_eq!(next_in, None);

    let got = receiver.got();
    assert_eq!(got.len(), 10);
    for (request, at_ms) in got.iter().zip(&sent_at) {
        verify(request)?;
        assert_eq!(request.body, callback("j1", "completed").body.as_bytes());
        assert_eq!(request.id(), "j1:completed");
        assert_eq!(request.header("webhook-timestamp"), Some((at_ms / 1000).to_string().as_str()));
    }
    let hours = (sent_at[9] - sent_at[0]) as f64 / 3_600_000.0;
    assert!((75.58..83.2).contains(&hours), "{hours} h");
    let reason = "500 Internal Server Error".to_owned();
    assert_eq!(bench.dead().await?, [("j1:completed".to_owned(), reason)]);
    let counts = DeliveryCounts { failed: 10, buried: 1, ..DeliveryCounts::default() };
    assert_eq!(deliverer.counts(), counts);
    Ok(())
}

#[tokio::test]
async fn a_buried_callback_can_be_sent_again() -> Result<()> {
    let bench = Bench::new()?;
    let receiver = Receiver::start(vec![Reply::Status(404); 3], Reply::Status(200)).await?;
    let deliverer = bench.deliverer(&receiver.url)?;
    bench.complete("j1").await?;
    while let Some(wait) = deliverer.deliver_due().await? {
        bench.clock.advance(wait);
    }
    let reason = "404: refused, in a row: 3".to_owned();
    assert_eq!(bench.dead().await?, [("j1:completed".to_owned(), reason)]);
    assert_eq!(receiver.got().len(), 3);

    assert!(bench.queue.retry_callback("j1:completed").await?);
    assert_eq!(deliverer.deliver_due().await?, None);
    assert_eq!(receiver.got().len(), 4);
    assert_eq!((bench.dead().await?.len(), bench.waiting().await?.len()), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_was_down_for_an_hour_gets_everything() -> Result<()> {
    let bench = Bench::new()?;
    let receiver = Receiver::start(vec![], Reply::Status(503)).await?;
    let deliverer = bench.deliverer(&receiver.url)?;
    for job in 0..6 {
        bench.complete(&format!("j{job}")).await?;
    }
    let up_ms = START_MS + 3_600_000;
    let mut now_ms = START_MS;
    while let Some(wait) = deliverer.deliver_due().await? {
        bench.clock.advance(wait);
        now_ms += u64::try_from(wait.as_millis())?;
        if now_ms >= up_ms {
            receiver.answer_with(Reply::Status(200));
        }
    }
    let counts = deliverer.counts();
    assert_eq!((counts.delivered, counts.buried), (6, 0));
    assert!(counts.failed >= 6 * 4, "{counts:?}");
    assert!(bench.waiting().await?.is_empty());
    let mut delivered: Vec<_> = receiver.got().iter().map(|got| got.id().to_owned()).collect();
    delivered.sort();
    delivered.dedup();
    assert_eq!(delivered.len(), 6);
    Ok(())
}

#[tokio::test]
async fn what_a_busy_receiver_asks_for_is_waited_out() -> Result<()> {
    let bench = Bench::new()?;
    let script = vec![
        Reply::With(429, "retry-after", "7200".to_owned()),
        Reply::With(502, "retry-after", "1".to_owned()),
        Reply::With(504, "retry-after", "999999999".to_owned()),
    ];
    let receiver = Receiver::start(script, Reply::Status(200)).await?;
    let deliverer = bench.deliverer(&receiver.url)?;
    bench.complete("j1").await?;
    let mut waits = Vec::new();
    while let Some(wait) = deliverer.deliver_due().await? {
        waits.push(wait);
        bench.clock.advance(wait);
    }
    assert_eq!(waits.len(), 3);
    assert_eq!((waits[0].as_secs(), waits[2].as_secs()), (7200, 86_400));
    assert!((300..=330).contains(&waits[1].as_secs()), "the schedule's own wait is longer: {waits:?}");
    Ok(())
}

#[tokio::test]
async fn after_410_everything_waits_until_the_outbox_is_enabled() -> Result<()> {
    let bench = Bench::new()?;
    let receiver = Receiver::start(vec![Reply::Status(410)], Reply::Status(200)).await?;
    let deliverer = bench.deliverer(&receiver.url)?;
    bench.complete("j1").await?;
    assert_eq!(deliverer.deliver_due().await?, None);
    assert_eq!(bench.queue.disabled().await?.as_deref(), Some("the receiver answered 410 Gone"));

    bench.complete("j2").await?;
    bench.clock.advance(Duration::from_secs(1_000_000));
    assert_eq!(deliverer.deliver_due().await?, None);
    assert_eq!(receiver.got().len(), 1);
    assert_eq!(bench.waiting().await?, ["j1:completed", "j2:completed"]);

    bench.queue.enable().await?;
    assert_eq!(deliverer.deliver_due().await?, None);
    let mut ids: Vec<_> = receiver.got()[1..].iter().map(|got| got.id().to_owned()).collect();
    ids.sort();
    assert_eq!(ids, ["j1:completed", "j2:completed"]);
    assert!(bench.waiting().await?.is_empty() && bench.dead().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn wrong_credentials_that_are_mended_lose_nothing() -> Result<()> {
    let bench = Bench::new()?;
    let receiver = Receiver::start(vec![Reply::Status(401); 6], Reply::Status(200)).await?;
    let deliverer = bench.deliverer(&receiver.url)?;
    bench.complete("j1").await?;
    let mut tries = 1;
    while let Some(wait) = deliverer.deliver_due().await? {
        bench.clock.advance(wait);
        tries += 1;
    }
    assert_eq!((tries, deliverer.counts().delivered), (7, 1));
    Ok(())
}

#[tokio::test]
async fn that_a_job_has_begun_is_tried_three_times() -> Result<()> {
    let bench = Bench::new()?;
    let receiver = Receiver::start(vec![], Reply::Status(500)).await?;
    let deliverer = bench.deliverer(&receiver.url)?;
    let claim = bench.claim("j1").await?;
    bench.announce(&claim, "j1").await?;
    while let Some(wait) = deliverer.deliver_due().await? {
        bench.clock.advance(wait);
    }
    assert_eq!(receiver.got().len(), 3);
    assert!(bench.waiting().await?.is_empty() && bench.dead().await?.is_empty());
    let counts = DeliveryCounts { failed: 3, dropped: 1, ..DeliveryCounts::default() };
    assert_eq!(deliverer.counts(), counts);
    Ok(())
}

#[tokio::test]
async fn the_beginning_is_delivered_before_the_end() -> Result<()> {
    let bench = Bench::new()?;
    let receiver = Receiver::start(vec![], Reply::Status(200)).await?;
    let deliverer = bench.deliverer(&receiver.url)?;
    // The same job twice, so that both are in the outbox, of one age.
    let (first, second) = (bench.claim("j1").await?, bench.claim("j1").await?);
    bench.settle(&first, "j1").await?;
    bench.announce(&second, "j1").await?;
    assert_eq!(deliverer.deliver_due().await?, None);
    let ids: Vec<_> = receiver.got().iter().map(|got| got.id().to_owned()).collect();
    assert_eq!(ids, ["j1:processing", "j1:completed"]);
    assert_eq!(receiver.most_at_once(), 1);
    assert!(bench.queue.beat(&second, "j1").await.is_ok());
    Ok(())
}

#[tokio::test]
async fn what_was_sent_but_not_reported_is_sent_again_with_the_same_id() -> Result<()> {
    let bench = Bench::new()?;
    let receiver = Receiver::start(vec![], Reply::Status(200)).await?;
    let spy = Spy::new(&bench.queue, Reports::Hang);
    let first = bench.deliverer_of(spy.clone(), &receiver.url)?;
    bench.complete("j1").await?;
    let hide = first.hide();
    assert_eq!(hide, Duration::from_secs(90));
    let crashed = tokio::spawn(async move { first.deliver_due().await });
    assert_eq!(spy.wait_told(1).await, ["delivered j1:completed"]);
    crashed.abort();

    let second = bench.deliverer(&receiver.url)?;
    assert_eq!(second.deliver_due().await?, Some(hide));
    bench.clock.advance(hide - MILLISECOND);
    assert_eq!(second.deliver_due().await?, Some(MILLISECOND));
    assert_eq!(receiver.got().len(), 1);
    bench.clock.advance(MILLISECOND);
    assert_eq!(second.deliver_due().await?, None);
    let got = receiver.got();
    assert_eq!((got[0].id(), got.len()), (got[1].id(), 2));
    assert_eq!(got[0].body, got[1].body);
    assert_ne!(got[0].header("webhook-timestamp"), got[1].header("webhook-timestamp"));
    Ok(())
}

#[tokio::test]
async fn that_it_arrived_is_told_until_the_outbox_answers() -> Result<()> {
    let bench = Bench::new()?;
    let receiver = Receiver::start(vec![], Reply::Status(200)).await?;
    let spy = Spy::new(&bench.queue, Reports::Fail(1));
    bench.complete("j1").await?;
    assert_eq!(bench.deliverer_of(spy.clone(), &receiver.url)?.deliver_due().await?, None);
    assert_eq!(spy.told.borrow().as_slice(), ["delivered j1:completed", "delivered j1:completed"]);
    assert!(bench.waiting().await?.is_empty());
    assert_eq!(receiver.got().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_report_that_is_refused_is_not_repeated() -> Result<()> {
    let bench = Bench::new()?;
    let receiver = Receiver::start(vec![], Reply::Status(500)).await?;
    let spy = Spy::new(&bench.queue, Reports::Refused);
    bench.complete("j1").await?;
    let deliverer = bench.deliverer_of(spy.clone(), &receiver.url)?;
    assert_eq!(deliverer.deliver_due().await?, Some(deliverer.hide()));
    assert_eq!(spy.told.borrow().as_slice(), ["postpone j1:completed"]);
    Ok(())
}
