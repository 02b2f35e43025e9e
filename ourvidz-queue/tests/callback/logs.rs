use std::cell::RefCell;
use std::io;

use crate::bench::{BEARER, Bench, CALLBACK_SECRET, WEBHOOK_SECRETS, target};
use crate::receiver::{Receiver, Reply};
use anyhow::Result;
use ourvidz_queue::Outbox;

thread_local! {
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what is logged on each thread apart. The subscriber has to be the process's: one for a thread alone
/// can miss events that other threads were the first to reach.
struct ThreadLog;

impl io::Write for ThreadLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn logs_hold_ids_and_statuses_but_no_secret_and_no_body() -> Result<()> {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(|| ThreadLog)
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .finish();
    tracing::subscriber::set_global_default(subscriber)?;

    let bench = Bench::new()?;
    let script = [401, 403, 500, 404, 302, 404, 404, 404].map(Reply::Status).to_vec();
    let receiver = Receiver::start(script, Reply::Status(200)).await?;
    let url = format!("{}?key=qu3ry-key", receiver.url);
    let deliverer = bench.deliverer(&url)?;
    bench.complete("j1").await?;
    let claim = bench.claim("j2").await?;
    let mut count = 0;
    while let Some(wait) = deliverer.deliver_due().await? {
        bench.clock.advance(wait);
        count += 1;
        if count == 8 {
            break;
        }
    }
    bench.announce(&claim, "j2").await?;
    deliverer.deliver_due().await?;
    receiver.answer_with(Reply::Status(410));
    bench.complete("j3").await?;
    deliverer.deliver_due().await?;
    let nobody = bench.deliverer("http://127.0.0.1:1/?key=qu3ry-key")?;
    bench.queue.enable().await?;
    nobody.deliver_due().await?;

    let text = LOG.with_borrow(|log| String::from_utf8_lossy(log).into_owned());
    for expected in
        ["j1:completed", "given up", "callback: delivered", "j2:processing", "status=404", "wants no more"]
    {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
    assert_eq!(text.matches("does not accept the key").count(), 1, "once, not for every try:\n{text}");
    let debug = format!("{deliverer:?} {:#?} {:?}", bench.sender(&url)?, target(&url)?);
    for secret in [BEARER, CALLBACK_SECRET, "MfKQ9r8", "b2xkIHNl", "qu3ry-key", "private"] {
        assert!(!text.contains(secret), "{secret} is in:\n{text}");
        assert!(!debug.contains(secret), "{secret} is in {debug}");
    }
    assert!(WEBHOOK_SECRETS[0].contains("MfKQ9r8") && WEBHOOK_SECRETS[1].contains("b2xkIHNl"));
    Ok(())
}
